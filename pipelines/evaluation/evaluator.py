"""One predictions table against one manifest: every number with n and an interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd

from pipelines.errors import PredictionsError
from pipelines.evaluation.control import control_from_estimate, control_from_scores
from pipelines.evaluation.examples import choose_examples
from pipelines.evaluation.joining import Joined, Scored, column, join_films, scored_films
from pipelines.evaluation.localisation import localisation
from pipelines.evaluation.notes import finding_notes, independence_note, table_notes
from pipelines.evaluation.operating_point import OperatingPoint
from pipelines.evaluation.predictions import HEATMAP_FOLDER
from pipelines.evaluation.records import (
    Cohort,
    ControlResult,
    Evaluation,
    Films,
    FindingResult,
    Histogram,
    OperatingResult,
    Provenance,
    RocCurve,
)
from pipelines.evaluation.tables import PredictionsTable, numbers
from pipelines.findings import FINDING_NAMES
from pipelines.statistics.arrays import Floats, one_class
from pipelines.statistics.auroc import auroc_delong, roc_points
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.proportions import clopper_pearson, confusion

USER_THRESHOLD: Final = "given by the user, not locked"
HISTOGRAM_BINS: Final = 20
ROC_POINTS: Final = 500
"""A curve with more corners is thinned to about this many points, evenly along its length."""


@dataclass(frozen=True)
class Settings:
    """What `evaluate` needs to know beyond the two tables."""

    findings: tuple[str, ...]
    operating_points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    split: str | None = None
    level: float = DEFAULT_LEVEL
    score_text: Mapping[str, str] = field(default_factory=dict)
    control: Mapping[str, Estimate] = field(default_factory=dict)
    pictures: Path | None = None


def evaluate(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    findings: Sequence[str],
    operating_points: Mapping[str, OperatingPoint] | None = None,
    thresholds: Mapping[str, float] | None = None,
    split: str | None = None,
    level: float = DEFAULT_LEVEL,
    system: Literal["cxr-triage model", "another system"] = "cxr-triage model",
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
        operating_points: locked thresholds of the model that made the predictions.
        thresholds: thresholds of the user, by finding; they take the place of a locked one and are labelled.
        split: train, val, test, or None for every film of the manifest.
        level: confidence level of every interval.
        system: whether the predictions are of a model of this project.
        title: what was tested, in words.
        score_text: by finding, where the score comes from.
        control: AUROC of the shape-free control by finding, where the predictions carry no control scores.
        pictures: folder with heat maps to choose examples from.
        provenance: digests and versions to carry along.

    Returns:
        The evaluation; what has no answer on these films says why.

    Raises:
        PredictionsError: ids that are duplicated, ambiguous or unknown; a threshold locked for another model; flags
            that contradict the locked threshold.
        ManifestError: a manifest without the split, or with duplicated ids.
        EvaluationError: a finding that is no label of these films.
    """
    settings = Settings(
        findings=tuple(findings),
        operating_points=dict(operating_points or {}),
        thresholds=dict(thresholds or {}),
        split=split,
        level=level,
        score_text=dict(score_text or {}),
        control=dict(control or {}),
        pictures=pictures,
    )
    _refuse_other_models(predictions, settings.operating_points)
    joined = join_films(predictions, manifest, split=split)
    return Evaluation(
        title=title,
        system=system,
        split=split,
        level=level,
        films=_films(joined),
        cohort=_cohort(joined.films),
        findings=tuple(_finding(scored_films(joined, finding), finding, settings) for finding in findings),
        independence=independence_note(len(joined.films), _patients(joined.films)),
        notes=table_notes(joined, split, system),
        provenance=provenance or Provenance.empty(),
    )


def evaluate_table(
    table: PredictionsTable,
    manifest: pd.DataFrame,
    *,
    split: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    level: float = DEFAULT_LEVEL,
    title: str = "Evaluation",
    control: Mapping[str, Estimate] | None = None,
    provenance: Provenance | None = None,
) -> Evaluation:
    """Evaluate a table as `read_predictions` or `read_foreign_predictions` gave it; arguments as for `evaluate`."""
    return evaluate(
        table.frame,
        manifest,
        findings=table.findings,
        operating_points=table.operating_points,
        thresholds={**table.thresholds, **(thresholds or {})},
        split=split,
        level=level,
        system="another system" if table.foreign else "cxr-triage model",
        title=title,
        score_text=table.score_text,
        control=control,
        pictures=None if table.folder is None else table.folder / HEATMAP_FOLDER,
        provenance=provenance,
    )


def _refuse_other_models(predictions: pd.DataFrame, points: Mapping[str, OperatingPoint]) -> None:
    if not points:
        return
    models = sorted({str(value) for value in column(predictions, "model_id").unique()})
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
        patients=_patients(joined.films),
        matched_by=joined.matched_by,
        left_out=joined.left_out,
    )


