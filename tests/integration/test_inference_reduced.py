"""Decoding no more than the model looks at moves no score: a model trained on whole films reads reduced ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models import Architecture, Classifier
from models.pretrained import load_pretrained
from pipelines.decoding import DecodeRequest, read_film
from pipelines.imaging import Radiograph, read_radiograph, to_square
from pipelines.phantom.film import render_film
from pipelines.phantom.plan import plan_film
from tests.unit.test_imaging_reduced import CODERS, written

LARGEST_CHANGE = 0.005
SIZE = 224
TRAINING, TESTED = 60, 4
ALWAYS_REDUCED = ("J2K", "J2K lossy", "HTJ2K lossy", "JPEG")

Scores = Callable[[list[np.ndarray]], np.ndarray]


def phantom(index: int) -> tuple[np.ndarray, int]:
    """A synthetic film in [0, 1] and whether it has tuberculosis."""
    rendered = render_film(plan_film(21, index))
    return rendered.pixels.astype(np.float32) / ((1 << rendered.plan.site.bits_stored) - 1), rendered.plan.tb


@pytest.fixture(scope="module")
def scores() -> Scores:
    """Probabilities of tuberculosis: ImageNet features under a logistic regression trained on whole phantoms."""
    architecture = Architecture(backbone="timm:tf_efficientnet_lite0", size=SIZE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Classifier(architecture, weights=load_pretrained("lite0", architecture.backbone)).eval()

    def features(squares: list[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return np.concatenate([network(torch.from_numpy(square)[None, None]).features for square in squares])

    films = [phantom(index) for index in range(TRAINING)]
    labels = [label for _, label in films]
    assert 5 < sum(labels) < TRAINING - 5
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=1000))
    model.fit(features([to_square(film, SIZE) for film, _ in films]), labels)
    return lambda squares: np.asarray(model.predict_proba(features(squares))[:, 1])


def read_whole(path: Path, *, max_side: int, **options: Any) -> Radiograph:
    return read_radiograph(path, **options)


@pytest.mark.parametrize("coder", CODERS)
def test_scores_of_reduced_films_are_those_of_whole_ones(
    tmp_path: Path, scores: Scores, coder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = (1 << CODERS[coder][1]) - 1
    films = []
    for index in range(TESTED):
        (tmp_path / str(index)).mkdir()
        pixels = cv2.resize(phantom(TRAINING + index)[0], (1700, 2000), interpolation=cv2.INTER_CUBIC)
        films.append(written(tmp_path / str(index), coder, np.clip(pixels, 0, 1) * top))
    request = DecodeRequest(SIZE)
    reduced = [read_film(film, request).square for film in films]
    monkeypatch.setattr("pipelines.decoding.read_radiograph", read_whole)
    whole = [read_film(film, request).square for film in films]
    # Some streams hold values above the stored bits, and are decoded in full after all.
    assert coder not in ALWAYS_REDUCED or not any(map(np.array_equal, reduced, whole))
    np.testing.assert_allclose(scores(reduced), scores(whole), atol=LARGEST_CHANGE)
