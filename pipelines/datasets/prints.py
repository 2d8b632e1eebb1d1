"""Fingerprints of films whose manifest has none, kept in a file so that no film is read twice."""

import csv
from pathlib import Path

import pandas as pd

from pipelines.datasets.measure import Progress, drawn, measure_files
from pipelines.errors import ManifestError


def with_fingerprints(
    frames: list[pd.DataFrame], roots: list[Path], cache: Path, workers: int | None, progress: Progress | None
) -> list[pd.DataFrame]:
    """Fill ``fingerprint`` and ``pixel_hash`` where they are null, the film is on disk, and it is no drawn one.

    Args:
        frames: canonical.
        roots: the data root of each.
        cache: CSV of films read before, by path, size and time of change; added to film by film.
        workers: processes; None: one for each usable core.
        progress: called with (films read, films to read).

    Returns:
        The frames, filled.

    Raises:
        ManifestError: the cache is another table.
    """
    known = _read(cache)
    wanted: dict[str, Path] = {}
    places: list[tuple[int, int, str]] = []
    for number, (frame, root) in enumerate(zip(frames, roots, strict=True)):
        for row in frame.index[frame["fingerprint"].isna() & ~drawn(frame)]:
            path = (root / frame["path"][row]).resolve()
            if path.is_file():
                places.append((number, int(row), _key(path)))
                wanted[_key(path)] = path
    unread = [key for key in wanted if key not in known]
    if unread:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with cache.open("a", newline="", encoding="utf-8") as stream:
            rows = csv.writer(stream)
            for done, (key, fact) in enumerate(
                zip(unread, measure_files([wanted[key] for key in unread], workers), strict=True), start=1
            ):
                known[key] = (fact.pixel_hash or "", fact.fingerprint or "")
                rows.writerow([key, *known[key]])
                if done % 64 == 0:
                    stream.flush()
                if progress is not None:
                    progress(done, len(unread))
    filled = [frame.copy() for frame in frames]
    for number, row, key in places:
        for name, value in zip(("pixel_hash", "fingerprint"), known[key], strict=True):
            filled[number].at[row, name] = value or None
    return filled


def _key(path: Path) -> str:
    facts = path.stat()
    return f"{path}|{facts.st_size}|{facts.st_mtime_ns}"


def _read(cache: Path) -> dict[str, tuple[str, str]]:
    if not cache.is_file():
        return {}
    known = {}
    with cache.open(newline="", encoding="utf-8") as stream:
        for row in csv.reader(stream):
            if len(row) == 3 and len(row[2]) in (0, 393):  # a row cut short by a kill is read again
                known[row[0]] = (row[1], row[2])
            elif len(row) > 3:
                raise ManifestError(f"{cache}: not a list of fingerprints; name another --out, or remove it")
    return known
