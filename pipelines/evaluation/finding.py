"""Everything about one finding."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.evaluation.control import control_from_estimate, control_from_scores, control_key
from pipelines.evaluation.curves import histogram, roc_curve
from pipelines.evaluation.examples import choose_examples
from pipelines.evaluation.joining import Scored, column
from pipelines.evaluation.localisation.free_response import froc_result
from pipelines.evaluation.notes import finding_notes
from pipelines.evaluation.options import Options
from pipelines.evaluation.patients import clusters_of, count_patients
from pipelines.evaluation.records import ControlResult, FindingResult
from pipelines.evaluation.subgroups.gaps import subgroups
from pipelines.evaluation.subgroups.sides import Limits
from pipelines.evaluation.tables import numbers
from pipelines.evaluation.thresholds.points import Thresholds, operating_results, thresholds_for
from pipelines.findings import FINDING_NAMES
from pipelines.imaging.control_features import KINDS
from pipelines.statistics.accuracy.assessment import accuracy
from pipelines.statistics.calibration.measures import calibration, calibration_at_prevalence
from pipelines.statistics.decision import decision_curve
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.resampling import Clusters
from pipelines.statistics.shares import share_of_films

PREVALENCE: Final = "share of positive films"


@dataclass(frozen=True)
class Settings:
    """What is known of the system beyond its scores, and what is asked."""

    options: Options
    thresholds: Thresholds = field(default_factory=Thresholds)
    split: str | None = None
    score_text: Mapping[str, str] = field(default_factory=dict)
    control: Mapping[str, Estimate] = field(default_factory=dict)
    """AUROC of the shape-free control, where the predictions carry no control scores."""
    pictures: Path | None = None


def evaluate_finding(scored: Scored, finding: str, settings: Settings) -> FindingResult:
    """Everything about one finding on its films.

    Raises:
        EvaluationError: a subgroup column that is not there, or holds identifiers.
        PredictionsError: marks that do not fit the films.
    """
    options, labels, scores = settings.options, scored.labels, scored.scores
    clusters, level = clusters_of(scored.films), options.level
    main, others, said = thresholds_for(scored, finding, settings.thresholds)
    shown = [threshold for threshold in (main, *others) if threshold is not None]
    results = operating_results(scored, finding, shown, options)
    point = results[0] if main else None
    threshold = point.threshold if point else None
    question = replace(options.question, thresholds=tuple(each.value for each in shown))
    found = accuracy(labels, scores, clusters=clusters, question=question)
    films = clusters if found.interval != "analytic" else Clusters.of(None, len(labels))
    plan = question.resolved(clusters)[1]
    everyone = np.ones(len(labels), dtype=bool)
    controls = _controls(scored, finding, found.auroc, settings)
    return FindingResult(
        finding=finding,
        name=FINDING_NAMES.get(finding, finding),
        score=settings.score_text.get(finding, f"column p_{finding}"),
        reference=scored.reference,
        n=found.n,
        positives=found.positives,
        negatives=found.negatives,
        patients=count_patients(scored.films),
        patients_positive=count_patients(scored.films[labels]),
        left_out=scored.left_out,
        prevalence=share_of_films(labels, everyone, clusters, question, method=PREVALENCE, of="films"),
        intervals=found.interval,
        auroc=found.auroc,
        partial_auroc=found.partial_auroc,
        at_sensitivity=found.at_sensitivity,
        at_specificity=found.at_specificity,
        control=_shape_free(controls, finding, found.auroc, settings),
        controls=controls or None,
        operating_point=point,
        other_points=results[1:] if main else results,
        thresholds=found.table,
        roc=roc_curve(scored),
        histogram=histogram(scored),
        calibration=calibration(labels, scores, level=level, clusters=films, plan=plan),
        calibration_at_prevalence=calibration_at_prevalence(
            labels, scores, options.prevalence, level=level, clusters=films, plan=plan
        ),
        decision_curve=decision_curve(labels, scores, level=level, clusters=films, plan=plan),
        subgroups=subgroups(
            scored,
            threshold=threshold,
            clusters=films,
            plan=plan,
            columns=options.subgroups,
            level=level,
            limits=Limits(positives=options.min_group, negatives=options.min_group, films=options.min_group),
        ),
        froc=froc_result(
            scored,
            finding,
            marks=options.marks if options.marks is not None and options.marks.cover(finding) else None,
            threshold=threshold,
            criterion=options.criterion,
            level=level,
            clusters=clusters,
            plan=plan,
        ),
        examples=choose_examples(
            scored, finding, threshold, settings.pictures, seed=options.seed, show_films=options.show_films
        ),
        notes=finding_notes(scored, point, settings.split, settings.thresholds.locked.get(finding)) + said,
    )


def _controls(scored: Scored, finding: str, auroc: Estimate, settings: Settings) -> tuple[ControlResult, ...]:
    """Every control whose scores the predictions carry."""
    clusters, question = clusters_of(scored.films), settings.options.question
    found = []
    for kind in KINDS:
        name = f"control_{control_key(finding, kind)}"
        scores = numbers(column(scored.films, f"pred_{name}"), name, "predictions")
        if np.isfinite(scores).any():
            parts = (scored.labels, scored.scores, scores)
            found.append(control_from_scores(*parts, auroc, clusters, question, kind))
    return tuple(found)


def _shape_free(
    controls: tuple[ControlResult, ...], finding: str, auroc: Estimate, settings: Settings
) -> ControlResult | None:
    if found := next((each for each in controls if each.kind == "shape_free"), None):
        return found
    known = settings.control.get(finding)
    return control_from_estimate(auroc, known) if known else None
