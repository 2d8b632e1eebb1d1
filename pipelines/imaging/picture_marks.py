"""What covers a film without being anatomy: uniform borders, burned-in text and markers, redaction boxes."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""First row, row behind the last, first column, column behind the last."""
Letter = tuple[int, int, int, int]
"""Left, top, width, height."""

_FLAT: Final = 0.04
"""A line of pixels is uniform where all but its outermost tenth or so lie within this range of grey..."""
_STRAY: Final = 0.06
"""...leaving out this share at each end, so that text on a border does not end it."""
_STEP: Final = 0.1
"""A border keeps the grey of the edge within this range."""
_LEAST_CONTENT: Final = 0.2
"""Where less of a side would remain, nothing is taken for a border."""
_INK: Final = 64
"""Least contrast of text with what lies behind it, of 255."""
_LETTER: Final = (0.008, 0.06)
"""Height of a letter as a share of the longer side."""
_ROW: Final = 3
"""So many letters beside each other make text; fewer are devices, ribs, or a marker."""
_MOST_LETTERS: Final = 300
"""A film with more specks of letter size is noise; the rest are not looked at."""
_BOX_SIDE: Final = 0.012
"""Least side of a redaction box as a share of the longer side."""


def content_box(pixels: NDArray[np.float32]) -> Box:
    """The film without the uniform rows and columns at its edges (collimation, padding).

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1].
    """
    rows, columns = pixels.shape
    top, bottom = _uniform_ends(pixels)
    left, right = _uniform_ends(pixels[top:bottom].T)
    more = _uniform_ends(pixels[top:bottom, left:right])  # a row may be uniform once bright columns beside it are gone
    top, bottom = top + more[0], top + more[1]
    if bottom - top < _LEAST_CONTENT * rows or right - left < _LEAST_CONTENT * columns:
        return 0, rows, 0, columns
    return top, bottom, left, right


def marked_share(pixels: NDArray[np.float32]) -> float:
    """Share of a film that text, markers and redaction boxes cover, each by its bounding box, 0-1.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1], its longer side at most 512.
    """
    film = np.ascontiguousarray(np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8))
    marks = redaction_boxes(film) | text_rows(film)
    return float(np.count_nonzero(marks) / marks.size)


def redaction_boxes(film: Bytes) -> Mask:
    """Rectangles of pure white or pure black with straight edges that do not span a side of the film: mask of 0, 1.

    White ones may lie at the film's edge; black ones there, or large ones, are air or collimation.
    """
    marks = np.zeros(film.shape, np.uint8)
    for level in (255, 0):
        solid: Any = cv2.morphologyEx((film == level).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        for left, top, width, height in _bounds(solid):
            if _is_box(film, level, (top, top + height, left, left + width)):
                marks[top : top + height, left : left + width] = 1
    return marks


def text_rows(film: Bytes) -> Mask:
    """Rows of letters, level or upright, bright on dark or dark on bright: mask of 0, 1 over their bounding boxes."""
    marks = np.zeros(film.shape, np.uint8)
    longest = max(film.shape)
    kernel = np.ones((2 * round(0.012 * longest) + 1,) * 2, np.uint8)
    for operation in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        ink = (np.asarray(cv2.morphologyEx(film, operation, kernel)) > _INK).astype(np.uint8)
        bounds = _bounds(ink)
        for left, top, right, bottom in _rows(_letters(bounds, longest)):
            marks[top:bottom, left:right] = 1
        for top, left, bottom, right in _rows(_letters([(y, x, high, wide) for x, y, wide, high in bounds], longest)):
            marks[top:bottom, left:right] = 1
    return marks


def _uniform_ends(pixels: NDArray[np.float32]) -> tuple[int, int]:
    """First row that is not uniform or not as grey as the edge, and the row behind the last such one.

    A film of like, uniform rows keeps them all.
    """
    if min(pixels.shape) < 2:
        return 0, len(pixels)
    ordered = np.sort(pixels, axis=1)
    length = pixels.shape[1]
    spread = ordered[:, min(length - 1, int((1 - _STRAY) * length))] - ordered[:, int(_STRAY * length)]
    middle = ordered[:, length // 2]
    first = np.flatnonzero((spread >= _FLAT) | (np.abs(middle - middle[0]) > _STEP))
    last = np.flatnonzero((spread >= _FLAT) | (np.abs(middle - middle[-1]) > _STEP))
    return (int(first[0]), int(last[-1]) + 1) if len(first) and len(last) else (0, len(pixels))


def _bounds(mask: Mask) -> list[Letter]:
    """Bounding boxes of the connected parts of a mask. Contours: five times as fast as labelling a sparse mask."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = [cv2.boundingRect(contour) for contour in contours]
    return [(int(left), int(top), int(width), int(height)) for left, top, width, height in found]


def _is_box(film: Bytes, level: int, box: Box) -> bool:
    top, bottom, left, right = box
    height, width = bottom - top, right - left
    rows, columns = film.shape
    if min(height, width) < max(3, _BOX_SIDE * max(rows, columns)) or height > 0.9 * rows or width > 0.9 * columns:
        return False  # a speck, or a border
    if level == 0 and height * width > 0.02 * rows * columns:
        return False
    if np.count_nonzero(film[top:bottom, left:right] == level) < (0.97 if level == 0 else 0.9) * height * width:
        return False
    beside = [
        film[top - 3, left:right] if top > 3 else None,
        film[bottom + 2, left:right] if bottom + 2 < rows else None,
        film[top:bottom, left - 3] if left > 3 else None,
        film[top:bottom, right + 2] if right + 2 < columns else None,
    ]
    edges = [float(np.mean(np.abs(side.astype(np.int16) - level) > 12)) for side in beside if side is not None]
    return len(edges) >= (4 if level == 0 else 2) and min(edges) > 0.8


def _letters(bounds: list[Letter], longest: int) -> list[Letter]:
    """Those of the size and shape of a letter."""
    least, most = max(4, _LETTER[0] * longest), _LETTER[1] * longest
    return [bound for bound in bounds if least <= bound[3] <= most and bound[2] <= 1.6 * bound[3]]


def _rows(letters: list[Letter]) -> list[Box]:
    """Left, top, right, bottom of letters that stand beside each other, of like height and on one line."""
    boxes = []
    left_over = sorted(letters)[:_MOST_LETTERS]
    while left_over:
        row = [left_over.pop(0)]
        for letter in list(left_over):
            if _continues(row[-1], letter):
                row.append(letter)
                left_over.remove(letter)
        if len(row) >= _ROW:
            right = max(left + width for left, _, width, _ in row)
            bottom = max(top + height for _, top, _, height in row)
            boxes.append((row[0][0], min(letter[1] for letter in row), right, bottom))
    return boxes


def _continues(last: Letter, letter: Letter) -> bool:
    """Whether a letter follows the last one of a row."""
    taller, lower = max(last[3], letter[3]), min(last[3], letter[3])
    gap = letter[0] - (last[0] + last[2])
    bottoms = abs((last[1] + last[3]) - (letter[1] + letter[3]))
    return lower >= 0.7 * taller and -1 <= gap <= taller and bottoms <= max(1, 0.2 * taller)
