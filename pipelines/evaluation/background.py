"""What an evaluation says about its model, its data sets, and what the model may have seen before."""

from typing import Literal

from pydantic import Field

from pipelines.statistics.record import Record


class DataSetFacts(Record):
    """One data set of the films evaluated."""

    name: str
    """As the manifest has it."""
    films: int = Field(ge=0)
    """Films evaluated."""
    title: str | None = None
    """This and the rest come from the project's adapter; null for a data set that has none."""
    licence: str | None = None
    """Name of the terms, and in short what they permit."""
    citation: str | None = None
    url: str | None = None
    labels: str | None = None
    """How its labels came to be."""
    films_may_be_shown: bool | None = None
    """Whether its terms allow a film in a report; null where the project does not know."""
    films_may_be_shown_why: str | None = None
    """Which term that is."""


class LabelCounts(Record):
    """Labels of one finding in a cohort."""

    finding: str
    positive: int
    negative: int
    unknown: int


class CohortFacts(Record):
    """The films that a model was trained or chosen on, as its package says."""

    films: int
    datasets: dict[str, int]
    """Films by data set."""
    patients: int | None = None
    """Different patients; null where some patient is unknown, or where the package does not say."""
    outside_use: int | None = None
    """Films of the split that were left out because the intended use does not cover them."""
    manifest_digest: str | None
    labels: tuple[LabelCounts, ...]


class CalibrationFacts(Record):
    """``p = sigmoid((logit - offset) / temperature)`` of one finding."""

    finding: str
    temperature: float
    offset: float


class TrainingFacts(Record):
    """How a model was trained, as its package says; null = not said."""

    train: CohortFacts | None = None
    val: CohortFacts | None = None
    """Films that weights, calibration and thresholds were chosen on."""
    seed: int | None = None
    epochs: int | None = None
    """At most; training may stop before."""
    best_epoch: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    imbalance: str | None = None
    """How rare positives were weighed in the loss."""
    augmentation: dict[str, float] | None = None
    monitor: str | None = None
    """The validation measure by which the best epoch was chosen."""
    code_version: str | None = None
    mlflow_run_id: str | None = None
    versions: dict[str, str] | None = None
    """Of the libraries that trained it."""


class PredictionFacts(Record):
    """How the predictions were made, as their ``run.json`` says; no name of a host or a user. Null = not said."""

    day: str | None = None
    """On which the last film was done, ISO 8601, UTC."""
    code_version: str | None = None
    backend: str | None = None
    device: str | None = None
    precision: str | None = None
    processor: str | None = None
    gpu: str | None = None
    triage_rule: str | None = None
    inputs: tuple[str, ...] | None = None
    """What was scored: names of folders, films or a manifest, without the way to them."""
    heatmaps: bool | None = None
    versions: dict[str, str] | None = None


class ModelFacts(Record):
    """The model that made the predictions, as their ``run.json`` says; null = not said there."""

    model_id: str
    name: str | None = None
    findings: tuple[str, ...] = ()
    architecture: str | None = None
    """The network's backbone."""
    pretrained: str | None = None
    """The weights that training started from."""
    input_size: int | None = None
    """Side of the square that the network is fed, in pixels."""
    channels: int | None = None
    intensity_range: tuple[float, float] | None = None
    placement: str | None = None
    """How a film is brought to that square."""
    pooling: str | None = None
    map_stride: int | None = None
    """Input pixels for each cell of the localisation map."""
    calibration: tuple[CalibrationFacts, ...] | None = None
    views: tuple[str, ...] | None = None
    """The films that it is meant for; others are refused."""
    min_age_years: float | None = None
    max_age_years: float | None = None
    checks_typicality: bool | None = None
    """Whether films unlike its training films are refused."""
    training: TrainingFacts = TrainingFacts()
    prediction: PredictionFacts = PredictionFacts()


class Overlap(Record):
    """One way in which a film evaluated may have been met in training."""

    known: int = Field(ge=0)
    """Films evaluated for which it could be looked up."""
    known_against: int = Field(ge=0)
    """Training and validation films for which it could be looked up."""
    shared: int = Field(ge=0)
    """Films evaluated of which there is a counterpart among the training and validation films."""


class Leakage(Record):
    """The films evaluated beside the manifest's training and validation films of other splits than their own."""

    films: int = Field(ge=0)
    """Films evaluated: those with a score."""
    in_train: int = Field(ge=0)
    """Films evaluated that are of the manifest's training split themselves."""
    in_val: int = Field(ge=0)
    """Likewise of its validation split."""
    against: int = Field(ge=0)
    """Training and validation films that they were compared with."""
    why_not: str | None
    """Why nothing was compared; null where it was."""
    patients: Overlap
    """The same patient."""
    shared_patients: int = Field(ge=0)
    """Different patients among the films evaluated who are in the other splits too."""
    files: Overlap
    """The very same file: equal SHA-256."""
    pictures: Overlap
    """The same picture: equal perceptual hash, and nothing known says that it shows two people."""
    look_alikes: Overlap
    """Films too much alike to be sure: near hashes where a patient is not known, or equal hashes of two people."""
    same_manifest: bool | None
    """Whether the predictions were made from this very manifest; null where that is not said."""
    copies: int | None = None
    """Films evaluated that are copies, perhaps changed, of films that the model learned from, or show their patients;
    null: not looked for."""
    overlap_allowed: bool = False
    """Whether the user asked to go on although there were such films."""
    training_films: Literal["the same", "others", "not said"]
    """Whether the manifest's training split is what the model was trained on; only then does the comparison above say
    what the model has met."""


class Choices(Record):
    """What the evaluation was asked for."""

    interval: str
    """As asked: ``auto``, ``analytic``, ``percentile`` or ``bca``."""
    replicates: int
    seed: int
    level: float
    prevalence: float
    prevalence_interval: tuple[float, float] | None
    cost_cxr: float | None
    """Of one film; null where no costs were named."""
    cost_xpert: float | None
    """Of one confirmatory test."""
    cost_other: float | None
    currency: str | None
    reference_sensitivity: float | None
    margin: float
    min_group: int
    subgroups: tuple[str, ...] | None
    """Columns asked for; null: those of the default list that are known for these films."""
    attributes: tuple[str, ...] | None
    """Columns of the user's own table that films were split by; null: no such table was given."""
    show_films: tuple[str, ...] = ()
    """Further data sets whose films may be shown, as the manifest names them."""
    marks: str | None
    """Another system's marks, by name; null: the peaks of the maps."""
    hit: str
    """When a mark hits."""
    split: str | None
    id_column: str | None = None
    """Of another system's table: the column that names the film."""
    scores: dict[str, str] = Field(default_factory=dict)
    """Of another system's table, by finding: a column, or the largest of several."""
    thresholds: dict[str, float]
    """Named by the user, by finding."""
    package: str | None = None
    """Name of the model package whose points were used instead of those that came with the predictions."""
    a_posteriori: dict[str, str]
    """Rules by which thresholds were chosen on these very films, by finding."""
