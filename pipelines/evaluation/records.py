"""``evaluation.json``: what an evaluation holds, and what every part of it means."""

from typing import Literal, Self

from pydantic import ConfigDict, Field

from pipelines.evaluation.background import Choices, DataSetFacts, Leakage, ModelFacts
from pipelines.evaluation.example_records import Examples
from pipelines.evaluation.localisation.records import Froc
from pipelines.evaluation.subgroups.records import SubgroupColumn
from pipelines.evaluation.thresholds.noninferiority import NonInferiority
from pipelines.evaluation.thresholds.operating_point import OperatingPoint
from pipelines.evaluation.thresholds.programme import Programme, TargetProfile
from pipelines.imaging.control_features import ControlKind
from pipelines.statistics.accuracy.records import AtTarget, PartialAuroc, Rates, ThresholdTable
from pipelines.statistics.calibration.records import Calibration, ShiftedCalibration
from pipelines.statistics.decision import DecisionCurve
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import Confusion
from pipelines.statistics.record import Record
from pipelines.version import installed_version

EVALUATION_SCHEMA = "cxr-triage/evaluation/2"


class LeftOut(Record):
    """Films that do not count in a result, and why."""

    code: str
    """A stable code, for example ``label_unknown`` or ``rejected:too_small``."""
    n: int = Field(ge=0)
    """How many films."""
    meaning: str
    """The code in words."""


class FlowGroup(Record):
    """The films of one site or split, counted as `Films` counts them all: sums over the groups are its numbers."""

    name: str
    """As the manifest has it; ``unknown`` where it says nothing, and for rows of films that it does not have."""
    groups: int = Field(default=1, ge=1)
    """More than 1: this many small groups together, under the name ``other groups``."""
    received: int = Field(ge=0)
    """Rows of the predictions table."""
    analysed: int = Field(ge=0)
    """Of these, with a score and asked for."""
    left_out: tuple[LeftOut, ...]
    """``received`` = ``analysed`` + these, except for ``not_predicted``: films of the manifest without a row."""


class Films(Record):
    """Where every row of the predictions table went, and which films of the manifest have no row."""

    in_predictions: int
    """Rows of the predictions table."""
    in_manifest: int
    """Rows of the manifest that were asked for (of the chosen split, or all)."""
    joined: int
    """Rows with a score that belong to a film asked for; per finding, unknown labels still leave this number."""
    patients: int | None
    """Different patients among the joined films; null where some patient is unknown."""
    atypical: int | None = None
    """Of the joined, films unlike the model's training films that were scored all the same, because the prediction was
    asked to; in use they are refused. Null where the predictions do not say how unlike films are."""
    matched_by: str
    """How the ids of the two tables were matched."""
    left_out: tuple[LeftOut, ...]
    """Rows left out of everything, by reason: ``in_predictions`` = ``joined`` + these, except for ``not_predicted``,
    which counts films of the manifest without a row."""
    by_site: tuple[FlowGroup, ...] | None = None
    """The same by site, most films first; null in files of earlier versions."""
    by_split: tuple[FlowGroup, ...] | None = None
    """The same by split of the manifest."""


class Cohort(Record):
    """Who was tested: counts over the joined films; null = not known is counted as ``unknown``."""

    datasets: dict[str, int]
    sites: dict[str, int]
    splits: dict[str, int]
    views: dict[str, int]
    sexes: dict[str, int]
    manufacturers: dict[str, int]
    reference_standards: dict[str, int]
    age_years: tuple[float, float, float] | None
    """Median, lowest and highest age; null where no age is known."""
    age_known: int
    """Films with a known age."""


class IntentionToRead(Record):
    """The same threshold with the films that got no score: each counts as referred, as a programme would refer it."""

    without_score: int
    """Films with a known label that were rejected, failed, or got no usable score."""
    without_score_positive: int
    """Diseased films among them."""
    counts: Confusion
    sensitivity: Estimate
    specificity: Estimate
    flagged: Estimate
    """Share of all films that are flagged or referred for want of a score."""


class OperatingResult(Rates):
    """What one threshold does on the films evaluated; a film is flagged where its score is at least the threshold."""

    source: Literal["locked", "user", "a_posteriori"]
    """``locked``: chosen on validation films and kept in the model package; ``user``: given with the command;
    ``a_posteriori``: chosen on the very films evaluated, shown for comparison only."""
    purpose: Literal["flag", "rule_out"]
    """``flag``: films at or above it are referred; ``rule_out``: films below it might be filed without a reader."""
    label: str
    """The source in words, to print beside the numbers."""
    locked: OperatingPoint | None
    """The locked operating point, with the cohort it was chosen on."""
    who: TargetProfile
    """WHO's target profile of a triage test, judged on interval bounds."""
    programme: Programme
    """Screening arithmetic at the local prevalence."""
    non_inferiority: NonInferiority | None
    """Of the sensitivity; null where no reference was named."""
    intention_to_read: IntentionToRead
    localisation: Estimate
    """Share of true positives whose map peaks inside a true box of the finding."""


class RocCurve(Record):
    """The curve from "flag nothing" to "flag everything"; long curves are thinned evenly along their length."""

    thresholds: tuple[float | None, ...]
    """A film is flagged where its score is at least this; the first is null: no film is flagged."""
    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]


