"""The accuracy of one score set on one set of films: areas, operating points, targets, and a table of thresholds.

Films of one patient are not independent. Where a patient has several films, every interval is a bootstrap of patients
(`pipelines.statistics.resampling`); otherwise intervals are analytic where a published one exists: DeLong for the
AUROC, exact for shares, exact regions for likelihood ratios. What holds a target is always bootstrapped, with its
threshold chosen again in each replicate: its interval includes the uncertainty of the threshold.

Where all replicates are equal (every positive film flagged, say) the bootstrap would claim certainty. The interval is
then the exact one of as many films as there are patients: it forgets the further films of each patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike

from pipelines.errors import EvaluationError
from pipelines.statistics.accuracy.curve import HIGH_SENSITIVITY, sample_curve
from pipelines.statistics.accuracy.parts import Assessed
from pipelines.statistics.accuracy.ratios import Prevalence
from pipelines.statistics.accuracy.records import Accuracy
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.resampling import Clusters, Plan

Interval = Literal["auto", "analytic", "percentile", "bca"]
TARGETS: Final = (0.90, 0.95, 0.98)
"""Sensitivities, and specificities, at which the other one is read."""
TABLE_THRESHOLDS: Final = 50
"""Thresholds of the table at quantiles of the positive films' scores, and as many of the negative films'."""


@dataclass(frozen=True)
class Question:
    """What to ask of a score set, beyond the films themselves."""

    thresholds: tuple[float, ...] = ()
    level: float = DEFAULT_LEVEL
    plan: Plan = field(default_factory=Plan)
    interval: Interval = "auto"
    band: tuple[float, float] = HIGH_SENSITIVITY
    targets: tuple[float, ...] = TARGETS
    prevalence: Prevalence | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise EvaluationError(f"The confidence level must lie between 0 and 1, got {self.level}.")
        if self.interval not in ("auto", "analytic", "percentile", "bca"):
            raise EvaluationError(f"interval must be auto, analytic, percentile or bca, got {self.interval!r}.")

    def resolved(self, clusters: Clusters) -> tuple[Literal["analytic", "percentile", "bca"], Plan]:
        """The intervals to use on these films, and the plan of whatever is bootstrapped."""
        chosen = self.interval
        if chosen == "auto":
            chosen = self.plan.kind if clusters.repeated else "analytic"
        kind = self.plan.kind if chosen == "analytic" else chosen
        return chosen, replace(self.plan, kind=kind, unit="patients" if clusters.repeated else "films")


def accuracy(
    labels: ArrayLike, scores: ArrayLike, *, clusters: Clusters | None = None, question: Question | None = None
) -> Accuracy:
    """Everything of one score set on one set of films.

    Args:
        labels: ``[n]``, 1 or 0.
        scores: ``[n]``, finite, larger = more suspicious, any range.
        clusters: the patients; None: every film is independent.
        question: thresholds, level, intervals, targets.

    Returns:
        The record; what has no answer on these films says why.

    Raises:
        EvaluationError: arrays of different length, a label that is neither 0 nor 1, a score that is not finite, a
            target or threshold that is none.
    """
    truth, score = labels_and_scores(labels, scores)
    asked, known = question or Question(), clusters or Clusters.of(None, len(truth))
    chosen, plan = asked.resolved(known)
    table = table_thresholds(truth, score, asked.thresholds)
    curve = sample_curve(
        truth,
        score,
        clusters=known,
        plan=plan,
        sensitivities=asked.targets,
        specificities=asked.targets,
        thresholds=(*asked.thresholds, *table),
        band=asked.band,
    )
    work = Assessed(truth, score, known, curve, asked.level, chosen)
    return Accuracy(
        n=len(truth),
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        patients=known.present,
        patients_positive=work.patients(truth),
        patients_negative=work.patients(~truth),
        clustered=known.repeated,
        interval=chosen,
        auroc=work.auroc(),
        partial_auroc=work.partial(),
        at_sensitivity=tuple(work.at_target("sensitivity", i) for i in range(len(asked.targets))),
        at_specificity=tuple(work.at_target("specificity", i) for i in range(len(asked.targets))),
        rates=tuple(work.rates(i, asked.prevalence) for i in range(len(asked.thresholds))),
        table=work.table(range(len(asked.thresholds), len(curve.thresholds))),
    )


def auroc(labels: ArrayLike, scores: ArrayLike, *, clusters: Clusters, question: Question) -> Estimate:
    """The AUROC alone, with the interval that `accuracy` gives it; arguments and errors likewise."""
    truth, score = labels_and_scores(labels, scores)
    chosen, plan = question.resolved(clusters)
    curve = sample_curve(truth, score, clusters=clusters, plan=plan, band=question.band)
    return Assessed(truth, score, clusters, curve, question.level, chosen).auroc()


def table_thresholds(truth: Bools, score: Floats, given: Sequence[float] = ()) -> tuple[float, ...]:
    """Thresholds at quantiles of the positive and of the negative films' scores, and the given ones; they rise."""
    shares = np.linspace(0, 1, TABLE_THRESHOLDS)
    parts = [np.quantile(part, shares, method="inverted_cdf") for part in (score[truth], score[~truth]) if len(part)]
    return tuple(map(float, np.unique(np.concatenate([np.asarray(given, dtype=np.float64), *parts]))))
