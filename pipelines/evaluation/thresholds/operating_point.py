"""Operating points: thresholds chosen on validation films, locked to one model, only used afterwards.

A film is flagged where its score is at least the threshold of a flag point; it may be filed without a reader where its
score lies below the threshold of a rule-out point.
"""

import datetime
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, field_validator, model_validator

from pipelines.errors import EvaluationError
from pipelines.evaluation.thresholds.lock_rule import Kind, LockRule, Purpose, check_target, choose_threshold
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores, one_class
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.proportions import confusion
from pipelines.statistics.record import Record

__all__ = [
    "APosteriori",
    "LockRule",
    "OperatingPoint",
    "a_posteriori_point",
    "lock_operating_point",
    "refuse_contradiction",
]


class OperatingPoint(Record):
    """A threshold with the cohort, the rule, the day and the model it belongs to.

    It holds no path and no time of day: two identical training runs of one day lock identical operating points. Points
    locked by earlier versions, which chose by sensitivity alone, have no ``date``.
    """

    finding: str
    """The finding that the scores are for."""
    threshold: float = Field(ge=0, le=1)
    """A calibrated probability; flagged where the score is at least it, filed where a rule-out point's lies above."""
    rule: str
    """How the threshold was chosen, for example ``largest threshold with sensitivity >= 90 %``."""
    target: float = Field(gt=0)
    """The sensitivity or specificity asked for, in (0, 1]; for ``cost``, false alarms that a missed case costs."""
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
    kind: Kind = "sensitivity"
    """Which rule chose the threshold."""
    purpose: Purpose = "flag"
    """``flag``: mark for a reader; ``rule_out``: file without one."""
    prevalence: float | None = Field(None, gt=0, lt=1)
    """For ``cost``: the share of diseased people that the costs were weighed with."""
    date: str | None = None
    """Day on which it was locked, ISO 8601, UTC."""

    @field_validator("date")
    @classmethod
    def _a_day(cls, value: str | None) -> str | None:
        return None if value is None else datetime.date.fromisoformat(value).isoformat()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_target(self.kind, self.target)
        if (self.kind == "rule_out") != (self.purpose == "rule_out"):
            raise ValueError(f"a point of kind {self.kind} cannot have the purpose {self.purpose}")
        if (self.kind == "cost") != (self.prevalence is not None):
            raise ValueError(f"a point of kind {self.kind} has prevalence {self.prevalence}")
        return self


class APosteriori(Record):
    """A threshold chosen on the very films that it is shown for: to look at, never to lock or to compare with one."""

    threshold: float | None
    """A score; None where the rule has no answer on these films."""
    sentence: str
    """What it is, or why there is none."""


def lock_operating_point(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    finding: str,
    target_sensitivity: float | None = None,
    rule: LockRule | str | None = None,
    cohort: str,
    model_id: str,
    level: float = DEFAULT_LEVEL,
    date: str | None = None,
) -> OperatingPoint:
    """Lock the threshold that a rule chooses on the validation films.

    Only scores that occur there are considered; films tied at the threshold are flagged, positives and negatives alike.

    - ``sensitivity``, ``rule_out``: the largest threshold whose sensitivity reaches the target. It is the score of the
      ceil(target x positives)-th highest positive film, so the sensitivity reached is the smallest that the films
      allow at or above the target. With few positives that overshoots (5 positives and a target of 0.90 need all 5)
      and its interval is wide: read ``sensitivity.low``. With all scores tied everything is flagged and specificity
      is 0.
    - ``specificity``: the smallest threshold whose specificity reaches the target, so the sensitivity is the largest
      that the films allow there. Where even the highest score does not reach it (negatives tied at the top), there
      is no point.
    - ``cost``: the threshold of least expected cost per film, ratio x prevalence x (1 - sensitivity) +
      (1 - prevalence) x (1 - specificity); of equal costs the more sensitive, that is the smaller, threshold. Where
      flagging nobody costs less than every threshold, there is no point. Flagging everybody is a point of specificity
      0. Source: Metz, Semin Nucl Med 8 (1978) 283 (the slope of the ROC curve at the best point).

    Args:
        labels: ``[n]``, 1, 0, or NaN for unknown (left out).
        scores: ``[n]``, calibrated probabilities in [0, 1].
        finding: the finding these scores are for.
        target_sensitivity: in (0, 1]; short for ``rule="sensitivity=..."``.
        rule: how to choose, instead of ``target_sensitivity``.
        cohort: where the films come from, in words that name no patient.
        model_id: the model that made the scores.
        level: confidence level of the two intervals.
        date: ISO day to write down; None takes today's, UTC.

    Raises:
        EvaluationError: no positive or no negative film, a score outside [0, 1], a target outside (0, 1], or a rule
            that no threshold answers.
        TypeError: not exactly one of ``target_sensitivity`` and ``rule``.
    """
    chosen = _one_rule(target_sensitivity, rule)
    truth, score = _known(labels, scores)
    missing = one_class(truth)
    if missing:
        raise EvaluationError(f"No operating point for {finding!r} on {cohort!r}: {missing}.")
    if score.min() < 0 or score.max() > 1:
        raise EvaluationError(
            f"No operating point for {finding!r}: scores must be probabilities in [0, 1], "
            f"got {score.min():g} to {score.max():g}."
        )
    threshold = choose_threshold(truth, score, chosen, where=f"for {finding!r} on {cohort!r}")
    counts = confusion(truth, score, threshold)
    own_prevalence = float(truth.mean()) if chosen.kind == "cost" else None
    return OperatingPoint(
        finding=finding,
        threshold=threshold,
        rule=chosen.words,
        target=chosen.target,
        cohort=cohort,
        n=len(truth),
        n_positive=int(truth.sum()),
        sensitivity=counts.sensitivity(level),
        specificity=counts.specificity(level),
        model_id=model_id,
        kind=chosen.kind,
        purpose=chosen.purpose,
        prevalence=own_prevalence if chosen.prevalence is None else chosen.prevalence,
        date=_today() if date is None else date,
    )


