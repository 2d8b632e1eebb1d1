"""Closed forms of waiting against published figures, Erlang's sums, Markov chains solved by brute force, and ciw."""

import math
from fractions import Fraction
from math import factorial

import ciw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.linalg import spsolve

from pipelines.reading_time.residual import shortest_of
from pipelines.reading_time.room import ServiceTime
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.reading_time.simulation import reading_minutes, simulate
from pipelines.reading_time.theory import CLASSES, erlang_c, theory

BASE = {"prevalence": 0.1, "sensitivity": 0.9, "specificity": 0.9, "traffic": 0.8, "minutes": 10}


def room(**changes):
    return parse_scenario(BASE | changes)


def test_published_case():
    found = theory(room())
    ai = found.ai
    shown = [found.fifo["all"], ai["flagged"], ai["unflagged"], ai["diseased"], ai["nondiseased"]]
    assert [round(x, 4) for x in shown] == [40.0000, 1.6822, 48.4112, 6.3551, 43.7383]
    assert found.exact
    assert found.absent is None
    assert ai["missed"] == ai["unflagged"]
    assert ai["interrupting"] is None
    assert found.difference["diseased"] == pytest.approx(6.3551 - 40, abs=1e-4)


def test_unequal_reading_times_are_pollaczek_khinchine():
    times = {"diseased": {"mean": 20, "distribution": "gamma", "cv": 0.5}, "nondiseased": 5}
    scenario = room(prevalence=0.2, minutes=times, discipline="nonpreemptive")
    rate = 0.8 / (0.2 * 20 + 0.8 * 5)
    second = 0.2 * 400 * 1.25 + 0.8 * 2 * 25
    expected = rate * second / (2 * (1 - 0.8))
    assert theory(scenario).fifo["all"] == pytest.approx(expected)
    of_the_mean = 0.8 * 8 / (1 - 0.8)
    assert abs(expected - of_the_mean) > 2  # M/M/1 of the mean time would be wrong here


@pytest.mark.parametrize("distribution", ["exponential", "deterministic"])
def test_preemptive_resume_matches_kleinrock_by_hand(distribution):
    """Two classes with unequal times, written out; the level of interrupting films and one of all others."""
    minutes = {"diseased": 10, "nondiseased": 10, "interrupting": 5}
    minutes = {kind: {"mean": mean, "distribution": distribution} for kind, mean in minutes.items()}
    found = theory(room(interrupting_fraction=0.3, minutes=minutes, prevalence=0.5)).fifo
    rate = 0.8 / (0.3 * 5 + 0.7 * 10)
    spread = 2 if distribution == "exponential" else 1
    first, second = rate * 0.3, rate * 0.7
    load, half = first * 5, spread / 2
    urgent = half * first * 25 / (1 - load)
    other = half * (first * 25 + second * 100) / ((1 - load) * (1 - 0.8)) + 10 * load / (1 - load)
    assert found["interrupting"] == pytest.approx(urgent)
    assert found["diseased"] == pytest.approx(other)
    assert found["all"] == pytest.approx(0.3 * urgent + 0.7 * other)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 99))
def test_erlang_c_is_the_sum(servers, per_cent):
    load = Fraction(servers * per_cent, 100)
    last = load**servers / factorial(servers) * servers / (servers - load)
    exact = last / (sum(load**k / Fraction(factorial(k)) for k in range(servers)) + last)
    assert erlang_c(servers, float(load)) == pytest.approx(float(exact), rel=1e-9)


def test_erlang_c_of_many_servers_stays_finite():
    assert 0 < erlang_c(1000, 990.0) < 1
    assert erlang_c(1000, 1.0) == pytest.approx(0)
    assert erlang_c(3, 0.0) == 0


shares = st.floats(0, 1)
kinds = st.fixed_dictionaries({k: st.floats(0.5, 30) for k in ("diseased", "nondiseased", "interrupting")})


