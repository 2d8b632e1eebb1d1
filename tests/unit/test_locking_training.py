"""What a finished run locks: the rule that was asked for, or the target sensitivity with a warning."""

import warnings

import numpy as np
import pytest

from pipelines.config import ValidationSection
from pipelines.errors import EvaluationError
from pipelines.training.locking import KnownFilms, LockWarning, lock_flag, lock_rule_out


def films(labels, scores) -> KnownFilms:
    return KnownFilms(np.array(labels, dtype=np.float32), np.array(scores, dtype=float), "tb", "phantom val", "abc")


GOOD = films([1, 1, 0, 0, 0], [0.9, 0.3, 0.6, 0.2, 0.1])


@pytest.mark.parametrize(
    ("wanted", "threshold", "kind"),
    [
        ({}, 0.3, "sensitivity"),
        ({"target_sensitivity": 0.5}, 0.9, "sensitivity"),
        ({"operating_point": "sensitivity=0.5"}, 0.9, "sensitivity"),
        ({"operating_point": "specificity=1"}, 0.9, "specificity"),
        ({"operating_point": "cost=0.5"}, 0.9, "cost"),
        ({"operating_point": "cost=0.5@0.9"}, 0.3, "cost"),
    ],
)
def test_the_rule_asked_for_is_locked(wanted, threshold, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        point = lock_flag(GOOD, ValidationSection(**wanted))
    assert (point.threshold, point.kind, point.cohort) == (threshold, kind, "phantom val")


def test_a_rule_without_an_answer_is_replaced_aloud():
    top_is_negative = films([1, 0, 0], [0.5, 0.9, 0.1])
    with pytest.warns(LockWarning, match="reaches specificity 100 %.*; locked instead: largest threshold with sensit"):
        point = lock_flag(top_is_negative, ValidationSection(operating_point="specificity=1"))
    assert (point.threshold, point.kind, point.target) == (0.5, "sensitivity", 0.9)
    with pytest.raises(EvaluationError, match="one class only"):
        lock_flag(films([1, 1], [0.5, 0.9]), ValidationSection(operating_point="specificity=1"))


def test_a_rule_out_point_is_locked_only_where_asked_and_never_above_the_flag():
    section = ValidationSection()
    assert lock_rule_out(GOOD, section, lock_flag(GOOD, section)) is None
    section = ValidationSection(rule_out_sensitivity=0.99)
    point = lock_rule_out(GOOD, section, lock_flag(GOOD, section))
    assert point is not None
    assert (point.threshold, point.purpose, point.target) == (0.3, "rule_out", 0.99)
    section = ValidationSection(operating_point="cost=1000", rule_out_sensitivity=0.5)
    with pytest.warns(LockWarning, match="No rule-out point was locked.*flagged and filed without a reader"):
        assert lock_rule_out(GOOD, section, lock_flag(GOOD, section)) is None
