"""``comparison.json``, its tidy table, and the same in a few lines for a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.evaluation.comparison.records import ComparedFinding, Comparison, Pair, SystemResult
from pipelines.statistics.accuracy.paired import PairedTest
from pipelines.statistics.estimates import Estimate
from pipelines.system import replace_text

COMPARISON_FILE: Final = "comparison.json"
COMPARISON_TABLE: Final = "comparison.csv"


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write ``comparison.csv`` and, last, ``comparison.json`` into a folder; it is made where it does not exist."""
    out.mkdir(parents=True, exist_ok=True)
    replace_text(out / COMPARISON_TABLE, comparison_table(comparison).to_csv(index=False))
    replace_text(out / COMPARISON_FILE, comparison.model_dump_json(indent=1, by_alias=True) + "\n")


def comparison_table(comparison: Comparison) -> pd.DataFrame:
    """One row per finding, system (or pair: ``minus`` names the other system) and metric."""
    columns = ["finding", "system", "minus", "metric", "value", "low", "high", "level", "method", "n", "why", "p"]
    rows = [row for result in comparison.findings for row in _rows(result)]
    return pd.DataFrame(rows, columns=columns)


def _rows(result: ComparedFinding) -> Iterator[dict[str, object]]:
    for system in result.systems:
        for metric, estimate in _system_estimates(system):
            head = {"finding": result.finding, "system": system.films.name, "minus": None, "metric": metric}
            yield head | estimate.model_dump() | {"p": None}
    for pair in result.pairs:
        for metric, test in _pair_tests(pair):
            head = {"finding": result.finding, "system": pair.a, "minus": pair.b, "metric": metric}
            yield head | test.difference.model_dump() | {"p": test.p}


def _system_estimates(system: SystemResult) -> Iterator[tuple[str, Estimate]]:
    yield "auroc", system.auroc
    yield "partial_auroc_mean_specificity", system.partial_auroc.mean_specificity
    for at in system.at_sensitivity:
        yield f"specificity_at_sensitivity_{at.target:g}", at.specificity
    for at in system.at_specificity:
        yield f"sensitivity_at_specificity_{at.target:g}", at.sensitivity
    if system.operating_point is not None:
        for name in ("sensitivity", "specificity", "ppv", "npv", "flagged"):
            yield name, getattr(system.operating_point, name)
    yield "brier", system.calibration.brier
    yield "calibration_slope", system.calibration.slope


def _pair_tests(pair: Pair) -> Iterator[tuple[str, PairedTest]]:
    yield "auroc", pair.accuracy.auroc
    for at in pair.accuracy.at_sensitivity:
        yield f"specificity_at_sensitivity_{at.target:g}", at.free
    for at in pair.accuracy.at_specificity:
        yield f"sensitivity_at_specificity_{at.target:g}", at.free
    for name, test in (("sensitivity", pair.accuracy.sensitivity), ("specificity", pair.accuracy.specificity)):
        if test is not None:
            yield name, test
    if pair.kept_threshold is not None:
        yield "sensitivity_at_kept_threshold", pair.kept_threshold.sensitivity
        yield "specificity_at_kept_threshold", pair.kept_threshold.specificity


def comparison_lines(comparison: Comparison) -> list[str]:
    """The comparison in plain text, one fact a line."""
    lines = [comparison.title]
    for result in comparison.findings:
        patients = "" if result.patients is None else f" of {result.patients:,} patients"
        lines.append(
            f"{result.finding}: {result.n:,} films{patients} that all systems scored, {result.positives:,} positive"
        )
        for system in result.systems:
            lines += _system_lines(system)
        for pair in result.pairs:
            lines += _pair_lines(pair)
    if comparison.not_compared:
        lines.append(f"not compared, because some system has no score: {', '.join(comparison.not_compared)}")
    return lines


def _system_lines(system: SystemResult) -> Iterator[str]:
    films, point = system.films, system.operating_point
    yield f"  {films.name}: AUROC {system.auroc.text(4)}"
    if films.not_common or films.without_score:
        yield (
            f"    not compared: {films.not_common:,} films another system did not score; "
            f"{films.without_score:,} films it gave no score itself"
        )
    if point is not None:
        yield f"    at threshold {point.threshold:.4g} ({system.threshold}):"
        yield f"    sensitivity {point.sensitivity.text()}; specificity {point.specificity.text()}"


def _pair_lines(pair: Pair) -> Iterator[str]:
    yield f"  {pair.a} minus {pair.b}:"
    adjusted = "" if pair.auroc_p_adjusted is None else f" (Holm-adjusted {_p(pair.auroc_p_adjusted)})"
    yield f"    AUROC {_tested(pair.accuracy.auroc)}{adjusted}"
    for at in pair.accuracy.at_sensitivity[:1]:
        yield f"    specificity at sensitivity {at.target:g}: {_tested(at.free)}"
    if pair.accuracy.sensitivity is not None and pair.accuracy.specificity is not None:
        yield f"    sensitivity, each at its own threshold: {_tested(pair.accuracy.sensitivity)}"
        yield f"    specificity, each at its own threshold: {_tested(pair.accuracy.specificity)}"
    if pair.non_inferiority is not None:
        yield f"    {pair.non_inferiority.sentence}"
    if pair.kept_threshold is not None:
        yield f"    {pair.kept_threshold.sentence}"


def _tested(test: PairedTest) -> str:
    return f"{test.difference.text(4)}, {'no p' if test.p is None else _p(test.p)}"


def _p(value: float) -> str:
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.4f}"
