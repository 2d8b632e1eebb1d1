"""SIIM-ACR Pneumothorax Segmentation (Kaggle 2019): NIH films with outlines of pneumothorax."""

from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Options
from pipelines.datasets.native import need_file, read_table, require_folder
from pipelines.datasets.stored import films_by_stem, without_spacing
from pipelines.errors import DatasetError

NAME: Final = "siim_acr"
LABEL_FILES: Final = ("train-rle.csv", "stage_2_train.csv")
FOLDERS: Final = ("dicom-images-train", "dicom-images-test", "stage_2_images")
NO_OUTLINE: Final = "-1"


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    labels = _labels(need_file(root, LABEL_FILES, NAME))
    films = films_by_stem(root, [root / folder for folder in FOLDERS])
    return pd.DataFrame(
        [_row(film, films.get(film, f"{FOLDERS[0]}/{film}.dcm"), labels.get(film)) for film in [*labels, *films]]
    ).drop_duplicates("image_id", ignore_index=True)


def _row(film: str, path: str, native: str | None) -> dict[str, object]:
    return {
        "image_id": f"{NAME}/{film}",
        "path": path,
        "dataset": NAME,
        "site": "NIH Clinical Center",
        "native_labels": [native] if native else None,
    }


def _labels(path: Path) -> dict[str, str]:
    """Film -> whether it has an outline; a film has a row for each outline, or one row with -1."""
    labels: dict[str, str] = {}
    for entry in read_table(path, ["ImageId", "EncodedPixels"]):
        film, outline = entry["ImageId"].strip(), entry["EncodedPixels"].strip()
        if not outline:
            raise DatasetError(f"{path}: EncodedPixels of {film} is empty, expected an outline or {NO_OUTLINE}")
        label = "No pneumothorax" if outline == NO_OUTLINE else "Pneumothorax"
        if labels.setdefault(film, label) != label:
            raise DatasetError(f"{path}: {film} has an outline and {NO_OUTLINE}, expected one or the other")
    return labels


SIIM_ACR: Final = Adapter(
    name=NAME,
    title="SIIM-ACR Pneumothorax Segmentation 2019",
    citation=(
        "Filice RW, Stein A, Wu CC, et al. Crowdsourcing pneumothorax annotations using machine learning annotations "
        "on the NIH chest X-ray dataset. Journal of Digital Imaging 2020;33:490-496. The films: Wang X, et al. "
        "ChestX-ray8. CVPR 2017."
    ),
    licence="the rules of the Kaggle competition; the films are the NIH Clinical Center's, which asks for credit",
    films_may_be_shown=False,
    films_may_be_shown_why="The rules of the Kaggle competition, from which the files come, were not read.",
    how_to_get="https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation (account, and acceptance of the rules)",
    size=(
        "12,047 labelled frontal films, 1024 x 1024, 8-bit DICOM: 2,669 with pneumothorax (3,576 outlines), 9,378 "
        "without; test films besides"
    ),
    label_origin="radiologists who outlined pneumothorax, and nothing else, on the film alone",
    label_mapping={
        "Pneumothorax, No pneumothorax": (
            "tb and nodule null: nobody was asked for either; a film without pneumothorax may show anything else"
        ),
        "EncodedPixels": "kept only as Pneumothorax or No pneumothorax in native_labels: no finding of this project",
    },
    known_defects=(
        "no label of tuberculosis or nodule: the films can serve for self-supervised training and as unseen films only",
        "no patient is known and no list says which NIH film each one is: keep it apart from every test set of NIH "
        "films",
        "PixelSpacing in the headers is that of the original film, while the pixels were reduced to 1024 x 1024: "
        "pixel_spacing_mm is null",
        "headers give ages without the unit that DICOM asks for: age_years is null",
        "some labelled films are not among the DICOM files that go round, and some of those have no label: a film "
        "without a label keeps its row",
    ),
    verified=False,
    verified_note="the full train-rle.csv (12,954 rows, 12,047 films, 2,669 with pneumothorax); no film",
    access="registration",
    unknown="tb and nodule on every film: only pneumothorax was looked for",
    rows=_rows,
    finish=without_spacing,
    overlaps={
        "nih_cxr14": "every film is one of NIH ChestX-ray14; which one is not published",
        "rsna_pneumonia": "both are drawn from the NIH films; which films they share is not published",
        "node21": "both hold NIH films; which they share is not published",
    },
    unverified=(
        "that spacing and age in the headers are here as in the RSNA challenge, whose files were made in the same way",
        "how many test films the copies that go round hold",
        "the terms of the Kaggle competition",
    ),
    steps=(
        "Sign in to Kaggle, open https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation and accept its rules.",
        "Download and unpack the files into one folder: train-rle.csv with dicom-images-train/ and dicom-images-test/ "
        "(stage 1), or stage_2_train.csv with stage_2_images/.",
    ),
)

ADAPTERS: Final = (SIIM_ACR,)
