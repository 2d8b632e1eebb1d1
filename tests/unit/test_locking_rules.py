"""Rules that choose a threshold: against every threshold tried in turn, with ties, and where there is no answer."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import roc_curve

from pipelines.errors import EvaluationError
from pipelines.evaluation.thresholds.operating_point import (
    LockRule,
    OperatingPoint,
    a_posteriori_point,
    lock_operating_point,
    refuse_contradiction,
)

FILMS = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=40).filter(
    lambda films: 0 < sum(label for label, _ in films) < len(films)
)
"""Labels and scores on a coarse grid, so that ties within and between the classes are common."""
SHARE = st.integers(1, 100).map(lambda percent: Fraction(percent, 100))


def lock(labels, scores, rule, **more):
    given = {"finding": "tb", "cohort": "phantom val", "model_id": "abc", "date": "2026-01-31"} | more
    return lock_operating_point(labels, scores, rule=rule, **given)


def split_up(films):
    labels = [int(label) for label, _ in films]
    return labels, [score / 12 for _, score in films]


def every_threshold(labels, scores):
    """(threshold, sensitivity, specificity) as exact fractions, for each score that occurs, lowest first."""
    positives, negatives = sum(labels), len(labels) - sum(labels)
    for threshold in sorted(set(scores)):
        caught = sum(label == 1 and score >= threshold for label, score in zip(labels, scores, strict=True))
        spared = sum(label == 0 and score < threshold for label, score in zip(labels, scores, strict=True))
        yield threshold, Fraction(caught, positives), Fraction(spared, negatives)


@given(FILMS, SHARE, st.sampled_from(["sensitivity", "rule_out"]))
def test_sensitivity_takes_the_largest_threshold_that_reaches_it(films, target, kind):
    labels, scores = split_up(films)
    point = lock(labels, scores, f"{kind}={float(target)}")
    assert point.threshold == max(t for t, sensitivity, _ in every_threshold(labels, scores) if sensitivity >= target)
    assert (point.kind, point.purpose) == (kind, "rule_out" if kind == "rule_out" else "flag")


@given(FILMS, SHARE)
def test_specificity_takes_the_smallest_threshold_that_reaches_it(films, target):
    labels, scores = split_up(films)
    reaching = [t for t, _, specificity in every_threshold(labels, scores) if specificity >= target]
    if not reaching:
        with pytest.raises(EvaluationError, match="No threshold for 'tb' on 'phantom val' reaches specificity"):
            lock(labels, scores, f"specificity={float(target)}")
        return
    point = lock(labels, scores, f"specificity={float(target)}")
    assert point.threshold == min(reaching)
    assert point.specificity.value >= float(target) - 1e-12
    best = max(s for t, s, specificity in every_threshold(labels, scores) if specificity >= target)
    assert point.sensitivity.value == pytest.approx(float(best))


@given(FILMS, st.integers(1, 60), st.one_of(st.none(), st.integers(1, 99).map(lambda percent: Fraction(percent, 100))))
def test_cost_takes_the_cheapest_threshold_and_of_equals_the_more_sensitive(films, tenths, prevalence):
    labels, scores = split_up(films)
    ratio, place = Fraction(tenths, 10), prevalence or Fraction(sum(labels), len(labels))
    costs = [
        (ratio * place * (1 - sensitivity) + (1 - place) * (1 - specificity), -sensitivity, threshold)
        for threshold, sensitivity, specificity in every_threshold(labels, scores)
    ]
    text = f"cost={float(ratio)}" + ("" if prevalence is None else f"@{float(prevalence)}")
    if ratio * place < min(costs)[0]:
        with pytest.raises(EvaluationError, match="flagging nobody costs least"):
            lock(labels, scores, text)
        return
    point = lock(labels, scores, text)
    assert point.threshold == min(costs)[2]
    assert point.prevalence == pytest.approx(float(place))


def test_specificity_agrees_with_scikit_learn_on_many_films():
    rng = np.random.default_rng(3)
    labels = rng.random(4000) < 0.1
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.15), 0, 1).round(3)
    fpr, tpr, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    inside = thresholds <= 1
    for target in (0.5, 0.7, 0.9, 0.99):
        expected = thresholds[inside & (1 - fpr >= target - 1e-12)].min()
        assert lock(labels, scores, f"specificity={target}").threshold == expected
    for ratio, place in ((5.0, 0.1), (30.0, 0.02)):
        cost = ratio * place * (1 - tpr) + (1 - place) * fpr
        assert lock(labels, scores, f"cost={ratio}@{place}").threshold == thresholds[inside][np.argmin(cost[inside])]


def test_ties_and_equal_costs_by_hand():
    labels, scores = [1, 1, 0, 0], [0.9, 0.3, 0.6, 0.1]
    # At 0.9 one case is missed, at 0.3 one alarm is false: with ratio 1 both cost a quarter.
    assert lock(labels, scores, "cost=1").threshold == 0.3
    assert lock(labels, scores, "cost=0.9").threshold == 0.9
    assert lock([1, 0, 0], [0.4, 0.4, 0.2], "specificity=0.5").threshold == 0.4
    with pytest.raises(EvaluationError, match=r"reaches specificity 90 %.* 1 of 2 negative films, so at most 50 %"):
        lock([1, 0, 0], [0.4, 0.4, 0.2], "specificity=0.9")
    everyone = lock([1, 0], [0.2, 0.8], "cost=1000")
    assert (everyone.threshold, everyone.specificity.value) == (0.2, 0.0)


def test_a_point_says_how_where_and_when_it_was_locked():
    point = lock([1, 1, 0, 0], [0.9, 0.3, 0.6, 0.1], "cost=10@0.05")
    assert (point.kind, point.target, point.prevalence, point.date) == ("cost", 10, 0.05, "2026-01-31")
    assert point.rule == "threshold of least expected cost, a missed case costing 10 false alarms, prevalence 5 %"
    assert "prevalence of this cohort" in lock([1, 0], [0.9, 0.1], "cost=10").rule
    assert lock([1, 0], [0.9, 0.1], "rule_out=0.99").rule.endswith("for filing without a reader")
    today = lock_operating_point([1, 0], [1, 0], finding="tb", rule="cost=1", cohort="c", model_id="m")
    assert today == lock_operating_point([1, 0], [1, 0], finding="tb", rule="cost=1", cohort="c", model_id="m")


@pytest.mark.parametrize("rule", ["sensitivity=0.9", "specificity=0.5", "cost=3", "cost=3@0.2", "rule_out=1.0"])
def test_points_and_rules_survive_their_text(rule):
    assert LockRule.parse(LockRule.parse(rule).text) == LockRule.parse(rule)
    point = lock([1, 0, 1, 0], np.array([0.1 / 3, 0.01, 0.7, 0.2]), rule)
    assert OperatingPoint.model_validate_json(point.model_dump_json()) == point


def test_a_point_of_an_earlier_version_is_still_read():
    point = lock([1, 0], [0.9, 0.1], "sensitivity=0.9")
    old = {k: v for k, v in point.model_dump(mode="json").items() if k not in ("kind", "purpose", "prevalence", "date")}
    read = OperatingPoint.model_validate(old)
    assert (read.kind, read.purpose, read.prevalence, read.date) == ("sensitivity", "flag", None, None)
    assert read == point.model_copy(update={"date": None})


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "specificity", "target": 1.5},
        {"kind": "rule_out"},
        {"purpose": "rule_out"},
        {"kind": "cost"},
        {"prevalence": 0.5},
        {"date": "31.1.2026"},
        {"date": "2026-02-30"},
        {"threshold": float("nan")},
    ],
)
def test_a_point_that_contradicts_itself_is_refused(change):
    good = lock([1, 0], [0.9, 0.1], "sensitivity=0.9").model_dump()
    with pytest.raises(ValidationError):
        OperatingPoint.model_validate(good | change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected sensitivity=0.9"),
        ("0.9", "expected sensitivity=0.9"),
        ("sensitivity", "expected sensitivity=0.9"),
        ("sensitivity=", "expected sensitivity=0.9"),
        ("sensitivity=high", "expected sensitivity=0.9"),
        ("sensitivity=90", r"sensitivity must lie in \(0, 1\], found 90"),
        ("sensitivity=0", "target: Input should be greater than 0"),
        ("specificity=-0.1", "target: Input should be greater than 0"),
        ("specificity=nan", "target: Input should be"),
        ("cost=inf", "target: Input should be a finite number"),
        ("cost=1_0", "expected sensitivity=0.9"),
        ("cost=10@", "expected sensitivity=0.9"),
        ("cost=10@0", "prevalence: Input should be greater than 0"),
        ("cost=10@1", "prevalence: Input should be less than 1"),
        ("cost=10@0.1@0.2", "expected sensitivity=0.9"),
        ("rule_out=0.99@0.1", "only cost takes a prevalence, found rule_out"),
        ("youden=1", "kind: Input should be 'sensitivity', 'specificity', 'cost' or 'rule_out'"),
    ],
)
def test_a_rule_that_cannot_be_read_is_one_sentence(text, message):
    with pytest.raises(EvaluationError, match=message) as caught:
        LockRule.parse(text)
    assert "\n" not in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("rule", ["sensitivity=0.9", "specificity=0.5", "cost=3", "rule_out=0.9"])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], [0.1, 0.2], "one class only: 2 positive and 0 negative films"),
        ([0, 0], [0.1, 0.2], "one class only: 0 positive and 2 negative films"),
        ([], [], "no films with a known label"),
        ([1, 0], [0.1, 1.2], r"scores must be probabilities in \[0, 1\]"),
        ([1, 0], [0.1, np.nan], "not finite"),
        ([1, 0], [0.1], "must have one length"),
        ([1, 2], [0.1, 0.2], "Labels must be 0 or 1"),
    ],
)
def test_what_cannot_be_locked_says_why(rule, labels, scores, message):
    with pytest.raises(EvaluationError, match=message):
        lock(labels, scores, rule)


def test_exactly_one_way_to_choose():
    with pytest.raises(TypeError):
        lock_operating_point([1, 0], [1, 0], finding="tb", cohort="c", model_id="m")
    with pytest.raises(TypeError):
        lock([1, 0], [1, 0], "cost=1", target_sensitivity=0.9)
    both = [
        lock([1, 0, 1], [1, 0, 0.5], rule, **more)
        for rule, more in ((None, {"target_sensitivity": 0.5}), ("sensitivity=0.5", {}))
    ]
    assert both[0] == both[1]


@given(FILMS, st.sampled_from(["sensitivity=0.9", "specificity=0.7", "cost=2", "rule_out=0.95"]))
def test_an_a_posteriori_threshold_is_the_one_that_would_be_locked_and_is_labelled(films, rule):
    labels, scores = split_up(films)
    shown = a_posteriori_point(labels, [100 * score - 7 for score in scores], rule)  # any scale will do
    if shown.threshold is None:
        assert shown.sentence.startswith("No a-posteriori threshold. No threshold on these films")
        return
    assert shown.threshold == pytest.approx(100 * lock(labels, scores, rule).threshold - 7)
    assert shown.sentence.startswith("A-posteriori threshold")
    assert "not locked" in shown.sentence
    assert f"the very {len(labels)} films" in shown.sentence


def test_an_a_posteriori_threshold_of_one_class_is_absent_with_a_reason():
    shown = a_posteriori_point([1, np.nan], [3.0, np.nan], "sensitivity=0.9")
    assert shown.threshold is None
    assert "one class only: 1 positive and 0 negative" in shown.sentence


def test_a_rule_out_threshold_above_the_flag_threshold_is_refused():
    labels, scores = [1, 1, 0, 0], [0.9, 0.3, 0.6, 0.1]
    sensitive, lax = lock(labels, scores, "sensitivity=1"), lock(labels, scores, "rule_out=0.5")
    with pytest.raises(EvaluationError, match="would be flagged and filed without a reader"):
        refuse_contradiction(sensitive, lax)
    refuse_contradiction(sensitive, lock(labels, scores, "rule_out=1"))
    refuse_contradiction(lock(labels, scores, "sensitivity=0.5"), lax)
