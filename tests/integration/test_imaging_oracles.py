"""Real radiographs in every transfer syntax against two renderers that share no code with this project.

DCMTK renders the film of `pydicom-data` after the same window; GDCM decodes its stored values. Lossless copies must
agree to the rounding of a 16-bit picture; the lossy copies of the same film differ from DCMTK's rendering of the *same*
lossy file by no more than its 8-bit or integer reconstruction may, and from the original by what their coder lost.
"""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom import uid

from pipelines.imaging import read_radiograph
from pipelines.imaging.intensity import Window
from tests.unit.dicom_films import film, lut, ramp, write

SIXTEEN_BIT_ROUNDING = 1.01 / 65535  # DCMTK cuts off what is below one step of its picture
RG1_WINDOW = Window(15000.0, 30000.0, "LINEAR")
RG3_WINDOW = Window(550.0, 1024.0, "LINEAR")


@pytest.fixture(scope="module")
def packaged() -> Path:
    found = importlib.util.find_spec("data_store")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package pydicom-data is not installed")
    return Path(next(iter(found.submodule_search_locations))) / "data"


@pytest.fixture(scope="module")
def dcmtk() -> None:
    missing = [tool for tool in ("dcmj2pnm", "dcmcjpeg", "dcmcjpls", "dcmcrle", "dcmconv") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"DCMTK is not installed: no {', '.join(missing)}")


def rendered(path: Path, *options: str) -> np.ndarray:
    """DCMTK's display values in [0, 1], from a 16-bit picture."""
    picture = subprocess.run(
        ["dcmj2pnm", *options, "+opw", str(path)], capture_output=True, check=True, timeout=100
    ).stdout
    lines = [line for line in picture.split(b"\n") if not line.startswith(b"#")]
    _, size, top = lines[:3]
    columns, rows = (int(n) for n in size.split())
    values = np.array(b" ".join(lines[3:]).split(), dtype=np.float64)
    return values.reshape(rows, columns) / int(top)


