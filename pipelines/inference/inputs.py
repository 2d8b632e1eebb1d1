"""Which films a run is over: folders, files and manifests become one ordered list without duplicates of an id."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from pipelines.errors import CxrError
from pipelines.inference.outputs import OUTPUT_FILES, OUTPUT_FOLDERS, is_predictions_folder
from pipelines.manifest import manifest_digest, read_manifest

MANIFEST_SUFFIXES: Final = (".parquet", ".csv", ".csv.gz")

SKIPPED_SUFFIXES: Final = (
    *MANIFEST_SUFFIXES,
    *(".txt", ".md", ".html", ".htm", ".pdf", ".log"),
    *(".json", ".jsonl", ".yaml", ".yml", ".xml", ".tsv", ".xlsx"),
)
"""Files of a folder that accompany films. All other files are inputs, because a DICOM file often has no suffix."""
SKIPPED_NAMES: Final = ("DICOMDIR", "Thumbs.db", "desktop.ini")
_SKIPPED_NAMES_LOWER: Final = frozenset(name.lower() for name in SKIPPED_NAMES)


_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves a cursor, ends a line or turns the direction of writing: shown as it is, a name could pass for another."""


@dataclass(frozen=True, slots=True)
class FilmInput:
    """One film to read: one row of the predictions table."""

    image_id: str
    """Unique within the run."""
    path: str
    """As the table shows it: POSIX, relative to the root, the folder given or the manifest's root."""
    file: Path
    """Absolute."""


@dataclass(frozen=True, slots=True)
class InputSource:
    """One argument of the run."""

    given: str
    kind: Literal["folder", "file", "manifest"]
    films: int
    skipped: dict[str, int] = field(default_factory=dict)
    """How many entries of a folder were not taken as films, by suffix, name or ``hidden``."""


@dataclass(frozen=True, slots=True)
class InputList:
    """The films of a run in the order of its table."""

    films: tuple[FilmInput, ...]
    sources: tuple[InputSource, ...]
    manifest_digest: str | None
    """Of the whole manifest, where the only input is one; null otherwise."""

    def __len__(self) -> int:
        return len(self.films)


def collect_inputs(inputs: Sequence[Path], *, root: Path | None = None, split: str | None = None) -> InputList:
    r"""List the films of folders, files and manifests.

    - A **folder** is searched recursively in natural order (``film2`` before ``film10``). Every entry is a film except
      hidden ones, `SKIPPED_SUFFIXES`, `SKIPPED_NAMES` and what an earlier run wrote; these are counted. Links are
      followed, each real folder once. A folder that cannot be listed is one input, so that it becomes a row.
    - A **manifest** (.parquet, .csv, .csv.gz) gives its rows in order, its ids and its paths.
    - Any other **file** is a film.

    A film of a folder is called by its POSIX path relative to that folder, a single file by its name. Where that would
    give two films one id, ids get the name of their folder in front, and, where even that does not tell them apart,
    ``#2``, ``#3``, ... behind. A manifest's ids are never changed. Bytes of a name that are not UTF-8, and control
    characters, are written as ``\xNN``.

    Args:
        inputs: folders, films and manifests.
        root: what manifest paths are relative to (default: the manifest's folder), and what the table's paths are
            relative to for films that lie inside it.
        split: take only this split of the manifests.

    Raises:
        CxrError: no input, one that does not exist, one without films, or a manifest id that occurs in two manifests.
        ManifestError: a manifest that breaks its schema.
    """
    if not inputs:
        raise CxrError("no input given; expected folders, films or manifests")
    groups = [_collect(Path(given), root, split) for given in inputs]
    if split is not None and not any(source.kind == "manifest" for source, _, _ in groups):
        raise CxrError(f"split {split!r} was asked for, but no input is a manifest (.parquet, .csv or .csv.gz)")
    films = _with_unique_ids([(source, found) for source, found, _ in groups])
    digest = groups[0][2] if len(groups) == 1 else None
    return InputList(tuple(films), tuple(source for source, _, _ in groups), digest)


