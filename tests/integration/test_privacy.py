"""No name, id, date or UID of a header leaves the reader: every text element of the dictionary is planted, and watched.

The film under test is written byte by byte, because no library writes such a header: each text, date, number-as-text
and UID element of DICOM's dictionary in groups 0002 to 5400 holds a canary that names its tag, private elements of
every VR too, and the same again inside sequences. Nothing that a person could see afterwards may hold one.
"""

import json
import logging
import random
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.datadict import DicomDictionary

from pipelines.cli import main as cxr
from pipelines.errors import UnreadableImage
from pipelines.imaging import FilmFacts, read_facts, read_radiograph
from pipelines.imaging.monai_reader import RadiographReader
from tests.fuzz.mutate import ELEMENTS, GENERIC, Case
from tests.inference_films import film_pixels, tiny_package

WORD, DIGITS, REAL_DATE, REAL_NAME = "ZQXV", "77315577", "19450314", "Nguyen"
"""Every planted value holds one of these; hashes and numbers of ours do not by accident."""
MARKS = (WORD.lower(), DIGITS, REAL_DATE, REAL_NAME.lower())

TEXT_VRS = ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
LONG_VRS = ("SQ", "UC", "UN", "UR", "UT", "OB", "OW")

NEEDED = {
    0x00020010: b"1.2.840.10008.1.2.1\0",
    0x00080016: b"1.2.840.10008.5.1.4.1.1.1\0",
    0x00080060: b"CR",
    0x00181164: b"0.2\\0.2 ",
    0x00280004: b"MONOCHROME2 ",
    0x00280008: b"1 ",
    0x00281050: b"128 ",
    0x00281051: b"256 ",
    0x00281052: b"0 ",
    0x00281053: b"1 ",
}
"""Text without which the film would be refused, so that the good film is one: it stands as on any film."""

USUAL = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate", "StudyTime"),
    *(
        "AccessionNumber",
        "ReferringPhysicianName",
        "InstitutionName",
        "StationName",
        "StudyDescription",
        "Manufacturer",
    ),
    *("ManufacturerModelName", "OperatorsName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
    *("BodyPartExamined", "ViewPosition", "ProtocolName", "PatientComments", "RequestAttributesSequence", "ImageType"),
    *("PatientOrientation", "PresentationLUTShape", "VOILUTFunction", "SpecificCharacterSet", "StudyID"),
)

Elements = dict[int, tuple[str, bytes]]


def canary(tag: int, vr: str) -> bytes:
    """A value that says where it stood."""
    if vr in ("DA", "DT", "TM"):
        text = f"{DIGITS}" if tag % 2 else REAL_DATE
    elif vr == "UI":
        text = f"1.2.{DIGITS}.{tag}"
    elif vr in ("DS", "IS"):
        text = DIGITS
    elif vr == "PN":
        text = f"{REAL_NAME}^{WORD}{tag:08X}"
    else:
        text = f"{WORD}{tag:08X}"
    return text.encode() + b" " * (len(text) % 2)


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One element in explicit little endian."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<HI", 0, len(value)) if vr in LONG_VRS else struct.pack("<H", len(value))) + value


