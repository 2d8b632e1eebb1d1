"""Films to look at, drawn by a rule that flatters nobody."""

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from pipelines.datasets import ADAPTERS
from pipelines.datasets.adapters.folder import FOLDER
from pipelines.evaluation.example_records import Drawn, Example, ExampleBox, Examples, FilmKind, NoPicture
from pipelines.evaluation.joining import Scored, column
from pipelines.evaluation.localisation.peaks import boxes_of, peak_of
from pipelines.evaluation.predictions import heatmap_file
from pipelines.imaging.orientation import UPRIGHT, Orientation
from pipelines.statistics.arrays import Bools

Outcome = Literal["true_positive", "false_negative", "false_positive", "true_negative"]
OUTCOME_KINDS: Final[dict[Outcome, FilmKind]] = {
    "false_negative": "missed",
    "false_positive": "false_alarm",
    "true_positive": "correct_positive",
    "true_negative": "correct_negative",
}
KINDS: Final[tuple[FilmKind, ...]] = ("missed", "false_alarm", "borderline", "correct_positive", "correct_negative")
"""In the order in which a reader wants them: what went wrong first."""
BANDS: Final = 3
"""Parts of a kind's films by score; one film is drawn from each."""
RULE: Final = (
    "Missed cases, false alarms and correct results: the films of each kind are put in the order of their scores and "
    "cut into three parts of equal size, and one film is drawn from each part by chance. Borderline: the films nearest "
    "to the threshold on either side, with the finding and without it, that are not among the missed cases and false "
    "alarms drawn before. The draw does not look at pictures, maps or data sets, and no patient appears twice where "
    "patients are known."
)
NO_THRESHOLD: Final = "There is no operating point, so no film is right or wrong."


def choose_examples(
    scored: Scored,
    finding: str,
    threshold: float | None,
    pictures: Path | None,
    *,
    seed: int = 1,
    show_films: Collection[str] = (),
) -> Examples:
    """Choose films of every kind, whether or not they have pictures; the order of the rows does not matter.

    Args:
        scored: the finding's films.
        finding: whose map.
        threshold: the operating point; without one there are no outcomes and no examples.
        pictures: folder with the pictures of ``cxr predict --heatmaps``; None = there are none.
        seed: of the draw.
        show_films: names of data sets whose films may be shown beyond those whose terms say so.
    """
    if threshold is None:
        return Examples(rule=RULE, absent=NO_THRESHOLD, films=(), seed=seed)
    draw = _Draw(scored, threshold, f"{seed}:{finding}")
    chosen = draw.films()
    shelf = _Shelf(finding, _names(pictures), frozenset(show_films))
    films = []
    for kind in KINDS:
        for row in chosen[kind]:
            shown = _example(scored.films.iloc[row], float(scored.scores[row]), draw.outcome(row), shelf)
            films.append(shown.model_copy(update={"kind": kind}))
    drawn = tuple(Drawn(kind=kind, n=draw.sizes[kind], shown=len(chosen[kind])) for kind in KINDS)
    return Examples(rule=RULE, absent=None, films=tuple(films), threshold=threshold, seed=seed, drawn=drawn)


