"""Tuberculosis as films show it: upper-zone infiltrates, cavities, effusions, miliary seeding.

Nothing here looks like a nodule of 6 mm or more: infiltrates have no outline, cavities are rings around a lucent
centre, miliary foci and the acini within infiltrates are below 4 mm.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.phantom.anatomy import COARSE, LESION_PER_MM, Anatomy
from pipelines.phantom.chest import LEFT, RIGHT, Chest
from pipelines.phantom.geometry import Image, Region, blur, enlarged, smoothstep, texture
from pipelines.phantom.lesions import SUBTLE, Lesion, LesionMap, reserve, trimmed
from pipelines.phantom.plan import FilmPlan, stream

_FRINGE = 0.035
"""Excess attenuation below which the fringe of an infiltrate or effusion is not counted as visible."""


@dataclass(frozen=True)
class Focus:
    """One focus as placed: pattern, side and, for patches, centre and half axes in patient millimetres."""

    kind: str
    side: int
    centre: tuple[float, float]
    half: tuple[float, float]


def plan_foci(plan: FilmPlan, chest: Chest, places: LesionMap) -> list[Focus]:
    """Place the tuberculosis of one patient and keep nodules off it.

    Args:
        plan: the film; only its patient matters.
        chest: the patient's chest without pose.
        places: where nodules may lie; changed.
    """
    kind = plan.patient.tb_kind
    rng = stream(plan.seed, "tb places", plan.patient.number)
    side = int(rng.choice((LEFT, RIGHT)))
    foci: list[Focus] = []
    if kind == "infiltrate":
        foci.append(_upper_patch(rng, chest, "infiltrate", side, (20, 38), (20, 42)))
        if rng.random() < 0.35:
            foci.append(_upper_patch(rng, chest, "infiltrate", -side, (16, 28), (16, 30)))
    elif kind == "cavity":
        size = rng.uniform(13, 24)
        foci.append(_upper_patch(rng, chest, "cavity", side, (size, size), (size, size)))
        if rng.random() < 0.3:
            foci.append(_upper_patch(rng, chest, "infiltrate", -side, (15, 26), (15, 28)))
    elif kind == "effusion":
        foci.append(Focus("effusion", side, chest.place(side * 110, 270), (38.0, rng.uniform(48, 105) * chest.height)))
        if rng.random() < 0.5:
            foci.append(_upper_patch(rng, chest, "infiltrate", side, (16, 28), (16, 30)))
    elif kind == "miliary":
        foci.extend(Focus("miliary", each, (0.0, 0.0), (0.0, 0.0)) for each in (LEFT, RIGHT))
    for focus in foci:
        if focus.kind != "miliary":
            reserve(places, focus.centre, max(focus.half))
    return foci


def render_tuberculosis(plan: FilmPlan, anatomy: Anatomy, foci: list[Focus]) -> list[Lesion]:
    """Render each focus on one film.

    Args:
        plan: the film.
        anatomy: its healthy anatomy.
        foci: from `plan_foci`.
    """
    rng = stream(plan.seed, "tb shapes", plan.patient.number)
    contrast = SUBTLE if plan.patient.tb_subtle else 1.0
    render = {"infiltrate": _infiltrate, "cavity": _cavity, "effusion": _effusion, "miliary": _miliary}
    return [
        render[focus.kind](child, anatomy, focus, contrast)
        for focus, child in zip(foci, rng.spawn(len(foci)), strict=True)
    ]


def _upper_patch(
    rng: np.random.Generator,
    chest: Chest,
    kind: str,
    side: int,
    half_x: tuple[float, float],
    half_y: tuple[float, float],
) -> Focus:
    wide, tall = float(rng.uniform(*half_x)), float(rng.uniform(*half_y))
    centre = chest.place(side * rng.uniform(52, 88), rng.uniform(34, 82) if kind != "cavity" else rng.uniform(40, 85))
    return Focus(kind, side, centre, (wide, tall))


def _patch(anatomy: Anatomy, focus: Focus, reach: float) -> tuple[Region, Image, Image, Image]:
    """Region around a focus, coordinates relative to its half axes, and how much each pixel belongs to the lung."""
    corners = np.array([[focus.centre[0] + i * reach * focus.half[0], focus.centre[1] + j * reach * focus.half[1]]
                        for i in (-1, 1) for j in (-1, 1)])  # fmt: skip
    region = anatomy.canvas.region_around(corners, 2.0)
    x, y = anatomy.canvas.patient_grid(region)
    u = (x - np.float32(focus.centre[0])) / np.float32(focus.half[0])
    v = (y - np.float32(focus.centre[1])) / np.float32(focus.half[1])
    return region, u, v, cropped(anatomy.inside_lung, region)


def cropped(coarse: Image, region: Region) -> Image:
    """Part of a coarse-grid image, brought to full resolution on a film region."""
    top, left = region.top // COARSE, region.left // COARSE
    bottom, right = -(-region.bottom // COARSE), -(-region.right // COARSE)
    full = enlarged(coarse[top:bottom, left:right], ((bottom - top) * COARSE, (right - left) * COARSE), cubic=False)
    rows, columns = region.shape
    first_row, first_column = region.top - top * COARSE, region.left - left * COARSE
    return full[first_row : first_row + rows, first_column : first_column + columns]


def _cloud(rng: np.random.Generator, anatomy: Anatomy, shape: tuple[int, int], u: Image, v: Image) -> Image:
    """Patchy consolidation with a vague outline, 0 to about 1.4."""
    cells = [size / anatomy.canvas.spacing_mm for size in (20.0, 10.0, 5.0, 2.5)]
    grain = texture(rng, shape, cells, fall=0.62)
    distance = np.sqrt(u * u + v * v) - 0.16 * grain
    consolidation: Image = (1 - smoothstep(0.25, 1.05, distance)) * np.clip(0.72 + 0.30 * grain, 0.10, 1.4)
    return consolidation


def _infiltrate(rng: np.random.Generator, anatomy: Anatomy, focus: Focus, contrast: float) -> Lesion:
    region, u, v, lung = _patch(anatomy, focus, 1.3)
    cloud = _cloud(rng, anatomy, region.shape, u, v)
    excess = cloud * lung * np.float32(rng.uniform(0.36, 0.52) * contrast)
    return _finished("infiltrate", "upper zone", region, excess, anatomy)


def _cavity(rng: np.random.Generator, anatomy: Anatomy, focus: Focus, contrast: float) -> Lesion:
    wide = 1.75
    region, u, v, lung = _patch(anatomy, focus, wide)
    radius = focus.half[0]
    wall = rng.uniform(3.2, 6.0) / radius
    grain = texture(rng, region.shape, [12 / anatomy.canvas.spacing_mm, 5 / anatomy.canvas.spacing_mm])
    distance = np.sqrt((u * u) * np.float32(rng.uniform(0.85, 1.2)) + v * v) * (1 + 0.05 * grain)
    outer = np.sqrt(np.maximum(1 - distance * distance, 0))
    inner = np.sqrt(np.maximum((1 - wall) ** 2 - distance * distance, 0))
    ring = blur((2 * radius * (outer - inner)).astype(np.float32), 0.5 / anatomy.canvas.spacing_mm)
    around = _cloud(rng, anatomy, region.shape, u / np.float32(1.6), v / np.float32(1.6))
    around *= smoothstep(0.75, 1.1, distance)
    excess = ring * np.float32(1.3 * LESION_PER_MM) + around * np.float32(0.24)
    lesion = _finished("cavity", "upper zone", region, excess * lung * np.float32(contrast), anatomy)
    return Lesion("tb", "cavity", "upper zone", round(2 * radius, 2), lesion.region, lesion.excess)


def _effusion(rng: np.random.Generator, anatomy: Anatomy, focus: Focus, contrast: float) -> Lesion:
    chest, canvas = anatomy.chest, anatomy.canvas
    outline = chest.lungs[focus.side]
    region = canvas.region_around(outline[outline[:, 1] > focus.centre[1] - focus.half[1] - 40 * chest.height], 1.0)
    x, y = canvas.patient_grid(region)
    lateral = np.clip((145 * chest.width - focus.side * x) / np.float32(120 * chest.width), 0, 1)
    # Fluid climbs the lateral wall: the meniscus sinks towards the midline.
    top = 284 * chest.height - focus.half[1] * (1 - 0.62 * (1 - np.exp(-lateral / np.float32(0.22))))
    fill = smoothstep(-6.0, 16.0, y - top.astype(np.float32)) * (focus.side * x > 0)
    strength = contrast * rng.uniform(0.8, 1.0)
    aerated = np.minimum(cropped(anatomy.aerated_mm, region), np.float32(130))
    near = smoothstep(0.05, 0.5, blur(cropped(anatomy.inside_lung, region), 4.0 / canvas.spacing_mm))
    excess = fill * aerated * near * np.float32(strength * LESION_PER_MM)
    return _finished("effusion", "left base" if focus.side == LEFT else "right base", region, excess, anatomy)


def _miliary(rng: np.random.Generator, anatomy: Anatomy, focus: Focus, contrast: float) -> Lesion:
    """Hundreds of foci of 1.4-3 mm over one lung, and the haze of those too small to tell apart."""
    outline = anatomy.chest.lungs[focus.side]
    region = anatomy.canvas.region_around(outline, 0.0)
    spacing = anatomy.canvas.spacing_mm
    low, high = outline.min(0), outline.max(0)
    count = int((high - low).prod() / rng.uniform(26, 34))
    total = np.zeros(region.shape, np.float32)
    places = anatomy.canvas.to_pixels(low + rng.random((count, 2)) * (high - low)) - (region.left, region.top)
    radii = rng.uniform(0.7, 1.5, count)
    reach = int(np.ceil(2.0 / spacing))
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    for (column, row), radius in zip(places, radii, strict=True):
        i, j = int(row), int(column)
        if not (reach <= i < region.shape[0] - reach and reach <= j < region.shape[1] - reach):
            continue
        squared = (offsets[:, None] + np.float32(i + 0.5 - row)) ** 2 + (offsets + np.float32(j + 0.5 - column)) ** 2
        bump = np.exp(squared * np.float32(-1.4 * (spacing / radius) ** 2))
        total[i - reach : i + reach + 1, j - reach : j + reach + 1] += bump * np.float32(0.095 + 0.07 * radius)
    lung = cropped(anatomy.inside_lung, region)
    _, y = anatomy.canvas.patient_grid(region)
    upper = 1.1 - 0.35 * smoothstep(60, 240, y)  # a little denser above
    excess = (total + np.float32(0.075)) * lung * upper * np.float32(contrast)
    return _finished("miliary", "left lung" if focus.side == LEFT else "right lung", region, excess, anatomy)


def _finished(kind: str, location: str, region: Region, excess: Image, anatomy: Anatomy) -> Lesion:
    lesion = trimmed(Lesion("tb", kind, location, 0.0, region, excess.astype(np.float32)), _FRINGE)
    longer = max(lesion.region.shape) * anatomy.canvas.spacing_mm
    return Lesion("tb", kind, location, round(longer, 2), lesion.region, lesion.excess)
