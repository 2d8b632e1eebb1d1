"""Outlines of one person's chest, in patient millimetres: what the films of that person have in common.

Proportions are those of an upright adult in full inspiration: a thoracic cage about 29 cm wide, the right dome at the
tenth posterior rib and 1-2 cm above the left one, a cardiothoracic ratio of 0.42-0.5.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.phantom.geometry import Points, mirrored, smooth_curve
from pipelines.phantom.plan import Patient, stream

LEFT, RIGHT = 1, -1
"""Sides of the patient by the sign of x."""


@dataclass(frozen=True)
class Rib:
    """One rib of one side.

    Attributes:
        posterior: centre line from the spine to the lateral wall ``[n, 2]``.
        anterior: centre line from the lateral wall to the costochondral junction ``[n, 2]``.
        half_height_mm: half of its height where it leaves the spine.
    """

    posterior: Points
    anterior: Points
    half_height_mm: float


@dataclass(frozen=True)
class Chest:
    """Outlines of one chest; see the module's docstring.

    Attributes:
        patient: whose chest it is.
        width: horizontal scale.
        height: vertical scale.
        lungs: outline of each lung by side, down to the posterior recess.
        domes: solid below each hemidiaphragm by side.
        heart: silhouette of the heart.
        mediastinum: silhouette of the great vessels, aortic knob included.
        body: silhouette of neck, shoulders and trunk.
        ribs: of both sides.
        vertebrae: centre ``[n, 2]`` of each vertebral body, first thoracic first.
        hila: (x, y) of each hilum by side.
        yaw_mm: how far the front of the chest is turned against the spine.
    """

    patient: Patient
    width: float
    height: float
    lungs: dict[int, Points]
    domes: dict[int, Points]
    heart: Points
    mediastinum: Points
    body: Points
    ribs: tuple[Rib, ...]
    vertebrae: Points
    hila: dict[int, tuple[float, float]]
    yaw_mm: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Scale a position of the average chest to this one."""
        return x * self.width, y * self.height


def build_chest(seed: int, patient: Patient, yaw_mm: float = 0.0) -> Chest:
    """Shape one person's chest.

    Args:
        seed: seed of the cohort.
        patient: the person.
        yaw_mm: how far the front of the chest is turned against the spine on this film.
    """
    rng = stream(seed, "chest", patient.number)
    scale = np.array([patient.width, patient.height])
    dome_drop = {RIGHT: rng.normal(0, 3), LEFT: 13 + rng.normal(0, 4)}
    heart_size = float(np.clip(rng.normal(1.0, 0.06), 0.88, 1.13))
    front = np.array([yaw_mm, 0.0])
    back = np.array([-0.4 * yaw_mm, 0.0])
    return Chest(
        patient=patient,
        width=patient.width,
        height=patient.height,
        lungs={side: _lung(side) * scale for side in (LEFT, RIGHT)},
        domes={side: _dome(side, dome_drop[side]) * scale for side in (LEFT, RIGHT)},
        heart=_heart(heart_size) * scale + front,
        mediastinum=_mediastinum(float(rng.uniform(-3, 4))) * scale + 0.5 * front,
        body=_body(patient.sex) * np.array([patient.width * (0.75 + 0.25 * patient.thickness), patient.height]),
        ribs=_ribs(rng, scale, front, back),
        vertebrae=_vertebrae() * scale + back,
        hila={
            RIGHT: (-40 * patient.width + 0.5 * yaw_mm, 112 * patient.height),
            LEFT: (42 * patient.width + 0.5 * yaw_mm, 101 * patient.height),
        },
        yaw_mm=yaw_mm,
    )


def _lung(side: int) -> Points:
    wall = smooth_curve(
        [
            (22, 285), (19, 240), (18, 180), (18, 130), (18, 80), (21, 40), (30, 13), (48, 0), (72, 6), (94, 27),
            (114, 62), (129, 105), (139, 155), (145, 205), (147, 250), (145, 288),
        ]
    )  # fmt: skip
    recess = smooth_curve([(145, 288), (110, 301), (65, 303), (22, 285)])
    outline = np.concatenate((wall, recess[1:-1]))
    return outline if side == LEFT else mirrored(outline)


