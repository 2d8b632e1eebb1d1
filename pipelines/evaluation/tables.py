"""Reading predictions: this project's table, or scores of another system from any CSV or Parquet."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from pipelines.errors import PredictionsError
from pipelines.evaluation.predictions import STATUSES
from pipelines.evaluation.run_record import read_run, run_points
from pipelines.evaluation.thresholds.operating_point import OperatingPoint

_REQUIRED = ("image_id", "status", "model_id")
_MAX_OF = re.compile(r"max\((?P<columns>.+)\)")


@dataclass(frozen=True)
class PredictionsTable:
    """A predictions table as it was read, with what its file and its ``run.json`` say."""

    frame: pd.DataFrame
    """One row per film: ``image_id``, ``status``, ``reason``, ``p_<finding>``; and more in tables of this project."""
    findings: tuple[str, ...]
    digest: str
    """SHA-256 of the file."""
    folder: Path | None = None
    """Folder with ``heatmaps/``; None for another system's file."""
    run: Mapping[str, Any] | None = None
    """``run.json``, where there is one."""
    operating_points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    rule_out_points: Mapping[str, OperatingPoint] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Thresholds a user gave: not locked."""
    score_text: Mapping[str, str] = field(default_factory=dict)
    """By finding: the columns its score comes from."""
    foreign: bool = False
    file: Path | None = None
    """The table that was read."""
    id_column: str | None = None
    """Of another system's table: the column that names the film."""
    scores: Mapping[str, str] = field(default_factory=dict)
    """Of another system's table, by finding: as it was named."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_table(path: Path, *, text_columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV (also ``.gz``) or Parquet file without losing a digit.

    Raises:
        PredictionsError: there is no such file, it is empty, or it is not what its name says.
    """
    if not path.is_file():
        raise PredictionsError(f"{path}: no such file; expected a predictions table (.csv, .csv.gz or .parquet).")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pq.read_table(path)
        else:
            # Arrow reads decimal numbers to the last bit; numbers in an id column stay text ("00012").
            options = csv.ConvertOptions(
                column_types=dict.fromkeys(text_columns, pa.string()), strings_can_be_null=True
            )
            table = csv.read_csv(path, convert_options=options, parse_options=csv.ParseOptions(newlines_in_values=True))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        raise PredictionsError(
            f"{path}: not a readable CSV or Parquet table ({_why_unreadable(path, error)})."
        ) from error
    if table.num_columns == 1 and re.search("[;\t]", table.column_names[0]):
        raise PredictionsError(f"{path}: cells are separated by semicolons or tabs, expected commas.")
    repeated = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if repeated:
        raise PredictionsError(f"{path}: column {repeated[0]!r} is there twice; expected different column names.")
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _why_unreadable(path: Path, error: Exception) -> str:
    """What a file is instead of a table, without a word of its content: Arrow's own message quotes the row."""
    with path.open("rb") as stream:
        start = stream.read(4)
    zipped = start.startswith(b"\x1f\x8b")
    if not start:
        return "it is empty"
    if zipped and path.suffix.lower() != ".gz":
        return "it is compressed: give it a name that ends in .csv.gz"
    if path.suffix.lower() == ".gz" and not zipped:
        return "it is not compressed, though its name ends in .gz"
    if start == b"PAR1" and path.suffix.lower() not in (".parquet", ".pq"):
        return "it is a Parquet file: give it a name that ends in .parquet"
    counts = re.search(r"(Row #\d+: )?Expected \d+ columns, got \d+", str(error))
    return counts[0] if counts else type(error).__name__


