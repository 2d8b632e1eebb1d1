"""Thresholds that keep a share of the remarkable films, over replicates: the compiled core of `rule_out`."""

from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.kernels import Weights, compiled

COLUMNS: Final = 4
"""Of a target in a replicate: threshold; share of the replicate's remarkable, and of its unremarkable, films below it;
share of all remarkable films below it."""
ROUNDING: Final = 1e-9
"""Keeps 0.05 x 100 films from being 4.999… films."""


@compiled()
def _counted(weight: Weights, truth: Bools, patient: NDArray[np.int32]) -> tuple[int, int]:
    """Remarkable and unremarkable films."""
    sick, well = 0, 0
    for film in range(len(truth)):
        if truth[film]:
            sick += int(weight[patient[film]])
        else:
            well += int(weight[patient[film]])
    return sick, well


@compiled()
def _choose_one(
    weight: Weights,
    truth: Bools,
    score: Floats,
    patient: NDArray[np.int32],
    below: Floats,
    targets: Floats,
    out: Floats,
) -> None:
    sick, well = _counted(weight, truth, patient)
    if sick == 0:
        return
    out[-1] = sick / (sick + well)
    lower_sick, lower_well, film, n = 0, 0, 0, len(truth)
    while film < n:
        first, hits, others = film, 0, 0
        while film < n and score[film] == score[first]:
            if truth[film]:
                hits += int(weight[patient[film]])
            else:
                others += int(weight[patient[film]])
            film += 1
        for j in range(len(targets)):
            allowed = np.floor((1 - targets[j]) * sick + ROUNDING)
            if lower_sick <= allowed < lower_sick + hits:
                # Filing these films too would miss more than allowed: the threshold is their score.
                out[COLUMNS * j] = score[first]
                out[COLUMNS * j + 1] = lower_sick / sick
                out[COLUMNS * j + 2] = lower_well / well if well > 0 else np.nan
                out[COLUMNS * j + 3] = below[first]
        lower_sick += hits
        lower_well += others


@compiled(parallel=True)
def choose(
    weights: Weights,
    truth: Bools,
    score: Floats,
    patient: NDArray[np.int32],
    below: Floats,
    targets: Floats,
    out: Floats,
) -> None:
    """Thresholds of each row of weights; a film of weight w is w films."""
    for row in numba.prange(weights.shape[0]):
        _choose_one(weights[row], truth, score, patient, below, targets, out[row])
