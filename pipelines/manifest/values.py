"""Is each value of a canonical frame one that its column may have?"""

import posixpath
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pandas as pd

from pipelines.findings import FINDINGS
from pipelines.imaging.film_print import FINGERPRINT_PATTERN
from pipelines.manifest.columns import row_names
from pipelines.manifest.problems import Problem, found
from pipelines.manifest.schema import AGE_YEARS_RANGE, REFERENCE_STANDARDS, SEXES, SPLITS, VIEWS

_CHOICES: Final = {"split": SPLITS, "view": VIEWS, "sex": SEXES, "reference_standard": REFERENCE_STANDARDS}
_PATTERNS: Final = {
    "sha256": (r"[0-9a-f]{64}", "64 lower-case hex digits"),
    "pixel_hash": (r"[0-9a-f]{16}", "16 lower-case hex digits"),
    "fingerprint": (FINGERPRINT_PATTERN, "the letter A and 392 characters of URL-safe base64"),
}


def escapes(path: str) -> bool:
    """Whether a path could name something outside the data root, or is not written in POSIX form."""
    return (
        path.startswith("/")
        or "\\" in path
        or "\0" in path
        or path[1:2] == ":"  # a drive letter
        or ".." in path.split("/")
        or posixpath.normpath(path) == "."
    )


def value_problems(frame: pd.DataFrame) -> list[Problem]:
    """Everything wrong with single rows of a canonical frame, and ids given twice.

    Args:
        frame: as `to_columns` returns it.

    Returns:
        Problems ``empty``, ``bad_<column>``, ``path_escape``, ``bad_box``, ``duplicate_id``.
    """
    if frame.empty:
        return [Problem("empty", "rows: at least one image is expected", 0, ())]
    rows = pd.Series(row_names(frame), index=frame.index)
    problems = []
    for code, message, wrong in _rules(frame):
        problems += found(code, message, rows[wrong])
    twice = frame["image_id"].notna() & frame["image_id"].duplicated(keep="first")
    return problems + found("duplicate_id", "rows repeat the image_id of an earlier row", rows[twice])


def _rules(frame: pd.DataFrame) -> Iterator[tuple[str, str, "pd.Series[bool]"]]:
    for name, choices in _CHOICES.items():
        wrong = frame[name].notna() & ~frame[name].isin(choices)
        yield f"bad_{name}", f"rows whose {name!r} is not one of {', '.join(choices)} or empty", wrong
    for name in FINDINGS:
        wrong = frame[name].notna() & ~frame[name].isin((0.0, 1.0))
        yield f"bad_{name}", f"rows whose label {name!r} is not 1, 0 or empty (not known)", wrong
    low, high = AGE_YEARS_RANGE
    wrong = frame["age_years"].notna() & ~frame["age_years"].between(low, high)
    yield "bad_age_years", f"rows whose age is outside {low:g} to {high:g} years", wrong
    for name in ("rows", "columns", "pixel_spacing_mm"):
        yield f"bad_{name}", f"rows whose {name!r} is not greater than 0", (frame[name] <= 0).fillna(False).astype(bool)
    for name, (pattern, expected) in _PATTERNS.items():
        full = re.compile(pattern)
        yield (
            f"bad_{name}",
            f"rows whose {name!r} is not {expected}",
            _where(frame[name], lambda v, f=full: not f.fullmatch(v)),
        )
    yield (
        "path_escape",
        "rows whose path is absolute, has '..' or '\\', or names the data root itself",
        _where(frame["path"], escapes),
    )
    yield (
        "bad_box",
        f"rows with a box whose corners are inverted or whose finding is not one of {', '.join(FINDINGS)}",
        _where(frame["boxes"], _bad_boxes),
    )
    yield (
        "bad_readings",
        f"rows with a reading that is not 1 or 0, is not of {', '.join(FINDINGS)} or is given twice",
        _where(frame["readings"], _bad_readings),
    )


def _where(column: "pd.Series[Any]", test: Callable[..., bool]) -> "pd.Series[bool]":
    return pd.Series([value is not None and test(value) for value in column], index=column.index, dtype=bool)


def _bad_boxes(boxes: list[dict[str, object]]) -> bool:
    return any(
        box["finding"] not in FINDINGS or not (box["x0"] < box["x1"] and box["y0"] < box["y1"])  # type: ignore[operator]
        for box in boxes
    )


def _bad_readings(readings: list[dict[str, object]]) -> bool:
    said = [(reading["reader"], reading["finding"]) for reading in readings]
    values = all(reading["finding"] in FINDINGS and reading["value"] in (0.0, 1.0) for reading in readings)
    return not values or len(set(said)) != len(said)
