"""Waiting time at the reader, in closed form: first come first served against flagged films first.

One reader, Poisson arrivals, exponential reading times with one mean for all films. "AI first" is preemptive-resume
priority: a flagged film is read before every unflagged one and interrupts it; within a class films wait in order of
arrival. Waiting is the time in the system minus the film's own reading time, so it includes being interrupted.

Source: two-class preemptive-resume M/M/1 (Kleinrock, Queueing Systems II, 1976, chapter 3); the case that QuCAD (FDA)
solves exactly.
"""

from dataclasses import asdict, dataclass
from typing import Final

from pipelines.errors import ConfigError

DEFAULT_PREVALENCE: Final = 0.1
DEFAULT_TRAFFIC: Final = 0.8
DEFAULT_MINUTES: Final = 10.0
"""Assumed where a user names no reading room: one film in ten diseased, a reader busy 80 % of the time, 10 minutes a
film. Round numbers to compare systems by, not measurements of any room."""


@dataclass(frozen=True)
class Scenario:
    """One reading room.

    Raises:
        ConfigError: a share outside [0, 1], a traffic of 1 or more (the queue would grow without end), or a reading
            time that is not positive.
    """

    sensitivity: float
    """Share of diseased films that are flagged, [0, 1]."""
    specificity: float
    """Share of non-diseased films that are not flagged, [0, 1]."""
    prevalence: float = DEFAULT_PREVALENCE
    """Share of diseased films among those that arrive, [0, 1]."""
    traffic: float = DEFAULT_TRAFFIC
    """Share of the reader's time that is taken, in (0, 1)."""
    minutes: float = DEFAULT_MINUTES
    """Mean reading time of a film, in minutes."""

    def __post_init__(self) -> None:
        for key in ("sensitivity", "specificity", "prevalence"):
            value = getattr(self, key)
            if not 0 <= value <= 1:
                raise ConfigError(f"Scenario: {key} must lie in [0, 1], got {value}.")
        if not 0 < self.traffic < 1:
            raise ConfigError(
                f"Scenario: traffic must lie above 0 and below 1, got {self.traffic}: "
                "at 1 or more, films arrive faster than they are read and the wait has no limit."
            )
        if not 0 < self.minutes < float("inf"):
            raise ConfigError(f"Scenario: minutes must be a positive number, got {self.minutes}.")

    @property
    def flagged_share(self) -> float:
        """Share of all films that are flagged."""
        return self.prevalence * self.sensitivity + (1 - self.prevalence) * (1 - self.specificity)


@dataclass(frozen=True)
class WaitingMinutes:
    """Mean waiting time by class of film, in minutes; None where the scenario has no such film."""

    all: float
    diseased: float | None
    nondiseased: float | None
    flagged: float | None
    unflagged: float | None

    def as_dict(self) -> dict[str, float | None]:
        """The same by name."""
        return asdict(self)


@dataclass(frozen=True)
class WaitingTimes:
    """Both orders of reading, and what changes: a negative difference is a gain, a positive one is the harm side."""

    scenario: Scenario
    fifo: WaitingMinutes
    ai: WaitingMinutes

    @property
    def difference(self) -> WaitingMinutes:
        """Flagged-first minus first-come, by class of film."""

        def minus(a: float | None, b: float | None) -> float | None:
            return None if a is None or b is None else a - b

        return WaitingMinutes(
            all=self.ai.all - self.fifo.all,
            diseased=minus(self.ai.diseased, self.fifo.diseased),
            nondiseased=minus(self.ai.nondiseased, self.fifo.nondiseased),
            flagged=minus(self.ai.flagged, self.fifo.flagged),
            unflagged=minus(self.ai.unflagged, self.fifo.unflagged),
        )


def waiting_times(scenario: Scenario) -> WaitingTimes:
    """Mean waiting times of one scenario under both orders.

    Work is conserved: averaged over all films the two orders wait equally long, so what the diseased gain, the others
    pay.
    """
    s, rho, flagged = scenario.minutes, scenario.traffic, scenario.flagged_share
    sensitivity, specificity = scenario.sensitivity, scenario.specificity
    rho_flagged = rho * flagged
    fifo = rho * s / (1 - rho)
    first = rho_flagged * s / (1 - rho_flagged)
    second = s / (1 - rho_flagged) + rho * s / ((1 - rho_flagged) * (1 - rho)) - s
    by_class = {
        "diseased": (scenario.prevalence, sensitivity * first + (1 - sensitivity) * second),
        "nondiseased": (1 - scenario.prevalence, (1 - specificity) * first + specificity * second),
        "flagged": (flagged, first),
        "unflagged": (1 - flagged, second),
    }
    return WaitingTimes(
        scenario=scenario,
        fifo=WaitingMinutes(all=fifo, **{name: fifo if share > 0 else None for name, (share, _) in by_class.items()}),
        ai=WaitingMinutes(
            all=flagged * first + (1 - flagged) * second,
            **{name: wait if share > 0 else None for name, (share, wait) in by_class.items()},
        ),
    )
