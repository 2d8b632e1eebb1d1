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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import beta

from pipelines.imaging import read_radiograph
from pipelines.imaging.film_print import SIDE, decode_cells, fingerprint
from pipelines.manifest.overlap.compare import compare
from pipelines.manifest.overlap.confirm import READ_SIDE, Level, correlate, levels
from pipelines.manifest.overlap.pairs import CERTAIN_FINE, CONFIRMED

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


@dataclass(frozen=True)
class Films:
    """Fingerprints of films and what their pixels are compared by."""

    cells: NDArray[np.uint8]
    levels: list[tuple[Level, ...]]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "Films":
        prints, finer = [], []
        for path in paths:
            prints.append(fingerprint(read_radiograph(path).pixels))
            finer.append(levels(read_radiograph(path, max_side=READ_SIDE).pixels))
        return cls(decode_cells(prints), finer)

    def __add__(self, more: "Films") -> "Films":
        return Films(np.concatenate([self.cells, more.cells]), self.levels + more.levels)

    def correlations(self, apart: int | None = None) -> pd.DataFrame:
        """Pairs whose fingerprints fit: ``a`` < ``b``, ``fine``, ``pixels``; ``apart``: those before with after."""
        group = None if apart is None else (np.arange(len(self.cells)) >= apart).astype(np.int64)
        fits = compare(self.cells, group)
        rows = []
        for k, (one, other) in enumerate(zip(fits.first.tolist(), fits.second.tolist(), strict=True)):
            turns = int(fits.first_turn[k]), int(fits.second_turn[k])
            pixels = abs(correlate(self.levels[one], self.levels[other], turns, fits.place[k])[0])
            rows.append((min(one, other), max(one, other), abs(float(fits.fine[k])), pixels))
        return pd.DataFrame(rows, columns=["a", "b", "fine", "pixels"])


def measure(paths: list[Path], sample: int, changes: list[str]) -> None:
    """Recall for each change and what other pairs reach; a threshold from half of the films, tried on the rest."""
    films = Films.read(paths)
    others = films.correlations()
    chosen = np.sort(np.random.default_rng(SEED).choice(len(paths), min(sample, len(paths)), replace=False))
    print(f"{len(paths):,} films, {len(chosen)} of them changed; recall with a 95 % interval (Clopper-Pearson)")
    print(f"{'change':<26}{'fits':>7}{'with pixels':>22}{'fingerprints alone':>22}{'least':>7}")
    tables = []
    for name in changes:
        with tempfile.TemporaryDirectory() as folder:
            changed = Films.read(list(copies(paths, chosen.tolist(), CHANGES[name], Path(folder))))
        found = (films + changed).correlations(len(paths))
        source = chosen[found["b"] - len(paths)]
        true = found[found["a"] == source].set_index("a").reindex(chosen).fillna(0.0)
        tables.append(true.assign(change=name))
        print(
            f"{name:<26}{int((true['pixels'] > 0).sum()):>7}"
            f"{share(int((true['pixels'] >= CONFIRMED).sum()), len(true)):>22}"
            f"{share(int((true['fine'] >= CERTAIN_FINE).sum()), len(true)):>22}{true['pixels'].min():>7.3f}",
            flush=True,
        )
    copied = pd.concat(tables).reset_index(names="film")
    overall = int((copied["pixels"] >= CONFIRMED).sum())
    print(f"{'all':<26}{int((copied['pixels'] > 0).sum()):>7}{share(overall, len(copied)):>22}")
    _held_out(copied, others)
    _false_pairs(others, paths)


def _held_out(copied: pd.DataFrame, others: pd.DataFrame) -> None:
    """A threshold from films of even number; recall and false pairs of the rest by it."""
    even = others[(others["a"] % 2 == 0) & (others["b"] % 2 == 0) & (others["pixels"] < CONFIRMED)]
    odd = others[(others["a"] % 2 == 1) & (others["b"] % 2 == 1)]
    learned, rest = copied[copied["film"] % 2 == 0], copied[copied["film"] % 2 == 1]
    low = np.quantile(learned.loc[learned["pixels"] > 0, "pixels"], 0.005)
    threshold = (even["pixels"].max() + low) / 2
    hits = int((rest["pixels"] >= threshold).sum())
    print(
        f"threshold from films of even number: {threshold:.3f} (highest other pair {even['pixels'].max():.3f}, 0.5 % "
        f"of the copies below {low:.3f}); films of odd number: recall {share(hits, len(rest))}, pairs above it "
        f"{int((odd['pixels'] >= threshold).sum())}, above {CONFIRMED} {int((odd['pixels'] >= CONFIRMED).sum())}"
    )


def _false_pairs(others: pd.DataFrame, paths: list[Path]) -> None:
    """Pairs called the same picture, to be looked at; and how the others' tail goes on."""
    pairs = len(paths) * (len(paths) - 1) // 2
    for row in others[others["pixels"] >= CONFIRMED - 0.1].sort_values("pixels", ascending=False).itertuples():
        print(f"  {row.pixels:.3f} {row.fine:.3f} {paths[int(row.a)].stem} and {paths[int(row.b)].stem}")
    below = np.sort(others.loc[others["pixels"] < CONFIRMED, "pixels"].to_numpy())[-101:]
    start, tail = below[0], below[1:]
    mean = float((tail - start).mean())  # of an exponential tail
    expected = len(tail) * np.exp(-(CONFIRMED - start) / mean)
    grown = (10_000 * 9_999 / 2) / pairs
    print(
        f"{pairs:,} pairs of films: {len(others):,} fit, {int((others['pixels'] >= CONFIRMED).sum())} are called the "
        f"same picture. If none is false: at most {3.0 * grown:.0f} among the pairs of 10,000 films (95 %, Poisson); "
        f"by an exponential tail above {start:.3f} (mean {mean:.4f}) {expected:.2g} here, {expected * grown:.2g} there"
    )


def copies(paths: list[Path], chosen: list[int], change: Change, folder: Path) -> Iterator[Path]:
    """Changed films as files."""
    for number in chosen:
        film = np.rint(read_radiograph(paths[number]).pixels * 255).astype(np.uint8)
        changed = change(film, np.random.default_rng([SEED, number]))
        cv2.imwrite(str(folder / f"{number}.png"), np.ascontiguousarray(changed))
        yield folder / f"{number}.png"


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
