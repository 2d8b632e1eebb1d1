"""Verb about measured reading times: ``reading-log``."""

import math
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import note, say
from pipelines.cli.data import pairs
from pipelines.errors import CxrError


def reading_log(
    log: Annotated[Path, typer.Argument(help="CSV: reader, film, started, finished, ai_shown; order, …")],
    out: Annotated[Path, typer.Option(help="Folder for reading_log.json and cleaned.csv.")],
    column: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=COLUMN where a column has another name, for example ai_shown=AI; several times."),
    ] = None,
    pause_minutes: Annotated[
        float, typer.Option(min=0.01, help="A longer reading is a pause and does not count.")
    ] = 10.0,
    outlier_mads: Annotated[
        float,
        typer.Option(min=0.0, help="Log times further than this from their reader's median do not count; 0: all do."),
    ] = 5.0,
    learning: Annotated[bool, typer.Option(help="Estimate how readers change over the readings.")] = True,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Confidence level of the intervals.")] = 0.95,
) -> None:
    """Measure what showing the AI's result does to reading times, from a log of readings.

    Times are ISO 8601 or seconds. Optional columns: order (of the readings of one reader), ai_positive (what the AI
    says of the film), period. Every row is accounted for; readers and films are numbered in what is written.

    Example: `cxr reading-log log.csv --column reader=Radiologist --out reading`
    """
    if not (math.isfinite(pause_minutes) and math.isfinite(outlier_mads) and math.isfinite(level)):
        raise CxrError("--pause-minutes, --outlier-mads and --level must be finite numbers.")
    from pipelines.reading_time.reading_log import analyse_reading_log, summary_lines, write_reading_log
    from pipelines.reading_time.reading_log_cleaning import Limits

    result, cleaned = analyse_reading_log(
        log,
        columns=pairs(column or [], "--column"),
        limits=Limits(pause_seconds=60 * pause_minutes, outlier_mads=outlier_mads or None),
        learning=learning,
        level=level,
    )
    write_reading_log(result, cleaned, out)
    for line in summary_lines(result):
        say(line)
    note(f"wrote {out}")
