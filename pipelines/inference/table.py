"""The predictions table on disk: parts while the run lasts, one Parquet file and one CSV when it is done."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.evaluation.predictions import COLUMNS, SCHEMA
from pipelines.system import replacing

_PARTS_PER_ROW_GROUP: Final = 64
_FREE_TEXT: Final = ("image_id", "path", "detail")
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of the predictions table as Arrow; what a row does not have is null."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


def part_file(folder: Path, number: int) -> Path:
    """Name of one part."""
    return folder / f"part-{number:05d}.parquet"


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], marks: Mapping[str, str]) -> None:
    """Write one part, with marks that say which work it belongs to."""
    with replacing(path, durable=True, sole_writer=True) as temporary:
        pq.write_table(to_table(rows).replace_schema_metadata(dict(marks)), temporary)


def read_part(path: Path, *, rows: int, marks: Mapping[str, str]) -> pa.Table | None:
    """Return a part without its marks; None where it is absent, broken, or of other work."""
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    found = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if found != dict(marks) or table.num_rows != rows or not table.schema.equals(SCHEMA):
        return None
    return table.replace_schema_metadata(None)


def write_tables(parts: Iterable[pa.Table], parquet: Path, spreadsheet: Path) -> None:
    """Join parts into the final tables; their bytes depend on the rows alone.

    The CSV holds the same rows: numbers with every digit, null as an empty cell, booleans as ``true`` and ``false``.
    A text that a spreadsheet might take for a formula (or that starts with an apostrophe) gets one apostrophe in front.
    """
    remaining = iter(parts)
    with (
        replacing(parquet, durable=True, sole_writer=True) as first,
        replacing(spreadsheet, durable=True, sole_writer=True) as second,
        pq.ParquetWriter(first, SCHEMA) as writer,
        second.open("w", encoding="utf-8", newline="") as stream,
    ):
        lines = csv.writer(stream, lineterminator="\r\n")  # RFC 4180; also makes the writer quote a lone CR
        lines.writerow(COLUMNS)
        while group := list(islice(remaining, _PARTS_PER_ROW_GROUP)):
            table = pa.concat_tables(group).combine_chunks()
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            lines.writerows(_cells(table))


def _cells(table: pa.Table) -> Iterator[tuple[str, ...]]:
    columns = [
        [_cell(value, free_text=name in _FREE_TEXT) for value in table[name].to_pylist()] for name in table.column_names
    ]
    return zip(*columns, strict=True)


def _cell(value: object, *, free_text: bool) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, float) else str(value)
    return f"'{text}" if free_text and text.startswith(_FORMULA_STARTS) else text
