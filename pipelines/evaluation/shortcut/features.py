"""What the controls see of many films: read in parallel processes, kept on disk, so that an interruption costs little.

A film is known by a digest of its path and by its size and time of change; a film that changed is read again, and one
that could not be read is tried again next time.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.errors import EvaluationError, UnreadableImage
from pipelines.film_files import file_state
from pipelines.film_pool import FilmPool, Refusal
from pipelines.imaging import read_radiograph
from pipelines.imaging.control_features import N_CONTROL_FEATURES, control_features
from pipelines.statistics.arrays import Floats

Progress = Callable[[int, int], None]
"""Called with (films read, films in all)."""

CACHE_FILE: Final = "features.sqlite"
_VERSION: Final = f"1:{N_CONTROL_FEATURES}"
"""Changes when the features do: what was kept of older ones is not used."""
_SIDE: Final = 512
_SAVE_EVERY: Final = 32
_FEW: Final = 8
"""Below this many films, starting processes takes longer than reading."""


def read_features(
    files: Sequence[Path], cache: Path, *, workers: int, progress: Progress | None = None
) -> dict[Path, Floats | str]:
    """Features of films, from the cache where it has them.

    Args:
        files: each once.
        cache: a file that is made or gone on with.
        workers: processes; 0 reads in this one.
        progress: told after every film that had to be read.

    Returns:
        By file ``[441]``, or the code of the reason why it could not be read.

    Raises:
        EvaluationError: the cache is no cache of features.
        OSError: it cannot be written.
    """
    found: dict[Path, Floats | str] = {}
    with opened_cache(cache, _VERSION) as store:
        states = {file: file_state(file) for file in files}
        known = kept_vectors(store, N_CONTROL_FEATURES)
        for file in files:
            kept = known.get(file_key(file))
            if kept is not None and kept[0] == states[file]:
                found[file] = kept[1]
        missing = [file for file in files if file not in found]
        for done, (file, answer) in enumerate(_read(missing, workers), start=1):
            found[file] = answer
            if not isinstance(answer, str):
                keep_vector(store, file, states[file], answer)
            if done % _SAVE_EVERY == 0:
                store.commit()
            if progress is not None:
                progress(done, len(missing))
    return found


def film_features(path: str) -> Floats | Refusal:
    """Read one film for the controls: the task of a `FilmPool`."""
    try:
        return control_features(read_radiograph(Path(path), max_side=_SIDE).pixels)
    except UnreadableImage as error:
        return Refusal(error.reason, error.detail)


def _read(files: Sequence[Path], workers: int) -> Iterator[tuple[Path, Floats | str]]:
    with FilmPool(film_features, workers=0 if len(files) < _FEW else workers) as pool:
        for file, answer in zip(files, pool.map(str(file) for file in files), strict=True):
            yield file, str(answer.reason) if isinstance(answer, Refusal) else answer


def file_key(file: Path) -> str:
    """What a cache knows a film by: its path may name a patient, so only a digest of it is kept."""
    return hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()


def kept_vectors(store: sqlite3.Connection, length: int | None = None) -> dict[str, tuple[str, Floats]]:
    """By `file_key` the film's state when it was read and its vector; those of another length are left out."""
    rows = store.execute("SELECT file, state, features FROM features")
    found = {file: (state, np.frombuffer(blob, dtype=np.float64)) for file, state, blob in rows if len(blob) % 8 == 0}
    return {file: kept for file, kept in found.items() if length is None or len(kept[1]) == length}


def keep_vector(store: sqlite3.Connection, file: Path, state: str, vector: Floats) -> None:
    """Put a film's vector into a cache."""
    row = (file_key(file), state, vector.astype(np.float64).tobytes())
    store.execute("INSERT OR REPLACE INTO features VALUES (?, ?, ?)", row)


@contextmanager
def opened_cache(cache: Path, version: str) -> Iterator[sqlite3.Connection]:
    """A cache of vectors by film; what was put into it is there whichever way the block ends.

    Args:
        cache: a file that is made or gone on with.
        version: of what makes the vectors; those of another are thrown away.

    Raises:
        EvaluationError: the file is no cache of features.
        OSError: it cannot be written.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(sqlite3.connect(cache)) as store:
            _prepare(store, version)
            try:
                yield store
            finally:
                store.commit()
    except sqlite3.OperationalError as error:
        raise OSError(None, f"the cache of features cannot be used ({error})", str(cache)) from None
    except sqlite3.DatabaseError:
        raise EvaluationError(f"{cache}: found something other than a cache of features; remove it.") from None


def _prepare(store: sqlite3.Connection, version: str) -> None:
    store.execute("CREATE TABLE IF NOT EXISTS about (version TEXT)")
    store.execute("CREATE TABLE IF NOT EXISTS features (file TEXT PRIMARY KEY, state TEXT, features BLOB)")
    if store.execute("SELECT version FROM about").fetchall() != [(version,)]:
        store.execute("DELETE FROM features")
        store.execute("DELETE FROM about")
        store.execute("INSERT INTO about VALUES (?)", (version,))
        store.commit()
