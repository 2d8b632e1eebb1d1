"""Heads that say *where* in the same forward pass that says *whether*."""

from typing import Final, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import FeaturePyramidNetwork

from models.errors import ModelError

Pooling = Literal["lse", "max", "mean"]
POOLINGS: Final = ("lse", "max", "mean")
_PRIOR_LOGIT: Final = -4.0
"""Initial cell logit (probability 0.018): most cells of most films are free of disease (Lin et al. 2017, RetinaNet)."""


class Neck(nn.Module):
    """Feature pyramid (Lin et al. 2017) read at one stride: coarse context added to fine position."""

    def __init__(self, channels: list[int], strides: list[int], *, width: int, map_stride: int) -> None:
        super().__init__()
        levels = [index for index, stride in enumerate(strides) if stride >= map_stride]
        if not levels:
            raise ModelError(f"model.map_stride: {map_stride} is coarser than the backbone's last stride {strides[-1]}")
        self.levels = levels
        self.pyramid = FeaturePyramidNetwork([channels[index] for index in levels], width)
        # Only the finest level is read; the other output convolutions would be parameters without a gradient.
        self.pyramid.layer_blocks = nn.ModuleList([self.pyramid.layer_blocks[0], *(nn.Identity() for _ in levels[1:])])

    def forward(self, features: list[Tensor]) -> Tensor:
        named = {str(index): features[index] for index in self.levels}
        return cast(Tensor, self.pyramid(named)[str(self.levels[0])])


class LocalisingHead(nn.Module):
    """One finding: a map of cell logits, and the film's logit pooled from that map.

    The film's logit is ``scale * pool(map) + bias`` with ``scale > 0``, so the cell that raises the score most is the
    map's peak: the map is not an explanation made afterwards but what the score was computed from.

    Args:
        width: channels of the shared features.
        pooling: ``lse`` (log-mean-exp with sharpness 4; Pinheiro & Collobert 2015), ``max`` or ``mean``.
    """

    sharpness: Final = 4.0

    def __init__(self, width: int, pooling: Pooling) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ModelError(f"model.pooling: found {pooling!r}, expected one of {', '.join(POOLINGS)}")
        self.pooling = pooling
        self.context = nn.Conv2d(width, width, 3, padding=1)
        self.cell = nn.Conv2d(width, 1, 1)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.tensor(-_PRIOR_LOGIT / 2))
        nn.init.normal_(self.cell.weight, std=0.01)
        nn.init.constant_(cast(Tensor, self.cell.bias), _PRIOR_LOGIT)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the film logits ``[N]`` and cell logits ``[N, h, w]`` of features ``[N, width, h, w]``."""
        cells = self.cell(functional.relu(self.context(features)))[:, 0]
        return self.log_scale.exp() * self._pool(cells.flatten(1).float()) + self.bias, cells

    def _pool(self, cells: Tensor) -> Tensor:
        if self.pooling == "max":
            return cells.amax(dim=1)
        if self.pooling == "mean":
            return cells.mean(dim=1)
        count = torch.tensor(float(cells.shape[1]), device=cells.device)
        return (torch.logsumexp(self.sharpness * cells, dim=1) - count.log()) / self.sharpness
