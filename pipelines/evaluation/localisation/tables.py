"""Localisation results as tidy tables: one row per estimate, one row per corner of a curve."""

from collections.abc import Iterator, Sequence

import pandas as pd

from pipelines.evaluation.localisation.records import Froc
from pipelines.statistics.estimates import Estimate


def froc_table(results: Sequence[Froc]) -> pd.DataFrame:
    """Every estimate as one row: ``finding``, ``quantity``, ``false_positives`` (counted on), ``at``, the estimate."""
    rows = []
    for froc in results:
        for quantity, counted, at, estimate in _estimates(froc):
            rows.append(
                {"finding": froc.finding, "quantity": quantity, "false_positives": counted, "at": at}
                | estimate.model_dump()
            )
    names = ("finding", "quantity", "false_positives", "at", *Estimate.model_fields)
    return pd.DataFrame(rows, columns=list(names))


def _estimates(froc: Froc) -> Iterator[tuple[str, str | None, str | None, Estimate]]:
    for counted, scores in (("all films", froc.all_films), ("normal films", froc.normal_films)):
        yield "cpm", counted, None, scores.cpm
        for rate in scores.at_rates:
            held = " (held)" if rate.held else ""
            yield "lesion_sensitivity", counted, f"{rate.false_positives_per_image:g} per image{held}", rate.sensitivity
    yield "jafroc", "normal films", None, froc.jafroc
    yield "lroc_area", "normal films", None, froc.lroc.area
    yield "correct_localisation", None, None, froc.lroc.correct
    yield "correct_localisation", None, "threshold", froc.lroc.correct_at_threshold
    yield "false_positive_fraction", "normal films", "threshold", froc.lroc.false_positive_at_threshold
    yield "lesion_sensitivity", None, "threshold", froc.sensitivity_at_threshold
    yield "false_positives_per_image", "all films", "threshold", froc.false_positives_at_threshold
    for band in froc.bands:
        yield "lesion_sensitivity", None, f"threshold, {band.name}", band.at_threshold
        yield "lesion_sensitivity", "all films", f"1 per image, {band.name}", band.at_one_false_positive


def froc_curve_table(results: Sequence[Froc]) -> pd.DataFrame:
    """Every corner of every curve as one row: ``finding``, ``curve``, ``threshold``, ``x``, ``y``."""
    names = ("finding", "curve", "threshold", "x", "y")
    rows = []
    for froc in results:
        for name, curve in (("froc, all films", froc.all_films.curve), ("froc, normal films", froc.normal_films.curve)):
            if curve:
                corners = zip(curve.thresholds, curve.false_positives_per_image, curve.sensitivity, strict=True)
                rows += [(froc.finding, name, *corner) for corner in corners]
        if froc.lroc.curve:
            lroc = froc.lroc.curve
            corners = zip(lroc.thresholds, lroc.false_positive_fraction, lroc.correct_localisation, strict=True)
            rows += [(froc.finding, "lroc", *corner) for corner in corners]
    return pd.DataFrame(rows, columns=list(names))
