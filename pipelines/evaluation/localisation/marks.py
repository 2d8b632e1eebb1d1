"""Marks: where a system points, and how suspicious it is there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import EvaluationError, PredictionsError
from pipelines.evaluation.joining import Scored, column, match_ids
from pipelines.evaluation.localisation.lesions import Truth
from pipelines.evaluation.tables import file_digest, first_few, numbers, read_table
from pipelines.statistics.arrays import Floats
from pipelines.statistics.froc import contains, intersection_over_union

POINT: Final = ("x", "y")
BOX: Final = ("x0", "y0", "x1", "y1")
CONTAINS_TEXT: Final = "box contains point"
DEFAULT_IOU: Final = 0.3
_IOU: Final = re.compile(r"iou(?:\s*(?:>=|≥|:|=)\s*(?P<least>\S+))?", re.IGNORECASE)

MEANINGS: Final = {
    "film_without_peak": ("films", "scored, but its map has no peak: the film counts as one without marks"),
    "marks_elsewhere": (
        "marks",
        "on films not judged here: unknown, of another split, without a known label, or without usable boxes",
    ),
    "marks_outside_film": ("marks", "outside the film: counted as false positives"),
}


@dataclass(frozen=True)
class Criterion:
    """When a mark hits a lesion."""

    kind: Literal["contains", "iou"] = "contains"
    """``contains``: the true box contains the mark's point (of a box its centre); ``iou``: boxes overlap enough."""
    least: float = DEFAULT_IOU
    """Smallest intersection over union that is a hit, in (0, 1]; for ``iou`` only."""

    def __post_init__(self) -> None:
        if self.kind not in ("contains", "iou"):
            raise EvaluationError(f"A hit criterion is 'contains' or 'iou', got {self.kind!r}.")
        if not 0 < self.least <= 1:
            raise EvaluationError(f"The IoU of a hit must be above 0 and at most 1, got {self.least}.")

    @classmethod
    def of(cls, text: str) -> Self:
        """Read ``box contains point`` (or ``contains``), ``IoU >= 0.5``, ``iou:0.5`` or ``iou`` (0.3).

        Raises:
            EvaluationError: anything else.
        """
        words = " ".join(text.split())
        if words.lower() in (CONTAINS_TEXT, "contains"):
            return cls()
        found = _IOU.fullmatch(words)
        try:
            least = float(found["least"] or DEFAULT_IOU) if found else None
        except ValueError:
            least = None
        if least is None:
            raise EvaluationError(f"Hit criterion {text!r} is neither {CONTAINS_TEXT!r} nor 'IoU >= NUMBER'.")
        return cls("iou", least)

    @property
    def text(self) -> str:
        """In words."""
        return f"IoU >= {self.least:g}" if self.kind == "iou" else CONTAINS_TEXT


@dataclass(frozen=True)
class Marks:
    """A marks file as it was read: one row per mark."""

    frame: pd.DataFrame
    """``image_id`` (as the file has it), ``finding`` (absent where the file names none), ``score``, ``x``, ``y``, and
    ``x0`` … ``y1`` where marks are boxes; stored pixels, x to the right, y down."""
    boxes: bool
    digest: str
    """SHA-256 of the file."""
    name: str
    """The file's name."""

    def cover(self, finding: str) -> bool:
        """Whether the file says where it points for this finding (a file that names no finding is of every one)."""
        return "finding" not in self.frame or bool((self.frame["finding"] == finding).any())

    @property
    def findings(self) -> list[str]:
        """Findings that the file names."""
        return sorted(self.frame["finding"].unique()) if "finding" in self.frame else []


@dataclass(frozen=True)
class FilmMarks:
    """Marks of one finding on judged films."""

    film: NDArray[np.int64]
    """``[m]``: row of `Scored`."""
    score: Floats
    points: Floats
    """``[m, (x, y)]``"""
    boxes: Floats | None
    """``[m, (x0, y0, x1, y1)]``; None where marks are points."""
    source: str
    """Where the marks come from, in words."""
    counts: Mapping[str, int]
    """By code of `MEANINGS`."""


def read_marks(path: Path, *, id_column: str = "image_id") -> Marks:
    """Read a system's marks.

    Args:
        path: CSV, CSV.gz or Parquet, one row per mark: the image id, ``finding`` (may be left out where the file is of
            one finding), ``score`` (any range, larger = more suspicious), and ``x``, ``y`` or a box ``x0``, ``y0``,
            ``x1``, ``y1`` in stored pixels (both: the point is ``x``, ``y``). A film without a row has no marks.
        id_column: the column that names the film, as in `read_foreign_predictions`.

    Raises:
        PredictionsError: a missing file or column; empty ids or findings; a score or coordinate that is empty or not a
            finite number; a box with inverted corners; no rows.
    """
    table = read_table(path, text_columns=(id_column, "finding"))
    missing = [name for name in (id_column, "score") if name not in table.columns]
    boxes = all(name in table.columns for name in BOX)
    if not boxes and not all(name in table.columns for name in POINT):
        missing.append("x, y (or x0, y0, x1, y1)")
    if missing:
        there = ", ".join(map(str, list(table.columns)[:20]))
        raise PredictionsError(f"{path}: marks need a column {missing[0]!r}; columns: {there}.")
    if table.empty:
        raise PredictionsError(f"{path}: the table has no rows.")
    points = all(name in table.columns for name in POINT)
    frame = pd.DataFrame({"image_id": _filled(table, id_column, path)})
    if "finding" in table.columns:
        frame["finding"] = _filled(table, "finding", path)
    for name in ("score", *(POINT if points else ()), *(BOX if boxes else ())):
        frame[name] = _finite(table, name, path)
    if boxes:
        _upright(frame, path)
    if not points:
        frame["x"], frame["y"] = (frame["x0"] + frame["x1"]) / 2, (frame["y0"] + frame["y1"]) / 2
    return Marks(frame=frame, boxes=boxes, digest=file_digest(path), name=path.name)


