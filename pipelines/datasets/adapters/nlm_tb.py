"""The two tuberculosis sets of the US National Library of Medicine: Montgomery County and Shenzhen."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Download, Options, Whole, warn
from pipelines.datasets.native import (
    age_years,
    find_base,
    find_file,
    image_files,
    read_table,
    read_text,
    require_folder,
    sex_of,
)
from pipelines.errors import DatasetError

MONTGOMERY_SPACING_MM: Final = 0.0875
MONTGOMERY_SIDES: Final = frozenset({4020, 4892})
READINGS: Final = "ClinicalReadings"
IMAGES: Final = ("CXR_png", "images/images", "images")
"""Folder of the films: the publisher's, and that of repacked copies, which name the readings' table as below."""
REPACKED: Final = {"montgomery": "montgomery_metadata.csv", "shenzhen": "shenzhen_metadata.csv"}
PLACES: Final = {
    "montgomery": (
        "MontgomerySet",
        "NLM-MontgomeryCXRSet/MontgomerySet",
        "NLM-MontgomeryCXRSet",
        "Montgomery/MontgomerySet",
        "Montgomery-County-CXR-Set/MontgomerySet",
    ),
    "shenzhen": ("ChinaSet_AllFiles", "ChinaSet_AllFiles/ChinaSet_AllFiles", "Shenzhen-Hospital-CXR-Set"),
}
"""Where the archives of the publisher, its page and copies unpack."""
MASK: Final = "_mask"
"""How the names of lung masks end where a copy keeps them beside the films."""


@dataclass(frozen=True)
class Reading:
    """What the text beside a film says."""

    sex: str | None
    age_years: float | None
    text: str


def _montgomery_reading(text: str) -> Reading:
    """Three kinds of line: ``Patient's Sex: F``, ``Patient's Age: 027Y``, and the reading itself."""
    fields = {"sex": "", "age": ""}
    said = []
    for line in filter(None, map(str.strip, text.splitlines())):
        match = re.match(r"patient'?s?\s+(sex|age)\s*:\s*(.*)", line, re.IGNORECASE)
        if match:
            fields[match[1].lower()] = match[2]
        else:
            said.append(line)
    return Reading(sex_of(fields["sex"]), age_years(fields["age"]), " ".join(said))


def _shenzhen_reading(text: str) -> Reading:
    """``male 45yrs`` (or ``Female, 28yrs``, ``male 16month``), then the reading, mostly on lines of its own."""
    match = re.match(r"\s*([a-z]+)\W*(\d+(?:\.\d+)?\s*(?:years?|yrs?|months?|days?|[ymd]\b)?)?", text, re.IGNORECASE)
    sex = sex_of(match[1]) if match else None
    if match is None or sex is None:
        return Reading(None, None, " ".join(text.split()))
    return Reading(sex, age_years(match[2] or ""), " ".join(text[match.end() :].split()).lstrip(",. "))


def _shenzhen_table(path: Path) -> dict[str, Reading]:
    """Readings of a CSV with columns Image, Age, Gender, TYPE and the reading's parts in columns without a name."""
    readings = {}
    rows = read_table(path, ["Image", "Age", "Gender", "TYPE"])
    for row in rows:
        parts = [value.strip() for name, value in row.items() if name not in ("Image", "Age", "Gender")]
        readings[Path(row["Image"].strip()).stem] = Reading(
            sex_of(row["Gender"]), age_years(row["Age"]), ", ".join(filter(None, parts))
        )
    return readings


def _repacked_table(path: Path) -> dict[str, Reading]:
    """Readings of a repacked copy: columns study_id, sex, age, findings. An age given as a range stays null."""
    readings = {}
    for row in read_table(path, ["study_id", "sex", "age", "findings"]):
        age = age_years(row["age"]) if re.fullmatch(r"\s*\d+(\.\d+)?\s*", row["age"]) else None
        readings[Path(row["study_id"].strip()).stem] = Reading(
            sex_of(row["sex"]), age, " ".join(row["findings"].split())
        )
    return readings


def _text_files(folder: Path, parse: Callable[[str], Reading]) -> dict[str, Reading]:
    return {path.stem: parse(read_text(path)) for path in sorted(folder.glob("*.txt"))}


