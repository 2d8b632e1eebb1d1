"""Films per second of the reading-room simulator and of ciw, on one queue: two classes, preemptive-resume, one reader.

    python benchmarks/waiting.py [--films 5000] [--repeats 7] [--traffic 0.8] [--scenario configs/scenarios/X.yaml]
    python benchmarks/waiting.py --theory

Both draw Poisson arrivals and exponential reading times of 10 minutes for flagged (18 %) and unflagged films and run
until so many films have been read. Timed is everything from the random numbers to the waiting time of every film; not
timed are imports, the building of ciw's network, and the compilation of ours (a run of ten films beforehand; printed).
Both use one thread. Repeats alternate, each with a seed of its own; the ratio is taken within each repeat. Because
ours needs less than a millisecond for so few films, each of its times is the mean of 20 runs. Time is the processor
time of that thread, so that a busy machine slows neither. The mean waits of both
stand beside the closed form, to show that they simulate one queue; both begin in an empty room, so a few
thousand films wait a little less than the closed form says. With a scenario file, the time of the
whole simulation of that room (both arms, all replications, all cores) is printed as well.

With --theory, nothing is timed: the approximations for several readers are held against the simulation in rooms with
and without preemption, two and five readers, several loads and reading times, and their errors are printed by class.
"""

import argparse
import itertools
import os
import platform
import statistics
import time
from pathlib import Path

import ciw
import numpy as np

from pipelines.reading_time.reading_queue import waiting_minutes
from pipelines.reading_time.scenario_file import parse_scenario, read_scenario
from pipelines.reading_time.simulation import simulate
from pipelines.reading_time.simulation_kernel import FLAGGED, UNFLAGGED
from pipelines.reading_time.theory import theory

MINUTES = 10.0
FLAGGED_SHARE = 0.18
RUNS = 20

Waits = tuple[float, float]  # mean wait of flagged and of unflagged films, minutes


def ours(films: int, traffic: float, seed: int) -> Waits:
    """Draw and simulate; one thread."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.standard_exponential(films)) * (MINUTES / traffic)
    reading = MINUTES * rng.standard_exponential(films)
    flagged = rng.random(films) < FLAGGED_SHARE
    level = np.where(flagged, FLAGGED, UNFLAGGED).astype(np.int8)
    waits = waiting_minutes(arrival, reading, level)
    return float(waits[flagged].mean()), float(waits[~flagged].mean())


def network(traffic: float) -> ciw.network.Network:
    """The same queue for ciw."""
    rate = traffic / MINUTES
    return ciw.create_network(
        arrival_distributions={
            "flagged": [ciw.dists.Exponential(rate * FLAGGED_SHARE)],
            "unflagged": [ciw.dists.Exponential(rate * (1 - FLAGGED_SHARE))],
        },
        service_distributions={name: [ciw.dists.Exponential(1 / MINUTES)] for name in ("flagged", "unflagged")},
        number_of_servers=[1],
        priority_classes=({"flagged": 0, "unflagged": 1}, ["resume"]),
    )


def theirs(queue: ciw.network.Network, films: int, seed: int) -> tuple[float, Waits]:
    """Seconds until so many films have left ciw's queue, and their mean waits (read off its records, not timed)."""
    ciw.seed(seed)
    simulation = ciw.Simulation(queue)
    start = time.process_time()
    simulation.simulate_until_max_customers(films, method="Finish")
    seconds = time.process_time() - start
    read: dict[int, float] = {}
    first: dict[int, float] = {}
    left: dict[int, tuple[str, float]] = {}
    for record in simulation.get_all_records():
        number = record.id_number
        first[number] = min(first.get(number, np.inf), record.arrival_date)
        end = record.exit_date
        read[number] = read.get(number, 0.0) + end - record.service_start_date
        if record.record_type == "service":
            left[number] = (record.customer_class, end)
    waits: dict[str, list[float]] = {"flagged": [], "unflagged": []}
    for number, (name, end) in left.items():
        waits[name].append(end - first[number] - read[number])
    return seconds, (statistics.fmean(waits["flagged"]), statistics.fmean(waits["unflagged"]))


