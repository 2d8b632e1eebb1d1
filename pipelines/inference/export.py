"""`cxr model export`: the network for another runtime, checked against eager fp32 on films, beside its package."""

import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from models import ModelPackage, load_package
from models.errors import ModelError
from models.exports import (
    BACKENDS,
    LIMITS,
    MODEL_FILES,
    Attempt,
    AurocPair,
    Check,
    ExportRecord,
    compare,
    file_digest,
    probabilities,
    write_record,
)
from models.exports.make import Candidate, candidates, library_versions
from models.package import EXPORTS_FOLDER, swap_folder
from models.runtime import NetworkOutput, Runtime, TorchRuntime
from pipelines.errors import ConfigError, PackageError
from pipelines.inference.choices import choose_batch_size, choose_streams
from pipelines.inference.export_films import CheckFilms, calibration_and_check
from pipelines.statistics.auroc import auroc_delong

_CPU: Final = torch.device("cpu")
_ROUNDS: Final = 3
"""Batches that each stream runs while its speed is taken."""

Report = Callable[[str], None]
"""Called with a sentence about each attempt."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export_model` wrote."""

    folder: Path
    record: ExportRecord
    calibration_films: int
    notes: tuple[str, ...]
    """What the exporter warned of."""

    @property
    def passed(self) -> bool:
        """Whether the check was passed, so that ``auto`` may choose the export."""
        return self.record.check.passed


def export_model(
    package_folder: Path,
    films: CheckFilms,
    *,
    backend: str,
    precision: str,
    out: Path | None = None,
    report: Report | None = None,
) -> Exported:
    """Export a network, check it, and put it beside its package, whole or not at all.

    int8 is tried in several ways (`models.exports.SCOPES`), from the fastest to the most careful; the first that passes
    its check is kept, or else the one whose probabilities stray least. The ranges of int8 come from one half of the
    films, and the check from the other.

    Args:
        package_folder: the model.
        films: what to check on; see `read_check_films`.
        backend: torch, onnxruntime or openvino.
        precision: one that the backend has.
        out: folder of a copy of the package that gets the export; None puts it into the package itself.
        report: called with a sentence about each attempt.

    Raises:
        ConfigError: a backend without this precision, too few films, or an `out` that is something else.
        PackageError: the package cannot be used, a library is not installed, or the network cannot be exported.
    """
    if precision not in BACKENDS.get(backend, ()):
        known = "; ".join(f"{name}: {', '.join(found)}" for name, found in BACKENDS.items())
        raise ConfigError(f"backend {backend!r} with precision {precision!r} cannot be exported; expected {known}")
    try:
        package = load_package(package_folder)
        calibration, checked = calibration_and_check(films, quantised=precision == "int8")
        home = _home(package_folder, package, out)
        with _staged(home / EXPORTS_FOLDER / f"{backend}-{precision}") as (staged, finish):
            bench = _Bench(package, checked, precision)
            attempts, kept, notes = _try_all(bench, backend, precision, staged, calibration, report or _silent)
            record = ExportRecord(
                model_id=package.model_id,
                backend=backend,
                precision=precision,
                files={name: file_digest(staged / name) for name in MODEL_FILES[backend]},
                versions=library_versions(backend),
                attempts=tuple(attempt for attempt, _ in attempts),
                kept=kept,
                speed=round(attempts[kept][1], 3),
            )
            write_record(record, staged)
            folder = finish()
    except ModelError as error:
        raise PackageError(str(error)) from None
    return Exported(folder, record, len(calibration.images), notes)


def _silent(_: str) -> None:
    return None


