"""From the samples of a raster file to display values in [0, 1], and whether there was colour in them."""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging.decode import LUMA
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.harmonise.tint import GreyOfRgb, grey_of_tinted, some_pixels
from pipelines.imaging.intensity import ROBUST_PERCENTILES
from pipelines.imaging.raster_header import RasterHeader

DEPTHS: Final = (8, 10, 12, 14, 16)
"""Bits that detectors and digitisers have; samples in 16-bit containers use the fewest of these that hold them all."""
COLOUR_TOLERANCE: Final = 4 / 255
"""Channels of a grey picture differ by no more of the full range than this: rounding, and JPEG's chroma."""
COLOUR_SHARE: Final = 0.001
"""Where more of the pixels than this differ by more, the picture is in colour: tinted, photographed or annotated."""

_BLOCK_PIXELS: Final = 1 << 20
_RGB_OF_YCC: Final = np.array([(1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0)], dtype=np.float32)
"""ITU-T T.871: red, green and blue of Y, Cb and Cr, the latter two about `_NEUTRAL`."""
_NEUTRAL: Final = np.array([0, 128 / 255, 128 / 255], dtype=np.float32)


def display_values(
    samples: NDArray[Any], header: RasterHeader, *, untint: bool = False
) -> tuple[NDArray[np.float32], bool]:
    """Scale samples to display values.

    Args:
        samples: ``[rows, columns]`` or ``[rows, columns, 1 to 4 channels]``; Y, Cb and Cr where the header says so.
        header: of the same file.
        untint: bring the channels of a film in colour to one range before they become grey.

    Returns:
        float32 ``[rows, columns]`` in [0, 1] as stored (before orientation), dense tissue bright; and whether the
        channels really differ, as opposed to grey stored as RGB.

    Raises:
        FilmError: blank, or corrupt where a sample is not a finite number.
    """
    channels = samples[..., None] if samples.ndim == 2 else samples
    colour = _is_colour(channels, header)
    tint = _tint(channels, header) if untint and colour and header.nominal else None
    if header.transformed and tint is None:
        channels = channels[..., :1]
    grey = _nominal(channels, header, tint) if header.nominal else _robust(_luma(channels, 1.0, np.float64))
    if grey.min() == grey.max():
        raise FilmError(Reason.BLANK, "all pixels have one value")
    if header.photometric == "MONOCHROME1":
        np.subtract(1.0, grey, out=grey)
    return grey, colour


def _nominal(channels: NDArray[Any], header: RasterHeader, tint: GreyOfRgb | None = None) -> NDArray[np.float32]:
    """Luma over black, scaled by the full range; an alpha that is the same everywhere is no transparency."""
    alpha = channels[..., -1] if channels.shape[2] in (2, 4) else None
    top = _top(channels[..., : _colours(channels)], header)
    grey = _luma(channels, top, np.float32) if tint is None else _untinted(channels, top, tint)
    if alpha is not None and alpha.min() != alpha.max():
        full = np.float32(1 / ((1 << header.bits) - 1))
        for block in _blocks(alpha):
            grey[block] *= alpha[block].astype(np.float32) * full
    return np.asarray(np.clip(grey, 0.0, 1.0, out=grey), dtype=np.float32)


def _top(values: NDArray[Any], header: RasterHeader) -> float:
    """The sample value that is white.

    Samples of 16 bits often hold a film of fewer, right-aligned, which would be shown nearly black. They are scaled
    by the smallest of 8, 10, 12, 14 and 16 bits that holds the largest of them. A PNG's sBIT chunk is believed before
    that: with 16 significant bits nothing is guessed; with fewer, samples above that many bits were spread over all
    16 as the format asks, and others were stored right-aligned.
    """
    if header.bits != 16:
        return float((1 << header.bits) - 1)
    largest = int(values.max())
    depths = DEPTHS if header.significant is None else (header.significant, 16)
    return float(next((1 << depth) - 1 for depth in depths if largest < 1 << depth))


