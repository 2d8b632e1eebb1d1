"""One reading room with one accuracy: theory, simulation, screening arithmetic and effort, with intervals.

Where accuracy was measured, its uncertainty is carried along. In closed forms: sensitivity and specificity come from
different films, so two exact intervals of level sqrt(level) hold jointly with at least the level asked for, and bounds
are the extremes over that rectangle (a grid with its corners). In the simulation: every replication draws its own
sensitivity and specificity from the Jeffreys posterior of the films (`pipelines.assessment.measured`).
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipelines.assessment.measured import GIVEN, REGION, Accuracy
from pipelines.assessment.reading_records import (
    Order,
    Screening,
    SimulatedArm,
    SimulatedOrder,
    SimulationRecord,
    TheoryRecord,
    Waiting,
)
from pipelines.reading_time.effort import Effort, reading_effort
from pipelines.reading_time.scenario import Scenario
from pipelines.reading_time.screening import missed_per_10000, predictive_values, rule_out_share
from pipelines.reading_time.simulation import Arm, Simulation, simulate
from pipelines.reading_time.theory import CLASSES, theory
from pipelines.statistics.estimates import Estimate, clipped, percent_text

Report = Callable[[int, int], None]
Floats = NDArray[np.float64]
Values = Mapping[str, float | None]

SAME_FILMS: Final = "; of the films that both orders read: filed ones are left out of both"
SAME: Final = "the same whatever sensitivity and specificity are: nothing in it was estimated"
_ROUNDING: Final = 1e-9


def over_region(
    accuracy: Accuracy,
    quantities: Callable[[float, float], Values],
    *,
    method: str,
    bounds: tuple[float, float] = (0.0, math.inf),
    missing: str = "no such film",
) -> dict[str, Estimate]:
    """Functions of sensitivity and specificity with their intervals, by name.

    Args:
        accuracy: measured or given.
        quantities: (sensitivity, specificity) to values by name, None where there is no answer.
        method: how a value is computed; how its interval is, is added.
        bounds: possible range of the values.
        missing: why a value is None.
    """
    point = quantities(accuracy.sensitivity, accuracy.specificity)
    around = [quantities(*pair) for pair in accuracy.region()]
    n, region = accuracy.n, f"{method}; {REGION}{accuracy.basis}"

    def one(name: str) -> Estimate:
        value = point[name]
        if value is None:
            return Estimate.absent(missing, method=method, n=n, level=accuracy.level)
        found = [other for values in around if (other := values[name]) is not None]
        if not found:
            return Estimate(value=value, low=None, high=None, level=accuracy.level, method=method, n=n, why=GIVEN)
        low, high = clipped(value, min(found), max(found), bounds)
        if high - low <= _ROUNDING * max(1.0, abs(value)):
            return Estimate(value=value, low=None, high=None, level=accuracy.level, method=method, n=n, why=SAME)
        return Estimate(value=value, low=low, high=high, level=accuracy.level, method=region, n=n)

    return {name: one(name) for name in point}


def theory_record(scenario: Scenario, accuracy: Accuracy) -> TheoryRecord:
    """Closed forms of a scenario at an accuracy; the scenario's own is not looked at."""
    at_point = theory(scenario, (accuracy.sensitivity, accuracy.specificity))
    absent = at_point.absent

    def order(arm: str) -> Order:
        if absent is not None:
            nothing = Estimate.absent(absent, method=at_point.method, level=accuracy.level)
            return Order(waiting_minutes=Waiting(**dict.fromkeys(CLASSES, nothing)))

        def quantities(sensitivity: float, specificity: float) -> Values:
            values: Values = getattr(theory(scenario, (sensitivity, specificity)), arm)
            return values

        bounds = (-math.inf, math.inf) if arm == "difference" else (0.0, math.inf)
        same = SAME_FILMS if arm == "difference" and scenario.rule_out else ""
        found = over_region(accuracy, quantities, method=f"{at_point.method}{same}", bounds=bounds)
        return Order(waiting_minutes=Waiting(**found))

    return TheoryRecord(
        method=at_point.method,
        exact=at_point.exact,
        absent=absent,
        fifo=order("fifo"),
        ai=order("ai"),
        difference=order("difference"),
    )


def screening_record(scenario: Scenario, accuracy: Accuracy) -> Screening:
    """Predictive values, and what would go unread, at the scenario's prevalence."""
    prevalence, rule_out = scenario.prevalence, scenario.rule_out

    def quantities(sensitivity: float, specificity: float) -> Values:
        meaning = predictive_values(prevalence, sensitivity, specificity)
        return {
            "ppv": meaning.ppv,
            "npv": meaning.npv,
            "unflagged_share": rule_out_share(1 - prevalence, sensitivity, specificity),
            "missed_per_10000": missed_per_10000(prevalence, sensitivity),
        }

    found = over_region(accuracy, quantities, method="Bayes' theorem at the scenario's prevalence")
    filed: dict[str, Estimate | None] = {"filed_share": None, "filed_diseased_per_10000": None}
    if rule_out is not None:
        values = {
            "filed_share": rule_out_share(1 - prevalence, rule_out.sensitivity, rule_out.specificity),
            "filed_diseased_per_10000": missed_per_10000(prevalence, rule_out.sensitivity),
        }
        why = "the rule-out's sensitivity and specificity are given without uncertainty"
        method = "shares at the scenario's prevalence"
        filed = {
            name: Estimate(value=value, low=None, high=None, level=accuracy.level, method=method, n=0, why=why)
            for name, value in values.items()
        }
    return Screening(**found, **filed)


