"""One network, several ways of running it: PyTorch (eager, compiled), ONNX Runtime, OpenVINO."""

from models.runtime.base import NetworkOutput, Runtime
from models.runtime.torch_runtime import TORCH_PRECISIONS, TorchRuntime

__all__ = ["TORCH_PRECISIONS", "NetworkOutput", "Runtime", "TorchRuntime"]
