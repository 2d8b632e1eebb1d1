"""The eight ways to lay a picture on a square, and which of them a film would have lain in among its fellows."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.film_print import UNSEEN

TURNS: Final = 8
"""A turn is a number 0 to 7: its bits are *transposed*, then *upside down*, then *mirrored*; 0 is as it stands."""
MARGIN: Final = 0.2
"""A turn is tried as well where its likeness to the average film is at most this much below the best turn's."""

_COARSE: Final = 7  # cells along a side of the average film that turns are told by


def relief(cells: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Codes of fingerprints as numbers about 0, unseen cells 0, ``[films, side, side]``."""
    return np.where(cells == UNSEEN, np.float32(0), cells.astype(np.float32) - 3)


def turned(maps: NDArray[np.generic], turn: int) -> NDArray[np.generic]:
    """Maps ``[..., side, side]`` laid another way."""
    if turn & 1:
        maps = np.swapaxes(maps, -1, -2)
    if turn & 2:
        maps = maps[..., ::-1, :]
    return maps[..., ::-1] if turn & 4 else maps


def _coarse(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    side = maps.shape[-1] // _COARSE
    coarse = maps.reshape(len(maps), _COARSE, side, _COARSE, side).mean(axis=(2, 4))
    return np.asarray(coarse / np.maximum(np.linalg.norm(coarse, axis=(1, 2), keepdims=True), 1e-6), dtype=np.float32)


def average_film(parts: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The mean of all films, coarse and of length 1, ``[7, 7]``.

    Args:
        parts: codes of fingerprints, ``[films, side, side]`` each.
    """
    average = np.zeros((_COARSE, _COARSE))
    for cells in parts:
        average += _coarse(relief(cells)).sum(axis=0)
    return np.asarray(average / max(float(np.linalg.norm(average)), 1e-6), dtype=np.float32)


def likely_turns(
    maps: NDArray[np.float32], average: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.bool_], NDArray[np.int8]]:
    """How each film lies best on the average of all, positive or negative.

    Args:
        maps: from `relief`.
        average: from `average_film`.

    Returns:
        The best turn ``[films]``; which turns are about as good, ``[films, 8]``; and whether each turn is of
        the film (1) or of its negative (-1), ``[films, 8]``.
    """
    coarse = _coarse(maps)
    likeness = np.stack(
        [np.einsum("nij,ij->n", np.asarray(turned(coarse, turn), dtype=np.float32), average) for turn in range(TURNS)],
        axis=1,
    )
    size = np.abs(likeness)
    best = size.argmax(axis=1)
    top = size[np.arange(len(maps)), best]
    return best.astype(np.int8), size >= top[:, None] - MARGIN, np.where(likeness < 0, -1, 1).astype(np.int8)


def _table() -> NDArray[np.int8]:
    sample = np.arange(4).reshape(2, 2)
    ways = [turned(sample, turn).tolist() for turn in range(TURNS)]
    again = [[turned(turned(sample, one), other).tolist() for one in range(TURNS)] for other in range(TURNS)]
    return np.array([[again[other].index(ways[one]) for other in range(TURNS)] for one in range(TURNS)], dtype=np.int8)


BETWEEN: Final = _table()
"""``BETWEEN[a, b]``: the turn of one film that makes it, when turned by ``b``, lie as it does when turned by ``a``."""
