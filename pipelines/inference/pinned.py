"""Page-locked memory: what a GPU can copy from while the processor does something else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def pinned(memory: np.ndarray[Any, Any]) -> Iterator[bool]:
    """Lock the pages of an array while the block runs.

    Args:
        memory: contiguous; may be shared with other processes.

    Yields:
        Whether the driver did; if not, copies to the GPU are slower and right all the same.
    """
    runtime: Any = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    address = memory.ctypes.data
    locked = int(runtime.cudaHostRegister(address, memory.nbytes, 0)) == 0
    try:
        yield locked
    finally:
        if locked:
            runtime.cudaHostUnregister(address)
