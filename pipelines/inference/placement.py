"""Where the square input's maps lie on the stored film."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.explain import map_peaks
from pipelines.imaging import Placement


def stored_peaks(maps: Tensor, stored_shapes: Sequence[tuple[int, int]], size: int) -> NDArray[np.float64]:
    """Return where each map peaks on its film.

    Cells whose centre lies on the background beside the film do not count: nothing was imaged there.

    Args:
        maps: ``[N, F, h, w]`` cell logits on the CPU.
        stored_shapes: ``[N]`` rows and columns of the stored films.
        size: side of the square input in pixels.

    Returns:
        ``[N, F, 2]`` x and y in stored pixels, within [0, columns] and [0, rows].
    """
    height, width = maps.shape[-2:]
    x = (torch.arange(width, dtype=torch.float64) + 0.5) * size / width
    y = (torch.arange(height, dtype=torch.float64) + 0.5) * size / height
    on_film = maps.clone()
    for layers, stored_shape in zip(on_film, stored_shapes, strict=True):
        place = Placement.fit(*stored_shape, size)
        down = (y >= place.top) & (y <= place.top + place.height)
        across = (x >= place.left) & (x <= place.left + place.width)
        inside = down[:, None] & across[None, :]
        if inside.any():  # a film thinner than a cell may hold no cell's centre
            layers[:, ~inside] = -torch.inf
    peaks = np.empty((*maps.shape[:2], 2), dtype=np.float64)
    for film, (rows, columns) in enumerate(stored_shapes):
        place = Placement.fit(rows, columns, size)
        for layer, (x_square, y_square) in enumerate(map_peaks(on_film[film : film + 1], size)[0].tolist()):
            x_stored, y_stored = place.to_stored(x_square, y_square)
            peaks[film, layer] = np.clip(x_stored, 0, columns), np.clip(y_stored, 0, rows)
    return peaks
