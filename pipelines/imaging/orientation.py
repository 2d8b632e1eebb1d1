"""How a stored matrix is turned to stand upright, as the reader sees the patient.

Upright is head up and, on a frontal film, the patient's left on the right of the picture.
Source: DICOM PS3.3, C.7.6.1.1.1 (Patient Orientation); CIPA DC-008, tag 274 (orientation of raster files).
"""

from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Coordinate = TypeVar("Coordinate", float, NDArray[np.float64])


class Orientation(NamedTuple):
    """One of the eight ways to lay a picture down: transposed first, then flipped."""

    transposed: bool = False
    """Stored rows become upright columns."""
    rows_flipped: bool = False
    """The last upright row comes first."""
    columns_flipped: bool = False
    """The last upright column comes first."""

    @classmethod
    def of_patient(cls, directions: tuple[str, str] | None) -> "Orientation":
        """What turns a film upright.

        Args:
            directions: PatientOrientation: towards which side of the patient (L, R, A, P, H, F; the first letter
                decides) the columns and the rows of the stored matrix count up; None where it is unknown.

        Returns:
            `UPRIGHT` where the film is so already, or nothing sensible is said.
        """
        if directions is None or not all(directions):
            return UPRIGHT
        along_columns, along_rows = directions[0][0], directions[1][0]
        transposed = along_columns in "HF"
        if transposed:
            along_columns, along_rows = along_rows, along_columns
        if along_columns not in "LRAP" or along_rows not in "HF":
            return UPRIGHT
        # On a lateral film the patient may face either way: only head and feet are put right.
        return cls(transposed, rows_flipped=along_rows == "H", columns_flipped=along_columns == "R")

    @classmethod
    def of_exif(cls, value: int) -> "Orientation":
        """What undoes an EXIF orientation, 1 to 8."""
        return cls(value >= 5, rows_flipped=value in (3, 4, 7, 8), columns_flipped=value in (2, 3, 6, 7))

    @property
    def exif(self) -> int:
        """The EXIF orientation, 1 to 8, that says the same: one number for a table."""
        return next(value for value in range(1, 9) if Orientation.of_exif(value) == self)

    def shape(self, rows: int, columns: int) -> tuple[int, int]:
        """Upright (rows, columns) of a stored matrix."""
        return (columns, rows) if self.transposed else (rows, columns)

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Turn stored ``[rows, columns]`` upright; a view, nothing is copied."""
        turned = pixels.T if self.transposed else pixels
        return turned[:: -1 if self.rows_flipped else 1, :: -1 if self.columns_flipped else 1]

    def to_upright(self, x: Coordinate, y: Coordinate, *, rows: int, columns: int) -> tuple[Coordinate, Coordinate]:
        """Carry stored coordinates (at pixel edges) of a matrix of `rows` x `columns` to the upright picture."""
        height, width = self.shape(rows, columns)
        if self.transposed:
            x, y = y, x
        return width - x if self.columns_flipped else x, height - y if self.rows_flipped else y

    def to_stored(self, x: Coordinate, y: Coordinate, *, rows: int, columns: int) -> tuple[Coordinate, Coordinate]:
        """Carry upright coordinates back."""
        height, width = self.shape(rows, columns)
        x = width - x if self.columns_flipped else x
        y = height - y if self.rows_flipped else y
        return (y, x) if self.transposed else (x, y)


UPRIGHT: Final = Orientation()