def _home(package_folder: Path, package: ModelPackage, out: Path | None) -> Path:
    """The package folder that gets the export: the given one, or a copy of it."""
    if out is None or (out.exists() and out.samefile(package_folder)):
        return package_folder
    if not out.exists():
        staged = out.with_name(f".{out.name}.tmp")
        shutil.rmtree(staged, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(package_folder, staged)
        staged.replace(out)
        return out
    found = load_package(out).model_id
    if found != package.model_id:
        raise ConfigError(
            f"{out}: holds model {found}, the export is of model {package.model_id}; choose another --out"
        )
    return out


@contextmanager
def _staged(folder: Path) -> Any:
    """A hidden folder, and a function that gives it its name; what a killed export left is swept away first."""
    hidden, replaced = (folder.with_name(f".{folder.name}.{kind}") for kind in ("tmp", "old"))
    for left in (hidden, replaced):
        shutil.rmtree(left, ignore_errors=True)
    try:
        hidden.mkdir(parents=True)

        def finish() -> Path:
            swap_folder(hidden, folder, replaced)
            return folder

        yield hidden, finish
    except OSError as error:
        raise PackageError(f"{folder}: cannot be written ({error.strerror or type(error).__name__})") from None
    finally:
        for left in (hidden, replaced):
            shutil.rmtree(left, ignore_errors=True)


class _Bench:
    """What eager fp32 says of the check films and how fast: the mark that every attempt is held against."""

    def __init__(self, package: ModelPackage, films: CheckFilms, precision: str) -> None:
        self.package = package
        self.films = films
        self.limits = LIMITS[precision]
        self.batch_size = choose_batch_size(None, _CPU, package.input.size)
        self.streams = choose_streams(None, _CPU, package.input.size, self.batch_size)
        eager = TorchRuntime(package.build(), device=_CPU)
        self.expected = self.run(eager)
        self.speed = self.films_per_second(eager)

    def check(self, candidate: Candidate) -> tuple[Check, float]:
        """Return how it does, and how many times as fast as eager fp32 it is."""
        runtime = candidate.open(self.streams)
        found = self.run(runtime)
        check = compare(self.package, self.expected, found, limits=self.limits, auroc=dict(self._auroc(found.logits)))
        return check, self.films_per_second(runtime) / self.speed

    def run(self, runtime: Runtime) -> NetworkOutput:
        """Show all check films to a network."""
        outputs = [runtime(batch) for batch in torch.split(self.films.images, self.batch_size)]
        return NetworkOutput(
            np.concatenate([output.logits for output in outputs]),
            torch.cat([output.maps for output in outputs]),
            np.concatenate([output.features for output in outputs]),
        )

    def films_per_second(self, runtime: Runtime) -> float:
        """Run all streams at once, as batch inference does."""
        batch = self.films.images[: self.batch_size]

        def rounds(count: int) -> None:
            for _ in range(count):
                runtime(batch)

        with ThreadPoolExecutor(self.streams) as pool:
            list(pool.map(rounds, [1] * self.streams))  # the first pass prepares what the later ones use
            started = time.perf_counter()
            list(pool.map(rounds, [_ROUNDS] * self.streams))
            return self.streams * _ROUNDS * len(batch) / (time.perf_counter() - started)

    def _auroc(self, logits: NDArray[np.float32]) -> Sequence[tuple[str, AurocPair]]:
        both = [probabilities(self.package, one) for one in (self.expected.logits, logits)]
        pairs = []
        for position, finding in enumerate(self.package.architecture.findings):
            labels = self.films.labels.get(finding)
            if labels is None:
                continue
            known = ~np.isnan(labels)
            ours, theirs = (auroc_delong(labels[known], one[known, position]).value for one in both)
            if ours is not None and theirs is not None and np.isfinite(both[1]).all():
                positives = int(labels[known].sum())
                pairs.append((finding, AurocPair(ours, theirs, positives, int(known.sum()) - positives)))
        return pairs


def _try_all(
    bench: _Bench, backend: str, precision: str, staged: Path, calibration: CheckFilms, report: Report
) -> tuple[list[tuple[Attempt, float]], int, tuple[str, ...]]:
    """Return every attempt with its speed, which of them was kept, and what the exporter warned of."""
    tried: list[tuple[Attempt, float]] = []
    best = 0
    notes: tuple[str, ...] = ()
    safe = staged / ".best"
    for candidate in candidates(bench.package, backend, precision, staged, calibration.images):
        check, speed = bench.check(candidate)
        tried.append((Attempt(candidate.name, check), speed))
        notes = candidate.notes
        report(f"{candidate.name}: {'passed' if check.passed else '; '.join(check.failures())}")
        if check.passed or _strays_less(check, tried[best][0].check) or len(tried) == 1:
            best = len(tried) - 1
            shutil.rmtree(safe, ignore_errors=True)
            safe.mkdir()
            for name in MODEL_FILES[backend]:
                shutil.copyfile(staged / name, safe / name)
        if check.passed:
            break
    for name in MODEL_FILES[backend]:
        (safe / name).replace(staged / name)
    shutil.rmtree(safe, ignore_errors=True)
    return tried, best, notes


def _strays_less(one: Check, other: Check) -> bool:
    return one.max_dp < other.max_dp or np.isnan(other.max_dp)
