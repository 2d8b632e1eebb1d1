"""What an evaluation says about its example films."""

from typing import Literal

from pipelines.statistics.record import Record


class ExampleBox(Record):
    """A true box, in stored pixels of the film (in an `Example`: of the film turned upright)."""

    x0: float
    y0: float
    x1: float
    y1: float


FilmKind = Literal["missed", "false_alarm", "borderline", "correct_positive", "correct_negative"]
"""What a film was chosen to show."""
NoPicture = Literal["terms", "own", "unknown", "no_maps", "unreadable"]
"""Why a film is listed without a picture: the terms of its data set do not let it be shown; it is of a user's own data
set; it is not known of which data set it is; the predictions kept no pictures; its picture cannot be read."""


class Example(Record):
    """One film chosen by the stated rule, with its pictures if there are any and they may be shown."""

    outcome: Literal["true_positive", "false_negative", "false_positive", "true_negative"]
    image_id: str
    """Empty in files where the id is not public: an id of a user's own film may say who a patient is."""
    score: float
    synthetic: bool
    rows: int | None
    """Of the film as it stands upright, like the pictures; so are boxes and peak."""
    columns: int | None
    boxes: tuple[ExampleBox, ...] | None
    """True boxes of the finding; null where none were drawn for this film."""
    peak: tuple[float, float] | None
    """Where the map peaks, (x, y)."""
    film_picture: str | None = None
    """File inside the evaluation folder: the film alone, grey."""
    map_picture: str | None = None
    """File inside the evaluation folder: the film with the finding's map over it."""
    map_layer: str | None = None
    """File inside the evaluation folder: the finding's map alone, small, grey; 255 is a probability of 1. Its edges are
    those of the film."""
    kind: FilmKind | None = None
    """Null in files that were written before films had kinds."""
    data_set: str | None = None
    """As the manifest names it."""
    id_is_public: bool = False
    """Whether `image_id` is an id of a public data set: a user's own ids may say who a patient is."""
    no_picture: NoPicture | None = None
    """Null where there are pictures."""


class Drawn(Record):
    """How many films of one kind there were, and how many were drawn."""

    kind: FilmKind
    n: int
    """All films of this kind; for ``borderline``: all films that the finding was evaluated on."""
    shown: int


class Examples(Record):
    """Films to look at."""

    rule: str
    """How they were chosen."""
    absent: str | None
    """Why there are none; null where there are."""
    films: tuple[Example, ...]
    threshold: float | None = None
    """A film was flagged where its score was at least this."""
    seed: int | None = None
    """Of the draw."""
    drawn: tuple[Drawn, ...] | None = None
    """By kind; null in files that were written before films had kinds."""
