"""Ratios of sensitivity and specificity: likelihood ratios, and predictive values at a prevalence that a user names.

The interval is the range of the ratio over a rectangle: bounds of sensitivity times bounds of specificity, each at the
square root of the level. Positive and negative films are independent samples, so the rectangle holds both truths with
at least the level, and so does the range. With exact bounds (Clopper–Pearson) this is exact and conservative. All four
ratios are monotone in both rates; the range is taken from two corners.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped
from pipelines.statistics.proportions import Confusion

EXACT_REGION: Final = "exact region (Clopper–Pearson rectangle of sensitivity and specificity)"
Ratio = Literal["lr_positive", "lr_negative", "ppv", "npv"]
_NAMES: Final[dict[Ratio, str]] = {
    "lr_positive": "positive likelihood ratio",
    "lr_negative": "negative likelihood ratio",
    "ppv": "PPV",
    "npv": "NPV",
}


@dataclass(frozen=True)
class Prevalence:
    """A prevalence that a user names, with an optional interval.

    Raises:
        EvaluationError: not strictly between 0 and 1, or outside its own interval.
    """

    value: float
    """Share of diseased people among those screened, in (0, 1)."""
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.value < 1:
            raise EvaluationError(f"The local prevalence must lie strictly between 0 and 1, got {self.value}.")
        if (self.low is None) != (self.high is None):
            raise EvaluationError("The interval of the local prevalence needs both bounds.")
        if self.low is not None and self.high is not None and not 0 <= self.low <= self.value <= self.high <= 1:
            raise EvaluationError(
                f"The local prevalence {self.value} must lie inside its interval, got {self.low} to {self.high}."
            )

    @property
    def range(self) -> tuple[float, float]:
        """Its bounds; the value itself where no interval was named."""
        low, high = self.low, self.high
        return (self.value if low is None else low, self.value if high is None else high)

    @property
    def text(self) -> str:
        """In words, for the method of an estimate."""
        if self.low is None or self.high is None:
            return f"at a prevalence of {self.value:g}"
        return f"at a prevalence of {self.value:g}, anywhere from {self.low:g} to {self.high:g}"


def ratios(sensitivity: Floats, specificity: Floats, kind: Ratio, prevalence: float = 0.5) -> Floats:
    """One of the four ratios, elementwise; infinite where only its denominator is 0, NaN where both are."""
    diseased, healthy = prevalence * sensitivity, (1 - prevalence) * specificity
    missed, alarms = prevalence * (1 - sensitivity), (1 - prevalence) * (1 - specificity)
    over, under = {
        "lr_positive": (sensitivity, 1 - specificity),
        "lr_negative": (1 - sensitivity, specificity),
        "ppv": (diseased, diseased + alarms),
        "npv": (healthy, healthy + missed),
    }[kind]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(over / under, dtype=np.float64)


def ratio(sensitivity: float, specificity: float, kind: Ratio, prevalence: float = 0.5) -> float:
    """As `ratios`, of one pair of rates."""
    return float(ratios(np.array([sensitivity]), np.array([specificity]), kind, prevalence)[0])


def region_interval(
    sensitivity: Estimate,
    specificity: Estimate,
    kind: Ratio,
    *,
    level: float,
    n: int,
    prevalence: Prevalence | None = None,
    region: str = EXACT_REGION,
) -> Estimate:
    """A ratio with its range over the rectangle of two intervals.

    Args:
        sensitivity: with its interval at the square root of ``level``.
        specificity: likewise, from other films.
        kind: which ratio.
        level: of the result.
        n: films that both rest on.
        prevalence: of the place where the system will be used; needed for PPV and NPV.
        region: name of the rectangle.
    """
    method = f"{_NAMES[kind]}{f' {prevalence.text}' if prevalence else ''}, {region}"

    def absent(why: str) -> Estimate:
        return Estimate.absent(why, method=method, n=n, level=level)

    for rate in (sensitivity, specificity):
        if rate.value is None:
            return absent(rate.why or "no films")
    assert sensitivity.value is not None
    assert specificity.value is not None
    place = prevalence.value if prevalence else 0.5
    value = ratio(sensitivity.value, specificity.value, kind, place)
    if math.isnan(value):
        return absent("0 divided by 0: " + _nothing(kind))
    if sensitivity.low is None or specificity.low is None:
        if math.isinf(value):
            return absent("infinite: " + _nothing(kind))
        why = f"{sensitivity.why or ''} {specificity.why or ''}".strip()
        return Estimate(value=value, low=None, high=None, level=level, method=method, n=n, why=why)
    low, high = _corners(sensitivity, specificity, kind, prevalence)
    if math.isinf(value):
        return absent(f"infinite: {_nothing(kind)}; its lower bound is {low:.4g}")
    if not math.isfinite(high):
        why = f"the upper bound is infinite; the lower bound is {low:.4g}"
        return Estimate(value=value, low=None, high=None, level=level, method=method, n=n, why=why)
    low, high = clipped(value, low, high, (0.0, 1.0 if prevalence else math.inf))
    return Estimate(value=value, low=low, high=high, level=level, method=method, n=n)


def _corners(
    sensitivity: Estimate, specificity: Estimate, kind: Ratio, prevalence: Prevalence | None
) -> tuple[float, float]:
    """Smallest and largest ratio over the rectangle (and over the interval of the prevalence)."""
    assert sensitivity.low is not None
    assert sensitivity.high is not None
    assert specificity.low is not None
    assert specificity.high is not None
    least, most = prevalence.range if prevalence else (0.5, 0.5)
    poor, good = (sensitivity.low, specificity.low), (sensitivity.high, specificity.high)
    if kind == "lr_negative":  # the one that falls as the rates rise
        poor, good = good, poor
    if kind == "npv":  # falls as the disease becomes more common
        least, most = most, least
    return ratio(*poor, kind, least), ratio(*good, kind, most)


def _nothing(kind: Ratio) -> str:
    return {
        "lr_positive": "no negative film is flagged",
        "lr_negative": "every negative film is flagged",
        "ppv": "no film is flagged",
        "npv": "every film is flagged",
    }[kind]


def exact_ratio(
    counts: Confusion, kind: Ratio, *, level: float = DEFAULT_LEVEL, prevalence: Prevalence | None = None
) -> Estimate:
    """One of the four ratios with its exact region, for independent films.

    Args:
        counts: films by label and flag.
        kind: ``lr_positive`` (how much more often a positive film is flagged than a negative one), ``lr_negative`` (how
            much more often a positive film is left unflagged), ``ppv`` or ``npv``.
        level: confidence level.
        prevalence: of the place where the system will be used; asked for by PPV and NPV, and by them alone.
    """
    assert (prevalence is not None) == (kind in ("ppv", "npv"))
    margin = math.sqrt(level)
    sides = counts.sensitivity(margin), counts.specificity(margin)
    return region_interval(*sides, kind, level=level, n=counts.n, prevalence=prevalence)
