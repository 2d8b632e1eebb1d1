"""MIMIC-CXR: 377,110 films of a Boston hospital as DICOM or JPEG, with observations taken from their reports."""

from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Option, Options, Whole, warn
from pipelines.datasets.chexpert_labels import MAPPING, OBSERVATIONS, OPTIONS, native_labels, nodule_of, read_labels
from pipelines.datasets.native import find_file, read_frame, require_folder
from pipelines.errors import DatasetError

NAME: Final = "mimic_cxr"
RECORDS: Final = "cxr-record-list.csv"
METADATA: Final = "mimic-cxr-2.0.0-metadata.csv"
SPLIT: Final = "mimic-cxr-2.0.0-split.csv"
HAND_LABELS: Final = "mimic-cxr-2.1.0-test-set-labeled.csv"
PLACES: Final = tuple(
    f"{above}{project}"
    for above in ("", "physionet.org/files/")
    for release in ("2.1.0", "2.0.0")
    for project in (f"mimic-cxr-jpg/{release}", f"mimic-cxr/{release}")
)
"""Folders below the root, as wget and the archives make them."""
SPLIT_OF: Final = {"train": "train", "validate": "val", "test": "test"}
VIEW_OF: Final = {"PA": "PA", "AP": "AP", "LATERAL": "LATERAL", "LL": "LATERAL", "XTABLE LATERAL": "LATERAL"}
"""ViewPosition -> view; the others (decubitus, oblique, axial) are null."""
VIEW_CODE_OF: Final = {
    "postero-anterior": "PA",
    "antero-posterior": "AP",
    "lateral": "LATERAL",
    "left lateral": "LATERAL",
    "right lateral": "LATERAL",
}
"""ViewCodeSequence_CodeMeaning, for films whose ViewPosition is blank."""


