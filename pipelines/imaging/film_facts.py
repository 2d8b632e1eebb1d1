"""What is known of a film besides its pixels: a short list that survives de-identification."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FilmFacts:
    """Facts of acquisition and storage; nothing here identifies a person, a place or a day.

    Attributes:
        rows: height of the stored matrix (of a raster file: after its EXIF orientation is honoured).
        columns: its width.
        view: PA, AP, LATERAL, or None where the file does not say.
        sex: F, M or None.
        age_years: in years; None where absent or not written as DICOM writes ages (``045Y``).
        pixel_spacing_mm: distance between (rows, columns) in mm, in the plane that `spacing_origin` names; None where
            no attribute of spacing is a pair of numbers in (0, 10].
        manufacturer: of the equipment, one name for each maker of a closed list; None where absent or not among them.
        modality: as written, where it is a short code; None otherwise.
        photometric_interpretation: DICOM's term; raster files get the nearest one.
        bits_stored: significant bits of a sample.
        transfer_syntax: name of the coding: a DICOM transfer syntax, or PNG, JPEG, TIFF, MHA, NRRD or JSRT.
        lossy: whether information was lost in compression; None where the file does not say.
        colour: whether the film is a colour capture of a grey one (PALETTE COLOR, RGB or YBR), converted to grey.
        body_part: a defined term of Body Part Examined (DICOM PS3.16, annex L; CHEST, ABDOMEN ...); None where the
            header has none, or text that means none of them.
        for_processing: whether the values are a detector's, stored for processing and not for presentation.
        orientation: PatientOrientation as written: anatomical direction of the rows and of the columns, each of one
            to three of the letters A, P, R, L, H, F; None where absent or anything else.
        spacing_origin: what `pixel_spacing_mm` measures: calibrated (in the patient, by calibration), patient (at the
            detector, divided by the magnification the header states), detector, scanner (on a digitised sheet of
            film); None where there is no spacing, or a PixelSpacing about whose plane the header says nothing.
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
    colour: bool = False
    body_part: str | None = None
    for_processing: bool = False
    orientation: tuple[str, str] | None = None
    spacing_origin: str | None = None
