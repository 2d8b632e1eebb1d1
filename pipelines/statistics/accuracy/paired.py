"""Two score sets on the same films: differences (a minus b) with paired intervals and tests.

Where films are independent: DeLong for the AUROC; for shares Tango's score interval and the exact McNemar test. Where a
patient has several films, and for whatever is read at a target: the bootstrap of patients, both score sets on the same
draws; its p is twice the smaller share of replicates on either side of 0.

Sources: Tango, Stat. Med. 17 (1998) 891 (score interval); McNemar, Psychometrika 12 (1947) 153, in its exact binomial
form; Davison & Hinkley, Bootstrap Methods and their Application, 1997, section 4.4.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from pipelines.statistics.accuracy.assessment import Question
from pipelines.statistics.accuracy.curve import Curve, sample_curve
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores, one_class
from pipelines.statistics.auroc import auroc_difference, delong_covariance
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped
from pipelines.statistics.record import Record
from pipelines.statistics.resampling import Clusters, Sample

TANGO: Final = "difference of paired shares, Tango's score interval"
MCNEMAR: Final = "exact McNemar"
DELONG_TEST: Final = "paired DeLong"
BOOTSTRAP_TEST: Final = "bootstrap of {unit}: twice the smaller share of replicates on either side of 0"


class PairedTest(Record):
    """A difference and the test that it is 0."""

    difference: Estimate
    """Of score set a minus score set b, in [-1, 1]."""
    p: float | None
    """Two-sided."""
    test: str
    why: str | None = None
    """Why there is no p."""


class PairedAtTarget(Record):
    """The free rate where both score sets are held at one target, each with a threshold of its own."""

    kind: Literal["sensitivity", "specificity"]
    """The rate that is held."""
    target: float
    free: PairedTest
    """Specificity where sensitivity is held, and the reverse."""


class PairedAccuracy(Record):
    """Two score sets on the same films: a minus b."""

    n: int
    patients: int
    clustered: bool
    interval: Literal["analytic", "percentile", "bca"]
    auroc: PairedTest
    thresholds: tuple[float, float] | None
    """Of a and of b; null where none were given."""
    sensitivity: PairedTest | None
    specificity: PairedTest | None
    at_sensitivity: tuple[PairedAtTarget, ...]
    at_specificity: tuple[PairedAtTarget, ...]


def compare_scores(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    thresholds: tuple[float, float] | None = None,
    clusters: Clusters | None = None,
    question: Question | None = None,
) -> PairedAccuracy:
    """Set two score sets side by side.

    Args:
        labels: ``[n]``, 1 or 0.
        scores_a: ``[n]``, larger = more suspicious.
        scores_b: ``[n]``, of the same films in the same order; its scale may differ.
        thresholds: of a and of b.
        clusters: the patients; None: every film is independent.
        question: level, intervals, targets (its thresholds are not used).

    Raises:
        EvaluationError: as for `pipelines.statistics.accuracy.assessment.accuracy`.
    """
    truth, a = labels_and_scores(labels, scores_a)
    _, b = labels_and_scores(labels, scores_b)
    asked, known = question or Question(), clusters or Clusters.of(None, len(truth))
    chosen, plan = asked.resolved(known)
    pair = []
    for score, threshold in ((a, thresholds and thresholds[0]), (b, thresholds and thresholds[1])):
        pair.append(
            sample_curve(
                truth,
                score,
                clusters=known,
                plan=plan,
                sensitivities=asked.targets,
                specificities=asked.targets,
                thresholds=() if threshold is None else (threshold,),
                band=asked.band,
            )
        )
    work = _Pair(truth, known, (pair[0], pair[1]), asked.level)
    analytic = chosen == "analytic"
    sensitivity = specificity = None
    if thresholds is not None:
        flags = (a >= thresholds[0], b >= thresholds[1])
        sensitivity = paired_shares(truth, *flags, asked.level) if analytic else work.rate(0, truth)
        specificity = paired_shares(~truth, ~flags[0], ~flags[1], asked.level) if analytic else work.rate(1, ~truth)
    return PairedAccuracy(
        n=len(truth),
        patients=known.present,
        clustered=known.repeated,
        interval=chosen,
        auroc=paired_auroc(truth, a, b, asked.level) if analytic else work.auroc(),
        thresholds=thresholds,
        sensitivity=sensitivity,
        specificity=specificity,
        at_sensitivity=tuple(work.at_target("sensitivity", i) for i in range(len(asked.targets))),
        at_specificity=tuple(work.at_target("specificity", i) for i in range(len(asked.targets))),
    )


def paired_auroc(truth: Bools, a: Floats, b: Floats, level: float = DEFAULT_LEVEL) -> PairedTest:
    """DeLong's paired difference and test, for independent films."""
    found = auroc_difference(truth, a, b, level)
    if found.low is None:
        return PairedTest(difference=found, p=None, test=DELONG_TEST, why=found.why)
    _, covariance = delong_covariance(truth, np.stack([a, b]))
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.value is not None
    return PairedTest(difference=found, p=float(2 * special.ndtr(-abs(found.value) / error)), test=DELONG_TEST)


