"""Inputs that lie elsewhere: prefixes of object stores, single films and manifests at addresses."""

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa

from pipelines.errors import CxrError, ManifestError, UnreadableImage
from pipelines.film_files import RemoteFilm
from pipelines.film_files.address import Address, parse_address
from pipelines.film_files.listing import find_object, list_objects
from pipelines.film_files.remote import fetched
from pipelines.inference.inputs.film_list import FilmBlock, named_block, text_column
from pipelines.inference.inputs.film_names import MANIFEST_SUFFIXES, OUTPUT, natural_order, skip_reason, text_of
from pipelines.inference.inputs.unique_ids import Collected, InputSource
from pipelines.inference.outputs import OUTPUT_FOLDERS, PLAN_FILE, RUN_FILE, is_predictions_folder
from pipelines.manifest import read_manifest

MANIFEST_SECONDS = 600.0
"""Longest time for fetching a manifest, which may name millions of films."""


def collect_remote(url: str, root: Path | str | None) -> Collected:
    """List the films at an address that is no manifest.

    - A **web address** is one film; nothing is asked before it is fetched.
    - An address of an **object store** is the film of that name, or all films below it.

    Raises:
        CxrError: the address cannot be listed, or there is nothing.
    """
    address = parse_address(url)
    if address.is_web:
        if not address.name or address.path.endswith("/"):
            raise CxrError(
                f"{address.shown}: a web address is that of one film and cannot be listed; "
                "give addresses of films, a manifest, or an object store (s3://, gs://)"
            )
        return _single(RemoteFilm(url), root)
    is_prefix = not address.path or address.path.endswith("/")
    film = None if is_prefix else find_object(url)
    return _single(film, root) if film is not None else _prefix(address, root)


def read_remote_manifest(url: str) -> pd.DataFrame:
    """Read a manifest that lies at an address.

    Raises:
        CxrError: it cannot be fetched whole.
        ManifestError: it breaks its schema.
    """
    address = parse_address(url)
    shown = text_of(address.shown)
    suffix = next(suffix for suffix in MANIFEST_SUFFIXES if address.name.lower().endswith(suffix))
    film = RemoteFilm(url) if address.is_web else find_object(url)
    if film is None:
        raise CxrError(f"{shown}: there is no such manifest")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"manifest{suffix}"
        try:
            with fetched(film, MANIFEST_SECONDS) as path:
                shutil.copyfile(path, copy)
            return read_manifest(copy)
        except UnreadableImage as error:
            raise CxrError(f"{shown}: the manifest cannot be fetched ({error.detail})") from None
        except ManifestError as error:
            raise ManifestError(str(error).replace(str(copy), shown)) from None


def parent_address(url: str) -> str:
    """Return the address of the folder that something lies in, without the query."""
    parts = parse_address(url)
    owner = f"{parts.credentials}@" if parts.credentials else ""
    return f"{parts.scheme}://{owner}{parts.host}/{_folder(parts.path)}"


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _single(film: RemoteFilm, root: Path | str | None) -> Collected:
    address = film.address
    folder = address._replace(path=_folder(address.path))
    # The whole address stands for the name behind the base, because a signature belongs to the film alone.
    raw = pa.array([film.url.encode("utf-8", "surrogateescape")], pa.large_binary())
    block = FilmBlock("", text_column([text_of(address.name)]), names=raw, path_prefix=_below_root(folder, root))
    if film.size is not None:
        block = _with_facts(block, [Facts(film.size, film.version)])
    return Collected(InputSource(text_of(address.shown), "file", 1), block, text_of(folder.name))


class Facts(NamedTuple):
    """What a listing says of an object."""

    size: int
    version: str


def _with_facts(block: FilmBlock, facts: list[Facts]) -> FilmBlock:
    sizes = pa.array((fact.size for fact in facts), pa.int64())
    return replace(block, sizes=sizes, versions=text_column(fact.version for fact in facts))


def _below_root(folder: Address, root: Path | str | None) -> str:
    """What the table's paths of films in a folder begin with."""
    if not isinstance(root, str):
        return ""
    top = parse_address(root)
    above = top.path if not top.path or top.path.endswith("/") else f"{top.path}/"
    inside = (top.scheme, top.host) == (folder.scheme, folder.host) and folder.path.startswith(above)
    return text_of(folder.path.removeprefix(above)) if inside else ""


