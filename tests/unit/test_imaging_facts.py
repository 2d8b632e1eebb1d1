"""Facts of a film, and the header walker held against pydicom on every file pydicom brings along."""

import contextlib
import importlib.util
import io
import struct
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.sr._snomed_dict import mapping as snomed_mapping
from pydicom.sr.codedict import codes

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_facts, read_radiograph, tags
from pipelines.imaging.body_part import CHEST_PARTS, OTHER_PARTS, body_part
from pipelines.imaging.dicom_facts import parse_age
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.film_error import FilmError
from tests.unit.dicom_films import encode_rle, film, smooth, write

CELLS = smooth(12)
HEADER_TAGS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
TEXT_TAGS = ("SOPClassUID", "Modality", "PhotometricInterpretation", "WindowCenter", "RescaleSlope", "PixelSpacing")


def test_all_facts(tmp_path: Path) -> None:
    dataset = film(
        CELLS,
        bits_stored=12,
        Modality="DX",
        ViewPosition="PA",
        PatientSex="F",
        PatientAge="045Y",
        PixelSpacing=[0.14, 0.15],
        ImagerPixelSpacing=[0.2, 0.2],
        Manufacturer="Canon Inc.",
        LossyImageCompression="00",
    )
    path = write(tmp_path / "film.dcm", dataset)
    facts = read_facts(path)
    assert (facts.rows, facts.columns, facts.view, facts.sex, facts.age_years) == (96, 80, "PA", "F", 45.0)
    assert (facts.pixel_spacing_mm, facts.manufacturer, facts.modality) == ((0.14, 0.15), "Canon", "DX")
    assert (facts.photometric_interpretation, facts.bits_stored, facts.lossy) == ("MONOCHROME2", 12, False)
    assert facts.transfer_syntax == "Explicit VR Little Endian"
    radiograph = read_radiograph(path)
    assert radiograph.facts == facts
    assert (radiograph.view, radiograph.pixel_spacing_mm, radiograph.manufacturer) == ("PA", (0.14, 0.15), "Canon")


def test_a_bare_header_has_unknown_facts(tmp_path: Path) -> None:
    facts = read_facts(write(tmp_path / "film.dcm", film(CELLS), uid.ImplicitVRLittleEndian))
    assert facts.view is facts.sex is facts.age_years is facts.pixel_spacing_mm is facts.manufacturer is None
    assert facts.lossy is None


@pytest.mark.parametrize(
    ("text", "years"),
    [("045Y", 45.0), ("006M", 0.5), ("52W", 364 / 365.25), ("010D", 10 / 365.25), ("000Y", 0.0), ("120Y", 120.0)],
)
def test_ages(text: str, years: float) -> None:
    assert parse_age(text) == pytest.approx(years)


@pytest.mark.parametrize("text", ["", "45", "999Y", "Y", "4.5Y", "-01Y", "45 years", "١٢Y"])
def test_what_is_no_age(text: str) -> None:
    assert parse_age(text) is None


AT_THE_DETECTOR = {"ImagerPixelSpacing": [0.2, 0.21]}


