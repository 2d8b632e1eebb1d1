"""From a predictions file and a manifest to an evaluation folder that holds everything a report needs.

The folder: ``evaluation.json``, its CSVs, ``reading_time.json`` and the pictures of the example films.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipelines.assessment.proxies import READING_TIME_FILE, Proxies, ReadingTime, reading_time_proxies
from pipelines.assessment.room import Report
from pipelines.errors import ConfigError, PredictionsError
from pipelines.evaluation.choices import choices_of
from pipelines.evaluation.evaluator import (
    check_own_flags,
    evaluate_joined,
    system_of,
    table_settings,
    table_thresholds,
    with_attributes,
)
from pipelines.evaluation.files import UNMATCHED_FILE, pictures_of, provenance_of, write_evaluation
from pipelines.evaluation.joining import join_films
from pipelines.evaluation.leakage import leakage_of, refuse_overlap
from pipelines.evaluation.model_facts import model_facts
from pipelines.evaluation.options import Options
from pipelines.evaluation.records import Evaluation, Provenance
from pipelines.evaluation.summary import summary_lines
from pipelines.evaluation.tables import PredictionsTable, read_foreign_predictions, read_predictions
from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.evaluation.thresholds.locked import locked_points
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.manifest import conform, manifest_digest, read_manifest
from pipelines.reading_time.scenario import Scenario
from pipelines.system import replace_text

__all__ = ["Assessment", "Proxies", "Source", "assess", "assess_table", "read_source"]


@dataclass(frozen=True)
class Source:
    """Where a system's scores are, and how to read them."""

    predictions: Path
    """Folder or table of ``cxr predict``; with ``scores``, another system's CSV or Parquet."""
    id_column: str | None = None
    """Of another system's file: the column that names the film."""
    scores: Mapping[str, str] = field(default_factory=dict)
    """Of another system's file: by finding, a column or ``max(COLUMN,COLUMN)``."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of the user, by finding."""
    package: Path | None = None
    """Model package whose points are used instead of those that came with the predictions."""


@dataclass(frozen=True)
class Assessment:
    """What was measured and where it came from."""

    evaluation: Evaluation
    reading_time: ReadingTime
    lines: tuple[str, ...]
    """The headline numbers, one fact a line, for a terminal."""
    mlflow_run_id: str | None
    """The run that made the model, as the predictions' ``run.json`` says; None where it says nothing."""


def read_source(source: Source) -> tuple[PredictionsTable, Thresholds]:
    """Read a system's scores and the thresholds that go with them.

    Raises:
        ConfigError: an id column without scores or the reverse, or a threshold of a finding without a score.
        PredictionsError: as for `read_predictions` and `read_foreign_predictions`; a package of another model.
        PackageError: as for `locked_points`.
    """
    if bool(source.scores) != bool(source.id_column):
        there, lacking = ("score", "id") if source.scores else ("id", "score")
        raise ConfigError(
            f"--{there} without --{lacking}: another system's table needs --id COLUMN and --score NAME=COLUMN."
        )
    if source.scores and source.id_column:
        if source.package is not None:
            raise ConfigError("--operating-points: points locked on a model of this project do not fit other scores.")
        table = read_foreign_predictions(
            source.predictions, id_column=source.id_column, scores=source.scores, thresholds=source.thresholds
        )
        return table, table_thresholds(table)
    table = read_predictions(source.predictions)
    unknown = sorted(set(source.thresholds) - set(table.findings))
    if unknown:
        raise ConfigError(f"--threshold {unknown[0]}: the predictions have {', '.join(table.findings)}.")
    locked, rule_out = table.operating_points, table.rule_out_points
    if source.package is not None:
        points, model = locked_points(source.package), str(table.frame["model_id"].iloc[0])
        if points.model_id != model:
            raise PredictionsError(
                f"{source.package}: its points are locked to model_id {points.model_id!r}, but the predictions are of "
                f"{model!r}: a threshold is used only with the model it was chosen for."
            )
        locked, rule_out = points.flag, points.rule_out
    return table, Thresholds(locked=locked, rule_out=rule_out, given=source.thresholds)


