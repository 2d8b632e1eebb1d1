"""What a screening programme asks of a threshold: the target profile, tests, cases and money.

Everyone has a chest X-ray; the flagged are referred to a confirmatory test (for tuberculosis: Xpert), which is taken as
always right. Intervals are the range over a rectangle of sensitivity and specificity, as in
`pipelines.statistics.accuracy.ratios`: positive and negative films are independent samples. Where films of one patient
count several times, `programme_from_sample` takes the bootstrap instead.

Source of the target profile: WHO, High-priority target product profiles for new tuberculosis diagnostics, 2014
(community-based triage test, minimal requirement: sensitivity 90 %, specificity 70 %).
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal

import numpy as np

from pipelines.errors import ConfigError
from pipelines.statistics.accuracy.ratios import Prevalence
from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped, percent_text
from pipelines.statistics.proportions import Confusion
from pipelines.statistics.record import Record
from pipelines.statistics.resampling import Sample

WHO_TRIAGE: Final = "WHO target profile of a triage test for tuberculosis (minimal requirement)"
WHO_SENSITIVITY: Final = 0.90
WHO_SPECIFICITY: Final = 0.70
SCREENED: Final = 100_000
NO_COSTS: Final = "no costs were given"
NUMBERS: Final = {
    "referred_per_100000": "people referred to the confirmatory test per 100,000 screened",
    "tests_avoided_per_100000": "confirmatory tests avoided per 100,000, against testing everyone",
    "tests_avoided_share": "share of confirmatory tests avoided, against testing everyone",
    "tests_per_case": "confirmatory tests per case found (1 / PPV)",
    "cases_found_per_100000": "cases found per 100,000 screened",
    "missed_per_100000": "cases missed per 100,000 screened",
    "cost_per_100000": "cost per 100,000 screened",
    "cost_per_case": "cost per case found",
    "saved_per_100000": "cost saved per 100,000, against the confirmatory test for everyone and no chest X-ray",
    "false_alarms_per_100000": "people referred without the disease per 100,000 screened",
    "cleared_per_100000": "people without the disease who are not referred per 100,000 screened",
}
"""The arithmetic, in the order of the columns of `programme_numbers`."""
_BOTH: Final = (0, 1)
_ALONE: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys(("cases_found_per_100000", "missed_per_100000"), (0,)),
    **dict.fromkeys(("false_alarms_per_100000", "cleared_per_100000"), (1,)),
}
"""Numbers that rest on one rate alone: on sensitivity (0) or on specificity (1)."""
_PEOPLE: Final = (0.0, float(SCREENED))
_BOUNDS: Final = {
    "tests_avoided_share": (0.0, 1.0),
    "tests_per_case": (1.0, math.inf),
    "cost_per_100000": (0.0, math.inf),
    "cost_per_case": (0.0, math.inf),
    "saved_per_100000": (-math.inf, math.inf),
}


class TargetProfile(Record):
    """Whether a threshold reaches a target, judged on bounds of intervals."""

    profile: str
    target_sensitivity: float
    target_specificity: float
    sensitivity: Estimate
    specificity: Estimate
    verdict: Literal["met", "not_met", "not_shown"]
    """``met``: both lower bounds reach their target; ``not_met``: an upper bound lies below; else ``not_shown``."""
    sentence: str


@dataclass(frozen=True)
class Costs:
    """What a programme pays, in one currency.

    Raises:
        ConfigError: a cost that is negative or not finite.
    """

    cxr: float
    """One chest X-ray, read by the system."""
    xpert: float
    """One confirmatory test."""
    other: float = 0.0
    """What each person screened costs besides, with or without a chest X-ray."""
    currency: str = ""

    def __post_init__(self) -> None:
        for name in ("cxr", "xpert", "other"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"costs: {name} must be a number of at least 0, got {value}.")


class Programme(Record):
    """Screening arithmetic at one threshold and one prevalence, per 100,000 people screened."""

    prevalence: float
    prevalence_low: float | None
    prevalence_high: float | None
    sensitivity: Estimate
    specificity: Estimate
    referred_per_100000: Estimate
    tests_avoided_per_100000: Estimate
    tests_avoided_share: Estimate
    tests_per_case: Estimate
    cases_found_per_100000: Estimate
    missed_per_100000: Estimate
    cost_per_100000: Estimate
    cost_per_case: Estimate
    saved_per_100000: Estimate
    false_alarms_per_100000: Estimate | None = None
    """Referred without the disease; null in evaluations by earlier versions, like the next."""
    cleared_per_100000: Estimate | None = None
    """Without the disease and not referred."""
    costs: dict[str, float | str] | None
    """The costs that were given; null: none."""
    assumption: str = "the confirmatory test is taken as always right, and everyone referred takes it"


def target_profile(
    sensitivity: Estimate,
    specificity: Estimate,
    *,
    target_sensitivity: float = WHO_SENSITIVITY,
    target_specificity: float = WHO_SPECIFICITY,
    profile: str = WHO_TRIAGE,
) -> TargetProfile:
    """Judge a threshold against a target profile; by default that of the WHO for triage of tuberculosis."""
    pairs = (("sensitivity", sensitivity, target_sensitivity), ("specificity", specificity, target_specificity))
    verdict: Literal["met", "not_met", "not_shown"] = "not_shown"
    if all(rate.low is not None and rate.low >= target for _, rate, target in pairs):
        verdict = "met"
    elif any(rate.high is not None and rate.high < target for _, rate, target in pairs):
        verdict = "not_met"
    parts = [f"{name} {rate.text()}, target {percent_text(target)}" for name, rate, target in pairs]
    opening = {
        "met": "Met: both lower bounds reach their target",
        "not_met": "Not met: an upper bound lies below its target",
        "not_shown": "Not shown: these films do not decide it",
    }[verdict]
    return TargetProfile(
        profile=profile,
        target_sensitivity=target_sensitivity,
        target_specificity=target_specificity,
        sensitivity=sensitivity,
        specificity=specificity,
        verdict=verdict,
        sentence=f"{opening} ({'; '.join(parts)}).",
    )


def programme_numbers(rates: Floats, prevalence: float, costs: Costs | None = None) -> Floats:
    """The arithmetic of `NUMBERS`, elementwise.

    Args:
        rates: ``[rows, 2]``, sensitivity and specificity.
        prevalence: share of diseased people among those screened.
        costs: None: the three columns of costs are NaN.

    Returns:
        ``[rows, 11]`` in the order of `NUMBERS`; infinite or NaN where no case is found. For `Sample.map`.
    """
    sensitivity, specificity = rates[:, 0], rates[:, 1]
    found = SCREENED * prevalence * sensitivity
    healthy = SCREENED * (1 - prevalence)
    alarms = healthy * (1 - specificity)
    referred = np.minimum(found + alarms, SCREENED)  # rounding aside
    nothing = np.full(len(rates), np.nan)
    cost, saved = nothing, nothing
    if costs is not None:
        cost = SCREENED * (costs.cxr + costs.other) + referred * costs.xpert
        saved = SCREENED * (costs.xpert + costs.other) - cost
    with np.errstate(divide="ignore", invalid="ignore"):
        per_case, cost_per_case = referred / found, cost / found
    missed = SCREENED * prevalence * (1 - sensitivity)
    avoided = SCREENED - referred
    columns = (referred, avoided, avoided / SCREENED, per_case, found, missed, cost, cost_per_case, saved)
    return np.stack((*columns, alarms, healthy * specificity), axis=1)


def programme_from_counts(
    counts: Confusion, prevalence: Prevalence, *, costs: Costs | None = None, level: float = DEFAULT_LEVEL
) -> Programme:
    """Screening arithmetic from a 2x2 table of independent films, with exact regions.

    Args:
        counts: films by label and flag.
        prevalence: of the place where the system will be used.
        costs: what the programme pays.
        level: confidence level.
    """
    wide, narrow = ((counts.sensitivity(each), counts.specificity(each)) for each in (math.sqrt(level), level))
    return programme_from_rates(wide, narrow, prevalence, costs=costs, n=counts.n)


def programme_from_rates(
    wide: tuple[Estimate, Estimate],
    rates: tuple[Estimate, Estimate],
    prevalence: Prevalence,
    *,
    costs: Costs | None = None,
    n: int,
) -> Programme:
    """Screening arithmetic from sensitivity and specificity, whatever their intervals.

    Args:
        wide: both at the square root of the level, for the numbers that rest on both.
        rates: both at the level.
        prevalence: of the place where the system will be used.
        costs: what the programme pays.
        n: films that both rest on.
    """
    return _programme(wide, rates, prevalence, costs, rates[0].level, n)


def programme_from_estimates(
    sensitivity: Estimate, specificity: Estimate, prevalence: Prevalence, *, costs: Costs | None = None
) -> Programme:
    """Screening arithmetic from published or computed rates of independent samples of positives and negatives.

    Numbers that rest on both rates have the product of the two levels: with 95 % each it is 90.25 %. Ask for rates at
    the square root of the level that is wanted.
    """
    pair = (sensitivity, specificity)
    level = sensitivity.level * specificity.level
    return _programme(pair, pair, prevalence, costs, level, sensitivity.n + specificity.n)


def programme_from_sample(
    sample: Sample,
    prevalence: Prevalence,
    *,
    n_positive: int,
    n_negative: int,
    columns: tuple[int, int] = (0, 1),
    costs: Costs | None = None,
    level: float = DEFAULT_LEVEL,
) -> Programme:
    """Screening arithmetic from a bootstrap of patients.

    Args:
        sample: with sensitivity and specificity among its columns.
        prevalence: taken as known: its interval does not enter (`programme_from_estimates` takes it).
        n_positive: positive films.
        n_negative: negative films.
        columns: which columns are sensitivity and specificity.
        costs: what the programme pays.
        level: confidence level.
    """
    value = prevalence.value
    rates = sample.map(lambda rows: rows[:, list(columns)])
    drawn = rates.map(lambda rows: programme_numbers(rows, value, costs))

    def one(j: int, name: str) -> Estimate:
        return drawn.estimate(
            j,
            level=level,
            n=sum((n_positive, n_negative)[rate] for rate in _ALONE.get(name, _BOTH)),
            method=f"{NUMBERS[name]}, at a prevalence of {value:g}",
            bounds=_BOUNDS.get(name, _PEOPLE),
            why=_why_undefined(name, costs),
        )

    return _record(
        Prevalence(value),
        rates.estimate(0, level=level, n=n_positive, method="sensitivity", why="no positive films"),
        rates.estimate(1, level=level, n=n_negative, method="specificity", why="no negative films"),
        {name: one(j, name) for j, name in enumerate(NUMBERS)},
        costs,
    )


Rates = tuple[Estimate, Estimate]


def _programme(
    both: Rates, alone: Rates, prevalence: Prevalence, costs: Costs | None, level: float, n: int
) -> Programme:
    """Every number with its range: those of both rates over ``both``, those of sensitivity alone over ``alone``."""
    numbers = {}
    for j, name in enumerate(NUMBERS):
        single = name in _ALONE
        pair = alone if single else both
        films = sum(alone[rate].n for rate in _ALONE[name]) if single else n
        numbers[name] = _ranged(j, name, pair, prevalence, costs, alone[0].level if single else level, films)
    return _record(prevalence, *alone, numbers, costs)


def _ranged(
    j: int, name: str, rates: Rates, prevalence: Prevalence, costs: Costs | None, level: float, n: int
) -> Estimate:
    """Number j with its range over the corners: each number is monotone in each rate and in the prevalence."""
    which = _ALONE.get(name, _BOTH)
    used = tuple(rates[place] for place in which)
    region = "rectangle of sensitivity and specificity"
    if len(used) == 1:
        region = f"interval of {('sensitivity', 'specificity')[which[0]]}"
    method = f"{NUMBERS[name]}, {prevalence.text}; range over the {region}"
    for rate in used:
        if rate.value is None:
            return Estimate.absent(rate.why or "no films", method=method, n=n, level=level)

    def at(sensitivity: float, specificity: float, share: float) -> float:
        return float(programme_numbers(np.array([[sensitivity, specificity]]), share, costs)[0, j])

    value = at(rates[0].value or 0.0, rates[1].value or 0.0, prevalence.value)
    if not math.isfinite(value):
        return Estimate.absent(_why_undefined(name, costs), method=method, n=n, level=level)
    if any(rate.low is None for rate in used):
        why = next(rate.why for rate in used if rate.low is None)
        return Estimate(value=value, low=None, high=None, level=level, method=method, n=n, why=why)
    corners = [at(*corner) for corner in itertools.product(*map(_ends, rates), prevalence.range)]
    if not np.isfinite(corners).all():
        least = min(corner for corner in (*corners, value) if math.isfinite(corner))
        why = f"no upper bound: perhaps no case is found; the lower bound is {least:.4g}"
        return Estimate(value=value, low=None, high=None, level=level, method=method, n=n, why=why)
    low, high = clipped(value, min(corners), max(corners), _BOUNDS.get(name, _PEOPLE))
    return Estimate(value=value, low=low, high=high, level=level, method=method, n=n)


def _ends(rate: Estimate) -> tuple[float, float]:
    """Bounds of a rate; one that is not used and has none is put at 0."""
    return (rate.low or 0.0, rate.high or 0.0)


def _why_undefined(name: str, costs: Costs | None) -> str:
    if costs is None and ("cost" in name or name == "saved_per_100000"):
        return NO_COSTS
    return "no case is found"


def _record(
    prevalence: Prevalence,
    sensitivity: Estimate,
    specificity: Estimate,
    numbers: dict[str, Estimate],
    costs: Costs | None,
) -> Programme:
    return Programme(
        prevalence=prevalence.value,
        prevalence_low=prevalence.low,
        prevalence_high=prevalence.high,
        sensitivity=sensitivity,
        specificity=specificity,
        **numbers,
        costs=None if costs is None else asdict(costs),
    )
