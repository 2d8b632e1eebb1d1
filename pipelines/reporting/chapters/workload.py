"""Reading time and workload: who waits less and who waits more, minutes of readers, what might be filed, the list."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from pipelines.assessment.reading_records import FindingReadingTime, SimulationRecord
from pipelines.evaluation.records import Evaluation
from pipelines.reading_time.effort import OWN, SOURCE, Effort
from pipelines.reading_time.scenario import Scenario
from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.reading_room import room_facts
from pipelines.reporting.chapters.workload_tables import (
    LONG_TEXT,
    effort_table,
    rule_out_table,
    waiting_table,
    worklist_table,
)
from pipelines.reporting.charts.effort import effort_figure, ways
from pipelines.reporting.charts.rule_out import rule_out_figure
from pipelines.reporting.charts.waiting import Waits, waiting_figure
from pipelines.reporting.charts.worklist import worklist_figure
from pipelines.reporting.printing import NO_VALUE, Words, minutes_digits, share_digits
from pipelines.reporting.tables import Table
from pipelines.statistics.estimates import Estimate


@dataclass(frozen=True)
class Card:
    """How the mean wait of one class of films changes: the gain and the harm at the same size."""

    label: Markup
    change: Markup
    detail: Markup
    kind: str
    """``shorter``, ``longer``, or nothing where the interval holds both."""


@dataclass(frozen=True)
class Section:
    """One finding, ready to print; what is not there is None, with its reason beside it."""

    part: Tested
    heading: Markup
    entry: FindingReadingTime | None
    absent: Markup | None
    facts: tuple[Markup, ...]
    waits: tuple[Waits, ...]
    cards: tuple[Card, ...]
    waiting: Markup | None
    waiting_tables: tuple[Table, ...]
    effort: Markup | None
    effort_table: Table | None
    effort_source: Markup
    rule_out: Markup | None
    rule_out_absent: Markup | None
    rule_out_table: Table | None
    worklist: Markup | None
    worklist_absent: Markup | None
    worklist_table: Table | None

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables in the order of the page."""
        others = (self.effort_table, self.rule_out_table, self.worklist_table)
        return (*self.waiting_tables, *(table for table in others if table is not None))


def chapter(book: Book, words: Words) -> Chapter:
    """Waiting, reader time, rule-out and worklist order of every finding."""
    sections = tuple(_section(part, words) for part in book.tested)
    rooms = [study.reading_time.scenario for study in book.studies if study.reading_time is not None]
    body = words.render(
        "workload.html.j2",
        sections=sections,
        moves=any(room.rule_out is None for room in rooms),
        files=any(room.rule_out is not None for room in rooms),
        elsewhere=_elsewhere(book),
        several=book.several,
        long_text=LONG_TEXT,
        share_digits=share_digits,
    )
    tables = tuple(table for section in sections for table in section.tables)
    return Chapter("workload", words("Reading time and workload"), body, tables)


def _elsewhere(book: Book) -> tuple[tuple[Scenario, Evaluation], ...]:
    """Reading rooms whose prevalence is not the one at which the evaluation counts people."""
    rooms = ((study.reading_time.scenario, study.evaluation) for study in book.studies if study.reading_time)
    return tuple((room, evaluation) for room, evaluation in rooms if room.prevalence != evaluation.local_prevalence)


def _section(part: Tested, words: Words) -> Section:
    entry, reading = part.proxies, part.study.reading_time
    waits = tuple(_waits(entry, words)) if entry else ()
    effort = entry.effort if entry else None
    rule_out = entry.rule_out if entry else None
    listed = entry.worklist if entry and entry.worklist and entry.worklist.curve_found else None
    drawn_rule_out = rule_out_figure(rule_out, words) if rule_out else None
    return Section(
        part=part,
        heading=words.heading(part),
        entry=entry,
        absent=_absent(part, words),
        facts=room_facts(reading.scenario, part, words) if reading else (),
        waits=waits,
        cards=tuple(_cards(part, waits[0], words)) if waits else (),
        waiting=waiting_figure(waits, words) if waits else None,
        waiting_tables=tuple(waiting_table(kind, part, words) for kind in waits),
        effort=effort_figure(effort, words) if effort and ways(effort) else None,
        effort_table=effort_table(effort, part, words) if effort and ways(effort) else None,
        effort_source=_effort_source(effort, words) if effort else Markup(""),
        rule_out=drawn_rule_out,
        rule_out_absent=None if drawn_rule_out else _rule_out_absent(entry, words),
        rule_out_table=rule_out_table(rule_out, part, words) if rule_out and drawn_rule_out else None,
        worklist=worklist_figure(listed, words) if listed else None,
        worklist_absent=None if listed else _worklist_absent(entry, words),
        worklist_table=worklist_table(listed, part, words) if listed else None,
    )


