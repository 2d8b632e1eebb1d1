"""Does the memory of `cxr predict` stay flat? The same run over few and over many films, each in fresh processes.

    python benchmarks/inference_memory.py [--films 5000,100000] [--workers N] [--heatmaps] [--trace] [--json FILE]

The films are a few phantoms of 160 × 160 pixels under many names (hard links), the network is small, so that 100,000
films take minutes: what counts is what a run keeps of each film, and that does not depend on its pixels. A sampler
reads /proc of the run and of all its workers: resident memory (RSS, four times a second) and the proportional share of
it (PSS, every two seconds: pages that processes share count once, other users of the same libraries included). A leak
is a slope of the memory that belongs to no file (RssAnon), in bytes per film between the first quarter of the run and
its end. With --trace, tracemalloc names the lines of Python that hold more at the end
than after a quarter (the run is then several times slower, and its figures are not those of a run).
"""

import argparse
import json
import platform
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from inference_child import Child, Result
from inference_films import repeated, write_package
from PIL import Image

from pipelines.inference.run_record import hardware
from pipelines.phantom.film import render_film
from pipelines.phantom.plan import plan_film

SIDE, SIZE = 160, 64
ORIGINALS = 16
"""A file system allows some 65,000 names of one file."""
QUARTERS = (0.25, 0.5, 0.75, 1.0)
LIMIT = 0.05
"""By which the peak may be larger with many films."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes at one moment."""

    time: float
    parent: int
    """RSS of the run's own process."""
    together: int
    """RSS of the run and its workers, added up."""
    worker: int
    """RSS of the largest worker."""
    private: int
    """Of the run's own process, without what it maps from files (libraries)."""
    shares: tuple[int, int] | None = None
    """PSS of the run's own process, and of the run and its workers; not in every sample."""


