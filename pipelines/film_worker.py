"""What a process of `pipelines.film_pool` runs: tasks come through one pipe, results go back through another.

Nothing a decoder prints reaches the terminal: it may quote a header.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2

from pipelines.errors import Reason

resource: Any
try:
    import resource
except ImportError:  # Windows has no limits of this kind
    resource = None

ORPHAN_SECONDS: Final = 5.0
"""How long beyond its film's time a worker lives whose parent is not there to end it."""

SHORT_OF_MEMORY: Final = 77
"""Exit code of a worker that has read films before and had too little memory for one."""


class Refusal(NamedTuple):
    """Why a film could not be used."""

    reason: Reason
    detail: str


class Failure(NamedTuple):
    """An exception that the pool's function raised: a mistake in the program, not in a film."""

    error: BaseException


def out_of_memory(memory: int | None) -> Refusal:
    """What becomes of a film whose reading needs more memory than it may have."""
    allowed = f" than the {memory >> 20:,} MiB that one film may have" if memory else " than there is"
    return Refusal(Reason.DECODER_CRASHED, f"reading it needs more memory{allowed}")


def work(
    tasks: "Connection[Any, Any]",
    results: "Connection[Any, Any]",
    function: Callable[[Any], Any],
    seconds: float,
    memory: int | None,
) -> None:
    """Run tasks until the parent closes its end.

    Args:
        tasks: gives lists of tasks.
        results: is told when the worker is ready (None), then takes a list of results for each list of tasks.
        function: what is done with one task.
        seconds: the most that one list may take, plus `ORPHAN_SECONDS`, before the kernel ends the worker.
        memory: bytes of data this process may add to what it has; None for no limit.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _be_quiet()
    _limit(memory)
    cv2.setNumThreads(1)  # the other cores have workers of their own
    try:
        send(results, None)
        fresh = True
        while True:
            chunk = pickle.loads(tasks.recv_bytes())
            _end_after(seconds + ORPHAN_SECONDS)
            answers = [_answer(function, task, memory) for task in chunk]
            if not fresh and any(answer == out_of_memory(memory) for answer in answers if isinstance(answer, Refusal)):
                # Earlier films may have left too little: a fresh worker, which repeats the chunk, has the last word.
                os._exit(SHORT_OF_MEMORY)
            fresh = False
            answer = pickle.dumps(answers, pickle.HIGHEST_PROTOCOL)
            _end_after(0.0)
            results.send_bytes(answer)
    except (EOFError, OSError):  # the parent is gone, or has no further use for this worker
        return


def send(pipe: "Connection[Any, Any]", value: object) -> None:
    """Send a picklable value; NumPy arrays are copied once."""
    pipe.send_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def _answer(function: Callable[[Any], Any], task: object, memory: int | None) -> object:
    try:
        return function(task)
    except MemoryError:
        return out_of_memory(memory)
    except Exception as error:  # noqa: BLE001  raised again in the parent
        return Failure(_portable(error))


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  any class of exception may refuse to be pickled in its own way
        return RuntimeError(f"{type(error).__name__} in a film worker")
    return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _be_quiet() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _limit(memory: int | None) -> None:
    if resource is None:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file holds the film
    if memory is not None:
        # RLIMIT_DATA counts what is allocated; RLIMIT_AS would also count libraries and files that are merely mapped.
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = _data_bytes() + memory
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """Bytes of data this process has now; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), 0)


def _end_after(seconds: float) -> None:
    # The default action of SIGALRM ends the process without asking Python, which a decoder may keep from running: even
    # a worker that hangs in such a decoder, and whose parent was killed, must not hang for ever.
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
