"""From a predictions file and a manifest to an evaluation folder that holds everything a report needs.

The folder: ``evaluation.json``, its CSVs, ``reading_time.json`` and the pictures of the example films.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.assessment.proxies import READING_TIME_FILE, Proxies, ReadingTime, reading_time_proxies
from pipelines.errors import ConfigError
from pipelines.evaluation.evaluator import evaluate_table
from pipelines.evaluation.files import pictures_of, provenance_of, write_evaluation
from pipelines.evaluation.records import Evaluation
from pipelines.evaluation.summary import summary_lines
from pipelines.evaluation.tables import PredictionsTable, read_foreign_predictions, read_predictions
from pipelines.manifest import manifest_digest, read_manifest
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.system import replace_text

__all__ = ["Assessment", "Proxies", "assess", "assess_table"]


@dataclass(frozen=True)
class Assessment:
    """What was measured and where it came from."""

    evaluation: Evaluation
    reading_time: ReadingTime
    lines: tuple[str, ...]
    """The headline numbers, one fact a line, for a terminal."""
    mlflow_run_id: str | None
    """The run that made the model, as the predictions' ``run.json`` says; None where it says nothing."""


def assess(
    predictions: Path,
    manifest: Path,
    out: Path,
    *,
    split: str | None = None,
    id_column: str | None = None,
    scores: Mapping[str, str] | None = None,
    thresholds: Mapping[str, str | float] | None = None,
    proxies: Proxies | None = None,
    level: float = DEFAULT_LEVEL,
    title: str | None = None,
) -> Assessment:
    """Evaluate a predictions file against a manifest and write the evaluation folder.

    Args:
        predictions: folder or table of ``cxr predict``; with ``scores``, another system's CSV or Parquet.
        manifest: the reference.
        out: the evaluation folder.
        split: train, val, test, or None for every film of the manifest.
        id_column: of another system's file: the column that names the film.
        scores: of another system's file: by finding, a column or ``max(COLUMN,COLUMN)``.
        thresholds: of the user, by finding; numbers or their text.
        proxies: the reading room of the waiting-time proxies.
        level: confidence level.
        title: what was tested, in words.

    Raises:
        ConfigError: one of ``id_column`` and ``scores`` without the other, or a threshold that is not a number.
        CxrError: as for `read_predictions`, `read_foreign_predictions`, `read_manifest` and `evaluate`.
    """
    given = {finding: _number(finding, value) for finding, value in (thresholds or {}).items()}
    if bool(scores) != bool(id_column):
        there, lacking = ("score", "id") if scores else ("id", "score")
        raise ConfigError(
            f"--{there} without --{lacking}: another system's table needs --id COLUMN and --score NAME=COLUMN."
        )
    if scores and id_column:
        table = read_foreign_predictions(predictions, id_column=id_column, scores=scores, thresholds=given)
    else:
        table = read_predictions(predictions)
        unknown = sorted(set(given) - set(table.findings))
        if unknown:
            raise ConfigError(f"--threshold {unknown[0]}: the predictions have {', '.join(table.findings)}.")
    rows = read_manifest(manifest)
    return assess_table(table, rows, out, split=split, thresholds=given, proxies=proxies, level=level, title=title)


def _number(finding: str, value: str | float) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"--threshold {finding}: found {value!r}, expected a number.") from error


def assess_table(
    table: PredictionsTable,
    manifest: pd.DataFrame,
    out: Path,
    *,
    split: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    proxies: Proxies | None = None,
    level: float = DEFAULT_LEVEL,
    title: str | None = None,
    control: Mapping[str, Estimate] | None = None,
) -> Assessment:
    """The same from tables already read; ``control`` is for predictions without control scores.

    Raises:
        CxrError: as for `pipelines.evaluation.evaluate` and `reading_time_proxies`.
    """
    provenance = provenance_of(table, out, manifest_digest=manifest_digest(manifest))
    named = provenance.model_name or ("another system's scores" if table.foreign else "a cxr-triage model")
    evaluation = evaluate_table(
        table,
        manifest,
        split=split,
        thresholds=thresholds,
        level=level,
        title=title or f"Evaluation of {named}",
        control=control,
        provenance=provenance,
    )
    reading_time = reading_time_proxies(evaluation, table.frame, manifest, proxies)
    out.mkdir(parents=True, exist_ok=True)
    replace_text(out / READING_TIME_FILE, reading_time.model_dump_json(indent=1, by_alias=True) + "\n")
    evaluation = write_evaluation(evaluation, out, pictures=pictures_of(table))
    run_id = (((table.run or {}).get("model") or {}).get("provenance") or {}).get("mlflow_run_id")
    return Assessment(
        evaluation=evaluation, reading_time=reading_time, lines=tuple(summary_lines(evaluation)), mlflow_run_id=run_id
    )
