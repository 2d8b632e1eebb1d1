"""Multiplicity, differences between groups and the sums behind subgroups, against other libraries and plain loops."""

import math
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from pipelines.errors import EvaluationError
from pipelines.statistics.auroc import auroc_delong, delong_covariance
from pipelines.statistics.differences import p_from_bounds, share_difference_p, square_and_add, wilson
from pipelines.statistics.group_sums import METRICS, Films, accuracy
from pipelines.statistics.multiplicity import holm, max_t, sidak_level


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holm_agrees_with_statsmodels(p_values):
    with patch("gc.collect"):  # statsmodels collects garbage at every call: a second each where torch is loaded
        expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected, abs=1e-12)


def test_holm_leaves_out_what_was_not_tested():
    found = holm([0.01, np.nan, 0.04])
    assert (found[0], found[2]) == (0.02, 0.04)
    assert math.isnan(found[1])
    assert holm([]).shape == (0,)
    assert np.isnan(holm([np.nan])).all()
    with pytest.raises(EvaluationError):
        holm([0.2, 1.2])


@pytest.mark.parametrize("m", [1, 2, 7, 90])
def test_sidak_level_agrees_with_statsmodels(m):
    each = 1 - sidak_level(0.95, m)
    assert each == pytest.approx(multipletests([0.5] * m, alpha=0.05, method="sidak")[2], abs=1e-12)
    assert (1 - each) ** m == pytest.approx(0.95)
    assert sidak_level(0.9, 0) == 0.9


def test_max_t_agrees_with_a_plain_loop():
    rng = np.random.default_rng(4)
    point = np.array([0.2, -0.1, 0.5])
    drawn = point + rng.normal(size=(999, 3)) * [0.1, 0.02, 0.3] + 0.05 * rng.normal(size=(999, 1))
    drawn[:40, 2] = np.nan
    errors = [np.std([x for x in drawn[:, j] if np.isfinite(x)], ddof=1) for j in range(3)]
    largest = sorted(max(abs(row[j] - point[j]) / errors[j] for j in range(3) if np.isfinite(row[j])) for row in drawn)
    found = max_t(point, drawn, 0.9)
    assert found.standard_error == pytest.approx(errors)
    assert found.critical == pytest.approx(largest[math.ceil(0.9 * 998)])
    assert found.low == pytest.approx(point - found.critical * np.array(errors))
    assert found.high == pytest.approx(point + found.critical * np.array(errors))


def test_max_t_of_one_and_of_independent_differences_has_the_normal_and_sidak_quantiles():
    drawn = np.random.default_rng(1).normal(size=(200_000, 5))
    assert max_t([0.0], drawn[:, :1], 0.95).critical == pytest.approx(stats.norm.isf(0.025), abs=0.02)
    bound = stats.norm.isf((1 - sidak_level(0.95, 5)) / 2)
    assert max_t(np.zeros(5), drawn, 0.95).critical == pytest.approx(bound, abs=0.02)
    assert max_t(np.zeros(5), drawn[:, :1].repeat(5, axis=1), 0.95).critical == pytest.approx(1.96, abs=0.02)


def test_max_t_has_no_interval_without_spread_or_value():
    drawn = np.column_stack([np.full(50, 0.3), np.linspace(0, 1, 50), np.linspace(0, 1, 50), np.full(50, np.nan)])
    drawn[:30, 2] = np.nan
    found = max_t([0.3, 0.5, 0.5, np.nan], drawn, 0.95)
    assert np.isnan(found.low).tolist() == [True, False, True, True]
    nothing = max_t([0.3], np.full((5, 1), 0.3), 0.95)
    assert np.isnan(nothing.low[0])
    assert math.isnan(nothing.critical)


@pytest.mark.parametrize("level", [0.9, 0.95, sidak_level(0.95, 12)])
@pytest.mark.parametrize(
    "counts", [(56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20), (0, 10, 0, 20), (29, 29, 11, 12)]
)
def test_newcombe_agrees_with_statsmodels(counts, level):
    k_a, n_a, k_b, n_b = counts
    found = square_and_add(wilson(k_a, n_a, level), wilson(k_b, n_b, level))
    other = confint_proportions_2indep(k_a, n_a, k_b, n_b, method="newcomb", compare="diff", alpha=1 - level)
    assert found == pytest.approx(other, abs=1e-12)
    back = square_and_add(wilson(k_b, n_b, level), wilson(k_a, n_a, level))
    assert back == pytest.approx((-other[1], -other[0]), abs=1e-12)


