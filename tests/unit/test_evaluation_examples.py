"""Example films: drawn by a rule that flatters nobody, upright, and with pictures only where terms allow it."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.datasets import ADAPTERS
from pipelines.evaluation.example_pictures import LAYER_SIDE, film_layer
from pipelines.evaluation.example_records import Example, ExampleBox, Examples
from pipelines.evaluation.examples import KINDS, choose_examples
from pipelines.evaluation.joining import Scored
from pipelines.evaluation.predictions import heatmap_file
from pipelines.heatmaps import enlarged, film_part, lay_over, layer_palette
from pipelines.imaging import Placement

THRESHOLD = 0.5


def scored(films: pd.DataFrame, labels: object, scores: object) -> Scored:
    nothing = films.iloc[:0], np.zeros(0, dtype=bool)
    return Scored(films, np.asarray(labels, dtype=bool), np.asarray(scores, dtype=float), (), "radiologist", *nothing)


def only_example(folder: Path | None = None, **columns: object) -> Example:
    row = {"pred_image_id": "a/1", "rows": 400, "columns": 300, "pred_peak_x_tb": 20.0, "pred_peak_y_tb": 390.0}
    row["boxes"] = [{"finding": "tb", "x0": 10.0, "y0": 350.0, "x1": 40.0, "y1": 395.0}]
    row = row | columns
    if folder is not None:
        for layer in ("film", "tb"):
            (folder / heatmap_file(str(row["pred_image_id"]), layer)).write_bytes(b"")
    show = ("clinic",) if "asked" in row else ()
    film = scored(pd.DataFrame([row]), [True], [0.9])
    found = choose_examples(film, "tb", THRESHOLD, folder, show_films=show)
    (example,) = found.films
    return example


def many(n: int = 600, patients: int | None = None) -> tuple[Scored, pd.DataFrame]:
    rng = np.random.default_rng(5)
    labels = rng.random(n) < 0.4
    scores = np.clip(0.35 * labels + 0.65 * rng.random(n), 0, 1)
    owners = [f"p{number}" for number in (rng.integers(patients, size=n) if patients else np.arange(n))]
    films = pd.DataFrame({"pred_image_id": [f"phantom/{number:04}" for number in range(n)], "patient_id": owners})
    films["dataset"], films["label"], films["score"] = "phantom", labels, scores
    return scored(films, labels, scores), films


def of_kind(found: Examples, kind: str) -> list[Example]:
    return [film for film in found.films if film.kind == kind]


@pytest.mark.parametrize("absent", [{}, {"pred_orientation": None}, {"pred_orientation": 1}])
def test_an_upright_film_is_drawn_as_stored(absent: dict[str, object]) -> None:
    example = only_example(**absent)
    assert (example.rows, example.columns) == (400, 300)
    assert example.boxes == (ExampleBox(x0=10, y0=350, x1=40, y1=395),)
    assert example.peak == (20, 390)


def test_a_film_stored_lying_down_is_drawn_upright() -> None:
    # EXIF 6: the first stored column is the upper edge and the last stored row the left one.
    example = only_example(pred_orientation=6)
    assert (example.rows, example.columns) == (300, 400)
    assert example.peak == (10, 20)
    assert example.boxes == (ExampleBox(x0=5, y0=10, x1=50, y1=40),)


def test_without_the_films_size_nothing_is_turned() -> None:
    example = only_example(rows=None, pred_orientation=6)
    assert (example.rows, example.columns) == (None, None)
    assert example.peak == (20, 390)


def test_one_film_of_each_third_and_counts_of_all() -> None:
    films, table = many()
    found = choose_examples(films, "tb", THRESHOLD, None, seed=3)
    cells = {
        "missed": table[table.label & (table.score < THRESHOLD)],
        "false_alarm": table[~table.label & (table.score >= THRESHOLD)],
        "correct_positive": table[table.label & (table.score >= THRESHOLD)],
        "correct_negative": table[~table.label & (table.score < THRESHOLD)],
    }
    assert found.drawn is not None
    assert [one.kind for one in found.drawn] == list(KINDS)
    counts = {one.kind: one.n for one in found.drawn}
    assert counts == {kind: len(cell) for kind, cell in cells.items()} | {"borderline": len(table)}
    for kind, cell in cells.items():
        ranks = sorted(int((cell.score < film.score).sum()) for film in of_kind(found, kind))
        assert [3 * rank // len(cell) for rank in ranks] == [0, 1, 2], kind
    assert (found.seed, found.threshold) == (3, THRESHOLD)


def test_borderline_films_are_the_nearest_of_each_side_and_label() -> None:
    films, table = many()
    found = choose_examples(films, "tb", THRESHOLD, None)
    before = {film.image_id for kind in ("missed", "false_alarm") for film in of_kind(found, kind)}
    rest = table[~table.pred_image_id.isin(before)]
    expected = set()
    for _, cell in rest.groupby([rest.label, rest.score >= THRESHOLD]):
        expected.add(cell.pred_image_id[(cell.score - THRESHOLD).abs().idxmin()])
    assert {film.image_id for film in of_kind(found, "borderline")} == expected
    assert len(expected) == 4


def test_the_draw_does_not_depend_on_the_order_of_rows_but_on_the_seed() -> None:
    films, table = many()
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = scored(table.iloc[order].reset_index(drop=True), films.labels[order], films.scores[order])
    first = choose_examples(films, "tb", THRESHOLD, None, seed=1)
    assert choose_examples(shuffled, "tb", THRESHOLD, None, seed=1) == first
    assert choose_examples(films, "tb", THRESHOLD, None, seed=2) != first
    assert choose_examples(films, "nodule", THRESHOLD, None, seed=1) != first


def test_chance_favours_no_score_within_a_third() -> None:
    films, table = many()
    cell = table[table.label & (table.score < THRESHOLD)]
    first_third = len(np.array_split(np.arange(len(cell)), 3)[0])
    ranks = []
    for seed in range(300):
        lowest = min(film.score for film in of_kind(choose_examples(films, "tb", THRESHOLD, None, seed=seed), "missed"))
        ranks.append((cell.score < lowest).sum() / (first_third - 1))
    # 300 draws from a uniform distribution: mean 0.5 with a standard error of 0.017; both ends are reached.
    assert abs(np.mean(ranks) - 0.5) < 0.07
    assert min(ranks) == 0
    assert max(ranks) == 1


def test_no_patient_appears_twice() -> None:
    films, table = many(patients=20)
    found = choose_examples(films, "tb", THRESHOLD, None)
    owners = table.set_index("pred_image_id").patient_id[[film.image_id for film in found.films]]
    assert owners.is_unique
    assert len(owners) >= 12


def test_few_missed_cases_are_shown_as_missed() -> None:
    films = pd.DataFrame({"pred_image_id": ["x/1", "x/2"], "patient_id": [None, None]})
    found = choose_examples(scored(films, [True, False], [0.49, 0.48]), "tb", THRESHOLD, None)
    assert [(film.image_id, film.kind, film.outcome) for film in found.films] == [
        ("x/1", "missed", "false_negative"),
        ("x/2", "borderline", "true_negative"),
    ]


def test_without_a_threshold_nothing_is_right_or_wrong() -> None:
    found = choose_examples(many()[0], "tb", None, None)
    assert found.films == ()
    assert found.absent is not None


@pytest.mark.parametrize(
    ("data_set", "reason", "public"),
    [
        ("nih_cxr14", None, True),
        ("phantom", None, True),
        ("vindr_cxr", "terms", True),
        ("montgomery", "terms", True),
        ("shenzhen", "terms", True),
        ("qatar_tb", "terms", True),
        ("folder", "own", False),
        ("clinic", "own", False),
        (None, "unknown", False),
    ],
)
def test_only_films_whose_terms_allow_it_have_pictures(
    tmp_path: Path, data_set: str | None, reason: str | None, public: bool
) -> None:
    example = only_example(tmp_path, dataset=data_set)
    assert example.no_picture == reason
    assert example.id_is_public == public
    assert example.data_set == data_set


def test_a_user_may_allow_their_own_films_but_their_ids_stay_hidden(tmp_path: Path) -> None:
    example = only_example(tmp_path, dataset="clinic", asked=True)
    assert example.no_picture is None
    assert not example.id_is_public


def test_a_film_without_saved_maps_says_so() -> None:
    assert only_example(dataset="phantom").no_picture == "no_maps"


def test_every_data_set_says_why_its_films_may_be_shown_or_not() -> None:
    allowed = {name for name, adapter in ADAPTERS.items() if adapter.films_may_be_shown}
    assert allowed == {"nih_cxr14", "phantom"}
    assert all(len(adapter.films_may_be_shown_why) > 30 for adapter in ADAPTERS.values())


@pytest.mark.parametrize(("rows", "columns"), [(512, 512), (512, 403), (389, 512)])
def test_the_kept_layer_looks_as_the_picture_that_predict_wrote(rows: int, columns: int) -> None:
    """Over a film, enlarged, the layer is the overlay of `cxr predict --heatmaps` to a few grey values."""
    rng = np.random.default_rng(2)
    cells = cv2.GaussianBlur(rng.random((16, 16)).astype(np.float32) ** 3, (0, 0), 1.5)
    cells = cells / cells.max()
    film = rng.integers(0, 256, (rows, columns)).astype(np.uint8)
    expected = lay_over(film, film_part(enlarged(cells, 512), Placement.fit(rows, columns, 512), film.shape))
    layer = film_layer(cells, rows, columns)
    assert max(layer.shape) == LAYER_SIDE
    colours = Image.fromarray(layer_palette()[layer], mode="RGBA")
    shown = Image.alpha_composite(
        Image.fromarray(film).convert("RGBA"), colours.resize((columns, rows), Image.Resampling.BILINEAR)
    )
    assert np.abs(np.asarray(shown.convert("RGB"), dtype=float) - expected).max() <= 6


def test_the_palette_has_the_opacity_of_the_probability() -> None:
    palette = layer_palette()
    assert palette[0, 3] == 0
    assert palette[255, 3] == 153
    assert (np.diff(palette[:, 3].astype(int)) >= 0).all()
