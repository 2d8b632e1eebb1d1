"""Films through the machines of a Ray cluster: actors read them, other actors run the network, the driver records rows.

Batches are those of a run on one machine, and so are their rows. Ray repeats what was under way on a machine or in a
process that is lost. Where it gives up (what was lost cannot be made again), the batches that are not recorded are
begun anew; a batch that comes twice is recorded once.
"""

import importlib
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pipelines import decoding
from pipelines.decoding import PICTURE_SIDE
from pipelines.errors import CxrError, Reason
from pipelines.film_files import FilmFile, file_state
from pipelines.inference.choices import choose_device
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.local import Record
from pipelines.inference.predictor import Predictor
from pipelines.inference.ray.cluster import check_machines, connected, describe_installation, nodes
from pipelines.inference.ray.stages import (
    FilmReader,
    FilmScorer,
    Order,
    Scored,
    Skipped,
    tasks_table,
    unpacked,
    write_batch_pictures,
)
from pipelines.inference.ray.usage import ClusterUsage
from pipelines.inference.usage import Usage

_TASK_FILMS: Final = 128
"""Films of one reading task in a long run: at its end reading processes wait for the last film."""
_TASKS_PER_CORE: Final = 8
"""Reading tasks in a short run, so that no machine is left without."""
_MOST_TASKS: Final = 4096
"""The driver holds something for each of them."""
_ACTOR_WORKERS: Final = 2
"""Reading processes of one reading actor, where nobody chose: with one of the network's actors beside it, two cores."""
_ACTOR_STREAMS: Final = 2
"""Threads of one of the network's actors on a CPU, where nobody chose."""
_SHARED_CORE: Final = 0.5
"""Of a core for a reading process, and for a thread of the network, on a CPU: whoever has something to do computes."""
_MOST_LOSSES: Final = 3
"""Times in a row that Ray may give up without a single batch being finished."""
_ASK_SECONDS: Final = 0.2
_NOT_SEEN: Final = frozenset({Reason.MISSING.value, Reason.UNREADABLE_FILE.value})


class RayWarning(UserWarning):
    """A cluster is used less well than it could be."""


def actor_defaults(workers: int | None, streams: int | None, device: str) -> tuple[int, int | None]:
    """Return reading processes and threads of the network for one actor each; the cluster decides how many actors."""
    if streams is None and choose_device(device).type == "cpu":
        streams = _ACTOR_STREAMS
    return _ACTOR_WORKERS if workers is None else workers, streams


