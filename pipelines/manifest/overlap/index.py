"""Which films may show the same picture: the nearest descriptors of every film, in less than all pairs.

Every film is laid as the average film lies and filed under the nearest of about sqrt(8 n) centres. It then asks, as it
stands and cropped in every way of `descriptors.WINDOWS`, in each likely turn, the lists of its few nearest centres.
A few thousand films ask at a time, so that asking a list is one multiplication of matrices. Up to `EXACT` films are
all compared with all. Where films are in groups, the largest asks only the others.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from pipelines.manifest.overlap.descriptors import DIMENSIONS, WINDOWS, coefficients, descriptors
from pipelines.manifest.overlap.turns import TURNS, average_film, likely_turns, relief

KEPT: Final = 6
"""Partners remembered for each film."""
LEAST_COSINE: Final = 0.5
EXACT: Final = 4_000
_PROBES: Final = 8
_FILMS: Final = 4096  # that ask at a time
_BLOCK: Final = 4096  # rows of a multiplication
_ROUNDS: Final = 6  # of k-means

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Cells = NDArray[np.uint8]
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


@dataclass(frozen=True)
class _Films:
    """What is known of all films; small beside their cells."""

    cells: Cells
    best: NDArray[np.int8]
    likely: NDArray[np.bool_]
    sign: NDArray[np.int8]
    filed: Floats
    """Unit descriptors as the average film lies, ``[films, DIMENSIONS]``."""
    centre: Floats
    spread: Floats


@dataclass(frozen=True)
class _Partners:
    """The nearest films met so far; each ``[films, KEPT]``."""

    cosines: Floats
    films: NDArray[np.int32]
    codes: NDArray[np.int16]

    @classmethod
    def none(cls, films: int) -> "_Partners":
        return cls(
            np.full((films, KEPT), LEAST_COSINE, dtype=np.float32),
            np.full((films, KEPT), -1, dtype=np.int32),
            np.zeros((films, KEPT), dtype=np.int16),
        )


@njit(cache=True, nogil=True)
def _enter(film, other, value, code, cosines, partners, codes):  # type: ignore[no-untyped-def]
    place = -1
    for k in range(cosines.shape[1]):
        if partners[film, k] == other:
            place = k
    if place < 0:
        place = cosines[film].argmin()
    elif cosines[film, place] >= value:
        return
    cosines[film, place], partners[film, place], codes[film, place] = value, other, code


@njit(cache=True, nogil=True, fastmath=True)
def _keep(likeness, rows, films, ways, members, group, cosines, partners, codes):  # type: ignore[no-untyped-def]
    """Enter the members of a list that are nearer to a film than the farthest partner it has."""
    strip = 32
    for r in range(len(rows)):
        film, code = films[rows[r]], ways[rows[r]]
        least = cosines[film].min()
        for start in range(0, len(members), strip):
            stop = min(start + strip, len(members))
            top = np.float32(0)
            for m in range(start, stop):
                top = max(top, abs(likeness[r, m]))
            if top <= least:
                continue
            for m in range(start, stop):
                other, value = members[m], abs(likeness[r, m])  # a negative that was not known as one
                if value <= least or other == film or (group[film] >= 0 and group[film] == group[other]):
                    continue
                _enter(film, other, value, code, cosines, partners, codes)
                least = cosines[film].min()


@njit(cache=True, nogil=True)
def _largest(likeness, found):  # type: ignore[no-untyped-def]
    """Columns of the largest values of each row, in no order, into ``found``."""
    count = found.shape[1]
    tops = np.empty(count, dtype=np.float32)
    for r in range(likeness.shape[0]):
        for k in range(count):
            tops[k], found[r, k] = likeness[r, k], k
        lowest = tops.argmin()
        for c in range(count, likeness.shape[1]):
            if likeness[r, c] > tops[lowest]:
                tops[lowest], found[r, lowest] = likeness[r, c], c
                lowest = tops.argmin()


def candidates(cells: Cells, group: Ints | None = None, progress: Progress | None = None) -> Candidates:
    """The nearest films of every film.

    Args:
        cells: codes of fingerprints, ``[films, side, side]``.
        group: films of one group (0 or more) are not compared with each other; None: all are.
        progress: called with (films that asked, films in all).
    """
    films = _filed(cells)
    apart = np.full(len(cells), -1, dtype=np.int64) if group is None else group
    partners = _Partners.none(len(cells))
    every = np.arange(len(cells))
    largest = np.bincount(apart[apart >= 0]).argmax() if (apart >= 0).any() else -1
    own = apart == largest if largest >= 0 else np.zeros(len(cells), dtype=bool)
    done = 0
    with threadpool_limits(1), ThreadPoolExecutor(get_num_threads()) as pool:  # each thread asks for its own films
        for asking, answering in ((every[~own], every), (every[own], every[~own])):
            if not len(asking) or not len(answering):
                continue
            lists = _Lists(films.filed, answering)
            parts = [asking[start : start + _FILMS] for start in range(0, len(asking), _FILMS)]
            for count in pool.map(lambda part, lists=lists: _ask(films, part, lists, apart, partners), parts):
                done += count
                if progress is not None:
                    progress(done, len(cells))
    asking, slot = np.nonzero(partners.films >= 0)
    answering, ways = partners.films[asking, slot].astype(np.int64), partners.codes[asking, slot]
    return Candidates(
        asking,
        answering,
        (ways // len(WINDOWS)).astype(np.int8),
        (ways % len(WINDOWS)).astype(np.int8),
        films.best[answering],
        partners.cosines[asking, slot],
    )


def _ask(films: _Films, part: Ints, lists: "_Lists", apart: Ints, partners: _Partners) -> int:
    """Let some films ask in all windows and likely turns; return how many they are."""
    found = coefficients(relief(films.cells[part]))
    asked, asking, ways = [], [], []
    for turn in range(TURNS):
        rows = np.flatnonzero(films.likely[part, turn])
        if len(rows):
            laid = descriptors(found[rows], turn) * films.sign[part[rows], turn, None, None].astype(np.float32)
            asked.append(_unit((laid - films.centre) / films.spread).reshape(-1, DIMENSIONS))
            asking.append(np.repeat(part[rows], len(WINDOWS)))
            ways.append(np.tile(np.arange(len(WINDOWS), dtype=np.int16) + turn * len(WINDOWS), len(rows)))
    vectors, askers, codes = np.concatenate(asked), np.concatenate(asking), np.concatenate(ways)
    for near, members, there in lists.near(vectors):
        likeness = vectors[near] @ there.T
        _keep(likeness, near, askers, codes, members, apart, partners.cosines, partners.films, partners.codes)
    return len(part)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6), dtype=np.float32)


def _filed(cells: Cells) -> _Films:
    """Turns of all films, and their descriptors as the average film lies, about their mean and in their spread."""
    parts = [slice(start, start + _FILMS) for start in range(0, len(cells), _FILMS)]
    average = average_film(cells[part] for part in parts)
    best = np.empty(len(cells), dtype=np.int8)
    likely = np.empty((len(cells), TURNS), dtype=bool)
    sign = np.empty((len(cells), TURNS), dtype=np.int8)
    filed = np.empty((len(cells), DIMENSIONS), dtype=np.float32)
    for part in parts:
        maps = relief(cells[part])
        best[part], likely[part], sign[part] = likely_turns(maps, average)
        found = coefficients(maps)
        for turn in range(TURNS):
            rows = np.flatnonzero(best[part] == turn)
            if len(rows):
                there = rows + part.start
                filed[there] = descriptors(found[rows], turn)[:, 0] * sign[there, turn, None]
    few = len(cells) < 50  # too few to know what films have in common
    centre = np.zeros(DIMENSIONS, dtype=np.float32) if few else filed.mean(axis=0)
    filed -= centre
    spread = np.maximum(np.sqrt(np.einsum("nd,nd->d", filed, filed) / len(filed)), 1e-4).astype(np.float32)
    filed /= spread
    filed /= np.maximum(np.linalg.norm(filed, axis=1, keepdims=True), 1e-6)
    return _Films(cells, best, likely, sign, filed, centre, spread)


class _Lists:
    """Films filed under the centre that is nearest to them."""

    def __init__(self, filed: Floats, answering: Ints) -> None:
        self.centres = filed[:0]
        self.members = answering
        if len(answering) > EXACT:
            index = filed[answering]
            self.centres = _centres(index, int(np.sqrt(_PROBES * len(index))))
            order, self.bounds = _grouped(_nearest(index, self.centres, 1)[:, 0], len(self.centres))
            self.members = answering[order]
        self.filed = filed[self.members]

    def near(self, asked: Floats) -> Iterator[tuple[Ints, Ints, Floats]]:
        """Rows of ``asked``, the films that each of them is to be compared with, and those films' descriptors."""
        if not len(self.centres):
            for start in range(0, len(asked), _BLOCK):
                yield np.arange(start, min(start + _BLOCK, len(asked))), self.members, self.filed
            return
        order, bounds = _grouped(_nearest(asked, self.centres, _PROBES).ravel(), len(self.centres))
        rows = order // _PROBES
        for number in range(len(self.centres)):
            near = rows[bounds[number] : bounds[number + 1]]
            part = slice(self.bounds[number], self.bounds[number + 1])
            if len(near) and part.stop > part.start:
                yield near, self.members[part], self.filed[part]


def _grouped(numbers: NDArray[np.integer], count: int) -> tuple[Ints, Ints]:
    """Positions in order of their number, and where each number begins."""
    order = np.argsort(numbers, kind="stable")
    return order, np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=count))])


def _nearest(vectors: Floats, centres: Floats, count: int) -> NDArray[np.int16]:
    found = np.empty((len(vectors), min(count, len(centres))), dtype=np.int16)  # radix sort: fewer than 2^15 centres
    for start in range(0, len(vectors), _BLOCK):
        _largest(vectors[start : start + _BLOCK] @ centres.T, found[start : start + _BLOCK])
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
