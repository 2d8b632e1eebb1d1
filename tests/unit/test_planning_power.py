"""Sizes of planned studies against enumeration, scipy, statsmodels and published examples."""

import json
import math

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import (
    power_proportions_2indep,
    proportion_confint,
    samplesize_confint_proportion,
    samplesize_proportions_2indep_onetail,
)
from typer.testing import CliRunner

from pipelines.cli.planning import power
from pipelines.errors import ConfigError
from pipelines.statistics.planning.power import (
    design_effect,
    exact_bounds,
    sample_size_for_gap,
    size_for_lower_bound,
    size_for_width,
    with_design,
)
from pipelines.statistics.planning.study_plan import Study, plan_study
from pipelines.statistics.planning.study_size import (
    films_to_find,
    hanley_mcneil_variance,
    size_for_auroc,
    size_for_noninferiority,
    size_for_paired_noninferiority,
    size_for_unpaired_noninferiority,
)

LARGEST = 420


def table(level):
    """Counts and exact bounds for every size up to LARGEST, by quantiles of the beta distribution."""
    tail, rows = (1 - level) / 2, []
    for n in range(1, LARGEST):
        k = np.arange(n + 1)
        low = np.r_[0, stats.beta.ppf(tail, k[1:], n - k[1:] + 1)]
        high = np.r_[stats.beta.isf(tail, k[:-1] + 1, n - k[:-1]), 1]
        rows.append((k, low, high))
    return rows


@pytest.fixture(scope="module")
def bounds():
    return {level: table(level) for level in (0.95, 0.8)}


def first_and_last(good):
    """Smallest size that meets the condition, and the one from which all larger ones do."""
    good = np.array(good)
    return int(np.argmax(good)) + 1, int(np.flatnonzero(~good)[-1]) + 2 if (~good).any() else 1


@pytest.mark.parametrize(("level", "assurance"), [(0.95, None), (0.95, 0.9), (0.8, 0.5)])
@pytest.mark.parametrize(("share", "width"), [(0.9, 0.16), (0.5, 0.2), (0.99, 0.1), (0.999, 0.12), (0.05, 0.14)])
def test_size_for_width_is_that_of_full_enumeration(bounds, share, width, assurance, level):
    good = []
    for k, low, high in bounds[level]:
        chance = stats.binom.pmf(k, k[-1], share)
        narrow = high - low <= width
        good.append(chance @ (high - low) <= width if assurance is None else chance[narrow].sum() >= assurance)
    found = size_for_width(share, width, level=level, assurance=assurance)
    assert (found.n, found.stays_from) == first_and_last(good)
    assert found.achieved <= width if assurance is None else found.achieved >= assurance


@pytest.mark.parametrize(("level", "assurance"), [(0.95, None), (0.95, 0.8), (0.8, 0.6)])
@pytest.mark.parametrize(("share", "bound"), [(0.95, 0.88), (0.9, 0.8), (0.6, 0.5), (0.995, 0.97), (0.3, 0.2)])
def test_size_for_lower_bound_is_that_of_full_enumeration(bounds, share, bound, assurance, level):
    good = []
    for k, low, _ in bounds[level]:
        chance = stats.binom.pmf(k, k[-1], share)
        good.append(chance @ low >= bound if assurance is None else chance[low >= bound].sum() >= assurance)
    found = size_for_lower_bound(share, bound, level=level, assurance=assurance)
    assert (found.n, found.stays_from) == first_and_last(good)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 3000), share=st.floats(0, 1), level=st.floats(0.5, 0.999))
def test_exact_bounds_agree_with_statsmodels(n, share, level):
    k = round(share * n)
    low, high = exact_bounds(np.array([k]), n, level)
    expected = proportion_confint(k, n, alpha=1 - level, method="beta")
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-9)


def test_exact_widths_come_near_the_normal_approximation_for_large_studies():
    exact = size_for_width(0.7, 0.02).n
    normal = samplesize_confint_proportion(0.7, 0.01)
    assert normal < exact < 1.02 * normal


