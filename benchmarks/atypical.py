"""Which films does a model refuse as atypical? Good films pass, everything else is refused: two tables.

    python -m benchmarks.atypical PACKAGE --good NAME=FOLDER ... [--strangers NAME=FOLDER ...] [--made-from FOLDER]
        [--leave-out "RG1_*"]

Strangers that are DICOM objects are rendered to PNG first (the middle frame, grey, between the 0.5 and 99.5
percentiles), so that no rule about headers can help: what is left is the picture. ``--made-from`` also makes strangers
out of good films (turned, cropped, in negative ...) and out of nothing (noise, gradients, textures). A film counts as
refused where the table has any reason at all; how many of those by the model's own distance stands beside it.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import pandas as pd
import pydicom
from numpy.typing import NDArray
from PIL import Image

from pipelines.errors import UnreadableImage
from pipelines.imaging import read_radiograph
from pipelines.inference import collect_inputs
from pipelines.inference.predictor import Predictor

Picture = NDArray[np.float64]

SIDE: Final = 512
"""Side of what is made from nothing, in pixels."""
MADE: Final = 8
"""Strangers of each kind."""
_LEAST_SIDE: Final = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="a model package")
    parser.add_argument("--good", nargs="+", default=[], metavar="NAME=PATH", help="films, or a manifest.parquet")
    parser.add_argument("--split", help="of manifests among the good films: only these rows")
    parser.add_argument("--root", type=Path, help="data root of those manifests")
    parser.add_argument("--strangers", nargs="+", default=[], metavar="NAME=PATH")
    parser.add_argument(
        "--leave-out", default="", metavar="GLOB", help="names among the strangers that are no strangers"
    )
    parser.add_argument("--made-from", type=Path, metavar="PATH", help="good films to make strangers from")
    chosen = parser.parse_args(arguments)
    predictor = Predictor.from_package(chosen.package, device="cpu")
    limit = predictor.package.typicality
    if limit is None:
        parser.error(f"{chosen.package} has no typicality: it refuses no film as atypical")
    print(f"model {predictor.package.model_id}: fitted on {limit.fitted_on} films, locked on {limit.locked_on}")
    good = {name: _films(path, chosen.split, chosen.root) for name, path in map(_named, chosen.good)}
    print_table("films that should pass", {name: predictor(paths) for name, paths in good.items()})
    with tempfile.TemporaryDirectory() as scratch:
        strangers = {
            name: render_strangers(path, Path(scratch) / name, leave_out=chosen.leave_out)
            for name, path in map(_named, chosen.strangers)
        }
        if chosen.made_from is not None:
            source = _films(chosen.made_from, chosen.split, chosen.root)
            strangers |= make_strangers(source, Path(scratch) / "made")
        print_table("films that should not", {name: predictor(paths) for name, paths in strangers.items() if paths})
    return 0


def print_table(title: str, groups: dict[str, pd.DataFrame]) -> None:
    """Print one line per group: how many films, refused for any reason, and how far they lie."""
    print(f"\n{title:28}{'films':>7}{'refused':>9}{'atypical':>10}{'share':>8}   distance / limit: min median max")
    for name, rows in groups.items():
        refused = rows["status"] != "ok"
        atypical = rows["reason"] == "atypical"
        far = rows["atypicality"].dropna()
        spread = " ".join(f"{value:6.2f}" for value in (far.min(), far.median(), far.max())) if len(far) else "-"
        print(f"{name:28}{len(rows):7}{refused.sum():9}{atypical.sum():10}{refused.mean():8.1%}   {spread}")


def render_strangers(folder: Path, scratch: Path, *, leave_out: str = "") -> list[Path]:
    """Render every DICOM object with pixels below a folder to PNG; pass on pictures as they are.

    Objects whose thumbnails agree (one image in several transfer syntaxes) count once.
    """
    scratch.mkdir(parents=True)
    found, seen = [], set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if leave_out and path.match(leave_out):
            continue
        picture = _pixels(path)
        if picture is None or min(picture.shape) < _LEAST_SIDE:
            continue
        print_of = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).round(1).tobytes()
        if print_of not in seen:
            seen.add(print_of)
            found.append(_save(picture, scratch / f"{len(found):04}-{path.stem[:40]}.png"))
    return found


def _pixels(path: Path) -> Picture | None:
    if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
        return np.asarray(Image.open(path).convert("L"), dtype=np.float64) / 255
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(path)
            pixels = np.asarray(data.pixel_array, dtype=np.float64)
    except Exception:  # noqa: BLE001  an object without pixels, or that pydicom cannot decode, is no stranger to show
        return None
    if int(data.get("NumberOfFrames") or 1) > 1:
        pixels = pixels[len(pixels) // 2]
    if pixels.ndim == 3:
        pixels = pixels.mean(axis=2)
    low, high = np.percentile(pixels, [0.5, 99.5])
    if low >= high:
        low, high = pixels.min(), max(pixels.max(), pixels.min() + 1)
    grey = np.clip((pixels - low) / (high - low), 0, 1)
    return 1 - grey if data.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def make_strangers(films: Sequence[Path], scratch: Path, *, seed: int = 0) -> dict[str, list[Path]]:
    """Make `MADE` strangers of each kind: out of good films, and out of nothing."""
    rng = np.random.default_rng(seed)
    readable = [film for film in films if _readable(film)]
    chosen = [readable[index] for index in rng.permutation(len(readable))[:MADE]]
    pixels = [read_radiograph(path, max_side=SIDE).pixels.astype(np.float64) for path in chosen]
    changes: dict[str, Callable[[Picture], Picture]] = {
        "turned by 90 degrees": np.rot90,
        "upside down": np.flipud,
        "mirrored": np.fliplr,
        "in negative": lambda film: 1 - film,
        "middle sixth alone": lambda film: film[tuple(slice(side // 3, -side // 3) for side in film.shape)],
        "blurred": lambda film: cv2.GaussianBlur(film, (0, 0), max(film.shape) / 40),
        "a quarter as bright": lambda film: film / 4,
        "two beside each other": lambda film: np.hstack([film, film]),
    }
    sources: dict[str, Callable[[], Picture]] = {
        "white noise": lambda: rng.random((SIDE, SIDE)),
        "gradient": lambda: _gradient(rng),
        "1/f texture": lambda: _texture(rng),
        "checks": lambda: _checks(rng),
    }
    scratch.mkdir(parents=True)
    made = {name: [change(film) for film in pixels] for name, change in changes.items()}
    made |= {name: [source() for _ in range(MADE)] for name, source in sources.items()}
    return {
        name: [_save(picture, scratch / f"{kind:02}-{number:03}.png") for number, picture in enumerate(pictures)]
        for kind, (name, pictures) in enumerate(made.items())
    }


def _readable(film: Path) -> bool:
    try:
        read_radiograph(film, max_side=SIDE)
    except UnreadableImage:
        return False
    return True


def _gradient(rng: np.random.Generator) -> Picture:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * x + np.sin(angle) * y
    return np.asarray((ramp - ramp.min()) / np.ptp(ramp))


def _texture(rng: np.random.Generator) -> Picture:
    """A picture with the spectrum of natural ones."""
    frequencies = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
    frequencies[0, 0] = 1
    spectrum = np.fft.fft2(rng.normal(size=(SIDE, SIDE))) / frequencies ** rng.uniform(0.8, 1.8)
    field = np.fft.ifft2(spectrum).real
    low, high = np.percentile(field, [1, 99])
    return np.asarray(np.clip((field - low) / (high - low), 0, 1))


def _checks(rng: np.random.Generator) -> Picture:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.asarray((np.floor(x * rng.integers(4, 20)) + np.floor(y * rng.integers(4, 20))) % 2)


def _save(picture: Picture, path: Path) -> Path:
    Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)).save(path)
    return path


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.rpartition("=")
    return name or Path(path).name, Path(path)


def _films(path: Path, split: str | None, root: Path | None) -> list[Path]:
    manifest = path.suffix == ".parquet"
    options: dict[str, Any] = {"split": split, "root": root} if manifest else {}
    return [film.file for film in collect_inputs([path], **options).films]


if __name__ == "__main__":
    raise SystemExit(main())
