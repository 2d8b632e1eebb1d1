"""The predictions table on disk: parts while the run lasts, one Parquet file and one CSV when it is done."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.evaluation.predictions import COLUMNS, SCHEMA
from pipelines.system import replacing

PICTURE_DIGEST: Final = "picture_digest"
"""Column of parts: 16 hexadecimal digits of the network's input, null where there was none."""
PART_SCHEMA: Final = SCHEMA.append(pa.field(PICTURE_DIGEST, pa.string()))
_NO_DIGEST: Final = 0
_PARTS_PER_ROW_GROUP: Final = 64
_FREE_TEXT: Final = ("image_id", "path", "detail", "duplicate_of")
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def to_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema = SCHEMA) -> pa.Table:
    """Rows of the predictions table as Arrow; what a row does not have is null."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def whole_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of a whole run, with their picture digests, as the predictions table."""
    part = to_table(rows, PART_SCHEMA)
    return next(_without_digests([part], picture_digests([part])))


def part_file(folder: Path, number: int) -> Path:
    """Name of one part."""
    return folder / f"part-{number:05d}.parquet"


def write_part(path: Path, rows: Sequence[Mapping[str, Any]], marks: Mapping[str, str]) -> None:
    """Write one part, with marks that say which work it belongs to."""
    with replacing(path, durable=True, sole_writer=True) as temporary:
        pq.write_table(to_table(rows, PART_SCHEMA).replace_schema_metadata(dict(marks)), temporary)


def read_part(path: Path, *, rows: int, marks: Mapping[str, str]) -> pa.Table | None:
    """Return a part without its marks; None where it is absent, broken, or of other work."""
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return None
    found = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if found != dict(marks) or table.num_rows != rows or not table.schema.equals(PART_SCHEMA):
        return None
    return table.replace_schema_metadata(None)


def picture_digests(parts: Iterable[pa.Table]) -> NDArray[np.uint64]:
    """Return ``[n]`` the picture digests of all rows; 0 where there is none."""
    found = [
        np.fromiter((int(text, 16) if text else _NO_DIGEST for text in part[PICTURE_DIGEST].to_pylist()), np.uint64)
        for part in parts
    ]
    return np.concatenate(found) if found else np.empty(0, np.uint64)


class Duplicates:
    """Finds rows whose picture an earlier row has.

    Args:
        digests: ``[n]`` of all rows that the table will have, in any order; 0 for none.
    """

    def __init__(self, digests: NDArray[np.uint64]) -> None:
        values, counts = np.unique(digests, return_counts=True)
        self._first: dict[int, str | None] = dict.fromkeys(values[(counts > 1) & (values != _NO_DIGEST)].tolist())
        self.count = 0

    def name(self, image_ids: Sequence[str], digests: Sequence[int]) -> list[str | None]:
        """Return for each of the next rows, in the table's order, the id of the first row with the same picture."""
        names: list[str | None] = []
        for image_id, digest in zip(image_ids, digests, strict=True):
            first = self._first.get(digest)
            if first is None and digest in self._first:
                self._first[digest] = image_id
            names.append(first)
        self.count += len(names) - names.count(None)
        return names


def write_tables(parts: Callable[[], Iterable[pa.Table]], parquet: Path, spreadsheet: Path) -> NDArray[np.uint64]:
    """Join parts into the final tables; their bytes depend on the rows alone.

    The CSV holds the same rows: numbers with every digit, null as an empty cell, booleans as ``true`` and ``false``.
    A text that a spreadsheet might take for a formula (or that starts with an apostrophe) gets one apostrophe in front.

    Args:
        parts: gives the tables of all parts in order, each time it is called.
        parquet: the table.
        spreadsheet: the same as CSV.

    Returns:
        ``[n]`` the picture digests of all rows.
    """
    digests = picture_digests(parts())
    write_rows(_without_digests(parts(), digests), parquet, spreadsheet)
    return digests


def _without_digests(parts: Iterable[pa.Table], digests: NDArray[np.uint64]) -> Iterator[pa.Table]:
    duplicates, begin = Duplicates(digests), 0
    for part in parts:
        end = begin + part.num_rows
        names = duplicates.name(part["image_id"].to_pylist(), digests[begin:end].tolist())
        table = part.drop_columns(PICTURE_DIGEST)
        place = table.schema.get_field_index("duplicate_of")
        yield table.set_column(place, table.schema.field(place), pa.array(names, pa.string()))
        begin = end


def write_rows(tables: Iterable[pa.Table], parquet: Path, spreadsheet: Path) -> None:
    """Write the final tables from tables of one part each, in order.

    Args:
        tables: of the predictions table's schema.
        parquet: the table.
        spreadsheet: the same as CSV.
    """
    remaining = iter(tables)
    with (
        replacing(parquet, durable=True, sole_writer=True) as first,
        replacing(spreadsheet, durable=True, sole_writer=True) as second,
        pq.ParquetWriter(first, SCHEMA) as writer,
        second.open("w", encoding="utf-8", newline="") as stream,
    ):
        lines = csv_writer(stream)
        lines.writerow(COLUMNS)
        while group := list(islice(remaining, _PARTS_PER_ROW_GROUP)):
            table = pa.concat_tables(group).combine_chunks()
            writer.write_table(table, row_group_size=max(1, table.num_rows))
            lines.writerows(csv_cells(table))


def csv_writer(stream: TextIO) -> Any:
    """What writes rows of cells into a text file opened with ``newline=""``."""
    return csv.writer(stream, lineterminator="\r\n")  # RFC 4180; also makes the writer quote a lone CR


def csv_cells(table: pa.Table) -> Iterator[tuple[str, ...]]:
    """Yield the cells of a table's rows as the CSV has them."""
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
