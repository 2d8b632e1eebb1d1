"""Likelihood ratios and predictive values elsewhere, against enumeration and closed forms."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.errors import EvaluationError
from pipelines.statistics.accuracy.ratios import Prevalence, exact_ratio
from pipelines.statistics.few import clopper_pearson_bounds
from pipelines.statistics.proportions import Confusion, clopper_pearson

KINDS = ("lr_positive", "lr_negative", "ppv", "npv")


def table(tp, positives, tn, negatives):
    return Confusion(true_positive=tp, false_negative=positives - tp, true_negative=tn, false_positive=negatives - tn)


def place(kind, *interval):
    return Prevalence(*interval) if kind in ("ppv", "npv") else None


def by_bayes(se, sp, kind, prevalence):
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "lr_positive": se / (1 - sp),
            "lr_negative": (1 - se) / sp,
            "ppv": se * prevalence / (se * prevalence + (1 - sp) * (1 - prevalence)),
            "npv": sp * (1 - prevalence) / (sp * (1 - prevalence) + (1 - se) * prevalence),
        }[kind]


def test_published_screening_arithmetic():
    counts = table(90, 100, 900, 1000)
    assert exact_ratio(counts, "ppv", prevalence=Prevalence(0.1)).value == pytest.approx(0.5)
    assert exact_ratio(counts, "npv", prevalence=Prevalence(0.1)).value == pytest.approx(0.9878049, abs=1e-7)
    assert exact_ratio(counts, "lr_positive").value == pytest.approx(9)
    assert exact_ratio(counts, "lr_negative").value == pytest.approx(1 / 9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_interval_is_the_range_over_the_whole_rectangle(kind, level):
    found = exact_ratio(table(17, 20, 33, 40), kind, level=level, prevalence=place(kind, 0.02, 0.01, 0.05))
    se, sp = (clopper_pearson(k, n, math.sqrt(level)) for k, n in ((17, 20), (33, 40)))
    grid = np.meshgrid(np.linspace(se.low, se.high, 41), np.linspace(sp.low, sp.high, 41), np.linspace(0.01, 0.05, 11))
    values = by_bayes(grid[0], grid[1], kind, grid[2])
    assert (found.low, found.high) == pytest.approx((values.min(), values.max()), rel=1e-12)
    assert found.value == pytest.approx(by_bayes(17 / 20, 33 / 40, kind, 0.02))
    assert "exact region" in found.method


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("se", "sp"), [(0.9, 0.7), (0.5, 0.5), (0.97, 0.95)])
def test_coverage_by_enumerating_every_table(kind, se, sp):
    truth, held = by_bayes(se, sp, kind, 0.03), 0.0
    for tp, tn in itertools.product(range(13), range(16)):
        found = exact_ratio(table(tp, 12, tn, 15), kind, level=0.9, prevalence=place(kind, 0.03))
        # Where the ratio is infinite its lower bound alone counts; it stands in the reason.
        low = (
            found.low
            if found.low is not None
            else float(found.why.rpartition(" ")[2])
            if "its lower" in found.why
            else 0
        )
        if low <= truth * (1 + 1e-3) and (found.high is None or truth <= found.high):
            held += stats.binom.pmf(tp, 12, se) * stats.binom.pmf(tn, 15, sp)
    assert held >= 0.9


def test_zero_denominators_have_names():
    perfect = exact_ratio(table(10, 10, 30, 30), "lr_positive")
    assert perfect.value is None
    bound = clopper_pearson(10, 10, math.sqrt(0.95)).low / (1 - clopper_pearson(30, 30, math.sqrt(0.95)).low)
    assert perfect.why == f"infinite: no negative film is flagged; its lower bound is {bound:.4g}"
    everything = exact_ratio(table(8, 10, 0, 30), "lr_negative")
    assert everything.why.startswith("infinite: every negative film is flagged; its lower bound is")
    for kind, counts in (
        ("lr_positive", table(0, 10, 30, 30)), ("ppv", table(0, 10, 30, 30)),
        ("lr_negative", table(10, 10, 0, 30)), ("npv", table(10, 10, 0, 30)),
    ):  # fmt: skip
        found = exact_ratio(counts, kind, prevalence=place(kind, 0.1))
        assert found.value is None
        assert found.why.startswith("0 divided by 0")
    assert exact_ratio(table(10, 10, 30, 30), "lr_negative").value == 0
    assert exact_ratio(table(10, 10, 30, 30), "ppv", prevalence=Prevalence(0.1)).high == 1
    assert exact_ratio(table(0, 0, 3, 4), "lr_positive").why == "no positive films"
    assert exact_ratio(table(1, 2, 0, 0), "npv", prevalence=Prevalence(0.1)).why == "no negative films"


@pytest.mark.parametrize("wrong", [(0.0,), (1.0,), (math.nan,), (0.1, 0.2, 0.3), (0.1, 0.05, None), (0.5, -0.1, 0.6)])
def test_wrong_prevalences_are_refused(wrong):
    with pytest.raises(EvaluationError, match="prevalence"):
        Prevalence(*wrong)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.floats(0.001, 0.999))
def test_every_table_has_an_ordered_interval_or_a_reason(tp, fn, tn, fp, prevalence):
    counts = Confusion(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn)
    for kind in KINDS:
        found = exact_ratio(counts, kind, prevalence=place(kind, prevalence, 0.0, 1.0))
        assert found.why if found.low is None else 0 <= found.low <= found.value <= found.high


def test_bounds_of_many_shares_are_those_of_one():
    k = np.arange(38.0)
    low, high = clopper_pearson_bounds(k, 37, 0.9)
    single = [clopper_pearson(int(x), 37, 0.9) for x in k]
    assert low == pytest.approx([x.low for x in single], abs=1e-12)
    assert high == pytest.approx([x.high for x in single], abs=1e-12)
    assert [float(x[0]) for x in clopper_pearson_bounds(np.array([0.0]), 0, 0.9)] == [0.0, 1.0]
