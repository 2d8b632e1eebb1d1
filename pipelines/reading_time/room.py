"""Parts of a scenario: reading times, arrivals over the day, and the readers' rota."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, Strict, field_validator, model_validator

from pipelines.statistics.record import Record

Hour = Annotated[float, Strict(), Field(ge=0, le=24)]
_FIXED_CV = {"exponential": 1.0, "deterministic": 0.0}


class ServiceTime(Record):
    """Reading time of one kind of film."""

    mean: Annotated[float, Strict(), Field(ge=1e-6, le=1e6)]
    """Minutes."""
    distribution: Literal["exponential", "deterministic", "lognormal", "gamma"] = "exponential"
    cv: Annotated[float, Strict(), Field(ge=0, le=100)] | None = None
    """Standard deviation / mean. Needed for lognormal and gamma; 1 for exponential and 0 for deterministic."""

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"mean": value}
        return value

    @model_validator(mode="after")
    def _cv_fits(self) -> Self:
        fixed = _FIXED_CV.get(self.distribution)
        if fixed is None:
            if not self.cv:
                raise ValueError(
                    f"cv: found {self.cv}, expected a number above 0 for a {self.distribution} distribution"
                )
        elif self.cv not in (None, fixed):
            raise ValueError(f"cv: found {self.cv:g}, but a {self.distribution} distribution has cv {fixed:g}")
        return self

    @property
    def spread(self) -> float:
        """Coefficient of variation, whatever the distribution."""
        return _FIXED_CV.get(self.distribution, self.cv or 0.0)

    @property
    def second_moment(self) -> float:
        """E[S^2] in square minutes: mean^2 (1 + cv^2)."""
        return self.mean**2 * (1 + self.spread**2)


class Minutes(Record):
    """Reading times by kind of film."""

    diseased: ServiceTime
    nondiseased: ServiceTime
    interrupting: ServiceTime

    @classmethod
    def of(cls, mean: float) -> Self:
        """One exponential reading time for all films."""
        return cls.model_validate(mean)

    @model_validator(mode="before")
    @classmethod
    def _for_all(cls, value: Any) -> Any:
        """One time for all, or the time of another kind where one is left out."""
        kinds = ("nondiseased", "diseased", "interrupting")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return dict.fromkeys(kinds, value)
        if not isinstance(value, dict):
            return value
        if "mean" in value:
            return dict.fromkeys(kinds, value)
        given = [value[kind] for kind in kinds if value.get(kind) is not None]
        return (
            {**dict.fromkeys(kinds, given[0]), **{k: v for k, v in value.items() if v is not None}} if given else value
        )


class Batch(Record):
    """Films that arrive together every day, as from a mobile van."""

    hour: Annotated[float, Strict(), Field(ge=0, lt=24)]
    """Hour of the day, 17.5 = 17:30."""
    films: Annotated[int, Strict(), Field(ge=1, le=100_000)]
    """How many; each is diseased or interrupting with the scenario's shares."""


class Arrivals(Record):
    """How the films spread over the day. Batches are part of the day's total; the rest follows the profile."""

    hourly: tuple[Annotated[float, Strict(), Field(ge=0, le=1e9)], ...] | None = None
    """24 weights, from midnight: the rate in an hour is proportional to its weight; null for a constant rate."""
    batches: tuple[Batch, ...] = Field(default=(), max_length=1000)

    @field_validator("hourly")
    @classmethod
    def _a_day(cls, hourly: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if hourly is not None and len(hourly) != 24:
            raise ValueError(f"found {len(hourly)} weights, expected 24, one per hour from midnight")
        if hourly is not None and not sum(hourly) > 0:
            raise ValueError("found no weight above 0, expected one at least")
        return hourly

    @property
    def batch_films(self) -> int:
        """Films that arrive in batches, per day."""
        return sum(batch.films for batch in self.batches)


class Session(Record):
    """Readers at work between two hours of every day."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    from_: Hour = Field(alias="from")
    """Hour that it begins."""
    to: Hour
    """Hour that it ends; before ``from``: on the next day."""
    readers: Annotated[int, Strict(), Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.from_ % 24 == self.to % 24 and self.to - self.from_ != 24:
            raise ValueError(f"from {self.from_:g} to {self.to:g} is a session without length")
        return self

    def covers(self, minute: float) -> bool:
        """Whether its readers are there at a minute from midnight, [0, 1440)."""
        start, end = 60 * self.from_, 60 * self.to
        return start <= minute < end if start < end else minute >= start or minute < end


def reader_steps(rota: Sequence[Session]) -> tuple[tuple[float, int], ...]:
    """Readers over the day: (minute from midnight, readers from then on), rising, the first at minute 0."""
    edges = sorted({0.0} | {60 * hour for session in rota for hour in (session.from_, session.to) if hour < 24})
    steps: list[tuple[float, int]] = []
    for minute in edges:
        readers = sum(session.readers for session in rota if session.covers(minute))
        if not steps or steps[-1][1] != readers:
            steps.append((minute, readers))
    return tuple(steps)
