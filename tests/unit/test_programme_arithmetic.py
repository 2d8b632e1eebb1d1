"""What a screening programme asks, against hand counts, closed forms and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.errors import ConfigError
from pipelines.evaluation.thresholds.noninferiority import (
    noninferiority_of_difference,
    noninferiority_of_rate,
    noninferiority_to_reference,
)
from pipelines.evaluation.thresholds.programme import (
    NUMBERS,
    Costs,
    Programme,
    programme_from_counts,
    programme_from_estimates,
    programme_from_sample,
    programme_numbers,
    target_profile,
)
from pipelines.statistics.accuracy.ratios import Prevalence, exact_ratio
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import Confusion, clopper_pearson
from pipelines.statistics.resampling import Plan, resample

NEWER = ("false_alarms_per_100000", "cleared_per_100000")
TABLE = Confusion(true_positive=90, false_negative=10, true_negative=720, false_positive=80)


def rate(value, low, high, level=0.95, n=100):
    return Estimate(value=value, low=low, high=high, level=level, method="given", n=n)


def test_the_published_example():
    found = programme_from_counts(TABLE, Prevalence(0.1), costs=Costs(cxr=2, xpert=10, other=1, currency="USD"))
    values = {name: getattr(found, name).value for name in NUMBERS}
    # Of 100,000: 10,000 cases, 9,000 found; 9,000 of 90,000 others referred; PPV 0.5.
    assert values == pytest.approx(
        {
            "referred_per_100000": 18_000,
            "tests_avoided_per_100000": 82_000,
            "tests_avoided_share": 0.82,
            "tests_per_case": 2,
            "cases_found_per_100000": 9_000,
            "missed_per_100000": 1_000,
            "cost_per_100000": 480_000,
            "cost_per_case": 480_000 / 9_000,
            "saved_per_100000": 620_000,
            "false_alarms_per_100000": 9_000,
            "cleared_per_100000": 81_000,
        }
    )
    assert found.costs == {"cxr": 2, "xpert": 10, "other": 1, "currency": "USD"}
    assert Programme.model_validate_json(found.model_dump_json()) == found


def test_a_simulated_cohort_gives_the_same_numbers():
    rng = np.random.default_rng(3)
    people = 2_000_000
    ill = rng.random(people) < 0.03
    flag = rng.random(people) < np.where(ill, 0.88, 0.25)
    values = programme_numbers(np.array([[0.88, 0.75]]), 0.03, Costs(1.5, 9))[0]
    per = 100_000 / people
    cost = (1.5 * people + 9 * flag.sum()) * per
    found = (ill & flag).sum()
    expected = [
        flag.sum() * per, 1e5 - flag.sum() * per, 1 - flag.mean(), flag.sum() / found, found * per,
        (ill & ~flag).sum() * per, cost, cost / (found * per), 9e5 - cost,
        (~ill & flag).sum() * per, (~ill & ~flag).sum() * per,
    ]  # fmt: skip
    assert values == pytest.approx(expected, rel=0.02)


def test_ranges_follow_from_exact_intervals():
    found = programme_from_counts(TABLE, Prevalence(0.1))
    ppv = exact_ratio(TABLE, "ppv", prevalence=Prevalence(0.1))
    assert found.tests_per_case.value == pytest.approx(1 / ppv.value)
    assert (found.tests_per_case.low, found.tests_per_case.high) == pytest.approx((1 / ppv.high, 1 / ppv.low))
    sensitivity = clopper_pearson(90, 100)
    assert found.cases_found_per_100000.low == pytest.approx(1e4 * sensitivity.low)
    assert found.missed_per_100000.high == pytest.approx(1e4 * (1 - sensitivity.low))
    specificity = clopper_pearson(720, 800)
    assert found.false_alarms_per_100000.low == pytest.approx(9e4 * (1 - specificity.high))
    assert found.false_alarms_per_100000.high == pytest.approx(9e4 * (1 - specificity.low))
    assert found.cleared_per_100000.low == pytest.approx(9e4 * specificity.low)
    assert found.false_alarms_per_100000.n == found.cleared_per_100000.n == 800
    wide = [TABLE.sensitivity(math.sqrt(0.95)), TABLE.specificity(math.sqrt(0.95))]
    assert found.referred_per_100000.low == pytest.approx(1e4 * wide[0].low + 9e4 * (1 - wide[1].high))
    assert found.referred_per_100000.level == 0.95
    assert "no costs" in found.cost_per_case.why


def test_the_range_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(4)
    truth = programme_numbers(np.array([[0.9, 0.8]]), 0.1)[0]
    held = np.zeros(len(NUMBERS))
    for _ in range(300):
        tp, tn = rng.binomial(60, 0.9), rng.binomial(90, 0.8)
        counts = Confusion(true_positive=tp, false_negative=60 - tp, true_negative=tn, false_positive=90 - tn)
        found = programme_from_counts(counts, Prevalence(0.1))
        for j, name in enumerate(NUMBERS):
            estimate = getattr(found, name)
            held[j] += estimate.low is not None and estimate.low <= truth[j] <= estimate.high
    assert (held[[*range(6), 9, 10]] / 300 >= 0.93).all()  # without costs, columns 6 to 8 have no answer


def test_an_uncertain_prevalence_widens_every_range():
    sharp = programme_from_counts(TABLE, Prevalence(0.1), costs=Costs(2, 10))
    vague = programme_from_counts(TABLE, Prevalence(0.1, 0.05, 0.2), costs=Costs(2, 10))
    for name in NUMBERS:
        one, other = getattr(sharp, name), getattr(vague, name)
        assert one.value == other.value
        assert other.low < one.low
        assert other.high > one.high


def test_bootstrap_and_region_are_of_one_kind():
    patients = np.r_[np.ones(100), np.zeros(800)]
    right = np.r_[np.ones(90), np.zeros(10), np.ones(720), np.zeros(80)]

    def rates(weights):
        positive, negative = weights * patients, weights * (1 - patients)
        return np.stack(
            [(positive * right).sum(1) / positive.sum(1), (negative * right).sum(1) / negative.sum(1)], axis=1
        )

    sample = resample(rates, 900, Plan(replicates=800))
    found = programme_from_sample(sample, Prevalence(0.1), n_positive=100, n_negative=800, costs=Costs(2, 10))
    region = programme_from_counts(TABLE, Prevalence(0.1), costs=Costs(2, 10))
    for name in NUMBERS:
        drawn, exact = getattr(found, name), getattr(region, name)
        assert drawn.value == pytest.approx(exact.value)
        assert drawn.n == exact.n
        slack = 1.1 if name in NEWER else 1.0  # one rate over 800 films: a bootstrap's own noise may exceed the region
        assert drawn.high - drawn.low < slack * (exact.high - exact.low)
        assert exact.high - exact.low < 2.2 * (drawn.high - drawn.low)
    assert "bootstrap" in found.tests_per_case.method


@settings(max_examples=80, deadline=None)
@given(st.tuples(*[st.integers(0, 20)] * 4), st.floats(0.0001, 0.9999), st.booleans())
def test_any_table_gives_a_complete_record(counts, prevalence, paid):
    tp, fp, fn, tn = counts
    table = Confusion(true_positive=tp, false_positive=fp, false_negative=fn, true_negative=tn)
    found = programme_from_counts(table, Prevalence(prevalence), costs=Costs(3, 0.1) if paid else None)
    for name in NUMBERS:
        estimate = getattr(found, name)
        assert estimate.low is not None or estimate.why
    if tp + fn and fp + tn:
        assert found.referred_per_100000.value + found.tests_avoided_per_100000.value == pytest.approx(1e5)
        assert (found.tests_per_case.value is None) == (tp == 0)
        assert (found.cost_per_case.value is None) == (tp == 0 or not paid)
    profile = target_profile(found.sensitivity, found.specificity)
    assert profile.verdict in ("met", "not_met", "not_shown")


def test_no_case_found_and_no_films():
    none = programme_from_counts(
        Confusion(true_positive=0, false_positive=5, false_negative=9, true_negative=5), Prevalence(0.1)
    )
    assert none.tests_per_case.why == "no case is found"
    assert none.missed_per_100000.value == pytest.approx(10_000)
    healthy = programme_from_counts(
        Confusion(true_positive=0, false_positive=5, false_negative=0, true_negative=5), Prevalence(0.1)
    )
    assert "no positive films" in healthy.referred_per_100000.why
    assert healthy.false_alarms_per_100000.value == pytest.approx(45_000)


def test_records_of_earlier_versions_have_no_false_alarms():
    record = programme_from_counts(TABLE, Prevalence(0.1)).model_dump()
    older = {name: value for name, value in record.items() if name not in NEWER}
    assert Programme.model_validate(older).false_alarms_per_100000 is None


def test_rates_from_elsewhere():
    found = programme_from_estimates(rate(0.9, 0.85, 0.95), rate(0.7, 0.65, 0.75), Prevalence(0.01))
    assert found.referred_per_100000.level == pytest.approx(0.9025)
    assert found.referred_per_100000.low == pytest.approx(850 + 99_000 * 0.25)
    assert found.missed_per_100000.level == 0.95
    bare = Estimate(value=0.9, low=None, high=None, level=0.95, method="given", n=5, why="not published")
    open_ended = programme_from_estimates(bare, rate(0.7, 0.65, 0.75), Prevalence(0.01))
    assert open_ended.tests_per_case.value is not None
    assert open_ended.tests_per_case.why == "not published"


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "verdict"),
    [
        ((0.95, 0.90, 0.99), (0.8, 0.70, 0.9), "met"),
        ((0.95, 0.89, 0.99), (0.8, 0.75, 0.9), "not_shown"),
        ((0.80, 0.70, 0.89), (0.8, 0.75, 0.9), "not_met"),
        ((0.95, 0.92, 0.99), (0.6, 0.50, 0.69), "not_met"),
        ((0.95, 0.89, 0.99), (0.6, 0.50, 0.70), "not_shown"),
    ],
)
def test_target_profile_is_judged_on_bounds(sensitivity, specificity, verdict):
    found = target_profile(rate(*sensitivity), rate(*specificity))
    assert found.verdict == verdict
    assert found.sentence.startswith({"met": "Met", "not_met": "Not met", "not_shown": "Not shown"}[verdict])
    assert "target 90 %" in found.sentence


def test_target_profile_without_positives_is_not_shown():
    absent = Estimate.absent("no positive films", method="exact")
    found = target_profile(absent, rate(0.8, 0.75, 0.9))
    assert found.verdict == "not_shown"
    assert "no positive films" in found.sentence


@pytest.mark.parametrize(
    ("k", "n", "reference", "margin"), [(59, 65, 0.9, 0.1), (180, 200, 0.93, 0.05), (5, 50, 0.9, 0.1)]
)
def test_single_arm_noninferiority_is_the_exact_test(k, n, reference, margin):
    found = noninferiority_to_reference(k, n, reference, margin)
    expected = stats.binomtest(k, n, reference - margin, alternative="greater")
    assert found.p_one_sided.value == pytest.approx(expected.pvalue)
    assert (found.verdict == "shown") == (expected.pvalue <= 0.025)
    other = noninferiority_of_rate(clopper_pearson(k, n), reference, margin)
    assert other.verdict == found.verdict
    assert other.p_one_sided.value is None


def test_noninferiority_verdicts():
    assert noninferiority_to_reference(5, 50, 0.9, 0.1).verdict == "worse"
    empty = noninferiority_to_reference(0, 0, 0.9, 0.1)
    assert (empty.verdict, empty.p_one_sided.value) == ("not_shown", None)
    for low, high, verdict in ((-0.04, 0.02, "shown"), (-0.06, 0.02, "not_shown"), (-0.2, -0.06, "worse")):
        found = noninferiority_of_difference(rate((low + high) / 2, low, high), 0.05)
        assert found.verdict == verdict


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Costs(-1, 2),
        lambda: Costs(1, math.nan),
        lambda: noninferiority_to_reference(1, 2, 0.9, 0.0),
        lambda: noninferiority_to_reference(1, 2, 0.1, 0.2),
        lambda: noninferiority_to_reference(1, 2, 1.2, 0.2),
        lambda: noninferiority_of_difference(rate(0, -0.1, 0.1), -0.1),
    ],
)
def test_wrong_numbers_are_refused(wrong):
    with pytest.raises(ConfigError):
        wrong()
