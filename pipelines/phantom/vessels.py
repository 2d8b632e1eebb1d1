"""Pulmonary vessels: trees that branch from the hila and taper towards the pleura."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from pipelines.phantom.chest import LEFT, RIGHT, Chest
from pipelines.phantom.geometry import Canvas, Image, Points, fill_fixed, fixed_point, mask_of, tube
from pipelines.phantom.plan import stream

FULL_SCALE: Final = 0.3
"""Attenuation (natural-log units) that an 8-bit layer's 255 stands for."""
_THINNEST_MM: Final = 0.42
_NEAR_PLEURA_MM: Final = 4.0
_SAMPLES: Final = 7
_BANDS: Final = ((1.0, 0.5), (0.75, 0.85), (0.4, 1.0))
"""Share of the radius and share of the thickness: a round section in three steps."""


@dataclass(frozen=True)
class Branches:
    """Vessel segments: centre lines ``[n, samples, 2]`` and radii ``[n, samples]``, patient millimetres."""

    centre: Points
    radius: Points


@dataclass(frozen=True)
class _Tips:
    """Where vessels go on growing: position ``[n, 2]``, heading ``[n]`` in radians, radius ``[n]`` in mm."""

    at: Points
    heading: Points
    radius: Points


def grow_vessels(seed: int, chest: Chest) -> tuple[Branches, Branches]:
    """Grow the arteries and the veins of both lungs.

    Args:
        seed: seed of the cohort.
        chest: whose lungs.
    """
    rng = stream(seed, "vessels", chest.patient.number)
    field = Canvas(360, 340, 1.0)
    distance = cv2.distanceTransform(mask_of(field, *chest.lungs.values()), cv2.DIST_L2, cv2.DIST_MASK_5)
    # Degrees below the horizontal and radius; vessels of the bases carry more blood than those of the apices.
    arteries = _stems(rng, chest, 0.0, ((-78, 2.2), (-48, 2.3), (-12, 2.5), (25, 3.0), (50, 3.5), (73, 3.7)))
    veins = _stems(rng, chest, 30.0, ((-62, 2.0), (-8, 2.3), (18, 2.8), (42, 3.0)))
    return _grow(rng, field, np.asarray(distance), arteries), _grow(rng, field, np.asarray(distance), veins)


def vessel_image(canvas: Canvas, trees: tuple[Branches, ...], per_mm: float) -> Image:
    """Excess line integral of vessels in lung.

    Args:
        canvas: grid to paint on.
        trees: sets of branches; sets add up where they cross.
        per_mm: attenuation of blood in excess of lung, per mm.

    Returns:
        float32 ``[rows, columns]``, natural-log units.
    """
    total = np.zeros(canvas.shape, np.float32)
    for tree in trees:
        layer = np.zeros(canvas.shape, np.uint8)
        peak = 2 * tree.radius.mean(axis=1) * per_mm * (255 / FULL_SCALE)
        strips = [
            (fixed_point(canvas.to_pixels(tube(tree.centre, share * tree.radius))), peak * thickness)
            for share, thickness in _BANDS
        ]
        outlines, values = (np.concatenate(parts) for parts in zip(*strips, strict=True))
        for place in np.argsort(values, kind="stable").tolist():  # the denser vessel shows where two meet
            fill_fixed(layer, outlines[place], float(values[place]))
        total += layer
    return total * np.float32(FULL_SCALE / 255)


def _stems(rng: np.random.Generator, chest: Chest, below: float, stems: tuple[tuple[float, float], ...]) -> _Tips:
    """First segments of one tree, from both hila."""
    at, heading, radius = [], [], []
    for side in (LEFT, RIGHT):
        x, y = chest.hila[side]
        for degrees, wide in stems:
            angle = np.deg2rad(degrees + rng.normal(0, 6))
            at.append((x * (0.92 if below == 0 else 0.55), y + below))
            heading.append(angle if side == LEFT else np.pi - angle)
            radius.append(wide * rng.uniform(0.9, 1.1))
    return _Tips(np.array(at), np.array(heading), np.array(radius))


def _grow(rng: np.random.Generator, field: Canvas, distance: Image, tips: _Tips) -> Branches:
    """Grow all vessels of a tree, generation by generation, until they are thin or near the pleura."""
    centres, radii = [], []
    while len(tips.at):
        count = len(tips.at)
        length = (9.0 + 6.5 * tips.radius) * rng.uniform(0.75, 1.3, count)
        along = np.linspace(0, 1, _SAMPLES)
        headings = tips.heading[:, None] + rng.normal(0, 0.24, count)[:, None] * along
        steps = np.stack((np.cos(headings), np.sin(headings)), axis=-1) * (length / (_SAMPLES - 1))[:, None, None]
        steps[:, 0] = 0
        centre = tips.at[:, None] + np.cumsum(steps, axis=1)
        pixel = np.clip(field.to_pixels(centre[:, -1]).astype(int), 0, (field.columns - 1, field.rows - 1))
        inside = distance[pixel[:, 1], pixel[:, 0]] > _NEAR_PLEURA_MM
        centres.append(centre)
        radii.append(tips.radius[:, None] * np.where(inside, 1.0, 0.7)[:, None] * (1 - 0.16 * along))
        tips = _fork(rng, centre[inside], headings[inside], tips.radius[inside])
    return Branches(np.concatenate(centres), np.concatenate(radii))


def _fork(rng: np.random.Generator, centre: Points, headings: Points, radius: Points) -> _Tips:
    """Each segment goes on in two, some with a side branch; the cubes of the radii add up (Murray's law)."""
    count = len(radius)
    turn = rng.choice((-1.0, 1.0), count)
    larger = rng.uniform(0.80, 0.92, count)
    at = np.concatenate((centre[:, -1], centre[:, -1], centre[:, _SAMPLES // 2]))
    heading = np.concatenate(
        (
            headings[:, -1] - turn * rng.uniform(0.08, 0.3, count),
            headings[:, -1] + turn * rng.uniform(0.4, 0.85, count),
            headings[:, 0] - turn * rng.uniform(0.5, 0.95, count),
        )
    )
    side = np.where(rng.random(count) < 0.4, 0.5, 0.0)
    wide = np.concatenate((0.84 * radius * larger, 0.84 * radius * (1 - larger**3) ** (1 / 3), side * radius))
    keep = wide >= _THINNEST_MM
    return _Tips(at[keep], heading[keep], wide[keep])
