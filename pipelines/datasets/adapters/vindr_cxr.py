"""VinDr-CXR: 18,000 PA films from two hospitals in Viet Nam, each read by several radiologists.

Two forms of the same films: the release on PhysioNet (DICOM, 28 labels, agreed labels on its test part), read here, and
that of the VinBigData competition on Kaggle (`pipelines.datasets.vinbigdata`).
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final, cast

import pandas as pd

from pipelines.datasets.adapter import Adapter, Option, Options, Whole
from pipelines.datasets.native import find_file, need_file, read_table, require_folder
from pipelines.datasets.vinbigdata import (
    AGREED,
    BOX_COLUMNS,
    DICOM_SUFFIXES,
    NAME,
    TABLES,
    Film,
    box_of,
    competition_rows,
    film_paths,
    is_copy,
    scaled,
)
from pipelines.errors import DatasetError
from pipelines.findings import ConsensusRule

PLACES: Final = ("", "1.0.0", "vindr-cxr/1.0.0", "physionet.org/files/vindr-cxr/1.0.0")
KAGGLE_PLACES: Final = ("", "vinbigdata-chest-xray-abnormalities-detection", "vinbigdata")
LABELS_OF: Final = {"nodule": ("Nodule/Mass", "Lung tumor"), "tb": ("Tuberculosis",)}


def _rows(root: Path, options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    rule = cast("ConsensusRule", options["consensus"])
    for place in PLACES:
        if (root / place / "annotations").exists():
            return _released(root, PurePosixPath(place), rule)
    for place in KAGGLE_PLACES:
        table = find_file(root / place, TABLES)
        if table is not None:
            return competition_rows(root, PurePosixPath(place), table, rule)
    raise DatasetError(
        f"{NAME}: expected annotations in {root} (PhysioNet; looked in {_named(PLACES)}) or train.csv "
        f"(Kaggle; looked in {_named(KAGGLE_PLACES)}), found neither"
    )


def _named(places: Iterable[str]) -> str:
    return ", ".join(place or "the root" for place in places)


def _released(root: Path, place: PurePosixPath, rule: ConsensusRule) -> pd.DataFrame:
    """Rows of the PhysioNet release."""
    notes = root / place / "annotations"
    rows: list[dict[str, object]] = []
    for split in ("train", "test"):
        films = _image_labels(need_file(notes, (f"image_labels_{split}.csv",), NAME))
        _add_annotations(need_file(notes, (f"annotations_{split}.csv",), NAME), films)
        paths = film_paths(root, place / split, DICOM_SUFFIXES)
        rows += [
            film.row(image, split, rule) | {"path": paths.get(image, (place / split / f"{image}.dicom").as_posix())}
            for image, film in films.items()
        ]
    return pd.DataFrame(rows)


def _image_labels(path: Path) -> dict[str, Film]:
    films: dict[str, Film] = defaultdict(Film)
    for entry in read_table(path, ["image_id", *(label for labels in LABELS_OF.values() for label in labels)]):
        film = films[entry["image_id"]]
        said = film.said.setdefault(entry.get("rad_id", AGREED), {})
        given = {
            label: _mark(path, label, cell) for label, cell in entry.items() if label not in ("image_id", "rad_id")
        }
        film.native += [label for label, value in given.items() if value]
        for finding, labels in LABELS_OF.items():
            values = [given[label] for label in labels]
            if any(values):
                said[finding] = 1.0
            elif None not in values:
                said[finding] = 0.0
    return dict(films)


def _mark(path: Path, label: str, cell: str) -> float | None:
    """A cell of the image labels; an empty one says nothing."""
    if cell not in ("", "0", "1", "0.0", "1.0"):
        raise DatasetError(f"{path}: column {label!r} is {cell!r}, expected 0 or 1")
    return float(cell) if cell else None


def _add_annotations(path: Path, films: dict[str, Film]) -> None:
    """Add the boxes of nodules; a box also counts as its reader's label."""
    for entry in read_table(path, ["image_id", "class_name", *BOX_COLUMNS]):
        if entry["image_id"] not in films:
            raise DatasetError(f"{path}: image {entry['image_id']} has no row in the image labels beside it")
        if entry["class_name"] in LABELS_OF["nodule"]:
            film = films[entry["image_id"]]
            film.boxes.append(box_of(path, entry))
            film.said.setdefault(entry.get("rad_id", AGREED), {})["nodule"] = 1.0


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    """Put the boxes of copies into their stored pixels."""
    boxes = frame["boxes"].tolist()
    for row, (path, height, width) in enumerate(zip(frame["path"], frame["rows"], frame["columns"], strict=True)):
        if boxes[row] and is_copy(path):
            unknown = pd.isna(height) or pd.isna(width)
            boxes[row] = None if unknown else [scaled(box, float(width), float(height)) for box in boxes[row]]
    return frame.assign(boxes=boxes)


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
    label_origin="17 radiologists reading the film alone, 22 local and 6 global labels; no microbiology and no CT",
    label_mapping={
        "Nodule/Mass, Lung tumor": "nodule = 1 where enough readers gave either: a tumour seen on a film is a mass",
        "Tuberculosis": "tb = 1 where enough readers gave it: a suspicion on the film, not a proven disease",
        "neither (PhysioNet)": "0: every reader was asked for every label; in both tb and nodule",
        "no Nodule/Mass box of a reader (Kaggle)": (
            "that reader's nodule = 0: who boxed something else, or gave No finding, looked and marked no nodule"
        ),
        "all (Kaggle)": "tb = null: tuberculosis is not among its 14 classes",
        "half of the readers": "null, under majority and mean: two against two is no label",
        "boxes": (
            "all readers' Nodule/Mass boxes of a positive film, so one nodule may have several; [] on a negative film"
        ),
    },
    known_defects=(
        "no patient ids are released: that two films are of two patients cannot be shown, patient_id is null",
        "readers differ: of the 15,000 train films, 826 have a Nodule/Mass box of at least one of their three readers, "
        "405 of two or three, 181 of all, so 'any' and 'majority' (the default) are two different cohorts",
        "who read a film tells what is on it (counted in the Kaggle form): readers R8, R9 and R10 read 5,501 train "
        "films together and found something on 4,146 of them, all other groups on 248 of 9,499; R1 to R7 marked one "
        "film in 15,469 readings. So kappa over all films (nodule: 0.53) is lifted by groups that agree on nothing "
        "being there; on the 5,501 it is 0.50",
        "in the Kaggle form a lung tumour without a Nodule/Mass box is no nodule, and its 3,000 test films, without "
        "public labels, are left out",
        "PNG copies of the Kaggle form are other people's conversions, mostly 8-bit and squeezed to a square; boxes "
        "are put into their pixels where the original size is known (width and height in train.csv, or train_meta.csv)",
        "native_labels names a label once for each reader who gave it (Kaggle: once for each box)",
        "sex and age are taken from the DICOM header where it has them; impossible ages become null",
    ),
    verified=False,
    verified_note=(
        "Kaggle form: the parser was proved on the real train.csv (67,914 rows, 15,000 films, 3 of 17 readers each). "
        "PhysioNet form: column names as public code that reads it uses them; proved on files written after them only"
    ),
    access="credentialed",
    unknown=(
        "PhysioNet form: nothing, every reader was asked for every label. Kaggle form: tb on all films. Both: a "
        "finding on which a film's readers are evenly divided (none where three read)"
    ),
    overlaps={
        "VinBigData Chest X-ray Abnormalities Detection (Kaggle)": (
            "the same films in the same split: 15,000 train, 3,000 test; here both forms have the same image ids"
        ),
        "vinbigdata-*, chest X-ray collections that name VinBigData or VinDr": "resized copies of the same films",
    },
    unverified=(
        "that the image ids of both forms are the same",
        "that no cell of the PhysioNet image labels is empty: an empty one is read as nothing said",
        "that readers R1 to R17 are the same persons in both forms",
        "which of the rules for the train part comes closest to the test part's consensus",
        "the present name of the training course that PhysioNet asks for",
    ),
    steps=(
        "Make an account on https://physionet.org and confirm its e-mail address.",
        "Do the CITI course 'Data or Specimens Only Research' and upload its report in your PhysioNet profile.",
        "Apply for credentialed access in the profile (with a reference person) and wait until it is granted.",
        "Open https://physionet.org/content/vindr-cxr/1.0.0/ and sign its data use agreement.",
        "Download below your data root: wget -r -N -c -np --user NAME --ask-password "
        "https://physionet.org/files/vindr-cxr/1.0.0/ (it holds annotations/, train/ and test/).",
        "Or take the Kaggle form: sign in, accept the rules of the competition "
        "vinbigdata-chest-xray-abnormalities-detection, download and unpack it (train.csv, train/, test/).",
        "cxr manifest build vindr_cxr DATA_ROOT --out vindr.parquet --option consensus=any (keeps every reader's "
        "boxes; a run chooses its own rule with data.0.consensus)",
    ),
    whole=Whole(
        films=18_000,
        files={
            f"annotations/{table}_{split}.csv": ""
            for table in ("image_labels", "annotations")
            for split in ("train", "test")
        },
    ),
    rows=_rows,
    finish=_finish,
    options={
        "consensus": Option(
            ("majority", "any", "all", "mean"),
            "how many of a film's readers make a label positive; mean labels as majority does",
        )
    },
)

ADAPTERS: Final = (VINDR_CXR,)