def _robust(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Between robust percentiles, as DICOM films without a window: the value at that rank, never between two."""
    if not np.isfinite(values).all():
        raise FilmError(Reason.CORRUPT, "a sample is not a finite number")
    last = values.size - 1
    ranks = [min(max(math.ceil(percent / 100 * values.size) - 1, 0), last) for percent in ROBUST_PERCENTILES]
    ordered = np.partition(values, ranks, axis=None)
    low, high = float(ordered[ranks[0]]), float(ordered[ranks[1]])
    del ordered
    if low == high:  # more than 99 % of the pixels have one value
        low, high = float(values.min()), float(values.max())
    if low == high:
        raise FilmError(Reason.BLANK, "all pixels have one value")
    if not math.isfinite(high - low):
        raise FilmError(Reason.CORRUPT, "the samples span more than a number can hold")
    grey = np.empty(values.shape, dtype=np.float32)
    for block in _blocks(values):
        grey[block] = (np.clip(values[block], low, high) - low) / (high - low)
    return grey


def _luma(channels: NDArray[Any], top: float, kind: type[np.floating[Any]]) -> NDArray[Any]:
    """Luma divided by `top`, block by block: the temporary copies of a large film stay small."""
    colours = _colours(channels)
    grey = np.empty(channels.shape[:2], dtype=kind)
    scale = kind(1 / top)
    for block in _blocks(channels):
        values = channels[block][..., :colours].astype(kind)
        grey[block] = (values[..., 0] if colours == 1 else values @ LUMA.astype(kind)) * scale
    return grey


def _tint(channels: NDArray[Any], header: RasterHeader) -> GreyOfRgb:
    """How samples, divided by the white one, become grey when the film's tint is removed."""
    values = some_pixels(channels[..., :3]).astype(np.float32) / np.float32(_top(channels[..., :3], header))
    if not header.transformed:
        return grey_of_tinted(values, LUMA)
    found = grey_of_tinted(np.clip((values - _NEUTRAL) @ _RGB_OF_YCC.T, 0.0, 1.0), LUMA)
    weights = found.weights @ _RGB_OF_YCC
    return GreyOfRgb(weights, found.offset - float(weights @ _NEUTRAL))


def _untinted(channels: NDArray[Any], top: float, tint: GreyOfRgb) -> NDArray[np.float32]:
    grey = np.empty(channels.shape[:2], dtype=np.float32)
    for block in _blocks(channels):
        grey[block] = channels[block][..., :3].astype(np.float32) @ (tint.weights / np.float32(top)) + tint.offset
    return grey


def _is_colour(channels: NDArray[Any], header: RasterHeader) -> bool:
    if _colours(channels) == 1:
        return False
    differing = sum(int(np.count_nonzero(_spread(channels[block], header))) for block in _blocks(channels))
    return bool(differing > COLOUR_SHARE * channels.shape[0] * channels.shape[1])


def _spread(channels: NDArray[Any], header: RasterHeader) -> NDArray[np.bool_]:
    """Which pixels have channels that differ by more than the tolerance."""
    values = channels[..., :3].astype(np.float32 if header.nominal else np.float64)
    if header.transformed:
        neutral = 1 << (header.bits - 1)
        distance = np.abs(values[..., 1:] - neutral).max(axis=-1) * 2
    else:
        distance = values.max(axis=-1) - values.min(axis=-1)
    full = float((1 << header.bits) - 1) if header.nominal else max(float(np.ptp(values)), 1e-300)
    return np.asarray(distance > COLOUR_TOLERANCE * full)


def _colours(channels: NDArray[Any]) -> int:
    return 3 if channels.shape[2] >= 3 else 1


def _blocks(pixels: NDArray[Any]) -> Iterator[slice]:
    step = max(1, _BLOCK_PIXELS // pixels.shape[1])
    return (slice(row, row + step) for row in range(0, pixels.shape[0], step))