def test_gap_agrees_with_published_and_library_values():
    # R 4, power.prop.test(p1 = .50, p2 = .75, power = .90): n = 76.7 per group.
    assert sample_size_for_gap(0.5, 0.75, power=0.9) == 77
    for a, b, ratio in ((0.9, 0.8, 1.0), (0.93, 0.9, 2.0), (0.3, 0.5, 0.5)):
        library = samplesize_proportions_2indep_onetail(a - b, b, 0.8, ratio=ratio, alpha=0.05)
        assert sample_size_for_gap(a, b, ratio=ratio) == pytest.approx(library, rel=0.01, abs=1)
    found = sample_size_for_gap(0.9, 0.8)
    reached = power_proportions_2indep(0.1, 0.8, found, alpha=0.05)
    assert reached.power == pytest.approx(0.8, abs=0.003)
    arcsine = NormalIndPower().solve_power(
        2 * math.asin(math.sqrt(0.9)) - 2 * math.asin(math.sqrt(0.8)), alpha=0.05, power=0.8
    )
    assert found == pytest.approx(arcsine, rel=0.03)


def test_gap_holds_its_power_in_simulated_counts():
    n = sample_size_for_gap(0.92, 0.8, power=0.8)
    rng = np.random.default_rng(5)
    a, b = rng.binomial(n, 0.92, 40_000) / n, rng.binomial(n, 0.8, 40_000) / n
    pooled = (a + b) / 2
    z = np.abs(a - b) / np.sqrt(2 * pooled * (1 - pooled) / n)
    assert (z > stats.norm.isf(0.025)).mean() == pytest.approx(0.8, abs=0.03)


def test_gap_ratio_weighs_the_groups():
    equal, double = sample_size_for_gap(0.9, 0.8), sample_size_for_gap(0.9, 0.8, ratio=2.0)
    assert double < equal < 3 * double
    swapped = sample_size_for_gap(0.8, 0.9, ratio=0.5)
    assert swapped == pytest.approx(2 * double, abs=2)


def test_no_gap_has_no_size_and_a_total_one_a_small_one():
    assert sample_size_for_gap(0.9, 0.9) is None
    assert sample_size_for_gap(0.0, 0.0) is None
    assert sample_size_for_gap(0.0, 1.0) == 2
    assert sample_size_for_gap(0.5, 0.5 + 1e-6) > 10**11


def test_hanley_mcneil_published_example():
    # Hanley & McNeil 1982, table II: AUROC 0.893 with 51 and 58 films has a standard error of about 0.032.
    assert math.sqrt(hanley_mcneil_variance(0.893, 51, 58)) == pytest.approx(0.032, abs=0.0006)


@pytest.mark.parametrize("odds", [1.0, 9.0, 0.25])
def test_auroc_size_is_the_smallest(odds):
    z = stats.norm.isf(0.025)
    reach = [z * math.sqrt(hanley_mcneil_variance(0.85, m, max(1, math.ceil(m * odds)))) for m in range(1, 2000)]
    found = size_for_auroc(0.85, 0.05, negatives_per_positive=odds)
    assert found.positives == int(np.argmax(np.array(reach) <= 0.05)) + 1
    assert found.negatives == math.ceil(found.positives * odds)


@settings(max_examples=40, deadline=None)
@given(positives=st.integers(1, 300), prevalence=st.floats(0.01, 0.9), assurance=st.floats(0.1, 0.99))
def test_films_to_find_positives_is_the_negative_binomial_quantile(positives, prevalence, assurance):
    expected = stats.nbinom.ppf(assurance, positives, prevalence) + positives
    assert films_to_find(positives, 0, prevalence, assurance).n == expected


def test_films_to_find_both_classes_by_enumeration():
    def chance(n):
        k = np.arange(20, n - 30 + 1)
        return stats.binom.pmf(k, n, 0.45).sum()

    expected = next(n for n in range(50, 500) if chance(n) >= 0.9)
    found = films_to_find(20, 30, 0.45)
    assert found.n == expected
    assert found.achieved == pytest.approx(chance(expected))


