"""What every statistic asks of its two arrays."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import EvaluationError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def labels_and_scores(labels: ArrayLike, scores: ArrayLike) -> tuple[Bools, Floats]:
    """Check one binary reference and one score per film.

    Args:
        labels: ``[n]``, 1 or 0 (or booleans); leave unknown labels out before.
        scores: ``[n]``, finite, larger = more suspicious.

    Returns:
        Boolean labels and float64 scores, both ``[n]``.

    Raises:
        EvaluationError: the arrays differ in length, a label is neither 0 nor 1, or a score is not finite.
    """
    truth: NDArray[Any] = np.asarray(labels)
    score = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise EvaluationError(
            f"Labels and scores must be two lists of one length, got {truth.shape} and {score.shape}."
        )
    if not np.isin(truth, (0, 1)).all():
        raise EvaluationError("Labels must be 0 or 1 here: leave films with unknown labels out first.")
    if not np.isfinite(score).all():
        raise EvaluationError(f"{int((~np.isfinite(score)).sum())} of {len(score)} scores are not finite numbers.")
    return truth.astype(bool), score


def one_class(labels: Bools) -> str | None:
    """Why a two-class statistic has no answer here; None where both classes are present."""
    positive = int(labels.sum())
    negative = len(labels) - positive
    if positive and negative:
        return None
    if not len(labels):
        return "no films with a known label and a score"
    return f"one class only: {positive} positive and {negative} negative films"
