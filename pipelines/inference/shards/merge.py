"""Shards of one run → one predictions folder, the same to the byte as if one process had done it all."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from pipelines.errors import CxrError
from pipelines.evaluation.predictions import HEATMAP_FOLDER
from pipelines.inference.folder_lock import locked
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.ledger import states_digest
from pipelines.inference.outputs import CSV_FILE, PLAN_FILE, RUN_FILE, TABLE_FILE, read_json, write_json
from pipelines.inference.plan import close_folder
from pipelines.inference.shards.census import Census, Progress
from pipelines.inference.shards.folder import ShardFolder, differences, finished_shards, is_counted, rows_in_order
from pipelines.inference.table import Duplicates, write_rows
from pipelines.inference.training_films import keep_training_films
from pipelines.version import code_version, package_versions

STAGE: Final = ".merge"
"""Folder in which everything is made; while it is there, tables without a ``run.json`` are an earlier merge's."""
_OF_THE_RUN: Final = ("schema", "notice", "model", "triage_rule", "inputs", "inputs_digest", "manifest_digest")
"""Of ``run.json``: what a shard's says of the whole run."""


@dataclass(frozen=True, slots=True)
class MergeSummary:
    """What was joined."""

    out: Path
    shards: int
    films: int
    ok: int
    rejected: int
    error: int
    by_reason: Mapping[str, int]
    duplicates: int
    """Films with the very picture of an earlier one."""
    seconds: float
    """Duration of this call."""
    already_complete: bool = False

    @property
    def failed(self) -> int:
        """Inputs without a score."""
        return self.rejected + self.error

    def lines(self) -> list[str]:
        """What an operator wants to know when it is over."""
        counts = f"{self.ok:,} scored, {self.rejected:,} rejected, {self.error:,} unreadable"
        text = [f"{self.shards:,} shards, {self.films:,} films, each once: {counts}"]
        if self.by_reason:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.by_reason.items())
            text.append(f"without a score: {reasons} (see the reason and detail columns)")
        if self.duplicates:
            text.append(f"{self.duplicates:,} have the very picture of an earlier film (see duplicate_of)")
        if self.already_complete:
            text.append("these shards were joined already: nothing was done")
        else:
            text.append(f"joined in {self.seconds:.1f} s")
        text.append(f"wrote {text_of(self.out / TABLE_FILE)}, {CSV_FILE} and {RUN_FILE}")
        return text


def merge_shards(out: Path, *, restart: bool = False, progress: Progress | None = None) -> MergeSummary:
    """Join the shards of a run: one row for each film of the whole list, in its order.

    Nothing is seen in the folder until all is written. Interrupted, it is simply run again. The shards stay as they
    are; pictures are hard links to theirs where the file system has them, copies where not.

    Args:
        out: folder of the whole run, with the shards' folders in it.
        restart: throw away what is in `out` beside its shards.
        progress: called after each part.

    Raises:
        CxrError: as `finished_shards`; the rows are not every film of the list once and in order; `out` holds something
            else, is being written by another run, or cannot be written.
    """
    started = time.perf_counter()
    if not out.is_dir():
        raise CxrError(f"{text_of(out)}: no such folder; expected one that cxr predict wrote shards into")
    finished_shards(out)  # before a lock is left in a folder that has nothing to do with this
    with locked(out):
        folders = finished_shards(out)
        if _is_joined(out, folders, restart=restart):
            shutil.rmtree(out / STAGE, ignore_errors=True)
            return _summary(out, folders, read_json(out / RUN_FILE) or {}, started, already_complete=True)
        try:
            record = _join(out, folders, progress)
        except OSError as error:
            what = error.strerror or type(error).__name__
            where = f", {text_of(error.filename)}" if error.filename else ""
            raise CxrError(
                f"{text_of(out)}: joining the shards stopped ({what}{where}); they are as they were: run the same "
                "command again"
            ) from error
    return _summary(out, folders, record, started)


def _is_joined(out: Path, folders: Sequence[ShardFolder], *, restart: bool) -> bool:
    """Whether nothing is left to do; refuse a folder that holds anything but shards and what was joined of them."""
    if restart:
        return False
    shown, run = text_of(out), read_json(out / RUN_FILE)
    hint = "choose another folder, or throw away what is there beside the shards (--restart)"
    if (out / PLAN_FILE).exists() or (run is not None and "shards" not in run):
        raise CxrError(f"{shown}: holds a run that is not cut into shards beside them; {hint}")
    if run is None:
        mine = (TABLE_FILE, CSV_FILE, RUN_FILE, HEATMAP_FOLDER)
        foreign = [name for name in mine if (out / name).exists() and not (out / STAGE).is_dir()]
        if foreign:
            raise CxrError(f"{shown}: {foreign[0]} is there already, but was not joined from shards; {hint}")
        return False
    earlier = run.get("plan")
    earlier = earlier if isinstance(earlier, dict) else {}
    changed = differences(earlier, folders[0].run_plan, "in what is joined there", "in the shards")
    if changed:
        raise CxrError(f"{shown}: shards of another run were joined there: {'; '.join(changed)}; {hint}")
    tables = all((out / name).is_file() for name in (TABLE_FILE, CSV_FILE))
    return tables and is_counted(run.get("counts")) and run["shards"] == [_entry(folder) for folder in folders]


