"""Free-response and localisation ROC: does a mark lie on the lesion, and at what price in false marks?

A lesion counts from the score of the best rated mark that hits it; further marks on a lesion are neither hits nor false
positives; a mark that hits no lesion is a false positive (the conventions of LUNA16: Setio et al., Med. Image Anal. 42
(2017) 1). Because none of this depends on which films are drawn, marks are judged once, and a bootstrap replicate is
one pass over the scores.

The FROC curve is lesion sensitivity against false positives per image, with one corner per distinct score. Straight
lines join the corners (a point between two is attained on average by choosing one of their thresholds at random);
beyond the last false positive the curve is held at its last value. CPM is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2,
4 and 8 false positives per image (Niemeijer et al., IEEE Trans. Med. Imaging 30 (2011) 215).

The LROC curve takes the best rated mark of each film: share of lesion films above a threshold *and* marked on a lesion,
against share of normal films above it (Swensson, Med. Phys. 23 (1996) 1709). Its area is the probability that a lesion
film is both marked right and rated above a normal film, ties counting half. JAFROC's figure of merit is the probability
that a lesion is rated above the best mark of a normal film, ties and two absent marks counting half (Chakraborty &
Berbaum, Med. Phys. 31 (2004) 2313).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.froc_kernels import crossings_of, weighted_area, weighted_sums
from pipelines.statistics.kernels import Weights
from pipelines.statistics.resampling import Clusters, Statistic

RATES: Final = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False positives per image at which the CPM reads the curve."""
ONE_PER_IMAGE: Final = RATES.index(1.0)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Marked:
    """Marks of F films, judged against L lesions."""

    normal: Bools
    """``[F]``: films without a lesion."""
    lesion_film: Ints
    """``[L]``"""
    lesion_group: Ints
    """``[L]``: 0 … ``groups`` - 1, for example a size band."""
    groups: int
    lesion_score: Floats
    """``[L]``: score of the best mark that hits it; -inf where none does."""
    false_film: Ints
    """``[M]``: one entry per mark that hits no lesion."""
    false_score: Floats
    best_score: Floats
    """``[F]``: score of the best rated mark; -inf on a film without marks."""
    best_hit: Floats
    """``[F]``: whether that mark hits a lesion; where several marks share the best score, the share of them that do."""


def judge(
    normal: Bools,
    lesion_film: ArrayLike,
    mark_film: ArrayLike,
    mark_score: ArrayLike,
    pairs: tuple[ArrayLike, ArrayLike],
    *,
    lesion_group: ArrayLike | None = None,
    groups: int = 1,
) -> Marked:
    """Sort marks into hits, ignored marks and false positives.

    Args:
        normal: ``[F]``, films without a lesion.
        lesion_film: ``[L]``, the film of each lesion.
        mark_film: ``[M]``, the film of each mark.
        mark_score: ``[M]``, finite.
        pairs: (marks, lesions): every mark that hits a lesion, with that lesion; a mark that hits several lesions
            stands there once for each, and counts for each.
        lesion_group: ``[L]``, 0 … ``groups`` - 1; None = one group.
        groups: number of groups.
    """
    film, score = np.asarray(mark_film, dtype=np.int64), np.asarray(mark_score, dtype=np.float64)
    owner = np.asarray(lesion_film, dtype=np.int64)
    mark, lesion = (np.asarray(side, dtype=np.int64) for side in pairs)
    lesion_score = np.full(len(owner), -np.inf)
    np.maximum.at(lesion_score, lesion, score[mark])
    hit = np.zeros(len(film), dtype=bool)
    hit[mark] = True
    best = np.full(len(normal), -np.inf)
    np.maximum.at(best, film, score)
    top = score == best[film]
    tops = np.bincount(film[top], minlength=len(normal))
    right = np.bincount(film[top & hit], minlength=len(normal))
    return Marked(
        normal=np.asarray(normal, dtype=bool),
        lesion_film=owner,
        lesion_group=np.zeros(len(owner), np.int64) if lesion_group is None else np.asarray(lesion_group, np.int64),
        groups=groups,
        lesion_score=lesion_score,
        false_film=film[~hit],
        false_score=score[~hit],
        best_score=best,
        best_hit=right / np.maximum(tops, 1),
    )


def contains(points: Floats, boxes: Floats) -> Bools:
    """Whether each point ``[n, (x, y)]`` lies in its box ``[n, (x0, y0, x1, y1)]``; edges belong to the box."""
    x, y = points.T
    x0, y0, x1, y1 = boxes.T
    return np.asarray((x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1))


