"""Films in cells of nearly equal score: sums per resampled data set, and logistic regressions on them.

A bootstrap needs the same sums thousands of times. Films are sorted by class and score once and cut into cells; a
compiled loop then adds up each replicate in one pass.
"""

from dataclasses import dataclass
from typing import Final, Self

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import special

from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.kernels import Weights, compiled
from pipelines.statistics.resampling import Clusters

_ITERATIONS: Final = 40
_LONGEST_STEP: Final = 4.0
"""Newton steps that would move a linear predictor further are shortened."""
_CONVERGED: Final = 1e-5
"""The last step moves no linear predictor further than this; Newton's next one would move it by its square."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sums:
    """What each resampled data set (row) adds up to, by class (0: negative, 1: positive) and cell."""

    films: Floats
    """``[b, 2, cells]``"""
    scores: Floats
    """``[b, 2, cells]``: sum of the scores."""
    totals: Floats
    """``[b, 2, 3]``: sums of (y - s)², (y - s)(1 - 2s) and (1 - 2s)² s (1 - s)."""


@dataclass(frozen=True)
class Cells:
    """Films sorted by class and score and cut into cells, with the patient of each."""

    patient: NDArray[np.int32]
    """``[n]``, negatives first, scores rising within a class."""
    score: Floats
    """``[n]`` in the same order."""
    bounds: Ints
    """``[2, cells + 1]``: where the cells of each class begin, and where the last one ends."""

    @classmethod
    def of(cls, labels: Bools, scores: Floats, clusters: Clusters, edges: Floats) -> Self:
        """Cut the films at ``edges`` ``[cells]`` (rising; the smallest score of each cell).

        Films with scores below the first edge are in no cell and are not counted.
        """
        order = np.lexsort((scores, labels))
        patient, score = clusters.index[order].astype(np.int32), np.ascontiguousarray(scores[order])
        negatives = int((~labels).sum())
        bounds = np.stack(
            [
                np.r_[np.searchsorted(score[:negatives], edges, side="left"), negatives],
                np.r_[negatives + np.searchsorted(score[negatives:], edges, side="left"), len(score)],
            ]
        )
        return cls(patient, score, bounds.astype(np.int64))

    def sums(self, weights: Weights) -> Sums:
        """Add up resampled data sets; ``weights`` is ``[b, patients]``."""
        b, cells = len(weights), self.bounds.shape[1] - 1
        films, scores, totals = np.zeros((b, 2, cells)), np.zeros((b, 2, cells)), np.zeros((b, 2, 3))
        _add_up(weights, self.patient, self.score, self.bounds, films, scores, totals)
        return Sums(films, scores, totals)


@compiled(parallel=True)
def _add_up(
    weights: Weights,
    patient: NDArray[np.int32],
    score: Floats,
    bounds: Ints,
    films: Floats,
    scores: Floats,
    totals: Floats,
) -> None:
    for row in numba.prange(weights.shape[0]):
        drawn = weights[row]
        for y in range(2):
            brier = excess = variance = 0.0
            for cell in range(bounds.shape[1] - 1):
                count = total = 0.0
                for film in range(bounds[y, cell], bounds[y, cell + 1]):
                    w = float(drawn[patient[film]])
                    s = score[film]
                    away, lean = y - s, 1.0 - 2.0 * s
                    count += w
                    total += w * s
                    brier += w * away * away
                    excess += w * away * lean
                    variance += w * lean * lean * s * (1.0 - s)
                films[row, y, cell] = count
                scores[row, y, cell] = total
            totals[row, y, 0] = brier
            totals[row, y, 1] = excess
            totals[row, y, 2] = variance


def logistic_fits(films: Floats, positives: Floats, design: Floats, offset: Floats, start: Floats) -> Floats:
    """Fit one logistic regression per row by Newton's method.

    Args:
        films: ``[b, cells]``, how much each cell counts.
        positives: ``[b, cells]``, how much of that is positive.
        design: ``[cells, p]``.
        offset: ``[cells]``, added to the linear predictor.
        start: ``[p]``, where to begin.

    Returns:
        Coefficients ``[b, p]``; NaN in rows without a finite optimum within reach.
    """
    beta = np.tile(np.asarray(start, dtype=np.float64), (len(films), 1))
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    moving = np.arange(len(films))
    for _ in range(_ITERATIONS):
        mean = special.expit(beta[moving] @ design.T + offset)
        slope = (positives[moving] - films[moving] * mean) @ design
        bend = ((films[moving] * mean * (1 - mean)) @ products).reshape(len(moving), *(2 * (design.shape[1],)))
        step = _solved(bend, slope)
        reach = np.abs(step @ design.T).max(axis=1, initial=0.0)
        beta[moving] += step * np.minimum(1.0, _LONGEST_STEP / np.maximum(reach, _LONGEST_STEP))[:, None]
        moving = moving[~(reach <= _CONVERGED) & np.isfinite(reach)]
        if not len(moving):
            break
    beta[moving] = np.nan
    return beta


def _solved(bend: Floats, slope: Floats) -> Floats:
    """Newton steps; NaN where the curvature is (nearly) singular."""
    scale = np.sqrt(np.einsum("bii->bi", bend))
    with np.errstate(divide="ignore", invalid="ignore"):
        even = bend / (scale[:, :, None] * scale[:, None, :])
    good = np.isfinite(even).all(axis=(1, 2))
    good[good] = np.linalg.eigvalsh(even[good])[:, 0] > 1e-10
    step = np.full(slope.shape, np.nan)
    step[good] = np.linalg.solve(bend[good], slope[good][:, :, None])[:, :, 0]
    return step
