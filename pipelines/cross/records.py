"""``cross.json``: every cell of the matrix, in numbers that its evaluation holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd
from pydantic import Field

from pipelines.evaluation.control import controls_of, strongest_control
from pipelines.evaluation.files import EVALUATION_FILE, read_evaluation
from pipelines.evaluation.records import Evaluation, FindingResult
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record

SCHEMA: Final = "cxr-triage/cross/1"
NUMBERS: Final = (
    "auroc",
    "control_auroc",
    "auroc_minus_control",
    "sensitivity",
    "specificity",
    "observed_expected",
    "calibration_slope",
    "ece",
)


class CrossFinding(Record):
    """One finding in one cell."""

    finding: str
    n: int
    positives: int
    numbers: dict[str, Estimate]
    """By `NUMBERS`: the control is the strongest of those that see no anatomy; sensitivity and specificity at the
    threshold locked on the model's own validation films."""


class CrossCell(Record):
    """One model on one cohort's test films."""

    system: str
    trained_on: tuple[str, ...]
    cohort: str
    at_home: bool
    """The model learned from other films of this cohort."""
    model_id: str | None
    atypical: int | None
    """Test films that the model would refuse in use, as unlike its training films; here they are scored and count."""
    evaluation: str | None
    """Its evaluation folder, relative to this file (POSIX); null where there is none."""
    why_not: str | None
    """Why there is no number, or not for every finding."""
    findings: tuple[CrossFinding, ...]


class Cross(Record):
    """The whole matrix."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    name: str
    cohorts: tuple[str, ...]
    manifest_digests: dict[str, str]
    """By cohort."""
    code_version: str
    cells: tuple[CrossCell, ...]
    unfinished: int
    """Cells that another process is at work on, or that were not asked for yet."""


def finding_numbers(result: FindingResult) -> CrossFinding:
    """What a cell shows of one finding of its evaluation."""
    control, point, calibration = strongest_control(controls_of(result)), result.operating_point, result.calibration
    found: dict[str, Estimate | None] = {
        "auroc": result.auroc,
        "control_auroc": control.auroc if control else None,
        "auroc_minus_control": control.difference if control else None,
        "sensitivity": point.sensitivity if point else None,
        "specificity": point.specificity if point else None,
        "observed_expected": calibration.observed_expected,
        "calibration_slope": calibration.slope,
        "ece": calibration.ece,
    }
    numbers = {name: estimate for name, estimate in found.items() if estimate is not None}
    return CrossFinding(finding=result.finding, n=result.n, positives=result.positives, numbers=numbers)


def read_cell(folder: Path) -> Evaluation | None:
    """The evaluation of a cell; None where it is not finished."""
    return read_evaluation(folder) if (folder / EVALUATION_FILE).is_file() else None


def tidy(cross: Cross) -> pd.DataFrame:
    """One row per cell, finding and number; a cell without numbers has one row that says why."""
    return pd.DataFrame(
        _rows(cross),
        columns=[
            *("system", "trained_on", "cohort", "at_home", "atypical", "finding", "n", "positives"),
            *("metric", "value", "low", "high", "level", "method", "why"),
        ],
    )


def _rows(cross: Cross) -> Iterator[dict[str, object]]:
    for cell in cross.cells:
        head: dict[str, object] = {"system": cell.system, "trained_on": "+".join(cell.trained_on)}
        head |= {"cohort": cell.cohort, "at_home": cell.at_home, "atypical": cell.atypical}
        if not cell.findings:
            yield head | {"why": cell.why_not}
        for finding in cell.findings:
            part = head | {"finding": finding.finding, "n": finding.n, "positives": finding.positives}
            for name, number in finding.numbers.items():
                yield part | {"metric": name} | number.model_dump(exclude={"n"})