def effort_record(scenario: Scenario, accuracy: Accuracy) -> Effort:
    """Reader minutes per 1,000 films."""
    rule_out = None if scenario.rule_out is None else (scenario.rule_out.sensitivity, scenario.rule_out.specificity)
    if accuracy.measured is None:
        shares: tuple[Estimate | float, Estimate | float] = (accuracy.sensitivity, accuracy.specificity)
    else:
        shares = (accuracy.estimate("sensitivity"), accuracy.estimate("specificity"))
    return reading_effort(scenario.effort, scenario.prevalence, *shares, rule_out)


def simulation_record(scenario: Scenario, accuracy: Accuracy, report: Report | None = None) -> SimulationRecord:
    """Simulate both arms of a room.

    Args:
        scenario: the room; its own accuracy is not looked at.
        accuracy: measured accuracy is drawn anew in every replication; it stays within the nesting of a ``rule_out``.
        report: called with (done, total) replications.
    """
    drawn = accuracy.draws(scenario.replications, scenario.seed)
    if drawn is not None and scenario.rule_out is not None:
        drawn[:, 0] = np.minimum(drawn[:, 0], scenario.rule_out.sensitivity)
        drawn[:, 1] = np.maximum(drawn[:, 1], scenario.rule_out.specificity)
    room = scenario.with_accuracy(accuracy.sensitivity, accuracy.specificity)
    found = simulate(room, accuracy=drawn, progress=report)
    level, free = accuracy.level, drawn is not None

    def waits(values: Mapping[str, Floats], arm: str) -> Waiting:
        made = {}
        for name in CLASSES:
            moves = free and (arm != "fifo" or name in ("flagged", "unflagged", "missed"))
            basis = accuracy.basis if moves else ""
            basis += SAME_FILMS if arm == "difference" and scenario.rule_out else ""
            made[name] = of_replications(
                values[name], level=level, spread=moves, signed=arm == "difference", basis=basis
            )
        return Waiting(**made)

    def order(values: Arm, arm: str) -> dict[str, Waiting]:
        kinds = {"waiting_minutes": values.mean, "p95_minutes": values.p95, "maximum_minutes": values.maximum}
        return {key: waits(of, arm) for key, of in kinds.items()}

    def side(values: Arm, arm: str) -> SimulatedArm:
        largest = {name: largest_of(values.maximum[name], level=level) for name in CLASSES}
        return SimulatedArm(**order(values, arm), largest_minutes=Waiting(**largest))

    return SimulationRecord(
        replications=scenario.replications,
        films=scenario.films_per_replication,
        warm_up_films=scenario.warm_up,
        seed=scenario.seed,
        accuracy_drawn=free,
        fifo=side(found.fifo, "fifo"),
        ai=side(found.ai, "ai"),
        difference=SimulatedOrder(**order(_change(found), "difference")),
    )


def _change(found: Simulation) -> Arm:
    """``ai`` minus ``fifo`` within each replication, over the films that both read."""

    def minus(ai: Mapping[str, Floats], fifo: Mapping[str, Floats]) -> dict[str, Floats]:
        return {name: ai[name] - fifo[name] for name in CLASSES}

    ai, fifo = found.ai, found.fifo_of_read
    return Arm(mean=minus(ai.mean, fifo.mean), p95=minus(ai.p95, fifo.p95), maximum=minus(ai.maximum, fifo.maximum))


def of_replications(values: Floats, *, level: float, spread: bool, signed: bool = False, basis: str = "") -> Estimate:
    """Mean over replications with an interval.

    Args:
        values: ``[replications]``; NaN where a replication had no such film.
        level: confidence level.
        spread: the replications differ in accuracy: the interval then reaches from the lower to the upper percentile of
            the replications, so that it holds the uncertainty of accuracy (and the chance of one run besides).
            Otherwise it is the t interval of the mean of independent replications.
        signed: values may be negative.
        basis: what accuracy was drawn from, for the method's text.
    """
    known = values[np.isfinite(values)]
    runs, bounds = len(known), (-math.inf if signed else 0.0, math.inf)
    lacking = f" ({len(values) - runs} of {len(values)} had no such film)" if runs < len(values) else ""
    kind = "percentiles of replications that each draw sensitivity and specificity" if spread else "t interval"
    method = f"mean over replications{lacking}; {kind}{basis}"
    if runs == 0:
        return Estimate.absent("no such film was simulated", method=method, level=level)
    mean = float(known.mean())
    needed = math.ceil(2 / (1 - level) - 1e-9) if spread else 2
    if runs < needed:
        why = f"{runs} replications are too few for this {percent_text(level)} interval; it needs {needed}"
        return Estimate(value=mean, low=None, high=None, level=level, method=method, n=runs, why=why)
    if spread:
        ends = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    else:
        half = float(stats.t.ppf((1 + level) / 2, runs - 1)) * float(known.std(ddof=1)) / math.sqrt(runs)
        ends = np.array([mean - half, mean + half])
    low, high = clipped(mean, float(ends[0]), float(ends[1]), bounds)
    return Estimate(value=mean, low=low, high=high, level=level, method=method, n=runs)


def largest_of(values: Floats, *, level: float) -> Estimate:
    """The longest wait of all replications."""
    known = values[np.isfinite(values)]
    method = "longest wait in all replications"
    if not len(known):
        return Estimate.absent("no such film was simulated", method=method, level=level)
    why = "a largest value has no interval: it grows with the number of films"
    return Estimate(value=float(known.max()), low=None, high=None, level=level, method=method, n=len(known), why=why)
