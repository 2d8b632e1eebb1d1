"""Does the system work as well in every group? Accuracy by subgroup, and gaps with intervals that allow for many looks.

Each group is compared with the rest: all other films whose value of the column is known (with two groups, the other
one). Sensitivity, specificity, PPV, NPV and the flagged share need a threshold; PPV, NPV and the flagged share also
differ where only the prevalence differs. A number from fewer films than `Limits` asks for is suppressed, not estimated.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import pandas as pd
from scipy import stats

from pipelines.errors import EvaluationError
from pipelines.evaluation.joining import Scored
from pipelines.evaluation.patients import count_patients
from pipelines.evaluation.subgroups.columns import DEFAULT_COLUMNS, Grouping, group_films
from pipelines.evaluation.subgroups.records import METRIC_NAMES, Gap, Metric, Spread, Subgroup, SubgroupColumn
from pipelines.evaluation.subgroups.sides import (
    NAMES,
    SHARES,
    Difference,
    Engine,
    Limits,
    Sides,
    engine_for,
)
from pipelines.statistics.estimates import DEFAULT_LEVEL, Estimate, clipped
from pipelines.statistics.multiplicity import holm, sidak_level
from pipelines.statistics.planning.power import DEFAULT_POWER, sample_size_for_gap
from pipelines.statistics.resampling import Clusters, Plan

COMPARED: Final[tuple[Metric, ...]] = ("auroc", *SHARES)
"""Metrics in which groups are compared."""
_SAME: Final = 1e-9


@dataclass(frozen=True)
class _Compared:
    """A gap before the whole family of tests is known."""

    number: int
    gap: Gap


def subgroups(
    scored: Scored,
    *,
    threshold: float | None,
    clusters: Clusters,
    plan: Plan | None = None,
    columns: Sequence[str] | None = None,
    level: float = DEFAULT_LEVEL,
    limits: Limits | None = None,
) -> tuple[SubgroupColumn, ...]:
    """Accuracy by subgroup of one finding, and the gaps.

    Args:
        scored: the films of the finding.
        threshold: a film is flagged where its score is at least this; None: no threshold, and the AUROC alone.
        clusters: the patient of each film, in the order of the films.
        plan: how to resample where a patient has several films; None takes the defaults.
        columns: columns of ``scored.films``, letter for letter; None takes `DEFAULT_COLUMNS`.
        level: confidence level: of each group's intervals by themselves, of each column's gaps together.
        limits: below which numbers are suppressed; None takes the defaults.

    Returns:
        One record per column, in the order asked for; a default column that these films do not have, or whose values
        cannot be groups, is there without groups and says why.

    Raises:
        EvaluationError: a column named by the user that is not there, is there twice, or holds identifiers, dates or
            lists.
    """
    assert len(clusters.index) == len(scored.labels)
    groupings, absent = _groupings(scored.films, clusters, columns)
    sides = Sides(scored.labels, scored.scores, threshold, clusters, groupings, limits or Limits())
    engine = engine_for(sides, plan or Plan())
    compared = [
        _Compared(number, gap) for number in range(len(groupings)) for gap in _gaps(sides, engine, number, level)
    ]
    judged = _judged(compared, level)
    found = {
        grouping.column: SubgroupColumn(
            column=grouping.column,
            reference=_reference(grouping),
            groups=tuple(_group(sides, engine, side, scored.films, level) for side in _sides_of(sides, number)),
            gaps=tuple(item.gap for item in judged if item.number == number),
            spreads=tuple(_spreads(sides, engine, number, level)),
            notes=(*grouping.notes, *_notes(sides, number)),
        )
        for number, grouping in enumerate(groupings)
    }
    return tuple((found | absent)[name] for name in dict.fromkeys(columns or DEFAULT_COLUMNS))


def _groupings(
    films: pd.DataFrame, clusters: Clusters, columns: Sequence[str] | None
) -> tuple[list[Grouping], dict[str, SubgroupColumn]]:
    groupings, absent = [], {}
    for name in dict.fromkeys(columns or DEFAULT_COLUMNS):
        if columns is None and name not in films.columns:
            absent[name] = _without_groups(name, f"These films have no column {name!r}.")
            continue
        try:
            groupings.append(group_films(films, name, clusters.present))
        except EvaluationError as error:
            if columns is not None:
                raise
            absent[name] = _without_groups(name, str(error).removeprefix(f"--subgroup {name}: ").capitalize())
    return groupings, absent


def _without_groups(name: str, why: str) -> SubgroupColumn:
    return SubgroupColumn(column=name, reference="nothing", groups=(), gaps=(), spreads=(), notes=(why,))


def _sides_of(sides: Sides, number: int) -> range:
    first = sides.start(number)
    return range(first, first + len(sides.groupings[number].names))


def _known_sides(sides: Sides, number: int) -> list[int]:
    return [side for side in _sides_of(sides, number) if sides.films.known[side]]


def _name(sides: Sides, number: int, side: int) -> str:
    return sides.groupings[number].names[side - sides.start(number)]


def _reference(grouping: Grouping) -> str:
    known = [name for name, kind in zip(grouping.names, grouping.kinds, strict=True) if kind != "unknown"]
    if len(known) < 2:
        return "nothing: fewer than two groups"
    return f"the group {known[1]}" if len(known) == 2 else "all other films with a known value"


def _notes(sides: Sides, number: int) -> Iterator[str]:
    known = _known_sides(sides, number)
    if len(known) == 1:
        yield "There is one group only, so there is nothing to compare it with."
    if sides.threshold is None and len(known) > 1:
        yield "No threshold was locked or given, so groups are compared by their AUROC alone."
    elif len(known) > 1:
        yield "PPV, NPV and the flagged share also differ where only the prevalence differs."


def _group(sides: Sides, engine: Engine, side: int, films: pd.DataFrame, level: float) -> Subgroup:
    number = int(sides.films.partition[side])
    grouping, local = sides.groupings[number], side - sides.start(number)
    positive, negative = (int(count) for count in sides.counts[side, :2])
    return Subgroup(
        name=grouping.names[local],
        kind=grouping.kinds[local],
        n=positive + negative,
        patients=count_patients(films[sides.inside(side)]),
        positives=positive,
        negatives=negative,
        **{metric: _metric(sides, engine, side, metric, level) for metric in METRIC_NAMES},
    )


def _metric(sides: Sides, engine: Engine, side: int, metric: Metric, level: float) -> Estimate:
    why = sides.suppressed(side, metric)
    if why:
        return Estimate.absent(why, method=NAMES[metric], n=sides.size(side, metric), level=level)
    return engine.estimate(side, metric, level)


def _pairs(sides: Sides, number: int) -> list[tuple[int, int]]:
    """Each known group and its rest; with two groups, which are each other's rest, the first alone."""
    known = _known_sides(sides, number)
    return [(side, sides.groups + side) for side in (known[:1] if len(known) == 2 else known) if len(known) > 1]


