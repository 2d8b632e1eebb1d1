"""Films as the audit's page shows them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from pipelines.errors import UnreadableImage
from pipelines.film_pool import FilmPool, Refusal
from pipelines.imaging import read_radiograph, to_longest
from pipelines.reporting.pictures import Embedded, film_jpeg

SIDE: Final = 512
"""Longer side of an embedded film in pixels."""
_BYTES: Final = 60_000
_FEW: Final = 8


def film_picture(path: str) -> Embedded | Refusal:
    """One film as a small grey JPEG inside an address: the task of a `FilmPool`."""
    try:
        pixels = read_radiograph(Path(path), max_side=SIDE).pixels
    except UnreadableImage as error:
        return Refusal(error.reason, error.detail)
    grey = np.rint(np.clip(to_longest(pixels, SIDE), 0.0, 1.0) * 255.0).astype(np.uint8)
    return film_jpeg(Image.fromarray(grey), _BYTES)


def film_pictures(files: Sequence[Path], workers: int) -> list[Embedded | Refusal]:
    """``[n]`` pictures, or why there is none."""
    with FilmPool(film_picture, workers=0 if len(files) < _FEW else workers) as pool:
        return list(pool.map(str(file) for file in files))
