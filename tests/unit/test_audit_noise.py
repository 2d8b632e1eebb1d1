"""Confident learning on two classes, against cleanlab and against planted errors."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from pipelines.audit.noise import find_noise, wrong_shares
from pipelines.audit.out_of_fold import OutOfFold, out_of_fold
from pipelines.audit.study import MEANING
from pipelines.errors import EvaluationError
from pipelines.statistics.resampling import Clusters, Plan

Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def _scored(seed: int, n: int, share: float, distance: float) -> Arrays:
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < share
    logits = math.log(share / (1 - share)) + distance * (labels - 0.5) * 2 + rng.normal(size=n) * math.sqrt(distance)
    return labels, 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize(
    ("seed", "n", "share", "distance"), [(1, 400, 0.5, 2.0), (2, 300, 0.1, 1.0), (3, 60, 0.3, 0.2)]
)
def test_every_number_is_that_of_cleanlab(seed: int, n: int, share: float, distance: float) -> None:
    count = pytest.importorskip("cleanlab.count", reason="cleanlab, the oracle of this test, is not installed")
    from cleanlab.filter import find_label_issues
    from cleanlab.internal.util import round_preserving_row_totals
    from cleanlab.rank import get_label_quality_scores

    labels, probability = _scored(seed, n, share, distance)
    given, both = labels.astype(int), np.column_stack([1 - probability, probability])
    noise = find_noise(labels, probability)
    theirs = count.get_confident_thresholds(given, both)
    np.testing.assert_allclose(noise.thresholds, theirs, rtol=1e-14)  # means summed in another order
    confident = count.compute_confident_joint(given, both, calibrate=False)
    np.testing.assert_array_equal(noise.counts, confident)
    # cleanlab rounds the scaled counts to whole films, and makes shares of those.
    whole = round_preserving_row_totals(noise.joint * n)
    np.testing.assert_array_equal(whole / n, count.estimate_joint(given, both))
    for method in ("self_confidence", "normalized_margin"):
        theirs = get_label_quality_scores(given, both, method=method)
        np.testing.assert_allclose(noise.self_confidence, theirs, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(np.argsort(noise.rank), np.argsort(noise.self_confidence, kind="stable"))
    flagged = find_label_issues(given, both, filter_by="confident_learning")
    np.testing.assert_array_equal(noise.likely_wrong, flagged)
    assert 0 < flagged.sum() < n / 2


def test_a_small_case_worked_out_by_hand() -> None:
    labels = np.array([True, True, True, False, False, False])
    noise = find_noise(labels, np.array([0.90, 0.85, 0.05, 0.20, 0.12, 0.88]))
    # Mean of 0.90, 0.85, 0.05; mean of 0.80, 0.88, 0.12.
    np.testing.assert_allclose(noise.thresholds, [0.6, 0.6])
    np.testing.assert_array_equal(noise.counts, [[2, 1], [1, 2]])
    np.testing.assert_allclose(noise.joint, [[2 / 6, 1 / 6], [1 / 6, 2 / 6]])
    assert noise.likely_wrong.tolist() == [False, False, True, False, False, True]
    assert noise.rank.tolist() == [6, 4, 1, 3, 5, 2]
    assert noise.rank_within(labels).tolist() == [3, 2, 1, 2, 3, 1]


def _planted(seed: int = 5) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Two Gaussian classes of 200 films in 20 dimensions, of which 20 labels (5 %) are flipped."""
    rng = np.random.default_rng(seed)
    truth = np.arange(400) % 2 == 1
    features = rng.normal(size=(400, 20)) + np.where(truth[:, None], 0.6, -0.6)
    flipped = np.zeros(400, dtype=bool)
    flipped[rng.choice(400, 20, replace=False)] = True
    return features, truth ^ flipped, flipped


def test_planted_errors_are_found() -> None:
    features, labels, flipped = _planted()
    said = out_of_fold(features, labels, np.arange(400), folds=5, seed=1)
    noise = find_noise(labels, said.probability)
    # By chance, one in twenty. The classes overlap by 0.4 % (Phi(-0.6 sqrt 20)): nearly all can be found.
    assert flipped[noise.rank <= 20].mean() >= 0.85
    assert flipped[noise.likely_wrong].mean() >= 0.8
    assert noise.likely_wrong[flipped].mean() >= 0.7
    *_, every = wrong_shares(labels, said.probability, Clusters.of(None, 400), Plan(500, 1), 0.95)
    assert every.value == pytest.approx(0.05, abs=0.02)
    assert every.low is not None
    assert every.high is not None
    assert every.low < 0.05 < every.high


