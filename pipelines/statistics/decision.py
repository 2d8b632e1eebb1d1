"""Decision curve: what flagging by the score is worth, against referring everyone and referring no one.

At threshold probability t one true positive is worth (1 - t) / t false positives, so net benefit = TP / n -
FP / n x t / (1 - t). A film is flagged where its score is at least t.

Sources: Vickers & Elkin, Med. Decis. Making 26 (2006) 565; Vickers et al., BMC Med. Inform. Decis. Mak. 8 (2008) 53
(interventions avoided); Kerr et al., J. Clin. Oncol. 34 (2016) 2534 (standardised net benefit).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from pipelines.errors import ConfigError
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores, one_class
from pipelines.statistics.calibration.cells import Cells
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate
from pipelines.statistics.kernels import Weights
from pipelines.statistics.record import Record
from pipelines.statistics.resampling import Clusters, Plan, Sample, resample

GRID: Final = 50
FEWEST: Final = 5
"""Films that must be flagged, and must not be, at a threshold; films that each class must have."""
LOWEST: Final = 1e-6
"""No smaller threshold is looked at: a missed case would weigh more than a million needless referrals."""
RULE: Final = (
    f"thresholds of at least {LOWEST:g} and below 1 at which at least {FEWEST} films are flagged (score at or above "
    f"it) and at least {FEWEST} are not, with at least {FEWEST} films in each class"
)
_ROWS: Final = 256


class DecisionPoint(Record):
    """One threshold probability t."""

    threshold: float
    """A film is flagged where its score is at least this; a missed case weighs (1 - t) / t needless referrals."""
    flagged: Estimate
    """Share of films flagged."""
    net_benefit: Estimate
    """True positives per film, net of false positives at their exchange rate."""
    treat_all: Estimate
    """Net benefit of referring everyone; that of referring no one is 0."""
    standardised: Estimate
    """Net benefit over prevalence: 1 is the best possible."""
    over_best_default: Estimate
    """Net benefit minus that of the better of referring everyone and referring no one."""
    avoided_per_100: Estimate
    """Referrals avoided per 100 films against referring everyone, at no cost in net benefit."""


class DecisionCurve(Record):
    """Net benefit over the threshold probabilities that the data support."""

    n: int
    positives: int
    prevalence: float | None
    """Prevalence that sensitivity and specificity were combined at; null: that of the films."""
    rule: str
    """How the axis was bounded."""
    low: float | None
    """Smallest threshold of the axis; null where there is no curve."""
    high: float | None
    points: tuple[DecisionPoint, ...]
    left_out: tuple[float, ...]
    """Thresholds that were asked for and lie outside what the data support."""
    why: str | None
    """Why there is no curve; null where there is one."""


def decision_curve(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    level: float = DEFAULT_LEVEL,
    clusters: Clusters | None = None,
    plan: Plan | None = None,
    prevalence: float | None = None,
    thresholds: ArrayLike | None = None,
) -> DecisionCurve:
    """Net benefit of a score over the threshold probabilities that the data support.

    Args:
        labels: ``[n]``, 1 or 0.
        scores: ``[n]``, probabilities.
        level: confidence level.
        clusters: the patient of each film; None: every film is a patient of its own.
        plan: how to resample; None: 2,000 replicates, BCa.
        prevalence: share of positives where the system would be used, taken as known: net benefit then is
            sensitivity x prevalence - (1 - specificity) x (1 - prevalence) x t / (1 - t).
        thresholds: ``[k]`` in (0, 1); None: 50 equal steps over the axis that the data support.

    Returns:
        The curve; without points, and with the reason, where the data support none.

    Raises:
        EvaluationError: arrays that do not fit each other, scores that are not finite.
        ConfigError: a prevalence or a threshold outside (0, 1).
    """
    truth, score = labels_and_scores(labels, scores)
    asked = None if thresholds is None else np.unique(np.asarray(thresholds, dtype=np.float64))
    for name, value in (("prevalence", prevalence), *(("thresholds", t) for t in (() if asked is None else asked))):
        if value is not None and not 0 < value < 1:
            raise ConfigError(f"{name} must lie between 0 and 1 (both excluded), got {value:g}.")
    low, high, why = _axis(truth, score)
    axis = np.linspace(low, high, GRID) if asked is None else asked
    inside = (axis >= low) & (axis <= high)
    chosen = np.unique(axis[inside]) if why is None else np.empty(0)
    if why is None and not len(chosen):
        why = f"none of the thresholds lies between {low:g} and {high:g}, which the data support"
    clusters = clusters or Clusters.of(None, len(truth))
    plan = plan or Plan(unit="patients" if clusters.repeated else "films")
    points = _points(truth, score, chosen, clusters, plan, prevalence, level) if why is None else ()
    return DecisionCurve(
        n=len(truth),
        positives=int(truth.sum()),
        prevalence=prevalence,
        rule=RULE,
        low=None if np.isnan(low) else low,
        high=None if np.isnan(high) else high,
        points=points,
        left_out=() if asked is None else tuple(float(t) for t in asked if t not in chosen),
        why=why,
    )


def _axis(truth: Bools, score: Floats) -> tuple[float, float, str | None]:
    """Smallest and largest threshold that the data support, or the reason why there is none."""
    nothing = float("nan")
    missing = one_class(truth)
    if missing:
        return nothing, nothing, missing
    outside = int(((score < 0) | (score > 1)).sum())
    if outside:
        return nothing, nothing, f"{outside} of {len(score)} scores lie outside [0, 1]: they are no probabilities"
    few = min(int(truth.sum()), int((~truth).sum()))
    if few < FEWEST:
        return nothing, nothing, f"only {few} films in one class, {FEWEST} needed"
    ranked = np.sort(score)
    # Unflagged films lie below t, flagged ones at or above it.
    low = max(float(np.nextafter(ranked[FEWEST - 1], 1)), LOWEST)
    high = min(float(ranked[-FEWEST]), float(np.nextafter(1, 0)))
    return (
        (low, high, None) if low <= high else (nothing, nothing, "no threshold has enough films on both of its sides")
    )


def _points(
    truth: Bools,
    score: Floats,
    axis: Floats,
    clusters: Clusters,
    plan: Plan,
    prevalence: float | None,
    level: float,
) -> tuple[DecisionPoint, ...]:
    cells = Cells.of(truth, score, clusters, np.r_[-np.inf, axis])

    def rates(weights: Weights) -> Floats:
        """Share of positives, of negatives flagged, and of films that are positive ``[b, 2 * k + 1]``."""
        blocks = [weights[first : first + _ROWS] for first in range(0, len(weights), _ROWS)]
        return np.concatenate([_rates(cells.sums(block).films, prevalence) for block in blocks])

    sample = resample(rates, clusters.count, plan).map(lambda rows: _benefits(rows, axis))
    return tuple(_point(sample, j, float(t), len(axis), len(truth), prevalence, level) for j, t in enumerate(axis))


def _rates(films: Floats, prevalence: float | None) -> Floats:
    classes = films.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        flagged = films[:, :, ::-1].cumsum(axis=2)[:, :, ::-1][:, :, 1:] / classes[:, :, None]
        share = classes[:, 1] / classes.sum(axis=1) if prevalence is None else np.full(len(films), prevalence)
    return np.concatenate([flagged[:, 1], flagged[:, 0], share[:, None]], axis=1)


def _benefits(rows: Floats, axis: Floats) -> Floats:
    """Flagged, net benefit, treat all, standardised, over the best default and avoided: ``[rows, 6 * k]``."""
    k, share = len(axis), rows[:, -1:]
    true_positive, false_positive = rows[:, :k] * share, rows[:, k : 2 * k] * (1 - share)
    odds = axis / (1 - axis)
    benefit = true_positive - false_positive * odds
    everyone = share - (1 - share) * odds
    # (benefit - everyone) / odds, without the difference of two nearly equal numbers at small odds.
    avoided = 100 * ((1 - share - false_positive) - (share - true_positive) / odds)
    best = np.maximum(everyone, 0)
    parts = (true_positive + false_positive, benefit, everyone, benefit / share, benefit - best, avoided)
    return np.concatenate(parts, axis=1)


def _point(
    sample: Sample, j: int, threshold: float, k: int, n: int, prevalence: float | None, level: float
) -> DecisionPoint:
    at = "" if prevalence is None else f" at a prevalence of {prevalence:g}"

    def part(i: int, method: str, bounds: tuple[float, float]) -> Estimate:
        return sample.estimate(i * k + j, level=level, n=n, method=method + at, bounds=bounds)

    return DecisionPoint(
        threshold=threshold,
        flagged=part(0, "share of films with a score at or above the threshold", (0.0, 1.0)),
        net_benefit=part(1, "net benefit: TP / n - FP / n x t / (1 - t)", (-np.inf, 1.0)),
        treat_all=part(2, "net benefit of referring everyone", (-np.inf, 1.0)),
        standardised=part(3, "net benefit / prevalence", (-np.inf, 1.0)),
        over_best_default=part(4, "net benefit minus the better of referring everyone and no one", (-np.inf, 1.0)),
        avoided_per_100=part(
            5, "referrals avoided per 100 films: (net benefit - treat all) / (t / (1 - t)) x 100", (-np.inf, 100.0)
        ),
    )
