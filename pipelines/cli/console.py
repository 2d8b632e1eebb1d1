"""What the terminal sees: sentences, progress (bars in a terminal, plain lines elsewhere), warnings."""

import functools
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report = Callable[[int, int], None]
"""Called with (done, total)."""

INTERRUPTED: Final = 130
"""Exit code of what was interrupted."""
GRACE_SECONDS: Final = 20.0
"""How long after SIGTERM a task may finish what is under way: SLURM and Kubernetes kill after 30 s."""
_LONGEST: Final = 2000
"""Characters of an error that are shown."""
_PLAIN_LINES: Final = 10
"""Lines that a long task prints where there is no terminal."""

_out = Console(highlight=False, soft_wrap=True, markup=False)
_err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def prepare() -> None:
    """Quieten libraries, show this project's own warnings as one line each."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # GitPython and tqdm speak to the terminal on import or on their own; what they would say is not for users.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    for name in ("mlflow", "alembic", "lightning_fabric", "lightning.fabric", "pydicom", "tifffile", "git"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module=r"pipelines\.|models\.|__main__")
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, category: type[Warning], *_where: object, **_how: object) -> None:
    if category.__module__.startswith(("pipelines.", "models.")):
        _err.print(f"warning: {message}", style="yellow")


def interruptible(verb: Callable[..., None]) -> Callable[..., None]:
    """Let Ctrl-C end a verb with a sentence and exit code 130, before typer makes "Aborted!" and 1 of it."""

    @functools.wraps(verb)
    def wrapped(*args: Any, **options: Any) -> None:
        try:
            verb(*args, **options)
        except KeyboardInterrupt:
            fail("interrupted; nothing is half-written: run the same command again (cxr train: with --resume)")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


@contextmanager
def until_interrupted() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C ask a long task to come to an end, the second one stop it, a third one end the process.

    SIGTERM, with which clusters announce that they are going to kill, is a Ctrl-C that is followed by the second one
    after `GRACE_SECONDS`.

    Yields:
        Whether the task is to come to an end.
    """
    pressed: list[int] = []  # no lock: a handler may run in the middle of another one

    def press(number: int, _frame: object) -> None:
        pressed.append(number)
        if len(pressed) > 2:
            os._exit(INTERRUPTED)  # stopping hangs, perhaps on a dead disk; nothing on the disk depends on it
        if len(pressed) == 2:
            raise KeyboardInterrupt
        with suppress(RuntimeError):  # in the middle of another line
            if number == signal.SIGTERM:
                _again_after(GRACE_SECONDS, number, pressed)
                note(f"asked to end: finishing what is under way, for {GRACE_SECONDS:g} s at most")
            else:
                note("finishing what is under way; Ctrl-C again stops at once")

    before = {number: signal.signal(number, press) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(pressed)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        pressed.append(0)


@contextmanager
def ended_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a task as Ctrl-C does: its temporary files are cleared away, programs it started are ended."""

    def press(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _again_after(seconds: float, number: int, pressed: list[int]) -> None:
    """Send the main thread a signal once more unless anything was pressed, or is over, by then."""

    def send() -> None:
        main = threading.main_thread().ident
        if len(pressed) == 1 and main is not None:
            signal.pthread_kill(main, number)  # the thread that waits, so that it stops waiting

    timer = threading.Timer(seconds, send)
    timer.daemon = True
    timer.start()


def say(text: str = "") -> None:
    """Print one line of result to standard output."""
    _out.print(text)


def note(text: str) -> None:
    """Print one line about what is going on to standard error."""
    _err.print(text)


def fail(text: str) -> None:
    """Print what went wrong to standard error; of a very long text (a damaged cell, say) both ends."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … ({len(text) - _LONGEST:,} characters) … {text[-_LONGEST // 2 :]}"
    _err.print(f"error: {text}", style="red")


def table(*columns: str, title: str | None = None) -> Any:
    """Return an empty rich table for `show`."""
    from rich.table import Table

    made = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def show(renderable: Any) -> None:
    """Print something rich can draw (a table) to standard output."""
    _out.print(renderable)


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """Show how far a long task is: a bar in a terminal, at most ten plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield _plain(description)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain(description: str) -> Report:
    reached = 0

    def report(done: int, total: int) -> None:
        nonlocal reached
        step = done * _PLAIN_LINES // total if total else _PLAIN_LINES
        if step > reached or done == total:
            if done < total or reached < _PLAIN_LINES:
                note(f"{description}: {done}/{total}")
            reached = max(reached, step)

    return report
