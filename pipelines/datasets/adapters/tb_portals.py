"""NIAID TB Portals: films of tuberculosis cases, mostly drug-resistant, from many countries."""

import re
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Options, warn
from pipelines.datasets.native import image_files, read_table, read_text, require_folder, sex_of
from pipelines.errors import DatasetError

NAME: Final = "tb_portals"
RELEASE: Final = r"[ _](?:[A-Z][a-z]+[ _]\d{4}|\d{8})\.csv"
"""What follows a table's name: the month and year, or the date, of the release."""
FILMS: Final = re.compile(r"TB[ _]Portals[ _]CXRs" + RELEASE)
CASES: Final = re.compile(r"TB[ _]Portals[ _]Patient[ _]Cases" + RELEASE)
FILE_COLUMN: Final = "series_instance_content_url"
FILM_COLUMNS: Final = (FILE_COLUMN, "condition_id", "imagingstudy_id")
"""Columns without which a film cannot be placed; ``patient_id`` and ``country`` are read where they are there."""
DEPTH: Final = 4
"""Parts of a file's address: patient, study, series, instance."""


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    films = _table(root, FILMS, FILM_COLUMNS)
    if films is None:
        raise DatasetError(f"{NAME}: expected TB_Portals_CXRs_<month>_<year>.csv in or below {root}, found none")
    cases = {case["condition_id"]: case for case in _table(root, CASES, ("condition_id",)) or []}
    if not cases:
        warn(f"{NAME}: no TB_Portals_Patient_Cases_<month>_<year>.csv in {root}: sex stays null")
    paths = {_address(path): path for path in image_files(root, suffixes=(".dcm",))}
    rows = {film[FILE_COLUMN]: _row(film, cases.get(film["condition_id"], {}), paths) for film in films}
    return pd.DataFrame(list(rows.values()))


def _table(root: Path, pattern: re.Pattern[str], columns: tuple[str, ...]) -> list[dict[str, str]] | None:
    """Rows of the one table of that name below the root; columns are known by their names in lower case."""
    found = [path for path in image_files(root, suffixes=(".csv",)) if pattern.fullmatch(PurePosixPath(path).name)]
    if len(found) > 1:
        raise DatasetError(f"{NAME}: expected one release in {root}, found {', '.join(found)}")
    if not found:
        return None
    path = root / found[0]
    if "\t" in read_text(path).partition("\n")[0]:
        raise DatasetError(f"{path}: columns are separated by tabs, expected commas")
    rows = [{name.lower(): cell.strip() for name, cell in row.items()} for row in read_table(path, ())]
    missing = [name for name in columns if rows and name not in rows[0]]
    if missing or not rows:
        raise DatasetError(f"{path}: expected rows with column {', '.join(missing or columns)}, found none")
    return rows


def _address(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts[-DEPTH:]


def _row(film: dict[str, str], case: dict[str, str], paths: dict[tuple[str, ...], str]) -> dict[str, object]:
    url = film[FILE_COLUMN].strip("/")
    parts = PurePosixPath(url).parts
    if len(parts) < DEPTH or not url.endswith(".dcm") or ".." in parts:
        raise DatasetError(
            f"{NAME}: column {FILE_COLUMN} has an entry with {len(parts)} parts, expected <patient>/<study>/<series>/"
            "<instance>.dcm"
        )
    patient = film.get("patient_id") or case.get("patient_id") or parts[-DEPTH]
    return {
        "image_id": f"{NAME}/{PurePosixPath(url).stem}",
        "path": paths.get(_address(url), url),
        "dataset": NAME,
        "site": film.get("country") or case.get("country") or None,
        "patient_id": patient,
        "study_id": film["imagingstudy_id"] or None,
        "sex": sex_of(case.get("gender", "")),
        "tb": 1.0,
    }


TB_PORTALS: Final = Adapter(
    name=NAME,
    title="NIAID TB Portals, published chest X-rays",
    citation=(
        "Rosenthal A, Gabrielian A, Engle E, et al. The TB Portals: an open-access, web-based platform for global "
        "drug-resistant-tuberculosis data sharing and analysis. J Clin Microbiol 2017;55(11):3267-3282."
    ),
    licence=(
        "data use agreement between one's institution and the TB Portals Program (NIAID): no attempt to identify "
        "anybody, safeguards, no copy without an agreement"
    ),
    films_may_be_shown=False,
    films_may_be_shown_why="A data use agreement is needed for every copy of the data.",
    how_to_get="https://tbportals.niaid.nih.gov/download-data",
    size="grows with every release: about 5,000 films in 2023, 18,142 series in the table of March 2026",
    label_origin=(
        "cases of tuberculosis under care, entered and checked by physicians; chosen for scientific interest, most of "
        "them drug-resistant: no sample of a screened population"
    ),
    label_mapping={
        "every film": (
            "tb = 1: every film is of a person under care for tuberculosis. The case has the label, not the film"
        ),
        "(nodule)": (
            "nodule is null: some films were annotated by one radiologist, but the names of the columns were not "
            "documented, and most films were not annotated"
        ),
        "annotations by a commercial program": "not read: a program's opinion is no label",
    },
    known_defects=(
        "there is no film without tuberculosis: specificity and AUROC need another set, and then the label is the "
        "difference between the sets; run the shape-free control",
        "films taken during and after treatment are among them and may show healed disease; some cases are "
        "extrapulmonary",
        "some films are photographs or scans of film, in colour, with 8 or 16 bits",
        "cases give the age at the onset, not at the film: age_years is null",
    ),
    verified=False,
    verified_note=(
        "names of tables and columns as several public programs read them; proved on files written after that only"
    ),
    access="credentialed",
    unknown="nodule on every film; there is no film with tb = 0",
    rows=_rows,
    overlaps={
        "qatar_tb": "306 of its tuberculosis pictures come from the Belarus portal, whose cases went into TB Portals",
        "Belarus tuberculosis portal": (
            "its cases went into TB Portals; the old public portal is closed, and its copies (one of 1,045 films) have "
            "layouts that no public document gives: read them with the data set folder"
        ),
    },
    unverified=(
        "the whole header of the tables; read are series_instance_content_url, condition_id, imagingstudy_id, "
        "patient_id, country, and gender of the cases",
        "which column says when a film was taken, and whether a film is before, during or after treatment",
        "which column holds nodules in the manual annotations",
        "which of the cases are proven by culture or molecular test: reference_standard is null",
        "whether films of one country (Moldova) are mirrored, as one public program reports",
        "the folder below which the films are unpacked: they are found by the last four parts of their address",
    ),
    steps=(
        "read https://tbportals.niaid.nih.gov/download-data and have your institution sign the data use agreement",
        "request the published imaging data, and the clinical data for sex and case definition (a request of its own)",
        "download the parts with the transfer program named in the answer, and unpack them into one folder",
        "put TB_Portals_CXRs_<month>_<year>.csv and TB_Portals_Patient_Cases_<month>_<year>.csv of one release there",
        "cxr manifest build tb_portals FOLDER --out tb_portals.parquet --only-present",
    ),
)

ADAPTERS: Final = (TB_PORTALS,)
