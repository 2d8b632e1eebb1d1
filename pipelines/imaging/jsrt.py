"""Films of the JSRT data base: 2048 x 2048 big-endian samples of 12 bits and nothing else, ``JPCLN001.IMG``.

The samples count up with the optical density of the digitised sheet: air is dark film is a high value. Source:
Shiraishi et al., AJR 2000;174:71-74 (0.175 mm between samples, 4096 grey levels).
"""

from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.raster_header import RasterHeader
from pipelines.imaging.source import JSRT_SIDE, Format

_BITS: Final = 12
_SPACING_MM: Final = 0.175


def read_header(stream: BinaryIO, _size: int) -> RasterHeader:
    """What is known of every JSRT film; its 8 MiB are read, for nothing but its values tells one from another file.

    Raises:
        FilmError: not_an_image, where a value has more than 12 bits.
    """
    if _samples(stream).max() >= 1 << _BITS:
        found = "its name and size are those of a JSRT film, but its values have more than 12 bits"
        raise FilmError(Reason.NOT_AN_IMAGE, found)
    spacing = (_SPACING_MM, _SPACING_MM)
    return RasterHeader(Format.JSRT, JSRT_SIDE, JSRT_SIDE, _BITS, "MONOCHROME1", spacing_mm=spacing)


def decode(stream: BinaryIO, _header: RasterHeader) -> NDArray[Any]:
    """Samples uint16 ``[2048, 2048]``."""
    return _samples(stream).astype(np.uint16)


def _samples(stream: BinaryIO) -> NDArray[Any]:
    data = stream.read(2 * JSRT_SIDE * JSRT_SIDE)
    if len(data) < 2 * JSRT_SIDE * JSRT_SIDE:  # it was longer when it was opened
        raise FilmError(Reason.TRUNCATED, "the file ends before its pixels do")
    return np.frombuffer(data, dtype=">u2").reshape(JSRT_SIDE, JSRT_SIDE)
