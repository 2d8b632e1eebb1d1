"""Tiny cohorts and runs for the training tests: a disc is TB, a square is a nodule, on noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipelines.config import TrainConfig, parse_config
from pipelines.manifest import conform, write_manifest

SIDE = 96


def write_cohort(
    folder: Path, *, films: int = 48, seed: int = 0, name: str = "tiny", unknown: tuple[str, ...] = ()
) -> Path:
    """Write films and a manifest with train and val rows; findings in ``unknown`` have null labels."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(films):
        tb, nodule = index % 2, (index // 2) % 2
        pixels = rng.normal(90, 12, (SIDE, SIDE))
        boxes = []
        for finding, present in (("tb", tb), ("nodule", nodule)):
            x, y = rng.integers(12, SIDE - 24, 2)
            if present:
                _draw(pixels, finding, x, y)
                if finding not in unknown:
                    boxes.append({"finding": finding, "x0": x, "y0": y, "x1": x + 14, "y1": y + 14})
        path = f"film-{index:03}.png"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / path)
        labels = {"tb": float(tb), "nodule": float(nodule)} | dict.fromkeys(unknown)
        split = "val" if index % 12 in (3, 4, 9, 10) else "train"
        rows.append(
            {"image_id": f"{name}/{index:03}", "path": path, "dataset": name, "patient_id": f"p{index}", "split": split}
            | labels
            | {"boxes": boxes, "rows": SIDE, "columns": SIDE}
        )
    manifest = folder / "manifest.parquet"
    write_manifest(conform(pd.DataFrame(rows)), manifest)
    return manifest


def _draw(pixels: np.ndarray, finding: str, x: int, y: int) -> None:
    if finding == "nodule":
        pixels[y : y + 14, x : x + 14] += 110
        return
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    ring = np.hypot(columns - x - 7, rows - y - 7)
    pixels[(ring < 7) & (ring > 3)] += 110


def tiny_config(out: Path, *manifests: Path, **sections: Any) -> TrainConfig:
    """A run of seconds: a small network without batch statistics, on the CPU."""
    optimisation = {"epochs": 3, "batch_size": 8, "learning_rate": 2e-3} | sections.pop("optimisation", {})
    values: dict[str, Any] = {
        "name": "tiny",
        "out": str(out),
        "seed": 3,
        "data": [{"manifest": str(manifest)} for manifest in manifests],
        "model": {"backbone": "squeezenet1_1", "size": 96, "map_stride": 8, "neck_width": 16},
        "optimisation": optimisation,
        "validation": {"patience": 50},
        "hardware": {"device": "cpu"},
        "tracking": {"experiment": "tests", "register_as": "tiny"},
    }
    return parse_config(values | sections, source="test")
