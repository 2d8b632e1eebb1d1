"""Filing films without a reader: how many, at which threshold, and what is missed.

A film is filed when its score lies below the threshold. For a target sensitivity the threshold is the highest one that
keeps at least this share of the remarkable films for a reader. It is chosen on the films that it is judged by, so every
interval includes that choice: the threshold is chosen again in each resampled set of patients.

What a threshold chosen on m remarkable films misses among the films to come is not the share missed here. With k
missed, the true share below the threshold, which is the (k + 1)-th lowest of m scores, follows a beta distribution with
parameters k + 1 and m - k whatever the scores' distribution; films of one patient break that, and then the threshold of
each replicate, applied to all films, takes its place.

Source: Wilks, Ann. Math. Stat. 12 (1941) 91 (tolerance limits).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from pipelines.errors import ConfigError, EvaluationError
from pipelines.reading_time.rule_out_kernel import COLUMNS, ROUNDING, choose
from pipelines.statistics.arrays import Bools, Floats, labels_and_scores
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped, percent_text
from pipelines.statistics.kernels import Weights
from pipelines.statistics.record import Record
from pipelines.statistics.resampling import Clusters, Plan, Sample, Statistic, resample

SENSITIVITIES: Final = (0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999)
"""Shares of the remarkable films to keep for a reader."""
TEN_THOUSAND: Final = 10_000.0
_CHOSEN: Final = "threshold chosen again in each replicate"


class RuleOutYield(Record):
    """What filing gives at one prevalence of remarkable films."""

    prevalence: float
    """Share of remarkable films, [0, 1]."""
    filed_share: Estimate
    """Share of all films filed without a reader."""
    missed_per_10000_filed: Estimate
    """Remarkable films among 10,000 filed ones."""
    missed_per_10000_screened: Estimate
    """Remarkable films filed among 10,000 that arrive."""
    npv: Estimate
    """Share of the filed films that are unremarkable."""


class RuleOutPoint(Record):
    """One target sensitivity."""

    target: float
    """Share of the remarkable films to keep for a reader."""
    threshold: Estimate
    """Films with a score below it are filed."""
    sensitivity: Estimate
    """Share of the remarkable films kept: here, and with the interval for films to come."""
    specificity: Estimate
    """Share of the unremarkable films that are filed."""
    missed: int
    """Remarkable films below the threshold, here."""
    allowed: int
    """Remarkable films that the target lets go: (1 - target) x positives, rounded down."""
    demonstrable: bool
    """Whether so many remarkable films could show the target: none missed would bound the share missed by it."""
    note: str | None
    """Where it is not: what can be said instead."""
    cohort: RuleOutYield | None
    """At the prevalence of these films; null without films."""
    local: RuleOutYield | None
    """At the prevalence named by the user; null where none is named."""


class RuleOut(Record):
    """Filing without a reader over a range of target sensitivities."""

    n: int
    n_positive: int
    """Remarkable films."""
    points: tuple[RuleOutPoint, ...]


@dataclass(frozen=True)
class _Films:
    """Films by rising score."""

    truth: Bools
    score: Floats
    patient: NDArray[np.int32]
    below: Floats
    """``[n]``: share of all remarkable films whose score is lower than the film's."""

    @classmethod
    def of(cls, truth: Bools, score: Floats, clusters: Clusters) -> "_Films":
        order = np.argsort(score, kind="stable")
        ranked, positive = score[order], truth[order]
        lower = np.searchsorted(ranked[positive], ranked, side="left")
        share = lower / positive.sum() if positive.any() else np.zeros(len(ranked))
        return cls(positive, ranked, clusters.index[order], share)

    @property
    def n(self) -> int:
        return len(self.truth)

    @property
    def positives(self) -> int:
        return int(self.truth.sum())

    def statistic(self, targets: Floats) -> Statistic:
        """The columns of every target, then the prevalence."""

        def evaluate(weights: Weights) -> Floats:
            out = np.full((len(weights), COLUMNS * len(targets) + 1), np.nan)
            choose(weights, self.truth, self.score, self.patient, self.below, targets, out)
            return out

        return evaluate