def read_predictions(path: Path) -> PredictionsTable:
    """Read a predictions table of this project.

    Args:
        path: the folder that ``cxr predict`` wrote, or its ``predictions.parquet`` or ``predictions.csv``.

    Raises:
        PredictionsError: a missing file or column, a duplicated id, an unknown status, a probability outside [0, 1],
            several model ids, or a ``run.json`` of another model.
    """
    file = path
    if path.is_dir():
        found = [path / name for name in ("predictions.parquet", "predictions.csv") if (path / name).is_file()]
        if not found:
            raise PredictionsError(f"{path}: no predictions.parquet or predictions.csv in this folder.")
        file = found[0]
    frame = read_table(file, text_columns=("image_id", "path", "status", "reason", "detail", "model_id"))
    check_predictions(frame, file)
    model_id = str(frame["model_id"].iloc[0])
    beside = file.parent / "run.json"
    run = read_run(beside, model_id)
    model = run["model"] if run else {}
    named = model.get("findings") or [
        column.removeprefix("p_") for column in frame.columns if column.startswith("p_") and frame[column].notna().any()
    ]
    return PredictionsTable(
        frame=frame,
        findings=tuple(named),
        digest=file_digest(file),
        file=file,
        folder=file.parent,
        run=run,
        operating_points=run_points(model, "operating_points", beside),
        rule_out_points=run_points(model, "rule_out_points", beside),
        score_text={finding: f"column p_{finding} (calibrated probability)" for finding in named},
    )


def read_attributes(path: Path) -> pd.DataFrame:
    """Read a user's own columns of films, to split by.

    Args:
        path: CSV, CSV.gz or Parquet with ``image_id`` (as in the manifest, or matched as ids of predictions are) and at
            least one other column.

    Raises:
        PredictionsError: a missing file or column, no rows, empty or duplicated ids.
    """
    frame = read_table(path, text_columns=("image_id",))
    if "image_id" not in frame.columns or len(frame.columns) < 2:
        raise PredictionsError(f"{path}: expected column image_id and others, found {_columns(frame)}.")
    if frame.empty:
        raise PredictionsError(f"{path}: the table has no rows.")
    check_ids(frame["image_id"], "image_id", path)
    return frame


def check_predictions(frame: pd.DataFrame, name: object = "predictions") -> None:
    """Check this project's table.

    Raises:
        PredictionsError: as for `read_predictions`.
    """
    missing = [column for column in _REQUIRED if column not in frame.columns]
    if missing:
        raise PredictionsError(
            f"{name}: column {missing[0]!r} is missing, so this is not a table of `cxr predict`; "
            "for another system's scores, name its columns with --id COLUMN and --score FINDING=COLUMN."
        )
    if frame.empty:
        raise PredictionsError(f"{name}: the table has no rows.")
    check_ids(frame["image_id"], "image_id", name)
    unknown = sorted(set(frame["status"].dropna().unique()) - set(STATUSES))
    if unknown or frame["status"].isna().any():
        raise PredictionsError(
            f"{name}: column 'status' has {unknown or 'empty values'}, expected {', '.join(STATUSES)}."
        )
    models = frame["model_id"].unique()
    if len(models) != 1 or pd.isna(models[0]):
        raise PredictionsError(
            f"{name}: column 'model_id' has {len(models)} different values, expected exactly one model."
        )
    for column in [column for column in frame.columns if column.startswith(("peak_", "control_"))]:
        numbers(frame[column], column, name)
    for column in [column for column in frame.columns if column.startswith("p_")]:
        score = numbers(frame[column], column, name)
        outside = (score < 0) | (score > 1)
        if outside.any():
            raise PredictionsError(
                f"{name}: column {column!r} has {int(outside.sum())} values outside [0, 1] "
                f"(first: {score[outside][0]:g}); probabilities were expected."
            )


def check_ids(ids: "pd.Series[Any]", column: str, name: object) -> None:
    """Every row needs an id of its own.

    Raises:
        PredictionsError: an empty or duplicated id; says how many and names the first.
    """
    if ids.isna().any():
        raise PredictionsError(f"{name}: column {column!r} is empty in {int(ids.isna().sum())} of {len(ids)} rows.")
    again = ids[ids.duplicated()].unique()
    if len(again):
        raise PredictionsError(
            f"{name}: column {column!r} has {len(again)} duplicated ids (first: {first_few(list(again))}); "
            "expected one row per film."
        )


def first_few(ids: Sequence[object], k: int = 3) -> str:
    """The first ids of many, short enough for one sentence."""
    shown = ", ".join(repr(str(value)[:80]) for value in list(ids)[:k])
    return shown + (", …" if len(ids) > k else "")


