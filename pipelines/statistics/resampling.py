"""The bootstrap over patients: who is drawn, and intervals from what the draws give.

Films of one patient are not independent, so whole patients are drawn with replacement. A draw is a row of weights: how
often each patient was drawn. A statistic turns blocks of such rows into values, so memory stays bounded and the same
draws serve every statistic: differences between findings, systems or subgroups are paired by construction.

The draws depend on the number of patients, the seed and the replicate's number alone; not on threads or block sizes.

Sources: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 14 (percentile, BCa); Field &
Welsh, J. R. Stat. Soc. B 69 (2007) 369 (the bootstrap of clusters).
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import Estimate, clipped
from pipelines.statistics.kernels import Weights, draw_into

Statistic = Callable[[Weights], Floats]
"""Weights ``[b, count]`` (how often each patient counts) to values ``[b, k]``; NaN where a value is undefined."""

BLOCK_BYTES: Final = 16 * 2**20
"""Weights held at once. A statistic that widens them to one float per film needs some thirty times as much."""
JACKKNIFE_GROUPS: Final = 500
"""With more patients than this, the jackknife leaves out one of this many groups of patients instead of one patient."""
_ROUNDING: Final = 1e-12
"""Values closer than this (relative to 1 or to the value) differ by the order of summation only."""


@dataclass(frozen=True)
class Clusters:
    """Which patient each film belongs to."""

    index: NDArray[np.int32]
    """``[n]``: number of the patient, 0 to ``count`` - 1."""
    count: int
    """Patients, including those without a film among these after `take`."""

    @classmethod
    def of(cls, patients: Sequence[Hashable] | NDArray[np.generic] | None, n: int) -> Self:
        """Number the patients in order of appearance.

        Args:
            patients: ``[n]``, anything hashable; an entry that is None or NaN is an unknown patient, who counts as a
                patient with this one film. None: every film is a patient of its own.
            n: films.

        Raises:
            EvaluationError: ``patients`` has another length.
        """
        if patients is None:
            return cls(np.arange(n, dtype=np.int32), n)
        if len(patients) != n:
            raise EvaluationError(f"There must be one patient per film, got {len(patients)} patients for {n} films.")
        if isinstance(patients, np.ndarray) and patients.dtype != object:
            values = patients
        else:
            values = np.empty(n, dtype=object)  # numpy would make columns out of a list of tuples
            values[:] = list(patients)
        codes, known = pd.factorize(values)
        unknown = codes < 0
        codes[unknown] = len(known) + np.arange(int(unknown.sum()))
        return cls(codes.astype(np.int32), len(known) + int(unknown.sum()))

    def take(self, rows: ArrayLike) -> Self:
        """Keep some films, by mask or by index; the patients keep their numbers, so draws stay joint."""
        return type(self)(self.index[np.asarray(rows)], self.count)

    @property
    def present(self) -> int:
        """Patients with at least one film here."""
        return len(np.unique(self.index))

    @property
    def repeated(self) -> bool:
        """Whether some patient has several films here."""
        return self.present < len(self.index)


@dataclass(frozen=True)
class Plan:
    """How to resample.

    Raises:
        EvaluationError: fewer than 2 replicates, a negative seed, or an unknown kind.
    """

    replicates: int = 2000
    seed: int = 1
    kind: Literal["percentile", "bca"] = "bca"
    unit: Literal["patients", "films"] = "patients"
    """What one cluster is, for the method's name."""

    def __post_init__(self) -> None:
        if self.replicates < 2:
            raise EvaluationError(f"replicates must be at least 2, got {self.replicates}.")
        if not 0 <= self.seed < 2**63:
            raise EvaluationError(f"seed must lie between 0 and 2^63 - 1, got {self.seed}.")
        if self.kind not in ("percentile", "bca"):
            raise EvaluationError(f"kind must be 'percentile' or 'bca', got {self.kind!r}.")


