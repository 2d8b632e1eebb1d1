"""The facts of a film from the header of its DICOM file."""

import math
import re

from pipelines.errors import Reason
from pipelines.imaging import tags
from pipelines.imaging.dicom_file import DicomFile, syntax_name
from pipelines.imaging.elements import Elements
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.layout import PHOTOMETRIC_INTERPRETATIONS
from pipelines.imaging.syntaxes import SYNTAXES

_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LAT": "LATERAL", "LATERAL": "LATERAL"}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_MAX_AGE_YEARS = 120.0
_MAX_SPACING_MM = 10.0
# An identifier, a date or a person's name (which DICOM writes with ^) where a vendor belongs.
_NOT_A_VENDOR = re.compile(r"\d{4}|[\^=@]|[^\x20-\x7e]")
_MAX_VENDOR_LENGTH = 64


def dicom_facts(file: DicomFile) -> FilmFacts:
    """Facts from the header of a DICOM file.

    Raises:
        FilmError: no_pixel_data, where the object has no matrix.
    """
    header = file.header
    rows, columns = header.integer(tags.ROWS), header.integer(tags.COLUMNS)
    if not rows or not columns:
        raise FilmError(Reason.NO_PIXEL_DATA, "a DICOM object without an image (no Rows and Columns)")
    modality = header.text(tags.MODALITY).upper()
    photometric = header.text(tags.PHOTOMETRIC_INTERPRETATION).upper()
    return FilmFacts(
        rows=rows,
        columns=columns,
        view=_VIEWS.get(header.text(tags.VIEW_POSITION).upper()),
        sex={"F": "F", "M": "M"}.get(header.text(tags.PATIENT_SEX).upper()),
        age_years=parse_age(header.text(tags.PATIENT_AGE)),
        pixel_spacing_mm=_spacing(header),
        manufacturer=_manufacturer(header.text(tags.MANUFACTURER)),
        modality=modality if re.fullmatch("[A-Z]{2}", modality) else None,
        photometric_interpretation=photometric if photometric in PHOTOMETRIC_INTERPRETATIONS else None,
        bits_stored=header.integer(tags.BITS_STORED),
        transfer_syntax=syntax_name(file.transfer_syntax),
        lossy=_lossy(file),
    )


def parse_age(text: str) -> float | None:
    """Years in a DICOM age string (``045Y``, ``006M``, ``010W``, ``021D``); None where it is none, or beyond 120."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip().upper(), re.ASCII)
    if not match:
        return None
    years = int(match[1]) * _YEARS[match[2]]
    return years if years <= _MAX_AGE_YEARS else None


def _spacing(header: Elements) -> tuple[float, float] | None:
    for tag in (tags.PIXEL_SPACING, tags.IMAGER_PIXEL_SPACING, tags.NOMINAL_SCANNED_PIXEL_SPACING):
        values = header.numbers(tag)
        if len(values) == 2 and all(math.isfinite(value) and 0 < value <= _MAX_SPACING_MM for value in values):
            return values[0], values[1]
    return None


def _manufacturer(text: str) -> str | None:
    plausible = text and len(text) <= _MAX_VENDOR_LENGTH and not _NOT_A_VENDOR.search(text)
    return text if plausible else None


def _lossy(file: DicomFile) -> bool | None:
    syntax = SYNTAXES.get(file.transfer_syntax)
    if syntax and syntax.lossy:
        return True
    return {"01": True, "00": False}.get(file.header.text(tags.LOSSY_IMAGE_COMPRESSION))
