"""One bootstrap replicate of a free-response curve in one pass over the sorted scores; see `pipelines.statistics.froc`.

``weights`` is ``[b, patients]``; ``owner`` is the patient of each entry; ``last`` is true on the last entry of a score.
"""

from typing import Any

import numba
import numpy as np

from pipelines.statistics.arrays import Floats
from pipelines.statistics.kernels import Weights, compiled


@compiled(parallel=True)
def weighted_sums(weights: Weights, owner: Any, column: Any, value: Any, k: int) -> Floats:
    sums = np.zeros((weights.shape[0], k))
    for row in numba.prange(weights.shape[0]):
        for i in range(len(owner)):
            sums[row, column[i]] += weights[row, owner[i]] * value[i]
    return sums


@compiled(parallel=True)
def crossings_of(
    weights: Weights, owner: Any, kind: Any, last: Any, images: Floats, rates: Floats, groups: int
) -> Floats:
    """Weight of the lesions of each group that are hit, ``[b, rates, groups]``, where the curve crosses each rate."""
    found = np.zeros((weights.shape[0], len(rates), groups))
    for row in numba.prange(weights.shape[0]):
        hits, before = np.zeros(groups), np.zeros(groups)
        false, false_before, rate = 0.0, 0.0, 0
        if images[row] == 0:
            found[row] = np.nan
            continue
        for i in range(len(owner)):
            weight = weights[row, owner[i]]
            if kind[i] < 0:
                false += weight
            else:
                hits[kind[i]] += weight
            if not last[i]:
                continue
            while rate < len(rates) and false > rates[rate] * images[row]:
                share = (rates[rate] * images[row] - false_before) / (false - false_before)
                for group in range(groups):
                    found[row, rate, group] = before[group] + share * (hits[group] - before[group])
                rate += 1
            if rate == len(rates):
                break
            before[:] = hits
            false_before = false
        while rate < len(rates):
            found[row, rate] = hits
            rate += 1
    return found


@compiled(parallel=True)
def weighted_area(weights: Weights, owner: Any, credit: Any, last: Any) -> Floats:
    """Weight of the pairs (unit, normal film) in which the unit is rated higher; ties half; times the unit's credit."""
    area = np.zeros(weights.shape[0])
    for row in numba.prange(weights.shape[0]):
        below, normals, credited = 0.0, 0.0, 0.0
        for i in range(len(owner)):
            weight = weights[row, owner[i]]
            if credit[i] < 0:
                normals += weight
            else:
                credited += weight * credit[i]
            if last[i]:
                area[row] += credited * (below + normals / 2)
                below += normals
                normals, credited = 0.0, 0.0
    return area
