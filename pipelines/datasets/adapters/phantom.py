"""The synthetic cohort that ``cxr phantom`` writes."""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Options
from pipelines.datasets.native import need_file, read_table, require_folder
from pipelines.errors import DatasetError

NAME: Final = "phantom"
LABEL_COLUMNS: Final = (
    "patient_id",
    "study_id",
    "site",
    "view",
    "sex",
    "age_years",
    "tb",
    "nodule",
    "pixel_spacing_mm",
)


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    boxes: dict[str, list[dict[str, object]]] = defaultdict(list)
    for row in read_table(need_file(root, ("boxes.csv",), NAME), ("image", "finding", "x0", "y0", "x1", "y1")):
        corners = {corner: _number(row[corner], corner) for corner in ("x0", "y0", "x1", "y1")}
        boxes[row["image"]].append({"finding": row["finding"], **corners})
    rows = []
    for row in read_table(need_file(root, ("labels.csv",), NAME), ("image", *LABEL_COLUMNS)):
        image = row["image"]
        rows.append(
            {
                "image_id": f"{NAME}/{PurePosixPath(image).with_suffix('')}",
                "path": image,
                "dataset": NAME,
                **{name: row[name] for name in LABEL_COLUMNS},
                "reference_standard": "synthetic",
                "boxes": boxes.get(image, []),
            }
        )
    return pd.DataFrame(rows)


def _number(text: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DatasetError(f"{NAME}: boxes.csv has {column} {text!r}, expected a number") from None


PHANTOM: Final = Adapter(
    name=NAME,
    title="Synthetic phantom cohort",
    citation="made by this project: cxr phantom",
    licence="Apache-2.0, as the program that makes it",
    films_may_be_shown=True,
    films_may_be_shown_why="The films are synthetic: they show no person.",
    how_to_get="cxr phantom --films 400 --seed 1 --out DIR",
    size="as many films as asked for",
    label_origin="known exactly: the findings were put there",
    label_mapping={
        "tb, nodule": "tb and nodule as drawn: both are known on every film",
        "boxes": "of every finding as drawn, in stored pixels; [] where there is none",
    },
    known_defects=(
        "synthetic: a model trained on it knows nothing about people",
        "image and patient ids do not name the seed: two cohorts cannot be put into one manifest",
    ),
    verified=True,
    verified_note="made and read by the same project",
    access="local",
    unknown="nothing: both findings are known on every film",
    rows=_rows,
)

ADAPTERS: Final = (PHANTOM,)
