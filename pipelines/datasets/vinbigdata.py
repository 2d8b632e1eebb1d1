"""The VinDr-CXR films as the VinBigData competition on Kaggle gives them, and what both forms say of a film.

The competition's train.csv has a row for each box of a reader, or one row "No finding"; its films are DICOM, or other
people's PNG copies of it.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pandas as pd

from pipelines.datasets.adapter import warn
from pipelines.datasets.native import find_file, image_files, read_table
from pipelines.datasets.readings import agreed_label, votes
from pipelines.errors import DatasetError
from pipelines.findings import FINDINGS, ConsensusRule

NAME: Final = "vindr_cxr"
NODULE_BOX: Final = "Nodule/Mass"
CLASSES: Final = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "No finding",
)
TABLES: Final = ("train.csv", "vinbigdata-train.csv")
SIZES: Final = "train_meta.csv"
BOX_COLUMNS: Final = ("x_min", "y_min", "x_max", "y_max")
DICOM_SUFFIXES: Final = (".dicom", ".dcm")
AGREED: Final = ""
"""Reader of a label that several readers agreed upon: a label, and no one's own word."""

Box = dict[str, Any]


class Film:
    """What was said of one film."""

    def __init__(self) -> None:
        self.said: dict[str, dict[str, float]] = {}
        """reader -> finding -> 1 or 0; a finding of which the reader said nothing is left out."""
        self.native: list[str] = []
        self.boxes: list[Box] = []

    def row(self, image: str, split: str, rule: ConsensusRule) -> dict[str, object]:
        """The film's manifest row, without its path."""
        readings = [
            {"reader": reader, "finding": finding, "value": said[finding]}
            for reader, said in self.said.items()
            for finding in FINDINGS
            if finding in said
        ]
        labels = {finding: agreed_label(*votes(readings, finding), rule) for finding in FINDINGS}
        nodule = labels["nodule"]
        return {
            "image_id": f"{NAME}/{image}",
            "dataset": NAME,
            "site": "Viet Nam",
            "split": split,
            "view": "PA",
            **labels,
            "reference_standard": "radiologist",
            "native_labels": sorted(self.native),
            "boxes": [] if nodule == 0 else (self.boxes or None) if nodule == 1 else None,
            "readings": None if AGREED in self.said else readings,
        }


def film_paths(root: Path, folder: PurePosixPath, suffixes: Sequence[str] | None = None) -> dict[str, str]:
    """Image -> path below the root; DICOM before a copy of it."""
    names = list(image_files(root / folder) if suffixes is None else image_files(root / folder, suffixes=suffixes))
    names.sort(key=lambda name: name.lower().endswith(DICOM_SUFFIXES))
    return {PurePosixPath(name).stem: (folder / name).as_posix() for name in names}


def box_of(path: Path, entry: dict[str, str]) -> Box:
    """The nodule box of a row.

    Raises:
        DatasetError: its corners are not four numbers.
    """
    try:
        x0, y0, x1, y1 = (float(entry[name]) for name in BOX_COLUMNS)
    except ValueError:
        raise DatasetError(
            f"{path}: a box of {entry['image_id']} has no four numbers {', '.join(BOX_COLUMNS)}"
        ) from None
    return {"finding": "nodule", "x0": x0, "y0": y0, "x1": x1, "y1": y1}


def competition_rows(root: Path, place: PurePosixPath, table: Path, rule: ConsensusRule) -> pd.DataFrame:
    """Rows of the competition's form: a reader who is named on a film and boxed no nodule there said 0 of nodules."""
    entries = read_table(table, ["image_id", "class_name", "rad_id", *BOX_COLUMNS])
    if not entries:
        raise DatasetError(f"{table}: the table has no rows, expected one for each box and each reader's No finding")
    films: dict[str, Film] = defaultdict(Film)
    for entry in entries:
        film, label = films[entry["image_id"]], entry["class_name"]
        if label not in CLASSES:  # a label read under another name would turn a positive into a negative
            raise DatasetError(f"{table}: class_name is {label!r}, expected one of {', '.join(CLASSES)}")
        if not entry["rad_id"]:
            raise DatasetError(f"{table}: a row of {entry['image_id']} names no reader in rad_id, expected R1, R2, …")
        film.native.append(label)
        said = film.said.setdefault(entry["rad_id"], {"nodule": 0.0})
        if label == NODULE_BOX:
            said["nodule"] = 1.0
            film.boxes.append(box_of(table, entry))
    paths = film_paths(root, place / "train")
    _boxes_of_copies(films, paths, _original_sizes(root / place, entries))
    return pd.DataFrame(
        film.row(image, "train", rule) | {"path": paths.get(image, (place / "train" / f"{image}.dicom").as_posix())}
        for image, film in films.items()
    )


def _original_sizes(base: Path, entries: list[dict[str, str]]) -> dict[str, tuple[float, float]]:
    """Width and height of the original film, by image, where a copy's tables say them."""
    if "width" in entries[0] and "height" in entries[0]:
        sizes = {entry["image_id"]: (entry["width"], entry["height"]) for entry in entries}
    else:
        found = find_file(base, (SIZES,))
        table = read_table(found, ("image_id", "dim0", "dim1")) if found else []
        sizes = {entry["image_id"]: (entry["dim1"], entry["dim0"]) for entry in table}
    try:
        return {image: (float(width), float(height)) for image, (width, height) in sizes.items()}
    except ValueError:
        raise DatasetError(f"{NAME}: the original width and height of films in {base} are not all numbers") from None


def _boxes_of_copies(films: dict[str, Film], paths: dict[str, str], sizes: dict[str, tuple[float, float]]) -> None:
    """Boxes are in pixels of the DICOM film: on a copy they become shares of its sides until its own size is known."""
    lost = 0
    for image, film in films.items():
        if not film.boxes or image not in paths or not is_copy(paths[image]):
            continue
        width, height = sizes.get(image, (0.0, 0.0))
        if width > 0 and height > 0:
            film.boxes = [scaled(box, 1 / width, 1 / height) for box in film.boxes]
        else:
            film.boxes, lost = [], lost + 1
    if lost:
        warn(
            f"{NAME}: {lost:,} films with boxes are copies whose original size is neither in train.csv (width, height) "
            f"nor in {SIZES} (dim0, dim1): their boxes are left out"
        )


def is_copy(path: str) -> bool:
    """Whether a film is other people's PNG or JPEG of the DICOM file."""
    return not path.lower().endswith(DICOM_SUFFIXES)


def scaled(box: Box, across: float, down: float) -> Box:
    """A box with its x and y multiplied."""
    factors = {"x0": across, "y0": down, "x1": across, "y1": down}
    return box | {corner: box[corner] * factor for corner, factor in factors.items()}
