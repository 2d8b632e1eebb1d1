"""What was added to a film: letters, markers near its edge and redaction boxes, found and filled in."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.picture_marks import Box, Mask, redaction_boxes, text_rows

Pixels = NDArray[np.float32]

_PURE: Final = 4
"""Grey values, of 255, within which an edge-blurred or recompressed box still counts as pure black or white."""
_RIM: Final = 0.16
"""Share of the sides of the content in which a single bright letter is a marker, not bone."""
_MARKER_SIDE: Final = (0.012, 0.09)
"""Height and width of a marker as a share of the longer side."""
_MARKER_LEVEL: Final = 235
"""Lead letters and printed ones are nearly white..."""
_MARKER_CONTRAST: Final = 70
"""...and brighter by this, of 255, than what lies around them."""
_STEP_SIDE: Final = 0.02
_MOST_OF_FILM: Final = 0.3
_STRAIGHT: Final = 0.92
"""Share of a white shape's outline that runs level or upright."""
_INPAINT_RADIUS: Final = 3.0


def mark_mask(pixels: Pixels, content: Box) -> Mask:
    """Mask of 0 and 1 over what was added to a film, a little wider than it.

    Args:
        pixels: float32 ``[rows, columns]`` in [0, 1].
        content: the film without its borders; only marks inside it count.
    """
    top, bottom, left, right = content
    film = np.ascontiguousarray(np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)[top:bottom, left:right])
    pure = film.copy()
    pure[film >= 255 - _PURE], pure[film <= _PURE] = 255, 0
    marks = redaction_boxes(pure) | _steps(pure) | text_rows(film) | _markers(film)
    reach = 2 * max(1, round(0.004 * max(film.shape))) + 1
    mask = np.zeros(pixels.shape, np.uint8)
    mask[top:bottom, left:right] = cv2.dilate(marks, np.ones((reach, reach), np.uint8))
    return mask


def fill(pixels: Pixels, mask: Mask) -> Pixels:
    """Paint masked pixels smoothly from their surroundings (Telea's fast marching); others stay to the bit."""
    if not mask.any():
        return pixels
    film = np.clip(pixels * 255 + 0.5, 0, 255).astype(np.uint8)
    painted: Any = cv2.inpaint(film, mask, _INPAINT_RADIUS, cv2.INPAINT_TELEA)
    return np.where(mask > 0, painted.astype(np.float32) / np.float32(255), pixels)


def _steps(pure: NDArray[np.uint8]) -> Mask:
    """Pure white shapes with level and upright edges only: boxes that touch, or stand on the film's edge."""
    marks = np.zeros(pure.shape, np.uint8)
    least = max(4.0, _STEP_SIDE * max(pure.shape))
    contours, _ = cv2.findContours((pure == 255).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        _, _, width, height = cv2.boundingRect(contour)
        if min(width, height) < least or width * height > _MOST_OF_FILM * pure.size:
            continue
        corners = cv2.approxPolyDP(contour, 2.0, closed=True)[:, 0, :].astype(np.float64)
        edges = np.abs(np.roll(corners, -1, axis=0) - corners)
        straight = edges.min(axis=1) <= 2
        if edges[straight].sum() >= _STRAIGHT * edges.sum():
            cv2.drawContours(marks, [contour], -1, (1,), cv2.FILLED)
    return marks


def _markers(film: NDArray[np.uint8]) -> Mask:
    """Single nearly white letters near the edge: side markers, a technician's initials."""
    marks = np.zeros(film.shape, np.uint8)
    rows, columns = film.shape
    longest = max(rows, columns)
    least, most = _MARKER_SIDE[0] * longest, _MARKER_SIDE[1] * longest
    contours, _ = cv2.findContours((film >= _MARKER_LEVEL).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        near = x + width < _RIM * columns or x > (1 - _RIM) * columns or y + height < _RIM * rows
        if not near or not least <= max(width, height) <= most or min(width, height) < 2:
            continue
        if x == 0 or y == 0 or x + width == columns or y + height == rows:
            continue  # an edge of bone or of the collimator
        ring = _ring(film, (y, y + height, x, x + width), max(3, round(0.01 * longest)))
        if _MARKER_LEVEL - float(np.percentile(ring, 75)) >= _MARKER_CONTRAST:
            marks[y : y + height, x : x + width] = 1
    return marks


def _ring(film: NDArray[np.uint8], box: Box, reach: int) -> NDArray[np.uint8]:
    """Grey values around a box, up to `reach` pixels from it."""
    top, bottom, left, right = box
    outer = slice(max(0, top - reach), bottom + reach), slice(max(0, left - reach), right + reach)
    around = np.ones(film[outer].shape, bool)
    inner_top, inner_left = top - outer[0].start, left - outer[1].start
    around[inner_top : inner_top + bottom - top, inner_left : inner_left + right - left] = False
    return film[outer][around]
