"""How the pixels of one DICOM film are stored, checked before a byte of them is read; and which objects are films.

Source: DICOM PS3.3, C.7.6.3.1 (image pixel module); PS3.4, B.5 (storage classes).
"""

from dataclasses import dataclass
from typing import Final

from pipelines.errors import Reason
from pipelines.imaging import tags
from pipelines.imaging.body_part import OTHER_PARTS, body_part
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.elements import Elements
from pipelines.imaging.film_error import FilmError

MIN_SIDE: Final = 64
"""Pixels along the shorter side of the smallest film."""
MAX_PIXELS: Final = 64_000_000
"""Pixels of the largest film: three times a 43 x 43 cm detector of 0.1 mm."""

_COMPUTED = "1.2.840.10008.5.1.4.1.1.1"
_DX_FOR_PROCESSING = f"{_COMPUTED}.1.1"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_RADIOGRAPHY: Final = frozenset({"CR", "DX", "RG", "DR", "OT", ""})

FILM_CLASSES: Final = {
    _COMPUTED: _RADIOGRAPHY,
    f"{_COMPUTED}.1": _RADIOGRAPHY,  # Digital X-Ray, for presentation
    _DX_FOR_PROCESSING: _RADIOGRAPHY,
    _SECONDARY_CAPTURE: _RADIOGRAPHY,
    f"{_SECONDARY_CAPTURE}.2": _RADIOGRAPHY,  # multi-frame greyscale byte, of one frame
    f"{_SECONDARY_CAPTURE}.3": _RADIOGRAPHY,  # multi-frame greyscale word, of one frame
    f"{_SECONDARY_CAPTURE}.4": _RADIOGRAPHY,  # multi-frame true colour, of one frame
    "": _RADIOGRAPHY,  # some converters write no SOP class
}
"""SOP class -> the modalities with which it is taken for a projection radiograph; every other object is refused."""

# What a refusal may quote; anything else in Modality could be text that does not belong there.
_MODALITIES: Final = frozenset(
    {"BMD", "CR", "CT", "DG", "DOC", "DR", "DX", "ECG", "EPS", "ES", "GM", "HD", "IO", "IVUS", "KO", "LS", "MG", "MR"}
    | {"NM", "OCT", "OP", "OT", "PR", "PT", "PX", "REG", "RF", "RG", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT"}
    | {"SEG", "SM", "SR", "TG", "US", "XA", "XC"}
)
PHOTOMETRIC_INTERPRETATIONS: Final = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
    | {"YBR_PARTIAL_420", "YBR_PARTIAL_422", "XYB", "HSV", "ARGB", "CMYK"}
)
_READ_IN: Final = {
    1: frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}),
    3: frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}),
}
"""Samples per pixel -> photometric interpretations that are shown; colour is a capture of a grey film."""


