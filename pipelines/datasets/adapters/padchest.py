"""PadChest: 160,861 films of a Spanish hospital, 16 bits deep, with 193 labels taken from their reports."""

import ast
import math
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Option, Options, Whole
from pipelines.datasets.native import image_files, need_file, read_frame, require_folder, sex_of
from pipelines.errors import DatasetError
from pipelines.imaging.vendor import vendor
from pipelines.manifest.schema import AGE_YEARS_RANGE

NAME: Final = "padchest"
TABLE: Final = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
VIEW_OF: Final = {"PA": "PA", "AP": "AP", "AP_horizontal": "AP", "L": "LATERAL"}
"""Projection -> view; the others (COSTAL, EXCLUDE, UNK) are no known view of the chest."""
NODULE: Final = frozenset({"nodule", "multiple nodules", "pulmonary mass", "lung metastasis"})
MAYBE_NODULE: Final = frozenset(
    {
        "mass",
        "pleural mass",
        "granuloma",
        "calcified granuloma",
        "miliary opacities",
        "reticulonodular interstitial pattern",
        "lepidic adenocarcinoma",
    }
)
TB: Final = "tuberculosis"
SEQUELAE: Final = "tuberculosis sequelae"
MAYBE_TB: Final = frozenset({"cavitation", "miliary opacities"})
UNREAD: Final = frozenset({"", "exclude", "suboptimal study", "unchanged"})
"""Labels of a report, or of a sentence of it, that leave open what is on the film."""
_COLUMNS: Final = (
    "ImageID",
    "ImageDir",
    "StudyDate_DICOM",
    "StudyID",
    "PatientID",
    "PatientBirth",
    "PatientSex_DICOM",
    "Projection",
    "Manufacturer_DICOM",
    "MethodLabel",
    "Labels",
)