@settings(max_examples=150, deadline=None)
@given(shares, shares, shares, st.floats(0.01, 0.98), kinds, st.floats(0, 0.9), st.sampled_from([1, 2, 7]))
def test_work_is_conserved(sensitivity, specificity, prevalence, traffic, minutes, interrupting, readers):
    """Kleinrock's law: the order moves the wait from film to film; weighted by reading time, it stays."""
    values = {"sensitivity": sensitivity, "specificity": specificity, "prevalence": prevalence, "traffic": traffic}
    scenario = room(
        **values, minutes=minutes, interrupting_fraction=interrupting, readers=readers, discipline="nonpreemptive"
    )
    found = theory(scenario)
    weights = {
        "interrupting": interrupting * minutes["interrupting"],
        "diseased": (1 - interrupting) * prevalence * minutes["diseased"],
        "nondiseased": (1 - interrupting) * (1 - prevalence) * minutes["nondiseased"],
    }

    def work(waits):
        return sum(weight * (waits[name] or 0) for name, weight in weights.items())

    assert work(found.ai) == pytest.approx(work(found.fifo), rel=1e-6, abs=1e-9)
    if readers == 1:
        rate = scenario.arrivals_per_minute
        second = sum(weight * minutes[name] * 2 for name, weight in weights.items())
        assert rate * work(found.ai) == pytest.approx(traffic * rate * second / 2 / (1 - traffic), rel=1e-6)


@settings(max_examples=150, deadline=None)
@given(shares, shares, shares, st.floats(0.01, 0.98), st.floats(0, 0.9), st.sampled_from([1, 2, 5]))
def test_preemption_conserves_work_too(sensitivity, specificity, prevalence, traffic, interrupting, readers):
    scenario = room(
        sensitivity=sensitivity, specificity=specificity, prevalence=prevalence, traffic=traffic, readers=readers
    )
    found = theory(room(**(scenario.model_dump(by_alias=True) | {"interrupting_fraction": interrupting})))
    assert found.exact
    assert found.ai["all"] == pytest.approx(found.fifo["all"], rel=1e-6)
    assert found.ai["interrupting"] == pytest.approx(found.fifo["interrupting"])
    if found.ai["flagged"] is not None:
        assert found.ai["flagged"] <= found.fifo["flagged"] * (1 + 1e-6)
    if found.ai["unflagged"] is not None:
        assert found.ai["unflagged"] >= found.fifo["unflagged"] * (1 - 1e-6)


@pytest.mark.parametrize("rare", [1e-6, 1e-9, 1e-13, 1e-100])
def test_a_class_of_hardly_any_film_waits_as_in_the_limit(rare):
    """Flagging nearly all: the few others wait behind a queue that is all but the whole."""
    few = theory(room(readers=2, sensitivity=0, specificity=0, prevalence=rare)).ai["unflagged"]
    some = theory(room(readers=2, sensitivity=0, specificity=0, prevalence=1e-5)).ai["unflagged"]
    assert few == pytest.approx(some, rel=1e-4)


@pytest.mark.parametrize(("sensitivity", "specificity", "gone"), [(0, 1, "flagged"), (1, 0, "unflagged")])
@pytest.mark.parametrize("discipline", ["preemptive", "nonpreemptive"])
def test_flagging_nobody_or_everybody_changes_nothing(sensitivity, specificity, gone, discipline):
    found = theory(room(sensitivity=sensitivity, specificity=specificity, discipline=discipline))
    assert found.ai[gone] is None
    for name in ("all", "diseased", "nondiseased"):
        assert found.ai[name] == pytest.approx(found.fifo[name])
    assert found.difference[gone] is None


def test_limits():
    perfect = theory(room(sensitivity=1, specificity=1))
    assert perfect.ai["diseased"] == perfect.ai["flagged"]
    assert perfect.ai["missed"] is None
    empty = theory(room(traffic=1e-9))
    assert empty.ai["all"] == pytest.approx(0, abs=1e-6)
    assert theory(room(prevalence=0)).ai["diseased"] is None
    with_zero = theory(room(traffic=1e-300, readers=8))
    assert all(value is None or value >= 0 for value in with_zero.ai.values())


