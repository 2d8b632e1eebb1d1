"""RSNA Pneumonia Detection Challenge 2018 (Kaggle, stage 2): 29,684 NIH films, read again for lung opacity."""

import json
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Options, Whole, warn
from pipelines.datasets.native import age_years, find_file, need_file, read_table, read_text, require_folder, sex_of
from pipelines.datasets.stored import films_by_stem, without_spacing
from pipelines.errors import DatasetError

NAME: Final = "rsna_pneumonia"
LABEL_FILE: Final = "stage_2_train_labels.csv"
CLASS_FILE: Final = "stage_2_detailed_class_info.csv"
HEADER_FILE: Final = "stage_2_train_images_dicom_headers.csv"
MAPPING_FILE: Final = "pneumonia-challenge-dataset-mappings_2018.json"
NORMAL: Final = "Normal"
OPACITY: Final = "Lung Opacity"
CLASSES: Final = (NORMAL, "No Lung Opacity / Not Normal", OPACITY)
TRAIN, TEST = "stage_2_train_images", "stage_2_test_images"


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    targets = _targets(need_file(root, (LABEL_FILE,), NAME))
    classes = _classes(root, targets)
    headers = _headers(root)
    patients = _patients(root)
    train, test = (films_by_stem(root, [root / folder]) for folder in (TRAIN, TEST))
    rows = [
        _row(film, train.get(film, f"{TRAIN}/{film}.dcm"), classes.get(film), headers.get(film, {}), patients)
        for film in targets
    ]
    rows += [_row(film, path, None, {}, patients) for film, path in test.items() if film not in targets]
    return pd.DataFrame(rows)


def _row(
    film: str, path: str, native: str | None, header: dict[str, str], patients: dict[str, str]
) -> dict[str, object]:
    label = 0.0 if native == NORMAL else None
    view = header.get("ViewPosition")
    return {
        "image_id": f"{NAME}/{film}",
        "path": path,
        "dataset": NAME,
        "site": "NIH Clinical Center",
        "patient_id": patients.get(film),
        "view": view if view in ("PA", "AP") else None,
        "sex": sex_of(header.get("PatientSex", "")),
        "age_years": age_years(header.get("PatientAge", "")),
        "tb": label,
        "nodule": label,
        "reference_standard": "radiologist" if native else None,
        "native_labels": [native] if native else None,
        "boxes": [] if native == NORMAL else None,
    }


def _targets(path: Path) -> dict[str, str]:
    """Film -> 1 where any of its rows has a box, else 0; a film has one row for each box."""
    targets: dict[str, str] = {}
    for entry in read_table(path, ["patientId", "x", "y", "width", "height", "Target"]):
        film, target = entry["patientId"], entry["Target"]
        if target not in ("0", "1"):
            raise DatasetError(f"{path}: Target of {film} is {target!r}, expected 0 or 1")
        targets[film] = max(target, targets.get(film, "0"))
    return targets


def _classes(root: Path, targets: dict[str, str]) -> dict[str, str]:
    path = find_file(root, (CLASS_FILE,))
    if path is None:
        warn(
            f"{NAME}: no {CLASS_FILE} in {root}: without it a normal film cannot be told from another abnormal one, "
            "and every label is null"
        )
        return {}
    classes: dict[str, str] = {}
    for entry in read_table(path, ["patientId", "class"]):
        film, given = entry["patientId"], entry["class"]
        if given not in CLASSES:
            raise DatasetError(f"{path}: class of {film} is {given!r}, expected one of {'; '.join(CLASSES)}")
        if classes.setdefault(film, given) != given:
            raise DatasetError(f"{path}: {film} has the classes {classes[film]!r} and {given!r}, expected one")
        if film in targets and (given == OPACITY) != (targets[film] == "1"):
            raise DatasetError(f"{path}: class of {film} is {given!r}, but its Target in {LABEL_FILE} says otherwise")
    return classes


def _headers(root: Path) -> dict[str, dict[str, str]]:
    """The header fields of each film from the table of them that goes round, for use without the films."""
    path = find_file(root, (HEADER_FILE,))
    if path is None:
        return {}
    columns = ["Filename", "PatientAge", "PatientSex", "ViewPosition"]
    return {entry["Filename"].removesuffix(".dcm"): entry for entry in read_table(path, columns)}


def _patients(root: Path) -> dict[str, str]:
    """Film -> patient, as the NIH set numbers its patients, from the file with which RSNA tells whose films they are.

    The id begins with the name of the NIH set: whoever reads both sets sees that they are the same people.
    """
    path = find_file(root, (MAPPING_FILE,))
    if path is None:
        warn(f"{NAME}: no {MAPPING_FILE} in {root}: which films are of one patient is not known")
        return {}
    try:
        films = [(str(entry["subset_img_id"]), str(entry["img_id"])) for entry in json.loads(read_text(path))]
        return {film: f"nih_cxr14/{int(native.split('_')[0])}" for film, native in films}
    except (ValueError, TypeError, KeyError) as error:
        raise DatasetError(
            f"{path}: expected a list of records with subset_img_id and img_id (as 00000013_026.png), found otherwise "
            f"({type(error).__name__})"
        ) from error


