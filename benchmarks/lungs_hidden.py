"""How much of the lungs does the fixed cover of the lungs-hidden control leave in sight?

``python benchmarks/lungs_hidden.py FOLDER...``: films are searched for recursively. Lungs are those that the template
of `pipelines.imaging.chest_shape` finds, so a share is an estimate, and where the template errs it is wrong.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.errors import UnreadableImage
from pipelines.imaging import read_radiograph
from pipelines.imaging.chest_shape import fit_canvas, read_chest
from pipelines.imaging.lungs_hidden import VISIBLE
from pipelines.imaging.picture_marks import content_box

SIDE = 256
SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm"}


def covered_share(film: Path) -> float:
    """Share of the lungs that lies under the cover, 0-1."""
    pixels = read_radiograph(film, max_side=SIDE).pixels
    top, bottom, left, right = content_box(pixels)
    lungs = _lungs(np.ascontiguousarray(pixels[top:bottom, left:right]))
    return float(lungs[~VISIBLE].sum() / max(float(lungs.sum()), 1e-6))


def _lungs(content: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[16, 16]``: share of each cell of the content that is lung."""
    first, start, height, width = fit_canvas(content.shape[0], content.shape[1])
    found = read_chest(content).lungs[first : first + height, start : start + width]
    fine = cv2.resize(found, (160, 160), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(fine, (16, 16), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _shares(folder: Path) -> Iterator[float]:
    for film in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            yield covered_share(film)
        except UnreadableImage:
            continue


def main() -> None:
    """Print the quantiles for each folder."""
    for folder in map(Path, sys.argv[1:]):
        shares = np.array(list(_shares(folder)))
        if not len(shares):
            print(f"{folder.name}: no film could be read")
            continue
        low, quarter, middle = np.quantile(shares, [0.05, 0.25, 0.5])
        print(f"{folder.name}: {len(shares)} films, covered: median {middle:.3f}, quarter {quarter:.3f}, 5 % {low:.3f}")


if __name__ == "__main__":
    main()
