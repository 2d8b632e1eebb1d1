"""From line integrals to stored values: exposure, scatter, noise and the vendor's processing.

Scatter, dynamic-range compression and display levels are computed from the healthy anatomy, so that a lesion changes
nothing outside its own pixels: boxes are exact, and no overall grey level gives the disease away.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.phantom.anatomy import COARSE, Anatomy
from pipelines.phantom.geometry import Image, blur, enlarged, wide_blur
from pipelines.phantom.plan import FilmPlan, stream
from pipelines.phantom.sites import Lookup

_SCATTER_MM: Final = 34.0
_COMPRESSION_MM: Final = 17.0
_LEVELS: Final = ((0.02, 0.07), (0.985, 0.90))
"""Quantiles of the body's image and the display values they are brought to."""


@dataclass(frozen=True)
class Exposure:
    """What the detector and the vendor add to the line integrals of one film.

    Attributes:
        contrast: factor on all line integrals.
        scatter: scattered signal, float32 ``[rows, columns]``, relative to the signal in air.
        base: slowly varying part of the image that the processing compresses, float32 ``[rows, columns]``.
        gain: display units per natural-log unit.
        offset: display value of log signal 0.
        noise: unit noise, float32 ``[rows, columns]``; relative noise is this over the root of the quanta.
        quanta: quanta per pixel in air.
    """

    contrast: float
    scatter: Image
    base: Image
    gain: float
    offset: float
    noise: Image | None
    quanta: float


def expose(plan: FilmPlan, anatomy: Anatomy, *, noisy: bool = True) -> Exposure:
    """Set the exposure of one film from its healthy anatomy.

    Args:
        plan: the film.
        anatomy: its healthy anatomy.
        noisy: False for a film without quantum noise.
    """
    shape = anatomy.canvas.shape
    spacing = anatomy.canvas.spacing_mm * COARSE
    coarse = anatomy.attenuation[::COARSE, ::COARSE] * np.float32(plan.contrast)
    primary = np.exp(-coarse)
    body = coarse > 0.25
    scatter = np.float32(0.35 * plan.scatter) * wide_blur(primary * body, _SCATTER_MM / spacing) + np.float32(0.002)
    logged = -np.log(primary + scatter)
    base = wide_blur(np.minimum(logged, np.float32(5.5)), _COMPRESSION_MM / spacing) * np.float32(plan.site.edge_gain)
    low, high = np.quantile((logged - base)[body], [_LEVELS[0][0], _LEVELS[1][0]])
    gain = (_LEVELS[1][1] - _LEVELS[0][1]) / (high - low)
    noise = None
    if noisy:
        white = stream(plan.seed, "noise", plan.index).standard_normal(shape, dtype=np.float32)
        noise = blur(white, plan.site.sharpness_px)
    return Exposure(
        contrast=plan.contrast,
        scatter=enlarged(scatter, shape, cubic=False),
        base=enlarged(base, shape, cubic=False),
        gain=float(gain),
        offset=float(_LEVELS[0][1] - gain * low + plan.brightness),
        noise=noise,
        quanta=plan.site.photons * plan.exposure,
    )


def display_values(exposure: Exposure, attenuation: Image) -> Image:
    """Display values of one film: dense is bright, most of the body in [0, 1], not clipped.

    Args:
        exposure: from `expose`.
        attenuation: all line integrals of the film, natural-log units ``[rows, columns]``.
    """
    signal = np.exp(attenuation * np.float32(-exposure.contrast))
    signal += exposure.scatter
    values: Image = -np.log(signal)
    if exposure.noise is not None:
        values += exposure.noise / np.sqrt(signal * np.float32(exposure.quanta))
    values -= exposure.base
    values *= np.float32(exposure.gain)
    values += np.float32(exposure.offset)
    return values


def stored_values(plan: FilmPlan, display: Image) -> NDArray[np.uint16]:
    """Quantise display values as the site stores them.

    Args:
        plan: the film.
        display: display values, dense is bright.

    Returns:
        uint16 ``[rows, columns]`` in ``0..site.max_value``, polarity as the site's photometric interpretation says.
    """
    site = plan.site
    if site.lookup is Lookup.NONE:
        display = film_curve(display)
    low, high = site.stored_range
    scaled = (display * np.float32(high - low) + np.float32(low)) * np.float32(site.max_value)
    stored = np.clip(np.rint(scaled), 0, site.max_value).astype(np.uint16)
    return np.asarray(site.max_value - stored if site.monochrome1 else stored, dtype=np.uint16)


def film_curve(values: NDArray[np.floating]) -> Image:
    """The S-shaped curve of film: [0, 1] to [0, 1] with soft shoulder and toe."""
    steep = np.float32(1.35)
    curve = np.tanh((values.astype(np.float32) - np.float32(0.5)) * 2 * steep) / np.tanh(steep)
    return np.asarray(0.5 + 0.5 * curve, dtype=np.float32)


def voi_table(plan: FilmPlan, bits: int = 12) -> NDArray[np.uint16]:
    """VOI look-up table of a site with `Lookup.LUT`: one entry for each stored value.

    Args:
        plan: the film.
        bits: depth of the table's output.
    """
    site = plan.site
    low, high = site.stored_range
    display = (np.arange(site.max_value + 1) / site.max_value - low) / (high - low)
    return np.rint(np.clip(film_curve(display), 0, 1) * ((1 << bits) - 1)).astype(np.uint16)
