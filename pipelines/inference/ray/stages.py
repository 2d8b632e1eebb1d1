"""What the machines of a Ray cluster do with a batch: read its films, run the network, write its pictures.

Between two stages a batch is one row of an Arrow table: numbers and texts pickled, pixels beside them as raw bytes,
which the next stage sees in the object store without unpickling them. A stage never raises: what went wrong travels in
the row to the driver, where it is raised again. So what Ray itself reports is a lost process or machine, not a film.
"""

import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.decoding import DecodedFilm, DecodeRequest, FilmJob, PictureJob, ReadFilm, Work, film_task
from pipelines.errors import CxrError
from pipelines.film_pool import NOT_YET, FilmPool, Refusal
from pipelines.film_slots import FilmSlots, can_share
from pipelines.inference.decode import assemble
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.picture_jobs import picture_jobs
from pipelines.inference.predictor import Predictor
from pipelines.inference.ray.cluster import describe_installation, difference, fetch

_SCHEMA: Final = pa.schema(
    [
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("said", pa.large_binary()),
        ("pixels", pa.list_(pa.large_binary())),
    ]
)
_ASK_SECONDS: Final = 1.0
"""How often a stage asks whether the run is to stop."""


@dataclass(frozen=True, slots=True)
class Order:
    """What every machine is told of the run. References are to Ray's object store."""

    films: Any
    """Reference to the films of the run."""
    package: Any
    """Reference to the files of the model package: bytes by relative path."""
    flag: Any
    """Actor that knows whether the run is to stop."""
    task: Callable[..., ReadFilm | Work]
    """What reads one film."""
    request: DecodeRequest
    batch_size: int
    workers: int
    """Reading processes of one reading actor."""
    predictor: Mapping[str, Any]
    """Keyword arguments of `Predictor.from_package`."""
    identity: tuple[str, str | None]
    """Model and export that the driver has loaded."""
    installation: Mapping[str, str]
    """Versions of the driver."""
    pictures: Path | None


class Skipped(NamedTuple):
    """A batch that was not begun, because the run is to stop."""

    whole: bool
    """Nothing of its task was begun: it, and so every later task, started after the run was asked to stop."""


class Scored(NamedTuple):
    """What became of a batch."""

    rows: list[dict[str, Any]]
    states: list[str]
    reading: Work
    network: float
    """Seconds that a thread was busy with the network and its rows."""
    processor: float
    """Seconds of processor time of that."""
    drawing: float = 0.0
    """Seconds of processor time for pictures."""


def packed(batch: range, value: object) -> pa.Table:
    """One row for a batch; the bytes of NumPy arrays are laid beside the pickle, copied once."""
    buffers: list[pickle.PickleBuffer] = []
    said = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    columns = [
        pa.array([batch.start], pa.int64()),
        pa.array([batch.stop], pa.int64()),
        pa.array([said], pa.large_binary()),
        _one_list([buffer.raw() for buffer in buffers]),
    ]
    return pa.table(columns, schema=_SCHEMA)


def unpacked(table: pa.Table) -> Iterator[tuple[range, Any]]:
    """Yield batches and what is said of them; arrays are views of the table's own bytes."""
    for start, stop, said, pixels in zip(*(table[name] for name in _SCHEMA.names), strict=True):
        yield range(start.as_py(), stop.as_py()), pickle.loads(said.as_buffer(), buffers=_views(pixels.values))


def _views(values: pa.Array) -> list[pa.Buffer]:
    """The bytes of binary values where they lie; Arrow's own scalars are copies."""
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int64, len(values) + 1, 8 * values.offset).tolist() if len(values) else [0]
    return [data.slice(start, stop - start) for start, stop in pairwise(ends)]


def tasks_table(batches: Sequence[range]) -> pa.Table:
    """The batches of one reading task."""
    return pa.table(
        {"start": pa.array([b.start for b in batches], pa.int64()), "stop": [batch.stop for batch in batches]}
    )


def _one_list(buffers: Sequence[memoryview]) -> pa.Array:
    """An array of one list of binary values."""
    offsets = pa.array([0, *accumulate(len(buffer) for buffer in buffers)], pa.int64())
    values = [None, offsets.buffers()[1], pa.py_buffer(b"".join(buffers))]
    flat = pa.Array.from_buffers(pa.large_binary(), len(buffers), values)
    return pa.ListArray.from_arrays(pa.array([0, len(buffers)], pa.int32()), flat)


