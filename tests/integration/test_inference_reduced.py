"""Decoding no more than the model looks at changes no score that matters."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models import ModelPackage
from models.calibration import Calibration
from pipelines.decoding import DecodeRequest, read_film
from pipelines.imaging import Radiograph, read_radiograph
from pipelines.inference.predictor import Predictor
from pipelines.phantom import generate_phantoms
from tests.inference_films import tiny_package
from tests.unit.test_imaging_reduced import CODERS, written

LARGEST_CHANGE = 0.005
FILMS = 4


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """12-bit cells of synthetic films."""
    folder = tmp_path_factory.mktemp("phantoms")
    generate_phantoms(folder, films=FILMS, seed=11)
    films = [read_radiograph(path).pixels for path in sorted(folder.rglob("*.dcm"))]
    return [np.rint(film * 4095).astype(np.uint16) for film in films]


def read_whole(path: Path, *, max_side: int, **options: Any) -> Radiograph:
    return read_radiograph(path, **options)


def sensitive(films: list[Path], package: ModelPackage) -> Predictor:
    """A predictor calibrated so that these films' probabilities lie all over the scale, where it is steepest."""
    squares = np.stack([read_film(film, DecodeRequest(package.input.size)).square for film in films])
    logits = Predictor(package, device="cpu").forward(torch.from_numpy(squares)[:, None]).logits
    calibration = {
        finding: Calibration(temperature=float(column.std()), offset=float(-column.mean() / column.std()))
        for finding, column in zip(package.architecture.findings, logits.T, strict=True)
    }
    return Predictor(replace(package, calibration=calibration, operating_points={}), device="cpu")


@pytest.mark.parametrize("coder", CODERS)
def test_scores_of_reduced_films_are_those_of_whole_ones(
    tmp_path: Path, phantoms: list[np.ndarray], coder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bits = CODERS[coder][1]
    films = []
    for number, cells in enumerate(phantoms):
        (tmp_path / str(number)).mkdir()
        films.append(written(tmp_path / str(number), coder, (cells >> (12 - min(bits, 12))).astype(cells.dtype)))
    predictor = sensitive(films, tiny_package(tmp_path / "package"))
    reduced = predictor(films)
    monkeypatch.setattr("pipelines.decoding.read_radiograph", read_whole)
    whole = predictor(films)
    assert (reduced["status"] == "ok").all()
    for finding in ("tb", "nodule"):
        assert whole[f"p_{finding}"].std() > 0.1
        np.testing.assert_allclose(reduced[f"p_{finding}"], whole[f"p_{finding}"], atol=LARGEST_CHANGE)
