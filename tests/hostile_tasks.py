"""What worker processes do in tests of the pool: films that crash, hang or swallow memory, by their name."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.decoding import DecodeRequest, FilmJob, PictureJob, ReadFilm, Work, film_task
from pipelines.film_slots import FilmSlots


def misbehave(name: str) -> None:
    """Do what the name says."""
    if "segfault" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "exit" in name:
        os._exit(3)
    if "hang" in name:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        time.sleep(600)
    if "stuck" in name:
        ctypes.PyDLL(None).sleep(600)  # holds Python's lock, as some extension modules do
    if "swallow" in name:
        hoard = [np.zeros(128 << 20, np.uint8) for _ in range(8)]
        raise AssertionError(f"{len(hoard)} blocks were allowed")
    if "mistake" in name:
        raise ZeroDivisionError("a mistake in the program")
    if "noise" in name:
        os.write(1, b"NOISE-OUT")
        os.write(2, b"NOISE-ERR")


def name_task(name: str) -> tuple[str, int]:
    """The name and the process that got it."""
    misbehave(name)
    return name, os.getpid()


def crash_once(task: tuple[str, Path]) -> str:
    """Crash for a film that has not been tried before, as if the system had killed the worker for want of memory."""
    name, marks = task
    if "unlucky" in name and not (marks / name).exists():
        (marks / name).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def picture_task(number: int) -> NDArray[np.float32]:
    """A megabyte that depends on the number."""
    return np.full((512, 512), number, np.float32)


def hostile_film_task(
    job: FilmJob | PictureJob, *, request: DecodeRequest, slots: FilmSlots | None = None
) -> ReadFilm | Work:
    """Read a film as inference does, unless its name says otherwise."""
    if isinstance(job, FilmJob):
        misbehave(job.file.name)
    return film_task(job, request=request, slots=slots)
