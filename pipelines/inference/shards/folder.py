"""The folders that the shards of a run leave: whether all are there, finished and of one run, and their rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from pipelines.errors import CxrError
from pipelines.evaluation.predictions import SCHEMA
from pipelines.evaluation.run_record import RUN_SCHEMA
from pipelines.inference.folder_lock import is_locked
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.outputs import (
    CSV_FILE,
    DIGESTS_FILE,
    PARTS_FOLDER,
    PLAN_FILE,
    RUN_FILE,
    TABLE_FILE,
    read_json,
)
from pipelines.inference.shards.shard import Shard, shards_in

_NAMED: Final = 8
"""Shards that one sentence names at most."""
_ROW_GROUPS_HELD: Final = 32
"""Row groups in memory at once, over all shards; each has at most 8,192 rows."""
_DIGESTS: Final = {
    "inputs.digest": "the list of films",
    "model.operating_points": "the operating points",
    "model.rule_out_points": "the rule-out points",
    "model.control": "the model's control",
}


class _Inputs(BaseModel):
    films: int = Field(ge=0)
    digest: str
    shard: str


class _Settings(BaseModel):
    part_films: int = Field(ge=1)


class _Plan(BaseModel):
    inputs: _Inputs
    settings: _Settings


class Counts(BaseModel):
    """Rows of a table by status and reason."""

    inputs: int = Field(ge=0)
    ok: int = Field(ge=0)
    rejected: int = Field(ge=0)
    error: int = Field(ge=0)
    by_reason: dict[str, int]


def is_counted(values: object) -> bool:
    """Whether this is what a ``run.json`` says of its rows."""
    try:
        Counts.model_validate(values)
    except ValidationError:
        return False
    return True


class _Record(BaseModel):
    plan: _Plan
    counts: Counts
    files_digest: str


@dataclass(frozen=True, slots=True)
class ShardFolder:
    """One finished shard."""

    shard: Shard
    path: Path
    record: Mapping[str, Any]
    """Its ``run.json``."""
    facts: _Record
    """What merging reads of it, checked."""

    @property
    def run_plan(self) -> dict[str, Any]:
        """The plan of the whole run: its own, without which shard it is."""
        plan = dict(self.record["plan"])
        return plan | {"inputs": {key: value for key, value in plan["inputs"].items() if key != "shard"}}

    def digests(self) -> NDArray[np.uint64]:
        """Return ``[n]`` the picture digests of its rows.

        Raises:
            CxrError: the file is damaged, or not of this table.
        """
        path = self.path / DIGESTS_FILE
        try:
            found = np.lib.format.open_memmap(path, mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise CxrError(f"{text_of(path)}: cannot be read ({type(error).__name__}); {self._again}") from None
        if found.dtype != np.uint64 or found.shape != (self.facts.counts.inputs,):
            raise CxrError(
                f"{text_of(path)}: {found.dtype} {found.shape}, expected uint64 ({self.facts.counts.inputs},); "
                f"{self._again}"
            )
        return np.asarray(found)

    @property
    def _again(self) -> str:
        return f"do this shard again with --shard {self.shard} --restart"


def finished_shards(out: Path) -> list[ShardFolder]:
    """Return all shards of the run in a folder, in order.

    Raises:
        CxrError: there are none, or of several counts; one is missing, unfinished, being run, or damaged; or they are
            not of one run (and what differs).
    """
    there = shards_in(out)
    counts = sorted({shard.count for shard in there})
    if len(counts) != 1:
        found = f"shards of runs in {' and in '.join(map(str, counts))}" if counts else "no shards"
        raise CxrError(
            f"{text_of(out)}: holds {found}; expected the folders {Shard(0, 8).folder}, ... of one run, which cxr "
            "predict --shard writes"
        )
    wanted = [Shard(index, counts[0]) for index in range(counts[0])]
    _refuse_unfinished(out, wanted)
    folders = [_read(out / shard.folder, shard) for shard in wanted]
    for folder in folders[1:]:
        _refuse_difference(out, folders[0], folder)
    return folders


def _refuse_unfinished(out: Path, wanted: Sequence[Shard]) -> None:
    absent: dict[str, list[str]] = {}
    for shard in wanted:
        path = out / shard.folder
        if not path.is_dir():
            absent.setdefault("missing", []).append(str(shard))
        elif is_locked(path):
            absent.setdefault("still being run", []).append(f"{shard}{_done_so_far(path, shard)}")
        elif not _is_finished(path):
            absent.setdefault("unfinished", []).append(f"{shard}{_done_so_far(path, shard)}")
    if absent:
        first = next(iter(absent.values()))[0].split()[0]
        raise CxrError(
            f"{text_of(out)}: not all shards are done: {'; '.join(_listed(*item) for item in absent.items())}. Start "
            f"those again (they go on where they stopped), such as with --shard {first}"
        )


def _listed(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{what}: {', '.join(names[:_NAMED])}{more}"


def _is_finished(path: Path) -> bool:
    written = all((path / name).is_file() for name in (RUN_FILE, TABLE_FILE, CSV_FILE, DIGESTS_FILE))
    return written and not (path / PLAN_FILE).exists()


def _done_so_far(path: Path, shard: Shard) -> str:
    """Say how many films are in finished parts; nothing where the folder does not tell."""
    plan = read_json(path / PLAN_FILE) or {}
    try:
        films, size = plan["inputs"]["films"], plan["settings"]["part_films"]
        total = sum(min(size, films - part * size) for part in shard.parts(-(-films // size)))
        names = [file.stem.removeprefix("part-") for file in (path / PARTS_FOLDER).glob("part-*.parquet")]
        done = sum(min(size, films - int(name) * size) for name in names)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return ""
    return f" ({done:,} of {total:,} films done)"


def _read(path: Path, shard: Shard) -> ShardFolder:
    file = text_of(path / RUN_FILE)
    record = read_json(path / RUN_FILE) or {}
    if record.get("schema") != RUN_SCHEMA:
        raise CxrError(f"{file}: schema is {record.get('schema')!r}, expected {RUN_SCHEMA!r}")
    try:
        facts = _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        raise CxrError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if facts.plan.inputs.shard != str(shard):
        raise CxrError(f"{file}: is of shard {facts.plan.inputs.shard!r}, but its folder is called {path.name!r}")
    return ShardFolder(shard, path, record, facts)


def _refuse_difference(out: Path, first: ShardFolder, other: ShardFolder) -> None:
    changed = differences(first.run_plan, other.run_plan, f"in shard {first.shard}", f"in shard {other.shard}")
    if changed:
        raise CxrError(
            f"{text_of(out)}: the shards are not of one run: {'; '.join(changed)}. Do the one that is wrong again with "
            "--restart"
        )


def differences(one: Mapping[str, Any], two: Mapping[str, Any], here: str, there: str) -> list[str]:
    """Say where two plans differ, and what each has."""
    before, after = dict(_flat(one)), dict(_flat(two))
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return [
        f"{_DIGESTS[key]} differs"
        if key in _DIGESTS
        else f"{key} is {before.get(key)} {here}, {after.get(key)} {there}"
        for key in changed
        if key != "inputs.digest" or "inputs.films" not in changed  # of lists of another length it says nothing more
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def rows_in_order(folders: Sequence[ShardFolder]) -> Iterator[pa.Table]:
    """Yield the rows of all shards in the order of the whole run, one table for each part.

    Memory does not depend on how many films there are.

    Raises:
        CxrError: a table is damaged, of another schema, or has not as many rows as its shard should have.
    """
    group = lru_cache(maxsize=_ROW_GROUPS_HELD)(_row_group)
    readers = [_Reader(folder, group) for folder in folders]
    plan = folders[0].facts.plan
    size = plan.settings.part_films
    for number, start in enumerate(range(0, plan.inputs.films, size)):
        yield readers[number % len(readers)].take(min(size, plan.inputs.films - start))
    for reader in readers:
        reader.refuse_more()


class _Reader:
    """The rows of one shard, from the first to the last."""

    def __init__(self, folder: ShardFolder, group: Callable[[Path, int], pa.Table | None]) -> None:
        self.folder, self.path, self._group = folder, folder.path / TABLE_FILE, group
        self._number, self._offset = 0, 0

    def take(self, count: int) -> pa.Table:
        """Return the next rows."""
        pieces: list[pa.Table] = []
        while count:
            table = self._group(self.path, self._number)
            if table is None:
                raise self._wrong("fewer")
            piece = table.slice(self._offset, count)
            pieces.append(piece)
            count -= piece.num_rows
            self._offset += piece.num_rows
            if self._offset == table.num_rows:
                self._number, self._offset = self._number + 1, 0
        return pa.concat_tables(pieces)

    def refuse_more(self) -> None:
        """Refuse a table that has rows left."""
        rest: pa.Table | None = self._group(self.path, self._number)
        while rest is not None:
            if rest.num_rows > self._offset:
                raise self._wrong("more")
            self._number, self._offset = self._number + 1, 0
            rest = self._group(self.path, self._number)

    def _wrong(self, what: str) -> CxrError:
        return CxrError(f"{text_of(self.path)}: has {what} rows than the parts of shard {self.folder.shard} have films")


def _row_group(path: Path, number: int) -> pa.Table | None:
    """Read one row group; None behind the last."""
    try:
        with pq.ParquetFile(path) as file:
            if number >= file.num_row_groups:
                return None
            table = file.read_row_group(number, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise CxrError(f"{text_of(path)}: cannot be read ({type(error).__name__}); do this shard again") from None
    if not table.schema.equals(SCHEMA):
        raise CxrError(f"{text_of(path)}: its columns are not those of a predictions table of this version")
    return table.replace_schema_metadata(None)
