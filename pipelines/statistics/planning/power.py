"""How many films a planned study needs: exact searches where the binomial allows, named approximations elsewhere."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from pipelines.errors import ConfigError
from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import DEFAULT_LEVEL, percent_text
from pipelines.statistics.record import Record

DEFAULT_POWER: Final = 0.8
LARGEST: Final = 10_000_000
"""No study of more films is planned here: a question that needs more is answered by a sentence."""
_BLOCK: Final = 4096
_Ints = NDArray[np.int64]


class Need(Record):
    """How many films one question of a planned study needs."""

    question: str
    """What shall be reached, in words."""
    n: int
    """Smallest number of independent films of the class (or of both classes, as the question says) that reaches it."""
    stays_from: int
    """From this number on every larger one reaches it too; chances of counts rise in small steps back and forth."""
    films: int
    """Films to take where a patient brings several: ``stays_from`` times the design effect."""
    patients: int
    """Patients who bring them."""
    achieved: float
    """What is reached with ``n`` films: the expected width or bound, or the chance of reaching it."""
    method: str


def check_open_share(**shares: float) -> None:
    """Raise ConfigError for a number that is not strictly between 0 and 1; the keyword is its name."""
    for name, value in shares.items():
        if not 0 < value < 1:
            raise ConfigError(f"{name} must lie between 0 and 1 (both excluded), got {value:g}.")


def check_share(**shares: float) -> None:
    """Raise ConfigError for a number outside [0, 1]; the keyword is its name."""
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} must lie in [0, 1], got {value:g}.")


def design_effect(films_per_patient: float, icc: float) -> float:
    """How many times more films are needed when a patient brings several: 1 + (films - 1) x correlation.

    Args:
        films_per_patient: mean number, at least 1.
        icc: correlation of the answers on two films of one patient, [0, 1].

    Raises:
        ConfigError: a number outside its range.

    Source: Kish, Survey Sampling, 1965, section 5.4.
    """
    check_share(icc=icc)
    if not (1 <= films_per_patient <= LARGEST):
        raise ConfigError(f"films_per_patient must lie between 1 and {LARGEST:,}, got {films_per_patient:g}.")
    return 1 + (films_per_patient - 1) * icc


def with_design(need: Need, films_per_patient: float, icc: float) -> Need:
    """The same need where each patient brings several films; rounded up to whole films and patients."""
    films = math.ceil(round(need.stays_from * design_effect(films_per_patient, icc), 9))
    return need.model_copy(update={"films": films, "patients": math.ceil(round(films / films_per_patient, 9))})


def sample_size_for_gap(
    share_a: float,
    share_b: float,
    *,
    level: float = DEFAULT_LEVEL,
    power: float = DEFAULT_POWER,
    ratio: float = 1.0,
) -> int | None:
    """Films in group a that show a difference between two independent groups, by a two-sided test.

    Args:
        share_a: expected share in group a, [0, 1].
        share_b: expected share in group b, [0, 1].
        level: 1 - the two-sided significance level.
        power: chance of showing the difference if it is true.
        ratio: films in group b per film in group a.

    Returns:
        Films needed in group a, rounded up (group b needs ``ratio`` times as many); None where there is no gap.

    Raises:
        ConfigError: a number outside its range.

    Source: Fleiss, Statistical Methods for Rates and Proportions, 3rd ed. 2003, section 4.2 (normal approximation,
    pooled variance under the hypothesis of no difference, without continuity correction).
    """
    check_share(share_a=share_a, share_b=share_b)
    check_open_share(level=level, power=power)
    if not (ratio > 0 and math.isfinite(ratio)):
        raise ConfigError(f"ratio must be larger than 0, got {ratio:g}.")
    gap = abs(share_a - share_b)
    if gap < 1e-9:
        return None
    pooled = (share_a + ratio * share_b) / (1 + ratio)
    under_null = math.sqrt((1 + 1 / ratio) * pooled * (1 - pooled))
    under_gap = math.sqrt(share_a * (1 - share_a) + share_b * (1 - share_b) / ratio)
    z_level, z_power = stats.norm.isf((1 - level) / 2), stats.norm.ppf(power)
    reach = max(0.0, float(z_level * under_null + z_power * under_gap))
    return max(1, math.ceil(round((reach / gap) ** 2, 9)))


def exact_bounds(k: _Ints, n: _Ints | int, level: float) -> tuple[Floats, Floats]:
    """Clopper–Pearson bounds of k of n, elementwise; see `pipelines.statistics.proportions.clopper_pearson`."""
    tail = (1 - level) / 2
    k, n = np.broadcast_arrays(np.asarray(k, dtype=np.int64), np.asarray(n, dtype=np.int64))
    low = np.where(k == 0, 0.0, special.betaincinv(np.maximum(k, 1), n - k + 1, tail))
    high = np.where(k == n, 1.0, special.betainccinv(k + 1, np.maximum(n - k, 1), tail))
    return low, high


def size_for_width(
    share: float, width: float, *, level: float = DEFAULT_LEVEL, assurance: float | None = None, of: str = "share"
) -> Need:
    """Films that make an exact (Clopper–Pearson) interval as narrow as wanted.

    Args:
        share: expected sensitivity or specificity, [0, 1].
        width: total width of the interval, (0, 1).
        level: confidence level of the interval.
        assurance: None: the width is reached on average over the counts that a study may find; a chance in (0, 1):
            the width is reached with at least this chance.
        of: what the share is, for the sentences.

    Raises:
        ConfigError: a number outside its range, or more than `LARGEST` films needed.
    """
    check_share(**{of: share})
    check_open_share(width=width, level=level)
    shown = f"{percent_text(level)} interval of {of} {share:g} no wider than {width:g}"
    if assurance is None:
        return _search(
            lambda n: _expected(n, share, lambda k, size: np.subtract(*exact_bounds(k, size, level)[::-1])),
            lambda reached: reached <= width,
            question=f"{shown}, on average",
            method="exact search: Clopper–Pearson width averaged over the binomial distribution of the count",
        )
    check_open_share(assurance=assurance)
    return _search(
        lambda n: _chance_of_width(n, share, width, level),
        lambda reached: reached >= assurance,
        question=f"{shown}, with a chance of at least {assurance:g}",
        method="exact search: binomial chance that the Clopper–Pearson interval is narrow enough",
    )


def size_for_lower_bound(
    share: float, bound: float, *, level: float = DEFAULT_LEVEL, assurance: float | None = None, of: str = "share"
) -> Need:
    """Films that put the lower bound of an exact interval at or above a bar.

    With ``assurance`` this is also the sample size of a one-sided exact binomial test at (1 - level) / 2 with that
    power: non-inferiority of a single arm to ``bound`` = reference - margin.

    Args:
        share: expected sensitivity or specificity, larger than ``bound``.
        bound: the bar, [0, 1).
        level: confidence level of the two-sided interval.
        assurance: None: the lower bound is reached on average; a chance in (0, 1): with at least this chance.
        of: what the share is, for the sentences.

    Raises:
        ConfigError: a number outside its range, or more than `LARGEST` films needed.
    """
    check_share(**{of: share})
    check_open_share(level=level, bound=bound)
    if share <= bound:
        raise ConfigError(f"bound must lie below the expected {of} {share:g}, got {bound:g}.")
    shown = f"lower {percent_text(level)} bound of {of} {share:g} at or above {bound:g}"
    if assurance is None:
        return _search(
            lambda n: _expected(n, share, lambda k, size: exact_bounds(k, size, level)[0]),
            lambda reached: reached >= bound,
            question=f"{shown}, on average",
            method="exact search: Clopper–Pearson lower bound averaged over the binomial distribution of the count",
        )
    check_open_share(assurance=assurance)
    return _search(
        lambda n: _chance_of_bound(n, share, bound, level),
        lambda reached: reached >= assurance,
        question=f"{shown}, with a chance of at least {assurance:g}",
        method="exact search: binomial chance that the Clopper–Pearson lower bound reaches it",
    )


def _expected(sizes: _Ints, share: float, quantity: Callable[[_Ints, _Ints], Floats]) -> Floats:
    """Mean of a quantity of the count, for each size; counts with less than 1e-13 of the probability are left out."""
    means = np.empty(len(sizes))
    for i, n in enumerate(sizes):
        first, last = (0, int(n)) if share in (0.0, 1.0) else stats.binom.ppf([5e-14, 1 - 5e-14], n, share).astype(int)
        k = np.arange(max(0, first), last + 1)
        weight = stats.binom.pmf(k, n, share)
        means[i] = float(np.sum(weight * quantity(k, n)) / np.sum(weight))
    return means


def _chance_of_width(sizes: _Ints, share: float, width: float, level: float) -> Floats:
    """Chance of a width of at most ``width``: widths grow from k = 0 to n / 2, so a count on each side decides."""
    below, above = np.full(len(sizes), -1), sizes // 2 + 1  # narrow enough at `below`, too wide at `above`
    while (above - below > 1).any():
        middle = (below + above) // 2
        low, high = exact_bounds(np.maximum(middle, 0), sizes, level)
        narrow = (high - low <= width) | (middle < 0)
        below, above = np.where(narrow, middle, below), np.where(narrow, above, middle)
    everywhere = below >= sizes // 2
    chance = stats.binom.cdf(below, sizes, share) + stats.binom.sf(sizes - below - 1, sizes, share)
    return np.where(everywhere, 1.0, chance)


def _chance_of_bound(sizes: _Ints, share: float, bound: float, level: float) -> Floats:
    """Chance of a lower bound of at least ``bound``: k reaches it where P(X >= k | bound) <= (1 - level) / 2."""
    tail = (1 - level) / 2
    enough = stats.binom.isf(tail, sizes, bound).astype(np.int64) + 1
    # isf may land one off where the tail is met to the last bit.
    enough -= (stats.binom.sf(enough - 2, sizes, bound) <= tail) & (enough >= 1)
    return np.asarray(stats.binom.sf(enough - 1, sizes, share), dtype=np.float64)


def _search(
    reach: Callable[[_Ints], Floats], meets: Callable[[Floats], NDArray[np.bool_]], *, question: str, method: str
) -> Need:
    """Smallest size that meets a condition whose trend is monotone, and the size from which it holds for good.

    Bisection finds a crossing; a window around it is then looked at size by size.
    """
    crossing = smallest(lambda n: bool(meets(reach(np.array([n])))[0]), question)
    # Averages are smooth in n; chances move in teeth, so the window grows until both its ends are quiet.
    margin = 2 if "averaged" in method else 60 + 6 * math.isqrt(crossing)
    while True:
        window = np.arange(max(1, crossing - margin), crossing + margin + 1)
        reached = np.concatenate([reach(part) for part in np.array_split(window, -(-len(window) // _BLOCK))])
        good = meets(reached)
        quiet = max(1, margin // 3)
        if good[-quiet:].all() and (window[0] == 1 or not good[:quiet].any()):
            break
        margin *= 2
    first = int(np.argmax(good))
    n, stays = int(window[first]), int(window[0] if good.all() else window[np.flatnonzero(~good)[-1] + 1])
    return Need(
        question=question,
        n=n,
        stays_from=stays,
        films=stays,
        patients=stays,
        achieved=float(reached[first]),
        method=method,
    )


def smallest(good: Callable[[int], bool], question: str) -> int:
    """Smallest n with ``good(n)``, where good is monotone; otherwise a number at which it turns from bad to good.

    Raises:
        ConfigError: no size up to `LARGEST` is good; the question is quoted.
    """
    low, top = 0, 1
    while not good(top):
        low, top = top, 2 * top
        if top > LARGEST:
            raise ConfigError(f"More than {LARGEST:,} films would be needed for: {question}.")
    while top - low > 1:
        middle = (low + top) // 2
        low, top = (low, middle) if good(middle) else (middle, top)
    return top