def test_filed_films_leave_the_queue():
    scenario = room(rule_out={"sensitivity": 0.98, "specificity": 0.5})
    found = theory(scenario)
    kept = room(
        prevalence=0.1 * 0.98 / (0.1 * 0.98 + 0.9 * 0.5),
        sensitivity=0.9 / 0.98,
        specificity=0.4 / 0.5,
        traffic=0.8 * (0.1 * 0.98 + 0.9 * 0.5),
    )
    assert found.fifo == theory(room()).fifo
    assert found.ai == pytest.approx(theory(kept).ai)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"max_wait_minutes": 60}, "max_wait_minutes"),
        ({"arrivals": {"hourly": [1] * 12 + [2] * 12}}, "rate"),
        ({"arrivals": {"batches": [{"hour": 17.0, "films": 5}]}}, "Batches"),
        ({"rota": [{"from": 8, "to": 20, "readers": 1}]}, "rota"),
    ],
)
def test_no_formula_says_why(changes, word):
    found = theory(room(**changes))
    assert word in found.absent
    assert not found.exact
    assert found.fifo == found.ai == found.difference == {}


def test_a_constant_profile_is_no_profile():
    steady = theory(room(arrivals={"hourly": [3.0] * 24}, rota=[{"from": 0, "to": 24, "readers": 2}]))
    assert steady == theory(room(readers=2))
    assert set(steady.ai) == set(CLASSES)


def chain(rates, means, readers, most=70):
    """Mean waits of two preemptive-resume classes with exponential times: the Markov chain, solved."""
    states = {(a, b): a * most + b for a in range(most) for b in range(most)}
    rows, columns, values = [], [], []

    def move(state, to, rate):
        if to in states and rate > 0:
            rows.extend((states[to], states[state]))
            columns.extend((states[state], states[state]))
            values.extend((rate, -rate))

    for first, second in states:
        busy = min(first, readers)
        move((first, second), (first + 1, second), rates[0])
        move((first, second), (first, second + 1), rates[1])
        move((first, second), (first - 1, second), busy / means[0])
        move((first, second), (first, second - 1), min(second, readers - busy) / means[1])
    generator = sparse.lil_matrix(sparse.csr_matrix((values, (rows, columns)), shape=(len(states),) * 2))
    generator[0, :] = 1
    right = np.zeros(len(states))
    right[0] = 1
    share = spsolve(generator.tocsc(), right).reshape(most, most)
    inside = [(share.sum(axis=1 - axis) * np.arange(most)).sum() for axis in (0, 1)]
    return [number / rate - mean for number, rate, mean in zip(inside, rates, means, strict=True)]


def test_several_readers_match_a_markov_chain():
    scenario = room(readers=3, traffic=0.6, prevalence=0.4)
    rate, flagged = scenario.arrivals_per_minute, scenario.flagged_share
    first, second = chain((rate * flagged, rate * (1 - flagged)), (10, 10), 3)
    found = theory(scenario)
    assert found.exact
    assert found.ai["flagged"] == pytest.approx(first, rel=1e-6)
    assert found.ai["unflagged"] == pytest.approx(second, rel=1e-6)


def test_the_approximation_is_named_and_near():
    times = {"diseased": 10, "nondiseased": 10, "interrupting": 5}
    scenario = room(readers=2, traffic=0.7, minutes=times, interrupting_fraction=0.2)
    found = theory(scenario)
    rate = scenario.arrivals_per_minute
    first, second = chain((rate * 0.2, rate * 0.8), (5, 10), 2)
    assert not found.exact
    assert "approximation" in found.method
    assert found.fifo["interrupting"] == pytest.approx(first, rel=1e-6)  # alone in front: still M/M/c
    assert found.fifo["diseased"] == pytest.approx(second, rel=0.03)


