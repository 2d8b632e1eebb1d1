"""The records of calibration, and how each of its numbers is defined."""

from typing import Final

from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record

METHODS: Final = {
    "ece": "expected calibration error: mean of |mean score - observed share| over equal-count bins, weighted by "
    "films, not debiased",
    "ece_equal_width": "expected calibration error over bins of equal width, weighted by films, not debiased",
    "brier": "Brier score: mean squared difference of score and label",
    "reliability": "Murphy's reliability over equal-count bins (0 is best)",
    "resolution": "Murphy's resolution over equal-count bins (larger is better)",
    "uncertainty": "Murphy's uncertainty: prevalence x (1 - prevalence)",
    "remainder": "what scores that differ within a bin add: Brier - (reliability - resolution + uncertainty)",
    "scaled_brier": "scaled Brier score (index of prediction accuracy): 1 - Brier / uncertainty",
    "observed_expected": "observed positives / sum of the scores",
    "spiegelhalter_z": "Spiegelhalter's z",
    "intercept": "calibration-in-the-large: intercept of a logistic regression with the logit of the score as offset",
    "slope": "calibration slope: logistic regression on the logit of the score",
}


class ReliabilityBin(Record):
    """Films with scores from ``low`` to ``high``."""

    low: float
    high: float
    n: int
    positives: int
    mean_score: float
    observed: Estimate
    """Share of positive films."""


class SmoothCurve(Record):
    """Observed share as a smooth function of the score."""

    score: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float | None, ...]
    """Pointwise bounds; null where the bootstrap has none."""
    high: tuple[float | None, ...]
    level: float
    method: str
    n: int


class Calibration(Record):
    """How far scores can be read as probabilities."""

    n: int
    positives: int
    prevalence: float | None
    """Prevalence that the films were weighted to; null: as they are."""
    bins: tuple[ReliabilityBin, ...]
    smooth: SmoothCurve | None
    smooth_why: str | None
    """Why there is no smooth curve; null where there is one."""
    ece: Estimate
    ece_equal_width: Estimate
    ece_by_chance: Estimate
    """What the equal-count ECE of a perfectly calibrated score would be on as many films: no smaller is to be hoped."""
    brier: Estimate
    reliability: Estimate
    resolution: Estimate
    uncertainty: Estimate
    remainder: Estimate
    scaled_brier: Estimate
    observed_expected: Estimate
    spiegelhalter_z: Estimate
    spiegelhalter_p: Estimate
    intercept: Estimate
    slope: Estimate
    clipped: int
    """Scores of exactly 0 or 1, which were moved inside for logits."""
    notes: tuple[str, ...]


class ShiftedCalibration(Record):
    """Calibration at a named prevalence, with the scores as they are and adjusted to that prevalence."""

    from_prevalence: float
    """Prevalence that the scores are taken to be made for."""
    to_prevalence: float
    before: Calibration
    after: Calibration
