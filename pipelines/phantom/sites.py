"""The screening sites of the phantom cohort: who made the detector and how its films are stored.

Sites differ in everything a reader has to survive (matrix, spacing, polarity, bit depth, look-up, compression) and in
nothing that carries a diagnosis: a patient's disease is drawn before, and apart from, the site.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Lookup(StrEnum):
    """How stored values are meant to become display values."""

    NONE = "none"
    """Stored values are display values."""
    WINDOW = "window"
    """Window Center and Window Width, the LINEAR function of DICOM PS3.3 C.11.2.1.2.1."""
    LUT = "lut"
    """A VOI LUT Sequence, DICOM PS3.3 C.11.2.1.1."""


class Syntax(StrEnum):
    """Transfer syntaxes of the cohort, by their UID; all of them lossless."""

    EXPLICIT_LE = "1.2.840.10008.1.2.1"
    RLE = "1.2.840.10008.1.2.5"
    JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
    JPEG_LS = "1.2.840.10008.1.2.4.80"
    JPEG_2000 = "1.2.840.10008.1.2.4.90"


@dataclass(frozen=True, kw_only=True)
class Site:
    """One acquisition site.

    Attributes:
        name: folder name and ``site`` column.
        modality: ``DX`` (flat panel) or ``CR`` (storage phosphor): which DICOM object is written.
        manufacturer: an invented name.
        model: an invented model name.
        rows: image rows.
        columns: image columns.
        spacing_mm: detector pixel pitch, both directions.
        bits_stored: 10, 12 or 14 of 16 allocated.
        monochrome1: low stored values are bright (True) or dark (False).
        lookup: what the header says about display.
        stored_range: part of the full stored range that the film's display range is put into.
        syntaxes: transfer syntaxes in use; each film draws one of them.
        sharpness_px: standard deviation of the detector's point spread, pixels.
        edge_gain: how much the vendor's processing sharpens.
        kvp: tube voltage.
        photons: mean detected quanta per pixel behind air (relative noise is 1/sqrt).
    """

    name: str
    modality: str
    manufacturer: str
    model: str
    rows: int
    columns: int
    spacing_mm: float
    bits_stored: int
    monochrome1: bool
    lookup: Lookup
    stored_range: tuple[float, float]
    syntaxes: tuple[Syntax, ...]
    sharpness_px: float
    edge_gain: float
    kvp: int
    photons: float

    @property
    def max_value(self) -> int:
        """Largest stored value."""
        return (1 << self.bits_stored) - 1


SITES: Final = (
    Site(
        name="urban",
        modality="DX",
        manufacturer="Phantom Imaging A",
        model="Flat Panel Stand",
        rows=1500,
        columns=1250,
        spacing_mm=0.28,
        bits_stored=14,
        monochrome1=False,
        lookup=Lookup.WINDOW,
        stored_range=(0.15, 0.70),
        syntaxes=(Syntax.EXPLICIT_LE, Syntax.JPEG_LS),
        sharpness_px=0.6,
        edge_gain=0.60,
        kvp=120,
        photons=14_000.0,
    ),
    Site(
        name="rural",
        modality="CR",
        manufacturer="Phantom Imaging B",
        model="Plate Reader",
        rows=1024,
        columns=1024,
        spacing_mm=0.40,
        bits_stored=10,
        monochrome1=True,
        lookup=Lookup.NONE,
        stored_range=(0.0, 1.0),
        syntaxes=(Syntax.RLE, Syntax.JPEG_LOSSLESS_SV1, Syntax.JPEG_2000),
        sharpness_px=0.75,
        edge_gain=0.45,
        kvp=100,
        photons=12_000.0,
    ),
    Site(
        name="mobile",
        modality="DX",
        manufacturer="Phantom Imaging C",
        model="Van Detector",
        rows=1120,
        columns=1280,
        spacing_mm=0.32,
        bits_stored=12,
        monochrome1=False,
        lookup=Lookup.LUT,
        stored_range=(0.05, 0.92),
        syntaxes=(Syntax.EXPLICIT_LE, Syntax.JPEG_2000, Syntax.JPEG_LS),
        sharpness_px=0.55,
        edge_gain=0.50,
        kvp=125,
        photons=10_000.0,
    ),
)
"""All sites; films are spread evenly over them."""

SITES_BY_NAME: Final[Mapping[str, Site]] = MappingProxyType({site.name: site for site in SITES})
"""The same, by name."""
