"""JSRT Digital Image Database: 247 digitised PA films, 154 with one nodule proven by CT and 93 without."""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from pipelines.datasets.adapter import IMAGE_SUFFIXES, Adapter, Options, Whole, warn
from pipelines.datasets.native import age_years, read_text, require_folder, sex_of
from pipelines.datasets.stored import Box, films_by_stem, nodule_box, to_stored_pixels
from pipelines.errors import DatasetError

NAME: Final = "jsrt"
NODULE_TABLE, NORMAL_TABLE = "CLNDAT_EN.TXT", "CNNDAT_EN.TXT"
TEXT_FOLDERS: Final = ("", "Clinical_Information", "Clinical_Information/Clinical_Information", "Clinical")
SIDE: Final = 2048
SPACING_MM: Final = 0.175
SUFFIXES: Final = (".img", ".mha", *IMAGE_SUFFIXES)

_FILM: Final = re.compile(r"JPC([LN])N\d{3}", re.IGNORECASE)
_GAP: Final = r"[\s,]+"
_NODULE: Final = re.compile(
    _GAP.join(
        (
            r"(?P<film>JPCLN\d{3})(?:\.\w+)?",
            r"(?P<subtlety>[1-5])",
            r"(?P<size>\d+(?:\.\d+)?)",
            r"(?P<age>\d+|\?)",
            r"(?P<sex>male|female|\?)",
            r"(?P<x>\d+)",
            r"(?P<y>\d+)",
            r"(?P<kind>malignant|benign)",
        )
    )
    + r"[\s,]*(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_NORMAL: Final = re.compile(
    _GAP.join((r"(?P<film>JPCNN\d{3})(?:\.\w+)?", r"(?P<age>\d+|\?)", r"(?P<sex>male|female|\?)")),
    re.IGNORECASE,
)


def _rows(root: Path, _options: Options) -> pd.DataFrame:
    require_folder(root, NAME)
    films = {
        stem.upper(): path
        for stem, path in films_by_stem(root, [root], suffixes=SUFFIXES).items()
        if _FILM.fullmatch(stem)
    }
    tables = {table: _find_table(root, table) for table in (NODULE_TABLE, NORMAL_TABLE)}
    if not films and not any(tables.values()):
        raise DatasetError(
            f"{NAME}: expected films JPCLN001.IMG, JPCNN001.IMG ... or the tables {NODULE_TABLE}, {NORMAL_TABLE} in "
            f"{root}, found none"
        )
    for table, path in tables.items():
        if path is None:
            warn(f"{NAME}: no {table} in {root}: its films have no age, sex or place of the nodule")
    entries = _entries(tables[NODULE_TABLE], _NODULE) | _entries(tables[NORMAL_TABLE], _NORMAL)
    names = sorted({*films, *entries})
    return pd.DataFrame([_row(name, films.get(name, f"{name}.IMG"), entries.get(name, {})) for name in names])


def _row(film: str, path: str, entry: dict[str, str]) -> dict[str, object]:
    nodule = film.startswith("JPCLN")
    return {
        "image_id": f"{NAME}/{film}",
        "path": path,
        "dataset": NAME,
        "site": "Japan and USA (14 institutions)",
        "patient_id": film,
        "view": "PA",
        "sex": sex_of(entry.get("sex", "")),
        "age_years": age_years(entry.get("age", "")),
        "nodule": float(nodule),
        "reference_standard": "ct",
        "native_labels": _said(entry) if nodule else ["non-nodule"],
        "boxes": ([_box(entry)] if entry else None) if nodule else [],
        "pixel_spacing_mm": SPACING_MM,
    }


def _said(entry: dict[str, str]) -> list[str] | None:
    if not entry:
        return None
    place_and_diagnosis = " ".join(entry["rest"].split())
    facts = [f"subtlety {entry['subtlety']}", f"{entry['size']} mm", entry["kind"].lower(), place_and_diagnosis]
    return list(filter(None, facts))


