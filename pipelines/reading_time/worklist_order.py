"""Films by falling score as weighted lists: the compiled core of `pipelines.reading_time.worklist`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.kernels import Weights, compiled
from pipelines.statistics.resampling import Clusters, Statistic

FIXED: Final = 3
"""Columns of `Order.statistic` before the quantiles: area, gain, prevalence."""


@dataclass(frozen=True)
class Order:
    """Films by falling score."""

    truth: Bools
    group: NDArray[np.int64]
    """``[n]``: number of the film's score, 0 = the highest, rising."""
    patient: NDArray[np.int32]

    @classmethod
    def of(cls, truth: Bools, score: Floats, clusters: Clusters) -> "Order":
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        group = np.cumsum(np.r_[False, ranked[1:] != ranked[:-1]]) if len(ranked) else np.empty(0)
        return cls(truth[order], group.astype(np.int64), clusters.index[order])

    def places(self) -> Floats:
        """Expected place of each positive, 1 = read first, rising."""
        size = np.bincount(self.group)
        middle = np.cumsum(size) - (size - 1) / 2
        return np.asarray(middle[self.group[self.truth]], dtype=np.float64)

    @property
    def positive_patients(self) -> int:
        """Patients with a positive film."""
        return len(np.unique(self.patient[self.truth]))

    def found(self, read: Floats) -> Floats:
        """Expected share of the positives among the first films, a share ``read`` of the list (whole films)."""
        size, positive = np.bincount(self.group), np.bincount(self.group, weights=self.truth)
        edges, sums = np.r_[0, np.cumsum(size)], np.r_[0, np.cumsum(positive)]
        return np.asarray(np.interp(np.floor(read * edges[-1] + 1e-9), edges, sums) / sums[-1], dtype=np.float64)

    def statistic(self, quantiles: Sequence[float], fractions: Sequence[float]) -> Statistic:
        """For `resample`: area, gain, prevalence; the quantiles of the places of the positives as shares of the list;
        then by fraction of the list the share of the positives among its films, and positives per film.

        All are undefined without a positive film; the gain also where every film is positive.
        """
        at, middle = np.asarray(fractions, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)

        def evaluate(weights: Weights) -> Floats:
            out = np.full((len(weights), FIXED + len(middle) + 2 * len(at)), np.nan)
            _orders(weights, self.truth, self.group, self.patient, middle, at, out)
            return out

        return evaluate


@compiled()
def _counted(weight: Weights, truth: Bools, patient: NDArray[np.int32]) -> tuple[int, int]:
    """Films, and positives among them."""
    total, positives = 0, 0
    for film in range(len(truth)):
        w = int(weight[patient[film]])
        total += w
        if truth[film]:
            positives += w
    return total, positives


@compiled()
def _portion(rank: float, first: int, end: int) -> float:
    """How much of the value at ``rank`` (0-based, linear between neighbours) the positives first … end - 1 make up."""
    below = int(rank)
    part = rank - below
    portion = 0.0
    if first <= below < end:
        portion += 1 - part
    if first <= below + 1 < end:
        portion += part
    return portion


@compiled()
def _one_order(
    weight: Weights,
    truth: Bools,
    group: NDArray[np.int64],
    patient: NDArray[np.int32],
    quantiles: Floats,
    fractions: Floats,
    out: Floats,
) -> None:
    n = len(truth)
    total, positives = _counted(weight, truth, patient)
    if positives == 0:
        return
    base = FIXED + len(quantiles)
    out[FIXED:] = 0.0
    read, found, places, film = 0, 0, 0.0, 0
    while film < n:
        here, size, hits = group[film], 0, 0
        while film < n and group[film] == here:
            w = int(weight[patient[film]])
            size += w
            if truth[film]:
                hits += w
            film += 1
        if size == 0:
            continue
        middle = read + (size + 1) / 2
        places += hits * middle
        for j in range(len(quantiles)):
            out[FIXED + j] += middle * _portion((positives - 1) * quantiles[j], found, found + hits)
        for j in range(len(fractions)):
            films = np.ceil(fractions[j] * total - 1e-9)
            share = min(max((films - read) / size, 0.0), 1.0)
            out[base + 2 * j] += share * hits
        read += size
        found += hits
    out[0] = 1 - (places / positives - 0.5) / total
    if positives < total:
        out[1] = min(1.0, max(-1.0, (2 * out[0] - 1) / (1 - positives / total)))
    out[2] = positives / total
    for j in range(len(quantiles)):
        out[FIXED + j] /= total
    for j in range(len(fractions)):
        cases = out[base + 2 * j]
        out[base + 2 * j] = cases / positives
        out[base + 2 * j + 1] = cases / np.ceil(fractions[j] * total - 1e-9)


@compiled(parallel=True)
def _orders(
    weights: Weights,
    truth: Bools,
    group: NDArray[np.int64],
    patient: NDArray[np.int32],
    quantiles: Floats,
    fractions: Floats,
    out: Floats,
) -> None:
    """One weighted list a row: a film of weight w is w films with one score."""
    for row in numba.prange(weights.shape[0]):
        _one_order(weights[row], truth, group, patient, quantiles, fractions, out[row])
