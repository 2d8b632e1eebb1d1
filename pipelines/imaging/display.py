"""From the cells of one film to its display pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.intensity import Intensity


def to_display(cells: NDArray[Any], intensity: Intensity) -> NDArray[np.float32]:
    """Map cell patterns to display values.

    Args:
        cells: unsigned ``[rows, columns]``, each below 2**bits_stored.
        intensity: how.

    Returns:
        float32 ``[rows, columns]`` in [0, 1], dense tissue bright.

    Raises:
        FilmError: blank.
    """
    counts = np.bincount(cells.ravel(), minlength=1 << intensity.bits_stored)
    return np.asarray(intensity.table(counts)[cells])
