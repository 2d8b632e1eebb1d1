"""Which lesions a manifest knows, on which films marks can be judged, and how large the lesions are."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import ManifestError
from pipelines.evaluation.joining import Scored, column
from pipelines.evaluation.localisation.records import NotJudged
from pipelines.evaluation.tables import numbers
from pipelines.statistics.arrays import Bools, Floats


class Band(NamedTuple):
    """Lesion sizes in millimetres, larger than ``above`` and up to ``up_to``."""

    name: str
    above: float | None
    up_to: float | None


BANDS: Final = (
    Band("up to 10 mm", 0, 10),
    Band("over 10 to 20 mm", 10, 20),
    Band("over 20 to 30 mm", 20, 30),
    Band("over 30 mm", 30, None),
    Band("size not known", None, None),
)
"""Up to 30 mm is a nodule, above it a mass (Fleischner Society glossary: Hansell et al., Radiology 246 (2008) 697).
10, 20 and 30 mm divide T1a, T1b, T1c and T2 in the eighth TNM edition of lung cancer (Goldstraw et al., J. Thorac.
Oncol. 11 (2016) 39). The longer side of a box is at least the lesion's diameter, and a spacing measured at the detector
overstates it by the magnification: bands are rough."""
UNKNOWN_BAND: Final = len(BANDS) - 1
_EDGES: Final = (10.0, 20.0, 30.0)

MEANINGS: Final = {
    "boxes_not_drawn": ("films", "positive, but no boxes were drawn for the film (null)"),
    "no_box_of_finding": ("films", "positive, but none of the film's boxes is of this finding"),
    "no_usable_box": ("films", "positive, but every box of this finding is unusable"),
    "boxes_on_negative_film": ("films", "labelled negative, but with boxes of this finding: truth contradicts itself"),
    "box_without_area": ("boxes", "a corner is not a number, or the corners leave no area"),
    "box_outside_film": ("boxes", "no part of the box lies on the film"),
}


@dataclass(frozen=True)
class Truth:
    """Lesions of one finding on the films that can be judged."""

    judged: Bools
    """``[films]`` of `Scored`."""
    film: NDArray[np.int64]
    """``[L]``: row of `Scored` that holds the lesion."""
    boxes: Floats
    """``[L, (x0, y0, x1, y1)]`` in stored pixels."""
    size_mm: Floats
    """``[L]``: NaN where the spacing is not known."""
    counts: Mapping[str, int]
    """By code of `MEANINGS`."""

    @property
    def band(self) -> NDArray[np.int64]:
        """``[L]``: place in `BANDS`."""
        return np.where(np.isnan(self.size_mm), UNKNOWN_BAND, np.searchsorted(_EDGES, self.size_mm, side="left"))


def not_judged(counts: Mapping[str, int], meanings: Mapping[str, tuple[Any, str]]) -> tuple[NotJudged, ...]:
    """Records of the codes that occur."""
    return tuple(
        NotJudged(code=code, n=counts[code], of=of, meaning=words)
        for code, (of, words) in meanings.items()
        if counts.get(code)
    )


def box_array(cell: object, finding: str) -> Floats | None:
    """The boxes of one finding from a manifest cell, ``[k, 4]``; None where none were drawn for the film (null).

    Raises:
        ManifestError: an entry that is not a box.
    """
    if not isinstance(cell, (list, tuple, np.ndarray)):
        return None
    try:
        rows = [[box[corner] for corner in ("x0", "y0", "x1", "y1")] for box in cell if box["finding"] == finding]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 4)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ManifestError(
            "manifest: column 'boxes' has an entry that is not a box; expected finding, x0, y0, x1, y1 in each."
        ) from error


def true_lesions(scored: Scored, finding: str) -> Truth:
    """The lesions of one finding, and why films and boxes were left out.

    A film labelled negative is normal whatever its boxes column says, unless it holds a box of the finding.
    """
    films = scored.films
    judged = np.zeros(len(films), dtype=bool)
    height, width = (_sizes(films, name) for name in ("rows", "columns"))
    counts: Counter[str] = Counter()
    owners: list[int] = []
    found: list[Floats] = []
    for row, (cell, positive) in enumerate(zip(column(films, "boxes"), scored.labels, strict=True)):
        boxes = box_array(cell, finding)
        if not positive:
            judged[row] = boxes is None or not len(boxes)
            counts["boxes_on_negative_film"] += not judged[row]
            continue
        if boxes is None or not len(boxes):
            counts["boxes_not_drawn" if boxes is None else "no_box_of_finding"] += 1
            continue
        usable = _usable(boxes, height[row], width[row], counts)
        judged[row] = usable.any()
        counts["no_usable_box"] += not judged[row]
        owners += [row] * int(usable.sum())
        found.append(boxes[usable])
    film = np.array(owners, dtype=np.int64)
    boxes = np.concatenate([np.empty((0, 4)), *found])
    return Truth(judged, film, boxes, _longer_side_mm(boxes, films, film), counts)


def _sizes(films: pd.DataFrame, name: str) -> Floats:
    size = numbers(column(films, name), name, "manifest")
    return np.where(size > 0, size, np.inf)


def _usable(boxes: Floats, height: float, width: float, counts: Counter[str]) -> Bools:
    x0, y0, x1, y1 = boxes.T
    area = np.isfinite(boxes).all(axis=1) & (x0 < x1) & (y0 < y1)
    on_film = (x1 > 0) & (y1 > 0) & (x0 < width) & (y0 < height)
    counts["box_without_area"] += int((~area).sum())
    counts["box_outside_film"] += int((area & ~on_film).sum())
    return np.asarray(area & on_film)


def _longer_side_mm(boxes: Floats, films: pd.DataFrame, film: NDArray[np.int64]) -> Floats:
    spacing = numbers(column(films, "pixel_spacing_mm"), "pixel_spacing_mm", "manifest")[film]
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    known = np.isfinite(spacing) & (spacing > 0)
    return np.where(known, longer * np.where(known, spacing, math.nan), math.nan)
