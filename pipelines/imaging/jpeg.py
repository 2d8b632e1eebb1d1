"""JPEG films: baseline, extended (8 and 12 bits), progressive, arithmetic and lossless; grey, YCbCr or RGB.

Damage that still decodes is not always detectable: JPEG has no checksum. A stream must reach its end marker, and what
the decoder reports is a refusal. Source: ITU-T T.81, T.871 (JFIF).
"""

from typing import Any, BinaryIO, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.codestream import StreamInfo, jpeg_exif, jpeg_info, require_end
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.raster_header import RasterHeader, exif_orientation
from pipelines.imaging.source import Format

_HEADS: Final = (1 << 14, 1 << 20, 16 << 20)
"""Bytes read for the header: nearly always the first is enough; colour profiles and thumbnails may need more."""


def read_header(stream: BinaryIO, size: int) -> RasterHeader:
    """Read the segments before the first scan; raises `FilmError` (corrupt, truncated or unsupported_image)."""
    head, info = _head(stream, size)
    if info.samples not in (1, 3):
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"the JPEG has {info.samples} components, expected 1 or 3")
    if not 8 <= info.precision <= 16:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"the JPEG has {info.precision} bits, expected 8 to 16")
    transformed = info.samples == 3 and info.transformed is not False
    photometric = "MONOCHROME2" if info.samples == 1 else "RGB"
    orientation = exif_orientation(jpeg_exif(head))
    return RasterHeader(Format.JPEG, info.rows, info.columns, info.precision, photometric, orientation, transformed)


def decode(stream: BinaryIO, header: RasterHeader) -> NDArray[Any]:
    """Samples ``[rows, columns]`` or ``[rows, columns, 3]``; raises `FilmError` (truncated or corrupt)."""
    data = stream.read()
    require_end(data, jpeg_info(data), "JPEG")
    # Naming one space twice keeps the samples as they are; grey has one only.
    space = None if header.photometric == "MONOCHROME2" else "YCBCR" if header.transformed else "RGB"
    try:
        return np.asarray(imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - the codec raises types of its own
        raise FilmError(Reason.CORRUPT, "the JPEG cannot be decoded") from None


def _head(stream: BinaryIO, size: int) -> tuple[bytes, StreamInfo]:
    for length in _HEADS:
        stream.seek(0)
        head = stream.read(length)
        try:
            return head, jpeg_info(head)
        except FilmError as error:
            if error.reason is not Reason.TRUNCATED or length >= min(size, _HEADS[-1]):
                raise
    raise AssertionError("the last length either answers or raises")
