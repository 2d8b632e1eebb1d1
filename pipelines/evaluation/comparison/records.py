"""``comparison.json``: several systems, or versions of a model, on the same films."""

from typing import Literal

from pydantic import ConfigDict, Field

from pipelines.evaluation.records import LeftOut
from pipelines.evaluation.thresholds.noninferiority import NonInferiority
from pipelines.statistics.accuracy.paired import PairedAccuracy, PairedTest
from pipelines.statistics.accuracy.records import AtTarget, PartialAuroc, Rates
from pipelines.statistics.calibration.records import Calibration
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record

COMPARISON_SCHEMA = "cxr-triage/comparison/1"


class SystemFilms(Record):
    """What one system did with the films asked for."""

    name: str
    model_id: str | None
    """Null for another system's scores."""
    predictions_digest: str
    """SHA-256 of its file."""
    score: str
    """Where its score of this finding comes from."""
    scored: int
    """Films with a known label that this system scored."""
    without_score: int
    """Films with a known label that it rejected, failed on, or gave no usable score."""
    not_common: int
    """Films that it scored and another system did not: not compared."""
    left_out: tuple[LeftOut, ...]


class SystemResult(Record):
    """One system on the films that all systems scored."""

    films: SystemFilms
    auroc: Estimate
    partial_auroc: PartialAuroc
    at_sensitivity: tuple[AtTarget, ...]
    at_specificity: tuple[AtTarget, ...]
    threshold: str | None
    """Where the operating threshold comes from, in words; null where there is none."""
    operating_point: Rates | None
    calibration: Calibration


class KeptThreshold(Record):
    """What if the earlier system's threshold were kept for the later one's scores?"""

    threshold: float
    sensitivity: PairedTest
    """Later minus earlier system, both flagged at this threshold."""
    specificity: PairedTest
    non_inferiority: NonInferiority
    """Of the sensitivity."""
    sentence: str


class FlagAgreement(Record):
    """Films of one class by what two systems say of them, each at its own operating threshold."""

    both: int
    """Flagged by both."""
    only_a: int
    only_b: int
    neither: int


class Agreement(Record):
    """Whether two systems flag the same films: what McNemar's test is made of."""

    positives: FlagAgreement
    negatives: FlagAgreement


class Pair(Record):
    """Two systems: the later one (a) minus the earlier one (b) of the command line."""

    a: str
    b: str
    accuracy: PairedAccuracy
    """Sensitivity and specificity each at its own operating threshold."""
    auroc_p_adjusted: float | None
    """Holm's adjustment over all pairs of this finding."""
    non_inferiority: NonInferiority | None
    """Of a's sensitivity to b's, each at its own threshold; null without thresholds."""
    kept_threshold: KeptThreshold | None
    """Null where b has no threshold, or where scores of one of them are no probabilities."""
    kept_threshold_absent: str | None
    agreement: Agreement | None = None
    """Null without thresholds, and in files of earlier versions of this software."""


class ComparedFinding(Record):
    """One finding on the films that all systems scored."""

    finding: str
    name: str
    reference: str
    """Where the label comes from."""
    n: int
    positives: int
    negatives: int
    patients: int | None
    intervals: Literal["analytic", "percentile", "bca"]
    systems: tuple[SystemResult, ...]
    pairs: tuple[Pair, ...]


class Comparison(Record):
    """Several systems on the same films."""

    schema_: Literal["cxr-triage/comparison/1"] = Field(alias="schema", default="cxr-triage/comparison/1")
    title: str
    split: str | None
    level: float
    margin: float
    replicates: int
    seed: int
    manifest_digest: str | None
    systems: tuple[str, ...]
    findings: tuple[ComparedFinding, ...]
    not_compared: tuple[str, ...]
    """Findings that some system has no score of."""
    versions: dict[str, str]

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
