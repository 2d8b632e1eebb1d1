"""Compiled loops over replicates: they release the interpreter's lock, run on all cores, and are kept on disk."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

Weights = NDArray[np.uint8]


def compiled(*, parallel: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function with numba: no interpreter's lock, kept on disk between runs, division as in IEEE 754."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        made = numba.njit(nogil=True, cache=True, parallel=parallel, error_model="numpy")(function)
        return cast("Callable[P, R]", made)

    return wrap


@compiled()
def _mixed(state: np.uint64) -> np.uint64:
    """SplitMix64's output function (Steele, Lea & Flood, OOPSLA 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@compiled(parallel=True)
def draw_into(weights: Weights, seed: np.uint64, first: int) -> None:
    """Add ``count`` draws with replacement to each row of ``weights`` ``[rows, count]``; see `resampling.draw`."""
    step = np.uint64(0x9E3779B97F4A7C15)
    count = weights.shape[1]
    for row in numba.prange(weights.shape[0]):
        # One stream per replicate: whichever thread draws it, and in whichever block, it draws the same.
        state = _mixed(_mixed(seed + step) ^ (np.uint64(first + row + 1) * step))
        for _ in range(count):
            state += step
            patient = int(float(_mixed(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0) * count)
            if weights[row, patient] < 255:
                weights[row, patient] += 1
