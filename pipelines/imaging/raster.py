"""PNG, JPEG and TIFF exports of a film, without losing bits; values are display values already, bone white.

Values are scaled by the nominal full range of their type (255, 65535, or 2**bits - 1 of a TIFF with other depths).
Colour becomes luma; transparency lets the black background through unless a file is transparent everywhere alike.
Float and signed TIFFs are refused: nothing says what their black and white are.
"""

import logging
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.codestream import jpeg_exif, jpeg_info, require_end
from pipelines.imaging.decode import LUMA
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.layout import check_size
from pipelines.imaging.source import Format

# tifffile says in the log what it stumbles over, and quotes the file; the error raised here says what matters.
logging.getLogger("tifffile").addFilter(lambda _record: False)

_ORIENTATION: Final = 0x0112
_HEADER_BYTES: Final = 4 << 20
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Colour type -> channels after palettes are expanded."""


@dataclass(frozen=True)
class RasterHeader:
    """What a raster file says before it is decoded.

    Attributes:
        file_format: PNG, JPEG or TIFF.
        rows: stored height in pixels, before orientation.
        columns: stored width in pixels.
        bits: per sample.
        photometric: MONOCHROME1, MONOCHROME2, RGB or PALETTE COLOR.
        orientation: EXIF orientation, 1 to 8.
        transformed: whether the components of a JPEG are YCbCr.
    """

    file_format: Format
    rows: int
    columns: int
    bits: int
    photometric: str
    orientation: int = 1
    transformed: bool = False

    @property
    def upright_rows(self) -> int:
        """Height after orientation is honoured."""
        return self.columns if self.orientation >= 5 else self.rows

    @property
    def upright_columns(self) -> int:
        """Width after orientation is honoured."""
        return self.rows if self.orientation >= 5 else self.columns


def read_header(stream: BinaryIO, size: int, file_format: Format) -> RasterHeader:
    """Read the header of a raster file; raises `FilmError` (corrupt, truncated, unsupported_image, several_frames)."""
    if file_format is Format.PNG:
        return _png_header(stream)
    if file_format is Format.JPEG:
        return _jpeg_header(stream)
    return _tiff(stream, size, decode=False)[0]


def read_raster(stream: BinaryIO, size: int, file_format: Format) -> tuple[RasterHeader, NDArray[np.float32]]:
    """Decode a raster film.

    Returns:
        The header, and display values float32 ``[rows, columns]`` in [0, 1], upright.

    Raises:
        FilmError: too_small, too_large, blank, truncated, corrupt, unsupported_image or several_frames.
    """
    header = read_header(stream, size, file_format)
    check_size(header.rows, header.columns)
    stream.seek(0)
    if file_format is Format.TIFF:
        _, samples = _tiff(stream, size, decode=True)
    else:
        data = stream.read()
        samples = _decode_png(data) if file_format is Format.PNG else _decode_jpeg(data, header)
    if samples.shape[:2] != (header.rows, header.columns):
        raise FilmError(Reason.CORRUPT, f"the {file_format.value} decodes to another size than its header states")
    grey = _grey(samples, float((1 << header.bits) - 1))
    if grey.min() == grey.max():
        raise FilmError(Reason.BLANK, "all pixels have one value")
    if header.photometric == "MONOCHROME1":
        grey = 1.0 - grey
    return header, np.ascontiguousarray(_upright(grey, header.orientation), dtype=np.float32)


def raster_facts(header: RasterHeader) -> FilmFacts:
    """Facts of a raster file, which knows little of its film."""
    return FilmFacts(
        rows=header.upright_rows,
        columns=header.upright_columns,
        photometric_interpretation=header.photometric,
        bits_stored=header.bits,
        transfer_syntax=header.file_format.value,
        lossy=True if header.file_format is Format.JPEG else None,
    )


def _grey(samples: NDArray[Any], top: float) -> NDArray[np.float32]:
    """Luma over black, scaled to [0, 1]; samples are [rows, columns] or [rows, columns, 1 to 4 channels]."""
    channels = samples[..., None] if samples.ndim == 2 else samples
    colours = 3 if channels.shape[2] >= 3 else 1
    values = channels[..., :colours].astype(np.float32) * np.float32(1 / top)
    grey = values[..., 0] if colours == 1 else values @ LUMA
    if channels.shape[2] in (2, 4):
        alpha = channels[..., -1]
        if alpha.min() != alpha.max():
            grey = grey * (alpha.astype(np.float32) * np.float32(1 / top))
    return np.asarray(np.clip(grey, 0.0, 1.0), dtype=np.float32)


def _upright(grey: NDArray[np.float32], orientation: int) -> NDArray[np.float32]:
    """Undo EXIF orientation (CIPA DC-008, tag 274)."""
    if orientation >= 5:
        grey = grey.T
    mirrored = {2, 3, 6, 7}
    flipped = {3, 4, 7, 8}
    if orientation in mirrored:
        grey = grey[:, ::-1]
    return grey[::-1] if orientation in flipped else grey


def _exif_orientation(exif: bytes) -> int:
    """Orientation in an EXIF block, which is a TIFF header and its first directory; 1 where there is none.

    Libraries that read EXIF log the values they pass; here only this one entry is looked at.
    """
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 10:
        return 1
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    if at + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
        if tag == _ORIENTATION and kind == 3:
            (value,) = struct.unpack_from(f"{order}H", exif, entry + 8)
            return value if 1 <= value <= 8 else 1
    return 1


# --- PNG


def _png_header(stream: BinaryIO) -> RasterHeader:
    head = stream.read(_HEADER_BYTES)
    if len(head) < 33 or head[12:16] != b"IHDR":
        raise FilmError(Reason.TRUNCATED if len(head) < 33 else Reason.CORRUPT, "the PNG has no complete IHDR chunk")
    columns, rows, bits, colour = struct.unpack_from(">IIBB", head, 16)
    if colour not in _PNG_CHANNELS or bits not in (1, 2, 4, 8, 16):
        raise FilmError(Reason.CORRUPT, f"the PNG has colour type {colour} with {bits} bits")
    photometric = {0: "MONOCHROME2", 4: "MONOCHROME2", 3: "PALETTE COLOR"}.get(colour, "RGB")
    # The decoder expands palettes and depths below 8 to 8 bits.
    exif = next((head[at : at + length] for kind, at, length in _png_chunks(head) if kind == b"eXIf"), b"")
    return RasterHeader(Format.PNG, rows, columns, max(bits, 8), photometric, _exif_orientation(exif))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, offset and length of the content of every chunk that begins in `data`."""
    at = 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], at + 8, length
        at += 12 + length


