"""Indiana University chest X-ray collection (Open-i): 7,470 films of 3,851 coded reports."""

from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Download, Options, Whole
from pipelines.datasets.adapters.openi_reports import (
    FILM_TABLE,
    Report,
    film_name,
    nodule_label,
    read_reports,
    tb_label,
)
from pipelines.datasets.native import find_file, read_table, require_folder
from pipelines.datasets.stored import films_by_stem
from pipelines.errors import DatasetError

NAME: Final = "openi"
HEADER_TABLE: Final = "nlmcxr_dicom_metadata.csv"
FRONTAL: Final = ("PA", "AP")
LATERAL: Final = frozenset({"LL", "RL", "LATERAL", "LARGE LATERAL"})
COLLECTIONS: Final = "https://openi.nlm.nih.gov/imgs/collections"


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    reports = read_reports(root, NAME)
    paths = {film_name(stem): path for stem, path in films_by_stem(root, [root]).items()}
    views = _header_views(root) | _sorted_views(root)
    rows = [_row(report, film, paths, views) for report in reports for film in report.films]
    if not rows:
        raise DatasetError(f"{NAME}: none of the {len(reports):,} reports in {root} names a film")
    return pd.DataFrame(rows)


def _row(report: Report, film: str, paths: dict[str, str], views: dict[str, str | None]) -> dict[str, object]:
    tb, nodule = tb_label(report), nodule_label(report)
    return {
        "image_id": f"{NAME}/{film}",
        "path": paths.get(film, f"NLMCXR_png/{film}.png"),
        "dataset": NAME,
        "site": "Indiana University",
        "patient_id": report.case,
        "study_id": report.case,
        "view": views.get(film),
        "tb": tb,
        "nodule": nodule,
        "reference_standard": None if tb is None and nodule is None else "report",
        "native_labels": list(report.headings) or None,
    }


def _header_views(root: Path) -> dict[str, str | None]:
    """Film -> view, from the table of DICOM headers that goes round, for use with the PNGs."""
    path = find_file(root, (HEADER_TABLE,))
    if path is None:
        return {}
    return {entry["imageid"]: _view(entry["View Position"]) for entry in read_table(path, ["imageid", "View Position"])}


def _view(text: str) -> str | None:
    if text in LATERAL:
        return "LATERAL"
    return text if text in FRONTAL else None


def _sorted_views(root: Path) -> dict[str, str | None]:
    """Film -> LATERAL where somebody who sorted the films by eye says so; a frontal one keeps what its header says."""
    path = find_file(root, (FILM_TABLE,))
    if path is None:
        return {}
    views: dict[str, str | None] = {}
    for entry in read_table(path, ["filename", "projection"]):
        if entry["projection"] not in ("Frontal", "Lateral"):
            raise DatasetError(
                f"{path}: projection of {entry['filename']} is {entry['projection']!r}, expected Frontal or Lateral"
            )
        if entry["projection"] == "Lateral":
            views[film_name(entry["filename"])] = "LATERAL"
    return views


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    """Two films of one study that both call themselves frontal: mostly one is the lateral, so neither is believed."""
    frontal = frame["view"].isin(FRONTAL)
    several = frontal.groupby(frame["study_id"]).transform("sum") > 1
    return frame.assign(view=frame["view"].mask(frontal & several, None))


OPENI: Final = Adapter(
    name=NAME,
    title="Indiana University chest X-ray collection (Open-i)",
    citation=(
        "Demner-Fushman D, Kohli MD, Rosenman MB, et al. Preparing a collection of radiology examinations for "
        "distribution and retrieval. JAMIA 2016;23(2):304-310."
    ),
    licence="CC BY-NC-ND 4.0: use without commerce, with credit; no altered copies passed on",
    films_may_be_shown=False,
    films_may_be_shown_why="The licence does not let altered copies be passed on, and a report shows films resized.",
    how_to_get="https://openi.nlm.nih.gov/faq (NLMCXR_reports.tgz with NLMCXR_png.tgz or, of 81 GB, NLMCXR_dcm.tgz)",
    size="7,470 films, frontal and lateral, of 3,851 studies with a report (104 more reports have no film)",
    label_origin=(
        "the radiologist's report, coded by hand with MeSH headings and their qualifiers; further terms found in the "
        "text by a program"
    ),
    label_mapping={
        "Nodule/.../lung, Mass/.../lung": "nodule = 1: coded as a nodule or mass of the lung",
        "Nodule, Mass elsewhere": "nodule null: of the pleura, breast, mediastinum ... or without a place",
        "Granuloma, Calcified Granuloma, Granulomatous Disease": (
            "nodule null: a round opacity that the reader took for healed and benign: whether it counts as a nodule is "
            "the programme's choice, and 0 would teach that what looks like one is none"
        ),
        "any heading qualified as round": "nodule null: a round opacity or density that nobody called a nodule",
        "a nodule, mass or tumour only among the program's terms": (
            "nodule null: the program does not see negations, the coder may have left it out"
        ),
        "No Indexing, Technical Quality of Image Unsatisfactory": "tb and nodule null: not coded, or hard to read",
        "any other heading, normal": "nodule = 0: the whole report was coded, and nothing like a nodule",
        "Tuberculosis": "tb = 1: named in the coded report; null where it is qualified as healed",
        "normal": "tb = 0: the report calls the whole film normal",
        "any other heading (tuberculosis)": (
            "tb null: opacities, scars and cavities may be tuberculosis; the program's term 'tuberculosis' too, for "
            "it stands in reports that exclude it"
        ),
    },
    known_defects=(
        "one study is positive for tuberculosis (two films): no measure of it can be had here",
        "a label is of the study, and so of its lateral film too, where the finding may not be seen",
        "headers call many lateral films PA: where two films of a study say PA or AP, both views become null; of the "
        "films that keep PA or AP and that others sorted by their looks about one in twenty is a lateral",
        "a third of the headers give no view",
        "words were cut from the reports with the identifiers (XXXX), and sex and age are in neither",
        "half of the DICOM files are MONOCHROME1; PNG copies are 8-bit after an unknown window",
    ),
    verified=True,
    verified_note="all 3,955 reports and a table of 7,469 DICOM headers; no film, and not the two tables at Kaggle",
    access="open",
    unknown=(
        "nodule where the report names a granuloma, something round, or a nodule outside the lung; tb on every film "
        "that is neither normal nor coded as tuberculosis"
    ),
    rows=_rows,
    finish=_finish,
    overlaps={"node21": "1,156 films (54 with a nodule) are in NODE21, cropped and rescaled"},
    unverified=(
        "that no person has two case numbers: the number is the PatientID of the headers, and is taken as the patient",
        "the columns of the two tables at Kaggle, which are as many users describe them",
        "the sizes and checksums of the archives (users give 80,694,582,486 bytes for NLMCXR_dcm.tgz)",
    ),
    downloads=(
        Download(url=f"{COLLECTIONS}/NLMCXR_reports.tgz", to="NLMCXR_reports.tgz", unpack=True),
        Download(url=f"{COLLECTIONS}/NLMCXR_png.tgz", to="NLMCXR_png/NLMCXR_png.tgz", unpack=True),
        Download(url=f"{COLLECTIONS}/NLMCXR_dcm.tgz", to="NLMCXR_dcm/NLMCXR_dcm.tgz", unpack=True, default=False),
    ),
    whole=Whole(films=7_470),
)

ADAPTERS: Final = (OPENI,)
