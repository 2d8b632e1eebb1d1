"""NRRD films in one file: two dimensions, or three of which one is a single slice or the channels of colour.

The header is read strictly and never leads to another file. Sizes count the fastest axis first; the picture is taken
as stored, row 0 on top, whatever its space directions say. Source: "Definition of NRRD File Format" (teem).
"""

import math
import re
from typing import BinaryIO, Final

import numpy as np

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.raster_header import Block, RasterHeader, plausible_spacing
from pipelines.imaging.sample_block import HEADER_BYTES, number, whole_numbers
from pipelines.imaging.source import Format

_TYPE_NAMES: Final = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPES: Final = {name: kind for kind, names in _TYPE_NAMES.items() for name in names.split("|")}
_CODINGS: Final = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_COLOUR_KINDS: Final = frozenset({"rgb-color", "3-color", "rgba-color", "4-color", "vector", "3-vector", "4-vector"})
_FIELD: Final = re.compile(rb"([A-Za-z][A-Za-z ]{0,63}): ?[ \t]*(.*?)[ \t\r]*")
_IGNORED: Final = re.compile(rb"#.*|[^:]+:=.*", re.DOTALL)
_MAX_LINES: Final = 1024


def read_header(stream: BinaryIO, _size: int) -> RasterHeader:
    """Read the header; raises `FilmError` (corrupt, truncated, unsupported_image or several_frames)."""
    fields, at = _fields(stream)
    if "datafile" in fields:
        found = "the NRRD header names another file, which is not followed; expected the pixels in the same file"
        raise FilmError(Reason.UNSUPPORTED_IMAGE, found)
    if any(fields.get(skip, "0") != "0" for skip in ("lineskip", "byteskip")):
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "the NRRD file skips lines or bytes before its pixels")
    kind, coding = _TYPES.get(fields.get("type", "").lower()), _CODINGS.get(fields.get("encoding", "").lower())
    if kind is None or coding is None:
        found = "the NRRD type is not a number of 8 to 64 bits, or its encoding is not raw, gzip or bzip2"
        raise FilmError(Reason.UNSUPPORTED_IMAGE, found)
    endian = {"little": "<", "big": ">"}.get(fields.get("endian", "little" if kind[1] == "1" else "").lower())
    if endian is None:
        raise FilmError(Reason.CORRUPT, "the NRRD header does not say the byte order of its samples")
    shape, axes, channel_axis = _axes(fields)
    columns, rows = (shape[axis] for axis in axes)
    dtype = np.dtype(f"{endian}{kind}")
    # Sizes count the fastest axis first, shapes the slowest.
    kept = [axis for axis in range(len(shape)) if axis in axes or axis == channel_axis][::-1]
    return RasterHeader(
        Format.NRRD,
        rows,
        columns,
        dtype.itemsize * 8,
        "MONOCHROME2" if channel_axis is None else "RGB",
        nominal=kind == "u1",
        spacing_mm=_spacing(fields, len(shape), axes),
        block=Block(
            at,
            coding,
            dtype,
            tuple(shape[axis] for axis in kept),
            None if channel_axis is None else kept.index(channel_axis),
        ),
    )


def _fields(stream: BinaryIO) -> tuple[dict[str, str], int]:
    """Field -> description up to the empty line that ends the header, and the offset behind it; key/value pairs and
    comments, which may hold anything, are passed over.
    """
    head = stream.read(HEADER_BYTES)
    fields: dict[str, str] = {}
    at = head.find(b"\n") + 1
    for _ in range(_MAX_LINES):
        end = head.find(b"\n", at)
        if end < 0 or at == 0:
            break
        line, at = head[at:end], end + 1
        if line in (b"", b"\r"):
            return fields, at
        if _IGNORED.fullmatch(line):
            continue
        field = _FIELD.fullmatch(line)
        if field is None:
            raise FilmError(Reason.CORRUPT, "a line of the NRRD header is not of the form field: description")
        key = field[1].decode("ascii").lower().replace(" ", "")
        if key in fields:
            raise FilmError(Reason.CORRUPT, "the NRRD header states a field twice")
        fields[key] = field[2].decode("latin-1")
        if key == "datafile":
            return fields, at
    if len(head) < HEADER_BYTES:
        raise FilmError(Reason.TRUNCATED, "the file ends before the NRRD header's empty line")
    raise FilmError(Reason.CORRUPT, "the NRRD header is longer than any film's")


def _axes(fields: dict[str, str]) -> tuple[list[int], tuple[int, int], int | None]:
    """Sizes, fastest axis first; the axes along a row and along a column; and the axis of colour."""
    sizes = whole_numbers(fields.get("sizes", ""))
    if sizes is None or whole_numbers(fields.get("dimension", "")) != [len(sizes)]:
        raise FilmError(Reason.CORRUPT, "dimension and sizes do not agree, or one of them is absent")
    channel_axis = _channel_axis(sizes, fields.get("kinds", "").lower().split())
    axes = [axis for axis in range(len(sizes)) if axis != channel_axis]
    while len(axes) > 2 and 1 in (sizes[axis] for axis in axes):
        axes.remove(next(axis for axis in reversed(axes) if sizes[axis] == 1))
    if len(axes) > 2:
        raise FilmError(Reason.SEVERAL_FRAMES, "the NRRD file has several slices, expected one")
    if len(axes) < 2 or len(sizes) > 4:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"the NRRD file has {len(sizes)} dimensions, expected 2 or 3")
    return sizes, (axes[0], axes[1]), channel_axis


def _channel_axis(sizes: list[int], kinds: list[str]) -> int | None:
    """The axis of red, green and blue; without kinds the fastest axis, where it is three long and two others follow."""
    if len(sizes) < 3:
        return None
    if len(kinds) == len(sizes):
        return next((axis for axis, kind in enumerate(kinds) if kind in _COLOUR_KINDS and sizes[axis] in (3, 4)), None)
    return 0 if sizes[0] == 3 else None


def _spacing(fields: dict[str, str], dimensions: int, axes: tuple[int, int]) -> tuple[float, float] | None:
    """From `spacings`, else the length of the `space directions`; None where they are in another unit."""
    units = re.findall(r'"([^"]*)"', fields.get("units", "") + fields.get("spaceunits", ""))
    if not {unit.lower() for unit in units} <= {"", "mm", "millimeter", "millimeters", "millimetre", "???", "none"}:
        return None
    words = fields.get("spacings", "").split()
    lengths = [number(word) for word in words]
    if not words:
        vectors = re.findall(r"none|\([^()]*\)", fields.get("spacedirections", ""))
        lengths = [math.hypot(*map(number, vector.strip("()").replace(",", " ").split())) for vector in vectors]
    if len(lengths) != dimensions:
        return None
    return plausible_spacing(lengths[axes[1]], lengths[axes[0]])
