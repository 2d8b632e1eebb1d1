"""Where lesions lie, and lung nodules.

Everything is drawn in patient millimetres from streams of the patient, so that both films of a patient show the same
lesion in the same place. A lesion is excess attenuation on a rectangle of pixels and exactly zero outside it: its box
is the bounding box of the pixels where that excess is above zero.
"""

from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantom.anatomy import LESION_PER_MM
from pipelines.phantom.bones import rib_mask
from pipelines.phantom.chest import LEFT, RIGHT, Chest
from pipelines.phantom.geometry import Canvas, Image, Region, blur, mask_of, smoothstep
from pipelines.phantom.plan import NodulePlan

NOISE_FLOOR: Final = 0.008
"""Excess attenuation (natural-log units) below which a lesion's fringe is cut off: it cannot be seen."""
SUBTLE: Final = 0.55
"""Contrast of a subtle lesion relative to a plain one."""
_NODULE_GAIN: Final = 2.0
"""Nodules are denser than a sphere of plain soft tissue, as much as scatter takes away again."""
_MAP = Canvas(200, 176, 2.0)
"""Grid on which lesions are placed: 2 mm pixels, no pose."""


@dataclass(frozen=True)
class Lesion:
    """One lesion on one film.

    Attributes:
        finding: ``tb`` or ``nodule``.
        kind: margin of a nodule (``soft``, ``spiculated``), or one of `plan.TB_KINDS`.
        location: ``free``, ``behind rib`` or ``behind heart`` for nodules; the zone or side for tuberculosis.
        diameter_mm: of the nodule's body or of the cavity; longer side of the box for the others.
        region: pixels it touches.
        excess: float32 of the region's shape, natural-log units, >= 0.
    """

    finding: str
    kind: str
    location: str
    diameter_mm: float
    region: Region
    excess: Image

    @property
    def box(self) -> tuple[float, float, float, float]:
        """``(x0, y0, x1, y1)`` in stored pixels, pixel-edge coordinates."""
        return (
            float(self.region.left),
            float(self.region.top),
            float(self.region.right),
            float(self.region.bottom),
        )


@dataclass(frozen=True)
class LesionMap:
    """Where in one chest a lesion may lie, on a 2 mm grid without pose.

    Attributes:
        lung: visible lung, the part in front of and behind the heart included.
        heart: part of the heart that overlies the left lung.
        ribs: ribs, front and back.
        taken: pixels where another lesion already is; changed as lesions are placed.
    """

    lung: NDArray[np.bool_]
    heart: NDArray[np.bool_]
    ribs: NDArray[np.bool_]
    taken: NDArray[np.bool_]


def lesion_map(chest: Chest) -> LesionMap:
    """Survey one chest for places where a lesion can lie."""
    lung = (mask_of(_MAP, *chest.lungs.values()) > 127) & (mask_of(_MAP, *chest.domes.values()) < 128)
    x, _ = _MAP.patient_grid()
    heart = (mask_of(_MAP, chest.heart) > 127) & lung & (x > 24 * chest.width)
    lung &= (mask_of(_MAP, chest.mediastinum) < 128) & ((mask_of(_MAP, chest.heart) < 128) | heart)
    return LesionMap(lung, heart, rib_mask(_MAP, chest) > 127, np.zeros(lung.shape, bool))


def place_nodule(
    rng: np.random.Generator, places: LesionMap, nodule: NodulePlan
) -> tuple[NodulePlan, tuple[float, float]]:
    """Find a place for one nodule and mark it as taken.

    Args:
        rng: source of randomness.
        places: what is left of the chest; changed.
        nodule: its size and wanted location.

    Returns:
        The nodule, its location corrected to what the chest allowed, and its centre in patient millimetres.
    """
    radius = nodule.diameter_mm / 2
    room = (
        np.asarray(cv2.distanceTransform((places.lung & ~places.taken).view(np.uint8), cv2.DIST_L2, 5))
        * _MAP.spacing_mm
    )
    covered = _disc_mean(places.ribs, radius)
    in_heart = _disc_mean(places.heart, radius)
    wanted = {
        "behind heart": in_heart > 0.85,
        "behind rib": (covered > 0.55) & (in_heart < 0.05),
        "free": (covered < 0.45) & (in_heart < 0.05),
    }
    for location in (nodule.location, "free", "behind rib", "behind heart"):
        allowed = wanted[location] & (room > radius + 2)
        if allowed.any():
            break
    else:
        allowed = room >= min(float(room.max()), radius)
        location = "free"
    rows, columns = np.nonzero(allowed)
    pick = int(rng.integers(len(rows)))
    centre = _to_patient(rows[pick] + rng.random(), columns[pick] + rng.random())
    x, y = _MAP.patient_grid()
    places.taken[np.hypot(x - centre[0], y - centre[1]) < radius + 4] = True
    return replace(nodule, location=location), centre


