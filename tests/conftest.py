"""Fixtures that several test folders share."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pipelines  # noqa: F401  before any test module imports torch: it says how OpenMP's threads wait
from pipelines.errors import Reason
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.picture import examine


def _real_data_root() -> Path:
    return Path(os.environ.get("CXR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real radiographs and labels; tests that need it skip where it is absent."""
    root = _real_data_root()
    if not (root / "nih_cxr14").is_dir():
        pytest.skip(f"no real radiographs: set CXR_TEST_DATA (looked in {root.name!r})")
    return root


def _require_two_values(pixels: np.ndarray) -> None:
    if pixels.min() == pixels.max():
        raise FilmError(Reason.BLANK, "all pixels have one value")


@pytest.fixture(scope="module")
def without_picture_rules() -> Iterator[None]:
    """Films are read if they have two values, and never turned: for tests of pixels that draw no chest.

    The picture's own rules have tests in test_imaging_picture.py.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.imaging.radiograph.require_picture", _require_two_values)
        patch.setattr("pipelines.imaging.radiograph.judge", lambda pixels: (False, examine(pixels)))
        yield