@pytest.mark.parametrize(
    ("attributes", "expected", "origin"),
    [
        ({"PixelSpacing": [0.14, 0.15], "ImagerPixelSpacing": [0.2, 0.2]}, (0.14, 0.15), "calibrated"),
        ({"PixelSpacing": [0.2, 0.21], **AT_THE_DETECTOR}, (0.2, 0.21), "detector"),
        ({"PixelSpacing": [0.20001, 0.21], **AT_THE_DETECTOR}, (0.2, 0.21), "detector"),  # the same, rounded otherwise
        ({"PixelSpacing": [0.2, 0.21], "PixelSpacingCalibrationType": "FIDUCIAL", **AT_THE_DETECTOR}, (0.2, 0.21),
         "calibrated"),
        ({"PixelSpacing": [0.2, 0.21], "PixelSpacingCalibrationType": "GEOMETRY"}, (0.2, 0.21), "calibrated"),
        ({"PixelSpacing": [0.2, 0.21]}, (0.2, 0.21), None),  # nothing says where it was measured
        ({"PixelSpacing": [0.2, 0.21], "EstimatedRadiographicMagnificationFactor": 1.25}, (0.2, 0.21), None),
        (AT_THE_DETECTOR, (0.2, 0.21), "detector"),
        ({"PixelSpacing": [0, 0], **AT_THE_DETECTOR}, (0.2, 0.21), "detector"),
        ({"EstimatedRadiographicMagnificationFactor": 1.25, **AT_THE_DETECTOR}, (0.16, 0.168), "patient"),
        ({"PixelSpacing": [0.2, 0.21], "EstimatedRadiographicMagnificationFactor": 1.25, **AT_THE_DETECTOR},
         (0.16, 0.168), "patient"),
        ({"DistanceSourceToDetector": 1800, "DistanceSourceToPatient": 1500, **AT_THE_DETECTOR}, (0.2 / 1.2, 0.175),
         "patient"),
        ({"EstimatedRadiographicMagnificationFactor": 0.5, "DistanceSourceToDetector": 1800,
          "DistanceSourceToPatient": 1500, **AT_THE_DETECTOR}, (0.2 / 1.2, 0.175), "patient"),
        ({"EstimatedRadiographicMagnificationFactor": 7, **AT_THE_DETECTOR}, (0.2, 0.21), "detector"),
        ({"DistanceSourceToDetector": 1500, "DistanceSourceToPatient": 1800, **AT_THE_DETECTOR}, (0.2, 0.21),
         "detector"),
        ({"DistanceSourceToDetector": 1500, "DistanceSourceToPatient": 0, **AT_THE_DETECTOR}, (0.2, 0.21), "detector"),
        ({"NominalScannedPixelSpacing": [0.1, 0.1], "EstimatedRadiographicMagnificationFactor": 1.25}, (0.1, 0.1),
         "scanner"),
        ({"NominalScannedPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "scanner"),
        ({"NominalScannedPixelSpacing": [0.1, 0.1], "PixelSpacing": [0.09, 0.09]}, (0.09, 0.09), "calibrated"),
        ({"PixelSpacing": [0, 0]}, None, None),
        ({"PixelSpacing": [-0.1, 0.1]}, None, None),
        ({"PixelSpacing": [300, 300]}, None, None),
        ({"ImagerPixelSpacing": [0.2]}, None, None),
        ({}, None, None),
    ],
)  # fmt: skip
def test_spacing_and_where_it_was_measured(
    tmp_path: Path, attributes: dict[str, Any], expected: tuple[float, float] | None, origin: str | None
) -> None:
    facts = read_facts(write(tmp_path / "film.dcm", film(CELLS, **attributes)))
    assert facts.pixel_spacing_mm == (pytest.approx(expected) if expected else None)
    assert facts.spacing_origin == origin


@pytest.mark.parametrize(
    ("position", "view"),
    [
        ("PA", "PA"),
        ("AP", "AP"),
        ("LL", "LATERAL"),
        ("RL", "LATERAL"),
        ("LLD", None),  # lying on one side is no lateral view: the beam goes from front to back or back to front
        ("RLD", None),
        ("LLO", None),
        ("Doe^John", None),
    ],
)
def test_views(tmp_path: Path, position: str, view: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(tmp_path / "film.dcm", film(CELLS, ViewPosition=position))
    assert read_facts(path).view == view


def view_code(value: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "view"
    return Sequence([item])


VIEW_CODES = {
    "PA": [codes.cid4010.PosteroAnterior],
    "AP": [codes.cid4010.AnteroPosterior],
    "LATERAL": [codes.cid4010.LateralProjection, codes.cid4010.LeftLateral, codes.cid4010.RightLateral],
    None: [codes.cid4010.Frontal, codes.cid4010.LeftAnteriorOblique],
}


@pytest.mark.parametrize(("view", "code"), [(view, code) for view, group in VIEW_CODES.items() for code in group])
def test_coded_views(tmp_path: Path, view: str | None, code: Any) -> None:
    """The codes of CID 4010 as pydicom lists them, in SNOMED CT and in the older SNOMED RT."""
    older = snomed_mapping["SCT"].get(code.value)
    for value in filter(None, (code.value, older)):
        path = write(tmp_path / "film.dcm", film(CELLS, ViewCodeSequence=view_code(value)))
        assert read_facts(path).view == view


def test_a_view_position_comes_before_its_code(tmp_path: Path) -> None:
    dataset = film(CELLS, ViewPosition="AP", ViewCodeSequence=view_code(codes.cid4010.PosteroAnterior.value))
    assert read_facts(write(tmp_path / "film.dcm", dataset)).view == "AP"
    assert read_facts(write(tmp_path / "film.dcm", film(CELLS, ViewCodeSequence=view_code("R-10214")))).view == "PA"


@pytest.mark.parametrize(
    ("written", "orientation"),
    [
        (["L", "F"], ("L", "F")),
        (["PLF", "FA"], ("PLF", "FA")),
        (["L"], None),
        (["L", "F", "A"], None),
        (["L", ""], None),
        (["LEFT", "F"], None),
        (["l", "f"], None),
        (["Doe", "F"], None),
    ],
)
def test_orientation(tmp_path: Path, written: list[str], orientation: tuple[str, str] | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(tmp_path / "film.dcm", film(CELLS, PatientOrientation=written))
    assert read_facts(path).orientation == orientation


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("CHEST", "CHEST"),
        ("Thorax", "CHEST"),
        ("LUNGS", "LUNG"),
        ("WHOLE BODY", "WHOLEBODY"),
        ("L KNEE", "KNEE"),
        ("HANDS", "HAND"),
        ("C-SPINE", "CSPINE"),
        ("PELVIS", "PELVIS"),
        ("Doe^John", None),
        ("CHEST OF JOHN DOE", None),
        ("", None),
    ],
)
def test_body_parts_are_defined_terms(tmp_path: Path, text: str, part: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(tmp_path / "film.dcm", film(CELLS, BodyPartExamined=text))
    assert read_facts(path).body_part == part


@pytest.mark.parametrize("part", sorted(OTHER_PARTS))
def test_other_parts_of_the_body_are_refused(tmp_path: Path, part: str) -> None:
    assert body_part(part) == part
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(write(tmp_path / "film.dcm", film(CELLS, BodyPartExamined=part)))
    assert caught.value.reason is Reason.WRONG_BODY_PART
    assert part in caught.value.detail


@pytest.mark.parametrize("text", [*sorted(CHEST_PARTS), "", "THORAX", "RIBS", "NO KNOWN TERM"])
def test_the_chest_and_the_unknown_pass(tmp_path: Path, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(tmp_path / "film.dcm", film(CELLS, BodyPartExamined=text))
    assert read_radiograph(path).pixels.shape == CELLS.shape


def test_colour_and_processing(tmp_path: Path) -> None:
    grey = read_facts(write(tmp_path / "film.dcm", film(CELLS)))
    assert (grey.colour, grey.for_processing) == (False, False)
    for photometric, cells in (("PALETTE COLOR", CELLS), ("RGB", np.dstack([CELLS] * 3)), ("YBR_FULL", CELLS)):
        dataset = film(cells, PhotometricInterpretation=photometric)
        assert read_facts(write(tmp_path / "film.dcm", dataset)).colour
    raw = film(CELLS, SOPClassUID="1.2.840.10008.5.1.4.1.1.1.1.1", Modality="DX")
    assert read_facts(write(tmp_path / "film.dcm", raw)).for_processing
    raw = film(CELLS, PresentationIntentType="FOR PROCESSING")
    assert read_facts(write(tmp_path / "film.dcm", raw)).for_processing


@pytest.mark.parametrize(
    "sop_class",
    [
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    ],
)
def test_other_objects_of_one_frame(tmp_path: Path, sop_class: str) -> None:
    dataset = film(CELLS, SOPClassUID=sop_class, Modality="DX", NumberOfFrames=1)
    dataset.add_new("PixelData", "OB", encapsulate([encode_rle(CELLS)], has_bot=True))
    dataset["PixelData"].is_undefined_length = True
    path = write(tmp_path / "film.dcm", dataset, uid.RLELossless)
    assert read_radiograph(path).pixels.shape == CELLS.shape


def refusal(path: Path) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(path)
    return caught.value


@pytest.mark.parametrize(("keyword", "vr"), [("FloatPixelData", "OF"), ("DoubleFloatPixelData", "OD")])
def test_floating_point_pixels_are_refused(tmp_path: Path, keyword: str, vr: str) -> None:
    dataset = film(CELLS, PixelData=None, BitsAllocated=32)
    dataset.add_new(keyword, vr, b"\0" * (2 << 20))  # longer than any value of a header may be
    refused = refusal(write(tmp_path / "film.dcm", dataset))
    assert refused.reason is Reason.UNSUPPORTED_IMAGE
    assert keyword in refused.detail


@pytest.mark.parametrize("bits", [1, 32])
def test_other_depths_are_refused(tmp_path: Path, bits: int) -> None:
    refused = refusal(write(tmp_path / "film.dcm", film(CELLS, BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1)))
    assert refused.reason is Reason.UNSUPPORTED_IMAGE
    assert refused.detail == f"BitsAllocated is {bits}, expected 8 or 16"


@pytest.mark.parametrize("tag", [0x00283010, 0x00401102])
@pytest.mark.parametrize("defined", [True, False])
def test_deep_nesting_costs_neither_stack_nor_time(tag: int, defined: bool) -> None:
    """60,000 sequences inside one another, of a tag that is read (VOILUTSequence) and of one that is not."""
    depth = 60_000
    heads = []
    for level in range(depth, 0, -1):
        length = 20 * level - 12 if defined else 0xFFFFFFFF
        inner = length - 8 if defined else 0xFFFFFFFF
        heads.append(struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, length))
        heads.append(struct.pack("<HHI", 0xFFFE, 0xE000, inner))
    data = b"\0" * 128 + b"DICM" + b"".join(heads)
    began = time.perf_counter()
    with contextlib.suppress(FilmError):
        DicomFile.parse(io.BytesIO(data), len(data), tags.DISPLAY)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("text", "maker"),
    [
        ("GE Healthcare", "GE"),
        ("GE MEDICAL SYSTEMS", "GE"),
        ('"GE Healthcare"', "GE"),
        ("FUJIFILM Corporation", "Fujifilm"),
        ("FUJI PHOTO FILM Co., ltd.", "Fujifilm"),
        ("Philips Medical Systems", "Philips"),
        ("SIEMENS", "Siemens"),
        ("KONICA MINOLTA, INC.", "Konica Minolta"),
        ("Carestream Health", "Carestream"),
        ("Agfa-Gevaert", "Agfa"),
        ("Canon Nguyen 19700101", "Canon"),  # what follows the maker is dropped
    ],
)
def test_makers_have_one_name(tmp_path: Path, text: str, maker: str) -> None:
    assert read_facts(write(tmp_path / "film.dcm", film(CELLS, Manufacturer=text))).manufacturer == maker


@pytest.mark.parametrize(
    "text",
    ["Doe^John", "ACME 19700101", "12345678", "Dr Nguyen Van A", "NGUYEN VAN A", "P. 123", "Germany Ltd", "Canonical"],
)
def test_what_is_no_manufacturer(tmp_path: Path, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = write(tmp_path / "film.dcm", film(CELLS, Manufacturer=text))
    assert read_facts(path).manufacturer is None


def test_facts_need_no_pixels_and_no_radiograph(tmp_path: Path) -> None:
    path = write(tmp_path / "slice.dcm", film(CELLS, SOPClassUID=uid.CTImageStorage, Modality="CT"))
    path.write_bytes(path.read_bytes()[: -CELLS.nbytes])
    assert read_facts(path).modality == "CT"


def test_deflated_headers(tmp_path: Path) -> None:
    path = write(tmp_path / "film.dcm", film(CELLS, ViewPosition="AP"), uid.DeflatedExplicitVRLittleEndian)
    assert read_facts(path).view == "AP"


def test_a_report_has_no_facts(tmp_path: Path) -> None:
    report = film(CELLS, PixelData=None, Rows=None, Columns=None)
    with pytest.raises(UnreadableImage) as caught:
        read_facts(write(tmp_path / "report.dcm", report))
    assert caught.value.reason is Reason.NO_PIXEL_DATA


def packaged_files() -> list[Path]:
    """The DICOM files that come with pydicom and, where it is installed, pydicom-data."""
    folders = [Path(pydicom.__file__).parent / "data" / "test_files"]
    extra = importlib.util.find_spec("data_store")
    if extra is not None and extra.submodule_search_locations:
        folders.append(Path(next(iter(extra.submodule_search_locations))) / "data")
    return sorted(path for folder in folders for path in folder.glob("*.dcm"))


@pytest.mark.filterwarnings("ignore")
def test_the_walker_reads_what_pydicom_reads() -> None:
    """Every file of pydicom's own collection: sequences, private blocks, odd VRs, every byte order."""
    wanted = frozenset(pydicom.datadict.tag_for_keyword(keyword) for keyword in HEADER_TAGS + TEXT_TAGS)
    compared = 0
    for path in packaged_files():
        try:
            expected = pydicom.dcmread(path, stop_before_pixels=True)
            [expected.get(keyword) for keyword in HEADER_TAGS + TEXT_TAGS]
        except Exception:  # noqa: BLE001 - a file pydicom itself cannot read is no oracle
            continue
        if not expected.get("Rows") or not isinstance(expected.get("NumberOfFrames", 1), int):
            continue
        with path.open("rb") as stream:
            header = DicomFile.parse(stream, path.stat().st_size, wanted).header
        for keyword in HEADER_TAGS:
            found = header.integer(pydicom.datadict.tag_for_keyword(keyword))
            assert found == expected.get(keyword), f"{path.name}: {keyword}"
        for keyword in TEXT_TAGS:
            value = expected.get(keyword)
            texts = (
                [] if value in (None, "") else [value] if not isinstance(value, pydicom.multival.MultiValue) else value
            )
            found = header.texts(pydicom.datadict.tag_for_keyword(keyword))
            assert found == tuple(str(text) for text in texts), f"{path.name}: {keyword}"
        compared += 1
    assert compared >= 50, f"only {compared} files to compare with"
