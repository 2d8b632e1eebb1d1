"""The chapter on calibration and net benefit says of scores what was done to them."""

import re
from functools import cache

import numpy as np
import pytest

from pipelines.reporting.chapters.calibration import chapter
from pipelines.reporting.charts.calibration import reach
from pipelines.reporting.charts.decision import nearest, probability
from tests.unit.report_parts import book_of, cells, estimate, evaluated, text_of, with_result, words_for

N = 700


def logits(seed=3):
    rng = np.random.default_rng(seed)
    truth = rng.normal(-0.5, 1.5, N)
    return truth, (rng.random(N) < 1 / (1 + np.exp(-truth))).astype(int)


def changed(stretch=1.0, shift=0.0, **more):
    truth, labels = logits()
    return evaluated(labels, 1 / (1 + np.exp(-(stretch * truth + shift))), **more)


@cache
def rows_of(stretch, shift):
    return cells(made(changed(stretch, shift)), "calibration-s1f1")


def made(*evaluations):
    book = book_of(*evaluations)
    return chapter(book, words_for(book))


@pytest.fixture(scope="module")
def good():
    return changed()


def test_good_scores_are_not_called_wrong(good):
    rows = cells(made(good), "calibration-s1f1")
    for name in ("Observed / expected", "Calibration intercept", "Calibration slope"):
        assert rows[name]["here"].text.endswith("no error is shown.")
    assert "no error is shown" in rows["Expected calibration error (ECE)"]["here"].text
    assert rows["Scaled Brier score"]["here"].text == "Better than giving every film the same score."


@pytest.mark.parametrize(
    ("stretch", "shift", "row", "said"),
    [
        (3.0, 0.0, "Calibration slope", "Too extreme"),
        (0.3, 0.0, "Calibration slope", "Too cautious"),
        (1.0, 1.5, "Calibration intercept", "The scores are too high overall."),
        (1.0, -1.5, "Calibration intercept", "The scores are too low overall."),
        (1.0, 1.5, "Observed / expected", "Too high"),
        (1.0, -1.5, "Observed / expected", "Too low"),
        (1.0, 1.5, "Expected calibration error (ECE)", "the scores are off"),
        (-1.0, 0.0, "Scaled Brier score", "Worse than"),
    ],
)
def test_what_was_done_to_scores_is_what_the_table_says(stretch, shift, row, said):
    assert said in rows_of(stretch, shift)[row]["here"].text


def test_brier_is_printed_as_computed_by_hand(good):
    truth, labels = logits()
    by_hand = np.mean((1 / (1 + np.exp(-truth)) - labels) ** 2)
    cell = cells(made(good), "calibration-s1f1")["Brier score"]["value"]
    assert cell.text.startswith(f"{by_hand:.3f} (95")


def test_the_points_are_films_counted_by_hand(good):
    truth, labels = logits()
    scores = 1 / (1 + np.exp(-truth))
    groups = good.findings[0].calibration.bins
    rows = list(cells(made(good), "reliability-s1f1").values())
    assert len(rows) == len(groups) == 10
    for row, group in zip(rows, groups, strict=True):
        inside = (scores >= group.low) & (scores <= group.high)
        assert [row["n"].value, row["positives"].value] == [inside.sum(), labels[inside].sum()]
        assert row["mean_score"].text == f"{100 * scores[inside].mean():.1f}\N{NO-BREAK SPACE}%"
        assert row["observed"].text.startswith(f"{100 * labels[inside].mean():.1f}\N{NO-BREAK SPACE}%")


def test_net_benefit_near_the_threshold_is_that_of_the_definition(good):
    truth, labels = logits()
    scores = 1 / (1 + np.exp(-truth))
    curve = good.findings[0].decision_curve
    point = nearest(curve, 0.5)
    t = point.threshold
    assert min(abs(other.threshold - 0.5) for other in curve.points) == abs(t - 0.5)
    flagged = scores >= t
    benefit = np.mean(flagged & (labels == 1)) - np.mean(flagged & (labels == 0)) * t / (1 - t)
    body = text_of(made(good).body)
    assert f"net benefit {benefit:.3f} (95" in body
    assert "flagging is worth more than referring everyone and than referring no one" in body
    label = re.search(r'aria-label="(Decision curve[^"]*)"', str(made(good).body)).group(1)
    assert f"net benefit {benefit:.3f}" in label
    row = next(row for head, row in cells(made(good), "decision-s1f1").items() if "nearest to the threshold" in head)
    everyone = labels.mean() - (1 - labels.mean()) * t / (1 - t)
    assert row["avoided_per_100"].value == pytest.approx(100 * (benefit - everyone) / (t / (1 - t)))


