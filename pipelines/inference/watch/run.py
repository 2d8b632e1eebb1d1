"""Folders being watched: one thread looks, one keeps tables and status fresh, a `LocalRun` reads and scores."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.errors import Reason
from pipelines.evaluation.predictions import HEATMAP_FOLDER, heatmap_file, maps_file
from pipelines.inference.inputs.collect import InputList
from pipelines.inference.inputs.film_list import FilmInput
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.inputs.unique_ids import InputSource
from pipelines.inference.local import LocalRun
from pipelines.inference.outputs import RUN_FILE, write_json
from pipelines.inference.plan import Plan
from pipelines.inference.predictor import Predictor
from pipelines.inference.run_record import describe_run
from pipelines.inference.watch.film_window import FilmWindow
from pipelines.inference.watch.folder import DropFolder, Look, Watcher
from pipelines.inference.watch.state import GONE, Arrivals, Complete
from pipelines.inference.watch.summary import Timing, WatchStatus, WatchSummary
from pipelines.inference.watch.table import WatchTable

INCOMPLETE: Final = frozenset(
    (
        *(Reason.TRUNCATED, Reason.CHANGED, Reason.CORRUPT, Reason.NOT_AN_IMAGE, Reason.NO_PIXEL_DATA),
        *(Reason.UNREADABLE_FILE, Reason.BLANK),
    )
)
"""What a film looks like of which only a part has arrived, or whose drive is failing: not believed at once."""
_PULSE: Final = 0.2
_BUSY_REFRESH: Final = 10
"""Where films never stop arriving, the tables are written after so many times the usual pause."""
_SHARE: Final = 20
"""Looking at folders, and writing tables, takes at most one part in so many of the time (looking: a quarter of it)."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Who is told, and asked."""

    announce: Callable[[str], None]
    status: Callable[[WatchStatus], None]
    refreshed: Callable[[Path], None]
    stop: Callable[[], bool]


