"""Reading a list in the order of the scores: how early the diseased films come.

Two references stand beside the scores' order: arrival order, where the diseased are spread evenly in expectation
(after a share f of the list, f of them have been read), and the ideal order with every diseased film in front.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import EvaluationError

FRACTIONS: Final = (0.1, 0.2, 0.5)
"""Shares of the list at which the positives read so far are counted."""


@dataclass(frozen=True)
class Found:
    """Positives read after the first films of the list."""

    fraction: float
    """Share of the list, (0, 1]."""
    films: int
    """Films read: the fraction of the list, rounded up."""
    found: int
    """Positives among them, in the order of the scores."""
    arrival_share: float
    """Share of the positives expected among them in arrival order."""
    ideal_share: float
    """Share of the positives among them if every positive came first."""


@dataclass(frozen=True)
class Worklist:
    """One list of films read in the order of their scores."""

    n: int
    n_positive: int
    positions: NDArray[np.int64]
    """``[n_positive]``: place of each positive in the list, 1 = read first, rising."""
    at: tuple[Found, ...]

    @property
    def median_position(self) -> float:
        """Median place of the positives as a share of the list, (0, 1]; 0.5 is expected in arrival order."""
        return float(np.median(self.positions)) / self.n


def worklist(labels: ArrayLike, scores: ArrayLike, fractions: tuple[float, ...] = FRACTIONS) -> Worklist:
    """Order a list by falling score and find the positives in it.

    Args:
        labels: ``[n]``, 1 or 0, in order of arrival.
        scores: ``[n]``, larger = read earlier; films with one score stay in order of arrival.
        fractions: shares of the list to count at, each in (0, 1].

    Raises:
        EvaluationError: no positive film, lengths that differ, labels or scores that are not numbers as above.
    """
    truth, score = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise EvaluationError(
            f"Labels and scores must be two lists of one length, got {truth.shape} and {score.shape}."
        )
    if not np.isin(truth, (0, 1)).all() or not np.isfinite(score).all():
        raise EvaluationError("A worklist needs labels of 0 or 1 and finite scores.")
    n, positives = len(truth), int(truth.sum())
    if positives == 0:
        raise EvaluationError(f"A worklist needs a positive film: none of the {n} films is positive.")
    ranked = truth[np.argsort(-score, kind="stable")] == 1
    positions = np.flatnonzero(ranked) + 1
    counts = []
    for fraction in fractions:
        assert 0 < fraction <= 1
        films = math.ceil(fraction * n - 1e-9)
        found = int(np.searchsorted(positions, films, side="right"))
        counts.append(Found(fraction, films, found, films / n, min(1.0, films / positives)))
    return Worklist(n=n, n_positive=positives, positions=positions, at=tuple(counts))


def curve(positions: NDArray[np.int64], n: int, points: int = 101) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the positives read against share of the list read.

    Args:
        positions: places of the positives, 1-based, rising.
        n: films in the list.
        points: evenly spaced points from 0 to 1.

    Returns:
        Share of the list and share of the positives, each ``[points]``, from (0, 0) to (1, 1).
    """
    read = np.linspace(0, 1, points)
    found = np.searchsorted(positions, np.floor(read * n + 1e-9), side="right") / len(positions)
    return read, found
