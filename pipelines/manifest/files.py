"""Manifests on disk: Parquet, CSV, or CSV.gz with the same columns and, in canonical form, the same content."""

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import ManifestError
from pipelines.manifest.columns import to_columns
from pipelines.manifest.problems import found, refuse
from pipelines.manifest.schema import COLUMNS, LATER_COLUMNS, SCHEMA
from pipelines.manifest.values import value_problems
from pipelines.system import replacing

SUFFIXES: Final = (".parquet", ".csv", ".csv.gz")


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise ManifestError(
        f"{path}: a manifest's name ends in {', '.join(SUFFIXES)}, found {path.suffix or 'no suffix'!r}"
    )


def load_unchecked(path: Path) -> pd.DataFrame:
    """Read a manifest as it stands, so that `check_manifest` can tell everything that is wrong with it.

    Args:
        path: Parquet, CSV or CSV.gz.

    Returns:
        The file's own columns; cells of a CSV are texts, an empty cell is None.

    Raises:
        ManifestError: there is no such file, or it is not a table at all (its rows have different lengths, say).
    """
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise ManifestError(f"{path}: no such manifest file")
    try:
        if suffix == ".parquet":
            table: pd.DataFrame = pq.read_table(path, partitioning=None).to_pandas(ignore_metadata=True)
            return table
        content = path.read_bytes()
        if suffix == ".csv.gz":
            content = gzip.decompress(content)
        return _parse_csv(content.decode("utf-8-sig"), path)  # a spreadsheet's byte-order mark is no part of the header
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise ManifestError(f"{path}: not a readable {suffix} file ({type(error).__name__})") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text from byte {error.start} on") from error


def _parse_csv(text: str, path: Path) -> pd.DataFrame:
    try:
        header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except ValueError:
        raise ManifestError(f"{path}: the file is empty, expected a header and one row per image") from None
    except csv.Error as error:
        raise ManifestError(f"{path}: not a comma-separated table ({error})") from error
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise ManifestError(f"{path}: cells are separated by semicolons or tabs, expected commas")
    numbered = [(number, row) for number, row in enumerate(rows, start=1) if row]
    ragged = [f"row {number} with {len(row)}" for number, row in numbered if len(row) != len(header)]
    refuse(found("ragged", f"rows do not have the header's {len(header)} cells", ragged), str(path))
    cells = [[cell or None for cell in row] for _, row in numbered]
    return pd.DataFrame(np.array(cells, dtype=object).reshape(len(cells), len(header)), columns=header, dtype=object)


def conform(frame: pd.DataFrame, *, source: str = "manifest") -> pd.DataFrame:
    """The canonical frame of a frame that keeps the schema.

    Args:
        frame: at least the required columns; missing optional ones become null.
        source: what to call it in the error.

    Returns:
        Columns in the schema's order and types (see `pipelines.manifest.columns`), rows in the order given.

    Raises:
        ManifestError: everything that breaks the schema, at once, with counts and first examples.
    """
    columns, problems = to_columns(frame)
    refuse(problems + value_problems(columns), source)
    return columns


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest and validate it against the schema.

    Args:
        path: Parquet, CSV or CSV.gz. Only ``image_id``, ``path`` and ``dataset`` must be there; other missing columns
            are filled with null. In CSV, lists are JSON text and an empty cell is null.

    Returns:
        The canonical frame, in the file's order: see `conform`.

    Raises:
        ManifestError: everything that is wrong, at once.
    """
    return conform(load_unchecked(path), source=str(path))


def write_manifest(frame: pd.DataFrame, path: Path) -> None:
    """Write a manifest: the same frame gives the same bytes, whenever and wherever (with one pyarrow version).

    Args:
        frame: keeps the schema; an index is not written.
        path: its suffix chooses Parquet, CSV or CSV.gz. The file appears whole or not at all.

    Raises:
        ManifestError: the frame breaks the schema, or the name has another suffix.
    """
    path = Path(path)
    suffix = _suffix(path)
    canonical = conform(frame, source=f"manifest to be written to {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        if suffix == ".parquet":
            pq.write_table(_to_arrow(canonical), stream, compression="zstd", store_schema=False)
        elif suffix == ".csv.gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0) as packed:
                packed.write(_to_csv(canonical))
        else:
            stream.write(_to_csv(canonical))


def _to_arrow(canonical: pd.DataFrame) -> pa.Table:
    arrays = [pa.array(canonical[field.name], type=field.type, from_pandas=True) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


_TO_QUOTE: Final = re.compile(r'[,"\r\n]')


def _quoted(cell: str) -> str:
    # csv.writer leaves a lone carriage return bare, which a reader takes for the end of the row.
    return '"' + cell.replace('"', '""') + '"' if _TO_QUOTE.search(cell) else cell


def _cells(canonical: pd.DataFrame, names: Sequence[str]) -> Iterable[tuple[str, ...]]:
    """Rows of quoted cells."""
    columns = []
    for name in names:
        column = canonical[name]
        null = column.isna()
        if null.all():  # most of the columns of a manifest without films on disk
            columns.append([""] * len(canonical))
            continue
        cells = ["" if empty else _cell(value) for value, empty in zip(column.tolist(), null, strict=True)]
        # Looked through at once: few columns have a cell to quote.
        columns.append([_quoted(cell) for cell in cells] if _TO_QUOTE.search("".join(cells)) else cells)
    return zip(*columns, strict=True)


def _to_csv(canonical: pd.DataFrame, names: Sequence[str] = COLUMNS) -> bytes:
    lines = [",".join(names), *map(",".join, _cells(canonical, names))]
    return ("\n".join(lines) + "\n").encode()


def manifest_digest(frame: pd.DataFrame, *, canonical: bool = False) -> str:
    """Name the content of a manifest: equal for equal rows, whatever file they came from.

    What is in it: every column of the schema for every row, as the canonical CSV writes them, rows sorted by
    ``image_id``. What is not: file format and name, row order, column order, and whether a null column was left out.

    Args:
        frame: keeps the schema.
        canonical: the frame comes from `read_manifest` or `conform` unchanged, and is not looked through again.

    Returns:
        SHA-256, 64 hex digits.

    Raises:
        ManifestError: the frame breaks the schema.
    """
    rows = (frame if canonical else conform(frame)).sort_values("image_id", kind="stable")
    said = [name for name in COLUMNS if name not in LATER_COLUMNS or rows[name].notna().any()]
    return hashlib.sha256(b"cxr-manifest-1\n" + _to_csv(rows, said)).hexdigest()
