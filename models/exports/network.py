"""The classifier in the shape that exporters take: a tuple of tensors, without names."""

import torch
from torch import Tensor, nn

from models.classifier import Classifier

OUTPUTS = ("logits", "maps", "features")


class _PlainOutputs(nn.Module):
    """The classifier's outputs as a tuple of float32 tensors."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, maps and features of ``[k, 1, size, size]``."""
        output = self.network(images)
        return output.logits, output.maps, output.features


def plain_outputs(network: Classifier) -> nn.Module:
    """Wrap a network, in evaluation mode, for an exporter."""
    return _PlainOutputs(network).eval()


def example(network: Classifier, films: int = 2) -> Tensor:
    """Return black films to trace with; more than one, so that their number is not taken for a constant."""
    size = network.architecture.size
    return torch.zeros(films, 1, size, size)
