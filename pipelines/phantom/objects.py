"""What else lies on a film and is no disease: devices, markers, buttons, scars, nipples, collimation.

Drawn on positive and negative films alike. Scars are calcified, 1.5-3.5 mm and much denser than a nodule of any size;
nipples come in pairs below the middle of the chest; buttons and electrodes have sharp edges and a midline or wires.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.phantom.anatomy import SOFT_TISSUE_PER_MM, Anatomy
from pipelines.phantom.chest import LEFT, RIGHT
from pipelines.phantom.geometry import Canvas, Image, Layer, Points, fill, smooth_curve, tube
from pipelines.phantom.plan import FilmPlan, stream

FULL_SCALE: Final = 3.0
"""Attenuation (natural-log units) that an 8-bit layer's 255 stands for."""


def add_objects(plan: FilmPlan, anatomy: Anatomy, attenuation: Image) -> None:
    """Add the attenuation of everything on the film that is neither anatomy nor disease, in place.

    Args:
        plan: the film.
        anatomy: its healthy anatomy.
        attenuation: float32 ``[rows, columns]``, changed.
    """
    paint = {"pacemaker": _pacemaker, "central line": _central_line, "ecg leads": _ecg_leads, "buttons": _buttons,
             "necklace": _necklace, "granulomas": _granulomas, "nipples": _nipples}  # fmt: skip
    names = [name for name in plan.distractors if name in paint]
    if not names:
        return
    layer = np.zeros(anatomy.canvas.shape, np.uint8)
    for name in names:
        # Devices and scars stay with the patient; what is worn changes from film to film.
        lasting = name in ("pacemaker", "granulomas", "nipples")
        rng = stream(plan.seed, name, plan.patient.number if lasting else plan.index)
        painted = np.zeros_like(layer)
        paint[name](rng, anatomy, painted)
        np.maximum(layer, painted, out=layer)
    attenuation += layer * np.float32(FULL_SCALE / 255)


def mark_film(plan: FilmPlan, anatomy: Anatomy, display: Image) -> None:
    """Add collimation, the side marker and the burned-in word SYNTHETIC to display values, in place.

    Args:
        plan: the film.
        anatomy: its healthy anatomy: nothing is put over the lungs.
        display: float32 ``[rows, columns]``, dense is bright; changed.
    """
    rng = stream(plan.seed, "marks", plan.index)
    if "collimation" in plan.distractors:
        _collimate(rng, anatomy, display)
    if "side marker" in plan.distractors:
        _side_marker(rng, anatomy.canvas, display)
    _burn_in(anatomy.canvas, display)


def _level(attenuation: float) -> float:
    return min(255.0, 255 * attenuation / FULL_SCALE)


def _disc(centre: tuple[float, float], radius: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    return np.stack((centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)), axis=1)


def _wire(canvas: Canvas, layer: Layer, points: list[tuple[float, float]], radius: float, density: float) -> None:
    fill(layer, canvas.to_pixels(tube(smooth_curve(points, 16), np.float64(radius))), _level(density))


def _pacemaker(rng: np.random.Generator, anatomy: Anatomy, layer: Layer) -> None:
    canvas, chest = anatomy.canvas, anatomy.chest
    side = LEFT if rng.random() < 0.85 else RIGHT
    x, y = chest.place(side * rng.uniform(98, 112), rng.uniform(42, 58))
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    power = 0.55  # a rounded square
    cos, sin = np.cos(angle), np.sin(angle)
    shape = np.stack((24 * np.sign(cos) * np.abs(cos) ** power, 20 * np.sign(sin) * np.abs(sin) ** power), axis=1)
    fill(layer, canvas.to_pixels(shape + np.array([x, y])), _level(2.1))
    fill(layer, canvas.to_pixels(shape * (0.86, 0.55) + (x, y + 6)), _level(2.8))
    fill(layer, canvas.to_pixels(shape * (0.8, 0.18) + (x, y - 15)), _level(0.9))
    lead = [(x, y - 18), (x - side * 30, y - 30), (side * 30.0, 28.0), (-18.0, 66.0), (-28.0, 128.0)]
    _wire(canvas, layer, [*lead, (-20.0, 190.0), (24.0, 228.0), (58.0, 236.0)], 0.8, 1.6)
    _wire(canvas, layer, [*lead, (-34.0, 160.0), (-26.0, 176.0)], 0.8, 1.6)


def _central_line(rng: np.random.Generator, anatomy: Anatomy, layer: Layer) -> None:
    depth = rng.uniform(105, 145)
    start = [(-62.0, -60.0), (-34.0, -22.0), (-22.0, 14.0)] if rng.random() < 0.6 else [(-120.0, 8.0), (-60.0, 14.0)]
    _wire(anatomy.canvas, layer, [*start, (-19.0, 55.0), (-22.0, depth)], 0.65, 0.6)


def _ecg_leads(rng: np.random.Generator, anatomy: Anatomy, layer: Layer) -> None:
    canvas, chest = anatomy.canvas, anatomy.chest
    for x, y in ((-112, 34), (110, 32), (-118, 232), (122, 238))[: int(rng.integers(2, 5))]:
        centre = (x * chest.width + rng.normal(0, 5), y * chest.height + rng.normal(0, 6))
        out = 1 if x > 0 else -1
        bend = [(centre[0] + out * 24, centre[1] + 50 + rng.normal(0, 8)), (centre[0] + out * 60, centre[1] + 75)]
        _wire(canvas, layer, [centre, (centre[0] + out * 6, centre[1] + 20), *bend], 0.6, 0.9)
        fill(layer, canvas.to_pixels(_disc(centre, 7.5)), _level(0.12))
        fill(layer, canvas.to_pixels(_disc(centre, 4.6)), _level(1.5))
        fill(layer, canvas.to_pixels(_disc(centre, 2.0)), _level(2.6))


