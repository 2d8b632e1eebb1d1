"""Ribs, clavicles, shoulder and spine: excess attenuation of bone over soft tissue."""

from typing import Final

import numpy as np

from pipelines.phantom.chest import LEFT, RIGHT, Chest
from pipelines.phantom.geometry import (
    Canvas,
    Image,
    Layer,
    Points,
    blur,
    fill,
    fill_fixed,
    fixed_point,
    smooth_curve,
    tube,
)

FULL_SCALE: Final = 0.9
"""Attenuation (natural-log units) that an 8-bit layer's 255 stands for."""
_CORTEX: Final = 0.052
"""Excess attenuation of compact bone over soft tissue at about 65 keV, per mm."""
_SPONGIOSA: Final = 0.011
"""The same for cancellous bone."""
_BANDS: Final = 9


def bone_image(canvas: Canvas, chest: Chest, density: float) -> Image:
    """Excess line integral of the skeleton.

    Args:
        canvas: grid to paint on.
        chest: whose skeleton.
        density: mineral content relative to an average adult.

    Returns:
        float32 ``[rows, columns]``, natural-log units, >= 0.
    """
    total = np.zeros(canvas.shape, np.float32)
    for paint in (_posterior_ribs, _anterior_ribs, _clavicles, _spine, _spinous):
        layer = np.zeros(canvas.shape, np.uint8)
        paint(canvas, chest, layer)
        total += layer
    softened = blur(total, 0.45 / canvas.spacing_mm)
    layer = np.zeros(canvas.shape, np.uint8)
    _shoulders(canvas, chest, layer)  # far from the detector, hence less sharp
    softened += blur(layer.astype(np.float32), 1.3 / canvas.spacing_mm)
    return softened * np.float32(density * FULL_SCALE / 255)


def rib_mask(canvas: Canvas, chest: Chest) -> Layer:
    """Layer with 255 where a rib, front or back, lies in the beam."""
    layer = np.zeros(canvas.shape, np.uint8)
    for rib in chest.ribs:
        for centre in (rib.posterior, rib.anterior):
            fill(layer, canvas.to_pixels(tube(centre, rib.half_height_mm)), 255)
    return layer


def paint_bone(
    canvas: Canvas, layer: Layer, centre: Points, half_width: Points | float, thickness_mm: float, cortex_mm: float
) -> None:
    """Paint a hollow bone of elliptic section: dense at its two edges, lighter between.

    Args:
        canvas: grid of the layer.
        layer: 8-bit, changed in place; 255 stands for `FULL_SCALE`.
        centre: centre line, patient millimetres ``[n, 2]``.
        half_width: half of the bone's width in the image, mm, one value or ``[n]``.
        thickness_mm: extent along the beam.
        cortex_mm: thickness of the compact shell.
    """
    offsets = np.linspace(1.0, 0.0, _BANDS, endpoint=False)
    core = max(1e-3, 1 - cortex_mm / float(np.mean(half_width)))
    outer = thickness_mm * np.sqrt(1 - np.maximum(offsets - 0.5 / _BANDS, 0.0) ** 2)
    inner = max(thickness_mm - 2 * cortex_mm, 0.0) * np.sqrt(np.maximum(1 - (offsets / core) ** 2, 0.0))
    values = (_CORTEX * (outer - inner) + _SPONGIOSA * inner) * (255 / FULL_SCALE)
    widths = offsets[:, None] * np.broadcast_to(half_width, len(centre))
    outlines = fixed_point(canvas.to_pixels(tube(np.broadcast_to(centre, (_BANDS, *centre.shape)), widths)))
    for outline, value in zip(outlines, np.minimum(values, 255.0).tolist(), strict=True):
        fill_fixed(layer, outline, value)


def _posterior_ribs(canvas: Canvas, chest: Chest, layer: Layer) -> None:
    for rib in chest.ribs:
        wide = rib.half_height_mm * np.linspace(0.82, 1.05, len(rib.posterior))
        paint_bone(canvas, layer, rib.posterior, wide, 7.0, 0.85)


def _anterior_ribs(canvas: Canvas, chest: Chest, layer: Layer) -> None:
    for rib in chest.ribs:
        wide = rib.half_height_mm * np.linspace(1.0, 1.32, len(rib.anterior))
        wide[-3:] *= (0.97, 0.9, 0.7)  # a blunt end where the cartilage begins
        paint_bone(canvas, layer, rib.anterior, wide, 4.8, 0.6)


