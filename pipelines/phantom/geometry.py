"""Coordinates, curves and painting that all parts of the phantom share.

Patient coordinates are millimetres at the detector: x = 0 on the midline and growing to the patient's left (the right
side of the image), y = 0 at the lung apex and growing downwards. Pixel coordinates are continuous with their origin at
the outer corner of the first pixel, so that pixel ``[row, column]`` covers ``column..column + 1, row..row + 1``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Image = NDArray[np.float32]
Points = NDArray[np.float64]
Layer = NDArray[np.uint8]

CHEST_MIDDLE_MM: Final = 140.0
"""Height in patient coordinates that lies in the middle of the film."""
_SHIFT_BITS: Final = 4


@dataclass(frozen=True)
class Canvas:
    """A pixel grid and where the patient lies on it.

    Attributes:
        rows: grid rows.
        columns: grid columns.
        spacing_mm: pixel pitch.
        rotation_deg: rotation of the patient in the image plane.
        shift_mm: displacement (x, y) of the patient.
        middle_mm: height in patient coordinates shown at the grid's middle when not shifted.
    """

    rows: int
    columns: int
    spacing_mm: float
    rotation_deg: float = 0.0
    shift_mm: tuple[float, float] = (0.0, 0.0)
    middle_mm: float = CHEST_MIDDLE_MM

    @property
    def shape(self) -> tuple[int, int]:
        """Array shape ``(rows, columns)``."""
        return self.rows, self.columns

    def coarser(self, factor: int) -> "Canvas":
        """The same field with pixels ``factor`` times as large; rows and columns are divisible by it."""
        assert self.rows % factor == 0, (self.rows, factor)
        assert self.columns % factor == 0, (self.columns, factor)
        return Canvas(
            self.rows // factor,
            self.columns // factor,
            self.spacing_mm * factor,
            self.rotation_deg,
            self.shift_mm,
            self.middle_mm,
        )

    def to_pixels(self, points: Points) -> Points:
        """Patient millimetres ``[..., 2]`` (x, y) to continuous pixel coordinates ``[..., 2]`` (x, y)."""
        angle = np.deg2rad(self.rotation_deg)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = points[..., 0], points[..., 1] - self.middle_mm
        turned = np.stack((cos * x - sin * y + self.shift_mm[0], sin * x + cos * y + self.shift_mm[1]), axis=-1)
        return np.asarray(turned / self.spacing_mm + (self.columns / 2, self.rows / 2), dtype=np.float64)

    def patient_grid(self, region: "Region | None" = None) -> tuple[Image, Image]:
        """Patient coordinates (x, y) in millimetres of every pixel centre, float32 ``[rows, columns]``."""
        where = region or Region(0, 0, self.rows, self.columns)
        angle = np.deg2rad(self.rotation_deg)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        columns = np.arange(where.left, where.right, dtype=np.float32) + np.float32(0.5 - self.columns / 2)
        rows = np.arange(where.top, where.bottom, dtype=np.float32) + np.float32(0.5 - self.rows / 2)
        u = columns * np.float32(self.spacing_mm) - np.float32(self.shift_mm[0])
        v = rows * np.float32(self.spacing_mm) - np.float32(self.shift_mm[1])
        x = (cos * u)[None, :] + (sin * v)[:, None]
        y = (-sin * u)[None, :] + (cos * v)[:, None] + np.float32(self.middle_mm)
        return x, y

    def region_around(self, points: Points, margin_mm: float) -> "Region":
        """Smallest pixel region that holds these patient points and a margin, cut at the grid."""
        pixels = self.to_pixels(points).reshape(-1, 2)
        margin = margin_mm / self.spacing_mm
        (left, top), (right, bottom) = np.floor(pixels.min(0) - margin), np.ceil(pixels.max(0) + margin)
        return Region(
            int(np.clip(top, 0, self.rows - 1)),
            int(np.clip(left, 0, self.columns - 1)),
            int(np.clip(bottom, 1, self.rows)),
            int(np.clip(right, 1, self.columns)),
        )


@dataclass(frozen=True)
class Region:
    """A rectangle of whole pixels: rows ``top..bottom`` and columns ``left..right``, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of this region in an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        """Array shape ``(rows, columns)``."""
        return self.bottom - self.top, self.right - self.left


def smooth_curve(points: Sequence[tuple[float, float]], per_segment: int = 8, *, closed: bool = False) -> Points:
    """Pass a cubic spline through control points.

    Args:
        points: at least three (x, y).
        per_segment: samples for each pair of neighbours.
        closed: join the last point to the first.

    Returns:
        Samples ``[n, 2]``; both ends included where the curve is open.
    """
    knots = np.asarray([*points, points[0]] if closed else points, dtype=np.float64)
    steps = np.hypot(*np.diff(knots, axis=0).T)
    along = np.concatenate(([0.0], np.cumsum(np.sqrt(steps))))  # centripetal: no loops at uneven knots
    spline = CubicSpline(along, knots, bc_type="periodic" if closed else "natural")
    where = np.interp(np.arange((len(knots) - 1) * per_segment + 1) / per_segment, np.arange(len(knots)), along)
    return np.asarray(spline(where[:-1] if closed else where), dtype=np.float64)


