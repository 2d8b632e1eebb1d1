"""Everything that is read off one ROC curve, on the films and in every replicate of the bootstrap.

A threshold that belongs to a target is chosen again in each replicate, by the rule of the lock: the largest threshold
that reaches the target sensitivity, the smallest that keeps the target specificity. The spread of the replicates
therefore includes the threshold's own uncertainty.

That needs ill patients. In simulations of clustered films (`benchmarks/interval_coverage.py`; binormal, AUROC 0.86,
1 to 6 films per patient) intervals of 95 % for the specificity at 0.90 sensitivity held the truth in 78 % of cohorts
with 6 ill patients, 90 % with 20, 92 to 96 % with 24, 80, 100 and 400; those of the mean specificity between
sensitivities of 0.9 and 1 in 62 %, 87 %, and 87, 92, 94 and 95 %: the lowest scored positives of a small sample score
too high, and a bootstrap cannot draw lower ones. BCa and percentile intervals do about alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores
from pipelines.statistics.kernels import Weights, sweep
from pipelines.statistics.resampling import Clusters, Plan, Sample, resample

HIGH_SENSITIVITY: Final = (0.90, 1.0)
"""The band of sensitivities in which a screening programme works."""
_HEAD: Final = 4
"""Columns before the targets': positives, negatives, AUROC, partial area."""


@dataclass(frozen=True)
class Curve:
    """The sample of one score set: raw counts, from which every rate is derived by `Sample.map`."""

    sample: Sample
    sensitivities: tuple[float, ...]
    specificities: tuple[float, ...]
    thresholds: tuple[float, ...]
    band: tuple[float, float]

    def auroc(self) -> Sample:
        """``[1]``: area under the ROC curve, ties count half."""
        return self.sample.map(lambda raw: raw[:, 2:3])

    def partial(self) -> Sample:
        """``[3]``: area between specificity and the band of sensitivities, its mean specificity, McClish's index.

        The index is 1 for perfect scores and 0.5 for chance (McClish, Med. Decis. Making 9 (1989) 190), here with the
        two axes exchanged.
        """
        low, high = self.band
        chance = ((1 - low) ** 2 - (1 - high) ** 2) / 2

        def three(raw: Floats) -> Floats:
            area = raw[:, 3]
            return np.stack([area, area / (high - low), (1 + (area - chance) / (high - low - chance)) / 2], axis=1)

        return self.sample.map(three)

    def at_sensitivity(self, i: int) -> Sample:
        """``[3]``: threshold, sensitivity and specificity at target i; all undefined without both classes."""
        return self._at_target(_HEAD + 3 * self._place(self.sensitivities, i, falling=False))

    def at_specificity(self, i: int) -> Sample:
        """``[3]`` as `at_sensitivity`; the threshold is undefined where only flagging nothing reaches the target."""
        first = _HEAD + 3 * len(self.sensitivities)
        return self._at_target(first + 3 * self._place(self.specificities, i, falling=True))

    def rates(self, i: int) -> Sample:
        """``[7]`` at threshold i: sensitivity, specificity, PPV, NPV, LR+, LR-, share flagged."""
        first = _HEAD + 3 * (len(self.sensitivities) + len(self.specificities))
        at = first + 2 * self._place(self.thresholds, i, falling=True)
        return self.sample.map(lambda raw: _rates(raw[:, 0], raw[:, 1], raw[:, at], raw[:, at + 1]))

    def _at_target(self, at: int) -> Sample:
        def three(raw: Floats) -> Floats:
            rates = _rates(raw[:, 0], raw[:, 1], raw[:, at + 1], raw[:, at + 2])
            return np.concatenate([raw[:, at, None], rates[:, :2]], axis=1)

        return self.sample.map(three)

    @staticmethod
    def _place(values: tuple[float, ...], i: int, *, falling: bool) -> int:
        """Where value i stands in the order in which the kernel meets them."""
        return int(np.flatnonzero(_order(values, falling=falling) == i)[0])


def _order(values: Sequence[float], *, falling: bool) -> NDArray[np.int64]:
    keys = np.asarray(values, dtype=np.float64)
    return np.argsort(-keys if falling else keys, kind="stable")


