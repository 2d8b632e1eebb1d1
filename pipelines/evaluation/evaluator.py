"""One predictions table against one manifest: every number with n and an interval."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.errors import EvaluationError, PredictionsError
from pipelines.evaluation.background import Leakage, ModelFacts
from pipelines.evaluation.data_sets import data_sets_of
from pipelines.evaluation.finding import Settings, evaluate_finding
from pipelines.evaluation.joining import Joined, column, join_films, match_ids, scored_films
from pipelines.evaluation.notes import independence_note, scored_though_atypical, table_notes
from pipelines.evaluation.options import Options
from pipelines.evaluation.patients import clusters_of, count_patients
from pipelines.evaluation.predictions import HEATMAP_FOLDER
from pipelines.evaluation.records import Cohort, Evaluation, Films, Provenance
from pipelines.evaluation.tables import PredictionsTable, check_ids, first_few, numbers
from pipelines.evaluation.thresholds.operating_point import OperatingPoint
from pipelines.evaluation.thresholds.points import Thresholds, check_flags
from pipelines.statistics.estimates import Estimate

System = Literal["cxr-triage model", "another system"]


class AttributesWarning(UserWarning):
    """Rows of a user's own columns that belong to no film."""


def evaluate(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    findings: Sequence[str],
    thresholds: Thresholds | None = None,
    split: str | None = None,
    options: Options | None = None,
    system: System = "cxr-triage model",
    title: str = "Evaluation",
    score_text: Mapping[str, str] | None = None,
    control: Mapping[str, Estimate] | None = None,
    pictures: Path | None = None,
    provenance: Provenance | None = None,
) -> Evaluation:
    """Evaluate a predictions table.

    Args:
        predictions: ``image_id``, ``status``, ``p_<finding>`` and, where there are any, ``model_id``, ``flag_``,
            ``peak_`` and ``control_`` columns.
        manifest: the reference: rows as in `pipelines.manifest.schema`.
        findings: what to evaluate, in the order to report.
        thresholds: locked ones of the model that made the predictions, and those of the user.
        split: train, val, test, or None for every film of the manifest.
        options: intervals, local prevalence, costs, subgroups and more; None takes the defaults.
        system: whether the predictions are of a model of this project.
        title: what was tested, in words.
        score_text: by finding, where the score comes from.
        control: AUROC of the shape-free control by finding, where the predictions carry no control scores.
        pictures: folder with heat maps to choose examples from.
        provenance: digests and versions to carry along.

    Returns:
        The evaluation; what has no answer on these films says why.

    Raises:
        PredictionsError: ids that are duplicated, ambiguous or unknown; a threshold locked for another model.
        ManifestError: a manifest without the split, or with duplicated ids.
        EvaluationError: a finding that is no label of these films, or a subgroup column that is not there.
    """
    wanted = options or Options()
    joined = join_films(predictions, with_attributes(manifest, wanted.attributes), split=split)
    settings = Settings(
        options=wanted,
        thresholds=thresholds or Thresholds(),
        split=split,
        score_text=dict(score_text or {}),
        control=dict(control or {}),
        pictures=pictures,
    )
    return evaluate_joined(joined, findings, settings, system=system, title=title, provenance=provenance)


def evaluate_joined(
    joined: Joined,
    findings: Sequence[str],
    settings: Settings,
    *,
    system: System = "cxr-triage model",
    title: str = "Evaluation",
    provenance: Provenance | None = None,
    model: ModelFacts | None = None,
    leakage: Leakage | None = None,
) -> Evaluation:
    """Evaluate films that are joined to their reference already.

    Args:
        joined: the films.
        findings: as for `evaluate`.
        settings: what else `evaluate` is given.
        system: as for `evaluate`.
        title: as for `evaluate`.
        provenance: as for `evaluate`.
        model: what is known of the model, to carry along.
        leakage: what it may have met of these films, to carry along.

    Raises:
        CxrError: as for `evaluate`.
    """
    options, thresholds = settings.options, settings.thresholds
    for points in (thresholds.locked, thresholds.rule_out):
        _refuse_other_models(joined, points)
    for finding in thresholds.a_posteriori:
        if finding not in findings:
            raise EvaluationError(f"A-posteriori threshold of {finding!r}: evaluated are {', '.join(findings)}.")
    if options.marks is not None and not any(options.marks.cover(finding) for finding in findings):
        raise PredictionsError(
            f"{options.marks.name}: no marks of {', '.join(findings)}; findings there: "
            f"{first_few(options.marks.findings, 10)}."
        )
    clusters = clusters_of(joined.films)
    films = _films(joined)
    intervals = options.question.resolved(clusters)[0]
    return Evaluation(
        title=title,
        system=system,
        split=settings.split,
        level=options.level,
        local_prevalence=options.prevalence,
        local_prevalence_interval=options.prevalence_interval,
        replicates=options.replicates,
        seed=options.seed,
        films=films,
        cohort=_cohort(joined.films),
        findings=tuple(evaluate_finding(scored_films(joined, finding), finding, settings) for finding in findings),
        independence=independence_note(films.joined, clusters.count, intervals, films.patients is not None),
        notes=table_notes(joined, settings.split, system),
        provenance=provenance or Provenance.empty(),
        data_sets=data_sets_of(joined.films),
        model=model,
        leakage=leakage,
    )


