"""Look-up tables of a header: modality and VOI LUTs, and the palette of a colour capture.

Source: DICOM PS3.3, C.11.1.1.1 and C.11.2.1.1 (LUT descriptor and data), C.7.6.3.1.5 and C.7.6.3.1.6 (palettes).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging import tags
from pipelines.imaging.elements import Element, Elements
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.layout import Layout

Floats = NDArray[np.float64]

_LUMA: Final = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as in every YBR term (C.7.6.3.1.2)
_PALETTES: Final = (
    ("Red", tags.RED_PALETTE_DESCRIPTOR, tags.RED_PALETTE_DATA, tags.SEGMENTED_RED_PALETTE_DATA),
    ("Green", tags.GREEN_PALETTE_DESCRIPTOR, tags.GREEN_PALETTE_DATA, tags.SEGMENTED_GREEN_PALETTE_DATA),
    ("Blue", tags.BLUE_PALETTE_DESCRIPTOR, tags.BLUE_PALETTE_DATA, tags.SEGMENTED_BLUE_PALETTE_DATA),
)


@dataclass(frozen=True)
class Lut:
    """A look-up table; values before its first input get the first entry, values behind its last the last.

    Attributes:
        first: the input value of the first entry.
        entries: outputs.
        top: the largest output its bit depth has.
    """

    first: int
    entries: Floats
    top: float

    def __call__(self, values: Floats) -> Floats:
        """Map values, rounded to whole ones."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[index.astype(np.int64)])


def sequence_lut(header: Elements, tag: int, keyword: str, *, signed: bool) -> Lut | None:
    """The first table of a LUT sequence; None where the sequence is absent or empty.

    Args:
        header: of the film.
        tag: of the sequence.
        keyword: its name, for a refusal.
        signed: whether the values it maps can be negative.

    Raises:
        FilmError: corrupt.
    """
    stated = header.values.get(tag)
    if stated is not None and stated.value:
        raise FilmError(Reason.CORRUPT, f"{keyword} holds something other than items")
    item = header.items.get(tag)
    if item is None or not item.values:
        return None
    return _lut(item, tags.LUT_DESCRIPTOR, tags.LUT_DATA, keyword, signed=signed)


def palette(header: Elements, layout: Layout) -> NDArray[np.float32]:
    """The grey that a PALETTE COLOR film shows for each cell pattern.

    Args:
        header: of the film.
        layout: its pixels.

    Returns:
        float32 ``[2**bits_stored]`` in [0, 1]: luma (ITU-R BT.601) of the colours the three tables give.

    Raises:
        FilmError: unsupported_image, where a table is segmented or absent; corrupt.
    """
    tables = [_palette_table(header, *names, signed=layout.signed) for names in _PALETTES]
    stored = stored_values(layout.bits_stored, signed=layout.signed).astype(np.float64)
    top = max(table.top for table in tables)
    rgb = np.stack([table(stored) / top for table in tables], axis=-1)
    return np.asarray(np.clip(rgb @ _LUMA, 0.0, 1.0), dtype=np.float32)


def stored_values(bits_stored: int, *, signed: bool) -> NDArray[np.int64]:
    """The stored value that each cell pattern 0 ... 2**bits_stored - 1 stands for."""
    patterns = np.arange(1 << bits_stored, dtype=np.int64)
    half = 1 << (bits_stored - 1)
    return np.where(patterns >= half, patterns - 2 * half, patterns) if signed else patterns


def _palette_table(header: Elements, colour: str, descriptor: int, data: int, segmented: int, *, signed: bool) -> Lut:
    if segmented in header.values:
        found = f"Segmented{colour}PaletteColorLookupTableData is present"
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"{found}, expected a palette that is not segmented")
    keyword = f"{colour}PaletteColorLookupTable"
    if descriptor not in header.values or data not in header.values:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"PhotometricInterpretation is PALETTE COLOR without {keyword}Data")
    return _lut(header, descriptor, data, keyword, signed=signed)


def _lut(header: Elements, descriptor_tag: int, data_tag: int, keyword: str, *, signed: bool) -> Lut:
    descriptor, data = header.integers(descriptor_tag), header.values.get(data_tag)
    if len(descriptor) != 3 or data is None:
        raise FilmError(Reason.CORRUPT, f"{keyword} lacks a descriptor of three values or its data")
    count, first, bits = descriptor
    count = count or 1 << 16
    # The first input is signed where the values it maps are, whatever VR was written (C.11.1.1.1, C.11.2.1.1).
    if first >= 1 << 15 and (signed or header.values[descriptor_tag].vr == b"SS"):
        first -= 1 << 16
    entries = _entries(data, count, bits)
    if len(entries) < count:
        raise FilmError(Reason.CORRUPT, f"{keyword} has {len(entries)} entries, its descriptor says {count}")
    # Some writers state fewer bits than their entries use; the entries are believed.
    bits = max(bits if 1 <= bits <= 16 else 1, int(entries.max()).bit_length())
    return Lut(first, entries.astype(np.float64), float((1 << bits) - 1))


def _entries(data: Element, count: int, bits: int) -> NDArray[np.integer]:
    """The entries of a table, of two bytes each, or of one where they are packed."""
    if bits > 8 or len(data.value) >= 2 * count:
        return np.frombuffer(data.value[: 2 * count], dtype=f"{data.order}u2", count=min(count, len(data.value) // 2))
    if data.order == ">" and data.vr != b"OB":  # packed entries travel in words, whose first entry is the low byte
        return np.frombuffer(data.value[: len(data.value) // 2 * 2], ">u2").astype("<u2").view(np.uint8)[:count]
    return np.frombuffer(data.value[:count], dtype=np.uint8)