def _prefix(address: Address, root: Path | str | None) -> Collected:
    key = address.path if not address.path or address.path.endswith("/") else f"{address.path}/"
    folder = address._replace(path=key)
    base = f"{address.scheme}://{address.host}/{key}"
    tree = _Tree()
    for listed in list_objects(base):
        tree.add(listed.key.removeprefix(key), Facts(listed.size, listed.version))
    tree.drop_outputs(base)
    names: list[str] = []
    facts: list[Facts] = []
    for name, fact in tree.films():
        names.append(name)
        facts.append(fact)
    shown, skipped = text_of(folder.shown), dict(sorted(tree.skipped.items()))
    if not names:
        passed = f" ({', '.join(f'{count} {what}' for what, count in skipped.items())} skipped)" if skipped else ""
        raise CxrError(f"{shown}: found no films at this address{passed}; expected DICOM, PNG, JPEG or TIFF files")
    block = replace(_with_facts(named_block(base, names), facts), path_prefix=_below_root(folder, root))
    return Collected(InputSource(shown, "folder", len(names), skipped), block, text_of(folder.name))


class _Tree:
    """Keys of a listing as the folders that their slashes make of them."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Facts]] = defaultdict(dict)
        self.folders: dict[str, set[str]] = defaultdict(set)
        self.marks: set[str] = set()
        """Folders that hold a file of the name that a run's record has."""
        self.skipped: Counter[str] = Counter()
        self._hidden: set[str] = set()

    def add(self, key: str, facts: Facts) -> None:
        """Take one object, or count it as passed over."""
        folder, name = _folder(key), key[key.rfind("/") + 1 :]
        if not name:
            self.skipped["folder marker"] += 1
            return
        if folder not in self.files and not self._enter(folder):
            return
        if name in (RUN_FILE, PLAN_FILE):
            self.marks.add(folder)
        reason = skip_reason(name, is_folder=False, ours=False)
        if reason:
            self.skipped[reason] += 1
        else:
            self.files[folder][name] = facts

    def _enter(self, folder: str) -> bool:
        """Make the folders above a film known; whether none of them is hidden."""
        above = ""
        for part in folder.split("/")[:-1]:
            below = f"{above}{part}/"
            if skip_reason(part, is_folder=True, ours=False):
                if below not in self._hidden:
                    self._hidden.add(below)
                    self.skipped["hidden"] += 1
                return False
            self.folders[above].add(part)
            above = below
        return True

    def drop_outputs(self, base: str) -> None:
        """Leave out folders that an earlier run wrote and somebody copied here."""
        for folder in sorted(self.marks):
            known = self.folders.get(folder, set()) & set(OUTPUT_FOLDERS)
            if known and _is_output(base + folder):
                self.folders[folder] -= known
                self.skipped[OUTPUT] += len(known)

    def films(self) -> Iterator[tuple[str, Facts]]:
        """Yield films in natural order, folder by folder."""
        open_folders = [self._entries("")]
        while open_folders:
            entry = next(open_folders[-1], None)
            if entry is None:
                open_folders.pop()
            elif isinstance(entry, str):
                open_folders.append(self._entries(entry))
            else:
                yield entry

    def _entries(self, prefix: str) -> Iterator[tuple[str, Facts] | str]:
        files, folders = self.files.get(prefix, {}), self.folders.get(prefix, set())
        names = list({*files, *folders})
        natural_order(names)
        for name in names:
            if name in files:
                yield prefix + name, files[name]
            if name in folders:
                yield f"{prefix}{name}/"


def _is_output(base: str) -> bool:
    """Whether the record in a folder elsewhere is one that a run writes."""
    with tempfile.TemporaryDirectory() as folder:
        for name in (RUN_FILE, PLAN_FILE):
            try:
                with fetched(RemoteFilm(base + name)) as path:
                    shutil.copyfile(path, Path(folder) / name)
            except UnreadableImage:
                continue
        return is_predictions_folder(Path(folder))
