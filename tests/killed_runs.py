"""Run a batch of films again and again, killing it at random moments: a program, started by a test.

    python -m tests.killed_runs FILMS PACKAGE FOLDER KILLS SEED

One process imports everything once; each run is a fork of it that SIGKILL ends at a moment drawn uniformly from the
time it still needs; a third of the moments are drawn from what comes after the last film, which takes little time. A
run that ends by itself first makes the next one begin in a new folder. Prints JSON.
"""

import ctypes
import json
import mmap
import os
import random
import select
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

BATCH, PART_FILMS = 2, 8
STAGES = ("start", "films", "reading", "network", "journal", "part", "pictures", "tables", "run.json", "closing")
SPAWNED_EVERY = 9
"""Every so many-th kill is of a run whose films are read by processes of its own."""
PICTURED_EVERY = 5
"""Every so many-th folder has heat maps."""


class Board:
    """What a killed process leaves to say: which stage it was in, which films are finished, which were done again."""

    def __init__(self, films: int) -> None:
        self._memory = mmap.mmap(-1, 16 + films)

    def clear(self) -> None:
        """A new folder: no film is finished."""
        self._memory[16:] = bytes(len(self._memory) - 16)

    @property
    def stage(self) -> str:
        """What the network's threads were doing, or else the first one."""
        return STAGES[self._memory[1] or self._memory[0]]

    @property
    def again(self) -> int:
        """Films that were finished and given to the network once more."""
        return int.from_bytes(self._memory[4:8], "little")

    @property
    def finished(self) -> int:
        return sum(self._memory[16:])

    def enter(self, stage: str) -> int:
        place = int(threading.current_thread() is not threading.main_thread())
        before = self._memory[place]
        self._memory[place] = STAGES.index(stage)
        return before

    def leave(self, before: int) -> None:
        self._memory[int(threading.current_thread() is not threading.main_thread())] = before

    def nothing(self) -> None:
        self._memory[:2] = b"\0\0"

    def scores(self, films: range) -> None:
        again = self.again + sum(self._memory[16 + films.start : 16 + films.stop])
        self._memory[4:8] = again.to_bytes(4, "little")

    def has(self, films: range) -> None:
        self._memory[16 + films.start : 16 + films.stop] = b"\1" * len(films)


def watched(board: Board) -> None:
    """Have this process say what it is doing."""
    from pipelines import decoding
    from pipelines.inference import engine, journal, ledger
    from pipelines.inference.local import LocalRun
    from pipelines.inference.predictor import Predictor

    def tell(owner: object, name: str, stage: str) -> None:
        function = getattr(owner, name)

        def telling(*args, **options):
            before = board.enter(stage)
            try:
                return function(*args, **options)
            finally:
                board.leave(before)

        setattr(owner, name, telling)

    tell(decoding, "_read_whole", "reading")
    tell(decoding, "_write_pictures", "pictures")
    tell(ledger, "write_part", "part")
    tell(journal.Journal, "append", "journal")
    tell(LocalRun, "run", "films")
    tell(engine._Run, "_close", "tables")
    tell(engine, "write_json", "run.json")
    tell(engine, "close_folder", "closing")
    score, record = Predictor.score, ledger.Ledger.record

    def scoring(self, batch, *args):
        board.scores(batch.positions)
        before = board.enter("network")
        try:
            return score(self, batch, *args)
        finally:
            board.leave(before)

    def recording(self, batch, *args):
        record(self, batch, *args)
        board.has(batch)

    Predictor.score, ledger.Ledger.record = scoring, recording


