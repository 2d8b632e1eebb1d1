"""Which films a run is over: folders, files, addresses and manifests become one ordered list without duplicate ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pipelines.errors import CxrError
from pipelines.film_files.address import is_address, parse_address, shown_address
from pipelines.inference.inputs.film_list import FilmBlock, FilmInput, FilmList, joined, named_block, text_column
from pipelines.inference.inputs.film_names import (
    MANIFEST_SUFFIXES,
    SKIPPED_NAMES,
    SKIPPED_SUFFIXES,
    natural_key,
    text_of,
)
from pipelines.inference.inputs.folders import FolderWalk
from pipelines.inference.inputs.remote import collect_remote, parent_address, read_remote_manifest
from pipelines.inference.inputs.unique_ids import Collected, InputSource, unique_blocks
from pipelines.manifest import manifest_digest, read_manifest

__all__ = [
    "MANIFEST_SUFFIXES",
    "SKIPPED_NAMES",
    "SKIPPED_SUFFIXES",
    "FilmInput",
    "FilmList",
    "InputList",
    "InputSource",
    "collect_inputs",
    "natural_key",
    "text_of",
]


@dataclass(frozen=True, slots=True)
class InputList:
    """The films of a run in the order of its table."""

    films: Sequence[FilmInput]
    """A `FilmList`, which holds columns and makes films on demand."""
    sources: tuple[InputSource, ...]
    manifest_digest: str | None
    """Of the whole manifest, where the only input is one; null otherwise."""

    def __len__(self) -> int:
        return len(self.films)


def collect_inputs(
    inputs: Sequence[Path | str], *, root: Path | str | None = None, split: str | None = None
) -> InputList:
    r"""List the films of folders, files, addresses and manifests.

    - A **folder** is searched recursively in natural order (``film2`` before ``film10``). Every entry is a film except
      hidden ones, `SKIPPED_SUFFIXES`, `SKIPPED_NAMES` and what an earlier run wrote; these are counted. Links are
      followed, each real folder once. A folder that cannot be listed is one input, so that it becomes a row.
    - An address of an **object store** (``s3://bucket/folder/``, ``gs://...``) is searched like a folder, or is one
      film. A **web address** (``https://...``) is one film; nothing is asked of it before it is fetched.
    - A **manifest** (.parquet, .csv, .csv.gz), here or at an address, gives its rows in order, its ids and its paths.
    - Any other **file** is a film.

    A film of a folder is called by its POSIX path relative to that folder, a single file by its name. Where that would
    give two films one id, ids get the name of their folder in front, and, where even that does not tell them apart,
    ``#2``, ``#3``, ... behind. A manifest's ids are never changed. Bytes of a name that are not UTF-8, and control
    characters, are written as ``\xNN``. Credentials and queries of addresses stand nowhere.

    Args:
        inputs: folders, films and manifests; addresses as text, because a `Path` would change their slashes.
        root: folder or address that manifest paths are relative to (default: where the manifest lies), and that the
            table's paths are relative to for films that lie inside it.
        split: take only this split of the manifests.

    Raises:
        CxrError: no input, one that does not exist, one without films, an address that cannot be listed or whose
            library is not installed, or a manifest id that occurs in two manifests.
        ManifestError: a manifest that breaks its schema.
    """
    if not inputs:
        raise CxrError("no input given; expected folders, films or manifests")
    if root is not None and not is_address(root):
        root = Path(root).resolve()
    groups = [_collect(given, root, split) for given in inputs]
    if split is not None and not any(group.fixed for group in groups):
        raise CxrError(f"split {split!r} was asked for, but no input is a manifest (.parquet, .csv or .csv.gz)")
    digest = groups[0].digest if len(groups) == 1 else None
    films = FilmList(_together(unique_blocks(groups)))
    return InputList(films, tuple(group.source for group in groups), digest)


def _collect(given: Path | str, root: Path | str | None, split: str | None) -> Collected:
    if isinstance(given, str) and is_address(given):
        if not parse_address(given).name.lower().endswith(MANIFEST_SUFFIXES):
            return collect_remote(given, root)
        shown = text_of(shown_address(given))
        return _from_manifest(shown, read_remote_manifest(given), root or parent_address(given), split)
    return _collect_local(Path(given), root, split)


def _collect_local(given: Path, root: Path | str | None, split: str | None) -> Collected:
    shown = text_of(given)
    try:
        is_folder, exists = given.is_dir(), given.exists() or given.is_symlink()
    except OSError as error:  # not allowed to look, a name that is too long, an unplugged drive
        raise CxrError(f"{shown}: cannot be opened ({error.strerror or type(error).__name__})") from None
    if not exists:
        raise CxrError(f"{shown}: no such file or folder")
    if is_folder:
        return _from_folder(given, root)
    if given.name.lower().endswith(MANIFEST_SUFFIXES):
        return _from_manifest(shown, read_manifest(given), root or given.parent.resolve(), split)
    base = given.parent.resolve()
    block = _below_root(named_block(base, [given.name]), root)
    return Collected(InputSource(shown, "file", 1), block, text_of(base.name))


def _from_folder(given: Path, root: Path | str | None) -> Collected:
    base = given.resolve()
    walk = FolderWalk(base)
    block = _below_root(named_block(base, walk.names()), root)
    skipped = dict(sorted(walk.skipped.items()))
    if not len(block):
        passed = f" ({', '.join(f'{count} {what}' for what, count in skipped.items())} skipped)" if skipped else ""
        raise CxrError(
            f"{text_of(given)}: found no films in this folder{passed}; expected DICOM, PNG, JPEG or TIFF files"
        )
    return Collected(InputSource(text_of(given), "folder", len(block), skipped), block, text_of(base.name))


def _below_root(block: FilmBlock, root: Path | str | None) -> FilmBlock:
    """Show the paths of films that lie inside the root relative to it."""
    base = block.base
    if not isinstance(root, Path) or not isinstance(base, Path):
        return block
    if base == root:
        return block
    if base.is_relative_to(root):
        return replace(block, path_prefix=f"{text_of(base.relative_to(root))}/")
    if root.is_relative_to(base):
        inside = f"{text_of(root.relative_to(base))}/"
        return replace(block, paths=text_column(text.removeprefix(inside) for text in block.texts.to_pylist()))
    return block


def _from_manifest(shown: str, frame: pd.DataFrame, base: Path | str, split: str | None) -> Collected:
    chosen = frame if split is None else frame[frame["split"] == split]
    if chosen.empty:
        found = sorted(frame["split"].dropna().unique())
        wanted = f" with split {split!r}; its splits: {', '.join(found) or 'none'}" if split is not None else ""
        raise CxrError(f"{shown}: the manifest has no rows{wanted}")
    block = FilmBlock(base, text_column(map(str, chosen["path"])), ids=text_column(map(str, chosen["image_id"])))
    return Collected(InputSource(shown, "manifest", len(block)), block, "", manifest_digest(frame))


def _together(blocks: Sequence[FilmBlock]) -> list[FilmBlock]:
    """Join neighbours of one folder: ten thousand single films are one block, not as many."""

    def kind(block: FilmBlock) -> tuple[object, ...]:
        alone = block.paths is not None or block.sizes is not None
        return (id(block) if alone else 0, block.base, block.path_prefix, block.id_prefix, block.ids is None)

    together = []
    for _, neighbours in groupby(blocks, kind):
        first, *others = list(neighbours)
        together.append(_joined([first, *others]) if others else first)
    return together


def _joined(blocks: list[FilmBlock]) -> FilmBlock:
    def column(name: str) -> Any:
        return joined([getattr(block, name) for block in blocks], None)

    raw = None
    if any(block.names is not None for block in blocks):
        raw = joined([b.texts.view(pa.large_binary()) if b.names is None else b.names for b in blocks], None)
    ids = None if blocks[0].ids is None else column("ids")
    return replace(blocks[0], texts=column("texts"), names=raw, ids=ids)
