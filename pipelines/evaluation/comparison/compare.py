"""Several systems, or versions of one model, side by side on the same films.

Only films that every system scored are compared, so differences are paired; what each system did with the others is
counted. A threshold belongs to one model: the question what a new version would do at the old threshold is asked and
answered apart, and nothing is flagged by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import EvaluationError
from pipelines.evaluation.comparison.records import (
    Agreement,
    ComparedFinding,
    Comparison,
    FlagAgreement,
    KeptThreshold,
    Pair,
    SystemFilms,
    SystemResult,
)
from pipelines.evaluation.joining import Joined, Scored, join_films, scored_films
from pipelines.evaluation.notes import too_few_for_a_yes
from pipelines.evaluation.options import Options
from pipelines.evaluation.patients import clusters_of, count_patients
from pipelines.evaluation.records import software_versions
from pipelines.evaluation.tables import PredictionsTable, first_few
from pipelines.evaluation.thresholds.noninferiority import NonInferiority, noninferiority_of_difference
from pipelines.evaluation.thresholds.points import Threshold, Thresholds, thresholds_for
from pipelines.findings import FINDING_NAMES
from pipelines.statistics.accuracy.assessment import accuracy
from pipelines.statistics.accuracy.paired import PairedAccuracy, compare_scores
from pipelines.statistics.arrays import Bools, Floats
from pipelines.statistics.calibration.measures import calibration
from pipelines.statistics.multiplicity import holm
from pipelines.statistics.resampling import Clusters


@dataclass(frozen=True)
class System:
    """One system's scores and thresholds."""

    name: str
    table: PredictionsTable
    thresholds: Thresholds


@dataclass(frozen=True)
class _Contestant:
    """One system on the common films of a finding."""

    system: System
    scored: Scored
    """All its films of this finding."""
    joined: Joined
    rows: NDArray[np.intp]
    """Rows of ``scored`` that are common, in the common order."""
    threshold: Threshold | None

    @property
    def scores(self) -> Floats:
        return np.asarray(self.scored.scores[self.rows])


def compare(
    systems: Sequence[System],
    manifest: pd.DataFrame,
    *,
    split: str | None = None,
    options: Options | None = None,
    title: str = "Comparison",
    manifest_digest: str | None = None,
) -> Comparison:
    """Set systems side by side.

    Args:
        systems: two or more, each with a name of its own, the earlier version first.
        manifest: the reference.
        split: which films.
        options: level, intervals, replicates, seed, margin of non-inferiority.
        title: what was compared, in words.
        manifest_digest: to carry along.

    Raises:
        EvaluationError: fewer than two systems, names that repeat, no finding in common, or no film in common.
        PredictionsError, ManifestError: as for `join_films`.
    """
    wanted = options or Options()
    names = [system.name for system in systems]
    if len(systems) < 2 or len(set(names)) < len(names):
        raise EvaluationError(
            f"A comparison needs two or more systems with different names, got {first_few(names, 9)}."
        )
    asked = list(dict.fromkeys(finding for system in systems for finding in system.table.findings))
    common = [finding for finding in asked if all(finding in system.table.findings for system in systems)]
    if not common:
        raise EvaluationError(f"The systems score no finding in common; findings there: {', '.join(asked)}.")
    joined = [join_films(system.table.frame, manifest, split=split) for system in systems]
    return Comparison(
        title=title,
        split=split,
        level=wanted.level,
        margin=wanted.margin,
        replicates=wanted.replicates,
        seed=wanted.seed,
        manifest_digest=manifest_digest,
        systems=tuple(names),
        findings=tuple(_finding(finding, systems, joined, wanted) for finding in common),
        not_compared=tuple(finding for finding in asked if finding not in common),
        versions=software_versions(),
    )


def _finding(finding: str, systems: Sequence[System], joined: Sequence[Joined], options: Options) -> ComparedFinding:
    contestants = _contestants(finding, systems, joined)
    first = contestants[0]
    films, labels = first.scored.films.iloc[first.rows], first.scored.labels[first.rows]
    clusters = clusters_of(films)
    pairs = [_pair(later, earlier, labels, clusters, options) for earlier, later in combinations(contestants, 2)]
    return ComparedFinding(
        finding=finding,
        name=FINDING_NAMES.get(finding, finding),
        reference=first.scored.reference,
        n=len(labels),
        positives=int(labels.sum()),
        negatives=int((~labels).sum()),
        patients=count_patients(films),
        intervals=options.question.resolved(clusters)[0],
        systems=tuple(_system(each, finding, labels, clusters, options) for each in contestants),
        pairs=_adjusted(pairs),
    )


def _contestants(finding: str, systems: Sequence[System], joined: Sequence[Joined]) -> list[_Contestant]:
    """Every system's films of a finding, and which of them are common."""
    scored = [scored_films(each, finding) for each in joined]
    ids = [pd.Index(each.films["image_id"].astype(str)) for each in scored]
    common = ids[0]
    for other in ids[1:]:
        common = common[common.isin(other)]
    if not len(common):
        counts = ", ".join(f"{system.name} {len(each):,}" for system, each in zip(systems, ids, strict=True))
        raise EvaluationError(f"Finding {finding!r}: the systems scored no film in common (films scored: {counts}).")
    return [
        _Contestant(
            system=system,
            scored=each,
            joined=films,
            rows=index.get_indexer(common),
            threshold=thresholds_for(each, finding, system.thresholds)[0],
        )
        for system, each, films, index in zip(systems, scored, joined, ids, strict=True)
    ]


