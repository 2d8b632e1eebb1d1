"""``cxr reading-time``: one scenario -> ``reading_time.json`` and ``waiting.csv``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.assessment.measured import Accuracy
from pipelines.assessment.proxies import why_no_accuracy
from pipelines.assessment.reading_records import (
    ASSUMPTIONS,
    READING_TIME_FILE,
    AccuracyRecord,
    RoomReadingTime,
    SimulationRecord,
    TheoryRecord,
    Waiting,
)
from pipelines.assessment.room import (
    Report,
    effort_record,
    screening_record,
    simulation_record,
    theory_record,
)
from pipelines.errors import ConfigError, EvaluationError
from pipelines.evaluation.files import read_evaluation
from pipelines.evaluation.records import FindingResult
from pipelines.reading_time.scenario import Scenario
from pipelines.system import replace_text

WAITING_FILE: Final = "waiting.csv"
_QUANTITIES: Final = {
    "waiting_minutes": "mean",
    "p95_minutes": "p95",
    "maximum_minutes": "maximum",
    "largest_minutes": "largest",
}


def reading_time(scenario: Scenario, *, folder: Path = Path(), report: Report | None = None) -> RoomReadingTime:
    """Waiting times of one scenario in theory and simulation, with effort and screening arithmetic.

    Args:
        scenario: with sensitivity and specificity, or an ``evaluation`` to take them from.
        folder: what a relative ``evaluation`` is relative to.
        report: called with (done, total) replications.

    Raises:
        ConfigError: no accuracy, an evaluation without that finding or without an operating point, or a rule-out that
            is not nested in the accuracy measured.
        EvaluationError: no evaluation there.
    """
    accuracy, record = accuracy_of(scenario, folder)
    resolved = scenario.with_accuracy(accuracy.sensitivity, accuracy.specificity)
    return RoomReadingTime(
        scenario=resolved,
        assumptions=ASSUMPTIONS,
        accuracy=record,
        theory=theory_record(resolved, accuracy),
        simulation=simulation_record(resolved, accuracy, report),
        effort=effort_record(resolved, accuracy),
        screening=screening_record(resolved, accuracy),
    )


def accuracy_of(scenario: Scenario, folder: Path) -> tuple[Accuracy, AccuracyRecord]:
    """Sensitivity and specificity of a scenario: as given, or of the evaluation it names.

    Raises:
        ConfigError, EvaluationError: as for `reading_time`.
    """
    if scenario.evaluation is None or scenario.finding is None:
        if scenario.sensitivity is None:
            raise ConfigError(
                "The scenario names no accuracy: expected sensitivity and specificity, or evaluation and finding."
            )
        accuracy = Accuracy(*scenario.accuracy)
        return accuracy, _record(accuracy, None)
    where = folder / scenario.evaluation
    try:
        evaluation = read_evaluation(where)
    except EvaluationError as error:
        raise ConfigError(f"evaluation {scenario.evaluation}: {error}") from None
    by_name = {result.finding: result for result in evaluation.findings}
    result = by_name.get(scenario.finding)
    if result is None:
        raise ConfigError(
            f"finding: found {scenario.finding!r}, expected one of the evaluation's: {', '.join(by_name) or 'none'}."
        )
    point = result.operating_point
    absent = why_no_accuracy(point, scenario)
    if point is None or absent is not None:
        raise ConfigError(f"evaluation {scenario.evaluation}, finding {scenario.finding}: {absent}")
    accuracy = Accuracy.of_finding(result)
    return accuracy, _record(accuracy, result)


def _record(accuracy: Accuracy, result: FindingResult | None) -> AccuracyRecord:
    point = result.operating_point if result else None
    return AccuracyRecord(
        source="evaluation" if result else "scenario",
        finding=result.finding if result else None,
        threshold=point.threshold if point else None,
        threshold_label=point.label if point else None,
        sensitivity=accuracy.estimate("sensitivity"),
        specificity=accuracy.estimate("specificity"),
    )


def write_reading_time(result: RoomReadingTime, out: Path) -> None:
    """Write ``reading_time.json`` and ``waiting.csv``, each whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    table = waiting_table(result.theory, result.simulation)
    replace_text(out / WAITING_FILE, table.to_csv(index=False, lineterminator="\n"))
    replace_text(out / READING_TIME_FILE, result.model_dump_json(indent=1, by_alias=True) + "\n")


def waiting_table(theory: TheoryRecord | None, simulation: SimulationRecord | None) -> pd.DataFrame:
    """Long form: one row per source, arm, class and quantity; minutes, empty where there is no answer."""
    rows = [row for source, part in (("theory", theory), ("simulation", simulation)) for row in _rows(source, part)]
    return pd.DataFrame(rows, columns=["source", "arm", "class", "quantity", "value", "low", "high"])


def _rows(source: str, part: TheoryRecord | SimulationRecord | None) -> Iterator[tuple[object, ...]]:
    if part is None:
        return
    for arm in ("fifo", "ai", "difference"):
        side = getattr(part, arm)
        for field in type(side).model_fields:
            waits: Waiting = getattr(side, field)
            for name, found in waits:
                yield source, arm, name, _QUANTITIES[field], found.value, found.low, found.high
