"""Worklists and screening arithmetic against closed forms and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ConfigError, EvaluationError
from pipelines.reading_time.screening import missed_per_10000, predictive_values, rule_out_share
from pipelines.reading_time.worklist import curve, worklist


def test_screening_arithmetic():
    found = predictive_values(0.1, 0.9, 0.9)
    assert (round(found.ppv, 7), round(found.npv, 7)) == (0.5, 0.9878049)
    assert predictive_values(0, 0.9, 1.0).ppv is None
    assert predictive_values(1, 1.0, 0.0).npv is None
    assert round(rule_out_share(0.372, 0.99, 0.471), 4) == 0.1815
    assert missed_per_10000(0.1, 0.9) == pytest.approx(100)
    with pytest.raises(ConfigError, match="specificity"):
        predictive_values(0.1, 0.9, 9)


def test_worklist_counts_by_hand():
    labels = [0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    scores = [0.1, 0.9, 0.8, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0]
    found = worklist(labels, scores)
    assert list(found.positions) == [1, 4]
    assert [(f.films, f.found) for f in found.at] == [(1, 1), (2, 1), (5, 2)]
    assert [f.arrival_share for f in found.at] == pytest.approx([0.1, 0.2, 0.5])
    assert [f.ideal_share for f in found.at] == pytest.approx([0.5, 1, 1])
    assert found.median_position == 0.25


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=40))
def test_worklist_agrees_with_sorting(films):
    labels, scores = [float(a) for a, _ in films], [float(b) for _, b in films]
    if not any(labels):
        with pytest.raises(EvaluationError, match="positive"):
            worklist(labels, scores)
        return
    order = sorted(range(len(films)), key=lambda i: (-scores[i], i))
    found = worklist(labels, scores)
    assert list(found.positions) == [place for place, i in enumerate(order, 1) if labels[i]]
    read, share = curve(found.positions, len(films))
    assert (read[0], share[0], read[-1], share[-1]) == (0, 0, 1, 1)
    assert (np.diff(share) >= 0).all()


def test_worklist_refuses_what_it_cannot_order():
    for labels, scores in (([1], [np.nan]), ([2], [0.1]), ([1, 0], [0.1])):
        with pytest.raises(EvaluationError):
            worklist(labels, scores)
