"""TIFF and BigTIFF films: strips or tiles, uncompressed, LZW, deflate, PackBits, JPEG or JPEG 2000.

Unsigned samples up to 16 bits have a nominal range; signed, wider and floating-point ones are shown between robust
percentiles. Reduced copies of the picture are passed over; a second full page is refused. Resolution tags are left
alone: they are a printer's. Everything that decides how much is allocated is checked first: the page, its tiles, and
the header of each JPEG or JPEG 2000 inside. Source: TIFF 6.0; TIFF Technical Note 2.
"""

import logging
import math
from typing import Any, BinaryIO, Final

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.codestream import jpeg_2000_info, jpeg_info
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.layout import MAX_PIXELS, check_size
from pipelines.imaging.raster_header import RasterHeader
from pipelines.imaging.source import Format

# tifffile says in the log what it stumbles over, and quotes the file; the error raised here says what matters.
logging.getLogger("tifffile").addFilter(lambda _record: False)

_ORIENTATION: Final = 0x0112
_PHOTOMETRIC: Final = {0: "MONOCHROME1", 1: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 6: "RGB"}
_JPEG: Final = 7
_JPEG_2000: Final = frozenset({33003, 33004, 33005, 34712})
_COMPRESSIONS: Final = frozenset({1, 5, 8, 32946, 32773, _JPEG}) | _JPEG_2000
"""Codes of Compression whose decoders return no more than they are asked for, or are checked here before."""
_MAX_PAGES: Final = 64
_MAX_SAMPLES: Final = 4


def read_header(stream: BinaryIO, size: int) -> RasterHeader:
    """Read the tags; raises `FilmError` (corrupt, truncated, unsupported_image or several_frames)."""
    return _read(stream, size)[0]


def decode(stream: BinaryIO, size: int) -> NDArray[Any]:
    """Samples ``[rows, columns]`` or ``[rows, columns, channels]``; raises `FilmError` as `read_header`, and those
    of size.
    """
    samples = _read(stream, size, decode=True)[1]
    assert samples is not None, "asked for"
    return samples


def _read(stream: BinaryIO, size: int, *, decode: bool = False) -> tuple[RasterHeader, NDArray[Any] | None]:
    try:
        with tifffile.TiffFile(stream) as tiff:
            page = _only_page(tiff)
            header = _header(page, size)
            if not decode:
                return header, None
            check_size(header.rows, header.columns)
            _check_segments(page, stream)
            return header, _samples(page)
    except (FilmError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - malformed tags surface as whatever the parser stumbled over
        raise FilmError(Reason.CORRUPT, "the TIFF cannot be decoded") from None


def _only_page(tiff: Any) -> Any:
    """The one page that is neither a reduced copy nor a mask; hostile chains of pages are not followed to their end."""
    full = []
    for number, page in enumerate(tiff.pages):
        if number >= _MAX_PAGES:
            raise FilmError(Reason.CORRUPT, f"the TIFF has more than {_MAX_PAGES} pages")
        if isinstance(page, tifffile.TiffPage) and not int(page.subfiletype) & 0b101:
            full.append(page)
        if len(full) > 1:
            raise FilmError(Reason.SEVERAL_FRAMES, "the TIFF has several pages, expected one")
    if not full:
        raise FilmError(Reason.CORRUPT, "the TIFF has no page")
    return full[0]


def _header(page: Any, size: int) -> RasterHeader:
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if not ends or max(ends) > size or min(page.databytecounts) == 0:
        raise FilmError(Reason.TRUNCATED, "the TIFF's pixels lie behind the end of the file")
    photometric, bits = _PHOTOMETRIC.get(page.photometric), page.bitspersample
    whole = all(isinstance(value, int) for value in (bits, page.imagelength, page.imagewidth, page.samplesperpixel))
    if not whole or photometric is None or page.dtype is None or page.imagedepth != 1 or page.samplesperpixel > 4:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "the TIFF is not one grey, RGB or palette picture")
    kind = page.dtype.kind
    readable = {"u": 8 <= bits <= 32, "i": bits in (8, 16, 32), "f": bits in (16, 32, 64)}.get(kind, False)
    if not readable or (bits > 16 and kind == "u" and bits != 32):
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"the TIFF has {bits}-bit samples of a type that is not read")
    if page.compression not in _COMPRESSIONS:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "the TIFF has a compression that is not read")
    nominal = kind == "u" and bits <= 16
    if photometric == "PALETTE COLOR":
        if not nominal or page.colormap is None:
            raise FilmError(Reason.CORRUPT, "the TIFF has no palette for its samples")
        bits = 16  # of an entry
    tag = page.tags.get(_ORIENTATION)
    orientation = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    return RasterHeader(Format.TIFF, page.imagelength, page.imagewidth, bits, photometric, orientation, nominal=nominal)


def _check_segments(page: Any, stream: BinaryIO) -> None:
    """Bound what decoding allocates: the tile, the number of segments, and each picture inside a segment."""
    rows, columns = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    rows = min(rows, page.imagelength) if not page.is_tiled else rows
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise FilmError(Reason.TOO_LARGE, f"a tile of {columns} × {rows} pixels is larger than any film")
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    expected = math.ceil(page.imagelength / rows) * math.ceil(page.imagewidth / columns) * planes
    if len(page.dataoffsets) != expected:
        raise FilmError(Reason.CORRUPT, f"the TIFF has {len(page.dataoffsets)} strips or tiles, expected {expected}")
    if page.compression != _JPEG and page.compression not in _JPEG_2000:
        return
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        stream.seek(offset)
        data = stream.read(count)
        info = jpeg_info(data) if page.compression == _JPEG else jpeg_2000_info(data)
        if info.rows > rows or info.columns > columns or info.samples > _MAX_SAMPLES:
            raise FilmError(Reason.CORRUPT, "a picture inside the TIFF is larger than its strip or tile")


def _samples(page: Any) -> NDArray[Any]:
    samples = np.asarray(page.asarray(maxworkers=1))
    if page.photometric == 3:
        return np.asarray(page.colormap[:, samples].transpose(1, 2, 0))
    if samples.ndim == 3 and page.planarconfig == 2:
        samples = samples.transpose(1, 2, 0)
    return samples
