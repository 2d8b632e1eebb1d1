"""Accuracy of sides (a group, or the films it is compared with) and differences between sides.

Two engines with one interface: films that are independent (exact and DeLong intervals, Newcombe's and DeLong's
differences at Šidák's level), and films of which several show one patient (bootstrap of patients, the same draws for
every side, so that differences and their largest deviation are joint).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from scipy import stats

from pipelines.evaluation.subgroups.columns import Grouping
from pipelines.evaluation.subgroups.records import METRIC_NAMES, Metric
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.differences import p_from_bounds, share_difference_p, square_and_add, wilson
from pipelines.statistics.estimates import Estimate, clipped
from pipelines.statistics.group_sums import METRICS, Films, accuracy
from pipelines.statistics.multiplicity import max_t, sidak_level
from pipelines.statistics.proportions import clopper_pearson
from pipelines.statistics.resampling import Clusters, Plan, Sample, resample

assert METRIC_NAMES == METRICS

NAMES: Final[dict[Metric, str]] = {
    "auroc": "AUROC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "flagged": "flagged share",
    "observed_expected": "observed over expected positives",
}
SHARES: Final[tuple[Metric, ...]] = ("sensitivity", "specificity", "ppv", "npv", "flagged")
Pair = tuple[int, int]
_FAR: Final = 8.0


@dataclass(frozen=True)
class Limits:
    """Below these a number is suppressed: too few films to say anything, or few enough to point at a person."""

    positives: int = 10
    """Positive films: for sensitivity, AUROC, observed over expected."""
    negatives: int = 10
    """Negative films: for specificity, AUROC."""
    films: int = 10
    """Flagged films for PPV, unflagged for NPV, all for the flagged share."""
    patients: int = 5
    """Different patients these films must come from, where patients have several films."""


@dataclass(frozen=True)
class Difference:
    """Side a minus side b, with an interval that holds together with the others asked for at once."""

    value: float
    low: float | None
    """Null where a side has no interval."""
    high: float | None
    p_value: float | None
    standard_error: float
    """Of the difference at these sizes, what a study size is scaled from; NaN where there is no interval."""
    method: str


class Sides:
    """Films divided by several columns; side s is group s, side groups + s is what group s is compared with."""

    def __init__(
        self,
        labels: Bools,
        scores: Floats,
        threshold: float | None,
        clusters: Clusters,
        groupings: Sequence[Grouping],
        limits: Limits,
    ) -> None:
        self.labels, self.scores, self.clusters, self.limits = labels, scores, clusters, limits
        self.threshold, self.groupings = threshold, groupings
        self.flags = scores >= (math.inf if threshold is None else threshold)
        parts = [(grouping.code, grouping.known) for grouping in groupings]
        self.films = Films.of(clusters.index, labels, scores, self.flags, parts)
        self.groups = len(self.films.known)
        self._starts = np.concatenate([[0], np.cumsum([len(grouping.names) for grouping in groupings])]).astype(int)
        self.repeated = clusters.repeated
        self._suppressed: dict[tuple[int, Metric], str | None] = {}
        self._patients: dict[tuple[int, Metric], int] = {}
        self.probabilities = bool(not len(scores) or (scores.min() >= 0 and scores.max() <= 1))

    def start(self, number: int) -> int:
        """First side of a column's groups."""
        return int(self._starts[number])

    @cached_property
    def counts(self) -> Floats:
        """``[sides, 6]`` of the films themselves: see `Films.sums`."""
        ones = np.ones((1, max(1, self.clusters.count)), dtype=np.uint8)
        return self.films.sums(ones).reshape(2 * self.groups, 6)

    @cached_property
    def values(self) -> Floats:
        """``[sides, metrics]`` of the films themselves."""
        return accuracy(self.counts.reshape(1, -1)).reshape(2 * self.groups, len(METRICS))

    def value(self, side: int, metric: Metric) -> float:
        """A metric of a side; NaN where its denominator is 0."""
        return float(self.values[side, METRICS.index(metric)])

    def inside(self, side: int) -> Bools:
        """Which films belong to a side."""
        group = side % self.groups
        number = int(self.films.partition[group])
        grouping, local = self.groupings[number], group - self.start(number)
        if side < self.groups:
            return np.asarray(grouping.code == local, dtype=bool)
        return np.asarray(grouping.known[grouping.code] & (grouping.code != local), dtype=bool)

    def classes(self, metric: Metric) -> list[tuple[str, Bools, int]]:
        """The films a metric needs: their name, which they are, and how many at least."""
        limits, every = self.limits, np.ones(len(self.labels), dtype=bool)
        positive = ("positive films", self.labels, limits.positives)
        negative = ("negative films", ~self.labels, limits.negatives)
        return {
            "auroc": [positive, negative],
            "sensitivity": [positive],
            "specificity": [negative],
            "ppv": [("flagged films", self.flags, limits.films)],
            "npv": [("unflagged films", ~self.flags, limits.films)],
            "flagged": [("films", every, limits.films)],
            "observed_expected": [positive],
        }[metric]

    def ratio(self, side: int, metric: Metric) -> tuple[int, int]:
        """Numerator and denominator of a share."""
        positive, negative, hit, alarm = (int(x) for x in self.counts[side, :4])
        return {
            "sensitivity": (hit, positive),
            "specificity": (negative - alarm, negative),
            "ppv": (hit, hit + alarm),
            "npv": (negative - alarm, positive + negative - hit - alarm),
            "flagged": (hit + alarm, positive + negative),
        }[metric]

    def size(self, side: int, metric: Metric) -> int:
        """Films in a metric's denominator."""
        return self.ratio(side, metric if metric in SHARES else "flagged")[1]

    def _different(self, those: Bools) -> int:
        return int(np.count_nonzero(np.bincount(self.clusters.index[those])))  # much faster than sorting them

    def suppressed(self, side: int, metric: Metric) -> str | None:
        """Why a metric of a side is not given; None where it is."""
        if (side, metric) not in self._suppressed:
            self._suppressed[side, metric] = self._too_few(side, metric)
        return self._suppressed[side, metric]

    def _too_few(self, side: int, metric: Metric) -> str | None:
        if metric in SHARES and self.threshold is None:
            return "no threshold was locked or given"
        if metric == "observed_expected" and not self.probabilities:
            return "the scores are not probabilities"
        inside = self.inside(side)
        for what, those, least in self.classes(metric):
            chosen = inside & those
            films = int(chosen.sum())
            if films < max(1, least):
                return f"fewer than {least} {what} ({films})" if films or least > 1 else f"no {what}"
            patients = self._different(chosen) if self.repeated else films
            if patients < films and patients < self.limits.patients:
                return f"{what} of fewer than {self.limits.patients} patients ({patients})"
        return None if np.isfinite(self.value(side, metric)) else "the scores of these films sum to 0"

    def patients(self, side: int, metric: Metric) -> int:
        """Different patients among the films of a side that a metric needs; of the scarcer class for the AUROC."""
        if (side, metric) not in self._patients:
            inside = self.inside(side)
            counts = [self._different(inside & those) for _, those, _ in self.classes(metric)]
            self._patients[side, metric] = min(counts)
        return self._patients[side, metric]