def mirrored(points: Points) -> Points:
    """The same points on the other side of the midline."""
    return np.asarray(points * np.array([-1.0, 1.0]), dtype=np.float64)


def tube(centre: Points, half_width: Points | float) -> Points:
    """Outlines ``[..., 2 n, 2]`` of bands of this half width (``[..., n]``) along centre lines ``[..., n, 2]``."""
    tangent = np.empty_like(centre)
    tangent[..., 1:-1, :] = centre[..., 2:, :] - centre[..., :-2, :]
    tangent[..., 0, :] = centre[..., 1, :] - centre[..., 0, :]
    tangent[..., -1, :] = centre[..., -1, :] - centre[..., -2, :]
    normal = np.stack((-tangent[..., 1], tangent[..., 0]), axis=-1)
    normal /= np.maximum(np.hypot(normal[..., 0], normal[..., 1]), 1e-9)[..., None]
    offset = normal * np.asarray(half_width, dtype=np.float64)[..., None]
    return np.concatenate((centre + offset, np.flip(centre - offset, axis=-2)), axis=-2)


def fixed_point(outline_px: Points) -> NDArray[np.int32]:
    """Pixel coordinates as the fixed-point numbers that `fill_fixed` takes."""
    return np.asarray(np.round((outline_px - 0.5) * (1 << _SHIFT_BITS)), dtype=np.int32)


def fill_fixed(layer: NDArray[Any], outline: NDArray[np.int32], value: float) -> None:
    """Fill one polygon ``[n, 2]`` in place; edges are anti-aliased in 8-bit layers."""
    cv2.fillPoly(layer, [outline], value, cv2.LINE_AA, _SHIFT_BITS)


def fill(layer: NDArray[Any], outline_px: Points, value: float) -> None:
    """Fill one polygon, given in pixel coordinates ``[n, 2]``, in place."""
    fill_fixed(layer, fixed_point(outline_px), float(value))


def mask_of(canvas: Canvas, *outlines: Points) -> Layer:
    """Layer with 255 inside any of these outlines (patient millimetres)."""
    layer = np.zeros(canvas.shape, np.uint8)
    for outline in outlines:
        fill(layer, canvas.to_pixels(outline), 255)
    return layer


def depth_profile(mask: Layer, spacing_mm: float, radius_mm: float) -> Image:
    """Relative thickness of a rounded solid seen from the front.

    Args:
        mask: its silhouette, 255 inside.
        spacing_mm: pixel pitch.
        radius_mm: how far from the edge the solid reaches its full thickness.

    Returns:
        float32 in [0, 1]: the quarter-circle profile of the distance to the silhouette.
    """
    # The nearest pixel that is not wholly inside says by its coverage where between two pixels the edge runs; without
    # that, the steep rise of the profile turns every slanted edge into a staircase.
    whole = (mask == 255).view(np.uint8)
    distance, nearest = cv2.distanceTransformWithLabels(whole, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    edge = mask[whole == 0].astype(np.float32) * np.float32(1 / 255)
    if len(edge) == 0:
        return np.ones(mask.shape, np.float32)
    coverage = np.concatenate((np.zeros(1, np.float32), edge))[nearest]
    depth = np.where(mask > 0, np.maximum(distance + coverage - np.float32(0.5), 0), 0)
    outside = 1.0 - np.minimum(depth * np.float32(spacing_mm / radius_mm), np.float32(1.0))
    return np.asarray(np.sqrt(np.maximum(1.0 - outside * outside, 0.0)), dtype=np.float32)


def blur(image: Image, sigma_px: float) -> Image:
    """Gaussian blur; the image is repeated at its edges."""
    if sigma_px <= 0.05:
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)


def wide_blur(image: Image, sigma_px: float) -> Image:
    """Gaussian blur with a wide kernel, computed on a reduced image and brought back smoothly."""
    factor = max(1, int(sigma_px / 4))
    rows, columns = image.shape
    small = cv2.resize(image, (max(8, columns // factor), max(8, rows // factor)), interpolation=cv2.INTER_AREA)
    return enlarged(blur(np.asarray(small, np.float32), sigma_px / factor), image.shape)


def enlarged(image: Image, shape: tuple[int, int], *, cubic: bool = True) -> Image:
    """Resample to ``(rows, columns)``."""
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=how), dtype=np.float32)


def texture(rng: np.random.Generator, shape: tuple[int, int], cells: Sequence[float], fall: float = 0.6) -> Image:
    """Smooth random texture: white noise at several scales, added.

    Args:
        rng: source of randomness.
        shape: ``(rows, columns)``.
        cells: grain of each scale in pixels, coarse to fine.
        fall: amplitude of each scale relative to the one before.

    Returns:
        float32, mean about 0, standard deviation about 1.
    """
    total = np.zeros(shape, np.float32)
    power = 0.0
    for order, cell in enumerate(cells):
        lattice = tuple(max(4, int(np.ceil(side / cell)) + 3) for side in shape)
        grain = enlarged(rng.standard_normal(lattice, dtype=np.float32), shape)
        total += np.float32(fall**order) * grain
        power += fall ** (2 * order)
    return total / np.float32(0.75 * np.sqrt(power))


def smoothstep(low: float, high: float, values: Image) -> Image:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)
