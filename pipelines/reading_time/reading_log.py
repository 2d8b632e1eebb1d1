"""Measured reading times: what showing the AI's result does to them, from a log of readings.

The effect is estimated on the logarithm of the time, in a linear mixed model with crossed random effects of reader and
film, a fixed effect of AI, of the reader's progress (learning) and of the period where the log has one. Readers and
films are numbered; no name leaves this module.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import stats

from pipelines.reading_time.reading_effects import Effects, reading_effects
from pipelines.reading_time.reading_log_cleaning import DROPPED, NOTED, CleanLog, Limits, clean, read_log
from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.record import Record
from pipelines.system import replace_text, replacing
from pipelines.version import code_version

READING_LOG_SCHEMA: Final = "cxr-triage/reading-log/1"
READING_LOG_FILE: Final = "reading_log.json"
CLEANED_FILE: Final = "cleaned.csv"


class CleaningRow(Record):
    """Rows of the log by what cleaning found."""

    code: str
    n: int
    """Rows."""
    counts: bool
    """Whether these rows count as readings all the same."""
    meaning: str


class ArmTimes(Record):
    """Reading times of one reader, or of all, in one arm, in seconds."""

    reader: str
    """``reader 1`` …, in order of appearance in the log; or ``all``."""
    ai_shown: bool
    n: int
    geometric_mean: Estimate
    arithmetic_mean: Estimate


class ReadingLog(Record):
    """``reading_log.json``."""

    schema_: Literal["cxr-triage/reading-log/1"] = Field(alias="schema", default="cxr-triage/reading-log/1")
    code_version: str
    log_sha256: str
    """Of the file that was read."""
    times: str
    """How times are written in it: ISO 8601 or seconds."""
    limits: Limits
    rows: int
    readings: int
    """Rows that count."""
    readers: int
    films: int
    cleaning: tuple[CleaningRow, ...]
    """Every reason, also those that apply to no row; ``rows`` = ``readings`` + those that do not count."""
    arms: tuple[ArmTimes, ...]
    effects: Effects


def analyse_reading_log(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    learning: bool = True,
    level: float = DEFAULT_LEVEL,
) -> tuple[ReadingLog, CleanLog]:
    """Clean a log and estimate the effect of showing the AI's result.

    Args:
        path: CSV as for `read_log`.
        columns: by role, the name of its column where it differs from the role's.
        limits: what is a pause, and what an outlier.
        learning: estimate how reading times change with the reader's progress.
        level: confidence level.

    Raises:
        EvaluationError: the file is not such a log.
    """
    limits = limits or Limits()
    cleaned = clean(read_log(path, columns), limits)
    kept = cleaned.kept
    result = ReadingLog(
        code_version=code_version(),
        log_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        times=cleaned.times,
        limits=limits,
        rows=len(cleaned.table),
        readings=len(kept),
        readers=kept["reader"].nunique(),
        films=kept["film"].nunique(),
        cleaning=_cleaning(cleaned),
        arms=tuple(_arms(kept, level)),
        effects=reading_effects(kept, learning=learning, level=level),
    )
    return result, cleaned


def write_reading_log(result: ReadingLog, cleaned: CleanLog, out: Path) -> None:
    """Write ``reading_log.json`` and ``cleaned.csv`` (every row, numbered, with the reason why it does not count)."""
    out.mkdir(parents=True, exist_ok=True)
    table = cleaned.table.copy()
    for name in ("ai_shown", "place", "period", "ai_positive"):
        table[name] = table[name].astype("Int64")
    table["kept"] = table["kept"].astype(int)
    with replacing(out / CLEANED_FILE) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    replace_text(out / READING_LOG_FILE, result.model_dump_json(indent=1, by_alias=True) + "\n")


def _cleaning(cleaned: CleanLog) -> tuple[CleaningRow, ...]:
    dropped = [CleaningRow(code=c, n=n, counts=False, meaning=DROPPED[c]) for c, n in cleaned.dropped.items()]
    return (*dropped, *(CleaningRow(code=c, n=n, counts=True, meaning=NOTED[c]) for c, n in cleaned.noted.items()))


def _arms(kept: pd.DataFrame, level: float) -> list[ArmTimes]:
    groups = [("all", kept), *((f"reader {number}", rows) for number, rows in kept.groupby("reader"))]
    found = []
    for reader, rows in groups:
        for shown in (False, True):
            seconds = rows.loc[rows["ai_shown"] == float(shown), "seconds"].to_numpy(dtype=np.float64)
            of_logs = mean_interval(np.log(seconds), level, "geometric mean")
            changed = {key: getattr(of_logs, key) for key in ("value", "low", "high")}
            geometric = Estimate(
                **{**of_logs.model_dump(), **{k: None if v is None else float(np.exp(v)) for k, v in changed.items()}}
            )
            arithmetic = mean_interval(seconds, level, "arithmetic mean")
            found.append(
                ArmTimes(
                    reader=reader,
                    ai_shown=shown,
                    n=len(seconds),
                    geometric_mean=geometric,
                    arithmetic_mean=arithmetic,
                )
            )
    return found


def mean_interval(values: Floats, level: float, name: str) -> Estimate:
    """Mean with Student's t interval; readings are taken as independent."""
    method, n = f"{name}; Student's t interval, readings as if independent", len(values)
    if n == 0:
        return Estimate.absent("no reading in this arm", method=method, level=level)
    value = float(values.mean())
    if n < 2 or np.ptp(values) == 0:
        why = "one reading" if n < 2 else "all times are equal"
        return Estimate(value=value, low=None, high=None, level=level, method=method, n=n, why=why)
    half = float(stats.t.isf((1 - level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Estimate(value=value, low=value - half, high=value + half, level=level, method=method, n=n)


def summary_lines(result: ReadingLog) -> list[str]:
    """The log in sentences, for a terminal."""
    effects = result.effects
    lines = [
        f"{result.readings:,} of {result.rows:,} rows are readings that count: {result.readers} readers, "
        f"{result.films:,} films; times in {result.times}"
    ]
    lines += [
        f"  {row.n:,} rows {'noted' if row.counts else 'left out'}: {row.meaning}" for row in result.cleaning if row.n
    ]
    for arm in result.arms[:2]:
        shown = "with AI" if arm.ai_shown else "without AI"
        lines.append(
            f"{shown}: geometric mean {arm.geometric_mean.text(1)} s, mean {arm.arithmetic_mean.text(1)} s, n {arm.n:,}"
        )
    named = {
        "showing the AI changes the reading time by": effects.ai_percent,
        "  films that the AI calls positive": effects.ai_positive_percent,
        "  films that the AI calls negative": effects.ai_negative_percent,
        "  over readers such as these": effects.over_readers_percent,
        "learning, per 10 readings": effects.learning_per_10_percent,
        "learning, per 100 readings": effects.learning_per_100_percent,
    }
    lines += [f"{name}, per cent: {estimate.text(2)}" for name, estimate in named.items()]
    return [*lines, f"model: {effects.model}", *(f"note: {note}" for note in effects.notes)]
