"""Sensitivity and specificity of a system with what their films leave open, as a reading room takes them.

Films of one patient are not independent. Where an evaluation resamples patients, its intervals are wider than the films
alone would give, and so must everything be that is computed from them. A share p with a bootstrap interval of width w
then counts as p of so many independent films that their variance gives the same width, n* = p (1 - p) (2 z / w)^2,
never more than there are; at 0 or 1, where that is no answer, as so many that their exact bound is the interval's.
Every exact bound and every draw takes n* in place of the films.

Source: Korn & Graubard, Surv. Methodol. 24 (1998) 193.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipelines.evaluation.records import FindingResult, OperatingResult
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.few import clopper_pearson_bounds
from pipelines.statistics.proportions import Confusion

Floats = NDArray[np.float64]

REGION: Final = "bounds over the joint exact region of sensitivity and specificity"
GIVEN: Final = "sensitivity and specificity are given without uncertainty"
_GRID: Final = 9
_STREAM: Final = 0xACC
"""Sets the draws of accuracy apart from every other use of a scenario's seed."""


@dataclass(frozen=True)
class Share:
    """A measured share and the number of independent films that say as much about it."""

    found: Estimate
    films: float

    @classmethod
    def of_films(cls, found: Estimate) -> "Share":
        """Of independent films."""
        return cls(found, float(found.n))

    @classmethod
    def of_patients(cls, found: Estimate) -> "Share":
        """Of films of which several may be of one patient; its interval knows."""
        return cls(found, effective_films(found))

    @property
    def value(self) -> float:
        assert self.found.value is not None, "a share without films"
        return self.found.value

    def bounds(self, level: float) -> tuple[float, float]:
        """Exact bounds, the effective films in the place of the films."""
        low, high = clopper_pearson_bounds(np.array([self.value * self.films]), self.films, level)
        return min(float(low[0]), self.value), max(float(high[0]), self.value)

    def draws(self, size: int, rng: np.random.Generator) -> Floats:
        """From the Jeffreys posterior."""
        hits = self.value * self.films
        return rng.beta(hits + 0.5, self.films - hits + 0.5, size)


def effective_films(found: Estimate) -> float:
    """Independent films whose share would have an interval as wide as this one, in (0, n]."""
    assert found.value is not None, "a share without films"
    tail = (1 - found.level) / 2
    low, high = (0.0, 1.0) if found.low is None or found.high is None else (found.low, found.high)
    if 0 < found.value < 1:
        width = max(high - low, 1e-12)
        films = found.value * (1 - found.value) * (2 * float(stats.norm.isf(tail)) / width) ** 2
    else:
        miss = high if found.value == 0 else 1 - low  # (tail)^(1 / n) = 1 - miss
        films = math.inf if miss <= 0 else 1.0 if miss >= 1 else math.log(tail) / math.log1p(-miss)
    return min(float(found.n), films)


@dataclass(frozen=True)
class Accuracy:
    """Sensitivity and specificity, with the films that they were measured on where they were."""

    sensitivity: float
    specificity: float
    measured: tuple[Share, Share] | None = None
    level: float = DEFAULT_LEVEL

    @classmethod
    def of_counts(cls, counts: Confusion, level: float) -> "Accuracy":
        """Measured on independent films; both classes must have some."""
        return cls._of(Share.of_films(counts.sensitivity(level)), Share.of_films(counts.specificity(level)), level)

    @classmethod
    def of_point(cls, point: OperatingResult, intervals: Literal["analytic", "percentile", "bca"]) -> "Accuracy":
        """An operating point of an evaluation; ``intervals`` of its `FindingResult`. Both classes must have films."""
        level = point.sensitivity.level
        if intervals == "analytic":
            return cls.of_counts(point.counts, level)
        return cls._of(Share.of_patients(point.sensitivity), Share.of_patients(point.specificity), level)

    @classmethod
    def of_finding(cls, result: FindingResult) -> "Accuracy":
        """The operating point of a finding; there must be one."""
        assert result.operating_point is not None
        return cls.of_point(result.operating_point, result.intervals)

    @classmethod
    def _of(cls, sensitivity: Share, specificity: Share, level: float) -> "Accuracy":
        return cls(sensitivity.value, specificity.value, (sensitivity, specificity), level)

    @property
    def n(self) -> int:
        """Films measured on; 0 where accuracy was given."""
        return sum(share.found.n for share in self.measured or ())

    @property
    def basis(self) -> str:
        """What the uncertainty stands on where it is not simply the films; empty otherwise."""
        if all(share.films == share.found.n for share in self.measured or ()):
            return ""
        assert self.measured is not None
        shown = " and ".join(f"{share.films:.4g} of {share.found.n}" for share in self.measured)
        return f" (effective films by the patients' bootstrap, diseased and non-diseased: {shown})"

    def estimate(self, name: Literal["sensitivity", "specificity"]) -> Estimate:
        """With its interval as it was measured, or as given."""
        if self.measured is not None:
            return self.measured[0 if name == "sensitivity" else 1].found
        value = float(getattr(self, name))
        return Estimate(value=value, low=None, high=None, level=self.level, method="given", n=0, why=GIVEN)

    def region(self) -> list[tuple[float, float]]:
        """Grid over the joint exact region, its corners among them; empty where accuracy was given."""
        if self.measured is None:
            return []
        axes = [np.linspace(*share.bounds(math.sqrt(self.level)), _GRID) for share in self.measured]
        return [(float(a), float(b)) for a in axes[0] for b in axes[1]]

    def draws(self, replications: int, seed: int) -> Floats | None:
        """``[replications, 2]`` sensitivities and specificities from their Jeffreys posteriors; None where given."""
        if self.measured is None:
            return None
        rng = np.random.default_rng([seed, _STREAM])
        return np.column_stack([share.draws(replications, rng) for share in self.measured])
