"""Films of a folder on this machine, in natural order, with what was passed over."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import CxrError
from pipelines.inference.inputs.film_names import natural_order, skip_reason, text_of
from pipelines.inference.outputs import is_predictions_folder


class FolderWalk:
    """A search through a folder and everything below it.

    Attributes:
        skipped: entries not taken as films, by suffix, name or ``hidden``; complete when `names` has ended.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.skipped: Counter[str] = Counter()
        self._seen: set[tuple[int, int]] = set()

    def names(self) -> Iterator[str]:
        """Yield films as names relative to the folder: folder by folder, so that no list of all is sorted.

        A folder that cannot be listed is one name: its films are not known, but they do not vanish.

        Raises:
            CxrError: the folder itself cannot be listed.
        """
        open_folders = [self._entries("")]
        while open_folders:
            name = next(open_folders[-1], None)
            if name is None:
                open_folders.pop()
            elif name.endswith("/"):
                open_folders.append(self._entries(name))
            else:
                yield name

    def _entries(self, prefix: str) -> Iterator[str]:
        """Entries to take, in natural order: films, and folders with a slash behind."""
        folder = self.folder / prefix
        try:
            names, folders, identity = _list(folder)
        except OSError as error:
            if prefix:  # the folder itself is then the one input
                yield prefix.removesuffix("/")
                return
            what = error.strerror or type(error).__name__
            raise CxrError(f"{text_of(folder)}: this folder cannot be listed ({what})") from None
        if identity in self._seen:
            self.skipped["folder seen before (link)"] += 1
            return
        self._seen.add(identity)
        ours = is_predictions_folder(folder)
        for name in names:
            is_folder = name in folders
            reason = skip_reason(name, is_folder=is_folder, ours=ours)
            if reason:
                self.skipped[reason] += 1
            else:
                yield f"{prefix}{name}/" if is_folder else prefix + name


def _list(folder: Path) -> tuple[list[str], set[str], tuple[int, int]]:
    """Names of a folder's entries in natural order, which of them are folders, and what identifies the folder."""
    facts = folder.stat()
    names, folders = [], set()
    with os.scandir(folder) as entries:
        for entry in entries:
            names.append(entry.name)
            if _is_folder(entry):
                folders.add(entry.name)
    natural_order(names)
    return names, folders, (facts.st_dev, facts.st_ino)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: read as a film, it becomes a row that says so
        return False
