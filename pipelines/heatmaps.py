"""Pictures for people: each film, the film with one finding's map laid over it, and the maps as numbers.

Processes that read films write them; no torch here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipelines.imaging import Placement
from pipelines.system import replacing

MAX_OPACITY: Final = 0.6
"""Of a map cell with probability 1; less where the probability is less, so that the film stays readable."""
# Dark to bright like the probability, in steps that every kind of colour vision tells apart; its black end is left out
# because black on a film looks like lung.
_COLOURS: Final = (colormaps["inferno"](np.linspace(0.35, 1.0, 256))[:, :3] * 255.0).astype(np.float32)
_RING: Final = 9
"""Radius of the peak's ring in picture pixels."""
_FASTEST: Final = 1
"""zlib's fastest level: a film's noise compresses hardly better at the others, which take many times as long."""


class FilmMaps(NamedTuple):
    """What the network says of one film, on its way to pictures."""

    film: Path
    """File of the film's picture."""
    overlays: tuple[Path, ...]
    """``[F]`` files of the film with each finding's map laid over it."""
    numbers: Path
    """File (NumPy's .npy) of the maps."""
    cells: NDArray[np.float32]
    """``[F, h, w]`` cell probabilities on the network's square input."""
    place: Placement
    """Where the film lies in that square."""
    peaks: Mapping[int, tuple[float, float]]
    """By number of a flagged finding: where its map peaks, x and y in stored pixels."""


def write_pictures(maps: FilmMaps, picture: NDArray[np.uint8]) -> None:
    """Write a film's pictures and maps.

    Args:
        maps: what to show and where to write it; the folder exists.
        picture: the film ``[h, w]``.
    """
    _write_png(maps.film, Image.fromarray(picture))
    for number, file in enumerate(maps.overlays):
        probabilities = enlarged(maps.cells[number], maps.place.size)
        overlay = Image.fromarray(lay_over(picture, film_part(probabilities, maps.place, picture.shape)))
        if number in maps.peaks:
            _mark(overlay, *maps.place.to_picture(*maps.peaks[number], picture.shape))
        _write_png(file, overlay)
    with replacing(maps.numbers, sole_writer=True) as temporary, temporary.open("wb") as stream:
        np.save(stream, maps.cells, allow_pickle=False)


def enlarged(cells: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return a map ``[size, size]`` in [0, 1], interpolated bilinearly between cell centres.

    Args:
        cells: ``[h, w]`` cell probabilities.
        size: side of the square input in pixels.
    """
    large = cv2.resize(cells, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(large, 0.0, 1.0), dtype=np.float32)


def on_whole_film(cells: NDArray[np.float32], place: Placement) -> NDArray[np.float32]:
    """Maps on the square that a part of a film fills -> maps on the square that all of it would fill.

    Args:
        cells: ``[F, h, w]`` cell probabilities.
        place: where the part lies.

    Returns:
        ``[F, h, w]``, bilinear; 0 where the film was not shown.
    """
    _, height, width = cells.shape
    whole = place.whole
    x, y = (np.arange(cells_along) + 0.5 for cells_along in (width, height))
    # From the middle of each cell of the whole square to the upright film, and to the part's square.
    x, y = x * place.size / width, y * place.size / height
    rows, columns = place.upright_shape
    x, y = (x - whole.left) * columns / whole.width, (y - whole.top) * rows / whole.height
    x0, y0, x1, y1 = place.shown
    shown = ((y >= y0) & (y <= y1))[:, None] & ((x >= x0) & (x <= x1))[None, :]
    x, y = place.left + (x - x0) * place.width / (x1 - x0), place.top + (y - y0) * place.height / (y1 - y0)
    across, down = np.meshgrid(x * width / place.size - 0.5, y * height / place.size - 0.5)
    moved = [
        cv2.remap(
            layer, across.astype(np.float32), down.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        for layer in np.ascontiguousarray(cells, dtype=np.float32)
    ]
    return np.asarray(np.stack(moved) * shown, dtype=np.float32)


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


def layer_palette() -> NDArray[np.uint8]:
    """RGBA ``[256, 4]`` of a map as a layer of its own: laid over a film it looks as `lay_over` colours it."""
    opacity = np.rint(MAX_OPACITY * np.arange(256.0))
    return np.column_stack([np.rint(_COLOURS), opacity]).astype(np.uint8)


def _mark(overlay: Image.Image, x: float, y: float) -> None:
    """Draw a thin white ring with a dark rim: visible on bone and on lung, empty where the finding is."""
    draw = ImageDraw.Draw(overlay)
    for radius, colour in ((_RING + 1, "black"), (_RING - 1, "black"), (_RING, "white")):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour)


def _write_png(path: Path, image: Image.Image) -> None:
    # Not waited for: a table part that needs these pictures is only written, and waited for, after them.
    with replacing(path, sole_writer=True) as temporary:
        image.save(temporary, format="PNG", compress_level=_FASTEST)
