"""The two tuberculosis sets of the US National Library of Medicine: Montgomery County and Shenzhen."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import Adapter, Options, warn
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
IMAGES: Final = "CXR_png"


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


def _text_files(folder: Path, parse: Callable[[str], Reading]) -> dict[str, Reading]:
    return {path.stem: parse(read_text(path)) for path in sorted(folder.glob("*.txt"))}


def _rows_of(name: str, root: Path, base: Path, images: Iterable[str], readings: dict[str, Reading]) -> pd.DataFrame:
    """One row for every film on disk or with a reading, in the order of their names."""
    stem_pattern = re.compile(PREFIX_OF[name] + r"_(\d+)_([01])")
    paths = {Path(image).stem: image for image in images}
    rows = []
    for stem in sorted({*paths, *readings}):
        match = stem_pattern.fullmatch(stem)
        if match is None:
            raise DatasetError(f"{name}: file name {stem!r} in {base}, expected {PREFIX_OF[name]}_<number>_<0 or 1>")
        reading = readings.get(stem, Reading(None, None, ""))
        rows.append(
            {
                "image_id": f"{name}/{stem}",
                "path": (base / paths.get(stem, f"{IMAGES}/{stem}.png")).relative_to(root).as_posix(),
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
        raise DatasetError(
            f"{name}: expected films {PREFIX_OF[name]}_*.png in {base / IMAGES} or their readings, found none"
        )
    return pd.DataFrame(rows)


PREFIX_OF: Final = {"montgomery": "MCUCXR", "shenzhen": "CHNCXR"}
SITE_OF: Final = {"montgomery": "Montgomery County, USA", "shenzhen": "Shenzhen No. 3 Hospital, China"}


def _pngs(base: Path, prefix: str) -> list[str]:
    folder = base / IMAGES
    # One published copy keeps the films of both sets in one folder.
    return [
        f"{IMAGES}/{name}" for name in image_files(folder, suffixes=(".png",)) if Path(name).name.startswith(prefix)
    ]


def _build(name: str, root: Path, base: Path, readings: dict[str, Reading]) -> pd.DataFrame:
    mine = {stem: reading for stem, reading in readings.items() if stem.startswith(PREFIX_OF[name])}
    images = _pngs(base, PREFIX_OF[name])
    if not mine:
        warn(f"{name}: no readings in {base / READINGS}: sex, age and native labels stay null")
    return _rows_of(name, root, base, images, mine)


def _montgomery(root: Path, _options: Options) -> pd.DataFrame:
    base = find_base(root, IMAGES, ("MontgomerySet", "NLM-MontgomeryCXRSet/MontgomerySet"), "montgomery")
    return _build("montgomery", root, base, _text_files(base / READINGS, _montgomery_reading))


def _shenzhen(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, "shenzhen")
    places = ("ChinaSet_AllFiles", "ChinaSet_AllFiles/ChinaSet_AllFiles")
    table = find_file(root, ("shenzhen_readings.csv",))
    if table is None:
        base = find_base(root, IMAGES, places, "shenzhen")
        return _build("shenzhen", root, base, _text_files(base / READINGS, _shenzhen_reading))
    base = next((root / place for place in places if (root / place / IMAGES).is_dir()), root)
    return _build("shenzhen", root, base, _shenzhen_table(table))


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
    "US National Library of Medicine, public: research use with the citation; see the ReadMe beside the films"
)
_SHOWING: Final = (
    "The films were published for research; the terms that come with them do not clearly let others pass films on."
)
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
    "patient ids are not released and the number in a file name is not documented as a patient: patient_id is null"
)

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
    ),
    verified=False,
    verified_note=(
        "names, counts, reading format and spacing as published; proved on files written after that description only"
    ),
    access="open",
    unknown="nodule on every film: the readings were made for tuberculosis",
    rows=_montgomery,
    finish=_montgomery_spacing,
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
)

ADAPTERS: Final = (MONTGOMERY, SHENZHEN)
