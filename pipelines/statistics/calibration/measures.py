"""Calibration: does a score of 0.3 mean that three films in ten are positive?

Bins, expected calibration error, Brier score and its parts, calibration intercept and slope, observed over expected,
Spiegelhalter's z, and a smooth curve; and what a change of prevalence does to all of them.

Sources: Van Calster et al., BMC Med. 17 (2019) 230 (what to report); Cox, Biometrika 45 (1958) 562 (intercept, slope);
Murphy, J. Appl. Meteorol. 12 (1973) 595 (parts of the Brier score); Spiegelhalter, Stat. Med. 5 (1986) 421; Kattan &
Gerds, Diagn. Progn. Res. 2 (2018) 7 (scaled Brier score); Saerens, Latinne & Decaestecker, Neural Comput. 14 (2002) 21
(change of prevalence).

An ECE is too high by what chance adds to it, and a bootstrap adds that a second time. In the simulations of
`benchmarks/interval_coverage.py`, with a true ECE of 0.063, BCa intervals of 95 % held it in 68 % of cohorts of 210
films, 81 % of 700 and 93 % of 3,500 (percentile: 33, 88 and 94 %); those of Brier score, slope, intercept and
observed over expected held in 91 % or more from 6 ill patients on. A note says where the ECE is of the size that
chance makes.
"""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pipelines.errors import ConfigError
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores, one_class
from pipelines.statistics.calibration.records import (
    METHODS,
    Calibration,
    ReliabilityBin,
    ShiftedCalibration,
    SmoothCurve,
)
from pipelines.statistics.calibration.reliability import (
    MOST_CELLS,
    NAMES,
    Reliability,
    clipping,
    equal_count_starts,
    layout,
    separated,
)
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.proportions import clopper_pearson
from pipelines.statistics.resampling import Clusters, Plan, Sample, resample

DEFAULT_BINS: Final = 10
SEPARATED: Final = "a threshold separates the classes perfectly: the slope has no finite estimate"
_RANGES: Final = {
    "scaled_brier": (-math.inf, 1.0),
    "remainder": (-1.0, 1.0),
    "observed_expected": (0.0, math.inf),
    "spiegelhalter_z": (-math.inf, math.inf),
    "intercept": (-math.inf, math.inf),
    "slope": (-math.inf, math.inf),
}


def calibration(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    level: float = DEFAULT_LEVEL,
    clusters: Clusters | None = None,
    plan: Plan | None = None,
    bins: int = DEFAULT_BINS,
    prevalence: float | None = None,
) -> Calibration:
    """Calibration of scores that are meant as probabilities.

    Args:
        labels: ``[n]``, 1 or 0.
        scores: ``[n]``, finite.
        level: confidence level.
        clusters: the patient of each film; None: every film is a patient of its own.
        plan: how to resample; None: 2,000 replicates, BCa.
        bins: number of bins, of equal count and of equal width; equal scores stay in one bin.
        prevalence: weight positive and negative films to this share of positives, which is taken as known.

    Returns:
        The record. Scores outside [0, 1], no films, one class only or perfect separation: what has no answer says so.

    Raises:
        EvaluationError: arrays that do not fit each other, scores that are not finite.
        ConfigError: no bin, or a prevalence outside (0, 1).
    """
    truth, score = labels_and_scores(labels, scores)
    if bins < 1:
        raise ConfigError(f"bins must be at least 1, got {bins}.")
    if prevalence is not None:
        _inside(prevalence=prevalence)
    clusters = clusters or Clusters.of(None, len(truth))
    plan = plan or Plan(unit="patients" if clusters.repeated else "films")
    why = _no_answer(truth, score, prevalence)
    if why:
        return _without_answer(truth, why, level, prevalence)
    found = layout(truth, score, clusters, bins=bins, prevalence=prevalence)
    sample = resample(found, clusters.count, plan)
    each = _estimates(truth, score, sample, level, prevalence)
    curve, curve_why = _smooth(found, sample, len(NAMES) + len(found.count_bins), truth, level)
    clipped, edge = int(((score == 0) | (score == 1)).sum()), clipping(score)[1]
    by_chance = _by_chance(equal_count_starts(np.sort(score), bins), score, level, prevalence)
    return Calibration(
        n=len(truth),
        positives=int(truth.sum()),
        prevalence=prevalence,
        bins=_bins(equal_count_starts(np.sort(score), bins), truth, score, clusters, sample, level, prevalence),
        smooth=curve,
        smooth_why=curve_why,
        **each,
        ece_by_chance=by_chance,
        spiegelhalter_p=_spiegelhalter_p(each["spiegelhalter_z"], truth, score, clusters, level),
        clipped=clipped,
        notes=tuple(_notes(clipped, edge, each["ece"], by_chance)),
    )


