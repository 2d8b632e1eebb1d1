"""Memory that film workers write films into and that their parent reads, without a copy through a pipe."""

import mmap
import os
import tempfile
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_FLOAT: Final = 4


class FilmSlots:
    """Slots of one film each: the network's square input and, where wanted, a picture for people.

    The memory has no name: nothing is left behind however the processes end, and it does not count against a small
    ``/dev/shm``. Passed to a worker when that is started, it is the same memory there.

    Args:
        count: slots.
        size: side of the square input in pixels.
        picture_side: longest side of a picture in pixels; None for no pictures.

    Raises:
        OSError: there is not so much memory.
    """

    def __init__(self, count: int, size: int, picture_side: int | None = None) -> None:
        self.count, self.size, self.picture_side = count, size, picture_side
        self._file = _nameless_file()
        length = self._square_bytes + self._picture_bytes
        try:
            if hasattr(os, "posix_fallocate"):  # an error now instead of a bus error later
                os.posix_fallocate(self._file, 0, length)
            else:
                os.ftruncate(self._file, length)
            self._map(length)
        except BaseException:
            os.close(self._file)
            raise

    @property
    def _square_bytes(self) -> int:
        return self.count * self.size * self.size * _FLOAT

    @property
    def _picture_bytes(self) -> int:
        return self.count * (self.picture_side or 0) ** 2

    def _map(self, length: int) -> None:
        memory = mmap.mmap(self._file, length)
        shape = (self.count, self.size, self.size)
        self.squares: NDArray[np.float32] = np.frombuffer(memory, np.float32, shape[0] * shape[1] * shape[2]).reshape(
            shape
        )
        """``[count, size, size]`` float32."""
        self._pictures = np.frombuffer(memory, np.uint8, offset=self._square_bytes).reshape(self.count, -1)

    def picture(self, slot: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the picture of a slot, to read or to fill.

        Args:
            slot: number of the slot.
            shape: its height and width, at most ``picture_side`` each.
        """
        height, width = shape
        return self._pictures[slot, : height * width].reshape(height, width)

    def close(self) -> None:
        """Give the memory back once no array of it is left."""
        os.close(self._file)

    def __reduce__(self) -> tuple[Callable[..., "FilmSlots"], tuple[Any, ...]]:
        """Only a process that is being started can be given the memory."""
        return _received, (reduction.DupFd(self._file), self.count, self.size, self.picture_side)


def can_share() -> bool:
    """Whether this system lets processes share memory that has no name."""
    return hasattr(reduction, "DupFd")


def _received(descriptor: Any, count: int, size: int, picture_side: int | None) -> FilmSlots:
    slots = FilmSlots.__new__(FilmSlots)
    slots.count, slots.size, slots.picture_side = count, size, picture_side
    slots._file = descriptor.detach()
    slots._map(slots._square_bytes + slots._picture_bytes)
    return slots


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("films")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
