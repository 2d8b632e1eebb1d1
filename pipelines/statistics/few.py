"""Intervals for what a bootstrap cannot show: all replicates equal, or too few patients.

They count one film per patient and forget the others, so they are exact or conservative whatever the dependence.
"""

import math

import numpy as np
from scipy import special

from pipelines.statistics.arrays import Floats
from pipelines.statistics.estimates import Estimate, clipped
from pipelines.statistics.proportions import EXACT


def without_interval(found: Estimate, why: str) -> Estimate:
    """The same value, no interval, and the reason; an absent value stays as it is."""
    if found.value is None:
        return found
    return Estimate(value=found.value, low=None, high=None, level=found.level, method=found.method, n=found.n, why=why)


def clopper_pearson_bounds(k: Floats, n: float, level: float) -> tuple[Floats, Floats]:
    """Exact bounds of shares ``k / n``, for many k at once; k need not be whole.

    A share of dependent films is no count of patients; with k = share x patients the bounds follow Korn & Graubard,
    Surv. Methodol. 24 (1998) 193, who put an effective number of observations into the exact interval.

    Returns:
        Lower and upper bounds, in the shape of k; 0 and 1 with n = 0.
    """
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(k <= 0, 0.0, special.betaincinv(np.maximum(k, 1e-300), n - k + 1, tail))
        high = np.where(k >= n, 1.0, special.betaincinv(k + 1, np.maximum(n - k, 1e-300), 1 - tail))
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def one_film_per_patient(found: Estimate, patients: int) -> Estimate:
    """The exact interval of a share, as if each patient had one film: for a share that no replicate changes."""
    assert found.value is not None
    low, high = clopper_pearson_bounds(np.array([found.value * patients]), patients, found.level)
    bounds = clipped(found.value, float(low[0]), float(high[0]), (0.0, 1.0))
    counted = f" with one film counted for each of {patients} patients" if patients < found.n else ""
    method = f"{found.method}; {found.why}, so: {EXACT}{counted}"
    return Estimate(value=found.value, low=bounds[0], high=bounds[1], level=found.level, method=method, n=found.n)


def auroc_of_pairs(found: Estimate, pairs: int) -> Estimate:
    """Bounds of an AUROC from pairs of a positive and a negative film in which no patient appears twice.

    Where all pairs of films are concordant (or none is): exact, k of k. Otherwise Hoeffding's distribution-free bound
    for two-sample U statistics (J. Am. Stat. Assoc. 58 (1963) 13, 5b) with that many pairs.
    """
    assert found.value is not None
    if pairs < 1:
        return without_interval(found, "all films are of one patient")
    if found.value in (0.0, 1.0):
        low, high = (float(x[0]) for x in clopper_pearson_bounds(np.array([found.value * pairs]), pairs, found.level))
        name = f"exact bound from {pairs} pairs of different patients (perfect separation)"
    else:
        half = math.sqrt(math.log(2 / (1 - found.level)) / (2 * pairs))
        low, high = found.value - half, found.value + half
        name = f"Hoeffding bound from {pairs} pairs of different patients (the bootstrap shows too little)"
    low, high = clipped(found.value, low, high, (0.0, 1.0))
    return Estimate(value=found.value, low=low, high=high, level=found.level, method=f"AUROC; {name}", n=found.n)
