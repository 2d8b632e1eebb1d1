"""Short vectors that are close where two pictures are: the low frequencies of a fingerprint, whole or cropped."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

_FREQUENCIES: Final = 10
_FINEST: Final = 9.5  # radius in the frequency plane; what is finer moves too far when a film is cropped
_SAMPLES: Final = 64

CROPS: Final = (0.0, 0.06)
"""Share of a side that may have been cut off; films between two of these are near enough to one of them."""
WINDOWS: Final = tuple(product(CROPS, repeat=4))
"""(top, bottom, left, right) cut off."""

_rows, _columns = np.mgrid[:_FREQUENCIES, :_FREQUENCIES]
_KEPT: Final = (np.hypot(_rows, _columns) <= _FINEST) & (_rows + _columns > 0)
DIMENSIONS: Final = int(_KEPT.sum())


def _cosines(side: int, low: float, high: float) -> NDArray[np.float32]:
    """``[frequencies, side]``: cosine transform of a row of cells without ``low`` and ``high`` of it."""
    places = (low + (np.arange(_SAMPLES) + 0.5) / _SAMPLES * (1 - low - high)) * side - 0.5
    places = np.clip(places, 0, side - 1)
    left = np.minimum(places.astype(int), side - 2)
    weights = np.zeros((_SAMPLES, side))
    weights[np.arange(_SAMPLES), left] = 1 - (places - left)
    weights[np.arange(_SAMPLES), left + 1] += places - left
    angles = np.pi * np.arange(_FREQUENCIES)[:, None] * (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    return np.asarray(np.cos(angles) @ weights / _SAMPLES, dtype=np.float32)


def descriptors(maps: NDArray[np.float32], window: Sequence[float]) -> NDArray[np.float32]:
    """Cosine coefficients of the part of each map that a window leaves, ``[films, DIMENSIONS]``."""
    top, bottom, left, right = window
    side = maps.shape[-1]
    down = np.einsum("fi,nij->nfj", _cosines(side, top, bottom), maps, optimize=True)
    return np.asarray((down @ _cosines(side, left, right).T)[:, _KEPT], dtype=np.float32)
