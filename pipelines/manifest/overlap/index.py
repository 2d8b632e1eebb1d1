"""Which films may show the same picture: the nearest descriptors of every film, in less than all pairs.

Every film is laid as the average film lies and filed under the nearest of about sqrt(8 n) centres. It then asks, as it
stands and cropped in every way of `descriptors.WINDOWS`, in each likely turn, the lists of its few nearest centres.
Lists are matrices, so that asking is multiplication. Up to `EXACT` films are all compared with all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from pipelines.manifest.overlap.descriptors import DIMENSIONS, WINDOWS, descriptors
from pipelines.manifest.overlap.turns import TURNS, likely_turns, turned

KEPT: Final = 6
"""Partners remembered for each film."""
LEAST_COSINE: Final = 0.5
EXACT: Final = 12_000
_PROBES: Final = 8
_BLOCK: Final = 4096
_ROUNDS: Final = 6  # of k-means

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Candidates:
    """Pairs to be looked at closely; each ``[pairs]``. A pair may come twice, asked from either side."""

    asking: Ints
    """The film that was turned and cropped to meet the other."""
    answering: Ints
    turn: NDArray[np.int8]
    """By which ``asking`` was laid as the average film lies."""
    window: NDArray[np.int8]
    """Position in `descriptors.WINDOWS`: what was cut off ``asking`` as it then lay."""
    laid: NDArray[np.int8]
    """Turn by which ``answering`` was laid as the average film lies."""
    cosine: Floats


@njit(cache=True, nogil=True, parallel=True)
def _keep(likeness, rows, members, code, group, cosines, partners, codes):  # type: ignore[no-untyped-def]
    """Enter the members of a list that are nearer to a row than the farthest partner it has."""
    for r in prange(len(rows)):
        film = rows[r]
        least = cosines[film].min()
        for m in range(len(members)):
            value = abs(likeness[r, m])  # a negative that was not known as one
            if value <= least:
                continue
            other = members[m]
            if other == film or (group[film] >= 0 and group[film] == group[other]):
                continue
            place = -1
            for k in range(cosines.shape[1]):
                if partners[film, k] == other:
                    place = k
            if place < 0:
                place = cosines[film].argmin()
            elif cosines[film, place] >= value:
                continue
            cosines[film, place], partners[film, place], codes[film, place] = value, other, code
            least = cosines[film].min()


def candidates(maps: Floats, group: Ints | None = None, progress: Progress | None = None) -> Candidates:
    """The nearest films of every film.

    Args:
        maps: from `turns.relief`, ``[films, side, side]``.
        group: films of one group (0 or more) are not compared with each other; None: all are.
        progress: called with (ways asked, ways in all).
    """
    films = len(maps)
    best, likely, sign = likely_turns(maps)
    index, centre, spread = _filed(maps, best, sign)
    lists = _Lists(index)
    apart = np.full(films, -1, dtype=np.int64) if group is None else group
    cosines = np.full((films, KEPT), LEAST_COSINE, dtype=np.float32)
    partners = np.full((films, KEPT), -1, dtype=np.int32)
    codes = np.zeros((films, KEPT), dtype=np.int16)
    for turn in range(TURNS):
        asking = np.flatnonzero(likely[:, turn])
        for number, window in enumerate(WINDOWS):
            if progress is not None:
                progress(turn * len(WINDOWS) + number, TURNS * len(WINDOWS))
            code = turn * len(WINDOWS) + number
            for start in range(0, len(asking), 16 * _BLOCK):
                rows = asking[start : start + 16 * _BLOCK]
                laid = np.ascontiguousarray(turned(maps[rows], turn)) * sign[rows, turn, None, None].astype(np.float32)
                asked = _unit((descriptors(laid, window) - centre) / spread)
                for near, members in lists.near(asked):
                    likeness = asked[near] @ index[members].T
                    _keep(likeness, rows[near], members, code, apart, cosines, partners, codes)
    if progress is not None:
        progress(TURNS * len(WINDOWS), TURNS * len(WINDOWS))
    asking, slot = np.nonzero(partners >= 0)
    answering, ways = partners[asking, slot].astype(np.int64), codes[asking, slot]
    return Candidates(
        asking,
        answering,
        (ways // len(WINDOWS)).astype(np.int8),
        (ways % len(WINDOWS)).astype(np.int8),
        best[answering],
        cosines[asking, slot],
    )


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _filed(maps: Floats, best: NDArray[np.int8], sign: NDArray[np.int8]) -> tuple[Floats, Floats, Floats]:
    """Descriptors of all films as the average film lies, about their mean and in their spread; mean and spread."""
    filed = np.empty((len(maps), DIMENSIONS), dtype=np.float32)
    for turn in range(TURNS):
        rows = np.flatnonzero(best == turn)
        for start in range(0, len(rows), 16 * _BLOCK):
            part = rows[start : start + 16 * _BLOCK]
            laid = np.ascontiguousarray(turned(maps[part], turn)) * sign[part, turn, None, None]
            filed[part] = descriptors(laid.astype(np.float32), WINDOWS[0])
    few = len(maps) < 50  # too few to know what films have in common
    centre = np.zeros(DIMENSIONS, dtype=np.float32) if few else filed.mean(axis=0)
    spread = np.maximum(np.sqrt(((filed - centre) ** 2).mean(axis=0)), 1e-4).astype(np.float32)
    return _unit((filed - centre) / spread), centre, spread


class _Lists:
    """Films filed under the centre that is nearest to them."""

    def __init__(self, index: Floats) -> None:
        films = len(index)
        self.every = np.arange(films)
        self.centres = index[:0]
        if films > EXACT:
            self.centres = _centres(index, int(np.sqrt(_PROBES * films)))
            order, self.bounds = _grouped(_nearest(index, self.centres, 1)[:, 0], len(self.centres))
            self.order = order

    def near(self, asked: Floats) -> Iterator[tuple[Ints, Ints]]:
        """Rows of ``asked`` and the films that each of them is to be compared with."""
        if not len(self.centres):
            for start in range(0, len(asked), _BLOCK):
                yield np.arange(start, min(start + _BLOCK, len(asked))), self.every
            return
        probes = _nearest(asked, self.centres, _PROBES)
        order, bounds = _grouped(probes.ravel(), len(self.centres))
        rows = order // _PROBES
        for number in range(len(self.centres)):
            near = rows[bounds[number] : bounds[number + 1]]
            members = self.order[self.bounds[number] : self.bounds[number + 1]]
            if len(near) and len(members):
                yield near, members


def _grouped(numbers: Ints, count: int) -> tuple[Ints, Ints]:
    """Positions in order of their number, and where each number begins."""
    return np.argsort(numbers, kind="stable"), np.searchsorted(np.sort(numbers), np.arange(count + 1))


def _nearest(vectors: Floats, centres: Floats, count: int) -> Ints:
    found = np.empty((len(vectors), count), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        likeness = vectors[start : start + _BLOCK] @ centres.T
        if count == 1:
            found[start : start + _BLOCK, 0] = likeness.argmax(axis=1)
        else:
            found[start : start + _BLOCK] = np.argpartition(likeness, -count, axis=1)[:, -count:]
    return found


def _centres(index: Floats, count: int) -> Floats:
    """Spherical k-means on a sample; the same for the same films."""
    rng = np.random.default_rng(0)
    sample = index[rng.choice(len(index), min(len(index), 40 * count), replace=False)]
    centres = sample[:count].copy()
    for _ in range(_ROUNDS):
        label = _nearest(sample, centres, 1)[:, 0]
        order, bounds = _grouped(label, count)
        filled = np.flatnonzero(np.diff(bounds) > 0)
        centres[filled] = np.add.reduceat(sample[order], bounds[filled], axis=0)
        centres = _unit(centres)
    return centres
