"""Where the films of a data set lie, and boxes and spacing in the pixels that are stored."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.datasets.adapter import IMAGE_SUFFIXES
from pipelines.datasets.native import image_files

Box = dict[str, Any]
"""As `pipelines.manifest.schema.BOX`."""


def nodule_box(x0: float, y0: float, x1: float, y1: float) -> Box:
    """One box of a nodule: corners at pixel edges, x to the right, y down."""
    return {"finding": "nodule", "x0": x0, "y0": y0, "x1": x1, "y1": y1}


def films_by_stem(root: Path, folders: Iterable[Path], *, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> dict[str, str]:
    """Films by their file name without ending.

    Args:
        root: the data root.
        folders: where to look, below the root; the first folder that has a name keeps it. A missing one has none.
        suffixes: endings in lower case.

    Returns:
        Name -> POSIX path relative to the root, sorted within each folder.
    """
    found: dict[str, str] = {}
    for folder in folders:
        if folder.is_dir():
            for path in image_files(folder, suffixes=suffixes):
                found.setdefault(Path(path).stem, (folder / path).relative_to(root).as_posix())
    return found


def to_stored_pixels(frame: pd.DataFrame, side: int) -> pd.DataFrame:
    """Put boxes and spacing of a square release into the pixels of its copies on disk, whatever their size.

    Args:
        frame: boxes and ``pixel_spacing_mm`` for films of ``side`` x ``side``; ``rows`` and ``columns`` as stored, null
            where the film is not on disk.
        side: rows and columns of the release.

    Returns:
        The frame; a copy that is no longer square has no spacing.
    """
    boxes, spacings = frame["boxes"].tolist(), frame["pixel_spacing_mm"].tolist()
    for row, (height, width) in enumerate(zip(frame["rows"].tolist(), frame["columns"].tolist(), strict=True)):
        if pd.isna(height) or pd.isna(width) or height == width == side:
            continue
        across, down = width / side, height / side
        spacings[row] = spacings[row] / across if height == width else None
        if isinstance(boxes[row], list):
            boxes[row] = [_scaled(box, across, down) for box in boxes[row]]
    return frame.assign(boxes=boxes, pixel_spacing_mm=spacings)


def _scaled(box: Box, across: float, down: float) -> Box:
    factors = {"x0": across, "y0": down, "x1": across, "y1": down}
    return {"finding": box["finding"]} | {corner: box[corner] * factor for corner, factor in factors.items()}


def without_spacing(frame: pd.DataFrame) -> pd.DataFrame:
    """Forget the spacing that the headers give, where it is known to be that of another size of the film."""
    return frame.assign(pixel_spacing_mm=pd.Series(float("nan"), index=frame.index))