def _rows_of(name: str, root: Path, folder: Path, images: Iterable[str], readings: dict[str, Reading]) -> pd.DataFrame:
    """One row for every film on disk or with a reading, in the order of their names."""
    stem_pattern = re.compile(PREFIX_OF[name] + r"_(\d+)_([01])")
    paths = {Path(image).stem: image for image in images}
    rows = []
    for stem in sorted({*paths, *readings}):
        match = stem_pattern.fullmatch(stem)
        if match is None:
            raise DatasetError(f"{name}: file name {stem!r} in {folder}, expected {PREFIX_OF[name]}_<number>_<0 or 1>")
        reading = readings.get(stem, Reading(None, None, ""))
        rows.append(
            {
                "image_id": f"{name}/{stem}",
                "path": (folder / paths.get(stem, f"{stem}.png")).relative_to(root).as_posix(),
                "dataset": name,
                "site": SITE_OF[name],
                "view": "PA",
                "sex": reading.sex,
                "age_years": reading.age_years,
                "tb": float(match[2]),
                "reference_standard": "radiologist",
                "native_labels": [reading.text] if reading.text else None,
            }
        )
    if not rows:
        raise DatasetError(f"{name}: expected films {PREFIX_OF[name]}_*.png in {folder} or their readings, found none")
    return pd.DataFrame(rows)


PREFIX_OF: Final = {"montgomery": "MCUCXR", "shenzhen": "CHNCXR"}
SITE_OF: Final = {"montgomery": "Montgomery County, USA", "shenzhen": "Shenzhen No. 3 Hospital, China"}


def _pngs(folder: Path, prefix: str) -> list[str]:
    """Films of one set; a copy may keep those of both, and masks of the lungs, in one folder."""
    films = (name for name in image_files(folder, suffixes=(".png",)) if Path(name).name.startswith(prefix))
    return [name for name in films if not Path(name).stem.endswith(MASK)]


def _base(name: str, root: Path) -> tuple[Path, Path]:
    """The folder of the layout, and that of its films."""
    for images in IMAGES:
        for place in ("", *PLACES[name]):
            if (root / place / images).is_dir() and (images == IMAGES[0] or find_file(root / place, (REPACKED[name],))):
                return root / place, root / place / images
    base = find_base(root, IMAGES[0], PLACES[name], name)
    return base, base / IMAGES[0]


def _build(name: str, root: Path, folder: Path, readings: dict[str, Reading]) -> pd.DataFrame:
    mine = {stem: reading for stem, reading in readings.items() if stem.startswith(PREFIX_OF[name])}
    if not mine:
        warn(f"{name}: no readings beside {folder}: sex, age and native labels stay null")
    return _rows_of(name, root, folder, _pngs(folder, PREFIX_OF[name]), mine)


def _readings(name: str, base: Path, parse: Callable[[str], Reading]) -> dict[str, Reading]:
    table = find_file(base, (REPACKED[name],))
    return _text_files(base / READINGS, parse) or (_repacked_table(table) if table else {})


def _montgomery(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, "montgomery")
    base, folder = _base("montgomery", root)
    return _build("montgomery", root, folder, _readings("montgomery", base, _montgomery_reading))


def _shenzhen(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, "shenzhen")
    table = find_file(root, ("shenzhen_readings.csv",))
    if table is None:
        base, folder = _base("shenzhen", root)
        return _build("shenzhen", root, folder, _readings("shenzhen", base, _shenzhen_reading))
    place = next((place for place in ("", *PLACES["shenzhen"]) if (root / place / IMAGES[0]).is_dir()), "")
    return _build("shenzhen", root, root / place / IMAGES[0], _shenzhen_table(table))


def _montgomery_spacing(frame: pd.DataFrame) -> pd.DataFrame:
    """The published spacing holds for films in their published size, 4020 x 4892 either way up."""
    sizes = zip(frame["rows"], frame["columns"], strict=True)
    native = [bool(pd.notna(r) and pd.notna(c) and {int(r), int(c)} == MONTGOMERY_SIDES) for r, c in sizes]
    frame.loc[native, "pixel_spacing_mm"] = MONTGOMERY_SPACING_MM
    return frame


