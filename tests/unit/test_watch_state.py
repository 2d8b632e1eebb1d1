"""When a file in a watched folder is complete, and what becomes of those that are not: on a clock made of numbers."""

import pytest

from pipelines.inference.watch.folder import Look
from pipelines.inference.watch.state import GONE, Arrivals, Complete


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals(settle=2, give_up=60)


def look(**states: str) -> Look:
    return Look(states=dict(states))


def complete(arrivals: Arrivals, key: str, state: str, now: float) -> Complete:
    assert arrivals.see(look(**{key: state}), now) == []
    (film,) = arrivals.see(look(**{key: state}), now + 2)
    return film


def test_a_file_is_complete_when_it_stood_still(arrivals):
    assert arrivals.see(look(film="10:1"), 0) == []
    assert arrivals.see(look(film="10:1"), 1.9) == []
    assert arrivals.see(look(film="20:2"), 2.1) == []  # grew: counts from here
    assert arrivals.see(look(film="20:2"), 4.0) == []
    assert arrivals.waiting == 1
    assert arrivals.see(look(film="20:2"), 4.2) == [Complete("film", "film", "20:2")]
    assert arrivals.see(look(film="20:2"), 9) == []  # on its way: not twice
    assert (arrivals.waiting, arrivals.under_way) == (1, 1)
    arrivals.finish("film", "20:2")
    assert arrivals.see(look(film="20:2"), 99) == []
    assert (arrivals.waiting, arrivals.under_way) == (0, 0)


def test_many_at_once_come_in_natural_order(arrivals):
    states = {f"film{number}": "1:1" for number in (10, 2, 1)}
    arrivals.see(look(**states), 0)
    assert [film.key for film in arrivals.see(look(**states), 2)] == ["film1", "film2", "film10"]


def test_a_replaced_file_is_a_new_film(arrivals):
    arrivals.finish(complete(arrivals, "film", "1:1", 0).key, "1:1")
    second = complete(arrivals, "film", "1:2", 10)
    assert (second.image_id, second.final) == ("film#2", False)
    arrivals.finish("film", "1:2")
    assert complete(arrivals, "film", "3:3", 20).image_id == "film#3"


def test_a_deleted_film_with_a_row_changes_nothing(arrivals):
    arrivals.finish(complete(arrivals, "film", "1:1", 0).key, "1:1")
    assert arrivals.see(look(), 100) == []
    assert arrivals.see(look(), 200) == []
    assert arrivals.see(look(film="1:1"), 300) == []  # the same file again
    assert arrivals.see(look(film="1:1"), 400) == []


def test_an_incomplete_film_waits_for_its_end_or_for_the_last_look(arrivals):
    complete(arrivals, "film", "5:1", 0)
    arrivals.hold("film", "5:1", 10)
    assert arrivals.see(look(film="5:1"), 69) == []
    assert arrivals.see(look(film="5:1"), 70) == [Complete("film", "film", "5:1", final=True)]
    arrivals.hold("film", "5:1", 70)
    arrivals.see(look(film="9:2"), 71)
    assert arrivals.see(look(film="9:2"), 73) == [Complete("film", "film", "9:2")]


def test_a_film_that_was_complete_and_vanished_is_still_owed(arrivals):
    complete(arrivals, "film", "5:1", 0)
    arrivals.hold("film", "5:1", 10)
    assert arrivals.see(look(), 20) == []
    assert arrivals.see(look(), 79) == []
    assert arrivals.see(look(), 80) == [Complete("film", "film", GONE, final=True)]


def test_a_file_that_vanished_before_it_stood_still_is_nobodys_film(arrivals):
    arrivals.see(look(film="1:1"), 0)
    assert arrivals.see(look(), 1) == []
    assert arrivals.waiting == 0


def test_a_folder_that_is_away_loses_nothing(arrivals):
    complete(arrivals, "film", "5:1", 0)
    arrivals.hold("film", GONE, 3)  # its reading failed, because the drive was gone
    for now in (10, 100, 1000):
        assert arrivals.see(look(), now, away=lambda _: True) == []
    assert arrivals.see(look(film="5:1"), 1001) == []
    assert arrivals.see(look(film="5:1"), 1003) == [Complete("film", "film", "5:1")]


def test_a_film_that_changed_on_its_way_is_seen_anew(arrivals):
    complete(arrivals, "film", "5:1", 0)
    arrivals.put_back("film")
    arrivals.see(look(film="9:2"), 10)
    assert arrivals.see(look(film="9:2"), 12) == [Complete("film", "film", "9:2")]
    arrivals.finish("film", "9:2")
    assert arrivals.done["film"].rows == 1


def test_ids_are_unique_whatever_files_are_called(arrivals):
    arrivals.finish(complete(arrivals, "film#2", "1:1", 0).key, "1:1")
    arrivals.finish(complete(arrivals, "film", "1:1", 10).key, "1:1")
    assert complete(arrivals, "film", "2:2", 20).image_id == "film#3"
    arrivals.finish(complete(arrivals, "a\udcff", "1:1", 30).key, "1:1")
    assert complete(arrivals, r"a\xff", "1:1", 40).image_id == r"a\xff#2"


def test_what_an_earlier_run_knew(arrivals):
    arrivals.remember("read", "read", None)
    arrivals.remember("read", "read", "1:1")
    arrivals.remember("owed", "owed", None)
    assert arrivals.waiting == 1
    assert arrivals.see(look(read="1:1"), 0) == []
    assert arrivals.is_settled("read")
    assert arrivals.see(look(read="1:1"), 60) == [Complete("owed", "owed", GONE, final=True)]
    assert complete(arrivals, "read", "2:2", 70).image_id == "read#2"
