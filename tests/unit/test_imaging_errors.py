"""Every reason for refusing a film, and nothing of the patient in what is said about it."""

import errno
import logging
import os
import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import FilmFacts, decode, read_facts, read_radiograph, source
from pipelines.imaging.codestream import StreamInfo
from pipelines.imaging.layout import FILM_CLASSES, Layout
from tests.unit.dicom_films import encode_rle, film, lut, smooth, tiled, write, write_encapsulated

CELLS = smooth(12)


def refusal(path: Path) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(path)
    assert str(caught.value) == f"{path}: {caught.value.detail}"
    assert "\n" not in caught.value.detail
    return caught.value


def reason_of(tmp_path: Path, dataset: Dataset, syntax: str = uid.ExplicitVRLittleEndian) -> Reason:
    return refusal(write(tmp_path / "film.dcm", dataset, syntax)).reason


def test_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.dcm").reason is Reason.MISSING
    assert refusal(tmp_path / "a\0b.dcm").reason is Reason.MISSING
    with pytest.raises(UnreadableImage) as caught:
        read_facts(tmp_path / "none.dcm")
    assert caught.value.reason is Reason.MISSING


def test_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path).reason is Reason.UNREADABLE_FILE


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "film.dcm")
    assert refusal(tmp_path / "film.dcm").reason is Reason.UNREADABLE_FILE