def a_posteriori_point(labels: ArrayLike, scores: ArrayLike, rule: LockRule | str) -> APosteriori:
    """Return the threshold that a rule would choose on the films under evaluation, labelled as such.

    Args:
        labels: ``[n]``, 1, 0, or NaN for unknown (left out).
        scores: ``[n]``, any finite numbers, larger = more suspicious.
        rule: as for `lock_operating_point`; ties likewise.

    Returns:
        The threshold and what to print beside it; no threshold, and why, where the rule has no answer.

    Raises:
        EvaluationError: a rule that cannot be read, lists of different lengths, or scores that are not finite.
    """
    chosen = LockRule.parse(rule) if isinstance(rule, str) else rule
    truth, score = _known(labels, scores)
    missing = one_class(truth)
    if missing:
        return APosteriori(threshold=None, sentence=f"No a-posteriori threshold ({chosen.words}): {missing}.")
    try:
        threshold = choose_threshold(truth, score, chosen, where="on these films")
    except EvaluationError as error:
        return APosteriori(threshold=None, sentence=f"No a-posteriori threshold. {error}")
    return APosteriori(
        threshold=threshold,
        sentence=(
            f"A-posteriori threshold {threshold:.4g}: {chosen.words}, chosen on the very {len(truth)} films that it is "
            f"shown for ({int(truth.sum())} positive). It is not locked, and what it reaches here is optimistic."
        ),
    )


def refuse_contradiction(flag: OperatingPoint, rule_out: OperatingPoint) -> None:
    """Refuse a rule-out threshold above the flag threshold of the same finding.

    Raises:
        EvaluationError: films between the two would be flagged for a reader and filed without one.
    """
    if rule_out.threshold > flag.threshold:
        raise EvaluationError(
            f"The rule-out threshold of {flag.finding!r} is {rule_out.threshold:.4g} ({rule_out.rule}), above its flag "
            f"threshold {flag.threshold:.4g} ({flag.rule}): films between them would be flagged and filed without a "
            "reader; ask for a higher rule-out sensitivity or a less sensitive flag."
        )


def _one_rule(target_sensitivity: float | None, rule: LockRule | str | None) -> LockRule:
    if (target_sensitivity is None) == (rule is None):
        raise TypeError("exactly one of target_sensitivity and rule must be given")
    if rule is not None:
        return LockRule.parse(rule) if isinstance(rule, str) else rule
    assert target_sensitivity is not None
    if not 0 < target_sensitivity <= 1:
        raise EvaluationError(f"target_sensitivity must lie in (0, 1], got {target_sensitivity}.")
    return LockRule(kind="sensitivity", target=target_sensitivity)


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _known(labels: ArrayLike, scores: ArrayLike) -> tuple[Bools, Floats]:
    """Labels and scores of the films whose label is known."""
    given = np.asarray(labels, dtype=np.float64)
    if given.shape != np.shape(scores):
        raise EvaluationError(f"Labels {given.shape} and scores {np.shape(scores)} must have one length.")
    known = ~np.isnan(given)
    return labels_and_scores(given[known], np.asarray(scores, dtype=np.float64)[known])
