"""The ``cxr`` command: verbs → functions, nothing else.

Heavy libraries are imported inside the verbs that need them, so that ``cxr --help`` answers at once.
"""

import sys
from typing import Annotated

import typer

from pipelines.cli import (
    audit,
    comparing,
    crossing,
    data,
    datasets,
    fetching,
    merging,
    model,
    overlap,
    planning,
    predicting,
    reading,
    reading_log,
    reporting,
    results,
    run,
    shortcut,
    split_lists,
)
from pipelines.cli.console import fail, interruptible, prepare, say
from pipelines.errors import CxrError

app = typer.Typer(
    name="cxr",
    cls=merging.Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "Chest X-ray triage for tuberculosis and lung nodules: read films, train, predict, evaluate, report. "
        "Research only: not a medical device, not a diagnosis.\n\n"
        "The way through: `cxr fetch` → `cxr manifest build` → `cxr manifest split` → `cxr train` → `cxr predict` "
        "→ `cxr evaluate` → `cxr report`. `cxr demo` walks it once on synthetic films.\n\n"
        "Exit codes: 0 done, 1 finished but some inputs failed, 2 something to correct first, 130 interrupted."
    ),
)
app.command()(interruptible(run.demo))
app.command()(interruptible(data.phantom))
app.command()(interruptible(datasets.datasets))
app.command()(interruptible(fetching.fetch))
data.manifest_app.command()(interruptible(overlap.overlap))
data.manifest_app.command("audit")(interruptible(audit.audit))
data.manifest_app.command("apply")(split_lists.apply)
data.manifest_app.command("folds")(split_lists.folds)
app.add_typer(data.manifest_app, name="manifest")
app.command()(interruptible(run.train))
app.command()(interruptible(crossing.cross))
app.command()(interruptible(predicting.predict))
app.command(merging.MERGE_VERB)(interruptible(merging.merge))
app.command()(interruptible(results.evaluate))
app.command()(interruptible(comparing.compare))
app.command()(interruptible(reporting.report))
app.command()(interruptible(shortcut.shortcut))
app.command("reading-time")(interruptible(reading.reading_time))
app.command("reading-log")(interruptible(reading_log.reading_log))
app.command()(interruptible(planning.power))
app.add_typer(model.model_app, name="model")


def _version(wanted: bool) -> None:
    if wanted:
        from pipelines.version import code_version

        say(code_version())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Options that come before the verb."""


def _for_users(error: ValueError) -> bool:
    """Whether an error's text is a sentence for users; `models` is asked only if a verb has imported it (torch)."""
    models_errors = sys.modules.get("models.errors")
    return isinstance(error, CxrError) or (models_errors is not None and isinstance(error, models_errors.ModelError))


def main() -> None:
    """Run ``cxr``; turn what a user can cause into one sentence and exit code 2."""
    prepare()
    try:
        app()
    except ValueError as error:
        if not _for_users(error):
            raise
        fail(str(error))
        sys.exit(2)
    except OSError as error:
        # A full disk, a missing right, a vanished network drive: the system's own words, without a traceback.
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))
        sys.exit(2)
