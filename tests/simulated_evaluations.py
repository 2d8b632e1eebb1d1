"""Evaluations of simulated scores, with the films they are made from, for tests of the report."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.assessment.proxies import reading_time_proxies
from pipelines.evaluation.evaluator import evaluate_joined
from pipelines.evaluation.finding import Settings
from pipelines.evaluation.joining import Joined, join_films
from pipelines.evaluation.options import Options
from pipelines.evaluation.records import Evaluation
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.reporting.book import Book, Study, make_book

FINDINGS = ("tb", "nodule")


@dataclass(frozen=True)
class Simulated:
    """Films, and what `cxr evaluate` makes of them."""

    joined: Joined
    study: Study
    options: Options

    @property
    def book(self) -> Book:
        """A report of this evaluation alone."""
        return make_book((self.study,))


def simulated(
    *,
    films: int,
    patients: int,
    positives: dict[str, int],
    thresholds: Thresholds | None = None,
    digits: int = 16,
    options: Options | None = None,
    prevalence: float | None = 0.1,
    place: int = 1,
) -> Simulated:
    """An evaluation of simulated scores.

    Args:
        films: how many.
        patients: of so many patients; fewer than films: intervals by bootstrap.
        positives: positive films by finding.
        thresholds: the operating thresholds and others.
        digits: decimals of the scores; few make ties.
        options: as for `cxr evaluate`.
        prevalence: of the reading room; None: there is no reading-time file.
        place: of the evaluation in its report.
    """
    rng = np.random.default_rng(5)
    manifest = pd.DataFrame(
        {
            "image_id": [f"phantom/f{i:05d}" for i in range(films)],
            "path": [f"films/f{i:05d}.dcm" for i in range(films)],
            "dataset": "phantom",
            "patient_id": [f"p{i % patients}" for i in range(films)],
            "split": "test",
        }
    )
    predictions = manifest[["image_id", "path"]].assign(status="ok", reason=None, model_id="model-a")
    for finding in FINDINGS:
        label = np.zeros(films)
        label[rng.permutation(films)[: positives[finding]]] = 1
        odds = rng.normal(1.9 * label - 1.5, 1.1)
        manifest[finding] = label
        predictions[f"p_{finding}"] = np.round(1 / (1 + np.exp(-odds)), digits)
    options = options or Options(replicates=200)
    joined = join_films(predictions, manifest, split="test")
    settings = Settings(options=options, thresholds=thresholds or Thresholds(), split="test")
    made = evaluate_joined(joined, FINDINGS, settings)
    evaluation = Evaluation.model_validate_json(made.model_dump_json(by_alias=True))  # as its file says it
    proxies = None
    if prevalence is not None:
        small = {"traffic": 0.5, "minutes": 5.0, "replications": 2, "films_per_replication": 200}
        room = parse_scenario({"prevalence": prevalence, **small}, source="test")
        proxies = reading_time_proxies(evaluation, joined, room, plan=options.plan)
    return Simulated(joined, Study(place, Path("evaluation"), evaluation, proxies), options)
