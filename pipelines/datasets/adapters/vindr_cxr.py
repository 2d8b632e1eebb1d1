"""VinDr-CXR: 18,000 PA films from two hospitals in Viet Nam, as DICOM, each read by several radiologists."""

from collections import defaultdict
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Option, Options
from pipelines.datasets.native import find_base, image_files, need_file, read_table
from pipelines.errors import DatasetError

NAME: Final = "vindr_cxr"
PLACES: Final = ("1.0.0", "vindr-cxr/1.0.0", "physionet.org/files/vindr-cxr/1.0.0")
LABELS_OF: Final = {"nodule": ("Nodule/Mass", "Lung tumor"), "tb": ("Tuberculosis",)}
BOX_COLUMNS: Final = ("x_min", "y_min", "x_max", "y_max")

Box = dict[str, object]
Readings = dict[str, dict[str, set[str]]]
"""image -> reader -> native labels that the reader gave."""


def _rows(root: Path, options: Options) -> pd.DataFrame:
    base = find_base(root, "annotations", PLACES, NAME)
    rows: list[dict[str, object]] = []
    for split in ("train", "test"):
        readings = _image_labels(need_file(base / "annotations", (f"image_labels_{split}.csv",), NAME))
        boxes = _add_annotations(need_file(base / "annotations", (f"annotations_{split}.csv",), NAME), readings)
        paths = {Path(name).stem: f"{split}/{name}" for name in image_files(base / split, suffixes=(".dicom", ".dcm"))}
        prefix = base.relative_to(root)
        for image, readers in readings.items():
            row = _row(image, readers, boxes.get(image, []), options["consensus"])
            path = prefix / paths.get(image, f"{split}/{image}.dicom")
            rows.append(row | {"path": path.as_posix(), "split": split})
    return pd.DataFrame(rows)


def _image_labels(path: Path) -> Readings:
    needed = [label for labels in LABELS_OF.values() for label in labels]
    readings: Readings = {}
    for entry in read_table(path, ["image_id", *needed]):
        # The test part is a consensus: where it names no reader, it counts as one.
        reader = readings.setdefault(entry["image_id"], {}).setdefault(entry.get("rad_id", ""), set())
        for label, value in entry.items():
            if label in ("image_id", "rad_id"):
                continue
            if value not in ("0", "1", "0.0", "1.0"):
                raise DatasetError(f"{path}: column {label!r} is {value!r}, expected 0 or 1")
            if float(value):
                reader.add(label)
    return readings


def _add_annotations(path: Path, readings: Readings) -> dict[str, list[Box]]:
    """Boxes of nodules by image; a box also counts as its reader's label."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    for entry in read_table(path, ["image_id", "class_name", *BOX_COLUMNS]):
        if entry["image_id"] not in readings:
            raise DatasetError(f"{path}: image {entry['image_id']} has no row in the image labels beside it")
        if entry["class_name"] not in LABELS_OF["nodule"]:
            continue
        try:
            x0, y0, x1, y1 = (float(entry[name]) for name in BOX_COLUMNS)
        except ValueError:
            raise DatasetError(
                f"{path}: a box of {entry['image_id']} has no four numbers {', '.join(BOX_COLUMNS)}"
            ) from None
        boxes[entry["image_id"]].append({"finding": "nodule", "x0": x0, "y0": y0, "x1": x1, "y1": y1})
        readings[entry["image_id"]].setdefault(entry.get("rad_id", ""), set()).add(entry["class_name"])
    return boxes


def _row(image: str, readers: dict[str, set[str]], boxes: list[Box], consensus: str) -> dict[str, object]:
    labels = {finding: _agreed(readers, names, consensus) for finding, names in LABELS_OF.items()}
    positive = labels["nodule"] == 1
    return {
        "image_id": f"{NAME}/{image}",
        "dataset": NAME,
        "site": "Viet Nam",
        "view": "PA",
        **labels,
        "reference_standard": "radiologist",
        "native_labels": sorted(label for given in readers.values() for label in given),
        "boxes": (boxes or None) if positive else [],
    }


def _agreed(readers: dict[str, set[str]], names: tuple[str, ...], consensus: str) -> float:
    votes = sum(not given.isdisjoint(names) for given in readers.values())
    needed = 1 if consensus == "any" else len(readers) // 2 + 1
    return float(votes >= needed)


VINDR_CXR: Final = Adapter(
    name=NAME,
    title="VinDr-CXR",
    citation=(
        "Nguyen HQ, Lam K, Le LT, et al. VinDr-CXR: an open dataset of chest X-rays with radiologist's annotations. "
        "Scientific Data 2022;9:429. PhysioNet 2021, version 1.0.0, doi:10.13026/3akn-b287."
    ),
    licence="PhysioNet credentialed access: training, a signed data use agreement, research only, no redistribution",
    films_may_be_shown=False,
    films_may_be_shown_why="The data use agreement that each user signs does not let films be passed on.",
    how_to_get="https://physionet.org/content/vindr-cxr/1.0.0/",
    size="18,000 PA films: 15,000 train (each read by 3 radiologists) and 3,000 test (consensus of 5)",
    label_origin="radiologists reading the film alone, 22 local and 6 global labels; no microbiology and no CT",
    label_mapping={
        "Nodule/Mass, Lung tumor": "nodule = 1 where enough readers gave either: a tumour seen on a film is a mass",
        "Tuberculosis": "tb = 1 where enough readers gave it: a suspicion on the film, not a proven disease",
        "neither": "0: every reader was asked for every label",
        "boxes": (
            "all readers' Nodule/Mass and Lung tumor boxes of a positive film, so one nodule may have several; [] "
            "on a negative film"
        ),
    },
    known_defects=(
        "no patient ids are released: that two films are of two patients cannot be shown, patient_id is null",
        "train labels vary between readers: 'majority' (the default) asks for more than half of a film's readers, "
        "which is "
        "closer to the test part's consensus; 'any' takes one reader's word and gives more, noisier positives",
        "native_labels names a label once for each reader who gave it",
        "sex and age are taken from the DICOM header where it has them; impossible ages become null",
    ),
    verified=False,
    verified_note=(
        "layout, counts and readers as published; the parser was proved on files written after that description only"
    ),
    access="credentialed",
    unknown="nothing: every reader was asked for every label",
    rows=_rows,
    options={"consensus": Option(("majority", "any"), "how many of a film's readers make a label positive")},
)

ADAPTERS: Final = (VINDR_CXR,)
