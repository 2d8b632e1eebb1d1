"""When films arrive: at a constant rate, by the hour of the day, and in batches that come together.

Times are minutes; minute 0 is a midnight, and every day is like the others.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.reading_time.scenario import MINUTES_PER_DAY, Scenario

_HOURS: Final = 24

Floats = NDArray[np.float64]


def arrival_minutes(scenario: Scenario, n: int, rng: np.random.Generator) -> Floats:
    """Arrival times of the first ``n`` films.

    All of them come at ``scenario.arrivals_per_minute`` in the long run: the batches bring their share of it, a Poisson
    process the rest, at a constant rate or in proportion to the hourly weights.

    Returns:
        ``[n]`` minutes, not falling. Films of one batch have one time.
    """
    batches = () if scenario.arrivals is None else scenario.arrivals.batches
    hourly = None if scenario.arrivals is None else scenario.arrivals.hourly
    if not batches:
        return poisson_minutes(scenario.arrivals_per_minute, n, rng, hourly)
    together = batch_minutes([(60 * batch.hour, batch.films) for batch in batches], n)
    if scenario.steady_per_minute <= 0:
        return together
    steady = poisson_minutes(scenario.steady_per_minute, n, rng, hourly)
    # Each list holds its first n films, so the first n of both are complete.
    return np.sort(np.concatenate([steady, together]), kind="stable")[:n]


def poisson_minutes(rate: float, n: int, rng: np.random.Generator, hourly: Sequence[float] | None = None) -> Floats:
    """Events of a Poisson process whose rate follows the hours of the day.

    Args:
        rate: events per minute averaged over the day, above 0.
        n: how many.
        rng: source of randomness; it is used alike for every profile, so profiles can be compared film by film.
        hourly: 24 weights, 0 or more and not all 0; None for a constant rate.

    Returns:
        ``[n]`` minutes, rising.

    Source: inversion of the cumulative rate, Cinlar, Introduction to Stochastic Processes (1975), section 4.7; exact,
    as the rate is constant within each hour.
    """
    expected = np.cumsum(rng.standard_exponential(n))  # the number of events expected until each event
    if hourly is None:
        return expected / rate
    weights = np.asarray(hourly, dtype=np.float64)
    assert weights.shape == (_HOURS,), "one weight per hour"
    per_day = rate * MINUTES_PER_DAY
    until = np.concatenate([[0.0], np.cumsum(weights / weights.sum())])
    until[-1] = 1.0
    days, share = np.divmod(expected / per_day, 1.0)
    hour = np.searchsorted(until[1:-1], share, side="right")  # an hour without arrivals is never found
    within = (share - until[hour]) / (until[hour + 1] - until[hour])
    # Rounding may not carry a film over midnight or backwards.
    return np.maximum.accumulate(days * MINUTES_PER_DAY + 60 * (hour + np.clip(within, 0.0, 1.0)))


def batch_minutes(batches: Sequence[tuple[float, int]], n: int) -> Floats:
    """The first ``n`` films of batches that come every day.

    Args:
        batches: (minute of the day, films), one at least.
        n: how many.

    Returns:
        ``[n]`` minutes, not falling.
    """
    day = np.concatenate([np.full(films, minute) for minute, films in sorted(batches)])
    days = -(-n // len(day))
    times: Floats = (np.arange(days)[:, None] * MINUTES_PER_DAY + day).ravel()[:n]
    return times
