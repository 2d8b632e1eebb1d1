"""The tidy tables of an evaluation: one row per fact, one file per kind of fact."""

from collections.abc import Iterator
from typing import Final

import pandas as pd

from pipelines.evaluation.control import controls_of
from pipelines.evaluation.localisation.tables import froc_curve_table, froc_table
from pipelines.evaluation.records import Evaluation, FindingResult, OperatingResult
from pipelines.evaluation.subgroups.records import gaps_table, subgroups_table
from pipelines.evaluation.thresholds.programme import NUMBERS
from pipelines.statistics.estimates import Estimate

_RATES: Final = ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative", "flagged")
_CALIBRATION: Final = (
    "ece",
    "ece_equal_width",
    "brier",
    "reliability",
    "resolution",
    "uncertainty",
    "scaled_brier",
    "observed_expected",
    "intercept",
    "slope",
    "spiegelhalter_z",
    "spiegelhalter_p",
)


def tidy_tables(evaluation: Evaluation) -> dict[str, pd.DataFrame]:
    """Every table by its file name."""
    findings = evaluation.findings
    return {
        "metrics.csv": metrics_table(evaluation),
        "roc.csv": roc_table(evaluation),
        "thresholds.csv": thresholds_table(evaluation),
        "calibration.csv": calibration_table(evaluation),
        "decision_curve.csv": decision_table(evaluation),
        "subgroups.csv": _stacked([subgroups_table(each.finding, each.subgroups) for each in findings]),
        "subgroup_gaps.csv": _stacked([gaps_table(each.finding, each.subgroups) for each in findings]),
        "froc.csv": froc_table([each.froc for each in findings]),
        "froc_curve.csv": froc_curve_table([each.froc for each in findings]),
        "left_out.csv": left_out_table(evaluation),
    }


def _stacked(parts: list[pd.DataFrame]) -> pd.DataFrame:
    # As objects: a column that is empty in one part says nothing about the type of the others.
    full = [part.astype(object) for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else parts[0]


def estimates_of(result: FindingResult) -> dict[str, Estimate]:
    """Every single number of one finding by its name in ``metrics.csv``."""
    found = {"auroc": result.auroc, "prevalence": result.prevalence}
    for control in controls_of(result):
        of = "" if control.kind in (None, "shape_free") else f"_{control.kind}"
        found |= {f"control{of}_auroc": control.auroc, f"auroc_minus_control{of}": control.difference}
    band = result.partial_auroc
    found |= {
        "partial_auroc": band.area,
        "partial_auroc_mean_specificity": band.mean_specificity,
        "partial_auroc_standardised": band.standardised,
    }
    for at in result.at_sensitivity:
        found |= {f"specificity_at_sensitivity_{at.target:g}": at.specificity}
        found |= {f"threshold_at_sensitivity_{at.target:g}": at.threshold}
    for at in result.at_specificity:
        found |= {f"sensitivity_at_specificity_{at.target:g}": at.sensitivity}
        found |= {f"threshold_at_specificity_{at.target:g}": at.threshold}
    if result.operating_point:
        found |= dict(_point_estimates(result.operating_point))
    for number, point in enumerate(result.other_points, 1):
        prefix = f"{point.source}_{point.purpose}_{number}"
        found |= {f"{prefix}_{name}": estimate for name, estimate in _point_estimates(point)}
    found |= {f"calibration_{name}": getattr(result.calibration, name) for name in _CALIBRATION}
    found |= {"froc_cpm": result.froc.all_films.cpm, "lroc_area": result.froc.lroc.area}
    return found


def _point_estimates(point: OperatingResult) -> Iterator[tuple[str, Estimate]]:
    for name in _RATES:
        yield name, getattr(point, name)
    if point.local is not None:
        yield "ppv_local", point.local.ppv
        yield "npv_local", point.local.npv
    for name in NUMBERS:
        if (number := getattr(point.programme, name)) is not None:  # absent from evaluations by earlier versions
            yield name, number
    yield "intention_to_read_sensitivity", point.intention_to_read.sensitivity
    yield "intention_to_read_specificity", point.intention_to_read.specificity
    yield "intention_to_read_flagged", point.intention_to_read.flagged
    yield "localisation", point.localisation


def metrics_table(evaluation: Evaluation) -> pd.DataFrame:
    """Long form: one row per finding and metric."""
    columns = ["finding", "metric", "value", "low", "high", "level", "method", "n", "why"]
    rows = [
        {"finding": result.finding, "metric": metric, **estimate.model_dump()}
        for result in evaluation.findings
        for metric, estimate in estimates_of(result).items()
    ]
    return pd.DataFrame(rows, columns=columns)


def roc_table(evaluation: Evaluation) -> pd.DataFrame:
    """Long form: one row per finding and point of the curve; an empty threshold flags no film."""
    columns = ["finding", "threshold", "false_positive_rate", "true_positive_rate"]
    rows = [
        (result.finding, *point)
        for result in evaluation.findings
        if result.roc
        for point in zip(
            result.roc.thresholds, result.roc.false_positive_rate, result.roc.true_positive_rate, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def thresholds_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per finding and threshold of the table, with pointwise bounds."""
    parts = []
    for result in evaluation.findings:
        table = result.thresholds
        part = {"threshold": table.thresholds, "true_positive": table.true_positive}
        part |= {"false_positive": table.false_positive}
        for name in ("sensitivity", "specificity", "flagged"):
            band = getattr(table, name)
            part |= {name: band.value, f"{name}_low": band.low, f"{name}_high": band.high}
        parts.append(pd.DataFrame(part).assign(positives=table.positives, negatives=table.negatives))
        parts[-1].insert(0, "finding", result.finding)
    return _stacked(parts)


def calibration_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per finding and bin of scores."""
    columns = ["finding", "low", "high", "mean_score", "n", "positives", "observed", "observed_low", "observed_high"]
    rows = [
        (
            *(result.finding, each.low, each.high, each.mean_score, each.n, each.positives),
            *(each.observed.value, each.observed.low, each.observed.high),
        )
        for result in evaluation.findings
        for each in result.calibration.bins
    ]
    return pd.DataFrame(rows, columns=columns)


def decision_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per finding, threshold probability and quantity."""
    names = ("flagged", "net_benefit", "treat_all", "standardised", "over_best_default", "avoided_per_100")
    columns = ["finding", "threshold", "quantity", "value", "low", "high", "why"]
    rows = [
        (result.finding, point.threshold, name, found.value, found.low, found.high, found.why)
        for result in evaluation.findings
        for point in result.decision_curve.points
        for name in names
        for found in [getattr(point, name)]
    ]
    return pd.DataFrame(rows, columns=columns)


def left_out_table(evaluation: Evaluation) -> pd.DataFrame:
    """Long form: one row per reason; finding ``all`` for films left out of everything."""
    scopes = [("all", evaluation.films.left_out), *((r.finding, r.left_out) for r in evaluation.findings)]
    rows = [(scope, item.code, item.n, item.meaning) for scope, items in scopes for item in items]
    return pd.DataFrame(rows, columns=["finding", "code", "n", "meaning"])
