"""Members of a zip or tar archive, one after the other, none of which can leave the folder it is unpacked into."""

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

from pipelines.fetch.errors import ArchiveError

_MOST_PARTS: Final = 32
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_JUNK: Final = ("__MACOSX",)
"""Folders that a Mac adds to archives; what is in them looks like films by its names."""
_DAMAGE: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)
_BLOCK: Final = 512
_CHUNK: Final = 1 << 20
_MOST_ZEROS: Final = 64 << 20
_SHOWN: Final = 120


class Member(NamedTuple):
    """A file or folder in an archive."""

    name: str
    """POSIX, relative, without ``.`` and ``..``."""
    size: int
    """Bytes unpacked, as the archive says."""
    stream: IO[bytes] | None
    """Its bytes, to be read before the next member is asked for; None for a folder."""


class Contents(NamedTuple):
    """What an archive says of itself before it is unpacked."""

    members: Iterator[Member]
    files: int | None
    """Number of members; None where only reading it through tells."""
    size: int | None
    """Bytes unpacked; None where only reading it through tells."""
    position: Callable[[], int]
    """How many bytes of the archive were read."""


@contextmanager
def opened_archive(path: Path) -> Iterator[Contents]:
    """Open a zip or tar archive (plain, or packed with gzip, bzip2 or xz), known by its first bytes.

    Raises:
        ArchiveError: it is none, it is damaged, or a member is encrypted, a link, a device, or is to lie elsewhere.
    """
    with path.open("rb") as file:
        head = file.read(_BLOCK)
        file.seek(0)
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            with _damage(path, ""):
                packed = zipfile.ZipFile(file)
            infos = packed.infolist()
            with packed:
                size = sum(info.file_size for info in infos)
                yield Contents(_zip_members(path, packed, infos), len(infos), size, file.tell)
        elif opener := _decompressor(head):
            with opener(file) as stream:
                yield Contents(_tar_members(path, stream), None, None, file.tell)
        else:
            raise ArchiveError(f"{path}: expected a zip or tar archive, found something else")


def read_member(archive: Path, member: Member, most: int) -> bytes:
    """Next bytes of a file in an archive, at most so many; none at its end.

    Raises:
        ArchiveError: it is damaged.
    """
    assert member.stream is not None
    with _damage(archive, member.name):
        return member.stream.read(most)


