"""Shared memory that films are written into."""

import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.film_slots import FilmSlots, can_share

pytestmark = pytest.mark.skipif(not can_share(), reason="this system shares no memory without a name")


def fill(slots: FilmSlots, slot: int, value: int) -> None:
    slots.squares[slot] = value
    slots.picture(slot, (3, 2))[...] = value + 1


def test_what_another_process_writes_is_here_and_nothing_else_is_touched():
    slots = FilmSlots(3, 8, 16)
    slots.squares[...] = 0.25
    other = multiprocessing.get_context("spawn").Process(target=fill, args=(slots, 1, 7))
    other.start()
    other.join(60)
    assert other.exitcode == 0
    assert (slots.squares[1] == 7).all()
    assert (slots.squares[[0, 2]] == 0.25).all()
    assert slots.picture(1, (3, 2)).tolist() == [[8, 8]] * 3
    assert not slots.picture(0, (16, 16)).any()
    assert not slots.picture(2, (16, 16)).any()
    slots.close()


def test_arrays_outlive_the_slots_and_the_memory_goes_with_the_last():
    held = _descriptors()
    slots = FilmSlots(2, 64)
    squares = slots.squares
    squares[...] = 3.0
    slots.close()
    del slots
    assert _descriptors() <= held + 1  # the map holds one of its own
    assert (squares == 3.0).all()
    del squares
    assert _descriptors() == held


def test_too_little_memory_is_said_at_once_and_nothing_is_left(monkeypatch):
    def none(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", none, raising=False)
    held = _descriptors()
    with pytest.raises(OSError, match="No space left"):
        FilmSlots(1, 8)
    assert _descriptors() == held


def test_without_pictures_and_with_the_largest():
    slots = FilmSlots(2, 4)
    assert slots.squares.shape == (2, 4, 4)
    assert slots.squares.dtype == np.float32
    slots.close()
    large = FilmSlots(1, 4, 5)
    assert large.picture(0, (5, 5)).shape == (5, 5)
    large.close()


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0
