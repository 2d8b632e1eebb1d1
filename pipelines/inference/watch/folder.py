"""What lies in the folders that films keep arriving in: looked at again and again, which network drives allow too."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipelines.errors import CxrError
from pipelines.film_files import file_state
from pipelines.film_files.address import is_address, shown_address
from pipelines.inference.inputs.film_names import skip_reason, text_of
from pipelines.inference.outputs import OUTPUT_FILES, OUTPUT_FOLDERS, is_predictions_folder

TEMPORARY_SUFFIXES: Final = (".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", ".swp")
"""Endings of names that programs give a file while they write it."""
TEMPORARY: Final = "name of an unfinished copy"
_CLOSED: Final = "folder that cannot be listed"
_OURS: Final = frozenset((*OUTPUT_FILES, *OUTPUT_FOLDERS))


@dataclass(frozen=True, slots=True)
class DropFolder:
    """A folder that films arrive in.

    A film's key is the prefix and its name below the folder.
    """

    given: str
    path: Path
    prefix: str
    """Empty where the run has one folder only."""

    def name(self, key: str) -> str:
        """The name below this folder of a film of it."""
        return key[len(self.prefix) :]


def drop_folders(inputs: Sequence[str | Path]) -> tuple[DropFolder, ...]:
    """Return the folders to watch.

    Raises:
        CxrError: something else than a folder of this machine that is there, or a folder inside another.
    """
    if not inputs:
        raise CxrError("no input given; expected a folder to watch")
    paths = [_folder(given) for given in inputs]
    for path in paths:
        for other in paths:
            if path is not other and path.is_relative_to(other):
                raise CxrError(
                    f"{text_of(path)}: lies inside {text_of(other)}, which is watched too; expected each film in one"
                )
    folders, taken = [], Counter[str]()
    for given, path in zip(inputs, paths, strict=True):
        taken[path.name] += 1
        label = path.name if taken[path.name] == 1 else f"{path.name}#{taken[path.name]}"
        folders.append(DropFolder(text_of(given), path, f"{label}/" if len(paths) > 1 else ""))
    return tuple(folders)


def _folder(given: str | Path) -> Path:
    if isinstance(given, str) and is_address(given):
        raise CxrError(f"{shown_address(given)}: only folders of this machine can be watched (--watch), not addresses")
    path = Path(given)
    try:
        if path.is_dir():
            return path.resolve()
        found = "found a file" if path.exists() else "there is no such folder"
    except OSError as error:
        found = error.strerror or type(error).__name__
    raise CxrError(f"{text_of(given)}: expected a folder to watch (--watch); {found}")


@dataclass(slots=True)
class Look:
    """What one look found."""

    states: dict[str, str | None] = field(default_factory=dict)
    """By key: `file_state`; None where it was not asked for."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Entries not taken as films, by kind."""
    away: dict[str, str] = field(default_factory=dict)
    """By prefix of the folders that are not there: why."""


class Watcher:
    """Looks into folders.

    Args:
        folders: where films arrive.
    """

    def __init__(self, folders: Sequence[DropFolder]) -> None:
        self.folders = folders
        self._identity: dict[str, tuple[int, int]] = {}

    def look(self, known: Callable[[str], bool]) -> Look:
        """List all films.

        Args:
            known: whether a film of that key need not be asked for its state.
        """
        look = Look()
        for folder in self.folders:
            why = self.why_away(folder)
            if why is None:
                _search(folder, look, known)
            else:
                look.away[folder.prefix] = why
        return look

    def why_away(self, folder: DropFolder) -> str | None:
        """Why a folder is not there; None where it is.

        A network drive that was taken away may leave an empty folder of the same name.
        """
        try:
            facts = folder.path.stat()
            with os.scandir(folder.path) as entries:
                empty = next(entries, None) is None
        except OSError as error:
            return error.strerror or type(error).__name__
        identity = facts.st_dev, facts.st_ino
        if empty and self._identity.get(folder.prefix, identity) != identity:
            return "an empty folder is in its place"
        self._identity[folder.prefix] = identity
        return None

    def of(self, key: str) -> DropFolder:
        """The folder of a film."""
        return next(folder for folder in self.folders if key.startswith(folder.prefix))


def _search(folder: DropFolder, look: Look, known: Callable[[str], bool]) -> None:
    """Add what lies in a folder and below it."""
    seen: set[tuple[int, int]] = set()
    open_folders = [""]
    while open_folders:
        prefix = open_folders.pop()
        where = folder.path / prefix
        try:
            facts = where.stat()
            with os.scandir(where) as listed:
                entries = [(entry.name, _is_folder(entry)) for entry in listed]
        except FileNotFoundError:  # removed since its parent was listed
            continue
        except OSError:
            look.skipped[_CLOSED] += 1
            continue
        if (facts.st_dev, facts.st_ino) in seen:
            look.skipped["folder seen before (link)"] += 1
            continue
        seen.add((facts.st_dev, facts.st_ino))
        ours = any(name in _OURS for name, _ in entries) and is_predictions_folder(where)
        for name, is_folder in entries:
            reason = _why_not(name, is_folder=is_folder, ours=ours)
            if reason:
                look.skipped[reason] += 1
            elif is_folder:
                open_folders.append(f"{prefix}{name}/")
            else:
                key = f"{folder.prefix}{prefix}{name}"
                look.states[key] = None if known(key) else file_state(where / name)


def _why_not(name: str, *, is_folder: bool, ours: bool) -> str | None:
    reason = skip_reason(name, is_folder=is_folder, ours=ours)
    if reason or is_folder:
        return reason
    unfinished = name.startswith("~") or name.endswith("~") or name.lower().endswith(TEMPORARY_SUFFIXES)
    return TEMPORARY if unfinished else None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: read as a film, it becomes a row that says so
        return False
