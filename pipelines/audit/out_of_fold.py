"""Out-of-fold probabilities: every film is scored by a regression that has not seen it, its patient or its copies.

Standardisation and L2 logistic regression on frozen features. Classes are not reweighted: confident learning compares
each probability with the mean of its class, so an unequal number of films does no harm, and reweighted probabilities
would no longer be probabilities. The strength of the penalty is chosen within the training folds by the log loss: with
more features than films, a fixed weak one would learn wrong labels by heart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import EvaluationError
from pipelines.statistics.arrays import Bools, Floats, one_class

STRENGTHS: Final = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Inverse penalties tried, strongest penalty first; of equally good ones the strongest is taken."""
_DEFAULT_STRENGTH: Final = 1e-3
"""Where there are too few films to choose."""
_INNER_FOLDS: Final = 3
_CHOOSING_FILMS: Final = 4000
"""The strength is chosen on about this many films at most: more would not change it."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class OutOfFold:
    """What the folds say."""

    probability: Floats
    """``[n]`` of the label 1."""
    fold: Rows
    """``[n]``, from 1."""
    strengths: tuple[float, ...]
    """``[folds]``: inverse penalty of each fold's regression."""


def out_of_fold(features: Floats, labels: Bools, groups: Rows, *, folds: int, seed: int) -> OutOfFold:
    """Score every film by a regression fitted on the other folds.

    Args:
        features: ``[n, d]``.
        labels: ``[n]``.
        groups: ``[n]``: films of one group are in one fold.
        folds: 2 or more.
        seed: of the dealing.

    Raises:
        EvaluationError: one class only, or a class in fewer groups than folds.
    """
    _require_films(labels, groups, folds)
    probability, fold = np.empty(len(labels)), np.zeros(len(labels), dtype=np.int64)
    strengths = []
    for number, (train, test) in enumerate(_dealt(labels, groups, folds, seed), start=1):
        if why := one_class(labels[train]):
            raise EvaluationError(f"fold {number} cannot be scored: {why} outside it; ask for other --folds or --seed.")
        strength = _strength(features[train], labels[train], groups[train], seed)
        probability[test] = _probabilities(features, labels, train, test, strength)
        fold[test] = number
        strengths.append(strength)
    return OutOfFold(probability, fold, tuple(strengths))


def _require_films(labels: Bools, groups: Rows, folds: int) -> None:
    if why := one_class(labels):
        raise EvaluationError(f"labels cannot be audited: {why}.")
    for label in (1, 0):
        count = len(np.unique(groups[labels == label]))
        if count < folds:
            raise EvaluationError(
                f"{folds} folds need films labelled {label} from at least {folds} patients (or groups of copies), "
                f"found {count}; ask for fewer --folds, or bring out-of-fold --predictions."
            )


def _dealt(labels: Bools, groups: Rows, folds: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    from sklearn.model_selection import StratifiedGroupKFold

    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    yield from dealer.split(np.zeros((len(labels), 1)), labels.astype(int), groups)


def _probabilities(features: Floats, labels: Bools, train: Rows, test: Rows, strength: float) -> Floats:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features[train])
    regression = LogisticRegression(C=strength, max_iter=5000)
    regression.fit(scaler.transform(features[train]), labels[train].astype(int))
    return np.asarray(regression.predict_proba(scaler.transform(features[test]))[:, 1], dtype=np.float64)


def _strength(features: Floats, labels: Bools, groups: Rows, seed: int) -> float:
    """The inverse penalty with the least log loss on films that were left out."""
    parts = -(-len(labels) // _CHOOSING_FILMS)
    if parts > 1:
        some = next(iter(_dealt(labels, groups, parts, seed)))[1]
        features, labels, groups = features[some], labels[some], groups[some]
    fewest = min(len(np.unique(groups[labels == label])) for label in (False, True))
    if fewest < _INNER_FOLDS:
        return _DEFAULT_STRENGTH
    inner = list(_dealt(labels, groups, _INNER_FOLDS, seed))
    if any(one_class(labels[train]) for train, _ in inner):
        return _DEFAULT_STRENGTH
    losses = [sum(_loss(features, labels, train, test, each) for train, test in inner) for each in STRENGTHS]
    return STRENGTHS[int(np.argmin(losses))]


def _loss(features: Floats, labels: Bools, train: Rows, test: Rows, strength: float) -> float:
    chance = np.clip(_probabilities(features, labels, train, test, strength), 1e-12, 1 - 1e-12)
    return float(-np.log(np.where(labels[test], chance, 1 - chance)).sum())
