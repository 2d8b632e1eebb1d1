"""Judges slices of mutated films from outside: a crash or a hang of the judge is counted, not suffered."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HANG_SECONDS = 30.0
CHUNK = 50
VERDICTS = ("refused", "agreed", "alone")


@dataclass
class Score:
    """What became of a family's inputs."""

    tally: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    """Input and what was wrong with it."""
    seconds: float = 0.0
    """Processor time of the slowest read."""
    peak_mib: int = 0
    """Memory of the judge, its libraries and the reference included."""

    def add(self, answer: dict[str, Any]) -> None:
        """Take in what the judge answered."""
        self.tally.update(answer["tally"])
        self.failures += [(k, verdict) for k, verdict in answer["failures"]]
        self.seconds = max(self.seconds, answer["seconds"])
        self.peak_mib = max(self.peak_mib, answer["peak_mib"])


class Judge:
    """One process that reads mutated films, started again where it dies."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.scratch = Path(self._folder.name)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()
        self._folder.cleanup()

    def score(self, family: str, start: int, count: int) -> Score:
        """Judge inputs `start` ... `start + count - 1` of a family."""
        score = Score()
        pieces = [(first, min(CHUNK, start + count - first)) for first in range(start, start + count, CHUNK)][::-1]
        while pieces:
            first, length = pieces.pop()
            answer = self._ask({"family": family, "start": first, "count": length})
            if not isinstance(answer, str):
                score.add(answer)
                continue
            k, phase = (self.scratch / "at").read_text().split()
            if phase == "reader":
                score.tally[answer] += 1
                score.failures.append((int(k), answer))
            else:  # the reference died: of this input nothing is known but that it was accepted
                score.tally["alone"] += 1
            pieces += [(int(k) + 1, first + length - int(k) - 1), (first, int(k) - first)]
            pieces = [piece for piece in pieces if piece[1] > 0]
        return score

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | str:
        process = self._process or self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        seen, since = "", time.monotonic()
        while not select.select([process.stdout], [], [], 0.2)[0]:
            at = (self.scratch / "at").read_text() if (self.scratch / "at").exists() else ""
            if at != seen:
                seen, since = at, time.monotonic()
            elif time.monotonic() - since > HANG_SECONDS:
                self._end()
                return "hang"
        line = process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._end()
        return "crash"

    def _begin(self) -> subprocess.Popen[str]:
        (self.scratch / "at").write_text("")
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.judge", str(self.scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # codecs of the reference say there what they think
            text=True,
            cwd=Path(__file__).parents[2],
            env=environment,
        )
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
