"""A finished run as the worklist page holds it: films in worklist order, column by column, in few bytes."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.evaluation.predictions import HEATMAP_FOLDER, STATUSES, TRIAGE_CLASSES, heatmap_file
from pipelines.evaluation.tables import PredictionsTable

MAX_FILMS: Final = 100_000
"""Films in one page. A browser holds more, but a person does not, and a page of 25 MB is slow to open anywhere."""
REMARKS: Final = ("inverted_corrected", "cropped", "low_contrast", "colour_converted")
"""Columns that become bits 0 to 3 of a film's remarks; bits 4 and 5 are the quarter turns; -1: it was not read."""
_QUARTERS: Final = {0: 0, 90: 1, 180: 2, 270: 3}
_UNSAFE: Final[dict[str, str | int | None]] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


@dataclass(frozen=True)
class WorklistFilms:
    """The films of one page."""

    frame: pd.DataFrame
    """Rows in worklist order with a column ``position`` (from 1) in the input: by triage score, the highest first, then
    films without a score as they came."""
    scored: int
    """How many of the rows have a score: they are the first ones."""
    pictures: frozenset[str]
    """Names of the files in the heat-map folder."""


def worklist_films(table: PredictionsTable) -> WorklistFilms:
    """Put the films of a predictions folder in worklist order.

    Where there are more than `MAX_FILMS`, films without a score are kept first: a page that leaves films out must not
    leave out those nobody would look for.
    """
    frame = table.frame.assign(position=np.arange(1, len(table.frame) + 1))
    score = scores(frame)
    order = np.argsort(-score, kind="stable")  # NaN, no score, goes last
    scored = int(np.isfinite(score).sum())
    unscored = min(len(frame) - scored, MAX_FILMS)
    kept = min(scored, MAX_FILMS - unscored)
    order = np.concatenate([order[:kept], order[scored : scored + unscored]])
    return WorklistFilms(frame.iloc[order].reset_index(drop=True), kept, _pictures(table.folder))


def scores(frame: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Triage scores ``[n]``; NaN where a film has none."""
    column = frame.get("triage_score")
    values = np.full(len(frame), np.nan) if column is None else column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values) & (frame["status"] == "ok"), values, np.nan)


def _pictures(folder: Path | None) -> frozenset[str]:
    if folder is None or not (folder / HEATMAP_FOLDER).is_dir():
        return frozenset()
    with os.scandir(folder / HEATMAP_FOLDER) as entries:
        return frozenset(entry.name for entry in entries if entry.name.endswith(".png"))


def film_columns(films: WorklistFilms, findings: Sequence[str]) -> dict[str, Any]:
    """The films column by column as plain JSON values; null where a value is not known.

    Codes are digits in one text: ``status`` counts in STATUSES, ``class`` in TRIAGE_CLASSES from 1 (0: none), ``flag``
    is 0 unknown, 1 no, 2 yes, ``maps`` has bit k for finding k. Texts that repeat are numbers into a list. ``path`` is
    0 where it is the id, ``picture`` the digest in the name of the film's pictures or 0: the script makes the rest.
    ``duplicate`` has, by row, the id of an earlier film with the same picture.
    """
    frame = films.frame
    reasons, reason = _numbered(frame.get("reason"), len(frame))
    details, detail = _numbered(frame.get("detail"), len(frame))
    ids = [str(value) for value in frame["image_id"]]
    paths = _texts(frame.get("path"), len(frame))
    picture, maps = _picture_codes(ids, findings, films.pictures)
    return {
        "id": ids,
        "path": [0 if path == name or not path else path for name, path in zip(ids, paths, strict=True)],
        "position": [int(value) for value in frame["position"]],
        "status": _digits(frame["status"], {status: number for number, status in enumerate(STATUSES)}),
        "class": _digits(frame.get("triage_class"), {name: n for n, name in enumerate(TRIAGE_CLASSES, 1)}, len(frame)),
        "reason": reason,
        "reasons": reasons,
        "detail": detail,
        "details": details,
        "score": _rounded(scores(frame), 3),
        "p": [_column(frame, f"p_{finding}", 5) for finding in findings],
        "flag": [_digits(frame.get(f"flag_{finding}"), {False: 1, True: 2}, len(frame)) for finding in findings],
        "peak": [[_column(frame, f"peak_{axis}_{finding}", 0) for axis in ("x", "y")] for finding in findings],
        "control": [_column(frame, f"control_{finding}", 3) for finding in findings],
        "atypicality": _column(frame, "atypicality", 2),
        "text": _column(frame, "text_area", 3),
        "border": _column(frame, "border", 3),
        "remarks": _remarks(frame),
        "duplicate": {n: text for n, text in enumerate(_texts(frame.get("duplicate_of"), len(frame))) if text},
        "picture": picture,
        "maps": maps,
    }


def script_json(values: object) -> str:
    """JSON that may stand inside a ``<script>`` element: nothing in it can end the element or start another."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(str.maketrans(_UNSAFE))


def _texts(column: "pd.Series[Any] | None", n: int) -> list[str]:
    if column is None:
        return [""] * n
    return ["" if pd.isna(value) else str(value) for value in column]


def _numbered(column: "pd.Series[Any] | None", n: int) -> tuple[list[str], list[int]]:
    """The different texts of a column, the empty one first, and which of them each row has."""
    numbers: dict[str, int] = {"": 0}
    rows = [numbers.setdefault(text, len(numbers)) for text in _texts(column, n)]
    return list(numbers), rows


def _digits(column: "pd.Series[Any] | None", codes: Mapping[Any, int], n: int = 0) -> str:
    if column is None:
        return "0" * n
    return "".join(str(0 if pd.isna(value) else codes.get(value, 0)) for value in column)


def _column(frame: pd.DataFrame, name: str, digits: int) -> list[float | None]:
    column = frame.get(name)
    if column is None:
        return [None] * len(frame)
    return _rounded(column.to_numpy(dtype=np.float64, na_value=np.nan), digits)


def _rounded(values: np.ndarray[Any, np.dtype[np.float64]], digits: int) -> list[float | None]:
    return [_number(round(value, digits)) if math.isfinite(value) else None for value in values.tolist()]


def _number(value: float) -> float:
    return int(value) if value.is_integer() else value  # "0" and "1" instead of "0.0" and "1.0"


def _remarks(frame: pd.DataFrame) -> list[int]:
    bits = np.zeros(len(frame), dtype=np.int64)
    for bit, name in enumerate(REMARKS):
        if name in frame:
            bits |= frame[name].eq(True).to_numpy(dtype=np.int64) << bit
    if "rotation_degrees" in frame:
        turns = frame["rotation_degrees"].map(_QUARTERS)
        bits |= turns.fillna(0).to_numpy(dtype=np.int64) << len(REMARKS)
    read = frame["cropped"].notna().to_numpy() if "cropped" in frame else np.zeros(len(frame), dtype=bool)
    return [int(value) for value in np.where(read, bits, -1)]


def _picture_codes(ids: Sequence[str], findings: Sequence[str], files: frozenset[str]) -> tuple[list[str | int], str]:
    if not files:
        return [0] * len(ids), "0" * len(ids)
    pictures: list[str | int] = []
    maps = []
    for name in ids:
        film = heatmap_file(name, "film")
        pictures.append(film.removesuffix(".film.png")[-8:] if film in files else 0)
        found = sum((heatmap_file(name, finding) in files) << bit for bit, finding in enumerate(findings))
        maps.append(f"{found if film in files else 0:x}")
    return pictures, "".join(maps)