_CITATION: Final = (
    "Jaeger S, Candemir S, Antani S, Wáng YXJ, Lu PX, Thoma G. Two public chest X-ray datasets for computer-aided "
    "screening of pulmonary diseases. Quant Imaging Med Surg 2014;4(6):475-477."
)
_LICENCE: Final = (
    "US National Library of Medicine: research use with the citation and the source named; the ReadMe asks that the "
    "set is not shared outside one's research group, and that others are sent to the publisher"
)
_SHOWING: Final = "The ReadMe beside the films asks its readers not to share the set outside their research group."
_HOW: Final = "https://lhncbc.nlm.nih.gov/LHC-downloads/downloads.html#tuberculosis-image-data-sets"
_MAPPING: Final = {
    "_1 in the file name": "tb = 1: the data set's 'abnormal with manifestations of tuberculosis'",
    "_0 in the file name": "tb = 0: the data set's 'normal'",
    "(nodule)": (
        "nodule is null everywhere: readings were not written to tell nodules, and a normal film was normal for "
        "this purpose"
    ),
}
_PATIENTS: Final = (
    "patient ids are not released and the number in a file name is not documented as a patient: patient_id is null; "
    "the committed folds take each film for one person"
)
_COLLECTIONS: Final = "https://openi.nlm.nih.gov/imgs/collections"
_WHERE: Final = (
    "whether the address of the archive still answers: the publisher also lists the files one by one at "
    "https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/"
)
_SHARED: Final = {
    "tbx11k": "its imgs/extra/mc+shenzhen holds the films at 512 x 512; its adapter leaves them out unless asked",
    "qatar_tb": "its 394 tuberculosis pictures and 406 normal ones from NLM are the films of both sets, reduced",
}

MONTGOMERY: Final = Adapter(
    name="montgomery",
    title="Montgomery County chest X-ray set",
    citation=_CITATION,
    licence=_LICENCE,
    films_may_be_shown=False,
    films_may_be_shown_why=_SHOWING,
    how_to_get=_HOW,
    size="138 PA films: 80 normal, 58 with manifestations of tuberculosis",
    label_origin=(
        "readings in the county's tuberculosis control programme; whether every positive was proven is not published"
    ),
    label_mapping=_MAPPING,
    known_defects=(
        _PATIENTS,
        "positives include old and healed tuberculosis: the label is not 'active disease'",
        "films are 4020 x 4892 or 4892 x 4020 pixels of 0.0875 mm; the spacing is filled in only at that size",
        "ManualMask holds masks of both lungs: they are not read",
    ),
    verified=False,
    verified_note=(
        "names, counts, reading format and spacing as published; proved on files written after that description only"
    ),
    access="open",
    unknown="nodule on every film: the readings were made for tuberculosis",
    rows=_montgomery,
    finish=_montgomery_spacing,
    overlaps=_SHARED,
    unverified=(_WHERE, "size and digest of the archive", "whether each film is of another person"),
    downloads=(Download(url=f"{_COLLECTIONS}/NLM-MontgomeryCXRSet.zip", to="NLM-MontgomeryCXRSet.zip", unpack=True),),
    whole=Whole(films=138),
)
SHENZHEN: Final = Adapter(
    name="shenzhen",
    title="Shenzhen Hospital chest X-ray set",
    citation=_CITATION,
    licence=_LICENCE,
    films_may_be_shown=False,
    films_may_be_shown_why=_SHOWING,
    how_to_get=_HOW,
    size="662 PA films: 326 normal, 336 with manifestations of tuberculosis",
    label_origin=(
        "routine care in a hospital with a tuberculosis service, labelled with its readings; proof by culture is "
        "not published"
    ),
    label_mapping=_MAPPING,
    known_defects=(
        _PATIENTS,
        "CHNCXR_0649_1 is positive by its name and typed NORMAL in one public table of the readings: the name is "
        "the label, "
        "as in the published counts (326 and 336)",
        "the same table types CHNCXR_0075_0 and CHNCXR_0324_0, normal by name and reading, as ACTIVE; again the "
        "name is the label",
        "ages run from infants to 89 years; months and days are converted; that table has lost the unit of some",
        "a few positives are read as pleurisy or pneumonia only",
    ),
    verified=False,
    verified_note=(
        "the readings of all 662 films as one CSV; films and text files as published, proved on files written "
        "after that"
    ),
    access="open",
    unknown="nodule on every film: the readings were made for tuberculosis",
    rows=_shenzhen,
    overlaps=_SHARED,
    unverified=(
        _WHERE,
        "size and digest of the archive",
        "whether each film is of another person",
        "that its ReadMe asks not to share the set, as Montgomery's does",
        "how a repacked copy writes ages: single years are read, ranges stay null",
    ),
    downloads=(Download(url=f"{_COLLECTIONS}/ChinaSet_AllFiles.zip", to="ChinaSet_AllFiles.zip", unpack=True),),
    whole=Whole(films=662),
)

ADAPTERS: Final = (MONTGOMERY, SHENZHEN)
