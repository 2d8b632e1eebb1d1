"""Marks files, map peaks, hit criteria and true lesions."""

import numpy as np
import pandas as pd
import pytest
from localisation_films import box, films, written

from pipelines.errors import EvaluationError, ManifestError, PredictionsError
from pipelines.evaluation.example_records import ExampleBox
from pipelines.evaluation.localisation.lesions import BANDS, box_array, true_lesions
from pipelines.evaluation.localisation.marks import (
    Criterion,
    file_marks,
    hit_pairs,
    on_judged_films,
    peak_marks,
    read_marks,
)
from pipelines.evaluation.localisation.peaks import METHOD, boxes_of, inside, localisation

POINTS = pd.DataFrame({"image_id": ["f0", "f0", "f1"], "score": [0.9, 0.2, 7.5], "x": [5, 1, 2.5], "y": [6, 1, -3]})
BOXES = pd.DataFrame({"image_id": ["f0"], "score": [1], "x0": [2], "y0": [2], "x1": [6], "y1": [4]})


@pytest.mark.parametrize("name", ["marks.csv", "marks.csv.gz", "marks.parquet"])
def test_points_are_read_to_the_bit(tmp_path, name):
    marks = read_marks(written(tmp_path, POINTS, name))
    assert not marks.boxes
    assert marks.frame["score"].tolist() == [0.9, 0.2, 7.5]
    assert marks.frame[["x", "y"]].to_numpy().tolist() == [[5, 6], [1, 1], [2.5, -3]]
    assert len(marks.digest) == 64


