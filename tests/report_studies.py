"""Evaluations with groups and a reading room, made in memory from exact counts, for tests of the report's chapters."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.assessment.proxies import reading_time_proxies
from pipelines.evaluation.evaluator import evaluate_joined
from pipelines.evaluation.finding import Settings
from pipelines.evaluation.joining import join_films
from pipelines.evaluation.options import Options
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.reporting.book import Study
from pipelines.reporting.language.language import language
from pipelines.reporting.printing import Words

THRESHOLD = 0.5
ROOM: dict[str, Any] = {
    "prevalence": 0.1,
    "traffic": 0.8,
    "minutes": 10.0,
    "replications": 4,
    "films_per_replication": 300,
}
"""One reader, exponential reading times: the case with a formula in every class."""


def films(tp: int, fn: int, fp: int, tn: int, **columns: Any) -> pd.DataFrame:
    """Films of one group with exactly these counts at `THRESHOLD`; scores are spread evenly on their side of it."""
    high, low = np.linspace(0.55, 0.99, 1000), np.linspace(0.01, 0.45, 1000)
    sides = [(1, high, tp), (1, low, fn), (0, high, fp), (0, low, tn)]
    parts = [
        pd.DataFrame({"tb": float(label), "p_tb": scores[np.linspace(0, 999, count).astype(int)] - 0.001 * label})
        for label, scores, count in sides
        if count
    ]
    return pd.concat(parts, ignore_index=True).assign(**columns)


def study(
    cohort: pd.DataFrame,
    room: dict[str, Any] | None = None,
    *,
    threshold: float | None = THRESHOLD,
    subgroups: tuple[str, ...] | None = None,
    place: int = 1,
) -> Study:
    """What ``cxr evaluate`` makes of films with ``tb`` and ``p_tb``; ``room`` None: there is no reading-time file."""
    cohort = cohort.reset_index(drop=True)
    names = [f"phantom/f{i:05d}" for i in range(len(cohort))]
    manifest = cohort.drop(columns="p_tb").assign(
        image_id=names, path=[f"{name}.dcm" for name in names], patient_id=names, split="test", dataset="phantom"
    )
    predictions = manifest[["image_id", "path"]].assign(status="ok", reason=None, model_id="m", p_tb=cohort["p_tb"])
    options = Options(replicates=100, subgroups=subgroups)
    joined = join_films(predictions, manifest, split="test")
    thresholds = Thresholds(given={} if threshold is None else {"tb": threshold})
    evaluation = evaluate_joined(joined, ("tb",), Settings(options=options, thresholds=thresholds, split="test"))
    proxies = None
    if room is not None:
        proxies = reading_time_proxies(evaluation, joined, parse_scenario(room, source="test"), plan=options.plan)
    return Study(place, Path("evaluation"), evaluation, proxies)


def english(book: Any) -> Words:
    """The report's words in English."""
    return Words(language("en"), book)
