"""Accuracy of many groups of films at once, on every replicate, from one pass over the films in order of score.

The area under the ROC curve of a group, and of all films outside it, follow from integer counts: with U(g, h) twice the
number of pairs of a positive of g and a negative of h that are ranked right (ties count half),

    U(rest of g, rest of g) = U(all, all) - U(g, all) - U(all, g) + U(g, g),

so that the pass costs the same for two groups as for twenty.
"""

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.kernels import Weights, compiled

Codes = NDArray[np.int32]

METRICS: Final = ("auroc", "sensitivity", "specificity", "ppv", "npv", "flagged", "observed_expected")
"""Order of the last axis of `accuracy`."""
_SUMS: Final = 8  # positives, negatives, true positives, false positives, U own, U(g, all), U(all, g), sum of scores
POSITIVES, NEGATIVES, TRUE_POSITIVES, FALSE_POSITIVES, _OWN, _TO_ALL, _FROM_ALL, EXPECTED = range(_SUMS)


@dataclass(frozen=True)
class Films:
    """Films in rising order of score, in one or several partitions into groups."""

    patient: Codes
    """``[n]``"""
    positive: Bools
    """``[n]``"""
    score: Floats
    """``[n]``, rising."""
    flag: Bools
    """``[n]``"""
    code: Codes
    """``[partitions, n]``: group of the film, numbered through all partitions."""
    known: Bools
    """``[groups]``: False for the films whose value is not known: a group, but not part of any other group's rest."""
    partition: Codes
    """``[groups]``: which partition a group belongs to."""

    @classmethod
    def of(
        cls,
        patient: Codes,
        positive: Bools,
        score: Floats,
        flag: Bools,
        partitions: "list[tuple[Codes, Bools]]",
    ) -> "Films":
        """Sort films by score and number the groups of all partitions.

        Args:
            patient: ``[n]``.
            positive: ``[n]``.
            score: ``[n]``, finite.
            flag: ``[n]``.
            partitions: for each the group of each film ``[n]`` (0 to g - 1) and which groups are known ``[g]``.
        """
        order = np.argsort(score, kind="stable")
        sizes = [len(known) for _, known in partitions]
        starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        shifted = [code[order] + start for (code, _), start in zip(partitions, starts, strict=True)]
        return cls(
            patient=patient[order].astype(np.int32),
            positive=positive[order],
            score=score[order].astype(np.float64),
            flag=flag[order],
            code=np.array(shifted, dtype=np.int32).reshape(len(partitions), len(score)),
            known=np.concatenate([known for _, known in partitions]) if partitions else np.empty(0, dtype=bool),
            partition=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        )

    def sums(self, weights: Weights) -> Floats:
        """Counts of each group and of each group's rest: the statistic to resample.

        Args:
            weights: ``[b, patients]``: how often each patient counts.

        Returns:
            ``[b, 2 * groups * 6]``, from ``[b, side, 6]``: sides are the groups, then their rests (the known films of
            the same partition outside the group); of each: positives, negatives, true positives, false positives,
            twice the pairs ranked right, sum of scores.
        """
        raw = np.zeros((len(weights), len(self.known), _SUMS))
        _add_sums(
            weights, self.patient, self.positive, self.score, self.flag, self.code, self.known, self.partition, raw
        )
        own = raw[:, :, [POSITIVES, NEGATIVES, TRUE_POSITIVES, FALSE_POSITIVES, _OWN, EXPECTED]]
        rest = np.zeros_like(own)
        for number in range(len(self.code)):
            inside = np.flatnonzero((self.partition == number) & self.known)
            part = raw[:, inside]
            total = part.sum(axis=1, keepdims=True)
            left = total - part
            pairs = total[:, :, _TO_ALL] - part[:, :, _TO_ALL] - part[:, :, _FROM_ALL] + part[:, :, _OWN]
            left[:, :, _OWN] = pairs
            rest[:, inside] = left[:, :, [POSITIVES, NEGATIVES, TRUE_POSITIVES, FALSE_POSITIVES, _OWN, EXPECTED]]
        return np.concatenate([own, rest], axis=1).reshape(len(weights), -1)


@compiled(parallel=True)
def _add_sums(
    weights: Weights,
    patient: Codes,
    positive: Bools,
    score: Floats,
    flag: Bools,
    code: Codes,
    known: Bools,
    partition: Codes,
    out: Floats,
) -> None:
    """Fill ``out`` ``[b, groups, 8]``; one replicate after another, all partitions of one in turn."""
    groups, n = len(known), len(score)
    for row in numba.prange(weights.shape[0]):
        below, tied = np.zeros(groups, dtype=np.int64), np.zeros(groups, dtype=np.int64)
        for part in range(code.shape[0]):
            known_below, positives_below = 0, 0
            first = 0
            while first < n:
                last, known_tied, positives_tied = first, 0, 0
                while last < n and score[last] == score[first]:
                    w, g = int(weights[row, patient[last]]), code[part, last]
                    if positive[last]:
                        positives_tied += w if known[g] else 0
                    else:
                        tied[g] += w
                        known_tied += w if known[g] else 0
                    last += 1
                for film in range(first, last):
                    w, g = int(weights[row, patient[film]]), code[part, film]
                    out[row, g, 7] += w * score[film]
                    if positive[film]:
                        out[row, g, 0] += w
                        out[row, g, 2] += w * flag[film]
                        out[row, g, 4] += w * (2 * below[g] + tied[g])
                        out[row, g, 5] += w * (2 * known_below + known_tied)
                    else:
                        out[row, g, 1] += w
                        out[row, g, 3] += w * flag[film]
                        # Positives below for now; those above follow once all positives are counted.
                        out[row, g, 6] += w * (2 * positives_below + positives_tied)
                for film in range(first, last):
                    g = code[part, film]
                    below[g] += tied[g]
                    tied[g] = 0
                known_below += known_tied
                positives_below += positives_tied
                first = last
            for g in range(groups):
                if partition[g] == part:
                    out[row, g, 6] = 2.0 * positives_below * out[row, g, 1] - out[row, g, 6]


def accuracy(sums: Floats) -> Floats:
    """Metrics of each side.

    Args:
        sums: ``[rows, sides * 6]`` as `Films.sums` gives them.

    Returns:
        ``[rows, sides * 7]`` in the order of `METRICS`; NaN where a denominator is 0.
    """
    positive, negative, hit, alarm, pairs, expected = np.moveaxis(sums.reshape(len(sums), sums.shape[1] // 6, 6), -1, 0)
    flagged, films = hit + alarm, positive + negative
    tops = (pairs, hit, negative - alarm, hit, negative - alarm, flagged, positive)
    bottoms = (2 * positive * negative, positive, negative, flagged, films - flagged, films, expected)
    found = np.full((*positive.shape, len(METRICS)), np.nan)
    for j, (top, bottom) in enumerate(zip(tops, bottoms, strict=True)):
        np.divide(top, bottom, out=found[..., j], where=bottom > 0)
    return found.reshape(len(sums), positive.shape[1] * len(METRICS))
