"""What calibration is computed on: bins, cells, the spline of the smooth curve, and all statistics of a replicate."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.calibration.cells import Cells, Ints, Sums, logistic_fits
from pipelines.statistics.kernels import Weights
from pipelines.statistics.resampling import Clusters

MOST_CELLS: Final = 512
GRID: Final = 60
_ROWS: Final = 128
"""Replicates handled at once: a few hundred floats per cell and replicate stay below some tens of MiB."""
NAMES: Final = (
    "ece",
    "ece_equal_width",
    "brier",
    "reliability",
    "resolution",
    "uncertainty",
    "remainder",
    "scaled_brier",
    "observed_expected",
    "spiegelhalter_z",
    "intercept",
    "slope",
)


def clipping(scores: Floats) -> tuple[Floats, float]:
    """Replace scores of exactly 0 and 1, which have no logit, by the nearest number that keeps the order of all scores.

    Returns:
        Scores inside (0, 1) and the distance from 0 or 1 that was used: 1e-6, or less where another score is closer.
    """
    inside = scores[(scores > 0) & (scores < 1)]
    edge = min([1e-6, *(float(part.min()) for part in (inside, 1 - inside) if len(part))])
    return np.clip(scores, edge, 1 - edge), edge


def equal_count_starts(ranked: Floats, bins: int) -> Floats:
    """Smallest score of each of up to ``bins`` bins of about equally many films; equal scores stay together."""
    positions = np.arange(bins) * len(ranked) // bins
    return np.unique(ranked[positions])


def equal_width_starts(ranked: Floats, bins: int) -> Floats:
    """Smallest score that occurs in each bin (k / bins, (k + 1) / bins]; the first bin holds 0 too."""
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    inside = np.searchsorted(edges, ranked, side="left")
    return ranked[np.r_[True, np.diff(inside) > 0]]


def _fine_starts(ranked: Floats) -> Floats:
    """Smallest score of each of up to `MOST_CELLS` cells: half of equal count, half of equal width in the logit.

    Cells of equal count alone would be wide where scores are rare, and far scores have leverage.
    """
    logits = special.logit(clipping(ranked)[0])
    even = np.searchsorted(logits, np.linspace(logits[0], logits[-1], MOST_CELLS // 2))
    return np.union1d(equal_count_starts(ranked, MOST_CELLS // 2), ranked[np.minimum(even, len(ranked) - 1)])


def spline_knots(logits: Floats) -> Floats:
    """Knots of the restricted cubic spline: 4 at fixed quantiles, 3 with fewer than 100 films; none where they tie.

    Source: Harrell, Regression Modeling Strategies, 2nd ed. 2015, section 2.4.6.
    """
    shares = (0.05, 0.35, 0.65, 0.95) if len(logits) >= 100 else (0.1, 0.5, 0.9)
    knots = np.quantile(logits, shares)
    return knots if (np.diff(knots) > 1e-6).all() else np.empty(0)


def spline_design(logits: Floats, knots: Floats) -> Floats:
    """Intercept, linear and restricted cubic terms ``[n, max(2, knots)]``; see `spline_knots` for the source."""
    columns = [np.ones_like(logits), logits]
    for knot in knots[:-2]:
        last, before = knots[-1], knots[-2]
        cubes = [np.maximum(logits - at, 0) ** 3 for at in (knot, before, last)]
        bent = cubes[0] - cubes[1] * (last - knot) / (last - before) + cubes[2] * (before - knot) / (last - before)
        columns.append(bent / (last - knots[0]) ** 2)
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class Reliability:
    """The statistics of calibration as a function of patients' weights; columns: `NAMES`, bins, curve."""

    cells: Cells
    count_bins: Ints
    """``[bins]``: first cell of each equal-count bin."""
    width_bins: Ints
    logits: Floats
    """``[cells]``: mean logit of the films in each cell."""
    knots: Floats
    grid: Floats
    """Scores at which the curve is read; empty where no curve can be fitted."""
    shift: Floats
    """``[2]``: what is added to intercept and slope of the cells to give those of the films."""
    start: Floats
    """``[2]``: intercept and slope of the films."""
    prevalence: float | None
    """Positive and negative films are weighted to this prevalence."""

    def __call__(self, weights: Weights) -> Floats:
        """All statistics ``[b, k]`` for weights ``[b, patients]``."""
        blocks = range(0, len(weights), _ROWS)
        return np.concatenate([self._block(self.cells.sums(weights[first : first + _ROWS])) for first in blocks])

    def _block(self, sums: Sums) -> Floats:
        sums = reweighted(sums, self.prevalence)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            parts = (*self._shares(sums), self._recalibration(sums), self._observed(sums), self._curve(sums))
            return np.concatenate(parts, axis=1)

    def _observed(self, sums: Sums) -> Floats:
        films = np.add.reduceat(sums.films, self.count_bins, axis=2)
        return np.asarray(films[:, 1] / films.sum(axis=1), dtype=np.float64)

    def _shares(self, sums: Sums) -> tuple[Floats, ...]:
        """ECE to Spiegelhalter's z, in the order of `NAMES`."""
        total, positives = sums.films.sum(axis=(1, 2)), sums.films[:, 1].sum(axis=1)
        expected, (squares, excess, variance) = sums.scores.sum(axis=(1, 2)), sums.totals.sum(axis=1).T
        prevalence, brier = positives / total, squares / total
        films, scores, found = (
            np.add.reduceat(part, self.count_bins, axis=1)
            for part in (sums.films.sum(axis=1), sums.scores.sum(axis=1), sums.films[:, 1])
        )
        share, filled = films / total[:, None], films > 0
        mean, observed = (np.where(filled, part / films, 0.0) for part in (scores, found))
        reliability = (share * (mean - observed) ** 2).sum(axis=1)
        resolution = (share * (observed - prevalence[:, None]) ** 2).sum(axis=1)
        uncertainty = prevalence * (1 - prevalence)
        columns = [
            _gaps(sums, self.count_bins) / total,
            _gaps(sums, self.width_bins) / total,
            brier,
            reliability,
            resolution,
            uncertainty,
            brier - (reliability - resolution + uncertainty),
            1 - brier / np.where(uncertainty > 0, uncertainty, np.nan),
            positives / np.where(expected > 1e-9, expected, np.nan),
            excess / np.sqrt(np.where(variance > 1e-12, variance, np.nan)),
        ]
        return (np.stack(columns, axis=1),)

    def _recalibration(self, sums: Sums) -> Floats:
        """Calibration intercept and slope ``[b, 2]``; NaN where a row has one class only or is separated."""
        films, positives = sums.films.sum(axis=1), sums.films[:, 1]
        found = np.full((len(films), 2), np.nan)
        both = (sums.films.sum(axis=2) > 0).all(axis=1)
        ones, zeros = np.ones((len(self.logits), 1)), np.zeros(len(self.logits))
        found[both, 0] = logistic_fits(films[both], positives[both], ones, self.logits, _finite(self.start[:1]))[:, 0]
        mixed = both & ~_separated(sums.films)
        if mixed.any() and np.isfinite(self.start[1]):
            design = np.stack([ones[:, 0], self.logits], axis=1)
            found[mixed, 1] = logistic_fits(films[mixed], positives[mixed], design, zeros, self.start)[:, 1]
        return np.asarray(found + self.shift, dtype=np.float64)

    def _curve(self, sums: Sums) -> Floats:
        """Observed share along the grid, by logistic regression on the spline ``[b, grid]``."""
        if not len(self.grid):
            return np.empty((len(sums.films), 0))
        films, design = sums.films.sum(axis=1), spline_design(self.logits, self.knots)
        start = np.zeros(design.shape[1])
        start[:2] = self.start
        beta = logistic_fits(films, sums.films[:, 1], design, np.zeros(len(self.logits)), start)
        at = spline_design(special.logit(self.grid), self.knots)
        return np.asarray(special.expit(beta @ at.T), dtype=np.float64)