def test_newcombes_published_example():
    # Newcombe 1998, table II, example (a): 56/70 - 48/80, method 10.
    found = square_and_add(wilson(56, 70), wilson(48, 80))
    assert tuple(round(bound, 4) for bound in found) == (0.0524, 0.3339)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_share_difference_p_agrees_with_chi_squared(n_a, n_b, data):
    k_a, k_b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    found = share_difference_p(k_a, n_a, k_b, n_b)
    if k_a + k_b in (0, n_a + n_b):
        assert found == 1
        return
    assert found == pytest.approx(proportions_ztest([k_a, k_b], [n_a, n_b])[1], abs=1e-9)
    table = [[k_a, n_a - k_a], [k_b, n_b - k_b]]
    assert found == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, abs=1e-9)


def test_unpaired_delong_is_the_sum_of_two_variances():
    rng = np.random.default_rng(6)
    sides = []
    for n, shift in ((90, 1.0), (140, 0.6)):
        labels = rng.random(n) < 0.4
        sides.append((labels, rng.normal(size=n) + shift * labels))
    a, b = (auroc_delong(*side) for side in sides)
    variance = sum(float(delong_covariance(labels, [scores])[1][0, 0]) for labels, scores in sides)
    half = stats.norm.isf(0.025) * math.sqrt(variance)
    difference = a.value - b.value
    low, high = square_and_add(a, b)
    assert (low, high) == pytest.approx((difference - half, difference + half))
    p_value = p_from_bounds(difference, low, high, 0.95)
    assert p_value == pytest.approx(2 * stats.norm.sf(abs(difference) / math.sqrt(variance)))


def test_p_from_bounds_is_below_one_minus_level_exactly_where_the_interval_excludes_zero():
    for low, high in ((0.001, 0.4), (-0.001, 0.4), (-0.4, -0.001), (-0.4, 0.001)):
        assert (p_from_bounds((low + high) / 2, low, high, 0.9) < 0.1) == (low > 0 or high < 0)
    assert p_from_bounds(0.0, -0.1, 0.1, 0.95) == 1
    assert p_from_bounds(0.3, 0.3, 0.3, 0.95) == 0


def brute(labels, scores, flags):
    """Metrics by their definitions; films repeated as often as their patient was drawn."""
    hit, alarm = (labels & flags).sum(), (~labels & flags).sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array(
            [
                roc_auc_score(labels, scores) if labels.any() and not labels.all() else np.nan,
                hit / labels.sum(),
                1 - alarm / (~labels).sum(),
                hit / flags.sum(),
                (~labels & ~flags).sum() / (~flags).sum(),
                flags.sum() / np.float64(len(flags)),
                labels.sum() / scores.sum(),
            ]
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 5))
def test_group_sums_agree_with_repeated_films(seed, n, patients):
    rng = np.random.default_rng(seed)
    labels, scores = rng.random(n) < 0.5, rng.integers(1, 7, n) / 8
    patient = rng.integers(0, patients, n).astype(np.int32)
    flags = scores >= 0.5
    # Two partitions: three groups of which the last is unknown, and one group that holds every film.
    codes = (rng.integers(0, 3, n).astype(np.int32), np.zeros(n, dtype=np.int32))
    known = (np.array([True, True, False]), np.array([True]))
    films = Films.of(patient, labels, scores, flags, list(zip(codes, known, strict=True)))
    weights = rng.integers(0, 4, (3, patients)).astype(np.uint8)
    found = accuracy(films.sums(weights)).reshape(3, 8, len(METRICS))
    for row, weight in enumerate(weights):
        again = np.repeat(np.arange(n), weight[patient])
        masks = [codes[0] == 0, codes[0] == 1, codes[0] == 2, codes[1] == 0, codes[0] == 1, codes[0] == 0]
        for side, mask in zip((0, 1, 2, 3, 4, 5), masks, strict=True):
            part = again[mask[again]]
            expected = brute(labels[part], scores[part], flags[part])
            assert found[row, side] == pytest.approx(expected, abs=1e-12, nan_ok=True), (row, side)
        assert np.isnan(found[row, 6:]).all()  # nothing is outside the unknown's partition's rest, or outside all films
