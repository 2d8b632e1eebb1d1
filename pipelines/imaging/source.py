"""Open one file safely and say which format it holds."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging.film_error import FilmError

PREAMBLE_BYTES = 128
MAX_FILE_BYTES = 1 << 30
"""Longest file opened: 64 megapixels of 16-bit colour, uncompressed, are 384 MiB. A file can be far longer than its
disk (a hole takes no room), and whoever reads it to its end needs that much memory."""


class Format(Enum):
    """The file formats this room reads."""

    DICOM = "DICOM"
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    MHA = "MHA"
    NRRD = "NRRD"
    JSRT = "JSRT"


_RASTER_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": Format.PNG,
    b"\xff\xd8\xff": Format.JPEG,
    b"II*\x00": Format.TIFF,
    b"MM\x00*": Format.TIFF,
    b"II+\x00": Format.TIFF,
    b"MM\x00+": Format.TIFF,
    b"NRRD000": Format.NRRD,
}
# MetaImage has no signature: its text header begins with one of these keys.
_META_IMAGE = re.compile(rb"(ObjectType|NDims|Comment)[ \t]*=")
JSRT_SIDE = 2048
"""Pixels along each side of a JSRT film, whose file has two bytes for each and no header."""

_OTHERS = {
    b"BM": "a BMP picture",
    b"GIF8": "a GIF picture",
    b"%PDF-": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer, not the file it points to",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
}
"""Signatures of files that turn up among films, and what the refusal calls them."""


@contextmanager
def open_image(path: Path) -> Iterator[tuple[BinaryIO, int, Format]]:
    """Open a film for reading: the stream, its size in bytes and its format.

    Never blocks: a FIFO, socket or device is refused after `open` without waiting for its other end.

    Raises:
        UnreadableImage: missing, unreadable_file, too_large or not_an_image; and any `FilmError` raised inside the
            block, which gets its path here.
    """
    try:
        with _open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_FILE_BYTES:
                found = f"the file is {size >> 20:,} MiB long, expected at most {MAX_FILE_BYTES >> 20:,}"
                raise FilmError(Reason.TOO_LARGE, found)
            yield stream, size, _sniff(stream, size, path.suffix)
    except FilmError as error:
        raise UnreadableImage(path, error.reason, error.detail) from None
    except OSError as error:  # the disk or the network failed in the middle of the file
        detail = f"the operating system cannot read it ({error.strerror or type(error).__name__})"
        raise UnreadableImage(path, Reason.UNREADABLE_FILE, detail) from None


def _open_regular(path: Path) -> BinaryIO:
    try:
        stream = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - the caller closes it
    except (FileNotFoundError, NotADirectoryError):
        raise FilmError(Reason.MISSING, "there is no such file") from None
    except IsADirectoryError:
        raise FilmError(Reason.UNREADABLE_FILE, "expected a regular file, found a folder") from None
    except ValueError:  # a NUL character in the name
        raise FilmError(Reason.MISSING, "there is no such file: its name holds a NUL character") from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise FilmError(Reason.UNREADABLE_FILE, "expected a regular file, found a pipe, socket or device")
    return stream


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a FIFO without O_NONBLOCK would wait for a writer for ever; Windows has neither FIFOs nor the flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _sniff(stream: BinaryIO, size: int, suffix: str) -> Format:
    head = stream.read(PREAMBLE_BYTES + 4)
    stream.seek(0)
    if not head:
        raise FilmError(Reason.NOT_AN_IMAGE, "the file is empty")
    # DICOM first: the preamble of a DICOM file may hold a TIFF header (PS3.10, 7.1).
    if head[PREAMBLE_BYTES:] == b"DICM":
        return Format.DICOM
    for signature, file_format in _RASTER_SIGNATURES.items():
        if head.startswith(signature):
            return file_format
    if _META_IMAGE.match(head):
        return Format.MHA
    # Before bare data sets: the first two samples of a film may look like the tag of one.
    if size == 2 * JSRT_SIDE * JSRT_SIDE and suffix.lower() == ".img":
        return Format.JSRT
    if _starts_like_bare_dataset(head, size):
        return Format.DICOM
    raise FilmError(Reason.NOT_AN_IMAGE, f"expected DICOM, PNG, JPEG, TIFF, MHA, NRRD or JSRT, found {_name(head)}")


def _name(head: bytes) -> str:
    """What a file that holds no film is, from a fixed list."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head[4:8] == b"ftyp":
        return "an HEIF picture or a video"
    return next((name for start, name in _OTHERS.items() if head.startswith(start)), "none of their signatures")


def _starts_like_bare_dataset(head: bytes, size: int) -> bool:
    """Whether a file without preamble begins with an element of group 0002 or 0008, as some archives write them."""
    if len(head) < 8 or head[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or int.from_bytes(head[4:8], "little") < size