def rule_out_curve(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    level: float = DEFAULT_LEVEL,
    clusters: Clusters | None = None,
    plan: Plan | None = None,
    sensitivities: Sequence[float] = SENSITIVITIES,
    prevalence: float | None = None,
) -> RuleOut:
    """Share of films filed without a reader, and the misses, at each target sensitivity.

    Args:
        labels: ``[n]``, 1 = remarkable, 0 = unremarkable.
        scores: ``[n]``, finite, larger = more suspicious.
        level: confidence level.
        clusters: patient of each film; None: every film is a patient of its own.
        plan: how to resample; intervals are percentile ones whatever its kind (a threshold is an order statistic, for
            which the acceleration of BCa is not defined).
        sensitivities: targets, each in (0, 1].
        prevalence: share of remarkable films where the system would be used, taken as exact; None: these films' alone.

    Returns:
        Numbers without an answer (no remarkable film, no unremarkable film) say why.

    Raises:
        EvaluationError: lengths that differ, labels other than 0 and 1, or scores that are not finite.
        ConfigError: a target or a prevalence outside its range.
    """
    for target in sensitivities:
        if not 0 < target <= 1:
            raise ConfigError(f"Rule-out: a target sensitivity must lie above 0 and up to 1, got {target}.")
    if prevalence is not None and not 0 <= prevalence <= 1:
        raise ConfigError(f"Rule-out: prevalence must lie in [0, 1], got {prevalence}.")
    truth, score = labels_and_scores(labels, scores)
    clusters, plan = clusters or Clusters.of(None, len(truth)), plan or Plan()
    if len(clusters.index) != len(truth):
        raise EvaluationError(f"There must be one patient per film: {len(clusters.index)} for {len(truth)} films.")
    films = _Films.of(truth, score, clusters)
    plain = Plan(replicates=plan.replicates, seed=plan.seed, kind="percentile", unit=plan.unit)
    sample = resample(films.statistic(np.asarray(sensitivities, dtype=np.float64)), clusters.count, plain)
    points = [_point(films, sample, place, target, level, prevalence) for place, target in enumerate(sensitivities)]
    return RuleOut(n=films.n, n_positive=films.positives, points=tuple(points))


def _point(
    films: _Films, sample: Sample, place: int, target: float, level: float, prevalence: float | None
) -> RuleOutPoint:
    m, first = films.positives, COLUMNS * place
    why = "no film is remarkable" if films.n else "no films"
    allowed = math.floor((1 - target) * m + ROUNDING)
    missed = round(float(sample.point[first + 1]) * m) if m else 0
    threshold = sample.estimate(
        first, level=level, n=films.n, method=f"highest threshold; {_CHOSEN}", bounds=(-math.inf, math.inf), why=why
    )
    specificity = sample.estimate(
        first + 2,
        level=level,
        n=films.n - m,
        method=f"share of unremarkable films below the threshold; {_CHOSEN}",
        why="no film is unremarkable" if m else why,
    )
    miss = _miss(films, sample, first, missed, allowed, level, why)
    demonstrable, note = _demonstrable(target, m, level)
    cohort = None if not films.n else _yield(films, sample, first, None, level, why)
    local = None if prevalence is None else _yield(films, sample, first, prevalence, level, why)
    return RuleOutPoint(
        target=target,
        threshold=threshold,
        sensitivity=_complement(miss),
        specificity=specificity,
        missed=missed,
        allowed=allowed,
        demonstrable=demonstrable,
        note=note,
        cohort=cohort,
        local=local,
    )