def _clavicles(canvas: Canvas, chest: Chest, layer: Layer) -> None:
    for side in (LEFT, RIGHT):
        shape = smooth_curve([(15, 33), (34, 27), (62, 22), (92, 12), (122, 2), (150, -3), (172, -1)])
        centre = shape * np.array([side * chest.width, chest.height]) + np.array([chest.yaw_mm, 0.0])
        wide = np.interp(np.linspace(0, 1, len(centre)), (0, 0.04, 0.12, 0.45, 0.8, 0.96, 1), (4, 8, 8, 5.8, 6.3, 8, 4))
        paint_bone(canvas, layer, centre, wide, 8.0, 1.2)


def _shoulders(canvas: Canvas, chest: Chest, layer: Layer) -> None:
    for side in (LEFT, RIGHT):
        scale = np.array([side * chest.width, chest.height])
        blade = smooth_curve([(150, 14), (136, 34), (131, 72), (137, 112), (146, 134), (154, 118), (162, 62)])
        fill(layer, canvas.to_pixels(blade * scale), 255 * 0.06 / FULL_SCALE)
        lateral = smooth_curve([(168, 36), (160, 70), (152, 108), (146, 134)]) * scale
        paint_bone(canvas, layer, lateral, 3.2, 4.0, 0.7)
        medial = smooth_curve([(140, 26), (132, 60), (134, 100), (145, 132)]) * scale
        paint_bone(canvas, layer, medial, 1.2, 1.6, 0.8)
        spine = smooth_curve([(133, 44), (152, 24), (172, 4), (186, -8)]) * scale
        paint_bone(canvas, layer, spine, np.linspace(2.0, 6.0, len(spine)), 3.0, 0.6)
        humerus = smooth_curve([(188, 2), (193, 18), (206, 40), (240, 82), (290, 140)]) * scale
        wide = np.interp(
            np.linspace(0, 1, len(humerus)), (0, 0.03, 0.07, 0.14, 0.35, 0.6, 1), (6, 15, 19, 22, 20, 13, 12)
        )
        paint_bone(canvas, layer, humerus, wide, 20.0, 2.2)


def _spine(canvas: Canvas, chest: Chest, layer: Layer) -> None:
    heights = np.diff(chest.vertebrae[:, 1], append=chest.vertebrae[-1, 1] + 25)
    discs = tube(chest.vertebrae, np.full(len(chest.vertebrae), 11.5))
    fill(layer, canvas.to_pixels(discs), 255 * 0.11 / FULL_SCALE)
    for (x, y), height in zip(chest.vertebrae, heights, strict=True):
        half_height = 0.44 * height
        half_width = 12.5 + 0.03 * max(y, 0.0)
        _transverse(canvas, layer, x, y - 0.2 * height, half_width)
        sides = np.array([(-1, -1), (-0.93, 0), (-1, 1), (1, 1), (0.93, 0), (1, -1)])
        for shrink, value in ((1.0, 0.23), (0.88, 0.19)):  # end plates and walls are denser than the body
            outline = sides * (half_width * shrink, half_height * shrink) + (x, y)
            fill(layer, canvas.to_pixels(outline), 255 * value / FULL_SCALE)
        for side in (LEFT, RIGHT):
            pedicle = np.array([x + side * 0.62 * half_width, y - 0.12 * height])
            for shrink, value in ((1.0, 0.32), (0.62, 0.24)):
                outline = _ellipse(2.7 * shrink, 4.2 * shrink) + pedicle
                fill(layer, canvas.to_pixels(outline), 255 * value / FULL_SCALE)


def _transverse(canvas: Canvas, layer: Layer, x: float, y: float, half_width: float) -> None:
    for side in (LEFT, RIGHT):
        reach = np.array([(x + side * (half_width - 2), y + 1), (x + side * (half_width + 12), y - 3)])
        centre = np.linspace(reach[0], reach[1], 5)
        paint_bone(canvas, layer, centre, np.array([4.0, 3.4, 3.2, 3.6, 2.6]), 2.6, 0.5)


def _spinous(canvas: Canvas, chest: Chest, layer: Layer) -> None:
    for x, y in chest.vertebrae:
        for shrink, value in ((1.0, 0.12), (0.6, 0.08)):
            outline = _ellipse(2.6 * shrink, 6.0 * shrink) + np.array([x, y + 9])
            fill(layer, canvas.to_pixels(outline), 255 * value / FULL_SCALE)


def _ellipse(half_x: float, half_y: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return np.stack((half_x * np.cos(angle), half_y * np.sin(angle)), axis=1)


__all__ = ["FULL_SCALE", "LEFT", "RIGHT", "bone_image", "paint_bone", "rib_mask"]
