"""Reading a list in the order of the scores: how early the diseased films come.

Two references stand beside the scores' order: arrival order, where the diseased are spread evenly in expectation
(after a share f of the list, f of them have been read), and the ideal order with every diseased film in front.

Films with one score stay in order of arrival in the list that is shown (`worklist`). What is reported of an order
(`worklist_result`) does not depend on how the table happens to be sorted: it is the expectation over every order of
the films that share a score.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from pipelines.errors import EvaluationError
from pipelines.reading_time.worklist_order import FIXED, Order
from pipelines.statistics.arrays import Floats, labels_and_scores
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, percent_text
from pipelines.statistics.proportions import EXACT, clopper_pearson
from pipelines.statistics.record import Record
from pipelines.statistics.resampling import Clusters, Plan, Sample, resample

FRACTIONS: Final = (0.1, 0.2, 0.5)
"""Shares of the list at which the positives read so far are counted."""
_QUANTILES: Final = (0.5, 0.95)
_CURVE_POINTS: Final = 101
_TIES: Final = "expectation over the orders of films that share a score"


@dataclass(frozen=True)
class Found:
    """Positives read after the first films of the list."""

    fraction: float
    """Share of the list, (0, 1]."""
    films: int
    """Films read: the fraction of the list, rounded up."""
    found: int
    """Positives among them, in the order of the scores."""
    arrival_share: float
    """Share of the positives expected among them in arrival order."""
    ideal_share: float
    """Share of the positives among them if every positive came first."""


@dataclass(frozen=True)
class Worklist:
    """One list of films read in the order of their scores."""

    n: int
    n_positive: int
    positions: NDArray[np.int64]
    """``[n_positive]``: place of each positive in the list, 1 = read first, rising."""
    at: tuple[Found, ...]

    @property
    def median_position(self) -> float:
        """Median place of the positives as a share of the list, (0, 1]; 0.5 is expected in arrival order."""
        return float(np.median(self.positions)) / self.n


def worklist(labels: ArrayLike, scores: ArrayLike, fractions: Sequence[float] = FRACTIONS) -> Worklist:
    """Order a list by falling score and find the positives in it: the list as it is shown.

    Args:
        labels: ``[n]``, 1 or 0, in order of arrival.
        scores: ``[n]``, larger = read earlier; films with one score stay in order of arrival.
        fractions: shares of the list to count at, each in (0, 1].

    Raises:
        EvaluationError: no positive film, lengths that differ, labels or scores that are not numbers as above.
    """
    truth, score = labels_and_scores(labels, scores)
    n, positives = len(truth), int(truth.sum())
    if positives == 0:
        raise EvaluationError(f"A worklist needs a positive film: none of the {n} films is positive.")
    positions = np.flatnonzero(truth[np.argsort(-score, kind="stable")]) + 1
    counts = []
    for fraction in fractions:
        films = _films(fraction, n)
        found = int(np.searchsorted(positions, films, side="right"))
        counts.append(Found(fraction, films, found, films / n, min(1.0, films / positives)))
    return Worklist(n=n, n_positive=positives, positions=positions, at=tuple(counts))


def _films(fraction: float, n: int) -> int:
    """The fraction of a list of n films, rounded up (but not because of rounding in the last digit)."""
    if not 0 < fraction <= 1:
        raise EvaluationError(f"A share of the list must lie above 0 and up to 1, got {fraction}.")
    return math.ceil(fraction * n - 1e-9)


def curve(
    positions: NDArray[np.int64], n: int, points: int = _CURVE_POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the positives read against share of the list read.

    Args:
        positions: places of the positives, 1-based, rising.
        n: films in the list.
        points: evenly spaced points from 0 to 1.

    Returns:
        Share of the list and share of the positives, each ``[points]``, from (0, 0) to (1, 1).
    """
    read = np.linspace(0, 1, points)
    found = np.searchsorted(positions, np.floor(read * n + 1e-9), side="right") / len(positions)
    return read, found


class Position(Record):
    """A quantile of the places of the positives, 1 = read first."""

    quantile: float
    share: Estimate
    """Place as a share of the list, (0, 1]."""
    films: Estimate
    """Place in films, 1 to n."""
    fifo_films: float | None
    """Expected in arrival order."""
    ideal_films: float | None
    """If every positive came first."""


