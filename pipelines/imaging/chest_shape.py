"""Whether a picture shows a frontal chest, which way up, and in which polarity: a template of lungs, by correlation.

Eight readings of a film are compared: four quarter turns, each as a positive and as a negative. For each the best place
of a drawn pair of lungs is searched on a 32 x 32 thumbnail of grey *ranks* (so no window or gamma matters), and the
mean ranks of the parts of the chest around that place become twelve features: lungs darker than mediastinum, abdomen
and walls, and so on. A reading's score is one linear function of them, the same for all eight; its weights are a
conditional logit fitted on 900 pictures of 300 phantoms (seed 77; each as it is and twice cropped, tilted or both),
in which the right reading is known. No real film took part in the fit;
`benchmarks/picture.py` measures it on real ones.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE: Final = 32
"""Side of the canvas on which shapes are compared, in cells."""
_PLACES: Final = tuple(
    (x, y, width, height)
    for width in (0.52, 0.63, 0.76, 0.9, 1.04)
    for height in (0.52, 0.63, 0.76, 0.9, 1.04)
    if 0.7 <= height / width <= 1.45
    for x in (-0.1, -0.05, 0.0, 0.05, 0.1)
    for y in (-0.18, -0.12, -0.06, 0.0, 0.06, 0.12, 0.18)
)
"""Centre from the middle of the canvas, and size, of the chests that are tried: x, y, width, height in canvas sides."""
LUNG: Final = np.array(
    [(.10, -.40), (.20, -.46), (.30, -.42), (.38, -.28), (.44, -.05), (.47, .20), (.47, .38), (.36, .33), (.22, .27),
     (.12, .27), (.08, .0), (.07, -.25)]
)  # fmt: skip
"""Outline of one lung: x from the midline in chest widths, y from the middle in chest heights."""
_LEAST_SEEN: Final = 0.6
"""A place counts only where this share of its template lies on the film."""
_WEIGHTS: Final = np.array([4.76, 5.14, 4.12, 2.94, -1.66, 1.21, 0.34, 1.23, -0.45, -1.29, -1.02, 1.34])
"""Correlation; mediastinum minus lung (lesser, greater side); abdomen, neck minus lungs; wall minus lung (lesser,
greater); shoulder minus lung (lesser, greater); air beside the chest minus lungs; |left - right lung|; abdomen minus
neck."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The best of the eight readings of a picture.

    Attributes:
        turns: clockwise quarter turns that bring the picture upright, 0-3.
        negative: whether lungs are bright in it.
        score: how well it fits; frontal chests mostly above 6, other pictures below.
        turn_margin: score above the best reading of another turn or polarity.
        polarity_margin: score above the best reading of the other polarity.
        lungs: where the lungs lie in the picture as it is (not turned), float32 [SIDE, SIDE] of 0-1; the picture is
            fitted into the middle of that square.
    """

    turns: int
    negative: bool
    score: float
    turn_margin: float
    polarity_margin: float
    lungs: Floats


def read_chest(pixels: Floats) -> Reading:
    """Compare the eight readings of a film.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1], without borders; a thumbnail is enough.
    """
    ranks, seen = _canvas(pixels)
    turned = [(np.rot90(ranks, -turns).ravel(), np.rot90(seen, -turns).ravel()) for turns in range(4)]
    correlations = _correlate(turned)
    features = np.zeros((8, len(_WEIGHTS)))
    places = np.concatenate([correlations.argmax(0), correlations.argmin(0)])
    for reading, place in enumerate(places):
        turns, sign = reading % 4, 1 if reading < 4 else -1
        features[reading] = _features(*turned[turns], int(place), sign, float(correlations[place, turns]))
    scores = features @ _WEIGHTS
    best = int(scores.argmax())
    other = scores[:4] if best >= 4 else scores[4:]
    lungs = _templates()[2][places[best]][:2].sum(0).reshape(SIDE, SIDE)
    return Reading(
        turns=best % 4,
        negative=best >= 4,
        score=float(scores[best]),
        turn_margin=float(scores[best] - np.delete(scores, best).max()),
        polarity_margin=float(scores[best] - other.max()),
        lungs=np.ascontiguousarray(np.rot90(lungs, best % 4), dtype=np.float32),
    )


def fit_canvas(rows: int, columns: int) -> tuple[int, int, int, int]:
    """Where a picture lies in the canvas: first row, first column, height, width in cells."""
    scale = SIDE / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    return (SIDE - height) // 2, (SIDE - width) // 2, height, width


def _canvas(pixels: Floats) -> tuple[Floats, Floats]:
    """Grey ranks in (0, 1] on the canvas, 0 beside the picture; and where the picture is."""
    top, left, height, width = fit_canvas(pixels.shape[0], pixels.shape[1])
    small = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    levels = np.clip(small * 1023, 0, 1023).astype(np.int64)
    cumulative = np.cumsum(np.bincount(levels.ravel(), minlength=1024))
    ranks, seen = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.float32)
    ranks[top : top + height, left : left + width] = cumulative[levels] / cumulative[-1]
    seen[top : top + height, left : left + width] = 1.0
    return ranks, seen


def _correlate(turned: list[tuple[Floats, Floats]]) -> Floats:
    """Correlation of each place's template with each turned film over what is seen of it: [places, 4]."""
    support, template, _ = _templates()
    ranks = np.stack([film for film, _ in turned], axis=1)
    seen = np.stack([mask for _, mask in turned], axis=1)
    count, total, squares = np.split(support @ np.hstack([seen, ranks, ranks * ranks]), 3, axis=1)
    template_total, product = np.split(template @ np.hstack([seen, ranks]), 2, axis=1)
    template_squares = (template * template) @ seen
    cells = np.maximum(count, 1)
    covariance = product - total * template_total / cells
    variance = (squares - total**2 / cells) * (template_squares - template_total**2 / cells)
    enough = count > _LEAST_SEEN * support.sum(1, keepdims=True)
    return np.where(enough, covariance / np.sqrt(np.maximum(variance, 1e-6)), np.float32(0))


