"""AUROC, proportions and operating points against independent oracles."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from pipelines.errors import EvaluationError
from pipelines.evaluation.thresholds.operating_point import OperatingPoint, lock_operating_point
from pipelines.statistics.auroc import (
    DELONG,
    DELONG_LOGIT,
    DISJOINT_PAIRS,
    HOEFFDING,
    auroc_delong,
    auroc_difference,
    delong_covariance,
    roc_points,
)
from pipelines.statistics.estimates import Estimate, percent_text
from pipelines.statistics.proportions import Confusion, clopper_pearson, confusion


def pairwise(labels, scores):
    """AUROC and DeLong variance by counting every pair: the definition, in O(n²)."""
    pos, neg = scores[labels == 1], scores[labels == 0]
    wins = np.array([[1.0 if p > q else 0.5 if p == q else 0.0 for q in neg] for p in pos])
    theta = wins.mean()
    s10 = ((wins.mean(axis=1) - theta) ** 2).sum() / (len(pos) - 1)
    s01 = ((wins.mean(axis=0) - theta) ** 2).sum() / (len(neg) - 1)
    return theta, s10 / len(pos) + s01 / len(neg)


def tied_sample(seed, n=60, values=8, shift=1.5):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.ones(n // 3), np.zeros(n - n // 3)].astype(int)
    return labels, np.round(rng.normal(size=n) + shift * labels, 0).clip(-values, values)


@pytest.mark.parametrize("seed", range(8))
def test_auroc_and_variance_agree_with_the_pairwise_count_with_ties(seed):
    labels, scores = tied_sample(seed, shift=0.7)
    theta, variance = pairwise(labels, scores)
    found = auroc_delong(labels, scores)
    assert found.value == pytest.approx(theta, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((theta - half, theta + half), abs=1e-12)
    assert found.method == DELONG
    assert found.n == 60
    aurocs, covariance = delong_covariance(labels, scores)
    assert aurocs[0] == pytest.approx(theta, abs=1e-12)
    assert covariance[0, 0] == pytest.approx(variance, abs=1e-12)


def test_paired_difference_agrees_with_the_pairwise_covariance():
    labels, a = tied_sample(3, shift=1.5)
    b = a + np.random.default_rng(9).normal(scale=2, size=len(a)).round()

    def structural(scores):
        pos, neg = scores[labels == 1], scores[labels == 0]
        wins = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
        return wins.mean(axis=1), wins.mean(axis=0)

    (va10, va01), (vb10, vb01) = structural(a), structural(b)
    variance = np.var(va10 - vb10, ddof=1) / len(va10) + np.var(va01 - vb01, ddof=1) / len(va01)
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    found = auroc_difference(labels, a, b)
    expected = roc_auc_score(labels, a) - roc_auc_score(labels, b)
    assert (found.value, found.low, found.high) == pytest.approx((expected, expected - half, expected + half))


def test_identical_rankings_have_no_interval_but_a_reason():
    labels, a = tied_sample(1)
    found = auroc_difference(labels, a, 2 * a + 1)
    assert found.value == 0
    assert found.low is None
    assert "rank these films alike" in found.why


def test_perfect_separation_is_never_certain():
    labels = np.r_[np.ones(12), np.zeros(40)]
    for scores, value in ((labels, 1.0), (-labels, 0.0)):
        found = auroc_delong(labels, scores)
        assert found.value == value
        assert found.method == DISJOINT_PAIRS
        # k of k concordant pairs: the bound solves p^12 = 0.025.
        assert (found.low if value else 1 - found.high) == pytest.approx(0.025 ** (1 / 12))
        assert (found.high if value else 1 - found.low) == 1


def test_interval_near_one_moves_to_the_logit_scale():
    labels = np.r_[np.ones(20), np.zeros(20)]
    scores = np.r_[np.arange(20) + 19.5, np.arange(20)]
    scores[0] = -1.0  # one positive below every negative
    theta, variance = pairwise(labels, scores)
    assert theta + 1.96 * math.sqrt(variance) > 1
    found = auroc_delong(labels, scores)
    assert found.method == DELONG_LOGIT
    half = stats.norm.ppf(0.975) * math.sqrt(variance) / (theta * (1 - theta))
    expected = [1 / (1 + math.exp(-(math.log(theta / (1 - theta)) + sign * half))) for sign in (-1, 1)]
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_all_ties_and_single_films_use_the_distribution_free_bound():
    tied = auroc_delong([1, 1, 0, 0, 0], [0.3] * 5)
    assert (tied.value, tied.method) == (0.5, HOEFFDING)
    assert tied.low < 0.1
    assert tied.high > 0.9
    single = auroc_delong([1, 0, 0, 0], [0.5, 0.1, 0.6, 0.2])
    assert single.value == pytest.approx(2 / 3)
    assert single.method == HOEFFDING


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0], []])
def test_one_class_has_a_named_answer(labels):
    found = auroc_delong(labels, [0.5] * len(labels))
    assert found.value is None
    assert ("one class only" in found.why) or ("no films" in found.why)


@pytest.mark.parametrize(("labels", "scores"), [([1, 2], [0.1, 0.2]), ([1, 0], [0.1, np.nan]), ([1, 0], [0.1])])
def test_wrong_arrays_are_refused(labels, scores):
    with pytest.raises(EvaluationError):
        auroc_delong(labels, scores)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=25),
    st.lists(st.integers(0, 6), min_size=1, max_size=25),
)
def test_auroc_properties(pos, neg):
    labels = np.r_[np.ones(len(pos)), np.zeros(len(neg))]
    scores = np.r_[pos, neg].astype(float)
    found = auroc_delong(labels, scores)
    assert found.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    mirrored = auroc_delong(labels, -scores)
    assert mirrored.value == pytest.approx(1 - found.value, abs=1e-12)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)
    stretched = auroc_delong(labels, np.exp(scores) * 3 - 7)
    assert (stretched.value, stretched.low) == pytest.approx((found.value, found.low), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_roc_corners_keep_curve_and_area(seed):
    labels, scores = tied_sample(seed)
    thresholds, fpr, tpr = roc_points(labels, scores)
    full_fpr, full_tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    grid = np.unique(np.r_[full_fpr, fpr])
    area = float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert {*zip(fpr, tpr, strict=True)} <= {*zip(full_fpr, full_tpr, strict=True)}
    assert (thresholds[0], fpr[0], tpr[0], fpr[-1], tpr[-1]) == (np.inf, 0, 0, 1, 1)
    assert len(grid) >= len(np.unique(fpr))
    for t, f, s in zip(thresholds, fpr, tpr, strict=True):
        counts = confusion(labels, scores, t)
        assert (counts.false_positive / 40, counts.true_positive / 20) == pytest.approx((f, s))


def test_published_exact_interval():
    found = clopper_pearson(59, 65)
    assert (round(found.low, 4), round(found.high, 4)) == (0.8098, 0.9654)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (1, 1), (3, 19), (59, 65), (500, 20_000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_exact_interval_agrees_with_scipy_and_statsmodels(k, n, level):
    found = clopper_pearson(k, n, level)
    other = stats.binomtest(k, n).proportion_ci(level, method="exact")
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=1e-9)
    third = proportion_confint(k, n, alpha=1 - level, method="beta")
    assert (found.low, found.high) == pytest.approx(third, abs=1e-9)


def test_confusion_counts_and_rates():
    labels = [1, 1, 1, 0, 0, 0, 0]
    scores = [0.9, 0.5, 0.4, 0.5, 0.4, 0.1, 0.0]
    found = confusion(labels, scores, 0.5)
    assert found == Confusion(true_positive=2, false_positive=1, false_negative=1, true_negative=3)
    assert found.sensitivity().value == 2 / 3
    assert found.specificity().value == 3 / 4
    assert found.ppv().value == 2 / 3
    assert found.npv().value == 3 / 4
    assert found.flagged().value == 3 / 7
    assert found.prevalence().value == 3 / 7
    assert (found.sensitivity().n, found.specificity().n) == (3, 4)
    nothing = confusion([0, 0], [0.1, 0.2], 0.5)
    assert nothing.sensitivity().value is None
    assert "no positive films" in nothing.sensitivity().why
    assert "no flagged films" in nothing.ppv().why


def lock(labels, scores, target=0.9, **more):
    return lock_operating_point(
        labels, scores, finding="tb", target_sensitivity=target, cohort="phantom val", model_id="abc", **more
    )


@pytest.mark.parametrize("target", [0.5, 0.8, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_locked_threshold_is_the_largest_that_reaches_the_target(seed, target):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 80)
    scores = np.clip(np.round(0.3 * labels + rng.random(80) * 0.7, 2), 0, 1)
    point = lock(labels, scores, target)
    reaching = [t for t in np.unique(scores) if (scores[labels == 1] >= t).mean() >= target - 1e-12]
    assert point.threshold == max(reaching)
    assert point.sensitivity.value >= target - 1e-12
    assert point.sensitivity.value == (scores[labels == 1] >= point.threshold).mean()
    assert point.specificity.value == (scores[labels == 0] < point.threshold).mean()
    assert (point.n, point.n_positive, point.model_id) == (80, labels.sum(), "abc")


def test_locking_with_few_positives_ties_and_unknown_labels():
    assert lock([1, 1, 1, 1, 1, 0], [0.9, 0.8, 0.7, 0.6, 0.2, 0.5]).threshold == 0.2
    tied = lock([1, 0, 0], [0.4, 0.4, 0.4])
    assert (tied.threshold, tied.sensitivity.value, tied.specificity.value) == (0.4, 1.0, 0.0)
    masked = lock([1, np.nan, 0], [0.4, np.nan, 0.2])
    assert (masked.n, masked.threshold) == (2, 0.4)
    ten = lock([1] * 10 + [0], [*np.linspace(0.1, 1, 10), 0.05])
    assert ten.sensitivity.value == 0.9


@pytest.mark.parametrize(
    ("labels", "scores", "target"),
    [([1, 1], [0.1, 0.2], 0.9), ([1, 0], [0.1, 1.2], 0.9), ([1, 0], [0.1, 0.2], 0.0), ([1, 0], [0.1, np.nan], 0.9)],
)
def test_locking_refuses(labels, scores, target):
    with pytest.raises(EvaluationError):
        lock(labels, scores, target)


def test_an_operating_point_survives_json_to_the_bit():
    point = lock([1, 0, 1], np.array([np.float32(0.1) / 3, 0.01, 0.7]))
    assert OperatingPoint.model_validate_json(point.model_dump_json()) == point
    assert point.date is not None
    assert "T" not in point.date  # a day, no time: identical runs of one day lock identical points


def test_an_estimate_is_never_silently_empty():
    good = {"value": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "method": "m", "n": 3}
    assert Estimate(**good).text() == "0.500 (95 % CI 0.400–0.600)"
    bad = [{"value": None}, {"low": None}, {"low": None, "high": None}, {"value": math.nan}, {"value": 0.7}, {"n": -1}]
    for change in bad:
        with pytest.raises(ValidationError):
            Estimate(**(good | change))
    assert "one class" in Estimate.absent("one class", method="m").text()
    assert [percent_text(x) for x in (0.95, 0.975, 0.5)] == ["95 %", "97.5 %", "50 %"]


def test_every_pair_of_small_tables_has_an_ordered_interval():
    for k, n in itertools.product(range(6), range(6)):
        if k <= n:
            found = clopper_pearson(k, n)
            assert found.why if n == 0 else found.low <= found.value <= found.high
