"""The batch engine: any list of films → one table with a row for each, continued where it was interrupted."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.explain import enlarge_maps
from pipelines.errors import CxrError
from pipelines.evaluation.predictions import HEATMAP_FOLDER
from pipelines.inference.decode import (
    DecodedBatch,
    batch_ranges,
    default_workers,
    file_state,
    part_ranges,
    states_digest,
    stream_batches,
)
from pipelines.inference.heatmaps import PICTURE_SIDE, write_pictures
from pipelines.inference.inputs import FilmInput, InputList, text_of
from pipelines.inference.outputs import CSV_FILE, PARTS_FOLDER, RUN_FILE, TABLE_FILE, read_json, write_json
from pipelines.inference.plan import Plan, close_folder, make_plan, open_folder
from pipelines.inference.predictor import Predictor, ScoredBatch
from pipelines.inference.run_record import describe_run
from pipelines.inference.table import part_file, read_part, write_part, write_tables

Progress = Callable[[int, int], None]
"""Called with (films done, films in all)."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended."""

    out: Path
    films: int
    ok: int
    rejected: int
    error: int
    by_reason: Mapping[str, int]
    computed: int
    """Films scored by this call; the others were finished by an earlier one."""
    seconds: float
    """Duration of this call."""
    skipped: Mapping[str, int]
    """Entries of the folders that were not taken as films, by kind."""
    already_complete: bool = False

    @property
    def failed(self) -> int:
        """Inputs without a score."""
        return self.rejected + self.error

    def lines(self) -> list[str]:
        """What an operator wants to know when the run is over."""
        text = [f"{self.films:,} films: {self.ok:,} scored, {self.rejected:,} rejected, {self.error:,} unreadable"]
        if self.by_reason:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.by_reason.items())
            text.append(f"without a score: {reasons} (see the reason and detail columns)")
        if self.skipped:
            entries = ", ".join(f"{count:,} {kind}" for kind, count in self.skipped.items())
            text.append(f"not taken as films: {entries}")
        if self.already_complete:
            text.append("this run was complete already: nothing was done")
        elif self.computed:
            kept = self.films - self.computed
            earlier = f", {kept:,} were finished before" if kept else ""
            rate = self.computed / self.seconds
            text.append(f"{self.computed:,} films in {self.seconds:.1f} s ({rate:.1f} per second){earlier}")
        text.append(f"wrote {text_of(self.out / TABLE_FILE)}, {CSV_FILE} and {RUN_FILE}")
        return text


def predict_films(
    inputs: InputList,
    package: Path,
    out: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    heatmaps: bool = False,
    restart: bool = False,
    progress: Progress | None = None,
) -> RunSummary:
    """Score films and write ``predictions.parquet``, ``predictions.csv`` and ``run.json``.

    Work is kept in parts of 128 films. Interrupted (Ctrl-C, SIGKILL) and called again with the same arguments, it goes
    on with the parts that are missing, and on the same machine ends with the same bytes as if it had never stopped
    (another processor rounds the last digits differently). Called on a complete folder it does nothing. Parts whose
    files changed on disk in between are done again.

    Args:
        inputs: from `pipelines.inference.inputs.collect_inputs`.
        package: folder of a model package.
        out: folder for the outputs.
        device: see `Predictor`.
        precision: see `Predictor`.
        batch_size: see `Predictor`.
        workers: decoding processes, None chooses from the machine. A film that crashes one, or takes longer than a
            minute, costs one row; 0 decodes in this process, without that protection. Changes no score. A script needs
            the usual ``if __name__ == "__main__":``.
        heatmaps: also write pictures of every usable film and its maps.
        restart: throw away what an earlier run left in `out`.
        progress: called after each batch.

    Raises:
        PackageError: the model cannot be used.
        CxrError: the folder holds another run (and what differs), cannot be written, or no decoding process starts.
    """
    started = time.perf_counter()
    if workers is not None and workers < 0:
        raise CxrError(f"workers must be at least 0, got {workers}")
    predictor = Predictor.from_package(package, device=device, batch_size=batch_size, precision=precision)
    plan = make_plan(inputs.films, predictor, heatmaps=heatmaps)
    if open_folder(out, plan, restart=restart) == "complete":
        return _summary_of_complete(out, inputs, started)
    workers = default_workers(predictor.device.type) if workers is None else workers
    try:
        run = _Run(inputs.films, predictor, plan, out, heatmaps=heatmaps)
        computed = run.finish_parts(workers, progress)
        write_tables(run.read_parts(), out / TABLE_FILE, out / CSV_FILE)
        counts, seconds = run.counts(), time.perf_counter() - started
        record = describe_run(
            inputs,
            predictor,
            plan,
            counts,
            workers=workers,
            computed=computed,
            seconds=seconds,
            files=run.files_digest(),
        )
        write_json(out / RUN_FILE, record)
        close_folder(out)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise CxrError(
            f"{text_of(out)}: the run stopped ({what}); what is finished is kept: run the same command again"
        ) from error
    return _summary(out, inputs, counts, computed=computed, seconds=seconds)


