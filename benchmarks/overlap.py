"""Are changed copies of a film found, are other films left alone, and how long do a million take?

With ``--data`` (folders of real films) every change is made to a sample of them and looked for among all; without it
synthetic fingerprints of 10^4, 10^5 and 10^6 films are searched for planted copies: seconds, exponent, memory.

    python -m benchmarks.overlap --data FOLDER --data FOLDER --sample 200
    python -m benchmarks.overlap --films 10000 100000 1000000
"""

import argparse
import itertools
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from pipelines.imaging import read_radiograph
from pipelines.imaging.film_print import SIDE, fingerprint
from pipelines.manifest import conform
from pipelines.manifest.overlap.compare import compare
from pipelines.manifest.overlap.pairs import SAME, find_pairs

Grey = NDArray[np.uint8]
Change = Callable[[Grey, np.random.Generator], Grey]
SEED: Final = 1


def cropped(most: float) -> Change:
    """Up to this share off each side."""

    def change(film: Grey, rng: np.random.Generator) -> Grey:
        rows, columns = film.shape
        top, bottom, left, right = rng.uniform(0, most, 4)
        return film[int(top * rows) : rows - int(bottom * rows), int(left * columns) : columns - int(right * columns)]

    return change


def cropped_all(share: float) -> Change:
    """This share off every side."""

    def change(film: Grey, _: np.random.Generator) -> Grey:
        down, across = (int(share * side) for side in film.shape)
        return film[down : film.shape[0] - down, across : film.shape[1] - across]

    return change


def encoded(quality: int, scale: float = 1.0) -> Change:
    """As JPEG, perhaps smaller."""

    def change(film: Grey, _: np.random.Generator) -> Grey:
        small = cv2.resize(film, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0), np.uint8
        )

    return change


