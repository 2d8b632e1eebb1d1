"""A film without its shape: what the shape-free control sees (see `pipelines.evaluation.control`)."""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.errors import EvaluationError

THUMBNAIL_SIDE: Final = 16
STATISTICS: Final = ("mean", "standard deviation", "minimum", "maximum", "median")
N_FEATURES: Final = THUMBNAIL_SIDE**2 + len(STATISTICS)


def thumbnail_features(pixels: ArrayLike) -> NDArray[np.float64]:
    """Features of one film that hold no shape.

    Args:
        pixels: ``[rows, columns]``, display values (dense tissue bright), any numeric type; 8-bit values and values in
            [0, 1] differ only by a factor, which the regression's standardisation removes.

    Returns:
        ``[261]`` float64: the area-averaged 16x16 thumbnail row by row, then mean, standard deviation, minimum, maximum
        and median of all pixels.

    Raises:
        EvaluationError: not a two-dimensional array with at least one pixel, or values that are not finite.
    """
    image = film_of(pixels)
    return np.concatenate([area_thumbnail(image).ravel(), intensity_statistics(image)])


def film_of(pixels: ArrayLike) -> NDArray[np.float64]:
    """Pixels of one film as float64 ``[rows, columns]``.

    Raises:
        EvaluationError: not a two-dimensional array with at least one pixel, or values that are not finite.
    """
    image = np.asarray(pixels, dtype=np.float64)
    if image.ndim != 2 or not image.size:
        raise EvaluationError(f"A film must have shape [rows, columns], got shape {image.shape}.")
    if not np.isfinite(image).all():
        raise EvaluationError("A film has pixels that are not finite numbers.")
    return image


def area_thumbnail(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[16, 16]`` averages of equal areas of ``[rows, columns]``, whatever their size."""
    return np.asarray(_area_weights(image.shape[0]) @ image @ _area_weights(image.shape[1]).T)


def intensity_statistics(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[5]``: `STATISTICS` of all values, of any shape; at least one."""
    return np.array([values.mean(), values.std(), values.min(), values.max(), np.median(values)])


def _area_weights(length: int) -> NDArray[np.float64]:
    """``[16, length]``: the share of each source pixel in each of 16 equal cells; rows sum to 1."""
    edges = np.linspace(0, length, THUMBNAIL_SIDE + 1)
    left = np.arange(length)
    overlap = np.minimum(edges[1:, None], left + 1) - np.maximum(edges[:-1, None], left)
    return np.asarray(np.clip(overlap, 0, None) * (THUMBNAIL_SIDE / length), dtype=np.float64)
