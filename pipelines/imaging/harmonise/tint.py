"""Tinted films back to grey: photographs of films, toned copies, screens with a colour cast.

In a tinted film the three channels are rising functions of one grey. Each channel is brought to one common range by a
straight line through its ends, so that a cast that multiplies or shifts channels is gone. A curved tint whose ends are
black and white leaves luma as it was: a rising function of the film's grey, which `intensity: film` makes equal.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

ENDS: Final = (1.0, 99.0)
"""Percentiles that are a channel's ends: annotations in colour cover less."""
_LEAST_RANGE: Final = 0.05
"""A channel that varies by less than this of the full scale says nothing of the film, and is left out."""
_MOST_PIXELS: Final = 1 << 18


class GreyOfRgb(NamedTuple):
    """Grey = weights . (red, green, blue) + offset."""

    weights: NDArray[np.float32]
    """``[3]``."""
    offset: float


def grey_of_tinted(rgb: NDArray[np.float32], luma: NDArray[np.float32]) -> GreyOfRgb:
    """Return how the colours of a film become grey when its tint is removed.

    Args:
        rgb: ``[n, 3]`` in [0, 1], some or all of the film's pixels.
        luma: ``[3]`` weights of the channels where there is no tint; they add up to 1.

    Returns:
        Plain luma where the channels share a range already, or vary too little to say.
    """
    low, high = np.percentile(rgb, ENDS, axis=0)
    used = high - low >= _LEAST_RANGE
    if not used.any():
        return GreyOfRgb(luma.astype(np.float32), 0.0)
    bottom, top = low[used].min(), high[used].max()
    gain = np.where(used, (top - bottom) / np.where(used, high - low, 1.0), 0.0)
    share = np.where(used, luma, 0.0) / luma[used].sum()
    offset = float((share * (bottom - gain * low)).sum())
    return GreyOfRgb((share * gain).astype(np.float32), offset)


def some_pixels(channels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Pixels on a regular grid of ``[rows, columns, 3]``, as ``[n, 3]``: enough for percentiles."""
    step = max(1, int(np.sqrt(channels.shape[0] * channels.shape[1] / _MOST_PIXELS)))
    return channels[::step, ::step].reshape(-1, channels.shape[2])
