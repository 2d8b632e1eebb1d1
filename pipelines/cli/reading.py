"""Verb ``reading-time``: waiting times of a reading room with and without AI."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipelines.cli.console import note, progress, say, show, table

if TYPE_CHECKING:
    from pipelines.assessment.reading_records import RoomReadingTime, SimulationRecord, TheoryRecord
    from pipelines.statistics.estimates import Estimate

_ROWS: Final = {
    "all": "all films read",
    "diseased": "diseased",
    "nondiseased": "non-diseased",
    "flagged": "flagged",
    "unflagged": "not flagged",
    "missed": "missed (diseased, not flagged)",
    "interrupting": "interrupting",
}
_TABLES: Final = {
    "waiting_minutes": "Mean wait in minutes, simulated",
    "p95_minutes": "95th percentile of the wait in minutes, simulated",
    "maximum_minutes": "Longest wait of a run in minutes, simulated",
}


def reading_time(
    scenario: Annotated[Path, typer.Argument(help="A YAML from configs/scenarios/, or your own.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as traffic=0.9 or minutes.diseased=12")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for reading_time.json and waiting.csv.")] = Path("reading_time"),
) -> None:
    """Waiting times of a reading room without AI and with flagged films first: theory, simulation, effort.

    Example: `cxr reading-time configs/scenarios/rural.yaml sensitivity=0.95 --out reading_time`
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
    _print_theory(result.theory)
    for field, title in _TABLES.items():
        _print_waits(result.simulation, field, title)
    largest = result.simulation
    before, after = largest.fifo.largest_minutes.all.value, largest.ai.largest_minutes.all.value
    if before is not None and after is not None:
        say(
            f"longest wait of any film in {largest.replications} runs: {before:.1f} min without AI, {after:.1f} with AI"
        )
    _print_filed(result)
    say(result.assumptions)


def _print_theory(theory: "TheoryRecord") -> None:
    if theory.absent is not None:
        say(f"theory: none. {theory.absent}")
        return
    rows = table("films", "first come", "flagged first", "change", title=f"Mean wait in minutes, {theory.method}")
    for name, label in _ROWS.items():
        cells = [getattr(side.waiting_minutes, name) for side in (theory.fifo, theory.ai, theory.difference)]
        if any(cell.value is not None for cell in cells):
            rows.add_row(label, _cell(cells[0]), _cell(cells[1]), _cell(cells[2], signed=True))
    show(rows)


def _print_waits(simulation: "SimulationRecord", field: str, title: str) -> None:
    rows = table("films", "first come", "flagged first", "change", title=title)
    for name, label in _ROWS.items():
        sides = (simulation.fifo, simulation.ai, simulation.difference)
        cells = [getattr(getattr(side, field), name) for side in sides]
        if any(cell.value is not None for cell in cells):
            rows.add_row(label, _cell(cells[0]), _cell(cells[1]), _cell(cells[2], signed=True))
    show(rows)


def _print_filed(result: "RoomReadingTime") -> None:
    """What nobody reads first, or at all."""
    missed = result.screening.missed_per_10000
    if missed.value is not None:
        say(f"diseased films without a flag, of 10,000: {_cell(missed)}; they wait with the films not flagged")
    filed, lost = result.screening.filed_share, result.screening.filed_diseased_per_10000
    if filed is not None and lost is not None and filed.value is not None and lost.value is not None:
        say(f"filed without a reader: {100 * filed.value:.2f} % of films; {lost.value:.1f} diseased ones per 10,000")
    effort = result.effort.minutes_per_1000
    for label, minutes in (
        ("without AI", effort.without_ai),
        ("with AI shown", effort.with_ai),
        ("with rule-out", effort.rule_out),
        ("with AI and rule-out", effort.with_ai_and_rule_out),
    ):
        if minutes is not None and minutes.value is not None:
            say(f"reader minutes per 1,000 films {label}: {minutes.value:.1f}")


def _cell(found: "Estimate", *, signed: bool = False) -> str:
    """A number with its interval, as short as a table needs it."""
    if found.value is None:
        return "–"
    value = found.value if abs(found.value) >= 0.005 else 0.0
    digits = 1 if abs(value) >= 100 else 2
    text = f"{value:+.{digits}f}" if signed and value else f"{value:.{digits}f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} ({found.low:.{digits}f} to {found.high:.{digits}f})"
