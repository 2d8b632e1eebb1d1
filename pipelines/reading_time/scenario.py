"""A reading room: who arrives, how long films take, who reads, and what the AI's flags do.

`Scenario` holds the keys of a scenario file letter for letter; `pipelines.reading_time.scenario_file` reads one.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, Strict, model_validator

from pipelines.reading_time.effort import EffortSettings
from pipelines.reading_time.room import Arrivals, Minutes, ServiceTime, Session, reader_steps
from pipelines.statistics.record import Record

DEFAULT_PREVALENCE: Final = 0.1
DEFAULT_TRAFFIC: Final = 0.8
DEFAULT_MINUTES: Final = 10.0
"""Assumed where a user names no reading room: one film in ten diseased, a reader busy 80 % of the time, 10 minutes a
film. Round numbers to compare systems by, not measurements of any room."""

MINUTES_PER_DAY: Final = 1440.0
FEWEST_PER_DAY: Final = 0.01
"""Fewer films than this would let a simulation with a rota step through millions of empty days."""
Kind = Literal["diseased", "nondiseased", "interrupting"]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Count = Annotated[int, Strict()]


class RuleOut(Record):
    """A second, lower threshold of the same score: films below it are filed and never reach a reader (arm ``ai``)."""

    sensitivity: Share
    """Share of diseased films that are kept for a reader; at least the sensitivity of the flag."""
    specificity: Share
    """Share of non-diseased films that are filed; at most the specificity of the flag."""


class Scenario(Record):
    """One reading room, valid from construction.

    Two arms see the same films. ``fifo``: interrupting films first, all others in order of arrival. ``ai``:
    interrupting films first, then flagged, then unflagged ones; with ``rule_out``, filed films never reach a reader.
    Within a class, films wait in order of arrival.

    Raises:
        pydantic.ValidationError: a value out of range; `parse_scenario` turns it into a `ConfigError`.
    """

    title: str | None = None
    """The room in words."""
    notes: str | None = None
    """Where the numbers come from."""
    prevalence: Share
    """Share of diseased films among the non-interrupting ones."""
    sensitivity: Share | None = None
    """Share of diseased films that are flagged; null where it comes from an evaluation."""
    specificity: Share | None = None
    """Share of non-diseased films that are not flagged; null where it comes from an evaluation."""
    evaluation: str | None = None
    """Folder with an evaluation.json to take both from, relative to the scenario's file."""
    finding: str | None = None
    """Which finding of that evaluation."""
    traffic: Annotated[float, Strict(), Field(gt=0)] | None = None
    """Share of the readers' time taken by all films without AI, interrupting and batched ones included: arrivals per
    minute x mean reading time of all films / readers, averaged over the day. Below 1."""
    arrivals_per_hour: Annotated[float, Strict(), Field(gt=0, le=1e6)] | None = None
    """All films per hour, interrupting and batched ones included, averaged over the day; instead of ``traffic``. With
    batches, both may be left out: then the batches are all that arrives."""
    readers: Annotated[Count, Field(ge=1, le=1000)] = 1
    """Readers who share one list, around the clock; with a ``rota``, the most who read at one time."""
    interrupting_fraction: Annotated[float, Strict(), Field(ge=0, lt=1)] = 0.0
    """Share of all films that are emergencies: read before everything else, with and without AI."""
    minutes: Minutes = Field(default_factory=lambda: Minutes.of(DEFAULT_MINUTES))
    """Reading times by kind of film: a number of minutes for all, or one per kind; a kind left out takes the time of
    ``nondiseased``, else of ``diseased``, else of ``interrupting``."""
    discipline: Literal["preemptive", "nonpreemptive"] = "preemptive"
    """``preemptive``: a film of a higher class interrupts one of a lower class, which later goes on where it stopped.
    ``nonpreemptive``: a film once begun is finished."""
    max_wait_minutes: Annotated[float, Strict(), Field(gt=0, le=1e9)] | None = None
    """Upper-limit rule: a film that has waited this long goes first; null for no limit."""
    rule_out: RuleOut | None = None
    """Films filed without a reader, in arm ``ai`` alone."""
    arrivals: Arrivals | None = None
    """How arrivals spread over the day; null for a constant rate (Poisson)."""
    rota: tuple[Session, ...] | None = Field(default=None, min_length=1, max_length=48)
    """Sessions of the day, added up where they overlap; in hours outside there is no reader. A film being read when its
    reader leaves waits (counted as waiting) and is resumed. Null: ``readers`` around the clock."""
    effort: EffortSettings | None = None
    """Mean reading times with and without the AI shown, for the reading effort; null for the published ones."""
    replications: Annotated[Count, Field(ge=2, le=100_000)] = 100
    """Independent runs of the simulation; its intervals come from how they differ."""
    films_per_replication: Annotated[Count, Field(ge=10, le=10_000_000)] = 20_000
    """Films counted in each run."""
    warm_up_films: Annotated[Count, Field(ge=0, le=10_000_000)] | None = None
    """Films at the start of each run that fill the empty room and are not counted; null: `warm_up`."""
    seed: Annotated[Count, Field(ge=0, le=2**31 - 1)] = 1
    """The same seed gives the same films."""

    @model_validator(mode="before")
    @classmethod
    def _readers_of_rota(cls, values: Any) -> Any:
        """Let ``readers`` follow the rota; a different number beside a rota is refused by `_consistent`."""
        if isinstance(values, dict) and values.get("rota") and "readers" not in values:
            try:
                most = max(readers for _, readers in reader_steps([Session.model_validate(s) for s in values["rota"]]))
            except (TypeError, ValueError):
                return values  # the field's own validation says what is wrong
            return {**values, "readers": max(1, most)}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._accuracy_is_whole()
        batches = self.arrivals is not None and self.arrivals.batch_films > 0
        if self.traffic is not None and self.arrivals_per_hour is not None:
            raise ValueError("traffic and arrivals_per_hour are both given; give one of them")
        if self.traffic is None and self.arrivals_per_hour is None and not batches:
            raise ValueError("traffic is missing; give traffic or arrivals_per_hour")
        if self.rota is not None and self.readers != max(most for _, most in self.reader_steps):
            raise ValueError(f"readers: found {self.readers} beside a rota that says otherwise; leave readers out")
        traffic = self.traffic_value
        if not traffic < 1:
            implied = "" if self.traffic is not None else " (implied by the arrivals)"
            raise ValueError(
                f"traffic must lie above 0 and below 1, found {traffic:.6g}{implied}: "
                "at 1 or more, films arrive faster than they are read and the wait has no limit"
            )
        daily = self.arrivals_per_minute * MINUTES_PER_DAY
        if len(self.reader_steps) > 1 and daily < FEWEST_PER_DAY:
            raise ValueError(
                f"rota: found beside {daily:.3g} films a day, expected at least {FEWEST_PER_DAY:g} (a simulation goes "
                "through every day of it)"
            )
        if self.steady_per_minute < 0:
            raise ValueError(
                f"arrivals.batches bring {self._batch_films} films a day, more than the "
                f"{self.arrivals_per_minute * MINUTES_PER_DAY:.6g} that the traffic or the arrivals_per_hour amount to"
            )
        return self

    def _accuracy_is_whole(self) -> None:
        if (self.sensitivity is None) != (self.specificity is None):
            raise ValueError("sensitivity and specificity are given together or not at all")
        if (self.evaluation is None) != (self.finding is None):
            raise ValueError("evaluation and finding are given together or not at all")
        if self.evaluation is not None and self.sensitivity is not None:
            raise ValueError("evaluation and sensitivity are both given; give one of them")
        if self.rule_out is None or self.sensitivity is None or self.specificity is None:
            return
        if self.rule_out.sensitivity < self.sensitivity:
            raise ValueError(
                f"rule_out.sensitivity: found {self.rule_out.sensitivity:g}, expected at least the sensitivity "
                f"{self.sensitivity:g}: a flagged film is never filed"
            )
        if self.rule_out.specificity > self.specificity:
            raise ValueError(
                f"rule_out.specificity: found {self.rule_out.specificity:g}, expected at most the specificity "
                f"{self.specificity:g}: a flagged film is never filed"
            )

    def with_accuracy(self, sensitivity: float, specificity: float) -> "Scenario":
        """The same room with these shares; ``evaluation`` is dropped, they are resolved.

        Raises:
            pydantic.ValidationError: a share outside [0, 1], or a rule-out that is not nested in them.
        """
        values = self.model_dump(by_alias=True)
        values |= {"evaluation": None, "finding": None, "sensitivity": sensitivity, "specificity": specificity}
        return Scenario.model_validate(values)

    @property
    def accuracy(self) -> tuple[float, float]:
        """Sensitivity and specificity; only of a scenario that has them."""
        assert self.sensitivity is not None, "a scenario without accuracy"
        assert self.specificity is not None, "a scenario without accuracy"
        return self.sensitivity, self.specificity

    @property
    def flagged_share(self) -> float:
        """Share of the non-interrupting films that are flagged, [0, 1]."""
        sensitivity, specificity = self.accuracy
        return self.prevalence * sensitivity + (1 - self.prevalence) * (1 - specificity)

    @property
    def mean_minutes(self) -> float:
        """Mean reading time of all films, interrupting ones included, in minutes."""
        others = self.prevalence * self.minutes.diseased.mean + (1 - self.prevalence) * self.minutes.nondiseased.mean
        return self.interrupting_fraction * self.minutes.interrupting.mean + (1 - self.interrupting_fraction) * others

    @property
    def reader_steps(self) -> tuple[tuple[float, int], ...]:
        """Readers over the day: (minute from midnight, readers from then on), rising, the first at minute 0."""
        return ((0.0, self.readers),) if self.rota is None else reader_steps(self.rota)

    @property
    def mean_readers(self) -> float:
        """Readers averaged over the day."""
        starts = [minute for minute, _ in self.reader_steps]
        ends = [*starts[1:], MINUTES_PER_DAY]
        steps = zip(self.reader_steps, ends, strict=True)
        return sum(readers * (end - start) for (start, readers), end in steps) / MINUTES_PER_DAY

    @property
    def _batch_films(self) -> int:
        return 0 if self.arrivals is None else self.arrivals.batch_films

    @property
    def arrivals_per_minute(self) -> float:
        """All films per minute, averaged over the day, batches and interrupting films included."""
        if self.traffic is not None:
            return self.traffic * self.mean_readers / self.mean_minutes
        if self.arrivals_per_hour is not None:
            return self.arrivals_per_hour / 60
        return self._batch_films / MINUTES_PER_DAY

    @property
    def steady_per_minute(self) -> float:
        """Films per minute that come one by one (Poisson), averaged over the day: all but the batches."""
        rate = self.arrivals_per_minute - self._batch_films / MINUTES_PER_DAY
        return 0.0 if abs(rate) < 1e-9 * self.arrivals_per_minute else rate

    @property
    def traffic_value(self) -> float:
        """``traffic`` as given, or what the arrivals amount to."""
        if self.traffic is not None:
            return self.traffic
        return self.arrivals_per_minute * self.mean_minutes / self.mean_readers

    @property
    def warm_up(self) -> int:
        """Films of each run that are not counted: ``warm_up_films``, or 10 / (1 - traffic)^2 in [1,000, 200,000].

        An empty queue fills over times that grow with 1 / (1 - traffic)^2.
        """
        if self.warm_up_films is not None:
            return self.warm_up_films
        return int(min(200_000.0, max(1_000.0, 10 / (1 - self.traffic_value) ** 2)))

    def service(self, kind: Kind) -> ServiceTime:
        """Reading time of one kind of film."""
        times: dict[str, ServiceTime] = {
            "diseased": self.minutes.diseased,
            "nondiseased": self.minutes.nondiseased,
            "interrupting": self.minutes.interrupting,
        }
        return times[kind]