class Histogram(Record):
    """Scores by reference label, in bins of equal width; the last bin includes its upper edge."""

    edges: tuple[float, ...]
    positive: tuple[int, ...]
    negative: tuple[int, ...]


class ControlResult(Record):
    """A shortcut control on the same films: a program that sees no lungs."""

    kind: ControlKind | None = None
    """What it sees; null in files of earlier versions, whose only control is shape-free."""
    description: str
    auroc: Estimate
    difference: Estimate
    """AUROC of the system minus AUROC of the control."""
    near: bool
    """True where the control comes near the system or solves the task by itself."""
    verdict: str
    """What that means, in words."""


class FindingResult(Record):
    """Everything about one finding."""

    finding: str
    name: str
    """The finding in words."""
    score: str
    """Where the score comes from: a column, or the largest of several."""
    reference: str
    """Where the label comes from."""
    n: int
    positives: int
    negatives: int
    patients: int | None
    """Different patients; null where some patient is unknown."""
    patients_positive: int | None
    left_out: tuple[LeftOut, ...]
    """Joined films without a known label or a usable score: joined = n + these."""
    prevalence: Estimate
    intervals: Literal["analytic", "percentile", "bca"]
    """``analytic``: films are independent; else a bootstrap of patients, wherever the method does not say otherwise."""
    auroc: Estimate
    partial_auroc: PartialAuroc
    at_sensitivity: tuple[AtTarget, ...]
    """Specificity at 0.90, 0.95 and 0.98 sensitivity, each at a threshold chosen on these very films."""
    at_specificity: tuple[AtTarget, ...]
    control: ControlResult | None
    """The shape-free one: picture statistics that see no anatomy."""
    controls: tuple[ControlResult, ...] | None = None
    """All of them: shape-free, border-only, lungs-hidden, as far as the predictions carry their scores; null where they
    carry none, and in files of earlier versions."""
    operating_point: OperatingResult | None
    other_points: tuple[OperatingResult, ...]
    """Rule-out points of the model package, and a-posteriori thresholds that were asked for."""
    thresholds: ThresholdTable
    """Rates over the range of thresholds, for exploring."""
    roc: RocCurve | None
    """Null where only one class is present."""
    histogram: Histogram | None
    calibration: Calibration
    calibration_at_prevalence: ShiftedCalibration | None
    """At the local prevalence, before and after adjusting the scores to it; null where it has no answer."""
    decision_curve: DecisionCurve
    subgroups: tuple[SubgroupColumn, ...]
    froc: Froc
    examples: Examples
    notes: tuple[str, ...]
    """What a reader must know to read the numbers right."""


class Provenance(Record):
    """Which files and which code these numbers come from; no absolute path."""

    predictions_digest: str | None
    """SHA-256 of the predictions file."""
    predictions_folder: str | None
    """The predictions folder, relative to the evaluation folder (POSIX); null where it lies elsewhere on the disk."""
    manifest_digest: str | None
    predicted_manifest_digest: str | None
    """Digest of the manifest that the predictions were made from, as their ``run.json`` says."""
    model_id: str | None
    model_name: str | None
    predictions_code_version: str | None
    versions: dict[str, str]
    """Versions of this software and of the libraries that computed the numbers."""
    manifest_file: str | None = None
    """The manifest, relative to the evaluation folder (POSIX); null where both share no folder but the disk's root."""
    predictions_file: str | None = None
    """Likewise the predictions table: a file inside ``predictions_folder``, or another system's table."""
    options: Choices | None = None
    """What was asked for; null in files of earlier versions."""

    @classmethod
    def empty(cls) -> Self:
        """Nothing is known but the software."""
        return cls(
            predictions_digest=None,
            predictions_folder=None,
            manifest_digest=None,
            predicted_manifest_digest=None,
            model_id=None,
            model_name=None,
            predictions_code_version=None,
            versions=software_versions(),
        )


def software_versions() -> dict[str, str]:
    """Versions of this software and of the libraries that compute the numbers."""
    return {
        name: installed_version(name) or "not installed as a package"
        for name in ("cxr-triage", "numpy", "scipy", "pandas", "scikit-learn", "numba")
    }


class Evaluation(Record):
    """One predictions table against one manifest."""

    schema_: Literal["cxr-triage/evaluation/2"] = Field(alias="schema", default="cxr-triage/evaluation/2")
    title: str
    system: Literal["cxr-triage model", "another system"]
    split: str | None
    level: float
    local_prevalence: float
    """Share of diseased people where the system would be used: named by the user, not measured here."""
    local_prevalence_interval: tuple[float, float] | None
    replicates: int
    """Of every bootstrap."""
    seed: int
    films: Films
    cohort: Cohort
    findings: tuple[FindingResult, ...]
    independence: str
    """How films of one patient were treated."""
    notes: tuple[str, ...]
    provenance: Provenance
    data_sets: tuple[DataSetFacts, ...] | None = None
    """Of the films evaluated, most films first; null, like the next two, in files of earlier versions."""
    model: ModelFacts | None = None
    """Null also for another system's scores."""
    leakage: Leakage | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
