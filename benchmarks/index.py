"""How fast does `cxr manifest build` read headers, and does its memory grow? Beside pydicom on the same files.

Makes DICOM and PNG films in a temporary folder, each a file of its own with pixels that no reader should look at, and
prints one table: files per second and core, and peak memory at a tenth of the films and at all of them.

    python benchmarks/index.py --films 20000
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from pipelines.imaging import read_facts
from pipelines.phantom import generate_phantoms
from pipelines.system import usable_cores

ROUNDS = 3


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--films", type=int, default=20_000, help="half of them DICOM, half PNG")
    films = arguments.parse_args().films
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, films)
        dicom, png = (sorted((root / "all" / "tb").glob(f"*.{suffix}")) for suffix in ("dcm", "png"))
        print(f"{films:,} films; files per second on one core, headers alone; the best of {ROUNDS} rounds\n")
        print(f"  DICOM  read_facts                  {rate(read_facts, dicom):>8,.0f}")
        print(f"  DICOM  pydicom, without pixels     {rate(read_with_pydicom, dicom):>8,.0f}")
        print(f"  PNG    read_facts                  {rate(read_facts, png):>8,.0f}")
        print(f"  PNG    Pillow, without pixels      {rate(read_with_pillow, png):>8,.0f}\n")
        small = root / "small"
        (small / "tb").mkdir(parents=True)
        for path in islice((root / "all" / "tb").iterdir(), films // 10):
            (small / "tb" / path.name).hardlink_to(path)
        print(f"build_manifest with {usable_cores()} workers, from the folder to the table")
        for name, where, count in (("a tenth", small, films // 10), ("all", root / "all", films)):
            seconds, peak, worker_peak = index(where)
            print(
                f"  {name:<8} {count:>8,} films  {seconds:6.1f} s  {count / seconds:>6,.0f} per second  "
                f"{count / seconds / usable_cores():>6,.0f} per core  peak {peak:,} MiB, a worker {worker_peak:,} MiB"
            )


def make(root: Path, films: int) -> None:
    """Write the films: headers of synthetic ones, over pixels that are only a hole in the file."""
    sources = root / "sources"
    generate_phantoms(sources, films=4, seed=1, workers=1)
    heads = [header(path) for path in sorted(sources.rglob("*.dcm"))]
    (root / "all" / "tb").mkdir(parents=True)
    Image.fromarray(np.zeros((2048, 2048), np.uint16)).save(root / "blank.png")
    blank = (root / "blank.png").read_bytes()
    for number in range(films):
        suffix = "dcm" if number % 2 else "png"
        path = root / "all" / "tb" / f"film{number}.{suffix}"
        head, size = heads[number % len(heads)] if number % 2 else (blank, 1 << 20)
        with path.open("wb") as stream:
            stream.write(head)
            stream.truncate(size)


def header(path: Path) -> tuple[bytes, int]:
    """The part of a DICOM file before its pixels, and how long the whole file is."""
    whole = path.read_bytes()
    marker = whole.find(b"\xe0\x7f\x10\x00")
    assert marker > 0, f"{path.name} has no PixelData"
    return whole[: marker + 12], len(whole)


def rate(read: Callable[[Path], object], paths: list[Path]) -> float:
    """Files per second of processor time, best of `ROUNDS` (another process's work does not count)."""
    best = 0.0
    for _ in range(ROUNDS):
        began = time.process_time()
        for path in paths:
            read(path)
        best = max(best, len(paths) / (time.process_time() - began))
    return best


def read_with_pydicom(path: Path) -> object:
    return pydicom.dcmread(path, stop_before_pixels=True)


def read_with_pillow(path: Path) -> object:
    with Image.open(path) as image:
        return image.size


INDEX = """
import resource, sys, time
from pathlib import Path
from pipelines.datasets import build_manifest
if __name__ == "__main__":
    began = time.perf_counter()
    frame = build_manifest("folder", Path(sys.argv[1]))
    seconds = time.perf_counter() - began
    assert frame["rows"].notna().all()
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    print(seconds, int(peak) >> 10, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def index(root: Path) -> tuple[float, int, int]:
    """Seconds, and peak MiB of the parent and of its largest worker, in a fresh process."""
    done = subprocess.run([sys.executable, "-c", INDEX, str(root)], capture_output=True, text=True, check=True)
    seconds, peak, worker_peak = done.stdout.split()
    return float(seconds), int(peak), int(worker_peak)


if __name__ == "__main__":
    main()
