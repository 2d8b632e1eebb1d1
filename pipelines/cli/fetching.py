"""The verb ``fetch``: terms, disk space, transfer, unpacking, and whether it all arrived."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from pipelines.cli.console import note, say
from pipelines.cli.datasets import show_arrival
from pipelines.errors import CxrError

if TYPE_CHECKING:
    from pipelines.datasets import Adapter
    from pipelines.fetch import Downloader, Plan, Record

Report = Callable[[str, int, int | None], None]

_WHY_NOT: Final = {
    "local": "it is made or owned by you",
    "open": "it is open, but behind a page that only a person can use",
}
_PLAIN_STEP: Final = 0.1
"""Share of a file between two lines where there is no terminal."""


def fetch(
    name: Annotated[str, typer.Argument(help="Name from `cxr datasets`.")],
    to: Annotated[Path | None, typer.Option(help="Folder for it, one for each data set.")] = None,
    accept_licence: Annotated[
        str | None, typer.Option(help="The data set's name, which says that you have read and accept its terms.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only files whose name fits, such as 'images_0[12]*'.")] = None,
    unpack: Annotated[bool, typer.Option(help="Unpack archives.")] = True,
    keep_archives: Annotated[bool, typer.Option("--keep-archives", help="Keep archives after unpacking.")] = False,
    mirror: Annotated[
        str | None,
        typer.Option(envvar="CXR_MIRROR", help="Address of a copy that holds DATASET/FILE; CXR_MIRROR if left out."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Fetch nothing: look what of it is in this folder; exit code 1 if not all.")
    ] = None,
    deep: Annotated[bool, typer.Option(help="With --check: also read every film's header.")] = False,
) -> None:
    """Get a data set that is free to download, or say step by step how a person gets it.

    Started again, it goes on where it stopped. Exit code 0: it is there; 1: something is missing; 2: something to do
    first, such as the steps of a data set that wants a signature.

    Example: `cxr fetch shenzhen --to data/shenzhen`, then `cxr manifest build shenzhen data/shenzhen --out s.parquet`
    """
    from pipelines.datasets import get_adapter

    adapter = get_adapter(name)
    if check is not None:
        show_arrival(adapter, check, deep=deep)
        return
    if deep:
        raise CxrError("--deep belongs to --check FOLDER, found no --check")
    if not adapter.downloads:
        _explain(adapter, to)
        return
    if to is None:
        raise CxrError(f"--to: expected a folder for {name}, found none, as in cxr fetch {name} --to data/{name}")
    done = _fetch(adapter, to, accept_licence, only or [], mirror, unpack=unpack, keep_archives=keep_archives)
    if done:
        _show_steps(adapter, to)
        show_arrival(adapter, to)


def _fetch(
    adapter: "Adapter",
    to: Path,
    accept_licence: str | None,
    only: list[str],
    mirror: str | None,
    *,
    unpack: bool,
    keep_archives: bool,
) -> bool:
    """Fetch; returns whether the whole set should be there now."""
    from pipelines.fetch import Downloader, Plan, carry_out, chosen, load_record, sole_fetch

    plan = Plan(adapter, chosen(adapter, only), mirror=mirror, unpack=unpack, keep_archives=keep_archives)
    with sole_fetch(to):
        record = load_record(to, adapter.name)
        _ask(adapter, record, to, accept_licence)
        with _bytes_shown() as report:
            downloader = Downloader(to, record, progress=report, note=note)
            _say_plan(plan, downloader)
            outcome = carry_out(
                plan,
                downloader,
                unpacking=lambda file, done, total: report(f"unpacking {file}", done, total),
                note=note,
            )
    say(
        f"{len(outcome.fetched)} files fetched, {len(outcome.unpacked)} archives unpacked to {outcome.files:,} files "
        f"in {to}; what was accepted and fetched is recorded in {to / '.cxr-fetch.json'}"
    )
    return unpack and not only


def _ask(adapter: "Adapter", record: "Record", to: Path, given: str | None) -> None:
    """Show the terms and have them accepted, once for each folder and edition of the terms."""
    from pipelines.fetch import TermsError, accept, is_accepted, terms

    if is_accepted(record, adapter) and record.accepted is not None:
        note(f"the terms of {adapter.name} were accepted on {record.accepted.at}")
        return
    if record.accepted is not None:
        say("the terms have changed since they were accepted for this folder:")
    for label, text in terms(adapter).items():
        say(f"{label}: {text}")
    if given is not None:
        record.accepted = accept(adapter, given, how="--accept-licence")
    elif sys.stdin.isatty():
        typed = typer.prompt(f"To accept these terms, type {adapter.name}", default="", show_default=False)
        record.accepted = accept(adapter, typed, how="typed")
    else:
        raise TermsError(
            f"the terms above were not accepted: read them, then run again with --accept-licence {adapter.name}"
        )
    record.save(to)


def _say_plan(plan: "Plan", downloader: "Downloader") -> None:
    from pipelines.fetch import free_bytes, prepare, readable

    needed = prepare(plan, downloader)
    sizes = readable(needed.download) + (f" and {needed.unsized} of unknown size" if needed.unsized else "")
    bound = "at least" if needed.unsized else "at most"
    space = f"{readable(needed.disk)} of disk {bound}, {readable(free_bytes(downloader.root))} are free"
    note(f"{plan.adapter.name}: {len(plan.pending(downloader))} files to fetch, {sizes}; {space}")


def _explain(adapter: "Adapter", to: Path | None) -> None:
    """Say how a person gets a data set that this program may not fetch; look at what is there already."""
    from pipelines.fetch import terms

    if to is not None and to.is_dir() and any(to.iterdir()):
        show_arrival(adapter, to)
        return
    for label, text in terms(adapter).items():
        say(f"{label}: {text}")
    _show_steps(adapter, to)
    why = _WHY_NOT.get(adapter.access, f"its access is {adapter.access}")
    note(f"cxr fetch cannot get {adapter.name}: {why}, and nothing was fetched")
    raise typer.Exit(2)


def _show_steps(adapter: "Adapter", to: Path | None) -> None:
    if not adapter.steps:
        return
    say("what a person has to do:")
    for number, step in enumerate(adapter.steps, start=1):
        say(f"  {number}. {step}")
    say(f"afterwards: cxr fetch {adapter.name} --check {to or 'FOLDER'}")


@contextmanager
def _bytes_shown() -> Iterator[Report]:
    """Show bytes and their rate: bars in a terminal, a line for each tenth of a file elsewhere."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, int] = {}

        def report(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=done, total=total)  # type: ignore[arg-type]
            if done == total:
                bar.remove_task(tasks.pop(file))  # type: ignore[arg-type]

        yield report


def _lines() -> Report:
    from pipelines.fetch import readable

    reached: dict[str, float] = {}

    def report(file: str, done: int, total: int | None) -> None:
        share = done / total if total else 0.0
        if share >= reached.get(file, 0.0) + _PLAIN_STEP:
            reached[file] = share
            note(f"{file}: {readable(done)} of {readable(total or 0)}")

    return report
