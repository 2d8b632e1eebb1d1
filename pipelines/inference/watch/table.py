"""The table of a watched folder: a journal that restarts read, a CSV that grows, a Parquet file now and then."""

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import pyarrow.parquet as pq

from pipelines.evaluation.predictions import COLUMNS, SCHEMA
from pipelines.inference.journal import Journal
from pipelines.inference.outputs import CSV_FILE, PARTS_FOLDER, TABLE_FILE
from pipelines.inference.table import PICTURE_DIGEST, csv_cells, csv_writer, to_table
from pipelines.inference.watch.state import Complete
from pipelines.system import replacing

JOURNAL_FILE: Final = "watch.journal"
_ROWS_AT_ONCE: Final = 4096
_SYNC_SECONDS: Final = 3.0

Remember = Callable[[str, str, str | None], None]
"""Called with (key, image_id, state, or None of a film without a row)."""


class WatchTable:
    """Rows in the order of finishing. Its methods may be called from several threads.

    The journal is what counts: a row is in it before it is in the CSV, and the CSV is made from it at each start.

    Args:
        folder: of the predictions; ``parts/`` is in it.
        plan: digest of the run's plan.

    Attributes:
        rows: how many there are.
        lost: lines of the journal that were damaged, and with them their rows.
    """

    def __init__(self, folder: Path, plan: str) -> None:
        self.folder, self.plan = folder, plan
        self.rows = self.lost = 0
        self._journal = Journal(folder / PARTS_FOLDER / JOURNAL_FILE)
        self._first: dict[int, str] = {}
        """Id of the first film of each picture."""
        self._status: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._duplicates = 0
        self._files = hashlib.sha256()
        self._csv: TextIO | None = None
        self._synced = time.monotonic()
        self._lock = threading.Lock()

    def open(self, remember: Remember) -> None:
        """Take up what an earlier run left; write the CSV anew.

        Raises:
            OSError: something cannot be read or written.
        """
        path = self.folder / CSV_FILE
        with (
            replacing(path, durable=True, sole_writer=True) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as stream,
        ):
            csv_writer(stream).writerow(COLUMNS)
            rows: list[dict[str, Any]] = []
            for entry in self._journal.open():
                rows += self._taken_up(entry, remember)
                if len(rows) >= _ROWS_AT_ONCE:
                    _append(stream, rows)
                    rows.clear()
            _append(stream, rows)
        self.lost = self._journal.damaged
        self._csv = path.open("a", encoding="utf-8", newline="")

    def _taken_up(self, entry: Mapping[str, Any], remember: Remember) -> list[dict[str, Any]]:
        if entry.get("plan") != self.plan:
            return []
        for key, image_id in entry.get("complete", ()):
            remember(key, image_id, None)
        rows: list[dict[str, Any]] = entry.get("rows", [])
        for (key, state), row in zip(entry.get("films", ()), rows, strict=True):
            remember(key, row["image_id"], state)
            self._count(row, state)
        return rows

    def owe(self, films: Sequence[Complete]) -> None:
        """Take down that films are complete: from now on each becomes a row, whatever happens to its file."""
        with self._lock:
            self._journal.append({"plan": self.plan, "complete": [[film.key, film.image_id] for film in films]})

    def add(self, films: Sequence[tuple[str, str]], rows: Sequence[dict[str, Any]]) -> None:
        """Add rows.

        Args:
            films: ``[n]`` key, and state of the file when it was read.
            rows: ``[n]`` of the predictions table, with ``picture_digest``.

        Raises:
            OSError: they cannot be written.
        """
        assert self._csv is not None
        with self._lock:
            for row in rows:
                row["duplicate_of"] = self._duplicate_of(row)
            self._journal.append({"plan": self.plan, "films": list(map(list, films)), "rows": list(rows)})
            for (_, state), row in zip(films, rows, strict=True):
                self._count(row, state)
            _append(self._csv, rows)
            self._csv.flush()

    def _duplicate_of(self, row: Mapping[str, Any]) -> str | None:
        """The first film with the same picture; a row of the same batch counts."""
        digest = row.get(PICTURE_DIGEST)
        first = None if digest is None else self._first.setdefault(int(digest, 16), row["image_id"])
        return None if first == row["image_id"] else first

    def _count(self, row: dict[str, Any], state: str) -> None:
        digest = row.get(PICTURE_DIGEST)
        if digest is not None:
            self._first.setdefault(int(digest, 16), row["image_id"])
        self.rows += 1
        self._status[row["status"]] += 1
        if row.get("reason") is not None:
            self._reasons[row["reason"]] += 1
        self._duplicates += row.get("duplicate_of") is not None
        self._files.update(f"{state}\n".encode())

    def sync(self, *, now: bool = False) -> None:
        """Wait until what was written is on the disk, at most every few seconds."""
        with self._lock:
            if self._csv is None or not (now or time.monotonic() - self._synced > _SYNC_SECONDS):
                return
            self._journal.sync()
            os.fsync(self._csv.fileno())
            self._synced = time.monotonic()

    def write_parquet(self) -> dict[str, Any]:
        """Write the table as it is now; return the counts that belong to it.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            counts, entries = self.counts(), self._journal.entries(self._journal.length)
        with (
            replacing(self.folder / TABLE_FILE, durable=True, sole_writer=True) as temporary,
            pq.ParquetWriter(temporary, SCHEMA) as writer,
        ):
            for rows in self._groups(entries):
                writer.write_table(to_table(rows))
        return counts

    def _groups(self, entries: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        rows: list[dict[str, Any]] = []
        for entry in entries:
            if entry.get("plan") == self.plan:
                rows += entry.get("rows", ())
            if len(rows) >= _ROWS_AT_ONCE:
                yield rows
                rows = []
        yield rows

    def counts(self) -> dict[str, Any]:
        """Return rows by status and reason, and the digest of the files' states."""
        return {
            "inputs": self.rows,
            "ok": self._status["ok"],
            "rejected": self._status["rejected"],
            "error": self._status["error"],
            "by_reason": dict(sorted(self._reasons.items())),
            "duplicates": self._duplicates,
            "files_digest": self._files.hexdigest(),
        }

    def close(self) -> None:
        """Put everything on the disk, and let go of it."""
        self.sync(now=True)
        with self._lock:
            self._journal.close()
            if self._csv is not None:
                self._csv.close()
                self._csv = None


def _append(stream: TextIO, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        csv_writer(stream).writerows(csv_cells(to_table(rows)))
