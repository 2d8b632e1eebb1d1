"""ONNX Runtime on the CPU."""

from pathlib import Path

import torch
from torch import Tensor

from models.errors import ModelError
from models.runtime.base import NetworkOutput
from models.runtime.libraries import optional_library
from models.runtime.process import keep_memory


class OnnxRuntime:
    """An exported network in ONNX Runtime; each caller runs it on its own thread alone.

    Args:
        model_file: the .onnx file.
        precision: fp32 or int8.

    Raises:
        ModelError: ONNX Runtime is not installed, or does not take the file.
    """

    backend = "onnxruntime"

    def __init__(self, model_file: Path, *, precision: str) -> None:
        self.precision = precision
        library = optional_library("onnxruntime")
        keep_memory()
        options = library.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = library.InferenceSession(str(model_file), options, providers=["CPUExecutionProvider"])
        except RuntimeError as error:  # the library's own exceptions are made of it
            raise ModelError(f"{model_file}: ONNX Runtime does not take it ({type(error).__name__})") from None
        self._input = self._session.get_inputs()[0].name

    def __call__(self, images: Tensor) -> NetworkOutput:
        """Run the network on ``[k, 1, size, size]`` float32."""
        logits, maps, features = self._session.run(None, {self._input: images.contiguous().numpy()})
        return NetworkOutput(logits, torch.from_numpy(maps), features)