def closed_form(traffic: float) -> Waits:
    """Two-class preemptive-resume M/M/1."""
    first = traffic * FLAGGED_SHARE
    return (
        first * MINUTES / (1 - first),
        MINUTES / (1 - first) + traffic * MINUTES / ((1 - first) * (1 - traffic)) - MINUTES,
    )


def errors_of_theory(discipline: str, films: int = 40_000, runs: int = 40) -> None:
    """Print how far the approximate mean waits lie from the simulated ones, over a table of rooms."""
    times: list[dict[str, object]] = [
        {"mean": 8, "distribution": "deterministic"},
        {"mean": 8, "distribution": "gamma", "cv": 0.5},
        {"mean": 8, "distribution": "lognormal", "cv": 1.5},
    ]
    unequal = {"diseased": 15, "nondiseased": 6, "interrupting": 4}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ("flagged", "unflagged", "all")}
    for readers, traffic, minutes in itertools.product((2, 5), (0.5, 0.7, 0.9), (*times, unequal)):
        values = {"prevalence": 0.1, "sensitivity": 0.9, "specificity": 0.9, "interrupting_fraction": 0.1, "seed": 3}
        values |= {"readers": readers, "traffic": traffic, "minutes": minutes, "discipline": discipline}
        scenario = parse_scenario(values | {"replications": runs, "films_per_replication": films})
        simulated, exact = simulate(scenario).ai.mean, theory(scenario).ai
        for name, pairs in found.items():
            mean, answer = float(simulated[name].mean()), exact[name]
            assert answer is not None
            pairs.append((answer - mean, mean))
    for name, pairs in found.items():
        shares = sorted(abs(error) / mean for error, mean in pairs)
        largest = max(abs(error) for error, _ in pairs)
        print(
            f"{discipline}, {name} films, {len(pairs)} rooms: theory off by {statistics.median(shares):.1%} (median), "
            f"{shares[-1]:.0%} (worst); at most {largest:.2f} minutes"
        )


def spread(values: list[float], digits: int = 0) -> str:
    """Median (lowest - highest)."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):,.{digits}f} ({low:,.{digits}f} - {high:,.{digits}f})"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--traffic", type=float, default=0.8)
    parser.add_argument("--scenario", type=Path)
    parser.add_argument("--theory", action="store_true")
    arguments = parser.parse_args()
    if arguments.theory:
        for discipline in ("preemptive", "nonpreemptive"):
            errors_of_theory(discipline)
        return
    start = time.process_time()
    ours(10, arguments.traffic, 0)
    compile_seconds = time.process_time() - start
    queue = network(arguments.traffic)
    speeds: dict[str, list[float]] = {"ours": [], "ciw": []}
    waits: dict[str, list[Waits]] = {"ours": [], "ciw": []}
    for repeat in range(arguments.repeats):
        start = time.process_time()
        waits["ours"] += [ours(arguments.films, arguments.traffic, RUNS * repeat + run) for run in range(RUNS)]
        speeds["ours"].append(RUNS * arguments.films / (time.process_time() - start))
        seconds, found = theirs(queue, arguments.films, repeat)
        speeds["ciw"].append(arguments.films / seconds)
        waits["ciw"].append(found)
    print(f"{platform.machine()}, {os.cpu_count()} cores, ciw {ciw.__version__}; {arguments.films} films a run,")
    print(
        f"traffic {arguments.traffic}, {arguments.repeats} repeats; compiling or loading ours: {compile_seconds:.2f} s"
    )
    for name, values in speeds.items():
        print(f"{name:>5}: films/s, one thread, median (lowest - highest) {spread(values)}")
    print(f"ratio: {spread([a / b for a, b in zip(speeds['ours'], speeds['ciw'], strict=True)])}")
    for name, found_waits in waits.items():
        first, second = np.mean(found_waits, axis=0)
        print(f"{name:>5}: mean wait, minutes: flagged {first:.2f}, unflagged {second:.2f}")
    first, second = closed_form(arguments.traffic)
    print(f"closed form:                flagged {first:.2f}, unflagged {second:.2f}")
    if arguments.scenario is not None:
        scenario = read_scenario(arguments.scenario)
        start = time.perf_counter()
        simulate(scenario)
        films = scenario.replications * scenario.films_per_replication
        print(f"{arguments.scenario.name}: {films:,} films in both arms in {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