def _gaps(sides: Sides, engine: Engine, number: int, level: float) -> Iterator[Gap]:
    pairs = _pairs(sides, number)
    against = "all other films with a known value"
    if len(_known_sides(sides, number)) == 2:
        against = _name(sides, number, _known_sides(sides, number)[1])
    for metric in COMPARED if sides.threshold is not None else COMPARED[:1]:
        lacking = {pair: _lacking(sides, pair, metric) for pair in pairs}
        usable = [pair for pair in pairs if lacking[pair] is None]
        differences = dict(zip(usable, engine.differences(metric, usable, level), strict=True))
        for pair in pairs:
            group = _name(sides, number, pair[0])
            yield _gap(
                sides, metric, pair, (group, against), differences.get(pair) or lacking[pair], len(usable), level
            )


def _gap(
    sides: Sides,
    metric: Metric,
    pair: tuple[int, int],
    names: tuple[str, str],
    found: Difference | str | None,
    comparisons: int,
    level: float,
) -> Gap:
    """A gap, or why there is none; adjusted p-value and verdict follow when the whole family is known."""
    n = sum(sides.size(side, metric) for side in pair)
    if isinstance(found, Difference):
        difference, p_value = _estimate(found, metric, n, level), found.p_value
        needed = _films_needed(sides, metric, pair, found, sidak_level(level, comparisons))
    else:
        assert found
        difference, p_value, needed = Estimate.absent(found, method=_method(metric), n=n, level=level), None, None
    return Gap(
        metric=metric,
        group=names[0],
        against=names[1],
        group_value=_shown(sides, pair[0], metric),
        against_value=_shown(sides, pair[1], metric),
        difference=difference,
        p_value=p_value,
        p_adjusted=None,
        verdict="too few films",
        films_needed=needed,
    )


