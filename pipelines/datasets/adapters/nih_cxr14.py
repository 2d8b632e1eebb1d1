"""NIH ChestX-ray14: 112,120 frontal films with labels text-mined from their reports."""

import math
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Option, Options, Whole, warn
from pipelines.datasets.adapters.nih_archives import DOWNLOADS
from pipelines.datasets.adapters.nih_experts import Reading, adjudicated, readings
from pipelines.datasets.native import age_years, find_file, need_file, read_table, read_text, require_folder, sex_of
from pipelines.datasets.stored import Box, films_by_stem, nodule_box, to_stored_pixels
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


def _rows(root: Path, options: Options) -> pd.DataFrame:
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
    frame = pd.DataFrame([_row(entry, splits, boxes, paths) for entry in table])
    if options["labels"] == "adjudicated":
        return _by_radiologists(frame, adjudicated(root, NAME), readings(root))
    return frame


def _by_radiologists(frame: pd.DataFrame, labels: dict[str, float], said: dict[str, list[Reading]]) -> pd.DataFrame:
    """The same films with the radiologists' label of a nodule or mass; null on every film they did not read."""
    films = [f"{image_id.removeprefix(f'{NAME}/')}.png" for image_id in frame["image_id"]]
    nodule = [labels.get(film) for film in films]
    columns: dict[str, list[Any]] = {
        "nodule": nodule,
        "reference_standard": [None if label is None else "radiologist" for label in nodule],
        "boxes": [boxes if label == 1 else None for boxes, label in zip(frame["boxes"], nodule, strict=True)],
        "readings": [said.get(film) for film in films],
    }
    return frame.assign(**{name: pd.Series(values, dtype=object) for name, values in columns.items()})


def _row(
    entry: dict[str, str], splits: dict[str, str], boxes: dict[str, list[Box]], paths: dict[str, str]
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
        "path": paths.get(image.removesuffix(".png"), f"images/{image}"),
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


def _boxes(root: Path) -> dict[str, list[Box]]:
    """Boxes of nodules and masses by image, in pixels of the 1024 x 1024 release."""
    path = find_file(root, (BOX_FILE,))
    boxes: dict[str, list[Box]] = {}
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
        boxes.setdefault(image, []).append(nodule_box(x, y, x + w, y + h))
    return boxes


def _paths(root: Path) -> dict[str, str]:
    """Where each film lies, PNG before DICOM.

    PNG: in ``images/``, in ``images_001/images/`` ... as the archives unpack, in ``png/``, or in the root. DICOM, as
    Google made them of the PNGs: in ``dicom/``.
    """
    folders = [folder for folder in (*sorted(root.glob("images*")), root / "png", root / "dicom") if folder.is_dir()]
    dicom, png = (films_by_stem(root, folders or [root], suffixes=(suffix,)) for suffix in (".dcm", ".png"))
    return dicom | png


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
    """Put boxes and spacing into stored pixels; what the headers of the DICOM form say of spacing is not trusted."""
    frame = to_stored_pixels(frame, RELEASE_SIDE)
    return frame.assign(pixel_spacing_mm=frame["pixel_spacing_mm"].mask(frame["path"].str.endswith(".dcm")))


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
        "BBox_List_2017.csv); as DICOM from gs://gcs-public-data--healthcare-nih-chest-xray/dicom/ (the requester pays)"
    ),
    size=(
        "112,120 frontal films of 30,805 patients; official split 86,524 train/val and 25,596 test; 984 boxes on "
        "880 films; 4,376 films with labels of radiologists (605 with a nodule or mass)"
    ),
    label_origin=(
        "text-mined from radiology reports (the report is not released); boxes drawn by a radiologist; with "
        "labels=adjudicated the word of three radiologists who read the film alone, until they agreed"
    ),
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
        "Nodule or mass (labels=adjudicated)": (
            "nodule = 1 or 0 as three radiologists agreed, null on every film they did not read; each reader's word "
            "is in readings where the tables of readers are there (HEDGE, unsure, is no reading)"
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
        "the mined and the adjudicated labels differ on 548 of the 4,376 films that have both: of 605 with a nodule or "
        "mass the text miner found 256, of its own 455 the radiologists kept 256",
        "00002658_001 and 00002658_002 are one picture, bit for bit, and there may be more such pairs",
        "adjudicated films were not drawn at random: their 14 % with a nodule or mass is no prevalence; the 1,962 test "
        "films are of the official test list, the others of train_val",
    ),
    verified=True,
    verified_note=(
        "the full v2020 label, list and box files, the adjudicated labels, 738 films (resized to 512 x 512) and "
        "one of the DICOM form; the tables of single readers only as described"
    ),
    access="open",
    unknown=(
        "tb on every film: tuberculosis was not among the labels that were mined; with labels=adjudicated nodule too, "
        "on every film that the radiologists did not read"
    ),
    rows=_rows,
    finish=_finish,
    options={
        "labels": Option(
            ("mined", "adjudicated"), "labels mined from the reports, or those of the radiologists for some films"
        )
    },
    overlaps={
        "rsna_pneumonia": "all 30,000 films of the challenge are of this set; RSNA publishes which",
        "siim_acr": "its films are of this set; which ones is not published",
        "node21": "1,804 of its 4,882 films are of this set; its list says which",
        "ChestX-Det": "3,578 films of this set under other names",
    },
    unverified=(
        "which other films are there twice",
        "the headers of the DICOM form beyond one film (1024 x 1024, no spacing, no view): their spacing is left out",
        "the header of individual_readers.csv of the four findings: names are matched without regard to case and slash",
        "why the table of adjudicated labels that goes round has 4,376 films, two more than documented",
        "the addresses and MD5 sums of the archives, which are as other projects' downloaders give them",
    ),
    downloads=DOWNLOADS,
    steps=(
        "The archives of films are fetched; the label files have no address of their own.",
        "Open https://nihcc.app.box.com/v/ChestXray-NIHCC and download Data_Entry_2017_v2020.csv, train_val_list.txt, "
        "test_list.txt and BBox_List_2017.csv into the same folder.",
        "For the radiologists' labels fill in the form at "
        "https://cloud.google.com/healthcare-api/docs/resources/public-datasets/nih-chest and put "
        "four_findings_expert_labels/ and all_findings_expert_labels/ beside them.",
    ),
    whole=Whole(
        films=112_120,
        files={"Data_Entry_2017_v2020.csv": "", "train_val_list.txt": "", "test_list.txt": "", BOX_FILE: ""},
    ),
)

ADAPTERS: Final = (NIH_CXR14,)
