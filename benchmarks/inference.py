"""How near `cxr predict` comes to what the machine can do, and how far it is from the loop that people write first.

    python benchmarks/inference.py [--quick] [--size 224,512] [--films 6] [--seconds 20] [--rounds 2] [--lossy]
                                   [--backend B] [--precision P] [--export openvino-bf16,openvino-int8] [--json FILE]

One run, one set of films (phantoms of 2500 × 2048 pixels and 12 bits, rendered at that size, each in every transfer
syntax) and one network of random weights for each size (DenseNet-121 with both heads). Every system runs in a process
of its own; ours and the plain loop take turns, and ratios are taken within a turn. Films are read from the page cache.

Stage costs are processor time per film with every core at the same stage, so that the ceiling holds what cores take
from one another (beside them: one core alone). The ceiling is cores ÷ the sum of the stages; on a GPU it is the
slower of reading on all cores and the forward pass on films that lie in its memory. Throughput is that of a whole call
of `predict_films` (its processes' start and the final tables included) and, apart, from its first batch to its last.
The plain loop: `pydicom.dcmread`, `pixel_array`, modality and VOI look-up, resize by area, fp32, one film at a time,
PyTorch's own threads. Both systems' scores of the same films are compared.
"""

import argparse
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inference_child import Result, measured
from inference_films import LOSSLESS, LOSSY, probabilities, repeated, write_films, write_package

from pipelines.inference.run_record import hardware
from pipelines.system import usable_cores

