"""From stored values to display values: one table for each film, since a pixel's display value depends on its own only.

The order is the standard's: modality LUT or rescale, then VOI LUT or window, then the presentation's polarity.
Source: DICOM PS3.3, C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (photometric interpretation), C.11.6
(presentation LUT shape), C.7.5.1.1.2 (pixel padding).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging import tags
from pipelines.imaging.elements import Elements
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.layout import Layout

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

ROBUST_PERCENTILES: Final = (0.5, 99.5)
"""Where a file has no usable window, these percentiles of its pixels (padding left out) become black and white."""

_MIN_SLOPE: Final = 1e-12
_MAX_RESCALE: Final = 1e12
# Beyond these no detector's unit lies, and neighbouring values would melt into one.


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


@dataclass(frozen=True)
class Window:
    """One VOI window.

    Attributes:
        center: WindowCenter.
        width: WindowWidth, above 0.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    """

    center: float
    width: float
    function: str

    def __call__(self, values: Floats) -> Floats:
        """Map modality values to [0, 1] (C.11.2.1.2 and C.11.2.1.3)."""
        with np.errstate(over="ignore"):  # a width near 0 is a step, its two sides at plus and minus infinity
            return self._apply(values)

    def _apply(self, values: Floats) -> Floats:
        if self.function == "SIGMOID":
            # At an exponent of 700 the result is 0 to 300 digits, and exp does not overflow.
            return 1.0 / (1.0 + np.exp(np.minimum(-4.0 * (values - self.center) / self.width, 700.0)))
        if self.function == "LINEAR" and self.width > 1:
            return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0.0, 1.0)
        if self.function == "LINEAR" and self.width == 1:
            return (values > self.center - 0.5).astype(np.float64)
        # LINEAR_EXACT; and LINEAR below width 1, which its formula does not have but rescaled values may need.
        return np.clip((values - self.center) / self.width + 0.5, 0.0, 1.0)


@dataclass(frozen=True)
class Intensity:
    """How the stored values of one film become display values.

    Attributes:
        bits_stored: bits of a stored value.
        signed: whether it is two's complement.
        slope: of the rescale, never 0.
        intercept: of the rescale.
        modality_lut: in place of the rescale.
        voi_lut: used before `window` where a film has both.
        window: None where the header has no usable one.
        inverted: whether low values are bright (MONOCHROME1).
        padding: first and last stored value that is no part of the film.
    """

    bits_stored: int
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi_lut: Lut | None = None
    window: Window | None = None
    inverted: bool = False
    padding: tuple[int, int] | None = None

    @classmethod
    def of(cls, header: Elements, layout: Layout) -> "Intensity":
        """Collect it from a header; raises `FilmError` (corrupt) where an attribute is unusable."""
        slope, intercept = _rescale(header)
        negative = layout.signed or intercept < 0 or slope < 0
        return cls(
            bits_stored=layout.bits_stored,
            signed=layout.signed,
            slope=slope,
            intercept=intercept,
            modality_lut=_lut(header, tags.MODALITY_LUT_SEQUENCE, "ModalityLUTSequence", signed=layout.signed),
            voi_lut=_lut(header, tags.VOI_LUT_SEQUENCE, "VOILUTSequence", signed=negative),
            window=_window(header),
            inverted=_inverted(header, layout.photometric),
            padding=_padding(header, layout),
        )

    def stored_values(self) -> NDArray[np.int64]:
        """The stored value that each cell pattern 0 ... 2**bits_stored - 1 stands for."""
        patterns = np.arange(1 << self.bits_stored, dtype=np.int64)
        half = 1 << (self.bits_stored - 1)
        return np.where(patterns >= half, patterns - 2 * half, patterns) if self.signed else patterns

    def table(self, counts: Counts) -> NDArray[np.float32]:
        """The display value of each cell pattern.

        Args:
            counts: how often each pattern occurs in the film, int ``[2**bits_stored]``.

        Returns:
            float32 ``[2**bits_stored]`` in [0, 1], dense tissue bright, padding 0.

        Raises:
            FilmError: blank, where all pixels that are not padding have one value.
        """
        stored = self.stored_values()
        film = np.ones(len(stored), dtype=bool)
        if self.padding is not None:
            film = (stored < self.padding[0]) | (stored > self.padding[1])
        occurs = film & (counts > 0)
        if np.count_nonzero(occurs) < 2:
            raise FilmError(Reason.BLANK, "all pixels have one value")
        values = stored.astype(np.float64)
        values = self.modality_lut(values) if self.modality_lut else values * self.slope + self.intercept
        display = self._voi(values, np.where(film, counts, 0))
        if self.inverted:
            display = 1.0 - display
        return np.where(film, display, 0.0).astype(np.float32)

    def _voi(self, values: Floats, counts: Counts) -> Floats:
        occurs = counts > 0
        if self.voi_lut is not None:
            display = self.voi_lut(values) / self.voi_lut.top
            if _has_contrast(display[occurs]):
                return display
        if self.window is not None:
            display = self.window(values)
            if _has_contrast(display[occurs]):
                return display
        return _robust(values, counts)


def _has_contrast(display: Floats) -> bool:
    """False where all display values are one float32: the window or table lies beside the film's values."""
    return bool(np.ptp(display.astype(np.float32)) > 0)