def _features(ranks: Floats, seen: Floats, place: int, sign: int, correlation: float) -> list[float]:
    parts = _templates()[2][place]
    cells = parts @ seen
    means = np.where(cells > 2, (parts @ ranks) / np.maximum(cells, 1e-6), np.nan) * sign
    right, left, middle, abdomen, neck, right_wall, left_wall, right_shoulder, left_shoulder, air = means
    lungs = (right + left) / 2

    def pair(first: float, second: float) -> list[float]:
        both = np.nan_to_num([first - right, second - left])
        return [float(both.min()), float(both.max())]

    rest = np.nan_to_num([abdomen - lungs, neck - lungs, air - lungs, abdomen - neck])
    asymmetry = abs(right - left)
    return [
        correlation * sign,
        *pair(middle, middle),
        *rest[:2],
        *pair(right_wall, left_wall),
        *pair(right_shoulder, left_shoulder),
        rest[2],
        0.5 if np.isnan(asymmetry) else asymmetry,
        rest[3],
    ]


@lru_cache(maxsize=1)
def _templates() -> tuple[Floats, Floats, Floats]:
    """Support and template [places, cells], and the ten parts of the chest [places, 10, cells]."""
    drawn = [_draw(*place) for place in _PLACES]
    support, template, parts = (np.stack([one[i] for one in drawn]).astype(np.float32) for i in range(3))
    return support, template, parts


def _draw(x: float, y: float, width: float, height: float) -> tuple[NDArray[np.float64], ...]:
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    u = ((columns + 0.5) / SIDE - 0.5 - x) / width
    v = ((rows + 0.5) / SIDE - 0.5 - y) / height
    right, left = (_lung_cells(side, x, y, width, height) for side in (-1, 1))
    tissue = 1 - right - left
    beside = np.abs(u)
    support = (beside <= 0.53) & (np.abs(v) <= 0.58)
    parts = [right, left]
    parts.append(tissue * ((beside < 0.10) & (np.abs(v) < 0.35)))
    parts.append(tissue * ((beside < 0.45) & (v > 0.38) & (v < 0.6)))
    parts.append(tissue * ((beside < 0.12) & (v < -0.42) & (v > -0.6)))
    parts += [tissue * ((s * u > 0.38) & (s * u < 0.55) & (v > -0.25) & (v < 0.35)) for s in (-1, 1)]
    parts += [tissue * ((s * u > 0.22) & (s * u < 0.55) & (v < -0.3) & (v > -0.55)) for s in (-1, 1)]
    parts.append(((beside > 0.6) & (v < 0.3)).astype(np.float64))
    template = (1 - 2 * (right + left)) * support
    return support.ravel().astype(np.float64), template.ravel(), np.stack([part.ravel() for part in parts])


def _lung_cells(side: int, x: float, y: float, width: float, height: float) -> NDArray[np.float64]:
    """Share of each canvas cell that one lung covers, 0-1."""
    fine = 4 * SIDE
    points = np.stack([LUNG[:, 0] * side * width + x + 0.5, LUNG[:, 1] * height + y + 0.5], axis=1)
    drawn = np.zeros((fine, fine), np.uint8)
    cv2.fillPoly(drawn, [np.round(points * fine).astype(np.int32)], (255,))
    small: Any = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255.0, dtype=np.float64)
