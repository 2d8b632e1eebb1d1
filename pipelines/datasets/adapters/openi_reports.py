"""What the coded reports of the Indiana collection say: their headings and films, from XML files or from one table."""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.datasets.native import find_file, read_table, read_text
from pipelines.errors import DatasetError

XML_FOLDERS: Final = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology", "reports/ecgen-radiology")
REPORT_TABLE, FILM_TABLE = "indiana_reports.csv", "indiana_projections.csv"

LUNG: Final = "lung"
NOT_LUNG: Final = frozenset({"breast", "mediastinum", "heart", "pleura", "ribs", "thorax", "adipose tissue", "abdomen"})
NODULE_TERMS: Final = frozenset({"nodule", "mass"})
PERHAPS_TERMS: Final = frozenset({"granuloma", "calcified granuloma", "granulomatous disease"})
NOT_READ: Final = frozenset({"no indexing", "technical quality of image unsatisfactory"})
TB_TERM: Final = "tuberculosis"
NORMAL: Final = "normal"
_NODULAR: Final = re.compile(r"\b(nodul|mass|tumor|neoplas|carcinoma|metasta|granuloma|cancer)", re.IGNORECASE)
_TUBERCULOUS: Final = re.compile(r"\btubercul", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """One coded report."""

    case: str
    """Its number in the collection, which is also the PatientID in the headers of its films."""
    headings: tuple[str, ...]
    """By hand, each a term and what it is qualified by: ``Nodule/lung/upper lobe/left``."""
    terms: tuple[str, ...]
    """Found by a program in the text; it does not see a negation."""
    films: tuple[str, ...]
    """``CXR1000_IM-0003-2001``, in the report's order."""


def nodule_label(report: Report) -> float | None:
    """1: a nodule or mass of the lung was coded; 0: the report was coded, and nothing like one; null: between."""
    parts = [tuple(part.strip() for part in heading.lower().split("/")) for heading in report.headings]
    names = {part[0] for part in parts}
    nodules = [part[1:] for part in parts if part[0] in NODULE_TERMS]
    if any(LUNG in part for part in nodules):
        return 1.0
    rounded = any("round" in part[1:] for part in parts)
    if nodules or rounded or not names or names & (PERHAPS_TERMS | NOT_READ):
        return None
    return None if any(_NODULAR.search(term) for term in report.terms) else 0.0


def tb_label(report: Report) -> float | None:
    """1: tuberculosis was coded and not as healed; 0: the whole report was coded as normal; null: everything else."""
    parts = [tuple(part.strip() for part in heading.lower().split("/")) for heading in report.headings]
    if any(part[0] == TB_TERM and "healed" not in part for part in parts):
        return 1.0
    normal = [part[0] for part in parts] == [NORMAL]
    return 0.0 if normal and not any(_TUBERCULOUS.search(term) for term in report.terms) else None


def read_reports(root: Path, dataset: str) -> list[Report]:
    """Every report in the order of its number.

    Raises:
        DatasetError: neither the XML files nor the two tables are there, or one is not as expected.
    """
    for place in XML_FOLDERS:
        if (root / place).is_dir():
            reports = [_from_xml(path) for path in (root / place).glob("*.xml")]
            if not reports:
                raise DatasetError(f"{dataset}: expected reports 1.xml ... in {root / place}, found none")
            return sorted(reports, key=lambda report: (len(report.case), report.case))
    table, films = find_file(root, (REPORT_TABLE,)), find_file(root, (FILM_TABLE,))
    if table is None or films is None:
        raise DatasetError(
            f"{dataset}: expected {XML_FOLDERS[0]}/*.xml, or {REPORT_TABLE} and {FILM_TABLE}, in {root}, found neither"
        )
    return _from_tables(table, films)


def _from_xml(path: Path) -> Report:
    try:
        report = ET.fromstring(read_text(path))
    except ET.ParseError as error:
        raise DatasetError(f"{path}: expected a report in XML (line {error.position[0]})") from error
    number = report.find("uId")
    if number is None or not number.get("id"):
        raise DatasetError(f"{path}: expected <uId id=...>, found none")
    return Report(
        case=str(number.get("id")).removeprefix("CXR"),
        headings=_texts(report, "major"),
        terms=_texts(report, "automatic"),
        films=tuple(film for node in report.iter("parentImage") if (film := node.get("id"))),
    )


def _texts(report: ET.Element, tag: str) -> tuple[str, ...]:
    return tuple(text for node in report.iter(tag) if (text := (node.text or "").strip()))


def _from_tables(table: Path, films: Path) -> list[Report]:
    """The form at Kaggle: headings by hand in ``MeSH``, parted by semicolons; the program's terms are not in it."""
    films_of: dict[str, list[str]] = {}
    for entry in read_table(films, ["uid", "filename"]):
        films_of.setdefault(entry["uid"], []).append(film_name(entry["filename"]))
    return [
        Report(
            case=entry["uid"],
            headings=_parted(entry["MeSH"]),
            terms=(),
            films=tuple(films_of.get(entry["uid"], ())),
        )
        for entry in read_table(table, ["uid", "MeSH"])
    ]


def _parted(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())


def film_name(file: str) -> str:
    """``CXR1_IM-0001-4001`` of ``1_IM-0001-4001.dcm.png``, ``CXR1_IM-0001-4001.png`` or ``1_IM-0001-4001.dcm``."""
    name = re.sub(r"(\.(dcm|png|jpe?g))+$", "", Path(file).name, flags=re.IGNORECASE)
    return name if name.startswith("CXR") else f"CXR{name}"