def _robust(values: Floats, counts: Counts) -> Floats:
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(counts[order])
    ranks = np.asarray(ROBUST_PERCENTILES) / 100 * cumulative[-1]
    low, high = values[order][np.searchsorted(cumulative, ranks)]
    if low == high:  # more than 99 % of the pixels have one value
        occurring = values[counts > 0]
        low, high = occurring.min(), occurring.max()
    if low == high:
        raise FilmError(Reason.BLANK, "all pixels have one value")
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0))


def _rescale(header: Elements) -> tuple[float, float]:
    slope = next(iter(header.numbers(tags.RESCALE_SLOPE)), 1.0)
    intercept = next(iter(header.numbers(tags.RESCALE_INTERCEPT)), 0.0)
    if not _MIN_SLOPE <= abs(slope) <= _MAX_RESCALE:
        raise FilmError(Reason.CORRUPT, f"RescaleSlope is {'0' if slope == 0 else 'not a usable number'}")
    if not abs(intercept) <= _MAX_RESCALE:
        raise FilmError(Reason.CORRUPT, "RescaleIntercept is not a usable number")
    return slope, intercept


def _window(header: Elements) -> Window | None:
    """The first window of several whose width is above 0; None where there is none."""
    function = header.text(tags.VOI_LUT_FUNCTION).upper()
    function = function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"
    for center, width in zip(header.numbers(tags.WINDOW_CENTER), header.numbers(tags.WINDOW_WIDTH), strict=False):
        if math.isfinite(center) and math.isfinite(width) and width > 0:
            return Window(center, width, function)
    return None


def _inverted(header: Elements, photometric: str) -> bool:
    """Whether low values are bright.

    PresentationLUTShape says the same as PhotometricInterpretation, never something to be done on top of it: INVERSE
    belongs to MONOCHROME1 and IDENTITY to MONOCHROME2 (C.8.11.3). Where the two disagree the shape is followed, as
    DCMTK, dcm4che and pydicom do.
    """
    shape = header.text(tags.PRESENTATION_LUT_SHAPE).upper()
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return photometric == "MONOCHROME1"


def _lut(header: Elements, tag: int, keyword: str, *, signed: bool) -> Lut | None:
    """The first table of a LUT sequence; None where the sequence is absent or empty."""
    item = header.items.get(tag)
    if item is None or not item.values:
        return None
    descriptor, data = item.integers(tags.LUT_DESCRIPTOR), item.values.get(tags.LUT_DATA)
    if len(descriptor) != 3 or data is None:
        raise FilmError(Reason.CORRUPT, f"{keyword} lacks a LUTDescriptor of three values or its LUTData")
    count, first, bits = descriptor
    count = count or 1 << 16
    # The first input is signed where the values it maps are, whatever VR was written (C.11.1.1.1, C.11.2.1.1).
    if first >= 1 << 15 and (signed or item.values[tags.LUT_DESCRIPTOR].vr == b"SS"):
        first -= 1 << 16
    packed = bits <= 8 and len(data.value) < 2 * count
    entries = np.frombuffer(data.value[: count * (1 if packed else 2)], dtype=f"{data.order}u{1 if packed else 2}")
    if len(entries) < count:
        raise FilmError(Reason.CORRUPT, f"{keyword} has {len(entries)} entries, its LUTDescriptor says {count}")
    # Some writers state fewer bits than their entries use; the entries are believed.
    bits = max(bits if 1 <= bits <= 16 else 1, int(entries.max()).bit_length())
    return Lut(first, entries.astype(np.float64), float((1 << bits) - 1))


def _padding(header: Elements, layout: Layout) -> tuple[int, int] | None:
    first = _stored(header.integer(tags.PIXEL_PADDING_VALUE), layout)
    if first is None:
        return None
    last = _stored(header.integer(tags.PIXEL_PADDING_RANGE_LIMIT), layout)
    last = first if last is None else last
    return min(first, last), max(first, last)


def _stored(raw: int | None, layout: Layout) -> int | None:
    """A 16-bit header value as a stored value; None where it is absent or no pixel can have it."""
    if raw is None:
        return None
    half = 1 << (layout.bits_stored - 1)
    if not layout.signed:
        return raw if raw < 2 * half else None
    value = raw - (1 << 16) if raw >= 1 << 15 else raw
    if half <= value < 2 * half:  # written as the bare pattern of BitsStored bits
        value -= 2 * half
    return value if -half <= value < half else None
