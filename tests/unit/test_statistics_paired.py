"""Two score sets on the same films, against statsmodels, published figures and definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from pipelines.statistics.accuracy.assessment import Question
from pipelines.statistics.accuracy.paired import compare_scores, paired_auroc, paired_shares, tango
from pipelines.statistics.auroc import auroc_difference
from pipelines.statistics.resampling import Clusters, Plan


def two_systems(seed, n=300, films=1, gain=0.4):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n), films)
    labels = (rng.random(n) < 0.3)[patient]
    base = rng.normal(size=n)[patient] + labels
    a, b = (base + rng.normal(size=n * films) + shift * labels for shift in (gain, 0))
    return labels, a, b, patient


def ask(labels, a, b, patient=None, **more):
    question = Question(plan=Plan(more.pop("replicates", 800), 2), targets=(0.9,), **more)
    return compare_scores(
        labels, a, b, thresholds=(0.8, 0.5), clusters=Clusters.of(patient, len(labels)), question=question
    )


def test_published_interval_of_paired_shares():
    # Airway hyper-responsiveness, 21 children: Fagerland, Lydersen & Laake, Stat. Med. 33 (2014) 2850.
    found = tango(1, 7, 21)
    assert (round(found.value, 3), round(found.low, 3), round(found.high, 3)) == (-0.286, -0.517, -0.026)


def restricted_score(b, c, n, delta):
    """The score statistic with its nuisance parameter found by numerical likelihood."""

    def minus(q):  # q: share that b alone gets right; q + delta: a alone
        terms = [(b, q + delta), (c, q), (n - b - c, 1 - 2 * q - delta)]
        return -sum(k * np.log(max(p, 1e-300)) for k, p in terms if k)

    low, high = max(0.0, -delta), (1 - delta) / 2
    q = optimize.minimize_scalar(minus, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (b - c - n * delta) / np.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize(("b", "c", "n"), [(14, 5, 50), (3, 1, 50), (1, 7, 21), (0, 4, 30), (9, 9, 18)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_bounds_are_where_the_score_meets_the_normal_quantile(b, c, n, level):
    found, z = tango(b, c, n, level), stats.norm.ppf((1 + level) / 2)
    assert restricted_score(b, c, n, found.low) == pytest.approx(z, abs=2e-4)
    assert restricted_score(b, c, n, found.high) == pytest.approx(-z, abs=2e-4)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_paired_interval_is_ordered_and_mirrored(b, c, rest):
    n = b + c + rest
    found, mirrored = tango(b, c, n), tango(c, b, n)
    if n == 0:
        assert found.why
        return
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    if b == c == 0:
        z2 = stats.norm.ppf(0.975) ** 2
        assert found.high == pytest.approx(z2 / (n + z2), abs=1e-9)


def test_independent_films_get_delong_tango_and_mcnemar():
    labels, a, b, _ = two_systems(0)
    found = ask(labels, a, b)
    assert found.auroc.difference == auroc_difference(labels, a, b)
    half = (found.auroc.difference.high - found.auroc.difference.low) / 2
    z = found.auroc.difference.value / (half / stats.norm.ppf(0.975))
    assert found.auroc.p == pytest.approx(2 * stats.norm.sf(abs(z)))
    for films, right, test in (
        (labels, (a >= 0.8, b >= 0.5), found.sensitivity),
        (~labels, (a < 0.8, b < 0.5), found.specificity),
    ):
        table = [[(films & (right[0] == i) & (right[1] == j)).sum() for j in (1, 0)] for i in (1, 0)]
        assert test.p == pytest.approx(mcnemar(table, exact=True).pvalue)
        assert test.difference.value == pytest.approx(right[0][films].mean() - right[1][films].mean())
        assert test.difference.low < test.difference.value < test.difference.high


def test_bootstrap_of_single_films_agrees_with_the_analytic_tests():
    labels, a, b, _ = two_systems(4, 900)
    exact, drawn = ask(labels, a, b), ask(labels, a, b, interval="bca", replicates=4000)
    for name in ("auroc", "sensitivity", "specificity"):
        one, other = getattr(exact, name).difference, getattr(drawn, name).difference
        assert other.value == pytest.approx(one.value, abs=1e-12)
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.12 * (one.high - one.low))
        assert getattr(drawn, name).p == pytest.approx(getattr(exact, name).p, abs=0.05)


def test_clustered_differences_are_paired_on_the_same_draws():
    labels, a, b, patient = two_systems(2, 200, 3)
    found = ask(labels, a, b, patient)
    assert found.interval == "bca"
    assert "bootstrap of patients" in found.sensitivity.test
    alone = ask(labels, a, b)
    assert found.auroc.difference.value == pytest.approx(alone.auroc.difference.value)
    # The patient's level is in both score sets and cancels: unpaired draws would more than double the width.
    widths = [x.auroc.difference.high - x.auroc.difference.low for x in (found, alone)]
    assert widths[0] < 1.3 * widths[1]
    swapped = ask(labels, b, a, patient)
    assert swapped.auroc.p == pytest.approx(found.auroc.p, abs=0.02)
    assert found.at_sensitivity[0].free.difference.low is not None


def test_equal_systems_and_degenerate_films_have_named_answers():
    labels, a, _, patient = two_systems(5, 100, 2)
    question = Question(plan=Plan(200, 2), targets=(0.9,))
    clusters = Clusters.of(patient, len(labels))
    same = compare_scores(labels, a, a, thresholds=(0.5, 0.5), clusters=clusters, question=question)
    assert "replicates are equal" in same.auroc.why
    assert (same.sensitivity.difference.value, same.sensitivity.p) == (0, 1.0)
    patients = len(np.unique(patient[labels]))
    assert same.sensitivity.difference.high == pytest.approx(tango(0, 0, patients).high)
    assert "rank these films alike" in paired_auroc(labels, a, 2 * a).why
    assert paired_shares(labels, a > 0, a > 0).p == 1.0
    for few, who in (
        ([1, 1, 1], [0, 0, 1]),
        ([0, 0, 0], None),
        ([1, 0, 0], [0, 1, 1]),
        ([1, 0, 1], [0, 0, 0]),
        ([], None),
    ):
        n = len(few)
        found = compare_scores(
            few,
            np.arange(n),
            np.arange(n)[::-1],
            thresholds=(0.5, 1.5),
            clusters=Clusters.of(who, n),
            question=question,
        )
        for part in (found.auroc, found.sensitivity, found.specificity, found.at_sensitivity[0].free):
            assert (part.p is not None) or part.why
    assert compare_scores(labels, a, a, question=question).sensitivity is None