@dataclass(frozen=True)
class Sample:
    """k statistics on the films themselves, on resampled patients and with patients left out."""

    point: Floats
    """``[k]``"""
    replicates: Floats
    """``[B, k]``"""
    jackknife: Floats
    """``[G, k]``: without patient g, or without group g of the patients; ``[0, k]`` with fewer than two patients, and
    where the plan's intervals do without (percentile)."""
    plan: Plan

    def map(self, function: Callable[[Floats], Floats]) -> "Sample":
        """The same of derived quantities: ``function`` turns ``[rows, k]`` into ``[rows, k2]``."""
        return Sample(function(self.point[None])[0], function(self.replicates), function(self.jackknife), self.plan)

    def join(self, *others: "Sample") -> "Sample":
        """Statistics of the same draws side by side."""
        assert all((other.plan, len(other.jackknife)) == (self.plan, len(self.jackknife)) for other in others)
        every = (self, *others)
        return Sample(
            np.concatenate([sample.point for sample in every]),
            np.concatenate([sample.replicates for sample in every], axis=1),
            np.concatenate([sample.jackknife for sample in every], axis=1),
            self.plan,
        )

    def estimate(
        self,
        j: int,
        *,
        level: float,
        n: int,
        method: str,
        bounds: tuple[float, float] = (0.0, 1.0),
        why: str = "undefined on these films",
    ) -> Estimate:
        """Statistic j with its interval.

        Args:
            j: which of the k statistics.
            level: confidence level.
            n: films in its denominator.
            method: name of the statistic; the interval's name is added.
            bounds: the range that the statistic cannot leave.
            why: what to say where the statistic has no value on the films themselves.

        Returns:
            The estimate. Replicates where the statistic is undefined (or infinite) are left out and counted in the
            method; with more than half undefined, or all equal, there is a value, no interval, and the reason.
        """
        value, drawn = float(self.point[j]), self.replicates[:, j]
        text = f"bootstrap of {self.plan.unit}, {len(drawn):,} replicates"
        if not np.isfinite(value):
            return Estimate.absent(why, method=f"{method}; {text}", n=n, level=level)
        known = drawn[np.isfinite(drawn)]
        undefined = len(drawn) - len(known)
        if undefined:
            text += f", {undefined:,} undefined and left out"
        missing = None
        if 2 * undefined > len(drawn):
            missing = f"undefined in {undefined:,} of {len(drawn):,} bootstrap replicates"
        elif np.ptp(known) <= _ROUNDING * max(1.0, abs(value)):
            missing = "all bootstrap replicates are equal"
        if missing:
            return Estimate(value=value, low=None, high=None, level=level, method=f"{method}; {text}", n=n, why=missing)
        tails, name = _tails(value, known, self.jackknife[:, j], level, self.plan.kind)
        low, high = map(float, np.quantile(known, tails))
        if max(high, value) - min(low, value) <= _ROUNDING * max(1.0, abs(value)):
            why = "nearly all bootstrap replicates are equal: both bounds would be the value"
            return Estimate(value=value, low=None, high=None, level=level, method=f"{method}; {text}", n=n, why=why)
        if not low <= value <= high and not np.isclose(np.clip(value, low, high), value, rtol=0, atol=_ROUNDING):
            name += ", widened to hold the value"
        low, high = clipped(value, low, high, bounds)
        return Estimate(value=value, low=low, high=high, level=level, method=f"{method}; {name} {text}", n=n)


def _tails(value: float, known: Floats, jackknife: Floats, level: float, kind: str) -> tuple[list[float], str]:
    """Quantiles of the replicates that bound the interval, and the name of the rule."""
    plain = [(1 - level) / 2, (1 + level) / 2]
    if kind == "percentile":
        return plain, "percentile"
    same = np.abs(known - value) <= _ROUNDING * max(1.0, abs(value))
    share = float((~same & (known < value)).mean() + same.mean() / 2)
    if not 0 < share < 1:
        return plain, "percentile (BCa is undefined: the value lies outside its replicates)"
    bias, skew = float(special.ndtri(share)), acceleration(jackknife)
    bent = bias + special.ndtri(plain)
    scale = 1 - skew * bent
    if (scale <= 0).any():
        return plain, "percentile (BCa is undefined: the acceleration is too large)"
    return [float(tail) for tail in special.ndtr(bias + bent / scale)], "BCa"