def _decode_png(data: bytes) -> NDArray[Any]:
    if all(kind != b"IEND" for kind, _, _ in _png_chunks(data)):  # the decoder would fill in missing rows
        raise FilmError(Reason.TRUNCATED, "the file ends before the PNG's end chunk")
    try:
        return np.asarray(imagecodecs.png_decode(data))
    except Exception:  # noqa: BLE001 - the codec raises types of its own
        raise FilmError(Reason.CORRUPT, "the PNG cannot be decoded") from None


# --- JPEG


def _jpeg_header(stream: BinaryIO) -> RasterHeader:
    head = stream.read(_HEADER_BYTES)
    info = jpeg_info(head)
    if info.samples not in (1, 3):
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"the JPEG has {info.samples} components, expected 1 or 3")
    transformed = info.samples == 3 and info.transformed is not False
    photometric = "MONOCHROME2" if info.samples == 1 else "RGB"
    orientation = _exif_orientation(jpeg_exif(head))
    return RasterHeader(Format.JPEG, info.rows, info.columns, info.precision, photometric, orientation, transformed)


def _decode_jpeg(data: bytes, header: RasterHeader) -> NDArray[Any]:
    require_end(data, jpeg_info(data), "JPEG")
    try:
        if header.photometric == "MONOCHROME2":
            return np.asarray(imagecodecs.jpeg8_decode(data))
        space = "YCBCR" if header.transformed else "RGB"  # naming one space twice keeps the samples as they are
        samples = np.asarray(imagecodecs.jpeg8_decode(data, colorspace=space, outcolorspace=space))
    except Exception:  # noqa: BLE001 - the codec raises types of its own
        raise FilmError(Reason.CORRUPT, "the JPEG cannot be decoded") from None
    return samples[..., 0] if header.transformed else samples


# --- TIFF


def _tiff(stream: BinaryIO, size: int, *, decode: bool) -> tuple[RasterHeader, NDArray[Any]]:
    try:
        with tifffile.TiffFile(stream) as tiff:
            pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage) and not page.is_reduced]
            header = _tiff_header(pages, size)
            if not decode:
                return header, np.empty((0, 0))
            check_size(header.rows, header.columns)
            return header, _tiff_samples(pages[0])
    except FilmError:
        raise
    except Exception:  # noqa: BLE001 - malformed tags surface as whatever the parser stumbled over
        raise FilmError(Reason.CORRUPT, "the TIFF cannot be decoded") from None


def _tiff_header(pages: list[Any], size: int) -> RasterHeader:
    if len(pages) != 1:
        reason = Reason.SEVERAL_FRAMES if pages else Reason.CORRUPT
        raise FilmError(reason, f"the TIFF has {len(pages)} pages, expected one")
    page = pages[0]
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False)]
    if not ends or max(ends) > size:
        raise FilmError(Reason.TRUNCATED, "the TIFF's pixels lie behind the end of the file")
    photometric = {0: "MONOCHROME1", 1: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 6: "RGB"}.get(page.photometric)
    bits = page.bitspersample
    whole = all(isinstance(value, int) for value in (bits, page.imagelength, page.imagewidth))
    readable = whole and page.dtype is not None and page.dtype.kind == "u" and 8 <= bits <= 16
    if photometric is None or not readable or page.imagedepth != 1:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "the TIFF is not 8- to 16-bit unsigned grey, RGB or palette")
    tag = page.tags.get(_ORIENTATION)
    orientation = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    bits = 16 if photometric == "PALETTE COLOR" else bits  # entries of a TIFF palette have 16 bits
    return RasterHeader(Format.TIFF, page.imagelength, page.imagewidth, bits, photometric, orientation)


def _tiff_samples(page: Any) -> NDArray[Any]:
    samples = np.asarray(page.asarray())
    if page.photometric == 3:
        return np.asarray(page.colormap[:, samples].transpose(1, 2, 0))
    if samples.ndim == 3 and page.planarconfig == 2:
        samples = samples.transpose(1, 2, 0)
    if not math.prod(samples.shape):
        raise FilmError(Reason.CORRUPT, "the TIFF has no pixels")
    return samples
