"""From two tables to an evaluation folder: ``evaluation.json``, CSVs, ``reading_time.json`` and pictures."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from pipelines.evaluation.estimates import DEFAULT_LEVEL, Estimate
from pipelines.evaluation.evaluate import evaluate_table
from pipelines.evaluation.files import pictures_of, provenance_of, replace_text, write_evaluation
from pipelines.evaluation.records import Evaluation
from pipelines.evaluation.tables import PredictionsTable
from pipelines.manifest import manifest_digest
from pipelines.reporting.proxies import READING_TIME_FILE, ReadingTime, Room, reading_time_proxies


def evaluate_to_folder(
    table: PredictionsTable,
    manifest: pd.DataFrame,
    out: Path,
    *,
    split: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    room: Room | None = None,
    level: float = DEFAULT_LEVEL,
    title: str | None = None,
    control: Mapping[str, Estimate] | None = None,
    digest: str | None = None,
) -> tuple[Evaluation, ReadingTime]:
    """Evaluate a predictions table and write everything a report needs.

    Args:
        table: from `read_predictions` or `read_foreign_predictions`.
        manifest: from `pipelines.manifest.read_manifest`.
        out: the evaluation folder.
        split: train, val, test, or None for every film of the manifest.
        thresholds: thresholds of the user by finding.
        room: the reading room of the waiting-time proxies.
        level: confidence level.
        title: what was tested; None names the model.
        control: AUROC of the shape-free control, where the predictions carry no control scores.
        digest: of the manifest, where the caller has it already; None computes it.

    Raises:
        CxrError: as for `pipelines.evaluation.evaluate` and `reading_time_proxies`.
    """
    provenance = provenance_of(table, out, manifest_digest=digest or manifest_digest(manifest))
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
    proxies = reading_time_proxies(evaluation, table.frame, manifest, room)
    out.mkdir(parents=True, exist_ok=True)
    replace_text(out / READING_TIME_FILE, proxies.model_dump_json(indent=1, by_alias=True) + "\n")
    return write_evaluation(evaluation, out, pictures=pictures_of(table)), proxies
