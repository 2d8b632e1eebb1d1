"""What is known of a film besides its pixels: a short list that survives de-identification."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import Reason
from pipelines.imaging import raster, tags
from pipelines.imaging.dicom_file import DicomFile, syntax_name
from pipelines.imaging.elements import Elements
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.layout import PHOTOMETRIC_INTERPRETATIONS
from pipelines.imaging.source import Format, open_image
from pipelines.imaging.syntaxes import SYNTAXES

_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LAT": "LATERAL", "LATERAL": "LATERAL"}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_MAX_AGE_YEARS = 120.0
_MAX_SPACING_MM = 10.0
# An identifier, a date or a person's name (which DICOM writes with ^) where a vendor belongs.
_NOT_A_VENDOR = re.compile(r"\d{4}|[\^=@]|[^\x20-\x7e]")
_MAX_VENDOR_LENGTH = 64


@dataclass(frozen=True)
class FilmFacts:
    """Facts of acquisition and storage; nothing here identifies a person, a place or a day.

    Attributes:
        rows: height of the stored matrix (of a raster file: after its EXIF orientation is honoured).
        columns: its width.
        view: PA, AP, LATERAL, or None where the file does not say.
        sex: F, M or None.
        age_years: in years; None where absent or not written as DICOM writes ages (``045Y``).
        pixel_spacing_mm: distance between (rows, columns) in mm: PixelSpacing (which carries any correction for
            magnification), else ImagerPixelSpacing (at the detector), else NominalScannedPixelSpacing (of the
            scanned film); None where none of them is a pair of numbers in (0, 10].
        manufacturer: of the equipment; None where absent or where the text does not look like a company's name.
        modality: as written, where it is a short code; None otherwise.
        photometric_interpretation: DICOM's term; raster files get the nearest one.
        bits_stored: significant bits of a sample.
        transfer_syntax: name of the coding: a DICOM transfer syntax, or PNG, JPEG or TIFF.
        lossy: whether information was lost in compression; None where the file does not say.
    """

    rows: int
    columns: int
    view: str | None = None
    sex: str | None = None
    age_years: float | None = None
    pixel_spacing_mm: tuple[float, float] | None = None
    manufacturer: str | None = None
    modality: str | None = None
    photometric_interpretation: str | None = None
    bits_stored: int | None = None
    transfer_syntax: str = ""
    lossy: bool | None = None


def read_facts(path: Path) -> FilmFacts:
    """Read the facts of a film from its header, without its pixels.

    Objects that `read_radiograph` would refuse for what they show (a CT slice, several frames) have facts too.

    Args:
        path: a DICOM, PNG, JPEG or TIFF file.

    Raises:
        UnreadableImage: missing, unreadable_file, not_an_image, no_pixel_data (no image in a DICOM object),
            unsupported_image, truncated or corrupt.
    """
    with open_image(path) as (stream, size, file_format):
        if file_format is Format.DICOM:
            return dicom_facts(DicomFile.parse(stream, size, tags.FACTS, pixels=False))
        return raster_facts(raster.read_header(stream, size, file_format))


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


def raster_facts(header: raster.RasterHeader) -> FilmFacts:
    """Facts of a raster file, which knows little of its film."""
    return FilmFacts(
        rows=header.upright_rows,
        columns=header.upright_columns,
        photometric_interpretation=header.photometric,
        bits_stored=header.bits,
        transfer_syntax=header.file_format.value,
        lossy=True if header.file_format is Format.JPEG else None,
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