def paired_shares(films: Bools, right_a: Bools, right_b: Bools, level: float = DEFAULT_LEVEL) -> PairedTest:
    """Difference between the shares of ``films`` that a and b get right, for independent films."""
    only_a, only_b = int((films & right_a & ~right_b).sum()), int((films & right_b & ~right_a).sum())
    found = tango(only_a, only_b, int(films.sum()), level)
    if found.value is None:
        return PairedTest(difference=found, p=None, test=MCNEMAR, why=found.why)
    discordant = only_a + only_b
    p = 1.0 if discordant == 0 else float(stats.binomtest(only_a, discordant, 0.5).pvalue)
    return PairedTest(
        difference=found, p=p, test=f"{MCNEMAR} ({only_a} films right with a alone, {only_b} with b alone)"
    )


def tango(only_a: int, only_b: int, n: int, level: float = DEFAULT_LEVEL) -> Estimate:
    """Difference (only_a - only_b) / n of paired shares with Tango's score interval.

    Args:
        only_a: films that a alone gets right.
        only_b: films that b alone gets right.
        n: all films looked at.
        level: confidence level.
    """
    if n == 0:
        return Estimate.absent("no films of this class", method=TANGO, level=level)
    limit, value = float(special.ndtri((1 + level) / 2)), (only_a - only_b) / n

    def score(delta: float) -> float:
        linear = (2 * n + only_b - only_a) * delta - only_a - only_b
        root = math.sqrt(max(0.0, linear**2 + 8 * n * only_b * delta * (1 - delta)))
        share = (root - linear) / (4 * n)  # of films that b alone gets right, most likely under this difference
        variance = n * (2 * share + delta * (1 - delta))
        distance = only_a - only_b - n * delta
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    edge = 1e-12
    low, high = _bound(score, limit, value, 1, edge), _bound(score, -limit, value, -1, edge)
    low, high = clipped(value, low, high, (-1.0, 1.0))
    return Estimate(value=value, low=low, high=high, level=level, method=TANGO, n=n)


def _bound(score: Callable[[float], float], limit: float, value: float, sign: int, edge: float) -> float:
    """Where the falling score meets its limit: below the value for sign 1, above it for sign -1."""

    def excess(delta: float) -> float:
        return score(delta) - limit

    end = -sign * (1 - edge)
    start = value - sign * edge
    if sign * (end - start) >= 0 or excess(end) * sign <= 0:
        return -float(sign)
    return float(optimize.brentq(excess, *sorted((end, start)), xtol=1e-13))


@dataclass(frozen=True)
class _Pair:
    """Both curves on the same draws."""

    truth: Bools
    clusters: Clusters
    curves: tuple[Curve, Curve]
    level: float

    def auroc(self) -> PairedTest:
        why = one_class(self.truth) or ""
        return self.test(
            self.curves[0].auroc(), self.curves[1].auroc(), 0, "difference of AUROCs", self.truth | True, why
        )

    def rate(self, j: int, films: Bools) -> PairedTest:
        name = f"difference of {('sensitivities', 'specificities')[j]}"
        found = self.test(self.curves[0].rates(0), self.curves[1].rates(0), j, name, films, "no films of this class")
        if found.difference.value == 0 and found.difference.low is None:
            # No replicate differs: as if each patient had one film, and no pair were discordant.
            counted = tango(0, 0, self.clusters.take(films).present, self.level)
            method = f"{counted.method}, one film counted per patient ({found.difference.why})"
            counted = counted.model_copy(update={"method": method, "n": int(films.sum())})
            return PairedTest(difference=counted, p=1.0, test=found.test)
        return found

    def at_target(self, kind: Literal["sensitivity", "specificity"], i: int) -> PairedAtTarget:
        targets = self.curves[0].sensitivities if kind == "sensitivity" else self.curves[0].specificities
        a, b = (getattr(curve, f"at_{kind}")(i) for curve in self.curves)
        read, free = (2, "specificities") if kind == "sensitivity" else (1, "sensitivities")
        films = ~self.truth if kind == "sensitivity" else self.truth
        name = f"difference of {free} at {kind} >= {targets[i]:g}, thresholds chosen again in each replicate"
        found = self.test(a, b, read, name, films, one_class(self.truth) or "")
        return PairedAtTarget(kind=kind, target=targets[i], free=found)

    def test(self, a: Sample, b: Sample, j: int, name: str, films: Bools, why: str) -> PairedTest:
        k = len(a.point)
        sample = a.join(b).map(lambda both: both[:, j, None] - both[:, k + j, None])
        n = int(films.sum())
        found = sample.estimate(0, level=self.level, n=n, method=name, bounds=(-1.0, 1.0), why=why)
        test = BOOTSTRAP_TEST.format(unit=sample.plan.unit)
        scarce = (
            min(self.clusters.take(part).present for part in (self.truth, ~self.truth)) == 1 and found.low is not None
        )
        if scarce:
            found = Estimate(
                value=found.value, low=None, high=None, level=self.level, method=found.method, n=n,
                why="only one patient has a film of one class: nothing shows how patients differ",
            )  # fmt: skip
        if found.low is None:
            return PairedTest(difference=found, p=None, test=test, why=found.why)
        drawn = sample.replicates[np.isfinite(sample.replicates[:, 0]), 0]
        sides = [(1 + int((drawn <= 0).sum())) / (len(drawn) + 1), (1 + int((drawn >= 0).sum())) / (len(drawn) + 1)]
        return PairedTest(difference=found, p=min(1.0, 2 * min(sides)), test=test)