def numbers(column: "pd.Series[Any]", label: str, name: object) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One column as float64, NaN where it is empty.

    Raises:
        PredictionsError: a value that is not a number; names the column and the row (the first data row is 1).
    """
    # pandas takes a moment for the nanoseconds since 1970.
    moments = pd.api.types.infer_dtype(column, skipna=True).startswith(("datetime", "timedelta"))
    values = pd.Series(np.nan, index=column.index) if moments else pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(values.isna() & column.notna())
    if len(wrong):
        raise PredictionsError(
            f"{name}: column {label!r} has {len(wrong)} values that are not numbers (first in row {wrong[0] + 1})."
        )
    return np.asarray(values.astype("float64"), dtype=np.float64)


def read_foreign_predictions(
    path: Path,
    *,
    id_column: str,
    scores: Mapping[str, str],
    thresholds: Mapping[str, float] | None = None,
) -> PredictionsTable:
    """Read another system's scores.

    Args:
        path: CSV, CSV.gz or Parquet, one row per film.
        id_column: the column that names the film: an ``image_id`` of the manifest, its part after ``<dataset>/``, or
            the file name of its path.
        scores: by finding, a column, or ``max(COLUMN,COLUMN,...)`` for the largest of several. A finding is a label
            column of the manifest (tb, nodule) or a native label, letter for letter.
        thresholds: by finding; labelled as given by the user, not locked.

    Returns:
        A table with ``image_id`` (as the file has it), ``status`` and ``p_<finding>``. A score that is empty or not
        finite stays NaN and is counted as missing later; scores outside [0, 1] are kept.

    Raises:
        PredictionsError: a missing file or column, a value that is not a number, duplicated or empty ids, a threshold
            without a score.
    """
    if not scores:
        raise PredictionsError(f"{path}: no score named; expected at least one --score FINDING=COLUMN.")
    thresholds = dict(thresholds or {})
    for finding in thresholds:
        if finding not in scores:
            raise PredictionsError(f"threshold for {finding!r}: no score of that finding; scores: {', '.join(scores)}.")
        if not np.isfinite(thresholds[finding]):
            raise PredictionsError(f"threshold for {finding!r} must be a finite number, got {thresholds[finding]}.")
    table = read_table(path, text_columns=(id_column,))
    if id_column not in table.columns:
        raise PredictionsError(f"{path}: no column {id_column!r}; columns: {_columns(table)}.")
    if table.empty:
        raise PredictionsError(f"{path}: the table has no rows.")
    ids = table[id_column]
    check_ids(ids, id_column, path)
    frame = pd.DataFrame({"image_id": ids.astype(str), "status": "ok"})
    text = {}
    for finding, spec in scores.items():
        columns = _score_columns(table, spec, path)
        values = np.stack([numbers(table[column], column, path) for column in columns])
        # np.max keeps NaN: the largest of a score and an unknown one is unknown.
        frame[f"p_{finding}"] = values.max(axis=0)
        text[finding] = f"column {columns[0]}" if len(columns) == 1 else f"the larger of columns {', '.join(columns)}"
    return PredictionsTable(
        frame=frame,
        findings=tuple(scores),
        digest=file_digest(path),
        file=path,
        id_column=id_column,
        scores=dict(scores),
        thresholds=thresholds,
        score_text=text,
        foreign=True,
    )


def _score_columns(table: pd.DataFrame, spec: str, path: Path) -> list[str]:
    several = _MAX_OF.fullmatch(spec.strip())
    if spec in table.columns or not several:
        columns = [spec]
    else:
        columns = [column.strip() for column in several["columns"].split(",")]
    for column in columns:
        if column not in table.columns:
            raise PredictionsError(f"{path}: no column {column!r}; columns: {_columns(table)}.")
    return columns


def _columns(table: pd.DataFrame, k: int = 20) -> str:
    names = [str(column) for column in table.columns]
    return ", ".join(names[:k]) + (f", … ({len(names)} in all)" if len(names) > k else "")