def _notes(clipped: int, edge: float, ece: Estimate, by_chance: Estimate) -> Iterator[str]:
    if clipped:
        yield f"{clipped} scores of exactly 0 or 1 count as {edge:g} or 1 - {edge:g} in logits."
    if ece.value is not None and by_chance.value is not None and ece.value < 2 * by_chance.value:
        yield (
            f"The expected calibration error ({ece.value:.3f}) is of the size that chance alone makes of a perfectly "
            f"calibrated score on so many films ({by_chance.value:.3f}): it and its interval lie too high."
        )


def prevalence_shift(scores: ArrayLike, from_prevalence: float, to_prevalence: float) -> Floats:
    """Adjust probabilities to another prevalence, films of either class looking the same as before.

    Args:
        scores: ``[n]``, probabilities in [0, 1]; 0 and 1 stay as they are.
        from_prevalence: share of positives that the scores were made for, (0, 1).
        to_prevalence: share of positives where they will be read, (0, 1).

    Raises:
        ConfigError: a prevalence outside (0, 1), or scores outside [0, 1].

    Source: Saerens, Latinne & Decaestecker, Neural Comput. 14 (2002) 21, equation 2.4.
    """
    _inside(from_prevalence=from_prevalence, to_prevalence=to_prevalence)
    score = np.asarray(scores, dtype=np.float64)
    if not ((score >= 0) & (score <= 1)).all():
        raise ConfigError("Only probabilities in [0, 1] can be adjusted to another prevalence.")
    positive = score * (to_prevalence / from_prevalence)
    negative = (1 - score) * ((1 - to_prevalence) / (1 - from_prevalence))
    return np.asarray(positive / (positive + negative), dtype=np.float64)


def calibration_at_prevalence(
    labels: ArrayLike,
    scores: ArrayLike,
    to_prevalence: float,
    *,
    from_prevalence: float | None = None,
    level: float = DEFAULT_LEVEL,
    clusters: Clusters | None = None,
    plan: Plan | None = None,
    bins: int = DEFAULT_BINS,
) -> ShiftedCalibration | None:
    """Calibration at a named prevalence before and after `prevalence_shift`; arguments as for `calibration`.

    Args:
        labels: ``[n]``, 1 or 0.
        scores: ``[n]``, probabilities.
        to_prevalence: share of positives where the system would be used.
        from_prevalence: share of positives that the scores were made for; None: that of these films.
        level: confidence level.
        clusters: the patient of each film.
        plan: how to resample.
        bins: number of bins.

    Returns:
        The two, or None where scores lie outside [0, 1] or a class is missing.
    """
    truth, score = labels_and_scores(labels, scores)
    _inside(to_prevalence=to_prevalence)
    if _no_answer(truth, score, to_prevalence):
        return None
    known = float(truth.mean()) if from_prevalence is None else from_prevalence
    shifted = prevalence_shift(score, known, to_prevalence)
    before, after = (
        calibration(truth, part, level=level, clusters=clusters, plan=plan, bins=bins, prevalence=to_prevalence)
        for part in (score, shifted)
    )
    return ShiftedCalibration(from_prevalence=known, to_prevalence=to_prevalence, before=before, after=after)