class _Draw:
    """One draw: chance comes from a digest of seed, finding and film, so neither row order nor other films matter."""

    def __init__(self, scored: Scored, threshold: float, salt: str) -> None:
        self._labels, self._scores, self._threshold = scored.labels, scored.scores, threshold
        self._flags = scored.scores >= threshold
        self._ids = scored.films["pred_image_id"].astype(str).to_numpy(dtype=object)
        self._salt = salt
        patients = column(scored.films, "patient_id")
        self._patients = patients.where(patients.notna(), None).to_numpy(dtype=object)
        self._seen: set[object] = set()
        cells = {kind: self._cell(outcome) for outcome, kind in OUTCOME_KINDS.items()}
        self._cells = cells
        self.sizes: dict[FilmKind, int] = {kind: len(rows) for kind, rows in cells.items()}
        self.sizes["borderline"] = len(scored.labels)

    def outcome(self, row: int) -> Outcome:
        """Of one film."""
        if self._labels[row]:
            return "true_positive" if self._flags[row] else "false_negative"
        return "false_positive" if self._flags[row] else "true_negative"

    def films(self) -> dict[FilmKind, list[int]]:
        """Rows by kind, in the order of `KINDS`: where films are few, what went wrong is shown as such."""
        return {kind: list(self._nearest() if kind == "borderline" else self._banded(kind)) for kind in KINDS}

    def _banded(self, kind: FilmKind) -> Iterator[int]:
        """One film of each band."""
        for band in np.array_split(self._cells[kind], BANDS):
            row = self._take(sorted(band.tolist(), key=self._chance))
            if row is not None:
                yield row

    def _cell(self, outcome: Outcome) -> "np.ndarray[Any, np.dtype[np.int64]]":
        positive = outcome in ("true_positive", "false_negative")
        flagged = outcome in ("true_positive", "false_positive")
        return self._in_order((self._labels == positive) & (self._flags == flagged))

    def _in_order(self, members: Bools) -> "np.ndarray[Any, np.dtype[np.int64]]":
        rows = np.flatnonzero(members)
        return rows[np.lexsort((self._ids[rows], self._scores[rows]))]

    def _nearest(self) -> Iterator[int]:
        """From each cell the film whose score is nearest to the threshold; equal ones by chance."""
        for kind in ("missed", "correct_negative", "correct_positive", "false_alarm"):
            rows = self._cells[kind].tolist()
            nearest = sorted(rows, key=lambda row: (abs(self._scores[row] - self._threshold), self._chance(row)))
            row = self._take(nearest)
            if row is not None:
                yield row

    def _take(self, rows: list[int]) -> int | None:
        """The first film of a patient who is not there yet."""
        for row in rows:
            patient = self._patients[row]
            key = (patient,) if patient is not None else self._ids[row]
            if key not in self._seen:
                self._seen.add(key)
                return row
        return None

    def _chance(self, row: int) -> bytes:
        text = f"{self._salt}:{self._ids[row]}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class _Shelf(NamedTuple):
    """Which pictures there are, and which may be shown."""

    finding: str
    names: frozenset[str]
    allowed: frozenset[str]

    def missing(self, image_id: str, data_set: str | None) -> NoPicture | None:
        """Why a film has no picture to show; None where it has one."""
        refused = self._refused(data_set)
        if refused is not None:
            return refused
        wanted = {heatmap_file(image_id, "film"), heatmap_file(image_id, self.finding)}
        return None if wanted <= self.names else "no_maps"

    def _refused(self, data_set: str | None) -> NoPicture | None:
        if data_set is None:
            return "unknown"
        if data_set in self.allowed:
            return None
        if not is_public(data_set):
            return "own"
        return None if ADAPTERS[data_set].films_may_be_shown else "terms"


def is_public(data_set: str) -> bool:
    """Whether a name is that of a data set that the project knows, and not of a user's own."""
    return data_set in ADAPTERS and data_set != FOLDER.name


def _names(pictures: Path | None) -> frozenset[str]:
    if pictures is None or not pictures.is_dir():
        return frozenset()
    return frozenset(entry.name for entry in pictures.iterdir())


def _example(film: "pd.Series[Any]", score: float, outcome: Outcome, shelf: _Shelf) -> Example:
    rows, columns = film.get("rows"), film.get("columns")
    boxes, peak = boxes_of(film.get("boxes"), shelf.finding), peak_of(film, shelf.finding)
    if rows is None or pd.isna(rows) or columns is None or pd.isna(columns):
        rows = columns = None
    else:
        # Pictures are upright; boxes and peaks are where the file stores them.
        upright = _Upright(_orientation(film), int(rows), int(columns))
        boxes = None if boxes is None else tuple(upright.box(box) for box in boxes)
        peak = None if peak is None else upright.point(*peak)
        rows, columns = upright.orientation.shape(upright.rows, upright.columns)
    image_id, named = str(film["pred_image_id"]), film.get("dataset")
    data_set = None if named is None or pd.isna(named) else str(named)
    return Example(
        outcome=outcome,
        image_id=image_id,
        score=score,
        synthetic=film.get("reference_standard") == "synthetic",
        rows=rows,
        columns=columns,
        boxes=boxes,
        peak=peak,
        data_set=data_set,
        id_is_public=data_set is not None and is_public(data_set),
        no_picture=shelf.missing(image_id, data_set),
    )


def _orientation(film: "pd.Series[Any]") -> Orientation:
    value = film.get("pred_orientation")
    return UPRIGHT if value is None or pd.isna(value) else Orientation.of_exif(int(value))


class _Upright(NamedTuple):
    """Carries stored coordinates of one film to its upright picture."""

    orientation: Orientation
    rows: int
    columns: int

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.orientation.to_upright(x, y, rows=self.rows, columns=self.columns)

    def box(self, box: ExampleBox) -> ExampleBox:
        corners = self.point(box.x0, box.y0), self.point(box.x1, box.y1)
        (x0, x1), (y0, y1) = (sorted(axis) for axis in zip(*corners, strict=True))
        return ExampleBox(x0=x0, y0=y0, x1=x1, y1=y1)
