"""Compiled loops over replicates: they release the interpreter's lock, run on all cores, and are kept on disk."""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

Weights = NDArray[np.uint8]
Floats = NDArray[np.float64]

ROUNDING: Final = 1e-9
"""0.07 * 100 is 7.000000000000001 in floating point: 7 films are asked for, not 8."""


def compiled(*, parallel: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function with numba: no interpreter's lock, kept on disk between runs, division as in IEEE 754.

    Where numba finds no folder it may write to (an installation for reading only, no home), it is compiled in each run.
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        try:
            made = numba.njit(nogil=True, cache=True, parallel=parallel, error_model="numpy")(function)
        except RuntimeError:
            made = numba.njit(nogil=True, parallel=parallel, error_model="numpy")(function)
        return cast("Callable[P, R]", made)

    return wrap


@compiled()
def _mixed(state: np.uint64) -> np.uint64:
    """SplitMix64's output function (Steele, Lea & Flood, OOPSLA 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@compiled(parallel=True)
def draw_into(weights: Weights, seed: np.uint64, first: int) -> None:
    """Add ``count`` draws with replacement to each row of ``weights`` ``[rows, count]``; see `resampling.draw`."""
    step = np.uint64(0x9E3779B97F4A7C15)
    count = weights.shape[1]
    for row in numba.prange(weights.shape[0]):
        # One stream per replicate: whichever thread draws it, and in whichever block, it draws the same.
        state = _mixed(_mixed(seed + step) ^ (np.uint64(first + row + 1) * step))
        for _ in range(count):
            state += step
            patient = int(float(_mixed(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0) * count)
            if weights[row, patient] < 255:
                weights[row, patient] += 1


@compiled(parallel=True)
def sweep(
    weights: Weights,
    patient: NDArray[np.int32],
    marks: NDArray[np.uint8],
    score: Floats,
    films: NDArray[np.int64],
    sensitivities: Floats,
    specificities: Floats,
    cuts: NDArray[np.int64],
    band: tuple[float, float],
    out: Floats,
) -> None:
    """Walk down the films from the highest score, once per replicate, and note everything on the way.

    Args:
        weights: ``[b, count]``, how often each patient counts.
        patient: ``[n]``, films in falling order of score.
        marks: ``[n]``, bit 0: the film is positive; bit 1: the last of the films tied with it.
        score: ``[n]``, falling.
        films: ``[2, count]``, positive and negative films of each patient.
        sensitivities: targets, rising.
        specificities: targets, falling.
        cuts: films flagged at each threshold asked for, rising; never between tied films.
        band: sensitivities between which specificity is integrated.
        out: ``[b, 4 + 3 (sensitivities + specificities) + 2 cuts]``, NaN everywhere; filled with positives, negatives,
            AUROC, partial area; threshold, true and false positives for each target; both counts for each cut. What
            needs both classes stays NaN where a replicate lacks one.
    """
    first = 4 + 3 * (len(sensitivities) + len(specificities))
    for b in numba.prange(weights.shape[0]):
        positives, negatives = np.int64(0), np.int64(0)
        for c in range(weights.shape[1]):
            positives += np.int64(weights[b, c]) * films[0, c]
            negatives += np.int64(weights[b, c]) * films[1, c]
        out[b, 0], out[b, 1] = positives, negatives
        _count_at(weights[b], patient, marks, cuts, out[b, first:])
        if positives > 0 and negatives > 0:
            _walk(weights[b], patient, marks, score, sensitivities, specificities, band, out[b])


@compiled()
def _count_at(
    weights: Weights, patient: NDArray[np.int32], marks: NDArray[np.uint8], cuts: NDArray[np.int64], out: Floats
) -> None:
    """True and false positives among the first ``cuts[j]`` films, for each j."""
    tp, fp, i = np.int64(0), np.int64(0), 0
    for j in range(len(cuts)):
        while i < cuts[j]:
            weight = np.int64(weights[patient[i]])
            hit = np.int64(marks[i] & 1)
            tp += weight * hit
            fp += weight * (1 - hit)
            i += 1
        out[2 * j], out[2 * j + 1] = tp, fp


@compiled()
def _walk(
    weights: Weights,
    patient: NDArray[np.int32],
    marks: NDArray[np.uint8],
    score: Floats,
    sensitivities: Floats,
    specificities: Floats,
    band: tuple[float, float],
    out: Floats,
) -> None:
    """One replicate with both classes: area, partial area, and what the targets ask for."""
    positives, negatives = np.int64(out[0]), np.int64(out[1])
    bottom, top = band[0] * positives, band[1] * positives
    none = np.int64(0)
    tp, fp, dtp, dfp, pairs, s, t = none, none, none, none, none, 0, 0
    area, last = 0.0, np.nan
    need, keep = _needed(sensitivities, 0, positives, np.inf), _needed(specificities, 0, negatives, 0.0)
    for i in range(len(patient)):
        weight = np.int64(weights[patient[i]])
        hit = np.int64(marks[i] & 1)
        dtp += weight * hit
        dfp += weight * (1 - hit)
        if marks[i] & 2 == 0:  # tied films are one step
            continue
        # Looked at before the step: the threshold sought is the last one that kept the specificity.
        while negatives - fp - dfp < keep:
            _note(out, len(sensitivities) + t, last, tp, fp)
            t += 1
            keep = _needed(specificities, t, negatives, 0.0)
        pairs += dfp * (2 * tp + dtp)
        area += _strip(tp, dtp, negatives - fp, dfp, bottom, top)
        # No film drawn is no threshold. Chosen without a jump: a third of the patients are not drawn, at random.
        last = score[i] if dtp + dfp > 0 else last
        tp, fp = tp + dtp, fp + dfp
        dtp, dfp = none, none
        while tp >= need:
            _note(out, s, last, tp, fp)
            s += 1
            need = _needed(sensitivities, s, positives, np.inf)
    while t < len(specificities):
        _note(out, len(sensitivities) + t, last, tp, fp)
        t += 1
    out[2] = pairs / (2.0 * positives * negatives)
    out[3] = area / (float(positives) * negatives)


@compiled()
def _needed(targets: Floats, at: int, films: np.int64, none_left: float) -> float:
    """Films that the next target asks for: at least one."""
    return max(1.0, np.ceil(targets[at] * films - ROUNDING)) if at < len(targets) else none_left


@compiled()
def _note(out: Floats, target: int, threshold: float, tp: np.int64, fp: np.int64) -> None:
    at = 4 + 3 * target
    out[at], out[at + 1], out[at + 2] = threshold, tp, fp


@compiled()
def _strip(tp: np.int64, dtp: np.int64, below: np.int64, dfp: np.int64, bottom: float, top: float) -> float:
    """Negatives not flagged, integrated over the true positives of one step that lie between bottom and top."""
    if dtp == 0 or tp + dtp <= bottom or tp >= top:
        return 0.0
    start, stop = max(float(tp), bottom), min(float(tp + dtp), top)
    return (stop - start) * (below - dfp * ((start + stop) / 2 - tp) / dtp)
