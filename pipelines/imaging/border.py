"""A film's frame alone: what the border-only control sees (see `pipelines.evaluation.control`).

The frame is the outer 8 % of the film's content on each side, its letters and white boxes, the uniform borders around
it, and the shape of the picture. Nothing inside the frame enters: each strip is looked at by itself.
"""

import math
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.imaging.display import shrink
from pipelines.imaging.picture_marks import content_box, text_rows
from pipelines.imaging.thumbnail import film_of, intensity_statistics

FRAME_SHARE: Final = 0.08
"""Thickness of the frame as a share of each side of the content."""
SEGMENTS: Final = 8
"""Parts along each of the four strips."""
_SIDE: Final = 512
"""Longer side in pixels of what is looked at: letters of 1 % of it are still letters."""
_END: Final = 0.5 / 255
"""Nearer than this to black or white counts as pure."""
_PER_STRIP: Final = 2 * SEGMENTS + 3
_PER_CORNER: Final = 4
N_BORDER_FEATURES: Final = 4 * _PER_STRIP + 4 * _PER_CORNER + 5 + 8


def border_features(pixels: ArrayLike) -> NDArray[np.float64]:
    """Features of one film that see its frame and nothing of the lungs.

    Args:
        pixels: ``[rows, columns]``, display values in [0, 1] (dense tissue bright), of any size.

    Returns:
        ``[105]`` float64. For the top, bottom, left and right strip: mean and standard deviation of each of eight equal
        segments, the shares of pure white and of pure black, and the share that rows of letters cover. For the top
        left, top right, bottom left and bottom right corner: mean, standard deviation, minimum, maximum. Mean, standard
        deviation, minimum, maximum and median of the whole frame. Logarithm of width over height of the picture, and of
        its content; the shares of the picture that uniform borders take at the top, bottom, left and right; their
        share of its area, and their mean grey (0 where there are none).

    Raises:
        EvaluationError: as `thumbnail_features`.
    """
    film = shrink(np.asarray(film_of(pixels), dtype=np.float32), _SIDE)
    top, bottom, left, right = content_box(film)
    content = film[top:bottom, left:right]
    deep, wide = (max(1, round(FRAME_SHARE * side)) for side in content.shape)
    strips = (content[:deep], content[-deep:], content[:, :wide].T, content[:, -wide:].T)
    corners = [content[row, column] for row in _ends(deep) for column in _ends(wide)]
    frame = np.concatenate([strip.ravel() for strip in strips]).astype(np.float64)
    parts = [*map(_strip, strips), *map(_corner, corners), intensity_statistics(frame), _shape(film, content)]
    margins = [top / film.shape[0], 1 - bottom / film.shape[0], left / film.shape[1], 1 - right / film.shape[1]]
    return np.concatenate([*parts, margins, _surround(film, content)]).astype(np.float64)


def _ends(depth: int) -> tuple[slice, slice]:
    return slice(None, depth), slice(-depth, None)


def _strip(strip: NDArray[np.float32]) -> NDArray[np.float64]:
    """Features of one strip ``[across, along]``."""
    cuts = np.linspace(0, strip.shape[1], SEGMENTS + 1)
    segments = [strip[:, int(a) : max(int(a) + 1, int(b))] for a, b in pairwise(cuts)]
    values = [value for each in segments for value in (each.mean(dtype=np.float64), each.std(dtype=np.float64))]
    film = np.ascontiguousarray(np.clip(strip * 255 + 0.5, 0, 255).astype(np.uint8))
    return np.array([*values, (strip >= 1 - _END).mean(), (strip <= _END).mean(), text_rows(film).mean()])


def _corner(corner: NDArray[np.float32]) -> NDArray[np.float64]:
    return intensity_statistics(corner.astype(np.float64))[:_PER_CORNER]


def _shape(film: NDArray[np.float32], content: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.array([math.log(each.shape[1] / each.shape[0]) for each in (film, content)])


def _surround(film: NDArray[np.float32], content: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the film's area outside its content, and the mean grey there."""
    outside = film.size - content.size
    if not outside:
        return np.zeros(2)
    rest = film.sum(dtype=np.float64) - content.sum(dtype=np.float64)
    return np.array([outside / film.size, rest / outside])
