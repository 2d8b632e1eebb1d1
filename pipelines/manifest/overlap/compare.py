"""Films whose fingerprints fit on each other: candidates, aligned."""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.film_print import SIDE, UNSEEN
from pipelines.manifest.overlap.alignment import align_pairs, correlation_at, smooth
from pipelines.manifest.overlap.descriptors import WINDOWS
from pipelines.manifest.overlap.index import Progress, candidates
from pipelines.manifest.overlap.turns import relief, turned

ALIKE: Final = 0.84
"""Correlation of aligned fingerprints from which two films are looked at on their pixels."""
_FINE: Final = 2.0  # cells: what is broader than that is common to all chests
_CHUNK: Final = 1 << 18


@dataclass(frozen=True)
class Fits:
    """Pairs of films, each once, best first; every array is ``[pairs]`` or ``[pairs, 4]``."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    first_turn: NDArray[np.int8]
    second_turn: NDArray[np.int8]
    correlation: NDArray[np.float64]
    """Of the aligned fingerprints; negative where one film is the other's negative."""
    fine: NDArray[np.float64]
    """Of what in them is not broad."""
    cosine: NDArray[np.float32]
    """Of their descriptors."""
    place: NDArray[np.float64]
    """row of first = p0 + p1 * row of second, column = p2 + p3 * column: cells, both laid by their turns."""

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Fits":
        """These pairs alone."""
        return Fits(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def compare(cells: NDArray[np.uint8], group: NDArray[np.int64] | None = None, progress: Progress | None = None) -> Fits:
    """Find the pairs of films whose fingerprints fit.

    Args:
        cells: codes of fingerprints, ``[films, side, side]``.
        group: films of one group (0 or more) are not compared with each other; None: all are.
        progress: of the search for candidates.

    Returns:
        Pairs with a correlation of at least `ALIKE`.
    """
    found = candidates(cells, group, progress)
    top, bottom, left, right = np.array(WINDOWS)[found.window].T
    starts = np.stack([top * SIDE, 1 - top - bottom, left * SIDE, 1 - left - right], axis=1)
    kept, aligned = [], []
    for start in range(0, len(starts), _CHUNK):
        part = slice(start, start + _CHUNK)
        pairs = found.asking[part], found.answering[part]
        tried = align_pairs(cells, UNSEEN, *pairs, found.turn[part], found.laid[part], starts[part])
        good = np.abs(tried[:, 0]) >= ALIKE
        kept.append(start + np.flatnonzero(good))
        aligned.append(tried[good])
    rows, places = np.concatenate([np.empty(0, np.int64), *kept]), np.concatenate([np.empty((0, 6)), *aligned])
    fits = Fits(
        found.asking[rows],
        found.answering[rows],
        found.turn[rows],
        found.laid[rows],
        places[:, 0],
        np.zeros(len(rows)),
        found.cosine[rows],
        places[:, 2:],
    )
    fits = _each_once(fits, len(cells))
    fits.fine[:] = [_fine_correlation(cells, fits, number) for number in range(len(fits))]
    return fits


def _fine_correlation(cells: NDArray[np.uint8], fits: Fits, number: int) -> float:
    one = np.ascontiguousarray(turned(cells[fits.first[number]], int(fits.first_turn[number])))
    other = np.ascontiguousarray(turned(cells[fits.second[number]], int(fits.second_turn[number])))
    return float(correlation_at(_fine(one), one != UNSEEN, _fine(other), other != UNSEEN, fits.place[number]))


def _each_once(fits: Fits, films: int) -> Fits:
    order = np.argsort(-np.abs(fits.correlation), kind="stable")
    low, high = np.minimum(fits.first, fits.second), np.maximum(fits.first, fits.second)
    _, once = np.unique((low * films + high)[order], return_index=True)
    return fits.take(order[np.sort(once)])


def _fine(codes: NDArray[Any]) -> NDArray[np.float32]:
    """One film without what is broader than `_FINE` cells."""
    cells, weight = relief(codes), (codes != UNSEEN).astype(np.float32)
    broad = cv2.GaussianBlur(cells * weight, (0, 0), _FINE) / np.maximum(cv2.GaussianBlur(weight, (0, 0), _FINE), 1e-3)
    return np.asarray(smooth(((cells - broad) * weight)[None])[0], dtype=np.float32)