@dataclass(frozen=True)
class Layout:
    """The image pixel module of a film.

    Attributes:
        rows: stored height in pixels.
        columns: stored width in pixels.
        samples: 1 (grey) or 3 (a colour capture of a grey film).
        photometric: PhotometricInterpretation.
        bits_allocated: 8 or 16 for each sample.
        bits_stored: how many of them hold the sample.
        high_bit: the place of its most significant bit.
        signed: whether samples are two's complement.
        planar: whether the samples of colour lie plane by plane.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    planar: bool

    @classmethod
    def of(cls, header: Elements) -> "Layout":
        """Check and collect the layout; raises `FilmError` naming the first attribute that is wrong."""
        rows, columns = _required(header, tags.ROWS, "Rows"), _required(header, tags.COLUMNS, "Columns")
        check_size(rows, columns)
        bits_allocated = _required(header, tags.BITS_ALLOCATED, "BitsAllocated")
        if bits_allocated not in (8, 16):
            raise FilmError(Reason.UNSUPPORTED_IMAGE, f"BitsAllocated is {bits_allocated}, expected 8 or 16")
        bits_stored = _required(header, tags.BITS_STORED, "BitsStored")
        high_bit = header.integer(tags.HIGH_BIT)
        high_bit = bits_stored - 1 if high_bit is None else high_bit
        if not 1 <= bits_stored <= high_bit + 1 <= bits_allocated:
            found = f"BitsStored is {bits_stored} and HighBit {high_bit}"
            raise FilmError(Reason.CORRUPT, f"{found}, which do not fit BitsAllocated {bits_allocated}")
        representation = _required(header, tags.PIXEL_REPRESENTATION, "PixelRepresentation")
        if representation not in (0, 1):
            raise FilmError(Reason.CORRUPT, f"PixelRepresentation is {representation}, expected 0 or 1")
        samples, photometric = _colour_model(header)
        return cls(
            rows=rows,
            columns=columns,
            samples=samples,
            photometric=photometric,
            bits_allocated=bits_allocated,
            bits_stored=bits_stored,
            high_bit=high_bit,
            signed=representation == 1,
            planar=header.integer(tags.PLANAR_CONFIGURATION) == 1,
        )

    @property
    def cell_bytes(self) -> int:
        """Bytes of one stored sample."""
        return self.bits_allocated // 8

    @property
    def row_bytes(self) -> int:
        """Bytes of one uncompressed row."""
        # YBR_FULL_422 keeps two luma samples and one pair of chroma samples for every two pixels.
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.columns * samples * self.cell_bytes


def check_film(file: DicomFile) -> None:
    """Refuse objects that are no single projection radiograph, from the header alone.

    Raises:
        FilmError: no_pixel_data, wrong_modality, wrong_body_part, unsupported_image (pixels that are floating-point
            numbers) or several_frames.
    """
    header = file.header
    if file.pixels_at is None and header.integer(tags.ROWS) is None:
        raise FilmError(Reason.NO_PIXEL_DATA, "a DICOM object without an image (no Rows, no PixelData)")
    modality = header.text(tags.MODALITY).upper()
    sop_class = sop_class_of(file)
    quoted = modality if modality in _MODALITIES or not modality else "not a known code"
    if sop_class not in FILM_CLASSES:
        expected = "Computed Radiography, Digital X-Ray or Secondary Capture"
        raise FilmError(Reason.WRONG_MODALITY, f"SOPClassUID is not {expected} (Modality {quoted or 'absent'})")
    if modality not in FILM_CLASSES[sop_class]:
        raise FilmError(Reason.WRONG_MODALITY, f"Modality is {quoted}, expected CR, DX or RG")
    _check_body_part(header)
    if tags.FLOAT_PIXEL_DATA in header.values or tags.DOUBLE_FLOAT_PIXEL_DATA in header.values:
        found = "the pixels are floating-point numbers (FloatPixelData or DoubleFloatPixelData)"
        raise FilmError(Reason.UNSUPPORTED_IMAGE, f"{found}, expected PixelData")
    if file.pixels_at is None:
        raise FilmError(Reason.NO_PIXEL_DATA, "PixelData is absent")
    frames = header.text(tags.NUMBER_OF_FRAMES) or "1"
    if not (frames.isdecimal() and frames.isascii() and int(frames[:9])):
        raise FilmError(Reason.CORRUPT, "NumberOfFrames is not a positive whole number")
    count = int(frames[:9])
    if count > 1:
        # A number of eight digits may be a date: what no film has is not quoted.
        quoted = str(count) if count < 1000 else "over 999"
        raise FilmError(Reason.SEVERAL_FRAMES, f"NumberOfFrames is {quoted}, expected one")


def _check_body_part(header: Elements) -> None:
    """Refuse what the header itself calls another part of the body; no term, or an unknown one, proves nothing."""
    part = body_part(header.text(tags.BODY_PART_EXAMINED))
    if part in OTHER_PARTS:
        raise FilmError(Reason.WRONG_BODY_PART, f"BodyPartExamined is {part}, expected CHEST or a part of it")


def sop_class_of(file: DicomFile) -> str:
    """The SOP class UID of an object, from its data set or else its file meta information; '' where both lack it."""
    return file.header.text(tags.SOP_CLASS_UID) or file.storage_class


def is_for_processing(header: Elements, sop_class: str) -> bool:
    """Whether the values are a detector's, not yet processed for presentation (C.8.11.1, PresentationIntentType)."""
    intent = header.text(tags.PRESENTATION_INTENT_TYPE).upper()
    return intent == "FOR PROCESSING" or sop_class == _DX_FOR_PROCESSING


def is_computed_radiography(sop_class: str) -> bool:
    """Whether an object is a Computed Radiography image, which says nothing of its processing."""
    return sop_class == _COMPUTED


def check_size(rows: int, columns: int) -> None:
    """Refuse thumbnails and sizes no detector has, before anything is allocated."""
    if rows * columns > MAX_PIXELS:
        found = f"{columns} × {rows} pixels"
        raise FilmError(Reason.TOO_LARGE, f"{found} are more than {MAX_PIXELS // 1_000_000} megapixels")
    if min(rows, columns) < MIN_SIDE:
        raise FilmError(Reason.TOO_SMALL, f"{columns} × {rows} pixels, expected at least {MIN_SIDE} along each side")


def _required(header: Elements, tag: int, keyword: str) -> int:
    value = header.integer(tag)
    if value is None:
        raise FilmError(Reason.CORRUPT, f"{keyword} is absent or empty")
    return value


def _colour_model(header: Elements) -> tuple[int, str]:
    samples = header.integer(tags.SAMPLES_PER_PIXEL)
    samples = 1 if samples is None else samples
    photometric = header.text(tags.PHOTOMETRIC_INTERPRETATION).upper()
    if not photometric:
        raise FilmError(Reason.CORRUPT, "PhotometricInterpretation is absent or empty")
    if photometric not in PHOTOMETRIC_INTERPRETATIONS:
        raise FilmError(Reason.UNSUPPORTED_IMAGE, "PhotometricInterpretation is not a known term")
    if photometric not in _READ_IN.get(samples, frozenset()):
        found = f"PhotometricInterpretation is {photometric} with SamplesPerPixel {samples}"
        raise FilmError(
            Reason.UNSUPPORTED_IMAGE, f"{found}, expected MONOCHROME1/2 or PALETTE COLOR with 1, or RGB or YBR with 3"
        )
    return samples, photometric