def test_a_box_is_pointed_at_by_its_centre_unless_the_file_has_points(tmp_path):
    assert read_marks(written(tmp_path, BOXES)).frame[["x", "y"]].to_numpy().tolist() == [[4, 3]]
    both = read_marks(written(tmp_path, BOXES.assign(x=2, y=2)))
    assert both.boxes
    assert both.frame[["x", "y"]].to_numpy().tolist() == [[2, 2]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="image_id"), "column 'image_id'; columns: score, x, y"),
        (lambda f: f.drop(columns="score"), "column 'score'"),
        (lambda f: f.drop(columns="y"), "column 'x, y (or x0, y0, x1, y1)'"),
        (lambda f: f.assign(score=[0.1, np.nan, np.inf]), "'score' has 2 of 3 values that are empty or not finite"),
        (lambda f: f.assign(x=[1, np.nan, 2]), "'x' has 1 of 3 values that are empty or not finite (first in row 2)"),
        (lambda f: f.assign(y=["1", "two", "3"]), "'y' has 1 values that are not numbers (first in row 2)"),
        (lambda f: f.assign(image_id=["f0", None, "f1"]), "'image_id' is empty in 1 of 3 rows"),
        (lambda f: f.assign(finding=["nodule", " ", "tb"]), "'finding' is empty in 1 of 3 rows"),
        (lambda f: f.iloc[:0], "the table has no rows"),
    ],
)
def test_a_faulty_file_is_named_with_its_column(tmp_path, change, words):
    path = written(tmp_path, change(POINTS))
    with pytest.raises(PredictionsError) as caught:
        read_marks(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_corner_and_a_size_are_not_a_box(tmp_path):
    path = written(tmp_path, BOXES.assign(x0=600, x1=80))
    with pytest.raises(PredictionsError, match=r"'x0' is greater than 'x1' in 1 of 1 rows .* not a corner and a size"):
        read_marks(path)
    with pytest.raises(PredictionsError, match="no such file"):
        read_marks(tmp_path / "none.csv")


def test_ids_match_as_predictions_do_and_other_films_are_counted(tmp_path):
    scored = films([(1, [box(0, 0, 9, 9)], {}), (0, None, {}), (1, None, {})])
    marks = read_marks(written(tmp_path, POINTS.assign(image_id=["f0.png", "f2.png", "elsewhere.png"])))
    given = file_marks(marks, scored, "nodule")
    assert given.film.tolist() == [0, 2]
    assert "the file name of path" in given.source
    kept = on_judged_films(given, scored, true_lesions(scored, "nodule").judged)
    assert kept.film.tolist() == [0]
    assert kept.counts == {"marks_elsewhere": 2, "marks_outside_film": 0}


def test_numbers_as_ids_stay_text(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("image_id,score,x,y\n0012,1,2,3\n")
    assert read_marks(path).frame["image_id"].tolist() == ["0012"]


def test_marks_of_another_finding_or_of_no_film_are_refused(tmp_path):
    scored = films([(1, [box(0, 0, 9, 9)], {})])
    marks = read_marks(written(tmp_path, POINTS.assign(finding="tb")))
    with pytest.raises(PredictionsError, match=r"marks.csv: no marks of finding 'nodule'; findings there: 'tb'"):
        file_marks(marks, scored, "nodule")
    marks = read_marks(written(tmp_path, POINTS.assign(image_id="x")))
    with pytest.raises(PredictionsError, match=r"marks.csv"):
        file_marks(marks, scored, "nodule")


def test_peaks_are_marks_rated_by_the_film(tmp_path):
    scored = films([(1, [box(0, 0, 9, 9)], {"x": 3, "y": 4, "p": 0.8}), (0, [], {}), (0, [], {"x": np.inf, "y": 1})])
    marks = peak_marks(scored, "nodule")
    assert (marks.film.tolist(), marks.score.tolist(), marks.points.tolist()) == ([0], [0.8], [[3, 4]])
    assert on_judged_films(marks, scored, np.ones(3, dtype=bool)).counts["film_without_peak"] == 2


def test_marks_outside_their_film_are_counted_and_kept(tmp_path):
    scored = films([(1, [box(0, 0, 9, 9)], {"x": -1, "y": 4, "rows": 20, "columns": 10})] * 2)
    assert on_judged_films(peak_marks(scored, "nodule"), scored, np.ones(2, bool)).counts["marks_outside_film"] == 2
    scored = films([(1, [box(0, 0, 9, 9)], {"x": 10.0, "y": 20, "rows": 20, "columns": 10})])
    assert on_judged_films(peak_marks(scored, "nodule"), scored, np.ones(1, bool)).counts["marks_outside_film"] == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("box contains point", "box contains point"),
        ("Contains", "box contains point"),
        ("IoU >= 0.5", "IoU >= 0.5"),
        ("iou≥0.25", "IoU >= 0.25"),
        ("iou:1", "IoU >= 1"),
        ("IoU", "IoU >= 0.3"),
    ],
)
def test_criteria_are_read_as_they_are_written(text, shown):
    assert Criterion.of(text).text == shown
    assert Criterion.of(shown) == Criterion.of(text)


@pytest.mark.parametrize("text", ["", "iou 0.5", "IoU >= half", "IoU >= 0", "IoU >= 1.1", "IoU >= nan", "dice"])
def test_other_criteria_are_refused(text):
    with pytest.raises(EvaluationError):
        Criterion.of(text)
    with pytest.raises(EvaluationError, match="'dice'"):
        Criterion("dice")


def test_criteria_decide_between_marks(tmp_path):
    scored = films([(1, [box(0, 0, 10, 10), box(20, 0, 30, 10)], {})])
    truth = true_lesions(scored, "nodule")
    # The centre in the first lesion with IoU 25/100; half of the second with IoU 50/100, its centre on the edge.
    frame = pd.DataFrame({"x0": [0, 20], "y0": [0, 0], "x1": [5, 30], "y1": [5, 5]}).assign(image_id="f0", score=[1, 2])
    marks = file_marks(read_marks(written(tmp_path, frame)), scored, "nodule")

    def pairs(criterion):
        return [side.tolist() for side in hit_pairs(marks, truth, criterion)]

    assert pairs(Criterion()) == [[0, 1], [0, 1]]
    assert pairs(Criterion("iou", 0.25)) == [[0, 1], [0, 1]]
    assert pairs(Criterion("iou", 0.26)) == [[1], [1]]
    assert pairs(Criterion("iou", 0.51)) == [[], []]
    points = file_marks(read_marks(written(tmp_path, POINTS)), scored, "nodule")
    with pytest.raises(EvaluationError, match="needs marks that are boxes"):
        hit_pairs(points, truth, Criterion("iou"))