class WatchRun:
    """One folder being watched, for as long as it takes."""

    def __init__(
        self,
        folders: Sequence[DropFolder],
        predictor: Predictor,
        out: Path,
        plan: Plan,
        workers: int,
        timing: Timing,
        tell: Callbacks,
        *,
        heatmaps: bool,
    ) -> None:
        self.predictor, self.out, self.plan, self.workers, self.timing = predictor, out, plan, workers, timing
        self.tell = tell
        self.watcher = Watcher(folders)
        self.pictures = out / HEATMAP_FOLDER if heatmaps else None
        self.arrivals = Arrivals(settle=timing.settle, give_up=timing.give_up)
        self.table = WatchTable(out, plan.digest)
        self.films = FilmWindow()
        self._ready: deque[Complete] = deque()
        self._reading: dict[int, Complete] = {}
        """By position."""
        self._look = Look()
        self._away: set[str] = set()
        self._last_arrival: float | None = None
        self._lock = threading.Lock()
        """Around arrivals, what is ready and what is being read."""
        self._asked = threading.Event()
        """Films are being asked for."""
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._computed = 0
        self._refreshed_rows: int | None = None
        self._refreshed_at = self._looked_full_at = -float("inf")
        self._refresh_took = self._look_took = 0.0
        self._started = time.monotonic()

    def run(self) -> WatchSummary:
        """Watch until it is to stop."""
        if self.pictures:
            self.pictures.mkdir(exist_ok=True)
        self.tell.announce(f"{self.predictor.describe()}, {self.workers} reading processes")
        with closing(self.table):
            self.table.open(self.arrivals.remember)
            if self.table.lost:
                self.tell.announce(f"{self.table.lost:,} lines of the journal were damaged; their rows are lost")
            self._work()
            self.table.sync(now=True)
            self._refresh()
        return WatchSummary(self.out, self.table.counts(), self._computed, self.arrivals.waiting)

    def _work(self) -> None:
        run = LocalRun(
            self.films,
            self._batches(),
            self.predictor,
            workers=self.workers,
            record=self._record,
            pictures=self.pictures,
            stop=self._is_to_stop,
        )
        self._run = run
        # A look into a dead network drive may never end, so nothing waits for it but itself.
        looking = threading.Thread(target=self._guarded, args=(self._keep_looking,), name="looking", daemon=True)
        pulse = threading.Thread(target=self._guarded, args=(self._keep_pulse,), name="pulse")
        looking.start()
        pulse.start()
        try:
            run.run()
        finally:
            self._over.set()
            pulse.join()
            looking.join(timeout=5.0)
        if self._error is not None:
            raise self._error

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  raised again by `run`
            self._error = self._error or error
            self._poke()

    def _is_to_stop(self) -> bool:
        return self._error is not None or self.tell.stop()

    def _poke(self) -> None:
        if self._asked.is_set():
            self._run.poke()

    def _keep_looking(self) -> None:
        while not self._over.is_set() and not self._is_to_stop():
            started = time.monotonic()
            # Films that have rows are looked at again less often where there are very many.
            full = started - self._looked_full_at >= _SHARE * self._look_took
            look = self.watcher.look((lambda _: False) if full else self.arrivals.is_settled)
            self._take_in(look)
            took = time.monotonic() - started
            if full:
                self._looked_full_at, self._look_took = time.monotonic(), took
            self._over.wait(max(self.timing.look, 3 * took))

    def _take_in(self, look: Look) -> None:
        now = time.monotonic()
        for folder in self.watcher.folders:
            if folder.prefix in look.away and folder.prefix not in self._away:
                self.tell.announce(
                    f"{folder.given}: not there ({look.away[folder.prefix]}); waiting until it comes back"
                )
            if folder.prefix not in look.away and folder.prefix in self._away:
                self.tell.announce(f"{folder.given}: is there again")
        self._away = set(look.away)
        with self._lock:
            ready = self.arrivals.see(look, now, lambda key: self.watcher.of(key).prefix in look.away)
            self._look = look
            if not ready:
                return
            self.table.owe(ready)
            self._ready.extend(ready)
            self._last_arrival = now
        self._poke()

    def _batches(self) -> Iterator[list[range]]:
        self._asked.set()
        while True:
            with self._lock:
                start = self.films.end
                while self._ready and self.films.end - start < self.predictor.batch_size:
                    film = self._ready.popleft()
                    folder = self.watcher.of(film.key)
                    name = folder.name(film.key)
                    self._reading[self.films.end] = film
                    self.films.add(FilmInput(film.image_id, text_of(name), folder.path / name))
                stop = self.films.end
            yield [range(start, stop)] if stop > start else []

    def _record(self, batch: range, rows: list[dict[str, Any]], states: list[str]) -> None:
        read = [self._reading[position] for position in batch]
        kept = [self._is_to_keep(*of) for of in zip(read, rows, states, strict=True)]
        films = [(film.key, state) for film, state, keep in zip(read, states, kept, strict=True) if keep]
        # The journal first: what it does not hold is not done.
        if films:
            self.table.add(films, [row for row, keep in zip(rows, kept, strict=True) if keep])
        now = time.monotonic()
        with self._lock:
            for film, row, state, keep in zip(read, rows, states, kept, strict=True):
                if keep:
                    self.arrivals.finish(film.key, state)
                elif state == film.state or row["reason"] == Reason.MISSING:
                    self.arrivals.hold(film.key, GONE if row["reason"] == Reason.MISSING else state, now)
                else:
                    self.arrivals.put_back(film.key)
            for position in batch:
                del self._reading[position]
            self.films.forget(batch)
            self._computed += len(films)

    def _is_to_keep(self, film: Complete, row: dict[str, Any], state: str) -> bool:
        """Whether what was read of a film is its row."""
        reason = row.get("reason")
        if reason == Reason.MISSING:
            return self.watcher.why_away(self.watcher.of(film.key)) is None
        if state == film.state and (film.final or reason not in INCOMPLETE):
            return True
        if self.pictures and row["status"] == "ok":  # of bytes that the row will not be about
            for layer in ("film", *self.predictor.findings):
                (self.pictures / heatmap_file(film.image_id, layer)).unlink(missing_ok=True)
            (self.pictures / maps_file(film.image_id)).unlink(missing_ok=True)
        return False

    def _keep_pulse(self) -> None:
        while not self._over.wait(_PULSE):
            if self._is_to_stop():
                self._poke()
            self.table.sync()
            now = time.monotonic()
            with self._lock:
                waiting, quiet = self.arrivals.waiting, not self.arrivals.under_way
            since = None if self._last_arrival is None else now - self._last_arrival
            self.tell.status(WatchStatus(self.table.rows, waiting, since))
            pause = max(self.timing.refresh, _SHARE * self._refresh_took)
            due = now - self._refreshed_at >= (pause if quiet else pause * _BUSY_REFRESH)
            if due and self.table.rows != (self._refreshed_rows or 0):
                self._refresh()

    def _refresh(self) -> None:
        """Write the Parquet table and the record of the run as of now."""
        started = time.monotonic()
        counts = self.table.write_parquet()
        write_json(self.out / RUN_FILE, self._record_of_run(counts))
        self._refreshed_rows = counts["inputs"]
        if counts["inputs"]:
            self.tell.refreshed(self.out)
        self._refreshed_at = time.monotonic()
        self._refresh_took = self._refreshed_at - started

    def _record_of_run(self, counts: dict[str, Any]) -> dict[str, Any]:
        self._run.usage.stop()
        skipped = dict(sorted(self._look.skipped.items()))
        first, *others = self.watcher.folders
        sources = [InputSource(first.given, "folder", counts["inputs"], skipped)]
        sources += [InputSource(folder.given, "folder", 0) for folder in others]
        record = describe_run(
            InputList((), tuple(sources), None),
            self.predictor,
            self.plan,
            {key: value for key, value in counts.items() if key != "files_digest"},
            workers=self.workers,
            computed=self._computed,
            seconds=time.monotonic() - self._started,
            files=counts["files_digest"],
            usage=self._run.usage,
        )
        # Another plan than the one in plan.json: a folder that is watched is never complete.
        record["plan"] = {**record["plan"], "watch": True}
        record["settings"] |= {"settle": self.timing.settle, "give_up": self.timing.give_up}
        return record
