"""One DICOM file: its transfer syntax, the listed elements of its header, and the bytes of its pixels.

Source: DICOM PS3.10, 7.1 (file meta information); PS3.5, A.4 (encapsulation), A.5 (deflate).
"""

import io
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Final

from pipelines.errors import Reason
from pipelines.imaging import elements
from pipelines.imaging.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    KNOWN_VRS,
    UNDEFINED,
    Elements,
    Encoding,
    Walker,
)
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.source import PREAMBLE_BYTES
from pipelines.imaging.syntaxes import (
    DEFLATED,
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
    SYNTAXES,
)

MAX_INFLATED_BYTES: Final = 512 << 20
"""Most bytes a deflated data set may grow to: 64 megapixels of 16-bit colour, and a header."""
MAX_FACTS_BYTES: Final = 4 << 20
"""Most bytes of a deflated data set inflated where only its header is wanted."""
_MEDIA_STORAGE_CLASS, _TRANSFER_SYNTAX = 0x00020002, 0x00020010


@dataclass(frozen=True)
class DicomFile:
    """A parsed header and the place of the pixels behind it.

    Attributes:
        transfer_syntax: UID as text; one the file lacks is inferred from the way its header is written.
        storage_class: Media Storage SOP Class UID of the file meta information; '' where absent.
        header: the elements asked for.
        stream: holds the pixels (the file, or its inflated copy).
        pixels_at: offset of the PixelData value in `stream`; None where there is none.
        pixels_length: its length in bytes; None where undefined (encapsulated).
        pixels_vr: its VR as written; None in implicit files.
        size: bytes in `stream`.
    """

    transfer_syntax: str
    storage_class: str
    header: Elements
    stream: BinaryIO
    pixels_at: int | None
    pixels_length: int | None
    pixels_vr: bytes | None
    size: int

    @classmethod
    def parse(cls, stream: BinaryIO, size: int, wanted: frozenset[int], *, pixels: bool = True) -> "DicomFile":
        """Parse a header up to its pixel data.

        Args:
            stream: seekable, at its beginning.
            size: bytes in it.
            wanted: tags to read, also inside the sequences among them.
            pixels: whether the pixels will be read too; without, a deflated file is inflated only in part.

        Raises:
            FilmError: truncated, corrupt or too_large.
        """
        meta = _read_meta(stream, size)
        syntax = meta.text(_TRANSFER_SYNTAX)
        if syntax == DEFLATED:
            stream, size = _inflate(stream, MAX_INFLATED_BYTES if pixels else MAX_FACTS_BYTES, whole=pixels)
        encoding = _dataset_encoding(stream, syntax)
        header, start = Walker(stream, size).read(encoding, wanted, size)
        return cls(
            transfer_syntax=syntax or _syntax_of(encoding),
            storage_class=meta.text(_MEDIA_STORAGE_CLASS),
            header=header,
            stream=stream,
            pixels_at=stream.tell() if start else None,
            pixels_length=start.length if start and start.length != UNDEFINED else None,
            pixels_vr=start.vr if start else None,
            size=size,
        )

    def native_pixels(self, expected: int, row_bytes: int) -> bytes:
        """The bytes of uncompressed pixels.

        Args:
            expected: bytes the header's Rows, Columns and bit depth need.
            row_bytes: bytes of one row; PixelData may be longer than expected by less than that (padding).
        """
        at = self._pixels_start()
        if self.pixels_length is None:
            raise FilmError(Reason.CORRUPT, "PixelData is encapsulated, the transfer syntax says it is not")
        surplus = self.pixels_length - expected
        if surplus < 0 or surplus >= max(row_bytes, 2):
            found = f"PixelData is {self.pixels_length} bytes long"
            raise FilmError(Reason.CORRUPT, f"{found}, Rows, Columns and BitsAllocated need {expected}")
        if at + expected > self.size:
            raise FilmError(Reason.TRUNCATED, f"the file ends after {self.size - at} of {expected} bytes of PixelData")
        self.stream.seek(at)
        return self.stream.read(expected)

    def encapsulated_frame(self) -> bytes:
        """The code stream of the one frame, its fragments joined."""
        self.stream.seek(self._pixels_start())
        if self.pixels_length is not None:
            raise FilmError(Reason.CORRUPT, "PixelData is not encapsulated, the transfer syntax says it is")
        walker = Walker(self.stream, self.size)
        fragments: list[bytes] = []
        while (start := walker.next_element(IMPLICIT_LITTLE)) and start.tag == 0xFFFEE000:
            left = self.size - self.stream.tell()
            if start.length > left:
                found = f"the file ends after {left} of {start.length} bytes of a PixelData fragment"
                raise FilmError(Reason.TRUNCATED, found)
            fragments.append(self.stream.read(start.length))
        if start is not None and start.tag != 0xFFFEE0DD:
            raise FilmError(Reason.CORRUPT, "PixelData holds something other than fragments")
        if len(fragments) < 2:  # the first item is the offset table, the frame follows it
            reason = Reason.TRUNCATED if start is None else Reason.CORRUPT
            raise FilmError(reason, "PixelData holds no fragment of a frame")
        return b"".join(fragments[1:])

    def _pixels_start(self) -> int:
        if self.pixels_at is None or self.pixels_length == 0:
            raise FilmError(Reason.NO_PIXEL_DATA, "PixelData is absent or empty")
        return self.pixels_at


