"""What one threshold does: rates, target profile, screening arithmetic, and films that got no score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from pipelines.errors import PredictionsError
from pipelines.evaluation.joining import Scored, column
from pipelines.evaluation.localisation.peaks import localisation
from pipelines.evaluation.options import Options
from pipelines.evaluation.patients import clusters_of
from pipelines.evaluation.records import IntentionToRead, OperatingResult
from pipelines.evaluation.thresholds.lock_rule import LockRule, Purpose
from pipelines.evaluation.thresholds.noninferiority import (
    NonInferiority,
    noninferiority_of_rate,
    noninferiority_to_reference,
)
from pipelines.evaluation.thresholds.operating_point import OperatingPoint, a_posteriori_point
from pipelines.evaluation.thresholds.programme import (
    Programme,
    TargetProfile,
    programme_from_counts,
    programme_from_rates,
    programme_from_sample,
    target_profile,
)
from pipelines.statistics.accuracy.assessment import Question
from pipelines.statistics.accuracy.curve import Curve, sample_curve
from pipelines.statistics.accuracy.parts import Assessed
from pipelines.statistics.accuracy.ratios import Prevalence
from pipelines.statistics.accuracy.records import Rates
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.resampling import Clusters

USER_THRESHOLD: Final = "given by the user, not locked"
Source = Literal["locked", "user", "a_posteriori"]


@dataclass(frozen=True)
class Thresholds:
    """The thresholds there are, by finding."""

    locked: Mapping[str, OperatingPoint] = field(default_factory=dict)
    rule_out: Mapping[str, OperatingPoint] = field(default_factory=dict)
    given: Mapping[str, float] = field(default_factory=dict)
    """By the user; they take the place of a locked one."""
    a_posteriori: Mapping[str, LockRule] = field(default_factory=dict)
    """Rules for thresholds to choose on the films evaluated themselves: shown and labelled, never locked."""


@dataclass(frozen=True)
class Threshold:
    """One threshold and where it comes from."""

    value: float
    source: Source
    purpose: Purpose
    label: str
    locked: OperatingPoint | None = None

    @classmethod
    def of_point(cls, point: OperatingPoint) -> "Threshold":
        """A locked one."""
        return cls(point.threshold, "locked", point.purpose, f"locked on {point.cohort}: {point.rule}", point)


def thresholds_for(
    scored: Scored, finding: str, thresholds: Thresholds
) -> tuple[Threshold | None, tuple[Threshold, ...], tuple[str, ...]]:
    """The operating threshold of a finding, the others to show beside it, and notes on what could not be had.

    Raises:
        PredictionsError: flags in the predictions contradict the locked threshold.
    """
    locked, given = thresholds.locked.get(finding), thresholds.given.get(finding)
    main, others, notes = None, [], []
    if given is not None:
        main = Threshold(given, "user", "flag", USER_THRESHOLD)
    elif locked is not None:
        main = Threshold.of_point(locked)
    if finding in thresholds.rule_out:
        others.append(Threshold.of_point(thresholds.rule_out[finding]))
    rule = thresholds.a_posteriori.get(finding)
    if rule is not None:
        chosen = a_posteriori_point(scored.labels, scored.scores, rule)
        if chosen.threshold is None:
            notes.append(chosen.sentence)
        else:
            label = f"a posteriori, chosen on these very films: {rule.words}"
            others.append(Threshold(chosen.threshold, "a_posteriori", rule.purpose, label))
    return main, tuple(others), tuple(notes)


def check_flags(scored: Scored, finding: str, threshold: float) -> None:
    """The table's own flags must be those of the threshold locked in its ``run.json``.

    Raises:
        PredictionsError: says in how many rows they differ.
    """
    flags = column(scored.films, f"pred_flag_{finding}")
    known = flags.notna().to_numpy()
    wrong = int((flags[known].astype(bool).to_numpy() != (scored.scores[known] >= threshold)).sum())
    if wrong:
        raise PredictionsError(
            f"predictions: column 'flag_{finding}' contradicts the locked threshold {threshold:g} in {wrong} of "
            f"{int(known.sum())} rows: the table and its operating point do not belong together."
        )


def operating_results(
    scored: Scored, finding: str, thresholds: Sequence[Threshold], options: Options
) -> tuple[OperatingResult, ...]:
    """What each threshold does on the films of one finding."""
    if not thresholds:
        return ()
    question, values = options.question, tuple(threshold.value for threshold in thresholds)
    films = _Films.read(scored, question, values)
    everything = films if not len(scored.unread) else _Films.intended(scored, question, values)
    return tuple(
        _result(scored, finding, threshold, films, everything, place, options)
        for place, threshold in enumerate(thresholds)
    )


@dataclass(frozen=True)
class _Films:
    """Films, their patients, and their rates at every threshold in every replicate."""

    clusters: Clusters
    curve: Curve
    assessed: Assessed
    prevalence: Prevalence | None

    @classmethod
    def of(
        cls, labels: Bools, scores: Floats, clusters: Clusters, question: Question, values: Sequence[float]
    ) -> "_Films":
        chosen, plan = question.resolved(clusters)
        curve = sample_curve(labels, scores, clusters=clusters, plan=plan, thresholds=values, band=question.band)
        assessed = Assessed(labels, scores, clusters, curve, question.level, chosen)
        return cls(clusters, curve, assessed, question.prevalence)

    @classmethod
    def read(cls, scored: Scored, question: Question, values: Sequence[float]) -> "_Films":
        return cls.of(scored.labels, scored.scores, clusters_of(scored.films), question, values)

    @classmethod
    def intended(cls, scored: Scored, question: Question, values: Sequence[float]) -> "_Films":
        """With the films that got no score, above every threshold."""
        above = max([*values, *scored.scores.max(initial=0.0, keepdims=True)]) + 1
        labels = np.r_[scored.labels, scored.unread_labels]
        scores = np.r_[scored.scores, np.full(len(scored.unread_labels), above)]
        return cls.of(labels, scores, clusters_of(scored.films, scored.unread), question, values)

    @property
    def analytic(self) -> bool:
        return self.assessed.chosen == "analytic"

    def rates(self, place: int) -> Rates:
        return self.assessed.rates(place, self.prevalence)

    def pair(self, place: int, level: float) -> tuple[Estimate, Estimate]:
        """Sensitivity and specificity as `rates` has them, at another level."""
        return self.assessed.sensitivity_specificity(self.curve.rates(place), level)

    def spread(self, place: int) -> bool:
        """Whether the bootstrap gives both rates an interval."""
        sample = self.curve.rates(place)
        return all(sample.estimate(j, level=self.assessed.level, n=0, method="").low is not None for j in (0, 1))


def _result(
    scored: Scored,
    finding: str,
    threshold: Threshold,
    films: _Films,
    everything: _Films,
    place: int,
    options: Options,
) -> OperatingResult:
    rates = films.rates(place)
    flagged = scored.scores >= threshold.value
    where = localisation(scored.films, scored.labels & flagged, finding, options.question)
    return OperatingResult(
        **dict(rates),
        source=threshold.source,
        purpose=threshold.purpose,
        label=threshold.label,
        locked=threshold.locked,
        who=_profile(rates, threshold.source),
        programme=_programme(films, rates, place, options),
        non_inferiority=None if threshold.source == "a_posteriori" else _non_inferiority(films, rates, options),
        intention_to_read=_intention(scored, rates if everything is films else everything.rates(place)),
        localisation=where,
    )


def _profile(rates: Rates, source: Source) -> TargetProfile:
    """The target profile; a threshold chosen on these very films cannot show that it is met."""
    found = target_profile(rates.sensitivity, rates.specificity)
    if source != "a_posteriori" or found.verdict != "met":
        return found
    sentence = "Not shown: both lower bounds reach their target, but the threshold was chosen on these very films."
    return found.model_copy(update={"verdict": "not_shown", "sentence": sentence})


def _intention(scored: Scored, rates: Rates) -> IntentionToRead:
    return IntentionToRead(
        without_score=len(scored.unread_labels),
        without_score_positive=int(scored.unread_labels.sum()),
        counts=rates.counts,
        sensitivity=rates.sensitivity,
        specificity=rates.specificity,
        flagged=rates.flagged,
    )


def _programme(films: _Films, rates: Rates, place: int, options: Options) -> Programme:
    """Screening arithmetic: the bootstrap where it shows a spread of both rates, else the region of their intervals."""
    prevalence, counts = options.local_prevalence, rates.counts
    if films.analytic:
        return programme_from_counts(counts, prevalence, costs=options.costs, level=options.level)
    # The bootstrap of films says nothing of the prevalence: a region of all three does.
    if options.prevalence_interval is not None or not films.spread(place):
        wide = films.pair(place, options.level**0.5)
        pair = (rates.sensitivity, rates.specificity)
        return programme_from_rates(wide, pair, prevalence, costs=options.costs, n=counts.n)
    return programme_from_sample(
        films.curve.rates(place),
        prevalence,
        n_positive=counts.true_positive + counts.false_negative,
        n_negative=counts.true_negative + counts.false_positive,
        costs=options.costs,
        level=options.level,
    )


def _non_inferiority(films: _Films, rates: Rates, options: Options) -> NonInferiority | None:
    reference = options.reference_sensitivity
    if reference is None:
        return None
    if not films.analytic:
        return noninferiority_of_rate(rates.sensitivity, reference, options.margin)
    counts = rates.counts
    diseased = counts.true_positive + counts.false_negative
    return noninferiority_to_reference(counts.true_positive, diseased, reference, options.margin, level=options.level)
