"""Accuracy: counts, a thousand people, the point's box, and where the threshold is from."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.evaluation.thresholds.noninferiority import noninferiority_to_reference
from pipelines.evaluation.thresholds.programme import programme_from_counts
from pipelines.reporting.chapters.accuracy import chapter
from pipelines.reporting.charts.icons import KINDS, people_of, whole_people
from pipelines.reporting.charts.roc import uncertainty_box
from pipelines.statistics.accuracy.ratios import Prevalence
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import Confusion
from tests.tested_films import HOSTILE, changed, evaluated, films, locked_at_half, plain_text, printed, read, usual

NAMES = ("true_positive", "false_negative", "false_positive", "true_negative")


def table(found, ending):
    return next(table for table in found.tables if table.key.endswith(ending))


def pictures(body):
    return re.findall(r"<svg.*?</svg>", str(body), re.S)


def test_the_two_by_two_table_is_counted_by_hand():
    found = read(chapter, usual())
    rows = [[cell.value for cell in row[1:]] for row in table(found, "counts").rows]
    assert rows == [[45, 30, 75], [5, 120, 125], [50, 150, 200]]
    text = plain_text(found.body)
    assert "Of 50 films with the finding, the system flagged 45 and missed 5." in text
    assert "Of 150 films without it, it flagged 30 (false alarms) and left 120 unflagged." in text


def test_a_thousand_people_by_hand():
    found = read(chapter, evaluated(films(45, 5, 30, 120), prevalence=0.02))
    # Of 1,000 people 20 have it: 18 found, 2 missed; of 980 without it one in five is flagged.
    people = [row[1].value for row in table(found, "people").rows]
    assert people == pytest.approx([18, 2, 196, 784])
    picture = next(svg for svg in pictures(found.body) if svg.count("a5 5 0 1 0 10 0") > 1)
    drawn = [picture.count(mark) for mark in ("a5 5 0 1 0 10 0", "l8 8m-8 0", "l4 8h-8z", "h4v4h-4z")]
    assert drawn == [18, 2, 196, 784]
    assert "18 with the finding and flagged, 2.0 with the finding and missed" in found.body
    assert len(picture) < 60_000


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 40)] * 4), st.floats(0.0005, 0.9))
def test_people_are_whole_and_a_thousand(counts, prevalence):
    programme = programme_from_counts(Confusion(**dict(zip(NAMES, counts, strict=True))), Prevalence(prevalence))
    people = people_of(programme)
    if 0 in (counts[0] + counts[1], counts[2] + counts[3]):
        assert people is None
        return
    assert sum(people) == 1000
    exact = [getattr(programme, kind).value / 100 for kind in KINDS]
    assert all(abs(whole - share) < 1 for whole, share in zip(people, exact, strict=True))


def test_remainders_go_to_the_largest():
    assert whole_people([4.2, 0.5, 199.9, 795.4]) == (4, 1, 200, 795)
    assert whole_people([0.0, 100.0, 0.0, 900.0]) == (0, 100, 0, 900)


def test_the_box_is_made_of_the_two_intervals():
    sensitivity, specificity = (
        Estimate(value=v, low=low, high=high, level=0.95, method="m", n=9)
        for v, low, high in ((0.9, 0.8, 0.95), (0.7, 0.6, 0.85))
    )
    sides = uncertainty_box(sensitivity, specificity)
    assert sides[0] == pytest.approx((0.15, 0.4))
    assert sides[1] == pytest.approx((0.8, 0.95))
    assert uncertainty_box(Estimate.absent("no films", method="m"), specificity) is None


def test_every_rate_is_there_with_its_interval():
    found = read(chapter, evaluated(films(45, 5, 30, 120), prevalence=0.02))
    rates = {row[0].text: row[1] for row in table(found, "rates").rows}
    assert rates["Sensitivity"].value == pytest.approx(45 / 50)
    assert rates["PPV in these films"].value == pytest.approx(45 / 75)
    assert rates["PPV at your prevalence"].value == pytest.approx(0.02 * 0.9 / (0.02 * 0.9 + 0.98 * 0.2))
    assert rates["NPV at your prevalence"].value == pytest.approx(0.98 * 0.8 / (0.98 * 0.8 + 0.02 * 0.1))
    assert rates["LR+"].value == pytest.approx(0.9 / 0.2)
    assert rates["LR−"].value == pytest.approx(0.1 / 0.8)
    assert all(cell.low is not None for name, cell in rates.items() if name != "Map in the right place")
    numbers = printed(found.body)
    assert numbers["1/evaluation:findings.0.operating_point.lr_positive.value"] == pytest.approx(4.5)


def test_fixed_sensitivities_are_called_a_posteriori():
    found = read(chapter, usual())
    fixed = table(found, "fixed")
    assert [row[0].value for row in fixed.rows] == [0.90, 0.95, 0.98]
    assert "a posteriori" in fixed.title


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"target_sensitivity": 0.9}, "the largest threshold whose sensitivity there is at least 90 %"),
        ({"target_sensitivity": 0.995}, "the largest threshold whose sensitivity there is at least 99.5 %"),
        ({"rule": "specificity=0.7"}, "the smallest threshold whose specificity there is at least 70 %"),
        ({"rule": "cost=10@0.05"}, "a missed case costs as much as 10 false alarms"),
    ],
)
def test_a_locked_threshold_says_where_when_and_how(rule, said):
    evaluation = usual()
    point = evaluation.findings[0].operating_point.model_copy(update={"locked": locked_at_half(**rule)})
    text = plain_text(read(chapter, changed(evaluation, operating_point=point)).body)
    assert f"{said}, chosen on a val." in text
    assert "It was locked on January 31, 2026." in text
    assert "It was chosen on 6 films, 3 of them with the finding." in text


def test_thresholds_that_are_not_locked_say_so():
    text = plain_text(read(chapter, evaluated(films(45, 5, 30, 120), threshold=0.5)).body)
    assert "given by the user and not locked" in text
    rule = {"tb": LockRule.parse("sensitivity=0.98")}
    found = read(chapter, evaluated(films(45, 5, 30, 120), a_posteriori=rule))
    (row,) = table(found, "points").rows
    assert row[0].text.startswith("chosen on the films evaluated (a posteriori)")
    assert row[3].value >= 0.98


@pytest.mark.parametrize(("k", "said"), [(59, "shown"), (50, "not shown"), (20, "worse")])
def test_non_inferiority_in_words(k, said):
    evaluation = usual()
    judged = noninferiority_to_reference(k, 60, 0.9, 0.1)
    point = evaluation.findings[0].operating_point.model_copy(update={"non_inferiority": judged})
    body = read(chapter, changed(evaluation, operating_point=point)).body
    assert f"<strong>{said}</strong>" in body
    assert printed(body)["1/evaluation:findings.0.operating_point.non_inferiority.bar"] == pytest.approx(0.8)


def test_records_of_earlier_versions_have_no_picture_of_people():
    evaluation = usual()
    point = evaluation.findings[0].operating_point
    older = point.programme.model_copy(update={"false_alarms_per_100000": None, "cleared_per_100000": None})
    evaluation = changed(evaluation, operating_point=point.model_copy(update={"programme": older}))
    found = read(chapter, evaluation)
    assert "made by an earlier version" in plain_text(found.body)
    assert not [table for table in found.tables if table.key.endswith("people")]


@pytest.mark.parametrize(
    ("counts", "how", "said"),
    [
        ((20, 0, 0, 0), {}, "There is no ROC curve"),
        ((0, 0, 3, 9), {}, "There is no picture of 1,000 people: these films do not give both"),
        ((45, 5, 30, 120), {"locked": False}, "No threshold was locked or given"),
        ((1, 0, 0, 1), {}, "Of 1 film with the finding"),
    ],
)
def test_what_is_missing_is_said(counts, how, said):
    found = read(chapter, evaluated(films(*counts), **how))
    assert said in plain_text(found.body)
    assert not re.search(r"\b(None|nan)\b", plain_text(found.body))


def test_pictures_are_sound_small_and_have_ids_of_their_own():
    evaluation = evaluated(films(45, 5, 30, 120, site=HOSTILE))
    body = read(chapter, changed(evaluation, name=HOSTILE), evaluated(films(40, 10, 20, 90))).body
    shown = pictures(body)
    assert len([svg for svg in shown if len(svg) > 2000]) == 6
    for svg in shown:
        assert len(svg) < 60_000
        ET.fromstring(re.sub(r"xlink:", "", svg))
    ids = re.findall(r'\bid="([^"]*)"', str(body))
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]*)', str(body)))
    assert references <= set(ids)
    assert references
    assert "<script" not in body