class Engine(Protocol):
    """How intervals are made."""

    def estimate(self, side: int, metric: Metric, level: float) -> Estimate:
        """A metric that is not suppressed, with its interval."""
        ...

    def differences(self, metric: Metric, pairs: Sequence[Pair], level: float) -> list[Difference]:
        """Differences between sides that are not suppressed; their intervals hold together at ``level``."""
        ...


class Independent:
    """Every film shows another patient."""

    def __init__(self, sides: Sides) -> None:
        self.sides = sides
        self._areas: dict[tuple[int, float], Estimate] = {}

    def estimate(self, side: int, metric: Metric, level: float) -> Estimate:
        """DeLong for the AUROC, exact for shares and for the positives among the films (expected taken as fixed)."""
        sides = self.sides
        if metric == "auroc":
            inside = sides.inside(side)
            return auroc_delong(sides.labels[inside], sides.scores[inside], level)
        if metric == "observed_expected":
            positive, n, expected = int(sides.counts[side, 0]), sides.size(side, "flagged"), sides.counts[side, 5]
            return _scaled(clopper_pearson(positive, n, level), n / float(expected))
        return clopper_pearson(*sides.ratio(side, metric), level)

    def differences(self, metric: Metric, pairs: Sequence[Pair], level: float) -> list[Difference]:
        """Newcombe's interval for shares, unpaired DeLong for AUROCs; each at Šidák's level."""
        each = sidak_level(level, len(pairs))
        joint = f" at Šidák's level for {len(pairs)} comparisons" if len(pairs) > 1 else ""
        return [
            self._share(metric, pair, each, joint) if metric in SHARES else self._auroc(pair, each, joint)
            for pair in pairs
        ]

    def _share(self, metric: Metric, pair: Pair, level: float, joint: str) -> Difference:
        a, b = (self.sides.ratio(side, metric) for side in pair)
        low, high = square_and_add(wilson(*a, level), wilson(*b, level))
        value, error = a[0] / a[1] - b[0] / b[1], math.sqrt(_binomial(*a) + _binomial(*b))
        method = f"Newcombe's interval{joint}; p-value: Pearson's chi-squared"
        return Difference(value, low, high, share_difference_p(*a, *b), error, method)

    def _auroc(self, pair: Pair, level: float, joint: str) -> Difference:
        a, b = (self._area(side, level) for side in pair)
        method = f"unpaired {a.method if a.method == b.method else 'DeLong, square-and-add'}{joint}; p-value: normal"
        return _added(a, b, method)

    def _area(self, side: int, level: float) -> Estimate:
        if (side, level) not in self._areas:
            self._areas[side, level] = self.estimate(side, "auroc", level)
        return self._areas[side, level]


