"""The last word on two films that look alike: their pixels, aligned and compared in what is small.

Two films of one person agree in ribs and heart to within a few millimetres, two copies of one film in every vessel.
From the place where the fingerprints fit, the films are aligned in two finer steps (56, then 112 cells along a side),
and the correlation is taken of what is smaller than about a centimetre, block by
block; the median of the blocks counts, which letters and boxes drawn over a film do not move.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import UnreadableImage
from pipelines.imaging import read_radiograph
from pipelines.imaging.film_print import SIDE, film_relief
from pipelines.manifest.overlap.alignment import align, blockwise, smooth
from pipelines.manifest.overlap.turns import turned

READ_SIDE: Final = 256
_LEVELS: Final = ((56, 5.0), (112, 2.5))
"""Cells along a side, and how large the things are that stand out, in 112ths of it."""
_BLOCK: Final = 14
"""Cells of the finest level along a side of the blocks that are compared: an eighth of the film."""
_REMEMBERED: Final = 4096
"""Films, 80 kB each: one that looks like many is asked for again and again."""

Level = tuple[NDArray[np.float32], NDArray[np.bool_]]


@lru_cache(maxsize=_REMEMBERED)
def _levels(path: Path) -> tuple[Level, ...] | None:
    try:
        pixels = read_radiograph(path, max_side=READ_SIDE).pixels
    except UnreadableImage:
        return None
    return levels(pixels)


def levels(pixels: NDArray[np.float32]) -> tuple[Level, ...]:
    """Relief and seen cells of a film, coarse to fine."""
    found = []
    for side, surroundings in _LEVELS:
        relief, share = film_relief(pixels, side, surroundings=surroundings)
        seen = share > 0.5
        found.append((np.where(seen, relief, 0).astype(np.float32), seen))
    return tuple(found)


def pixel_correlation(
    one: Path, other: Path, turns: tuple[int, int], place: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]] | None:
    """Correlation of two films on disk, aligned from where their fingerprints fit; and the place refined.

    Args:
        one: file.
        other: file.
        turns: by which each is laid.
        place: `compare.Fits.place` of the pair.

    Returns:
        None where one of them cannot be read.
    """
    first, second = _levels(one), _levels(other)
    return None if first is None or second is None else correlate(first, second, turns, place)


def correlate(
    one: tuple[Level, ...], other: tuple[Level, ...], turns: tuple[int, int], place: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """The same of films in hand (see `levels`); negative where one is the other's negative."""
    correlation = 0.0
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        laid = [np.ascontiguousarray(turned(maps, turns[0])) for maps in a]
        against = [np.ascontiguousarray(turned(maps, turns[1])) for maps in b]
        finer = laid[0].shape[0] / SIDE
        offset = (finer - 1) / 2  # cell centres of the finer map are not where those of the coarser one are
        start = np.array([place[0], place[1], place[2], place[3]], dtype=np.float64)
        for axis in (0, 2):
            start[axis] = place[axis] * finer + offset * (1 - place[axis + 1])
        if number + 1 < len(one):
            laid[0], against[0] = smooth(laid[0][None])[0], smooth(against[0][None])[0]
        correlation, _, best = align(laid[0], laid[1], against[0], against[1], start)
        if number + 1 == len(one):
            correlation = blockwise(laid[0], laid[1], against[0], against[1], best, _BLOCK)
        place = best.copy()
        for axis in (0, 2):
            place[axis] = (best[axis] - offset * (1 - best[axis + 1])) / finer
    return float(correlation), place
