"""``shortcut.json``: what the controls reach on each pair of training and test films."""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from pipelines.evaluation.records import ControlResult
from pipelines.imaging.control_features import ControlKind
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record

SHORTCUT_SCHEMA: Final = "cxr-triage/shortcut/1"


class FilmCounts(Record):
    """Films of one side that count for one finding."""

    films: int
    positives: int
    patients: int | None
    """Different patients; null where some patient is unknown."""
    label_unknown: int
    """Films of the split whose label is not known: left out."""
    unreadable: int
    """Films with a known label that could not be read: left out."""


class ControlNumbers(Record):
    """One control on the test films of one pair."""

    kind: ControlKind
    description: str
    auroc: Estimate
    """On every test film that counts."""
    meaning: str
    """What it means, in words."""
    beside: ControlResult | None
    """Beside the system, on the test films that the system scored; null where no predictions were given."""


class FindingControls(Record):
    """The controls of one finding on one pair."""

    finding: str
    train: FilmCounts
    test: FilmCounts
    controls: tuple[ControlNumbers, ...]
    """Shape-free, border-only, lungs-hidden; empty where ``why`` says why there are none."""
    system: Estimate | None
    """AUROC of the system on the test films that it scored; null where no predictions were given."""
    warning: bool
    """Whether the strongest control solves the task by itself, or comes near the system."""
    why: str | None
    """Why nothing could be fitted or scored."""


class Side(Record):
    """Where the films of one side come from."""

    manifest: str
    """Name of the manifest's file."""
    digest: str
    split: str | None
    """Null: all films of the manifest."""
    films: int
    datasets: dict[str, int]


class PairResult(Record):
    """One pair: controls fitted on one set of films and tested on another."""

    train: Side
    test: Side
    model_id: str | None
    """Whose predictions were set beside the controls."""
    findings: tuple[FindingControls, ...]


class Unreadable(Record):
    """A film that could not be read."""

    image_id: str
    manifest: str
    reason: str


class Shortcut(Record):
    """Everything that ``cxr shortcut`` found."""

    schema_: Literal["cxr-triage/shortcut/1"] = Field(alias="schema", default="cxr-triage/shortcut/1")
    level: float
    replicates: int
    seed: int
    pairs: tuple[PairResult, ...]
    unreadable: tuple[Unreadable, ...]
    versions: dict[str, str]

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
