"""Films that are no DICOM objects: exports, scans and photographs; values are display values already, bone white.

Unsigned samples are scaled by the full range of the bits they use (`raster_values`); types without such a range are
shown between robust percentiles. Colour becomes luma and is flagged; transparency lets the black background through
unless a file is transparent everywhere alike. `_READERS` is the one place that says who reads what.
"""

from collections.abc import Callable
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging import jpeg, jsrt, metaimage, nrrd, png, sample_block, tiff
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.layout import check_size
from pipelines.imaging.orientation import Orientation
from pipelines.imaging.raster_header import RasterHeader
from pipelines.imaging.raster_values import display_values
from pipelines.imaging.source import Format

_BYTES_PER_PIXEL: Final = 16
_OTHER_BYTES: Final = 64 << 20
"""A file may have so many bytes for each pixel (twice the widest sample of a colour), and as many beside its pixels
(profiles, thumbnails, padding); one that has more is not read into memory."""


class _Reader(NamedTuple):
    header: Callable[[BinaryIO, int], RasterHeader]
    decode: Callable[[BinaryIO, int, RasterHeader], NDArray[Any]]


class RasterFilm(NamedTuple):
    """One decoded raster film.

    Attributes:
        header: as the file states it.
        pixels: display values float32 ``[rows, columns]`` in [0, 1], upright.
        colour: whether its channels really differ: tinted, photographed, or annotated in colour.
    """

    header: RasterHeader
    pixels: NDArray[np.float32]
    colour: bool


_READERS: Final[dict[Format, _Reader]] = {
    Format.PNG: _Reader(png.read_header, lambda stream, _size, header: png.decode(stream, header)),
    Format.JPEG: _Reader(jpeg.read_header, lambda stream, _size, header: jpeg.decode(stream, header)),
    Format.TIFF: _Reader(tiff.read_header, lambda stream, size, _header: tiff.decode(stream, size)),
    Format.MHA: _Reader(metaimage.read_header, lambda stream, _size, header: sample_block.decode(stream, header)),
    Format.NRRD: _Reader(nrrd.read_header, lambda stream, _size, header: sample_block.decode(stream, header)),
    Format.JSRT: _Reader(jsrt.read_header, lambda stream, _size, header: jsrt.decode(stream, header)),
}


def read_header(stream: BinaryIO, size: int, file_format: Format) -> RasterHeader:
    """Read the header of a raster file.

    Raises:
        FilmError: corrupt, truncated, unsupported_image or several_frames; not_an_image where a file only has the
            name and size of a JSRT film.
    """
    return _READERS[file_format].header(stream, size)


def read_raster(stream: BinaryIO, size: int, file_format: Format, *, untint: bool = False) -> RasterFilm:
    """Decode a raster film; `untint`: see `display_values`.

    Raises:
        FilmError: as `read_header`; too_small, too_large or blank.
    """
    header = read_header(stream, size, file_format)
    check_size(header.rows, header.columns)
    if size > header.rows * header.columns * _BYTES_PER_PIXEL + _OTHER_BYTES:
        raise FilmError(Reason.TOO_LARGE, f"the file has {size} bytes, more than its pixels can account for")
    stream.seek(0)
    samples = _READERS[file_format].decode(stream, size, header)
    if samples.shape[:2] != (header.rows, header.columns) or samples.ndim > 3:
        raise FilmError(Reason.CORRUPT, f"the {file_format.value} decodes to another size than its header states")
    grey, colour = display_values(samples, header, untint=untint)
    upright = Orientation.of_exif(header.orientation).apply(grey)
    return RasterFilm(header, np.ascontiguousarray(upright, dtype=np.float32), colour)


def raster_facts(header: RasterHeader, *, colour: bool = False) -> FilmFacts:
    """Facts of a raster file, which knows little of its film; whether it is in colour, only its pixels tell."""
    spacing = header.spacing_mm
    if spacing is not None and header.orientation >= 5:
        spacing = spacing[::-1]
    return FilmFacts(
        rows=header.upright_rows,
        columns=header.upright_columns,
        pixel_spacing_mm=spacing,
        spacing_origin="scanner" if header.file_format is Format.JSRT else None,
        photometric_interpretation=header.photometric,
        bits_stored=header.significant or header.bits,
        transfer_syntax=header.file_format.value,
        lossy=True if header.file_format is Format.JPEG else None,
        colour=colour,
    )