def evaluate_table(
    table: PredictionsTable,
    manifest: pd.DataFrame,
    *,
    split: str | None = None,
    thresholds: Thresholds | None = None,
    options: Options | None = None,
    title: str = "Evaluation",
    control: Mapping[str, Estimate] | None = None,
    provenance: Provenance | None = None,
) -> Evaluation:
    """Evaluate a table as `read_predictions` or `read_foreign_predictions` gave it; arguments as for `evaluate`.

    Args:
        table: the predictions.
        manifest: the reference.
        split: which films.
        thresholds: None takes those that came with the table.
        options: what else is asked for.
        title: what was tested, in words.
        control: as for `evaluate`.
        provenance: as for `evaluate`.

    Raises:
        PredictionsError: as for `evaluate`, and flags that contradict the thresholds in ``run.json``.
    """
    wanted = options or Options()
    joined = join_films(table.frame, with_attributes(manifest, wanted.attributes), split=split)
    check_own_flags(table, joined)
    settings = table_settings(table, split=split, options=wanted, thresholds=thresholds or table_thresholds(table))
    return evaluate_joined(
        joined,
        table.findings,
        replace(settings, control=dict(control or {})),
        system=system_of(table),
        title=title,
        provenance=provenance,
    )


def system_of(table: PredictionsTable) -> System:
    """Whether a table is of a model of this project."""
    return "another system" if table.foreign else "cxr-triage model"


def table_settings(table: PredictionsTable, *, split: str | None, options: Options, thresholds: Thresholds) -> Settings:
    """What a predictions table says of itself, and what a user asks of it."""
    return Settings(
        options=options,
        thresholds=thresholds,
        split=split,
        score_text=table.score_text,
        pictures=None if table.folder is None else table.folder / HEATMAP_FOLDER,
    )


def table_thresholds(table: PredictionsTable) -> Thresholds:
    """The thresholds that came with a table: locked ones of its ``run.json``, and those of the user."""
    return Thresholds(locked=table.operating_points, rule_out=table.rule_out_points, given=table.thresholds)


def check_own_flags(table: PredictionsTable, joined: Joined) -> None:
    """The flags of a table must be those of the thresholds locked in its ``run.json``.

    Raises:
        PredictionsError: says for which finding and in how many rows they are not.
    """
    for finding, point in table.operating_points.items():
        if finding in table.findings:
            check_flags(scored_films(joined, finding), finding, point.threshold)


def with_attributes(manifest: pd.DataFrame, attributes: pd.DataFrame | None) -> pd.DataFrame:
    """Add a user's own columns to the manifest.

    Args:
        manifest: rows with ``image_id``.
        attributes: ``image_id`` (matched as the ids of predictions are) and further columns; films without a row get
            null.

    Warns:
        AttributesWarning: rows of films that the manifest does not have.

    Raises:
        EvaluationError: a column that the manifest has already, or one named as columns of predictions are.
        PredictionsError: duplicated ids, or none that the manifest knows.
    """
    if attributes is None:
        return manifest
    check_ids(attributes["image_id"], "image_id", "attributes")
    extra = attributes.drop(columns="image_id")
    twice = [str(name) for name in extra.columns if name in manifest.columns]
    if twice:
        raise EvaluationError(f"attributes: column {twice[0]!r} is a column of the manifest already; rename it.")
    taken = [str(name) for name in extra.columns if str(name).startswith("pred_")]
    if taken:
        raise EvaluationError(f"attributes: column {taken[0]!r}: names with pred_ are those of predictions; rename it.")
    ids = attributes["image_id"]
    try:
        place, _ = match_ids(ids, manifest)
    except PredictionsError as error:
        raise PredictionsError(f"attributes (instead of predictions): {error}") from error
    if (place < 0).any():
        unknown = ids[place < 0].tolist()
        warnings.warn(
            f"attributes: {len(unknown)} of {len(ids)} ids are not in the manifest (first: {first_few(unknown)}).",
            AttributesWarning,
            stacklevel=2,
        )
    known = extra[place >= 0].set_axis(place[place >= 0], axis=0).reindex(np.arange(len(manifest)))
    return pd.concat([manifest.reset_index(drop=True), known], axis=1)


def _refuse_other_models(joined: Joined, points: Mapping[str, OperatingPoint]) -> None:
    if not points:
        return
    everyone = pd.concat([column(part, "pred_model_id") for part in (joined.films, joined.unread)])
    models = sorted({str(value) for value in everyone.unique()})
    for finding, point in points.items():
        if point.finding != finding:
            raise PredictionsError(f"The operating point given for {finding!r} was locked for {point.finding!r}.")
        if models != [point.model_id]:
            raise PredictionsError(
                f"The operating point for {finding!r} is locked to model_id {point.model_id!r}, but the predictions "
                f"are of {', '.join(map(repr, models))}: a threshold is used only with the model it was chosen for."
            )


def _films(joined: Joined) -> Films:
    return Films(
        in_predictions=joined.in_predictions,
        in_manifest=joined.in_manifest,
        joined=len(joined.films),
        patients=count_patients(joined.films),
        atypical=scored_though_atypical(joined),
        matched_by=joined.matched_by,
        left_out=joined.left_out,
        by_site=joined.by_site,
        by_split=joined.by_split,
    )


def _cohort(films: pd.DataFrame) -> Cohort:
    def tally(name: str) -> dict[str, int]:
        counts = column(films, name).astype(object).fillna("unknown").astype(str).value_counts()
        return {str(key): int(n) for key, n in sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))}

    age = numbers(column(films, "age_years"), "age_years", "manifest")
    age = age[~np.isnan(age)]
    return Cohort(
        datasets=tally("dataset"),
        sites=tally("site"),
        splits=tally("split"),
        views=tally("view"),
        sexes=tally("sex"),
        manufacturers=tally("manufacturer"),
        reference_standards=tally("reference_standard"),
        age_years=(float(np.median(age)), float(age.min()), float(age.max())) if len(age) else None,
        age_known=len(age),
    )
