"""Verb ``cross``: train on each cohort, test on every other."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import note, progress, say, show, table

if TYPE_CHECKING:
    from pipelines.cross import CrossMatrix
    from pipelines.cross.records import Cross


def cross(
    config: Annotated[Path, typer.Argument(help="A YAML such as configs/cross.yaml.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as train.optimisation.epochs=3")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Do only this model and its cells; may be given several times.")
    ] = None,
    lang: Annotated[str, typer.Option(help="Languages of the page, such as en,vi.")] = "en",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
) -> None:
    """Train on each cohort and on all but each, test every model on every cohort, and draw the matrix.

    Started again after an interruption, it goes on where it stopped. Started several times, on machines that share the
    folder, the processes share the work; `--only` gives each one model. With a tracking server, name it in the
    configuration: one SQLite file is for one machine.

    Example: `cxr cross configs/cross.yaml train.optimisation.epochs=3`
    """
    from pipelines.cross import CrossMatrix, load_cross

    run = CrossMatrix(load_cross(config, overrides or []), languages=tuple(lang.split(",")))
    tasks = run.tasks(only or [])
    if dry_run:
        _say_plan(run)
        return
    run.claim()
    outcomes: Counter[str] = Counter()
    for task in tasks:
        note(task.title)
        with progress(f"  {task.unit}") as report:
            outcome = run.do(task, report)
        outcomes[outcome] += 1
        if outcome != "done":
            note(f"  {_SAID[outcome]}")
    found = run.collect()
    _show(found)
    if found.unfinished:
        say(f"{found.unfinished} cells are not done; run the command again when other processes have finished")
    say(f"matrix in {run.config.out}: cross.html, cross.csv, cross.json")


_SAID = {
    "done already": "done already",
    "elsewhere": "another process is at work on it",
    "waits": "waits for its model, which another process trains",
}


def _say_plan(run: "CrossMatrix") -> None:
    for system in run.systems:
        what = f"learns {', '.join(system.findings)}" if system.findings else f"cannot be trained: {system.why_not}"
        say(f"{system.name}: {what}; films of {', '.join(system.cohorts)}")
    for cell in run.cells:
        if cell.findings:
            where = " (at home)" if cell.at_home else ""
            say(f"  {cell.system.name} on {cell.cohort}: {', '.join(cell.findings)}{where}")
    for task in run.tasks():
        if task.finished():
            say(f"done already: {task.title}")


def _show(found: "Cross") -> None:
    rows = table("model", "tested on", "finding", "films", "AUROC", "control")
    for cell in found.cells:
        where = f"{cell.cohort} (home)" if cell.at_home else cell.cohort
        for part in cell.findings:
            shown = [part.numbers.get(name) for name in ("auroc", "control_auroc")]
            texts = [number.text() if number is not None and number.value is not None else "" for number in shown]
            rows.add_row(cell.system, where, part.finding, f"{part.n} ({part.positives})", *texts)
        if not cell.findings:
            rows.add_row(cell.system, where, "", "", cell.why_not or "", "")
    show(rows)