def _rows(root: Path, options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    path = need_file(root, (TABLE,), NAME)
    table = read_frame(path, _COLUMNS)
    view = table["Projection"].map(VIEW_OF)
    judged = view.notna()
    if options["labelled_by"] == "physician":
        judged &= table["MethodLabel"] == "Physician"
    labels = _labels(table, path, options)
    return pd.DataFrame(
        {
            "image_id": f"{NAME}/" + table["ImageID"].str.removesuffix(".png"),
            "path": _paths(table, root),
            "dataset": NAME,
            "site": "Hospital San Juan de Alicante",
            "patient_id": table["PatientID"],
            "study_id": table["StudyID"],
            "view": view.astype(object),
            "sex": _each(table["PatientSex_DICOM"], sex_of),
            "age_years": _ages(table),
            "tb": labels["tb"].where(judged),
            "nodule": labels["nodule"].where(judged),
            "reference_standard": "report",
            "native_labels": labels["native"],
            "manufacturer": _each(table["Manufacturer_DICOM"], _maker),
        }
    )


def _each(texts: "pd.Series[str]", reading: Callable[[str], str | None]) -> "pd.Series[Any]":
    return texts.map({text: reading(text) for text in texts.unique()}).astype(object)


def _maker(text: str) -> str | None:
    """Of ``PhilipsMedicalSystems``, written without blanks."""
    return vendor(re.sub("(?<=[a-z])(?=[A-Z])", " ", text))


def _labels(table: pd.DataFrame, path: Path, options: Options) -> pd.DataFrame:
    """``nodule``, ``tb`` and ``native`` of each row; reports repeat themselves, so each text is read once."""
    numbers, texts = pd.factorize(table["Labels"])
    read = [_read(text, path) for text in texts]
    frame = pd.DataFrame({"nodule": map(_nodule, read), "tb": [_tb(labels, options) for labels in read]}, dtype=float)
    frame = frame.iloc[numbers].reset_index(drop=True)
    native = [[*read[number], method] for number, method in zip(numbers, table["MethodLabel"], strict=True)]
    return frame.assign(native=pd.Series(native, dtype=object))


def _read(text: str, path: Path) -> list[str]:
    """Labels of a cell such as ``['nodule', ' fibrotic band']``; ``nan`` is none."""
    try:
        given = ast.literal_eval(text) if text not in ("", "nan") else []
    except (ValueError, SyntaxError):
        given = None
    if not isinstance(given, list) or not all(isinstance(label, str) for label in given):
        raise DatasetError(f"{path}: column 'Labels' is {text[:80]!r}, expected a list such as ['nodule', 'scoliosis']")
    return list(dict.fromkeys(label.strip() for label in given))


def _nodule(labels: Collection[str]) -> float:
    if not NODULE.isdisjoint(labels):
        return 1.0
    return 0.0 if labels and (MAYBE_NODULE | UNREAD).isdisjoint(labels) else math.nan


def _tb(labels: Collection[str], options: Options) -> float:
    if SEQUELAE in labels:
        return {"unknown": math.nan, "negative": 0.0, "positive": 1.0}[options["sequelae"]]
    if TB in labels:
        return 1.0
    return 0.0 if labels and (MAYBE_TB | UNREAD).isdisjoint(labels) else math.nan


def _ages(table: pd.DataFrame) -> "pd.Series[float]":
    """Years at the study, from the years of birth and study: right to one year."""
    years = pd.to_numeric(table["StudyDate_DICOM"].str[:4], errors="coerce")
    years -= pd.to_numeric(table["PatientBirth"], errors="coerce")
    return years.where(years.between(*AGE_YEARS_RANGE))


def _paths(table: pd.DataFrame, root: Path) -> "pd.Series[str]":
    """Where each film lies: in the folder of its number, in one folder with all others, or in the root."""
    found = {path.rpartition("/")[2]: path for path in image_files(root, suffixes=(".png",))}
    native = table["ImageDir"] + "/" + table["ImageID"]
    return table["ImageID"].map(found).fillna(native) if found else native


PADCHEST: Final = Adapter(
    name=NAME,
    title="PadChest",
    citation=(
        "Bustos A, Pertusa A, Salinas JM, de la Iglesia-Vaya M. PadChest: a large chest x-ray image dataset with "
        "multi-label annotated reports. Medical Image Analysis 2020;66:101797."
    ),
    licence="PADCHEST Dataset Research Use Agreement (BIMCV): research without charge; no redistribution",
    films_may_be_shown=False,
    films_may_be_shown_why="The research use agreement does not let copies of any part be published or passed on.",
    how_to_get="https://bimcv.cipf.es/bimcv-projects/padchest/",
    size=(
        "160,861 films of 67,625 patients in 109,931 studies (the paper says 160,868): 91,728 PA, 49,579 lateral, "
        "14,346 AP lying, 4,559 AP, 630 costal, 19 other; about 1 TB as 16-bit PNG"
    ),
    label_origin=(
        "sentences of Spanish reports: physicians labelled those of 39,053 films, a recurrent network trained on them "
        "those of 121,808; nobody looked at the film again"
    ),
    label_mapping={
        "nodule, multiple nodules, pulmonary mass, lung metastasis": (
            "nodule = 1: focal opacities of the lung that a reader would follow up"
        ),
        "granuloma, calcified granuloma": (
            "nodule is null where nothing else is named: a nodule on the film that the reader took for healed, so "
            "neither 1 nor 0 would be fair"
        ),
        "miliary opacities, reticulonodular interstitial pattern": (
            "nodule is null where nothing else is named: many small nodules, no focal one"
        ),
        "mass, pleural mass, lepidic adenocarcinoma": (
            "nodule is null where nothing else is named: a mass whose place is not said (often goitre or mediastinum), "
            "one of the pleura, a tumour that may look like consolidation"
        ),
        "pseudonodule, nipple shadow, end on vessel": "nodule = 0: the reader saw it and said that it is no nodule",
        "tuberculosis": "tb = 1: the report names it, as found or as to be considered; no microbiology",
        "tuberculosis sequelae": (
            "tb is null, also beside tuberculosis: healed disease is not what a programme looks for, yet on the film "
            "it cannot always be told from active disease; option sequelae makes it 0 or 1"
        ),
        "cavitation, miliary opacities": (
            "tb is null where tuberculosis is not named: either makes one think of it, and the report leaves it open"
        ),
        "unchanged, exclude, suboptimal study, an empty label": (
            "0 becomes null: the report compares with a film that is not known, could not be read, or has a sentence "
            "that got no label; a finding that is named stays 1"
        ),
        "any other label, normal": (
            "0: every report was labelled for all findings; what the reader did not write stays a wrong 0"
        ),
        "projections COSTAL, EXCLUDE, UNK": "tb, nodule and view are null: these show no known view of the lungs",
        "MethodLabel": "last of native_labels; both kinds read the report, so reference_standard is report throughout",
    },
    known_defects=(
        "labels belong to a report: a lateral film has the labels of its frontal one",
        "76 % of the labels come from a network (micro-F1 0.93 by its authors); option labelled_by=physician makes "
        "tb and nodule of the others null",
        "tuberculosis is also named where it is only to be excluded, or where a contact of a patient has a normal film",
        "lists of users name 21 to 42 files of the release as missing, truncated or no PNG: they become rows with a "
        "reason",
        "12 patients have films of both sexes and one study has two patients; 6 films have no year of birth; age is "
        "the difference of two years",
        "the projection of 15,126 films was guessed by a network (MethodProjection)",
        "16-bit PNG without the window of the DICOM file, and without pixel spacing",
    ),
    verified=True,
    verified_note="the full label file of 1 February 2019; folders and films only as described",
    access="registration",
    unknown=(
        "tb and nodule of films that are unchanged, excluded, suboptimal, partly unlabelled or no known view; tb of "
        "healed tuberculosis, cavities and miliary opacities; nodule of granulomas, diffuse nodules and masses without "
        "a place"
    ),
    rows=_rows,
    options={
        "sequelae": Option(
            ("unknown", "negative", "positive"), "what tb is where the report names healed tuberculosis"
        ),
        "labelled_by": Option(
            ("anyone", "physician"), "whose labels count; the findings of films labelled by others become null"
        ),
    },
    overlaps={"PadChest-GR": "4,555 studies of PadChest with new reports and boxes"},
    unverified=(
        "the wording of the research use agreement: the one of the same publisher's BIMCV-COVID19 forbids to "
        "distribute, publish or reproduce any part",
        "whether SpatialResolution_DICOM (0.143, 0.2, 0.148 …) is the pixel spacing: it is not used",
        "which files are unreadable in the present release",
    ),
    steps=(
        "Open the page under how to get, and fill in its form to accept the research use agreement.",
        "Download the label table and the archives 0.zip to 54.zip from the address you are given.",
        f"Put {TABLE} (plain or .gz) into a folder and unpack each archive into the folder of its number (0, 1 … 54) "
        "beside it; all films in one folder will do too.",
        "cxr manifest build padchest FOLDER --out padchest.parquet",
    ),
    whole=Whole(films=160_861, files={TABLE: ""}),
)

ADAPTERS: Final = (PADCHEST,)
