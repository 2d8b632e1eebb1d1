"""Settings of the whole process that a network on the CPU needs: one thread for each caller, memory that is kept."""

import ctypes
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

_MMAP_MAX: Final = -4
_TRIM_THRESHOLD: Final = -1
_NEVER: Final = 2**31 - 1


def keep_memory() -> bool:
    """Tell glibc's allocator to keep freed memory for the next forward pass; does nothing where there is no glibc.

    Maps of a large film are tens of megabytes. By default glibc gives such blocks back to the system when they are
    freed, and the next pass waits while the system clears new pages: up to half of its time. Afterwards the process
    keeps the memory that its largest pass needed.

    Returns:
        Whether the allocator took both settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    taken = [mallopt(option, value) for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER))]
    return all(taken)


_lock: Final = threading.Lock()
_inside = 0
_outside = 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch's operators on the calling thread alone; other threads, such as a training loop's, keep theirs.

    Each thread has a number of its own, which it takes over from the process when it first runs an operator.
    `torch.set_num_threads` sets both. So the number that the process had before the first caller came in is given
    back by every caller that leaves, and the last one to leave has put everything as it was.
    """
    global _inside, _outside  # noqa: PLW0603  the number belongs to the process
    now = torch.get_num_threads()  # asked even where unused: a thread's first question is what gives it its number
    with _lock:
        if not _inside:
            _outside = now
        _inside += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(_outside)
            _inside -= 1
