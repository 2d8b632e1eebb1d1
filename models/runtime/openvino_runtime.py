"""OpenVINO on the CPU."""

import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from models.errors import ModelError
from models.runtime.base import NetworkOutput
from models.runtime.libraries import optional_library
from models.runtime.process import keep_memory

_COMPUTED_IN: Final = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What OpenVINO calls the precision of layers that are not quantised."""


class OpenVinoRuntime:
    """An exported network in OpenVINO: as many streams of one thread as callers, each with a request of its own.

    Args:
        model_file: the .xml file; its .bin lies beside it.
        precision: fp32, bf16 or int8.
        streams: threads that will call it at once.

    Raises:
        ModelError: OpenVINO is not installed, or does not take the file.
    """

    backend = "openvino"

    def __init__(self, model_file: Path, *, precision: str, streams: int) -> None:
        self.precision = precision
        openvino = optional_library("openvino")
        keep_memory()
        settings = {
            "INFERENCE_PRECISION_HINT": _COMPUTED_IN[precision],
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
            "ENABLE_CPU_PINNING": False,  # the films' decoders use the same cores
        }
        try:
            self._compiled: Any = openvino.Core().compile_model(str(model_file), "CPU", settings)
        except RuntimeError as error:
            raise ModelError(f"{model_file}: OpenVINO does not take it ({_first_line(error)})") from None
        self._own = threading.local()

    def __call__(self, images: Tensor) -> NetworkOutput:
        """Run the network on ``[k, 1, size, size]`` float32."""
        request = getattr(self._own, "request", None)
        if request is None:
            request = self._own.request = self._compiled.create_infer_request()
        request.infer([images.numpy()])
        # Copies: the request's own arrays are written over by its next films.
        logits, maps, features = (np.array(request.get_output_tensor(k).data, dtype=np.float32) for k in range(3))
        return NetworkOutput(logits, torch.from_numpy(maps), features)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