def windowed(film: Grey, rng: np.random.Generator) -> Grey:
    """A narrower window: the darkest and the brightest tenth may be lost."""
    low, high = np.percentile(film, [rng.uniform(1, 10), rng.uniform(90, 99)])
    return np.clip((film.astype(float) - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)


def framed(value: int) -> Change:
    """2 to 12 % of one grey at each side."""

    def change(film: Grey, rng: np.random.Generator) -> Grey:
        rows, columns = film.shape
        a, b, c, d = rng.uniform(0.02, 0.12, 4)
        sides = int(a * rows), int(b * rows), int(c * columns), int(d * columns)
        return np.asarray(cv2.copyMakeBorder(film, *sides, cv2.BORDER_CONSTANT, value=value), np.uint8)

    return change


def lettered(film: Grey, rng: np.random.Generator) -> Grey:
    """Four lines of ten letters burned in."""
    film, (rows, columns) = film.copy(), film.shape
    for _ in range(4):
        text = "".join(rng.choice(list("ABCDEFGH0123456789"), 10))
        where = int(rng.uniform(0, 0.6) * columns), int(rng.uniform(0.05, 1) * rows)
        cv2.putText(film, text, where, cv2.FONT_HERSHEY_SIMPLEX, columns / 512, 255, max(1, columns // 200))
    return film


def boxed(film: Grey, rng: np.random.Generator) -> Grey:
    """Two redaction boxes, black or white."""
    film, (rows, columns) = film.copy(), film.shape
    for _ in range(2):
        wide, high = int(rng.uniform(0.1, 0.3) * columns), int(rng.uniform(0.05, 0.15) * rows)
        top, left = int(rng.uniform(0, rows - high)), int(rng.uniform(0, columns - wide))
        film[top : top + high, left : left + wide] = rng.choice([0, 255])
    return film


def several(film: Grey, rng: np.random.Generator) -> Grey:
    """Mirrored, cropped by up to 5 %, smaller and re-encoded."""
    return encoded(70, 0.7)(cropped(0.05)(np.ascontiguousarray(film[:, ::-1]), rng), rng)


CHANGES: Final[dict[str, Change]] = {
    "half the size": lambda film, _: cv2.resize(film, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "squashed to 224 x 224": lambda film, _: cv2.resize(film, (224, 224), interpolation=cv2.INTER_AREA),
    "JPEG 50": encoded(50),
    "JPEG 75, 0.6 the size": encoded(75, 0.6),
    "JPEG 95": encoded(95),
    "5 bits": lambda film, _: film // 8 * 8,
    "gamma 0.6": lambda film, _: np.rint(255 * (film / 255.0) ** 0.6).astype(np.uint8),
    "gamma 1.6": lambda film, _: np.rint(255 * (film / 255.0) ** 1.6).astype(np.uint8),
    "window": windowed,
    "local contrast (CLAHE)": lambda film, _: cv2.createCLAHE(2.0, (8, 8)).apply(film),
    "cropped, up to 5 %": cropped(0.05),
    "cropped, up to 8 %": cropped(0.08),
    "cropped, 8 % all round": cropped_all(0.08),
    "mirrored": lambda film, _: film[:, ::-1],
    "upside down": lambda film, _: film[::-1],
    "turned by 90": lambda film, _: np.rot90(film),
    "inverted": lambda film, _: 255 - film,
    "black frame": framed(0),
    "white frame": framed(255),
    "letters": lettered,
    "boxes": boxed,
    "several": several,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", type=Path, action="append", help="folder of films; searched through and through")
    arguments.add_argument("--sample", type=int, default=200, help="films that are changed, of all")
    arguments.add_argument("--changes", nargs="*", default=list(CHANGES), help="which")
    arguments.add_argument("--films", type=int, nargs="*", default=[], help="synthetic fingerprints")
    given = arguments.parse_args()
    if given.data:
        measure(sorted(path for folder in given.data for path in folder.rglob("*.png")), given.sample, given.changes)
    seconds = [(films, search(films)) for films in given.films]
    for (few, before), (many, after) in itertools.pairwise(seconds):
        print(f"  from {few:,} to {many:,} films: exponent {np.log(after / before) / np.log(many / few):.2f}")


def measure(paths: list[Path], sample: int, changes: list[str]) -> None:
    """Recall for each change; all pairs called the same picture that are not known copies."""
    rng = np.random.default_rng(SEED)
    chosen = sorted(rng.choice(len(paths), min(sample, len(paths)), replace=False).tolist())
    prints = [fingerprint(read_radiograph(path).pixels) for path in paths]
    print(f"{len(paths):,} films, {len(chosen)} of them changed; recall with a 95 % interval (Clopper-Pearson)")
    print(f"{'change':<26}{'with pixels':>24}{'fingerprints alone':>24}{'other pairs':>13}")
    for name in changes:
        with tempfile.TemporaryDirectory() as folder:
            files = list(copies(paths, chosen, CHANGES[name], Path(folder)))
            known = prints + [fingerprint(read_radiograph(path).pixels) for path in files]
            every = paths + files
            table = pd.DataFrame({"image_id": [f"x/{n}" for n in range(len(every))], "dataset": "x"})
            frame = conform(table.assign(path=[f"{n}.png" for n in range(len(every))], fingerprint=known))
            split = ["films"] * len(paths) + ["copies"] * len(files)
            confirmed = found(find_pairs(frame, apart=split, locate=every.__getitem__), chosen, len(paths))
            alone = found(find_pairs(frame, apart=split), chosen, len(paths))
        print(
            f"{name:<26}{share(confirmed[0], len(chosen)):>24}{share(alone[0], len(chosen)):>24}{confirmed[1]:>13}",
            flush=True,
        )


def copies(paths: list[Path], chosen: list[int], change: Change, folder: Path) -> Iterator[Path]:
    """Changed films as files."""
    for number in chosen:
        film = np.rint(read_radiograph(paths[number]).pixels * 255).astype(np.uint8)
        changed = change(film, np.random.default_rng([SEED, number]))
        cv2.imwrite(str(folder / f"{number}.png"), np.ascontiguousarray(changed))
        yield folder / f"{number}.png"


def found(pairs: pd.DataFrame, chosen: list[int], films: int) -> tuple[int, int]:
    """How many copies were found, and how many other pairs were called the same picture."""
    sure = pairs[pairs["verdict"].isin(SAME)]
    hits = {int(b) - films for a, b in zip(sure["row_a"], sure["row_b"], strict=True) if chosen[int(b) - films] == a}
    return len(hits), len(sure) - len(hits)


def share(hits: int, n: int) -> str:
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return f"{hits / n:.3f} ({low:.3f}-{high:.3f})"


def search(films: int) -> float:
    """Seconds for all pairs of synthetic fingerprints; prints how many planted copies were found."""
    cells, planted = synthetic(films)
    began = time.perf_counter()
    fits = compare(cells)
    seconds = time.perf_counter() - began
    pairs = {(min(a, b), max(a, b)) for a, b in zip(fits.first.tolist(), fits.second.tolist(), strict=True)}
    hits = sum((n, films - planted + n) in pairs for n in range(planted))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{films:>9,} films  {seconds:8.1f} s  {hits} of {planted} copies found  {len(fits) - hits:,} other fits  "
        f"peak {peak:,} MiB",
        flush=True,
    )
    return seconds


def synthetic(films: int, planted: int = 200) -> tuple[NDArray[np.uint8], int]:
    """Codes of noise about one average, as smooth as real relief; the last ones are copies, cropped a little."""
    rng = np.random.default_rng(SEED)
    average = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)).astype(np.float32), (0, 0), 3)
    average /= average.std()
    cells = np.empty((films, SIDE, SIDE), dtype=np.uint8)
    for number in range(films - planted):
        own = cv2.GaussianBlur(rng.standard_normal((SIDE, SIDE), dtype=np.float32), (0, 0), 1.2)
        cells[number] = coded(average + own / own.std())
    for number in range(planted):
        low, high = rng.uniform(0, 0.05, 2) * SIDE
        along = np.linspace(low, SIDE - 1 - high, SIDE, dtype=np.float32)
        across, down = np.meshgrid(along, along)
        values = cv2.remap(cells[number].astype(np.float32) - 3, across, down, cv2.INTER_LINEAR)
        cells[films - planted + number] = coded(values + 0.2 * rng.standard_normal((SIDE, SIDE), dtype=np.float32))
    return cells, planted


def coded(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (np.clip(np.rint(values / (0.8 * values.std())), -3, 3) + 3).astype(np.uint8)


if __name__ == "__main__":
    main()
