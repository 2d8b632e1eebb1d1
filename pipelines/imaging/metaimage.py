"""MetaImage films in one file (``.mha``): two dimensions, or three with one slice; grey or RGB.

The header is read strictly and never leads to another file. The picture is taken as stored, row 0 on top, whatever
TransformMatrix says. Source: the MetaIO documentation of ITK ("MetaIO/Documentation").
"""

import re
from typing import BinaryIO, Final

import numpy as np

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.raster_header import Block, RasterHeader, plausible_spacing
from pipelines.imaging.sample_block import HEADER_BYTES, number, whole_numbers
from pipelines.imaging.source import Format

_TYPES: Final = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_FIELD: Final = re.compile(rb"([A-Za-z][A-Za-z0-9_]{0,63})[ \t]*=[ \t]*(.*?)[ \t\r]*")
_MAX_FIELDS: Final = 256


def read_header(stream: BinaryIO, size: int) -> RasterHeader:
    """Read the header; raises `FilmError` (corrupt, truncated, unsupported_image or several_frames)."""
    fields, at = _fields(stream)
    if fields["ElementDataFile"] != "LOCAL":
        found = "ElementDataFile names another file, which is not followed; expected LOCAL (convert it to .mha)"
        raise FilmError(Reason.UNSUPPORTED_IMAGE, found)
    if fields.get("ObjectType", "Image") != "Image":
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "ObjectType is not Image")
    if not _is_true(fields.get("BinaryData", "True")) or fields.get("HeaderSize", "0") != "0":
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "the pixels are written as text or behind a header of their own")
    columns, rows = _size_of(fields)
    channels = whole_numbers(fields.get("ElementNumberOfChannels", "1"))
    if channels not in ([1], [3]):
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "ElementNumberOfChannels is not 1 or 3")
    kind = _TYPES.get(fields.get("ElementType", ""))
    if kind is None:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "ElementType is not a number type of 8 to 32 bits, or double")
    order = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False"))
    dtype = np.dtype(f"{'>' if _is_true(order) else '<'}{kind}")
    stated = fields.get("CompressedDataSize")
    if stated is not None and whole_numbers(stated) != [size - at]:
        raise FilmError(Reason.CORRUPT, f"CompressedDataSize is not the {size - at} bytes behind the header")
    coding = "zlib" if _is_true(fields.get("CompressedData", "False")) else "raw"
    grey = channels == [1]
    return RasterHeader(
        Format.MHA,
        rows,
        columns,
        dtype.itemsize * 8,
        "MONOCHROME2" if grey else "RGB",
        nominal=kind == "u1",
        spacing_mm=_spacing(fields),
        block=Block(at, coding, dtype, (rows, columns) if grey else (rows, columns, 3), None if grey else 2),
    )


def _fields(stream: BinaryIO) -> tuple[dict[str, str], int]:
    """Key -> value up to ElementDataFile, which ends the header, and the offset behind it."""
    head = stream.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    at = 0
    while len(fields) < _MAX_FIELDS:
        end = head.find(b"\n", at)
        if end < 0:
            break
        line = _FIELD.fullmatch(head, at, end)
        if line is None:
            raise FilmError(Reason.CORRUPT, "a line of the MHA header is not of the form key = value")
        key = line[1].decode("ascii")
        if key in fields:
            raise FilmError(Reason.CORRUPT, "the MHA header states a key twice")
        fields[key] = line[2].decode("latin-1")
        at = end + 1
        if key == "ElementDataFile":
            return fields, at
    if len(head) < HEADER_BYTES and len(fields) < _MAX_FIELDS:
        raise FilmError(Reason.TRUNCATED, "the file ends before the MHA header's ElementDataFile")
    raise FilmError(Reason.CORRUPT, "the MHA header is longer than any film's")


def _size_of(fields: dict[str, str]) -> tuple[int, int]:
    """Columns and rows."""
    sizes, dimensions = whole_numbers(fields.get("DimSize", "")), whole_numbers(fields.get("NDims", ""))
    if sizes is None or dimensions != [len(sizes)]:
        raise FilmError(Reason.CORRUPT, "NDims and DimSize do not agree, or one of them is absent")
    if len(sizes) not in (2, 3):
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"NDims is {len(sizes)}, expected 2, or 3 with one slice")
    if sizes[2:] not in ([], [1]):
        raise FilmError(Reason.SEVERAL_FRAMES, f"DimSize has {sizes[2]} slices, expected one")
    return sizes[0], sizes[1]


def _spacing(fields: dict[str, str]) -> tuple[float, float] | None:
    words = fields.get("ElementSpacing", fields.get("ElementSize", "")).split()
    return plausible_spacing(number(words[1]), number(words[0])) if len(words) >= 2 else None


def _is_true(text: str) -> bool:
    return text[:1] in ("T", "t", "1", "Y", "y")
