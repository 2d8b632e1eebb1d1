"""Where a film's bytes lie, near or far, and how a decoder gets at them: one path that can be opened.

Beside a local path stands `RemoteFilm`, an object in a store or behind a web address. `opened` gives a local path for
either; `file_state` says which bytes those are, so that a file that changes is noticed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.film_files.remote import RemoteFilm, fetched, remote_state

__all__ = ["FilmFile", "RemoteFilm", "file_state", "opened"]

FilmFile = Path | RemoteFilm
"""What a film is read from."""


def file_state(file: FilmFile) -> str:
    """Say which bytes a file holds, as text: another text means that the file is another one.

    Returns:
        Size and time of change of a local file; size and entity tag (or time of change) of a remote one. The kind of
        error where neither can be had.
    """
    if isinstance(file, RemoteFilm):
        return remote_state(file)
    try:
        facts = file.stat()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return f"{facts.st_size}:{facts.st_mtime_ns}"


@contextmanager
def opened(file: FilmFile) -> Iterator[Path]:
    """Give a local path to read a film from.

    A local path is given as it is. A remote film is fetched to a temporary file first, whole or not at all; the file is
    gone when the block ends, or its process.

    Raises:
        UnreadableImage: a remote film that cannot be fetched whole within its time, and why.
    """
    if isinstance(file, RemoteFilm):
        with fetched(file) as path:
            yield path
    else:
        yield file