class FilmReader:
    """Reads the films of a task in processes of its own, a batch at a time: an actor of the reading stage."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._films: Sequence[FilmInput] | None = None
        self._pool: FilmPool[FilmJob, Any] | None = None
        self._slots: FilmSlots | None = None
        self._lanes = 2 + -(-2 * order.workers // order.batch_size)
        self._stopping, self._asked = False, 0.0

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Yield one row for each batch of a task."""
        starts, stops = table["start"].to_pylist(), table["stop"].to_pylist()
        batches = [range(start, stop) for start, stop in zip(starts, stops, strict=True)]
        done = 0
        try:
            self._open()
            for batch, answers in self._read(batches):
                yield packed(batch, answers)
                done += 1
        except Exception as error:  # noqa: BLE001  raised again in the driver
            yield from (packed(batch, portable(error)) for batch in batches[done:])
            return
        yield from (packed(batch, Skipped(whole=not done)) for batch in batches[done:])

    def _open(self) -> None:
        if self._films is not None:
            return
        order = self.order
        _check_installation(order)
        self._films = fetch(order.films)
        if order.workers and can_share():
            request = order.request
            self._slots = FilmSlots(self._lanes * order.batch_size, request.size, request.picture_side)
        task = partial(order.task, request=order.request, slots=self._slots)
        self._pool = FilmPool(task, workers=order.workers, ahead=2 * self._lanes * order.batch_size)

    def _read(self, batches: Sequence[range]) -> Iterator[tuple[range, list[ReadFilm | Refusal]]]:
        assert self._pool is not None
        free = deque(range(self._lanes))
        begun: deque[tuple[range, int]] = deque()
        answers: list[ReadFilm | Refusal] = []
        for answer in self._pool.map(self._jobs(batches, free, begun)):
            batch, lane = begun[0]
            answers.append(self._with_pixels(answer, lane * self.order.batch_size + len(answers)))
            if len(answers) == len(batch):
                yield batch, answers
                answers = []
                begun.popleft()
                free.append(lane)
                self._pool.poke()

    def _jobs(self, batches: Sequence[range], free: deque[int], begun: deque[tuple[range, int]]) -> Iterator[Any]:
        assert self._films is not None
        for batch in batches:
            if self._is_to_stop():
                return
            while not free:
                yield NOT_YET
            lane = free.popleft()
            begun.append((batch, lane))
            for place, position in enumerate(batch):
                yield FilmJob(self._films[position].file, lane * self.order.batch_size + place)

    def _with_pixels(self, answer: ReadFilm | Refusal, slot: int) -> ReadFilm | Refusal:
        """The answer with views of what its reading process put into the slot."""
        if self._slots is None or isinstance(answer, Refusal) or not isinstance(answer.outcome, DecodedFilm):
            return answer
        film = answer.outcome._replace(square=self._slots.squares[slot])
        if answer.picture_shape is not None:
            film = film._replace(picture=self._slots.picture(slot, answer.picture_shape))
        return answer._replace(outcome=film, picture_shape=None)

    def _is_to_stop(self) -> bool:
        now = time.monotonic()
        if not self._stopping and now - self._asked > _ASK_SECONDS:
            self._asked = now
            self._stopping = bool(fetch(self.order.flag.raised.remote(), otherwise=False))
        return self._stopping


class FilmScorer:
    """Runs the network on batches, several threads side by side: an actor of the network's stage."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._opening = threading.Lock()
        self._films: Sequence[FilmInput] | None = None
        self._predictor: Predictor | None = None

    def __getstate__(self) -> Mapping[str, Any]:
        """Only the order travels."""
        return {"order": self.order}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """As new."""
        self.__init__(state["order"])  # type: ignore[misc]

    def __call__(self, table: pa.Table) -> Iterator[pa.Table]:
        """Yield one row for each batch."""
        for batch, answers in unpacked(table):
            try:
                yield self._score(batch, answers) if isinstance(answers, list) else packed(batch, answers)
            except Exception as error:  # noqa: BLE001  raised again in the driver
                yield packed(batch, portable(error))

    def _score(self, batch: range, answers: list[ReadFilm | Refusal]) -> pa.Table:
        with self._opening:
            predictor = self._predictor = self._predictor or self._open()
        assert self._films is not None
        films = list(self._films[batch.start : batch.stop])
        decoded = assemble(batch, [film.file for film in films], answers, self.order.request)
        wall, processor = time.perf_counter(), time.thread_time()
        scored = predictor.score(decoded, [film.image_id for film in films], [film.path for film in films])
        wall, processor = time.perf_counter() - wall, time.thread_time() - processor
        outcome = Scored(scored.rows, decoded.states, decoded.work, wall, processor)
        if not self.order.pictures:
            return packed(batch, outcome)
        return packed(batch, (outcome, picture_jobs(self.order.pictures, decoded, scored, predictor.findings)))

    def _open(self) -> Predictor:
        _check_installation(self.order)
        self._films = fetch(self.order.films)
        self._folder = TemporaryDirectory(prefix="cxr-package-")  # an export is read from its file as it is needed
        for name, content in fetch(self.order.package).items():
            path = Path(self._folder.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        predictor = Predictor.from_package(Path(self._folder.name), **self.order.predictor)
        found = (predictor.package.model_id, predictor.export_digest)
        if found != self.order.identity:
            raise CxrError(f"a machine of the Ray cluster runs model {found}, expected {self.order.identity}")
        return predictor


def write_batch_pictures(table: pa.Table) -> Iterator[pa.Table]:
    """Write the pictures of batches and pass on what became of them."""
    for batch, value in unpacked(table):
        if not isinstance(value, tuple) or isinstance(value, (Scored, Skipped)):
            yield packed(batch, value)
            continue
        outcome, jobs = value
        try:
            yield packed(batch, outcome._replace(drawing=_write_all(jobs)))
        except Exception as error:  # noqa: BLE001  raised again in the driver
            yield packed(batch, portable(error))


def _write_all(jobs: Sequence[PictureJob]) -> float:
    work = [film_task(job, request=DecodeRequest(0)) for job in jobs]
    return sum(done.processor for done in work if isinstance(done, Work))


def _check_installation(order: Order) -> None:
    wrong = difference(order.installation, describe_installation())
    if wrong:
        raise CxrError(f"a machine of the Ray cluster has {wrong}; install the same versions on all of them")


def portable(error: Exception) -> Exception:
    """An exception that survives the way to the driver."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  any class of exception may refuse to be pickled in its own way
        return RuntimeError(f"{type(error).__name__} on a machine of the Ray cluster")
    return error
