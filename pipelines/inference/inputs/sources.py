"""Whether the place that a run's films lie in is still there: a drive that was unplugged loses no film."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pipelines.errors import Reason
from pipelines.film_files import FilmFile, RemoteFilm, file_state
from pipelines.inference.inputs.film_list import FilmInput, FilmList
from pipelines.inference.inputs.film_names import text_of

_UNREACHED: Final = frozenset({Reason.MISSING.value, Reason.UNREADABLE_FILE.value})
_NO_ANSWER: Final = "OSError"


class SourceLostError(OSError):
    """The films' drive or server is gone: what was read since says nothing of the films."""


class Sources:
    """The folders and servers of a run, as they were when it began. May be asked from several threads.

    Args:
        bases: folders, or addresses, that the films lie below.
    """

    def __init__(self, bases: Iterable[Path | str]) -> None:
        folders = {base for base in bases if isinstance(base, Path)}
        self._folders = {folder: identity for folder in folders if (identity := _identity(folder)) is not None}
        self._good: dict[str, RemoteFilm] = {}
        """By server: the last film that was read from it in this call."""
        self._lock = threading.Lock()

    @classmethod
    def of(cls, films: Sequence[FilmInput]) -> "Sources":
        """The folders and servers of a list of films."""
        return cls(block.base for block in films.blocks) if isinstance(films, FilmList) else cls(())

    def check(self, files: Sequence[FilmFile], rows: Sequence[Mapping[str, Any]]) -> None:
        """Look behind films that were not there or could not be read.

        Args:
            files: ``[n]``.
            rows: ``[n]`` what is going to be said of them.

        Raises:
            SourceLostError: it is their drive or server that is gone, not they.
        """
        unreached = [file for file, row in zip(files, rows, strict=True) if row.get("reason") in _UNREACHED]
        with self._lock:
            self._good |= {
                file.address.host: file
                for file, row in zip(files, rows, strict=True)
                if isinstance(file, RemoteFilm) and row.get("reason") not in _UNREACHED
            }
        for host in {file.address.host for file in unreached if isinstance(file, RemoteFilm)}:
            self._check_server(host)
        for file in unreached:
            if isinstance(file, Path):
                self._check_folders(file)

    def _check_folders(self, file: Path) -> None:
        for folder in (folder for folder in file.parents if folder in self._folders):
            if _identity(folder) != self._folders[folder]:
                raise SourceLostError(None, f"the folder of the films is gone: {text_of(folder)}")

    def _check_server(self, host: str) -> None:
        """Ask for a film that could be read before; where none could, there is nothing to compare with."""
        with self._lock:
            good = self._good.get(host)
        if good is not None and file_state(RemoteFilm(good.url)) == _NO_ANSWER:
            raise SourceLostError(None, f"the server of the films does not answer any more: {host}")


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and number of a folder: the mount point of a drive that was unplugged is another folder."""
    try:
        facts = folder.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
