"""The healthy chest as a line-integral image: soft tissue, air, bone and vessels added along the beam.

Nothing here knows of disease: the anatomy of a film is the same with and without its lesions.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.phantom.bones import bone_image
from pipelines.phantom.chest import LEFT, RIGHT, Chest, build_chest
from pipelines.phantom.geometry import (
    Canvas,
    Image,
    Layer,
    Points,
    blur,
    depth_profile,
    enlarged,
    fill,
    mask_of,
    smooth_curve,
    smoothstep,
    texture,
    tube,
)
from pipelines.phantom.plan import FilmPlan, stream
from pipelines.phantom.vessels import grow_vessels, vessel_image

SOFT_TISSUE_PER_MM: Final = 0.0185
"""Linear attenuation of soft tissue for a filtered 100-125 kVp beam (water at about 70 keV: NIST 0.0193/mm)."""
LUNG_DENSITY: Final = 0.27
"""Density of inflated lung relative to soft tissue (ICRU Report 44: 0.26)."""
LESION_PER_MM: Final = SOFT_TISSUE_PER_MM * (1 - LUNG_DENSITY)
"""Excess attenuation of soft tissue that takes the place of lung."""
COARSE: Final = 2
"""Smooth anatomy is computed on pixels this much larger than the film's."""


@dataclass(frozen=True)
class Anatomy:
    """One film's healthy anatomy.

    Attributes:
        chest: the outlines.
        canvas: the film's full grid.
        attenuation: line integral, float32 ``[rows, columns]``, natural-log units.
        aerated_mm: length of lung along the beam on the coarse grid, float32.
        inside_lung: 0-1 on the coarse grid: how much a pixel belongs to the visible lung (domes excluded).
    """

    chest: Chest
    canvas: Canvas
    attenuation: Image
    aerated_mm: Image
    inside_lung: Image


def film_canvas(plan: FilmPlan) -> Canvas:
    """Grid of one film with the patient's pose on it."""
    site = plan.site
    return Canvas(site.rows, site.columns, site.spacing_mm, plan.rotation_deg, plan.shift_mm)


def build_anatomy(plan: FilmPlan) -> Anatomy:
    """Compute the healthy anatomy of one film."""
    canvas = film_canvas(plan)
    coarse = canvas.coarser(COARSE)
    chest = build_chest(plan.seed, plan.patient, plan.yaw_mm)
    rng = stream(plan.seed, "tissue", plan.patient.number)
    x, y = coarse.patient_grid()
    aerated, visible = _lungs(coarse, chest, y)
    tissue = _trunk(coarse, chest, y) - (1 - LUNG_DENSITY) * aerated
    tissue += _breasts(rng, chest, x, y) - _airways(coarse, chest) - _stomach_gas(rng, coarse, chest)
    attenuation = SOFT_TISSUE_PER_MM * np.maximum(tissue, 0.0) + bone_image(coarse, chest, _mineral(plan))
    attenuation += _mottle(rng, coarse) * aerated * np.float32(0.00022)
    full = enlarged(attenuation.astype(np.float32), canvas.shape)
    vessels = vessel_image(canvas, grow_vessels(plan.seed, chest), 2.1 * LESION_PER_MM)
    vessels *= enlarged(np.minimum(aerated / np.float32(70), 1.0), canvas.shape, cubic=False)
    full += vessels
    return Anatomy(chest, canvas, full, aerated, visible)


def _mineral(plan: FilmPlan) -> float:
    """Bone density: falls slowly with age."""
    return 1.05 - 0.0035 * max(plan.patient.age_years - 35, 0)


def _trunk(canvas: Canvas, chest: Chest, y: Image) -> Image:
    """Body thickness in mm of soft tissue."""
    height, thick = chest.height, chest.patient.thickness
    depth = 118 + 92 * smoothstep(-75 * height, 110 * height, y) + 18 * smoothstep(190 * height, 330 * height, y)
    silhouette = depth_profile(mask_of(canvas, chest.body), canvas.spacing_mm, 62.0)
    return blur(silhouette, 1.2) * depth * np.float32(0.55 + 0.45 * thick)


def _lungs(canvas: Canvas, chest: Chest, y: Image) -> tuple[Image, Image]:
    """Length of lung along the beam in mm, and the visible lung (0-1)."""
    height = chest.height
    depth = 62 + 92 * smoothstep(-10 * height, 120 * height, y)
    lung_mask = mask_of(canvas, *chest.lungs.values())
    lungs = depth_profile(lung_mask, canvas.spacing_mm, 52.0) * depth
    dome_mask = mask_of(canvas, *chest.domes.values())
    solid = depth_profile(dome_mask, canvas.spacing_mm, 46.0) * np.float32(150)
    solid = np.maximum(solid, depth_profile(mask_of(canvas, chest.heart), canvas.spacing_mm, 48.0) * np.float32(104))
    great_vessels = depth_profile(mask_of(canvas, chest.mediastinum), canvas.spacing_mm, 24.0) * np.float32(92)
    solid = np.maximum(solid, great_vessels)
    solid = np.maximum(solid, _aorta_and_hila(canvas, chest))
    aerated = np.maximum(lungs - solid, 0.10 * lungs)
    visible = blur((lung_mask & ~dome_mask).astype(np.float32) * np.float32(1 / 255), 1.0)
    return blur(aerated.astype(np.float32), 0.9), visible