def _filled(table: pd.DataFrame, name: str, path: Path) -> "pd.Series[Any]":
    empty = table[name].isna() | (table[name].astype(str).str.strip() == "")
    if empty.any():
        raise PredictionsError(f"{path}: column {name!r} is empty in {int(empty.sum())} of {len(table)} rows.")
    return table[name].astype(str)


def _finite(table: pd.DataFrame, name: str, path: Path) -> Floats:
    values = numbers(table[name], name, path)
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise PredictionsError(
            f"{path}: column {name!r} has {len(wrong)} of {len(values)} values that are empty or not finite "
            f"(first in row {wrong[0] + 1}); a film without marks has no row."
        )
    return values


def _upright(frame: pd.DataFrame, path: Path) -> None:
    for low, high in (("x0", "x1"), ("y0", "y1")):
        wrong = np.flatnonzero(frame[low] > frame[high])
        if len(wrong):
            raise PredictionsError(
                f"{path}: {low!r} is greater than {high!r} in {len(wrong)} of {len(frame)} rows (first in row "
                f"{wrong[0] + 1}); expected corners, not a corner and a size."
            )


def peak_marks(scored: Scored, finding: str) -> FilmMarks:
    """One mark per film: the map's peak, rated by the film's score."""
    names = [f"pred_peak_{axis}_{finding}" for axis in POINT]
    points = np.stack([numbers(column(scored.films, name), name, "predictions") for name in names], axis=1)
    there = np.isfinite(points).all(axis=1)
    return FilmMarks(
        film=np.flatnonzero(there),
        score=scored.scores[there],
        points=points[there],
        boxes=None,
        source="one mark per film: the peak of the heat map, rated by the film's score",
        counts={"film_without_peak": int((~there).sum())},
    )


def file_marks(marks: Marks, scored: Scored, finding: str) -> FilmMarks:
    """The marks of one finding on the films scored; ids are matched as predictions are.

    Raises:
        PredictionsError: the file has no marks of this finding, or no id matches.
    """
    frame = marks.frame
    if not marks.cover(finding):
        raise PredictionsError(
            f"{marks.name}: no marks of finding {finding!r}; findings there: {first_few(marks.findings, 10)}."
        )
    if "finding" in frame:
        frame = frame[frame["finding"] == finding]
    try:
        place, matched_by = match_ids(frame["image_id"], scored.films)
    except PredictionsError as error:
        raise PredictionsError(f"{marks.name} (marks instead of predictions): {error}") from error
    here = place >= 0
    kept = frame[here]
    return FilmMarks(
        film=place[here],
        score=kept["score"].to_numpy(dtype=np.float64),
        points=kept[list(POINT)].to_numpy(dtype=np.float64),
        boxes=kept[list(BOX)].to_numpy(dtype=np.float64) if marks.boxes else None,
        source=f"{marks.name}: {'boxes' if marks.boxes else 'points'} with scores, films matched by {matched_by}",
        counts={"marks_elsewhere": int((~here).sum())},
    )


def on_judged_films(marks: FilmMarks, scored: Scored, judged: "np.ndarray[Any, np.dtype[np.bool_]]") -> FilmMarks:
    """Drop marks on films that are not judged; count those, and marks that lie outside their film."""
    keep = judged[marks.film]
    film, points = marks.film[keep], marks.points[keep]
    size = np.stack(
        [numbers(column(scored.films, name), name, "manifest")[film] for name in ("columns", "rows")], axis=1
    )
    outside = ((points < 0) | (points > np.where(size > 0, size, np.inf))).any(axis=1)
    counts = dict(marks.counts) | {"marks_outside_film": int(outside.sum())}
    if "film_without_peak" in counts:
        counts["film_without_peak"] = int(judged.sum() - keep.sum())
    else:
        counts["marks_elsewhere"] = counts.get("marks_elsewhere", 0) + int((~keep).sum())
    boxes = None if marks.boxes is None else marks.boxes[keep]
    return FilmMarks(film, marks.score[keep], points, boxes, marks.source, counts)


def hit_pairs(marks: FilmMarks, truth: Truth, criterion: Criterion) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every mark that hits a lesion, with that lesion: (places in ``marks``, places in ``truth``).

    Raises:
        EvaluationError: IoU is asked of marks that are points.
    """
    if criterion.kind == "iou" and marks.boxes is None:
        raise EvaluationError(f"The criterion {criterion.text!r} needs marks that are boxes; these are points.")
    left = pd.DataFrame({"film": marks.film, "mark": np.arange(len(marks.film))})
    right = pd.DataFrame({"film": truth.film, "lesion": np.arange(len(truth.film))})
    pairs = left.merge(right, on="film")
    mark, lesion = pairs["mark"].to_numpy(dtype=np.int64), pairs["lesion"].to_numpy(dtype=np.int64)
    if criterion.kind == "iou" and marks.boxes is not None:
        hit = intersection_over_union(marks.boxes[mark], truth.boxes[lesion]) >= criterion.least
    else:
        hit = contains(marks.points[mark], truth.boxes[lesion])
    return mark[hit], lesion[hit]