class ListFraction(Record):
    """After reading the first films of the list."""

    fraction: float
    """Share of the list, (0, 1]."""
    films: int
    """Films read: the fraction of the list, rounded up."""
    found: Estimate
    """Share of the positives among them."""
    fifo_found: float | None
    """Expected in arrival order."""
    ideal_found: float | None
    """If every positive came first."""
    films_per_case: Estimate
    """Films read per positive found (number needed to read)."""
    ideal_films_per_case: float | None
    """If every positive came first; arrival order needs ``films_per_case`` of the whole list."""


class WorklistRecord(Record):
    """The films evaluated, read in the order of their scores."""

    n: int
    n_positive: int
    positions: tuple[Position, ...]
    """Median and 95th percentile."""
    at: tuple[ListFraction, ...]
    films_per_case: Estimate
    """Films read per positive found when the whole list is read, in whatever order."""
    area: Estimate
    """Area under the detection-effort curve: share of positives found against share of the list read, films counted as
    half read in their middle: 1 - (mean place of the positives - 1/2) / n."""
    fifo_area: float | None
    """Expected in arrival order: 1/2."""
    ideal_area: float | None
    """If every positive came first: 1 - n_positive / (2 n)."""
    gain: Estimate
    """(area - fifo) / (ideal - fifo): 0 in arrival order, 1 in the ideal order, equal to 2 AUROC - 1."""
    curve_read: tuple[float, ...]
    """Share of the list read."""
    curve_found: tuple[float, ...]
    """Share of the positives found there; empty where no film is positive."""
    ties: str = _TIES
    """How films that share a score are ordered."""


def worklist_result(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    level: float = DEFAULT_LEVEL,
    clusters: Clusters | None = None,
    plan: Plan | None = None,
    fractions: Sequence[float] = FRACTIONS,
) -> WorklistRecord:
    """How early the positives come, against arrival order and the ideal order, with intervals.

    A film's place is its expected place over all orders of the films that share its score; quantiles of places
    interpolate linearly between films. Intervals come from resampling patients; those of quantiles of places are exact
    (order statistics) where every patient has one film.

    Args:
        labels: ``[n]``, 1 or 0.
        scores: ``[n]``, finite, larger = read earlier.
        level: confidence level.
        clusters: patient of each film; None: every film is a patient of its own.
        plan: how to resample.
        fractions: shares of the list to count at, each in (0, 1].

    Returns:
        Numbers without an answer (no positive film, every film positive) say why.

    Raises:
        EvaluationError: lengths that differ, labels other than 0 and 1, scores that are not finite, a fraction
            outside (0, 1].
    """
    truth, score = labels_and_scores(labels, scores)
    clusters, plan = clusters or Clusters.of(None, len(truth)), plan or Plan()
    assert len(clusters.index) == len(truth)
    films = [_films(fraction, len(truth)) for fraction in fractions]
    order = Order.of(truth, score, clusters)
    sample = resample(order.statistic(_QUANTILES, fractions), clusters.count, plan)
    n, positives = len(truth), int(truth.sum())
    why = "no film is positive" if n else "no films"

    def estimate(j: int, method: str, why: str = why) -> Estimate:
        return sample.estimate(j, level=level, n=n, method=f"{method}; {_TIES}", why=why)

    area = estimate(0, "area under the detection-effort curve")
    gain_why = why if positives == 0 else "every film is positive: every order is ideal"
    read = np.linspace(0, 1, _CURVE_POINTS)
    known = positives > 0
    return WorklistRecord(
        n=n,
        n_positive=positives,
        positions=tuple(
            _position(order, sample, place, level=level, why=why, exact=not clusters.repeated)
            for place in range(len(_QUANTILES))
        ),
        at=tuple(
            _at(order, sample, place, fraction, films[place], level=level, why=why)
            for place, fraction in enumerate(fractions)
        ),
        films_per_case=_per_case(estimate(2, "films read per positive found, the whole list")),
        area=area,
        fifo_area=0.5 if known else None,
        ideal_area=1 - positives / (2 * n) if known else None,
        gain=sample.estimate(
            1, level=level, n=n, method=f"gain over arrival order; {_TIES}", bounds=(-1.0, 1.0), why=gain_why
        ),
        curve_read=tuple(map(float, read)),
        curve_found=tuple(map(float, order.found(read))) if known else (),
    )


def _position(order: Order, sample: Sample, place: int, *, level: float, why: str, exact: bool) -> Position:
    quantile = _QUANTILES[place]
    places, n = order.places(), len(order.truth)
    name = f"{percent_text(quantile)} quantile of the places of the positives"
    share = sample.estimate(FIXED + place, level=level, n=len(places), method=f"{name}; {_TIES}", why=why)
    if exact and len(places):
        share = exact_quantile(places, quantile, n=n, level=level)
    rank = 1 + (len(places) - 1) * quantile
    return Position(
        quantile=quantile,
        share=share,
        films=_mapped(share, lambda value: value * n),
        fifo_films=rank * (n + 1) / (len(places) + 1) if len(places) else None,
        ideal_films=rank if len(places) else None,
    )


