"""Waiting times of given films at given readers."""

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ConfigError
from pipelines.reading_time.simulation_kernel import run

Floats = NDArray[np.float64]


def waiting_minutes(
    arrival: Floats,
    reading: Floats,
    level: NDArray[np.int8],
    *,
    reader_steps: tuple[tuple[float, int], ...] = ((0.0, 1),),
    period: float = 1440.0,
    preemptive: bool = True,
    max_wait: float | None = None,
    counted: int | None = None,
) -> Floats:
    """Waiting time of every film, by the rules of `pipelines.reading_time.simulation_kernel`.

    Args:
        arrival: ``[n]``, minutes from the start, 0 or more, not falling; the first minute is a midnight.
        reading: ``[n]``, minutes of reading, 0 or more.
        level: ``[n]``, class on arrival: 0 interrupting, 2 flagged, 3 unflagged (1, overdue, is allowed).
        reader_steps: readers over the day: (minute from its begin, readers from then on), rising, the first at 0.
        period: minutes after which ``reader_steps`` begin again.
        preemptive: resume preemption; otherwise a film once begun is finished.
        max_wait: upper limit in minutes; None for no limit.
        counted: stop when the first so many films have been read, while the others still compete with them; None = all.

    Returns:
        ``[n]`` minutes; NaN for films after the first ``counted``.

    Raises:
        ConfigError: no reader at any hour.
    """
    n = len(arrival)
    assert len(reading) == n, "one reading time per film"
    assert len(level) == n, "one class per film"
    starts = np.array([start for start, _ in reader_steps], dtype=np.float64)
    readers = np.array([number for _, number in reader_steps], dtype=np.int64)
    assert starts[0] == 0, "the first step begins the day"
    assert (np.diff(starts, append=period) > 0).all(), "steps rise within the period"
    if readers.max() < 1:
        raise ConfigError("rota: no reader at any hour of the day, so no film is ever read; expected one at least.")
    return run(
        np.ascontiguousarray(arrival, dtype=np.float64),
        np.ascontiguousarray(reading, dtype=np.float64),
        np.ascontiguousarray(level, dtype=np.int8),
        starts,
        readers,
        float(period),
        preemptive,
        np.inf if max_wait is None else float(max_wait),
        n if counted is None else counted,
    )
