"""Reading a localisation map: where it peaks, and how it looks at film size."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


def map_peaks(maps: Tensor, size: int) -> Tensor:
    """Return where each map is highest.

    Args:
        maps: ``[N, F, h, w]``.
        size: side of the square input in pixels.

    Returns:
        ``[N, F, 2]`` x and y of the highest cell's centre, in continuous pixels of the square input (edges at 0 and
        ``size``).
    """
    height, width = maps.shape[-2:]
    highest = maps.flatten(2).argmax(dim=2)
    rows, columns = highest // width, highest % width
    x = (columns + 0.5) * size / width
    y = (rows + 0.5) * size / height
    return torch.stack([x, y], dim=-1).float()


def enlarge_maps(maps: Tensor, size: int) -> NDArray[np.float32]:
    """Return cell probabilities ``[N, F, size, size]`` in [0, 1], interpolated bilinearly between cell centres.

    Args:
        maps: ``[N, F, h, w]`` cell logits.
        size: side of the square input in pixels.
    """
    enlarged = functional.interpolate(maps.float().sigmoid(), size=(size, size), mode="bilinear", align_corners=False)
    result: NDArray[np.float32] = enlarged.cpu().numpy()
    return result
