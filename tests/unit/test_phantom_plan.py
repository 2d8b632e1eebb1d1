"""What is drawn before rendering: prevalence, independence, patients with two films."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from pipelines.phantom.plan import NODULE_DIAMETER_MM, TB_KINDS, FilmPlan, draw_patient, plan_film
from pipelines.phantom.sites import SITES

N = 1320


@pytest.fixture(scope="module")
def plans() -> list[FilmPlan]:
    return [plan_film(7, index) for index in range(N)]


@pytest.fixture(scope="module")
def first_films(plans: list[FilmPlan]) -> list[FilmPlan]:
    """One film of each patient: independent draws, as the tests below assume."""
    return [plan for plan in plans if plan.visit == 0]


def test_a_film_depends_on_seed_and_index_only(plans):
    assert plan_film(7, 1000) == plans[1000]
    assert plan_film(8, 1000) != plans[1000]


def test_prevalence_and_joint_prevalence(first_films):
    tb = np.array([plan.tb for plan in first_films])
    nodule = np.array([plan.nodule for plan in first_films])
    error = 4 * np.sqrt(0.35 * 0.65 / len(tb))
    assert abs(tb.mean() - 0.35) < error
    assert abs(nodule.mean() - 0.35) < error
    assert abs((tb & nodule).mean() - 0.35**2) < 4 * np.sqrt(0.1225 * 0.8775 / len(tb))


def _grouped(plan: FilmPlan) -> dict[str, object]:
    return {
        "site": plan.site.name,
        "syntax": plan.syntax.name,
        "sex": plan.patient.sex,
        "age": plan.patient.age_years // 20,
        "exposure": plan.exposure > 1,
        "contrast": plan.contrast > 1,
        "scatter": plan.scatter > 0.35,
        "brightness": plan.brightness > 0,
        "width": plan.patient.width > 0.99,
        "thickness": plan.patient.thickness > 1,
        "rotation": plan.rotation_deg > 0,
        "collimation": "collimation" in plan.distractors,
        "granulomas": "granulomas" in plan.distractors,
        "pacemaker": "pacemaker" in plan.distractors,
        "marker": "side marker" in plan.distractors,
        "parity": plan.index % 2,
    }


@pytest.mark.parametrize("finding", ["tb", "nodule"])
def test_disease_is_independent_of_everything_else_on_the_film(first_films, finding):
    disease = [getattr(plan, finding) for plan in first_films]
    factors = [_grouped(plan) for plan in first_films]
    p_values = {}
    for name in factors[0]:
        values = sorted({str(factor[name]) for factor in factors})
        table = Counter((str(factor[name]), label) for factor, label in zip(factors, disease, strict=True))
        observed = np.array([[table[value, label] for label in (0, 1)] for value in values])
        p_values[name] = chi2_contingency(observed).pvalue
    # Bonferroni over the factors: a fixed seed, so this can only fail when the drawing changes.
    assert min(p_values.values()) > 0.01 / len(p_values), p_values


def test_the_two_diseases_are_independent(first_films):
    table = Counter((plan.tb, plan.nodule) for plan in first_films)
    observed = np.array([[table[i, j] for j in (0, 1)] for i in (0, 1)])
    assert chi2_contingency(observed).pvalue > 0.01


def test_one_patient_in_ten_has_two_films_with_the_same_disease_at_the_same_site(plans):
    films = Counter(plan.patient_id for plan in plans)
    assert Counter(films.values()) == {1: N * 9 // 11, 2: N // 11}
    by_patient: dict[str, list[FilmPlan]] = {}
    for plan in plans:
        by_patient.setdefault(plan.patient_id, []).append(plan)
    pairs = [pair for pair in by_patient.values() if len(pair) == 2]
    for first, second in pairs:
        assert first.patient == second.patient
        assert first.site == second.site
        assert (first.visit, second.visit) == (0, 1)
        assert second.first_index == first.index
        assert first.shift_mm != second.shift_mm


def test_nodules_span_the_stated_range_and_concentrate_in_its_middle(first_films):
    sizes = np.array([nodule.diameter_mm for plan in first_films for nodule in plan.patient.nodules])
    assert sizes.min() >= NODULE_DIAMETER_MM[0]
    assert sizes.max() <= NODULE_DIAMETER_MM[1]
    assert ((sizes >= 10) & (sizes <= 25)).mean() > 0.7


def test_every_kind_and_site_occurs(first_films):
    assert {plan.patient.tb_kind for plan in first_films} == {"", *TB_KINDS}
    assert {plan.site.name for plan in first_films} == {site.name for site in SITES}
    assert {plan.syntax for plan in first_films} == {syntax for site in SITES for syntax in site.syntaxes}
    subtle = np.mean([plan.patient.tb_subtle for plan in first_films if plan.tb])
    assert 0.08 < subtle < 0.24


def test_patients_are_drawn_by_number_alone():
    assert draw_patient(3, 12) == draw_patient(3, 12)
    assert draw_patient(3, 12) != draw_patient(3, 13)