def test_what_cannot_be_judged_is_left_out_and_counted():
    scored = films(
        [
            (1, [box(1, 1, 5, 5), box(1, 1, 5, 5, "tb")], {}),
            (1, None, {}),
            (1, [], {}),
            (1, [box(1, 1, 5, 5, "tb")], {}),
            (1, [box(5, 1, 5, 9), box(np.nan, 1, 5, 9)], {}),
            (1, [box(5, 1, 3, 9), box(0, 0, 2, 2)], {}),
            (1, [box(30, 1, 40, 9), box(-9, 1, 3, 9)], {"rows": 20, "columns": 30}),
            (0, [box(1, 1, 5, 5)], {}),
            (0, [box(1, 1, 5, 5, "tb")], {}),
            (0, [], {}),
            (0, None, {}),
        ]
    )
    truth = true_lesions(scored, "nodule")
    assert truth.judged.tolist() == [True, False, False, False, False, True, True, False, True, True, True]
    assert truth.film.tolist() == [0, 5, 6]
    assert truth.boxes.tolist() == [[1, 1, 5, 5], [0, 0, 2, 2], [-9, 1, 3, 9]]
    assert {code: n for code, n in truth.counts.items() if n} == {
        "boxes_not_drawn": 1,
        "no_box_of_finding": 2,
        "no_usable_box": 1,
        "boxes_on_negative_film": 1,
        "box_without_area": 3,
        "box_outside_film": 1,
    }


def test_sizes_are_the_longer_side_in_millimetres():
    boxes = [box(0, 0, 4, width) for width in (19, 20, 21, 40, 60, 61)]
    scored = films([(1, boxes, {"spacing": 0.5}), (1, boxes[:1], {}), (1, boxes[:1], {"spacing": 0.0})])
    truth = true_lesions(scored, "nodule")
    assert truth.size_mm[:6].tolist() == [9.5, 10, 10.5, 20, 30, 30.5]
    assert [BANDS[place].name for place in truth.band] == [
        "up to 10 mm",
        "up to 10 mm",
        "over 10 to 20 mm",
        "over 10 to 20 mm",
        "over 20 to 30 mm",
        "over 30 mm",
        "size not known",
        "size not known",
    ]


def test_boxes_of_one_finding():
    assert box_array(None, "nodule") is None
    assert box_array(np.array([], dtype=object), "nodule").shape == (0, 4)
    assert box_array([box(1, 2, 3, 4), box(5, 6, 7, 8, "tb")], "tb").tolist() == [[5, 6, 7, 8]]
    for wrong in ({"finding": "tb", "x0": 1}, {"x0": 1}, "tb", box("one", 2, 3, 4, "tb")):
        with pytest.raises(ManifestError, match="column 'boxes' has an entry that is not a box"):
            box_array([wrong], "tb")


def test_the_share_of_true_positives_keeps_its_answer_and_survives_a_box_without_a_number():
    rows = [
        (1, [box(0, 0, 9, 9), box(np.nan, 0, 9, 9)], {"x": 9.0, "y": 0.0}),
        (1, [box(0, 0, 9, 9)], {"x": 9.5, "y": 0.0}),
        (1, [box(0, 0, np.inf, 9)], {"x": 3.0, "y": 3.0}),
        (1, None, {"x": 3.0, "y": 3.0}),
        (0, [], {"x": 3.0, "y": 3.0}),
    ]
    scored = films(rows)
    found = localisation(scored.films, scored.labels, "nodule")
    assert (found.value, found.n) == (0.5, 2)
    assert found.method.startswith(METHOD)
    assert boxes_of(rows[0][1], "nodule") == (ExampleBox(x0=0, y0=0, x1=9, y1=9),)
    assert inside((9.0, 0.0), boxes_of(rows[0][1], "nodule"))
    assert boxes_of(None, "nodule") is None
