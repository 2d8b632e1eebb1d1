"""Example films: boxes and peaks are drawn on upright pictures, wherever the file stores them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation.examples import choose_examples
from pipelines.evaluation.joining import Scored
from pipelines.evaluation.predictions import heatmap_file
from pipelines.evaluation.records import ExampleBox


def only_example(folder: Path, **columns: object):
    for layer in ("film", "tb"):
        (folder / heatmap_file("a/1", layer)).write_bytes(b"")
    row = {"pred_image_id": "a/1", "rows": 400, "columns": 300, "pred_peak_x_tb": 20.0, "pred_peak_y_tb": 390.0}
    row["boxes"] = [{"finding": "tb", "x0": 10.0, "y0": 350.0, "x1": 40.0, "y1": 395.0}]
    films = pd.DataFrame([row | columns])
    nothing = films.iloc[:0], np.zeros(0, dtype=bool)
    scored = Scored(films, np.array([True]), np.array([0.9]), (), "radiologist", *nothing)
    (example,) = choose_examples(scored, "tb", 0.5, folder).films
    return example


@pytest.mark.parametrize("absent", [{}, {"pred_orientation": None}, {"pred_orientation": 1}])
def test_an_upright_film_is_drawn_as_stored(tmp_path: Path, absent: dict[str, object]) -> None:
    example = only_example(tmp_path, **absent)
    assert (example.rows, example.columns) == (400, 300)
    assert example.boxes == (ExampleBox(x0=10, y0=350, x1=40, y1=395),)
    assert example.peak == (20, 390)


def test_a_film_stored_lying_down_is_drawn_upright(tmp_path: Path) -> None:
    # EXIF 6: the first stored column is the upper edge and the last stored row the left one.
    example = only_example(tmp_path, pred_orientation=6)
    assert (example.rows, example.columns) == (300, 400)
    assert example.peak == (10, 20)
    assert example.boxes == (ExampleBox(x0=5, y0=10, x1=50, y1=40),)


def test_without_the_films_size_nothing_is_turned(tmp_path: Path) -> None:
    example = only_example(tmp_path, rows=None, pred_orientation=6)
    assert (example.rows, example.columns) == (None, None)
    assert example.peak == (20, 390)
