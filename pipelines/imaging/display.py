"""From the cells of one film to its display pixels."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.geometry import scaled_shape
from pipelines.imaging.intensity import Intensity

_EXACT_COUNT: Final = 1 << 24
"""OpenCV counts in whole numbers and returns float32, which holds every whole number up to this one."""

_WHOLE: Final = 0.999
"""Share of film from which a cell counts as film: less than 1 by what float32 sums may lack."""


def to_display(
    cells: NDArray[Any],
    intensity: Intensity,
    *,
    area: NDArray[np.bool_] | None = None,
    max_side: int | None = None,
    stored: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Map cell patterns to display values.

    Every cell counts towards percentiles and refusals, whatever `max_side` is.

    Args:
        cells: unsigned ``[rows, columns]``, each below 2**bits_stored.
        intensity: how.
        area: True where there is film, ``[rows, columns]`` of the cells or, where those are reduced, of the stored
            matrix. What lies outside becomes 0 and counts for nothing.
        max_side: see `shrink`.
        stored: see `shrink`.

    Returns:
        float32 in [0, 1], dense tissue bright; it covers what the cells cover.

    Raises:
        FilmError: blank.
    """
    cells = np.ascontiguousarray(cells, dtype=cells.dtype.newbyteorder("="))
    share = None if area is None else _share(area, cells.shape)
    film = None if share is None else (share >= _WHOLE).astype(np.uint8)
    table = intensity.table(histogram(cells, intensity.bits_stored, film))
    return shrink(_mapped(cells, table, share), max_side, stored)


def histogram(cells: NDArray[Any], bits: int, film: NDArray[np.uint8] | None = None) -> NDArray[np.int64]:
    """How often each pattern of `bits` bits occurs.

    Args:
        cells: uint8 or uint16 ``[rows, columns]``, C order.
        bits: 1 to 16.
        film: 0 where a cell does not count, ``[rows, columns]``.

    Returns:
        ``[2**bits]``, exact.
    """
    counts = np.zeros(1 << bits, dtype=np.int64)
    rows = max(1, _EXACT_COUNT // cells.shape[1])
    for top in range(0, len(cells), rows):
        mask = None if film is None else film[top : top + rows]
        part = cv2.calcHist([cells[top : top + rows]], [0], mask, [1 << bits], [0, 1 << bits])
        counts += part.ravel().astype(np.int64)
    return counts


def shrink(
    pixels: NDArray[np.float32], max_side: int | None, stored: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """Area-average a picture so that its longer side has at most `max_side` pixels.

    In one step: averages of averages whose borders do not coincide are blurred, and move a model's scores.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1].
        max_side: in pixels; None leaves the picture as it is.
        stored: rows and columns of the whole film, where `pixels` show it smaller: they decide the shape, which must
            not depend on how far a decoder went.
    """
    if max_side is None or max(pixels.shape) <= max_side:
        return pixels
    whole = stored or (pixels.shape[0], pixels.shape[1])
    rows, columns = scaled_shape(whole[0], whole[1], max_side)
    small = cv2.resize(np.ascontiguousarray(pixels), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.clip(np.asarray(small, dtype=np.float32), 0.0, 1.0)  # averages leave the range by a rounding error


def _share(area: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The fraction of each cell that is film."""
    share = area.astype(np.float32)
    if share.shape == shape:
        return share
    return np.asarray(cv2.resize(share, shape[::-1], interpolation=cv2.INTER_AREA), dtype=np.float32)


def _mapped(cells: NDArray[Any], table: NDArray[np.float32], share: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Look every cell up."""
    wide = np.zeros(1 << (8 * cells.dtype.itemsize), dtype=np.float32)
    wide[: len(table)] = table[: len(wide)]
    values = np.asarray(cv2.LUT(cells, wide), dtype=np.float32)
    return values if share is None else np.multiply(values, share, out=values)