def _at(
    order: Order, sample: Sample, place: int, fraction: float, films: int, *, level: float, why: str
) -> ListFraction:
    n, positives = len(order.truth), int(order.truth.sum())
    j = FIXED + len(_QUANTILES) + 2 * place
    head = f"the first {percent_text(fraction)} of the list"
    found = sample.estimate(j, level=level, n=positives, method=f"share of positives in {head}; {_TIES}", why=why)
    if found.value in (0.0, 1.0) and found.low is None:
        found = _none_or_all(found, order.positive_patients)
    cases = sample.estimate(
        j + 1, level=level, n=films, method=f"films read per positive found, {head}; {_TIES}", why=why
    )
    return ListFraction(
        fraction=fraction,
        films=films,
        found=found,
        fifo_found=films / n if positives else None,
        ideal_found=min(1.0, films / positives) if positives else None,
        films_per_case=_per_case(cases),
        ideal_films_per_case=films / min(films, positives) if positives else None,
    )


def _none_or_all(found: Estimate, patients: int) -> Estimate:
    """Where every resampled list says 0 or 1, the exact interval of that share of the positive patients."""
    exact = clopper_pearson(patients if found.value else 0, patients, found.level)
    return Estimate(
        value=found.value,
        low=exact.low,
        high=exact.high,
        level=found.level,
        method=f"{found.method}; all replicates equal, so {EXACT} interval over {patients} positive patients",
        n=found.n,
    )


def _mapped(share: Estimate, function: Callable[[float], float]) -> Estimate:
    """A rising function of an estimate."""
    changed = {key: None if (at := getattr(share, key)) is None else function(at) for key in ("value", "low", "high")}
    return Estimate(**{**share.model_dump(), **changed})


def _per_case(yielded: Estimate) -> Estimate:
    """Films per positive from positives per film: the interval's bounds change places."""
    kept = {"level": yielded.level, "method": f"{yielded.method}; reciprocal of positives per film", "n": yielded.n}
    if yielded.value is None:
        return Estimate(value=None, low=None, high=None, why=yielded.why, **kept)
    if yielded.value == 0:
        return Estimate(value=None, low=None, high=None, why="no positive film is found there", **kept)
    if yielded.low is None or yielded.high is None or yielded.low == 0:
        why = yielded.why or "the upper bound is infinite: none of the positives may be found there"
        return Estimate(value=1 / yielded.value, low=None, high=None, why=why, **kept)
    return Estimate(value=1 / yielded.value, low=1 / yielded.high, high=1 / yielded.low, **kept)


def exact_quantile(places: Floats, quantile: float, *, n: int, level: float) -> Estimate:
    """Quantile of the places of independent positives, with its distribution-free interval.

    Args:
        places: ``[m]``, rising, at least one; 1 = read first.
        quantile: in (0, 1).
        n: films in the list; the estimate is a share of it.
        level: confidence level.

    Returns:
        The interval between two order statistics. Where the positives are too few for the upper one, the end of the
        list bounds it; where they are too few for the lower one, there is no interval, and the reason.

    Source: David & Nagaraja, Order Statistics, 2003, section 7.1.
    """
    m, value = len(places), float(np.quantile(places, quantile)) / n
    method = f"{percent_text(quantile)} quantile of the places of the positives; exact interval from order statistics"
    tail = (1 - level) / 2
    low_rank = int(stats.binom.ppf(tail, m, quantile))  # largest rank with P(B < rank) <= tail
    high_rank = int(stats.binom.isf(tail, m, quantile)) + 1  # smallest rank with P(B >= rank) <= tail
    if low_rank < 1 or (high_rank > m and quantile <= 0.5):
        why = f"{m} positive films are too few for an exact {percent_text(level)} interval of this quantile"
        return Estimate(value=value, low=None, high=None, level=level, method=method, n=m, why=why)
    if high_rank > m:
        method += f"; its upper bound is the end of the list, {m} positive films give no closer one"
    low = float(places[low_rank - 1]) / n
    high = float(places[high_rank - 1]) / n if high_rank <= m else 1.0
    return Estimate(value=value, low=min(low, value), high=max(high, value), level=level, method=method, n=m)
