"""The thresholds that a finished run locks on its validation films."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.config import ValidationSection
from pipelines.errors import EvaluationError
from pipelines.evaluation.thresholds.operating_point import (
    LockRule,
    OperatingPoint,
    lock_operating_point,
    refuse_contradiction,
)


class LockWarning(UserWarning):
    """A threshold was not locked as the configuration asked."""


class KnownFilms(NamedTuple):
    """Validation films whose label of one finding is known."""

    labels: NDArray[np.float32]
    probabilities: NDArray[np.float64]
    finding: str
    cohort: str
    model_id: str

    def lock(self, rule: LockRule) -> OperatingPoint:
        """Lock a threshold on these films."""
        return lock_operating_point(
            self.labels,
            self.probabilities,
            finding=self.finding,
            rule=rule,
            cohort=self.cohort,
            model_id=self.model_id,
        )


def lock_flag(films: KnownFilms, wanted: ValidationSection) -> OperatingPoint:
    """Lock the flag point on the validation films.

    Days of training are not thrown away for a rule that no threshold answers: with a warning, the target sensitivity
    is locked instead.

    Raises:
        EvaluationError: one class only, which no rule answers.
    """
    try:
        return films.lock(wanted.lock_rule)
    except EvaluationError as error:
        instead = LockRule(kind="sensitivity", target=wanted.target_sensitivity)
        point = films.lock(instead)
        _warn(f"{str(error).rstrip('.')}; locked instead: {instead.words}. `cxr model lock` locks another.")
        return point


def lock_rule_out(films: KnownFilms, wanted: ValidationSection, flag: OperatingPoint) -> OperatingPoint | None:
    """Lock the rule-out point, where one is wanted; none, with a warning, where it would contradict the flag point."""
    if wanted.rule_out_sensitivity is None:
        return None
    point = films.lock(LockRule(kind="rule_out", target=wanted.rule_out_sensitivity))
    try:
        refuse_contradiction(flag, point)
    except EvaluationError as error:
        _warn(f"No rule-out point was locked. {error}")
        return None
    return point


def _warn(message: str) -> None:
    warnings.warn(message, LockWarning, stacklevel=2)
