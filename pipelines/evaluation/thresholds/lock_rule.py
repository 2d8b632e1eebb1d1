"""Rules by which a threshold is chosen on validation films, and the choice itself."""

import math
from typing import Final, Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.estimates import percent_text
from pipelines.statistics.record import Record

Kind = Literal["sensitivity", "specificity", "cost", "rule_out"]
Purpose = Literal["flag", "rule_out"]
KINDS: Final[tuple[Kind, ...]] = ("sensitivity", "specificity", "cost", "rule_out")
RULE_EXAMPLES: Final = "sensitivity=0.9, specificity=0.7, cost=10, cost=10@0.05 (at that prevalence) or rule_out=0.99"
_ROUNDING: Final = 1e-12
"""Expected costs nearer than this, relatively, are one cost: the same sum in another order."""


class LockRule(Record):
    """How a threshold is to be chosen. ``LockRule.parse("sensitivity=0.9")`` reads it, `text` writes it."""

    kind: Kind
    target: float = Field(gt=0)
    """The sensitivity or specificity to reach, in (0, 1]; for ``cost``, how many false alarms a missed case costs."""
    prevalence: float | None = Field(None, gt=0, lt=1)
    """For ``cost`` alone: share of diseased people where the threshold will be used; None takes the cohort's own."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        check_target(self.kind, self.target)
        if self.prevalence is not None and self.kind != "cost":
            raise ValueError(f"only cost takes a prevalence, found {self.kind} with prevalence {self.prevalence:g}")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sensitivity=0.9``, ``specificity=0.7``, ``cost=10``, ``cost=10@0.05`` or ``rule_out=0.99``.

        Raises:
            EvaluationError: one sentence with the text, what is wrong and the forms there are.
        """
        kind, _, values = text.partition("=")
        target, at, prevalence = values.partition("@")
        try:
            numbers = {"target": _number(target)} | ({"prevalence": _number(prevalence)} if at else {})
        except ValueError:
            raise EvaluationError(f"Rule {text!r}: expected {RULE_EXAMPLES}.") from None
        try:
            return cls.model_validate({"kind": kind.strip(), **numbers})
        except ValidationError as error:
            first = error.errors()[0]
            where, why = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
            raise EvaluationError(
                f"Rule {text!r}: {f'{where}: ' if where else ''}{why}; expected {RULE_EXAMPLES}."
            ) from None

    @property
    def purpose(self) -> Purpose:
        """What a threshold of this rule is for."""
        return "rule_out" if self.kind == "rule_out" else "flag"

    @property
    def text(self) -> str:
        """The rule as `parse` reads it."""
        return f"{self.kind}={self.target!r}" + ("" if self.prevalence is None else f"@{self.prevalence!r}")

    @property
    def words(self) -> str:
        """The rule in words; a prevalence that is left out is the cohort's own."""
        if self.kind == "cost":
            place = "of this cohort" if self.prevalence is None else percent_text(self.prevalence)
            costs = f"a missed case costing {self.target:g} false alarms"
            return f"threshold of least expected cost, {costs}, prevalence {place}"
        share = percent_text(self.target)
        if self.kind == "specificity":
            return f"smallest threshold with specificity >= {share}"
        purpose = ", for filing without a reader" if self.kind == "rule_out" else ""
        return f"largest threshold with sensitivity >= {share}{purpose}"


def check_target(kind: Kind, target: float) -> None:
    """Refuse a share above 1.

    Raises:
        ValueError: names the kind and the number.
    """
    if kind != "cost" and target > 1:
        raise ValueError(f"{kind} must lie in (0, 1], found {target:g}")


def choose_threshold(truth: Bools, score: Floats, rule: LockRule, *, where: str) -> float:
    """Return the threshold that a rule chooses among the scores that occur; a film is flagged at or above it.

    Args:
        truth: ``[n]``; both classes occur.
        score: ``[n]``, finite, larger = more suspicious.
        rule: how to choose; `lock_operating_point` states each kind with its ties.
        where: "on which films", for errors.

    Raises:
        EvaluationError: no threshold reaches the specificity, or none is worth its false alarms.
    """
    positives, negatives = np.sort(score[truth]), np.sort(score[~truth])
    if rule.kind == "specificity":
        return _most_sensitive(positives, negatives, rule, where)
    if rule.kind == "cost":
        return _cheapest(positives, negatives, rule, where)
    return float(positives[len(positives) - _needed(rule.target, len(positives))])


def _most_sensitive(positives: Floats, negatives: Floats, rule: LockRule, where: str) -> float:
    """The smallest score that reaches the specificity."""
    candidates = np.union1d(positives, negatives)
    below = np.searchsorted(negatives, candidates, side="left")
    reaching = np.flatnonzero(below >= _needed(rule.target, len(negatives)))
    if not len(reaching):
        raise EvaluationError(
            f"No threshold {where} reaches specificity {percent_text(rule.target)}: the highest score is that of "
            f"{len(negatives) - below[-1]} of {len(negatives)} negative films, so at most "
            f"{percent_text(float(below[-1] / len(negatives)))} can be had."
        )
    return float(candidates[reaching[0]])


def _cheapest(positives: Floats, negatives: Floats, rule: LockRule, where: str) -> float:
    """The smallest score of least expected cost."""
    candidates = np.union1d(positives, negatives)
    own = len(positives) / (len(positives) + len(negatives))
    prevalence = own if rule.prevalence is None else rule.prevalence
    missed = np.searchsorted(positives, candidates, side="left") / len(positives)
    alarms = 1 - np.searchsorted(negatives, candidates, side="left") / len(negatives)
    nobody = rule.target * prevalence
    cost = nobody * missed + (1 - prevalence) * alarms
    least = float(cost.min())
    if nobody < least * (1 - _ROUNDING):
        raise EvaluationError(
            f"No threshold {where} is worth its false alarms: with a missed case costing {rule.target:g} of them and a "
            f"prevalence of {percent_text(prevalence)}, flagging nobody costs least."
        )
    return float(candidates[np.flatnonzero(cost <= least * (1 + _ROUNDING))[0]])


def _needed(share: float, films: int) -> int:
    """The smallest number of films that makes up a share."""
    # 0.07 * 100 is 7.000000000000001 in floating point: the tolerance keeps ceil at 7.
    return max(1, math.ceil(share * films - 1e-9))


def _number(text: str) -> float:
    if "_" in text:  # Python's own notation, nobody else's
        raise ValueError(text)
    return float(text)
