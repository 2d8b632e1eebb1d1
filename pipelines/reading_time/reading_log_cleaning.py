"""A log of measured reading times: read, checked row by row, numbered instead of named.

Nothing is dropped in silence: every row of the file is a row of the result, with the reason why it does not count.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.record import Record

REQUIRED: Final = ("reader", "film", "started", "finished", "ai_shown")
OPTIONAL: Final = ("order", "ai_positive", "period")
_TRUTH: Final = {"1": 1.0, "1.0": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0, "no": 0.0}
_OFFSET: Final = r"[T ].*(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$"
_LATEST: Final = 1e11
"""Seconds; more is no time of this age, but perhaps milliseconds."""
_ENOUGH: Final = 10
"""Readings that a median absolute deviation is trusted from."""
_MAD_TO_SD: Final = 1.4826
"""Of a normal distribution."""

DROPPED: Final = {
    "no_reader": "the reader is not named",
    "no_film": "the film is not named",
    "no_time": "start or end is missing",
    "unreadable_time": "start or end is neither ISO 8601 nor seconds, or only one of the two has a time zone",
    "not_positive": "the reading ends before it starts, or at once",
    "unknown_arm": "AI shown is neither 1/0, true/false nor yes/no",
    "duplicate": "the same reader has read the same film in the same arm before; the first reading is the one judged",
    "pause": "the reading took longer than the limit: the reader was away",
    "outlier": "the logarithm of the time lies further from the median of this reader and arm than the limit",
}
NOTED: Final = {
    "overlap": "the reading starts before an earlier one of the same reader has ended; it counts",
    "gap": "the reader was idle before this reading for longer than the limit of a pause; it counts",
    "order_derived": "the order is missing, not a number or not unique for this reader: the time of the start is used",
    "ai_positive_unknown": "what the AI says of the film is missing or not 1/0: not in the split by it; it counts",
}


class Limits(Record):
    """What cleaning takes for a pause and for an outlier."""

    pause_seconds: float = Field(default=600.0, gt=0)
    """A longer reading is a pause."""
    outlier_mads: float | None = Field(default=5.0, gt=0)
    """A log time further from the median of its reader and arm than this many standard deviations (1.4826 x median
    absolute deviation) is an outlier, where the reader has at least 10 readings in the arm; null: no such rule."""


@dataclass(frozen=True)
class CleanLog:
    """Every row of the log, without names."""

    table: pd.DataFrame
    """One row per row of the log, in its order: ``row`` (1 = first after the header), ``reader`` and ``film`` (1 =
    first to appear, 0 = not named), ``ai_shown``, ``seconds``, ``place`` (the reader's first, second … reading),
    ``period`` and ``ai_positive`` (NaN where unknown), ``kept``, ``reason``."""
    noted: Mapping[str, int]
    """Rows by code of `NOTED`."""
    times: str
    """How times were written."""

    @property
    def kept(self) -> pd.DataFrame:
        """The readings that count."""
        return self.table[self.table["kept"]].reset_index(drop=True)

    @property
    def dropped(self) -> dict[str, int]:
        """Rows by code of `DROPPED`."""
        counts = self.table["reason"].value_counts()
        return {code: int(counts.get(code, 0)) for code in DROPPED}


def read_log(path: Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read a log as text, one column per role.

    Args:
        path: CSV with a header; separated by commas, semicolons or tabs.
        columns: by role (`REQUIRED`, `OPTIONAL`), the name of its column where it differs from the role's.

    Raises:
        EvaluationError: not a table, an unknown role, or a column that is missing or there twice.
    """
    named = dict(columns or {})
    unknown = sorted(set(named) - {*REQUIRED, *OPTIONAL})
    if unknown:
        raise EvaluationError(f"column {unknown[0]!r}: expected one of {', '.join((*REQUIRED, *OPTIONAL))}.")
    frame = _table(path)
    header = list(frame.columns)
    wanted = {role: named.get(role, role) for role in (*REQUIRED, *OPTIONAL)}
    for role, name in wanted.items():
        if header.count(name) > 1:
            raise EvaluationError(f"{path}: column {name!r} is there {header.count(name)} times.")
        if name not in header and (role in REQUIRED or role in named):
            raise EvaluationError(
                f"{path}: no column {name!r} for {role}; found {', '.join(header[:20])}. "
                f"Name it with --column {role}=NAME."
            )
    return pd.DataFrame({role: frame[name].str.strip() for role, name in wanted.items() if name in header})


def _table(path: Path) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path}: not a text file in UTF-8 (byte {error.start}).") from error
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise EvaluationError(f"{path}: not a table of separated values: {error}.") from error
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise EvaluationError(f"{path}: expected a header and at least one reading, found {len(rows)} rows.")
    names = [name.strip() for name in rows[0]]
    for number, row in enumerate(rows[1:], 1):
        if len(row) > len(names) and any(cell.strip() for cell in row[len(names) :]):
            raise EvaluationError(f"{path}: reading {number} has {len(row)} cells, the header has {len(names)}.")
    body = [(row + [""] * len(names))[: len(names)] for row in rows[1:]]
    return pd.DataFrame(body, columns=names, dtype=object)


