"""What a reader must know to read the numbers right, in sentences."""

from typing import Final

import pandas as pd

from pipelines.evaluation.joining import Joined, Scored, column
from pipelines.evaluation.patients import clusters_of
from pipelines.evaluation.records import OperatingResult
from pipelines.evaluation.thresholds.operating_point import OperatingPoint

FEW_POSITIVES: Final = 30
"""Below this many patients with a positive (or with a negative) film a note warns about the width of the intervals."""


def too_few_for_a_yes(positives: int, negatives: int) -> bool:
    """Whether films of a class are too few to say that nothing is lost by a change of system."""
    return min(positives, negatives) < FEW_POSITIVES


def independence_note(films: int, patients: int, intervals: str, known: bool) -> str:
    """How films of one patient were treated.

    Args:
        films: films evaluated.
        patients: different patients; a film of an unknown patient counts as a patient.
        intervals: ``analytic``, or the kind of bootstrap.
        known: whether every film's patient is known.
    """
    doubt = (
        ""
        if known
        else " Not every film names its patient: those that do not count as one patient each; if some patients among "
        "them have several films, the intervals are too narrow."
    )
    if patients == films:
        return (
            doubt.strip() or "Every film is of a different patient, so films are independent, as the intervals assume."
        )
    several = f"{films:,} films come from {patients:,} patients"
    if intervals == "analytic":
        return f"Intervals treat films as independent, as was asked, but {several}: they are too narrow.{doubt}"
    return f"{several[0].upper()}{several[1:]}: intervals are from a bootstrap that draws whole patients.{doubt}"


def scored_though_atypical(joined: Joined) -> int | None:
    """Films with a score that the model's own check would refuse; None where the predictions do not hold the check."""
    times = pd.to_numeric(column(joined.films, "pred_atypicality"), errors="coerce")
    return int((times > 1).sum()) if times.notna().any() else None


def table_notes(joined: Joined, split: str | None, system: str) -> tuple[str, ...]:
    """Notes on the whole evaluation."""
    films, notes = joined.films, []
    standards = column(films, "reference_standard")
    synthetic = int((standards == "synthetic").sum())
    if synthetic:
        notes.append(
            f"{synthetic:,} of {len(films):,} films are synthetic: numbers on them say nothing about patients."
        )
    report = int((standards == "report").sum())
    if report:
        notes.append(
            f"The labels of {report:,} of {len(films):,} films were taken from radiology reports. Such labels are "
            "wrong in a share of films, so every number here measures agreement with reports, not with disease."
        )
    unlike = scored_though_atypical(joined)
    if unlike:
        notes.append(
            f"{unlike:,} of {len(films):,} films are unlike the model's training films and were scored all the same, "
            "as was asked: in use they would be refused."
        )
    seen = int(column(films, "split").isin(["train", "val"]).sum())
    if seen and system != "another system":
        notes.append(
            f"{seen:,} of {len(films):,} films are in the training or validation split: if this model was trained on "
            "this manifest, it has seen them and the numbers are too good."
        )
    if split is None and not column(films, "split").isna().all():
        notes.append("All splits of the manifest were evaluated together.")
    return tuple(notes)


def _few(patients: int, films: int, which: str) -> str:
    """How far intervals are too narrow with few patients: `benchmarks/interval_coverage.py`."""
    unit, those = "film", f"{which} film"
    if patients < films:
        unit, those = "patient", f"patient{'s' if patients > 1 else ''} with {films} {which} film"
    plural = "s" if (films if patients < films else patients) > 1 else ""
    return (
        f"Only {patients} {those}{plural}: read the intervals, not the points; with so few {unit}s the interval of "
        "the AUROC is itself too narrow, and so is, more so, that of the specificity at a fixed sensitivity."
    )


def finding_notes(
    scored: Scored, point: OperatingResult | None, split: str | None, locked: OperatingPoint | None
) -> tuple[str, ...]:
    """Notes on one finding."""
    notes = []
    n, clusters = len(scored.labels), clusters_of(scored.films)
    classes = ((scored.labels, "positive"), (~scored.labels, "negative"))
    fewest, films, which = min((clusters.take(part).present, int(part.sum()), name) for part, name in classes)
    if 0 < fewest < FEW_POSITIVES and films < n:
        notes.append(_few(fewest, films, which))
    if n and (scored.scores.min() < 0 or scored.scores.max() > 1):
        notes.append(
            f"Scores run from {scored.scores.min():.4g} to {scored.scores.max():.4g}: they are not probabilities. "
            "The AUROC needs only their order."
        )
    if point is None:
        notes.append("No threshold was locked or given, so there is no sensitivity or specificity.")
    elif point.source == "user":
        notes.append(
            "The threshold was given by the user and not locked on validation films: if it was chosen after seeing "
            "these results, sensitivity and specificity are too good."
        )
        if locked is not None:
            notes.append(f"The threshold locked in the model package ({locked.threshold:.4g}) was not used.")
    elif split in (None, "val"):
        notes.append("The films evaluated may include those on which the threshold was chosen.")
    return tuple(notes)
