"""Try another threshold, as the server writes it: stops, what the script gets, and reasons for what is absent."""

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.reporting.book import make_book
from pipelines.reporting.chapters.explore import amount_digits, chapter, share_digits
from pipelines.reporting.chapters.explore_data import (
    MOST_STOPS,
    Stop,
    digits_of,
    start_of,
    stops_of,
    thinned,
    threshold_digits,
)
from pipelines.reporting.language.language import language
from pipelines.reporting.printing import Words
from pipelines.statistics.estimates import Estimate
from tests.simulated_evaluations import simulated

OPERATING = 0.37


@pytest.fixture(scope="module")
def sim():
    thresholds = Thresholds(given={"tb": OPERATING}, a_posteriori={"tb": LockRule.parse("sensitivity=0.98")})
    return simulated(
        films=150, patients=150, positives={"tb": 50, "nodule": 40}, thresholds=thresholds, prevalence=0.05
    )


def changed(sim, **updates):
    """The book with fields of the first finding replaced; the second finding left out."""
    evaluation = sim.study.evaluation
    result = evaluation.findings[0].model_copy(update=updates)
    study = replace(sim.study, evaluation=evaluation.model_copy(update={"findings": (result,)}))
    return make_book((study,))


def made(book):
    return chapter(book, Words(language("en"), book))


def script_data(body, name="data"):
    return [json.loads(text) for text in re.findall(rf'class="explore-{name}">(.*?)</script>', str(body))]


def stops(n):
    nothing = (None, None)
    return tuple(Stop(i / n, n - i, n - i, nothing, nothing, nothing) for i in range(n))


def without(table, places):
    """A table without some of its rows, as an older file may have it."""

    def kept(values):
        return tuple(value for place, value in enumerate(values) if place not in places)

    bands = {
        name: band.model_copy(update={end: kept(getattr(band, end)) for end in ("value", "low", "high")})
        for name, band in ((name, getattr(table, name)) for name in ("sensitivity", "specificity", "flagged"))
    }
    lists = {name: kept(getattr(table, name)) for name in ("thresholds", "true_positive", "false_positive")}
    return table.model_copy(update={**bands, **lists})


def test_thinning_keeps_both_ends_and_named_thresholds():
    many = stops(1000)
    named = (many[1].threshold, many[501].threshold)
    kept = thinned(many, named)
    assert len(kept) <= MOST_STOPS
    assert len(kept) > MOST_STOPS - 10
    assert {many[0], many[1], many[501], many[-1]} <= set(kept)
    assert [stop.threshold for stop in kept] == sorted(stop.threshold for stop in kept)
    places = [many.index(stop) for stop in kept]
    assert max(b - a for a, b in pairwise(places)) <= 5
    assert thinned(many[:MOST_STOPS], ()) == many[:MOST_STOPS]


def test_every_threshold_of_the_table_is_a_stop_with_its_counts_and_intervals(sim):
    part = sim.book.tested[0]
    table = part.result.thresholds
    found, known = stops_of(part)
    assert [stop.threshold for stop in found] == list(table.thresholds)
    assert known == len(table.thresholds)
    place = table.thresholds.index(OPERATING)
    assert start_of(part, found) == place
    point = part.result.operating_point
    assert found[place].true_positive == point.counts.true_positive
    assert found[place].sensitivity == (point.sensitivity.low, point.sensitivity.high)
    assert found[place].specificity == (point.specificity.low, point.specificity.high)
    assert found[place].flagged == (point.flagged.low, point.flagged.high)


def test_a_table_without_the_operating_threshold_takes_its_row_from_the_operating_point(sim):
    table = sim.book.tested[0].result.thresholds
    book = changed(sim, thresholds=without(table, {table.thresholds.index(OPERATING)}))
    assert stops_of(book.tested[0]) == stops_of(sim.book.tested[0])
    assert script_data(made(book).body)[0]["threshold"].count(OPERATING) == 1


def test_what_the_script_gets_is_small_and_safe(sim):
    body = made(sim.book).body
    for data in script_data(body):
        assert len(json.dumps(data)) < 40_000
        assert len(data["threshold"]) <= MOST_STOPS
        assert data["interval"].startswith("95\N{NO-BREAK SPACE}% ")
        assert data["range"].startswith("90.25\N{NO-BREAK SPACE}% ")
    (shared,) = script_data(body, "words")
    assert (shared["decimal"], shared["group"], shared["percent"]) == (".", ",", "\N{NO-BREAK SPACE}%")
    assert shared["messages"]["to"] == "{low} to {high}"


