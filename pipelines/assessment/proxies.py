"""Reading-time proxies of an evaluation: ``reading_time.json``.

Accuracy comes from `pipelines.evaluation`, waiting and worklists from `pipelines.reading_time`; those two rooms do not
know each other, so they meet here. The file lies in the evaluation folder, beside ``evaluation.json``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
from pydantic import Field, ValidationError
from scipy import stats

from pipelines.errors import EvaluationError
from pipelines.evaluation.joining import join_films, scored_films
from pipelines.evaluation.records import Evaluation, FindingResult, OperatingResult
from pipelines.reading_time.screening import missed_per_10000, predictive_values, rule_out_share
from pipelines.reading_time.waiting import (
    DEFAULT_MINUTES,
    DEFAULT_PREVALENCE,
    DEFAULT_TRAFFIC,
    Scenario,
    WaitingMinutes,
    waiting_times,
)
from pipelines.reading_time.worklist import Worklist, curve, worklist
from pipelines.statistics.estimates import Estimate, clipped, percent_text
from pipelines.statistics.proportions import clopper_pearson
from pipelines.statistics.record import Record

READING_TIME_SCHEMA: Final = "cxr-triage/reading-time/1"
READING_TIME_FILE: Final = "reading_time.json"
ASSUMPTIONS: Final = (
    "One reader who is never called away; films arrive at random (Poisson); reading times are exponential with one "
    "mean for all films; flagged films are read first and interrupt an unflagged one; each finding is taken by itself. "
    "These are proxies from a model of a reading room, not measured times."
)
METHOD: Final = "closed form; bounds over the joint exact region of sensitivity and specificity"
_GRID: Final = 9


@dataclass(frozen=True)
class Proxies:
    """What the proxies assume of the reading room; ranges as in `pipelines.reading_time.Scenario`."""

    prevalence: float = DEFAULT_PREVALENCE
    traffic: float = DEFAULT_TRAFFIC
    minutes: float = DEFAULT_MINUTES


class Waiting(Record):
    """Mean waiting time in minutes by class of film; null where the scenario has no such film."""

    all: Estimate | None
    diseased: Estimate | None
    nondiseased: Estimate | None
    flagged: Estimate | None
    unflagged: Estimate | None


class Order(Record):
    """One order of reading."""

    waiting_minutes: Waiting


class Theory(Record):
    """First come first served, flagged first, and the second minus the first (negative = a gain)."""

    fifo: Order
    ai: Order
    difference: Order


class Screening(Record):
    """What flags mean at the scenario's prevalence."""

    ppv: Estimate | None
    npv: Estimate | None
    unflagged_share: Estimate | None
    """Share of films that would be filed if unflagged films went without a reader."""
    missed_per_10000: Estimate | None
    """Diseased films among 10,000 that carry no flag."""


class WorklistFound(Record):
    """Share of the positives read after the first films of the list."""

    fraction: float
    films: int
    ai: Estimate
    arrival: float
    """Expected in arrival order."""
    ideal: float
    """If every positive came first."""


class WorklistRecord(Record):
    """The films evaluated, read in the order of their scores."""

    n: int
    n_positive: int
    median_position: Estimate
    """Median place of the positives as a share of the list; 0.5 is expected in arrival order."""
    found: tuple[WorklistFound, ...]
    curve_read: tuple[float, ...]
    curve_found: tuple[float, ...]


class FindingReadingTime(Record):
    """Proxies of one finding."""

    finding: str
    absent: str | None
    """Why there is no waiting-time answer; null where there is one."""
    threshold: float | None
    threshold_label: str | None
    theory: Theory | None
    screening: Screening | None
    worklist: WorklistRecord | None
    worklist_absent: str | None


class ReadingTime(Record):
    """``reading_time.json``."""

    schema_: Literal["cxr-triage/reading-time/1"] = Field(alias="schema", default="cxr-triage/reading-time/1")
    prevalence: float
    traffic: float
    minutes: float
    assumptions: str
    findings: tuple[FindingReadingTime, ...]


def reading_time_proxies(
    evaluation: Evaluation, predictions: pd.DataFrame, manifest: pd.DataFrame, room: Proxies | None = None
) -> ReadingTime:
    """Waiting times, screening arithmetic and worklist order of every finding.

    Args:
        evaluation: made from the same two tables.
        predictions: as for `pipelines.evaluation.evaluate`; their order is the order of arrival.
        manifest: likewise.
        room: the reading room to assume; None takes the defaults.

    Raises:
        ConfigError: an impossible room (traffic of 1 or more, a share outside [0, 1]).
    """
    room = room or Proxies()
    Scenario(1.0, 1.0, room.prevalence, room.traffic, room.minutes)  # refuses an impossible room before any work
    joined = join_films(predictions, manifest, split=evaluation.split)
    findings = []
    for result in evaluation.findings:
        scored = scored_films(joined, result.finding)
        findings.append(_finding(result, room, evaluation.level, scored.labels, scored.scores))
    return ReadingTime(
        prevalence=room.prevalence,
        traffic=room.traffic,
        minutes=room.minutes,
        assumptions=ASSUMPTIONS,
        findings=tuple(findings),
    )