def _dome(side: int, drop: float) -> Points:
    top = smooth_curve(
        [
            (0, 252 + 0.2 * drop), (22, 246 + 0.4 * drop), (48, 234 + 0.8 * drop), (78, 229 + drop),
            (108, 238 + drop / 1.3), (130, 257 + drop / 2), (142, 279), (147, 293),
        ]
    )  # fmt: skip
    outline = np.concatenate((top, [[160, 420], [0, 420]]))
    return outline if side == LEFT else mirrored(outline)


def _heart(size: float) -> Points:
    outline = smooth_curve(
        [
            (-22, 118), (-36, 138), (-45, 168), (-46, 202), (-39, 236), (-10, 258), (35, 264), (74, 262), (91, 249),
            (94, 229), (88, 203), (76, 177), (60, 153), (44, 132), (10, 112),
        ],
        closed=True,
    )  # fmt: skip
    middle = np.array([12.0, 200.0])
    return np.asarray((outline - middle) * np.array([size, 0.5 + 0.5 * size]) + middle, dtype=np.float64)


def _mediastinum(knob: float) -> Points:
    return smooth_curve(
        [
            (-24, -10), (-25, 20), (-27, 45), (-29, 75), (-30, 105), (-34, 130), (-30, 160), (25, 160), (43, 128),
            (40, 112), (34, 100), (37 + knob, 86), (39 + knob, 75), (33 + knob / 2, 62), (27, 48), (24, 20), (22, -10),
        ],
        closed=True,
    )  # fmt: skip


def _body(sex: str) -> Points:
    shoulder = 4.0 if sex == "M" else -2.0
    half = smooth_curve(
        [
            (56, -140), (55, -75), (62, -48), (100, -34), (150 + shoulder, -22), (192 + shoulder, -2), (228, 22),
            (290, 80), (340, 130),
        ]
    )  # fmt: skip
    flank = smooth_curve(
        [(310, 230), (250, 158), (205, 120), (184, 112), (173, 132), (170, 190), (168, 250), (166, 320), (170, 460)]
    )
    right_half = np.concatenate((half, flank))
    return np.concatenate((right_half, mirrored(right_half)[::-1]))


_RIB_HALF_WIDTH = (57, 89, 109, 122, 131, 137, 141, 144, 145, 143)
_RIB_DROP_BEHIND = (20, 30, 40, 48, 55, 60, 63, 64, 62, 58)
_RIB_DROP_BEFORE = (26, 34, 42, 48, 53, 57, 60, 62, 60, 55)
_RIB_FRONT_DEG = (148, 150, 146, 142, 138, 134, 130, 124, 116, 106)
"""Where the bony rib ends, as an angle around the chest from the spine."""


def _ribs(rng: np.random.Generator, scale: Points, front: Points, back: Points) -> tuple[Rib, ...]:
    ribs = []
    slope = rng.uniform(0.92, 1.08)
    for number, wide in enumerate(_RIB_HALF_WIDTH):
        level = _vertebra_height(number) - 4
        behind, before = slope * _RIB_DROP_BEHIND[number], slope * _RIB_DROP_BEFORE[number]
        for side in (LEFT, RIGHT):
            angle = np.deg2rad(np.linspace(np.rad2deg(np.arcsin(14 / wide)), 92, 35))
            rise = 5 * np.sin(np.clip(angle / np.deg2rad(66), 0, 1) * np.pi)
            posterior = np.stack((wide * np.sin(angle), level - rise + behind * (1 - np.cos(angle))), axis=1)
            angle = np.deg2rad(np.linspace(88, _RIB_FRONT_DEG[number], 31))
            anterior = np.stack((wide * np.sin(angle), level + behind - before * np.cos(angle) * 1.25), axis=1)
            flip = np.array([side, 1.0]) * scale
            turn = np.linspace(0, 1, len(posterior))[:, None]
            ribs.append(
                Rib(
                    posterior=posterior * flip + (1 - turn) * back,
                    anterior=anterior * flip + np.linspace(0, 1, len(anterior))[:, None] * front,
                    half_height_mm=float((4.6 + 0.12 * min(number, 6)) * rng.uniform(0.93, 1.07)),
                )
            )
    return tuple(ribs)


def _vertebra_height(number: int) -> float:
    """Height of the middle of a thoracic vertebra (0 = first); each is a little taller than the one above."""
    return -6.0 + 20.5 * number + 0.35 * number * number


def _vertebrae() -> Points:
    return np.array([[0.0, _vertebra_height(number)] for number in range(-5, 16)])
