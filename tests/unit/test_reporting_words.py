"""Numbers and foreign text as the page prints them."""

import pytest

from pipelines.reporting import words
from pipelines.statistics.estimates import Estimate

NBSP = "\u00a0"


def estimate(value, low, high, **more):
    return Estimate(**({"value": value, "low": low, "high": high, "level": 0.95, "method": "m", "n": 3} | more))


def test_numbers_carry_interval_and_level():
    share = estimate(0.9077, 0.8098, 0.9654)
    assert words.percent(share) == f"90.8{NBSP}%"
    assert words.percent_interval(share) == f"95{NBSP}%{NBSP}CI 81.0–96.5{NBSP}%"
    assert words.number(share) == "0.908"
    assert words.interval(share) == f"95{NBSP}%{NBSP}CI 0.810–0.965"
    assert words.interval(estimate(-1.0, -2.0, 0.5), 1) == f"95{NBSP}%{NBSP}CI −2.0 to 0.5"
    assert words.number(estimate(-0.0001, -0.1, 0.1), 1) == "0.0"


def test_what_is_missing_says_why():
    missing = Estimate.absent("no positive films", method="m")
    assert words.percent(missing) == words.number(missing) == words.number(None) == "–"
    assert words.percent_interval(missing) == words.interval(missing) == "no positive films"
    assert words.interval(None) == "no such film in this scenario"
    assert words.change(None) == "–"


@pytest.mark.parametrize(("value", "text"), [(-33.64, "33.6 shorter"), (3.7, "3.7 longer"), (0.01, "no change")])
def test_change_has_a_direction(value, text):
    assert words.change(estimate(value, value - 1, value + 1)) == text


def test_text_from_files_is_cut_and_cleaned():
    assert words.plain("a\u202eb\x00c\n d\u200f") == "abc d"
    assert len(words.plain("x" * 10_000)) == words.MAX_TEXT
    assert words.plain("Bệnh viện Phổi") == "Bệnh viện Phổi"
    assert words.tally({"unknown": 4}) == ""
    assert words.tally({f"s{i}": 1 for i in range(9)}).endswith("and 3 more")
    assert words.films(1) == "1 film"
    assert words.films(1200) == "1,200 films"
    assert words.sentence_case("lung") == "Lung"
