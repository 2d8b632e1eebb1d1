"""``reading_time.json``, schema ``cxr-triage/reading-time/2``: what it holds, and what every part of it means."""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from pipelines.reading_time.effort import Effort
from pipelines.reading_time.rule_out import RuleOut
from pipelines.reading_time.scenario import Scenario
from pipelines.reading_time.worklist import WorklistRecord
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record

READING_TIME_SCHEMA: Final = "cxr-triage/reading-time/2"
READING_TIME_FILE: Final = "reading_time.json"
ASSUMPTIONS: Final = (
    "Films arrive at random (Poisson, apart from batches); reading times are independent of each other and of the "
    "queue; interrupting films are read before all others, with AI flagged films before unflagged ones, otherwise in "
    "order of arrival; waiting includes being interrupted; each finding is taken by itself. These are proxies from a "
    "model of a reading room, not measured times."
)


class Waiting(Record):
    """Waiting time in minutes by class of film; an estimate without value where no such film is read."""

    all: Estimate
    """Every film that is read, interrupting ones included."""
    diseased: Estimate
    """Not interrupting, like all below."""
    nondiseased: Estimate
    flagged: Estimate
    unflagged: Estimate
    missed: Estimate
    """Diseased and not flagged: the false negatives."""
    interrupting: Estimate


class Order(Record):
    """One order of reading, in closed form."""

    waiting_minutes: Waiting
    """Mean wait."""


class TheoryRecord(Record):
    """Mean waits in closed form: first come first served, flagged first, and the second minus the first.

    With rule-out, ``fifo`` reads every film and ``ai`` all but the filed ones; ``difference`` compares the films that
    both read, so it is not then ``ai`` minus ``fifo`` as they stand. So it is in the simulation.
    """

    method: str
    exact: bool
    """False: an approximation, or no formula at all (``absent``)."""
    absent: str | None
    """Why there is no formula; null where there is one."""
    fifo: Order
    ai: Order
    difference: Order
    """Negative = a gain, positive = the harm side."""


class SimulatedOrder(Record):
    """One order of reading, simulated. Quantities of a run are taken over its films, then over the runs."""

    waiting_minutes: Waiting
    """Mean wait."""
    p95_minutes: Waiting
    """95th percentile of the waits of a run."""
    maximum_minutes: Waiting
    """Longest wait of a run."""


class SimulatedArm(SimulatedOrder):
    """One arm: also the longest wait of all runs together."""

    largest_minutes: Waiting
    """Longest wait that was seen in any run: no interval, it grows with the number of films."""


class SimulationRecord(Record):
    """Waits from a discrete-event simulation: both arms see the same films, so differences are paired."""

    replications: int
    films: int
    """Films counted in each replication."""
    warm_up_films: int
    """Films before those, not counted."""
    seed: int
    accuracy_drawn: bool
    """Whether each replication draws its own sensitivity and specificity from what the counts leave open."""
    fifo: SimulatedArm
    ai: SimulatedArm
    difference: SimulatedOrder


class Screening(Record):
    """What flags mean at the scenario's prevalence."""

    ppv: Estimate
    npv: Estimate
    unflagged_share: Estimate
    """Share of films that would be filed if unflagged films went without a reader."""
    missed_per_10000: Estimate
    """Diseased films among 10,000 that carry no flag."""
    filed_share: Estimate | None
    """Share of films that the scenario's rule-out files; null without rule-out."""
    filed_diseased_per_10000: Estimate | None
    """Diseased films among 10,000 that the rule-out files unread; null without rule-out."""


class AccuracyRecord(Record):
    """Where sensitivity and specificity come from."""

    source: Literal["scenario", "evaluation"]
    finding: str | None
    threshold: float | None
    threshold_label: str | None
    sensitivity: Estimate
    specificity: Estimate


class RoomReadingTime(Record):
    """``reading_time.json`` of ``cxr reading-time``: one scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: Literal["cxr-triage/reading-time/2"] = Field(alias="schema", default=READING_TIME_SCHEMA)
    scenario: Scenario
    """Resolved: with the sensitivity and specificity that were used."""
    assumptions: str
    accuracy: AccuracyRecord
    theory: TheoryRecord
    simulation: SimulationRecord
    effort: Effort
    screening: Screening


class FindingReadingTime(Record):
    """Proxies of one finding."""

    finding: str
    absent: str | None
    """Why there is no waiting-time answer; null where there is one."""
    threshold: float | None
    threshold_label: str | None
    theory: TheoryRecord | None
    simulation: SimulationRecord | None
    screening: Screening | None
    effort: Effort | None
    rule_out: RuleOut | None
    worklist: WorklistRecord | None
    worklist_absent: str | None


class ReadingTime(Record):
    """``reading_time.json`` of an evaluation folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: Literal["cxr-triage/reading-time/2"] = Field(alias="schema", default=READING_TIME_SCHEMA)
    scenario: Scenario
    """The room; sensitivity and specificity are those of each finding."""
    assumptions: str
    findings: tuple[FindingReadingTime, ...]
