"""Where the square input's maps lie on the stored film."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.explain import map_peaks
from pipelines.imaging import Placement


def stored_peaks(maps: Tensor, placements: Sequence[Placement]) -> NDArray[np.float64]:
    """Return where each map peaks on its film.

    Cells whose centre lies on the background beside the film do not count: nothing was imaged there.

    Args:
        maps: ``[N, F, h, w]`` cell logits on the CPU.
        placements: ``[N]`` where each film lies in the square input.

    Returns:
        ``[N, F, 2]`` x and y in stored pixels, within [0, columns] and [0, rows].
    """
    height, width = maps.shape[-2:]
    x = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    y = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    on_film = maps.clone()
    for layers, place in zip(on_film, placements, strict=True):
        down = (y * place.size >= place.top) & (y * place.size <= place.top + place.height)
        across = (x * place.size >= place.left) & (x * place.size <= place.left + place.width)
        inside = down[:, None] & across[None, :]
        if inside.any():  # a film thinner than a cell may hold no cell's centre
            layers[:, ~inside] = -torch.inf
    peaks = np.empty((*maps.shape[:2], 2), dtype=np.float64)
    for film, place in enumerate(placements):
        for layer, (x_square, y_square) in enumerate(map_peaks(on_film[film : film + 1], place.size)[0].tolist()):
            x_stored, y_stored = place.to_stored(x_square, y_square)
            peaks[film, layer] = np.clip(x_stored, 0, place.columns), np.clip(y_stored, 0, place.rows)
    return peaks
