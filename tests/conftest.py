"""Fixtures that several test folders share."""

import os
from pathlib import Path

import pytest

import pipelines  # noqa: F401  before any test module imports torch: it says how OpenMP's threads wait


def _real_data_root() -> Path:
    return Path(os.environ.get("CXR_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real radiographs and labels; tests that need it skip where it is absent."""
    root = _real_data_root()
    if not (root / "nih_cxr14").is_dir():
        pytest.skip(f"no real radiographs: set CXR_TEST_DATA (looked in {root.name!r})")
    return root