class Patients:
    """Some patient has several films: whole patients are drawn, the same for every side."""

    def __init__(self, sides: Sides, plan: Plan) -> None:
        self.sides = sides
        self.sample: Sample = resample(sides.films.sums, sides.clusters.count, plan).map(accuracy)

    def estimate(self, side: int, metric: Metric, level: float) -> Estimate:
        """Bootstrap of patients; where all draws agree on 0 or 1, exact with patients counted instead of films."""
        bounds = (0.0, math.inf) if metric == "observed_expected" else (0.0, 1.0)
        found = self.sample.estimate(
            self._column(side, metric),
            level=level,
            n=self.sides.size(side, metric),
            method=NAMES[metric],
            bounds=bounds,
        )
        if found.value in (0.0, 1.0) and metric != "observed_expected":
            fewest = self.sides.patients(side, metric)
            exact = clopper_pearson(int(found.value) * fewest, fewest, level)
            method = f"{NAMES[metric]}; exact, {fewest:,} patients counted instead of films (the draws have no spread)"
            return exact.model_copy(update={"method": method, "n": found.n})
        return found

    def _column(self, side: int, metric: Metric) -> int:
        return side * len(METRICS) + METRICS.index(metric)

    def differences(self, metric: Metric, pairs: Sequence[Pair], level: float) -> list[Difference]:
        """Max-t over the pairs; a pair with a side at 0 or 1 has its interval by square-and-add at Šidák's level.

        With d of m pairs of the second kind, each of these has level^(1/m), and the others level^((m - d)/m) together:
        the product is ``level``. The critical value is turned from the normal into Student's distribution with the
        patients of the smaller side minus 1 degrees of freedom, and the error widened by sqrt(patients / (patients -
        1)): the plain bootstrap has the variance of the sample, and takes it for known.
        """
        if not pairs:
            return []
        at = np.array([[self._column(side, metric) for side in pair] for pair in pairs])
        point = self.sample.point[at[:, 0]] - self.sample.point[at[:, 1]]
        drawn = self.sample.replicates[:, at[:, 0]] - self.sample.replicates[:, at[:, 1]]
        flat = np.isin(self.sample.point[at], (0.0, 1.0)).any(axis=1)
        each = sidak_level(level, len(pairs))
        joint = max_t(np.where(flat, np.nan, point), drawn, each ** max(1, int((~flat).sum())))
        text = f"max-t of {len(drawn):,} joint draws of patients" if len(pairs) > 1 else "bootstrap of patients"
        found = []
        for j, (a, b) in enumerate(pairs):
            if np.isnan(joint.low[j]):
                method = (
                    f"square-and-add of two intervals at Šidák's level for {len(pairs)} comparisons; p-value: normal"
                )
                found.append(_added(self.estimate(a, metric, each), self.estimate(b, metric, each), method))
                continue
            fewest = max(2, min(self.sides.patients(side, metric) for side in (a, b)))
            value, error = float(point[j]), float(joint.standard_error[j]) * math.sqrt(fewest / (fewest - 1))
            # Far out, where the normal tail underflows, the two quantiles are taken to be proportional.
            reach = min(joint.critical, _FAR)
            half = float(stats.t.isf(stats.norm.sf(reach), fewest - 1)) * joint.critical / reach * error
            p_value = float(2 * stats.t.sf(abs(value) / error, fewest - 1))
            method = f"{text}, Student's t with {fewest - 1:,} degrees of freedom; p-value: t test"
            found.append(Difference(value, value - half, value + half, p_value, error, method))
        return found


def engine_for(sides: Sides, plan: Plan) -> Engine:
    """The bootstrap of patients where some patient has several films, else exact and DeLong intervals."""
    return Patients(sides, plan) if sides.repeated else Independent(sides)


def _binomial(k: int, n: int) -> float:
    return k / n * (1 - k / n) / n


def _scaled(share: Estimate, factor: float) -> Estimate:
    """An estimate times a positive constant."""
    assert share.value is not None
    assert share.low is not None
    assert share.high is not None
    value = share.value * factor
    low, high = clipped(value, share.low * factor, share.high * factor, (0.0, math.inf))
    method = "exact (Clopper–Pearson) positives over the sum of scores, which is taken as fixed"
    return Estimate(value=value, low=low, high=high, level=share.level, method=method, n=share.n)


def _added(a: Estimate, b: Estimate, method: str) -> Difference:
    """Difference of two estimates with intervals."""
    assert a.value is not None
    assert b.value is not None
    value = a.value - b.value
    if a.low is None or b.low is None:
        return Difference(value, None, None, None, math.nan, method)
    low, high = square_and_add(a, b)
    z = float(stats.norm.isf((1 - a.level) / 2))
    error = ((value - low) if value > 0 else (high - value)) / z
    return Difference(value, low, high, p_from_bounds(value, low, high, a.level), error, method)
