"""Real films judged from the picture: few are measured here, all of them in `benchmarks/picture.py`."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.imaging.picture import examine, looks_inverted, require_picture

EVERY = 6
ODD = {"negative": 687, "upside down": 456}
"""Places, in order of name, of a film that the archive holds in negative and of one that it holds upside down."""


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"), dtype=np.float32) / 255


@pytest.fixture(scope="module")
def nih(real_data: Path) -> list[Path]:
    paths = sorted((real_data / "nih_cxr14" / "images").glob("*.png"))
    if len(paths) != 738:
        pytest.skip(f"other films than those measured: {len(paths)}")
    return paths


def test_nih(nih: list[Path]) -> None:
    films = [load(path) for place, path in enumerate(nih) if place % EVERY == 1]
    for film in films:
        require_picture(film)
    assert not any(looks_inverted(film) for film in films)
    assert np.mean([looks_inverted(1 - film) for film in films]) > 0.7
    found = [examine(film) for film in films]
    assert {quality.rotation_degrees for quality in found} == {0}
    assert np.mean([quality.cropped for quality in found]) < 0.1
    assert np.mean([quality.low_contrast for quality in found]) < 0.03


def test_what_the_archive_holds_the_wrong_way(nih: list[Path]) -> None:
    assert looks_inverted(load(nih[ODD["negative"]]))
    assert examine(load(nih[ODD["upside down"]])).rotation_degrees == 180


def test_redaction_boxes_of_qatar(real_data: Path) -> None:
    """Boxes lie on films with tuberculosis only."""
    root = real_data / "qatar_tb" / "TB_Chest_Radiography_Database"
    share = {
        folder: np.mean(
            [examine(load(path)).text_area > 0.01 for path in sorted(root.rglob(f"{folder}-*.png"))[::EVERY]]
        )
        for folder in ("Tuberculosis", "Normal")
    }
    assert share["Normal"] == 0
    assert share["Tuberculosis"] > 0.04
