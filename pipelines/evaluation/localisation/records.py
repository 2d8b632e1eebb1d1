"""What an evaluation says about localisation: the free-response part of ``evaluation.json``."""

from typing import Literal

from pydantic import Field

from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record


class NotJudged(Record):
    """Films, true boxes or marks that do not count, or count in a way to know of."""

    code: str
    """A stable code, for example ``boxes_not_drawn``."""
    n: int = Field(ge=0)
    of: Literal["films", "boxes", "marks"]
    meaning: str
    """The code in words."""


class AtRate(Record):
    """Lesion sensitivity at one number of false positives per image."""

    false_positives_per_image: float
    sensitivity: Estimate
    held: bool
    """True where the curve ends before this rate: the sensitivity is that of all marks."""


class FrocCurve(Record):
    """From "no mark" to "every mark"; long curves are thinned evenly along their length."""

    thresholds: tuple[float | None, ...]
    """Marks rated at least this are kept; the first is null: no mark is kept."""
    false_positives_per_image: tuple[float, ...]
    sensitivity: tuple[float, ...]


class LrocCurve(Record):
    """From "no film marked" to "every film marked", by the best rated mark of each film; thinned likewise."""

    thresholds: tuple[float | None, ...]
    false_positive_fraction: tuple[float, ...]
    """Share of normal films whose best mark is rated at least the threshold."""
    correct_localisation: tuple[float, ...]
    """Share of lesion films whose best mark is rated at least the threshold and hits a lesion."""


class FrocScores(Record):
    """One way of counting false positives."""

    cpm: Estimate
    """Mean lesion sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives per image."""
    at_rates: tuple[AtRate, ...]
    curve: FrocCurve | None
    """Null where there is no curve; each estimate says why."""
    reach: float | None
    """False positives per image where every mark is kept: beyond it the curve is held."""


class Lroc(Record):
    """Localisation ROC: one film, one answer - the best rated mark."""

    area: Estimate
    """Chance that a lesion film is marked on a lesion and rated above a normal film; ties count half."""
    correct: Estimate
    """Share of lesion films whose best mark hits a lesion, at any rating: where the curve ends."""
    correct_at_threshold: Estimate
    """Share of lesion films whose best mark hits a lesion and is rated at least the operating threshold."""
    false_positive_at_threshold: Estimate
    """Share of normal films with a mark rated at least the operating threshold."""
    curve: LrocCurve | None


class SizeBand(Record):
    """Lesions of one size: longer side of the true box times the pixel spacing."""

    name: str
    above_mm: float | None
    """Larger than this; null in the band of unknown sizes."""
    up_to_mm: float | None
    """This or smaller; null where there is no upper end, and in the band of unknown sizes."""
    n_lesions: int
    at_threshold: Estimate
    """Share of these lesions hit by a mark rated at least the operating threshold."""
    at_one_false_positive: Estimate
    """Share of these lesions hit where the curve of all lesions has one false positive per image (all films)."""


class Froc(Record):
    """Does the system point at the lesion? Free-response and localisation ROC of one finding."""

    finding: str
    marks: str
    """Where the marks come from."""
    criterion: str
    """When a mark hits a lesion."""
    rules: str
    """How marks and lesions are counted, in words."""
    why: str | None
    """Why there is no curve; null where there is one."""
    n_films: int
    """Films judged: normal films, and films with at least one usable box."""
    n_normal: int
    n_lesion_films: int
    n_lesions: int
    n_patients: int
    """Different patients among the films judged, as resampled."""
    n_marks: int
    """Marks on the films judged."""
    not_judged: tuple[NotJudged, ...]
    all_films: FrocScores
    """The main result: false positives counted on all films judged (as LUNA16 does), and divided by their number."""
    normal_films: FrocScores
    """The classical FROC: false positives counted on normal films only, and divided by their number."""
    jafroc: Estimate
    """Chance that a lesion is rated above the best mark of a normal film; ties and two absent marks count half."""
    lroc: Lroc
    threshold: float | None
    """The operating threshold, applied to the rating of each mark; null where none was given."""
    sensitivity_at_threshold: Estimate
    """Share of lesions hit by a mark rated at least the threshold."""
    false_positives_at_threshold: Estimate
    """False marks rated at least the threshold, per image (all films judged)."""
    bands: tuple[SizeBand, ...]
    notes: tuple[str, ...]