def _join(out: Path, folders: Sequence[ShardFolder], progress: Progress | None) -> dict[str, Any]:
    stage = out / STAGE
    if stage.is_dir():
        shutil.rmtree(stage)
    stage.mkdir()
    try:
        record = _make(stage, out, folders, progress)
    except (CxrError, OSError):
        shutil.rmtree(stage, ignore_errors=True)  # a full disk needs the room
        raise
    _show(stage, out)
    keep_training_films(folders[0].path, out)
    return record


def _make(stage: Path, out: Path, folders: Sequence[ShardFolder], progress: Progress | None) -> dict[str, Any]:
    census = Census(folders)
    checked = census.check(rows_in_order(folders), progress)
    duplicates = Duplicates(np.concatenate([folder.digests() for folder in folders]))
    write_rows(_with_duplicates(checked, folders, duplicates), stage / TABLE_FILE, stage / CSV_FILE)
    for folder in folders:
        _link_pictures(folder.path / HEATMAP_FOLDER, stage / HEATMAP_FOLDER)
    record = _record(folders, census.counts | {"duplicates": duplicates.count})
    if [folder.record for folder in finished_shards(out)] != [folder.record for folder in folders]:
        raise CxrError(f"{text_of(out)}: shards changed while they were joined; run the same command again")
    write_json(stage / RUN_FILE, record)
    return record


def _show(stage: Path, out: Path) -> None:
    """Put what was made in its place; ``run.json``, which says that all is there, goes first and comes last."""
    (out / RUN_FILE).unlink(missing_ok=True)
    close_folder(out)
    if (out / HEATMAP_FOLDER).is_dir():
        shutil.rmtree(out / HEATMAP_FOLDER)
    for name in (CSV_FILE, TABLE_FILE, HEATMAP_FOLDER, RUN_FILE):
        if (stage / name).exists():
            (stage / name).replace(out / name)
    shutil.rmtree(stage)


def _with_duplicates(
    tables: Iterable[pa.Table], folders: Sequence[ShardFolder], duplicates: Duplicates
) -> Iterator[pa.Table]:
    """Name the first film of the whole run with the same picture: a shard knew only its own."""
    digests = [folder.digests() for folder in folders]
    taken = [0] * len(folders)
    for number, table in enumerate(tables):
        shard = number % len(folders)
        begin, taken[shard] = taken[shard], taken[shard] + table.num_rows
        names = duplicates.name(table["image_id"].to_pylist(), digests[shard][begin : taken[shard]].tolist())
        place = table.schema.get_field_index("duplicate_of")
        yield table.set_column(place, table.schema.field(place), pa.array(names, pa.string()))


def _link_pictures(source: Path, target: Path) -> None:
    """Make every picture of a folder, and of folders in it, reachable in another one too."""
    if not source.is_dir():
        return
    target.mkdir(exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            if entry.name.startswith("."):  # a picture that was being written when its shard was killed
                continue
            if entry.is_dir():
                _link_pictures(Path(entry.path), target / entry.name)
                continue
            try:
                os.link(entry.path, target / entry.name)
            except FileExistsError:
                raise  # a copy would write into the other shard's picture
            except OSError:  # no hard links here, or too many; a full disk says so again
                shutil.copy2(entry.path, target / entry.name)


def _entry(folder: ShardFolder) -> dict[str, Any]:
    """What the record of the whole run keeps of a shard's: machine, times, counts."""
    own = {key: value for key, value in folder.record.items() if key not in (*_OF_THE_RUN, "plan")}
    return {"shard": str(folder.shard)} | own


def _record(folders: Sequence[ShardFolder], counts: Mapping[str, Any]) -> dict[str, Any]:
    first, plan = folders[0].record, folders[0].run_plan
    return {key: first.get(key) for key in _OF_THE_RUN} | {
        # Of the shards' digests: each is of the parts k, k + N, k + 2N, ... of the run.
        "files_digest": states_digest([folder.facts.files_digest for folder in folders]),
        "counts": dict(counts),
        "settings": dict(plan["settings"]),
        "plan": plan,
        "code_version": code_version(),
        "versions": package_versions(),
        "hardware": None,
        "films_computed": sum(folder.record.get("films_computed") or 0 for folder in folders),
        "seconds": round(sum(folder.record.get("seconds") or 0 for folder in folders), 3),
        "films_per_second": None,
        "shards": [_entry(folder) for folder in folders],
    }


def _summary(
    out: Path,
    folders: Sequence[ShardFolder],
    record: Mapping[str, Any],
    started: float,
    *,
    already_complete: bool = False,
) -> MergeSummary:
    counts = record["counts"]
    return MergeSummary(
        out=out,
        shards=len(folders),
        films=counts["inputs"],
        ok=counts["ok"],
        rejected=counts["rejected"],
        error=counts["error"],
        by_reason=counts["by_reason"],
        duplicates=counts.get("duplicates", 0),
        seconds=time.perf_counter() - started,
        already_complete=already_complete,
    )