@pytest.mark.parametrize(
    ("auroc", "share", "says"),
    [(0.98, 0.5, 0.02), (0.98, 0.19, 0.01), (0.9, 0.5, 0.10), (0.9, 0.19, 0.07), (0.8, 0.5, 0.21), (0.8, 0.19, 0.16)],
)
def test_right_labels_look_as_wrong_as_the_page_says(auroc: float, share: float, says: float) -> None:
    """Two normal distributions, their true posterior, no wrong label."""
    rng, distance = np.random.default_rng(1), float(norm.ppf(auroc)) * math.sqrt(2)
    labels = rng.random(100_000) < share
    logits = distance * rng.normal(size=100_000) + distance**2 * (labels - 0.5) + math.log(share / (1 - share))
    noise = find_noise(labels, 1 / (1 + np.exp(-logits)))
    assert noise.joint[0, 1] + noise.joint[1, 0] == pytest.approx(says, abs=0.006)
    assert f"{says:.2f}" in MEANING[2]


def test_the_same_seed_gives_the_same_folds_and_another_one_others() -> None:
    features, labels, _ = _planted()

    def deal(seed: int) -> OutOfFold:
        return out_of_fold(features, labels, np.arange(400), folds=4, seed=seed)

    first, again, other = deal(1), deal(1), deal(2)
    np.testing.assert_array_equal(first.probability, again.probability)
    np.testing.assert_array_equal(first.fold, again.fold)
    assert set(first.fold.tolist()) == {1, 2, 3, 4}
    assert (first.fold != other.fold).any()


def test_a_film_is_not_scored_by_its_copies() -> None:
    """Labels are noise; every film is there twice. Only a regression that saw the copy could know the label."""
    rng = np.random.default_rng(3)
    features, labels = np.repeat(rng.normal(size=(60, 80)), 2, axis=0), np.repeat(rng.random(60) < 0.5, 2)
    groups = np.repeat(np.arange(60), 2)
    said = out_of_fold(features, labels, groups, folds=5, seed=1)
    assert (said.fold[::2] == said.fold[1::2]).all()
    together = np.mean((said.probability > 0.5) == labels)
    apart = out_of_fold(features, labels, np.arange(120), folds=5, seed=1)
    assert together < 0.7 < np.mean((apart.probability > 0.5) == labels)


def test_probabilities_are_calibrated_in_the_large() -> None:
    """Classes are not reweighted: the mean probability is the share of positives."""
    features, labels, _ = _planted()
    keep = ~labels | (np.cumsum(labels) <= 40)
    said = out_of_fold(features[keep], labels[keep], np.arange(keep.sum()), folds=5, seed=1)
    assert said.probability.mean() == pytest.approx(labels[keep].mean(), abs=0.02)


def test_shares_are_drawn_by_group() -> None:
    """Each film five times: as one group of five the interval is that of the single films, not a narrower one."""
    labels, probability = _scored(8, 150, 0.4, 1.0)
    plan = Plan(400, 1, kind="percentile")
    one = wrong_shares(labels, probability, Clusters.of(None, 150), plan, 0.95)[2]
    five, values = np.repeat(labels, 5), np.repeat(probability, 5)
    grouped = wrong_shares(five, values, Clusters.of(np.repeat(np.arange(150), 5), 750), plan, 0.95)[2]
    loose = wrong_shares(five, values, Clusters.of(None, 750), plan, 0.95)[2]
    assert grouped.value == pytest.approx(one.value)
    assert (grouped.low, grouped.high) == pytest.approx((one.low, one.high))
    assert loose.high - loose.low < 0.7 * (one.high - one.low)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("labels", "groups", "says"),
    [
        (np.ones(20, bool), np.arange(20), "one class only: 20 positive and 0 negative films"),
        (np.arange(20) < 3, np.arange(20), "5 folds need films labelled 1 from at least 5 patients"),
        (np.arange(20) < 10, np.r_[np.zeros(10, int), np.arange(10)], "labelled 1 from at least 5 patients"),
    ],
)
def test_too_few_films_are_refused(labels: Any, groups: Any, says: str) -> None:
    with pytest.raises(EvaluationError, match=says):
        out_of_fold(np.zeros((20, 3)), labels, groups, folds=5, seed=1)
