"""Triage score and class: closed forms and monotonicity."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.inference.triage import LIKELY_NORMAL_ODDS, RULE, triage_class, triage_score

CHANCE = st.floats(0, 1)
URGENCY = {"likely_normal": 0, "routine": 1, "urgent": 2}


def test_score_is_the_chance_of_either_finding():
    p = np.array([[0.0, 0.0], [1.0, 0.3], [0.5, 0.5], [0.2, 0.0]])
    by_enumeration = [
        100 * sum((a if x else 1 - a) * (b if y else 1 - b) for x, y in itertools.product((0, 1), repeat=2) if x or y)
        for a, b in p
    ]
    np.testing.assert_allclose(triage_score(p), by_enumeration, atol=1e-12)
    np.testing.assert_allclose(triage_score(np.array([[0.37]])), [37.0])


@given(CHANCE, CHANCE, CHANCE)
def test_score_rises_with_each_probability(p, q, other):
    low, high = sorted((p, q))
    scores = triage_score(np.array([[low, other], [high, other]]))
    assert 0 <= scores[0] <= scores[1] <= 100


@pytest.mark.parametrize(
    ("tb", "nodule", "expected"),
    [
        (0.40, 0.0, "urgent"),  # at the threshold counts
        (0.39, 0.0, "routine"),
        (0.2501, 0.0, "routine"),  # odds 1/3 are half of the odds 2/3 at 0.4
        (0.2499, 0.0, "likely_normal"),
        (0.1, 0.34, "routine"),  # odds 0.515 against half of 1
        (0.1, 0.33, "likely_normal"),
        (0.0, 0.5, "urgent"),
    ],
)
def test_class_by_hand(tb, nodule, expected):
    assert triage_class({"tb": tb, "nodule": nodule}, {"tb": 0.4, "nodule": 0.5}) == expected


def test_class_without_operating_points():
    assert triage_class({"tb": 0.9, "nodule": 0.9}, {}) is None
    assert triage_class({"tb": 0.9, "nodule": 0.1}, {"nodule": 0.5}) == "routine"
    assert triage_class({"tb": 0.01, "nodule": 0.01}, {"nodule": 0.5}) == "routine"
    assert triage_class({"nodule": 0.01}, {"nodule": 0.5}) == "likely_normal"


@given(CHANCE, CHANCE, CHANCE, CHANCE, CHANCE)
def test_a_higher_probability_is_never_less_urgent(p, q, other, t1, t2):
    low, high = sorted((p, q))
    before, after = (triage_class({"tb": tb, "nodule": other}, {"tb": t1, "nodule": t2}) for tb in (low, high))
    assert URGENCY[before] <= URGENCY[after]


@pytest.mark.parametrize(
    ("tb", "nodule", "expected"),
    [
        (0.10, 0.0, "routine"),  # at the rule-out threshold is not below it
        (0.0999, 0.0, "likely_normal"),
        (0.0999, 0.33, "likely_normal"),  # nodule has no rule-out point: the odds decide
        (0.0999, 0.34, "routine"),
        (0.4, 0.0, "urgent"),
    ],
)
def test_a_locked_rule_out_threshold_takes_the_place_of_the_odds(tb, nodule, expected):
    assert triage_class({"tb": tb, "nodule": nodule}, {"tb": 0.4, "nodule": 0.5}, {"tb": 0.1}) == expected


def test_class_of_a_finding_with_a_rule_out_point_alone():
    assert triage_class({"tb": 0.05, "nodule": 0.1}, {"nodule": 0.5}, {"tb": 0.1}) == "likely_normal"
    assert triage_class({"tb": 0.95, "nodule": 0.1}, {"nodule": 0.5}, {"tb": 0.1}) == "routine"
    assert triage_class({"tb": 0.05}, {}, {"tb": 0.1}) is None


@given(CHANCE, CHANCE, CHANCE, CHANCE, CHANCE, CHANCE, st.none() | CHANCE)
def test_a_higher_probability_is_never_less_urgent_with_rule_out_points(p, q, other, t1, t2, low_tb, low_nodule):
    low, high = sorted((p, q))
    limits = {"tb": low_tb} | ({} if low_nodule is None else {"nodule": low_nodule})
    before, after = (triage_class({"tb": tb, "nodule": other}, {"tb": t1, "nodule": t2}, limits) for tb in (low, high))
    assert URGENCY[before] <= URGENCY[after]
    if after == "likely_normal":  # which promises that no finding is flagged
        assert high < min(t1, low_tb)
        assert other < t2


def test_the_rule_in_words_names_both_ways_to_be_likely_normal():
    assert "rule-out threshold" in RULE
    assert f"odds(p) < {LIKELY_NORMAL_ODDS} * odds(threshold)" in RULE