def test_single_arm_noninferiority_holds_its_power():
    found = size_for_noninferiority(0.95, 0.93, 0.05, power=0.8)
    for n, enough in ((found.n, True), (found.n - 1, False)):
        k = np.arange(n + 1)
        shows = stats.binom.sf(k - 1, n, 0.88) <= 0.025
        assert (stats.binom.pmf(k, n, 0.95)[shows].sum() >= 0.8) is np.bool_(enough)


def test_two_arm_noninferiority_formulas():
    # An example of Chow, Shao & Wang, Sample Size Calculations in Clinical Research: 0.85 against 0.65, margin 0.10,
    # one-sided 0.05, power 0.8: 25 per arm.
    assert size_for_unpaired_noninferiority(0.85, 0.65, 0.10, level=0.9) == 25
    n = size_for_paired_noninferiority(0.9, 0.9, 0.05, 0.1)
    assert n == math.ceil((1.959964 + 0.841621) ** 2 * 0.1 / 0.05**2)
    rng = np.random.default_rng(2)
    d = rng.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=(4000, n))
    low = d.mean(axis=1) - 1.959964 * d.std(axis=1, ddof=1) / math.sqrt(n)
    assert (low > -0.05).mean() == pytest.approx(0.8, abs=0.03)


def test_design_effect():
    assert design_effect(3, 0.5) == 2
    need = with_design(size_for_width(0.9, 0.1), 2, 0.5)
    assert (need.n, need.films, need.patients) == (155, 233, 117)
    assert with_design(need, 1, 0.9).films == need.stays_from


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sample_size_for_gap(1.2, 0.5),
        lambda: sample_size_for_gap(float("nan"), 0.5),
        lambda: sample_size_for_gap(0.4, 0.5, ratio=0),
        lambda: sample_size_for_gap(0.4, 0.5, power=1),
        lambda: size_for_width(0.9, 0),
        lambda: size_for_width(0.9, 1e-6),
        lambda: size_for_width(0.9, 0.1, assurance=1.0),
        lambda: size_for_lower_bound(0.9, 0.9),
        lambda: size_for_auroc(1.0, 0.1),
        lambda: films_to_find(0, 0, 0.1),
        lambda: films_to_find(100, 0, 0.0),
        lambda: films_to_find(100, 0, 1e-9),
        lambda: size_for_noninferiority(0.8, 0.9, 0.1),
        lambda: size_for_unpaired_noninferiority(0.8, 0.9, 0.1),
        lambda: size_for_paired_noninferiority(0.9, 0.8, 0.1, 0.05),
        lambda: design_effect(0.5, 0.1),
        lambda: design_effect(2, -0.1),
        lambda: plan_study(Study()),
        lambda: plan_study(Study(sensitivity=0.9)),
        lambda: plan_study(Study(auroc=0.9)),
        lambda: plan_study(Study(sensitivity_bar=0.9)),
        lambda: plan_study(Study(auroc=0.9, width=0.1, prevalence=2)),
    ],
)
def test_what_cannot_be_planned_is_a_sentence(wrong):
    with pytest.raises(ConfigError) as error:
        wrong()
    assert str(error.value).endswith(".")


def test_a_plan_answers_every_question_at_once():
    plan = plan_study(Study(sensitivity=0.9, specificity=0.7, auroc=0.85, width=0.1, prevalence=0.05, assurance=0.8))
    assert plan.positives == max(plan.positive_needs[0].films, plan.auroc_need.positives)
    assert plan.negatives == max(plan.negative_needs[0].films, plan.auroc_need.negatives)
    assert plan.screening == films_to_find(plan.positives, plan.negatives, 0.05, 0.8)


def test_the_verb_writes_what_it_prints(tmp_path):
    app = typer.Typer()
    app.command()(power)
    run = CliRunner().invoke(
        app, ["--sensitivity", "0.9", "--width", "0.1", "--prevalence", "0.1", "--out", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    record = json.loads((tmp_path / "power.json").read_text())
    assert record["schema"] == "cxr-triage/power/1"
    assert record["positives"] == 155
    assert "155 positive" in run.output
    assert record["screening"]["n"] == stats.nbinom.ppf(0.9, 155, 0.1) + 155
    refused = CliRunner().invoke(app, ["--sensitivity", "1.2", "--width", "0.1"])
    assert isinstance(refused.exception, ConfigError)
