"""The box around both lungs: the chest template's best place (`chest_shape`), refined by climbing its correlation."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.chest_shape import LUNG, read_chest
from pipelines.imaging.display import shrink
from pipelines.imaging.picture import LEAST_SCORE

Pixels = NDArray[np.float32]
Floats = NDArray[np.float32]

_SIDE: Final = 64
"""Longer side of the film on which places are compared."""
_LEFT, _RIGHT, _TOP, _BOTTOM = -0.47, 0.47, -0.46, 0.38
"""Edges of the template's lungs: x in chest widths from the midline, y in chest heights from the middle."""
_STEPS: Final = (0.05, 0.025, 0.0125)
_SIZES: Final = (0.4, 1.25)
"""Least and greatest width and height of a chest, in sides of the film."""
_LEAST_CORRELATION: Final = 0.40
_LEAST_SHARE: Final = 0.12
"""A box that covers less of the film is not believed."""


@dataclass(frozen=True, slots=True)
class LungBox:
    """Where both lungs lie: shares of the film's height and width, first row to last, first column to last."""

    top: float
    bottom: float
    left: float
    right: float


def find_lungs(film: Pixels) -> LungBox | None:
    """Return the box around both lungs of an upright frontal film; None where it is not found with confidence.

    Args:
        film: float32 ``[rows, columns]`` in [0, 1], dense tissue bright, without borders.
    """
    small = shrink(np.ascontiguousarray(film), 2 * _SIDE)
    reading = read_chest(small)
    if reading.turns or reading.negative or reading.score < LEAST_SCORE:
        return None
    ranks = _ranks(shrink(small, _SIDE))
    place = _start(reading.lungs, ranks.shape)
    best = _correlation(ranks, place)
    for step in _STEPS:
        place, best = _climb(ranks, place, best, step)
    if best < _LEAST_CORRELATION:
        return None
    x, y, width, height = place
    rows, columns = (side / max(ranks.shape) for side in ranks.shape)
    box = LungBox(
        top=max(0.0, (y + _TOP * height) / rows),
        bottom=min(1.0, (y + _BOTTOM * height) / rows),
        left=max(0.0, (x + _LEFT * width) / columns),
        right=min(1.0, (x + _RIGHT * width) / columns),
    )
    return box if (box.bottom - box.top) * (box.right - box.left) >= _LEAST_SHARE else None


def _ranks(film: Pixels) -> Floats:
    """Grey ranks in (0, 1]: no window or gamma matters."""
    levels = np.clip(film * 1023, 0, 1023).astype(np.int64)
    cumulative = np.cumsum(np.bincount(levels.ravel(), minlength=1024))
    return np.asarray(cumulative[levels] / cumulative[-1], dtype=np.float32)


def _start(lungs: Floats, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Middle, width and height of the chest, in longer sides from the film's corner, from the template's lungs."""
    side = len(lungs)
    rows, columns = (np.flatnonzero(lungs.max(axis) > 0.5) for axis in (1, 0))
    top, bottom = rows[0] / side, (rows[-1] + 1) / side
    left, right = columns[0] / side, (columns[-1] + 1) / side
    height, width = (bottom - top) / (_BOTTOM - _TOP), (right - left) / (_RIGHT - _LEFT)
    # The canvas is a square with the film in its middle.
    down, across = ((1 - length / max(shape)) / 2 for length in shape)
    return (left + right) / 2 - across, top - _TOP * height - down, width, height


def _climb(
    ranks: Floats, place: tuple[float, float, float, float], best: float, step: float
) -> tuple[tuple[float, float, float, float], float]:
    """Move and stretch the template by one step at a time while that helps."""
    for _ in range(12):
        tried = []
        for axis in range(4):
            for sign in (-1, 1):
                other = list(place)
                other[axis] += sign * step
                if _SIZES[0] <= min(other[2:]) and max(other[2:]) <= _SIZES[1]:
                    candidate = other[0], other[1], other[2], other[3]
                    tried.append((_correlation(ranks, candidate), candidate))
        found, candidate = max(tried, default=(best, place))
        if found <= best:
            break
        place, best = candidate, found
    return place, best


def _correlation(ranks: Floats, place: tuple[float, float, float, float]) -> float:
    """Correlation of the template at a place with the film, negative where lungs are bright."""
    x, y, width, height = place
    longest = max(ranks.shape)
    template = _template()
    fine = template.shape[0]
    # Film pixel -> template pixel; the template spans -0.6 to 0.6 chests either way.
    scale_x, scale_y = fine / (1.2 * width * longest), fine / (1.2 * height * longest)
    move = np.array(
        [
            [scale_x, 0.0, (0.5 - x * longest) * scale_x + fine / 2 - 0.5],
            [0.0, scale_y, (0.5 - y * longest) * scale_y + fine / 2 - 0.5],
        ]
    )
    drawn: Any = cv2.warpAffine(
        template,
        move,
        ranks.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=-1.0,
    )
    inside = drawn >= 0
    if np.count_nonzero(inside) < 0.55 * 1.06 * 1.16 * width * height * longest**2:
        return -1.0  # too little of the chest lies on the film
    film, tissue = ranks[inside], 1.0 - drawn[inside]
    film, tissue = film - film.mean(), tissue - tissue.mean()
    norm = float(np.sqrt((film * film).sum() * (tissue * tissue).sum()))
    return float((film * tissue).sum()) / norm if norm > 0 else -1.0


@lru_cache(maxsize=1)
def _template() -> Floats:
    """Lungs 1, tissue 0, outside the chest -1: ``[240, 240]`` over 1.2 x 1.2 chests."""
    fine = 240
    drawn = np.zeros((fine, fine), np.float32)
    for side in (-1, 1):
        points = (LUNG * (side, 1) / 1.2 + 0.5) * fine
        cv2.fillPoly(drawn, [np.round(points).astype(np.int32)], (1.0,))
    drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), 3), dtype=np.float32)
    rows, columns = np.mgrid[0:fine, 0:fine]
    u, v = ((axis + 0.5) / fine * 1.2 - 0.6 for axis in (columns, rows))
    drawn[(np.abs(u) > 0.53) | (np.abs(v) > 0.58)] = -1.0
    return drawn
