"""Does the map peak at the disease? The plain share; `free_response` beside it has the curves."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.evaluation.example_records import ExampleBox
from pipelines.evaluation.joining import column
from pipelines.evaluation.localisation.lesions import box_array
from pipelines.evaluation.patients import clusters_of
from pipelines.statistics.accuracy.assessment import Question
from pipelines.statistics.arrays import Bools
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.shares import share_of_films

METHOD: Final = "share of true positives whose map peak lies in a true box of the finding"


def boxes_of(value: object, finding: str) -> tuple[ExampleBox, ...] | None:
    """The boxes of one finding from a manifest cell; None where none were drawn for the film (null).

    A box with a corner that is not a number is dropped. Raises as `box_array`.
    """
    boxes = box_array(value, finding)
    if boxes is None:
        return None
    usable = boxes[np.isfinite(boxes).all(axis=1)].tolist()
    return tuple(ExampleBox(x0=x0, y0=y0, x1=x1, y1=y1) for x0, y0, x1, y1 in usable)


def peak_of(film: Any, finding: str) -> tuple[float, float] | None:
    """Where a film's map peaks, (x, y) in stored pixels; None where the table has no peak."""
    x, y = film.get(f"pred_peak_x_{finding}"), film.get(f"pred_peak_y_{finding}")
    return None if pd.isna(x) or pd.isna(y) else (float(x), float(y))


def inside(peak: tuple[float, float], boxes: Sequence[ExampleBox]) -> bool:
    """Whether a point lies in one of the boxes; edges belong to the box."""
    return any(box.x0 <= peak[0] <= box.x1 and box.y0 <= peak[1] <= box.y1 for box in boxes)


def localisation(
    films: pd.DataFrame,
    true_positive: Bools,
    finding: str,
    question: Question | None = None,
) -> Estimate:
    """Share of true positives whose map peaks inside a true box of the finding.

    Args:
        films: joined films; ``boxes`` from the manifest, ``pred_peak_x_<finding>`` and ``pred_peak_y_<finding>``.
        true_positive: ``[films]``, flagged and diseased.
        finding: whose boxes and map.
        question: level and choice of interval.

    Returns:
        The estimate over the true positives that have both a map peak and at least one true box; the others cannot be
        judged. Without any, the reason.
    """
    question = question or Question()
    hits, judged = np.zeros((2, len(films)), dtype=bool)
    with_box = with_peak = 0
    chosen = films[true_positive]
    rows = zip(np.flatnonzero(true_positive), chosen.iterrows(), column(chosen, "boxes"), strict=True)
    for row, (_, film), cell in rows:
        boxes, peak = boxes_of(cell, finding), peak_of(film, finding)
        with_box += bool(boxes)
        with_peak += peak is not None
        if boxes and peak is not None:
            judged[row], hits[row] = True, inside(peak, boxes)
    if not judged.any():
        why = "no true positives" if not len(chosen) else "no boxes were drawn" if not with_box else "no map peaks"
        if with_box and with_peak:
            why = "no true positive has both a box and a map peak"
        return Estimate.absent(why, method=METHOD, level=question.level)
    return share_of_films(hits, judged, clusters_of(films), question, method=METHOD, of="true positives")
