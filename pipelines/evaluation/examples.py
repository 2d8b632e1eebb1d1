"""Films to look at, drawn by a rule that flatters nobody."""

from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from pipelines.evaluation.joining import Scored
from pipelines.evaluation.localisation.peaks import boxes_of, peak_of
from pipelines.evaluation.predictions import heatmap_file
from pipelines.evaluation.records import Example, ExampleBox, Examples
from pipelines.imaging.orientation import UPRIGHT, Orientation

Outcome = Literal["true_positive", "false_negative", "false_positive", "true_negative"]
OUTCOMES: Final[tuple[Outcome, ...]] = ("true_positive", "false_negative", "false_positive", "true_negative")
RULE: Final = (
    "From each outcome, the films at one quarter and at three quarters of that outcome's scores, among the films with "
    "a saved heat map: neither the best nor the worst, and not chosen by eye."
)


def choose_examples(scored: Scored, finding: str, threshold: float | None, pictures: Path | None) -> Examples:
    """Choose up to two films of each outcome that have pictures.

    Args:
        scored: the finding's films.
        finding: whose map.
        threshold: the operating point; without one there are no outcomes and no examples.
        pictures: folder with the pictures of ``cxr predict --heatmaps``; None = there are none.
    """
    if threshold is None:
        return Examples(rule=RULE, absent="There is no operating point, so no film is right or wrong.", films=())
    if pictures is None or not pictures.is_dir():
        return Examples(rule=RULE, absent="These predictions were made without saving heat maps.", films=())
    ids = scored.films["pred_image_id"].astype(str).to_numpy(dtype=object)
    there = {entry.name for entry in pictures.iterdir()}
    pictured = np.array([_pictures(image_id, finding) <= there for image_id in ids], dtype=bool)
    if not pictured.any():
        return Examples(rule=RULE, absent="No film evaluated for this finding has a saved heat map.", films=())
    flag = scored.scores >= threshold
    cells = dict(zip(OUTCOMES, _cells(scored.labels, flag), strict=True))
    films: list[Example] = []
    for outcome, members in cells.items():
        rows = np.flatnonzero(members & pictured)
        rows = rows[np.lexsort((ids[rows], scored.scores[rows]))]
        for row in dict.fromkeys(int(rows[int(share * len(rows))]) for share in (0.75, 0.25) if len(rows)):
            films.append(_example(scored.films.iloc[row], float(scored.scores[row]), finding, outcome))
    return Examples(rule=RULE, absent=None, films=tuple(films))


def _cells(labels: Any, flag: Any) -> tuple[Any, ...]:
    return labels & flag, labels & ~flag, ~labels & flag, ~labels & ~flag


def _pictures(image_id: str, finding: str) -> set[str]:
    return {heatmap_file(image_id, "film"), heatmap_file(image_id, finding)}


def _example(film: "pd.Series[Any]", score: float, finding: str, outcome: Outcome) -> Example:
    rows, columns = film.get("rows"), film.get("columns")
    boxes, peak = boxes_of(film.get("boxes"), finding), peak_of(film, finding)
    if rows is None or pd.isna(rows) or columns is None or pd.isna(columns):
        rows = columns = None
    else:
        # Pictures are upright; boxes and peaks are where the file stores them.
        upright = _Upright(_orientation(film), int(rows), int(columns))
        boxes = None if boxes is None else tuple(upright.box(box) for box in boxes)
        peak = None if peak is None else upright.point(*peak)
        rows, columns = upright.orientation.shape(upright.rows, upright.columns)
    return Example(
        outcome=outcome,
        image_id=str(film["pred_image_id"]),
        score=score,
        synthetic=film.get("reference_standard") == "synthetic",
        rows=rows,
        columns=columns,
        boxes=boxes,
        peak=peak,
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
