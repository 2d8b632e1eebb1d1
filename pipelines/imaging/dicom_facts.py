"""The facts of a film from the header of its DICOM file.

FieldOfViewRotation and FieldOfViewHorizontalFlip are not read: they tell how the stored pixels were already turned from
the way the detector saw them (PS3.3, C.8.11.4), so there is nothing left to undo. How the picture lies now is said by
PatientOrientation.

Source: DICOM PS3.3, C.7.6.1 (patient orientation), C.8.11.5 (view), 10.7 (pixel spacing and its calibration),
C.8.11.7 and C.8.7.5 (magnification, distances); PS3.16, CID 4010 (view codes).
"""

import math
import re

from pipelines.errors import Reason
from pipelines.imaging import tags
from pipelines.imaging.body_part import body_part
from pipelines.imaging.dicom_file import DicomFile, syntax_name
from pipelines.imaging.elements import Elements
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.layout import PHOTOMETRIC_INTERPRETATIONS, is_for_processing, sop_class_of
from pipelines.imaging.syntaxes import SYNTAXES
from pipelines.imaging.vendor import vendor

# LLD and RLD are frontal films of a patient lying on one side, whose beam direction the term leaves open.
_VIEWS = {"PA": "PA", "AP": "AP", "LL": "LATERAL", "RL": "LATERAL", "LAT": "LATERAL", "LATERAL": "LATERAL"}
_VIEW_CODES = {
    # SNOMED CT, then the codes of the older SNOMED RT and SNOMED-3 for the same concept
    **dict.fromkeys(("272479007", "R-10214", "R-40888"), "PA"),  # postero-anterior
    **dict.fromkeys(("399348003", "R-10206"), "AP"),  # antero-posterior
    **dict.fromkeys(("399067008", "R-102CD"), "LATERAL"),  # lateral
    **dict.fromkeys(("399198007", "R-10232"), "LATERAL"),  # right lateral
    **dict.fromkeys(("399173006", "R-10236"), "LATERAL"),  # left lateral
    **dict.fromkeys(("399352003", "R-10228"), "LATERAL"),  # lateral-medial
    **dict.fromkeys(("399260004", "R-10224"), "LATERAL"),  # medial-lateral
}
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_MAX_AGE_YEARS = 120.0
_MAX_SPACING_MM = 10.0
_CALIBRATIONS = frozenset({"GEOMETRY", "FIDUCIAL"})
_SAME_SPACING = 1e-3  # relative: writers round the same spacing differently
_MAGNIFICATIONS = (1.0, 2.0)  # of a chest in front of a detector; a geometric magnification is never below 1
_ORIENTATION = re.compile("[APRLHF]{1,3}")


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
    spacing, spacing_origin = _spacing(header)
    return FilmFacts(
        rows=rows,
        columns=columns,
        view=_view(header),
        sex={"F": "F", "M": "M"}.get(header.text(tags.PATIENT_SEX).upper()),
        age_years=parse_age(header.text(tags.PATIENT_AGE)),
        pixel_spacing_mm=spacing,
        manufacturer=vendor(header.text(tags.MANUFACTURER)),
        modality=modality if re.fullmatch("[A-Z]{2}", modality) else None,
        photometric_interpretation=photometric if photometric in PHOTOMETRIC_INTERPRETATIONS else None,
        bits_stored=header.integer(tags.BITS_STORED),
        transfer_syntax=syntax_name(file.transfer_syntax),
        lossy=_lossy(file),
        colour=photometric in PHOTOMETRIC_INTERPRETATIONS and not photometric.startswith("MONOCHROME"),
        body_part=body_part(header.text(tags.BODY_PART_EXAMINED)),
        for_processing=is_for_processing(header, sop_class_of(file)),
        orientation=_orientation(header.texts(tags.PATIENT_ORIENTATION)),
        spacing_origin=spacing_origin,
    )


def parse_age(text: str) -> float | None:
    """Years in a DICOM age string (``045Y``, ``006M``, ``010W``, ``021D``); None where it is none, or beyond 120."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip().upper(), re.ASCII)
    if not match:
        return None
    years = int(match[1]) * _YEARS[match[2]]
    return years if years <= _MAX_AGE_YEARS else None


def _view(header: Elements) -> str | None:
    position = header.text(tags.VIEW_POSITION).upper()
    item = header.items.get(tags.VIEW_CODE_SEQUENCE)
    if position or item is None:
        return _VIEWS.get(position)
    return _VIEW_CODES.get(item.text(tags.CODE_VALUE).upper())


def _orientation(directions: tuple[str, ...]) -> tuple[str, str] | None:
    if len(directions) != 2 or not all(_ORIENTATION.fullmatch(direction) for direction in directions):
        return None
    return directions[0], directions[1]


Spacing = tuple[float, float]


def _spacing(header: Elements) -> tuple[Spacing | None, str | None]:
    """Spacing and what it measures.

    PixelSpacing that was not calibrated repeats the spacing at the detector or scanner (10.7.1.3), so one that differs
    from it was calibrated, whether or not PixelSpacingCalibrationType says so.
    """
    stated = _pair(header, tags.PIXEL_SPACING)
    detector = _pair(header, tags.IMAGER_PIXEL_SPACING)
    scanner = _pair(header, tags.NOMINAL_SCANNED_PIXEL_SPACING)
    source = detector or scanner
    calibrated = header.text(tags.PIXEL_SPACING_CALIBRATION_TYPE).upper() in _CALIBRATIONS
    if stated and (calibrated or (source and not _same(stated, source))):
        return stated, "calibrated"
    if detector:
        magnification = _magnification(header)
        if magnification is None:
            return detector, "detector"
        return (detector[0] / magnification, detector[1] / magnification), "patient"
    if scanner:
        return scanner, "scanner"
    return stated, None


def _pair(header: Elements, tag: int) -> Spacing | None:
    values = header.numbers(tag)
    if len(values) == 2 and all(math.isfinite(value) and 0 < value <= _MAX_SPACING_MM for value in values):
        return values[0], values[1]
    return None


def _same(one: Spacing, other: Spacing) -> bool:
    return all(math.isclose(a, b, rel_tol=_SAME_SPACING) for a, b in zip(one, other, strict=True))


def _magnification(header: Elements) -> float | None:
    """How much larger the patient is at the detector; None where the header has no plausible figure."""
    stated = _number(header, tags.ESTIMATED_RADIOGRAPHIC_MAGNIFICATION_FACTOR)
    to_patient = _number(header, tags.DISTANCE_SOURCE_TO_PATIENT)
    measured = _number(header, tags.DISTANCE_SOURCE_TO_DETECTOR) / to_patient if to_patient > 0 else math.nan
    low, high = _MAGNIFICATIONS
    return next((factor for factor in (stated, measured) if low <= factor <= high), None)


def _number(header: Elements, tag: int) -> float:
    return next(iter(header.numbers(tag)), math.nan)


def _lossy(file: DicomFile) -> bool | None:
    syntax = SYNTAXES.get(file.transfer_syntax)
    if syntax and syntax.lossy:
        return True
    return {"01": True, "00": False}.get(file.header.text(tags.LOSSY_IMAGE_COMPRESSION))
