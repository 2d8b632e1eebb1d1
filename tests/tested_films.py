"""Evaluations of made-up films whose right answers are counted by hand, and the three first chapters over them."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.evaluation.evaluator import evaluate
from pipelines.evaluation.options import Options
from pipelines.evaluation.records import Evaluation
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.reporting.book import Study, make_book
from pipelines.reporting.language.language import language
from pipelines.reporting.printing import Words

MODEL = "m1"
HOSTILE = "<script>alert(1)</script>\u202e$\\frac{a}$ 中文 " + "x" * 10_000


def films(found, missed, alarms, cleared, *, finding="tb", **columns):
    """Manifest and predictions with exactly these outcomes at a threshold of 0.5.

    Args:
        found: films with the finding that are flagged; then missed ones, false alarms and films rightly left alone.
        finding: the label column.
        columns: further columns; ``control_tb`` and the like go to the predictions.
    """
    n = found + missed + alarms + cleared
    ids = [f"a/{number}" for number in range(n)]
    rng = np.random.default_rng(5)
    label = np.r_[np.ones(found + missed), np.zeros(alarms + cleared)]
    flag = np.r_[np.ones(found), np.zeros(missed), np.ones(alarms), np.zeros(cleared)]
    manifest = pd.DataFrame({"image_id": ids, "path": "x", "dataset": "a", "site": "Huế", "split": "test"})
    manifest["patient_id"] = [f"p{number}" for number in range(n)]
    manifest["reference_standard"] = "microbiology"
    manifest[finding] = label
    predictions = pd.DataFrame({"image_id": ids, "status": "ok", "reason": None, "model_id": MODEL})
    predictions[f"p_{finding}"] = 0.5 * flag + 0.45 * rng.random(n)
    for name, value in columns.items():
        (predictions if name.startswith("control_") else manifest)[name] = value
    return manifest, predictions


def locked_at_half(finding="tb", **rule):
    """A point locked at 0.5."""
    rule = rule or {"target_sensitivity": 0.9}
    labels, scores = [1, 1, 1, 0, 0, 0], [0.9, 0.7, 0.5, 0.3, 0.2, 0.1]
    return lock_operating_point(
        labels, scores, finding=finding, cohort="a val", model_id=MODEL, date="2026-01-31", **rule
    )


def evaluated(
    tables, *, finding="tb", locked=True, threshold=None, split="test", title="A test", prevalence=0.1, **how
):
    """The evaluation of such tables: at the locked point, at a given threshold, or without any."""
    manifest, predictions = tables
    thresholds = Thresholds(
        locked={finding: locked_at_half(finding)} if locked and threshold is None else {},
        given={} if threshold is None else {finding: threshold},
        **how,
    )
    return evaluate(
        predictions,
        manifest,
        findings=(finding,),
        split=split,
        thresholds=thresholds,
        options=Options(replicates=100, prevalence=prevalence),
        title=title,
    )


@cache
def usual():
    """45 found, 5 missed, 30 false alarms, 120 rightly left alone, at the locked point."""
    return evaluated(films(45, 5, 30, 120))


def book_of(*evaluations):
    """A book of evaluations as their files give them back, without folders on the disk."""
    saved = (Evaluation.model_validate_json(each.model_dump_json(by_alias=True)) for each in evaluations)
    return make_book(tuple(Study(place, Path("nowhere"), each, None) for place, each in enumerate(saved, 1)))


def read(chapter, *evaluations, code="en"):
    """A chapter over evaluations."""
    book = book_of(*evaluations)
    return chapter(book, Words(language(code), book))


def changed(evaluation, **updates):
    """The evaluation with other fields in its first finding."""
    first, *others = evaluation.findings
    return evaluation.model_copy(update={"findings": (first.model_copy(update=updates), *others)})


def plain_text(markup):
    """What a reader sees, with single spaces."""
    return " ".join(markup.striptags().replace("\N{NO-BREAK SPACE}", " ").split())


def printed(markup):
    """Where the numbers come from, with the numbers."""
    return {
        source: float(value) for value, source in re.findall(r'<data value="([^"]*)" data-from="([^"]*)"', str(markup))
    }