RSNA_PNEUMONIA: Final = Adapter(
    name=NAME,
    title="RSNA Pneumonia Detection Challenge 2018",
    citation=(
        "Shih G, Wu CC, Halabi SS, et al. Augmenting the National Institutes of Health chest radiograph dataset with "
        "expert annotations of possible pneumonia. Radiology: Artificial Intelligence 2019;1(1):e180041. The films: "
        "Wang X, et al. ChestX-ray8. CVPR 2017."
    ),
    licence=(
        "RSNA terms: research, education and other purposes, commercial ones too, with the attribution that RSNA asks "
        "for; Kaggle's competition rules where the files come from there"
    ),
    films_may_be_shown=False,
    films_may_be_shown_why=(
        "RSNA allows wide use with attribution, but the rules of the Kaggle competition, from which the files come, "
        "were not read."
    ),
    how_to_get="https://www.kaggle.com/c/rsna-pneumonia-detection-challenge (account, and acceptance of the rules)",
    size=(
        "29,684 frontal films, 1024 x 1024, 8-bit JPEG DICOM: 26,684 with labels (8,851 Normal, 11,821 No Lung Opacity "
        "/ Not Normal, 6,012 Lung Opacity with 9,555 boxes) and 3,000 without"
    ),
    label_origin=(
        "radiologists of RSNA and the Society of Thoracic Radiology, who read the film alone and put it in one of "
        "three classes"
    ),
    label_mapping={
        NORMAL: (
            "tb = 0 and nodule = 0: the reader looked for anything abnormal and chose this class over 'not normal', "
            "so no nodule and no sign of tuberculosis was seen; boxes []"
        ),
        "No Lung Opacity / Not Normal": (
            "tb and nodule null: abnormal in a way that was not recorded, and nodules and masses belong here"
        ),
        OPACITY: "tb and nodule null: an opacity like pneumonia may be tuberculosis, or hide a nodule or mass",
        "boxes": "not taken over: they are of lung opacity, not of nodules",
        "(test films)": "tb and nodule null: Kaggle gives no labels of them",
    },
    known_defects=(
        "there is no positive: alone the set can train or measure neither finding; it adds negatives that were read",
        "patientId is one for each film, not for each patient: patient_id comes from RSNA's mapping file, else is null",
        "PixelSpacing in the headers is that of the original film, while the pixels were reduced to 1024 x 1024 "
        "(1024 pixels of 0.168 mm would be a chest of 172 mm): pixel_spacing_mm is null",
        "headers give ages without the unit that DICOM asks for, so age_years is null unless the table of headers lies "
        "beside the labels (stage_2_train_images_dicom_headers.csv); five ages of 148 to 155 years are always null",
    ),
    verified=False,
    verified_note=(
        "the full label file and a table of all 26,684 headers (26,684 films, 6,012 with opacity, 9,555 boxes, 14,511 "
        "PA and 12,173 AP); class file, mapping and films only as others describe them"
    ),
    access="registration",
    unknown=(
        "tb and nodule on every film that is not Normal: the class says nothing of either, and the test films have none"
    ),
    rows=_rows,
    finish=without_spacing,
    overlaps={
        "nih_cxr14": (
            "every film is one of NIH ChestX-ray14: of the 30,000 of the challenge 21,804 are in its train_val_list "
            "and 8,196 in its test_list; with the mapping file patient_id is nih_cxr14/<NIH patient>"
        ),
        "siim_acr": "both are drawn from the NIH films; which films they share is not published",
        "node21": "both hold NIH films; which they share is not published",
    },
    unverified=(
        "that nodules and masses were put under 'No Lung Opacity / Not Normal', as the organisers' instructions are "
        "quoted",
        "how many of the labelled films were read by more than one radiologist (most by one, it is said)",
        "whether the films with and without labels share patients",
        "the terms of the Kaggle competition",
    ),
    steps=(
        "Sign in to Kaggle, open https://www.kaggle.com/c/rsna-pneumonia-detection-challenge and accept its rules.",
        "Download and unpack all files (about 4 GB) into one folder: stage_2_train_images/, stage_2_test_images/, "
        "stage_2_train_labels.csv, stage_2_detailed_class_info.csv.",
        "Put "
        "https://s3.amazonaws.com/east1.public.rsna.org/AI/2018/pneumonia-challenge-dataset-mappings_2018.json beside "
        "them, without which patients are not known.",
    ),
    whole=Whole(films=29_684, files={LABEL_FILE: "", CLASS_FILE: "", MAPPING_FILE: ""}),
)

ADAPTERS: Final = (RSNA_PNEUMONIA,)
