"""What every way of running the network has in common: images in, logits, maps and features out."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class NetworkOutput(NamedTuple):
    """What the network says of k films, on the CPU."""

    logits: NDArray[np.float32]
    """``[k, F]``, uncalibrated."""
    maps: Tensor
    """``[k, F, h, w]`` float32 cell logits."""
    features: NDArray[np.float32]
    """``[k, D]``, by which the model's kind of films is told."""

    @property
    def finite(self) -> bool:
        """Whether every score and every feature is a number."""
        return bool(np.isfinite(self.logits).all() and np.isfinite(self.features).all())


class Runtime(Protocol):
    """One network, ready to run. Several threads may call it at once."""

    backend: str
    """torch, onnxruntime or openvino."""
    precision: str
    """fp32, bf16, fp16 or int8."""

    def __call__(self, images: Tensor) -> NetworkOutput:
        """Run the network.

        Args:
            images: ``[k, 1, size, size]`` float32 in [0, 1] on the CPU; k at least 1.
        """
        ...
