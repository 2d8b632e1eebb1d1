"""How long until the first of several busy readers is done: the shortest of their remaining reading times.

A reader found busy has a remaining reading time whose density is P(S > x) / E[S], so that P(remaining > x) =
E[(S - x)+] / E[S] (renewal theory); several readers' are taken as independent. The shortest of c then has the mean
integral of P(remaining > x)^c: E[S] / c for exponential times, E[S] / (c + 1) for times that are all alike.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pipelines.reading_time.room import ServiceTime

Floats = NDArray[np.float64]

_NO_SPREAD: Final = 1e-9
_AT, _WEIGHT = (part / 2 for part in np.polynomial.legendre.leggauss(400))
_AT = _AT + 0.5  # nodes and weights of [0, 1]


def shortest_of(times: Sequence[tuple[float, ServiceTime]], readers: int) -> float:
    """Mean minutes until the first of so many busy readers is done.

    Args:
        times: films per minute and reading time of each kind; at least one rate above 0.
        readers: how many, all busy with films of these kinds.
    """
    load = sum(rate * time.mean for rate, time in times)

    def all_remain(x: Floats) -> Floats:
        remain = sum(rate * excess(time, x) for rate, time in times) / load
        return np.asarray(np.clip(remain, 0.0, 1.0) ** readers)

    steps = [0.0, *sorted({time.mean for _, time in times if time.spread < _NO_SPREAD})]  # the integrand has kinks
    total = 0.0
    for start, end in pairwise(steps):
        total += (end - start) * float(_WEIGHT @ all_remain(start + (end - start) * _AT))
    mean = load / sum(rate for rate, _ in times)
    tail = all_remain(steps[-1] + mean * _AT / (1 - _AT))  # [0, infinity) as [0, 1)
    return total + float(_WEIGHT @ (mean / (1 - _AT) ** 2 * tail))


def excess(time: ServiceTime, x: Floats) -> Floats:
    """E[(S - x)+] in minutes, for x >= 0."""
    mean, variance = time.mean, time.spread**2
    if time.spread < _NO_SPREAD:
        return np.maximum(mean - x, 0.0)
    if time.distribution == "exponential":
        return np.asarray(mean * np.exp(-x / mean))
    if time.distribution == "gamma":
        shape, scaled = 1 / variance, x / (mean * variance)
        return np.asarray(mean * special.gammaincc(shape + 1, scaled) - x * special.gammaincc(shape, scaled))
    sigma = np.sqrt(np.log1p(variance))
    with np.errstate(divide="ignore"):
        beyond = np.log(mean / x) / sigma + sigma / 2
    return np.asarray(mean * special.ndtr(beyond) - x * special.ndtr(beyond - sigma))
