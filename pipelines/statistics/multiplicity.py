"""Several comparisons at once: adjusted p-values and simultaneous intervals."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Floats

_ROUNDING: Final = 1e-12
_ENOUGH: Final = 0.5
"""A difference that is undefined in more than this share of the replicates has no interval."""


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment: the chance of any false claim in the family stays below the level.

    Args:
        p_values: ``[m]`` in [0, 1]; NaN = no test was made: not a member of the family.

    Returns:
        Adjusted p-values ``[m]``, NaN where there was no test. Valid whatever the dependence between the tests.

    Raises:
        EvaluationError: a value outside [0, 1].

    Source: Holm, Scand. J. Stat. 6 (1979) 65.
    """
    p = np.asarray(p_values, dtype=np.float64)
    tested = ~np.isnan(p)
    if ((p[tested] < 0) | (p[tested] > 1)).any():
        raise EvaluationError("p-values must lie in [0, 1].")
    adjusted = np.full(p.shape, np.nan)
    known = p[tested]
    order = np.argsort(known, kind="stable")
    stepped = np.minimum(1.0, np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1)))
    back = np.empty(len(known))
    back[order] = stepped
    adjusted[tested] = back
    return adjusted


def sidak_level(level: float, comparisons: int) -> float:
    """Level of each of m intervals that hold together with at least ``level``: its m-th root.

    For two-sided intervals of jointly normal estimates it holds whatever their correlation.

    Args:
        level: joint confidence level, (0, 1).
        comparisons: m; 0 counts as 1.

    Source: Šidák, J. Am. Stat. Assoc. 62 (1967) 626.
    """
    assert 0 < level < 1
    assert comparisons >= 0
    return float(level ** (1 / max(1, comparisons)))


@dataclass(frozen=True)
class Simultaneous:
    """Intervals that hold together."""

    low: Floats
    """``[k]``; NaN where a difference has no interval."""
    high: Floats
    standard_error: Floats
    """Standard deviation of the replicates, ``[k]``; NaN or 0 where there is no interval."""
    critical: float
    """What each standard error was multiplied with; NaN where no difference has an interval."""


def max_t(point: ArrayLike, replicates: ArrayLike, level: float) -> Simultaneous:
    """Simultaneous intervals from joint bootstrap replicates: value ± q standard errors.

    q is the ``level`` quantile over replicates of the largest absolute studentised deviation, so that the correlation
    between the comparisons is used instead of being bounded.

    Args:
        point: ``[k]`` values on the films themselves; NaN = undefined.
        replicates: ``[B, k]`` of the same draws; NaN = undefined there: left out of that replicate's maximum.
        level: joint confidence level.

    Source: Westfall & Young, Resampling-Based Multiple Testing, 1993, section 2.6; Romano & Wolf, J. Am. Stat. Assoc.
    100 (2005) 94.
    """
    value, drawn = np.asarray(point, dtype=np.float64), np.asarray(replicates, dtype=np.float64)
    known = np.isfinite(drawn)
    counts = known.sum(axis=0)
    deviation = np.where(known, drawn - value, 0.0)
    mean = deviation.sum(axis=0) / np.maximum(counts, 1)
    squares = (np.where(known, deviation - mean, 0.0) ** 2).sum(axis=0)
    error = np.sqrt(squares / np.maximum(counts - 1, 1))
    error[~np.isfinite(value) | (counts < 2)] = np.nan
    usable = (error > _ROUNDING) & (counts >= _ENOUGH * len(drawn))
    if not usable.any():
        nothing = np.full(value.shape, np.nan)
        return Simultaneous(nothing, nothing.copy(), error, float("nan"))
    largest = np.abs(deviation[:, usable] / error[usable]).max(axis=1)
    critical = float(np.quantile(largest, level, method="higher"))
    half = np.where(usable, critical * np.nan_to_num(error), np.nan)
    return Simultaneous(value - half, value + half, error, critical)
