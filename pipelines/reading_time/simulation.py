"""Simulated waiting times of a reading room: without AI (arm ``fifo``) and with it (arm ``ai``).

Both arms see the same films: the same arrivals, reading times, truths and flags (common random numbers), so their
difference within a replication is paired. Replications are independent; intervals come from how they differ.

How long to run: the wait of one film is correlated with that of some 4 / (1 - traffic)^2 films after it. Intervals are
honest at any length, but narrow only where a replication is much longer than that: the default of 20,000 films is ample
up to a traffic of 0.9; at 0.95 take 50,000, at 0.98 300,000. Each run starts in an empty room; its first films (the
warm-up) are not counted, and as many uncounted ones follow the counted ones, so that the last of these too are
overtaken as they would be on any other day.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ConfigError
from pipelines.reading_time.arrivals import arrival_minutes
from pipelines.reading_time.reading_queue import waiting_minutes
from pipelines.reading_time.room import ServiceTime
from pipelines.reading_time.scenario import Kind, Scenario
from pipelines.reading_time.simulation_kernel import FLAGGED, INTERRUPTING, UNFLAGGED
from pipelines.system import usable_cores

CLASSES: Final = ("all", "diseased", "nondiseased", "flagged", "unflagged", "missed", "interrupting")
"""Groups of films that are reported. ``all`` has the interrupting films in it, ``diseased``, ``nondiseased``,
``flagged`` and ``unflagged`` have not; ``missed`` are diseased and unflagged: the false negatives."""
KINDS: Final[tuple[Kind, ...]] = ("diseased", "nondiseased", "interrupting")

_NO_SPREAD: Final = 1e-9
"""Below this coefficient of variation, reading times are all alike (and a gamma's shape would overflow)."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Arm:
    """Waiting times in minutes by class, each ``[replications]``; NaN where a replication read no such film."""

    mean: dict[str, Floats]
    p95: dict[str, Floats]
    """95th percentile."""
    maximum: dict[str, Floats]
    """The longest wait; it grows with the number of films."""


@dataclass(frozen=True)
class Filed:
    """What rule-out files without a reader, each ``[replications]``; NaN where a replication has no such film."""

    share: Floats
    """Filed films / all films that are not interrupting."""
    diseased: Floats
    """Filed diseased films / diseased films."""


@dataclass(frozen=True)
class Simulation:
    """Both arms over all replications."""

    fifo: Arm
    """Interrupting films first, then all others by arrival; every film is read. The upper-limit rule has no part."""
    fifo_of_read: Arm
    """The same queue, over the films alone that ``ai`` reads too: like with like. Without rule-out, ``fifo``."""
    ai: Arm
    """Flagged before unflagged; films that rule-out files are never read and stand in no class."""
    films: dict[str, NDArray[np.int64]]
    """Counted films by class, ``[replications]``, filed ones included."""
    filed: Filed | None
    """None without rule-out."""


def simulate(
    scenario: Scenario,
    *,
    accuracy: Floats | None = None,
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> Simulation:
    """Simulate a reading room.

    Args:
        scenario: the room; its ``seed`` decides every film.
        accuracy: ``[replications, 2]``, sensitivity and specificity of each replication instead of the scenario's, to
            carry their uncertainty along.
        progress: called with replications done and in all, after each.
        threads: replications at one time; None = usable cores. Results do not depend on it.

    Raises:
        ConfigError: neither the scenario nor ``accuracy`` says how accurate the AI is.
    """
    pairs = _accuracies(scenario, accuracy)
    seeds = np.random.SeedSequence(scenario.seed).spawn(scenario.replications)
    # Shut down by hand: leaving a `with` block on an interrupt would first run every replication that waits.
    pool = ThreadPoolExecutor(max_workers=min(threads or usable_cores(), scenario.replications))
    try:
        jobs = [pool.submit(_replicate, scenario, pair, seed) for pair, seed in zip(pairs, seeds, strict=True)]
        runs = _collect(jobs, progress)
    finally:
        pool.shutdown(cancel_futures=True)
    return Simulation(
        fifo=_arm([run.fifo for run in runs]),
        fifo_of_read=_arm([run.fifo_of_read for run in runs]),
        ai=_arm([run.ai for run in runs]),
        films={name: np.array([run.films[place] for run in runs]) for place, name in enumerate(CLASSES)},
        filed=None
        if scenario.rule_out is None
        else Filed(np.array([run.filed[0] for run in runs]), np.array([run.filed[1] for run in runs])),
    )


class _Run(NamedTuple):
    """One replication: mean, 95th percentile and maximum of each class ``[classes, 3]``, counts, shares filed."""

    fifo: Floats
    fifo_of_read: Floats
    ai: Floats
    films: NDArray[np.int64]
    filed: tuple[float, float]


class _Films(NamedTuple):
    """Films of one replication in order of arrival, each ``[n]``."""

    arrival: Floats
    reading: Floats
    interrupting: Bools
    diseased: Bools
    flagged: Bools
    filed: Bools


def _accuracies(scenario: Scenario, accuracy: Floats | None) -> Floats:
    if accuracy is not None:
        pairs = np.asarray(accuracy, dtype=np.float64)
        assert pairs.shape == (scenario.replications, 2), "one sensitivity and specificity per replication"
        assert ((pairs >= 0) & (pairs <= 1)).all(), "shares"
        return pairs
    if scenario.sensitivity is None or scenario.specificity is None:
        raise ConfigError("scenario: sensitivity and specificity are missing; give them, or an evaluation and finding.")
    return np.tile(np.array(scenario.accuracy), (scenario.replications, 1))


def _collect(jobs: list[Future[_Run]], progress: Callable[[int, int], None] | None) -> list[_Run]:
    runs = []
    for job in jobs:
        runs.append(job.result())
        if progress is not None:
            progress(len(runs), len(jobs))
    return runs


def _replicate(scenario: Scenario, accuracy: Floats, seed: np.random.SeedSequence) -> _Run:
    warm_up, counted = scenario.warm_up, scenario.films_per_replication
    films = _draw(scenario, accuracy, seed, warm_up + counted + warm_up)
    window = slice(warm_up, warm_up + counted)
    groups = _groups(films, window)
    everything = np.arange(len(films.arrival))
    fifo_level = np.where(films.interrupting, INTERRUPTING, UNFLAGGED)
    ai_level = np.where(films.flagged, FLAGGED, fifo_level)
    fifo = _read(scenario, films, everything, fifo_level, window.stop, None)
    ai = _read(scenario, films, np.flatnonzero(~films.filed), ai_level, window.stop, scenario.max_wait_minutes)
    filed = films.filed[window]
    diseased = groups[CLASSES.index("diseased")]
    without_ai = _summary(fifo[window], groups)
    return _Run(
        fifo=without_ai,
        fifo_of_read=_summary(fifo[window], groups & ~filed) if filed.any() else without_ai,
        ai=_summary(ai[window], groups & ~filed),
        films=groups.sum(axis=1),
        filed=(_share(filed, ~films.interrupting[window]), _share(filed, diseased)),
    )


def _draw(scenario: Scenario, accuracy: Floats, seed: np.random.SeedSequence, n: int) -> _Films:
    """Draw films. Arrivals, kinds, scores and reading times have streams of their own: a change of one leaves others.

    A film's score is its rank among films of its truth, uniform on [0, 1) and 0 = most suspicious. Flag and rule-out
    are two thresholds of that one score, so a flagged film is never filed.
    """
    arrivals, emergencies, truths, scores, *times = (np.random.default_rng(child) for child in seed.spawn(7))
    interrupting = emergencies.random(n) < scenario.interrupting_fraction
    diseased = (truths.random(n) < scenario.prevalence) & ~interrupting
    rank = scores.random(n)
    sensitivity, specificity = accuracy
    flagged = (rank < np.where(diseased, sensitivity, 1 - specificity)) & ~interrupting
    filed = np.zeros(n, dtype=np.bool_)
    if scenario.rule_out is not None:
        kept = np.where(diseased, scenario.rule_out.sensitivity, 1 - scenario.rule_out.specificity)
        filed = (rank >= kept) & ~flagged & ~interrupting
    reading = np.empty(n)
    of_kind = (diseased, ~diseased & ~interrupting, interrupting)
    for kind, films, rng in zip(KINDS, of_kind, times, strict=True):
        reading[films] = reading_minutes(scenario.service(kind), int(films.sum()), rng)
    return _Films(arrival_minutes(scenario, n, arrivals), reading, interrupting, diseased, flagged, filed)


def reading_minutes(service: ServiceTime, n: int, rng: np.random.Generator) -> Floats:
    """Draw ``[n]`` reading times in minutes."""
    if service.spread < _NO_SPREAD:
        return np.full(n, service.mean)
    if service.distribution == "exponential":
        return service.mean * rng.standard_exponential(n)
    variance = service.spread**2
    if service.distribution == "gamma":
        return service.mean * variance * rng.standard_gamma(1 / variance, n)
    log_variance = np.log1p(variance)
    times: Floats = service.mean * np.exp(np.sqrt(log_variance) * rng.standard_normal(n) - log_variance / 2)
    return times


def _read(
    scenario: Scenario,
    films: _Films,
    read: NDArray[np.int64],
    level: NDArray[np.int64],
    counted: int,
    max_wait: float | None,
) -> Floats:
    """Waiting minutes ``[n]`` where the films ``read`` (indices, rising) reach the readers; NaN for all others."""
    waits = np.full(len(films.arrival), np.nan)
    waits[read] = waiting_minutes(
        films.arrival[read],
        films.reading[read],
        level[read].astype(np.int8),
        reader_steps=scenario.reader_steps,
        preemptive=scenario.discipline == "preemptive",
        max_wait=max_wait,
        counted=int(np.searchsorted(read, counted)),
    )
    return waits


def _groups(films: _Films, window: slice) -> Bools:
    """Which counted film is in which class, ``[classes, counted]``."""
    interrupting, diseased, flagged = films.interrupting[window], films.diseased[window], films.flagged[window]
    others = ~interrupting
    return np.stack(
        [
            np.ones_like(interrupting),
            diseased,
            others & ~diseased,
            flagged,
            others & ~flagged,
            diseased & ~flagged,
            interrupting,
        ]
    )


def _summary(waits: Floats, groups: Bools) -> Floats:
    """Mean, 95th percentile and maximum of each class, ``[classes, 3]``; NaN for a class without films."""
    rows = np.full((len(groups), 3), np.nan)
    for row, group in zip(rows, groups, strict=True):
        chosen = waits[group]
        if len(chosen):
            row[:] = chosen.mean(), np.quantile(chosen, 0.95), chosen.max()
    return rows


def _share(part: Bools, whole: Bools) -> float:
    """Share of ``whole`` that is in ``part``; NaN where ``whole`` is empty."""
    films = int(whole.sum())
    return float((part & whole).sum() / films) if films else float("nan")


def _arm(summaries: list[Floats]) -> Arm:
    table = np.stack(summaries)
    mean, p95, maximum = (
        {name: table[:, place, measure].copy() for place, name in enumerate(CLASSES)} for measure in range(3)
    )
    return Arm(mean=mean, p95=p95, maximum=maximum)