def intersection_over_union(a: Floats, b: Floats) -> Floats:
    """Common area over joint area of two boxes, row by row of ``[n, (x0, y0, x1, y1)]``; 0 where neither has area."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    joint = sum((box[:, 2:] - box[:, :2]).prod(axis=1) for box in (a, b)) - common
    return np.asarray(np.divide(common, joint, out=np.zeros_like(common), where=joint > 0), dtype=np.float64)


@dataclass(frozen=True)
class Curve:
    """Corners of a curve, from "no mark" to "every mark"."""

    thresholds: Floats
    """``[k]``, falling; the first is infinite."""
    x: Floats
    y: Floats


def froc_curve(marked: Marked, *, normal_films_only: bool = False) -> Curve:
    """Lesion sensitivity (y) against false positives per image (x), at every distinct score.

    Args:
        marked: at least one lesion.
        normal_films_only: count false positives on normal films, and divide by their number; else on all films.
    """
    false, images = marked.false_score, len(marked.normal)
    if normal_films_only:
        false, images = false[marked.normal[marked.false_film]], int(marked.normal.sum())
    hits = marked.lesion_score[np.isfinite(marked.lesion_score)]
    thresholds = np.unique(np.concatenate([false, hits]))[::-1]
    return Curve(
        thresholds=np.r_[np.inf, thresholds],
        x=np.r_[0, _at_least(false, thresholds)] / max(1, images),
        y=np.r_[0, _at_least(hits, thresholds)] / max(1, len(marked.lesion_score)),
    )


def lroc_curve(marked: Marked) -> Curve:
    """Share of lesion films marked right (y) against share of normal films marked (x), by the best mark of each."""
    diseased, normal = marked.best_score[~marked.normal], marked.best_score[marked.normal]
    right = marked.best_hit[~marked.normal]
    every = np.concatenate([diseased[right > 0], normal])
    thresholds = np.unique(every[np.isfinite(every)])[::-1]
    order = np.argsort(-diseased, kind="stable")
    summed = np.r_[0.0, np.cumsum(right[order])]
    return Curve(
        thresholds=np.r_[np.inf, thresholds],
        x=np.r_[0, _at_least(normal, thresholds)] / max(1, len(normal)),
        y=np.r_[0, summed[_at_least(diseased, thresholds)]] / max(1, len(diseased)),
    )


def _at_least(scores: Floats, thresholds: Floats) -> Ints:
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def columns(groups: int) -> dict[str, slice]:
    """Which columns of `localisation_statistic` hold what.

    ``at_rates``, ``cpm``: false positives over all films; ``normal_at_rates``, ``normal_cpm``: over normal films only.
    ``band_at_one``: lesion sensitivity of each group at one false positive per image (all films). At the threshold:
    ``sensitivity`` (lesions), ``band`` (lesions of each group), ``false_marks`` (per image, all films),
    ``right`` (share of lesion films whose best mark is rated at least so and hits), ``wrong`` (share of normal films
    with a mark). ``best_right``: as ``right`` without a threshold. ``lroc``, ``jafroc``: areas.
    """
    widths = {"at_rates": len(RATES), "cpm": 1, "normal_at_rates": len(RATES), "normal_cpm": 1, "band_at_one": groups}
    widths |= {"sensitivity": 1, "band": groups, "false_marks": 1, "right": 1, "wrong": 1, "best_right": 1}
    widths |= {"lroc": 1, "jafroc": 1}
    ends = np.cumsum(list(widths.values()))
    return {name: slice(int(end) - width, int(end)) for (name, width), end in zip(widths.items(), ends, strict=True)}


def localisation_statistic(marked: Marked, clusters: Clusters, threshold: float | None) -> Statistic:
    """All of `columns` as one statistic of patient weights.

    Args:
        marked: judged marks.
        clusters: the patient of each of the F films.
        threshold: operating threshold on the score of a mark (flagged where at least this); None = no film is flagged.
    """
    owner = clusters.index
    groups, cut = marked.groups, np.inf if threshold is None else threshold
    counts = _counts(marked, owner, cut)
    cells = _cells(marked, owner)
    films = _ranked(marked.best_score, owner, np.where(marked.normal, -1.0, marked.best_hit))
    normals = np.flatnonzero(marked.normal)
    units = _ranked(
        np.concatenate([marked.best_score[normals], marked.lesion_score]),
        np.concatenate([owner[normals], owner[marked.lesion_film]]),
        np.r_[np.full(len(normals), -1.0), np.ones(len(marked.lesion_film))],
    )

    def statistic(weights: Weights) -> Floats:
        sums = weighted_sums(weights, *counts, 2 * groups + 7)
        lesions, hits = sums[:, :groups], sums[:, groups : 2 * groups]
        images, normal, diseased, false_marks, right, wrong, best_right = sums[:, 2 * groups :].T
        total = lesions.sum(axis=1)
        found = crossings_of(weights, *cells, np.column_stack([images, normal]), np.array(RATES), groups)
        every, classical = found[:, 0], found[:, 1]
        at_rates, at_normal = (_ratio(found.sum(axis=2), total[:, None]) for found in (every, classical))
        single = [
            _ratio(hits.sum(axis=1), total),
            _ratio(hits, lesions),
            _ratio(false_marks, images),
            _ratio(right, diseased),
            _ratio(wrong, normal),
            _ratio(best_right, diseased),
            _ratio(weighted_area(weights, *films), diseased * normal),
            _ratio(weighted_area(weights, *units), total * normal),
        ]
        return np.column_stack(
            [
                at_rates,
                at_rates.mean(axis=1),
                at_normal,
                at_normal.mean(axis=1),
                _ratio(every[:, ONE_PER_IMAGE], lesions),
                *single,
            ]
        )

    return statistic


def _ratio(above: Floats, below: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below > 0, above / below, np.nan))


def _counts(marked: Marked, owner: NDArray[np.int32], cut: float) -> tuple[Any, Any, Any]:
    """Everything that is a plain sum over patients: its owner, the column it belongs to, and how much it counts."""
    g = marked.groups
    k = 2 * g + 7
    diseased, normal = np.flatnonzero(~marked.normal), np.flatnonzero(marked.normal)
    hit, flagged = marked.lesion_score >= cut, marked.best_score >= cut
    right = diseased[flagged[diseased]]
    parts: list[tuple[Ints, ArrayLike, ArrayLike]] = [
        (marked.lesion_film, marked.lesion_group, 1.0),
        (marked.lesion_film[hit], g + marked.lesion_group[hit], 1.0),
        (np.arange(len(marked.normal)), 2 * g, 1.0),
        (normal, 2 * g + 1, 1.0),
        (diseased, 2 * g + 2, 1.0),
        (marked.false_film[marked.false_score >= cut], 2 * g + 3, 1.0),
        (right, 2 * g + 4, marked.best_hit[right]),
        (normal[flagged[normal]], 2 * g + 5, 1.0),
        (diseased, 2 * g + 6, marked.best_hit[diseased]),
    ]
    films = np.concatenate([part[0] for part in parts])
    spread = [np.concatenate([np.broadcast_to(part[i], part[0].shape) for part in parts]) for i in (1, 2)]
    # One entry per patient and column: a patient's marks are added up once, not in every replicate.
    cell, place = np.unique(owner[films].astype(np.int64) * k + spread[0], return_inverse=True)
    return cell // k, cell % k, np.bincount(place, weights=spread[1], minlength=len(cell))


def _cells(marked: Marked, owner: NDArray[np.int32]) -> tuple[Any, Any, Any]:
    """Hits, false marks on normal films and false marks on lesion films, ordered for `crossings_of`."""
    hit = np.flatnonzero(np.isfinite(marked.lesion_score))
    scores = np.unique(marked.lesion_score[hit])  # rising; cells fall

    def ordered(score: Floats, film: Ints) -> tuple[Ints, Any, Ints]:
        above = len(scores) - np.searchsorted(scores, score, side="right")  # scores of hits above this one
        cell = np.where(np.isin(score, scores), 2 * above + 1, 2 * above)
        order = np.argsort(cell, kind="stable")
        order = order[cell[order] < 2 * len(scores)]
        return order, owner[film[order]], np.searchsorted(cell[order], np.arange(2 * len(scores) + 1))

    place, who, at = ordered(marked.lesion_score[hit], marked.lesion_film[hit])
    sides = []
    for those in (marked.normal[marked.false_film], ~marked.normal[marked.false_film]):
        sides.append(ordered(marked.false_score[those], marked.false_film[those])[1:])
    return (who, marked.lesion_group[hit][place], at), sides[0], sides[1]


def _ranked(score: Floats, owner: NDArray[np.int32], credit: Floats) -> tuple[Any, Any, Any]:
    """Units by rising score: owner, credit (-1: a normal film), last of its score?"""
    order = np.argsort(score, kind="stable")
    return owner[order], credit[order], _last_of_score(score[order])


def _last_of_score(ordered: Floats) -> Bools:
    return np.asarray(np.r_[ordered[1:] != ordered[:-1], [True] * min(1, len(ordered))], dtype=bool)
