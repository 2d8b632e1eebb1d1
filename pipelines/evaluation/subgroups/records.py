"""What an evaluation says about groups of films."""

from typing import Literal

import pandas as pd

from pipelines.evaluation.subgroups.columns import Kind
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.record import Record

Metric = Literal["auroc", "sensitivity", "specificity", "ppv", "npv", "flagged", "observed_expected"]
Verdict = Literal["shown", "not shown", "too few films"]


class Subgroup(Record):
    """One group of films."""

    name: str
    """Value or band; "unknown" for films without a known value."""
    kind: Kind
    n: int
    patients: int | None
    """Different patients; null where some patient of these films is unknown."""
    positives: int
    negatives: int
    auroc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    """At the prevalence of this group."""
    npv: Estimate
    """At the prevalence of this group."""
    flagged: Estimate
    """Share of the group's films that were flagged."""
    observed_expected: Estimate
    """Positive films over the sum of their scores: 1 = calibrated in the large, above 1 = scores too low."""

    def metric(self, name: Metric) -> Estimate:
        """One of the estimates by its name."""
        found = getattr(self, name)
        assert isinstance(found, Estimate)
        return found


class Gap(Record):
    """One group against the films it is compared with, in one metric."""

    metric: Metric
    group: str
    against: str
    """The other group where there are two; else all other films with a known value."""
    group_value: float | None
    against_value: float | None
    difference: Estimate
    """Group minus the others; the interval holds together with those of all groups of this column and metric."""
    p_value: float | None
    """Of this gap alone, two-sided; null where there is no test."""
    p_adjusted: float | None
    """Holm's adjustment over all gaps of all columns and metrics of this finding."""
    verdict: Verdict
    """``shown``: the simultaneous interval excludes 0 and the adjusted p-value is below 1 - level; ``too few films``:
    a side is suppressed or has no interval."""
    films_needed: int | None
    """Films of the group in the metric's denominator (for the AUROC: of both classes) that would show a gap of the
    observed size with 80 % power, the comparison group growing alike; null where there is no gap to show."""


class Spread(Record):
    """How far apart the groups of a column lie in one metric."""

    metric: Metric
    highest: str
    lowest: str
    difference: Estimate
    """Highest minus lowest of the groups that are not suppressed; the interval allows for having looked at all pairs
    of groups, and so holds although the two were chosen by their values."""


class SubgroupColumn(Record):
    """Everything about one column."""

    column: str
    reference: str
    """What each group is compared with, in words."""
    groups: tuple[Subgroup, ...]
    """Empty where the films have no such column."""
    gaps: tuple[Gap, ...]
    spreads: tuple[Spread, ...]
    notes: tuple[str, ...]


def subgroups_table(finding: str, columns: tuple[SubgroupColumn, ...]) -> pd.DataFrame:
    """One row per group and metric, with the group's films, patients, positives and negatives."""
    rows = [
        {
            "finding": finding,
            "column": part.column,
            "group": group.name,
            "films": group.n,
            "patients": group.patients,
            "positives": group.positives,
            "negatives": group.negatives,
            "metric": metric,
            **_cells(group.metric(metric)),
        }
        for part in columns
        for group in part.groups
        for metric in METRIC_NAMES
    ]
    heads = ["finding", "column", "group", "films", "patients", "positives", "negatives", "metric", *_ESTIMATE]
    return pd.DataFrame(rows, columns=heads).astype({"patients": "Int64"})


def gaps_table(finding: str, columns: tuple[SubgroupColumn, ...]) -> pd.DataFrame:
    """One row per gap, then one per spread (``kind`` tells them apart)."""
    rows: list[dict[str, object]] = []
    for part in columns:
        for gap in part.gaps:
            said = gap.model_dump(exclude={"difference"})
            rows.append({"finding": finding, "column": part.column, "kind": "gap", **said, **_cells(gap.difference)})
        for spread in part.spreads:
            pair = {"metric": spread.metric, "group": spread.highest, "against": spread.lowest}
            rows.append(
                {"finding": finding, "column": part.column, "kind": "spread", **pair, **_cells(spread.difference)}
            )
    last = ["group_value", "against_value", "p_value", "p_adjusted", "verdict", "films_needed"]
    heads = ["finding", "column", "kind", "metric", "group", "against", *_ESTIMATE, *last]
    return pd.DataFrame(rows, columns=heads).astype({"films_needed": "Int64"})


METRIC_NAMES: tuple[Metric, ...] = (
    "auroc",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "flagged",
    "observed_expected",
)
_ESTIMATE = ("value", "low", "high", "level", "n", "method", "why")


def _cells(estimate: Estimate) -> dict[str, object]:
    return {name: getattr(estimate, name) for name in _ESTIMATE}
