"""A spread of small evaluations, for the tests that every sentence in their files is known to the catalogues."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from pipelines.assessment.proxies import reading_time_proxies
from pipelines.evaluation.comparison.compare import System, compare
from pipelines.evaluation.evaluator import evaluate, table_thresholds
from pipelines.evaluation.joining import join_films
from pipelines.evaluation.localisation.marks import Criterion, read_marks
from pipelines.evaluation.options import Options
from pipelines.evaluation.tables import PredictionsTable
from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.evaluation.thresholds.programme import Costs
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.statistics.resampling import Plan

REPLICATES = 100
COHORT = "clinic nine, spring"
"""Where the thresholds were locked: text of a user inside a sentence."""
USERS_WORDS = frozenset(
    {COHORT, "tb", "nodule", "p_tb", "p_nodule", "s", "'Mass'", "M", "F", "North", "'view'", "'manufacturer'"}
    | {"new", "marks.csv"}
)
"""What may stand in a recorded sentence as it is."""
ROOM = {"prevalence": 0.1, "traffic": 0.7, "minutes": 6.0, "replications": 2, "films_per_replication": 60}
ROOMS: dict[str, dict[str, Any]] = {
    "one reader": ROOM | {"minutes": {"mean": 6.0, "distribution": "exponential"}},
    "two readers": ROOM | {"readers": 2},
    "upper limit": ROOM | {"max_wait_minutes": 60.0},
    "rule-out": ROOM | {"rule_out": {"sensitivity": 0.99, "specificity": 0.1}},
}


def tables(
    patients: int, each: int = 1, *, seed: int = 1, share: float = 0.4, signal: float = 1.5
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A manifest and predictions of it."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), each)
    ill = (rng.random(patients) < share)[who]
    ids = [f"a/{i}" for i in range(len(who))]
    manifest = pd.DataFrame({"image_id": ids, "path": ids, "dataset": "a", "patient_id": [f"p{p}" for p in who]})
    manifest["tb"] = ill.astype(float)
    manifest["split"] = "test"
    manifest["sex"] = np.where(rng.random(patients) < 0.5, "F", "M")[who]
    manifest["age_years"] = rng.integers(1, 90, len(who)).astype(float)
    manifest["site"] = np.where(rng.random(len(who)) < 0.9, "North", None)
    manifest["reference_standard"] = np.where(rng.random(len(who)) < 0.5, "report", "synthetic")
    odds = signal * ill + 0.7 * rng.normal(size=patients)[who] + 0.7 * rng.normal(size=len(who))
    predictions = pd.DataFrame({"image_id": ids, "status": "ok", "reason": None, "model_id": "m"})
    predictions["p_tb"] = np.round(1 / (1 + np.exp(0.6 - odds)), 3)
    return manifest, predictions


def locked(manifest: pd.DataFrame, predictions: pd.DataFrame, rule: str) -> Any:
    """A threshold locked on these very films, which a test may do."""
    return lock_operating_point(
        manifest["tb"], predictions["p_tb"], finding="tb", rule=rule, cohort=COHORT, model_id="m", date="2026-01-01"
    )


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """What the files of the evaluations hold, by name."""
    yield from _own_model()
    yield from _cohorts()
    yield from _rules()
    yield from _localised()
    yield from _compared()


def _evaluated(name: str, manifest: Any, predictions: Any, rooms: tuple[str, ...] = (), **asked: Any) -> Iterator[Any]:
    found = evaluate(predictions, manifest, **asked)
    yield name, found.model_dump(mode="json", by_alias=True)
    for room in rooms:
        made = reading_time_proxies(
            found,
            join_films(predictions, manifest, split=asked.get("split")),
            parse_scenario(ROOMS[room], source="test"),
            plan=Plan(replicates=REPLICATES),
        )
        yield f"{name}, {room}", made.model_dump(mode="json", by_alias=True)


def _own_model() -> Iterator[Any]:
    manifest, predictions = tables(60, 3)
    points = locked(manifest, predictions, "sensitivity=0.9")
    out = locked(manifest, predictions, "rule_out=0.98")
    predictions["control_tb"] = np.linspace(0, 1, len(predictions))
    predictions.loc[::9, ["status", "reason", "p_tb"]] = "rejected", "too_small", np.nan
    predictions.loc[4, ["status", "reason", "p_tb"]] = "error", "decoder_crashed", np.nan
    manifest.loc[::17, "tb"] = np.nan
    thresholds = Thresholds(
        locked={"tb": points},
        rule_out={"tb": out} if out.threshold <= points.threshold else {},
        a_posteriori={"tb": LockRule.parse("cost=10")},
    )
    options = Options(
        replicates=REPLICATES,
        costs=Costs(cxr=2, xpert=10),
        reference_sensitivity=0.85,
        min_group=5,
        subgroups=("sex", "age_years", "site"),
    )
    yield from _evaluated(
        "own model",
        manifest,
        predictions,
        tuple(ROOMS),
        findings=("tb",),
        thresholds=thresholds,
        options=options,
        split="test",
    )


def _cohorts() -> Iterator[Any]:
    manifest, predictions = tables(70)
    cohorts = {
        "independent": (manifest, predictions),
        "only positive": (manifest.assign(tb=1.0), predictions),
        "only negative": (manifest.assign(tb=0.0), predictions),
        "no label": (manifest.assign(tb=np.nan), predictions),
        "tiny": tables(8),
        "one patient": tables(1, 20, share=1.0),
        "few patients": tables(5, 3, seed=4),
        "separated": (manifest, predictions.assign(p_tb=np.where(manifest["tb"] == 1, 0.9, 0.1))),
        "all flagged": (manifest, predictions.assign(p_tb=predictions["p_tb"] / 4 + 0.7)),
        "all equal": (manifest, predictions.assign(p_tb=0.5)),
        "separated, clustered": _separated(tables(30, 2)),
        "patients unknown": (tables(30, 2)[0].assign(patient_id=None), tables(30, 2)[1]),
    }
    for name, (labels, scores) in cohorts.items():
        yield from _evaluated(
            name,
            labels,
            scores,
            ("one reader",),
            findings=("tb",),
            thresholds=Thresholds(given={"tb": 0.5}, a_posteriori={"tb": LockRule.parse("specificity=0.7")}),
            options=Options(replicates=REPLICATES, prevalence=0.2, prevalence_interval=(0.1, 0.3), min_group=3),
        )


def _separated(both: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    manifest, predictions = both
    scores = np.where(manifest["tb"] == 1, 0.9, 0.1) + 1e-4 * np.arange(len(manifest))
    return manifest, predictions.assign(p_tb=scores)


def _rules() -> Iterator[Any]:
    manifest, predictions = tables(60, 2, seed=3)
    manifest["native_labels"] = [["Mass"] if label == 1 else [] for label in manifest["tb"]]
    foreign = predictions.rename(columns={"p_tb": "p_Mass"}).assign(p_Mass=10 * predictions["p_tb"] - 4)
    yield from _evaluated(
        "another system",
        manifest,
        foreign,
        findings=("Mass",),
        system="another system",
        score_text={"Mass": "column s"},
        options=Options(replicates=REPLICATES, interval="percentile"),
    )
    yield from _evaluated(
        "films taken as independent",
        manifest,
        predictions,
        findings=("tb",),
        thresholds=Thresholds(given={"tb": 0.4}),
        options=Options(replicates=REPLICATES, interval="analytic", reference_sensitivity=0.6, margin=0.1),
    )


def _localised() -> Iterator[Any]:
    rng = np.random.default_rng(2)
    manifest, predictions = tables(60, share=0.5)
    manifest = manifest.rename(columns={"tb": "nodule"}).assign(rows=200.0, columns=200.0, pixel_spacing_mm=0.4)
    boxes = [
        [{"finding": "nodule", "x0": 50.0, "y0": 50.0, "x1": 50.0 + size, "y1": 50.0 + size}] if label == 1 else []
        for label, size in zip(manifest["nodule"], rng.integers(10, 120, len(manifest)), strict=True)
    ]
    boxes[:3] = [None, None, [{"finding": "nodule", "x0": 9.0, "y0": 9.0, "x1": 3.0, "y1": 20.0}]]
    manifest["boxes"] = pd.Series(boxes, dtype=object)
    predictions = predictions.rename(columns={"p_tb": "p_nodule"})
    predictions["peak_x_nodule"] = rng.uniform(20, 120, len(manifest))
    predictions["peak_y_nodule"] = rng.uniform(20, 120, len(manifest))
    predictions.loc[7, ["peak_x_nodule", "peak_y_nodule"]] = np.nan
    for name, given in (("map peaks", {"nodule": 0.5}), ("map peaks, no threshold", {})):
        yield from _evaluated(
            name,
            manifest,
            predictions,
            findings=("nodule",),
            thresholds=Thresholds(given=given),
            options=Options(replicates=REPLICATES, min_group=5),
        )
    no_peaks = predictions.drop(columns=["peak_x_nodule", "peak_y_nodule"])
    yield from _evaluated(
        "no map peaks", manifest, no_peaks, findings=("nodule",), options=Options(replicates=REPLICATES)
    )


def marked(path: Any) -> Iterator[Any]:
    """An evaluation with a file of marks."""
    manifest, predictions = tables(60, share=0.5)
    manifest = manifest.assign(rows=200.0, columns=200.0)
    manifest["boxes"] = pd.Series(
        [
            [{"finding": "tb", "x0": 50.0, "y0": 50.0, "x1": 90.0, "y1": 90.0}] if ill == 1 else []
            for ill in manifest["tb"]
        ],
        dtype=object,
    )
    marks = manifest[["image_id"]].assign(score=predictions["p_tb"], x0=40.0, y0=40.0, x1=85.0, y1=85.0)
    marks.to_csv(path / "marks.csv", index=False)
    yield from _evaluated(
        "marks",
        manifest,
        predictions,
        findings=("tb",),
        thresholds=Thresholds(given={"tb": 0.5}),
        options=Options(
            replicates=REPLICATES, marks=read_marks(path / "marks.csv"), criterion=Criterion.of("IoU >= 0.3")
        ),
    )


def _compared() -> Iterator[Any]:
    for each, scale in ((1, 1.0), (2, 1.0), (1, 3.0)):
        manifest, old = tables(80, each, seed=6)
        _, new = tables(80, each, seed=6, signal=2.5)
        systems = [
            _system("old", old.assign(p_tb=old["p_tb"])),
            _system("new", new.assign(p_tb=scale * new["p_tb"])),
        ]
        found = compare(systems, manifest, options=Options(replicates=REPLICATES))
        yield f"comparison, {each} films a patient, scale {scale:g}", found.model_dump(mode="json", by_alias=True)


def _system(name: str, frame: pd.DataFrame) -> System:
    table = PredictionsTable(frame=frame.assign(model_id=name), findings=("tb",), digest=name, thresholds={"tb": 0.5})
    return System(name, table, table_thresholds(table))
