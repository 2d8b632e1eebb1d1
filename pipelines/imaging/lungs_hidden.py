"""A film with its lung fields covered: what the lungs-hidden control sees (see `pipelines.evaluation.control`).

The cover is the same on every film: its shape and place carry nothing. A cover that followed the lungs would say where
they were found, and disease moves that (a consolidated lung is no longer found, a shrunken one lies elsewhere). The
price is that on a film whose chest lies off centre, or that is cropped to the lungs, some lung shows beside it.
`benchmarks/lungs_hidden.py` measures how much, against the lungs of `pipelines.imaging.chest_shape`.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.imaging.display import shrink
from pipelines.imaging.picture_marks import content_box
from pipelines.imaging.thumbnail import area_thumbnail, film_of, intensity_statistics

_SIDE: Final = 512
_COVER: Final = (
    *(("..############..",) * 3),
    *((".##############.",) * 9),
    *((".######..######.",) * 2),
    *(("................",) * 2),
)
"""Cells of the 16x16 thumbnail of the film's content; ``#`` is covered."""
VISIBLE: Final[NDArray[np.bool_]] = np.array([[cell == "." for cell in row] for row in _COVER])
"""``[16, 16]``: cells that the control sees."""
N_HIDDEN_FEATURES: Final = int(VISIBLE.sum()) + 5


def lungs_hidden_features(pixels: ArrayLike) -> NDArray[np.float64]:
    """Features of one film whose lung fields are covered.

    Args:
        pixels: ``[rows, columns]``, display values in [0, 1] (dense tissue bright), of any size.

    Returns:
        ``[75]`` float64: the cells of the 16x16 thumbnail of the content (the film without uniform borders) that are
        not covered, row by row; then mean, standard deviation, minimum, maximum and median of these cells.

    Raises:
        EvaluationError: as `thumbnail_features`.
    """
    film = shrink(np.asarray(film_of(pixels), dtype=np.float32), _SIDE)
    top, bottom, left, right = content_box(film)
    seen = area_thumbnail(film[top:bottom, left:right].astype(np.float64))[VISIBLE]
    return np.concatenate([seen, intensity_statistics(seen)])
