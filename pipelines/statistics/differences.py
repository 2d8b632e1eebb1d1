"""Differences between two independent groups of films."""

import math
from typing import Final

from scipy import stats

from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped

WILSON: Final = "Wilson score"
_ALIKE: Final = 1e-12


def wilson(k: float, n: float, level: float = DEFAULT_LEVEL) -> Estimate:
    """Share k of n with Wilson's score interval, the part that Newcombe's interval of a difference is made of.

    Args:
        k: films counted, 0 <= k <= n.
        n: films looked at; 0 has no answer.
        level: confidence level.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
    """
    assert 0 <= k <= n
    if n == 0:
        return Estimate.absent("no films", method=WILSON, level=level)
    share, z2 = k / n, float(stats.norm.isf((1 - level) / 2)) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    low, high = clipped(share, centre - half, centre + half, (0.0, 1.0))
    return Estimate(value=share, low=low, high=high, level=level, method=WILSON, n=math.ceil(n))


def square_and_add(a: Estimate, b: Estimate) -> tuple[float, float]:
    """Interval of a - b from the intervals of two independent estimates of one level.

    The distance from the difference to its bound is the root of the summed squares of the distances from each value to
    the bound that moves the difference that way. Two normal intervals give the normal one; two Wilson intervals give
    Newcombe's (his method 10).

    Returns:
        Lower and upper bound, not clipped.

    Source: Newcombe, Stat. Med. 17 (1998) 873; Zou & Donner, Stat. Med. 27 (2008) 1693.
    """
    low_a, high_a = _reach(a)
    low_b, high_b = _reach(b)
    assert a.value is not None
    assert b.value is not None
    assert a.level == b.level
    difference = a.value - b.value
    return difference - math.hypot(low_a, high_b), difference + math.hypot(high_a, low_b)


def _reach(side: Estimate) -> tuple[float, float]:
    assert side.value is not None
    assert side.low is not None
    assert side.high is not None
    return side.value - side.low, side.high - side.value


def share_difference_p(k_a: int, n_a: int, k_b: int, n_b: int) -> float:
    """Two-sided p-value of "no difference between two shares": the score test, Pearson's chi-squared of the 2x2 table.

    Without continuity correction; 1 where both shares are 0 or both are 1.

    Args:
        k_a: films counted in group a.
        n_a: films looked at in group a, at least 1.
        k_b: likewise in group b.
        n_b: likewise.
    """
    assert n_a > 0
    assert n_b > 0
    pooled = (k_a + k_b) / (n_a + n_b)
    variance = pooled * (1 - pooled) * (1 / n_a + 1 / n_b)
    if variance <= 0:
        return 1.0
    return float(2 * stats.norm.sf(abs(k_a / n_a - k_b / n_b) / math.sqrt(variance)))


def p_from_bounds(difference: float, low: float, high: float, level: float) -> float:
    """Two-sided p-value that belongs to a normal interval: 1 - the level at which its nearer bound would be 0.

    Exact for a symmetric normal interval. For others the distance to the bound on the side of 0 stands for the
    standard error, so that p < 1 - level exactly where the interval excludes 0.
    """
    if abs(difference) <= _ALIKE:
        return 1.0
    distance = difference - low if difference > 0 else high - difference
    if distance <= _ALIKE:
        return 0.0
    z = abs(difference) / distance * float(stats.norm.isf((1 - level) / 2))
    return float(2 * stats.norm.sf(z))
