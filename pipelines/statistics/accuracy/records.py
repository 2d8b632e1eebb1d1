"""What an accuracy assessment holds, and what every part of it means."""

from typing import Literal

from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import Confusion
from pipelines.statistics.record import Record


class PartialAuroc(Record):
    """The ROC curve where a screening programme works."""

    band: tuple[float, float]
    """Lowest and highest sensitivity."""
    area: Estimate
    """Area between the specificity and the band of sensitivities, in [0, width of the band]."""
    mean_specificity: Estimate
    """The area over the width of the band: specificity averaged over the band, in [0, 1]."""
    standardised: Estimate
    """McClish's index: 1 for perfect scores, 0.5 for chance."""


class AtTarget(Record):
    """What is reached where one rate is held at a target, on these films (an a-posteriori threshold)."""

    kind: Literal["sensitivity", "specificity"]
    """The rate that is held."""
    target: float
    threshold: Estimate
    """The largest that reaches the sensitivity, the smallest that reaches the specificity, among the scores."""
    sensitivity: Estimate
    specificity: Estimate


class LocalValues(Record):
    """Predictive values where the disease is as common as a user says."""

    prevalence: float
    prevalence_interval: tuple[float, float] | None
    ppv: Estimate
    npv: Estimate


class Rates(Record):
    """What one threshold does."""

    threshold: float
    counts: Confusion
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    """At the prevalence of these films."""
    npv: Estimate
    """At the prevalence of these films."""
    lr_positive: Estimate
    lr_negative: Estimate
    flagged: Estimate
    local: LocalValues | None
    """Null where no local prevalence was named."""


class Band(Record):
    """One rate at every threshold of a table."""

    value: tuple[float | None, ...]
    """Null where the rate has no films."""
    low: tuple[float | None, ...]
    """Null where there is no interval."""
    high: tuple[float | None, ...]
    level: float
    method: str
    n: int


class ThresholdTable(Record):
    """Rates over the range of thresholds, each with pointwise bounds; thresholds rise."""

    thresholds: tuple[float, ...]
    true_positive: tuple[int, ...]
    false_positive: tuple[int, ...]
    positives: int
    negatives: int
    sensitivity: Band
    specificity: Band
    flagged: Band


class Accuracy(Record):
    """Everything of one score set."""

    n: int
    positives: int
    negatives: int
    patients: int
    """Clusters; as many as films where every film counts as independent."""
    patients_positive: int
    patients_negative: int
    clustered: bool
    """Whether some patient has several of these films."""
    interval: Literal["analytic", "percentile", "bca"]
    """The intervals used: of what ``auto`` chose."""
    auroc: Estimate
    partial_auroc: PartialAuroc
    at_sensitivity: tuple[AtTarget, ...]
    at_specificity: tuple[AtTarget, ...]
    rates: tuple[Rates, ...]
    """In the order of the thresholds given."""
    table: ThresholdTable