def _miss(films: _Films, sample: Sample, first: int, missed: int, allowed: int, level: float, why: str) -> Estimate:
    """Share of the remarkable films below the threshold, with the interval for films to come."""
    m, tail = films.positives, (1 - level) / 2
    if m == 0 or len(np.unique(films.patient[films.truth])) < m:
        method = "share kept; threshold of each replicate applied to all films"
        return sample.estimate(first + 3, level=level, n=m, method=method, why=why)
    # With tied scores fewer may be missed than allowed; the bounds then hold at least as often as they say.
    law = stats.beta(missed + 1, m - missed) if missed == allowed else stats.beta(max(missed, 1e-9), m - missed + 1)
    most = float(stats.beta.isf(tail, allowed + 1, m - allowed)) if allowed < m else 1.0
    low, high = clipped(missed / m, float(law.ppf(tail)), most, (0.0, 1.0))
    method = "share kept; exact tolerance interval of a threshold chosen on these films"
    return Estimate(value=missed / m, low=low, high=high, level=level, method=method, n=m)


def _complement(miss: Estimate) -> Estimate:
    turned = {"value": miss.value, "low": miss.high, "high": miss.low}
    kept = {name: None if value is None else 1 - value for name, value in turned.items()}
    return Estimate(**{**miss.model_dump(), **kept})


def _demonstrable(target: float, m: int, level: float) -> tuple[bool, str | None]:
    """Whether none missed of m would bound the share missed by 1 - target, and what can be said where not."""
    tail = (1 - level) / 2
    if m == 0:
        return False, "no remarkable film: nothing can be said about misses"
    bound = 1 - tail ** (1 / m)
    if bound <= 1 - target:
        return True, None
    if target >= 1:
        needed = "no number of films can show it"
    else:
        needed = f"at least {math.ceil(math.log(tail) / math.log(target) - ROUNDING):,} would be needed"
    return False, (
        f"{m:,} films with the finding are too few to show {percent_text(target)}: even with none missed, up to "
        f"{100 * bound:.2g} % may be missed (end of the exact {percent_text(level)} interval); {needed}"
    )


def _yield(films: _Films, sample: Sample, first: int, prevalence: float | None, level: float, why: str) -> RuleOutYield:
    """Filing at a prevalence; None takes that of the films, with its uncertainty."""
    pi = prevalence if prevalence is not None else films.positives / films.n
    two_class = "no film is unremarkable" if 0 < films.positives == films.n else why

    def derived(rows: Floats) -> Floats:
        """Share filed, missed per filed film, missed per film screened."""
        _, here, specificity, to_come = rows[:, first : first + COLUMNS].T
        sick = rows[:, -1] if prevalence is None else np.full(len(rows), prevalence)
        # A class that is absent at this prevalence contributes nothing, even where its rate is not defined.
        well = np.where(sick < 1, (1 - sick) * specificity, 0.0)
        filed = np.where(sick > 0, sick * here, 0.0) + well
        lost = np.where(sick > 0, sick * to_come, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.stack([filed, lost / (lost + well), lost], axis=1)

    given = sample.map(derived)
    at = "" if prevalence is None else f" at a prevalence of {percent_text(prevalence)}"
    filed = given.estimate(
        0, level=level, n=films.n, method=f"share of films below the threshold{at}; {_CHOSEN}", why=two_class
    )
    nothing = "no film is filed" if filed.value == 0 else two_class
    applied = f"{at}; misses of each replicate's threshold among all films"
    share = given.estimate(
        1, level=level, n=films.n, method=f"remarkable share of the filed films{applied}", why=nothing
    )
    lost = given.estimate(2, level=level, n=films.n, method=f"remarkable films filed{applied}", why=two_class)
    return RuleOutYield(
        prevalence=pi,
        filed_share=filed,
        missed_per_10000_filed=_scaled(share, TEN_THOUSAND),
        missed_per_10000_screened=_scaled(lost, TEN_THOUSAND),
        npv=_complement(share).model_copy(update={"method": share.method.replace("remarkable", "unremarkable", 1)}),
    )


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    kept = {key: None if (at := getattr(estimate, key)) is None else factor * at for key in ("value", "low", "high")}
    return Estimate(**{**estimate.model_dump(), **kept})
