"""The block of samples behind the header of an MHA or NRRD file: bounded before it is read, exact to the byte."""

import bz2
import math
import re
import zlib
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.raster_header import Block, RasterHeader

HEADER_BYTES: Final = 1 << 16
"""Bytes of the longest text header that is read."""

_WHOLE: Final = re.compile(r"[0-9]{1,9}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_INFLATERS: Final[dict[str, Any]] = {
    "zlib": lambda: zlib.decompressobj(15),
    "gzip": lambda: zlib.decompressobj(31),
    "bzip2": bz2.BZ2Decompressor,
}


def whole_numbers(text: str) -> list[int] | None:
    """Non-negative whole numbers between blanks; None where there is anything else."""
    words = text.split()
    return [int(word) for word in words] if words and all(map(_WHOLE.fullmatch, words)) else None


def number(text: str) -> float:
    """A decimal number; not-a-number where the text is none."""
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def decode(stream: BinaryIO, header: RasterHeader) -> NDArray[Any]:
    """Samples in native byte order, ``[rows, columns]`` or ``[rows, columns, channels]``.

    Raises:
        FilmError: truncated or corrupt, where the block is not exactly as long as the header says.
    """
    block = header.block
    assert block is not None, "only headers with a block come here"
    expected = math.prod(block.shape) * block.dtype.itemsize
    stream.seek(block.at)
    data = stream.read(expected + 1) if block.coding == "raw" else _inflated(stream.read(), block, expected)
    if len(data) < expected:
        raise FilmError(Reason.TRUNCATED, f"the pixels have {len(data)} bytes, the header says {expected}")
    if len(data) > expected:
        raise FilmError(Reason.CORRUPT, f"the pixels have more bytes than the {expected} that the header says")
    samples = np.frombuffer(data, dtype=block.dtype).reshape(block.shape)
    samples = samples.astype(block.dtype.newbyteorder("="), copy=False)
    return samples if block.channel_axis is None else np.moveaxis(samples, block.channel_axis, -1)


def _inflated(data: bytes, block: Block, expected: int) -> bytes:
    inflater = _INFLATERS[block.coding]()
    try:
        out: bytes = inflater.decompress(data, expected + 1)
        if len(out) == expected and not inflater.eof:  # the checksum behind the last byte
            tail = getattr(inflater, "unconsumed_tail", b"")
            out += inflater.decompress(tail, 1)
    except (zlib.error, OSError, EOFError, ValueError):
        raise FilmError(Reason.CORRUPT, f"the {block.coding} stream cannot be decoded") from None
    if len(out) == expected and not inflater.eof:
        raise FilmError(Reason.TRUNCATED, f"the {block.coding} stream ends before its end")
    if len(out) == expected and inflater.unused_data:
        raise FilmError(Reason.CORRUPT, f"bytes follow the {block.coding} stream")
    return out
