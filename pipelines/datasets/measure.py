"""Facts of the image files on disk: size, hashes, and what their headers say, read in parallel processes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.datasets.adapter import warn
from pipelines.errors import UnreadableImage
from pipelines.film_pool import FilmPool, Refusal
from pipelines.imaging import pixel_hash, read_facts, read_radiograph, sha256_file
from pipelines.imaging.film_print import fingerprint
from pipelines.manifest.schema import AGE_YEARS_RANGE, SEXES, VIEWS
from pipelines.system import usable_cores

Progress = Callable[[int, int], None]
"""Called with (films read, films in all)."""

_FEW: Final = 256
"""Below this many headers, starting processes takes longer than reading."""
_CHUNK: Final = 64
"""Headers read on one errand: each takes a third of a millisecond."""
_SQUARE_TOLERANCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What one image file says; null where it does not, or could not be read."""

    rows: int | None = None
    columns: int | None = None
    sha256: str | None = None
    pixel_hash: str | None = None
    fingerprint: str | None = None
    view: str | None = None
    sex: str | None = None
    age_years: float | None = None
    manufacturer: str | None = None
    pixel_spacing_mm: float | None = None
    refusal: str | None = field(default=None, metadata={"column": False})
    """Reason code where the file is not a usable film."""


COLUMNS: Final = tuple(f.name for f in fields(FileFacts) if f.metadata.get("column", True))


_MEASURED: Final = ("rows", "columns", "sha256", "pixel_hash", "fingerprint")
"""What the file knows better than the data set's tables."""


def measure_file(path: str | Path, *, hashes: bool) -> FileFacts:
    """Read one file; one that is not a usable film gives its reason instead of an error."""
    path = Path(path)
    known: dict[str, object] = {}
    try:
        if hashes:
            known["sha256"] = sha256_file(path)
        facts = read_facts(path)
        known |= {"rows": facts.rows, "columns": facts.columns}
        known |= {"view": facts.view if facts.view in VIEWS else None, "sex": facts.sex if facts.sex in SEXES else None}
        known |= {"manufacturer": facts.manufacturer}
        known |= {"age_years": _possible_age(facts.age_years), "pixel_spacing_mm": _spacing(facts.pixel_spacing_mm)}
        if hashes:
            pixels = read_radiograph(path).pixels
            known |= {"pixel_hash": pixel_hash(pixels), "fingerprint": fingerprint(pixels)}
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


def _facts_of(root: Path, paths: Sequence[str], hashes: bool, workers: int) -> Iterator[FileFacts]:
    if not hashes and len(paths) < _FEW:
        workers = 0  # no decoder is asked about headers, so there is none to be guarded against
    task = partial(measure_file, hashes=hashes)
    with FilmPool(task, workers=min(workers, len(paths)), chunk=1 if hashes else _CHUNK) as pool:
        for found in pool.map(f"{root}/{path}" for path in paths):
            yield FileFacts(refusal=str(found.reason)) if isinstance(found, Refusal) else found


def measure_files(paths: Sequence[Path], workers: int | None) -> Iterator[FileFacts]:
    """Facts and hashes of files anywhere, in their order.

    Args:
        paths: files.
        workers: processes; None: one for each usable core.
    """
    yield from _facts_of(
        Path("/"), [str(path.absolute()).lstrip("/") for path in paths], True, workers or usable_cores()
    )


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
        hashes: also read the whole file and its pixels, for ``sha256``, ``pixel_hash`` and ``fingerprint``.
        workers: processes; None: one for each usable core.
        progress: told after every film.

    Returns:
        The frame with ``rows``, ``columns`` and the hashes of these rows from their files, and ``view``, ``sex``,
        ``age_years``, ``manufacturer`` and ``pixel_spacing_mm`` where they were null. Files that are no usable film
        keep their row, without pixel hash and fingerprint; a `DatasetWarning` counts them by reason. Drawn films have
        no fingerprint.
    """
    positions = list(rows)
    paths = frame["path"].iloc[positions].tolist()
    columns = {name: frame[name].tolist() for name in COLUMNS}
    refusals: Counter[str] = Counter()
    first = ""
    for done, fact in enumerate(_facts_of(root, paths, hashes, workers or usable_cores()), start=1):
        _fill_row(columns, positions[done - 1], fact)
        if fact.refusal is not None:
            first = first or paths[done - 1]
            refusals[fact.refusal] += 1
        if progress is not None:
            progress(done, len(paths))
    filled = frame.assign(**{name: pd.Series(values, dtype=frame[name].dtype) for name, values in columns.items()})
    filled.loc[drawn(filled), "fingerprint"] = None
    if refusals:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(refusals.items()))
        warn(
            f"{refusals.total():,} of {len(paths):,} files are no usable film and stay as rows ({counts}; e.g. {first})"
        )
    return filled


def drawn(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Synthetic films: all are drawn after one anatomy, so that films of different patients fit like copies.

    Args:
        frame: canonical.
    """
    return frame["reference_standard"] == "synthetic"


def _fill_row(columns: dict[str, list[Any]], position: int, fact: FileFacts) -> None:
    for name, values in columns.items():
        value = getattr(fact, name)
        if value is not None and (name in _MEASURED or pd.isna(values[position])):
            values[position] = value
