"""One run at a time in one folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from pipelines.errors import CxrError
from pipelines.inference.inputs import text_of

LOCK_FILE: Final = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs; the system gives it free however the process ends.

    Args:
        folder: made where it does not exist.

    Raises:
        CxrError: another run has it, or nothing can be written there.
    """
    file = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, timeout=0)
        lock.acquire()
    except Timeout:
        raise CxrError(f"{text_of(folder)}: another run is writing there; wait for its end or stop it") from None
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise CxrError(f"{text_of(folder)}: cannot write there ({what})") from None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)  # before it is free: whoever waits for this very file looks again
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a run is going on in a folder."""
    if not (folder / LOCK_FILE).exists():
        return False
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False