def _patients(films: pd.DataFrame) -> int | None:
    patient = column(films, "patient_id")
    if patient.isna().any():
        return None
    return len(set(zip(column(films, "dataset").astype(str), patient.astype(str), strict=True)))


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
        reference_standards=tally("reference_standard"),
        age_years=(float(np.median(age)), float(age.min()), float(age.max())) if len(age) else None,
        age_known=len(age),
    )


def _finding(scored: Scored, finding: str, settings: Settings) -> FindingResult:
    labels, scores, level = scored.labels, scored.scores, settings.level
    positives = int(labels.sum())
    auroc = auroc_delong(labels, scores, level)
    point = _operating_result(scored, finding, settings)
    return FindingResult(
        finding=finding,
        name=FINDING_NAMES.get(finding, finding),
        score=settings.score_text.get(finding, f"column p_{finding}"),
        reference=scored.reference,
        n=len(labels),
        positives=positives,
        negatives=len(labels) - positives,
        patients=_patients(scored.films),
        patients_positive=_patients(scored.films[labels]),
        left_out=scored.left_out,
        prevalence=clopper_pearson(positives, len(labels), level),
        auroc=auroc,
        control=_control(scored, finding, auroc, settings),
        operating_point=point,
        roc=_roc(scored),
        histogram=_histogram(scored),
        examples=choose_examples(scored, finding, point.threshold if point else None, settings.pictures),
        notes=finding_notes(scored, point, settings.split, settings.operating_points.get(finding)),
    )


def _operating_result(scored: Scored, finding: str, settings: Settings) -> OperatingResult | None:
    locked = settings.operating_points.get(finding)
    given = settings.thresholds.get(finding)
    if given is None and locked is None:
        return None
    if given is None and locked is not None:
        _check_flags(scored.films, scored.scores, finding, locked.threshold)
        threshold, source, label = locked.threshold, "locked", f"locked on {locked.cohort}: {locked.rule}"
    else:
        assert given is not None
        threshold, source, label, locked = given, "user", USER_THRESHOLD, None
    counts, level = confusion(scored.labels, scored.scores, threshold), settings.level
    return OperatingResult(
        threshold=threshold,
        source="locked" if source == "locked" else "user",
        label=label,
        locked=locked,
        counts=counts,
        sensitivity=counts.sensitivity(level),
        specificity=counts.specificity(level),
        ppv=counts.ppv(level),
        npv=counts.npv(level),
        flagged=counts.flagged(level),
        localisation=localisation(scored.films, scored.labels & (scored.scores >= threshold), finding, level),
    )


def _check_flags(films: pd.DataFrame, scores: Floats, finding: str, threshold: float) -> None:
    flags = column(films, f"pred_flag_{finding}")
    known = flags.notna().to_numpy()
    wrong = int((flags[known].astype(bool).to_numpy() != (scores[known] >= threshold)).sum())
    if wrong:
        raise PredictionsError(
            f"predictions: column 'flag_{finding}' contradicts the locked threshold {threshold:g} in {wrong} of "
            f"{int(known.sum())} rows: the table and its operating point do not belong together."
        )


def _control(scored: Scored, finding: str, auroc: Estimate, settings: Settings) -> ControlResult | None:
    scores = numbers(column(scored.films, f"pred_control_{finding}"), f"control_{finding}", "predictions")
    if np.isfinite(scores).any():
        return control_from_scores(scored.labels, scored.scores, scores, settings.level)
    known = settings.control.get(finding)
    return control_from_estimate(auroc, known) if known else None


def _roc(scored: Scored) -> RocCurve | None:
    if one_class(scored.labels):
        return None
    thresholds, fpr, tpr = roc_points(scored.labels, scored.scores)
    if len(fpr) > ROC_POINTS:
        along = fpr + tpr  # rises from 0 to 2 along the curve
        keep = np.unique(np.r_[0, np.searchsorted(along, np.linspace(0, 2, ROC_POINTS - 1)), len(fpr) - 1])
        keep = keep[keep < len(fpr)]
        thresholds, fpr, tpr = thresholds[keep], fpr[keep], tpr[keep]
    return RocCurve(
        thresholds=(None, *map(float, thresholds[1:])),
        false_positive_rate=tuple(map(float, fpr)),
        true_positive_rate=tuple(map(float, tpr)),
    )


def _histogram(scored: Scored) -> Histogram | None:
    if not len(scored.scores):
        return None
    low, high = float(scored.scores.min()), float(scored.scores.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, float(np.ceil(max(high, 0.05) * 20 - 1e-9) / 20)
    elif low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, HISTOGRAM_BINS + 1)
    positive, negative = (np.histogram(scored.scores[part], edges)[0] for part in (scored.labels, ~scored.labels))
    return Histogram(
        edges=tuple(map(float, edges)), positive=tuple(map(int, positive)), negative=tuple(map(int, negative))
    )
