"""Does the heat map point at the disease? The plain share; `pipelines.evaluation.free_response` has the curves."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.evaluation.joining import column
from pipelines.evaluation.lesions import box_array
from pipelines.evaluation.records import ExampleBox
from pipelines.statistics.arrays import Bools
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.proportions import EXACT, clopper_pearson

METHOD: Final = f"share of true positives whose map peak lies in a true box of the finding, {EXACT}"


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


def localisation(films: pd.DataFrame, true_positive: Bools, finding: str, level: float = DEFAULT_LEVEL) -> Estimate:
    """Share of true positives whose map peaks inside a true box of the finding.

    Args:
        films: joined films; ``boxes`` from the manifest, ``pred_peak_x_<finding>`` and ``pred_peak_y_<finding>``.
        true_positive: ``[films]``, flagged and diseased.
        finding: whose boxes and map.
        level: confidence level.

    Returns:
        The exact estimate over the true positives that have both a map peak and at least one true box; the others
        cannot be judged. Without any, the reason.
    """
    hits = judged = 0
    with_box = with_peak = 0
    chosen = films[true_positive]
    for (_, film), cell in zip(chosen.iterrows(), column(chosen, "boxes"), strict=True):
        boxes, peak = boxes_of(cell, finding), peak_of(film, finding)
        with_box += bool(boxes)
        with_peak += peak is not None
        if boxes and peak is not None:
            judged += 1
            hits += inside(peak, boxes)
    if judged == 0:
        why = "no true positives" if not len(chosen) else "no boxes were drawn" if not with_box else "no map peaks"
        if with_box and with_peak:
            why = "no true positive has both a box and a map peak"
        return Estimate.absent(why, method=METHOD, level=level)
    share = clopper_pearson(hits, judged, level)
    return share.model_copy(update={"method": METHOD})