MIXED = (
    (0.2, {"mean": 15, "distribution": "gamma", "cv": 0.6}),
    (0.7, {"mean": 6, "distribution": "lognormal", "cv": 1.2}),
    (0.1, {"mean": 4, "distribution": "deterministic"}),
)


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_the_first_of_several_busy_readers(readers):
    """Against m / c and m / (c + 1), E[S^2] / 2 E[S] of one reader, and draws of remaining times."""
    same = ServiceTime(mean=8, distribution="deterministic")
    assert shortest_of([(0.3, ServiceTime(mean=8))], readers) == pytest.approx(8 / readers, rel=1e-9)
    assert shortest_of([(0.3, same)], readers) == pytest.approx(8 / (readers + 1), rel=1e-9)
    times = [(rate, ServiceTime(**time)) for rate, time in MIXED]
    found = shortest_of(times, readers)
    if readers == 1:
        second = sum(rate * time.second_moment for rate, time in times)
        assert found == pytest.approx(second / 2 / sum(rate * time.mean for rate, time in times), rel=1e-6)
    rng, n = np.random.default_rng(4), 400_000
    drawn = np.concatenate([reading_minutes(time, round(n * rate), rng) for rate, time in times])
    seen = rng.choice(drawn, (n, readers), p=drawn / drawn.sum()) * rng.random((n, readers))
    shortest = seen.min(axis=1)
    assert found == pytest.approx(shortest.mean(), abs=5 * shortest.std() / math.sqrt(n) + 0.01)


@pytest.mark.parametrize("distribution", ["deterministic", "lognormal"])
def test_nobody_interrupts_several_readers_of_general_times(distribution):
    """Films in front wait for the first reader who is done, which one fast reader would misjudge by far."""
    time = {"mean": 8, "distribution": distribution} | ({"cv": 1.5} if distribution == "lognormal" else {})
    values = {"readers": 5, "traffic": 0.7, "minutes": time, "discipline": "nonpreemptive"}
    scenario = room(**values, interrupting_fraction=0.1, replications=40, seed=3)
    found, seen = theory(scenario), simulate(scenario).ai.mean
    assert not found.exact
    for name in ("interrupting", "flagged", "unflagged", "all"):
        assert found.ai[name] == pytest.approx(seen[name].mean(), rel=0.15)


def queue_library(scenario, *, seed, films):
    """Mean waits of flagged and unflagged films in ciw."""
    rate, flagged = scenario.arrivals_per_minute, scenario.flagged_share
    time = scenario.service("nondiseased")
    shape = 1 / time.spread**2
    preempt = "resume" if scenario.discipline == "preemptive" else False
    network = ciw.create_network(
        arrival_distributions={
            "flagged": [ciw.dists.Exponential(rate * flagged)],
            "unflagged": [ciw.dists.Exponential(rate * (1 - flagged))],
        },
        service_distributions={
            "flagged": [ciw.dists.Gamma(shape, time.mean / shape)],
            "unflagged": [ciw.dists.Gamma(shape, time.mean / shape)],
        },
        number_of_servers=[scenario.readers],
        priority_classes=({"flagged": 0, "unflagged": 1}, [preempt]),
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(films / rate)
    waits = {"flagged": [], "unflagged": []}
    came, read = {}, {}
    for record in sorted(simulation.get_all_records(), key=lambda record: record.exit_date):
        film = record.id_number  # an interrupted film has one record for each stretch of reading
        came[film] = min(came.get(film, np.inf), record.arrival_date)
        read[film] = read.get(film, 0.0) + record.exit_date - record.service_start_date
        if record.record_type == "service":
            waits[record.customer_class].append(record.exit_date - came[film] - read[film])
    return np.mean(waits["flagged"]), np.mean(waits["unflagged"])


@pytest.mark.parametrize("discipline", ["preemptive", "nonpreemptive"])
def test_general_reading_times_match_a_queue_library(discipline):
    time = {"mean": 10, "distribution": "gamma", "cv": 0.5}
    scenario = room(traffic=0.6, prevalence=0.4, minutes=time, discipline=discipline)
    runs = np.array([queue_library(scenario, seed=seed, films=4000) for seed in range(10)])
    found = theory(scenario).ai
    error = runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
    assert np.all(np.abs(runs.mean(axis=0) - [found["flagged"], found["unflagged"]]) < 4 * error)
    assert error.max() < 1
