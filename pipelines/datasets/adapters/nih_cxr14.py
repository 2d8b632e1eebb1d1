"""NIH ChestX-ray14: 112,120 frontal films with labels text-mined from their reports."""

import math
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Options, warn
from pipelines.datasets.native import (
    age_years,
    find_file,
    image_files,
    need_file,
    read_table,
    read_text,
    require_folder,
    sex_of,
)
from pipelines.errors import DatasetError

NAME: Final = "nih_cxr14"
ENTRY_FILES: Final = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
SPLIT_FILES: Final = {
    "train": ("train_val_list.txt", "train_val_list_NIH.txt"),
    "test": ("test_list.txt", "test_list_NIH.txt"),
}
BOX_FILE: Final = "BBox_List_2017.csv"
NODULE_LABELS: Final = frozenset({"Nodule", "Mass"})
OTHER_LABELS: Final = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)
LABELS: Final = NODULE_LABELS | frozenset(OTHER_LABELS)
RELEASE_SIDE: Final = 1024
"""The release is 1024 x 1024 PNGs of larger films, and its boxes are in those pixels: the corners of all 984 stay
below 1024 although the original films are two to three times that."""
SQUARE_TOLERANCE: Final = 0.01


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    entries = need_file(root, ENTRY_FILES, NAME)
    columns = (
        "Image Index",
        "Finding Labels",
        "Follow-up #",
        "Patient ID",
        "Patient Age",
        "Patient Gender",
        "View Position",
    )
    table = read_table(entries, columns)
    splits = _official_splits(root)
    boxes = _boxes(root)
    paths = _paths(root)
    return pd.DataFrame([_row(entry, splits, boxes, paths) for entry in table])


def _row(
    entry: dict[str, str], splits: dict[str, str], boxes: dict[str, list[dict[str, object]]], paths: dict[str, str]
) -> dict[str, object]:
    image = entry["Image Index"]
    labels = entry["Finding Labels"].split("|")
    unknown = set(labels) - LABELS - {"No Finding"}
    if unknown:  # a label read under another name would turn a positive into a negative
        raise DatasetError(
            f"{NAME}: finding label {min(unknown)!r} of {image} is none of {', '.join(sorted(LABELS))}, No Finding"
        )
    return {
        "image_id": f"{NAME}/{image.removesuffix('.png')}",
        "path": paths.get(image, f"images/{image}"),
        "dataset": NAME,
        "site": "NIH Clinical Center",
        "patient_id": entry["Patient ID"],
        "study_id": f"{entry['Patient ID']}-{entry['Follow-up #']}",
        "split": splits.get(image),
        "view": entry["View Position"] if entry["View Position"] in ("PA", "AP") else None,
        "sex": sex_of(entry["Patient Gender"]),
        "age_years": age_years(entry["Patient Age"]),
        "nodule": float(not NODULE_LABELS.isdisjoint(labels)),
        "reference_standard": "report",
        "native_labels": labels,
        "boxes": boxes.get(image),
        "pixel_spacing_mm": _release_spacing(entry),
    }


def _official_splits(root: Path) -> dict[str, str]:
    files = {split: find_file(root, names) for split, names in SPLIT_FILES.items()}
    missing = [names for split, names in SPLIT_FILES.items() if files[split] is None]
    if len(missing) == len(files):
        warn(f"{NAME}: neither {' nor '.join(n[0] for n in missing)} in {root}: no image is given a split")
        return {}
    splits: dict[str, str] = {}
    for split, path in files.items():
        if path is None:
            raise DatasetError(
                f"{NAME}: expected {' or '.join(missing[0])} (plain or .gz) in {root} beside the other official list"
            )
        for image in read_text(path).split():
            if splits.setdefault(image, split) != split:
                raise DatasetError(f"{path}: {image} is in both official lists, expected one")
    return splits


def _boxes(root: Path) -> dict[str, list[dict[str, object]]]:
    """Boxes of nodules and masses by image, in pixels of the 1024 x 1024 release."""
    path = find_file(root, (BOX_FILE,))
    boxes: dict[str, list[dict[str, object]]] = {}
    if path is None:
        return boxes
    for line in read_text(path).splitlines()[1:]:  # the header's "Bbox [x,y,w,h]" holds commas that are not separators
        image, label, *corner = line.split(",")
        if label not in NODULE_LABELS:
            continue
        try:
            x, y, w, h = (float(number) for number in corner[:4])
        except ValueError:
            raise DatasetError(
                f"{path}: box of {image} has corners {corner[:4]}, expected the four numbers x, y, w, h"
            ) from None
        boxes.setdefault(image, []).append({"finding": "nodule", "x0": x, "y0": y, "x1": x + w, "y1": y + h})
    return boxes