def _system(contestant: _Contestant, finding: str, labels: Bools, clusters: Clusters, options: Options) -> SystemResult:
    threshold, scored, table = contestant.threshold, contestant.scored, contestant.system.table
    values = () if threshold is None else (threshold.value,)
    question = replace(options.question, thresholds=values)
    found = accuracy(labels, contestant.scores, clusters=clusters, question=question)
    plan = question.resolved(clusters)[1]
    return SystemResult(
        films=SystemFilms(
            name=contestant.system.name,
            model_id=None if table.foreign else str(table.frame["model_id"].iloc[0]),
            predictions_digest=table.digest,
            score=table.score_text.get(finding, f"column p_{finding}"),
            scored=len(scored.labels),
            without_score=len(scored.unread_labels),
            not_common=len(scored.labels) - len(contestant.rows),
            left_out=contestant.joined.left_out + scored.left_out,
        ),
        auroc=found.auroc,
        partial_auroc=found.partial_auroc,
        at_sensitivity=found.at_sensitivity,
        at_specificity=found.at_specificity,
        threshold=None if threshold is None else threshold.label,
        operating_point=found.rates[0] if values else None,
        calibration=calibration(labels, contestant.scores, level=options.level, clusters=clusters, plan=plan),
    )


def _pair(later: _Contestant, earlier: _Contestant, labels: Bools, clusters: Clusters, options: Options) -> Pair:
    own = None
    if later.threshold is not None and earlier.threshold is not None:
        own = (later.threshold.value, earlier.threshold.value)

    def paired(thresholds: tuple[float, float] | None) -> PairedAccuracy:
        return compare_scores(
            labels,
            later.scores,
            earlier.scores,
            thresholds=thresholds,
            clusters=clusters,
            question=options.question,
        )

    found = paired(own)
    absent = _why_not_kept(later, earlier)
    kept = None
    if earlier.threshold is not None and absent is None:
        at = earlier.threshold.value
        same = found if own == (at, at) else paired((at, at))
        kept = _kept(
            later.system.name, at, same, options.margin, few=too_few_for_a_yes(int(labels.sum()), int((~labels).sum()))
        )
    return Pair(
        a=later.system.name,
        b=earlier.system.name,
        accuracy=found,
        auroc_p_adjusted=None,
        non_inferiority=_non_inferiority(found, options.margin),
        kept_threshold=kept,
        kept_threshold_absent=absent,
        agreement=_agreement(labels, later.scores >= own[0], earlier.scores >= own[1]) if own else None,
    )


def _agreement(labels: Bools, a: Bools, b: Bools) -> Agreement:
    """Who flags what, among the diseased and among the others."""

    def counted(films: Bools) -> FlagAgreement:
        return FlagAgreement(
            both=int((films & a & b).sum()),
            only_a=int((films & a & ~b).sum()),
            only_b=int((films & ~a & b).sum()),
            neither=int((films & ~a & ~b).sum()),
        )

    return Agreement(positives=counted(labels), negatives=counted(~labels))


def _non_inferiority(found: PairedAccuracy, margin: float) -> NonInferiority | None:
    if found.sensitivity is None:
        return None
    return noninferiority_of_difference(found.sensitivity.difference, margin)


def _why_not_kept(later: _Contestant, earlier: _Contestant) -> str | None:
    if earlier.threshold is None:
        return f"{earlier.system.name} has no operating threshold"
    for each in (later, earlier):
        if len(each.scores) and not 0 <= each.scores.min() <= each.scores.max() <= 1:
            return f"scores of {each.system.name} are no probabilities, so a threshold cannot be carried over"
    return None


def _kept(name: str, threshold: float, same: PairedAccuracy, margin: float, *, few: bool) -> KeptThreshold:
    assert same.sensitivity is not None
    assert same.specificity is not None
    verdict = noninferiority_of_difference(same.sensitivity.difference, margin)
    opening = {
        "shown": f"{name} may keep the old threshold {threshold:.4g}: it loses less than the margin in sensitivity",
        "not_shown": f"That {name} may keep the old threshold {threshold:.4g} is not shown: lock a new one",
        "worse": f"{name} must not keep the old threshold {threshold:.4g}: it loses more than the margin",
    }[verdict.verdict]
    if few and verdict.verdict == "shown":
        # Where hardly a film changes sides, a paired interval is narrow by chance.
        opening = f"That {name} may keep the old threshold {threshold:.4g} is not shown: the films are too few"
    sentence = (
        f"{opening} (sensitivity {same.sensitivity.difference.text()}, "
        f"specificity {same.specificity.difference.text()}, margin {margin:g})."
    )
    return KeptThreshold(
        threshold=threshold,
        sensitivity=same.sensitivity,
        specificity=same.specificity,
        non_inferiority=verdict,
        sentence=sentence,
    )


def _adjusted(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with Holm's adjustment of their AUROC tests."""
    tests = [np.nan if pair.accuracy.auroc.p is None else pair.accuracy.auroc.p for pair in pairs]
    values = holm(tests)
    return tuple(
        pair.model_copy(update={"auroc_p_adjusted": None if np.isnan(value) else float(value)})
        for pair, value in zip(pairs, values, strict=True)
    )
