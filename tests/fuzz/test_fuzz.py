"""Mutated films are refused for a reason, or shown as a second reader shows them: none crashes, hangs, leaks or lies.

CXR_FUZZ_INPUTS inputs of each family are read (default 150), from number CXR_FUZZ_START on (default 0); the same
numbers are the same inputs. `benchmarks/fuzz.py` reads more and prints a table.
"""

import os
from collections.abc import Iterator

import numpy as np
import pytest

from tests.fuzz.mutate import mutated
from tests.fuzz.reference import Refused, readings
from tests.fuzz.runner import VERDICTS, Judge, Score
from tests.fuzz.seeds import FAMILIES, seeds

INPUTS = int(os.environ.get("CXR_FUZZ_INPUTS", "150"))
START = int(os.environ.get("CXR_FUZZ_START", "0"))


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as process:
        yield process


@pytest.mark.timeout(30 + INPUTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_mutated_films(judge: Judge, family: str) -> None:
    score = judge.score(family, START, INPUTS)
    assert score.failures == []
    assert sum(score.tally[verdict] for verdict in VERDICTS) == INPUTS
    # Mutations that everything refuses, or that nothing notices, would test nothing.
    assert 0.05 * INPUTS < score.tally["agreed"] < 0.95 * INPUTS
    assert score.tally["refused"] > 0.1 * INPUTS
    assert score.tally["alone"] < 0.1 * INPUTS


@pytest.mark.parametrize("family", FAMILIES)
def test_seeds_are_shown_as_the_reference_shows_them(family: str) -> None:
    for data in seeds(family):
        found = readings(data)
        for low, high in found:
            assert low.shape == (80, 72)
            assert 0 <= low.min() <= high.max() <= 1 + 1e-9
            assert np.ptp(low) > 0.25


@pytest.mark.parametrize("family", FAMILIES)
def test_inputs_are_reproducible(family: str) -> None:
    first = [mutated(family, k) for k in range(20)]
    assert first == [mutated(family, k) for k in range(20)]
    assert len(set(first)) > 15


def test_the_reference_refuses_what_is_no_film() -> None:
    for data in (b"", b"not a film", b"\x89PNG\r\n\x1a\nnothing", seeds("explicit")[0][:300]):
        with pytest.raises(Refused):
            readings(data)


def test_a_judge_that_dies_is_counted_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if input 3 ended the process: it is one crash, all others are judged."""
    with Judge() as judge:
        asked: list[tuple[int, int]] = []
        real = judge._ask

        def ask(request: dict) -> dict | str:
            asked.append((request["start"], request["count"]))
            if request["start"] <= 3 < request["start"] + request["count"]:
                (judge.scratch / "at").write_text("3 reader")
                return "crash"
            return real(request)

        monkeypatch.setattr(judge, "_ask", ask)
        score: Score = judge.score("explicit", 0, 10)
    assert asked == [(0, 10), (0, 3), (4, 6)]
    assert score.failures[0] == (3, "crash")
    assert sum(score.tally.values()) == 10
