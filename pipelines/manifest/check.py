"""Everything that is wrong with a manifest, at once."""

import os
import posixpath
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import UnreadableImage
from pipelines.findings import FINDINGS
from pipelines.imaging import sha256_file
from pipelines.manifest.columns import row_names, to_columns
from pipelines.manifest.leakage import copies_in_two_splits, leaks, look_alikes
from pipelines.manifest.overlap.pairs import film_files
from pipelines.manifest.problems import Problem, found
from pipelines.manifest.values import escapes, value_problems

_NOT_COMPARABLE: Final = ("bad_fingerprint", "path_escape", "missing_column")
"""Defects with which pictures are not compared: they are mended first."""


def files_present(root: Path, paths: Sequence[str]) -> NDArray[np.bool_]:
    """Which paths are regular files below a root: one listing per folder, not one look per file.

    Args:
        root: the data root.
        paths: POSIX, relative to it.

    Returns:
        Boolean, [paths].
    """
    wanted: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(paths):
        wanted[posixpath.dirname(posixpath.normpath(path))].append(row)
    present = np.zeros(len(paths), dtype=bool)
    for folder, rows in wanted.items():
        try:
            with os.scandir(root / folder) as entries:
                names = {entry.name for entry in entries if entry.is_file()}
        except OSError:  # no such folder, or not ours to read: none of its files can be used
            continue
        present[rows] = [posixpath.basename(posixpath.normpath(paths[row])) in names for row in rows]
    return present


def check_manifest(
    frame: pd.DataFrame,
    *,
    root: Path | None,
    hashes: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Problem]:
    """Find everything that is wrong with a manifest, also with one that breaks the schema.

    Args:
        frame: as `load_unchecked` or `read_manifest` returns it.
        root: the data root, to look for the files; None leaves the files alone.
        hashes: also read every file and compare its SHA-256 with the manifest's.
        progress: called with (files read, files in all) while hashing.

    Returns:
        Problems, errors first; none means that nothing is wrong. Patients are shown by the ids of their images.
    """
    columns, problems = to_columns(frame)
    problems += value_problems(columns)
    rows = pd.Series(row_names(columns), index=columns.index)
    problems += _path_problems(columns, rows) + leaks(columns) + look_alikes(columns) + _box_problems(columns, rows)
    problems += _unknowns(columns, rows)
    if not any(problem.code in _NOT_COMPARABLE for problem in problems):
        problems += copies_in_two_splits(columns, None if root is None else film_files(columns, Path(root)))
    if root is not None:
        problems += _file_problems(columns, rows, Path(root), hashes, progress)
    return sorted(problems, key=lambda problem: problem.severity != "error")


def _path_problems(frame: pd.DataFrame, rows: "pd.Series[str]") -> list[Problem]:
    normal = frame["path"].map(posixpath.normpath, na_action="ignore")
    twice = normal.notna() & normal.duplicated()
    known = frame["image_id"].notna() & frame["dataset"].notna()
    ids = zip(frame["image_id"], frame["dataset"], strict=True)
    unnamed = known & np.array([not str(image_id).startswith(f"{dataset}/") for image_id, dataset in ids], dtype=bool)
    return found("duplicate_path", "rows repeat the path of an earlier row", rows[twice]) + found(
        "id_without_dataset", "rows whose image_id does not begin with '<dataset>/'", rows[unnamed], "warning"
    )


def _box_problems(frame: pd.DataFrame, rows: "pd.Series[str]") -> list[Problem]:
    outside, unlabelled = [], []
    with_boxes = frame[[isinstance(boxes, list) and len(boxes) > 0 for boxes in frame["boxes"]]]
    for row, film in with_boxes.iterrows():
        width = np.inf if pd.isna(film["columns"]) else film["columns"]
        height = np.inf if pd.isna(film["rows"]) else film["rows"]
        if any(min(b["x0"], b["y0"]) < 0 or b["x1"] > width or b["y1"] > height for b in film["boxes"]):
            outside.append(rows[row])  # type: ignore[call-overload]
        if any(film[b["finding"]] != 1 for b in film["boxes"] if b["finding"] in FINDINGS):
            unlabelled.append(rows[row])  # type: ignore[call-overload]
    return found("box_outside", "rows with a box that is not inside the image", outside) + found(
        "box_without_label", "rows with a box of a finding whose label is not 1", unlabelled
    )


def _unknowns(frame: pd.DataFrame, rows: "pd.Series[str]") -> list[Problem]:
    unlabelled = frame[list(FINDINGS)].isna().all(axis=1)
    return found(
        "unknown_patient",
        "rows without patient_id: that splits share no patient cannot be shown for them",
        rows[frame["patient_id"].isna()],
        "warning",
    ) + found(
        "no_label",
        "rows with neither finding known: nothing can be learned or measured on them",
        rows[unlabelled],
        "warning",
    )


def _file_problems(
    frame: pd.DataFrame,
    rows: "pd.Series[str]",
    root: Path,
    hashes: bool,
    progress: Callable[[int, int], None] | None,
) -> list[Problem]:
    if not root.is_dir():
        return [Problem("no_data_root", f"data root: {root} is not a folder", 1, ())]
    usable = frame["path"].notna() & ~frame["path"].map(lambda path: isinstance(path, str) and escapes(path))
    inside = frame[usable]
    present = files_present(root, inside["path"].tolist())
    problems = found("missing_file", f"rows whose file is not below {root}", rows[inside.index[~present]])
    if not hashes:
        return problems
    hashed = inside[present & inside["sha256"].notna()]
    unhashed = inside[present & inside["sha256"].isna()]
    problems += found("no_sha256", "rows without sha256 to compare their file with", rows[unhashed.index], "warning")
    changed = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # hashing releases the interpreter's lock
        digests = pool.map(_digest, [root / path for path in hashed["path"]])
        for done, (row, expected, digest) in enumerate(
            zip(hashed.index, hashed["sha256"], digests, strict=True), start=1
        ):
            if digest != expected:
                changed.append(rows[row])
            if progress is not None:
                progress(done, len(hashed))
    return problems + found(
        "changed_file", "rows whose file is not the one the manifest was made from (sha256)", changed
    )


def _digest(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except (OSError, UnreadableImage):
        return None
