"""What an evaluation is asked for beyond its two tables."""

from dataclasses import dataclass, field
from typing import Final, Literal

import pandas as pd

from pipelines.errors import ConfigError
from pipelines.evaluation.localisation.marks import Criterion, Marks
from pipelines.evaluation.thresholds.programme import Costs
from pipelines.statistics.accuracy.assessment import Interval, Question
from pipelines.statistics.accuracy.ratios import Prevalence
from pipelines.statistics.estimates import DEFAULT_LEVEL
from pipelines.statistics.resampling import Plan

INTERVAL_CHOICES: Final[tuple[Interval, ...]] = ("auto", "analytic", "percentile", "bca")
DEFAULT_PREVALENCE: Final = 0.1
"""Assumed where a user names none: a round number to compare systems by, not a measurement of any place."""
DEFAULT_MIN_GROUP: Final = 10
DEFAULT_MARGIN: Final = 0.05


@dataclass(frozen=True)
class Options:
    """How to evaluate; every field has a default that suits a first look.

    Raises:
        ConfigError: a number outside its range; names the field.
    """

    level: float = DEFAULT_LEVEL
    """Confidence level of every interval."""
    interval: Interval = "auto"
    """``auto``: bootstrap over patients (BCa) where a patient has several films, else exact and DeLong intervals."""
    replicates: int = 2000
    seed: int = 1
    prevalence: float = DEFAULT_PREVALENCE
    """Share of diseased people where the system would be used, for predictive values and screening arithmetic."""
    prevalence_interval: tuple[float, float] | None = None
    """Its own uncertainty, where the user knows it."""
    costs: Costs | None = None
    """Of the programme; None: no cost per case."""
    reference_sensitivity: float | None = None
    """Sensitivity of what is used today, for the non-inferiority test; None: no test."""
    margin: float = DEFAULT_MARGIN
    """How much lower a sensitivity may be and still count as non-inferior."""
    subgroups: tuple[str, ...] | None = None
    """Columns to split by; None: those of the default list that are known for these films."""
    attributes: pd.DataFrame | None = None
    """``image_id`` and further columns to split by."""
    min_group: int = DEFAULT_MIN_GROUP
    """A group with fewer positive (or negative) films gets no number that needs them."""
    marks: Marks | None = None
    """Where another system points; None takes the map peaks of the predictions table."""
    criterion: Criterion = field(default_factory=Criterion)
    show_films: tuple[str, ...] = ()
    """Names of further data sets whose films may be copied beside the numbers and shown in a report."""

    def __post_init__(self) -> None:
        _between("level", self.level, 0.5, 1.0)
        _between("prevalence", self.prevalence, 0.0, 1.0)
        _between("margin", self.margin, 0.0, 1.0)
        if self.reference_sensitivity is not None:
            _between("reference_sensitivity", self.reference_sensitivity, 0.0, 1.0)
        if self.interval not in INTERVAL_CHOICES:
            raise ConfigError(f"interval: found {self.interval!r}, expected {', '.join(INTERVAL_CHOICES)}.")
        if not 100 <= self.replicates <= 100_000:
            raise ConfigError(f"replicates: found {self.replicates}, expected 100 to 100,000.")
        if self.min_group < 1:
            raise ConfigError(f"min_group: found {self.min_group}, expected 1 or more.")
        if self.prevalence_interval is not None:
            low, high = self.prevalence_interval
            if not 0 < low <= self.prevalence <= high < 1:
                raise ConfigError(
                    f"prevalence_interval: found {low:g} to {high:g}, expected 0 < low <= {self.prevalence:g} "
                    "(the prevalence) <= high < 1."
                )

    @property
    def local_prevalence(self) -> Prevalence:
        """The prevalence of the place where the system would be used."""
        return Prevalence(self.prevalence, *(self.prevalence_interval or ()))

    @property
    def plan(self) -> Plan:
        """The bootstrap."""
        kind: Literal["percentile", "bca"] = "percentile" if self.interval == "percentile" else "bca"
        return Plan(replicates=self.replicates, seed=self.seed, kind=kind)

    @property
    def question(self) -> Question:
        """What to ask of a score set."""
        return Question(level=self.level, plan=self.plan, interval=self.interval, prevalence=self.local_prevalence)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise ConfigError(f"{name}: found {value:g}, expected a number above {low:g} and below {high:g}.")
