"""What the terminal sees of a watched folder: a line that changes, or a line a minute in a log."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console

from pipelines.cli.console import note, say, until_interrupted
from pipelines.errors import CxrError

_LINE_SECONDS: Final = 60.0


def watch_inputs(
    inputs: Sequence[str],
    package: Path,
    out: Path,
    *,
    settle: float,
    give_up: float,
    html: bool,
    **options: Any,
) -> None:
    """Score films as they arrive, until Ctrl-C."""
    from pipelines.evaluation.predictions import WORKLIST_FILE
    from pipelines.inference.watch.watching import Timing, watch_films

    def refreshed(folder: Path) -> None:
        from pipelines.reporting.worklist import write_worklist

        try:
            write_worklist(folder)
        except CxrError as error:  # the page can be written again; films that arrive cannot wait for it
            note(f"no worklist page: {error}")

    timing = Timing(settle=settle, give_up=give_up)
    note(f"watching {', '.join(map(str, inputs))}; rows appear in {out / 'predictions.csv'}; Ctrl-C ends it")
    with until_interrupted() as stop, _status_line() as status:
        options |= {"refreshed": refreshed} if html else {}
        summary = watch_films(inputs, package, out, timing=timing, announce=note, status=status, stop=stop, **options)
    for line in summary.lines():
        say(line)
    if html and (out / WORKLIST_FILE).is_file():
        say(f"open {out / WORKLIST_FILE}")
    if summary.failed:
        raise typer.Exit(1)


def refuse_with_watch(options: Mapping[str, object]) -> None:
    """Refuse what a watched folder cannot have.

    Raises:
        CxrError: one of the options is not None.
    """
    for name, value in options.items():
        if value is not None:
            raise CxrError(f"--watch reads folders of this machine as films arrive in them; it goes without {name}")


@contextmanager
def _status_line() -> Iterator[Callable[[Any], None]]:
    """Show how it stands: in a terminal always, in a log when something changed, once a minute at most."""
    if not sys.stderr.isatty():
        yield _plain()
        return
    with Console(stderr=True).status("waiting for films") as line:  # it also keeps other lines above itself
        yield lambda status: line.update(_words(status))


def _plain() -> Callable[[Any], None]:
    last: tuple[int, int] = (0, 0)
    at = -_LINE_SECONDS

    def show(status: Any) -> None:
        nonlocal last, at
        now = time.monotonic()
        if (status.rows, status.waiting) != last and now - at >= _LINE_SECONDS:
            note(_words(status))
            last, at = (status.rows, status.waiting), now

    return show


def _words(status: Any) -> str:
    last = "none yet" if status.quiet_for is None else f"{status.quiet_for:,.0f} s ago"
    return f"{status.rows:,} films read, {status.waiting:,} waiting; last arrival {last}"