class Runs:
    """Forks of this process that do one run each."""

    def __init__(self, films: Path, package: Path) -> None:
        import cv2
        import torch

        import pipelines.heatmaps  # noqa: F401  so that the forks need not
        from pipelines.imaging import read_radiograph
        from pipelines.inference import Predictor, collect_inputs, engine, ledger

        torch.set_num_threads(1)
        cv2.setNumThreads(0)  # no thread of this process is there in a fork
        read_radiograph(next(films.glob("film0.*")))
        ledger.PART_FILMS = PART_FILMS
        self.films = films
        self.count = len(collect_inputs([films]).films)
        self.board = Board(self.count)
        predictor = Predictor.from_package(package, batch_size=BATCH, streams=2)
        engine.Predictor.from_package = lambda *_, **__: predictor
        self.package = package

    def start(self, out: Path, *, workers: int, heatmaps: bool) -> int:
        self.board.nothing()
        process = os.fork()
        if process:
            return process
        code = 3
        try:
            from pipelines.inference import collect_inputs, predict_films

            watched(self.board)
            predict_films(collect_inputs([self.films]), self.package, out, workers=workers, heatmaps=heatmaps)
            code = 0
        except BaseException:  # noqa: BLE001  said by the exit code
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def time(self, out: Path, *, heatmaps: bool) -> tuple[float, float, float]:
        """Do a run that nobody kills; return how long its start, its films and what came after them took."""
        self.board.clear()
        times = [time.monotonic()]
        process = self.start(out, workers=0, heatmaps=heatmaps)
        while self.board.stage == "start" and not _over(process, 0.001):
            pass
        times.append(time.monotonic())
        self.films_done(process)
        times.append(time.monotonic())
        assert ends_within(process, 60.0)
        return times[1] - times[0], times[2] - times[1], time.monotonic() - times[2]

    def films_done(self, process: int) -> None:
        """Wait until a run has nothing left but to write tables, or is over."""
        while self.board.finished < self.count and not _over(process, 0.001):
            pass


def ends_within(process: int, seconds: float) -> bool:
    """Whether a child has ended by itself, and well; wait for so long."""
    if not _over(process, seconds):
        return False
    assert os.waitpid(process, 0)[1] == 0, "a run failed"
    return True


def _over(process: int, seconds: float) -> bool:
    handle = os.pidfd_open(process)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def orphans_gone(seconds: float) -> bool:
    """Whether all processes that killed ones had started have ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return True
    return False


def main() -> None:
    films, package, folder = map(Path, sys.argv[1:4])
    kills, draw = int(sys.argv[4]), random.Random(int(sys.argv[5]))
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans become this process's children
    runs = Runs(films, package)
    whole = {maps: runs.time(folder / ("whole-maps" if maps else "whole"), heatmaps=maps) for maps in (False, True)}
    hits: Counter[str] = Counter()
    number, killed, spawned, orphaned = 0, 0, 0, 0
    runs.board.clear()
    while killed < kills:
        maps = number % PICTURED_EVERY == PICTURED_EVERY - 1
        workers = int(killed % SPAWNED_EVERY == SPAWNED_EVERY - 1)
        start_seconds, films_seconds, tables_seconds = whole[maps]
        left = 1 - runs.board.finished / runs.count
        late = draw.random() < 1 / 3
        process = runs.start(folder / f"run{number}", workers=workers, heatmaps=maps)
        if late:
            runs.films_done(process)
            seconds = draw.uniform(0.0, tables_seconds + start_seconds * (left == 0))
        else:  # processes need a second to start
            seconds = draw.uniform(0.0, start_seconds + films_seconds * left + tables_seconds + workers)
        if ends_within(process, seconds):
            number += 1
            runs.board.clear()
            continue
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        hits[runs.board.stage] += 1
        killed += 1
        spawned += workers
        orphaned += not orphans_gone(10.0)
    maps = number % PICTURED_EVERY == PICTURED_EVERY - 1
    assert os.waitpid(runs.start(folder / f"run{number}", workers=0, heatmaps=maps), 0)[1] == 0
    print(  # noqa: T201  a program's answer
        json.dumps(
            {"hits": hits, "again": runs.board.again, "folders": number + 1, "spawned": spawned, "orphaned": orphaned}
        )
    )


if __name__ == "__main__":
    main()
