"""From whatever a file or a caller gave to the columns of the schema, and what did not fit.

The canonical frame has the columns of `SCHEMA` in order and a plain index. Text and lists are object columns with None
for null, numbers are float64 with NaN for null, ``rows`` and ``columns`` are Int64.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from pipelines.findings import FINDINGS
from pipelines.manifest.problems import Problem, found
from pipelines.manifest.schema import BOX, COLUMNS, READING, REQUIRED_COLUMNS, SCHEMA


class MisfitError(ValueError):
    """A cell that is not a value of its column."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MisfitError
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # a file name whose bytes are not UTF-8
            raise MisfitError from None
    return str(value)


_NUMBER: Final = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)


def _number(value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if not isinstance(value, (bool, int, float, np.bool_, np.number)) or isinstance(value, complex):
        raise MisfitError
    number = float(value)
    if not math.isfinite(number):
        raise MisfitError
    return number


def _integer(value: object) -> int:
    number = _number(value)
    if not number.is_integer():
        raise MisfitError
    return int(number)


def _items(value: object) -> list[object]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            raise MisfitError from None
    if isinstance(value, (np.ndarray, tuple)):
        value = list(value)
    if not isinstance(value, list):
        raise MisfitError
    return value


def _texts(value: object) -> list[str]:
    return [_text(item) for item in _items(value)]


_FIELD_READERS: Final[dict[pa.DataType, Callable[[object], object]]] = {pa.string(): _text, pa.float64(): _number}
_BOX_FIELDS: Final = {field.name: _FIELD_READERS[field.type] for field in BOX}
_READING_FIELDS: Final = {field.name: _FIELD_READERS[field.type] for field in READING}


def _records(value: object, fields: Mapping[str, Callable[[object], object]]) -> list[dict[str, object]]:
    records = []
    for item in _items(value):
        if not isinstance(item, dict) or set(item) != set(fields):
            raise MisfitError
        records.append({name: read(item[name]) for name, read in fields.items()})
    return records


_READERS: Final[dict[pa.DataType, tuple[str, Callable[[object], object]]]] = {
    pa.string(): ("text", _text),
    pa.float64(): ("a finite number", _number),
    pa.int64(): ("a whole number", _integer),
    pa.list_(pa.string()): ('a list of texts like ["Nodule"]', _texts),
    pa.list_(BOX): (
        f'a list of boxes like [{{"finding": "{FINDINGS[0]}", "x0": 1, "y0": 1, "x1": 9, "y1": 9}}]',
        lambda value: _records(value, _BOX_FIELDS),
    ),
    pa.list_(READING): (
        f'a list of readings like [{{"reader": "R1", "finding": "{FINDINGS[0]}", "value": 1}}]',
        lambda value: _records(value, _READING_FIELDS),
    ),
}


def _series(name: str, values: Sequence[Any]) -> "pd.Series[Any]":
    kind = SCHEMA.field(name).type
    if kind == pa.float64():
        return pd.Series(np.array([np.nan if value is None else value for value in values], dtype=np.float64))
    if kind == pa.int64():
        return pd.Series(list(values), dtype="Int64")
    cells = np.empty(len(values), dtype=object)  # filled cell by cell: numpy would make a matrix of equal-length lists
    for row, value in enumerate(values):
        cells[row] = value
    return pd.Series(cells, dtype=object)


def row_names(frame: pd.DataFrame) -> list[str]:
    """What to call each row in a message: its image id, or its number (from 1) where it has none."""
    ids = frame["image_id"].tolist() if list(frame.columns).count("image_id") == 1 else [None] * len(frame)
    return [value if isinstance(value, str) and value else f"row {row}" for row, value in enumerate(ids, start=1)]


def _nulls(column: "pd.Series[Any]") -> list[bool]:
    """Which cells say nothing: None, NaN, NA, or an empty text (an empty list says something)."""
    missing = column.isna().tolist()
    return [null or (isinstance(cell, str) and not cell) for cell, null in zip(column.tolist(), missing, strict=True)]


def _read_column(
    name: str, column: "pd.Series[Any]", nulls: Sequence[bool], rows: Sequence[str]
) -> tuple[list[object], list[Problem]]:
    expected, read = _READERS[SCHEMA.field(name).type]
    values: list[object] = [None] * len(rows)
    misfits = []
    for position, (cell, null) in enumerate(zip(column.tolist(), nulls, strict=True)):
        if null:
            continue
        try:
            values[position] = read(cell)
        except MisfitError:
            misfits.append(rows[position])
    return values, found("wrong_type", f"rows whose {name!r} is not {expected}", misfits)


def to_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[Problem]]:
    """The canonical frame of any frame, and what did not fit.

    Args:
        frame: any columns, any types; an index is ignored.

    Returns:
        A frame with exactly the columns of the schema, in which misfits and missing columns are null; and the problems:
        ``unknown_column``, ``duplicate_column``, ``missing_column``, ``wrong_type``, ``missing_value``.
    """
    names = [str(name) for name in frame.columns]
    expected = f"columns; the schema has {', '.join(COLUMNS)}"
    problems = found("unknown_column", f"unknown {expected}", dict.fromkeys(n for n in names if n not in COLUMNS))
    twice = dict.fromkeys(name for name in names if names.count(name) > 1)
    problems += found("duplicate_column", "columns given twice; the first is read", twice)
    problems += found("missing_column", "required columns missing", [n for n in REQUIRED_COLUMNS if n not in names])
    rows = row_names(frame)
    columns: dict[str, pd.Series[Any]] = {}
    for name in COLUMNS:
        if name not in names:
            columns[name] = _series(name, [None] * len(frame))
            continue
        given = frame.iloc[:, names.index(name)]
        nulls = _nulls(given)
        values, misfits = _read_column(name, given, nulls, rows)
        columns[name] = _series(name, values)
        problems += misfits
        if name in REQUIRED_COLUMNS:
            empty = [row for row, null in zip(rows, nulls, strict=True) if null]
            problems += found("missing_value", f"rows whose {name!r} is empty", empty)
    return pd.DataFrame(columns), problems