def _rates(positives: Floats, negatives: Floats, tp: Floats, fp: Floats) -> Floats:
    fn, tn = positives - tp, negatives - fp
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = tp / positives, tn / negatives
        # Of counts: 1 - specificity would not be exactly zero where no negative film is flagged.
        positive, negative = sensitivity / (fp / negatives), (fn / positives) / specificity
        return np.stack(
            [
                sensitivity,
                specificity,
                tp / (tp + fp),
                tn / (tn + fn),
                positive,
                negative,
                (tp + fp) / (positives + negatives),
            ],
            axis=1,
        )


def sample_curve(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    clusters: Clusters,
    plan: Plan,
    sensitivities: Sequence[float] = (),
    specificities: Sequence[float] = (),
    thresholds: Sequence[float] = (),
    band: tuple[float, float] = HIGH_SENSITIVITY,
) -> Curve:
    """Read one score set's curve on the films and in every replicate, in one pass per replicate.

    Args:
        labels: ``[n]``, 1 or 0.
        scores: ``[n]``, larger = more suspicious.
        clusters: the patients of these films.
        plan: replicates and seed.
        sensitivities: targets in (0, 1].
        specificities: targets in (0, 1].
        thresholds: a film is flagged where its score is at least this.
        band: sensitivities between which specificity is integrated.

    Raises:
        EvaluationError: arrays of different length, a target outside (0, 1], a threshold that is no number, or a band
            that is none.
    """
    truth, score = labels_and_scores(labels, scores)
    _check(len(truth), clusters, (*sensitivities, *specificities), thresholds, band)
    statistic = _Sweep.of(truth, score, clusters, sensitivities, specificities, thresholds, band)
    return Curve(
        resample(statistic, clusters.count, plan),
        tuple(map(float, sensitivities)),
        tuple(map(float, specificities)),
        tuple(map(float, thresholds)),
        band,
    )


def _check(
    n: int, clusters: Clusters, targets: Sequence[float], thresholds: Sequence[float], band: tuple[float, float]
) -> None:
    if len(clusters.index) != n:
        raise EvaluationError(f"There must be one patient per film, got {len(clusters.index)} for {n} films.")
    for target in targets:
        if not 0 < target <= 1:
            raise EvaluationError(f"A target sensitivity or specificity must lie in (0, 1], got {target}.")
    for threshold in thresholds:
        if not np.isfinite(threshold):
            raise EvaluationError(f"A threshold must be a finite number, got {threshold}.")
    if not 0 <= band[0] < band[1] <= 1:
        raise EvaluationError(f"A band of sensitivities must rise within [0, 1], got {band[0]} to {band[1]}.")


@dataclass(frozen=True)
class _Sweep:
    """The statistic: films sorted once, walked once per replicate."""

    patient: NDArray[np.int32]
    marks: NDArray[np.uint8]
    score: Floats
    films: NDArray[np.int64]
    sensitivities: Floats
    specificities: Floats
    cuts: NDArray[np.int64]
    band: tuple[float, float]

    @classmethod
    def of(
        cls,
        truth: Bools,
        score: Floats,
        clusters: Clusters,
        sensitivities: Sequence[float],
        specificities: Sequence[float],
        thresholds: Sequence[float],
        band: tuple[float, float],
    ) -> "_Sweep":
        order = np.argsort(-score, kind="stable")
        falling, patient = score[order], clusters.index[order]
        last = np.r_[falling[1:] != falling[:-1], True][: len(falling)]
        flagged = len(score) - np.searchsorted(falling[::-1], np.asarray(thresholds, dtype=np.float64), side="left")
        return cls(
            patient=patient,
            marks=(truth[order] + 2 * last).astype(np.uint8),
            score=falling,
            films=np.stack([np.bincount(clusters.index[part], minlength=clusters.count) for part in (truth, ~truth)]),
            sensitivities=np.sort(np.asarray(sensitivities, dtype=np.float64)),
            specificities=np.sort(np.asarray(specificities, dtype=np.float64))[::-1].copy(),
            cuts=np.sort(flagged).astype(np.int64),
            band=(float(band[0]), float(band[1])),
        )

    def __call__(self, weights: Weights) -> Floats:
        columns = _HEAD + 3 * (len(self.sensitivities) + len(self.specificities)) + 2 * len(self.cuts)
        out = np.full((len(weights), columns), np.nan)
        targets = (self.sensitivities, self.specificities, self.cuts, self.band)
        sweep(weights, self.patient, self.marks, self.score, self.films, *targets, out)
        return out