def _box(entry: dict[str, str]) -> Box:
    """A square as wide as the nodule around its centre, cut at the film's edge, in pixels of the 2048 x 2048 film."""
    half = float(entry["size"]) / SPACING_MM / 2
    x, y = float(entry["x"]), float(entry["y"])
    if not (0 <= x <= SIDE and 0 <= y <= SIDE and half > 0):
        raise DatasetError(
            f"{NAME}: {NODULE_TABLE} puts the nodule of {entry['film']} at {entry['x']}, {entry['y']} with "
            f"{entry['size']} mm, expected a place in {SIDE} x {SIDE} pixels and a size above 0"
        )
    return nodule_box(max(0.0, x - half), max(0.0, y - half), min(SIDE, x + half), min(SIDE, y + half))


def _entries(path: Path | None, pattern: re.Pattern[str]) -> dict[str, dict[str, str]]:
    """Film -> what a clinical table says. Records are told apart by film names: some copies have lost line ends."""
    if path is None:
        return {}
    entries = {}
    for record in re.split(r"(?=JPC[LN]N\d{3})", read_text(path), flags=re.IGNORECASE):
        name = _FILM.match(record)
        if name is None:  # what stands before the first film
            continue
        match = pattern.match(record)
        if match is None:
            fields = (
                "film, subtlety, size, age, sex, x, y, malignant or benign" if pattern is _NODULE else "film, age, sex"
            )
            raise DatasetError(f"{path}: the record of {name[0]} is not as expected ({fields})")
        entries[match["film"].upper()] = match.groupdict()
    return entries


def _find_table(root: Path, table: str) -> Path | None:
    """The table in a known folder, however its name is cased: the publisher's two differ."""
    for folder in (root / place for place in TEXT_FOLDERS):
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.name.upper() == table and path.is_file():
                    return path
    return None


def _finish(frame: pd.DataFrame) -> pd.DataFrame:
    return to_stored_pixels(frame, SIDE)


JSRT: Final = Adapter(
    name=NAME,
    title="JSRT Digital Image Database",
    citation=(
        "Shiraishi J, Katsuragawa S, Ikezoe J, et al. Development of a digital image database for chest radiographs "
        "with and without a lung nodule: receiver operating characteristic analysis of radiologists' detection of "
        "pulmonary nodules. AJR 2000;174:71-74."
    ),
    licence="terms of the Japanese Society of Radiological Technology: free after registration, for research only",
    films_may_be_shown=False,
    films_may_be_shown_why="Its terms are shown to registered users only and were not read.",
    how_to_get="http://db.jsrt.or.jp/eng.php",
    size="247 PA films, 2048 x 2048, 12 bits, 0.175 mm: 154 with one nodule (100 malignant, 54 benign), 93 without",
    label_origin="CT proved each nodule, and that the other films have none; readers graded how subtle each nodule is",
    label_mapping={
        "JPCLN (nodule)": "nodule = 1; its box is a square as wide as the given size around the given centre",
        "JPCNN (non-nodule)": "nodule = 0 and boxes []: CT showed none",
        "malignant, benign": "both nodule = 1: what it is cannot be seen on the film, and each would be followed up",
        "diagnosis": (
            "kept in native_labels; tb null even where it is tuberculoma, which may be healed, and where nobody asked"
        ),
    },
    known_defects=(
        "digitised sheets of film: their look differs from digital radiographs",
        "more than half of the films have a nodule, each exactly one: predictive values do not carry over",
        "the size is one number: the box of a long nodule is too large on its short side",
        "PNG and DICOM copies go round, some inverted or reduced: boxes follow the stored size, brightness is theirs",
        "ages of two films are '?': null",
    ),
    verified=False,
    verified_note=(
        "names, fields and values of all 247 records from a copy that a user made of the two tables; the tables "
        "themselves and the films were not read (films: only as their description says)"
    ),
    access="registration",
    unknown="tb on every film: it was not asked for; a benign nodule may be a tuberculoma",
    rows=_rows,
    finish=_finish,
    overlaps={"node21": "242 of the 247 films (149 with a nodule) are in NODE21, cropped and rescaled"},
    unverified=(
        "separators and line ends of the two tables: blanks, tabs and commas are read alike, film names begin records",
        "that x and y count from the upper left corner in pixels of 2048 x 2048",
        "the terms of use",
        "that no person has two films",
    ),
    steps=(
        "Register at http://db.jsrt.or.jp/eng.php and accept the terms.",
        "Download the films (Nodule154images.zip, NonNodule93images.zip or All247images.zip) and the clinical "
        "information, and unpack all into one folder.",
    ),
    whole=Whole(films=247),
)

ADAPTERS: Final = (JSRT,)