class RayRun:
    """One list of batches on its way through a Ray cluster.

    Args:
        films: all films of the run.
        batches: which of them, batch by batch, group by group.
        predictor: what scores them here; the actors load the same.
        package: its folder; sent to the machines.
        workers: reading processes of each reading actor; 0 reads in the actor itself, where nothing holds a film back.
        record: takes down what becomes of each batch.
        pictures: folder for pictures that all machines share; None for none.
        stop: asked five times a second; once true, no further batch is begun.
    """

    def __init__(
        self,
        films: Sequence[FilmInput],
        batches: Iterator[list[range]],
        predictor: Predictor,
        *,
        package: Path,
        workers: int,
        record: Record,
        pictures: Path | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.films, self.predictor, self.package, self.workers = films, predictor, package, workers
        self.record, self.pictures, self.stop = record, pictures.resolve() if pictures else None, stop
        self.usage = ClusterUsage()
        self._batches = batches
        self._left: dict[int, range] = {}
        """By first film: batches that are not recorded."""

    def run(self) -> Usage:
        """Do all batches.

        Raises:
            PackageError: the network gives scores that are not finite.
            OSError: rows or pictures cannot be written.
            CxrError: Ray is absent or no cluster answers; a machine is not fit for the run (which, and why); no reading
                process can be started; machines are lost faster than they finish anything.
        """
        with connected() as ray:
            self._left = {batch.start: batch for group in self._batches for batch in group}
            if self._left:
                self._check(ray)
                self._carry_out(ray)
        self.usage.stop()
        return self.usage

    def _check(self, ray: Any) -> None:
        check_machines(ray, _Files(self.films), self.pictures)
        resources = ray.cluster_resources()
        self.usage.cores = resources.get("CPU", 0.0)
        gpus = resources.get("GPU", 0.0)
        if self.predictor.device.type == "cuda" and not gpus:
            raise CxrError("this machine has a GPU, but the Ray cluster has none; choose --device cpu")
        if self.predictor.device.type == "cpu" and gpus:
            warnings.warn(
                f"the {gpus:g} GPUs of the Ray cluster are not used: the run was begun on a machine without one, or "
                "with --device cpu",
                RayWarning,
                stacklevel=2,
            )
        reading, network = self._shares()
        largest = max((node["Resources"].get("CPU", 0.0) for node in nodes(ray)), default=0.0)
        if max(reading, network) > largest or reading + network > self.usage.cores:
            raise CxrError(
                f"a reading actor takes {reading:g} CPUs and one of the network {network:g}, but the Ray cluster has "
                f"{self.usage.cores:g} (its largest machine {largest:g}); choose fewer --workers or --streams"
            )

    def _shares(self) -> tuple[float, float]:
        """CPUs of a reading actor and of one of the network's."""
        if self.predictor.device.type == "cuda":
            return float(max(self.workers, 1)), 0.0
        return _SHARED_CORE * max(self.workers, 1), _SHARED_CORE * self.predictor.streams

    def _carry_out(self, ray: Any) -> None:
        with _flag(ray) as flag, _stopping(flag, self.stop), _batch_by_batch(ray):
            order = self._order(ray, flag)
            losses = 0
            while self._left and not self.stop():
                before = len(self._left)
                try:
                    if not self._pass(ray, order):
                        return
                except ray.exceptions.RayError as error:
                    losses = 0 if len(self._left) < before else losses + 1
                    if losses == _MOST_LOSSES:
                        raise CxrError(
                            f"the Ray cluster lost its work {losses} times without finishing a batch "
                            f"({type(error).__name__}); what is finished is kept: run the same command again"
                        ) from None

    def _pass(self, ray: Any, order: Order) -> bool:
        """Stream what is left through the cluster; False where the run was stopped."""
        stream = self._stages(ray, order).iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1)
        skipped: set[int] = set()
        limit: int | None = None
        for table in stream:
            for batch, outcome in unpacked(table):
                if isinstance(outcome, Skipped):
                    skipped.add(batch.start)
                    if outcome.whole:
                        limit = batch.start if limit is None else min(limit, batch.start)
                else:
                    self._take(batch, outcome)
            # Reading tasks begin in order: all that began before the run was asked to stop lie before the limit.
            if limit is not None and not any(start < limit for start in self._left.keys() - skipped):
                return False
        return not skipped

    def _take(self, batch: range, outcome: Scored | Exception) -> None:
        if batch.start not in self._left:  # begun twice, because a machine was thought to be lost
            return
        if isinstance(outcome, Exception):
            raise outcome
        self._check_seen(batch, outcome)
        self.record(batch, outcome.rows, outcome.states)
        self.usage.took(outcome)
        del self._left[batch.start]

    def _check_seen(self, batch: range, outcome: Scored) -> None:
        """Refuse rows of a machine that lacks the films' folder: one that joined later, or lost it."""
        for position, row, state in zip(batch, outcome.rows, outcome.states, strict=True):
            if row.get("reason") not in _NOT_SEEN:
                continue
            here = file_state(self.films[position].file)
            if here != state:
                raise CxrError(
                    f"a machine of the Ray cluster does not see film {position + 1} of the list as this machine does "
                    f"(here {here}, there {state}); films must lie in a folder that all machines share, or in an "
                    "object store; what is finished is kept: run the same command again"
                )

    def _order(self, ray: Any, flag: Any) -> Order:
        predictor = self.predictor
        request = predictor.request(picture_side=PICTURE_SIDE if self.pictures else None)
        files = {
            path.relative_to(self.package).as_posix(): path.read_bytes()
            for path in sorted(self.package.rglob("*"))
            if path.is_file()
        }
        return Order(
            films=ray.put(self.films),
            package=ray.put(files),
            flag=flag,
            task=decoding.film_task,
            request=request,
            batch_size=predictor.batch_size,
            workers=self.workers,
            predictor={
                "device": predictor.device.type,
                "backend": predictor.backend,
                "precision": predictor.precision,
                "compile": predictor.compiled,
                "batch_size": predictor.batch_size,
                "streams": predictor.streams,
                "site": predictor.site,
                "score_atypical": predictor.score_atypical,
            },
            identity=(predictor.package.model_id, predictor.export_digest),
            installation=describe_installation(),
            pictures=self.pictures,
        )

    def _stages(self, ray: Any, order: Order) -> Any:
        data, streams = ray.data, self.predictor.streams
        on_gpu = self.predictor.device.type == "cuda"
        reading, network = self._shares()
        whole: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}
        actor: dict[str, Any] = whole | {"fn_constructor_args": (order,)}
        threads = data.ActorPoolStrategy(
            min_size=1, max_concurrent_calls_per_actor=streams, enable_true_multi_threading=True
        )
        stages = (
            data.from_arrow(self._tasks())
            .map_batches(FilmReader, num_cpus=reading, compute=data.ActorPoolStrategy(min_size=1), **actor)
            .map_batches(FilmScorer, num_cpus=network, num_gpus=1 if on_gpu else None, compute=threads, **actor)
        )
        if self.pictures:
            # No share of a core: on a small machine the actors above hold all of them.
            stages = stages.map_batches(
                write_batch_pictures, num_cpus=0, concurrency=max(1, int(self.usage.cores)), **whole
            )
        return stages

    def _tasks(self) -> list[Any]:
        batches = list(self._left.values())
        films = sum(map(len, batches))
        wanted = max(int(_TASKS_PER_CORE * self.usage.cores), films // _TASK_FILMS)
        each = -(-len(batches) // min(wanted, _MOST_TASKS, len(batches)))
        return [tasks_table(batches[first : first + each]) for first in range(0, len(batches), each)]


class _Files(Sequence[FilmFile]):
    """The files of films."""

    def __init__(self, films: Sequence[FilmInput]) -> None:
        self.films = films

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, place: Any) -> Any:
        return self.films[place].file


@contextmanager
def _flag(ray: Any) -> Iterator[Any]:
    """An actor beside the driver that knows whether the run is to stop."""

    # Inside a function, so that it travels as code and its process need not import this project.
    class Flag:
        def __init__(self) -> None:
            self.is_up = False

        def raise_it(self) -> None:
            self.is_up = True

        def raised(self) -> bool:
            return self.is_up

    strategy = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    here = strategy(ray.get_runtime_context().get_node_id(), soft=False)
    flag = ray.remote(num_cpus=0, scheduling_strategy=here)(Flag).remote()
    try:
        yield flag
    finally:
        ray.kill(flag)


@contextmanager
def _stopping(flag: Any, stop: Callable[[], bool]) -> Iterator[None]:
    """Raise the flag once the run is asked to stop; it is asked from a thread, because the driver waits for batches."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(_ASK_SECONDS):
            if stop():
                flag.raise_it.remote()
                return

    thread = threading.Thread(target=ask, name="stop", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _batch_by_batch(ray: Any) -> Iterator[None]:
    """Have a batch go to the next stage as soon as it is there, alone."""
    context = ray.data.DataContext.get_current()
    before, context.target_max_block_size = context.target_max_block_size, 1
    try:
        yield
    finally:
        context.target_max_block_size = before
