"""The batch engine: any list of films → one table with a row for each, continued where it was interrupted."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import CxrError
from pipelines.evaluation.predictions import HEATMAP_FOLDER
from pipelines.inference.folder_lock import locked
from pipelines.inference.inputs.collect import InputList
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.inputs.sources import Sources
from pipelines.inference.ledger import Ledger, current_states, part_ranges, states_digest
from pipelines.inference.local import LocalRun, default_workers
from pipelines.inference.outputs import (
    CSV_FILE,
    DIGESTS_FILE,
    PARTS_FOLDER,
    RUN_FILE,
    TABLE_FILE,
    read_json,
    write_json,
)
from pipelines.inference.plan import close_folder, make_plan, open_folder
from pipelines.inference.predictor import Predictor
from pipelines.inference.ray.run import RayRun, actor_defaults
from pipelines.inference.run_record import describe_run
from pipelines.inference.shards.shard import Shard
from pipelines.inference.summary import RunSummary
from pipelines.inference.table import write_tables
from pipelines.inference.training_films import keep_training_films
from pipelines.inference.usage import Usage
from pipelines.system import replacing

Progress = Callable[[int, int], None]
"""Called with (films done, films in all)."""
Engine = Literal["local", "ray"]


def predict_films(
    inputs: InputList,
    package: Path,
    out: Path,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
    compile: bool = False,  # noqa: A002  torch's own word
    batch_size: int | None = None,
    site: str | None = None,
    score_atypical: bool = False,
    workers: int | None = None,
    streams: int | None = None,
    heatmaps: bool = False,
    restart: bool = False,
    shard: Shard | None = None,
    engine: Engine = "local",
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> RunSummary:
    """Score films and write ``predictions.parquet``, ``predictions.csv`` and ``run.json``.

    Finished batches are kept as they come. Interrupted (Ctrl-C, SIGKILL, a power failure) and called again with the
    same arguments, it goes on with what is missing, and on the same machine ends with the same bytes as if it had never
    stopped (another processor rounds the last digits differently). Called on a complete folder it does nothing. Films
    whose files changed on disk in between are done again.

    Args:
        inputs: from `pipelines.inference.inputs.collect.collect_inputs`.
        package: folder of a model package.
        out: folder for the outputs; with a shard, of all shards, each of which has a folder in it.
        device: see `Predictor`.
        backend: see `Predictor`.
        precision: see `Predictor`.
        compile: see `Predictor`.
        batch_size: see `Predictor`.
        site: see `Predictor`.
        score_atypical: see `Predictor`.
        workers: reading processes, None chooses from the machine. A film that crashes one, or takes longer than a
            minute, costs one row; 0 reads in this process, without that protection. Changes no score. A script needs
            the usual ``if __name__ == "__main__":``.
        streams: batches that go through the network side by side, None chooses from the machine. Changes no score.
        heatmaps: also write pictures of every usable film and its maps.
        restart: throw away what an earlier run left in `out`.
        shard: do only this share of the parts, in a folder of its own inside `out`.
        engine: ``local``, or ``ray`` for the machines of a Ray cluster.
        progress: called after each batch.
        announce: is told how the machine is going to be used, before the first film.
        stop: asked between batches; once true, what is under way is finished and kept, and the run ends.

    Raises:
        PackageError: the model cannot be used.
        CxrError: the folder holds another run (and what differs) or is being written by one, cannot be written, or no
            reading process starts.
    """
    started = time.perf_counter()
    if workers is not None and workers < 0:
        raise CxrError(f"workers must be at least 0, got {workers}")
    if engine == "ray":
        workers, streams = actor_defaults(workers, streams, device)
    predictor = Predictor.from_package(
        package,
        device=device,
        backend=backend,
        precision=precision,
        compile=compile,
        batch_size=batch_size,
        streams=streams,
        site=site,
        score_atypical=score_atypical,
    )
    folder = out / shard.folder if shard else out
    if folder.exists() and not folder.is_dir():
        raise CxrError(f"{text_of(folder)}: expected a folder for the predictions, found a file")
    with locked(folder):
        run = _Run(inputs, predictor, package, folder, heatmaps=heatmaps, shard=shard, started=started)
        if run.open(restart=restart) == "complete":
            return run.summary_of_complete()
        workers = default_workers() if workers is None else workers
        try:
            return run.finish(engine, workers, progress=progress, announce=announce, stop=stop)
        except OSError as error:
            what = error.strerror or str(error) or type(error).__name__
            raise CxrError(
                f"{text_of(folder)}: the run stopped ({what}); what is finished is kept: run the same command again"
            ) from error


class _Run:
    """One plan being carried out in one folder, which nobody else writes into."""

    def __init__(
        self,
        inputs: InputList,
        predictor: Predictor,
        package: Path,
        folder: Path,
        *,
        heatmaps: bool,
        shard: Shard | None,
        started: float,
    ) -> None:
        self.inputs, self.predictor, self.package = inputs, predictor, package
        self.folder, self.shard, self.started = folder, shard, started
        self.plan = make_plan(inputs.films, predictor, heatmaps=heatmaps, shard=shard)
        self.pictures = folder / HEATMAP_FOLDER if heatmaps else None
        whole = part_ranges(len(inputs.films))
        self.parts = [whole[number] for number in shard.parts(len(whole))] if shard else whole
        self.films = sum(map(len, self.parts))

    def open(self, *, restart: bool) -> str:
        """Make the folder ready; say whether there is anything to do."""
        return open_folder(self.folder, self.plan, restart=restart)

    def finish(
        self,
        engine: Engine,
        workers: int,
        *,
        progress: Progress | None,
        announce: Callable[[str], None] | None,
        stop: Callable[[], bool],
    ) -> RunSummary:
        """Do what is not done yet; write the tables."""
        if self.pictures:
            self.pictures.mkdir(exist_ok=True)
        ledger = Ledger(
            self.folder / PARTS_FOLDER,
            self.inputs.films,
            self.parts,
            batch_size=self.predictor.batch_size,
            plan=self.plan.digest,
        )

        sources = Sources.of(self.inputs.films)

        def record(batch: range, rows: list[dict[str, Any]], states: list[str]) -> None:
            sources.check([film.file for film in self.inputs.films[batch.start : batch.stop]], rows)
            ledger.record(batch, rows, states)
            if progress:
                progress(ledger.done, self.films)

        if announce:
            announce(f"{self.predictor.describe()}, {workers} reading processes")
        with closing(ledger):
            usage = self._compute(engine, ledger.pending(), workers, record, stop)
        if ledger.done < self.films:
            return self._summary({}, ledger.computed, stopped_at=ledger.done)
        return self._close(ledger, workers, usage)

    def _compute(
        self,
        engine: Engine,
        batches: Iterator[list[range]],
        workers: int,
        record: Callable[[range, list[dict[str, Any]], list[str]], None],
        stop: Callable[[], bool],
    ) -> Usage:
        if engine == "ray":
            return RayRun(
                self.inputs.films,
                batches,
                self.predictor,
                package=self.package,
                workers=workers,
                record=record,
                pictures=self.pictures,
                stop=stop,
            ).run()
        return LocalRun(
            self.inputs.films,
            batches,
            self.predictor,
            workers=min(workers, self.films),
            record=record,
            pictures=self.pictures,
            stop=stop,
        ).run()

    def _close(self, ledger: Ledger, workers: int, usage: Usage) -> RunSummary:
        digests = write_tables(ledger.tables, self.folder / TABLE_FILE, self.folder / CSV_FILE)
        if self.shard:
            _save_digests(self.folder / DIGESTS_FILE, digests)
        counts, seconds = _counts(ledger, digests), time.perf_counter() - self.started
        record = describe_run(
            self.inputs,
            self.predictor,
            self.plan,
            counts,
            workers=workers,
            computed=ledger.computed,
            seconds=seconds,
            files=ledger.files_digest(),
            usage=usage,
        )
        keep_training_films(self.package, self.folder)
        write_json(self.folder / RUN_FILE, record)
        close_folder(self.folder)
        line = usage.line(seconds, self.predictor) if ledger.computed else None
        return self._summary(counts, ledger.computed, usage=line)

    def summary_of_complete(self) -> RunSummary:
        """Say what the finished run in the folder found.

        Raises:
            CxrError: its films' files changed since.
        """
        record = read_json(self.folder / RUN_FILE) or {}
        states = [current_states(self.inputs.films, part) for part in self.parts]
        shards = len(record.get("shards", ()))
        if shards:  # joined from shards: the digest is of theirs, and each had every N-th part
            states = [states_digest(states[index::shards]) for index in range(shards)]
        if record.get("files_digest") != states_digest(states):
            raise CxrError(
                f"{text_of(self.folder)}: this run is complete, but files of its films changed on disk since (size or "
                "time of change, or they vanished); choose another folder, or restart (--restart)"
            )
        close_folder(self.folder)
        return self._summary(record["counts"], 0, already_complete=True)

    def _summary(
        self,
        counts: Mapping[str, Any],
        computed: int,
        *,
        usage: str | None = None,
        already_complete: bool = False,
        stopped_at: int | None = None,
    ) -> RunSummary:
        return RunSummary(
            out=self.folder,
            films=self.films,
            ok=counts.get("ok", 0),
            rejected=counts.get("rejected", 0),
            error=counts.get("error", 0),
            by_reason=counts.get("by_reason", {}),
            duplicates=counts.get("duplicates", 0),
            computed=computed,
            seconds=time.perf_counter() - self.started,
            skipped=dict(sum((Counter(source.skipped) for source in self.inputs.sources), Counter())),
            usage=usage,
            already_complete=already_complete,
            stopped_at=stopped_at,
        )


def _counts(ledger: Ledger, digests: NDArray[np.uint64]) -> dict[str, Any]:
    """Count rows by status and reason."""
    status: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for table in ledger.tables():
        status.update(table["status"].to_pylist())
        reasons.update(reason for reason in table["reason"].to_pylist() if reason is not None)
    pictures = digests[digests != 0]
    return {
        "inputs": ledger.total,
        "ok": status["ok"],
        "rejected": status["rejected"],
        "error": status["error"],
        "by_reason": dict(sorted(reasons.items())),
        "duplicates": int(pictures.size - np.unique(pictures).size),
    }


def _save_digests(path: Path, digests: NDArray[np.uint64]) -> None:
    with replacing(path, durable=True, sole_writer=True) as temporary, temporary.open("wb") as stream:
        np.save(stream, digests, allow_pickle=False)