def _finding(
    result: FindingResult, room: Proxies, level: float, labels: np.ndarray, scores: np.ndarray
) -> FindingReadingTime:
    point = result.operating_point
    absent = None
    if point is None:
        absent = "There is no operating point, so no film is flagged."
    elif point.sensitivity.value is None or point.specificity.value is None:
        absent = f"Sensitivity and specificity are not both known: {point.sensitivity.why or point.specificity.why}."
    listed = worklist(labels, scores) if result.positives else None
    return FindingReadingTime(
        finding=result.finding,
        absent=absent,
        threshold=point.threshold if point else None,
        threshold_label=point.label if point else None,
        theory=None if point is None or absent else _theory(point, room, level),
        screening=None if point is None or absent else _screening(point, room, level),
        worklist=None if listed is None else _worklist(listed, level),
        worklist_absent=None if listed else "No film evaluated is positive.",
    )


def _over_region(
    point: OperatingResult, level: float, quantity: Callable[[float, float], float | None]
) -> Estimate | None:
    """A function of sensitivity and specificity with its interval.

    Sensitivity and specificity come from different films, so two exact intervals of level sqrt(level) hold jointly with
    at least the level asked for; the bounds are the extremes of the quantity over that rectangle (a grid with its
    corners).
    """
    counts, each = point.counts, math.sqrt(level)
    sensitivity, specificity = counts.sensitivity(each), counts.specificity(each)
    axes = []
    for share in (sensitivity, specificity):
        assert share.value is not None
        assert share.low is not None
        assert share.high is not None
        axes.append(np.linspace(share.low, share.high, _GRID))
    assert sensitivity.value is not None
    assert specificity.value is not None
    value = quantity(sensitivity.value, specificity.value)
    if value is None:
        return None
    around = [found for a in axes[0] for b in axes[1] if (found := quantity(float(a), float(b))) is not None]
    low, high = clipped(value, min(around), max(around), (-math.inf, math.inf))
    return Estimate(value=value, low=low, high=high, level=level, method=METHOD, n=counts.n)


def _theory(point: OperatingResult, room: Proxies, level: float) -> Theory:
    def order(of: Callable[[Scenario], WaitingMinutes]) -> Order:
        def one(name: str) -> Estimate | None:
            def quantity(sensitivity: float, specificity: float) -> float | None:
                scenario = Scenario(sensitivity, specificity, room.prevalence, room.traffic, room.minutes)
                return of(scenario).as_dict()[name]

            return _over_region(point, level, quantity)

        return Order(waiting_minutes=Waiting(**{name: one(name) for name in Waiting.model_fields}))

    return Theory(
        fifo=order(lambda scenario: waiting_times(scenario).fifo),
        ai=order(lambda scenario: waiting_times(scenario).ai),
        difference=order(lambda scenario: waiting_times(scenario).difference),
    )


def _screening(point: OperatingResult, room: Proxies, level: float) -> Screening:
    def over(quantity: Callable[[float, float], float | None]) -> Estimate | None:
        return _over_region(point, level, quantity)

    return Screening(
        ppv=over(lambda se, sp: predictive_values(room.prevalence, se, sp).ppv),
        npv=over(lambda se, sp: predictive_values(room.prevalence, se, sp).npv),
        unflagged_share=over(lambda se, sp: rule_out_share(1 - room.prevalence, se, sp)),
        missed_per_10000=over(lambda se, _: missed_per_10000(room.prevalence, se)),
    )


def _worklist(listed: Worklist, level: float) -> WorklistRecord:
    read, found = curve(listed.positions, listed.n)
    return WorklistRecord(
        n=listed.n,
        n_positive=listed.n_positive,
        median_position=_median_position(listed, level),
        found=tuple(
            WorklistFound(
                fraction=at.fraction,
                films=at.films,
                ai=clopper_pearson(at.found, listed.n_positive, level),
                arrival=at.arrival_share,
                ideal=at.ideal_share,
            )
            for at in listed.at
        ),
        curve_read=tuple(map(float, read)),
        curve_found=tuple(map(float, found)),
    )


def _median_position(listed: Worklist, level: float) -> Estimate:
    """Median with the distribution-free interval from order statistics (David & Nagaraja, Order Statistics, 7.1)."""
    method, m = "median; exact interval from order statistics", listed.n_positive
    rank = int(stats.binom.ppf((1 - level) / 2, m, 0.5))  # largest rank with P(B < rank) <= (1 - level) / 2
    if rank < 1:
        why = f"{m} positive films are too few for an exact {percent_text(level)} interval of a median"
        return Estimate(value=listed.median_position, low=None, high=None, level=level, method=method, n=m, why=why)
    low, high = listed.positions[rank - 1] / listed.n, listed.positions[m - rank] / listed.n
    return Estimate(value=listed.median_position, low=low, high=high, level=level, method=method, n=m)


def read_reading_time(folder: Path) -> ReadingTime | None:
    """Read ``reading_time.json`` from an evaluation folder; None where there is none.

    Raises:
        EvaluationError: the file breaks its schema; names the first field.
    """
    path = folder / READING_TIME_FILE
    if not path.is_file():
        return None
    try:
        return ReadingTime.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise EvaluationError(f"{path}: not a valid {READING_TIME_SCHEMA}: {where}: {first['msg']}.") from error