def _inside(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ConfigError(f"{name} must lie between 0 and 1 (both excluded), got {value:g}.")


def _no_answer(truth: Bools, score: Floats, prevalence: float | None) -> str | None:
    if not len(truth):
        return "no films with a known label and a score"
    outside = int(((score < 0) | (score > 1)).sum())
    if outside:
        return f"{outside} of {len(score)} scores lie outside [0, 1]: they are no probabilities"
    return one_class(truth) if prevalence is not None else None


def _without_answer(truth: Bools, why: str, level: float, prevalence: float | None) -> Calibration:
    n = len(truth)
    each = {name: Estimate.absent(why, method=METHODS[name], n=n, level=level) for name in NAMES}
    return Calibration(
        n=n,
        positives=int(truth.sum()),
        prevalence=prevalence,
        bins=(),
        smooth=None,
        smooth_why=why,
        **each,
        ece_by_chance=Estimate.absent(why, method="expected calibration error by chance", n=n, level=level),
        spiegelhalter_p=Estimate.absent(why, method="Spiegelhalter's test", n=n, level=level),
        clipped=0,
        notes=(),
    )


def _estimates(
    truth: Bools, score: Floats, sample: Sample, level: float, prevalence: float | None
) -> dict[str, Estimate]:
    missing = one_class(truth)
    reasons = {
        "scaled_brier": missing,
        "intercept": missing,
        "slope": missing or ("all scores are equal" if np.ptp(score) == 0 else None) or _separation(truth, score),
        "observed_expected": "the scores add up to (nearly) 0",
        "spiegelhalter_z": "all scores are (nearly) 0, 0.5 or 1: the test has no variance",
    }
    weighted = "" if prevalence is None else f", films weighted to a prevalence of {prevalence:g}"

    def one(j: int, name: str) -> Estimate:
        method = METHODS[name] + weighted
        if name == "spiegelhalter_z" and weighted:
            why = "films are weighted: the test has no meaning"
            return Estimate.absent(why, method=method, n=len(truth), level=level)
        return sample.estimate(
            j,
            level=level,
            n=len(truth),
            method=method,
            bounds=_RANGES.get(name, (0.0, 1.0)),
            why=reasons.get(name) or "the regression found no finite estimate",
        )

    return {name: one(j, name) for j, name in enumerate(NAMES)}


def _separation(truth: Bools, score: Floats) -> str | None:
    return SEPARATED if separated(truth, score) else None


def _bins(
    edges: Floats,
    truth: Bools,
    score: Floats,
    clusters: Clusters,
    sample: Sample,
    level: float,
    prevalence: float | None,
) -> tuple[ReliabilityBin, ...]:
    order = np.argsort(score, kind="stable")
    starts = np.searchsorted(score[order], edges)
    made = []
    for j, rows in enumerate(np.split(order, starts[1:])):
        n, positives = len(rows), int(truth[rows].sum())
        made.append(
            ReliabilityBin(
                low=float(score[rows].min()),
                high=float(score[rows].max()),
                n=n,
                positives=positives,
                mean_score=float(score[rows].mean()),
                observed=_observed(sample, len(NAMES) + j, n, positives, clusters.take(rows), level, prevalence),
            )
        )
    return tuple(made)


def _observed(
    sample: Sample, j: int, n: int, positives: int, clusters: Clusters, level: float, prevalence: float | None
) -> Estimate:
    if prevalence is None and not clusters.repeated:
        return clopper_pearson(positives, n, level)
    drawn = sample.estimate(j, level=level, n=n, method="share of positive films in the bin")
    if drawn.low is not None or prevalence is not None or 0 < positives < n:
        return drawn
    # All films of the bin agree, so every replicate does: count each patient once.
    patients = clusters.present
    exact = clopper_pearson(patients if positives else 0, patients, level)
    return exact.model_copy(update={"method": "exact (Clopper–Pearson), each patient counted once", "n": n})


def _smooth(
    found: Reliability, sample: Sample, first: int, truth: Bools, level: float
) -> tuple[SmoothCurve | None, str | None]:
    if not len(found.grid):
        return None, one_class(truth) or "the scores take too few values, or separate the classes perfectly"
    if not np.isfinite(sample.point[first:]).all():
        return None, "the regression on the spline found no finite estimate"
    knots = f"{len(found.knots)} knots" if len(found.knots) else "no knots: the scores tie too much for a spline"
    cells = len(found.logits)
    method = (
        f"logistic regression on a restricted cubic spline of the logit ({knots}), fitted on {cells:,} "
        f"{'values' if cells < MOST_CELLS else 'cells of nearly equal scores'}; pointwise intervals"
    )
    points = [
        sample.estimate(first + i, level=level, n=len(truth), method="observed share") for i in range(len(found.grid))
    ]
    return SmoothCurve(
        score=tuple(map(float, found.grid)),
        share=tuple(float(point.value or 0.0) for point in points),
        low=tuple(point.low for point in points),
        high=tuple(point.high for point in points),
        level=level,
        method=f"{method}; {points[0].method.removeprefix('observed share; ')}",
        n=len(truth),
    ), None


def _by_chance(edges: Floats, score: Floats, level: float, prevalence: float | None) -> Estimate:
    """Sum over bins of n_b / n times E|N(0, v_b)|, v_b the binomial variance of the observed share."""
    method = "expected calibration error of a perfectly calibrated score on as many independent films (normal)"
    if prevalence is not None:
        return Estimate.absent("films are weighted", method=method, n=len(score), level=level)
    member = np.searchsorted(edges, score, side="right") - 1
    spread = np.sqrt(np.bincount(member, score * (1 - score), len(edges)) * 2 / math.pi)
    why = "a property of the scores and bins, not an estimate"
    value = float(spread.sum() / len(score))
    return Estimate(value=value, low=None, high=None, level=level, method=method, n=len(score), why=why)


def _spiegelhalter_p(z: Estimate, truth: Bools, score: Floats, clusters: Clusters, level: float) -> Estimate:
    if z.value is None:
        return Estimate.absent(z.why or "", method="Spiegelhalter's test", n=z.n, level=level)
    value, method = z.value, "two-sided p of Spiegelhalter's z, films independent"
    if clusters.repeated:
        # Films of one patient vary together: the variance of patients' sums takes the place of the films' own.
        excess = (truth - score) * (1 - 2 * score)
        spread = math.sqrt(float((np.bincount(clusters.index, excess) ** 2).sum()))
        value = float(excess.sum()) / spread if spread else 0.0
        method = "two-sided p of Spiegelhalter's statistic over its spread between patients"
    p = float(2 * stats.norm.sf(abs(value)))
    return Estimate(value=p, low=None, high=None, level=level, method=method, n=z.n, why="a p value has no interval")
