"""PNG films.

Every depth, palettes, transparency and interlacing are read; one picture only (an animation is refused). The chunks
before the pixels are visited one by one, so that indexing reads a few hundred bytes of each file. An orientation that
stands behind the pixels (EXIF may) is not looked for, and pHYs is left alone: it is the resolution of a printer or a
screen, not of the film. Source: PNG, third edition (W3C, 2025).
"""

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.raster_header import RasterHeader, exif_orientation
from pipelines.imaging.source import Format

_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Colour type -> its bit depths."""
_PHOTOMETRIC: Final = {0: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 4: "MONOCHROME2", 6: "RGB"}
_MAX_CHUNKS: Final = 1000
_MAX_CONTENT: Final = 1 << 16
_WANTED: Final = frozenset({b"IHDR", b"sBIT", b"acTL", b"eXIf"})


def read_header(stream: BinaryIO, size: int) -> RasterHeader:
    """Read the chunks before the pixels; raises `FilmError` (corrupt, truncated or several_frames)."""
    chunks = _chunks_before_pixels(stream, size)
    head = chunks.get(b"IHDR", b"")
    if len(head) != 13:
        raise FilmError(Reason.CORRUPT, "the PNG does not begin with an IHDR chunk of 13 bytes")
    columns, rows, bits, colour = struct.unpack_from(">IIBB", head)
    if bits not in _DEPTHS.get(colour, ()):
        raise FilmError(Reason.CORRUPT, f"the PNG has colour type {colour} with {bits} bits")
    frames = int.from_bytes(chunks.get(b"acTL", b"")[:4], "big")
    if frames > 1:
        raise FilmError(Reason.SEVERAL_FRAMES, f"the PNG is an animation of {frames} frames, expected one")
    return RasterHeader(
        Format.PNG,
        rows,
        columns,
        max(bits, 8),  # the decoder expands palettes and depths below 8 to 8 bits
        _PHOTOMETRIC[colour],
        exif_orientation(chunks.get(b"eXIf", b"")),
        significant=_significant(chunks.get(b"sBIT", b""), bits),
    )


def decode(stream: BinaryIO, header: RasterHeader) -> NDArray[Any]:
    """Samples ``[rows, columns]`` or ``[rows, columns, channels]``; raises `FilmError` (truncated or corrupt)."""
    data = stream.read()
    if all(kind != b"IEND" for kind in _chunk_kinds(data)):
        raise FilmError(Reason.TRUNCATED, "the file ends before the PNG's end chunk")
    try:
        samples = np.asarray(imagecodecs.png_decode(data))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the codec raises types of its own
        raise FilmError(Reason.CORRUPT, "the PNG cannot be decoded") from None
    if samples.dtype.itemsize * 8 != header.bits:
        raise FilmError(Reason.CORRUPT, "the PNG decodes to another depth than its header states")
    return samples


def _chunks_before_pixels(stream: BinaryIO, size: int) -> dict[bytes, bytes]:
    """The wanted chunks before the first IDAT; IHDR counts as the first chunk only."""
    found: dict[bytes, bytes] = {}
    at = 8
    for number in range(_MAX_CHUNKS):
        stream.seek(at)
        head = stream.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8 or at + 12 + length > size:
            raise FilmError(Reason.TRUNCATED, "the file ends before the PNG's pixels do")
        if kind == b"IDAT":
            return found
        if kind in _WANTED and (number == 0) == (kind == b"IHDR") and length <= _MAX_CONTENT:
            found[kind] = stream.read(length)
        at += 12 + length
    raise FilmError(Reason.CORRUPT, f"the PNG has more than {_MAX_CHUNKS} chunks before its pixels")


def _significant(content: bytes, bits: int) -> int | None:
    """Bits of the deepest channel before it was stored; None where that is not said, or makes no sense."""
    deepest = max(content, default=0)
    return deepest if bits == 16 and 1 <= deepest <= 16 else None


def _chunk_kinds(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 12 <= len(data):
        yield data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