def gdcm_values(path: Path) -> np.ndarray:
    """GDCM's stored values."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read(), f"GDCM cannot read {path.name}"
    image = reader.GetImage()
    columns, rows = image.GetDimension(0), image.GetDimension(1)
    buffer = image.GetBuffer().encode("utf-8", errors="surrogateescape")
    return np.frombuffer(buffer, dtype="<u2").reshape(rows, columns)


def transcoded(source: Path, target: Path, syntax: str) -> Path:
    """A copy of a film in another transfer syntax, made by DCMTK or (JPEG 2000) GDCM."""
    tools = {
        uid.JPEGLosslessSV1: ["dcmcjpeg", "+e1"],
        uid.JPEGLossless: ["dcmcjpeg", "+el"],
        uid.JPEGLSLossless: ["dcmcjpls", "+el"],
        uid.JPEGLSNearLossless: ["dcmcjpls", "+en", "+md", "4"],
        uid.RLELossless: ["dcmcrle"],
        uid.ImplicitVRLittleEndian: ["dcmconv", "+ti"],
        uid.ExplicitVRBigEndian: ["dcmconv", "+tb"],
        uid.DeflatedExplicitVRLittleEndian: ["dcmconv", "+td"],
    }
    subprocess.run([*tools[syntax], str(source), str(target)], check=True, capture_output=True, timeout=100)
    assert pydicom.dcmread(target, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    return target


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize("name", ["RG1_UNCR", "RG3_UNCR"])
def test_uncompressed_agrees_with_dcmtk(packaged: Path, name: str) -> None:
    path = packaged / f"{name}.dcm"
    difference = np.abs(read_radiograph(path).pixels - rendered(path, "+Wi", "1"))
    assert difference.max() <= SIXTEEN_BIT_ROUNDING


@pytest.mark.parametrize(("name", "window"), [("RG1", RG1_WINDOW), ("RG3", RG3_WINDOW)])
@pytest.mark.parametrize("encoding", ["UNCR", "UNCI", "J2KR", "J2KI"])
def test_every_packaged_encoding_agrees_with_gdcm(packaged: Path, name: str, encoding: str, window: Window) -> None:
    path = packaged / f"{name}_{encoding}.dcm"
    expected = 1.0 - window(gdcm_values(path).astype(np.float64))
    # Lossy wavelets are reconstructed in floating point, so decoders may differ by one stored value.
    tolerance = 1e-6 + (1.01 / window.width if encoding == "J2KI" else 0.0)
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("name", "stored_error"), [("RG1", 420), ("RG3", 30)])
def test_lossy_jpeg_2000_stays_close_to_the_original(packaged: Path, name: str, stored_error: int) -> None:
    window = {"RG1": RG1_WINDOW, "RG3": RG3_WINDOW}[name]
    original = read_radiograph(packaged / f"{name}_UNCI.dcm").pixels
    lossy = read_radiograph(packaged / f"{name}_J2KI.dcm").pixels
    assert np.abs(original - lossy).max() <= stored_error / window.width


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize(
    "syntax",
    [
        uid.JPEGLosslessSV1,
        uid.JPEGLossless,
        uid.JPEGLSLossless,
        uid.RLELossless,
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
    ids=lambda syntax: syntax.name,
)
def test_lossless_copies_are_identical(packaged: Path, tmp_path: Path, syntax: uid.UID) -> None:
    source = packaged / "RG1_UNCR.dcm"
    copy = transcoded(source, tmp_path / "copy.dcm", syntax)
    np.testing.assert_array_equal(read_radiograph(copy).pixels, read_radiograph(source).pixels)


@pytest.mark.usefixtures("dcmtk")
def test_near_lossless_jpeg_ls(packaged: Path, tmp_path: Path) -> None:
    copy = transcoded(packaged / "RG1_UNCR.dcm", tmp_path / "copy.dcm", uid.JPEGLSNearLossless)
    pixels = read_radiograph(copy).pixels
    # Each stored value may be 4 off, of a window of 29,999 steps.
    assert 0 < np.abs(pixels - read_radiograph(packaged / "RG1_UNCR.dcm").pixels).max() <= 4.01 / 29999
    expected = 1.0 - RG1_WINDOW(gdcm_values(copy).astype(np.float64))
    np.testing.assert_allclose(pixels, expected, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize(("option", "bits"), [("+eb", 8), ("+ee", 12)])
def test_lossy_jpeg_agrees_with_dcmtk(packaged: Path, tmp_path: Path, option: str, bits: int) -> None:
    source = packaged / "RG3_UNCR.dcm"
    dataset = pydicom.dcmread(source)
    values = dataset.pixel_array << 2 if bits == 12 else (dataset.pixel_array >> 2).astype(np.uint8)
    plain = write(
        tmp_path / "plain.dcm",
        film(
            values.astype(np.uint16 if bits == 12 else np.uint8),
            bits_stored=bits,
            PhotometricInterpretation="MONOCHROME1",
            WindowCenter=1 << (bits - 1),
            WindowWidth=1 << bits,
        ),
    )
    copy = tmp_path / "copy.dcm"
    command = ["dcmcjpeg", option, "+q", "90", *(["+un"] if bits == 12 else []), str(plain), str(copy)]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    # Inverse cosine transforms of different libraries may round a sample to either side.
    difference = np.abs(read_radiograph(copy).pixels - rendered(copy, "+Wi", "1"))
    assert difference.max() <= 2.01 / ((1 << bits) - 1)


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("shape", [None, "IDENTITY", "INVERSE"])
@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
def test_polarity_and_window_agree_with_dcmtk(
    tmp_path: Path, photometric: str, shape: str | None, function: str
) -> None:
    extra = {"PresentationLUTShape": shape} if shape else {}
    path = write(
        tmp_path / "film.dcm",
        film(
            ramp(12, 128, 96),
            bits_stored=12,
            PhotometricInterpretation=photometric,
            RescaleSlope=2,
            RescaleIntercept=-500,
            WindowCenter=3000,
            WindowWidth=5000,
            VOILUTFunction=function,
            **extra,
        ),
    )
    difference = np.abs(read_radiograph(path).pixels - rendered(path, "+Wi", "1"))
    assert difference.max() <= 2 * SIXTEEN_BIT_ROUNDING


@pytest.mark.usefixtures("dcmtk")
def test_voi_lut_agrees_with_dcmtk(tmp_path: Path) -> None:
    entries = np.round(4095 * (np.arange(3000) / 2999) ** 0.6).astype(int)
    path = write(tmp_path / "film.dcm", film(ramp(12), bits_stored=12, VOILUTSequence=lut(entries, 500, 12)))
    difference = np.abs(read_radiograph(path).pixels - rendered(path, "+Wl", "1"))
    # DCMTK shows the largest of 4096 outputs at 4095/4096 of white (16 * 4095 of 65535); here it is white.
    assert difference.max() <= 1.01 / 4096


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize(("name", "options"), [("vlut_04", ["+Wl", "1"]), ("mlut_18", [])])
def test_packaged_test_patterns_agree_with_dcmtk(packaged: Path, name: str, options: list[str]) -> None:
    path = packaged / f"{name}.dcm"
    assert np.abs(read_radiograph(path).pixels - rendered(path, *options)).max() <= SIXTEEN_BIT_ROUNDING


COLOUR = sorted(
    path
    for path in (Path(pydicom.__file__).parent / "data" / "test_files").glob("SC_*.dcm")
    if "2frame" not in path.name and "32bit" not in path.name and "odd" not in path.name
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", COLOUR, ids=lambda path: path.stem)
def test_colour_captures_agree_with_pydicom(path: Path) -> None:
    dataset = pydicom.dcmread(path)
    top = (1 << dataset.BitsStored) - 1
    expected = dataset.pixel_array @ np.array([0.299, 0.587, 0.114]) / top
    difference = np.abs(read_radiograph(path).pixels - expected)
    # These are bars of saturated colours: chroma that leaves the RGB cube is clipped in pydicom's RGB, luma is not.
    assert np.quantile(difference, 0.85) <= 1.5 / top
    assert difference.max() <= 0.04
