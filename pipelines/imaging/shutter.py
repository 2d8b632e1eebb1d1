"""The part of a DICOM film that its shutters and collimator leave open.

Edges, centres and vertices count stored pixels from 1 at the upper left; the pixels they name are inside. Several
shapes are combined: what lies inside all of them is film. A shape that cannot be meant (an edge missing, edges the
wrong way round, nothing of the picture inside) is passed over, and so are all of them together where they leave next
to nothing: showing too much of a film costs little, hiding it could cost a finding.

Source: DICOM PS3.3, C.7.6.11 (display shutter), C.8.7.3 (X-ray collimator).
"""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.imaging import tags
from pipelines.imaging.elements import Elements

Mask = NDArray[np.bool_]
Size = tuple[int, int]

MIN_OPEN: Final = 0.05
"""Least part of a film that shutters leave open; those that leave less are not believed."""
MIN_COLLIMATED: Final = 0.25
"""Least part of a chest film that a collimator leaves open; computed radiography has been seen to write its edges in
other units and from the middle of the plate (-184 to 184), which would hide nearly all of a good film."""

_MAX_VERTICES: Final = 1024  # a collimator has four leaves; time grows with rows times vertices
_MAX_POSITION: Final = 1 << 17  # twice the largest Rows or Columns; positions beyond it say the same as it
_FRACTION_BITS: Final = 6  # of a pixel, in the polygons of pictures decoded smaller than stored


class _Shutter(NamedTuple):
    """The tags of one module."""

    shape: int
    left: int
    right: int
    upper: int
    lower: int
    center: int
    radius: int
    vertices: int


_DISPLAY: Final = _Shutter(
    tags.SHUTTER_SHAPE,
    tags.SHUTTER_LEFT_VERTICAL_EDGE,
    tags.SHUTTER_RIGHT_VERTICAL_EDGE,
    tags.SHUTTER_UPPER_HORIZONTAL_EDGE,
    tags.SHUTTER_LOWER_HORIZONTAL_EDGE,
    tags.CENTER_OF_CIRCULAR_SHUTTER,
    tags.RADIUS_OF_CIRCULAR_SHUTTER,
    tags.VERTICES_OF_THE_POLYGONAL_SHUTTER,
)
_COLLIMATOR: Final = _Shutter(
    tags.COLLIMATOR_SHAPE,
    tags.COLLIMATOR_LEFT_VERTICAL_EDGE,
    tags.COLLIMATOR_RIGHT_VERTICAL_EDGE,
    tags.COLLIMATOR_UPPER_HORIZONTAL_EDGE,
    tags.COLLIMATOR_LOWER_HORIZONTAL_EDGE,
    tags.CENTER_OF_CIRCULAR_COLLIMATOR,
    tags.RADIUS_OF_CIRCULAR_COLLIMATOR,
    tags.VERTICES_OF_THE_POLYGONAL_COLLIMATOR,
)


class _Grid:
    """The pixels of a decoded picture, placed among the stored ones."""

    def __init__(self, stored: Size, shape: Size) -> None:
        self.shape = shape
        self.scale = shape[0] / stored[0], shape[1] / stored[1]
        # Stored positions of pixel centres: 1, 2, ... where all pixels are decoded; 1.5, 3.5, ... at half resolution.
        self.rows = (np.arange(shape[0]) + 0.5) / self.scale[0] + 0.5
        self.columns = (np.arange(shape[1]) + 0.5) / self.scale[1] + 0.5

    def index(self, position: float, axis: int) -> float:
        """Where a stored position lies, in decoded pixels from 0."""
        return (position - 0.5) * self.scale[axis] - 0.5


def film_area(header: Elements, stored: Size, shape: Size | None = None) -> Mask | None:
    """Which pixels of a film lie inside its display shutters and collimator.

    Args:
        header: of the film, with the tags of `tags.DISPLAY`.
        stored: (Rows, Columns).
        shape: (rows, columns) of the matrix as decoded, where that is smaller; its pixel belongs to the film where
            its centre does.

    Returns:
        bool, of the decoded size, True inside; None where the header closes nothing off, or nothing that can be
        believed.
    """
    grid = _Grid(stored, shape or stored)
    shuttered = _believed(_open(header, _DISPLAY, grid), MIN_OPEN)
    collimated = _believed(_open(header, _COLLIMATOR, grid), MIN_COLLIMATED)
    if shuttered is None or collimated is None:
        return collimated if shuttered is None else shuttered
    return _believed(shuttered & collimated, MIN_OPEN)


def _open(header: Elements, shutter: _Shutter, grid: _Grid) -> Mask | None:
    """What lies inside all usable shapes of one module."""
    area: Mask | None = None
    shapes = {text.upper() for text in header.texts(shutter.shape)}
    for name, inside in (("RECTANGULAR", _rectangle), ("CIRCULAR", _circle), ("POLYGONAL", _polygon)):
        mask = inside(header, shutter, grid) if name in shapes else None
        if mask is not None and mask.any():
            area = mask if area is None else area & mask
    return area


def _believed(area: Mask | None, least: float) -> Mask | None:
    if area is None or area.all() or np.count_nonzero(area) < least * area.size:
        return None
    return area


def _numbers(header: Elements, tag: int) -> tuple[float, ...]:
    """Positions, none beyond `_MAX_POSITION`; empty where one of them is no number."""
    values = header.numbers(tag)
    if not all(math.isfinite(value) for value in values):
        return ()
    return tuple(min(max(value, -_MAX_POSITION), _MAX_POSITION) for value in values)


def _rectangle(header: Elements, shutter: _Shutter, grid: _Grid) -> Mask | None:
    edges = [_numbers(header, tag) for tag in (shutter.left, shutter.right, shutter.upper, shutter.lower)]
    if not all(edges):
        return None
    left, right, upper, lower = (edge[0] for edge in edges)
    rows = (grid.rows >= upper - 0.5) & (grid.rows <= lower + 0.5)
    columns = (grid.columns >= left - 0.5) & (grid.columns <= right + 0.5)
    return None if left >= right or upper >= lower else np.asarray(rows[:, None] & columns)


def _circle(header: Elements, shutter: _Shutter, grid: _Grid) -> Mask | None:
    center, radius = _numbers(header, shutter.center), _numbers(header, shutter.radius)
    if len(center) != 2 or not radius or radius[0] <= 0:
        return None
    down, across = (grid.rows - center[0]) ** 2, (grid.columns - center[1]) ** 2
    return np.asarray(across <= radius[0] ** 2 - down[:, None])


def _polygon(header: Elements, shutter: _Shutter, grid: _Grid) -> Mask | None:
    values = _numbers(header, shutter.vertices)
    if len(values) < 6 or len(values) % 2 or len(values) > 2 * _MAX_VERTICES:
        return None
    one = 1 << _FRACTION_BITS
    corners = [
        (round(grid.index(column, 1) * one), round(grid.index(row, 0) * one))
        for row, column in zip(values[::2], values[1::2], strict=True)
    ]
    canvas = np.zeros(grid.shape, dtype=np.uint8)
    cv2.fillPoly(canvas, [np.array(corners, dtype=np.int32)], 1, shift=_FRACTION_BITS)
    return np.asarray(canvas, dtype=bool)