def _aorta_and_hila(canvas: Canvas, chest: Chest) -> Image:
    """Thickness in mm of the descending aorta and of the vessels that crowd each hilum."""
    layer = np.zeros(canvas.shape, np.uint8)
    for side in (LEFT, RIGHT):
        x, y = chest.hila[side]
        stem = smooth_curve([(0.5 * x, y - 14), (0.85 * x, y - 6), (1.02 * x, y + 8), (1.10 * x, y + 30)])
        _paint_round(canvas, layer, stem, np.interp(np.linspace(0, 1, len(stem)), (0, 0.4, 1), (9, 9.5, 4)), 26)
    hila = blur(layer.astype(np.float32), 3.5 / canvas.spacing_mm)
    layer[:] = 0
    aorta = smooth_curve([chest.place(21, 85), chest.place(20, 150), chest.place(16, 215), chest.place(10, 270)])
    _paint_round(canvas, layer, aorta, 12.0, 44)
    return np.maximum(hila, blur(layer.astype(np.float32), 0.8 / canvas.spacing_mm))


def _paint_round(canvas: Canvas, layer: Layer, centre: Points, half_width: Points | float, thickness: float) -> None:
    """Paint a solid of elliptic section: ``thickness`` on its axis, nothing at its edges."""
    for share in (1.0, 0.8, 0.6, 0.4, 0.2):
        outline = tube(centre, np.broadcast_to(half_width, len(centre)) * share)
        fill(layer, canvas.to_pixels(outline), thickness * np.sqrt(1 - (share - 0.1) ** 2))


def _airways(canvas: Canvas, chest: Chest) -> Image:
    """Length in mm of air in trachea and main bronchi."""
    layer = np.zeros(canvas.shape, np.uint8)
    lean = 2.0 + 0.5 * chest.yaw_mm
    carina = (lean, 90.0 * chest.height)
    ways = (
        ([(-lean / 2, -90), (0, -20), (lean - 2, 40), carina], 8.2, 19.0),
        ([carina, (-14, carina[1] + 13), (-30, carina[1] + 26), (-40, carina[1] + 42)], 5.8, 13.0),
        ([carina, (17, carina[1] + 10), (36, carina[1] + 17), (50, carina[1] + 26)], 5.2, 12.0),
    )
    for points, half_width, thickness in ways:
        centre = smooth_curve(points)
        _paint_round(canvas, layer, centre, half_width, 10 * thickness)
    return blur(layer.astype(np.float32), 1.0 / canvas.spacing_mm) * np.float32(0.1)


def _breasts(rng: np.random.Generator, chest: Chest, x: Image, y: Image) -> Image:
    """Thickness in mm of breasts (women) or of the pectoral muscles (men)."""
    female = chest.patient.sex == "F"
    size = rng.uniform(0.75, 1.25) if female else rng.uniform(0.8, 1.1)
    total = np.zeros(x.shape, np.float32)
    for side in (LEFT, RIGHT):
        if female:
            centre = (side * (82 + rng.normal(0, 3)), 204 + 10 * size + rng.normal(0, 4))
            half, thickness, power = (58 * size**0.5, 62 * size**0.5), 20 * size, 0.6
        else:
            centre, half, thickness, power = (side * 88, 95), (62, 62), 14 * size, 0.7
        u = (x - np.float32(centre[0] * chest.width)) / np.float32(half[0])
        v = (y - np.float32(centre[1] * chest.height)) / np.float32(half[1])
        above = np.clip(1 + v * np.float32(0.62), 0.0, 1.0)  # fades upwards, ends in a fold below
        v = np.maximum(v, 0.0)
        shape = np.maximum(1 - u * u - v * v, 0.0) ** np.float32(power)
        total += np.float32(thickness) * shape * above * above * (3 - 2 * above)
    return total


def _stomach_gas(rng: np.random.Generator, canvas: Canvas, chest: Chest) -> Image:
    """Length in mm of gas under the left dome, with a flat fluid level below it."""
    wide, tall = rng.uniform(17, 30), rng.uniform(10, 18)
    top = float(chest.domes[LEFT][:40, 1].min())
    middle = (rng.uniform(52, 72) * chest.width, top + 9 + tall)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    outline = np.stack((middle[0] + wide * np.cos(angle), middle[1] + tall * np.sin(angle)), axis=1)
    outline[:, 1] = np.minimum(outline[:, 1], middle[1] + 0.45 * tall)
    gas = depth_profile(mask_of(canvas, outline), canvas.spacing_mm, 13.0)
    return blur(gas, 1.0 / canvas.spacing_mm) * np.float32(rng.uniform(18, 42))


def _mottle(rng: np.random.Generator, canvas: Canvas) -> Image:
    """Texture of lung too fine to be drawn vessel by vessel."""
    cells = [size / canvas.spacing_mm for size in (14.0, 6.0, 2.6)]
    return texture(rng, canvas.shape, cells, fall=0.8)
