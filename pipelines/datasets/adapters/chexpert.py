"""CheXpert: 224,316 films of Stanford Hospital with fourteen observations taken from their reports."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipelines.datasets.adapter import Adapter, Options, Whole, warn
from pipelines.datasets.chexpert_labels import MAPPING, OPTIONS, native_labels, nodule_of, read_labels
from pipelines.datasets.native import find_file, image_files, need_file, require_folder, sex_of
from pipelines.errors import DatasetError
from pipelines.manifest.schema import AGE_YEARS_RANGE

NAME: Final = "chexpert"
FIRST_BATCH: Final = "CheXpert-v1.0 batch 1 (validate & csv)"
TRAIN_BATCHES: Final = tuple(f"CheXpert-v1.0 batch {batch} (train {batch - 1})" for batch in (2, 3, 4))
FOLDERS: Final = ("", "CheXpert-v1.0-small", "CheXpert-v1.0", "CheXpert", "chexpertchestxrays-u20210408")
"""Where the tables lie below the root, as the archives unpack."""
TEST_LABELS: Final = ("test_labels.csv", "groundtruth.csv")
SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}
_DETAILS: Final = ("Sex", "Age", "Frontal/Lateral", "AP/PA")


def _rows(root: Path, options: Options) -> pd.DataFrame:
    base, tables = _tables(root)
    parts = []
    for part, path in tables.items():
        table = _with_paths(path, base, part)
        parts.append(_part(table, part, options).assign(path=_paths(table["film"], root, base, part)))
    return pd.concat(parts, ignore_index=True)


def _tables(root: Path) -> tuple[Path, dict[str, Path]]:
    """The folder that holds the films, and the label table of each part that is there."""
    require_folder(root, NAME)
    places = [root / folder / batch for folder in FOLDERS for batch in ("", FIRST_BATCH)]
    found = next((place for place in places if find_file(place, ("train.csv", "valid.csv"))), None)
    if found is None:
        raise DatasetError(
            f"{NAME}: expected train.csv in {root} or in its folder {', '.join(FOLDERS[1:])} (or in {FIRST_BATCH} "
            "there), found none"
        )
    tables = {"train": need_file(found, ("train.csv",), NAME)}
    base = found.parent if found.name == FIRST_BATCH and found != root else found
    if (valid := find_file(found, ("valid.csv",))) is None:
        warn(f"{NAME}: no valid.csv beside {tables['train'].name}: the validation part is left out")
    else:
        tables["valid"] = valid
    for place in (found, base):
        if (test := find_file(place, TEST_LABELS)) is not None:
            return base, tables | {"test": test}
    return base, tables


def _with_paths(path: Path, base: Path, part: str) -> pd.DataFrame:
    """The table of one part with ``film``, such as ``patient00001/study1/view1_frontal.jpg``."""
    if part != "test":
        table = read_labels(path, ("Path", *_DETAILS))
    else:  # one row for each study (column Study), or for each film (column Path)
        table = read_labels(path, (), optional=("Path", "Study"))
        if "Path" not in table:
            table = _films_of_studies(table, path, base)
    film = table["Path"].str.extract(rf"(?:^|/){part}/(patient\d+/study\d+/[^/]+)$", expand=False)
    if film.isna().any():
        strange = table["Path"][film.isna()].iloc[0]
        raise DatasetError(
            f"{path}: column 'Path' is {strange!r}, expected …/{part}/patient<number>/study<number>/<file>"
        )
    return table.assign(film=film)


def _films_of_studies(table: pd.DataFrame, path: Path, base: Path) -> pd.DataFrame:
    if "Study" not in table:
        raise DatasetError(f"{path}: expected column Path or Study, found neither")
    films = pd.DataFrame({"Path": [f"test/{film}" for film in image_files(base / "test", suffixes=(".jpg",))]})
    if films.empty:
        raise DatasetError(f"{path}: lists studies, so their films are needed in {base / 'test'}, found none")
    films["study"] = films["Path"].str.extract(r"(patient\d+/study\d+)/", expand=False)
    study = table["Study"].str.extract(r"(patient\d+/study\d+)/?$", expand=False)
    return films.merge(table.assign(study=study), on="study", how="inner", validate="many_to_one")


def _part(table: pd.DataFrame, part: str, options: Options) -> pd.DataFrame:
    film = table["film"]
    read_by_radiologists = part != "train"
    return pd.DataFrame(
        {
            "image_id": f"{NAME}/{part}/" + film.str.replace(r"\.[^.]*$", "", regex=True),
            "dataset": NAME,
            "site": "Stanford Hospital",
            "patient_id": film.str.split("/").str[0],
            "study_id": film.str.rsplit("/", n=1).str[0],
            "split": SPLITS[part],
            "view": _views(table),
            "sex": table["Sex"].map({text: sex_of(text) for text in table["Sex"].unique()}) if "Sex" in table else None,
            "age_years": _ages(table),
            "nodule": nodule_of(table, options),
            "reference_standard": "radiologist" if read_by_radiologists else "report",
            "native_labels": native_labels(table),
        }
    )


def _views(table: pd.DataFrame) -> "pd.Series[str]":
    """PA or AP of a frontal film, LATERAL by its name; null where the columns say nothing or contradict the name."""
    lateral = table["film"].str.contains("lateral")
    frontal = table["AP/PA"].where(table["AP/PA"].isin(("PA", "AP"))) if "AP/PA" in table else None
    views = pd.Series(frontal, index=table.index, dtype=object)
    views[lateral] = "LATERAL"
    return views


def _ages(table: pd.DataFrame) -> "pd.Series[float]":
    """Years; 0 stands for no age: everyone else is an adult."""
    if "Age" not in table:
        return pd.Series(np.nan, index=table.index)
    years = pd.to_numeric(table["Age"], errors="coerce")
    low, high = AGE_YEARS_RANGE
    return years.where((years > low) & (years <= high))


def _paths(films: "pd.Series[str]", root: Path, base: Path, part: str) -> "pd.Series[str]":
    """Where each film lies: in the folder of its part, or in the batches as they were downloaded."""
    batches = TRAIN_BATCHES if part == "train" else (f"{FIRST_BATCH}/{part}",)
    folders: dict[str, str] = {}
    for batch in batches if not (base / part).is_dir() else ():
        if (base / batch).is_dir():
            folders |= dict.fromkeys(
                (patient.name for patient in (base / batch).iterdir()), (base / batch).relative_to(root).as_posix()
            )
    default = (base / part).relative_to(root).as_posix()
    return films.str.split("/").str[0].map(lambda patient: folders.get(patient, default)) + "/" + films


CHEXPERT: Final = Adapter(
    name=NAME,
    title="CheXpert",
    citation=(
        "Irvin J, Rajpurkar P, Ko M, et al. CheXpert: a large chest radiograph dataset with uncertainty labels and "
        "expert comparison. AAAI 2019;33:590-597."
    ),
    licence=(
        "Stanford University Dataset Research Use Agreement: personal, non-commercial research; no redistribution of "
        "any part"
    ),
    films_may_be_shown=False,
    films_may_be_shown_why="The research use agreement that each user accepts does not let any part be passed on.",
    how_to_get="https://stanfordaimi.azurewebsites.net/datasets/8cbd9ed4-2eb9-4565-affc-111cf4f7ebe2",
    size=(
        "224,316 films of 65,240 patients as JPEG: 223,414 train (191,027 frontal) of 64,540 patients, 234 validation "
        "of 200 studies, 668 test of 500 studies; 11 GB small (longer side 390 or so), about 440 GB in full size"
    ),
    label_origin=(
        "rules that search the impression of each report (train); agreement of 3 radiologists on the film "
        "(validation); majority of 5 radiologists (test)"
    ),
    label_mapping=MAPPING
    | {
        "validation and test part": (
            "as above; there the radiologists answered for every observation, so nothing is blank and "
            "reference_standard is radiologist"
        ),
    },
    known_defects=(
        "labels belong to a study: a lateral film has the label of the study although the lesion may be seen on the "
        "frontal film only",
        "Lung Lesion is a wide class (mass, nodule, cavity, tumour): a lesion of 9 cm counts like one of 9 mm",
        "the rules read the impression only: a nodule named in the findings alone is blank",
        "films are 8-bit JPEG after an unknown window, and without pixel spacing",
        "train: 3 ages are 0 (made null), ages above 90 are given as 90, one sex is Unknown, 17 films named frontal "
        "have AP/PA LL or RL (view made null)",
        "the small version is too coarse for small nodules",
        "the test labels name no view: a frontal test film has view null",
    ),
    verified=True,
    verified_note=(
        "the full train.csv of the small version (labels, ages, views, names); valid.csv, the test labels and the "
        "batches of the full-size download only on files written after their description"
    ),
    access="registration",
    unknown=(
        "tb on every film; nodule where the report does not mention a lesion and is not labelled No Finding, or "
        "mentions one with doubt (85 % of the train part)"
    ),
    rows=_rows,
    options=OPTIONS,
    overlaps={
        "CheXpert Plus": "the same train and validation films as DICOM and PNG, with their reports",
        "CheXlocalize": "segmentations of the validation and test films",
    },
    unverified=(
        "how the JPEGs were made from the originals (window, equalisation)",
        "the wording of the research use agreement: read it before you accept it",
        "the columns of the test labels: both known forms (one row a film, one row a study) are read",
    ),
    steps=(
        "Open the page under how to get, sign in (Stanford AIMI shares through a Microsoft account) and accept the "
        "research use agreement.",
        "Copy the link it gives you into azcopy (azcopy copy LINK FOLDER --recursive) and fetch the small version, or "
        "the batches 1 to 4 of the full size.",
        "Unpack the archives into one folder; the small version gives CheXpert-v1.0-small with train.csv, valid.csv, "
        "train and valid. The batches of the full size may stay in folders of their own names.",
        "For the test part put its folder as test beside train, and its labels as test_labels.csv (or groundtruth.csv) "
        "beside train.csv.",
        "cxr manifest build chexpert FOLDER --out chexpert.parquet",
    ),
    whole=Whole(films=223_648, files={"train.csv": "", "valid.csv": ""}),
)

ADAPTERS: Final = (CHEXPERT,)
