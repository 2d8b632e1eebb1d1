"""The model as a plain PyTorch module: display values in, calibrated probabilities out."""

import torch
from torch import Tensor, nn

from models.package import ModelPackage


class CalibratedClassifier(nn.Module):
    """A package's network with its calibration, for use without files, tables or the rest of this project.

    Its input is what `pipelines` makes of a film: display values in [0, 1], dense tissue bright, fitted into a square
    of the package's size with its aspect kept, centred, background 0. Thresholds and the check whether a film is
    typical are not part of it.

    Args:
        package: from `models.load_package`.
    """

    offset: Tensor
    temperature: Tensor

    def __init__(self, package: ModelPackage) -> None:
        super().__init__()
        self.findings = package.architecture.findings
        self.network = package.build()
        scales = [package.calibration[finding] for finding in self.findings]
        for name in ("offset", "temperature"):
            values = torch.tensor([getattr(scale, name) for scale in scales], dtype=torch.float64)
            self.register_buffer(name, values, persistent=False)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities ``[N, F]`` float64, in the order of `findings`, of ``[N, 1, size, size]`` float32."""
        logits = self.network(x).logits
        return torch.sigmoid((logits.double() - self.offset) / self.temperature)
