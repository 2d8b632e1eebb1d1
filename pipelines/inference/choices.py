"""Device, precision, batch size and streams, where nobody chose them: from the machine and the model."""

from pathlib import Path
from typing import Final

import psutil
import torch

from models.runtime import TORCH_PRECISIONS
from pipelines.errors import CxrError
from pipelines.system import usable_cores

GPU_BATCH: Final = 64
"""Films per forward pass on a GPU."""
CPU_PIXELS: Final = 2 * 512 * 512
"""Pixels per forward pass on a CPU: more do not fit its caches, fewer do not repay the start of each layer."""
CPU_BATCH_MOST: Final = 8
_BYTES_PER_PIXEL: Final = 1024
"""Memory that a forward pass needs at most for each pixel of its batch (DenseNet-121 in fp32, with reserve)."""
_CGROUP: Final = Path("/sys/fs/cgroup")


def choose_device(device: str) -> torch.device:
    """Return the device to compute on.

    Raises:
        CxrError: an unknown device, or a GPU that this machine or this PyTorch does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()) or (kind == "cpu" and number):
        raise CxrError(f"device {device!r} is unknown; expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise CxrError(f"device {device!r} asked for, but PyTorch finds {torch.cuda.device_count()} GPUs here")
    return torch.device(device)


def gpu_count() -> int:
    """Return how many GPUs this process sees."""
    return torch.cuda.device_count()


def choose_precision(precision: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16.

    Raises:
        CxrError: an unknown precision, or fp16 on a CPU.
    """
    if precision == "auto":
        if device.type == "cpu":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if precision not in TORCH_PRECISIONS:
        raise CxrError(f"precision {precision!r} is unknown; expected auto, {', '.join(TORCH_PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise CxrError("precision 'fp16' needs a GPU; on the CPU choose fp32 or bf16")
    return precision


def choose_batch_size(batch_size: int | None, device: torch.device, size: int) -> int:
    """Return how many films go through the network together.

    Fitted to the model, not to the machine: the batch can change the last digits of a score.

    Raises:
        CxrError: fewer than one.
    """
    if batch_size is None:
        return GPU_BATCH if device.type != "cpu" else min(max(round(CPU_PIXELS / size**2), 1), CPU_BATCH_MOST)
    if batch_size < 1:
        raise CxrError(f"batch_size must be at least 1, got {batch_size}")
    return batch_size


def choose_streams(streams: int | None, device: torch.device, size: int, batch_size: int) -> int:
    """Return how many batches go through the network side by side: on a CPU one for each core, as memory allows.

    Changes no score.

    Raises:
        CxrError: fewer than one.
    """
    if streams is None:
        if device.type != "cpu":
            return 1
        fitting = available_memory() // (_BYTES_PER_PIXEL * batch_size * size**2)
        return max(1, min(usable_cores(), fitting))
    if streams < 1:
        raise CxrError(f"streams must be at least 1, got {streams}")
    return streams


def available_memory() -> int:
    """Return the bytes that this process may still take: what the machine has, or what its container allows."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return free
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
        return min(free, max(int(limit) - used + cached, 0))
    except (OSError, ValueError):  # no container, or one of another kind
        return free
