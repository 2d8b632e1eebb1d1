"""The classifier: backbone, neck, and one localising head per finding."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.backbones import build_backbone
from models.heads import LocalisingHead, Neck, Pooling


@dataclass(frozen=True, slots=True)
class Architecture:
    """What has to be known to build the network again, apart from its weights."""

    backbone: str = "densenet121"
    """A torchvision classification model, or ``timm:NAME``."""
    findings: tuple[str, ...] = ("tb", "nodule")
    """Outputs, in order."""
    size: int = 320
    """Side of the square input in pixels."""
    map_stride: int = 8
    """Input pixels per cell of the localisation map: 8, 16 or 32."""
    neck_width: int = 64
    """Channels of the shared features that the heads read."""
    pooling: Pooling = "lse"
    """How a map becomes a film's logit."""
    mean: float = 0.449
    """Subtracted from display values in [0, 1]; the grey mean of ImageNet."""
    std: float = 0.226
    """Divides what is left."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "findings": list(self.findings)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Architecture":
        """Read what `to_json` wrote."""
        return cls(**{**values, "findings": tuple(values["findings"])})


class ClassifierOutput(NamedTuple):
    """Outputs of one forward pass for N films and F findings."""

    logits: Tensor
    """``[N, F]`` float32, uncalibrated."""
    maps: Tensor
    """``[N, F, size / map_stride, size / map_stride]`` cell logits."""
    features: Tensor
    """``[N, D]`` float32, without a gradient: what `models.typicality` tells the model's kind of films by."""


class Classifier(nn.Module):
    """Flags each finding on a film and says where.

    Args:
        architecture: what to build.
        weights: pretrained state of the backbone's own architecture (see `models.pretrained`).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, *, weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.architecture = architecture
        self.backbone = build_backbone(architecture.backbone, size=architecture.size, weights=weights)
        self.neck = Neck(
            self.backbone.channels,
            self.backbone.strides,
            width=architecture.neck_width,
            map_stride=architecture.map_stride,
        )
        self.feature_count = 2 * sum(self.backbone.channels)
        """D: mean and standard deviation of each channel of each of the backbone's maps."""
        self.heads = nn.ModuleDict(
            {
                finding: LocalisingHead(architecture.neck_width, architecture.pooling)
                for finding in architecture.findings
            }
        )
        self.register_buffer("mean", torch.tensor(architecture.mean), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std), persistent=False)

    @torch.no_grad()
    def map_side(self) -> int:
        """Return how many cells a map has along a side; a backbone without padding has fewer than size / stride."""
        was_training = self.training
        film = torch.zeros(1, 1, self.architecture.size, self.architecture.size, device=self.mean.device)
        side = int(self.eval()(film).maps.shape[-1])
        self.train(was_training)
        return side

    def forward(self, x: Tensor) -> ClassifierOutput:
        """Classify display values ``[N, 1, size, size]`` in [0, 1]."""
        levels = self.backbone((x - self.mean) / self.std)
        shared = self.neck(levels)
        outputs = [self.heads[finding](shared) for finding in self.architecture.findings]
        return ClassifierOutput(
            torch.stack([logits for logits, _ in outputs], dim=1),
            torch.stack([cells for _, cells in outputs], dim=1),
            _film_features(levels),
        )


def _film_features(levels: list[Tensor]) -> Tensor:
    """``[N, D]`` float32: mean and standard deviation over each map, fine levels (texture, exposure) before coarse.

    Half precision sums too coarsely over a large map: everything here is single precision. Detached, because nothing
    is trained by it, and a gradient would hold the maps in memory. `torch.var_mean` takes seven times as long.
    """
    moments: list[Tensor] = []
    for level in levels:
        cells = level.detach().float()
        mean = cells.mean(dim=(2, 3))
        variance = (cells * cells).mean(dim=(2, 3)) - mean * mean
        moments += [mean, variance.clamp(min=0).sqrt()]
    return torch.cat(moments, dim=1)
