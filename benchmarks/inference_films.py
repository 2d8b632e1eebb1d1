"""The films and the network of the inference benchmarks: written once, the same for every system that is timed."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import torch
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000

from models import Architecture, Calibration, Classifier, ModelPackage, save_package
from models.typicality import fit_typicality
from pipelines.evaluation.control import fit_control_model
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.imaging import read_radiograph, to_square
from pipelines.imaging.thumbnail import thumbnail_features
from pipelines.phantom.dicom_file import film_dataset, write_film
from pipelines.phantom.film import Film, render_film
from pipelines.phantom.plan import plan_film
from pipelines.phantom.sites import SITES_BY_NAME, Lookup, Syntax

ROWS, COLUMNS, BITS = 2500, 2048, 12
FINDINGS: Final = ("tb", "nodule")

LOSSLESS: Final = {
    "uncompressed": Syntax.EXPLICIT_LE,
    "RLE": Syntax.RLE,
    "JPEG Lossless": Syntax.JPEG_LOSSLESS_SV1,
    "JPEG 2000": Syntax.JPEG_2000,
}
LOSSY: Final = "JPEG 2000 lossy"
SYNTAXES: Final = (*LOSSLESS, LOSSY)
"""Explicit VR Little Endian, RLE, JPEG Lossless SV1, JPEG 2000 lossless, and JPEG 2000 at 60 dB."""


def write_films(folder: Path, films: int, *, syntaxes: Sequence[str], small: bool = False) -> dict[str, list[Path]]:
    """Render phantoms at full size, with the noise of every pixel, and write each in each transfer syntax.

    Args:
        folder: gets a folder for each syntax.
        films: how many; film k is the same picture in every syntax.
        syntaxes: of `SYNTAXES`.
        small: an eighth of each side, to try the benchmark itself.
    """
    shrink = 8 if small else 1
    site = replace(
        SITES_BY_NAME["mobile"],
        rows=ROWS // shrink,
        columns=COLUMNS // shrink,
        spacing_mm=0.17 * shrink,
        bits_stored=BITS,
        lookup=Lookup.WINDOW,
    )
    written: dict[str, list[Path]] = {name: [] for name in syntaxes}
    for number in range(films):
        film = render_film(replace(plan_film(5, number), site=site))
        for name, paths in written.items():
            path = folder / name.replace(" ", "-").lower() / f"film{number:03d}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(film, path, name)
            paths.append(path)
    return written


def _write(film: Film, path: Path, name: str) -> None:
    if name != LOSSY:
        write_film(replace(film, plan=replace(film.plan, syntax=LOSSLESS[name])), path)
        return
    dataset = film_dataset(replace(film, plan=replace(film.plan, syntax=Syntax.EXPLICIT_LE)))
    stream = imagecodecs.jpeg2k_encode(
        film.pixels, codecformat="J2K", bitspersample=BITS, reversible=False, level=60, resolutions=6
    )
    dataset.file_meta.TransferSyntaxUID = JPEG2000
    dataset.add_new("PixelData", "OB", encapsulate([stream]))
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)


def repeated(originals: Sequence[Path], folder: Path, films: int) -> Path:
    """Fill a folder with so many names of a few films: hard links, each a film of its own to whoever reads it."""
    folder.mkdir(parents=True)
    for number, original in zip(range(films), _round(originals), strict=False):
        place = folder / f"{number // 1000:04d}"
        if number % 1000 == 0:
            place.mkdir()
        os.link(original, place / f"film{number:07d}{original.suffix}")
    return folder


def _round(originals: Sequence[Path]) -> Iterator[Path]:
    while True:
        yield from originals


def write_package(
    folder: Path, films: Sequence[Path], *, size: int, backbone: str = "densenet121", seed: int = 0
) -> ModelPackage:
    """Write a package of random weights: the network, both findings, and all that a trained package checks.

    Batch norms take the statistics of these films, and probabilities spread over [0, 1], so that scores differ from
    film to film; nothing was learned. No film is too unlike the others (the limit is far out), but the distance is
    computed.
    """
    architecture = Architecture(backbone=backbone, findings=FINDINGS, size=size)
    read = [read_radiograph(path, max_side=size) for path in films]
    squares = [to_square(film.pixels, film.placement(size)) for film in read]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Classifier(architecture)
        for head in network.heads.values():
            torch.nn.init.normal_(head.cell.weight, std=1.0)
        features, centre, spread = _settle(network, torch.from_numpy(np.stack(squares))[:, None])
        likeness = fit_typicality(*(features + 0.1 * torch.randn(12, features.shape[1]) for _ in range(2)))
    calibration = {
        finding: Calibration(temperature=float(2 * width), offset=float(middle))
        for finding, middle, width in zip(FINDINGS, centre, spread, strict=True)
    }
    bare = ModelPackage(
        name=f"{backbone}, random weights",
        architecture=architecture,
        weights=network.state_dict(),
        calibration=calibration,
        typicality=replace(likeness, threshold=1e6),
        control=_control([film.pixels for film in read]),
        provenance={"code_version": "benchmark"},
    )
    points = {
        finding: lock_operating_point(
            [1, 0], [0.5, 0.0], finding=finding, target_sensitivity=0.9, cohort="none", model_id=bare.model_id
        ).model_dump(mode="json")
        for finding in FINDINGS
    }
    package = replace(bare, operating_points=points)
    save_package(package, folder, card="random weights, for benchmarks\n")
    return package


def _control(pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """The control that sees no shapes, fitted to labels that mean nothing."""
    features = np.stack([thumbnail_features(pixels) for pixels in pictures])
    features = np.concatenate([features, features + 0.01])
    labels = np.arange(len(features)) % 2
    return {finding: fit_control_model(features, labels).model_dump(mode="json") for finding in FINDINGS}


@torch.no_grad()
def _settle(network: Classifier, squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give batch norms the films' statistics; return mean features [1, D], and each logit's mean and spread [F]."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(squares)
    outputs = [network.eval()(square[None]) for square in squares]
    logits = torch.cat([output.logits for output in outputs])
    features = torch.cat([output.features for output in outputs]).mean(dim=0, keepdim=True)
    return features, logits.mean(dim=0), logits.std(dim=0).clamp(min=1e-3)


def probabilities(package: Path, logits: np.ndarray) -> np.ndarray:
    """Calibrated probabilities ``[n, F]`` of logits ``[n, F]``, from what the package's file says."""
    described = json.loads((package / "model.json").read_text(encoding="utf-8"))["calibration"]
    columns = [Calibration(**described[finding]).probability(logits[:, i]) for i, finding in enumerate(FINDINGS)]
    return np.stack(columns, axis=1)
