"""Books of made-up evaluations for the tests of single chapters of the report."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.evaluation.evaluator import evaluate
from pipelines.evaluation.options import Options
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.reporting.book import Study, make_book
from pipelines.reporting.language.language import language
from pipelines.reporting.printing import Words
from pipelines.statistics.estimates import Estimate

HOSTILE = "<script>alert(1)</script>\u202e=cmd|'!A1 $\\frac{a}$ 中文 " + "x" * 10_000


def tables(labels, scores, *, dataset="a", **columns):
    """Manifest and predictions of films with a label and a score; more columns go to the table that knows them."""
    ids = [f"{dataset}/f{number}" for number in range(len(labels))]
    manifest = pd.DataFrame({"image_id": ids, "path": ids, "dataset": dataset, "split": "test"})
    manifest["patient_id"] = [f"p{number}" for number in range(len(labels))]
    manifest["tb"] = np.asarray(labels, dtype=float)
    predictions = pd.DataFrame({"image_id": ids, "status": "ok", "reason": None, "model_id": "m", "p_tb": scores})
    for name, values in columns.items():
        (predictions if name.startswith(("peak_", "control_")) else manifest)[name] = values
    return manifest, predictions


def evaluated(labels, scores, *, threshold=0.5, title="A title", prevalence=0.1, **columns):
    """An evaluation of one finding."""
    manifest, predictions = tables(labels, scores, **columns)
    return evaluate(
        predictions,
        manifest,
        findings=["tb"],
        split="test",
        title=title,
        thresholds=Thresholds(given={"tb": threshold}) if threshold is not None else None,
        options=Options(replicates=100, prevalence=prevalence),
    )


def book_of(*evaluations):
    """A report of evaluations."""
    return make_book(tuple(Study(place, Path("e"), each, None) for place, each in enumerate(evaluations, 1)))


def with_result(evaluation, **changes):
    """The evaluation with other records in its first finding."""
    result = evaluation.findings[0].model_copy(update=changes)
    return evaluation.model_copy(update={"findings": (result, *evaluation.findings[1:])})


def words_for(book, code="en"):
    """The report's words."""
    return Words(language(code), book)


def estimate(value, low=None, high=None, n=100):
    """A number with an interval, or without."""
    return Estimate(
        value=value, low=low, high=high, level=0.95, method="m", n=n, why="no interval" if low is None else None
    )


def text_of(html):
    """The words of a piece of page, without its figures."""
    return " ".join(html.striptags().split())


def cells(chapter, key):
    """Rows of a table as the manuscript forms have them: by head of the row, then by column."""
    table = next(table for table in chapter.tables if table.key == key)
    return {row[0].text: dict(zip([column.key for column in table.columns], row, strict=True)) for row in table.rows}