@contextmanager
def _damage(archive: Path, name: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        what = f"{name} in it is" if name else "it is"
        raise ArchiveError(
            f"{archive}: {what} damaged ({_words(error)}); remove the archive to fetch it again"
        ) from None
    except NotImplementedError:
        raise ArchiveError(f"{archive}: {name} is packed in a way that is not supported, expected deflate") from None


def _words(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__


def _decompressor(head: bytes) -> Callable[[IO[bytes]], IO[bytes]] | None:
    """What turns a tar archive of these first bytes into a plain one; None where it is no tar archive."""
    if head[:2] == b"\x1f\x8b":
        return lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if head[:3] == b"BZh":
        return lambda file: cast(IO[bytes], bz2.BZ2File(file))
    if head[:6] == b"\xfd7zXZ\x00":
        return lambda file: cast(IO[bytes], lzma.LZMAFile(file))
    return (lambda file: file) if head[257:262] == b"ustar" else None


def _zip_members(archive: Path, packed: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> Iterator[Member]:
    for info in infos:
        name = clean_name(archive, info.filename)
        if not name or _is_junk(name):
            continue
        if info.flag_bits & 0x1:
            raise ArchiveError(f"{archive}: {name} in it is encrypted, expected films that anyone can read")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _special(archive, name)
        if info.is_dir():
            yield Member(name, 0, None)
            continue
        with _damage(archive, name):
            stream = packed.open(info)
        with stream:
            yield Member(name, info.file_size, stream)


def _tar_members(archive: Path, stream: IO[bytes]) -> Iterator[Member]:
    """Members in the order in which they lie in the archive, so that it is read once and never backwards."""
    with _damage(archive, ""):
        tar = tarfile.open(fileobj=stream, mode="r|")  # noqa: SIM115  closed below
    with tar:
        while (info := _next(archive, tar)) is not None:
            name = clean_name(archive, info.name)
            if not name or _is_junk(name):
                continue
            if not (info.isfile() or info.isdir()) or info.issparse():
                raise _special(archive, name)
            _filter(archive, info)
            yield Member(name, info.size, tar.extractfile(info) if info.isfile() else None)
        _require_end(archive, tar)


def _next(archive: Path, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    with _damage(archive, ""):
        info = tar.next()
    tar.members = []  # type: ignore[attr-defined]  # it would keep every member of a large archive in memory
    return info


def _filter(archive: Path, info: tarfile.TarInfo) -> None:
    """The standard library's own rules for archives of data, beside those of `clean_name`."""
    try:
        tarfile.data_filter(info, str(archive.parent))
    except tarfile.FilterError as error:
        raise ArchiveError(f"{archive}: {clean_name(archive, info.name)} is refused ({type(error).__name__})") from None


def _require_end(archive: Path, tar: tarfile.TarFile) -> None:
    """Refuse an archive that stops before its end mark, or goes on after what looked like one.

    `tarfile` takes a damaged header, and the end of a file between two members, for the end of the archive.
    """
    assert tar.fileobj is not None
    zeros = 0
    with _damage(archive, ""):
        while chunk := tar.fileobj.read(_CHUNK):
            zeros += len(chunk)
            if chunk.count(0) != len(chunk) or zeros > _MOST_ZEROS:
                raise ArchiveError(
                    f"{archive}: it is damaged (a member's header); remove the archive to fetch it again"
                )
    if zeros < _BLOCK:
        raise ArchiveError(f"{archive}: it ends before its end mark; remove the archive to fetch it again")


def clean_name(archive: Path, name: str) -> str:
    """A member's name as a POSIX path below the folder it is unpacked into; empty for that folder itself.

    Raises:
        ArchiveError: it is absolute, leads out of the folder, or is no name that every system knows.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    shown = ascii(name[:_SHOWN])
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise ArchiveError(f"{archive}: the name {shown} in it is absolute, expected names below the folder")
    if ".." in parts:
        raise ArchiveError(f"{archive}: the name {shown} in it leads out of the folder")
    if _CONTROL.search(name) or len(parts) > _MOST_PARTS:
        raise ArchiveError(f"{archive}: the name {shown} in it has control characters or too many folders")
    return "/".join(parts)


def _is_junk(name: str) -> bool:
    first, last = name.split("/")[0], name.split("/")[-1]
    return first in _JUNK or last.startswith("._") or last == ".DS_Store"


def _special(archive: Path, name: str) -> ArchiveError:
    return ArchiveError(f"{archive}: {name} in it is a link, a device or a file with holes, expected files and folders")


class Names:
    """The names of an archive, of which no two may meet on any system."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._known: dict[str, tuple[str, bool]] = {}
        self._files: set[str] = set()

    def add(self, name: str, *, folder: bool) -> None:
        """Note a name and the folders above it.

        Raises:
            ArchiveError: it was there before, as it is or in other case, or as a folder and a file.
        """
        parts = name.split("/")
        for depth in range(1, len(parts)):
            self._add("/".join(parts[:depth]), folder=True)
        self._add(name, folder=folder)

    def _add(self, name: str, *, folder: bool) -> None:
        known, was_folder = self._known.setdefault(unicodedata.normalize("NFC", name).casefold(), (name, folder))
        if known != name:
            raise ArchiveError(f"{self._archive}: {known} and {name} in it are one name where case does not count")
        if was_folder != folder:
            raise ArchiveError(f"{self._archive}: {name} in it is both a file and a folder")
        if not folder:
            if name in self._files:
                raise ArchiveError(f"{self._archive}: {name} is in it twice")
            self._files.add(name)
