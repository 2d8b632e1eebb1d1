"""What a raster file says of its picture before a pixel is decoded."""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.imaging.source import Format

_ORIENTATION: Final = 0x0112


@dataclass(frozen=True)
class Block:
    """Where the samples of an MHA or NRRD file lie, and how.

    Attributes:
        at: offset of their first byte.
        coding: raw, zlib, gzip or bzip2.
        dtype: of one sample, byte order included.
        shape: slowest axis first: (rows, columns), with an axis of channels first or last where there is colour.
        channel_axis: of `shape`; None where there is one sample for each pixel.
    """

    at: int
    coding: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    channel_axis: int | None = None


@dataclass(frozen=True)
class RasterHeader:
    """What a raster file says before it is decoded.

    Attributes:
        file_format: any but DICOM.
        rows: stored height in pixels, before orientation.
        columns: stored width in pixels.
        bits: per sample, as stored; depths below 8 are expanded to 8.
        photometric: MONOCHROME1, MONOCHROME2, RGB or PALETTE COLOR.
        orientation: EXIF orientation, 1 to 8.
        transformed: whether the components of a JPEG are YCbCr.
        nominal: whether black and white are the ends of the samples' range; False for types that have no such range
            in practice (signed, floating point, wider than 16 bits; in MHA and NRRD all but unsigned 8-bit).
        significant: bits that a PNG says its samples had before they were stored; None where it says nothing.
        spacing_mm: distance between (rows, columns) in mm; None where unknown.
        block: where the samples of an MHA or NRRD file lie.
    """

    file_format: Format
    rows: int
    columns: int
    bits: int
    photometric: str
    orientation: int = 1
    transformed: bool = False
    nominal: bool = True
    significant: int | None = None
    spacing_mm: tuple[float, float] | None = None
    block: Block | None = None

    @property
    def upright_rows(self) -> int:
        """Height after orientation is honoured."""
        return self.columns if self.orientation >= 5 else self.rows

    @property
    def upright_columns(self) -> int:
        """Width after orientation is honoured."""
        return self.rows if self.orientation >= 5 else self.columns


def plausible_spacing(rows_mm: float, columns_mm: float) -> tuple[float, float] | None:
    """A spacing that a film can have; exactly 1 x 1 is what writers put where they know nothing."""
    known = 0 < rows_mm <= 10 and 0 < columns_mm <= 10 and (rows_mm, columns_mm) != (1.0, 1.0)
    return (rows_mm, columns_mm) if known else None


def exif_orientation(exif: bytes) -> int:
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