def dictionary(vrs: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Every element of the dictionary with one of these VRs, below the pixel data."""
    for tag, (vr, *_) in DicomDictionary.items():
        if vr in vrs and 0x00020000 <= tag < 0x54000000 and tag & 0xFFFF:
            yield tag, vr


def item_of_canaries(tag: int) -> bytes:
    """A sequence item with a name, an id, a date, a UID and a code in it, nested once more."""
    inner = {0x00080018: "UI", 0x00080020: "DA", 0x00080100: "SH", 0x00080104: "LO", 0x00100010: "PN", 0x00100020: "LO"}
    content = b"".join(element(t, vr, canary(tag ^ t, vr)) for t, vr in inner.items())
    nested = content + element(0x00400275, "SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(nested)) + nested


def lut_item(tag: int) -> bytes:
    """A usable look-up table with an explanation, which is free text."""
    table = np.linspace(0, 4095, 256).astype("<u2").tobytes()
    content = element(0x00283002, "US", struct.pack("<HHH", 256, 0, 12)) + element(0x00283003, "LO", canary(tag, "LO"))
    content += element(0x00283006, "OW", table)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def planted(*, small: bool = False, **changes: bytes) -> tuple[bytes, Elements]:
    """The bytes of the film, and its elements.

    Args:
        small: only with the elements of patient, study, equipment and image that most films have.
        changes: other values, by keyword.
    """
    kept = {pydicom.datadict.tag_for_keyword(keyword) for keyword in (*USUAL, *changes)} | set(NEEDED)
    every = {tag: (vr, canary(tag, vr)) for tag, vr in dictionary(TEXT_VRS)}
    every |= {tag: ("SQ", item_of_canaries(tag)) for tag, _ in dictionary(("SQ",))}
    found: Elements = {tag: planted for tag, planted in every.items() if not small or tag in kept}
    found |= {tag: (found[tag][0], value) for tag, value in NEEDED.items()}
    found[0x00283010] = ("SQ", lut_item(0x00283010))
    found.pop(0x00283000, None)  # modality LUT and rescale exclude each other
    pixels = film_pixels(3)
    for tag, number in {
        0x00280002: 1,
        0x00280010: pixels.shape[0],
        0x00280011: pixels.shape[1],
        0x00280100: 8,
        0x00280101: 8,
        0x00280102: 7,
        0x00280103: 0,
    }.items():
        found[tag] = ("US", struct.pack("<H", number))
    for offset, vr in enumerate(TEXT_VRS):
        found[0x00090010] = ("LO", canary(0x00090010, "LO"))
        found[0x00091000 + offset] = (vr, canary(0x00091000 + offset, vr))
        found[0x60000022 + 0x20000 * offset] = ("LO", canary(0x60000022, "LO"))  # overlay descriptions
    found[0x7FE00010] = ("OB", pixels.tobytes())
    found[0xFFFCFFFC] = ("OB", canary(0xFFFCFFFC, "LO"))
    for keyword, value in changes.items():
        tag = pydicom.datadict.tag_for_keyword(keyword)
        found[tag] = (found[tag][0], value + b" " * (len(value) % 2))
    return assembled(found), found


def assembled(found: Elements) -> bytes:
    """A file of these elements, its preamble full of text too."""
    parts = {tag: element(tag, vr, value) for tag, (vr, value) in sorted(found.items())}
    meta = b"".join(part for tag, part in parts.items() if tag >> 16 == 2)
    body = b"".join(part for tag, part in parts.items() if tag >> 16 != 2)
    preamble = (f"{REAL_NAME} {WORD} {DIGITS} ".encode() * 9)[:128]
    return preamble + b"DICM" + element(0x00020000, "UL", struct.pack("<I", len(meta))) + meta + body


def leaks(said: str) -> list[str]:
    """What of the planted values occurs in a text, with its surroundings."""
    lower = said.lower()
    return [lower[max(0, lower.find(mark) - 60) : lower.find(mark) + 40] for mark in MARKS if mark in lower]


def everything_said(path: Path) -> str:
    """What the readers return, raise or chain for a file."""
    said = []
    for read in (read_radiograph, read_facts, lambda p: read_radiograph(p, max_side=64)):
        try:
            result = read(path)
            said.append(repr(result if isinstance(result, FilmFacts) else result.facts))
            said.append(repr(getattr(result, "quality", "")))
        except UnreadableImage as error:
            said += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    try:
        pixels, meta = RadiographReader().get_data(RadiographReader().read(path))
        said.append(repr(meta))
        assert pixels.ndim == 2
    except UnreadableImage as error:
        said.append(repr(error))
    return "\n".join(said)


@pytest.fixture
def watched(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[list[warnings.WarningMessage]]:
    """Warnings are kept, logs of every level too, and both streams at the level of their file descriptors."""
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def overheard(
    watched: list[warnings.WarningMessage], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> str:
    """Everything that was logged, warned of and printed."""
    streams = capfd.readouterr()
    return "\n".join([*(str(w.message) for w in watched), caplog.text, streams.out, streams.err])


def test_the_film_holds_what_the_dictionary_has() -> None:
    data, found = planted()
    assert len(found) > 3000
    assert data.lower().count(WORD.lower().encode()) > 2500
    assert data.count(DIGITS.encode()) > 500
    assert {vr for vr, _ in found.values()} >= set(TEXT_VRS)


def test_a_good_film_says_nothing(
    tmp_path: Path,
    watched: list[warnings.WarningMessage],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(planted()[0])
    film = read_radiograph(path)
    assert film.pixels.shape == film_pixels(3).shape
    assert np.ptp(film.pixels) > 0.5
    assert leaks(everything_said(path)) == []
    assert leaks(overheard(watched, capfd, caplog)) == []


@pytest.mark.parametrize(
    "keyword",
    [
        "Modality",
        "PatientSex",
        "PatientAge",
        "ViewPosition",
        "BodyPartExamined",
        "PhotometricInterpretation",
        "SOPClassUID",
        "NumberOfFrames",
        "WindowCenter",
        "WindowWidth",
        "RescaleSlope",
        "RescaleIntercept",
        "ImagerPixelSpacing",
        "TransferSyntaxUID",
        "PatientOrientation",
        "PresentationLUTShape",
        "VOILUTFunction",
        "PixelIntensityRelationship",
        "LossyImageCompression",
        "SpecificCharacterSet",
        "FieldOfViewRotation",
        "FieldOfViewHorizontalFlip",
        "ShutterShape",
        "CollimatorShape",
        "ImageType",
        "PresentationIntentType",
    ],
)
@pytest.mark.parametrize("value", [f"{REAL_NAME}^{WORD}", f"1.2.{DIGITS}.9", REAL_DATE, f"{WORD}\\{REAL_DATE}\\{WORD}"])
def test_text_where_a_code_or_a_number_belongs(
    tmp_path: Path,
    keyword: str,
    value: str,
    watched: list[warnings.WarningMessage],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "film.dcm"
    path.write_bytes(planted(small=True, **{keyword: value.encode()})[0])
    assert leaks(everything_said(path)) == []
    assert leaks(overheard(watched, capfd, caplog)) == []


def damaged(data: bytes, k: int) -> bytes:
    """The film with one to three mutations of its bytes or elements."""
    rng = random.Random(k)
    for _ in range(rng.randint(1, 3)):
        case = Case(bytearray(data), rng, "explicit", "<", True)
        data = bytes(rng.choice(GENERIC[:4] + GENERIC[5:] + ELEMENTS)(case))
    return data


def test_damaged_films_say_nothing(
    tmp_path: Path,
    watched: list[warnings.WarningMessage],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole, small = planted()[0], planted(small=True)[0]
    path, refused = tmp_path / "film.dcm", 0
    for k in range(400):
        path.write_bytes(damaged(small if k % 20 else whole, k))
        said = everything_said(path)
        refused += "UnreadableImage" in said
        assert leaks(said) == [], k
    assert 50 < refused < 350
    assert leaks(overheard(watched, capfd, caplog)) == []


def texts_of(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every file below a folder as text: bytes as they are, tables as CSV, pictures' metadata."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        said = path.name + path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            said += pd.read_parquet(path).to_csv()
            said += repr(pd.read_parquet(path).attrs)
        if path.suffix == ".png":
            with Image.open(path) as picture:
                said += repr(picture.info)
        yield path, said


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of good and damaged films."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "tb").mkdir()
    whole, small = planted()[0], planted(small=True)[0]
    for index in range(3):
        (folder / "tb" / f"good{index}.dcm").write_bytes(small if index else whole)
    for k in range(25):
        (folder / "tb" / f"damaged{k:02}.dcm").write_bytes(damaged(small if k % 5 else whole, k))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """One command in this process; its exit code."""

    def command(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["cxr", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cxr()
        return int(ended.value.code or 0)

    return command


def test_a_manifest_says_nothing(
    films: Path,
    run: Callable[..., int],
    tmp_path: Path,
    watched: list[warnings.WarningMessage],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in ("m.csv", "m.parquet"):
        run("manifest", "build", "folder", films, "--out", tmp_path / name, "--hashes", "--workers", 2)
    assert len(pd.read_csv(tmp_path / "m.csv")) >= 3
    for path, said in texts_of(tmp_path):
        assert leaks(said) == [], path.name
    assert leaks(overheard(watched, capfd, caplog)) == []


def test_predictions_and_heat_maps_say_nothing(
    films: Path,
    run: Callable[..., int],
    tmp_path: Path,
    watched: list[warnings.WarningMessage],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    tiny_package(tmp_path / "package")
    out = tmp_path / "out"
    code = run("predict", films, "--model", tmp_path / "package", "--out", out, "--heatmaps", "--workers", 1)
    assert code in (0, 1)
    table = pd.read_csv(out / "predictions.csv")
    assert len(table) == 28
    assert table["status"].eq("ok").any()
    assert table["status"].ne("ok").any()
    assert json.loads((out / "run.json").read_text())
    written = dict(texts_of(out))
    assert {".csv", ".json", ".parquet", ".png"} <= {path.suffix for path in written}
    assert {path.name: found for path, said in written.items() if (found := leaks(said))} == {}
    assert leaks(overheard(watched, capfd, caplog)) == []
