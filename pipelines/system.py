"""What is asked of the operating system: files that appear whole or not at all, and cores that may be used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, *, durable: bool = False, sole_writer: bool = False) -> Iterator[Path]:
    """Write a file under a hidden name and give it its own name when the block ends without an error.

    Args:
        path: the file to make or replace; its folder exists.
        durable: wait until the bytes are on the disk, so that a power cut cannot leave an empty file of that name.
        sole_writer: nobody else writes this file at the same time. The hidden name is then always the same, so a
            killed run leaves no litter: the next run writes over it. Otherwise each process has a hidden name of its
            own.

    Raises:
        OSError: the block's own, with the name of the file: a full disk says none, other errors say the hidden one.
    """
    owner = "" if sole_writer else f".{os.getpid()}"
    temporary = path.with_name(f".{path.name}{owner}.tmp")
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, temporary, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # an error of its own would hide the first one
            temporary.unlink()


def replace_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 with line ends as they are; it appears whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
