"""Operating points: thresholds chosen on validation films, locked to one model, only used afterwards."""

import math

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import labels_and_scores, one_class
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, percent_text
from pipelines.statistics.proportions import confusion


class OperatingPoint(BaseModel):
    """A threshold with the cohort, the rule and the model it belongs to.

    It holds no date and no path: two identical training runs lock identical operating points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    finding: str
    """The finding that is flagged where its score is at least the threshold."""
    threshold: float = Field(ge=0, le=1)
    """A calibrated probability."""
    rule: str
    """How the threshold was chosen, for example ``sensitivity >= 0.9``."""
    target: float = Field(gt=0, le=1)
    """The sensitivity asked for."""
    cohort: str
    """Where it was chosen, for example ``phantom val``."""
    n: int = Field(ge=2)
    """Films with a known label in that cohort."""
    n_positive: int = Field(ge=1)
    """Positive films among them."""
    sensitivity: Estimate
    """Sensitivity on that cohort; optimistic, because the threshold was chosen there."""
    specificity: Estimate
    """Specificity on that cohort; optimistic likewise."""
    model_id: str = Field(min_length=1)
    """The one model whose scores this threshold may be used with."""


def lock_operating_point(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    finding: str,
    target_sensitivity: float,
    cohort: str,
    model_id: str,
    level: float = DEFAULT_LEVEL,
) -> OperatingPoint:
    """Lock the largest threshold whose sensitivity on the validation films reaches the target.

    The threshold is the score of the ceil(target x positives)-th highest positive film, so the sensitivity reached is
    the smallest that the films allow at or above the target. With few positives that overshoots (5 positives and a
    target of 0.90 need all 5) and its interval is wide: read ``sensitivity.low``. Films tied at the threshold are
    flagged, positives and negatives alike; with all scores tied everything is flagged and specificity is 0.

    Args:
        labels: ``[n]``, 1, 0, or NaN for unknown (left out).
        scores: ``[n]``, calibrated probabilities in [0, 1].
        finding: the finding these scores are for.
        target_sensitivity: in (0, 1].
        cohort: where the films come from, in words that name no patient.
        model_id: the model that made the scores.
        level: confidence level of the two intervals.

    Raises:
        EvaluationError: no positive or no negative film, a score outside [0, 1], or a target outside (0, 1].
    """
    if not 0 < target_sensitivity <= 1:
        raise EvaluationError(f"target_sensitivity must lie in (0, 1], got {target_sensitivity}.")
    given = np.asarray(labels, dtype=np.float64)
    known = ~np.isnan(given)
    if given.shape != np.shape(scores):
        raise EvaluationError(f"Labels {given.shape} and scores {np.shape(scores)} must have one length.")
    truth, score = labels_and_scores(given[known], np.asarray(scores, dtype=np.float64)[known])
    missing = one_class(truth)
    if missing:
        raise EvaluationError(f"No operating point for {finding!r} on {cohort!r}: {missing}.")
    if score.min() < 0 or score.max() > 1:
        raise EvaluationError(
            f"No operating point for {finding!r}: scores must be probabilities in [0, 1], "
            f"got {score.min():g} to {score.max():g}."
        )
    positives = np.sort(score[truth])[::-1]
    # 0.07 * 100 is 7.000000000000001 in floating point: the tolerance keeps ceil at 7.
    needed = max(1, math.ceil(target_sensitivity * len(positives) - 1e-9))
    threshold = float(positives[needed - 1])
    counts = confusion(truth, score, threshold)
    return OperatingPoint(
        finding=finding,
        threshold=threshold,
        rule=f"largest threshold with sensitivity >= {percent_text(target_sensitivity)}",
        target=target_sensitivity,
        cohort=cohort,
        n=len(truth),
        n_positive=len(positives),
        sensitivity=counts.sensitivity(level),
        specificity=counts.specificity(level),
        model_id=model_id,
    )
