"""Films through one machine: processes read them, threads run the network, processes write pictures, all at once.

Pixels stay where the reading process put them: a batch is a row of slots in shared memory. A row is given out again
when its batch has been scored and its pictures are written, so memory does not depend on how many films there are.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from pipelines import decoding
from pipelines.decoding import PICTURE_SIDE, FilmJob, PictureJob, ReadFilm, Work
from pipelines.errors import CxrError
from pipelines.film_pool import NOT_YET, FilmPool, NotYet, Refusal
from pipelines.film_slots import FilmSlots, can_share
from pipelines.inference.choices import available_memory
from pipelines.inference.decode import assemble
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.picture_jobs import picture_jobs
from pipelines.inference.pinned import pinned
from pipelines.inference.predictor import Predictor
from pipelines.inference.usage import Usage
from pipelines.system import usable_cores

Record = Callable[[range, list[dict[str, Any]], list[str]], None]
"""Takes down (batch, its rows, its files' states) once a batch and its pictures are finished; from several threads."""

_WORKER_BYTES: Final = 1 << 30
"""Memory to leave for each process that reads films: a large film, decoded, and what the decoder needs beside it."""


def default_workers() -> int:
    """Return the number of reading processes: one for each core that has memory to go with it.

    On a CPU the network's threads share the cores with them: whoever has something to do computes.
    """
    return max(1, min(usable_cores(), available_memory() // _WORKER_BYTES))


@dataclass(slots=True)
class _Batch:
    """A batch on its way."""

    positions: range
    lane: int
    """Which row of slots it has."""
    answers: list[ReadFilm | Refusal] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    pictures_left: int = 0


class LocalRun:
    """One list of batches on its way through this machine.

    Args:
        films: all films of the run.
        batches: which of them, batch by batch, group by group; asked for as there is room, from a thread of the run. An
            empty group means that there is nothing for now: it is asked again after `poke`.
        predictor: scores them.
        workers: reading processes; 0 reads in this process, where nothing holds a film back.
        record: takes down what becomes of each batch.
        pictures: folder for pictures; None for none.
        stop: asked between batches; once true, no further batch is begun.
    """

    def __init__(
        self,
        films: Sequence[FilmInput],
        batches: Iterator[list[range]],
        predictor: Predictor,
        *,
        workers: int,
        record: Record,
        pictures: Path | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.films, self.predictor, self.record, self.pictures, self.stop = films, predictor, record, pictures, stop
        self.usage = Usage()
        self._groups = batches
        self._group: deque[range] = deque()
        self._workers = workers
        self._lane_size = predictor.batch_size
        # One batch for each thread of the network, one waiting for each, and those being read.
        self._lanes = 2 * predictor.streams + -(-2 * workers // self._lane_size) + 1
        self._request = predictor.request(picture_side=PICTURE_SIDE if pictures else None)
        self._free = deque(range(self._lanes))
        self._read: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._asked: deque[tuple[_Batch, bool]] = deque()
        """What each answer of the pool will be about: a batch, and whether a picture of it."""
        self._pictures: deque[tuple[_Batch, PictureJob]] = deque()
        self._under_way = 0
        """Batches begun and not finished."""
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._slots: FilmSlots | None = None

    def poke(self) -> None:
        """Have the batches asked again that gave an empty group, or `stop`; from any thread."""
        self._pool.poke()

    def run(self) -> Usage:
        """Do all batches.

        Raises:
            PackageError: the network gives scores that are not finite.
            OSError: rows or pictures cannot be written.
            CxrError: no reading process can be started, or there is no memory for the films.
        """
        with ExitStack() as stack:
            if self._workers and can_share():
                self._slots = self._new_slots()
                stack.callback(self._slots.close)
                if self.predictor.device.type == "cuda":
                    stack.enter_context(pinned(self._slots.squares))
            task = partial(decoding.film_task, request=self._request, slots=self._slots)
            ahead = 2 * self._lanes * self._lane_size
            self._pool = stack.enter_context(FilmPool(task, workers=self._workers, ahead=ahead))
            streams: list[threading.Thread] = []
            stack.callback(self._end, streams)
            try:
                for _ in range(self.predictor.streams):
                    streams.append(threading.Thread(target=self._stream, name="network"))
                    streams[-1].start()
                for answer in self._pool.map(self._jobs()):
                    self._route(answer)
                self._end(streams)
            except BaseException as error:
                self._error = self._error or error  # streams leave what waits for them
                raise
        if self._error is not None:
            raise self._error
        self.usage.stop()
        return self.usage

    def _new_slots(self) -> FilmSlots:
        count = self._lanes * self._lane_size
        try:
            return FilmSlots(count, self._request.size, self._request.picture_side)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise CxrError(
                f"no memory for the {count} films that are under way at a time ({what}); "
                "choose a smaller --batch-size, or fewer --streams or --workers"
            ) from None

    def _end(self, streams: list[threading.Thread]) -> None:
        for _ in streams:
            self._read.put(None)
        for stream in streams:
            if stream.ident is not None:  # it was started
                stream.join()

    def _jobs(self) -> Iterator[Any]:
        """Give the pool its jobs, pictures before films: they free a lane."""
        while self._error is None:
            with self._lock:
                picture = self._pictures.popleft() if self._pictures else None
                lane = self._free.popleft() if picture is None and self._free else None
            if picture is not None:
                self._asked.append((picture[0], True))
                yield picture[1]
            elif lane is None:
                yield NOT_YET
            elif (positions := self._next_batch()) is None or positions is NOT_YET:
                with self._lock:
                    self._free.append(lane)
                if positions is None:
                    break
                yield NOT_YET
            else:
                yield from self._film_jobs(_Batch(positions, lane))
        yield from self._last_pictures()

    def _next_batch(self) -> range | Literal[NotYet.NOT_YET] | None:
        """The next batch to begin; None where there are no more, or the run is to stop."""
        if self.stop():
            return None
        if not self._group:
            group = next(self._groups, None)
            if group is None:
                return None
            self._group.extend(group)
        return self._group.popleft() if self._group else NOT_YET

    def _film_jobs(self, batch: _Batch) -> Iterator[FilmJob]:
        with self._lock:
            self._under_way += 1
        for place, position in enumerate(batch.positions):
            self._asked.append((batch, False))
            yield FilmJob(self.films[position].file, batch.lane * self._lane_size + place)

    def _last_pictures(self) -> Iterator[Any]:
        while self.pictures and self._error is None:
            with self._lock:
                picture = self._pictures.popleft() if self._pictures else None
                over = not self._under_way
            if picture is not None:
                self._asked.append((picture[0], True))
                yield picture[1]
            elif over:
                return
            else:
                yield NOT_YET

    def _route(self, answer: ReadFilm | Work | Refusal) -> None:
        """Hand an answer of the pool on; answers come in the order of the jobs."""
        batch, is_picture = self._asked.popleft()
        if is_picture:
            self._picture_written(batch, answer)
            return
        assert not isinstance(answer, Work)
        batch.answers.append(answer)
        if len(batch.answers) == len(batch.positions):
            self._read.put(batch)

    def _picture_written(self, batch: _Batch, answer: ReadFilm | Work | Refusal) -> None:
        if isinstance(answer, Refusal):  # its process died, twice: no fault of the film
            raise OSError(f"a picture could not be written: {answer.detail}")
        assert isinstance(answer, Work)
        self.usage.drew(answer)
        batch.pictures_left -= 1
        if not batch.pictures_left:
            self._finish(batch)

    def _stream(self) -> None:
        """Run the network on batches that have been read, until there are no more."""
        while (batch := self._read.get()) is not None:
            if self._error is not None:
                continue
            try:
                self._score(batch)
            except BaseException as error:  # noqa: BLE001  raised again by `run`
                self._error = self._error or error
                self._pool.poke()

    def _score(self, batch: _Batch) -> None:
        films = self.films[batch.positions.start : batch.positions.stop]
        files = [film.file for film in films]
        first = batch.lane * self._lane_size
        decoded = assemble(batch.positions, files, batch.answers, self._request, self._slots, first)
        batch.answers.clear()
        started = time.perf_counter()
        scored = self.predictor.score(decoded, [film.image_id for film in films], [film.path for film in films])
        batch.rows, batch.states = scored.rows, decoded.states
        self.usage.read(decoded.work)
        self.usage.ran(time.perf_counter() - started)
        jobs = picture_jobs(self.pictures, decoded, scored, self.predictor.findings) if self.pictures else []
        if not jobs:
            self._finish(batch)
            return
        batch.pictures_left = len(jobs)
        with self._lock:
            self._pictures.extend((batch, job) for job in jobs)
        self._pool.poke()

    def _finish(self, batch: _Batch) -> None:
        self.record(batch.positions, batch.rows, batch.states)
        with self._lock:
            self._free.append(batch.lane)
            self._under_way -= 1
        self._pool.poke()
