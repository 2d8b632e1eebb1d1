"""From stored values to display values: one table for each film, since a pixel's display value depends on its own only.

The order is the standard's: modality LUT or rescale, then VOI LUT or window, then the presentation's polarity.

A film stored FOR PROCESSING holds what a detector measured, and PixelIntensityRelationship says how that follows from
the X-ray beam. Where such values are proportional to the beam (LIN) and no usable VOI LUT or window says how to show
them, their logarithm is shown, as film and phosphor plates do: attenuation adds up in it. LOG values are logarithms
already; DISP values are meant to be seen. PixelIntensityRelationshipSign gives the polarity of a film FOR PROCESSING:
+1 means that lower values got less beam, so dense tissue is low and is turned bright. A window or VOI LUT always
belongs to the values as stored, since the relationship defines no transformation for presentation.

Source: DICOM PS3.3, C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 (photometric interpretation), C.11.6
(presentation LUT shape), C.7.5.1.1.2 (pixel padding), C.8.11.3.1.2 (pixel intensity relationship).
"""

import math
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging import tags
from pipelines.imaging.elements import Elements
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.layout import Layout, is_computed_radiography, is_for_processing
from pipelines.imaging.lut import Floats, Lut, sequence_lut, stored_values

Counts = NDArray[np.int64]

ROBUST_PERCENTILES: Final = (0.5, 99.5)
"""Where a file has no usable window, these percentiles of its pixels (padding left out) become black and white."""

_MAX_WINDOWS: Final = 16  # tried in turn; a header may list thousands
_MIN_SLOPE: Final = 1e-12
_MAX_RESCALE: Final = 1e12
# Beyond these no detector's unit lies, and neighbouring values would melt into one.


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
        voi_lut: used before `windows` where a film has both.
        windows: in the header's order; the first that shows more than one grey is used.
        inverted: whether low values are bright (MONOCHROME1).
        padding: first and last stored value that is no part of the film.
        beam: for stored values proportional to the X-ray beam: +1 where they rise with it, -1 where they fall; 0 for
            others.
    """

    bits_stored: int
    signed: bool = False
    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi_lut: Lut | None = None
    windows: tuple[Window, ...] = ()
    inverted: bool = False
    padding: tuple[int, int] | None = None
    beam: int = 0

    @classmethod
    def of(cls, header: Elements, layout: Layout, *, sop_class: str = "") -> "Intensity":
        """Collect it from a header.

        Args:
            header: of the film.
            layout: its pixels.
            sop_class: UID of its SOP class; where '' only the header says whether it is FOR PROCESSING.

        Raises:
            FilmError: corrupt, where an attribute is unusable.
        """
        slope, intercept = _rescale(header)
        modality_lut = sequence_lut(header, tags.MODALITY_LUT_SEQUENCE, "ModalityLUTSequence", signed=layout.signed)
        lowest = -(1 << layout.bits_stored - 1) if layout.signed else 0
        highest = lowest + (1 << layout.bits_stored) - 1
        negative = modality_lut is None and min(lowest * slope, highest * slope) + intercept < 0
        inverted, beam = _polarity(header, layout, sop_class, falling=modality_lut is None and slope < 0)
        return cls(
            bits_stored=layout.bits_stored,
            signed=layout.signed,
            slope=slope,
            intercept=intercept,
            modality_lut=modality_lut,
            voi_lut=sequence_lut(header, tags.VOI_LUT_SEQUENCE, "VOILUTSequence", signed=negative),
            windows=_windows(header),
            inverted=inverted,
            padding=_padding(header, layout),
            beam=beam,
        )

    def table(self, counts: Counts) -> NDArray[np.float32]:
        """The display value of each cell pattern.

        Args:
            counts: how often each pattern occurs in the film, int ``[2**bits_stored]``.

        Returns:
            float32 ``[2**bits_stored]`` in [0, 1], dense tissue bright, padding 0.

        Raises:
            FilmError: blank, where all pixels that are not padding have one value.
        """
        stored = stored_values(self.bits_stored, signed=self.signed)
        film = np.ones(len(stored), dtype=bool)
        if self.padding is not None:
            film = (stored < self.padding[0]) | (stored > self.padding[1])
        occurs = film & (counts > 0)
        if np.count_nonzero(occurs) < 2:
            raise FilmError(Reason.BLANK, "all pixels have one value")
        display = self._voi(stored.astype(np.float64), np.where(film, counts, 0))
        if self.inverted:
            display = 1.0 - display
        return np.where(film, display, 0.0).astype(np.float32)

    def _voi(self, stored: Floats, counts: Counts) -> Floats:
        values = self.modality_lut(stored) if self.modality_lut else stored * self.slope + self.intercept
        occurs = counts > 0
        if self.voi_lut is not None:
            display = self.voi_lut(values) / self.voi_lut.top
            if _has_contrast(display[occurs]):
                return display
        for window in self.windows:
            display = window(values)
            if _has_contrast(display[occurs]):
                return display
        if self.beam:
            logarithms = self._logarithms(stored)
            if _has_contrast(logarithms[occurs]):
                return _robust(logarithms, counts)
        return _robust(values, counts)

    def _logarithms(self, stored: Floats) -> Floats:
        """The logarithm of the beam, rising where modality values rise.

        The relationship is one of stored values, whatever the rescale. One step of them is the smallest beam there
        is: a dead or fully shadowed pixel measures 0, and an offset correction may go below.
        """
        beam = stored if self.beam > 0 else stored.max() - stored
        rising = self.beam > 0 if self._modality_rises else self.beam < 0
        logarithms = np.asarray(np.log(np.maximum(beam, 1.0)))
        return logarithms if rising else -logarithms

    @property
    def _modality_rises(self) -> bool:
        return self.modality_lut is not None or self.slope > 0


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


def _windows(header: Elements) -> tuple[Window, ...]:
    """The windows whose width is above 0; alternatives of which a viewer offers the first (C.11.2.1.2)."""
    function = header.text(tags.VOI_LUT_FUNCTION).upper()
    function = function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"
    pairs = zip(header.numbers(tags.WINDOW_CENTER), header.numbers(tags.WINDOW_WIDTH), strict=False)
    usable = (pair for pair in pairs if math.isfinite(pair[0]) and math.isfinite(pair[1]) and pair[1] > 0)
    return tuple(Window(center, width, function) for center, width in islice(usable, _MAX_WINDOWS))


def _polarity(header: Elements, layout: Layout, sop_class: str, *, falling: bool) -> tuple[bool, int]:
    """Whether low modality values are bright, and how proportional stored ones follow the beam (`Intensity.beam`).

    `falling` says that modality values fall where stored ones rise: the sign speaks of the stored ones.
    """
    processing = is_for_processing(header, sop_class)
    sign = {1: 1, -1: -1, 0xFFFF: -1}.get(header.integer(tags.PIXEL_INTENSITY_RELATIONSHIP_SIGN) or 0, 0)
    inverted = (sign > 0) != falling if processing and sign else _inverted(header, layout.photometric)
    linear = header.text(tags.PIXEL_INTENSITY_RELATIONSHIP).upper() == "LIN"
    if not linear or not (processing or is_computed_radiography(sop_class)):
        return inverted, 0
    return inverted, sign or (1 if inverted != falling else -1)


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
