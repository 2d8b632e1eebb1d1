"""What was fetched into a folder, from where, and which terms were accepted: ``.cxr-fetch.json``."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, ValidationError

from pipelines.fetch.errors import DownloadError
from pipelines.system import replace_text

RECORD_FILE: Final = ".cxr-fetch.json"
_LOCK_FILE: Final = ".cxr-fetch.lock"


class Acceptance(BaseModel):
    """Terms that the user accepted."""

    at: str
    """ISO 8601, UTC."""
    how: str
    """typed, or given as an option."""
    licence: str
    """The text as it was shown."""
    card: str
    """Digest of the terms as they were shown: licence, citation, size."""
    version: str
    """Of this program."""


class Fetched(BaseModel):
    """A file that arrived whole."""

    sha256: str
    size: int
    at: str
    origin: str
    """Address without user and query; empty for a file that the user put there."""
    published: str | None = None
    """Digest as the publisher prints it, which was compared; None where there is none."""
    unpacked: int | None = None
    """Files it unpacked to; None: not unpacked."""
    some: list[str] = Field(default_factory=list)
    """A few of these files, by which a later run sees whether they are still there."""


class Part(BaseModel):
    """A file of which a part is here."""

    url: str
    total: int | None = None
    etag: str = ""
    modified: str = ""


class Record(BaseModel):
    """Everything that is remembered of one folder."""

    dataset: str
    accepted: Acceptance | None = None
    files: dict[str, Fetched] = Field(default_factory=dict)
    parts: dict[str, Part] = Field(default_factory=dict)

    def save(self, root: Path) -> None:
        """Write it into its folder, whole or not at all."""
        replace_text(root / RECORD_FILE, self.model_dump_json(indent=1) + "\n")


def load_record(root: Path, dataset: str) -> Record:
    """What is remembered of a folder; an empty record where nothing is.

    Raises:
        DownloadError: the file is no such record, or that of another data set.
    """
    path = root / RECORD_FILE
    try:
        record = Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Record(dataset=dataset)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DownloadError(f"{path}: {where}: {first['msg']}; remove it to begin anew") from None
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read ({error.strerror})") from None
    if record.dataset != dataset:
        raise DownloadError(
            f"{root} holds {record.dataset} already, found {dataset}: give each data set its own folder"
        )
    return record


@contextmanager
def sole_fetch(root: Path) -> Iterator[None]:
    """Keep a second fetch out of a folder.

    Raises:
        DownloadError: one is going on, or nothing can be written there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(root / _LOCK_FILE, timeout=0)
        lock.acquire()
    except Timeout:
        raise DownloadError(f"{root}: another cxr fetch is writing there; wait for its end or stop it") from None
    except OSError as error:
        raise DownloadError(f"{root}: cannot write there ({error.strerror})") from None
    try:
        yield
    finally:
        (root / _LOCK_FILE).unlink(missing_ok=True)
        lock.release()


def now() -> str:
    """This moment, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
