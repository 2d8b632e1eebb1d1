"""Facts of the image files on disk: size, hashes, and what their headers say, read in parallel processes."""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipelines.datasets.adapter import warn
from pipelines.errors import UnreadableImage
from pipelines.imaging import pixel_hash, read_facts, read_radiograph, sha256_file
from pipelines.manifest.schema import AGE_YEARS_RANGE, SEXES, VIEWS
from pipelines.system import usable_cores

Progress = Callable[[int, int], None]
"""Called with (films read, films in all)."""

_FEW: Final = 64
"""Below this many films, starting processes takes longer than reading."""
_CHUNK: Final = 16
_SQUARE_TOLERANCE: Final = 0.01


@dataclass(frozen=True)
class FileFacts:
    """What one image file says; null where it does not, or could not be read."""

    rows: int | None = None
    columns: int | None = None
    sha256: str | None = None
    pixel_hash: str | None = None
    view: str | None = None
    sex: str | None = None
    age_years: float | None = None
    pixel_spacing_mm: float | None = None
    refusal: str | None = field(default=None, metadata={"column": False})
    """Reason code where the file is not a usable film."""


COLUMNS: Final = tuple(f.name for f in fields(FileFacts) if f.metadata.get("column", True))


def measure_file(path: Path, *, hashes: bool) -> FileFacts:
    """Read one file; one that is not a usable film gives its reason instead of an error."""
    known: dict[str, object] = {}
    try:
        if hashes:
            known["sha256"] = sha256_file(path)
        facts = read_facts(path)
        known |= {"rows": facts.rows, "columns": facts.columns}
        known |= {"view": facts.view if facts.view in VIEWS else None, "sex": facts.sex if facts.sex in SEXES else None}
        known |= {"age_years": _possible_age(facts.age_years), "pixel_spacing_mm": _spacing(facts.pixel_spacing_mm)}
        if hashes:
            known["pixel_hash"] = pixel_hash(read_radiograph(path).pixels)
    except UnreadableImage as error:
        known["refusal"] = str(error.reason)
    return FileFacts(**known)  # type: ignore[arg-type]


def _possible_age(age: float | None) -> float | None:
    low, high = AGE_YEARS_RANGE
    return age if age is not None and low <= age <= high else None


def _spacing(spacing: tuple[float, float] | None) -> float | None:
    """One number for square pixels; null where they are not square, or the header has no sensible value."""
    if spacing is None or min(spacing) <= 0 or max(spacing) / min(spacing) > 1 + _SQUARE_TOLERANCE:
        return None
    return float(np.mean(spacing))


def _facts_of(paths: list[Path], hashes: bool, workers: int) -> Iterator[FileFacts]:
    measure = partial(measure_file, hashes=hashes)
    if workers == 1 or len(paths) < _FEW:
        yield from map(measure, paths)
        return
    # A fresh interpreter in each worker: a forked one may inherit a lock that a thread of the parent holds.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max_workers=workers, mp_context=context)
    try:
        yield from pool.map(measure, paths, chunksize=_CHUNK)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)  # an interrupted run ends with the chunks under way


def fill_facts(
    frame: pd.DataFrame,
    root: Path,
    rows: Iterable[int],
    *,
    hashes: bool,
    workers: int | None,
    progress: Progress | None,
) -> pd.DataFrame:
    """Fill what the image files know into rows of a manifest; what the data set itself said stays.

    Args:
        frame: canonical.
        root: the data root.
        rows: positions of the rows whose file is on disk.
        hashes: also read the whole file and its pixels, for ``sha256`` and ``pixel_hash``.
        workers: processes; None: one for each usable core.
        progress: told after every film.

    Returns:
        The frame with ``rows``, ``columns`` and the hashes of these rows from their files, and ``view``, ``sex``,
        ``age_years`` and ``pixel_spacing_mm`` where they were null. Files that are no usable film keep their row,
        without a pixel hash; a `DatasetWarning` counts them by reason.
    """
    positions = list(rows)
    paths = [root / path for path in frame["path"].iloc[positions]]
    facts = []
    for done, fact in enumerate(_facts_of(paths, hashes, workers or usable_cores()), start=1):
        facts.append(fact)
        if progress is not None:
            progress(done, len(paths))
    filled = frame.copy()
    for name in COLUMNS:
        values = filled[name].tolist()
        measured = name in ("rows", "columns", "sha256", "pixel_hash")
        for position, fact in zip(positions, facts, strict=True):
            value = getattr(fact, name)
            if value is not None and (measured or pd.isna(values[position])):
                values[position] = value
        filled[name] = pd.Series(values, dtype=frame[name].dtype)
    refusals = Counter(fact.refusal for fact in facts if fact.refusal)
    if refusals:
        first = next(path for path, fact in zip(frame["path"].iloc[positions], facts, strict=True) if fact.refusal)
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(refusals.items()))
        warn(
            f"{refusals.total():,} of {len(facts):,} files are no usable film and stay as rows ({counts}; e.g. {first})"
        )
    return filled