def test_the_longest_table_is_thinned_to_40_kb(sim):
    n, rng = 2000, np.random.default_rng(0)
    part = sim.book.tested[0]

    def band(name):
        value, low, high = (tuple(map(float, rng.random(n))) for _ in range(3))
        return getattr(part.result.thresholds, name).model_copy(update={"value": value, "low": low, "high": high})

    thresholds = tuple(map(float, np.sort(rng.random(n))))
    counts = tuple(range(9_999_999, 9_999_999 - n, -1))
    bands = {name: band(name) for name in ("sensitivity", "specificity", "flagged")}
    lists = {"thresholds": thresholds, "true_positive": counts, "false_positive": counts}
    body = made(changed(sim, thresholds=part.result.thresholds.model_copy(update={**bands, **lists}))).body
    (text,) = re.findall(r'class="explore-data">(.*?)</script>', str(body))
    data = json.loads(text)
    assert len(text) <= 40_000
    assert data["known"] == n + 2  # with the operating and the other threshold
    assert len(data["threshold"]) > 0.9 * MOST_STOPS
    assert {OPERATING, part.result.other_points[0].threshold, thresholds[0], thresholds[-1]} <= set(data["threshold"])


def test_the_start_is_printed_from_the_files(sim):
    body = str(made(sim.book).body)
    point = sim.book.tested[0].result.operating_point
    for field, value in (
        ("sensitivity.value", point.sensitivity.value),
        ("local.ppv.value", point.local.ppv.value),
        ("programme.missed_per_100000.high", point.programme.missed_per_100000.high),
        ("counts.false_negative", point.counts.false_negative),
    ):
        assert f'<data value="{value!r}" data-from="1/evaluation:findings.0.operating_point.{field}"' in body
    assert 'data-from="1/reading_time:findings.0.effort.difference.with_ai.value"' in body
    assert "at a prevalence of <data" in body  # the reading room has its own: 5 %, not 10 %
    assert not script_data(body)[0]["minutes_at_start"]


def test_other_points_are_places_to_jump_to_and_their_labels_are_text(sim):
    other = sim.book.tested[0].result.other_points[0]
    hostile = other.model_copy(update={"label": "<script>alert(1)</script>"})
    book = changed(sim, other_points=(hostile,))
    body = str(made(book).body)
    place = sim.book.tested[0].result.thresholds.thresholds.index(other.threshold)
    assert f'data-stop="{place}"' in body
    assert "&lt;script&gt;alert" in body
    assert "<script>alert" not in body


@pytest.mark.parametrize(
    ("positives", "reason"),
    [(0, "No film with the finding was evaluated"), (20, "No film without the finding was evaluated")],
)
def test_one_class_gives_a_reason_and_no_script(positives, reason):
    sim = simulated(films=20, patients=20, positives={"tb": positives, "nodule": positives}, prevalence=None)
    found = made(sim.book)
    assert str(found.body).count(reason) == 2
    assert found.scripts == ()
    assert "explore-controls" not in found.body
    assert "<script" not in found.body


def test_a_table_with_one_threshold_gives_a_reason(sim):
    table = sim.book.tested[0].result.thresholds
    book = changed(sim, thresholds=without(table, set(range(1, len(table.thresholds)))))
    assert "fewer than two thresholds" in made(book).body


def test_without_an_operating_threshold_it_starts_where_sensitivity_reaches_90_percent(sim):
    part = sim.book.tested[1]
    found, _ = stops_of(part)
    start = start_of(part, found)
    positives = part.result.thresholds.positives
    assert found[start].true_positive / positives >= 0.9 > found[start + 1].true_positive / positives
    assert "There is no threshold in use." in made(sim.book).body


def test_without_reading_times_their_absence_is_said(sim):
    book = make_book((replace(sim.study, reading_time=None),))
    body = made(book).body
    assert str(body).count("Reader time is absent") == 2
    assert 'data-row="with_ai"' not in body
    assert script_data(body)[0]["seconds"] is None


@pytest.mark.parametrize(("share", "digits"), [(0.95, 0), (0.9025, 2), (0.1, 0), (0.005, 1), (0.00071, 3), (1 / 3, 4)])
def test_a_level_has_the_decimals_it_needs(share, digits):
    assert digits_of(share) == digits


@pytest.mark.parametrize(
    ("value", "high", "digits"), [(0.0, 1088.8, 0), (12.3, 99.9, 1), (-130.0, -99.0, 0), (5.0, None, 1)]
)
def test_people_and_minutes_lose_their_decimals_from_100_on(value, high, digits):
    bounds = {"low": value if high is not None else None, "high": high}
    assert amount_digits(Estimate(value=value, **bounds, level=0.95, method="", n=1, why="none")) == digits


@pytest.mark.parametrize(("value", "digits"), [(0.05, 2), (0.1, 1), (0.9, 1), (0.998, 2)])
def test_predictive_values_near_the_ends_have_two_decimals(value, digits):
    assert share_digits(Estimate(value=value, low=None, high=None, level=0.95, method="", n=1, why="none")) == digits


@pytest.mark.parametrize(
    ("threshold", "written"),
    [(0.99996, "0.99996"), (0.17259, "0.1726"), (1.0, "1"), (3.14159, "3.142"), (-0.5, "−0.5")],
)
def test_a_threshold_just_below_1_is_not_written_as_1(threshold, written):
    assert language("en").significant(threshold, threshold_digits(threshold)) == written