def _lacking(sides: Sides, pair: tuple[int, int], metric: Metric) -> str | None:
    """Why two sides cannot be compared."""
    own, other = (sides.suppressed(side, metric) for side in pair)
    if own is None and other is not None:
        return f"in the films it is compared with: {other}"
    return own


def _shown(sides: Sides, side: int, metric: Metric) -> float | None:
    return None if sides.suppressed(side, metric) else sides.value(side, metric)


def _method(metric: Metric) -> str:
    return f"difference in {NAMES[metric]}"


def _estimate(found: Difference, metric: Metric, n: int, level: float) -> Estimate:
    method, low, high = f"{_method(metric)}; {found.method}", found.low, found.high
    if low is None or high is None:
        why = "a side has no interval: its bootstrap replicates are all equal or mostly undefined"
        return Estimate(value=found.value, low=None, high=None, level=level, method=method, n=n, why=why)
    low, high = clipped(found.value, low, high, (-1.0, 1.0))
    return Estimate(value=found.value, low=low, high=high, level=level, method=method, n=n)


def _films_needed(sides: Sides, metric: Metric, pair: tuple[int, int], found: Difference, level: float) -> int | None:
    """Films of side a that would show the observed gap at Šidák's level with 80 % power, side b growing alike.

    Shares: `sample_size_for_gap` times the design effect (the variance found over the binomial one, at least 1).
    AUROC: the variance found falls with 1 / films.
    """
    if abs(found.value) < _SAME or not found.standard_error > 0:
        return None
    n_a, n_b = (sides.size(side, metric) for side in pair)
    if metric == "auroc":
        z = stats.norm.isf((1 - level) / 2) + stats.norm.ppf(DEFAULT_POWER)
        return math.ceil(n_a * float(z * found.standard_error / found.value) ** 2)
    a, b = (sides.value(side, metric) for side in pair)
    plain = sample_size_for_gap(a, b, level=level, power=DEFAULT_POWER, ratio=n_b / n_a)
    binomial = a * (1 - a) / n_a + b * (1 - b) / n_b
    design = max(1.0, found.standard_error**2 / binomial) if sides.repeated and binomial > 0 else 1.0
    return None if plain is None else math.ceil(plain * design)


def _judged(compared: Sequence[_Compared], level: float) -> list[_Compared]:
    """Adjust over the whole family, and say in words what was shown."""
    adjusted = holm([math.nan if item.gap.p_value is None else item.gap.p_value for item in compared])
    judged = []
    for item, p_value in zip(compared, adjusted, strict=True):
        bounds = item.gap.difference
        if not math.isnan(p_value) and bounds.low is not None and bounds.high is not None:
            apart = (bounds.low > 0 or bounds.high < 0) and p_value < 1 - level
            told = {"p_adjusted": float(p_value), "verdict": "shown" if apart else "not shown"}
            item = replace(item, gap=item.gap.model_copy(update=told))
        judged.append(item)
    return judged


def _spreads(sides: Sides, engine: Engine, number: int, level: float) -> Iterator[Spread]:
    """Highest against lowest group, with the interval that holds over all pairs of groups."""
    for metric in COMPARED if sides.threshold is not None else COMPARED[:1]:
        usable = [side for side in _known_sides(sides, number) if sides.suppressed(side, metric) is None]
        if len(usable) < 2:
            continue
        ranked = sorted(usable, key=lambda side: -sides.value(side, metric))
        pairs = list(combinations(ranked, 2))
        widest = pairs.index((ranked[0], ranked[-1]))
        found = engine.differences(metric, pairs, level)[widest]
        yield Spread(
            metric=metric,
            highest=_name(sides, number, ranked[0]),
            lowest=_name(sides, number, ranked[-1]),
            difference=_estimate(found, metric, sum(sides.size(side, metric) for side in pairs[widest]), level),
        )