@dataclass(slots=True)
class Sampler:
    """Watches a process and its descendants until it ends."""

    pid: int
    samples: list[Sample] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Sample until told that the run is over."""
        number = 0
        while not self.over.wait(0.25):
            try:
                self.samples.append(self._sample(shares=number % 8 == 0))
            except psutil.NoSuchProcess:
                return
            number += 1

    def _sample(self, *, shares: bool) -> Sample:
        parent = psutil.Process(self.pid)
        own = parent.memory_info().rss
        resident, proportional = [0], 0
        for worker in parent.children(recursive=True):
            try:
                resident.append(worker.memory_info().rss)
                proportional += _share(worker.pid) if shares else 0
            except psutil.NoSuchProcess:  # it has just ended
                continue
        share = _share(self.pid) if shares else 0
        pair = (share, share + proportional) if shares else None
        return Sample(time.perf_counter(), own, own + sum(resident), max(resident), _private(self.pid), pair)


def _share(pid: int) -> int:
    """Proportional share of resident memory, in bytes."""
    return _stated(pid, "smaps_rollup", "Pss:")


def _private(pid: int) -> int:
    """Resident memory that is no copy of a file, in bytes."""
    return _stated(pid, "status", "RssAnon:")


def _stated(pid: int, file: str, name: str) -> int:
    """What the kernel states in KiB of a process; 0 of one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(name)), 0)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    chosen = _arguments(arguments)
    machine = hardware(_cpu())
    print(f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {platform.platform()}")
    with tempfile.TemporaryDirectory(prefix="cxr-benchmark-") as name:
        folder = Path(name)
        originals = _write_films(folder / "films")
        write_package(folder / "package", originals, size=SIZE, backbone="mobilenet_v3_small")
        runs = [_measure(folder, originals, films, chosen) for films in chosen.films]
    few, many = runs[0], runs[-1]
    if len(runs) > 1:
        print(f"\n{many['films']:,} films against {few['films']:,}: peak of")
        for what in few["peak"]:
            more = many["peak"][what] / few["peak"][what] - 1
            print(f"  {what:<28}{more:+8.1%}  {'within' if more <= LIMIT else 'MORE THAN'} {LIMIT:.0%}")
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": machine, "runs": runs}, indent=2) + "\n", encoding="utf-8")


def _measure(folder: Path, originals: list[Path], films: int, chosen: argparse.Namespace) -> Result:
    listed = repeated(originals, folder / f"list-{films}", films)
    child = Child(
        "ours",
        folder=str(listed),
        package=str(folder / "package"),
        out=str(folder / f"out-{films}"),
        options={"workers": chosen.workers, "heatmaps": chosen.heatmaps or None},
        trace=chosen.trace,
    )
    listed_bytes = psutil.Process(child.process.pid).memory_info().rss
    sampler = Sampler(child.process.pid)
    thread = threading.Thread(target=sampler.run)
    thread.start()
    child.begin()
    try:
        result = child.result()
    finally:
        sampler.over.set()
        thread.join()
    run = _described(films, result, sampler.samples, listed_bytes)
    _show(run)
    return run


def _described(films: int, result: Result, samples: list[Sample], listed: int) -> Result:
    # What the measuring process does with the finished tables is no part of the run.
    samples = [sample for sample in samples if result["began"] <= sample.time <= result["ended"]]
    shares = [sample for sample in samples if sample.shares]
    if not shares:
        raise SystemExit(f"the run over {films:,} films was over before it could be watched; take more films")
    steps = []
    for quarter in QUARTERS:
        moment = next(when for when, done in result["progress"] if done >= quarter * films)
        at, share = (min(given, key=lambda sample: abs(sample.time - moment)) for given in (samples, shares))
        steps.append(
            {
                "done": quarter,
                "parent": at.parent,
                "together": at.together,
                "private": at.private,
                "shares": share.shares,
            }
        )
    covered = (QUARTERS[-1] - QUARTERS[0]) * films
    return {
        "films": films,
        "scored": result["scored"],
        "wall": result["wall"],
        "settings": result["settings"],
        "before": listed,
        "peak": {
            "parent, RSS": max(sample.parent for sample in samples),
            "parent, RssAnon": max(sample.private for sample in samples),
            "largest worker, RSS": max(sample.worker for sample in samples),
            "all processes, RSS": max(sample.together for sample in samples),
            "parent, PSS": max(sample.shares[0] for sample in shares if sample.shares),
            "all processes, PSS": max(sample.shares[1] for sample in shares if sample.shares),
        },
        "steps": steps,
        "slope": {what: (steps[-1][what] - steps[0][what]) / covered for what in ("parent", "private", "together")},
        "grown": result["grown"],
    }


def _show(run: Result) -> None:
    print(
        f"\n{run['films']:,} films ({run['scored']:,} scored) in {run['wall']:.0f} s "
        f"({1e3 * run['wall'] / run['films']:.2f} ms per film); {run['before'] / MIB:,.0f} MiB with the list, before "
        "the first film"
    )
    print("  peak, MiB: " + "; ".join(f"{what} {peak / MIB:,.0f}" for what, peak in run["peak"].items()))
    for step in run["steps"]:
        own, together = step["shares"]
        print(
            f"  after {step['done']:>4.0%}: parent RSS {step['parent'] / MIB:,.1f}, of it not from files "
            f"{step['private'] / MIB:,.1f}, PSS {own / MIB:,.1f}; "
            f"all RSS {step['together'] / MIB:,.1f}, PSS {together / MIB:,.1f} MiB"
        )
    slope = run["slope"]
    print("  slope from 25 % to 100 %, bytes per film: " + "; ".join(f"{of} {by:+,.0f}" for of, by in slope.items()))
    for line in run["grown"]:
        print(f"    {line}", flush=True)


def _write_films(folder: Path) -> list[Path]:
    folder.mkdir()
    paths = []
    for number in range(ORIGINALS):
        film = render_film(plan_film(7, number))
        bright = film.plan.site.max_value - film.pixels if film.plan.site.monochrome1 else film.pixels
        small = cv2.resize(bright.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        paths.append(folder / f"film{number:02d}.png")
        Image.fromarray((small / small.max() * 255).astype(np.uint8)).save(paths[-1])
    return paths


def _cpu() -> Any:
    import torch

    return torch.device("cpu")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    counts = "films of each run, with commas between; the first and the last are compared"
    parser.add_argument("--films", type=lambda text: sorted(map(int, text.split(","))), default=[5000, 100_000],
                        help=counts)  # fmt: skip
    parser.add_argument("--workers", type=int, help="as cxr predict; the machine's choice if left out")
    parser.add_argument("--heatmaps", action="store_true", help="also write pictures")
    parser.add_argument("--trace", action="store_true", help="name the lines of Python whose memory grows")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