def _rows(root: Path, options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    films = _films(root, options["films"])
    labels = _labels(root, options)
    by_study = labels.reindex(films["study_id"])
    films = films.join(_by_film(root, SPLIT, ("split",)), on="dicom_id")
    films = films.join(_by_film(root, METADATA, ("ViewPosition", "ViewCodeSequence_CodeMeaning")), on="dicom_id")
    return pd.DataFrame(
        {
            "image_id": f"{NAME}/" + films["dicom_id"],
            "path": films["path"],
            "dataset": NAME,
            "site": "Beth Israel Deaconess Medical Center",
            "patient_id": films["subject_id"],
            "study_id": films["study_id"],
            "split": _splits(films["split"], root),
            "view": _views(films),
            "nodule": by_study["nodule"].to_numpy(),
            "reference_standard": "report",
            "native_labels": by_study["native"].to_numpy(),
        }
    )


def _find(root: Path, name: str) -> Path | None:
    """A table of the release, in the root or where a download put it: the labels lie in the JPEG project only."""
    return next((path for place in ("", *PLACES) if (path := find_file(root / place, (name,)))), None)


def _need(root: Path, name: str) -> Path:
    found = _find(root, name)
    if found is None:
        raise DatasetError(
            f"{NAME}: expected {name} (plain or .gz) in {root} or below it (such as {PLACES[4]}), found none; "
            "the tables called mimic-cxr-2.0.0-… come with MIMIC-CXR-JPG and serve the DICOM films too"
        )
    return found


def _films(root: Path, kind: str) -> pd.DataFrame:
    """``dicom_id``, ``subject_id``, ``study_id`` and ``path`` of each film, in the order of its list."""
    as_dicom = kind == "dicom" or (kind == "auto" and _find(root, RECORDS) is not None)
    path = _need(root, RECORDS if as_dicom else METADATA)
    table = read_frame(path, ("dicom_id", "subject_id", "study_id"))
    for name in ("subject_id", "study_id"):
        if not (right := table[name].str.fullmatch(r"\d{8}")).all():
            raise DatasetError(f"{path}: column {name!r} is {table[name][~right].iloc[0]!r}, expected eight digits")
    base = path.parent.relative_to(root)
    subject, suffix = table["subject_id"], ".dcm" if as_dicom else ".jpg"
    folder = (base / "files").as_posix() + "/p" + subject.str[:2] + "/p" + subject + "/s" + table["study_id"]
    return table.assign(path=folder + "/" + table["dicom_id"] + suffix)


def _by_film(root: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    path = _need(root, name)
    table = read_frame(path, ("dicom_id", *columns)).set_index("dicom_id")
    if table.index.has_duplicates:
        raise DatasetError(f"{path}: column 'dicom_id' names a film twice, expected once")
    return table


def _splits(given: "pd.Series[Any]", root: Path) -> "pd.Series[Any]":
    strange = given.dropna()[~given.dropna().isin(SPLIT_OF)]
    if not strange.empty:
        raise DatasetError(
            f"{_find(root, SPLIT)}: column 'split' is {strange.iloc[0]!r}, expected one of {', '.join(SPLIT_OF)}"
        )
    return given.map(SPLIT_OF)


def _views(films: pd.DataFrame) -> "pd.Series[Any]":
    position = films["ViewPosition"].fillna("")
    coded = films["ViewCodeSequence_CodeMeaning"].map(VIEW_CODE_OF)
    return position.map(VIEW_OF).where(position != "", coded).astype(object)


def _labels(root: Path, options: Options) -> pd.DataFrame:
    """``nodule`` and ``native`` of each study; the hand-made labels of the test set go before the labeller's."""
    path = _need(root, f"mimic-cxr-2.0.0-{options['labeller']}.csv")
    table = read_labels(path, ("study_id",)).set_index("study_id")
    if options["test_labels"] == "by_hand":
        by_hand = _find(root, HAND_LABELS)
        if by_hand is None:
            warn(f"{NAME}: no {HAND_LABELS} in {root}: the test set has the labels of {options['labeller']} too")
        else:
            hand = read_labels(by_hand, ("study_id",)).set_index("study_id")
            table = pd.concat([hand, table[~table.index.isin(hand.index)]])
    if table.index.has_duplicates:
        raise DatasetError(f"{path}: column 'study_id' names a study twice, expected once")
    table = table[list(OBSERVATIONS)]
    return pd.DataFrame({"nodule": nodule_of(table, options), "native": native_labels(table)}, index=table.index)


MIMIC_CXR: Final = Adapter(
    name=NAME,
    title="MIMIC-CXR",
    citation=(
        "Johnson AEW, Pollard TJ, Berkowitz SJ, et al. MIMIC-CXR, a de-identified publicly available database of chest "
        "radiographs with free-text reports. Scientific Data 2019;6:317. PhysioNet: MIMIC-CXR 2.1.0 "
        "(doi:10.13026/4jqj-jw95), MIMIC-CXR-JPG 2.1.0 (doi:10.13026/jsn5-t979)."
    ),
    licence=(
        "PhysioNet Credentialed Health Data License 1.5.0: training, a signed data use agreement, no sharing with "
        "anyone, code published with results"
    ),
    films_may_be_shown=False,
    films_may_be_shown_why=(
        "The data use agreement that each user signs forbids to share the data with others, online services included."
    ),
    how_to_get="https://physionet.org/content/mimic-cxr/2.1.0/ and https://physionet.org/content/mimic-cxr-jpg/2.1.0/",
    size=(
        "377,110 films in 227,835 studies of 65,379 patients (64,588 by the later count), 2011 to 2016; 570 GB as "
        "JPEG; 147,173 AP, 96,161 PA, 117,988 lateral, 15,769 with no ViewPosition"
    ),
    label_origin=(
        "rules that search each report (CheXpert or NegBio, option labeller); for the test set also one radiologist "
        "who labelled the reports"
    ),
    label_mapping=MAPPING
    | {
        f"{HAND_LABELS}": (
            "goes before the labeller's word on the studies it has, by the same rules; the radiologist read the report "
            "and not the film, so reference_standard stays report; option test_labels=labeller leaves it out"
        ),
        "study without labels": "nodule is null: the report had no part that the rules could read (8 studies)",
    },
    known_defects=(
        "labels belong to a study: a lateral film has the label of its frontal one",
        "Lung Lesion is a wide class (mass, nodule, cavity, tumour)",
        "JPEG films are 8-bit after histogram equalisation: for intensities take the DICOM films",
        "patients came to an emergency department: severe disease, lines and tubes are common, screening it is not",
        "sex and age are in no table of this release (they are in MIMIC-IV); dates are shifted for each patient",
        "decubitus, oblique and axial films have view null",
    ),
    verified=False,
    verified_note=(
        "names, columns, counts and label values as published by PhysioNet; the parser was proved on files written "
        "after that description only"
    ),
    access="credentialed",
    unknown=(
        "tb on every film; nodule where the report does not mention a lesion and is not labelled No Finding, or "
        "mentions one with doubt"
    ),
    rows=_rows,
    options=OPTIONS
    | {
        "labeller": Option(("chexpert", "negbio"), "which rules searched the reports"),
        "test_labels": Option(("by_hand", "labeller"), "whose labels the test set has, where the hand-made are there"),
        "films": Option(("auto", "dicom", "jpg"), f"which films: auto takes DICOM where {RECORDS} is, else JPEG"),
    },
    overlaps={
        "MIMIC-CXR-JPG": "the same films as JPEG: this adapter reads either",
        "MS-CXR, Chest ImaGenome": "boxes and phrases on films of this set",
    },
    unverified=(
        "the spelling of ViewCodeSequence_CodeMeaning beyond postero-anterior, antero-posterior and lateral: it is "
        "read only where ViewPosition is blank",
        "which of sex and age the DICOM headers keep: what they keep is read",
    ),
    steps=(
        "Make an account at https://physionet.org, apply for credentialed access and name a reference.",
        "Take the training CITI Data or Specimens Only Research and upload its report.",
        "Sign the data use agreement on the page of MIMIC-CXR (DICOM) and on that of MIMIC-CXR-JPG (labels, split and "
        "metadata are there only).",
        "In one folder: wget -r -N -c -np --user NAME --ask-password "
        "https://physionet.org/files/mimic-cxr-jpg/2.1.0/ for labels and JPEG films, and the same with "
        "https://physionet.org/files/mimic-cxr/2.1.0/ for DICOM films. For a part of the films fetch the tables first, "
        "then those of IMAGE_FILENAMES that you need.",
        "sha256sum -c SHA256SUMS.txt in the folder of each project.",
        "cxr manifest build mimic_cxr FOLDER --out mimic.parquet, where FOLDER holds physionet.org or the tables.",
    ),
    whole=Whole(
        films=377_110,
        files={METADATA: "", SPLIT: "", "mimic-cxr-2.0.0-chexpert.csv": "", "mimic-cxr-2.0.0-negbio.csv": ""},
    ),
)

ADAPTERS: Final = (MIMIC_CXR,)