def test_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said by the operating system, here in its place: the user who runs the tests may be allowed everything."""
    path = write(tmp_path / "film.dcm", film(CELLS))

    def refuse(name: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)

    monkeypatch.setattr(source, "_open_without_waiting", refuse)
    error = refusal(path)
    assert error.reason is Reason.UNREADABLE_FILE
    assert error.detail == "the operating system cannot read it (Permission denied)"


def test_symlink_loop(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert refusal(tmp_path / "a").reason is Reason.UNREADABLE_FILE


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 and so on", b"\0" * 500, b"GIF89a" + b"\0" * 200])
def test_not_an_image(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "film.dcm").write_bytes(content)
    assert refusal(tmp_path / "film.dcm").reason is Reason.NOT_AN_IMAGE


def test_no_pixel_data(tmp_path: Path) -> None:
    assert reason_of(tmp_path, film(CELLS, PixelData=None)) is Reason.NO_PIXEL_DATA
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = uid.BasicTextSRStorage, "1.2.3", "SR"
    assert reason_of(tmp_path, report) is Reason.NO_PIXEL_DATA
    assert reason_of(tmp_path, film(CELLS, PixelData=b"")) is Reason.NO_PIXEL_DATA


@pytest.mark.parametrize(
    ("sop_class", "modality"),
    [
        (uid.CTImageStorage, "CT"),
        (uid.MRImageStorage, "MR"),
        (uid.UltrasoundImageStorage, "US"),
        (uid.DigitalMammographyXRayImageStorageForPresentation, "MG"),
        (uid.SecondaryCaptureImageStorage, "CT"),
        (uid.ComputedRadiographyImageStorage, "MG"),
        (uid.CTImageStorage, "CR"),
    ],
)
def test_wrong_modality(tmp_path: Path, sop_class: str, modality: str) -> None:
    dataset = film(CELLS, SOPClassUID=sop_class, Modality=modality)
    assert reason_of(tmp_path, dataset) is Reason.WRONG_MODALITY


@pytest.mark.parametrize("sop_class", sorted(FILM_CLASSES))
@pytest.mark.parametrize("modality", ["CR", "DX", "RG", "OT", ""])
def test_radiographs_are_accepted(tmp_path: Path, sop_class: str, modality: str) -> None:
    dataset = film(CELLS, Modality=modality, NumberOfFrames=1, WindowCenter=2048, WindowWidth=4096)
    path = write(tmp_path / "film.dcm", dataset)
    if sop_class != uid.ComputedRadiographyImageStorage:
        old = uid.ComputedRadiographyImageStorage.encode() + b"\0"
        new = sop_class.encode().ljust(len(old), b"\0")
        if len(new) > len(old):
            dataset.SOPClassUID = sop_class
            write(path, dataset)
        else:
            path.write_bytes(path.read_bytes().replace(old, new))
    shown = read_radiograph(path)
    # Waves are no chest: the picture may be taken for a negative, which is for the tests of pictures to judge.
    upright = 1.0 - shown.pixels if shown.quality.inverted else shown.pixels
    np.testing.assert_allclose(upright, CELLS / 4095, atol=1e-6)


def test_several_frames(tmp_path: Path) -> None:
    assert reason_of(tmp_path, film(CELLS, NumberOfFrames=2)) is Reason.SEVERAL_FRAMES


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": 60, "Columns": 128}, Reason.TOO_SMALL),
        ({"Rows": 65535, "Columns": 65535}, Reason.TOO_LARGE),
        ({"Rows": 97}, Reason.CORRUPT),
        ({"Rows": 64}, Reason.CORRUPT),
        ({"Rows": None}, Reason.CORRUPT),
        ({"BitsAllocated": None}, Reason.CORRUPT),
        ({"BitsStored": 17}, Reason.CORRUPT),
        ({"HighBit": 3}, Reason.CORRUPT),
        ({"PixelRepresentation": 2}, Reason.CORRUPT),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, Reason.UNSUPPORTED_IMAGE),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, Reason.UNSUPPORTED_IMAGE),
        ({"PhotometricInterpretation": "RGB"}, Reason.UNSUPPORTED_IMAGE),
        ({"PhotometricInterpretation": None}, Reason.CORRUPT),
        ({"SamplesPerPixel": 4}, Reason.UNSUPPORTED_IMAGE),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, Reason.CORRUPT),
        ({"RescaleSlope": "1E308", "RescaleIntercept": 0}, Reason.CORRUPT),
        ({"RescaleSlope": "NAN", "RescaleIntercept": 0}, Reason.CORRUPT),
        ({"RescaleSlope": 1, "RescaleIntercept": "-1E300"}, Reason.CORRUPT),
        ({"VOILUTSequence": lut([0, 1, 2], 0, 12, data=b"\0\0")}, Reason.CORRUPT),
    ],
)
def test_headers_that_contradict_themselves(tmp_path: Path, changes: dict[str, Any], reason: Reason) -> None:
    dataset = film(CELLS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, while writing
        for keyword, value in changes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
    assert reason_of(tmp_path, dataset) is reason


def test_unsupported_syntax(tmp_path: Path) -> None:
    path = write_encapsulated(tmp_path / "film.dcm", film(CELLS), b"\0" * 100, uid.MPEG2MPML)
    assert refusal(path).reason is Reason.UNSUPPORTED_SYNTAX


@pytest.mark.parametrize("value", [0, 77, 4095])
def test_blank(tmp_path: Path, value: int) -> None:
    assert reason_of(tmp_path, film(tiled([[value]]), WindowCenter=50, WindowWidth=100)) is Reason.BLANK
    only_padding = film(tiled([[value, 9]]), PixelPaddingValue=9)
    assert reason_of(tmp_path, only_padding) is Reason.BLANK


def streams() -> dict[str, tuple[str, bytes]]:
    eight = smooth(8).astype(np.uint8)
    return {
        "JPEG": (uid.JPEGBaseline8Bit, imagecodecs.jpeg8_encode(eight)),
        "JPEG lossless": (uid.JPEGLosslessSV1, imagecodecs.jpeg8_encode(eight, lossless=True, predictor=1)),
        "JPEG-LS": (uid.JPEGLSLossless, imagecodecs.jpegls_encode(eight)),
        "JPEG 2000": (uid.JPEG2000Lossless, imagecodecs.jpeg2k_encode(eight, codecformat="J2K", reversible=True)),
        "HTJ2K": (uid.HTJ2KLossless, imagecodecs.htj2k_encode(eight, reversible=True)),
    }


@pytest.mark.parametrize("name", streams())
def test_truncated_streams(tmp_path: Path, name: str) -> None:
    syntax, stream = streams()[name]
    whole = write_encapsulated(tmp_path / "film.dcm", film(smooth(8).astype(np.uint8)), stream, syntax)
    data = whole.read_bytes()
    read_radiograph(whole)
    for share in (0.3, 0.6, 0.9, 0.98):
        cut = tmp_path / "cut.dcm"
        cut.write_bytes(data[: len(data) - 8 - int(len(stream) * (1 - share))])
        assert refusal(cut).reason is Reason.TRUNCATED
        # The same loss inside a file that is otherwise whole.
        write_encapsulated(cut, film(smooth(8).astype(np.uint8)), stream[: int(len(stream) * share)], syntax)
        assert refusal(cut).reason in (Reason.TRUNCATED, Reason.CORRUPT)


@pytest.mark.parametrize("name", streams())
def test_streams_of_another_size(tmp_path: Path, name: str) -> None:
    syntax, stream = streams()[name]
    dataset = film(smooth(8, rows=100).astype(np.uint8))
    assert refusal(write_encapsulated(tmp_path / "film.dcm", dataset, stream, syntax)).reason is Reason.CORRUPT


@pytest.mark.parametrize("name", streams())
def test_streams_of_noise(tmp_path: Path, name: str) -> None:
    syntax, _ = streams()[name]
    noise = np.random.default_rng(1).bytes(5000)
    path = write_encapsulated(tmp_path / "film.dcm", film(smooth(8).astype(np.uint8)), noise, syntax)
    assert refusal(path).reason is Reason.CORRUPT


def test_rle_noise_and_truncation(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).bytes(5000)
    path = write_encapsulated(tmp_path / "film.dcm", film(CELLS), noise, uid.RLELossless)
    assert refusal(path).reason is Reason.CORRUPT


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_truncated_uncompressed(tmp_path: Path, syntax: str) -> None:
    path = write(tmp_path / "film.dcm", film(CELLS), syntax)
    data = path.read_bytes()
    for lost in (1, 2, 5000):
        path.write_bytes(data[:-lost])
        assert refusal(path).reason is Reason.TRUNCATED


def test_truncated_deflate(tmp_path: Path) -> None:
    path = write(tmp_path / "film.dcm", film(CELLS), uid.DeflatedExplicitVRLittleEndian)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 200])
    assert refusal(path).reason is Reason.TRUNCATED
    path.write_bytes(data[:-500] + b"\xff" * 500)
    assert refusal(path).reason in (Reason.CORRUPT, Reason.TRUNCATED)


def test_every_cut_of_a_header_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "film.dcm", film(CELLS, VOILUTSequence=lut([0, 1], 0, 12)))
    data = path.read_bytes()
    for length in range(0, len(data) - CELLS.nbytes, 7):
        path.write_bytes(data[:length])
        assert refusal(path).reason in (Reason.TRUNCATED, Reason.NOT_AN_IMAGE, Reason.NO_PIXEL_DATA, Reason.CORRUPT)


def test_endless_sequences_end(tmp_path: Path) -> None:
    path = write(tmp_path / "film.dcm", film(CELLS))
    data = path.read_bytes()
    at = data.index(b"\x28\x00\x02\x00US")
    opening = struct.pack("<HH2sHI", 0x0009, 0x1001, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    path.write_bytes(data[:at] + (opening + item) * 150_000)
    assert refusal(path).reason is Reason.CORRUPT


PLANTED = "Zzyzx^Quux"
FAMILY = (b"Zzyzx", b"Quux", b"19450314", b"9876543210", b"4.5.6.7.8")


def planted_values(vr: str) -> Any:
    return {"UI": "1.2.9876543210.4.5.6.7.8", "DA": "19450314", "DT": "19450314120000", "AS": "777Y"}.get(vr, PLANTED)


PLANTED_KEYWORDS = {
    **dict.fromkeys(["PatientName", "ReferringPhysicianName", "OperatorsName"], "PN"),
    **dict.fromkeys(["PatientID", "StationName", "StudyID", "AccessionNumber", "InstitutionName"], "LO"),
    **dict.fromkeys(["Manufacturer", "ManufacturerModelName", "StudyDescription", "PatientComments"], "LO"),
    **dict.fromkeys(["StudyDate", "PatientBirthDate"], "DA"),
    **dict.fromkeys(["StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"], "UI"),
    **dict.fromkeys(["ViewPosition", "PatientSex", "BodyPartExamined", "VOILUTFunction", "ImageType"], "CS"),
    **dict.fromkeys(["SpecificCharacterSet", "LossyImageCompression", "PresentationLUTShape"], "CS"),
    "PatientAge": "AS",
}


def plant(dataset: Dataset) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, vr in PLANTED_KEYWORDS.items():
            setattr(dataset, keyword, planted_values(vr))
    return dataset


REFUSALS: dict[str, Callable[[Dataset], None]] = {
    "good": lambda d: None,
    "modality": lambda d: setattr(d, "Modality", PLANTED),
    "sop class": lambda d: setattr(d, "SOPClassUID", planted_values("UI")),
    "photometric": lambda d: setattr(d, "PhotometricInterpretation", PLANTED),
    "frames": lambda d: setattr(d["NumberOfFrames"], "_value", PLANTED),
    "window": lambda d: setattr(d["WindowCenter"], "_value", PLANTED),
    "slope": lambda d: setattr(d["RescaleSlope"], "_value", PLANTED),
    "spacing": lambda d: setattr(d["PixelSpacing"], "_value", PLANTED),
    "rows": lambda d: setattr(d, "Rows", 65000),
    "no pixels": lambda d: delattr(d, "PixelData"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSALS)
def test_nothing_of_the_patient_leaves(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Names, ids, dates and UIDs in every text element reach no error, no fact, no log, no stream, no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = plant(film(CELLS, WindowCenter=2048, WindowWidth=4096))
        dataset.NumberOfFrames, dataset.RescaleSlope, dataset.RescaleIntercept = 1, 1, 0
        dataset.PixelSpacing = [0.2, 0.2]
        REFUSALS[case](dataset)
        path = write(tmp_path / "film.dcm", dataset)
    content = path.read_bytes()
    assert all(word in content for word in FAMILY)
    caplog.clear()  # of what pydicom said while writing
    capfd.readouterr()
    caplog.set_level(logging.DEBUG)
    said = ""
    for reader in (read_radiograph, read_facts):
        try:
            result = reader(path)
            facts = result if isinstance(result, FilmFacts) else result.facts
            said += repr(facts)
        except UnreadableImage as error:
            said += str(error) + repr(error) + str(error.__context__) + str(pickle.loads(pickle.dumps(error)))
    captured = capfd.readouterr()
    said += caplog.text + captured.out + captured.err
    for word in FAMILY:
        assert word.decode() not in said
    assert "^" not in said


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("share", [1.0, 0.7])
def test_nothing_leaves_raster_files(
    tmp_path: Path, suffix: str, share: float, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Descriptions, artists and dates in EXIF and TIFF tags, of whole and of truncated files."""
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x0132], exif[0x0112] = "Zzyzx", "Quux", "19450314", 6
    path = tmp_path / f"film.{suffix}"
    Image.fromarray(smooth(8).astype(np.uint8)).save(path, exif=exif)
    data = path.read_bytes()
    assert b"Zzyzx" in data
    path.write_bytes(data[: int(len(data) * share)])
    caplog.clear()
    capfd.readouterr()
    caplog.set_level(logging.DEBUG)
    said = ""
    for reader in (read_radiograph, read_facts):
        try:
            said += repr(reader(path))
        except UnreadableImage as error:
            said += str(error) + str(error.__context__)
    captured = capfd.readouterr()
    said += caplog.text + captured.out + captured.err
    for word in ("Zzyzx", "Quux", "19450314"):
        assert word not in said


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.RLELossless])
def test_damage_is_reported_not_shown(tmp_path: Path, syntax: str) -> None:
    """Streams whose codec can tell: one wrong byte anywhere is refused, or changes nothing much."""
    if syntax == uid.RLELossless:
        damaged = encode_rle(CELLS)[:-300] + b"\x81" * 300
    else:
        stream = bytearray(imagecodecs.jpegls_encode(CELLS))
        stream[len(stream) // 3] ^= 0xFF
        damaged = bytes(stream)
    assert refusal(write_encapsulated(tmp_path / "film.dcm", film(CELLS), damaged, syntax)).reason is Reason.CORRUPT


@pytest.mark.parametrize("frames", ["19450314", "1000"])
def test_a_frame_count_that_may_be_a_date_is_not_quoted(tmp_path: Path, frames: str) -> None:
    error = refusal(write(tmp_path / "film.dcm", film(CELLS, NumberOfFrames=frames)))
    assert error.reason is Reason.SEVERAL_FRAMES
    assert error.detail == "NumberOfFrames is over 999, expected one"


@pytest.mark.parametrize("vr", ["US", "SS", "FD", "UL"])
def test_decimal_text_is_read_whatever_its_vr_says(tmp_path: Path, vr: str) -> None:
    dataset = film(CELLS, bits_stored=12, WindowCenter="1000.0", WindowWidth="3000.0")
    plain = write(tmp_path / "film.dcm", dataset)
    expected = read_radiograph(plain).pixels
    data = plain.read_bytes()
    assert data.count(b"\x28\x00\x50\x10DS") == 1
    plain.write_bytes(data.replace(b"\x28\x00\x50\x10DS", b"\x28\x00\x50\x10" + vr.encode()))
    np.testing.assert_array_equal(read_radiograph(plain).pixels, expected)


@pytest.mark.parametrize("marker", [b"\xff\xfe", b"\xff\xd0", b"\xff\xc0", b"\xff\x4f"])
def test_a_marker_inside_a_scan(tmp_path: Path, marker: bytes) -> None:
    """The decoder would stop there and paint what is left of the film grey."""
    stream = imagecodecs.jpeg8_encode(smooth(12), bitspersample=12)
    at = len(stream) * 2 // 3
    damaged = stream[:at] + marker + stream[at + 2 :]
    if marker == b"\xff\xfe":  # a comment, whose length leads past the end
        damaged = stream[:at] + b"\xff\x02" + stream[at + 2 :]
    path = write_encapsulated(tmp_path / "film.dcm", film(CELLS, bits_stored=12), damaged, uid.JPEGExtended12Bit)
    assert refusal(path).reason is Reason.CORRUPT


def test_a_comment_inside_the_one_scan_of_a_grey_film(tmp_path: Path) -> None:
    stream = imagecodecs.jpeg8_encode(smooth(12), lossless=True, predictor=1, bitspersample=12)
    damaged = stream[:900] + b"\xff\xfe\xff\xfe" + stream[904:]
    path = write_encapsulated(tmp_path / "film.dcm", film(CELLS, bits_stored=12), damaged, uid.JPEGLosslessSV1)
    assert refusal(path).reason is Reason.CORRUPT


def test_a_stream_that_decodes_to_fewer_bits_than_it_claims() -> None:
    """Its frame header says 13 bits, its decoder returns bytes: values are kept, nothing overflows."""
    samples = np.array([[0, 7, 255]], dtype=np.uint8)
    layout = Layout(1, 3, 1, "MONOCHROME2", 16, 12, 11, signed=False, planar=False)
    info = StreamInfo(1, 3, 1, 13, None, 0)
    np.testing.assert_array_equal(decode._cells(samples, layout, info, lossy=True), samples)


def test_a_table_that_cannot_be_found_in_its_sequence_is_not_left_out(tmp_path: Path) -> None:
    falling = lut(np.arange(4095, -1, -1), 0, 12)
    path = write(tmp_path / "film.dcm", film(CELLS, bits_stored=12, ModalityLUTSequence=falling))
    data = path.read_bytes()
    at = data.index(b"\xfe\xff\x00\xe0", data.index(b"\x28\x00\x00\x30SQ"))
    path.write_bytes(data[:at] + b"\xfe\xff\x08\xe0" + data[at + 4 :])
    error = refusal(path)
    assert error.reason is Reason.CORRUPT
    assert error.detail == "sequence (0028,3000) holds something other than items"


@pytest.mark.parametrize(("precision", "lossy"), [(12, True), (12, False), (8, False)])
def test_bytes_where_twelve_bits_are_stored(precision: int, lossy: bool) -> None:
    samples = np.array([[0, 7, 255]], dtype=np.uint8)
    layout = Layout(1, 3, 1, "MONOCHROME2", 16, 12, 11, signed=False, planar=False)
    info = StreamInfo(1, 3, 1, precision, None, 0)
    np.testing.assert_array_equal(decode._cells(samples, layout, info, lossy=lossy), samples)
