"""What of a run is done: a journal of batches, and parts of 128 films once they are whole.

A batch is done when its line is in the journal of its part. Lines carry a checksum: one that was cut off when the
process was killed, the disk was full or the power failed is as if it had not been written. A part is done when its
table is on the disk; its journal goes.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipelines.errors import CxrError
from pipelines.film_files import file_state
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.journal import Journal
from pipelines.inference.table import part_file, read_part, write_part

PART_FILMS: Final = 128
"""Films per part. Batches never cross a part's end, so a continued run forms the batches an uninterrupted one does."""


def part_ranges(films: int) -> list[range]:
    """Split a run into parts of `PART_FILMS` inputs; the last may be shorter."""
    return [range(start, min(start + PART_FILMS, films)) for start in range(0, films, PART_FILMS)]


def batch_ranges(part: range, batch_size: int) -> list[range]:
    """Split a part into batches; the last may be shorter."""
    return [range(start, min(start + batch_size, part.stop)) for start in range(part.start, part.stop, batch_size)]


def states_digest(states: Sequence[str]) -> str:
    """Digest of the states of consecutive files."""
    return hashlib.sha256("\n".join(states).encode()).hexdigest()


def current_states(films: Sequence[FilmInput], part: range) -> str:
    """Digest of the files of one part as they are now."""
    return states_digest([file_state(film.file) for film in films[part.start : part.stop]])


class Ledger:
    """The parts of one run in one folder. Its methods may be called from several threads.

    Args:
        folder: holds parts and journals; exists.
        films: all films of the run.
        parts: the parts that this run is to do, in order.
        batch_size: films per batch.
        plan: digest of the run's plan; what another plan left is done again.
    """

    def __init__(
        self, folder: Path, films: Sequence[FilmInput], parts: Sequence[range], *, batch_size: int, plan: str
    ) -> None:
        self.folder, self.films, self.parts = folder, films, parts
        self.batch_size, self.plan = batch_size, plan
        self._states = [""] * len(parts)
        """By part: digest of its files when they were read."""
        self._open: dict[int, _Journal] = {}
        self._lock = threading.Lock()
        self.done = self.computed = 0
        """Films known to be done, and those of them that `record` took down."""

    @property
    def total(self) -> int:
        """Films that this run is to do."""
        return sum(map(len, self.parts))

    def pending(self) -> Iterator[list[range]]:
        """Yield the batches to do of each part that is not whole; they are looked for as they are asked for.

        A batch whose files changed since it was done is done again.
        """
        for number, part in enumerate(self.parts):
            if self._is_whole(number):
                with self._lock:
                    self.done += len(part)
                continue
            journal = _Journal(self._journal_file(number), self.plan)
            done = {
                batch: entry
                for batch, entry in journal.read().items()
                if entry["states"] == [file_state(film.file) for film in self.films[batch[0] : batch[1]]]
            }
            wanted = batch_ranges(part, self.batch_size)
            journal.batches = {(b.start, b.stop): done[b.start, b.stop] for b in wanted if (b.start, b.stop) in done}
            with self._lock:
                self._open[number] = journal
                self.done += sum(stop - start for start, stop in journal.batches)
            batches = [batch for batch in wanted if (batch.start, batch.stop) not in journal.batches]
            if batches:
                yield batches
            else:
                self._finish(number)

    def record(self, batch: range, rows: list[dict[str, Any]], states: Sequence[str]) -> None:
        """Take down what became of a batch.

        Args:
            batch: one that `pending` gave.
            rows: ``[n]`` of the predictions table, with ``picture_digest``.
            states: ``[n]`` of `file_state`, from before reading.

        Raises:
            OSError: it cannot be written.
        """
        number = self._number(batch)
        with self._lock:
            journal = self._open[number]
            journal.write(batch, {"states": list(states), "rows": rows})
            self.done += len(batch)
            self.computed += len(batch)
            whole = sum(stop - start for start, stop in journal.batches) == len(self.parts[number])
        if whole:
            self._finish(number)

    def tables(self) -> Iterator[pa.Table]:
        """Yield the tables of all parts in order, with ``picture_digest``.

        Raises:
            CxrError: a part is not what this run wrote.
        """
        for number, part in enumerate(self.parts):
            path = self._part_file(number)
            table = read_part(path, rows=len(part), marks=self._marks(number))
            if table is None:
                raise CxrError(f"{text_of(path)}: changed while the run was going on; run the same command again")
            yield table

    def files_digest(self) -> str:
        """Digest of all files as they were when they were read."""
        return states_digest(self._states)

    def close(self) -> None:
        """Leave everything for another time."""
        with self._lock:
            for journal in self._open.values():
                journal.close()
            self._open.clear()

    def _finish(self, number: int) -> None:
        with self._lock:
            journal = self._open.pop(number)
        entries = [journal.batches[key] for key in sorted(journal.batches)]
        self._states[number] = states_digest([state for entry in entries for state in entry["states"]])
        rows = [row for entry in entries for row in entry["rows"]]
        with closing(journal):
            write_part(self._part_file(number), rows, self._marks(number))
        journal.path.unlink(missing_ok=True)

    def _is_whole(self, number: int) -> bool:
        path = self._part_file(number)
        if not path.is_file():
            return False
        part = self.parts[number]
        self._states[number] = current_states(self.films, part)
        if read_part(path, rows=len(part), marks=self._marks(number)) is None:
            return False
        self._journal_file(number).unlink(missing_ok=True)
        return True

    def _marks(self, number: int) -> dict[str, str]:
        return {"plan": self.plan, "files": self._states[number]}

    def _number(self, batch: range) -> int:
        # Parts have one length, except the last, and a shard has every N-th of them.
        with self._lock:
            return next(number for number in self._open if batch.start in self.parts[number])

    def _part_file(self, number: int) -> Path:
        return part_file(self.folder, self.parts[number].start // PART_FILMS)

    def _journal_file(self, number: int) -> Path:
        return self._part_file(number).with_suffix(".journal")


class _Journal(Journal):
    """The batches done of one part: one line each, written at once."""

    def __init__(self, path: Path, plan: str) -> None:
        super().__init__(path)
        self.plan = plan
        self.batches: dict[tuple[int, int], Mapping[str, Any]] = {}
        """By first and last + 1 film of a batch."""

    def read(self) -> dict[tuple[int, int], Mapping[str, Any]]:
        """Return what whole lines of this plan say, and cut off a last one that is not whole."""
        return {(entry["start"], entry["stop"]): entry for entry in self.open() if entry["plan"] == self.plan}

    def write(self, batch: range, entry: Mapping[str, Any]) -> None:
        """Append a batch."""
        self.append({"plan": self.plan, "start": batch.start, "stop": batch.stop, **entry})
        self.batches[batch.start, batch.stop] = entry
