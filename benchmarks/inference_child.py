"""The systems that the inference benchmarks time, each in a fresh process that says what it measured as JSON.

A process of its own means: imports and thread settings of one system do not touch another, memory is that system's
alone, and workers that re-import the program's main module find one that imports nothing (as with `cxr predict`). A
child says `ready` when everything is imported and waits for a line before it begins.
"""

import inspect
import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

Result = dict[str, Any]


class Child:
    """A system in a process of its own; made ready, not yet begun."""

    def __init__(self, system: str, **arguments: Any) -> None:
        # pipelines sets it for its own processes; the plain loop must not inherit it.
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        if system in ("decode", "rows"):  # stages are timed in one thread; the systems choose their own numbers
            environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, system, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._line("ready")

    def begin(self) -> None:
        """Start the work."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def result(self) -> Result:
        """Wait for the end; what it measured."""
        answer: Result = json.loads(self._line("{"))
        self.process.communicate()
        return answer

    def _line(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line
        raise SystemExit(f"a measuring process ended with exit code {self.process.wait()}")


def measured(system: str, *, times: int = 1, **arguments: Any) -> list[Result]:
    """Run a system, several times at once if asked, all beginning together."""
    children = [Child(system, **arguments) for _ in range(times)]
    for child in children:
        child.begin()
    return [child.result() for child in children]


# --- what a child does


def ours(folder: str, package: str, out: str, options: Result, trace: bool = False) -> Result:
    """`predict_films` over a folder: rates, CPU seconds of all its processes, and its scores."""
    import pandas as pd

    from pipelines.inference import collect_inputs, predict_films

    chosen = _known(predict_films, options)
    before = time.perf_counter()
    films = collect_inputs([Path(folder)])
    listing = time.perf_counter() - before
    watch = _Watch(len(films), trace=trace)
    _wait_for_line()
    began, busy = time.perf_counter(), _cpu_seconds()
    summary = predict_films(films, Path(package), Path(out), progress=watch, **chosen)
    ended, busy_after = time.perf_counter(), _cpu_seconds()
    record = json.loads((Path(out) / "run.json").read_text(encoding="utf-8"))
    table = pd.read_parquet(Path(out) / "predictions.parquet", columns=["p_tb", "p_nodule"])
    (first, begun), (last, done) = watch.seen[0], watch.seen[-1]
    return {
        "films": summary.films,
        "scored": summary.ok,
        "began": began,
        "ended": ended,
        "wall": ended - began,
        "cpu": busy_after - busy,
        "listing": listing,
        "before_first": first - began,
        "first_films": begun,
        "after_last": ended - last,
        "steady_rate": (done - begun) / (last - first) if last > first else None,
        "settings": record["settings"],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "scores": table.head(64).to_numpy().tolist(),
        "progress": watch.seen,
        "grown": watch.grown,
    }


class _Watch:
    """Notes when films were done: at most some 200 times, so that watching takes no memory of its own."""

    def __init__(self, films: int, *, trace: bool) -> None:
        self.films, self.trace = films, trace
        self.seen: list[tuple[float, int]] = []
        self.grown: list[str] = []
        self._quarter: Any = None

    def __call__(self, done: int, _films: int) -> None:
        """Take note, if it is time; on the system's clock, which other processes share."""
        if self.seen and done < self.films and (done - self.seen[-1][1]) * 200 < self.films:
            return
        self.seen.append((time.perf_counter(), done))
        if self.trace:
            self._compare(done)

    def _compare(self, done: int) -> None:
        """What Python holds at the end that it did not hold after a quarter of the films, line by line."""
        import gc
        import tracemalloc

        if not tracemalloc.is_tracing():
            tracemalloc.start(8)
        elif self._quarter is None and 4 * done >= self.films:
            gc.collect()
            self._quarter = tracemalloc.take_snapshot()
        elif done == self.films and self._quarter is not None:
            gc.collect()
            grown = tracemalloc.take_snapshot().compare_to(self._quarter, "lineno")
            self.grown = [str(line) for line in grown[:20]]


def plain(paths: list[str], package: str, size: int, device: str) -> Result:
    """The loop of a first script: pydicom's default decoder, the whole matrix, one film at a time in fp32.

    The resize keeps the film's proportions, as the network's contract asks; threads are torch's own choice.
    """
    import pydicom
    import torch
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    from models import load_package

    network = load_package(Path(package)).build().to(device)

    def logits(path: str) -> list[float]:
        dataset = pydicom.dcmread(path)
        values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype("float32")
        low, high = values.min(), values.max()
        values = (values - low) / (high - low)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            values = 1 - values
        with torch.inference_mode():
            answer = network(torch.from_numpy(_fitted(values, size))[None, None].to(device)).logits
        return [float(value) for value in answer[0].float().cpu()]

    logits(paths[0])  # codecs and kernels are loaded at the first film
    _wait_for_line()
    began, busy = time.perf_counter(), _cpu_seconds()
    found = [logits(path) for path in paths]
    wall = time.perf_counter() - began
    return {
        "films": len(paths),
        "wall": wall,
        "cpu": _cpu_seconds() - busy,
        "threads": torch.get_num_threads(),
        "logits": found,
    }


