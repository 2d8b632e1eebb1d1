"""Facts of a film, and the header walker held against pydicom on every file pydicom brings along."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import uid

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_facts, read_radiograph
from pipelines.imaging.dicom_facts import parse_age
from pipelines.imaging.dicom_file import DicomFile
from tests.unit.dicom_films import film, smooth, write

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
    assert (facts.pixel_spacing_mm, facts.manufacturer, facts.modality) == ((0.14, 0.15), "Canon Inc.", "DX")
    assert (facts.photometric_interpretation, facts.bits_stored, facts.lossy) == ("MONOCHROME2", 12, False)
    assert facts.transfer_syntax == "Explicit VR Little Endian"
    radiograph = read_radiograph(path)
    assert radiograph.facts == facts
    assert (radiograph.view, radiograph.pixel_spacing_mm, radiograph.manufacturer) == ("PA", (0.14, 0.15), "Canon Inc.")


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


@pytest.mark.parametrize(
    ("spacing", "imager", "expected"),
    [
        ([0.14, 0.15], [0.2, 0.2], (0.14, 0.15)),
        (None, [0.2, 0.21], (0.2, 0.21)),
        ([0, 0], [0.2, 0.2], (0.2, 0.2)),
        ([0, 0], None, None),
        ([-0.1, 0.1], None, None),
        ([300, 300], None, None),
        (None, None, None),
    ],
)
def test_spacing(tmp_path: Path, spacing: Any, imager: Any, expected: Any) -> None:
    values = {"PixelSpacing": spacing, "ImagerPixelSpacing": imager}
    dataset = film(CELLS, **{keyword: value for keyword, value in values.items() if value})
    assert read_facts(write(tmp_path / "film.dcm", dataset)).pixel_spacing_mm == expected


@pytest.mark.parametrize(("position", "view"), [("PA", "PA"), ("AP", "AP"), ("LL", "LATERAL"), ("RL", "LATERAL")])
def test_views(tmp_path: Path, position: str, view: str) -> None:
    assert read_facts(write(tmp_path / "film.dcm", film(CELLS, ViewPosition=position))).view == view


@pytest.mark.parametrize("text", ["Doe^John", "ACME 19700101", "12345678", "x" * 65])
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