def _paths(root: Path) -> dict[str, str]:
    """Where each image lies: in ``images/``, in ``images_001/images/`` … as the archives unpack, or in the root."""
    folders = sorted(folder for folder in root.glob("images*") if folder.is_dir())
    found: dict[str, str] = {}
    for folder in folders or [root]:
        for path in image_files(folder, suffixes=(".png",)):
            found.setdefault(Path(path).name, (folder / path).relative_to(root).as_posix())
    return found


def _release_spacing(entry: dict[str, str]) -> float | None:
    """Millimetres per pixel of the release, where squeezing the film to a square left its pixels square; else null."""
    keys = ("OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]")
    try:
        width, height, x, y = (float(entry[key]) for key in keys)
    except (KeyError, ValueError):
        return None
    across, down = width * x / RELEASE_SIDE, height * y / RELEASE_SIDE
    square = across > 0 and math.isclose(across, down, rel_tol=SQUARE_TOLERANCE)
    return round((across + down) / 2, 6) if square else None


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    """Put boxes and spacing into stored pixels where the files on disk are not 1024 x 1024."""
    boxes, spacings = frame["boxes"].tolist(), frame["pixel_spacing_mm"].tolist()
    for row, (height, width) in enumerate(zip(frame["rows"].tolist(), frame["columns"].tolist(), strict=True)):
        if pd.isna(height) or pd.isna(width) or height == width == RELEASE_SIDE:
            continue
        across, down = width / RELEASE_SIDE, height / RELEASE_SIDE
        spacings[row] = spacings[row] / across if height == width else None
        if isinstance(boxes[row], list):
            boxes[row] = [_scaled(box, across, down) for box in boxes[row]]
    return frame.assign(boxes=boxes, pixel_spacing_mm=spacings)


def _scaled(box: dict[str, Any], across: float, down: float) -> dict[str, object]:
    factors = {"x0": across, "y0": down, "x1": across, "y1": down}
    return {"finding": box["finding"]} | {corner: box[corner] * factor for corner, factor in factors.items()}


NIH_CXR14: Final = Adapter(
    name=NAME,
    title="NIH ChestX-ray14",
    citation=(
        "Wang X, Peng Y, Lu L, Lu Z, Bagheri M, Summers RM. ChestX-ray8: hospital-scale chest X-ray database and "
        "benchmarks "
        "on weakly-supervised classification and localization of common thorax diseases. CVPR 2017."
    ),
    licence="NIH Clinical Center terms: free use with credit to the NIH Clinical Center and the citation above",
    films_may_be_shown=True,
    films_may_be_shown_why=(
        "The NIH Clinical Center does not restrict use of the pictures; it asks for a link to its download page, for "
        "the citation, and to be named as the source."
    ),
    how_to_get=(
        "https://nihcc.app.box.com/v/ChestXray-NIHCC (images, Data_Entry_2017_v2020.csv, the official lists, "
        "BBox_List_2017.csv)"
    ),
    size=(
        "112,120 frontal films of 30,805 patients; official split 86,524 train/val and 25,596 test; 984 boxes on "
        "880 films"
    ),
    label_origin="text-mined from radiology reports (the report is not released); boxes drawn by a radiologist",
    label_mapping={
        "Nodule, Mass": (
            "nodule = 1: both are focal opacities that a reader would follow up, and size limits differ between reports"
        ),
        "any other label, No Finding": (
            "nodule = 0: the report was read for all 14 labels; a miss by the text miner stays a wrong 0"
        ),
        "(tuberculosis)": (
            "tb is null everywhere: it is not among the labels, and pneumonia, infiltration or fibrosis may be "
            "tuberculosis"
        ),
        "boxes of Nodule, Mass": (
            "boxes of nodule, brought from the 1024 x 1024 release to stored pixels; null on every other film "
            "(not drawn)"
        ),
    },
    known_defects=(
        "labels come from text: their authors estimate more than 90 % to be right; read AUROCs against them "
        "accordingly",
        "Data_Entry_2017.csv (before v2020) has ages up to 414 years; an age above 120 becomes null",
        "films were squeezed to 1024 x 1024 whatever their shape: pixel_spacing_mm is null unless the pixels "
        "stayed square",
        "8-bit PNG after an unknown window; some copies of the release are RGB or RGBA",
        "the public train_val list has no validation part: split it by patient (split_manifest with keep=['test'])",
        "the RSNA pneumonia challenge uses films of this set: do not treat the two as independent",
    ),
    verified=True,
    verified_note="the full v2020 label, list and box files and 738 films (resized to 512 x 512)",
    access="open",
    unknown="tb on every film: tuberculosis was not among the labels that were mined",
    rows=_rows,
    finish=_finish,
)

ADAPTERS: Final = (NIH_CXR14,)
