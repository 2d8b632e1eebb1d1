"""The decision curve against dcurves and hand counts."""

import warnings

import numpy as np
import pandas as pd
import pytest
from dcurves import dca
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from pipelines.errors import ConfigError
from pipelines.statistics.decision import FEWEST, DecisionCurve, decision_curve
from pipelines.statistics.resampling import Clusters, Plan

FEW = Plan(replicates=40, seed=3, unit="films")


def films(n=400, seed=0, digits=2):
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.5, n)
    labels = rng.random(n) < special.expit(0.8 * logit)
    return labels.astype(int), np.round(special.expit(logit), digits)


def reference(labels, scores, thresholds, prevalence=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = dca(pd.DataFrame({"y": labels, "s": scores}), "y", ["s"], thresholds=thresholds, prevalence=prevalence)
    return frame[frame.model == "s"], frame[frame.model == "all"]


@pytest.mark.parametrize("prevalence", [None, 0.05, 0.6])
@pytest.mark.parametrize("seed", range(3))
def test_net_benefit_agrees_with_dcurves_with_scores_on_the_thresholds(seed, prevalence):
    labels, scores = films(seed=seed)
    thresholds = np.round(np.arange(0.05, 0.7, 0.05), 2)  # many scores lie exactly on them
    assert np.isin(thresholds, scores).sum() > 8
    found = decision_curve(labels, scores, thresholds=thresholds, prevalence=prevalence, plan=FEW)
    assert [p.threshold for p in found.points] == list(thresholds)
    system, everyone = reference(labels, scores, thresholds, prevalence)
    assert [p.net_benefit.value for p in found.points] == pytest.approx(list(system.net_benefit))
    assert [p.treat_all.value for p in found.points] == pytest.approx(list(everyone.net_benefit))
    avoided = [p.avoided_per_100.value for p in found.points]
    assert avoided == pytest.approx(list(100 * system.net_intervention_avoided))
    share = labels.mean() if prevalence is None else prevalence
    for point in found.points:
        assert point.standardised.value == pytest.approx(point.net_benefit.value / share)
        best = max(0, point.treat_all.value)
        assert point.over_best_default.value == pytest.approx(point.net_benefit.value - best)


def test_a_score_on_the_threshold_is_flagged():
    labels = np.r_[np.ones(10), np.zeros(20)]
    scores = np.r_[np.full(6, 0.5), np.full(4, 0.2), np.full(6, 0.5), np.full(14, 0.2)]
    point = decision_curve(labels, scores, thresholds=[0.5], plan=FEW).points[0]
    assert point.flagged.value == pytest.approx(12 / 30)
    assert point.net_benefit.value == pytest.approx(6 / 30 - 6 / 30)
    above = decision_curve(labels, scores, thresholds=[0.4], plan=FEW).points[0]
    assert above.net_benefit.value == pytest.approx(6 / 30 - 6 / 30 * 2 / 3)


def test_intervals_come_near_those_of_resampled_films():
    labels, scores = films(300, seed=5)
    found = decision_curve(
        labels, scores, thresholds=[0.3], plan=Plan(replicates=1500, seed=1, kind="percentile", unit="films")
    ).points[0]
    rng = np.random.default_rng(8)
    rows = rng.integers(0, 300, (3000, 300))
    y, flagged = labels[rows] == 1, scores[rows] >= 0.3
    drawn = (y & flagged).mean(axis=1) - (~y & flagged).mean(axis=1) * 0.3 / 0.7
    expected = np.quantile(drawn, [0.025, 0.975])
    assert (found.net_benefit.low, found.net_benefit.high) == pytest.approx(tuple(expected), abs=0.008)


def test_patients_with_several_films_widen_the_interval():
    labels, scores = films(200, seed=5)
    triple = [np.repeat(part, 3) for part in (labels, scores)]
    plan = Plan(replicates=300)
    clusters = Clusters.of(np.repeat(np.arange(200), 3), 600)
    apart = decision_curve(*triple, thresholds=[0.3], plan=plan).points[0].net_benefit
    joint = decision_curve(*triple, thresholds=[0.3], plan=plan, clusters=clusters).points[0].net_benefit
    assert joint.value == apart.value
    assert 1.4 < (joint.high - joint.low) / (apart.high - apart.low) < 2.1


def test_the_axis_is_what_the_data_support():
    labels, scores = films(500)
    scores = np.maximum(scores, 0.03)
    found = decision_curve(labels, scores, plan=FEW)
    assert (found.points[0].threshold, found.points[-1].threshold) == (found.low, found.high)
    assert found.high <= scores.max()

    def supported(t):
        return min((scores >= t).sum(), (scores < t).sum()) >= FEWEST

    assert all(supported(p.threshold) for p in found.points)
    assert not supported(np.nextafter(found.low, 0))
    assert not supported(np.nextafter(found.high, 1))
    asked = decision_curve(labels, scores, thresholds=[0.001, 0.3, 0.999], plan=FEW)
    assert [p.threshold for p in asked.points] == [0.3]
    assert asked.left_out == (0.001, 0.999)


@pytest.mark.parametrize(
    ("labels", "scores", "why"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], "one class only"),
        ([], [], "no films"),
        ([1, 0] * 10, [0.4] * 20, "no threshold"),
        ([1, 0] * 10, [40.0] * 20, "outside [0, 1]"),
        ([1] + [0] * 20, [0.5] * 21, "only 1 films"),
        ([1, 0] * 10, [0.0] * 16 + [1.0] * 4, "no threshold"),
    ],
)
def test_no_curve_has_a_reason(labels, scores, why):
    found = decision_curve(labels, scores, plan=FEW)
    assert found.points == ()
    assert why in found.why


def test_perfect_separation_reaches_the_prevalence():
    found = decision_curve([0, 1] * 10, [0.0, 1.0] * 10, plan=FEW)
    assert (found.low, found.high) == (1e-6, np.nextafter(1, 0))
    assert [p.net_benefit.value for p in found.points] == pytest.approx([0.5] * 50)
    assert found.points[0].avoided_per_100.value == pytest.approx(50)


def test_thresholds_outside_the_support_have_a_reason():
    labels, scores = films()
    found = decision_curve(labels, scores, thresholds=[0.9999], plan=FEW)
    assert "which the data support" in found.why
    assert found.left_out == (0.9999,)


@pytest.mark.parametrize("more", [{"prevalence": 0.0}, {"prevalence": 1.2}, {"thresholds": [0.0]}, {"thresholds": [1]}])
def test_wrong_shares_are_refused(more):
    with pytest.raises(ConfigError):
        decision_curve([1, 0], [0.2, 0.3], **more)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 10)), min_size=1, max_size=60))
def test_any_films_give_a_complete_record(pairs):
    labels, scores = np.array([p[0] for p in pairs]).astype(int), np.array([p[1] for p in pairs]) / 10
    found = decision_curve(labels, scores, plan=Plan(replicates=10))
    assert DecisionCurve.model_validate_json(found.model_dump_json()) == found
    assert bool(found.points) != bool(found.why)
    for point in found.points:
        assert point.net_benefit.value <= labels.mean() + 1e-12
        flagged = scores >= point.threshold
        assert point.flagged.value == pytest.approx(flagged.mean())
