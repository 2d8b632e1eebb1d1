"""Read films in processes of their own: one that hangs, crashes or swallows memory costs one result.

A decoder written in C can end its process, or never come back, and no ``except`` helps. So films are read in worker
processes, each on pipes of its own: what happens to one worker cannot damage what another is saying. A worker whose
film exceeds its time is killed. A worker that ends by itself takes its film with it only when a second worker has ended
on the same film, because a system that is short of memory kills innocent processes too. Results come in order, with a
bounded number of them waiting, so memory stays flat however long the list.

Workers are fresh interpreters (``spawn``): a forked one may inherit a lock that a thread of the parent holds. So a
script that uses a pool needs the usual ``if __name__ == "__main__":``. Ctrl-C does not reach them, the parent answers
it; and they end when their parent does, however it ended.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from pipelines.errors import CxrError, Reason
from pipelines.film_worker import SHORT_OF_MEMORY, Failure, Refusal, out_of_memory, work

__all__ = ["FILM_BYTES", "FILM_SECONDS", "NOT_YET", "FilmPool", "NotYet", "Refusal"]

T = TypeVar("T")
R = TypeVar("R")

FILM_SECONDS: Final = 60.0
"""Longest time for one film."""
FILM_BYTES: Final = 4 << 30
"""Most memory for one film: 64 bytes for each of the 64 Mi pixels of the largest film that is read."""


class NotYet(Enum):
    """The type of `NOT_YET`."""

    NOT_YET = "not yet"


NOT_YET: Final = NotYet.NOT_YET
"""What an iterator of tasks gives while it has none but will have: it is asked again after `FilmPool.poke`."""

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_START_SECONDS: Final = 120.0
_MAX_FAILED_STARTS: Final = 3
_MAX_CRASHES: Final = 2
_SMALL_MESSAGE: Final = 16 << 10
"""Bytes that certainly fit into an empty pipe, so that sending them does not wait for the worker."""


@dataclass(eq=False, slots=True)
class _Chunk:
    """Consecutive tasks that travel together."""

    first: int
    """Number of the first task."""
    tasks: list[Any]
    crashes: int = 0
    """How many workers ended on it."""


@dataclass(eq=False, slots=True)
class _Worker:
    process: BaseProcess
    tasks: "Connection[Any, Any]"
    results: "Connection[Any, Any]"
    since: float
    """When it was started, or began with the first chunk of `given`."""
    ready: bool = False
    given: deque[_Chunk] = field(default_factory=deque)
    """At most two: one being worked on, one that waits in the pipe."""

    def end(self) -> int | None:
        """Kill it; return its exit code, negative for the signal that ended it."""
        for pipe in (self.tasks, self.results):
            pipe.close()
        self.process.join(0.2)  # one that crashed is about to have an exit code; one that hangs has none
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join(5.0)  # not for ever: a process that waits for a dead disk cannot be killed
        return self.process.exitcode


class FilmPool(Generic[T, R]):
    """Processes that read films.

    Args:
        function: what is done with one task; from a module that workers can import, as are its tasks and results.
            What it raises is a mistake in the program and is raised again where results are awaited; `MemoryError`
            becomes a refusal.
        workers: how many processes; 0 runs everything in this one, where a crash is everybody's crash and no time is
            kept.
        seconds: the most that one task may take.
        memory: bytes that one task may allocate, beyond what a worker has at its start (Linux; elsewhere no limit).
        chunk: tasks that travel together; more than one saves time where a task takes less than a millisecond. A chunk
            that fails is repeated task by task.
        ahead: most tasks begun before the oldest result is taken; default: 4 chunks for each worker.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        *,
        workers: int,
        seconds: float = FILM_SECONDS,
        memory: int | None = FILM_BYTES,
        chunk: int = 1,
        ahead: int | None = None,
    ) -> None:
        assert workers >= 0
        assert chunk >= 1
        self.function = function
        self.workers = workers
        self.seconds = seconds
        self.memory = memory
        self.chunk = chunk
        self.ahead = max(ahead or 4 * chunk * workers, chunk)
        self._idle: list[_Worker] = []
        self._run: _Run[T, R] | None = None
        self._poked = threading.Event()

    def map(self, tasks: Iterable[T | NotYet]) -> Generator[R | Refusal, None, None]:
        """Yield a result for each task, in order; tasks are taken from the iterable as they are needed.

        A task that crashed its worker gives `Refusal` decoder_crashed, one that took too long timed_out.

        Args:
            tasks: asked from a thread of the pool. It may give `NOT_YET`.

        Raises:
            CxrError: no worker can be started.
        """
        if not self.workers:
            yield from self._all_here(tasks)
            return
        run = self._run = _Run(self, tasks, self._idle)
        self._idle = []
        if self._poked.is_set():  # perhaps after the run's thread had asked, and before anybody knew of the run
            self._poked.clear()
            run.poke()
        try:
            yield from run.results()
        finally:
            self._run = None
            self._idle = run.stop()

    def poke(self) -> None:
        """Have the iterator of tasks asked again that gave `NOT_YET`; from any thread, at any time."""
        self._poked.set()
        if run := self._run:
            run.poke()

    def run(self, task: T) -> R | Refusal:
        """Return the result of one task."""
        return next(self.map([task]))

    def close(self) -> None:
        """End the workers."""
        while self._idle:
            self._idle.pop().end()

    def __enter__(self) -> "FilmPool[T, R]":
        """Nothing is started before the first task."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers."""
        self.close()

    def _all_here(self, tasks: Iterable[T | NotYet]) -> Generator[R | Refusal, None, None]:
        for task in tasks:
            if task is NOT_YET:
                self._poked.wait()
                self._poked.clear()
            else:
                yield self._here(task)

    def _here(self, task: T) -> R | Refusal:
        try:
            return self.function(task)
        except MemoryError:
            return out_of_memory(None)


