"""PyTorch, eager or compiled, on a CPU or a GPU."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import torch
from torch import Tensor

from models.classifier import Classifier, ClassifierOutput
from models.errors import ModelError
from models.runtime.base import NetworkOutput
from models.runtime.libraries import refuse_telemetry
from models.runtime.process import keep_memory, one_thread

TORCH_PRECISIONS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchRuntime:
    """The network in PyTorch, channels last, under autocast where the precision is reduced.

    On a CPU each call runs on its own thread alone. A score then does not depend on the number of cores, and callers
    side by side are faster than one caller with all cores.

    Args:
        network: in evaluation mode; it is moved to the device.
        device: where to run it.
        precision: one of `TORCH_PRECISIONS`.
        compile_for: compile the network for batches of this many films; None runs it eagerly. Smaller batches are
            filled up with black films, because each new shape would be compiled anew.

    Raises:
        ModelError: the network cannot be compiled here.
    """

    backend = "torch"

    def __init__(
        self, network: Classifier, *, device: torch.device, precision: str = "fp32", compile_for: int | None = None
    ) -> None:
        self.precision = precision
        self.device = device
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._compile_for = compile_for
        self._forward: Callable[[Tensor], ClassifierOutput] = self._network
        if device.type == "cpu":
            keep_memory()
        if compile_for is not None:
            self._compile(compile_for)

    def __call__(self, images: Tensor) -> NetworkOutput:
        """Run the network on ``[k, 1, size, size]`` float32; from pinned memory a copy to a GPU does not wait."""
        count = len(images)
        if self._compile_for is not None and count < self._compile_for:
            images = torch.cat([images, images.new_zeros(self._compile_for - count, *images.shape[1:])])
        with torch.inference_mode(), self._threads(), self._autocast():
            moved = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            output: ClassifierOutput = self._forward(moved)
            logits, maps, features = (part[:count].float().cpu() for part in output)
        return NetworkOutput(logits.numpy(), maps, features.numpy())

    def in_full_precision(self) -> "TorchRuntime":
        """Return the same network, run eagerly in fp32; the weights are shared."""
        return TorchRuntime(self._network, device=self.device)

    def _threads(self) -> AbstractContextManager[None]:
        return one_thread() if self.device.type == "cpu" else nullcontext()

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=TORCH_PRECISIONS[self.precision])

    def _compile(self, films: int) -> None:
        """Compile now: callers come from several threads, and an error belongs to whoever asked for it."""
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError, InvalidCxxCompiler

        refuse_telemetry()
        size = self._network.architecture.size
        with _COMPILING:
            self._forward = torch.compile(self._network, dynamic=False)
            try:
                self(torch.zeros(films, 1, size, size))
            except (TorchDynamoException, InductorError, InvalidCxxCompiler) as error:
                raise ModelError(
                    f"the network cannot be compiled here ({type(error).__name__}; a C++ compiler is needed); run it "
                    "without compiling"
                ) from None


_COMPILING: Final = threading.Lock()