def acceleration(jackknife: Floats) -> float:
    """Acceleration of BCa from the values with one patient, or one group of patients, left out.

    Leaving out groups gives the same in expectation: a group's influence is the sum of its members', sums of squares
    and of cubes over independent, centred terms add up, and so both sums over all groups equal those over all patients.

    Args:
        jackknife: ``[G]``; undefined values are left out.

    Returns:
        The skewness of the influences over 6 sqrt(G); 0 where it is undefined (the interval is then the
        bias-corrected percentile one).

    Source: Efron & Tibshirani 1993, equation 14.15.
    """
    known = jackknife[np.isfinite(jackknife)]
    if len(known) < 2:
        return 0.0
    # A skewness has no unit: with the largest value as the unit, no score is too large to be squared.
    known = known / max(1.0, float(np.abs(known).max()))
    away = known.mean() - known
    squares = float((away**2).sum())
    if squares <= _ROUNDING**2:
        return 0.0
    return float((away**3).sum() / (6 * squares**1.5))


def resample(statistic: Statistic, count: int, plan: Plan) -> Sample:
    """Evaluate a statistic on the films, on resampled patients, and with patients left out.

    Args:
        statistic: weights ``[b, count]`` to values ``[b, k]``; rows must not depend on each other.
        count: patients.
        plan: replicates and seed; the same count and plan give the same draws whatever the statistic.
    """
    rows = max(1, BLOCK_BYTES // max(1, count))
    starts = range(0, plan.replicates, rows)
    left_out = _left_out(count, plan.seed, rows) if plan.kind == "bca" else ()
    drawn = (draw(count, plan.seed, first, min(rows, plan.replicates - first)) for first in starts)
    point = _evaluated(statistic, np.ones((1, count), dtype=np.uint8))
    return Sample(
        point=point[0],
        replicates=_stacked(statistic, drawn, point.shape[1]),
        jackknife=_stacked(statistic, left_out, point.shape[1]),
        plan=plan,
    )


def _stacked(statistic: Statistic, blocks: Iterable[Weights], k: int) -> Floats:
    return np.concatenate([np.empty((0, k)), *(_evaluated(statistic, block) for block in blocks)])


def _evaluated(statistic: Statistic, weights: Weights) -> Floats:
    values = np.asarray(statistic(weights), dtype=np.float64)
    assert values.shape[:1] == weights.shape[:1]
    assert values.ndim == 2
    return values


def _left_out(count: int, seed: int, rows: int) -> Iterable[Weights]:
    """Blocks of weights where one patient, or one group of patients, has weight 0."""
    if count < 2:
        return
    groups = min(count, JACKKNIFE_GROUPS)
    # Groups at random: neighbours in a table (one site, one day) would make groups that differ more than chance does.
    group = np.arange(count) % groups
    if groups < count:
        group = np.random.default_rng(seed).permutation(group)
    for first in range(0, groups, rows):
        yield (group != np.arange(first, min(first + rows, groups))[:, None]).astype(np.uint8)


def draw(count: int, seed: int, first: int, rows: int) -> Weights:
    """Draw ``count`` of ``count`` patients with replacement, for replicates ``first`` to ``first + rows - 1``.

    Returns:
        How often each patient was drawn, ``[rows, count]``. More than 255 times is counted as 255: with n patients
        that has a probability below n / 256!, and cannot happen with up to 255 patients.
    """
    weights = np.zeros((rows, count), dtype=np.uint8)
    draw_into(weights, np.uint64(seed), first)
    return weights
