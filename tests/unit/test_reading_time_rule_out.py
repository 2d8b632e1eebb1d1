"""Filing without a reader: brute force, scikit-learn's ROC, the published figure, tolerance limits by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_curve

from pipelines.errors import ConfigError, EvaluationError
from pipelines.reading_time.rule_out import SENSITIVITIES, RuleOut, rule_out_curve
from pipelines.statistics.resampling import Clusters, Plan, draw

FEW = Plan(replicates=200, seed=3)


def best(labels, scores, target):
    """The highest score that may be the threshold, by trying each."""
    kept = [t for t in np.unique(scores) if (scores[labels == 1] >= t).mean() >= target - 1e-12]
    return max(kept)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 6)), min_size=1, max_size=50), st.sampled_from(SENSITIVITIES)
)
@settings(max_examples=80, deadline=None)
def test_the_threshold_is_the_highest_that_keeps_the_target(films, target):
    labels, scores = map(np.array, zip(*films, strict=True))
    found = rule_out_curve(labels, scores, plan=Plan(replicates=10), sensitivities=(target,), prevalence=0.3)
    point, sick, well = found.points[0], scores[labels == 1], scores[labels == 0]
    assert RuleOut.model_validate_json(found.model_dump_json()) == found
    if not len(sick):
        assert point.threshold.value is None
        assert point.threshold.why == "no film is remarkable"
        return
    threshold = best(labels, scores, target)
    assert point.threshold.value == threshold
    assert point.missed == (sick < threshold).sum() <= point.allowed
    assert point.cohort.filed_share.value == pytest.approx((scores < threshold).mean())
    assert point.cohort.missed_per_10000_screened.value == pytest.approx(1e4 * (sick < threshold).sum() / len(films))
    filed = (scores < threshold).sum()
    if filed:
        assert point.cohort.npv.value == pytest.approx((well < threshold).sum() / filed)
        assert point.cohort.missed_per_10000_filed.value == pytest.approx(1e4 * (sick < threshold).sum() / filed)
    else:
        assert point.cohort.npv.why == "no film is filed"
    if len(well):
        se, sp = (sick >= threshold).mean(), (well < threshold).mean()
        assert point.specificity.value == pytest.approx(sp)
        assert point.local.filed_share.value == pytest.approx(0.3 * (1 - se) + 0.7 * sp)
        assert point.local.missed_per_10000_screened.value == pytest.approx(3000 * (1 - se))
    else:
        assert point.specificity.why == "no film is unremarkable"
        assert point.local.filed_share.value is None


def test_specificity_is_that_of_the_roc_curve():
    rng = np.random.default_rng(1)
    labels = (rng.random(3000) < 0.3).astype(int)
    scores = rng.normal(size=3000) + 1.2 * labels
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    for point in rule_out_curve(labels, scores, plan=FEW).points:
        assert point.specificity.value == pytest.approx(1 - fpr[tpr >= point.target - 1e-12].min())
        assert point.specificity.low < point.specificity.value < point.specificity.high
        assert point.threshold.low <= point.threshold.value <= point.threshold.high


def test_the_published_share():
    # Plesner 2024: 1,961 films, 37.2 % unremarkable, specificity 0.471 at sensitivity 0.99: 18.15 % filed.
    sick, well = 1000, 1000
    labels = np.r_[np.ones(sick), np.zeros(well)]
    scores = np.r_[np.zeros(10), np.full(sick - 10, 2.0), np.full(471, 1.0), np.full(well - 471, 2.0)]
    point = rule_out_curve(labels, scores, plan=FEW, sensitivities=(0.99,), prevalence=0.628).points[0]
    assert point.specificity.value == pytest.approx(0.471)
    assert point.local.filed_share.value == pytest.approx(0.18149, abs=1e-5)
    assert point.local.npv.value == pytest.approx(1 - 0.00628 / 0.181492)


def test_replicates_choose_their_own_threshold():
    rng = np.random.default_rng(4)
    labels, scores = rng.integers(0, 2, 80), rng.integers(0, 30, 80)
    patient = rng.integers(0, 40, 80)
    clusters = Clusters.of(patient, 80)
    plan = Plan(replicates=300, seed=9, kind="percentile")
    weights = draw(clusters.count, plan.seed, 0, plan.replicates)
    thresholds, specificity, filed, missed = [], [], [], []
    for weight in weights:
        film = np.repeat(np.arange(80), weight[clusters.index])
        threshold = best(labels[film], scores[film], 0.9)
        thresholds.append(threshold)
        specificity.append((scores[film][labels[film] == 0] < threshold).mean())
        filed.append((scores[film] < threshold).mean())
        missed.append((scores[labels == 1] < threshold).mean())
    point = rule_out_curve(labels, scores, clusters=clusters, plan=plan, sensitivities=(0.9,)).points[0]

    def bounds(values):
        return pytest.approx(np.quantile(values, [0.025, 0.975]))

    assert [point.threshold.low, point.threshold.high] == bounds(thresholds)
    assert [point.specificity.low, point.specificity.high] == bounds(specificity)
    assert [point.cohort.filed_share.low, point.cohort.filed_share.high] == bounds(filed)
    assert [point.sensitivity.low, point.sensitivity.high] == bounds(1 - np.array(missed))


def test_the_share_missed_by_a_chosen_threshold_is_within_its_interval_as_often_as_said():
    rng, rounds, inside, naive = np.random.default_rng(5), 1500, 0, 0
    labels = np.r_[np.ones(120), np.zeros(5)]
    plan = Plan(replicates=2)
    for _ in range(rounds):
        scores = np.r_[rng.normal(size=120), rng.normal(size=5) - 1]
        point = rule_out_curve(labels, scores, plan=plan, sensitivities=(0.95,)).points[0]
        truth = 1 - stats.norm.cdf(point.threshold.value)  # sensitivity of this threshold among films to come
        inside += point.sensitivity.low <= truth <= point.sensitivity.high
        naive += truth >= 0.95
    assert inside / rounds == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / rounds))
    assert naive / rounds < 0.5  # reaching the target here does not promise it elsewhere


def test_clustered_bound_agrees_with_the_exact_one_where_both_exist():
    rng = np.random.default_rng(6)
    labels = np.r_[np.ones(400), np.zeros(400)]
    scores = rng.normal(size=800) + labels
    alone = rule_out_curve(labels, scores, sensitivities=(0.95,)).points[0].sensitivity
    pair = np.r_[np.arange(400), 0, np.arange(401, 800)]  # film 400, unremarkable, belongs to patient 0
    still = rule_out_curve(labels, scores, sensitivities=(0.95,), clusters=Clusters.of(pair, 800)).points[0].sensitivity
    pair[1] = 0
    clustered = rule_out_curve(labels, scores, sensitivities=(0.95,), clusters=Clusters.of(pair, 800)).points[0]
    assert "exact" in alone.method
    assert still == alone
    assert "each replicate" in clustered.sensitivity.method
    assert clustered.sensitivity.low == pytest.approx(alone.low, abs=0.006)
    assert clustered.sensitivity.high == pytest.approx(alone.high, abs=0.006)


def test_a_target_that_so_few_films_cannot_show_is_named_with_the_exact_bound():
    rng = np.random.default_rng(7)
    labels = np.r_[np.ones(50), np.zeros(200)]
    scores = np.r_[rng.random(50) + 0.5, rng.random(200)]
    point = rule_out_curve(labels, scores, plan=FEW, sensitivities=(0.999,)).points[0]
    assert (point.allowed, point.missed, point.demonstrable) == (0, 0, False)
    assert point.sensitivity.value == 1
    assert point.sensitivity.low == pytest.approx(1 - stats.binomtest(0, 50).proportion_ci(0.95, "exact").high)
    assert "50 films with the finding are too few to show 99.9 %" in point.note
    assert "7.1 %" in point.note
    assert "3,688" in point.note
    enough = rule_out_curve(np.ones(3688), np.arange(3688), plan=Plan(replicates=2), sensitivities=(0.999,)).points[0]
    assert enough.demonstrable
    assert enough.note is None
    certain = rule_out_curve(labels, scores, plan=FEW, sensitivities=(1.0,)).points[0]
    assert "no number of films" in certain.note
    assert certain.missed == 0


def test_all_ties_file_nothing_and_no_films_say_so():
    tied = rule_out_curve([1, 0, 1, 0], [0.5] * 4, plan=FEW, prevalence=0.0).points[0]
    assert tied.cohort.filed_share.value == 0
    assert tied.cohort.npv.value is None
    assert tied.cohort.npv.why == "no film is filed"
    assert tied.local.missed_per_10000_screened.value == 0
    empty = rule_out_curve([], [], plan=FEW, prevalence=0.1)
    assert empty.points[0].cohort is None
    assert empty.points[0].specificity.why == "no films"
    assert empty.points[0].local.filed_share.why == "no films"


@pytest.mark.parametrize("bad", [0, -0.1, 1.1, math.nan])
def test_impossible_requests_are_refused(bad):
    with pytest.raises(ConfigError, match="target"):
        rule_out_curve([1, 0], [1, 0], sensitivities=(bad,))
    if bad:
        with pytest.raises(ConfigError, match="prevalence"):
            rule_out_curve([1, 0], [1, 0], prevalence=bad)
    for labels, scores in (([1, 0], [1]), ([1, 2], [0, 1]), ([1, 0], [math.nan, 1])):
        with pytest.raises(EvaluationError):
            rule_out_curve(labels, scores)