def clean(log: pd.DataFrame, limits: Limits | None = None) -> CleanLog:
    """Number readers and films, compute times, and say of every row whether it counts.

    Args:
        log: text by role, as from `read_log`.
        limits: what is a pause, and what an outlier.
    """
    limits = limits or Limits()
    n = len(log)
    started, finished, unreadable, times = _times(log["started"], log["finished"])
    frame = pd.DataFrame({"reader": _numbered(log["reader"]), "film": _numbered(log["film"])}, index=range(n))
    frame["arm"], frame["started"], frame["finished"] = _truth(log["ai_shown"]), started, finished
    frame["seconds"] = (frame["finished"] - frame["started"]).round(6)  # no digits below a clock's
    blank = ((log["started"] == "") | (log["finished"] == "")).to_numpy(dtype=bool)
    reason = _invalid(frame, blank, unreadable)
    timed = frame[reason == ""].sort_values("started", kind="stable")
    noted = _gaps(timed, limits.pause_seconds)
    place, noted["order_derived"] = _places(timed, log.get("order"), n)
    _exclude(frame, timed, reason, limits)
    positive = np.full(n, np.nan)
    if "ai_positive" in log:
        positive = _truth(log["ai_positive"])
        noted["ai_positive_unknown"] = int((np.isnan(positive) & (reason == "")).sum())
    period = _numbered(log["period"]).astype(np.float64) if "period" in log else np.full(n, np.nan)
    period[period == 0] = np.nan
    table = pd.DataFrame(
        {
            "row": np.arange(1, n + 1),
            "reader": frame["reader"],
            "film": frame["film"],
            "ai_shown": frame["arm"],
            "seconds": frame["seconds"].where(np.isfinite(frame["seconds"])),
            "place": place,
            "period": period,
            "ai_positive": positive,
            "kept": reason == "",
            "reason": reason,
        }
    )
    return CleanLog(table=table, noted=noted, times=times)


def _invalid(frame: pd.DataFrame, blank: Bools, unreadable: Bools) -> NDArray[np.object_]:
    """Why a row is no reading at all; the first reason that applies."""
    reason = np.full(len(frame), "", dtype=object)
    for code, rows in (
        ("no_reader", frame["reader"] == 0),
        ("no_film", frame["film"] == 0),
        ("no_time", blank),
        ("unreadable_time", unreadable),
        ("not_positive", ~(frame["seconds"] > 0)),
        ("unknown_arm", frame["arm"].isna()),
    ):
        reason[np.asarray(rows, dtype=bool) & (reason == "")] = code
    return reason


def _exclude(frame: pd.DataFrame, timed: pd.DataFrame, reason: NDArray[np.object_], limits: Limits) -> None:
    """Mark readings that are repeated, interrupted, or out of line with the others of their reader and arm."""
    reason[timed.index[timed.duplicated(["reader", "film", "arm"])]] = "duplicate"
    seconds = frame["seconds"].to_numpy(dtype=np.float64)
    reason[(seconds > limits.pause_seconds) & (reason == "")] = "pause"
    reason[_outlying(frame, seconds, reason == "", limits.outlier_mads)] = "outlier"


