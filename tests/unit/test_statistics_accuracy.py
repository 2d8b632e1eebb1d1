"""The assembly: which interval each number gets, and named answers where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import EvaluationError
from pipelines.statistics.accuracy.assessment import Question, accuracy
from pipelines.statistics.accuracy.ratios import Prevalence, exact_ratio
from pipelines.statistics.accuracy.records import Accuracy
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import clopper_pearson, confusion
from pipelines.statistics.resampling import Clusters, Plan

PLAN = Plan(400, 7)


def cohort(seed=0, patients=150, films=3):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), films)
    labels = (rng.random(patients) < 0.3)[patient]
    return labels, np.round(rng.normal(size=patients)[patient] + rng.normal(size=len(patient)) / 2 + labels, 2), patient


def ask(labels, scores, patient=None, **more):
    question = Question(**({"plan": PLAN, "thresholds": (0.8, 1.5), "prevalence": Prevalence(0.02, 0.01, 0.04)} | more))
    return accuracy(labels, scores, clusters=Clusters.of(patient, len(labels)), question=question)


def estimates(part):
    """Every estimate in a record, and a check that each is a valid one."""
    if isinstance(part, Estimate):
        Estimate.model_validate(part.model_dump())
        return [part]
    if isinstance(part, tuple):
        return [found for each in part for found in estimates(each)]
    return [found for name in getattr(type(part), "model_fields", ()) for found in estimates(getattr(part, name))]


def test_independent_films_get_the_analytic_intervals():
    labels, scores, _ = cohort()
    found = ask(labels, scores)
    assert (found.interval, found.clustered, found.patients) == ("analytic", False, 450)
    assert found.auroc == auroc_delong(labels, scores)
    for rates, threshold in zip(found.rates, (0.8, 1.5), strict=True):
        counts = confusion(labels, scores, threshold)
        assert rates.counts == counts
        assert (rates.sensitivity, rates.npv) == (counts.sensitivity(), counts.npv())
        assert rates.lr_positive == exact_ratio(counts, "lr_positive")
        assert rates.local.ppv == exact_ratio(counts, "ppv", prevalence=Prevalence(0.02, 0.01, 0.04))
    assert all("bootstrap of films" in each.specificity.method for each in found.at_sensitivity)
    place = found.table.thresholds.index(1.5)
    assert found.table.specificity.low[place] == pytest.approx(found.rates[1].specificity.low, abs=1e-12)


def test_patients_with_several_films_get_the_bootstrap_everywhere():
    labels, scores, patient = cohort()
    found = ask(labels, scores, patient)
    assert (found.interval, found.clustered, found.patients) == ("bca", True, 150)
    every = [e for part in (found.auroc, found.partial_auroc, found.rates) for e in estimates(part)]
    assert all("bootstrap of patients" in e.method for e in every)
    alone = ask(labels, scores)
    # Three films of one patient share its level: the interval that ignores it is far too narrow.
    assert found.auroc.high - found.auroc.low > 1.25 * (alone.auroc.high - alone.auroc.low)
    for name in ("sensitivity", "specificity", "flagged"):
        wide, narrow = getattr(found.rates[0], name), getattr(alone.rates[0], name)
        assert wide.value == narrow.value
        assert wide.high - wide.low > 1.1 * (narrow.high - narrow.low)
    place = found.table.thresholds.index(0.8)
    assert found.table.sensitivity.low[place] == found.rates[0].sensitivity.low
    assert found == ask(labels, scores, patient)
    assert Accuracy.model_validate_json(found.model_dump_json()) == found


def test_intervals_can_be_chosen():
    labels, scores, patient = cohort()
    forced = ask(labels, scores, patient, interval="analytic")
    assert forced.auroc.low == auroc_delong(labels, scores).low
    assert "treated as independent although" in forced.auroc.method
    assert "treated as independent although" in forced.rates[0].ppv.method
    plain = ask(labels, scores, patient, interval="percentile")
    assert "percentile bootstrap of patients" in plain.auroc.method
    assert "percentile bootstrap of films" in ask(labels, scores, interval="percentile").rates[0].npv.method


def test_bootstrap_of_single_films_agrees_with_the_analytic_intervals():
    labels, scores, _ = cohort(3, 1500, 1)
    exact, drawn = ask(labels, scores), ask(labels, scores, interval="bca", plan=Plan(4000, 1))
    pairs = [(exact.auroc, drawn.auroc)]
    pairs += [(getattr(exact.rates[0], k), getattr(drawn.rates[0], k)) for k in ("sensitivity", "specificity", "ppv")]
    for one, other in pairs:
        width = one.high - one.low
        assert (other.low, other.high) == pytest.approx((one.low, one.high), abs=0.12 * width)


def test_a_threshold_chosen_on_these_films_is_less_certain_than_a_given_one():
    labels, scores, _ = cohort(1, 400, 1)
    threshold = ask(labels, scores).at_sensitivity[0].threshold.value
    chosen, given = ask(labels, scores).at_sensitivity[0], ask(labels, scores, thresholds=(threshold,)).rates[0]
    assert chosen.specificity.value == given.specificity.value
    assert chosen.specificity.high - chosen.specificity.low > 1.25 * (given.specificity.high - given.specificity.low)
    assert chosen.threshold.low < threshold < chosen.threshold.high
    assert chosen.sensitivity.value >= 0.9
    assert "held" in chosen.sensitivity.why


def test_a_share_that_no_replicate_changes_counts_patients():
    labels, scores, patient = cohort()
    found = ask(labels, scores, patient, thresholds=(-99.0,)).rates[0]
    patients = len(np.unique(patient[labels]))
    assert found.sensitivity.value == 1
    assert found.sensitivity.low == pytest.approx(clopper_pearson(patients, patients).low, abs=1e-12)
    assert f"each of {patients} patients" in found.sensitivity.method
    assert found.npv.why == "no unflagged films"
    assert found.lr_negative.why.startswith("0 divided by 0")
    perfect = ask(labels, labels.astype(float), patient, thresholds=(0.5,))
    assert perfect.auroc.value == 1
    assert perfect.auroc.low == pytest.approx(0.025 ** (1 / patients))
    assert "pairs of different patients" in perfect.auroc.method
    assert perfect.rates[0].lr_positive.why.startswith("infinite: no negative film is flagged; its lower bound is")
    assert perfect.at_sensitivity[0].specificity.low > 0.9
    assert perfect.table.sensitivity.low[0] == pytest.approx(found.sensitivity.low)


@pytest.mark.parametrize("interval", ["auto", "analytic", "percentile", "bca"])
@pytest.mark.parametrize(
    ("labels", "scores", "patient", "word"),
    [
        ([], [], None, "no films"),
        ([1, 1, 1], [0.1, 0.5, 0.2], [0, 0, 1], "one class only"),
        ([0, 0, 0], [0.1, 0.5, 0.2], None, "one class only"),
        ([1, 0, 0, 0, 0, 0], [0.4, 0.1, 0.2, 0.5, 0.2, 0.1], [0, 1, 1, 2, 3, 4], "only one patient"),
        ([1, 1, 0, 0, 0, 0], [0.5] * 6, [0, 0, 1, 1, 2, 3], "only one patient"),
        ([1, 0, 1, 0], [0.3, 0.2, 0.1, 0.4], [0, 0, 1, 1], None),
        ([1, 0, 1, 0], [0.3, 0.2, 0.1, 0.4], [0, 0, 0, 0], "one patient"),
        ([1] * 20 + [0] * 20, [0.5] * 40, list(range(20)) * 2, "equal"),
    ],
)
def test_degenerate_films_have_named_answers(labels, scores, patient, word, interval):
    found = ask(labels, scores, patient, interval=interval, thresholds=(0.3,))
    every = estimates(found)
    assert len(every) == 1 + 3 + 18 + 9
    said = " | ".join(f"{e.method} {e.why or ''}" for e in every)
    assert word is None or word in said
    assert all(e.low is not None or e.why for e in every)
    assert Accuracy.model_validate_json(found.model_dump_json()) == found


def test_one_positive_patient_claims_nothing_about_patients():
    labels, scores = [1, 1, 0, 0, 0, 0, 0], [0.8, 0.9, 0.1, 0.2, 0.5, 0.2, 0.1]
    found = ask(labels, scores, [0, 0, 1, 1, 2, 3, 4], thresholds=(0.3,))
    assert (found.auroc.value, found.auroc.low, found.auroc.high) == (1.0, pytest.approx(0.025), 1.0)
    assert found.rates[0].sensitivity.low == pytest.approx(0.025)
    assert found.partial_auroc.area.low is None
    assert found.rates[0].lr_positive.why.startswith("the upper bound is infinite; the lower bound is 0.0")


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from(["analytic", "percentile", "bca"]), st.integers(4, 40), st.integers(1, 20)
)
def test_hostile_cohorts_never_crash_and_ranks_are_all_that_counts(seed, interval, n, patients):
    rng = np.random.default_rng(seed)
    labels, scores, patient = rng.random(n) < 0.3, rng.integers(0, 6, n).astype(float), rng.integers(0, patients, n)
    plan = Plan(60, 1)
    found = ask(labels, scores, patient, interval=interval, plan=plan, thresholds=(2.0,))
    estimates(found)
    other = ask(labels, 10 * scores - 7, patient, interval=interval, plan=plan, thresholds=(13.0,))
    assert other.auroc == found.auroc
    assert other.partial_auroc == found.partial_auroc
    assert other.rates[0].model_copy(update={"threshold": 2.0}) == found.rates[0]
    assert [e.specificity for e in other.at_sensitivity] == [e.specificity for e in found.at_sensitivity]
    assert list(found.table.thresholds) == sorted(set(found.table.thresholds))
    assert 2.0 in found.table.thresholds


@pytest.mark.parametrize("wrong", [{"level": 1.0}, {"interval": "normal"}, {"targets": (1.5,)}])
def test_wrong_questions_are_refused(wrong):
    with pytest.raises(EvaluationError):
        ask([1, 0], [0.2, 0.1], **wrong)
