"""Where the time of a run went, and what would make it shorter."""

import threading
import time
from typing import Any, Final

from pipelines.decoding import Work
from pipelines.inference.predictor import Predictor
from pipelines.system import usable_cores

_SHORT: Final = 10.0
"""Seconds below which idle time says nothing: reading processes start, and the last batch waits alone."""
_MOST: Final = 0.4
"""Share of the cores' time from which one thing is the limit."""


class Usage:
    """Processor time by what it was spent on. Its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self._processor = time.process_time()
        self.reading = self.pictures = self.waiting = self.network = 0.0
        self.wall = 0.0
        """Seconds from the start to `stop`."""
        self.parent = 0.0
        """Processor seconds of this process meanwhile: the network, rows and tables."""

    def read(self, work: Work) -> None:
        """Count what reading and decoding a film, or several, took in their processes."""
        with self._lock:
            self.reading += work.processor
            self.waiting += work.waiting

    def drew(self, work: Work) -> None:
        """Count what writing a film's pictures took in their process."""
        with self._lock:
            self.pictures += work.processor

    def ran(self, seconds: float) -> None:
        """Count how long a thread was busy with the network and its rows."""
        with self._lock:
            self.network += seconds

    def stop(self) -> None:
        """All films are done."""
        self.wall = time.perf_counter() - self._started
        self.parent = time.process_time() - self._processor

    def shares(self) -> dict[str, float]:
        """Return what part of the cores' time went where; the parts and ``idle`` sum to 1."""
        whole = max(self.wall * usable_cores(), 1e-9)
        parts = {"network": self.parent / whole, "reading": self.reading / whole, "pictures": self.pictures / whole}
        scale = max(1.0, sum(parts.values()))  # clocks of several processes need not agree to the last per cent
        parts = {name: share / scale for name, share in parts.items()}
        return parts | {"idle": 1.0 - sum(parts.values())}

    def to_json(self) -> dict[str, Any]:
        """Return what ``run.json`` says."""
        return {
            "seconds": round(self.wall, 3),
            "processor_seconds": {
                "network": round(self.parent, 3),
                "reading": round(self.reading, 3),
                "pictures": round(self.pictures, 3),
            },
            "waiting_for_files_seconds": round(self.waiting, 3),
            "shares": {name: round(share, 4) for name, share in self.shares().items()},
        }

    def line(self, seconds: float, predictor: Predictor) -> str:
        """One line: where the time went, and what would make it shorter.

        Args:
            seconds: duration of the whole call.
            predictor: what ran.
        """
        shares = self.shares()
        names = {
            "network": "network",
            "reading": "reading and decoding",
            "pictures": "pictures",
            "idle": "idle or others",
        }
        parts = ", ".join(f"{names[name]} {share:.0%}" for name, share in shares.items() if share >= 0.005)
        start = max(0.0, seconds - self.wall)
        advice = self._advice(shares, predictor)
        return f"time of {usable_cores()} cores: {parts}; start and tables {start:.1f} s; {advice}"

    def _advice(self, shares: dict[str, float], predictor: Predictor) -> str:
        on_gpu = predictor.device.type != "cpu"
        workers_waited = self.waiting / max(self.reading + self.waiting, 1e-9)
        if workers_waited > _MOST and shares["idle"] > 1 - 2 * _MOST:
            return "the films' disk or network is the limit: copy them to a local disk, or start more --workers"
        if not on_gpu and shares["idle"] > _MOST and self.wall < _SHORT:
            return "too short a run to say what limits it"
        if not on_gpu and shares["idle"] > _MOST:
            return "something else holds this run up: other programs on this machine, or a slow disk for its output"
        if on_gpu and self.network > (1 - _MOST) * self.wall:
            return "the GPU is the limit: another one, with shards, would help; more cores would not"
        if on_gpu and shares["reading"] > _MOST:
            return "decoding is the limit: more cores would help, a faster GPU would not"
        if shares["reading"] + shares["pictures"] > shares["network"]:
            return "decoding is the limit: more cores would help, a GPU would not"
        return f"the network is the limit: {_faster_network(predictor)}"


def _faster_network(predictor: Predictor) -> str:
    if predictor.backend == "torch" and predictor.precision == "fp32":
        return "a GPU, or an export that keeps the scores (cxr model export), would help"
    return "a GPU or more cores would help"
