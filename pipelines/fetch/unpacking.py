"""An archive becomes the files in it: all of them or none, within limits, and never over a file that differs."""

import errno
import filecmp
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from pipelines.fetch.archive import Contents, Member, Names, opened_archive, read_member
from pipelines.fetch.errors import ArchiveError
from pipelines.fetch.space import free_bytes, readable

Progress = Callable[[int, int], None]
"""Called with (bytes read of the archive, its bytes)."""

TEMPORARY: Final = ".cxr-unpack-"
"""How folders begin in which archives are unpacked."""
_CHUNK: Final = 1 << 20
_SAMPLE: Final = 20
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Limits(NamedTuple):
    """Beyond these an archive is taken for one that was made to fill a disk."""

    ratio: int = 100
    """Bytes unpacked for each byte of the archive; films reach 1 to 3."""
    floor: int = 64 << 20
    """Bytes that any archive may unpack to."""
    files: int = 3_000_000


class Unpacked(NamedTuple):
    """What came out of an archive."""

    files: int
    some: list[str]
    """Names of at most `_SAMPLE` of them, from first to last."""


def unpack(archive: Path, folder: Path, *, limits: Limits | None = None, progress: Progress | None = None) -> Unpacked:
    """Unpack a zip or tar archive into a folder.

    It is unpacked beside its place and moved there when all of it is good, so an interruption, a full disk or a bad
    member leaves nothing behind. Files that are there already and equal stay.

    Args:
        archive: known by its first bytes, not by its name.
        folder: made where it does not exist.
        limits: what it may hold.
        progress: told after every member.

    Raises:
        ArchiveError: it is damaged or hostile (see `opened_archive`), beyond the limits, more than the disk can
            take, or holds a file that is in the folder already with other content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{TEMPORARY}{archive.name}"
    if temporary.exists():  # of a run that was killed
        shutil.rmtree(temporary)
    try:
        temporary.mkdir()
        with opened_archive(archive) as contents:
            files = _Writer(archive, temporary, limits or Limits()).write_all(contents, progress)
        _require_no_conflict(archive, temporary, folder)
        _merge(temporary, folder)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ArchiveError(
            f"{archive}: the disk is full; nothing of it was unpacked, make room and try again"
        ) from None
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)
    return Unpacked(len(files), files[:: max(1, len(files) // _SAMPLE)][:_SAMPLE])


class _Writer:
    def __init__(self, archive: Path, folder: Path, limits: Limits) -> None:
        self.archive = archive
        self.folder = folder
        self.limits = limits
        self.size = archive.stat().st_size
        self.likely = max(limits.floor, limits.ratio * self.size)
        self.room = free_bytes(folder)
        self.names = Names(archive)
        self.written = 0

    def write_all(self, contents: Contents, progress: Progress | None) -> list[str]:
        """Write every member; returns the names of the files, in order."""
        self._require(contents.size or 0, contents.files or 0)
        files: list[str] = []
        for number, member in enumerate(contents.members, start=1):
            self._require(self.written + member.size, number)
            self.names.add(member.name, folder=member.stream is None)
            if self._write(member):
                files.append(member.name)
            if progress is not None:
                progress(min(contents.position(), self.size), self.size)
        return files

    def _write(self, member: Member) -> bool:
        """Write a member; returns whether it is a file."""
        target = self.folder / member.name
        if member.stream is None:
            target.mkdir(parents=True, exist_ok=True)
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            while chunk := read_member(self.archive, member, _CHUNK):
                self.written += len(chunk)
                self._require(self.written, 0)
                out.write(chunk)
        return True

    def _require(self, size: int, files: int) -> None:
        if files > self.limits.files:
            raise ArchiveError(f"{self.archive}: more than {self.limits.files:,} members, expected a data set's files")
        if size > self.likely:
            raise ArchiveError(
                f"{self.archive}: {readable(self.size)} unpack to more than {readable(self.likely)}, which no films do"
            )
        if size > self.room:
            raise ArchiveError(
                f"{self.archive}: it unpacks to more than the {readable(self.room)} that the disk has to spare; "
                "nothing of it was unpacked"
            )


def _require_no_conflict(archive: Path, source: Path, target: Path) -> None:
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _require_no_conflict(archive, entry, place)
        elif place.is_symlink() or place.exists():
            if entry.is_file() and place.is_file() and filecmp.cmp(entry, place, shallow=False):
                continue
            raise ArchiveError(f"{place} differs from the one in {archive.name}: move it away, nothing was unpacked")


def _merge(source: Path, target: Path) -> None:
    """Move files to their places; what is there already is equal."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _merge(entry, place)
        elif not place.exists():
            entry.rename(place)
