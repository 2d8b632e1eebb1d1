"""One film that lies elsewhere: what is known of it, and a copy of it that is whole or not there at all."""

import contextlib
import itertools
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

from pipelines.errors import Reason, UnreadableImage
from pipelines.film_files.address import Address, parse_address

T = TypeVar("T")


class Patience(NamedTuple):
    """How long a store is waited for, in seconds."""

    fetch: float = 45.0
    """For one film with all attempts; it leaves a quarter of a film's minute for asking and decoding."""
    ask: float = 5.0
    """For the state of one film with all attempts; it is asked before and after."""
    stall: float = 12.0
    """Longest silence within one attempt."""
    first_wait: float = 0.5
    """Before the second attempt; doubled before each further one, and drawn between half of that and all of it."""
    longest_wait: float = 8.0


PATIENCE = Patience()


@dataclass(frozen=True, slots=True, repr=False)
class RemoteFilm:
    """A film in an object store or behind a web address: small, and the same in every process it is sent to."""

    url: str
    """With its query, which may be a signature: for fetching only. Show ``str(film)``."""
    size: int | None = None
    """Bytes, where a listing said so."""
    version: str = ""
    """Entity tag or time of change, where a listing said so: a film that has another one by now is not this film."""

    @property
    def address(self) -> Address:
        """The parts of the address."""
        return parse_address(self.url)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.address.name

    def __str__(self) -> str:
        """The address without credentials and query."""
        return self.address.shown

    def __repr__(self) -> str:
        """As `str`: whatever quotes a film quotes no signature."""
        return f"RemoteFilm({self!s})"


class FetchError(Exception):
    """An attempt that failed.

    Attributes:
        reason: of the row, should it have been the last attempt.
        again: whether another attempt may succeed.
        after: seconds that the server asks to wait.
        silent: nothing was heard, so that what an earlier attempt heard says more.
    """

    def __init__(
        self, reason: Reason, detail: str, *, again: bool = False, after: float = 0.0, silent: bool = False
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.again = again
        self.after = after
        self.silent = silent


def remote_state(film: RemoteFilm) -> str:
    """Size and version of a remote film as text: as it was listed, or as its server says now."""
    if film.size is not None and film.version:
        return f"{film.size}:{film.version}"
    from pipelines.film_files.stores import ask

    try:
        return persistently(lambda seconds: ask(film, seconds), PATIENCE.ask)
    except FetchError as error:
        return "FileNotFoundError" if error.reason is Reason.MISSING else "OSError"


@contextmanager
def fetched(film: RemoteFilm, seconds: float | None = None) -> Iterator[Path]:
    """Give a path to a whole copy of a film; the copy is gone when the block ends, or this process.

    Args:
        film: what to fetch.
        seconds: for all attempts; default: what one film may take.

    Raises:
        UnreadableImage: missing, changed, too_large, or unreadable_file with what went wrong on the last attempt.
    """
    with contextlib.ExitStack() as stack:
        try:
            stream, path = stack.enter_context(_temporary(Path(film.name).suffix))
            _fetch(film, stream, PATIENCE.fetch if seconds is None else seconds)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise UnreadableImage(film, Reason.UNREADABLE_FILE, f"its copy cannot be written ({what})") from None
        yield path


def _fetch(film: RemoteFilm, stream: BinaryIO, seconds: float) -> None:
    from pipelines.film_files.stores import fetch

    def attempt(left: float) -> None:
        stream.seek(0)
        stream.truncate()
        fetch(film, stream, left)
        stream.flush()

    try:
        persistently(attempt, seconds)
    except FetchError as error:
        raise UnreadableImage(film, error.reason, str(error)) from None


def persistently(attempt: Callable[[float], T], seconds: float) -> T:
    """Try until something succeeds, cannot succeed, or the time is up.

    Args:
        attempt: is told how many seconds are left.
        seconds: for all attempts and what is waited between them.

    Raises:
        FetchError: of the last attempt that heard something.
    """
    deadline = time.monotonic() + seconds
    telling: FetchError | None = None
    for number in itertools.count():
        try:
            return attempt(deadline - time.monotonic())
        except FetchError as error:
            telling = telling if telling is not None and error.silent else error
            if not _wait(error, number, deadline):
                raise telling from None
    raise AssertionError("the loop above ends by itself")


def _wait(error: FetchError, attempt: int, deadline: float) -> bool:
    """Wait before another attempt; false where there is no use or no time for one."""
    longest = min(PATIENCE.longest_wait, PATIENCE.first_wait * 2.0 ** min(attempt, 16))
    # Drawn, so that many workers that were refused together do not come back together.
    seconds = max(error.after, longest * random.uniform(0.5, 1.0))
    if not error.again or time.monotonic() + seconds >= deadline:
        return False
    time.sleep(seconds)
    return True


@contextmanager
def _temporary(suffix: str) -> Iterator[tuple[BinaryIO, Path]]:
    """A new file open for writing, and a path to it; no name of it outlives the process on Linux."""
    named = Path("/proc/self/fd")
    if suffix.lower() != ".img" and named.is_dir():  # a JSRT film is known by its name, and by nothing else
        with tempfile.TemporaryFile(prefix=_PREFIX) as stream:
            yield stream, named / str(stream.fileno())
        return
    _sweep()
    handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=suffix)
    path = Path(name)
    try:
        with os.fdopen(handle, "w+b") as stream:
            yield stream, path
    finally:
        path.unlink(missing_ok=True)


_PREFIX: Final = "cxr-film-"
_ABANDONED_SECONDS: Final = 600.0
"""Ten times what a film may take: whoever made a copy that old was killed."""


def _sweep() -> None:
    """Remove copies that killed processes left."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                path.unlink()
