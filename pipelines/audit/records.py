"""``audit.json``: how many labels are probably wrong, by what measure, and where the numbers come from."""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record

AUDIT_SCHEMA: Final = "cxr-triage/audit/1"


class Source(Record):
    """Where the out-of-fold probabilities come from."""

    kind: Literal["features", "predictions"]
    name: str
    """The network, or the file of predictions."""
    digest: str
    """Of the network, or of that file."""
    folds: int | None
    """Null for predictions."""
    strengths: tuple[float, ...] | None
    """Inverse penalty of each fold's regression; null for predictions."""
    warning: str | None
    """Why wrong labels may be hidden; null where nothing is known to hide them."""


class ClassAudit(Record):
    """The films of one label."""

    label: Literal[0, 1]
    films: int
    threshold: float
    """Mean out-of-fold probability of this class among these films."""
    likely_wrong: int
    wrong: Estimate
    """Estimated share of wrong labels among these films."""


class UnreadFilm(Record):
    """A film with a label that took no part."""

    image_id: str
    reason: str


class Audit(Record):
    """The record of one audit."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: Literal["cxr-triage/audit/1"] = Field(alias="schema", default=AUDIT_SCHEMA)
    finding: str
    reference: str
    """Where the labels come from."""
    manifest: str
    manifest_digest: str
    films: int
    """Rows of the manifest."""
    label_unknown: int
    """Rows without a label of this finding: not audited, not counted as 0."""
    audited: int
    groups: int
    """Patients, or chains of copies, that are kept in one fold and drawn together."""
    auroc: Estimate
    """Of the out-of-fold probabilities against the labels as they are."""
    wrong: Estimate
    """Estimated share of wrong labels among all audited films."""
    classes: tuple[ClassAudit, ClassAudit]
    """The films labelled 1, and those labelled 0."""
    joint: tuple[tuple[float, float], tuple[float, float]]
    """Estimated share of all films by given label (0, 1) and true label (0, 1)."""
    meaning: tuple[str, ...]
    """What this is and what it is not."""
    not_audited: tuple[UnreadFilm, ...]
    """Films with a label that could not be read, or have no prediction."""
    source: Source
    seed: int
    replicates: int
    level: float
    code_version: str
    versions: dict[str, str]