def _gaps(sums: Sums, bins: Ints) -> Floats:
    """Films times the distance between mean score and observed share, summed over the bins ``[b]``."""
    away = sums.scores.sum(axis=1) - sums.films[:, 1]
    return np.asarray(np.abs(np.add.reduceat(away, bins, axis=1)).sum(axis=1), dtype=np.float64)


def _finite(values: Floats) -> Floats:
    return np.asarray(np.where(np.isfinite(values), values, 0.0), dtype=np.float64)


def _separated(films: Floats) -> Bools:
    """Rows where one score threshold parts the classes (but for films in one cell): no finite slope exists."""
    there, cells = films > 0, films.shape[2]
    first = there.argmax(axis=2)
    last = cells - 1 - there[:, :, ::-1].argmax(axis=2)
    return np.asarray((last[:, 0] <= first[:, 1]) | (last[:, 1] <= first[:, 0]))


def reweighted(sums: Sums, prevalence: float | None) -> Sums:
    """Weight positive and negative films so that each row has the named prevalence and its own number of films."""
    if prevalence is None:
        return sums
    films = sums.films.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = films.sum(axis=1, keepdims=True) * np.array([1 - prevalence, prevalence]) / films
    factor[~np.isfinite(factor)] = np.nan
    wide = factor[:, :, None]
    return Sums(sums.films * wide, sums.scores * wide, sums.totals * wide)