def _read_meta(stream: BinaryIO, size: int) -> Elements:
    """Read file meta information, leaving the stream at the first byte of the data set."""
    stream.seek(PREAMBLE_BYTES)
    begin = PREAMBLE_BYTES + 4 if stream.read(4) == b"DICM" else 0
    stream.seek(begin)
    walker = Walker(stream, size)
    found: dict[int, elements.Element] = {}
    while (at := stream.tell()) < size and stream.read(2) == b"\x02\x00":
        stream.seek(at)
        start = walker.next_element(EXPLICIT_LITTLE)
        if start is None:
            break
        value_at = stream.tell()
        walker.skip(start, EXPLICIT_LITTLE)
        if start.tag in (_MEDIA_STORAGE_CLASS, _TRANSFER_SYNTAX):
            if start.vr not in (b"UI", b"UN"):
                raise FilmError(Reason.CORRUPT, "a UID of the file meta information has another VR than UI")
            stream.seek(value_at)
            found[start.tag] = elements.Element(start.vr, stream.read(start.length), "<")
    stream.seek(at)
    return Elements(found)


def _dataset_encoding(stream: BinaryIO, syntax: str) -> Encoding:
    """How the data set is written: as its first element looks, since some files name the wrong transfer syntax."""
    head = stream.read(8)
    stream.seek(-len(head), 1)
    group_is_big = head[0:1] == b"\x00" and head[1:2] != b"\x00"
    if syntax == EXPLICIT_BIG_ENDIAN or (not syntax and group_is_big):
        return EXPLICIT_BIG
    return EXPLICIT_LITTLE if head[4:6] in KNOWN_VRS else IMPLICIT_LITTLE


def _syntax_of(encoding: Encoding) -> str:
    if encoding.order == ">":
        return EXPLICIT_BIG_ENDIAN
    return EXPLICIT_LITTLE_ENDIAN if encoding.explicit else IMPLICIT_LITTLE_ENDIAN


def _inflate(stream: BinaryIO, limit: int, *, whole: bool) -> tuple[BinaryIO, int]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(stream.read(), limit)
    except zlib.error:
        raise FilmError(Reason.CORRUPT, "the deflated data set cannot be inflated") from None
    if whole and not inflater.eof:
        if len(data) >= limit:
            raise FilmError(Reason.TOO_LARGE, f"the deflated data set is longer than {limit >> 20} MiB")
        raise FilmError(Reason.TRUNCATED, "the file ends inside its deflated data set")
    return io.BytesIO(data), len(data)


def syntax_name(uid: str) -> str:
    """What people call a transfer syntax; never an unknown UID itself, which may identify an institution."""
    return SYNTAXES[uid].name if uid in SYNTAXES else "unknown transfer syntax"
