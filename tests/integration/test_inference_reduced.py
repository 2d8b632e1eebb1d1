"""Decoding no more than the model looks at moves no score: a model trained on whole films reads reduced ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models import Architecture, Classifier
from models.pretrained import load_pretrained
from pipelines.decoding import DecodeRequest, read_film
from pipelines.imaging import Radiograph, read_radiograph
from pipelines.manifest import read_manifest
from pipelines.phantom import generate_phantoms
from tests.unit.test_imaging_reduced import CODERS, written

LARGEST_CHANGE = 0.005
SIZE = 256
TRAINING, TESTED = 72, 4


def read_whole(path: Path, *, max_side: int, **options: Any) -> Radiograph:
    return read_radiograph(path, **options)


def whole_square(path: Path) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.decoding.read_radiograph", read_whole)
        return read_film(path, DecodeRequest(SIZE)).square


def reduced_square(path: Path) -> np.ndarray:
    return read_film(path, DecodeRequest(SIZE)).square