def render_nodule(
    rng: np.random.Generator, canvas: Canvas, nodule: NodulePlan, centre: tuple[float, float], contrast: float
) -> Lesion:
    """Render one nodule.

    Args:
        rng: source of randomness for its shape.
        canvas: the film's grid.
        nodule: size, margin and density.
        centre: patient millimetres.
        contrast: factor on its density.
    """
    radius = nodule.diameter_mm / 2
    region = canvas.region_around(np.array([centre]), 1.9 * radius + 2)
    x, y = canvas.patient_grid(region)
    u, v = x - np.float32(centre[0]), y - np.float32(centre[1])
    distance, angle = np.hypot(u, v), np.arctan2(v, u)
    lobes = _lobes(rng, angle, 0.035 if not nodule.spiculated else 0.07)
    relative = distance / (np.float32(radius) * lobes)
    body = np.sqrt(np.maximum(1 - relative * relative, 0.0))
    if nodule.spiculated:
        body = np.maximum(body, _spicules(rng, relative, angle))
    thickness = 2 * np.float32(radius) * blur(body.astype(np.float32), 0.35 / canvas.spacing_mm)
    gain = _NODULE_GAIN * nodule.density * contrast * (12 / radius) ** 0.6  # small ones that are seen at all are dense
    excess = thickness * np.float32(LESION_PER_MM * gain)
    kind = "spiculated" if nodule.spiculated else "soft"
    return trimmed(Lesion("nodule", kind, nodule.location, nodule.diameter_mm, region, excess))


def trimmed(lesion: Lesion, floor: float = NOISE_FLOOR) -> Lesion:
    """Cut off what cannot be seen of a lesion, and its region to the box of what is left.

    Args:
        lesion: as rendered.
        floor: excess attenuation subtracted everywhere, natural-log units; smooth, so that no edge appears.
    """
    excess = np.maximum(lesion.excess - np.float32(floor), 0.0).astype(np.float32)
    rows, columns = np.nonzero(excess.any(axis=1))[0], np.nonzero(excess.any(axis=0))[0]
    assert len(rows), f"a {lesion.kind} lesion of {lesion.diameter_mm} mm left no trace on the film"
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    where = lesion.region
    region = Region(where.top + top, where.left + left, where.top + bottom, where.left + right)
    return replace(lesion, region=region, excess=excess[top:bottom, left:right])


def reserve(places: LesionMap, centre: tuple[float, float], radius_mm: float) -> None:
    """Keep later lesions out of a disc around ``centre`` (patient millimetres)."""
    x, y = _MAP.patient_grid()
    places.taken[np.hypot(x - centre[0], y - centre[1]) < radius_mm] = True


def _to_patient(row: float, column: float) -> tuple[float, float]:
    x = (column - _MAP.columns / 2) * _MAP.spacing_mm
    y = (row - _MAP.rows / 2) * _MAP.spacing_mm + _MAP.middle_mm
    return float(x), float(y)


def _disc_mean(mask: NDArray[np.bool_], radius_mm: float) -> Image:
    reach = max(1, int(np.ceil(radius_mm / _MAP.spacing_mm)))
    offsets = np.arange(-reach, reach + 1) * _MAP.spacing_mm
    disc = (np.hypot(offsets[:, None], offsets[None, :]) <= max(radius_mm, _MAP.spacing_mm)).astype(np.float32)
    return np.asarray(cv2.filter2D(mask.astype(np.float32), -1, disc / disc.sum()), dtype=np.float32)


def _lobes(rng: np.random.Generator, angle: Image, strength: float) -> Image:
    """Radius relative to a circle's, at each angle; its mean is 1."""
    shape = np.ones_like(angle)
    for order in (2, 3, 5):
        shape += np.float32(strength * rng.normal() / order**0.5) * np.cos(
            order * angle + np.float32(rng.uniform(0, 6.3))
        )
    return np.clip(shape, 0.85, 1.15)


def _spicules(rng: np.random.Generator, relative: Image, angle: Image) -> Image:
    """Thin rays from the surface outwards, 0-1."""
    rays = np.zeros_like(relative)
    for base in np.linspace(0, 2 * np.pi, int(rng.integers(11, 17)), endpoint=False):
        direction, reach = base + rng.normal(0, 0.12), rng.uniform(1.25, 1.7)
        off = np.abs(np.angle(np.exp(1j * (angle - direction)))).astype(np.float32) * relative
        wide = np.float32(rng.uniform(0.06, 0.11)) * np.clip((reach - relative) / (reach - 0.6), 0, 1)
        rays = np.maximum(rays, 0.42 * (1 - smoothstep(0.5, 1.2, off / np.maximum(wide, 1e-3))) * (wide > 1e-3))
    return np.where(relative > 0.5, rays, 0).astype(np.float32)


__all__ = [
    "LEFT",
    "NOISE_FLOOR",
    "RIGHT",
    "SUBTLE",
    "Lesion",
    "LesionMap",
    "lesion_map",
    "place_nodule",
    "render_nodule",
    "reserve",
    "trimmed",
]