def _absent(part: Tested, words: Words) -> Markup | None:
    """Why there are no waiting times; None where there are."""
    if part.study.reading_time is None:
        return words("This evaluation has no reading-time file beside it, so nothing is known about waiting times.")
    if part.proxies is None:
        return words("The reading-time file of this evaluation does not hold this finding.")
    return words.recorded(part.proxies.absent) if part.proxies.absent else None


def _rule_out_absent(entry: FindingReadingTime | None, words: Words) -> Markup:
    if entry is None or entry.rule_out is None:
        return words("Filing films unread was not computed for this evaluation.")
    whys = [point.sensitivity.why or (point.cohort and point.cohort.filed_share.why) for point in entry.rule_out.points]
    return words.recorded(next((why for why in whys if why), None)) or words("No sensitivity to keep was asked for.")


def _worklist_absent(entry: FindingReadingTime | None, words: Words) -> Markup:
    if entry is None or entry.worklist_absent is None:
        return words("The order of the list was not computed for this evaluation.")
    return words.recorded(entry.worklist_absent)


# Waiting ---------------------------------------------------------------------------------------------------------


def _waits(entry: FindingReadingTime, words: Words) -> Iterator[Waits]:
    """Mean, 95th percentile and longest wait; the mean by formula where one is exact or nothing was simulated."""
    theory, simulation = entry.theory, entry.simulation
    if theory is not None and theory.absent is None and (theory.exact or simulation is None):
        source = words("theory, exact") if theory.exact else words("theory, an approximation")
        waits = (part.waiting_minutes for part in (theory.fifo, theory.ai, theory.difference))
        yield Waits("mean", words("Mean wait"), source, *waits)
    elif simulation is not None:
        waits = (part.waiting_minutes for part in (simulation.fifo, simulation.ai, simulation.difference))
        yield Waits("mean", words("Mean wait"), _runs(simulation, words), *waits)
    if simulation is None:
        return
    orders = (simulation.fifo, simulation.ai, simulation.difference)
    source = _runs(simulation, words)
    yield Waits("p95", words("Wait that 95 of 100 films do not exceed"), source, *(part.p95_minutes for part in orders))
    yield Waits("longest", words("Longest wait of a run"), source, *(part.maximum_minutes for part in orders))


def _cards(part: Tested, mean: Waits, words: Words) -> Iterator[Card]:
    gaps, missed, label = mean.difference, mean.difference.missed, words("Missed films: mean wait")
    simulation = part.proxies.simulation if part.proxies else None
    if missed.value is None and simulation is not None:
        missed, label = simulation.difference.waiting_minutes.missed, words("Missed films: mean wait (simulated)")
    yield _card(words("Films with the finding: mean wait"), gaps.diseased, words)
    point = part.result.operating_point
    if missed.value is None and point is not None and point.counts.false_negative == 0:
        none = words(
            "None was missed among {n} films with the finding: that does not mean that none would be.",
            n=words.count(part.result, "positives"),
        )
        yield Card(label, NO_VALUE, none, "")
    else:
        yield _card(label, missed, words)
    yield _card(words("Films without the finding: mean wait"), gaps.nondiseased, words)
    filed = part.proxies.screening.filed_diseased_per_10000 if part.proxies and part.proxies.screening else None
    if filed is not None:
        label = words("With the finding, filed and never read: of 10,000 films")
        yield Card(label, words.number(filed, 1), words.interval(filed, 1), "longer")


def _card(label: Markup, gap: Estimate, words: Words) -> Card:
    if gap.value is None:
        return Card(label, NO_VALUE, words.recorded(gap.why), "")
    digits = minutes_digits(gap)
    size, detail = words.value(gap, "value", form="magnitude", digits=digits), words.interval(gap, digits)
    if round(gap.value, digits) == 0:
        return Card(label, words("no change"), detail, "")
    undecided = gap.low is not None and gap.high is not None and gap.low < 0 < gap.high  # these films do not decide it
    if gap.value < 0:
        return Card(label, words("{minutes} min shorter", minutes=size), detail, "" if undecided else "shorter")
    return Card(label, words("{minutes} min longer", minutes=size), detail, "" if undecided else "longer")


def _runs(simulation: SimulationRecord, words: Words) -> Markup:
    return words(
        "simulated: {runs} runs of {films} films",
        runs=words.count(simulation, "replications"),
        films=words.count(simulation, "films"),
    )


def _effort_source(effort: Effort, words: Words) -> Markup:
    """Where the seconds come from: the published study by name, or what the user wrote."""
    source = effort.settings.source
    return words.recorded(source, LONG_TEXT) if source in (SOURCE, OWN) else words.foreign(source, 300)
