"""A film judged from its picture alone: is anything on it, which way round is it, how good is it.

Headers lie: a negative is called MONOCHROME2, a tibia is called CHEST. Everything here takes display values (dense
tissue bright, background 0) of any size and looks at a thumbnail, so that a film decoded at less than full resolution
is judged alike. Quantiles below are those of `benchmarks/picture.py` on 738 films of ChestX-ray14.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.chest_shape import SIDE, Reading, fit_canvas, read_chest
from pipelines.imaging.display import shrink
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.picture_marks import Box, content_box, marked_share

Pixels = NDArray[np.float32]

THUMBNAIL: Final = 256
"""Longer side in pixels of what is judged; marks need twice as much."""

CLIPPED_SHARE: Final = 0.97
"""A film is blank with more than this share of its pixels at black or white."""
_END: Final = 0.5 / 255
_NOISE_FREE: Final = 32
"""Side in cells of the grid on which noise averages out."""
LEAST_CONTRAST: Final = 0.04
"""No contrast: between the 5th and the 95th percentile of such cells less than this share of the grey scale."""
LOW_CONTRAST: Final = 0.35
"""Low contrast: the same range below this."""
LEAST_SCORE: Final = 6.0
"""Below this the picture is not taken for a frontal chest at all, and neither turned nor corrected."""
LEAST_STRUCTURE: Final = 0.01
"""Nor where details finer than about 1 % of its side are weaker than this share of its grey range."""
POLARITY_MARGIN: Final = 2.25
TURN_MARGIN: Final = 2.5
"""Log odds by which a reading must beat its rivals, set after looking at the films that the benchmark measures: there
the largest wrong margin of a chest was below 2."""
_WALL: Final = 0.15
"""What a chest wall is brighter than the lung beside it, at least, as a share of tissue minus lung."""
_OPEN_SHARE: Final = 0.5
"""Lungs run into an edge where so many of the lines between them and the edge cross no wall."""


@dataclass(frozen=True)
class Quality:
    """What the picture says about an accepted film.

    Attributes:
        inverted: whether its polarity contradicted the file and was corrected: the caller says.
        rotation_degrees: 0, 90, 180 or 270: the clockwise turn that would bring it upright; 0 where unsure.
        cropped: whether the lung fields run into an edge of the picture: a side or the lower one.
        low_contrast: whether its anatomy uses little of the grey scale.
        text_area: share covered by rows of three or more burned-in letters and by pure white or black boxes, 0-1;
            single markers, and letters below about 1 % of the longer side, are not seen.
        border: share covered by uniform borders (collimation, padding), 0-1.
    """

    inverted: bool
    rotation_degrees: int
    cropped: bool
    low_contrast: bool
    text_area: float
    border: float


def require_picture(pixels: Pixels) -> None:
    """Refuse a film on which nothing was imaged.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1].

    Raises:
        FilmError: blank (one value, or nearly all pixels clipped to black or white) or no_contrast (grey values vary
            too little once noise, borders and a marker are left out).
    """
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        raise FilmError(Reason.BLANK, "all pixels have one value")
    film = shrink(pixels, THUMBNAIL)
    clipped = _clipped(film)
    if clipped > CLIPPED_SHARE and _clipped(shrink(film, _NOISE_FREE)) > CLIPPED_SHARE / 2:
        raise FilmError(
            Reason.BLANK, f"{clipped:.1%} of the pixels are black or white, at most {CLIPPED_SHARE:.0%} expected"
        )
    contrast = _contrast(film, content_box(film))
    if contrast < LEAST_CONTRAST:
        raise FilmError(
            Reason.NO_CONTRAST,
            f"the picture spans {contrast:.1%} of the grey scale, at least {LEAST_CONTRAST:.0%} expected",
        )


def judge(pixels: Pixels) -> tuple[bool, Quality]:
    """Both of `looks_inverted` and `examine`, in less time than one after the other."""
    look = _Look.at(pixels)
    return look.negative, look.quality(inverted=False)


def looks_inverted(pixels: Pixels) -> bool:
    """Whether this is a frontal chest film in negative (air bright), upright or turned; True only where confident.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1].
    """
    return _Look.at(pixels).negative


def examine(pixels: Pixels, *, inverted: bool = False) -> Quality:
    """Describe an accepted film.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1], dense tissue bright.
        inverted: whether the caller turned a negative into these.
    """
    return _Look.at(pixels).quality(inverted=inverted)


@dataclass(frozen=True, eq=False)
class _Look:
    """What all judgements of one picture share."""

    marked: Pixels
    film: Pixels
    box: Box
    content: Pixels
    reading: Reading
    is_chest: bool

    @classmethod
    def at(cls, pixels: Pixels) -> "_Look":
        marked = shrink(pixels, 2 * THUMBNAIL)
        film = shrink(marked, THUMBNAIL)
        box = content_box(film)
        top, bottom, left, right = box
        content = np.ascontiguousarray(film[top:bottom, left:right])
        reading = read_chest(content)
        return cls(marked, film, box, content, reading, _is_chest(content, reading))

    @property
    def negative(self) -> bool:
        return self.reading.negative and self.reading.polarity_margin >= POLARITY_MARGIN and self.is_chest

    def quality(self, *, inverted: bool) -> Quality:
        chest = self.is_chest and not self.reading.negative
        sure = chest and self.reading.turn_margin >= TURN_MARGIN
        return Quality(
            inverted=inverted,
            rotation_degrees=90 * self.reading.turns if sure else 0,
            cropped=chest and _cropped(self.content, self.reading),
            low_contrast=_contrast(self.film, self.box) < LOW_CONTRAST,
            text_area=marked_share(self.marked),
            border=1.0 - self.content.size / self.film.size,
        )


def _is_chest(content: Pixels, reading: Reading) -> bool:
    """Whether a reading can be believed: it fits, and the picture has the fine structure that mere shading lacks."""
    fine: Any = np.abs(content - cv2.GaussianBlur(content, (0, 0), 0.012 * max(content.shape)))
    low, high = np.percentile(content, (5, 95))
    structure = float(np.percentile(fine, 75))
    return reading.score >= LEAST_SCORE and structure > LEAST_STRUCTURE * float(high - low)


def _clipped(film: Pixels) -> float:
    return float(np.mean((film <= _END) | (film >= 1.0 - _END)))


def _contrast(film: Pixels, box: Box) -> float:
    """Range from the 5th to the 95th percentile inside the borders, on cells that average noise out."""
    top, bottom, left, right = box
    inset = 2 if min(bottom - top, right - left) > 16 else 0  # the blurred edge of a border
    inside = np.ascontiguousarray(film[top + inset : bottom - inset, left + inset : right - inset])
    low, high = np.percentile(shrink(inside, _NOISE_FREE), (5, 95))
    return float(high - low)


def _cropped(content: Pixels, reading: Reading) -> bool:
    """Whether between a lung and the edge on its side, or below it, nothing as bright as a chest wall is seen.

    Above the apices tissue is often as dark as lung (a third of good films): that edge is not judged.
    """
    film = shrink(content, THUMBNAIL // 2)
    rows, columns = film.shape
    if min(rows, columns) < SIDE:
        return False
    top, left, height, width = fit_canvas(rows, columns)
    resized: Any = cv2.resize(reading.lungs[top : top + height, left : left + width], (columns, rows))
    lungs = resized > 0.5
    if not lungs.any() or lungs.all():
        return False
    film, lungs = np.rot90(film, -reading.turns), np.rot90(lungs, -reading.turns)
    depth = float(np.percentile(film[~lungs], 70) - np.median(film[lungs]))
    return any(
        _open_share(np.rot90(film, turn), np.rot90(lungs, turn), _WALL * depth) > _OPEN_SHARE for turn in (0, 2, 3)
    )


def _open_share(film: Pixels, lungs: NDArray[np.bool_], wall: float) -> float:
    """Share of the rows through the lungs in which no wall lies between the first lung and the left edge."""
    rows, columns = film.shape
    smooth: Any = cv2.blur(np.ascontiguousarray(film), (3, rows // 12 | 1))  # along the edge: ribs are no wall
    through = np.flatnonzero(lungs.sum(1) > columns // 10)
    if not len(through):
        return 0.0
    is_open = []
    for row, start in zip(smooth[through], lungs[through].argmax(1), strict=True):
        inner = start + columns // 10
        lung = start + int(row[start : inner + 1].argmin())
        is_open.append(row[: lung + 1].max() - row[lung] < wall)
    return float(np.mean(is_open))
