"""Reading native label files and folders, with errors that say which file was expected where."""

import codecs
import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from pipelines.datasets.adapter import IMAGE_SUFFIXES
from pipelines.errors import DatasetError
from pipelines.manifest.schema import AGE_YEARS_RANGE


def require_folder(root: Path, dataset: str) -> None:
    """Refuse a data root that is not a folder."""
    if not root.is_dir():
        raise DatasetError(f"{dataset}: data root {root} is not a folder")


def find_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The first of these files that is in a folder, plain or with ``.gz`` after its name."""
    for name in names:
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    return None


def need_file(folder: Path, names: Sequence[str], dataset: str) -> Path:
    """As `find_file`.

    Raises:
        DatasetError: none of them is there.
    """
    found = find_file(folder, names)
    if found is None:
        raise DatasetError(f"{dataset}: expected {' or '.join(names)} (plain or .gz) in {folder}, found none")
    return found


def find_base(root: Path, marker: str, places: Sequence[str], dataset: str) -> Path:
    """The folder with the native layout: the root itself or a known place below it.

    Args:
        root: what the user gave.
        marker: a file or folder that the layout always has.
        places: folders below the root, as download tools create them.
        dataset: for the message.

    Raises:
        DatasetError: the marker is in none of them.
    """
    require_folder(root, dataset)
    for place in ("", *places):
        if (root / place / marker).exists():
            return root / place
    where = ", ".join(["the root", *places])
    raise DatasetError(f"{dataset}: expected {marker} in {root} (looked in {where}), found none")


def read_text(path: Path) -> str:
    """Text of a file, plain or gzipped, UTF-8 or else Latin-1, without a byte-order mark.

    Raises:
        DatasetError: the file cannot be read.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({type(error).__name__})") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DatasetError(f"{path}: the text is UTF-16, expected UTF-8: save it again as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:  # some old label files are not UTF-8; what we match in them is ASCII
        return content.decode("latin-1")


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV as texts, by column; a header cell is stripped of blanks, rows may be shorter than the header.

    Args:
        path: plain or gzipped.
        columns: those that must be there.

    Raises:
        DatasetError: the file is no such table; names the columns that are missing.
    """
    text = read_text(path)
    try:
        # Lines end where CSV says: str.splitlines would cut at signs that stand inside texts (U+0085, U+2028).
        header, *rows = csv.reader(io.StringIO(text, newline=""))
    except (csv.Error, ValueError) as error:
        raise DatasetError(f"{path}: expected a comma-separated table with a header") from error
    # Columns without a name keep apart from each other.
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, start=1)]
    missing = [name for name in columns if name not in names]
    if missing:
        raise DatasetError(f"{path}: expected column {', '.join(missing)}, found {', '.join(names)}")
    return [dict(zip(names, row, strict=False)) | dict.fromkeys(names[len(row) :], "") for row in rows if any(row)]


def read_frame(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> pd.DataFrame:
    """Some columns of a large CSV as texts: as `read_table`, at a tenth of the time and memory.

    Args:
        path: plain or gzipped, UTF-8; an empty cell is an empty text, and so is one of a short row.
        columns: those that must be there.
        optional: those that are read where they are there.

    Raises:
        DatasetError: the file is no such table; names the columns that are missing.
    """
    try:
        names = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns
        missing = [name for name in columns if name not in names]
        if missing:
            raise DatasetError(f"{path}: expected column {', '.join(missing)}, found {', '.join(names)}")
        wanted = [*columns, *(name for name in optional if name in names)]
        return pd.read_csv(
            path, usecols=wanted, dtype=object, keep_default_na=False, encoding="utf-8-sig", index_col=False
        )[wanted]
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected a comma-separated table with a header, in UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path}: cannot be read ({type(error).__name__})") from error


def image_files(folder: Path, *, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> Iterator[str]:
    """Image files below a folder, as POSIX paths relative to it, sorted; hidden files and folders are left out.

    Args:
        folder: where to look; linked folders are followed, each once.
        suffixes: endings in lower case.

    Raises:
        DatasetError: a name that is not UTF-8.
    """
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:  # a link back up would never end
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                yield _utf8((Path(place) / name).relative_to(folder).as_posix())


def _utf8(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"file name {path!a} is not UTF-8, as a manifest needs: rename the file") from None
    return path


_UNITS = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}


def age_years(text: str) -> float | None:
    """Years of texts like ``58``, ``058Y``, ``45yrs``, ``16month``, ``64days``; null where that is no possible age."""
    match = re.match(r"\s*(\d+(?:\.\d+)?)\s*([a-z]?)", text.lower())
    if match is None or match[2] not in _UNITS:
        return None
    years = float(match[1]) * _UNITS[match[2]]
    low, high = AGE_YEARS_RANGE
    return years if low <= years <= high else None


def sex_of(text: str) -> str | None:
    """F, M, or null: ``F``, ``female``, ``Femal``, ``M``, ``Male``."""
    word = text.strip().lower()
    if word in ("f", "female", "femal"):
        return "F"
    return "M" if word in ("m", "male") else None
