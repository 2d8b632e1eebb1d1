"""The chapter on localisation: hits counted by hand, sizes, what was not judged, and why there may be nothing."""

import re

import numpy as np
import pytest

from pipelines.reporting.chapters.localisation import chapter
from pipelines.reporting.charts.froc import LEFT, RIGHT, _dense
from tests.unit.report_parts import book_of, cells, evaluated, text_of, words_for


def box(size=20.0, finding="tb"):
    return {"finding": finding, "x0": 10.0, "y0": 10.0, "x1": 10.0 + size, "y1": 15.0}


def films(normals=20, **more):
    """Ten films with one box each: six are marked on it above 0.5, two on it below, two beside it above."""
    labels = [1] * 10 + [0] * normals
    scores = [0.9] * 6 + [0.3] * 2 + [0.8] * 2 + [0.7] * 3 + [0.1] * max(normals - 3, 0)
    x = [12.0] * 8 + [90.0] * 2 + [50.0] * normals
    boxes = [[box(8.0 if place < 4 else 20.0)] for place in range(10)] + [[]] * normals
    columns = {"boxes": boxes, "pixel_spacing_mm": 1.0, "rows": 100, "columns": 100}
    return evaluated(labels, scores[: len(labels)], peak_x_tb=x, peak_y_tb=[12.0] * len(labels), **(columns | more))


def made(*evaluations, code="en"):
    book = book_of(*evaluations)
    return chapter(book, words_for(book, code))


@pytest.fixture(scope="module")
def found():
    return made(films())


def test_hits_at_the_threshold_are_those_counted_by_hand(found):
    rows = cells(found, "localisation-s1f1")
    assert rows["True boxes hit at the threshold in use"]["value"].text.startswith("60.0")
    # Two marks beside a box and three on normal films, on thirty films.
    assert rows["False positives per film at the threshold in use"]["value"].value == pytest.approx(5 / 30)
    assert rows["Normal films marked at the threshold in use"]["value"].value == pytest.approx(3 / 20)
    assert rows["Films with the finding, marked in the right place at any score"]["value"].value == pytest.approx(0.8)
    assert "Judged: 30 films, of them 20 without the finding and 10 with it. 10 true boxes. 30 marks." in text_of(
        found.body
    )


def test_sizes_are_printed_in_millimetres_with_their_count(found):
    rows = cells(found, "sizes-s1f1")
    assert list(rows) == ["up to 10 mm", "over 10 to 20 mm", "over 20 to 30 mm", "over 30 mm", "size not known"]
    assert [row["n"].text for row in rows.values()] == ["4", "6", "0", "0", "0"]
    # All four small ones are hit above the threshold, of the six larger ones two.
    assert rows["up to 10 mm"]["at_threshold"].value == 1.0
    assert rows["over 10 to 20 mm"]["at_threshold"].value == pytest.approx(2 / 6)
    assert rows["over 30 mm"]["at_threshold"].text == "–"


def test_rates_beyond_all_marks_carry_a_star_and_its_meaning(found):
    rows = cells(found, "froc-s1f1")
    # All marks together: 22 false ones on 30 films.
    stars = {head: "*" in row["all_films"].text for head, row in rows.items()}
    assert stars == {"0.125": False, "0.25": False, "0.5": False, "1": True, "2": True, "4": True, "8": True} | {
        "Mean of these (CPM)": False
    }
    note = next(table.note for table in found.tables if table.key == "froc-s1f1")
    assert "which have 0.73 false positives per film on all films and 1.00 on normal films" in note.striptags()
    mean = np.mean([rows[head]["all_films"].value for head in list(rows)[:7]])
    assert rows["Mean of these (CPM)"]["all_films"].value == pytest.approx(mean)


def test_the_figure_says_its_numbers(found):
    label = re.search(r'aria-label="(FROC[^"]*)"', str(found.body)).group(1)
    rows = cells(found, "froc-s1f1")
    for head in list(rows)[:7]:
        assert f"at {head}: {100 * rows[head]['all_films'].value:.1f}" in label


def test_the_drawn_line_is_the_curve_on_another_axis():
    curve = films().findings[0].froc.all_films.curve
    at, sensitivity = _dense(curve, LEFT, RIGHT)
    corners = list(zip(curve.false_positives_per_image, curve.sensitivity, strict=True))
    for x, y in zip(at, sensitivity, strict=True):
        low = max((s for fp, s in corners if fp <= x), default=0.0)
        high = min((s for fp, s in corners if fp >= x), default=corners[-1][1])
        assert low - 1e-12 <= y <= max(low, high) + 1e-12


def test_why_there_is_nothing_is_said_in_a_sentence():
    no_boxes = made(films(boxes=None))
    body = text_of(no_boxes.body)
    assert "Localisation was not judged: no positive film has a usable box of the finding." in body
    assert "10 films: positive, but no boxes were drawn" in body
    assert not no_boxes.tables
    assert "<svg" not in no_boxes.body
    no_marks = text_of(made(evaluated([1, 0] * 6, [0.7, 0.2] * 6, boxes=[[box()], []] * 6)).body)
    assert "Localisation was not judged: the predictions have no map peaks." in no_marks
    no_positives = text_of(made(evaluated([0] * 12, [0.2] * 12, boxes=[[]] * 12)).body)
    assert "Localisation was not judged: no positive films." in no_positives


def test_without_normal_films_there_is_a_curve_but_no_lroc():
    body = made(films(normals=0)).body
    assert "There is no localisation ROC: no normal films." in text_of(body)
    assert str(body).count("<svg") == 1


def test_films_without_spacing_have_no_sizes_and_say_so():
    assert "No box has a known size" in text_of(made(films(pixel_spacing_mm=np.nan)).body)


def test_without_a_threshold_the_curve_stays():
    found = made(films(threshold=None))
    assert "threshold in use, with both intervals" not in str(found.body)
    assert cells(found, "localisation-s1f1")["True boxes hit at the threshold in use"]["value"].value is None
    assert str(found.body).count("<svg") == 2
