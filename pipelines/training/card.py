"""The model card, written by the run from its own records."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from models import ModelPackage
from pipelines.config import TrainConfig
from pipelines.evaluation.control_words import NAMES
from pipelines.evaluation.thresholds.locked import points_section
from pipelines.evaluation.thresholds.operating_point import OperatingPoint
from pipelines.findings import FINDING_NAMES
from pipelines.imaging.control_features import KINDS, ControlKind
from pipelines.imaging.harmonise import Harmonisation
from pipelines.statistics.estimates import Estimate
from pipelines.training.films import Cohort


class Summary(Protocol):
    """What the card says about one finding."""

    @property
    def finding(self) -> str: ...
    @property
    def auroc(self) -> Estimate: ...
    @property
    def control(self) -> Estimate: ...
    @property
    def other_controls(self) -> Mapping[ControlKind, Estimate]: ...
    @property
    def operating_point(self) -> OperatingPoint: ...
    @property
    def rule_out_point(self) -> OperatingPoint | None: ...


def model_card(
    package: ModelPackage, summaries: Sequence[Summary], config: TrainConfig, val: Cohort, train: Cohort
) -> str:
    """Return the card of a package as Markdown."""
    lines = [
        f"# {package.name}",
        "",
        f"Model `{package.model_id}`. **Research only: not a medical device, not a diagnosis.** It must not decide "
        "alone whether a person is treated, referred or sent home.",
        "",
        "## What it does",
        "",
        f"Reads one frontal chest radiograph and gives, for {_and(FINDING_NAMES[name] for name in config.findings)}, a "
        f"calibrated probability, a flag at a locked threshold and a map of where. Network: `{config.model.backbone}` "
        f"(start: {config.model.pretrained}), input {config.model.size} × {config.model.size} pixels, one channel.",
        "",
        "## What it was trained on",
        "",
        f"{_cohort(train, config)} Chosen and calibrated on: {_cohort(val, config)}",
        "",
        "A label that a data set does not know is masked in the loss; it was never read as a negative.",
        "",
        _made_alike(package, config),
        "",
        "## Validation",
        "",
        "These numbers chose the weights and the thresholds, so they are optimistic. Judge the model on films it has "
        "never met (`cxr evaluate`).",
        "",
        f"| finding | AUROC | {' | '.join(f'{NAMES[kind]} control' for kind in KINDS)} | films (positive) |",
        "|---|---|---|---|---|---|",
    ]
    for summary in summaries:
        point = summary.operating_point
        lines.append(
            f"| {summary.finding} | {summary.auroc.text()} | {_controls(summary)} | {point.n} ({point.n_positive}) |"
        )
    lines += [
        "",
        "The controls are logistic regressions that see no lungs: a 16×16 thumbnail and five intensity statistics; "
        "the film's border alone; a thumbnail whose lung fields are covered. Where one of them comes near the model, "
        "the AUROC may come from how the pictures were made, not from disease.",
        "",
        _points(summaries),
        "## Films it refuses",
        "",
        _use(package),
        "",
        _typical(package),
        "",
        "## Limits",
        "",
        "Films unlike the training films (other machines, children, lateral views, lying patients) give scores that "
        "mean nothing; not all of them are refused. A threshold belongs to this model alone: another version needs its "
        "own, locked anew.",
        "",
    ]
    return "\n".join(lines)


def _controls(summary: Summary) -> str:
    found = {"shape_free": summary.control, **summary.other_controls}
    return " | ".join(found[kind].text() if kind in found else "–" for kind in KINDS)


def _made_alike(package: ModelPackage, config: TrainConfig) -> str:
    """What was done to every film, and how films were drawn."""
    sampled = {
        "dataset": "In each epoch every data set weighed alike. ",
        "dataset_label": "In each epoch every combination of data set and labels weighed alike. ",
    }.get(config.optimisation.sampling, "")
    if package.harmonisation is None:
        return f"{sampled}Films were not harmonised."
    lines = " ".join(Harmonisation.from_json(package.harmonisation).lines())
    found = ", ".join(
        f"{facts['lung_fields_found']} of {facts['films']} {name} films"
        for name, split in (("training", "train"), ("validation", "val"))
        if "lung_fields_found" in (facts := package.provenance[split])
    )
    counted = f" The box around the lungs was found on {found}." if found else ""
    return f"{sampled}Films were harmonised, as every film is that the model scores. {lines}{counted}"


def _points(summaries: Sequence[Summary]) -> str:
    return points_section(
        {summary.finding: summary.operating_point for summary in summaries},
        {summary.finding: summary.rule_out_point for summary in summaries if summary.rule_out_point is not None},
    )


def _use(package: ModelPackage) -> str:
    use = package.intended_use
    limits = [("at least", use.min_age_years), ("at most", use.max_age_years)]
    ages = _and(f"{word} {value:g} years" for word, value in limits if value is not None)
    patients = f"patients of {ages}" if ages else "patients of any age"
    return f"Meant for {' and '.join(use.views)} films of {patients}; where a header says otherwise, they are refused."


def _typical(package: ModelPackage) -> str:
    limit = package.typicality
    if limit is None:
        return "**Films unlike its training films are not refused**: there were too few films to say what is typical."
    return (
        "Films unlike its training films are refused as *atypical*: a shrunk Mahalanobis distance in the network's own "
        f"features, fitted on {limit.fitted_on} training films without augmentation. Its limit, {limit.threshold:.3f}, "
        f"was locked on {limit.locked_on} validation films: with {limit.confidence:.0%} confidence no more than "
        f"{limit.refuse:.1%} of films like these lie beyond it, as far as the logarithm of the distance is normal. It "
        "sees that a picture is of another kind; it does not see a disease that the model has never met."
    )


def _cohort(cohort: Cohort, config: TrainConfig) -> str:
    datasets = ", ".join(f"{name} ({count} films)" for name, count in cohort.rows["dataset"].value_counts().items())
    labels = "; ".join(
        f"{finding} {int((column == 1).sum())} positive, {int((column == 0).sum())} negative"
        for finding, column in zip(config.findings, cohort.labels.T, strict=True)
    )
    return f"{datasets}. {labels}."


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)
