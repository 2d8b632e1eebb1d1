"""A number as this project reports it: value, interval, level, method and n, or the reason why there is none."""

import math
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DEFAULT_LEVEL = 0.95
"""Confidence level where a caller names none."""


class Estimate(BaseModel):
    """One number with its interval; what has no answer says why instead of being NaN.

    ``value`` is null only with a ``why``; ``low`` and ``high`` are both null only with a ``why``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    value: float | None
    """The point estimate, in the unit of the quantity (a share in [0, 1] where nothing else is said)."""
    low: float | None
    """Lower bound of the interval."""
    high: float | None
    """Upper bound of the interval."""
    level: float = Field(gt=0, lt=1)
    """Confidence level of the interval, for example 0.95."""
    method: str
    """How value and interval were computed."""
    n: int = Field(ge=0)
    """Films (or draws) in the denominator."""
    why: str | None = None
    """Why value or interval is missing; null where both are there."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high are given together or not at all")
        if (self.value is None or self.low is None) and not self.why:
            raise ValueError("a missing value or interval needs a why")
        if self.value is None:
            if self.low is not None:
                raise ValueError("an interval needs a value")
        elif self.low is not None and self.high is not None and not self.low <= self.value <= self.high:
            raise ValueError(f"value {self.value} lies outside its interval {self.low} to {self.high}")
        return self

    @classmethod
    def absent(cls, why: str, *, method: str, n: int = 0, level: float = DEFAULT_LEVEL) -> Self:
        """The estimate of something that has no answer on this data, with the reason."""
        return cls(value=None, low=None, high=None, level=level, method=method, n=n, why=why)

    def text(self, digits: int = 3) -> str:
        """The estimate in words, for example ``0.776 (95 % CI 0.763–0.788)``."""
        if self.value is None:
            return f"not available ({self.why})"
        shown = f"{self.value:.{digits}f}"
        if self.low is None or self.high is None:
            return f"{shown} (no interval: {self.why})"
        joint = " to " if self.low < 0 else "–"
        return f"{shown} ({percent_text(self.level)} CI {self.low:.{digits}f}{joint}{self.high:.{digits}f})"


def percent_text(share: float) -> str:
    """A share as a percentage without needless decimals: 0.95 is ``95 %``, 0.975 is ``97.5 %``."""
    return f"{round(100 * share, 6):g} %"


def clipped(value: float, low: float, high: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """Put an interval inside its possible range, without losing the value to rounding in the last digit."""
    assert math.isfinite(value)
    assert math.isfinite(low)
    assert math.isfinite(high)
    return max(bounds[0], min(low, value)), min(bounds[1], max(high, value))
