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
    """``[b, k]``: sum of weight times ``value`` by ``column``."""
    sums = np.zeros((weights.shape[0], k))
    for row in numba.prange(weights.shape[0]):
        for i in range(len(owner)):
            sums[row, column[i]] += weights[row, owner[i]] * value[i]
    return sums


@compiled(parallel=True)
def crossings_of(
    weights: Weights, hits: Any, false_normal: Any, false_lesion: Any, images: Floats, rates: Floats, groups: int
) -> Floats:
    """Weight of the lesions of each group that are hit where the curve crosses each rate.

    With C distinct scores of hits there are 2 C cells, by falling score: between two of them (even) or tied with one
    (odd). Inside an even cell the curve is level, so only the weight of each cell's false marks matters, not their
    order; false marks below the last hit do not matter at all.

    Args:
        weights: ``[b, patients]``
        hits: (owner, group, first place of each cell and the end ``[2 C + 1]``) of the hits, ordered by cell.
        false_normal: (owner, places) of the false marks on normal films, likewise.
        false_lesion: the same of those on lesion films.
        images: ``[b, 2]``: films, and normal films.
        rates: false positives per image, rising.
        groups: number of lesion groups.

    Returns:
        ``[b, 2, rates, groups]``: false positives on all films, and on normal films only.
    """
    hit_owner, hit_group, hit_at = hits
    found = np.zeros((weights.shape[0], 2, len(rates), groups))
    for row in numba.prange(weights.shape[0]):
        now, before = np.zeros(groups), np.zeros(groups)
        false, rate = np.zeros(2), np.zeros(2, dtype=np.int64)
        for cell in range(len(hit_at) - 1):
            more = _weight_of(weights[row], false_normal, cell), _weight_of(weights[row], false_lesion, cell)
            for i in range(hit_at[cell], hit_at[cell + 1]):
                now[hit_group[i]] += weights[row, hit_owner[i]]
            for way, step in enumerate((more[0] + more[1], more[0])):
                targets = rates * images[row, way]
                rate[way] = _cross(found[row, way], targets, rate[way], (false[way], step), before, now)
                false[way] += step
            before[:] = now
        for way in range(2):
            found[row, way, rate[way] :] = now
            if images[row, way] == 0:
                found[row, way] = np.nan
    return found


@compiled()
def _weight_of(weights: Any, marks: Any, cell: int) -> int:
    owner, at = marks
    total = 0
    for i in range(at[cell], at[cell + 1]):
        total += weights[owner[i]]
    return total


@compiled()
def _cross(found: Any, targets: Any, rate: int, step: Any, before: Any, now: Any) -> int:
    """Fill in the rates that the curve crosses while false marks of one cell come in; the first not crossed."""
    false, more = step
    while rate < len(targets) and false + more > targets[rate]:
        found[rate] = before + (targets[rate] - false) / more * (now - before)
        rate += 1
    return rate


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