START_UP_SHARE = 0.03
"""Of a run that is long enough."""
LARGEST_DISTANCE = 0.15
"""Of a probability of ours from the plain loop's, with weights that were never trained to overlook a resize."""
EXPORT_FILMS = 24
"""An export is checked on at least ten films, int8 on other ten than those that gave its ranges."""
LIBRARIES = ("torch", "pydicom", "opencv-python-headless", "imagecodecs", "pylibjpeg", "python-gdcm", "openvino")
WAYS = (("torch", "fp32"), ("torch", "bf16"), ("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"),
        ("onnxruntime", "fp32"), ("onnxruntime", "int8"))  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    chosen = _arguments(arguments)
    cores, device = usable_cores(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    machine = hardware(device) | {"usable_cores": cores, "python": platform.python_version()} | _versions()
    print(", ".join(f"{name} {value}" for name, value in machine.items() if value is not None))
    print(f"DenseNet-121, random weights; {chosen.films} phantoms; the plain loop takes {chosen.plain} a turn")
    record: dict[str, Any] = {"machine": machine, "arguments": vars(chosen) | {"json": None}, "sizes": []}
    syntaxes = (*LOSSLESS, LOSSY) if chosen.lossy else tuple(LOSSLESS)
    with tempfile.TemporaryDirectory(prefix="cxr-benchmark-") as folder:
        films = write_films(Path(folder) / "films", chosen.films, syntaxes=syntaxes, small=chosen.small)
        for size in chosen.size:
            record["sizes"].append(_Size(Path(folder), films, size, chosen, cores, device).measure())
    if chosen.json:
        chosen.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


class _Size:
    """Everything that is measured of one network."""

    def __init__(
        self,
        folder: Path,
        films: dict[str, list[Path]],
        size: int,
        chosen: argparse.Namespace,
        cores: int,
        device: torch.device,
    ) -> None:
        self.folder, self.films, self.size, self.chosen, self.cores, self.device = (
            folder, films, size, chosen, cores, device)  # fmt: skip
        self.package = folder / f"package-{size}"
        write_package(self.package, films["uncompressed"], size=size)
        for export in chosen.export:
            self._export(*export.split("-"))
        self.options = {"backend": chosen.backend, "precision": chosen.precision}
        self.runs = 0

    def _export(self, backend: str, precision: str) -> None:
        """Make another backend's file with the command that makes it, and print what its check says."""
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            films = repeated(self.films["uncompressed"], Path(scratch) / "films", EXPORT_FILMS)
            command = [sys.executable, "-m", "pipelines", "model", "export", str(self.package), "--films", str(films),
                       "--backend", backend, "--precision", precision]  # fmt: skip
            done = subprocess.run(command, check=False, capture_output=True, text=True,
                                  cwd=Path(__file__).parent.parent)  # fmt: skip
        if done.returncode not in (0, 1):  # 1: made, and its check failed
            raise SystemExit(f"{backend}-{precision} cannot be exported: {done.stderr.strip()}")
        print(f"\nexport {backend} {precision}, {self.size} pixels:\n{done.stdout.strip()}", flush=True)

    def measure(self) -> Result:
        """Print one size; return what was measured."""
        print(f"\n{self.size} × {self.size} pixels\n\nstage: processor ms per film, all cores at it (one core alone)")
        passes = self._forward_passes()
        after = self._after()
        reading = {name: self._reading(name) for name in self.films}
        result = {"size": self.size, "forward": passes, "after": after, "reading": reading, "syntaxes": {}}
        widths = "{:<16}{:>9}{:>17}{:>9}{:>17}{:>9}{:>8}{:>9}{:>17}{:>18}{:>10}"
        print("\n" + widths.format("films/s", "ceiling", "whole call", "share", "first to last", "share", "CPU ms",
                                   "start-up", "plain loop", "ours / plain", "distance"))  # fmt: skip
        for name in self.films:
            ceiling = self._ceiling(passes, after, reading[name])
            cell = self._turns(name, ceiling)
            result["syntaxes"][name] = cell
            print(widths.format(*_cells(name, cell)), flush=True)
        if not self.chosen.quick:
            self._long_run(result)
        return result

    def _forward_passes(self) -> list[Result]:
        """The chosen way, or the one that `auto` takes, first; then all others that this package can be run in."""
        asked = (self.options["backend"], self.options["precision"])
        found = [self._forward(*asked)]
        taken = (found[0]["backend"], found[0]["precision"])
        if not self.chosen.quick:
            for way in WAYS:
                if way != taken and (way[0] == "torch" or (self.package / "exports" / "-".join(way)).is_dir()):
                    found.append(self._forward(*way))
        for one in found:
            print(
                f"  forward, {one['backend']} {one['precision']} on {one['device']}, {one['streams']} streams, "
                f"batches of {one['batch_size']}: {1e3 * one['cpu'] / one['films']:.1f}; "
                f"{one['films'] / one['wall']:.1f} films/s",
                flush=True,
            )
        return found

    def _forward(self, backend: str | None, precision: str | None) -> Result:
        # A version without backends knows one: PyTorch.
        options = {"backend": None if backend == "torch" else backend, "precision": precision}
        return measured("forward", package=str(self.package), seconds=self.chosen.stage_seconds, options=options)[0]

    def _after(self) -> Result:
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            listed = repeated(self.films["uncompressed"], Path(scratch) / "films", 256 if self.chosen.quick else 1024)
            found = measured("rows", folder=str(listed), package=str(self.package), scratch=str(Path(scratch) / "rows"),
                             options=self.options)[0]  # fmt: skip
        cost = {stage: found[stage] / found["films"] for stage in ("rows", "writing")}
        print(f"  rows and map peaks: {1e3 * cost['rows']:.2f}; journal, parts, tables: {1e3 * cost['writing']:.2f}")
        return cost

    def _reading(self, name: str) -> Result:
        arguments: Result = {
            "paths": [str(path) for path in self.films[name]],
            "size": self.size,
            "seconds": self.chosen.stage_seconds / 2,
        }
        alone = measured("decode", **arguments)[0]
        together = measured("decode", times=self.cores, **arguments)
        films = sum(one["films"] for one in together)
        cost = {
            "cost": sum(one["cpu"] for one in together) / films,
            "alone": alone["cpu"] / alone["films"],
            "rate": sum(one["films"] / one["wall"] for one in together),
        }
        print(f"  read, decode, square, {name}: {1e3 * cost['cost']:.1f} ({1e3 * cost['alone']:.1f})", flush=True)
        return cost

    def _ceiling(self, passes: Sequence[Result], after: Result, reading: Result) -> float:
        """Films per second that the stages allow."""
        network = passes[0]
        if self.device.type != "cpu":
            return float(min(reading["rate"], network["films"] / network["wall"]))
        # The forward pass has every core: what it takes is their time, waiting for memory and each other included.
        forward = self.cores * network["wall"] / network["films"]
        return float(self.cores / (reading["cost"] + forward + sum(after.values())))

    def _turns(self, name: str, ceiling: float) -> Result:
        """Ours and the plain loop in turns, on the same films."""
        films = max(self.chosen.least, math.ceil(self.chosen.seconds * ceiling))
        turns = [(self._ours(name, films), self._plain(name)) for _ in range(self.chosen.rounds)]
        return {
            "ceiling": ceiling,
            "ours": [ours for ours, _ in turns],
            "plain": [plain for _, plain in turns],
            "ratio": [_rate(ours) / _rate(plain) for ours, plain in turns],
            "distance": self._distance(name, *turns[0]),
        }

    def _ours(self, name: str, films: int) -> Result:
        self.runs += 1
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            listed = repeated(self.films[name], Path(scratch) / "films", films)
            ours = measured("ours", folder=str(listed), package=str(self.package), out=str(Path(scratch) / "out"),
                            options=self.options | {"workers": self.chosen.workers})[0]  # fmt: skip
        if ours["scored"] != films:
            raise SystemExit(f"{name}: {ours['scored']} of {films} films were scored")
        return ours

    def _plain(self, name: str) -> Result:
        paths = [str(self.films[name][number % len(self.films[name])]) for number in range(self.chosen.plain)]
        return measured("plain", paths=paths, package=str(self.package), size=self.size, device=str(self.device))[0]

    def _distance(self, name: str, ours: Result, plain: Result) -> Result:
        """How far our probabilities lie from the plain loop's, of the same films."""
        films = min(len(self.films[name]), self.chosen.plain)
        found = np.array(ours["scores"][:films])
        expected = probabilities(self.package, np.array(plain["logits"][:films]))
        away = np.abs(found - expected)
        return {"largest": float(away.max()), "median": float(np.median(away)), "spread": float(expected.std())}

    def _long_run(self, result: Result) -> None:
        """One run that is long enough for its start-up to be less than `START_UP_SHARE` of it."""
        name = next(iter(self.films))
        cell = result["syntaxes"][name]
        start = statistics.median(_start_up(ours) for ours in cell["ours"])
        long = self._ours(name, math.ceil(start / START_UP_SHARE * cell["ceiling"]))
        cell["long"] = long
        print(
            f"\nlong run, {name}: {long['films']:,} films in {long['wall']:.1f} s, start-up {_start_up(long):.2f} s "
            f"({_start_up(long) / long['wall']:.1%}): {_rate(long):.2f} films/s whole call = "
            f"{_rate(long) / cell['ceiling']:.2f} of the ceiling; {_steady(long):.2f} from first to last = "
            f"{_steady(long) / cell['ceiling']:.2f}; parent's peak {long['peak_mib']:,} MiB",
            flush=True,
        )


def _cells(name: str, cell: Result) -> list[str]:
    ours, plain, ceiling, away = cell["ours"], cell["plain"], cell["ceiling"], cell["distance"]
    whole, steady = [_rate(one) for one in ours], [_steady(one) for one in ours]
    return [
        name,
        f"{ceiling:.2f}",
        _spread(whole),
        f"{statistics.median(whole) / ceiling:.2f}",
        _spread(steady),
        f"{statistics.median(steady) / ceiling:.2f}",
        f"{1e3 * statistics.median(one['cpu'] / one['films'] for one in ours):.0f}",
        f"{statistics.median(_start_up(one) for one in ours):.1f} s",
        _spread([_rate(one) for one in plain]),
        _spread(cell["ratio"]),
        f"{away['largest']:.3f}" + ("" if away["largest"] <= LARGEST_DISTANCE else " !"),
    ]


def _rate(run: Result) -> float:
    return float(run["films"] / run["wall"])


def _steady(run: Result) -> float:
    """Films per second between the first and the last batch; of a single batch, the whole call."""
    return float(run["steady_rate"] or _rate(run))


def _start_up(run: Result) -> float:
    """Seconds before the first batch was finished, less what that batch takes in a run that is going."""
    return max(0.0, float(run["before_first"] - run["first_films"] / _steady(run)))


def _spread(values: Sequence[float]) -> str:
    """Median (lowest - highest)."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = "sides of the network's input, with commas between"
    parser.add_argument("--size", type=lambda text: [int(part) for part in text.split(",")], help=sizes)
    parser.add_argument("--films", type=int, help="different films; runs go round them under new names")
    parser.add_argument("--seconds", type=float, help="about how long one run of ours lasts")
    parser.add_argument("--rounds", type=int, help="turns of ours and the plain loop")
    parser.add_argument("--plain", type=int, help="films the plain loop takes in a turn")
    parser.add_argument("--backend", help="as cxr predict; the machine's choice if left out")
    parser.add_argument("--precision", help="as cxr predict; the machine's choice if left out")
    parser.add_argument("--workers", type=int, help="as cxr predict; the machine's choice if left out")
    exports = "make these exports first, with commas between, such as openvino-bf16,openvino-int8"
    parser.add_argument("--export", type=lambda text: text.split(","), default=[], help=exports)
    parser.add_argument("--lossy", action="store_true", help="also JPEG 2000 at 60 dB")
    parser.add_argument("--quick", action="store_true", help="a minute: 224 pixels, short runs, one turn")
    parser.add_argument("--small", action="store_true", help="films of an eighth of the side: shows that it works")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    chosen = parser.parse_args(arguments)
    usual = {"size": [224], "films": 3, "seconds": 2.0, "rounds": 1, "plain": 3} if chosen.quick else {
        "size": [224, 512], "films": 6, "seconds": 12.0, "rounds": 2, "plain": 6}  # fmt: skip
    for name, value in usual.items():
        if getattr(chosen, name) is None:
            setattr(chosen, name, value)
    chosen.stage_seconds = 1.0 if chosen.quick else 4.0
    chosen.least = 24 if chosen.quick else 64
    return chosen


if __name__ == "__main__":
    main()
