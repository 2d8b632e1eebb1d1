"""One run at a time in one folder."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from pipelines.errors import CxrError
from pipelines.inference.inputs.film_names import text_of

LOCK_FILE: Final = ".lock"
_OWNER_FILE: Final = ".lock-owner"
_NO_LOCKS: Final = (errno.ENOLCK, errno.EOPNOTSUPP)
"""What network file systems answer that know no locks, beside ENOSYS, which `FileLock` answers itself."""


class FolderInUseError(CxrError):
    """Another run is writing in a folder."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder while the block runs; the system gives it free however the process ends.

    Args:
        folder: made where it does not exist.

    Raises:
        FolderInUseError: another run has it.
        CxrError: nothing can be written there.
    """
    file = folder / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _acquired(file)
    except Timeout:
        raise FolderInUseError(
            f"{text_of(folder)}: another run is writing there; wait for its end or stop it"
        ) from None
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise CxrError(f"{text_of(folder)}: cannot write there ({what})") from None
    try:
        yield
    finally:
        # The drive may be gone: what ended the run is what has to be said.
        with suppress(OSError):
            file.unlink(missing_ok=True)  # before it is free: whoever waits for this very file looks again
        with suppress(OSError):
            lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a run is going on in a folder."""
    if not (folder / LOCK_FILE).exists():
        return False
    try:
        lock = _acquired(folder / LOCK_FILE)
    except Timeout:
        return True
    lock.release()
    return False


def _acquired(file: Path) -> BaseFileLock:
    """Lock a file at once; where the file system knows no locks, by a file that says which process has it.

    Raises:
        Timeout: somebody else has it.
        OSError: nothing can be written there.
    """
    lock: BaseFileLock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
            raise
        lock = SoftFileLock(file.with_name(_OWNER_FILE), timeout=0)
        lock.acquire()
    return lock
