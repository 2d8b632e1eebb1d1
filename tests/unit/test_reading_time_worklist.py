"""Worklist order: brute force over ties, the accuracy ratio, exact order statistics, hostile lists."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipelines.errors import EvaluationError
from pipelines.reading_time.worklist import FRACTIONS, WorklistRecord, exact_quantile, worklist, worklist_result
from pipelines.reading_time.worklist_order import FIXED, Order
from pipelines.statistics.arrays import labels_and_scores
from pipelines.statistics.resampling import Clusters, Plan

FEW = Plan(replicates=200, seed=3)
LISTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=40)


def by_permutations(labels, scores, fractions):
    """Area, found shares and the mean place of every positive, averaged over every order of the ties."""
    n, positives = len(labels), sum(labels)
    areas, found, places = [], [], {i: [] for i in range(n) if labels[i]}
    for order in itertools.permutations(range(n)):
        if any(scores[a] < scores[b] for a, b in itertools.pairwise(order)):
            continue
        cumulated = np.cumsum([labels[i] for i in order]) / positives
        edges = np.r_[0, cumulated]
        areas.append(((edges[1:] + edges[:-1]) / 2).mean())
        found.append([cumulated[math.ceil(f * n - 1e-9) - 1] for f in fractions])
        for place, film in enumerate(order, 1):
            if labels[film]:
                places[film].append(place)
    return np.mean(areas), np.mean(found, axis=0), sorted(np.mean(v) for v in places.values())


@pytest.mark.parametrize("seed", range(6))
def test_ties_are_the_expectation_over_every_order(seed):
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, 7), rng.integers(0, 3, 7)
    labels[0], labels[1] = 1, 0
    area, found, places = by_permutations(labels.tolist(), scores.tolist(), FRACTIONS)
    result = worklist_result(labels, scores, plan=FEW)
    assert result.area.value == pytest.approx(area, abs=1e-12)
    assert [at.found.value for at in result.at] == pytest.approx(found, abs=1e-12)
    assert result.positions[0].films.value == pytest.approx(np.median(places), abs=1e-12)
    assert result.positions[1].films.value == pytest.approx(np.percentile(places, 95), abs=1e-12)
    for at in result.at:
        cases = at.found.value * labels.sum()
        assert (at.films_per_case.value is None) == (cases < 1e-12)
        if cases > 1e-12:
            assert at.films_per_case.value == pytest.approx(at.films / cases)


@given(LISTS)
@settings(max_examples=60, deadline=None)
def test_gain_is_the_accuracy_ratio_and_the_order_of_the_table_does_not_matter(films):
    labels, scores = map(list, zip(*films, strict=True))
    plan = Plan(replicates=20, seed=1)
    found = worklist_result(labels, scores, plan=plan)
    if 0 < sum(labels) < len(labels):
        assert found.gain.value == pytest.approx(2 * roc_auc_score(labels, scores) - 1, abs=1e-12)
        ratio = (found.area.value - found.fifo_area) / (found.ideal_area - found.fifo_area)
        assert found.gain.value == pytest.approx(ratio, abs=1e-9)
    else:
        assert found.gain.value is None
    turned = worklist_result(labels[::-1], scores[::-1], plan=plan)
    for name in ("area", "gain"):
        assert getattr(found, name).value == pytest.approx(getattr(turned, name).value)
    for ours, theirs in zip(found.positions, turned.positions, strict=True):
        assert ours.films.value == pytest.approx(theirs.films.value)
    assert WorklistRecord.model_validate_json(found.model_dump_json()) == found


def test_a_weighted_list_is_the_list_written_out():
    rng = np.random.default_rng(5)
    n, people = 60, 25
    labels, scores, patient = rng.integers(0, 2, n), rng.integers(0, 12, n), rng.integers(0, people, n)
    weights = rng.integers(0, 4, (8, people)).astype(np.uint8)
    truth, score = labels_and_scores(labels, scores)
    clusters = Clusters.of(patient, n)
    out = Order.of(truth, score, clusters).statistic((0.5, 0.95), FRACTIONS)(weights[:, : clusters.count])
    for row, weight in zip(out, weights, strict=True):
        film = np.repeat(np.arange(n), weight[clusters.index])
        alone = worklist_result(labels[film], scores[film], plan=Plan(replicates=2))
        expected = [alone.area.value, alone.gain.value, labels[film].mean()]
        expected += [position.share.value for position in alone.positions]
        for at in alone.at:
            expected += [at.found.value, 1 / at.films_per_case.value]
        assert row == pytest.approx(expected, abs=1e-12)
    assert FIXED == 3


def test_references_are_exact_expectations():
    rng = np.random.default_rng(2)
    n, positives = 41, 7
    labels = np.r_[np.ones(positives), np.zeros(n - positives)].astype(int)
    found = worklist_result(labels, np.arange(n, 0, -1), plan=FEW)
    assert found.gain.value == 1
    assert found.area.value == pytest.approx(found.ideal_area) == pytest.approx(1 - 7 / 82)
    assert [p.films.value for p in found.positions] == pytest.approx([4, 1 + 6 * 0.95])
    assert [p.ideal_films for p in found.positions] == pytest.approx([4, 1 + 6 * 0.95])
    assert [at.found.value for at in found.at] == pytest.approx([at.ideal_found for at in found.at])
    assert [at.films_per_case.value for at in found.at] == pytest.approx([at.ideal_films_per_case for at in found.at])
    assert found.at[2].found.low == pytest.approx(0.025 ** (1 / 7))  # 7 of 7: the exact bound, the bootstrap has none
    drawn = np.array([np.sort(rng.choice(n, positives, replace=False)) + 1 for _ in range(20_000)])
    for position in found.positions:
        simulated = np.quantile(drawn, position.quantile, axis=1).mean()
        assert position.fifo_films == pytest.approx(simulated, abs=0.15)
    tied = worklist_result(labels, np.zeros(n), plan=FEW)
    assert tied.area.value == pytest.approx(0.5)
    assert tied.gain.value == pytest.approx(0)
    assert [at.found.value for at in tied.at] == pytest.approx([at.fifo_found for at in tied.at])
    assert tied.positions[0].films.value == tied.positions[0].fifo_films == 21


def test_without_ties_the_result_is_the_shown_list():
    rng = np.random.default_rng(4)
    labels, scores = rng.integers(0, 2, 300), rng.permutation(300)
    shown, found = worklist(labels, scores), worklist_result(labels, scores, plan=FEW)
    assert found.positions[0].share.value == pytest.approx(shown.median_position)
    assert found.positions[1].films.value == pytest.approx(np.percentile(shown.positions, 95))
    for listed, at in zip(shown.at, found.at, strict=True):
        assert at.films == listed.films
        assert at.found.value == pytest.approx(listed.found / shown.n_positive)
    assert np.trapezoid(np.r_[found.curve_found], found.curve_read) == pytest.approx(found.area.value, abs=0.01)
    assert shown.positions.tolist() == sorted(np.flatnonzero(labels[np.argsort(-scores)]) + 1)


@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_exact_intervals_of_places_hold_the_truth(quantile):
    rng, inside, rounds, m = np.random.default_rng(8), 0, 2000, 100
    truth = quantile * 1000  # places drawn evenly from a list of 1,000
    for _ in range(rounds):
        found = exact_quantile(np.sort(rng.uniform(0, 1000, m)), quantile, n=1000, level=0.95)
        inside += found.low * 1000 <= truth <= found.high * 1000
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / rounds) <= inside / rounds <= 0.98


def test_intervals_of_the_gain_hold_the_truth():
    inside, rounds = 0, 150
    truth = 2 * 0.7602499389065233 - 1  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt 2)
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        labels = (rng.random(300) < 0.25).astype(int)
        gain = worklist_result(labels, rng.normal(size=300) + labels, plan=Plan(replicates=400, seed=1)).gain
        inside += gain.low <= truth <= gain.high
    assert 0.9 <= inside / rounds <= 0.99


def test_patients_with_several_films_widen_the_interval():
    rng = np.random.default_rng(6)
    people = 60
    risk = rng.integers(0, 2, people)
    mean = rng.normal(size=people) + risk
    labels, scores, patient = (np.repeat(v, 6) for v in (risk, mean, np.arange(people)))
    scores = scores + 0.05 * rng.normal(size=len(scores))
    alone = worklist_result(labels, scores)
    clustered = worklist_result(labels, scores, clusters=Clusters.of(patient, len(labels)))
    assert clustered.gain.value == alone.gain.value
    assert clustered.gain.high - clustered.gain.low > 1.8 * (alone.gain.high - alone.gain.low)
    assert "order statistics" in alone.positions[0].share.method
    assert "bootstrap of patients" in clustered.positions[0].share.method


def test_lists_without_an_answer_say_why():
    for labels, why in (([], "no films"), ([0, 0, 0], "no film is positive")):
        empty = worklist_result(labels, labels, plan=FEW)
        for estimate in (empty.area, empty.gain, empty.films_per_case, empty.positions[1].films, empty.at[0].found):
            assert estimate.value is None
            assert estimate.why == why
        assert empty.curve_found == ()
    full = worklist_result([1, 1, 1], [3, 2, 1], plan=FEW)
    assert full.gain.value is None
    assert "every film is positive" in full.gain.why
    assert full.films_per_case.value == 1
    one = worklist_result([0] * 30 + [1], np.arange(31)[::-1], plan=FEW)
    assert one.at[0].films_per_case.why == "no positive film is found there"
    assert one.positions[0].films.value == 31
    assert one.positions[0].share.low is None
    assert "too few" in one.positions[0].share.why


def test_too_few_positives_for_an_upper_bound_take_the_end_of_the_list():
    found = exact_quantile(np.arange(1.0, 21.0), 0.95, n=100, level=0.95)
    assert found.high == 1.0
    assert "end of the list" in found.method


@pytest.mark.parametrize(
    ("labels", "scores", "fractions"),
    [([1, 0], [0.5], FRACTIONS), ([1, 2], [0, 1], FRACTIONS), ([1, 0], [np.nan, 1], FRACTIONS), ([1, 0], [1, 2], (0,)),
     ([1, 0], [1, 2], (1.5,)), ([1, 0], [1, 2], (math.nan,))],
)  # fmt: skip
def test_lists_that_are_none_are_refused(labels, scores, fractions):
    for function in (worklist, worklist_result):
        with pytest.raises(EvaluationError):
            function(labels, scores, fractions=fractions)