def text_of(name: str | os.PathLike[str]) -> str:
    r"""A path as UTF-8 text with ``/`` between its parts; undecodable bytes and control characters become ``\xNN``.

    Marks that turn the direction of writing, and line and paragraph separators, become ``\uNNNN``.
    """
    posix = os.fspath(name).replace(os.sep, "/")
    text = posix.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda match: _escaped(ord(match[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def natural_key(path: str) -> tuple[tuple[tuple[str | int, ...], str], ...]:
    """Sort key of a POSIX path, part by part: runs of digits compare as numbers."""
    return tuple((_pieces(part), part) for part in path.split("/"))


def _pieces(part: str) -> tuple[str | int, ...]:
    # re.split with one group alternates text and digits, so equal positions always hold equal types.
    return tuple(int(piece) if index % 2 else piece for index, piece in enumerate(re.split(r"([0-9]+)", part)))


def _collect(given: Path, root: Path | None, split: str | None) -> tuple[InputSource, list[FilmInput], str | None]:
    shown = text_of(given)
    try:
        is_folder, exists = given.is_dir(), given.exists() or given.is_symlink()
    except OSError as error:  # not allowed to look, a name that is too long, an unplugged drive
        raise CxrError(f"{shown}: cannot be opened ({error.strerror or type(error).__name__})") from None
    if not exists:
        raise CxrError(f"{shown}: no such file or folder")
    if is_folder:
        films, skipped = _from_folder(given, root)
        return InputSource(shown, "folder", len(films), skipped), films, None
    if given.name.lower().endswith(MANIFEST_SUFFIXES):
        films, digest = _from_manifest(given, root, split)
        return InputSource(shown, "manifest", len(films)), films, digest
    name = text_of(given.name)
    return InputSource(shown, "file", 1), [_film(name, given.parent.resolve() / given.name, name, root)], None


def _from_folder(given: Path, root: Path | None) -> tuple[list[FilmInput], dict[str, int]]:
    base = given.resolve()
    relative, skipped = _walk(base)
    if not relative:
        passed = f" ({', '.join(f'{count} {what}' for what, count in skipped.items())} skipped)" if skipped else ""
        raise CxrError(
            f"{text_of(given)}: found no films in this folder{passed}; expected DICOM, PNG, JPEG or TIFF files"
        )
    return [_film(text_of(name), base / name, text_of(name), root) for name in relative], skipped


def _film(image_id: str, file: Path, path: str, root: Path | None) -> FilmInput:
    if root is not None and file.is_relative_to(root.resolve()):
        path = text_of(file.relative_to(root.resolve()))
    return FilmInput(image_id, path, file)


def _from_manifest(given: Path, root: Path | None, split: str | None) -> tuple[list[FilmInput], str]:
    frame = read_manifest(given)
    chosen = frame if split is None else frame[frame["split"] == split]
    if chosen.empty:
        found = sorted(frame["split"].dropna().unique())
        wanted = f" with split {split!r}; its splits: {', '.join(found) or 'none'}" if split is not None else ""
        raise CxrError(f"{text_of(given)}: the manifest has no rows{wanted}")
    base = (root or given.parent).resolve()
    films = [
        FilmInput(str(image_id), str(path), base / path)
        for image_id, path in zip(chosen["image_id"], chosen["path"], strict=True)
    ]
    return films, manifest_digest(frame)


def _walk(folder: Path) -> tuple[list[str], dict[str, int]]:
    """Films below a folder as relative names in natural order, and what was skipped."""
    names: list[str] = []
    skipped: Counter[str] = Counter()
    seen: set[tuple[int, int]] = set()
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            entries, identity = _list(folder / prefix)
        except OSError as error:
            if not prefix:
                what = error.strerror or type(error).__name__
                raise CxrError(f"{text_of(folder)}: this folder cannot be listed ({what})") from None
            names.append(prefix.removesuffix("/"))  # its films are not known, but they do not vanish: it becomes a row
            continue
        if identity in seen:
            skipped["folder seen before (link)"] += 1
            continue
        seen.add(identity)
        ours = is_predictions_folder(folder / prefix)
        folders = []
        for name, is_folder in entries:
            reason = _skip_reason(name, is_folder=is_folder, ours=ours)
            if reason:
                skipped[reason] += 1
            elif is_folder:
                folders.append(f"{prefix}{name}/")
            else:
                names.append(prefix + name)
        pending.extend(reversed(folders))
    return sorted(names, key=natural_key), dict(sorted(skipped.items()))


def _list(folder: Path) -> tuple[list[tuple[str, bool]], tuple[int, int]]:
    """Entries of a folder as (name, is a folder) in natural order, and what identifies the folder however it is met."""
    facts = folder.stat()
    with os.scandir(folder) as entries:
        listed = [(entry.name, _is_folder(entry)) for entry in entries]
    return sorted(listed, key=lambda entry: natural_key(entry[0])), (facts.st_dev, facts.st_ino)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: read as a film, it becomes a row that says so
        return False


def _skip_reason(name: str, *, is_folder: bool, ours: bool) -> str | None:
    if name.startswith("."):
        return "hidden"
    if is_folder:
        return "output of an earlier run" if ours and name in OUTPUT_FOLDERS else None
    if ours and name in OUTPUT_FILES:
        return "output of an earlier run"
    if name.lower() in _SKIPPED_NAMES_LOWER:
        return name
    return next((suffix for suffix in SKIPPED_SUFFIXES if name.lower().endswith(suffix)), None)


def _with_unique_ids(groups: list[tuple[InputSource, list[FilmInput]]]) -> list[FilmInput]:
    fixed = Counter(film.image_id for source, films in groups if source.kind == "manifest" for film in films)
    twice = next((image_id for image_id, count in fixed.items() if count > 1), None)
    if twice is not None:
        raise CxrError(f"image_id {twice!r} occurs in two of the manifests given; expected every film once")
    taken = Counter(film.image_id for _, films in groups for film in films)
    if taken.total() > len(taken) and len(groups) > 1:
        groups = [(source, _prefixed(source, films)) for source, films in groups]
    used = set(fixed)
    unique = []
    for source, films in groups:
        for film in films:
            image_id, number = film.image_id, 1
            while source.kind != "manifest" and image_id in used:
                number += 1
                image_id = f"{film.image_id}#{number}"
            used.add(image_id)
            unique.append(replace(film, image_id=image_id))
    return unique


def _prefixed(source: InputSource, films: list[FilmInput]) -> list[FilmInput]:
    if source.kind == "manifest":
        return films
    given = Path(source.given).resolve()
    name = given.name if source.kind == "folder" else given.parent.name
    return [replace(film, image_id=f"{name}/{film.image_id}" if name else film.image_id) for film in films]
