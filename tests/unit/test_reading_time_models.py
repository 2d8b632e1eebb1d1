"""Waiting times, worklists and screening arithmetic against closed forms, a simulation and brute force."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ConfigError, EvaluationError
from pipelines.reading_time.screening import missed_per_10000, predictive_values, rule_out_share
from pipelines.reading_time.waiting import Scenario, waiting_times
from pipelines.reading_time.worklist import curve, worklist


def test_published_waiting_times():
    found = waiting_times(Scenario(sensitivity=0.9, specificity=0.9, prevalence=0.1, traffic=0.8, minutes=10))
    ai = found.ai
    shown = [found.fifo.all, ai.flagged, ai.unflagged, ai.diseased, ai.nondiseased]
    assert [round(x, 4) for x in shown] == [40.0000, 1.6822, 48.4112, 6.3551, 43.7383]


shares = st.floats(0, 1)


@settings(max_examples=200, deadline=None)
@given(shares, shares, shares, st.floats(0.01, 0.99), st.floats(0.1, 100))
def test_work_is_conserved(sensitivity, specificity, prevalence, traffic, minutes):
    found = waiting_times(Scenario(sensitivity, specificity, prevalence, traffic, minutes))
    change = found.difference
    total = prevalence * (change.diseased or 0) + (1 - prevalence) * (change.nondiseased or 0)
    assert total == pytest.approx(0, abs=1e-6 * found.fifo.all + 1e-9)
    assert found.ai.all == pytest.approx(found.fifo.all, rel=1e-6)
    if found.ai.flagged is not None:
        assert found.ai.flagged <= found.fifo.all * (1 + 1e-9)
    if found.ai.unflagged is not None:
        assert found.ai.unflagged >= found.fifo.all * (1 - 1e-9)


def test_nobody_flagged_or_diseased_is_named():
    nobody = waiting_times(Scenario(sensitivity=0, specificity=1))
    assert nobody.ai.flagged is None
    assert nobody.ai.unflagged == pytest.approx(nobody.fifo.all)
    healthy = waiting_times(Scenario(sensitivity=0.9, specificity=0.9, prevalence=0))
    assert healthy.ai.diseased is None
    assert healthy.difference.diseased is None


@pytest.mark.parametrize(
    "wrong",
    [{"traffic": 1.0}, {"traffic": 1.3}, {"traffic": 0.0}, {"sensitivity": 1.1}, {"minutes": 0}, {"prevalence": -0.1}],
)
def test_impossible_scenarios_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Scenario(**({"sensitivity": 0.9, "specificity": 0.9} | wrong))
    with pytest.raises(ConfigError):
        Scenario(sensitivity=float("nan"), specificity=0.9)


def simulate(scenario, films, rng, *, priority):
    """A reader who always reads the film in front, film by film: waiting minutes and whether diseased."""
    arrivals = np.cumsum(rng.exponential(scenario.minutes / scenario.traffic, films))
    work = rng.exponential(scenario.minutes, films)
    diseased = rng.random(films) < scenario.prevalence
    flagged = rng.random(films) < np.where(diseased, scenario.sensitivity, 1 - scenario.specificity)
    left, done = work.copy(), np.empty(films)
    queue, now, nxt = [], 0.0, 0
    while nxt < films or queue:
        if not queue:
            now = arrivals[nxt]
        while nxt < films and arrivals[nxt] <= now:
            heapq.heappush(queue, (not flagged[nxt] if priority else False, nxt))
            nxt += 1
        film = queue[0][1]
        until = arrivals[nxt] if nxt < films else np.inf
        if now + left[film] <= until:
            now += left[film]
            done[film] = now
            heapq.heappop(queue)
        else:
            left[film] -= until - now
            now = until
    return done - arrivals - work, diseased


@pytest.mark.parametrize("priority", [False, True])
def test_closed_form_agrees_with_a_simulation(priority):
    scenario = Scenario(sensitivity=0.8, specificity=0.7, prevalence=0.3, traffic=0.6, minutes=5)
    means = []
    for seed in range(12):
        waits, diseased = simulate(scenario, 8_000, np.random.default_rng(seed), priority=priority)
        means.append([waits[diseased].mean(), waits[~diseased].mean()])
    found = waiting_times(scenario)
    expected = found.ai if priority else found.fifo
    mean, error = np.mean(means, axis=0), np.std(means, axis=0, ddof=1) / np.sqrt(len(means))
    assert np.abs(mean - [expected.diseased, expected.nondiseased]) == pytest.approx([0, 0], abs=float(4 * error.max()))
    assert error.max() < 0.3


def test_screening_arithmetic():
    found = predictive_values(0.1, 0.9, 0.9)
    assert (round(found.ppv, 7), round(found.npv, 7)) == (0.5, 0.9878049)
    assert predictive_values(0, 0.9, 1.0).ppv is None
    assert predictive_values(1, 1.0, 0.0).npv is None
    assert round(rule_out_share(0.372, 0.99, 0.471), 4) == 0.1815
    assert missed_per_10000(0.1, 0.9) == pytest.approx(100)
    with pytest.raises(ConfigError, match="specificity"):
        predictive_values(0.1, 0.9, 9)


def test_worklist_counts_by_hand():
    labels = [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    scores = [0.1, 0.9, 0.8, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0]
    found = worklist(labels, scores)
    assert list(found.positions) == [1, 4]
    assert [(f.films, f.found) for f in found.at] == [(1, 1), (2, 1), (5, 2)]
    assert [f.arrival_share for f in found.at] == pytest.approx([0.1, 0.2, 0.5])
    assert [f.ideal_share for f in found.at] == pytest.approx([0.5, 1, 1])
    assert found.median_position == 0.25


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_worklist_agrees_with_sorting(films):
    labels, scores = [float(a) for a, _ in films], [float(b) for _, b in films]
    if not any(labels):
        with pytest.raises(EvaluationError, match="positive"):
            worklist(labels, scores)
        return
    order = sorted(range(len(films)), key=lambda i: (-scores[i], i))
    found = worklist(labels, scores)
    assert list(found.positions) == [place for place, i in enumerate(order, 1) if labels[i]]
    read, share = curve(found.positions, len(films))
    assert (read[0], share[0], read[-1], share[-1]) == (0, 0, 1, 1)
    assert (np.diff(share) >= 0).all()


def test_worklist_refuses_what_it_cannot_order():
    for labels, scores in (([1], [np.nan]), ([2], [0.1]), ([1, 0], [0.1])):
        with pytest.raises(EvaluationError):
            worklist(labels, scores)
