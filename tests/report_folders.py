"""Evaluation folders of made-up films for tests of the report, and the report as its readers get it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipelines.assessment.assess import Source, assess
from pipelines.evaluation.options import Options
from pipelines.evaluation.predictions import heatmap_file
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.manifest import write_manifest

MODEL = "m1"


def cohort(n: int = 160, *, seed: int = 7, lift: float = 0.45) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A manifest and its predictions: two sites, both findings, some films rejected and some without a label."""
    rng = np.random.default_rng(seed)
    tb, nodule = ((rng.random(n) < share).astype(float) for share in (0.4, 0.2))
    nodule[: n // 10] = np.nan
    box = {"finding": "tb", "x0": 10.0, "y0": 10.0, "x1": 30.0, "y1": 40.0}
    manifest = pd.DataFrame(
        {
            "image_id": [f"phantom/f{i:05d}" for i in range(n)],
            "path": [f"films/f{i:05d}.dcm" for i in range(n)],
            "dataset": "phantom",
            "site": np.where(rng.random(n) < 0.6, "Bắc Ninh", "Huế"),
            "patient_id": [f"secret-{i}" for i in range(n)],
            "split": "test",
            "sex": np.where(rng.random(n) < 0.5, "F", "M"),
            "age_years": rng.integers(18, 90, n).astype(float),
            "tb": tb,
            "nodule": nodule,
            "reference_standard": "synthetic",
            "boxes": [[box] if one else [] for one in tb],
            "rows": 160,
            "columns": 128,
        }
    )
    predictions = manifest[["image_id", "path"]].assign(status="ok", reason=None, model_id=MODEL)
    predictions["p_tb"] = np.clip(lift * tb + 0.6 * rng.random(n), 0, 1)
    predictions["p_nodule"] = np.clip(0.3 * np.nan_to_num(nodule) + 0.7 * rng.random(n), 0, 1)
    predictions["control_tb"] = np.clip(0.4 * tb + 0.6 * rng.random(n), 0, 1)
    predictions["peak_x_tb"], predictions["peak_y_tb"] = rng.uniform(5, 60, n), rng.uniform(5, 60, n)
    rejected = predictions.index < max(2, n // 40)
    predictions.loc[rejected, ["status", "reason", "p_tb", "p_nodule"]] = ["rejected", "too_small", None, None]
    return manifest, predictions


def write_predictions(
    folder: Path, predictions: pd.DataFrame, *, threshold: float = 0.5, side: int = 0, name: str = "demo"
) -> None:
    """A folder as ``cxr predict`` leaves it; with ``side``, smooth pictures of that longer side for every film."""
    folder.mkdir(parents=True)
    points = {
        finding: lock_operating_point(
            [1, 1, 0],
            [threshold, 0.8, 0.2],
            finding=finding,
            target_sensitivity=0.9,
            cohort="phantom val",
            model_id=MODEL,
        ).model_dump()
        for finding in ("tb", "nodule")
    }
    predictions.to_parquet(folder / "predictions.parquet")
    model = {"model_id": MODEL, "name": name, "findings": ["tb", "nodule"], "operating_points": points}
    run = {"schema": "cxr-triage/run/1", "model": model, "manifest_digest": None, "code_version": "0.1.0"}
    (folder / "run.json").write_text(json.dumps(run))
    if side:
        (folder / "heatmaps").mkdir()
        rng = np.random.default_rng(5)
        drawn = [folder / f"film-{number}.png" for number in range(6)]
        for file in drawn:
            _film(rng, side).save(file)
        for place, image_id in enumerate(predictions["image_id"]):
            for layer in ("film", "tb", "nodule"):
                (folder / "heatmaps" / heatmap_file(image_id, layer)).hardlink_to(drawn[place % len(drawn)])


def _film(rng: np.random.Generator, side: int) -> Image.Image:
    """Smooth shapes with the grain of a detector, so that it takes as many bytes as a film does."""
    coarse = Image.fromarray(rng.integers(40, 220, (8, 6), dtype=np.uint8)).resize((side * 4 // 5, side), 3)
    grain = rng.normal(0, 2.5, (side, side * 4 // 5))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def write_folder(base: Path, *, n: int = 160, side: int = 0, seed: int = 7) -> Path:
    """Manifest, predictions and evaluation under ``base``; returns the evaluation folder."""
    manifest, predictions = cohort(n, seed=seed)
    base.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, base / "manifest.csv")
    write_predictions(base / "predictions", predictions, side=side)
    options = Options(replicates=200)
    assess(
        Source(base / "predictions"),
        base / "manifest.csv",
        base / "evaluation",
        split="test",
        options=options,
        title="Phantom films of two sites",
    )
    return base / "evaluation"