def layout(truth: Bools, scores: Floats, clusters: Clusters, *, bins: int, prevalence: float | None) -> Reliability:
    """Cut the films into bins and cells and fit what every replicate starts from; scores lie in [0, 1]."""
    ranked = np.sort(scores)
    values = np.unique(ranked)
    count, width = equal_count_starts(ranked, bins), equal_width_starts(ranked, bins)
    fine = values if len(values) <= MOST_CELLS else _fine_starts(ranked)
    edges = np.unique(np.concatenate([count, width, fine]))
    cells = Cells.of(truth, scores, clusters, edges)
    logit = special.logit(clipping(scores)[0])
    member = np.searchsorted(edges, scores, side="right") - 1
    logits = np.bincount(member, logit, len(edges)) / np.bincount(member, minlength=len(edges))
    knots = spline_knots(logit)
    start = recalibrated(truth, logit, prevalence)
    made = Reliability(
        cells=cells,
        count_bins=np.searchsorted(edges, count),
        width_bins=np.searchsorted(edges, width),
        logits=logits,
        knots=knots,
        grid=_grid(ranked) if np.isfinite(start).all() else np.empty(0),
        shift=np.zeros(2),
        start=start,
        prevalence=prevalence,
    )
    if len(values) <= MOST_CELLS:
        return made
    # Films in a cell differ a little: replicates then start from what that does to the films themselves.
    on_cells = made._recalibration(reweighted(cells.sums(np.ones((1, clusters.count), dtype=np.uint8)), prevalence))
    return Reliability(**{**vars(made), "shift": _finite(start - on_cells[0])})


def recalibrated(truth: Bools, logit: Floats, prevalence: float | None) -> Floats:
    """Calibration intercept (logit as offset) and slope of the films themselves; NaN where there is none."""
    positives = int(truth.sum())
    if not 0 < positives < len(truth):
        return np.array([math.nan, math.nan])
    weight = np.ones(len(truth))
    if prevalence is not None:
        weight = len(truth) * np.where(truth, prevalence / positives, (1 - prevalence) / (len(truth) - positives))
    films, found = weight[None], (weight * truth)[None]
    ones = np.ones((len(truth), 1))
    intercept = float(logistic_fits(films, found, ones, logit, np.zeros(1))[0, 0])
    if separated(truth, logit) or np.ptp(logit) == 0:
        return np.array([intercept, math.nan])
    slope = logistic_fits(films, found, np.stack([ones[:, 0], logit], axis=1), np.zeros(len(truth)), np.array([0, 1.0]))
    return np.array([intercept, float(slope[0, 1])])


def separated(truth: Bools, scores: Floats) -> bool:
    """Whether one threshold parts the classes, films exactly on it aside."""
    positive, negative = scores[truth], scores[~truth]
    return bool(positive.min() >= negative.max() or negative.min() >= positive.max())


def _grid(ranked: Floats) -> Floats:
    """Scores from the 5th smallest to the 5th largest: half at quantiles, half at equal steps, all inside (0, 1)."""
    inside = ranked[min(4, len(ranked) // 4) : len(ranked) - min(4, len(ranked) // 4)]
    inside = inside[(inside > 0) & (inside < 1)]
    if len(inside) < 2 or inside[0] == inside[-1]:
        return np.empty(0)
    half = GRID // 2
    return np.unique(np.r_[np.quantile(inside, np.linspace(0, 1, half)), np.linspace(inside[0], inside[-1], half)])