@pytest.mark.parametrize(
    ("low", "high", "said"), [(-0.3, -0.1, "is worth less than"), (-0.1, 0.1, "is not shown to be worth more")]
)
def test_a_gain_that_is_not_there_is_not_claimed(good, low, high, said):
    curve = good.findings[0].decision_curve
    worse = estimate((low + high) / 2, low, high)
    points = tuple(point.model_copy(update={"over_best_default": worse}) for point in curve.points)
    changed_curve = with_result(good, decision_curve=curve.model_copy(update={"points": points}))
    assert said in text_of(made(changed_curve).body)


def test_a_threshold_that_the_films_do_not_support_is_not_marked():
    found = changed(threshold=0.999999)
    body = text_of(made(found).body)
    assert "outside the range of thresholds that these films support" in body
    assert "threshold in use</text>" not in str(made(found).body)
    assert "No threshold is in use" in text_of(made(changed(threshold=None)).body)


def test_scores_that_are_no_probabilities_say_so():
    truth, labels = logits()
    found = made(evaluated(labels, truth))
    body = text_of(found.body)
    assert "they are no probabilities" in body
    assert "none of them may be read as a chance" in body
    assert "There is no decision curve" in body
    assert "<svg" not in found.body
    assert not found.tables


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_leaves_the_page_whole(label):
    found = made(evaluated([label] * 40, np.linspace(0.1, 0.9, 40)))
    body = text_of(found.body)
    assert "There is no version at your prevalence" in body
    assert "There is no decision curve" in body


def test_few_films_leave_the_page_whole():
    found = made(evaluated([0, 1, 0], [0.2, 0.7, 0.4]))
    assert "only 1 films in one class" in text_of(found.body)


def test_the_local_prevalence_is_the_one_asked_for(good):
    found = made(changed(prevalence=0.03))
    body = text_of(found.body)
    share = 100 * logits()[1].mean()
    assert "At your prevalence of 3.0 %" in body
    assert f"In these films {share:.1f}" in body
    rows = cells(found, "calibration-s1f1-local")
    adjusted, plain = rows["Observed / expected"]["adjusted"].value, rows["Observed / expected"]["as_they_are"].value
    assert plain < 0.2
    assert abs(adjusted - 1) < 0.2


def test_axes_end_near_the_groups_only_where_scores_are_small(good):
    assert reach([good.findings[0].calibration]) == 1
    small = changed(shift=-4.0).findings[0].calibration
    end = reach([small])
    assert max(found.mean_score for found in small.bins) < end <= 1


@pytest.mark.parametrize(
    ("low", "said"), [(0.25, "25.0"), (0.0123, "1.2"), (0.00123, "0.1"), (8e-5, "0.008"), (0.99995, "99.995")]
)
def test_a_threshold_is_never_printed_as_nothing_or_all(good, low, said):
    curve = good.findings[0].decision_curve.model_copy(update={"low": low})
    book = book_of(with_result(good, decision_curve=curve))
    shown = probability(book.tested[0].result.decision_curve, "low", words_for(book)).striptags()
    assert float(shown.split(" ")[0]) not in (0.0, 100.0)
    assert shown.startswith(said)


def test_several_evaluations_in_another_language_have_a_section_each(good):
    book = book_of(good, good)
    found = chapter(book, words_for(book, "vi"))
    assert [table.key for table in found.tables][::4] == ["reliability-s1f1", "reliability-s2f1"]
    assert str(found.body).count("<svg") == 6
    assert str(found.body).count('class="box"') == 1, "what net benefit means is told once"
