"""The simulator against closed forms, against ciw and a slow reference film by film, and against itself."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import ciw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipelines.errors import ConfigError
from pipelines.reading_time.arrivals import arrival_minutes, batch_minutes, poisson_minutes
from pipelines.reading_time.reading_queue import waiting_minutes
from pipelines.reading_time.room import ServiceTime
from pipelines.reading_time.scenario import Scenario
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.reading_time.simulation import CLASSES, reading_minutes, simulate

DAY = 1440.0


def room(**values: Any) -> Scenario:
    """A small room; any key may be given."""
    base: dict[str, Any] = {"prevalence": 0.1, "sensitivity": 0.9, "specificity": 0.9}
    if not {"traffic", "arrivals_per_hour", "arrivals"} & values.keys():
        base["traffic"] = 0.8
    return parse_scenario(base | {"replications": 20, "films_per_replication": 20_000} | values)


def assert_within(values: np.ndarray, expected: float, level: float = 0.999) -> None:
    """The expected value lies in the Student interval of independent replications."""
    values = np.asarray(values)
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    assert abs(values.mean() - expected) <= half, f"{values.mean():.4f} +- {half:.4f}, expected {expected:.4f}"
    assert half < 0.25 * expected + 0.01, f"an interval of +- {half:.3f} around {expected:.3f} shows nothing"


# ---- closed forms -------------------------------------------------------------------------------------------------


def streams(scenario: Scenario) -> list[tuple[float, float, float]]:
    """Rate, mean and second moment of the reading time: interrupting, flagged, unflagged."""
    rate, others = scenario.arrivals_per_minute, 1 - scenario.interrupting_fraction
    assert scenario.sensitivity is not None
    assert scenario.specificity is not None
    ill, sick, well = scenario.prevalence, scenario.service("diseased"), scenario.service("nondiseased")
    first = scenario.service("interrupting")

    def moments(p_sick: float, p_well: float) -> tuple[float, float, float]:
        share = p_sick + p_well
        mean = (p_sick * sick.mean + p_well * well.mean) / share
        second = (p_sick * sick.mean**2 * (1 + sick.spread**2) + p_well * well.mean**2 * (1 + well.spread**2)) / share
        return rate * others * share, mean, second

    return [
        (rate * scenario.interrupting_fraction, first.mean, first.mean**2 * (1 + first.spread**2)),
        moments(ill * scenario.sensitivity, (1 - ill) * (1 - scenario.specificity)),
        moments(ill * (1 - scenario.sensitivity), (1 - ill) * scenario.specificity),
    ]


def merged(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    rate = a[0] + b[0]
    return rate, (a[0] * a[1] + b[0] * b[1]) / rate, (a[0] * a[2] + b[0] * b[2]) / rate


def cobham(classes: list[tuple[float, float, float]]) -> list[float]:
    """Non-preemptive priorities, one reader (Cobham 1954)."""
    work = sum(rate * second for rate, _, second in classes) / 2
    load = np.cumsum([0.0] + [rate * mean for rate, mean, _ in classes])
    return [work / ((1 - before) * (1 - upto)) for before, upto in itertools.pairwise(load)]


def resumed(classes: list[tuple[float, float, float]]) -> list[float]:
    """Preemptive-resume priorities, one reader: time in system minus reading time."""
    load = np.cumsum([0.0] + [rate * mean for rate, mean, _ in classes])
    work = np.cumsum([rate * second / 2 for rate, _, second in classes])
    return [
        mean / (1 - load[k]) + work[k] / ((1 - load[k]) * (1 - load[k + 1])) - mean
        for k, (_, mean, _) in enumerate(classes)
    ]


def erlang_c(readers: int, load: float) -> float:
    """Probability that a film waits in M/M/c."""
    terms = [load**k / math.factorial(k) for k in range(readers)]
    last = load**readers / math.factorial(readers) / (1 - load / readers)
    return last / (sum(terms) + last)


@pytest.mark.parametrize("traffic", [0.5, 0.8, 0.95])
def test_one_reader_equal_times_preemptive(traffic: float) -> None:
    films = 60_000 if traffic > 0.9 else 20_000
    scenario = room(traffic=traffic, films_per_replication=films, seed=3)
    found = simulate(scenario)
    p = 0.1 * 0.9 + 0.9 * 0.1
    fifo = traffic * 10 / (1 - traffic)
    first = traffic * p * 10 / (1 - traffic * p)
    second = 10 / (1 - traffic * p) + traffic * 10 / ((1 - traffic * p) * (1 - traffic)) - 10
    for name in ("all", "diseased", "nondiseased", "flagged", "unflagged", "missed"):
        assert_within(found.fifo.mean[name], fifo)
    assert_within(found.ai.mean["all"], fifo)
    assert_within(found.ai.mean["flagged"], first)
    assert_within(found.ai.mean["unflagged"], second)
    assert_within(found.ai.mean["missed"], second)
    assert_within(found.ai.mean["diseased"], 0.9 * first + 0.1 * second)
    assert_within(found.ai.mean["nondiseased"], 0.1 * first + 0.9 * second)
    paired = found.ai.mean["diseased"] - found.fifo.mean["diseased"]
    assert_within(-paired, fifo - 0.9 * first - 0.1 * second)


@pytest.mark.parametrize(("readers", "traffic"), [(1, 0.5), (1, 0.8), (4, 0.85)])
def test_the_95th_percentile_is_that_of_the_known_distribution(readers: int, traffic: float) -> None:
    """M/M/c, first come first served: P(W > t) = C exp(-(c mu - lambda) t), and C = rho with one reader."""
    found = simulate(room(readers=readers, traffic=traffic, discipline="preemptive", seed=12))

    def percentile(load: float) -> float:
        return max(0.0, math.log(erlang_c(readers, readers * load) / 0.05) * 10 / readers / (1 - load))

    if readers == 1:
        assert percentile(traffic) == pytest.approx(math.log(traffic / 0.05) / (0.1 - traffic * 0.1))
    assert_within(found.fifo.p95["all"], percentile(traffic))
    assert_within(found.fifo.p95["nondiseased"], percentile(traffic))
    top = percentile(0.18 * traffic)  # flagged films have the readers to themselves
    if top > 0:
        assert_within(found.ai.p95["flagged"], top)
    else:
        assert not found.ai.p95["flagged"].any()


@pytest.mark.parametrize(
    "minutes",
    [
        {"mean": 10, "distribution": "deterministic"},
        {"mean": 6, "distribution": "gamma", "cv": 0.5},
        {"mean": 4, "distribution": "lognormal", "cv": 1.3},
        {"diseased": 20, "nondiseased": {"mean": 5, "distribution": "deterministic"}},
    ],
)
def test_first_come_first_served_is_pollaczek_khinchine(minutes: dict[str, Any]) -> None:
    scenario = room(traffic=0.7, minutes=minutes, seed=11)
    rate, _, second = merged(*streams(scenario)[1:])
    found = simulate(scenario)
    assert_within(found.fifo.mean["all"], rate * second / 2 / (1 - 0.7))


@pytest.mark.parametrize("discipline", ["preemptive", "nonpreemptive"])
def test_three_classes_of_unequal_times(discipline: str) -> None:
    minutes = {"diseased": {"mean": 12, "distribution": "gamma", "cv": 0.7}, "nondiseased": 7, "interrupting": 3}
    values = {"traffic": 0.75, "interrupting_fraction": 0.2, "minutes": minutes, "prevalence": 0.3, "seed": 5}
    scenario = room(discipline=discipline, **values)
    emergency, flagged, unflagged = streams(scenario)
    theory = resumed if discipline == "preemptive" else cobham
    found = simulate(scenario)
    expected = theory([emergency, flagged, unflagged])
    for name, wait in zip(("interrupting", "flagged", "unflagged"), expected, strict=True):
        assert_within(found.ai.mean[name], wait)
    first, others = theory([emergency, merged(flagged, unflagged)])
    assert_within(found.fifo.mean["interrupting"], first)
    if discipline == "nonpreemptive":
        assert_within(found.fifo.mean["diseased"], others)
        assert_within(found.fifo.mean["nondiseased"], others)


@pytest.mark.parametrize("discipline", ["preemptive", "nonpreemptive"])
def test_several_readers(discipline: str) -> None:
    readers, traffic, mean = 3, 0.85, 10.0
    found = simulate(room(readers=readers, traffic=traffic, discipline=discipline, seed=8))
    fifo = erlang_c(readers, readers * traffic) * mean / readers / (1 - traffic)
    assert_within(found.fifo.mean["all"], fifo)
    load = traffic * (0.1 * 0.9 + 0.9 * 0.1)
    if discipline == "preemptive":  # the flagged see a room of their own; the total is that of M/M/c
        first = erlang_c(readers, readers * load) * mean / readers / (1 - load)
        assert_within(found.ai.mean["flagged"], first)
        assert_within(found.ai.mean["unflagged"], (fifo - 0.18 * first) / 0.82)
    else:  # Kella & Yechiali 1985
        assert_within(found.ai.mean["flagged"], fifo * (1 - traffic) / (1 - load))
        assert_within(found.ai.mean["unflagged"], fifo / (1 - load))


def test_rule_out_thins_the_list_and_counts_what_it_files() -> None:
    found = simulate(room(rule_out={"sensitivity": 0.95, "specificity": 0.5}, traffic=0.9, seed=2))
    assert found.filed is not None
    assert_within(found.filed.share, 0.1 * 0.05 + 0.9 * 0.5)
    assert_within(found.filed.diseased, 0.05)
    rest = 0.9 * (1 - 0.1 * 0.05 - 0.9 * 0.5)
    assert_within(found.ai.mean["all"], rest * 10 / (1 - rest))
    assert_within(found.fifo.mean["all"], 90)
    assert simulate(room(replications=2, films_per_replication=10)).filed is None


# ---- film by film: ciw --------------------------------------------------------------------------------------------


class Given(ciw.dists.Distribution):
    """Reading times by order of arrival."""

    def __init__(self, reading: np.ndarray) -> None:
        self.reading = reading

    def sample(self, t: float | None = None, ind: Any = None) -> float:
        return float(self.reading[ind.id_number - 1])


class LatestArrival(ciw.Node):
    """With several servers ciw lays aside what was begun last; ours, what arrived last."""

    def decide_preempt(self, individual: Any) -> None:
        if self.priority_preempt is False:
            return
        least = max(server.cust.priority_class for server in self.servers)
        if individual.priority_class < least:
            served = [server.cust for server in self.servers if server.cust.priority_class == least]
            self.preempt(max(served, key=lambda cust: cust.arrival_date), individual)


def by_ciw(
    arrival: np.ndarray,
    reading: np.ndarray,
    level: np.ndarray,
    *,
    servers: Any = 1,
    preemptive: bool = True,
    max_wait: float | None = None,
) -> np.ndarray:
    """Waits of the same films in ciw."""
    names = {0: "0", 1: "1", 2: "2", 3: "3"}
    gaps = {
        name: ciw.dists.Sequential([*np.diff(arrival[level == number], prepend=0.0).tolist(), math.inf])
        for number, name in names.items()
    }
    limits: dict[str, Any] = {}
    if max_wait is not None:
        overdue = {"1": ciw.dists.Deterministic(max_wait)}
        limits["class_change_time_distributions"] = {"2": overdue, "3": overdue}
    network = ciw.create_network(
        arrival_distributions={name: [gap] for name, gap in gaps.items()},
        service_distributions={name: [Given(reading)] for name in names.values()},
        number_of_servers=[servers],
        priority_classes=({name: number for number, name in names.items()}, ["resume" if preemptive else False]),
        **limits,
    )
    simulation = ciw.Simulation(network, node_class=LatestArrival)
    simulation.simulate_until_max_customers(len(arrival), method="Finish")
    left = np.full(len(arrival), np.nan)
    for record in simulation.get_all_records(only=["service"]):
        left[record.id_number - 1] = record.exit_date
    return left - arrival - reading


def trace(seed: int, n: int, traffic: float, readers: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(10 / traffic / readers, n))
    return arrival, rng.lognormal(2, 0.8, n), rng.choice(np.array([0, 2, 3], dtype=np.int8), n, p=[0.15, 0.25, 0.6])


@pytest.mark.parametrize("preemptive", [True, False])
@pytest.mark.parametrize("readers", [1, 2, 5])
def test_every_film_waits_as_in_ciw(readers: int, preemptive: bool) -> None:
    films = trace(readers, 400, 0.95, readers)
    ours = waiting_minutes(*films, reader_steps=((0, readers),), preemptive=preemptive)
    np.testing.assert_allclose(ours, by_ciw(*films, servers=readers, preemptive=preemptive), atol=1e-7)
    assert ours.max() > 10 * ours[films[2] == 0].mean(), "a trace without a queue tests nothing"


@pytest.mark.parametrize("seed", [1, 2])
def test_rota_as_in_ciw(seed: int) -> None:
    films = trace(seed, 300, 0.5)
    shifts = ciw.Schedule(numbers_of_servers=[0, 2, 3, 1], shift_end_dates=[420, 720, 1020, 1440], preemption="resume")
    steps = ((0.0, 0), (420.0, 2), (720.0, 3), (1020.0, 1))
    ours = waiting_minutes(*films, reader_steps=steps, preemptive=False)
    np.testing.assert_allclose(ours, by_ciw(*films, servers=shifts, preemptive=False), atol=1e-7)


@pytest.mark.parametrize("max_wait", [5.0, 40.0])
def test_upper_limit_as_in_ciw(max_wait: float) -> None:
    films = trace(4, 300, 0.9)
    ours = waiting_minutes(*films, preemptive=False, max_wait=max_wait)
    np.testing.assert_allclose(ours, by_ciw(*films, preemptive=False, max_wait=max_wait), atol=1e-7)
    assert not np.allclose(ours, waiting_minutes(*films, preemptive=False))


# ---- film by film: a slow reference -------------------------------------------------------------------------------


class Film:
    """One film of the reference simulator; whole minutes, so its arithmetic is exact."""

    def __init__(self, number: int, arrival: int, reading: int, level: int) -> None:
        self.number, self.arrival, self.left, self.level = number, arrival, reading, level
        self.waited, self.being_read, self.begun, self.here = 0, False, False, False

    @property
    def order(self) -> tuple[int, int]:
        return self.level, self.number


def changes(steps: list[tuple[int, int]], period: int) -> Iterator[tuple[int, int]]:
    day = 0
    while True:
        for start, readers in steps:
            yield day + start, readers
        day += period


def slow_waits(
    films: list[tuple[int, int, int]],
    steps: list[tuple[int, int]],
    period: int,
    preemptive: bool,
    max_wait: int | None,
) -> list[int]:
    """The rules of the kernel, minute by minute: nothing is kept in order, everything is looked up anew."""
    everyone = [Film(number, *film) for number, film in enumerate(films)]
    readers = 0
    timetable = changes(steps, period)
    change, later = next(timetable)
    now = 0
    while any(film.left > 0 or not film.here for film in everyone):
        if now == change:
            readers = later
            if len(steps) > 1:
                change, later = next(timetable)
        for film in everyone:
            film.here = film.here or film.arrival == now
            film.being_read = film.being_read and film.left > 0
        present = [film for film in everyone if film.here and film.left > 0]
        for film in present:
            waits = not film.being_read and not film.begun
            if max_wait is not None and waits and film.level > 1 and film.waited >= max_wait:
                film.level = 1
        assign(present, readers, preemptive)
        for film in present:
            if film.being_read:
                film.left -= 1
            else:
                film.waited += 1
        now += 1
    return [film.waited for film in everyone]


def assign(present: list[Film], readers: int, preemptive: bool) -> None:
    while sum(film.being_read for film in present) > readers:
        stop(max((film for film in present if film.being_read), key=lambda film: film.order), preemptive)
    while True:
        queue = [film for film in present if not film.being_read]
        busy = [film for film in present if film.being_read]
        if not queue or not readers:
            return
        best = min(queue, key=lambda film: (not film.begun, film.order))
        if len(busy) == readers:
            worst = max(busy, key=lambda film: film.order)
            if not preemptive or worst.level <= best.level:
                return
            stop(worst, preemptive)
        best.being_read = True


def stop(film: Film, preemptive: bool) -> None:
    film.being_read = False
    film.begun = not preemptive


@st.composite
def small_rooms(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(1, 14))
    arrivals = sorted(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)))
    readings = draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    levels = draw(st.lists(st.sampled_from([0, 2, 3, 3]), min_size=n, max_size=n))
    period = draw(st.integers(4, 30))
    starts = sorted(draw(st.sets(st.integers(1, period - 1), max_size=3)) | {0})
    numbers = draw(st.lists(st.integers(0, 3), min_size=len(starts), max_size=len(starts)))
    if not any(numbers):
        numbers[0] = 1
    return {
        "films": list(zip(arrivals, readings, levels, strict=True)),
        "steps": list(zip(starts, numbers, strict=True)),
        "period": period,
        "preemptive": draw(st.booleans()),
        "max_wait": draw(st.none() | st.integers(1, 15)),
    }


@settings(max_examples=250, deadline=None)
@given(small_rooms())
def test_every_film_waits_as_in_the_slow_reference(small: dict[str, Any]) -> None:
    arrival, reading, level = (np.array(column) for column in zip(*small["films"], strict=True))
    ours = waiting_minutes(
        arrival.astype(float),
        reading.astype(float),
        level.astype(np.int8),
        reader_steps=tuple((float(start), readers) for start, readers in small["steps"]),
        period=float(small["period"]),
        preemptive=small["preemptive"],
        max_wait=small["max_wait"],
    )
    assert ours.tolist() == slow_waits(**small)


# ---- laws ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preemptive", [True, False])
@pytest.mark.parametrize("max_wait", [None, 30.0])
def test_work_is_conserved(preemptive: bool, max_wait: float | None) -> None:
    arrival, reading, level = trace(9, 3000, 0.8)
    ours = waiting_minutes(arrival, reading, level, preemptive=preemptive, max_wait=max_wait)
    left = arrival + ours + reading
    backlog = 0.0
    earlier = np.maximum.accumulate(left)
    for film in range(1, len(arrival)):  # Lindley: whatever the order, the room is empty at the same times
        backlog = max(0.0, backlog + reading[film - 1] - (arrival[film] - arrival[film - 1]))
        if backlog == 0.0:
            assert earlier[film - 1] <= arrival[film] + 1e-7
        else:
            assert earlier[film - 1] > arrival[film] - 1e-7
    assert ours.min() >= 0


def test_equal_times_without_preemption_only_change_who_waits() -> None:
    arrival, _, level = trace(10, 2000, 0.8)
    equal = np.full(2000, 8.0)
    ai = waiting_minutes(arrival, equal, level, preemptive=False)
    fifo = waiting_minutes(arrival, equal, np.full(2000, 3, dtype=np.int8), preemptive=False)
    assert ai.sum() == pytest.approx(fifo.sum(), rel=1e-12)
    np.testing.assert_allclose(np.sort(arrival + ai), np.sort(arrival + fifo), atol=1e-7)


def test_a_limit_of_nothing_is_order_of_arrival_and_a_late_one_changes_nothing() -> None:
    films = trace(12, 1000, 0.9)
    fifo = waiting_minutes(films[0], films[1], np.where(films[2] == 0, 0, 3).astype(np.int8))
    np.testing.assert_array_equal(waiting_minutes(*films, max_wait=0.0), fifo)
    np.testing.assert_array_equal(waiting_minutes(*films, max_wait=1e9), waiting_minutes(*films))


def test_the_limit_shortens_the_longest_wait() -> None:
    free, limited = simulate(room(traffic=0.9)), simulate(room(traffic=0.9, max_wait_minutes=120))
    assert limited.ai.maximum["unflagged"].mean() < free.ai.maximum["unflagged"].mean()
    assert limited.ai.mean["flagged"].mean() > free.ai.mean["flagged"].mean()
    np.testing.assert_array_equal(limited.fifo.mean["all"], free.fifo.mean["all"])


def test_films_after_the_counted_ones_compete_but_are_not_reported() -> None:
    films = trace(13, 500, 0.9)
    part, whole = waiting_minutes(*films, counted=200), waiting_minutes(*films)
    np.testing.assert_array_equal(part[:200], whole[:200])
    assert np.isnan(part[200:]).all()
    assert (part[:200] >= waiting_minutes(*(column[:200] for column in films)) - 1e-9).all()


# ---- arrivals and reading times -----------------------------------------------------------------------------------


def test_hourly_profile_keeps_the_mean_and_follows_the_weights() -> None:
    weights = [0.0] * 7 + [5, 8, 9, 9, 7, 4, 6, 6, 5, 3, 2, 1] + [0.5] * 4 + [0.0]
    times = poisson_minutes(0.4, 200_000, np.random.default_rng(1), weights)
    assert (np.diff(times) >= 0).all()
    assert 200_000 / times[-1] == pytest.approx(0.4, rel=0.01)
    hours = np.bincount((times % DAY // 60).astype(int), minlength=24)
    assert hours[[0, 6, 23]].tolist() == [0, 0, 0]
    assert stats.chisquare(hours[7:23], 200_000 * np.array(weights[7:23]) / sum(weights)).pvalue > 0.001
    within = times[(times % DAY >= 600) & (times % DAY < 660)] % 60
    assert stats.kstest(within, "uniform", args=(0, 60)).pvalue > 0.001


def test_a_flat_profile_is_a_constant_rate() -> None:
    flat = poisson_minutes(0.2, 5000, np.random.default_rng(2), [3.0] * 24)
    np.testing.assert_allclose(flat, poisson_minutes(0.2, 5000, np.random.default_rng(2)), rtol=1e-9)


def test_one_hour_of_arrivals() -> None:
    times = poisson_minutes(0.5, 50_000, np.random.default_rng(3), [0.0] * 23 + [1.0])
    assert (times % DAY >= 23 * 60).all()
    assert (np.diff(times) >= 0).all()


def test_batches_come_together_and_are_part_of_the_rate() -> None:
    assert batch_minutes([(1020.0, 2), (60.0, 1)], 5).tolist() == [60.0, 1020.0, 1020.0, 1500.0, 2460.0]
    batches = [{"hour": 17, "films": 40}, {"hour": 9.5, "films": 10}]
    scenario = room(arrivals_per_hour=5, arrivals={"batches": batches, "hourly": [0] * 8 + [1] * 10 + [0] * 6})
    times = arrival_minutes(scenario, 60_000, np.random.default_rng(4))
    assert 60_000 / times[-1] * 60 == pytest.approx(5, rel=0.02)
    days = int(times[-1] // DAY)
    assert (times == 17 * 60 + DAY * 3).sum() == 40
    assert (times[times < days * DAY] % DAY == 570).sum() == 10 * days
    only = arrival_minutes(room(arrivals={"batches": batches}), 120, np.random.default_rng(5))
    assert sorted(set(only.tolist())) == [570.0, 1020.0, 2010.0, 2460.0, 3450.0, 3900.0]


@pytest.mark.parametrize(
    ("distribution", "cv"), [("exponential", 1), ("deterministic", 0), ("lognormal", 0.6), ("gamma", 1.5)]
)
def test_reading_times_have_their_mean_and_spread(distribution: Any, cv: float) -> None:
    given_cv = cv if distribution in ("lognormal", "gamma") else None
    times = reading_minutes(
        ServiceTime(mean=7, distribution=distribution, cv=given_cv), 200_000, np.random.default_rng(6)
    )
    assert times.mean() == pytest.approx(7, rel=0.02)
    assert times.std() == pytest.approx(7 * cv, rel=0.03, abs=1e-9)


def test_reading_times_of_hardly_any_spread() -> None:
    for distribution in ("lognormal", "gamma"):
        times = reading_minutes(ServiceTime(mean=7, distribution=distribution, cv=1e-200), 5, np.random.default_rng(6))
        assert times.tolist() == [7.0] * 5


# ---- rooms over the day -------------------------------------------------------------------------------------------


def test_films_of_the_night_wait_for_the_morning() -> None:
    rota = [{"from": 8, "to": 16, "readers": 2}]
    arrivals = {"batches": [{"hour": 17, "films": 4}]}
    minutes = {"mean": 10, "distribution": "deterministic"}
    values = {"rota": rota, "arrivals": arrivals, "minutes": minutes, "replications": 2, "films_per_replication": 40}
    found = simulate(room(**values, warm_up_films=0, sensitivity=1.0, specificity=1.0, prevalence=0.0))
    assert found.fifo.mean["all"].tolist() == [905.0, 905.0]  # 15 hours, and the second pair after the first
    assert found.ai.maximum["all"].tolist() == [910.0, 910.0]


def test_a_day_of_three_shifts_against_the_steady_room() -> None:
    """A rota that adds up to the same readers at all hours is the steady room, film by film."""
    shifts = [
        {"from": 22, "to": 6, "readers": 2},
        {"from": 6, "to": 14, "readers": 2},
        {"from": 14, "to": 22, "readers": 2},
    ]
    split, steady = simulate(room(rota=shifts, replications=3)), simulate(room(readers=2, replications=3))
    np.testing.assert_array_equal(split.ai.mean["all"], steady.ai.mean["all"])


@pytest.mark.parametrize(
    "values",
    [
        {"traffic": 1.0},
        {"traffic": 1.2},
        {"arrivals_per_hour": 7.0},
        {"arrivals": {"batches": [{"hour": 17, "films": 145}]}},
        {"arrivals": {"batches": [{"hour": 17, "films": 60}]}, "rota": [{"from": 8, "to": 16, "readers": 1}]},
        {"arrivals_per_hour": 3.0, "rota": [{"from": 8, "to": 12, "readers": 2}]},
    ],
)
def test_more_work_than_readers_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="traffic must lie"):
        room(**values)


def test_a_room_without_readers_is_refused() -> None:
    with pytest.raises(ConfigError, match="no reader at any hour"):
        waiting_minutes(np.zeros(1), np.ones(1), np.full(1, 3, dtype=np.int8), reader_steps=((0.0, 0), (60.0, 0)))


# ---- seeds, threads, degenerate rooms -----------------------------------------------------------------------------


def flat(found: Any) -> np.ndarray:
    arms = [getattr(arm, measure) for arm in (found.fifo, found.ai) for measure in ("mean", "p95", "maximum")]
    return np.stack([values[name] for values in arms for name in CLASSES])


def test_results_depend_on_the_seed_alone() -> None:
    scenario = room(replications=6, films_per_replication=500, interrupting_fraction=0.1)
    calls: list[tuple[int, int]] = []
    once = simulate(scenario, threads=1, progress=lambda done, whole: calls.append((done, whole)))
    np.testing.assert_array_equal(flat(once), flat(simulate(scenario, threads=4)))
    assert calls == [(done, 6) for done in range(1, 7)]
    other = simulate(room(replications=6, films_per_replication=500, interrupting_fraction=0.1, seed=2))
    assert (flat(once) != flat(other)).all()
    assert len(set(once.fifo.mean["all"].tolist())) == 6
    more = simulate(room(replications=8, films_per_replication=500, interrupting_fraction=0.1))
    np.testing.assert_array_equal(flat(more)[:, :6], flat(once))


def test_accuracy_by_replication_leaves_arrivals_and_reading_times() -> None:
    scenario = room(replications=4, films_per_replication=2000)
    pairs = np.array([[0.9, 0.9], [1.0, 1.0], [0.0, 1.0], [0.5, 0.0]])
    one, other = simulate(scenario), simulate(scenario, accuracy=pairs)
    np.testing.assert_array_equal(one.fifo.mean["all"], other.fifo.mean["all"])
    assert one.ai.mean["flagged"][0] == other.ai.mean["flagged"][0]
    assert other.films["missed"].tolist()[1:3] == [0, other.films["diseased"][2]]
    assert other.films["flagged"][1] == other.films["diseased"][1]
    assert np.isnan(other.ai.mean["missed"][1])
    nobody = other.ai
    assert other.films["flagged"][2] == 0
    assert np.isnan(nobody.mean["flagged"][2])
    assert nobody.mean["all"][2] == other.fifo.mean["all"][2]


def test_accuracy_has_to_be_given() -> None:
    with pytest.raises(ConfigError, match="sensitivity and specificity are missing"):
        simulate(parse_scenario({"prevalence": 0.1, "traffic": 0.5}))


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        ({"prevalence": 0.0}, {"diseased", "missed", "interrupting"}),
        ({"prevalence": 1.0}, {"nondiseased", "interrupting"}),
        ({"sensitivity": 0.0, "specificity": 1.0}, {"flagged", "interrupting"}),
        ({"sensitivity": 1.0, "specificity": 0.0}, {"unflagged", "missed", "interrupting"}),
    ],
)
def test_classes_without_films_are_absent(values: dict[str, Any], absent: set[str]) -> None:
    found = simulate(room(replications=2, films_per_replication=2000, **values))
    for name in CLASSES:
        empty = name in absent
        assert (found.films[name] == 0).all() == empty
        for arm in (found.fifo, found.ai):
            for measure in (arm.mean, arm.p95, arm.maximum):
                assert np.isnan(measure[name]).all() == empty
    if {"flagged", "unflagged"} & absent:  # all films are alike, so the AI changes nothing
        np.testing.assert_array_equal(found.ai.mean["all"], found.fifo.mean["all"])


def test_one_film_does_not_wait() -> None:
    assert waiting_minutes(np.array([3.0]), np.array([5.0]), np.array([3], dtype=np.int8)).tolist() == [0.0]
    assert waiting_minutes(np.empty(0), np.empty(0), np.empty(0, dtype=np.int8)).tolist() == []


def test_everything_filed() -> None:
    values = {"prevalence": 0.0, "specificity": 1.0, "rule_out": {"sensitivity": 1.0, "specificity": 1.0}}
    found = simulate(room(replications=2, films_per_replication=50, **values))
    assert found.filed is not None
    assert found.filed.share.tolist() == [1.0, 1.0]
    assert np.isnan(found.filed.diseased).all()
    assert all(np.isnan(found.ai.mean[name]).all() for name in CLASSES)
    assert not np.isnan(found.fifo.mean["all"]).any()