def _buttons(rng: np.random.Generator, anatomy: Anatomy, layer: Layer) -> None:
    x, radius, density = rng.uniform(-9, 9), rng.uniform(4.5, 6.0), rng.uniform(0.25, 0.5)
    for y in np.arange(rng.uniform(5, 40), 300, rng.uniform(62, 85)):
        centre = (x + rng.normal(0, 2), y)
        fill(layer, anatomy.canvas.to_pixels(_disc(centre, radius)), _level(density))
        fill(layer, anatomy.canvas.to_pixels(_disc(centre, radius - 1.2)), _level(0.75 * density))
        for i, j in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            hole = _disc((centre[0] + 1.3 * i, centre[1] + 1.3 * j), 0.75)
            fill(layer, anatomy.canvas.to_pixels(hole), 0)


def _necklace(rng: np.random.Generator, anatomy: Anatomy, layer: Layer) -> None:
    low = rng.uniform(30, 62)
    curve = smooth_curve([(-52, -44), (-40, -8), (-20, low - 8), (0, low), (20, low - 8), (40, -8), (52, -44)], 12)
    for point in curve[::2]:
        fill(layer, anatomy.canvas.to_pixels(_disc((float(point[0]), float(point[1])), 0.8)), _level(1.8))


def _granulomas(rng: np.random.Generator, anatomy: Anatomy, layer: Layer) -> None:
    chest = anatomy.chest
    for _ in range(int(rng.integers(1, 4))):
        side = float(rng.choice((LEFT, RIGHT)))
        centre = chest.place(side * rng.uniform(45, 105), rng.uniform(45, 190))
        radius = rng.uniform(0.75, 1.75)
        fill(layer, anatomy.canvas.to_pixels(_disc(centre, radius)), _level(rng.uniform(0.32, 0.6)))


def _nipples(rng: np.random.Generator, anatomy: Anatomy, layer: Layer) -> None:
    chest = anatomy.chest
    x, y = (86, 236) if chest.patient.sex == "F" else (96, 205)
    radius, height = rng.uniform(3.4, 4.6), rng.uniform(4, 7)
    for side in (LEFT, RIGHT):
        centre = chest.place(side * (x + rng.normal(0, 2)), y + rng.normal(0, 2))
        for share in (1.0, 0.8, 0.55):
            level = height * SOFT_TISSUE_PER_MM * (1.15 - 0.5 * share)
            fill(layer, anatomy.canvas.to_pixels(_disc(centre, radius * share)), _level(level))


def _collimate(rng: np.random.Generator, anatomy: Anatomy, display: Image) -> None:
    """Shutters: black, or the grey of scatter behind lead; they never reach the lungs."""
    rows, columns = anatomy.canvas.shape
    lungs = anatomy.canvas.to_pixels(np.concatenate(list(anatomy.chest.lungs.values())))
    (left, top), (right, bottom) = lungs.min(0), lungs.max(0)
    room = (top, rows - bottom, left, columns - right)
    margin = 4 / anatomy.canvas.spacing_mm
    widths = [int(max(0.0, min(rng.uniform(0.0, 0.06) * rows, space - margin))) for space in room]
    value = 1.05 if rng.random() < 0.4 else -0.2
    display[: widths[0]] = value
    display[rows - widths[1] :] = value
    display[:, : widths[2]] = value
    display[:, columns - widths[3] :] = value


def _side_marker(rng: np.random.Generator, canvas: Canvas, display: Image) -> None:
    """A lead letter at the shoulder of its side."""
    left = rng.random() < 0.5
    height = rng.uniform(9, 13) / canvas.spacing_mm
    stencil = _letters("L" if left else "R", height)
    inset = (rng.uniform(0.085, 0.11) * canvas.columns, rng.uniform(0.068, 0.085) * canvas.rows)
    column = canvas.columns - inset[0] - stencil.shape[1] if left else inset[0]
    _put(display, stencil, int(inset[1]), int(column), 1.15)


def _burn_in(canvas: Canvas, display: Image) -> None:
    height = 4.2 / canvas.spacing_mm
    stencil = _letters("SYNTHETIC", height)
    row, column = canvas.rows - stencil.shape[0] - int(0.8 * height), int(height)
    border = int(0.35 * height)
    display[row - border : row + stencil.shape[0] + border, column - border : column + stencil.shape[1] + border] = -0.1
    _put(display, stencil, row, column, 1.1)


def _letters(text: str, height_px: float) -> NDArray[np.float32]:
    """Text as a stencil, 0-1, about ``height_px`` tall."""
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(height_px / 7))
    scale = height_px / 22
    (wide, tall), below = cv2.getTextSize(text, font, scale, thick)
    stencil = np.zeros((tall + below + thick, wide + thick), np.uint8)
    cv2.putText(stencil, text, (thick // 2, tall + thick // 2), font, scale, 255, thick, cv2.LINE_AA)
    return stencil.astype(np.float32) * np.float32(1 / 255)


def _put(display: Image, stencil: NDArray[np.float32], row: int, column: int, value: float) -> None:
    target = display[row : row + stencil.shape[0], column : column + stencil.shape[1]]
    target += (np.float32(value) - target) * stencil[: target.shape[0], : target.shape[1]]