class _Run:
    """One plan being carried out in one folder."""

    def __init__(
        self, films: Sequence[FilmInput], predictor: Predictor, plan: Plan, out: Path, *, heatmaps: bool
    ) -> None:
        self.films = films
        self.predictor = predictor
        self.plan_digest = plan.digest
        self.parts_folder = out / PARTS_FOLDER
        self.pictures = out / HEATMAP_FOLDER if heatmaps else None
        self.parts = part_ranges(len(films))
        self.part_states = [""] * len(self.parts)
        """By part: digest of its files when they were read."""
        self.done = 0

    def finish_parts(self, workers: int, progress: Progress | None) -> int:
        """Do the parts that are not there yet; return how many films that were."""
        pending = [number for number in range(len(self.parts)) if not self._is_done(number)]
        if self.pictures:
            self.pictures.mkdir(exist_ok=True)
        computed = sum(len(self.parts[number]) for number in pending)
        self.done = len(self.films) - computed
        stream = stream_batches(
            [film.file for film in self.films],
            [batch for number in pending for batch in batch_ranges(self.parts[number], self.predictor.batch_size)],
            self.predictor.request(picture_side=PICTURE_SIDE if self.pictures else None),
            workers=workers,
            pin=self.predictor.device.type == "cuda",
        )
        with closing(stream):
            for number in pending:
                self._finish_part(number, stream, progress)
        return computed

    def _finish_part(self, number: int, stream: Iterator[DecodedBatch], progress: Progress | None) -> None:
        rows: list[dict[str, Any]] = []
        states: list[str] = []
        while len(rows) < len(self.parts[number]):
            batch = next(stream)
            rows += self._score(batch).rows
            states += batch.states
            self.done += len(batch.positions)
            if progress:
                progress(self.done, len(self.films))
        self.part_states[number] = states_digest(states)
        write_part(part_file(self.parts_folder, number), rows, self._marks(number))

    def read_parts(self) -> Iterator[pa.Table]:
        """Yield the tables of all parts in order."""
        for number, part in enumerate(self.parts):
            table = read_part(part_file(self.parts_folder, number), rows=len(part), marks=self._marks(number))
            if table is None:
                raise CxrError(
                    f"{text_of(part_file(self.parts_folder, number))}: changed while the run was going on; "
                    "run the same command again, one run at a time"
                )
            yield table

    def counts(self) -> dict[str, Any]:
        """Count rows by status and reason."""
        status: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        for table in self.read_parts():
            status.update(table["status"].to_pylist())
            reasons.update(reason for reason in table["reason"].to_pylist() if reason is not None)
        return {
            "inputs": len(self.films),
            "ok": status["ok"],
            "rejected": status["rejected"],
            "error": status["error"],
            "by_reason": dict(sorted(reasons.items())),
        }

    def files_digest(self) -> str:
        """Digest of all files as they were when they were read."""
        return states_digest(self.part_states)

    def _is_done(self, number: int) -> bool:
        part = self.parts[number]
        path = part_file(self.parts_folder, number)
        if not path.is_file():
            return False
        self.part_states[number] = current_states(self.films[part.start : part.stop])
        return read_part(path, rows=len(part), marks=self._marks(number)) is not None

    def _marks(self, number: int) -> dict[str, str]:
        return {"plan": self.plan_digest, "files": self.part_states[number]}

    def _score(self, batch: DecodedBatch) -> ScoredBatch:
        films = self.films[batch.positions.start : batch.positions.stop]
        scored = self.predictor.score(batch, [film.image_id for film in films], [film.path for film in films])
        if self.pictures:
            self._write_pictures(self.pictures, batch, scored)
        return scored

    def _write_pictures(self, folder: Path, batch: DecodedBatch, scored: ScoredBatch) -> None:
        read = [row for row, refusal in zip(scored.rows, batch.refusals, strict=True) if refusal is None]
        for film, row in enumerate(read):
            if row["status"] != "ok":  # read, and refused by the network
                continue
            # One film at a time: all maps of a large batch at input size would not fit small machines.
            enlarged = np.clip(enlarge_maps(scored.maps[film : film + 1], self.predictor.size)[0], 0.0, 1.0)
            maps = dict(zip(self.predictor.findings, enlarged, strict=True))
            write_pictures(folder, row, batch.pictures[film].numpy(), maps, batch.placements[film])


def current_states(films: Sequence[FilmInput]) -> str:
    """Digest of the files of one part as they are now."""
    return states_digest([file_state(film.file) for film in films])


def _summary_of_complete(out: Path, inputs: InputList, started: float) -> RunSummary:
    films = inputs.films
    record = read_json(out / RUN_FILE) or {}
    now = states_digest([current_states(films[part.start : part.stop]) for part in part_ranges(len(films))])
    if record.get("files_digest") != now:
        raise CxrError(
            f"{text_of(out)}: this run is complete, but files of its films changed on disk since (size or time of "
            "change, or they vanished); choose another folder, or restart (--restart)"
        )
    close_folder(out)
    seconds = time.perf_counter() - started
    return _summary(out, inputs, record["counts"], computed=0, seconds=seconds, already_complete=True)


def _summary(
    out: Path,
    inputs: InputList,
    counts: Mapping[str, Any],
    *,
    computed: int,
    seconds: float,
    already_complete: bool = False,
) -> RunSummary:
    return RunSummary(
        out=out,
        films=counts["inputs"],
        ok=counts["ok"],
        rejected=counts["rejected"],
        error=counts["error"],
        by_reason=counts["by_reason"],
        computed=computed,
        seconds=seconds,
        skipped=dict(sum((Counter(source.skipped) for source in inputs.sources), Counter())),
        already_complete=already_complete,
    )