def assess(
    source: Source,
    manifest: Path,
    out: Path,
    *,
    split: str | None = None,
    a_posteriori: Mapping[str, LockRule] | None = None,
    options: Options | None = None,
    room: Scenario | Proxies | None = None,
    title: str | None = None,
    report: Report | None = None,
    training_films: Path | None = None,
    allow_overlap: bool = False,
) -> Assessment:
    """Evaluate a system's scores against a manifest and write the evaluation folder.

    Args:
        source: the scores.
        manifest: the reference.
        out: the evaluation folder.
        split: train, val, test, or None for every film of the manifest.
        a_posteriori: by finding, a rule by which a threshold is chosen on these very films, to be shown.
        options: intervals, local prevalence, costs, subgroups and more.
        room: the reading room of the waiting-time proxies.
        title: what was tested, in words.
        report: called with (done, total) replications of the simulated reading room.
        training_films: ``training_films.parquet`` of the model's package; None: that of ``source.package``, if any.
        allow_overlap: go on where films to be tested are ones that the model learned from.

    Raises:
        CxrError: as for `read_source`, `read_manifest`, `evaluate` and `reading_time_proxies`.
    """
    table, thresholds = read_source(source)
    thresholds = Thresholds(thresholds.locked, thresholds.rule_out, thresholds.given, dict(a_posteriori or {}))
    rows = read_manifest(manifest)
    prints = training_films or _prints_of(source)
    met = refuse_overlap(
        rows,
        join_films(table.frame, rows, split=split).films["image_id"].tolist(),
        root=manifest.parent,
        prints=prints,
        listing=out / "overlap.csv",
        allow=allow_overlap,
    )
    return assess_table(
        table,
        rows,
        out,
        digest=manifest_digest(rows, canonical=True),
        file=manifest,
        package=source.package.resolve().name if source.package else None,
        split=split,
        thresholds=thresholds,
        options=options,
        room=room,
        title=title,
        report=report,
        copies=met,
    )


def _prints_of(source: Source) -> Path | None:
    """Training films of the package that the points come from, or that lie beside the predictions."""
    beside = source.predictions if source.predictions.is_dir() else source.predictions.parent
    folders = [folder for folder in (source.package, beside) if folder is not None]
    found = [folder / "training_films.parquet" for folder in folders]
    return next((path for path in found if path.is_file()), None)


def assess_table(
    table: PredictionsTable,
    manifest: pd.DataFrame,
    out: Path,
    *,
    digest: str | None = None,
    file: Path | None = None,
    package: str | None = None,
    split: str | None = None,
    thresholds: Thresholds | None = None,
    options: Options | None = None,
    room: Scenario | Proxies | None = None,
    title: str | None = None,
    report: Report | None = None,
    copies: int | None = None,
) -> Assessment:
    """The same from tables already read; see `assess`.

    Args:
        table: the scores.
        manifest: the reference.
        out: the evaluation folder.
        digest: of the manifest, canonical already; None: worked out here.
        file: of the manifest, to be named in the provenance.
        package: name of the model package that the locked points were taken from, if it was not the predictions' own.
        split: which films.
        thresholds: None takes those that came with the table.
        options: as for `assess`.
        room: as for `assess`.
        title: as for `assess`.
        report: as for `assess`.
        copies: films evaluated that the model learned from, which were allowed; None: not looked for.
    """
    options = options or Options()
    joined = join_films(table.frame, with_attributes(manifest, options.attributes), split=split)
    check_own_flags(table, joined)
    _check_shown(options, joined.films)
    thresholds = thresholds or table_thresholds(table)
    canonical = manifest if digest else conform(manifest)
    provenance = provenance_of(
        table,
        out,
        manifest_digest=digest or manifest_digest(canonical, canonical=True),
        manifest=file,
        options=choices_of(options, thresholds, split, table=table, package=package),
    )
    model = model_facts(table.run)
    named = provenance.model_name or ("another system's scores" if table.foreign else "a cxr-triage model")
    evaluation = evaluate_joined(
        joined,
        table.findings,
        table_settings(table, split=split, options=options, thresholds=thresholds),
        system=system_of(table),
        title=title or f"Evaluation of {named}",
        provenance=provenance,
        model=model,
        leakage=leakage_of(
            joined.films, canonical, model=model, same_manifest=_same_manifest(provenance), copies=copies
        ),
    )
    reading_time = reading_time_proxies(evaluation, joined, room, plan=options.plan, report=report)
    out.mkdir(parents=True, exist_ok=True)
    replace_text(out / READING_TIME_FILE, reading_time.model_dump_json(indent=1, by_alias=True) + "\n")
    unmatched = pd.DataFrame({"image_id": joined.unmatched})
    replace_text(out / UNMATCHED_FILE, unmatched.to_csv(index=False))
    evaluation = write_evaluation(evaluation, out, pictures=pictures_of(table))
    run_id = (((table.run or {}).get("model") or {}).get("provenance") or {}).get("mlflow_run_id")
    return Assessment(
        evaluation=evaluation,
        reading_time=reading_time,
        lines=tuple(summary_lines(evaluation, joined.unmatched)),
        mlflow_run_id=run_id,
    )


def _same_manifest(provenance: Provenance) -> bool | None:
    made_from = provenance.predicted_manifest_digest
    return None if made_from is None else made_from == provenance.manifest_digest


def _check_shown(options: Options, films: pd.DataFrame) -> None:
    """A data set that was named to be shown must be there: a typing error would silently show nothing."""
    there = sorted(films["dataset"].dropna().astype(str).unique()) if "dataset" in films else []
    for name in options.show_films:
        if name not in there:
            found = ", ".join(there[:6]) or "no data set"
            raise ConfigError(f"show_films: found {name!r}, expected a data set of the films evaluated ({found}).")
