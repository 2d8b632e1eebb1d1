"""Short vectors that are close where two pictures are: the low frequencies of a fingerprint, whole or cropped."""

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.film_print import SIDE

_FREQUENCIES: Final = 10
_FINEST: Final = 9.5  # radius in the frequency plane; what is finer moves too far when a film is cropped
_SAMPLES: Final = 64

CROPS: Final = (0.0, 0.06)
"""Share of a side that may have been cut off; films between two of these are near enough to one of them."""
WINDOWS: Final = tuple(product(CROPS, repeat=4))
"""(top, bottom, left, right) cut off."""

_ENDS: Final = len(CROPS) ** 2  # ways to cut the two ends of one axis
_rows, _columns = np.mgrid[:_FREQUENCIES, :_FREQUENCIES]
_KEPT: Final = (np.hypot(_rows, _columns) <= _FINEST) & (_rows + _columns > 0)
DIMENSIONS: Final = int(_KEPT.sum())


def _cosines(low: float, high: float) -> NDArray[np.float32]:
    """``[frequencies, side]``: cosine transform of a row of cells without ``low`` and ``high`` of it."""
    places = (low + (np.arange(_SAMPLES) + 0.5) / _SAMPLES * (1 - low - high)) * SIDE - 0.5
    places = np.clip(places, 0, SIDE - 1)
    left = np.minimum(places.astype(int), SIDE - 2)
    weights = np.zeros((_SAMPLES, SIDE))
    weights[np.arange(_SAMPLES), left] = 1 - (places - left)
    weights[np.arange(_SAMPLES), left + 1] += places - left
    angles = np.pi * np.arange(_FREQUENCIES)[:, None] * (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    return np.asarray(np.cos(angles) @ weights / _SAMPLES, dtype=np.float32)


_TRANSFORM: Final = np.concatenate([_cosines(*ends) for ends in product(CROPS, repeat=2)])


def coefficients(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine coefficients of maps ``[films, side, side]``, cut in every way at both axes.

    Returns:
        ``[films, ways, frequencies, ways, frequencies]``: rows, then columns; ways are (low, high) of `CROPS`.
    """
    across = maps.reshape(-1, SIDE) @ _TRANSFORM.T
    both = np.matmul(_TRANSFORM, across.reshape(len(maps), SIDE, -1))
    return np.asarray(both.reshape(len(maps), _ENDS, _FREQUENCIES, _ENDS, _FREQUENCIES), dtype=np.float32)


def descriptors(found: NDArray[np.float32], turn: int) -> NDArray[np.float32]:
    """Descriptors of films laid by a turn (see `turns`), in all `WINDOWS`.

    A mirrored cosine is itself or its negative, so that nothing is worked out again for another turn.

    Args:
        found: from `coefficients`, of the films as they stand.
        turn: 0 to 7.

    Returns:
        ``[films, windows, DIMENSIONS]``.
    """
    if turn & 1:
        found = found.transpose(0, 3, 4, 1, 2)
    odd = np.where(np.arange(_FREQUENCIES) % 2, np.float32(-1), np.float32(1))
    swapped = np.arange(_ENDS).reshape(len(CROPS), len(CROPS)).T.ravel()  # what was cut low is now cut high
    if turn & 2:
        found = found[:, swapped] * odd[None, None, :, None, None]
    if turn & 4:
        found = found[:, :, :, swapped] * odd
    return np.ascontiguousarray(found.transpose(0, 1, 3, 2, 4)[..., _KEPT]).reshape(len(found), -1, DIMENSIONS)
