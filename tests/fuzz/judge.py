"""Reads mutated films in a process of its own and says of each whether it was refused, right, alone or wrong.

    python -m tests.fuzz.judge SCRATCH < requests

A request is a line of JSON: family, start, count. The answer is a line of JSON: a tally, and what was wrong with which
input. Before each step the process notes in SCRATCH/at which input it is at, and whether the reader or the reference
has it, so that the one who waits knows what a crash or a hang is about.
"""

import json
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from pipelines.errors import UnreadableImage
from pipelines.imaging import FilmFacts, Radiograph, radiograph, read_facts, read_radiograph
from pipelines.imaging.orientation import UPRIGHT, Orientation
from pipelines.imaging.picture import Quality
from tests.fuzz.mutate import mutated
from tests.fuzz.reference import Reading, Refused, readings
from tests.fuzz.seeds import CANARY

SLOW_SECONDS = 2.0
GROWTH_BYTES = 1 << 30
TOLERANCE = 2e-5
PLAIN = Quality(False, 0, False, False, 0.0, 0.0)


def main(scratch: Path) -> None:
    """Answer requests until the input ends."""
    warnings.simplefilter("error")
    read_one("explicit", 0, scratch, Counter())  # libraries load before memory is bounded
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GROWTH_BYTES, resource.RLIM_INFINITY))
    for line in sys.stdin:
        request = json.loads(line)
        sys.stdout.write(json.dumps(read_slice(scratch=scratch, **request)) + "\n")
        sys.stdout.flush()


def read_slice(family: str, start: int, count: int, scratch: Path) -> dict[str, Any]:
    """Judge `count` inputs of a family."""
    tally: Counter[str] = Counter()
    failures: list[tuple[int, str]] = []
    slowest, before = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(start, start + count):
        verdict = read_one(family, k, scratch, tally)
        slowest = max(slowest, tally.pop("microseconds", 0) / 1e6)
        tally[verdict.split(":")[0]] += 1
        if verdict.split(":")[0] not in ("refused", "agreed", "alone"):
            failures.append((k, verdict))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = peak - before
    if grown * 1024 > GROWTH_BYTES:
        failures.append((start, f"memory: grew by {grown >> 10} MiB"))
        tally["memory"] += 1
    return {"tally": dict(tally), "failures": failures, "seconds": slowest, "peak_mib": peak >> 10}


def read_one(family: str, k: int, scratch: Path, tally: Counter[str]) -> str:
    """The verdict on one input: refused, agreed, alone, or what is wrong."""
    data = mutated(family, k)
    path = scratch / "film"
    path.write_bytes(data)
    note(scratch, k, "reader")
    began = time.process_time()
    try:
        with nullcontext() if k % 8 == 0 else plain_pictures():
            film = read_radiograph(path)
    except UnreadableImage as error:
        film = None
        said = f"{error} {error.__context__ or ''}"
    except BaseException as error:  # noqa: BLE001 - every other exception is what is looked for
        return f"exception: {type(error).__name__}: {error}"
    finally:
        tally["microseconds"] = int((time.process_time() - began) * 1e6)
    if k % 4 == 1 and (problem := check_reduced(path)):
        return problem
    problem = check_facts(path, tally) or (None if film is None else check_pixels(film))
    if tally["microseconds"] > SLOW_SECONDS * 1e6:
        return f"slow: {tally['microseconds'] / 1e6:.1f} s"
    if CANARY in (said if film is None else repr(film.facts)):
        return "leak: text of the header"
    if problem:
        return problem
    if film is None:
        return "refused"
    note(scratch, k, "reference")
    return compare(film, data)


def plain_picture(render: Callable[[bool], Any], facts: FilmFacts, orientation: Orientation = UPRIGHT) -> Radiograph:
    """A film as its file says, with no judgement of the picture."""
    return Radiograph(np.ascontiguousarray(render(False), dtype=np.float32), facts, PLAIN, orientation)


def plain_pictures() -> AbstractContextManager[object]:
    """Without what is judged from the picture, which takes far longer than to read a film so small."""
    return mock.patch.object(radiograph, "_judged", plain_picture)


def check_reduced(path: Path) -> str | None:
    """What is wrong with the film at a quarter of its size, whose decoders stop earlier."""
    try:
        with plain_pictures():
            return check_pixels(read_radiograph(path, max_side=20), reduced=True)
    except UnreadableImage as error:
        return "leak: text of the header" if CANARY in str(error) else None
    except BaseException as error:  # noqa: BLE001 - as above
        return f"exception: max_side {type(error).__name__}: {error}"


def check_facts(path: Path, tally: Counter[str]) -> str | None:
    """What is wrong with the facts of a film, which may exist where its pixels are refused."""
    try:
        facts = repr(read_facts(path))
    except UnreadableImage as error:
        facts = str(error)
    except BaseException as error:  # noqa: BLE001 - as above
        return f"exception: read_facts {type(error).__name__}: {error}"
    return "leak: text of the header in the facts" if CANARY in facts else None


def check_pixels(film: Radiograph, *, reduced: bool = False) -> str | None:
    """What breaks the promise about pixels."""
    pixels = film.pixels
    if pixels.dtype != np.float32 or pixels.ndim != 2:
        return f"pixels: {pixels.dtype} {pixels.shape}"
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        return "pixels: not finite, or beyond [0, 1]"
    if reduced:
        return (
            None if 20 <= max(pixels.shape) <= max(film.facts.rows, film.facts.columns) else f"pixels: {pixels.shape}"
        )
    if sorted(pixels.shape) != sorted((film.facts.rows, film.facts.columns)):
        return f"pixels: {pixels.shape}, facts say {(film.facts.rows, film.facts.columns)}"
    return None


def compare(film: Radiograph, data: bytes) -> str:
    """Whether any reading of the reference is what the reader shows."""
    try:
        expected = readings(data)
    except Refused as refusal:
        return f"alone: {refusal}"
    differences = [difference(film, reading) for reading in expected]
    return "agreed" if min(differences) <= TOLERANCE else f"wrong: by {min(differences):.4f}"


def difference(film: Radiograph, reading: Reading) -> float:
    """Largest distance of a pixel to what the reference allows; a film turned over from the picture is turned back."""
    low, high = reading
    pixels = film.pixels.astype(np.float64)
    if low.shape != pixels.shape:
        return float("inf")
    if film.quality.inverted:  # padding stays black
        pixels = np.where((pixels == 0) & (low == 0), 0.0, 1.0 - pixels)
    return float(np.maximum(np.maximum(low - pixels, pixels - high), 0).max())


def note(scratch: Path, k: int, phase: str) -> None:
    """Say where we are, for the one who waits."""
    (scratch / "at").write_text(f"{k} {phase}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
