"""Confident learning for two classes: how many labels are probably wrong, and which.

A film counts as *confidently* of a class when its probability of that class reaches the mean that films labelled so
have. What is labelled one way and confidently the other way is counted; the counts, scaled so that each label keeps its
films, estimate the joint distribution of given and true labels.

With two classes, the normalised margin of a film equals its self-confidence: (p - (1 - p) + 1) / 2 = p. So there is one
ranking. It holds across the classes too: where labels are wrong with one chance whatever the class, the odds that one
is wrong are that chance's times (1 - p) / p.

Source: Northcutt, Jiang & Chuang, J. Artif. Intell. Res. 70 (2021) 1373. Written here because two classes need few
lines; the library of these authors, cleanlab, is what the tests compare every number with.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.statistics.arrays import Bools, Floats, labels_and_scores
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.kernels import Weights
from pipelines.statistics.resampling import Clusters, Plan, resample

Ints = NDArray[np.int64]

_TIE: Final = 1e-6
"""Probabilities closer than this are equal."""
METHOD: Final = "confident learning, from out-of-fold probabilities taken as they are"


@dataclass(frozen=True)
class Noise:
    """What confident learning finds; index 0 is the label 0, index 1 the label 1."""

    thresholds: Floats
    """``[2]``: mean probability of a class among the films labelled so; infinite where there is none."""
    counts: Floats
    """``[given, true]``: films that are confidently of a class; at least 1 on the diagonal."""
    joint: Floats
    """``[given, true]``: estimated shares of all films; sums to 1."""
    self_confidence: Floats
    """``[n]``: probability of the given label."""
    likely_wrong: Bools
    """``[n]``: confidently of the other class, and more probable so than as labelled."""

    @property
    def rank(self) -> Ints:
        """``[n]``: place of each film, 1 is the most doubtful; the earlier row first among equals."""
        return _places(self.self_confidence)

    def rank_within(self, labels: Bools) -> Ints:
        """``[n]``: place of each film among those of its label."""
        places = np.empty(len(labels), dtype=np.int64)
        for given in (False, True):
            places[labels == given] = _places(self.self_confidence[labels == given])
        return places


def _places(values: Floats) -> Ints:
    places = np.empty(len(values), dtype=np.int64)
    places[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    return places


def find_noise(labels: Bools, probability: Floats) -> Noise:
    """Compare labels with out-of-fold probabilities.

    Args:
        labels: ``[n]``, 1 or 0.
        probability: ``[n]`` of the label 1, in [0, 1].

    Raises:
        EvaluationError: labels or probabilities that are none.
    """
    truth, chance = labels_and_scores(labels, probability)
    weights = np.ones(len(truth))
    both = np.column_stack([1 - chance, chance])
    rows, given = np.arange(len(truth)), truth.astype(int)
    thresholds = _thresholds(given, both, weights)
    confident = _confident_class(both, thresholds)
    counts = _counts(given, confident, weights)
    self_confidence = both[rows, given]
    return Noise(
        thresholds=thresholds,
        counts=counts,
        joint=_joint(counts, np.bincount(given, minlength=2).astype(float)),
        self_confidence=self_confidence,
        likely_wrong=(confident == 1 - given) & (both[rows, 1 - given] > self_confidence + _TIE),
    )


def _thresholds(given: Ints, both: Floats, weights: Floats) -> Floats:
    found = np.full(2, np.inf)
    for label in (0, 1):
        these = weights * (given == label)
        if these.sum() > 0:
            found[label] = max(float(these @ both[:, label] / these.sum()), 2 * _TIE)
    return found


def _confident_class(both: Floats, thresholds: Floats) -> Ints:
    """``[n]``: 0, 1, or -1 for films that are confidently of no class; of two classes the more probable one."""
    reached = both >= thresholds - _TIE
    several = reached.all(axis=1)
    found = np.where(several, both.argmax(axis=1), reached.argmax(axis=1))
    return np.where(reached.any(axis=1), found, -1)


def _counts(
    given: Ints,
    confident: Ints,
    weights: Floats,
) -> Floats:
    known = confident >= 0
    cells = np.bincount(2 * given[known] + confident[known], weights=weights[known], minlength=4).reshape(2, 2)
    np.fill_diagonal(cells, np.maximum(cells.diagonal(), 1.0))
    return np.asarray(cells, dtype=np.float64)


def _joint(counts: Floats, films: Floats) -> Floats:
    """Counts scaled so that each row has the films of its label, and all sums to 1."""
    scaled = counts / counts.sum(axis=1, keepdims=True) * films[:, None]
    return np.asarray(scaled / scaled.sum(), dtype=np.float64)


def _shares(given: Ints, both: Floats, weights: Floats) -> list[float]:
    """Share of wrong labels among those that say 0, those that say 1, and all; NaN where a label is missing."""
    films = np.bincount(given, weights=weights, minlength=2).astype(np.float64)
    if not films.all():
        return [np.nan] * 3
    joint = _joint(_counts(given, _confident_class(both, _thresholds(given, both, weights)), weights), films)
    return [joint[0, 1] / joint[0].sum(), joint[1, 0] / joint[1].sum(), joint[0, 1] + joint[1, 0]]


def wrong_shares(labels: Bools, probability: Floats, groups: Clusters, plan: Plan, level: float) -> list[Estimate]:
    """Estimated share of wrong labels among the films labelled 0, those labelled 1, and all.

    The probabilities are not made anew for each replicate: the interval holds what the choice of films does, not what
    another network or other folds would say.

    Args:
        labels: ``[n]``.
        probability: ``[n]``.
        groups: which films are drawn together.
        plan: replicates and seed.
        level: confidence level.
    """
    given, both = labels.astype(int), np.column_stack([1 - probability, probability])

    def statistic(weights: Weights) -> Floats:
        return np.array([_shares(given, both, row[groups.index].astype(np.float64)) for row in weights])

    sample = resample(statistic, groups.count, plan)
    films = (int((~labels).sum()), int(labels.sum()), len(labels))
    why = "one class only"
    return [sample.estimate(j, level=level, n=n, method=METHOD, why=why) for j, n in enumerate(films)]
