"""What a reader must not miss before reading the numbers of an evaluation."""

from collections.abc import Iterator, Sequence
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.control import STRONG_CONTROL, controls_of, strongest_control
from pipelines.evaluation.notes import FEW_POSITIVES
from pipelines.evaluation.records import ControlResult, FindingResult
from pipelines.imaging.control_features import ControlKind
from pipelines.reporting.book import Study, Tested
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words

GOOD_SYSTEM: Final = 0.8
"""A system with this AUROC looks good; where the control comes near it, the pictures may be why."""
CONTROL_NAMES: Final[dict[ControlKind, str]] = {
    "shape_free": message("brightness and layout"),
    "border": message("border only"),
    "lungs_hidden": message("lungs covered"),
}
"""What each control sees, in two words."""
_SEEN: Final = ("train", "val")


def warnings_of(study: Study, words: Words) -> tuple[Markup, ...]:
    """Sentences, the gravest first."""
    shortcuts = (said for part in study.tested for said in _control(part.result, name_of(part, words), words))
    return (*_of_films(study, words), *shortcuts, *_of_labels(study, words), *_of_findings(study.tested, words))


def _of_films(study: Study, words: Words) -> Iterator[Markup]:
    evaluation = study.evaluation
    cohort, standards = evaluation.cohort, evaluation.cohort.reference_standards
    total = words.count(evaluation.films, "joined")
    if standards.get("synthetic"):
        yield words(
            "<strong>Synthetic films:</strong> {n} of {total}. They were drawn by a program; numbers on them say "
            "nothing about patients.",
            n=words.count(cohort, "reference_standards", "synthetic"),
            total=total,
        )
    yield from _seen(study, words)
    yield from _met(study, words)


def _of_labels(study: Study, words: Words) -> Iterator[Markup]:
    cohort, total = study.evaluation.cohort, words.count(study.evaluation.films, "joined")
    if cohort.reference_standards.get("report"):
        yield words(
            "<strong>Labels from radiology reports:</strong> {n} of {total} films. Such labels are sometimes wrong: "
            "the numbers measure agreement with reports, not with disease.",
            n=words.count(cohort, "reference_standards", "report"),
            total=total,
        )


def _seen(study: Study, words: Words) -> Iterator[Markup]:
    cohort = study.evaluation.cohort
    own = study.evaluation.system == "cxr-triage model"
    for split in _SEEN:
        if not cohort.splits.get(split):
            continue
        values = {
            "n": words.count(cohort, "splits", split),
            "total": words.count(study.evaluation.films, "joined"),
        }
        if split == "val":
            yield words(
                "<strong>Validation films:</strong> {n} of {total}. Thresholds may have been chosen on them; then the "
                "numbers are too good.",
                **values,
            )
        elif own:
            yield words(
                "<strong>Training films:</strong> {n} of {total}. If the model was trained on this manifest it has "
                "seen them, and the numbers are too good.",
                **values,
            )
        else:
            yield words(
                "<strong>Training films:</strong> {n} of {total} are in the training split of their data set. Whether "
                "the system has seen them is not known; if so, the numbers are too good.",
                **values,
            )


def _met(study: Study, words: Words) -> Iterator[Markup]:
    found = study.evaluation.leakage
    if found is None or not (found.patients.shared or found.files.shared or found.pictures.shared):
        return
    yield words(
        "<strong>Leakage:</strong> {patients} of {total} films are of patients who are in the training or validation "
        "films too; the same picture: {pictures}, the same file: {files}. The numbers may be too good.",
        total=words.count(found, "films"),
        patients=words.count(found.patients, "shared"),
        pictures=words.count(found.pictures, "shared"),
        files=words.count(found.files, "shared"),
    )


def _of_findings(parts: Sequence[Tested], words: Words) -> Iterator[Markup]:
    """Each warning once, with the findings that it is about."""
    without = [name_of(part, words) for part in parts if part.result.operating_point is None]
    if without:
        yield words(
            "<strong>No threshold was locked or given:</strong> {findings}.", findings=words.language.listing(without)
        )
    loose = [
        name_of(part, words)
        for part in parts
        if (point := part.result.operating_point) is not None and point.source != "locked"
    ]
    if loose:
        yield words(
            "<strong>Threshold not locked:</strong> {findings}. If it was chosen after these results were seen, "
            "sensitivity and specificity are too good.",
            findings=words.language.listing(loose),
        )
    few = [said for part in parts if (said := _few(part, words)) is not None]
    if few:
        yield words(
            "<strong>Few films:</strong> {findings}. Read the intervals, not the points.",
            findings=words.language.listing(few),
        )


def name_of(part: Tested, words: Words) -> Markup:
    """The finding without its evaluation: the block says which."""
    return words.finding(part)


def may_be_the_pictures(result: FindingResult) -> bool:
    """Whether the AUROC looks good, or a control's does, and that control comes near the system."""
    return any(_explains(control, result) for control in controls_of(result))


def gravest_control(result: FindingResult) -> ControlResult | None:
    """Of the controls that come near the system the one with the highest AUROC: one warning, however many do."""
    near = [control for control in controls_of(result) if control.near and result.auroc.value is not None]
    return strongest_control([control for control in near if _explains(control, result)] or near)


def _explains(control: ControlResult, result: FindingResult) -> bool:
    if not control.near or control.auroc.value is None or result.auroc.value is None:
        return False
    return control.auroc.value >= STRONG_CONTROL or result.auroc.value >= GOOD_SYSTEM


def _control(result: FindingResult, name: Markup, words: Words) -> Iterator[Markup]:
    control = gravest_control(result)
    if control is None:
        return
    values = {"finding": name, "control": words.number(control.auroc), "interval": words.interval(control.auroc)}
    values |= {"name": words(CONTROL_NAMES[control.kind or "shape_free"])}
    pictures, plain = may_be_the_pictures(result), control.kind in (None, "shape_free")
    if pictures and plain:
        yield words(
            "<strong>It may be the pictures, not the disease:</strong> {finding}. A control that sees no anatomy "
            "reaches AUROC {control} ({interval}).",
            **values,
        )
    elif pictures:
        yield words(
            "<strong>It may be the pictures, not the disease:</strong> {finding}. A control that sees nothing of the "
            "lungs ({name}) reaches AUROC {control} ({interval}).",
            **values,
        )
    elif plain:
        yield words(
            "<strong>Not shown to be clearly better than a control that sees no anatomy:</strong> {finding}. The "
            "control reaches AUROC {control} ({interval}).",
            **values,
        )
    else:
        yield words(
            "<strong>Not shown to be clearly better than a control that sees nothing of the lungs:</strong> {finding}. "
            "The control ({name}) reaches AUROC {control} ({interval}).",
            **values,
        )


def _few(part: Tested, words: Words) -> Markup | None:
    """The finding with the number that is small; None where none is."""
    result, name = part.result, name_of(part, words)
    patients = result.patients_positive
    if patients is not None and patients < min(FEW_POSITIVES, result.positives):
        return words.plural(
            "{finding} ({n} patient with it)",
            "{finding} ({n} patients with it)",
            patients,
            finding=name,
            n=words.count(result, "patients_positive"),
        )
    if result.positives < FEW_POSITIVES:
        return words.plural(
            "{finding} ({n} film with it)",
            "{finding} ({n} films with it)",
            result.positives,
            finding=name,
            n=words.count(result, "positives"),
        )
    if result.negatives < FEW_POSITIVES:
        return words.plural(
            "{finding} ({n} film without it)",
            "{finding} ({n} films without it)",
            result.negatives,
            finding=name,
            n=words.count(result, "negatives"),
        )
    return None
