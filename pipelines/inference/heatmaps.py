"""Pictures for people: each film, and the film with one finding's map laid over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.evaluation.predictions import heatmap_file
from pipelines.imaging import Placement
from pipelines.system import replacing

PICTURE_SIDE: Final = 512
"""Longer side of every picture in pixels."""
MAX_OPACITY: Final = 0.6
"""Of a map cell with probability 1; less where the probability is less, so that the film stays readable."""
# Dark to bright like the probability, in steps that every kind of colour vision tells apart; its black end is left out
# because black on a film looks like lung.
_COLOURS: Final = (colormaps["inferno"](np.linspace(0.35, 1.0, 256))[:, :3] * 255.0).astype(np.float32)
_RING: Final = 9
"""Radius of the peak's ring in picture pixels."""


def write_pictures(
    folder: Path,
    row: Mapping[str, Any],
    picture: NDArray[np.uint8],
    maps: Mapping[str, NDArray[np.float32]],
    place: Placement,
) -> None:
    """Write a film's pictures under the names that `heatmap_file` gives.

    Args:
        folder: the heat-map folder; exists.
        row: the film's row of the predictions table.
        picture: the film ``[h, w]``.
        maps: by finding, cell probabilities ``[size, size]`` on the network's square input.
        place: where the film lies in that square.
    """
    _write_png(folder / heatmap_file(row["image_id"], "film"), Image.fromarray(picture))
    for finding, probabilities in maps.items():
        overlay = Image.fromarray(lay_over(picture, film_part(probabilities, place, picture.shape)))
        if row.get(f"flag_{finding}"):
            x, y = place.to_picture(row[f"peak_x_{finding}"], row[f"peak_y_{finding}"], picture.shape)
            _mark(overlay, x, y)
        _write_png(folder / heatmap_file(row["image_id"], finding), overlay)


def film_part(probabilities: NDArray[np.float32], place: Placement, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Cut the film's part out of a map on the square input and resize it to a picture of the film.

    Args:
        probabilities: ``[size, size]``.
        place: where the film lies in that square.
        shape: height and width of the picture.

    Returns:
        ``[h, w]`` in [0, 1], bilinear; pixel edges of map and picture coincide.
    """
    part = probabilities[place.top : place.top + place.height, place.left : place.left + place.width]
    return np.asarray(cv2.resize(part, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def lay_over(picture: NDArray[np.uint8], probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour a film where a map is high.

    Args:
        picture: ``[h, w]``.
        probabilities: ``[h, w]`` in [0, 1].

    Returns:
        RGB ``[h, w, 3]``; where the probability is 0 it is the film.
    """
    opacity = MAX_OPACITY * probabilities[..., None]
    colour = _COLOURS[np.rint(probabilities * 255.0).astype(np.intp)]
    film = picture[..., None].astype(np.float32)
    return np.asarray(np.rint(film * (1.0 - opacity) + colour * opacity).astype(np.uint8))


def _mark(overlay: Image.Image, x: float, y: float) -> None:
    """Draw a thin white ring with a dark rim: visible on bone and on lung, empty where the finding is."""
    draw = ImageDraw.Draw(overlay)
    for radius, colour in ((_RING + 1, "black"), (_RING - 1, "black"), (_RING, "white")):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour)


def _write_png(path: Path, image: Image.Image) -> None:
    # Not waited for: a table part that needs these pictures is only written, and waited for, after them.
    with replacing(path, sole_writer=True) as temporary:
        image.save(temporary, format="PNG")
