"""Small tables of films with true boxes and map peaks, and files of marks, for the tests of localisation."""

import numpy as np
import pandas as pd

from pipelines.evaluation.joining import join_films, scored_films


def box(x0, y0, x1, y1, finding="nodule"):
    return {"finding": finding, "x0": x0, "y0": y0, "x1": x1, "y1": y1}


def films(rows):
    """Scored films from (label, boxes, {more columns}) with peaks at (peak_x, peak_y)."""
    manifest = pd.DataFrame(
        {
            "image_id": [f"set/f{i}" for i in range(len(rows))],
            "path": [f"films/f{i}.png" for i in range(len(rows))],
            "dataset": "set",
            "patient_id": [f"p{i}" for i in range(len(rows))],
            "nodule": [row[0] for row in rows],
            "boxes": pd.Series([row[1] for row in rows], dtype=object),
            "pixel_spacing_mm": [row[2].get("spacing", np.nan) for row in rows],
            "rows": [row[2].get("rows", np.nan) for row in rows],
            "columns": [row[2].get("columns", np.nan) for row in rows],
        }
    )
    predictions = pd.DataFrame(
        {
            "image_id": manifest["image_id"],
            "status": "ok",
            "p_nodule": [row[2].get("p", 0.5) for row in rows],
            "peak_x_nodule": [row[2].get("x", np.nan) for row in rows],
            "peak_y_nodule": [row[2].get("y", np.nan) for row in rows],
        }
    )
    return scored_films(join_films(predictions, manifest), "nodule")


def written(tmp_path, frame, name="marks.csv"):
    path = tmp_path / name
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path