class _Run(Generic[T, R]):
    """One list of tasks on its way through a pool: a thread keeps the workers busy while the caller uses results."""

    def __init__(self, pool: FilmPool[T, R], tasks: Iterable[T | NotYet], workers: list[_Worker]) -> None:
        self.pool = pool
        self.source: Iterator[T | NotYet] = iter(tasks)
        self.workers = workers
        self.again: deque[_Chunk] = deque()
        self.begun = 0
        self.delivered = 0
        self.finished: dict[int, Any] = {}
        self.failed_starts = 0
        self.exhausted = self.stopping = self.over = False
        self.error: BaseException | None = None
        self.changed = threading.Condition()
        self.wake_receiver, self.wake_sender = multiprocessing.Pipe(duplex=False)
        self.waits_for_caller = self.woken = False
        self.thread = threading.Thread(target=self._serve, name="film pool", daemon=True)
        self.thread.start()

    def results(self) -> Generator[R | Refusal, None, None]:
        """Yield results in order as they come."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.delivered in self.finished or self.over)
                if self.delivered not in self.finished:
                    break
                result = self.finished.pop(self.delivered)
                self.delivered += 1
                if self.waits_for_caller:
                    self._wake()
            if isinstance(result, Failure):
                raise result.error
            yield result
        if self.error is not None:
            raise self.error

    def stop(self) -> list[_Worker]:
        """End what is under way; return the workers that are free for other tasks."""
        with self.changed:
            self.stopping = True
            self._wake()
        self.thread.join()
        with self.changed:
            self.wake_sender.close()
            self.wake_receiver.close()
        return self.workers

    def poke(self) -> None:
        """Ask the source of tasks again."""
        with self.changed:
            if not self.stopping:
                self._wake()

    def _wake(self) -> None:
        self.waits_for_caller = False
        if not self.woken:
            self.woken = True
            self.wake_sender.send_bytes(b"")

    def _serve(self) -> None:
        if hasattr(signal, "pthread_sigmask"):  # processes started by this thread inherit what it does not hear
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            while not self.stopping and self._give():
                self._receive()
        except BaseException as error:  # noqa: BLE001  raised again where the caller waits for results
            self.error = error
        finally:
            busy = [worker for worker in self.workers if worker.given or not worker.ready]
            for worker in busy:
                worker.process.kill()  # all at once: none is waited for while the others go on
            for worker in busy:
                self.workers.remove(worker)
                worker.end()
            with self.changed:
                self.over = True
                self.changed.notify_all()

    def _give(self) -> bool:
        """Give tasks to whoever can take them; whether there is anything left to wait for."""
        missing = self.pool.workers - len(self.workers)
        for _ in range(missing if self._peek() else 0):
            self.workers.append(_start(self.pool))
        for depth in (1, 2):
            for worker in [worker for worker in self.workers if worker.ready and len(worker.given) < depth]:
                self._give_to(worker)
        return not self.exhausted or bool(self.again) or any(worker.given for worker in self.workers)

    def _give_to(self, worker: _Worker) -> None:
        chunk = self._next_chunk()
        if chunk is None:
            return
        message = pickle.dumps(chunk.tasks, pickle.HIGHEST_PROTOCOL)
        if worker.given and len(message) > _SMALL_MESSAGE:
            self.again.appendleft(chunk)
            return
        if not worker.given:
            worker.since = time.monotonic()
        worker.given.append(chunk)
        with contextlib.suppress(OSError):  # it has just died: said when its results are read
            worker.tasks.send_bytes(message)

    def _peek(self) -> bool:
        """Whether a chunk is to be given now or later."""
        if not self.again and (chunk := self._next_chunk()) is not None:
            self.again.append(chunk)
        return bool(self.again)

    def _next_chunk(self) -> _Chunk | None:
        if self.again:
            return self.again.popleft()
        with self.changed:
            room = self.pool.ahead - (self.begun - self.delivered)
            self.waits_for_caller = room < 1
        if self.exhausted or room < 1:
            return None
        tasks = self._take(min(self.pool.chunk, room))
        if not tasks:
            return None
        self.begun += len(tasks)
        return _Chunk(self.begun - len(tasks), tasks)

    def _take(self, most: int) -> list[T]:
        """Take tasks from the source: fewer where it has no more, or no more for now."""
        tasks: list[T] = []
        while len(tasks) < most:
            try:
                task = next(self.source)
            except StopIteration:
                self.exhausted = True
                break
            if task is NOT_YET:
                break
            tasks.append(task)
        return tasks

    def _receive(self) -> None:
        """Wait until a worker says something, dies or runs out of time, or the caller makes room."""
        ends = [(self._deadline(worker), worker) for worker in self.workers if worker.given or not worker.ready]
        soonest = min((end for end, _ in ends), default=None)
        timeout = None if soonest is None else max(0.0, soonest - time.monotonic())
        spoke = set(wait([self.wake_receiver, *(worker.results for worker in self.workers)], timeout))
        if self.wake_receiver in spoke:
            with self.changed:
                self.wake_receiver.recv_bytes()
                self.woken = False
        now = time.monotonic()
        for worker in list(self.workers):
            if worker.results in spoke:
                self._hear(worker)
            elif (worker.given or not worker.ready) and self._deadline(worker) <= now:
                self._lose(worker, late=True)

    def _deadline(self, worker: _Worker) -> float:
        return worker.since + (self.pool.seconds if worker.ready else _START_SECONDS)

    def _hear(self, worker: _Worker) -> None:
        try:
            said = pickle.loads(worker.results.recv_bytes())
        except (EOFError, OSError):
            self._lose(worker, late=False)
            return
        worker.since = time.monotonic()
        if not worker.ready:
            worker.ready = True
            return
        self.failed_starts = 0
        self._finish(worker.given.popleft(), said)

    def _finish(self, chunk: _Chunk, results: list[Any]) -> None:
        with self.changed:
            self.finished.update(enumerate(results, start=chunk.first))
            self.changed.notify()

    def _lose(self, worker: _Worker, *, late: bool) -> None:
        """Settle what a worker had that died or is too late."""
        self.workers.remove(worker)
        code = worker.end()
        if worker.ready and not worker.given:  # ended from outside while it had nothing to do
            return
        if not worker.given:
            self.failed_starts += 1
            if self.failed_starts >= _MAX_FAILED_STARTS:
                raise CxrError(
                    f"no process that reads films can be started ({_how(code)}); a script needs "
                    "`if __name__ == '__main__':`, and memory may be short: try fewer workers"
                )
            return
        chunk, *waiting = worker.given
        self.again.extendleft(reversed(waiting))
        late = late or code == -getattr(signal, "SIGALRM", 0)
        chunk.crashes += not late and code != -signal.SIGTERM  # which a film does not send, but whoever evicts a job
        if len(chunk.tasks) > 1:
            singles = [_Chunk(chunk.first + place, [task]) for place, task in enumerate(chunk.tasks)]
            self.again.extendleft(reversed(singles))
        elif late:
            self._finish(chunk, [Refusal(Reason.TIMED_OUT, f"reading it took longer than {self.pool.seconds:g} s")])
        elif chunk.crashes < _MAX_CRASHES:
            self.again.appendleft(chunk)
        elif code == SHORT_OF_MEMORY:  # twice, in workers that had read others: what a fresh one would say
            self._finish(chunk, [out_of_memory(self.pool.memory)])
        else:
            detail = f"its decoder ended the process that read it ({_how(code)})"
            self._finish(chunk, [Refusal(Reason.DECODER_CRASHED, detail)])


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Start processes whose numerical libraries use one thread: the other cores have processes of their own."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(pool: FilmPool[Any, Any]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    tasks_there, tasks_here = context.Pipe(duplex=False)
    results_here, results_there = context.Pipe(duplex=False)
    args = (tasks_there, results_there, pool.function, pool.seconds, pool.memory)
    process = context.Process(target=work, args=args, name="film worker", daemon=True)
    try:
        with _one_thread_each():
            process.start()
    finally:
        # The worker must hold the only other ends: then each side sees at once that the other is gone.
        tasks_there.close()
        results_there.close()
    return _Worker(process, tasks_here, results_here, time.monotonic())