def _truth(texts: "pd.Series[Any]") -> Floats:
    """1, 0, or NaN where the text is neither yes nor no."""
    return np.asarray(texts.str.lower().map(_TRUTH), dtype=np.float64)


def _numbered(names: "pd.Series[Any]") -> NDArray[np.int64]:
    """Numbers in order of appearance, from 1; 0 for an empty name."""
    codes, _ = pd.factorize(names.where(names != "", None))
    return np.asarray(codes, dtype=np.int64) + 1


def _times(started: "pd.Series[Any]", finished: "pd.Series[Any]") -> tuple[Floats, Floats, Bools, str]:
    """Seconds of start and end, rows that cannot be read, and how times are written in this file.

    All times of a file are written in one way: the one that more of them can be read in.
    """
    both = pd.concat([started, finished], ignore_index=True)
    plain = pd.to_numeric(both, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    plain[~(np.abs(plain) < _LATEST)] = np.nan
    zoned = both.str.contains(_OFFSET, regex=True).to_numpy(dtype=bool)
    dated = np.fmax(_dated(both.where(zoned, None)), _dated(both.where(np.isnan(plain) & ~zoned, None)))
    written = "seconds"
    if np.isfinite(plain).sum() < np.isfinite(dated).sum():
        written, plain = "ISO 8601", dated
    start, end = plain[: len(started)], plain[len(started) :]
    unreadable = np.isnan(start) | np.isnan(end)
    if written == "ISO 8601":
        unreadable |= zoned[: len(started)] != zoned[len(started) :]
    return start, end, unreadable, written


def _dated(texts: "pd.Series[Any]") -> Floats:
    """Seconds of ISO 8601 texts, NaN where there is none.

    Texts with and without a time zone are read apart: pandas 2.3 gives a text without one the zone of the text before.
    """
    stamps = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    return np.asarray((stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1), dtype=np.float64)


def _gaps(timed: pd.DataFrame, pause: float) -> dict[str, int]:
    """Readings that overlap an earlier one of their reader, or follow a long idle time; ``timed`` by rising start."""
    latest = timed.groupby("reader")["finished"].cummax()
    before = latest.groupby(timed["reader"]).shift()
    idle = timed["started"] - before
    return {"overlap": int((idle < 0).sum()), "gap": int((idle > pause).sum())}


def _places(timed: pd.DataFrame, order: "pd.Series[Any] | None", n: int) -> tuple[Floats, int]:
    """Place of each reading among its reader's (NaN where it has no time), and rows placed by their start."""
    place, derived = np.full(n, np.nan), 0
    given = None if order is None else pd.to_numeric(order, errors="coerce").where(np.isfinite)
    for _, rows in timed.groupby("reader").groups.items():
        keys = None if given is None else given[rows]
        if keys is None or keys.isna().any() or keys.duplicated().any():
            derived += len(rows)
            sequence = rows
        else:
            sequence = keys.sort_values(kind="stable").index
        place[sequence.to_numpy(dtype=np.int64)] = np.arange(1, len(rows) + 1)
    return place, derived


def _outlying(frame: pd.DataFrame, seconds: Floats, usable: Bools, mads: float | None) -> Bools:
    """Readings far from the median log time of their reader and arm; none where most of those are equal."""
    outlying = np.zeros(len(frame), dtype=bool)
    if mads is None or not usable.any():
        return outlying
    rows = np.flatnonzero(usable)
    log_time = pd.Series(np.log(seconds[rows]))
    groups = [frame["reader"].to_numpy()[rows], frame["arm"].to_numpy()[rows]]
    away = (log_time - log_time.groupby(groups).transform("median")).abs()
    spread = _MAD_TO_SD * away.groupby(groups).transform("median")
    many = away.groupby(groups).transform("size") >= _ENOUGH
    outlying[rows] = (away > mads * spread) & (spread > 0) & many
    return outlying
