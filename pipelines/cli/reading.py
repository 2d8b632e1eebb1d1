"""Verb ``reading-time``: waiting times of a reading room with and without AI."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipelines.cli.console import note, progress, say, show, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.assessment.reading_records import RoomReadingTime, SimulationRecord, TheoryRecord, Waiting
    from pipelines.statistics.estimates import Estimate

_ROWS: Final = {
    "all": "all read",
    "diseased": "diseased",
    "nondiseased": "non-diseased",
    "flagged": "flagged",
    "unflagged": "not flagged",
    "missed": "missed",
    "interrupting": "interrupting",
}
_COLUMNS: Final = ("films", "first come", "flagged first", "change")
_TABLES: Final = {
    "waiting_minutes": "Mean wait in minutes, simulated",
    "p95_minutes": "95th percentile of the wait in minutes, simulated",
    "maximum_minutes": "Longest wait of a run in minutes, simulated",
}
_EFFORT: Final = {
    "without_ai": "without AI",
    "with_ai": "with AI shown",
    "rule_out": "with rule-out",
    "with_ai_and_rule_out": "with AI and rule-out",
}


def reading_time(
    scenario: Annotated[Path, typer.Argument(help="A YAML from configs/scenarios/, or your own.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as traffic=0.9 or minutes.diseased=12")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for reading_time.json and waiting.csv.")] = Path("reading_time"),
) -> None:
    """Waiting times of a reading room without AI and with flagged films first: theory, simulation, effort.

    Example: `cxr reading-time configs/scenarios/rural.yaml traffic=0.9 --out reading_time`

    With the accuracy that `cxr evaluate` measured (its folder as seen from the scenario's), intervals and all:
    `cxr reading-time my_room.yaml evaluation=results finding=tb`
    """
    from pipelines.assessment.reading import reading_time as compute
    from pipelines.assessment.reading import write_reading_time
    from pipelines.reading_time.scenario_file import read_scenario

    room = read_scenario(scenario, overrides or [])
    with progress("replications") as report:
        result = compute(room, folder=scenario.parent, report=report)
    write_reading_time(result, out)
    _print(result)
    note(f"wrote {out}")


def _print(result: "RoomReadingTime") -> None:
    """Gain and harm in one table each, with the same weight."""
    room, accuracy = result.scenario, result.accuracy
    if room.title:
        say(room.title)
    for name, share in (("sensitivity", accuracy.sensitivity), ("specificity", accuracy.specificity)):
        say(f"{name} {share.value:g}, as given" if share.low is None else f"{name} {share.text()}")
    readers = f"up to {room.readers}, {room.mean_readers:.3g} on average" if room.rota else f"{room.readers}"
    hourly = 60 * room.arrivals_per_minute
    say(f"traffic {room.traffic_value:.4g}; readers {readers}; {room.discipline}; {hourly:.4g} films an hour")
    both = " (of films that both read)" if room.rule_out else ""
    say("missed: diseased and not flagged")
    say(f"change: flagged first minus first come{both}; positive: a longer wait")
    _print_theory(result.theory)
    for field, title in _TABLES.items():
        simulated = result.simulation
        _print_waits([getattr(side, field) for side in (simulated.fifo, simulated.ai, simulated.difference)], title)
    _print_longest(result.simulation)
    _print_unread(result)
    _print_effort(result)
    say(result.assumptions)


def _print_theory(theory: "TheoryRecord") -> None:
    if theory.absent is not None:
        say(f"theory: none. {theory.absent}")
        return
    sides = [side.waiting_minutes for side in (theory.fifo, theory.ai, theory.difference)]
    _print_waits(sides, "Mean wait in minutes, theory")
    say(f"theory: {theory.method}")


def _print_waits(sides: "Sequence[Waiting]", title: str) -> None:
    rows = table(*_COLUMNS, title=title)
    for name, label in _ROWS.items():
        cells = [getattr(side, name) for side in sides]
        if any(cell.value is not None for cell in cells):
            rows.add_row(label, _cell(cells[0]), _cell(cells[1]), _cell(cells[2], signed=True))
    show(rows)


def _print_longest(simulation: "SimulationRecord") -> None:
    before, after = simulation.fifo.largest_minutes.all.value, simulation.ai.largest_minutes.all.value
    if before is not None and after is not None:
        runs = f"{simulation.replications} runs of {simulation.films:,} films"
        say(f"longest wait of any film in {runs}: {before:.1f} min without AI, {after:.1f} with AI")


def _print_unread(result: "RoomReadingTime") -> None:
    """What nobody reads first, or at all."""
    missed = result.screening.missed_per_10000
    if missed.value is not None:
        say(f"diseased films without a flag, of 10,000: {_cell(missed)}; they wait with the films not flagged")
    filed, lost = result.screening.filed_share, result.screening.filed_diseased_per_10000
    if filed is not None and lost is not None and filed.value is not None and lost.value is not None:
        say(f"filed without a reader: {100 * filed.value:.2f} % of films; {lost.value:.1f} diseased ones per 10,000")


def _print_effort(result: "RoomReadingTime") -> None:
    spent = result.effort.minutes_per_1000
    shown = [(label, getattr(spent, name)) for name, label in _EFFORT.items()]
    parts = [f"{label} {_cell(found)}" for label, found in shown if found is not None and found.value is not None]
    say(f"reader minutes per 1,000 films: {'; '.join(parts)}")
    say(f"their seconds a film: {result.effort.settings.source}")


def _cell(found: "Estimate", *, signed: bool = False) -> str:
    """A number with its interval, as short as a table needs it: an interval makes further digits idle."""
    if found.value is None:
        return "–"
    low, high = found.low, found.high
    exact = low is None or high is None
    size = max(abs(end) for end in (found.value, low, high) if end is not None)
    digits = (1 if size >= 100 else 2) if exact else (0 if size >= 100 else 1 if size >= 10 else 2)

    def shown(value: float, sign: str = "") -> str:
        text = f"{value:{sign}.{digits}f}"
        return text if text.strip("+-0.") else text.strip("+-")

    text = shown(found.value, "+" if signed else "")
    if low is None or high is None or shown(low) == shown(high):
        return text
    return f"{text} ({shown(low)}{' to ' if signed else '–'}{shown(high)})"
