"""Standard grey values: a film's percentiles are landmarks, mapped piecewise linearly to a standard scale.

Source: Nyul and Udupa 1999 (Magn Reson Med 42:1072); Nyul, Udupa and Zhang 2000 (IEEE Trans Med Imaging 19:143).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pixels = NDArray[np.float32]
Landmarks = tuple[float, ...]

PERCENTILES: Final = (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)
"""Landmarks: the ends without outliers, and the deciles."""
STANDARD: Final = (0.10, 0.22, 0.31, 0.39, 0.46, 0.53, 0.60, 0.66, 0.72, 0.79, 0.92)
"""Where they are mapped to: display values, a round curve. Any rising one would do as well, so none is learned."""
_LEAST_STEP: Final = 1e-3
"""Landmarks closer than this (clipped films) are set apart, so that the map is defined everywhere."""
_TABLE: Final = 4096


def film_landmarks(pixels: ArrayLike) -> Landmarks:
    """Return the landmarks of one film, or of the part of it that counts.

    Args:
        pixels: display values in [0, 1], any shape, at least one.
    """
    return tuple(float(value) for value in np.percentile(np.asarray(pixels, dtype=np.float32), PERCENTILES))


def mean_landmarks(films: Sequence[Landmarks]) -> Landmarks:
    """Return the landmarks of a site: the mean over its films, at least one."""
    assert films, "a site has at least one film"
    return tuple(float(value) for value in np.mean(np.asarray(films, dtype=np.float64), axis=0))


def standardise(pixels: Pixels, landmarks: Landmarks) -> Pixels:
    """Map display values so that these landmarks come to lie on the standard scale; 0 stays 0 and 1 stays 1.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1].
        landmarks: of the film, or of its site.

    Returns:
        float32 in [0, 1]; a rising function of the value alone, so the order of grey values is kept.
    """
    knots = _apart(landmarks)
    at = np.linspace(0.0, 1.0, _TABLE)
    table = np.interp(at, np.concatenate([[0.0], knots, [1.0]]), (0.0, *STANDARD, 1.0)).astype(np.float32)
    # Linear between entries: a table alone would make twelve-bit films coarser.
    place = np.clip(pixels, 0.0, 1.0) * np.float32(_TABLE - 1)
    below = np.minimum(place.astype(np.int32), _TABLE - 2)
    low = table[below]
    return np.asarray(low + (place - below) * (table[below + 1] - low), dtype=np.float32)


def _apart(landmarks: Landmarks) -> NDArray[np.float64]:
    """Strictly rising knots inside (0, 1)."""
    steps = _LEAST_STEP * np.arange(1, len(landmarks) + 1)
    rising = np.maximum.accumulate(np.asarray(landmarks) - steps) + steps  # at least a step more than the last
    rising = np.maximum(rising, steps)
    return np.asarray(np.minimum(rising, 1.0 - steps[::-1]), dtype=np.float64)
