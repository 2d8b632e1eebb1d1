"""One film made like the others: the same function for training and for use."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.display import shrink
from pipelines.imaging.geometry import BACKGROUND
from pipelines.imaging.harmonise.intensity import film_landmarks, standardise
from pipelines.imaging.harmonise.lungs import find_lungs
from pipelines.imaging.harmonise.marks import fill, mark_mask
from pipelines.imaging.harmonise.settings import Harmonisation
from pipelines.imaging.picture_marks import Box, content_box

Pixels = NDArray[np.float32]

_LEAST_SIDE: Final = 16
"""A crop has at least so many pixels a side."""
_BORDERS: Final = 3
_BLACK: Final = 0.02
"""Display values up to this are background or air: how much of it a film shows says nothing of its grey scale."""


class Harmonised(NamedTuple):
    """One film after the switches that are on."""

    pixels: Pixels
    """float32 ``[rows, columns]`` in [0, 1]: what is left of the film."""
    crop: tuple[float, float, float, float] | None = None
    """x0, y0, x1, y1 of what is left, as shares of the film's width and height; None for all of it."""
    lungs_found: bool | None = None
    """Whether the box around the lungs was found; None where nobody asked."""
    landmarks: tuple[float, ...] = ()
    """Percentiles of the box around the lungs, or of the film, before they were mapped; empty where none are."""


def harmonise(pixels: Pixels, settings: Harmonisation, *, site: str | None = None) -> Harmonised:
    """Make one film like those of other sources.

    Args:
        pixels: float32 ``[rows, columns]`` display values in [0, 1], upright; of `Harmonisation.read_side` pixels.
        settings: which switches are on.
        site: where the film comes from; one that the settings do not know is mapped by its own landmarks.
    """
    content = _content(pixels) if settings.border != "none" or _looks_inside(settings) else _whole(pixels)
    if settings.border != "none":
        pixels = _outside(fill(pixels, mark_mask(pixels, content)), content)
    lungs = _lung_box(pixels, content, settings) if _looks_inside(settings) else None
    landmarks: tuple[float, ...] = ()
    if settings.intensity != "none":
        landmarks = film_landmarks(_counted(pixels, lungs, content))
        known = settings.sites.get(site) if settings.intensity == "site" and site is not None else None
        pixels = standardise(pixels, known or landmarks)
    if lungs is not None and settings.lung_field == "mask":
        pixels = _outside(pixels, lungs)
    shape = pixels.shape
    pixels = shrink(pixels, settings.resolution)
    box = _crop(lungs, content, (0, shape[0], 0, shape[1]), settings)
    if box is None:
        return Harmonised(pixels, None, _said(lungs, settings), landmarks)
    top, bottom, left, right = _scaled(box, shape, pixels.shape)
    rows, columns = pixels.shape
    return Harmonised(
        np.ascontiguousarray(pixels[top:bottom, left:right]),
        (left / columns, top / rows, right / columns, bottom / rows),
        _said(lungs, settings),
        landmarks,
    )


def _content(pixels: Pixels) -> Box:
    """The film without its borders, one inside another: a black line around a white one around the film."""
    box = _whole(pixels)
    for _ in range(_BORDERS):
        top, bottom, left, right = content_box(pixels[_part(box)])
        inner = box[0] + top, box[0] + bottom, box[2] + left, box[2] + right
        if inner == box:
            break
        box = inner
    return box


def _counted(pixels: Pixels, lungs: Box | None, content: Box) -> NDArray[np.float32]:
    """What landmarks are taken from: the box around the lungs, or else all that is not black."""
    if lungs is not None:
        return pixels[_part(lungs)]
    inside = pixels[_part(content)]
    imaged = inside[inside > _BLACK]
    return imaged if len(imaged) else inside


def _looks_inside(settings: Harmonisation) -> bool:
    return settings.lung_field != "none" or settings.intensity != "none"


def _said(lungs: Box | None, settings: Harmonisation) -> bool | None:
    return None if settings.lung_field == "none" else lungs is not None


def _whole(pixels: Pixels) -> Box:
    return 0, pixels.shape[0], 0, pixels.shape[1]


def _part(box: Box) -> tuple[slice, slice]:
    return slice(box[0], box[1]), slice(box[2], box[3])


def _outside(pixels: Pixels, box: Box) -> Pixels:
    """Paint what lies outside a box with background."""
    painted = np.full_like(pixels, BACKGROUND)
    painted[_part(box)] = pixels[_part(box)]
    return painted


def _lung_box(pixels: Pixels, content: Box, settings: Harmonisation) -> Box | None:
    """Rows and columns of the lungs with their margin, within the content."""
    found = find_lungs(np.ascontiguousarray(pixels[_part(content)]))
    if found is None:
        return None
    first_row, last_row, first_column, last_column = content
    rows, columns = last_row - first_row, last_column - first_column
    down = settings.lung_margin * (found.bottom - found.top)
    across = settings.lung_margin * (found.right - found.left)
    box = (
        first_row + max(0, round((found.top - down) * rows)),
        first_row + min(rows, round((found.bottom + down) * rows)),
        first_column + max(0, round((found.left - across) * columns)),
        first_column + min(columns, round((found.right + across) * columns)),
    )
    return box if min(box[1] - box[0], box[3] - box[2]) >= _LEAST_SIDE else None


def _crop(lungs: Box | None, content: Box, whole: Box, settings: Harmonisation) -> Box | None:
    if lungs is not None and settings.lung_field == "crop":
        return lungs
    return content if settings.border == "crop" and content != whole else None


def _scaled(box: Box, shape: tuple[int, ...], small: tuple[int, ...]) -> Box:
    """A box on a film of one shape -> the nearest on the same film of another."""
    down, across = small[0] / shape[0], small[1] / shape[1]
    top, left = round(box[0] * down), round(box[2] * across)
    return top, max(top + 1, round(box[1] * down)), left, max(left + 1, round(box[3] * across))
