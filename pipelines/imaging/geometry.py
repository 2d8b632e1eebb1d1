"""Fit films into squares and pictures, and carry points and boxes there and back.

Coordinates are continuous, at pixel edges: x to the right, y down, (0, 0) the upper left corner of the upper left
pixel, (columns, rows) the lower right corner of the last. *Stored* coordinates are those of the matrix in the file;
pictures are upright.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.imaging.orientation import UPRIGHT, Coordinate, Orientation

Pixels = NDArray[np.float32]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""

BACKGROUND: Final = 0.0


@dataclass(frozen=True)
class Placement:
    """Where a film lies inside a square: as large as fits, aspect kept, centred, the padding in whole pixels.

    Attributes:
        rows: height of the stored film.
        columns: its width.
        size: side of the square.
        top: rows of padding above the film.
        left: columns of padding to its left.
        height: rows of the square that the film covers.
        width: columns of the square that it covers.
        orientation: what turns the stored film upright, as it lies in the square.
        crop: the part of the film that is shown, x0, y0, x1, y1 in pixels of the upright film; None for all of it.
    """

    rows: int
    columns: int
    size: int
    top: int
    left: int
    height: int
    width: int
    orientation: Orientation = UPRIGHT
    crop: Box | None = None

    @classmethod
    def fit(
        cls, rows: int, columns: int, size: int, orientation: Orientation = UPRIGHT, crop: Box | None = None
    ) -> "Placement":
        """Place a film of `rows` x `columns` stored pixels, or part of it, into a square of `size` (all at least 1)."""
        assert min(rows, columns, size) >= 1, f"sides must be at least 1, got {rows} x {columns} into {size}"
        shown: tuple[float, float] = orientation.shape(rows, columns)
        if crop is not None:
            shown = crop[3] - crop[1], crop[2] - crop[0]
        height, width = scaled_shape(shown[0], shown[1], size)
        return cls(rows, columns, size, (size - height) // 2, (size - width) // 2, height, width, orientation, crop)

    @property
    def whole(self) -> "Placement":
        """Where all of the film would lie."""
        return Placement.fit(self.rows, self.columns, self.size, self.orientation)

    @property
    def shown(self) -> Box:
        """The part of the upright film that lies in the square: x0, y0, x1, y1 in its pixels."""
        rows, columns = self.upright_shape
        return (0.0, 0.0, float(columns), float(rows)) if self.crop is None else self.crop

    @property
    def upright_shape(self) -> tuple[int, int]:
        """Rows and columns of the film as it stands."""
        return self.orientation.shape(self.rows, self.columns)

    def to_square(self, x: Coordinate, y: Coordinate) -> tuple[Coordinate, Coordinate]:
        """Stored coordinates -> coordinates in the square."""
        x, y = self.orientation.to_upright(x, y, rows=self.rows, columns=self.columns)
        x0, y0, x1, y1 = self.shown
        return self.left + (x - x0) * self.width / (x1 - x0), self.top + (y - y0) * self.height / (y1 - y0)

    def to_stored(self, x: Coordinate, y: Coordinate) -> tuple[Coordinate, Coordinate]:
        """Coordinates in the square -> stored coordinates (outside the film where the padding is)."""
        x0, y0, x1, y1 = self.shown
        x, y = x0 + (x - self.left) * (x1 - x0) / self.width, y0 + (y - self.top) * (y1 - y0) / self.height
        return self.orientation.to_stored(x, y, rows=self.rows, columns=self.columns)

    def to_picture(self, x: float, y: float, shape: tuple[int, ...]) -> tuple[float, float]:
        """Stored coordinates -> coordinates in an upright picture of the film of (rows, columns) `shape`."""
        x, y = self.orientation.to_upright(x, y, rows=self.rows, columns=self.columns)
        rows, columns = self.upright_shape
        return x * shape[1] / columns, y * shape[0] / rows

    def box_to_square(self, box: Box) -> Box:
        """A box in stored coordinates -> the same box in the square."""
        x0, y0 = self.to_square(box[0], box[1])
        x1, y1 = self.to_square(box[2], box[3])
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def to_square(pixels: Pixels, place: Placement | int) -> Pixels:
    """Resize a film into a square.

    Args:
        pixels: upright display values ``[rows, columns]``, of any resolution.
        place: where the film lies (`Radiograph.placement`); or the side of the square in pixels, for pixels that are
            all of the film there is.

    Returns:
        float32 ``[size, size]``, background 0.
    """
    if isinstance(place, int):
        place = Placement.fit(pixels.shape[0], pixels.shape[1], place)
    square = np.full((place.size, place.size), BACKGROUND, dtype=np.float32)
    square[place.top : place.top + place.height, place.left : place.left + place.width] = _resize(
        pixels, place.height, place.width
    )
    return square


def to_longest(pixels: Pixels, longest: int) -> Pixels:
    """Resize display values ``[rows, columns]`` so that the longer side has `longest` pixels, aspect kept."""
    height, width = scaled_shape(pixels.shape[0], pixels.shape[1], longest)
    return _resize(pixels, height, width)


def scaled_shape(rows: float, columns: float, longest: int) -> tuple[int, int]:
    """Rows and columns of a film when its longer side has `longest` pixels, aspect kept."""
    scale = longest / max(rows, columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Area average where the picture shrinks (no aliasing), bilinear where it grows."""
    source: Any = np.ascontiguousarray(pixels, dtype=np.float32)
    if source.shape == (height, width):
        return np.array(source)
    shrinks = height <= source.shape[0] and width <= source.shape[1]
    resized = cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    # A weighted mean may leave the range of its inputs by a rounding error.
    return np.asarray(np.clip(resized, source.min(), source.max()), dtype=np.float32)