def _fitted(values: Any, size: int) -> Any:
    """``[size, size]``: resized by area, centred, black beside the film."""
    import cv2
    import numpy as np

    rows, columns = values.shape
    scale = size / max(rows, columns)
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    square = np.zeros((size, size), np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return square


def decode(paths: list[str], size: int, seconds: float) -> Result:
    """Read, decode and square films in one thread, round and round; ends with a whole round."""
    import cv2

    from pipelines.decoding import DecodeRequest, read_film

    cv2.setNumThreads(1)
    request = DecodeRequest(size, features=True)  # as the benchmark's package asks
    files = [Path(path) for path in paths]
    read_film(files[0], request)
    _wait_for_line()
    began, busy, films = time.perf_counter(), time.process_time(), 0
    while not films or time.perf_counter() - began < seconds:
        for file in files:
            read_film(file, request)
        films += len(files)
    wall = time.perf_counter() - began
    return {"films": films, "wall": wall, "cpu": time.process_time() - busy}


def forward(package: str, seconds: float, options: Result) -> Result:
    """The predictor's forward passes on synthetic films and nothing else, in as many streams as it has.

    On a GPU the films lie in its memory already; results come back to the CPU, because rows are made of them.
    """
    import torch

    predictor = _predictor(package, options)
    count, size = predictor.batch_size, predictor.size
    images = torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0)).to(predictor.device)
    streams = getattr(predictor, "streams", 1)
    warm, batches = threading.Barrier(streams + 1), [0] * streams

    def stream(number: int) -> None:
        predictor.forward(images)  # each thread makes its own scratch memory
        warm.wait()
        end = time.perf_counter() + seconds
        while not batches[number] or time.perf_counter() < end:
            predictor.forward(images)
            batches[number] += 1

    threads = [threading.Thread(target=stream, args=(number,)) for number in range(streams)]
    _wait_for_line()
    for thread in threads:
        thread.start()
    warm.wait()
    began, busy = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.join()
    wall, cpu = time.perf_counter() - began, time.process_time() - busy
    return {"films": sum(batches) * count, "wall": wall, "cpu": cpu} | {
        "backend": getattr(getattr(predictor, "runtime", None), "backend", "torch"),
        "precision": predictor.precision,
        "device": str(predictor.device),
        "streams": streams,
        "batch_size": count,
    }


def rows(folder: str, package: str, scratch: str, options: Result) -> Result:
    """What is done with films that have been scored: rows and map peaks, then journal, parts and tables. One thread.

    Processor time; the disk's is not in it, because other films are computed meanwhile.
    """
    from pipelines.inference import collect_inputs
    from pipelines.inference.decode import decode_batch
    from pipelines.inference.ledger import Ledger, part_ranges
    from pipelines.inference.table import write_tables

    predictor = _predictor(package, options)
    films = collect_inputs([Path(folder)]).films
    count = min(predictor.batch_size, len(films))
    batch = decode_batch([film.file for film in films[:count]], range(count), predictor.request())
    answer = predictor.forward(batch.images)
    predictor.forward = lambda _images: answer  # only what comes after the forward pass is timed
    chosen = films[:count]
    names, paths = [film.image_id for film in chosen], [film.path for film in chosen]
    predictor.score(batch, names, paths)
    Path(scratch).mkdir()
    ledger = Ledger(Path(scratch), films, part_ranges(len(films)), batch_size=count, plan="benchmark")
    ranges = [positions for group in ledger.pending() for positions in group]
    _wait_for_line()
    begin = time.process_time()
    scored = [predictor.score(batch, names, paths).rows for _ in ranges]
    made = time.process_time()
    for positions, found in zip(ranges, scored, strict=True):
        ledger.record(positions, found[: len(positions)], batch.states[: len(positions)])
    write_tables(ledger.tables, Path(scratch) / "all.parquet", Path(scratch) / "all.csv")
    ended = time.process_time()
    return {"films": len(films), "rows": made - begin, "writing": ended - made}


def _predictor(package: str, options: Result) -> Any:
    from pipelines.inference import Predictor

    return Predictor.from_package(Path(package), **_known(Predictor.from_package, options))


def _known(function: Any, options: Result) -> Result:
    """Options that were chosen; leaves the program where this version has no such choice."""
    chosen = {name: value for name, value in options.items() if value is not None}
    unknown = [name for name in chosen if name not in inspect.signature(function).parameters]
    if unknown:
        raise SystemExit(f"{function.__qualname__} of this version has no option {unknown[0]}")
    return chosen


def _cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _wait_for_line() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def main() -> None:
    """Run the system that the command line names."""
    systems = {system.__name__: system for system in (ours, plain, decode, forward, rows)}
    answer = systems[sys.argv[1]](**json.loads(sys.argv[2]))
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
