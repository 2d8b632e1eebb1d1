"""A film that is unlike the training films: a row with its reason, and no score."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from models import IntendedUse, ModelPackage, fit_typicality, load_package, save_package
from pipelines.errors import Reason
from pipelines.evaluation.predictions import HEATMAP_FOLDER, SCHEMA, heatmap_file
from pipelines.evaluation.tables import read_predictions
from pipelines.imaging import FilmFacts, Orientation, Quality, read_radiograph, to_square
from pipelines.inference import collect_inputs, predict_films
from pipelines.inference.predictor import Predictor
from pipelines.inference.rows import quality_columns
from tests.inference_films import SIZE, film_pixels, tiny_package, write_png


def guarded(folder: Path) -> ModelPackage:
    """A random network with a limit from 60 films of its kind, 20 of them held out; no operating points."""
    package = tiny_package(folder, thresholds={})
    films = [film_pixels(seed).astype(np.float32) / 255 for seed in range(100, 160)]
    squares = torch.from_numpy(np.stack([to_square(film, SIZE) for film in films]))[:, None]
    with torch.inference_mode():
        features = package.build()(squares).features
    return replace(package, typicality=fit_typicality(features[:40], features[40:]))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    return guarded(tmp_path_factory.mktemp("guarded") / "package")


def write_noise(path: Path) -> Path:
    noise = np.random.default_rng(5).integers(0, 256, (150, 120)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    return path


def test_a_film_of_another_kind_is_rejected_without_a_score_and_the_others_keep_theirs(
    package: ModelPackage, tmp_path: Path
) -> None:
    films = [write_png(tmp_path / "a.png", 1), write_noise(tmp_path / "b.png"), write_png(tmp_path / "c.png", 2)]
    rows = Predictor(package, device="cpu")([*films, tmp_path / "gone.png"])
    assert rows["status"].tolist() == ["ok", "rejected", "ok", "error"]
    refused = rows.iloc[1]
    assert refused["reason"] == Reason.ATYPICAL
    assert refused["atypicality"] > 1
    times = f"{refused['atypicality']:.2f}"
    assert refused["detail"] == f"feature distance {times} times the limit locked on 20 validation films"
    scores = [name for name in SCHEMA.names if name.startswith(("p_", "flag_", "triage_", "peak_", "control_"))]
    assert refused[scores].isna().all()
    assert (rows["atypicality"][[0, 2]] <= 1).all()
    assert np.isnan(rows["atypicality"][3])
    without = Predictor(replace(package, typicality=None), device="cpu")(films)
    assert without["status"].tolist() == ["ok"] * 3
    assert without["atypicality"].isna().all()
    pd.testing.assert_series_equal(rows["p_tb"][[0, 2]], without["p_tb"][[0, 2]])


def test_a_study_may_ask_for_scores_of_films_of_another_kind(package: ModelPackage, tmp_path: Path) -> None:
    films = [write_png(tmp_path / "a.png", 1), write_noise(tmp_path / "b.png")]
    asked = Predictor(package, device="cpu", score_atypical=True)(films)
    free = Predictor(replace(package, typicality=None), device="cpu")(films)
    assert asked["status"].tolist() == ["ok", "ok"]
    assert asked["reason"].isna().all()
    assert asked["atypicality"][1] > 1
    assert asked["detail"].isna().tolist() == [True, False]
    assert asked["detail"][1].startswith("scored although feature distance ")
    scores = [name for name in SCHEMA.names if name.startswith(("p_", "triage_", "peak_"))]
    pd.testing.assert_frame_equal(asked[scores], free[scores])


def test_atypicality_is_the_distance_of_the_networks_features(package: ModelPackage, tmp_path: Path) -> None:
    film = write_png(tmp_path / "a.png", 7)
    with torch.inference_mode():
        square = torch.from_numpy(to_square(read_radiograph(film, max_side=SIZE).pixels, SIZE))[None, None]
        features = package.build()(square).features
    assert package.typicality is not None
    expected = package.typicality.distance(features)[0] / package.typicality.threshold
    assert Predictor(package, device="cpu")(film)["atypicality"][0] == pytest.approx(expected, rel=1e-4)


def test_pictures_belong_to_the_scored_films_and_the_table_is_read_again(package: ModelPackage, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    write_noise(films / "a-noise.png")
    write_png(films / "b.png", 1)
    save_package(package, tmp_path / "package", card="for tests")
    folder = tmp_path / "package"
    predict_films(collect_inputs([films]), folder, tmp_path / "out", workers=0, heatmaps=True, device="cpu")
    table = read_predictions(tmp_path / "out").frame.set_index("image_id")
    assert table["status"].to_dict() == {"a-noise.png": "rejected", "b.png": "ok"}
    picture = tmp_path / "out" / HEATMAP_FOLDER / heatmap_file("b.png", "film")
    shown = np.asarray(Image.open(picture), dtype=float)
    stored = np.asarray(Image.open(films / "b.png").resize(shown.shape[::-1]), dtype=float)
    assert np.corrcoef(shown.ravel(), stored.ravel())[0, 1] > 0.95, "the film's own picture, not the refused one's"
    assert not (tmp_path / "out" / HEATMAP_FOLDER / heatmap_file("a-noise.png", "film")).exists()


def test_the_decoders_are_told_whom_the_model_is_meant_for(package: ModelPackage) -> None:
    use = Predictor(replace(package, intended_use=IntendedUse(min_age_years=15.0)), device="cpu").request().use
    assert use is not None
    assert (use.min_age_years, use.max_age_years, use.frontal_only) == (15.0, None, True)
    wide = replace(package, intended_use=IntendedUse(views=("PA", "AP", "LATERAL")))
    assert Predictor(wide, device="cpu").request().use.frontal_only is False  # type: ignore[union-attr]


def test_quality_columns_are_the_schemas_and_hold_what_was_said(package: ModelPackage, tmp_path: Path) -> None:
    quality = Quality(inverted=True, rotation_degrees=90, cropped=False, low_contrast=True, text_area=0.25, border=0.5)
    columns = quality_columns(quality, FilmFacts(100, 100, colour=True), Orientation(columns_flipped=True))
    names = SCHEMA.names
    assert list(columns) == names[names.index("atypicality") + 1 : names.index("orientation") + 1]
    assert list(columns.values()) == [True, 90, False, True, 0.25, 0.5, True, 2]
    film = write_png(tmp_path / "a.png", 3)
    row = Predictor(package, device="cpu")([film, tmp_path / "gone.png"]).iloc[0]
    said = read_radiograph(film, max_side=SIZE).quality
    assert row[list(columns)].tolist() == list(quality_columns(said, FilmFacts(100, 100), Orientation()).values())


def test_a_tiny_package_from_before_has_no_limit(tmp_path: Path) -> None:
    tiny_package(tmp_path / "p")
    assert load_package(tmp_path / "p").typicality is None
