"""What a reader sees of the scores: the ROC curve, thinned, and a histogram."""

from typing import Final

import numpy as np

from pipelines.evaluation.joining import Scored
from pipelines.evaluation.records import Histogram, RocCurve
from pipelines.statistics.arrays import one_class
from pipelines.statistics.auroc import roc_points

HISTOGRAM_BINS: Final = 20
ROC_POINTS: Final = 500
"""A curve with more corners is thinned to about this many points, evenly along its length."""


def roc_curve(scored: Scored) -> RocCurve | None:
    """The ROC curve; None where only one class is present."""
    if one_class(scored.labels):
        return None
    thresholds, fpr, tpr = roc_points(scored.labels, scored.scores)
    if len(fpr) > ROC_POINTS:
        along = fpr + tpr  # rises from 0 to 2 along the curve
        keep = np.unique(np.r_[0, np.searchsorted(along, np.linspace(0, 2, ROC_POINTS - 1)), len(fpr) - 1])
        keep = keep[keep < len(fpr)]
        thresholds, fpr, tpr = thresholds[keep], fpr[keep], tpr[keep]
    return RocCurve(
        thresholds=(None, *map(float, thresholds[1:])),
        false_positive_rate=tuple(map(float, fpr)),
        true_positive_rate=tuple(map(float, tpr)),
    )


def histogram(scored: Scored) -> Histogram | None:
    """Scores of both classes in bins of equal width; None without films."""
    if not len(scored.scores):
        return None
    low, high = float(scored.scores.min()), float(scored.scores.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, float(np.ceil(max(high, 0.05) * 20 - 1e-9) / 20)
    elif low == high:
        low, high = low - 0.5, high + 0.5
    # Halved and doubled: the range of the largest floats is itself none.
    edges = 2 * np.linspace(low / 2, high / 2, HISTOGRAM_BINS + 1)
    positive, negative = (np.histogram(scored.scores[part], edges)[0] for part in (scored.labels, ~scored.labels))
    return Histogram(
        edges=tuple(map(float, edges)), positive=tuple(map(int, positive)), negative=tuple(map(int, negative))
    )
