"""Real radiographs in every transfer syntax against two renderers that share no code with this project.

DCMTK renders the film of `pydicom-data` after the same window; GDCM decodes its stored values. Lossless copies must
agree to the rounding of a 16-bit picture; the lossy copies of the same film differ from DCMTK's rendering of the *same*
lossy file by no more than its 8-bit or integer reconstruction may, and from the original by what their coder lost.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import gdcm
import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import generate_frames

from pipelines.imaging import radiograph, read_radiograph
from pipelines.imaging.intensity import Window
from pipelines.imaging.orientation import UPRIGHT, Orientation
from pipelines.imaging.picture import examine
from tests.unit.dicom_films import film, lut, ramp, write, write_encapsulated

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


def as_stored(path: Path) -> np.ndarray:
    """Display values as they lie in the file, whatever they show: a leg, bars of colour, no chest."""
    with (
        mock.patch.object(Orientation, "of_patient", return_value=UPRIGHT),
        mock.patch.object(radiograph, "check_film"),
        mock.patch.object(radiograph, "require_picture"),
        mock.patch.object(radiograph, "judge", lambda pixels: (False, examine(pixels))),
    ):
        return read_radiograph(path).pixels


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
    difference = np.abs(as_stored(path) - rendered(path, "+Wi", "1"))
    assert difference.max() <= SIXTEEN_BIT_ROUNDING


@pytest.mark.parametrize(("name", "window"), [("RG1", RG1_WINDOW), ("RG3", RG3_WINDOW)])
@pytest.mark.parametrize("encoding", ["UNCR", "UNCI", "J2KR", "J2KI"])
def test_every_packaged_encoding_agrees_with_gdcm(packaged: Path, name: str, encoding: str, window: Window) -> None:
    path = packaged / f"{name}_{encoding}.dcm"
    expected = 1.0 - window(gdcm_values(path).astype(np.float64))
    # Lossy wavelets are reconstructed in floating point, so decoders may differ by one stored value.
    tolerance = 1e-6 + (1.01 / window.width if encoding == "J2KI" else 0.0)
    np.testing.assert_allclose(as_stored(path), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(("name", "stored_error"), [("RG1", 420), ("RG3", 30)])
def test_lossy_jpeg_2000_stays_close_to_the_original(packaged: Path, name: str, stored_error: int) -> None:
    window = {"RG1": RG1_WINDOW, "RG3": RG3_WINDOW}[name]
    original = as_stored(packaged / f"{name}_UNCI.dcm")
    lossy = as_stored(packaged / f"{name}_J2KI.dcm")
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
    np.testing.assert_array_equal(as_stored(copy), as_stored(source))


@pytest.mark.usefixtures("dcmtk")
def test_near_lossless_jpeg_ls(packaged: Path, tmp_path: Path) -> None:
    copy = transcoded(packaged / "RG1_UNCR.dcm", tmp_path / "copy.dcm", uid.JPEGLSNearLossless)
    pixels = as_stored(copy)
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
    difference = np.abs(as_stored(copy) - rendered(copy, "+Wi", "1"))
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
    difference = np.abs(as_stored(path) - rendered(path, "+Wi", "1"))
    assert difference.max() <= 2 * SIXTEEN_BIT_ROUNDING


@pytest.mark.usefixtures("dcmtk")
def test_voi_lut_agrees_with_dcmtk(tmp_path: Path) -> None:
    entries = np.round(4095 * (np.arange(3000) / 2999) ** 0.6).astype(int)
    path = write(tmp_path / "film.dcm", film(ramp(12), bits_stored=12, VOILUTSequence=lut(entries, 500, 12)))
    difference = np.abs(as_stored(path) - rendered(path, "+Wl", "1"))
    # DCMTK shows the largest of 4096 outputs at 4095/4096 of white (16 * 4095 of 65535); here it is white.
    assert difference.max() <= 1.01 / 4096


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize(("name", "options"), [("vlut_04", ["+Wl", "1"]), ("mlut_18", [])])
def test_packaged_test_patterns_agree_with_dcmtk(packaged: Path, name: str, options: list[str]) -> None:
    path = packaged / f"{name}.dcm"
    assert np.abs(as_stored(path) - rendered(path, *options)).max() <= SIXTEEN_BIT_ROUNDING


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
    difference = np.abs(as_stored(path) - expected)
    # These are bars of saturated colours: chroma that leaves the RGB cube is clipped in pydicom's RGB, luma is not.
    assert np.quantile(difference, 0.85) <= 1.5 / top
    assert difference.max() <= 0.04


# --- phantoms and RG1 in every transfer syntax


def jpeg_2000(reversible: bool) -> Callable[[np.ndarray, int], bytes]:
    options = {"reversible": True, "level": 0} if reversible else {"reversible": False, "level": 60}
    return lambda cells, bits: imagecodecs.jpeg2k_encode(cells, codecformat="J2K", bitspersample=bits, **options)


def htj2k(reversible: bool) -> Callable[[np.ndarray, int], bytes]:
    return lambda cells, bits: imagecodecs.htj2k_encode(cells, reversible=reversible)


BY_DCMTK: dict[str, list[str]] = {
    uid.ImplicitVRLittleEndian: ["dcmconv", "+ti"],
    uid.ExplicitVRLittleEndian: ["dcmconv", "+te"],
    uid.ExplicitVRBigEndian: ["dcmconv", "+tb"],
    uid.DeflatedExplicitVRLittleEndian: ["dcmconv", "+td"],
    uid.RLELossless: ["dcmcrle"],
    uid.JPEGBaseline8Bit: ["dcmcjpeg", "+eb", "+q", "90"],
    uid.JPEGExtended12Bit: ["dcmcjpeg", "+ee", "+q", "90", "+un"],
    uid.JPEGLossless: ["dcmcjpeg", "+el"],
    uid.JPEGLosslessSV1: ["dcmcjpeg", "+e1"],
    uid.JPEGLSLossless: ["dcmcjpls", "+el"],
    uid.JPEGLSNearLossless: ["dcmcjpls", "+en", "+md", "2"],
}
BY_LIBRARY: dict[str, Callable[[np.ndarray, int], bytes]] = {
    uid.JPEG2000Lossless: jpeg_2000(True),
    uid.JPEG2000: jpeg_2000(False),
    uid.HTJ2KLossless: htj2k(True),
    uid.HTJ2KLosslessRPCL: htj2k(True),
    uid.HTJ2K: htj2k(False),
}
BITS_OF_SYNTAX = {uid.JPEGBaseline8Bit: (8,), uid.JPEGExtended12Bit: (12,)}
LOSSY_DECODERS = {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEG2000, uid.HTJ2K}
MATRIX = [
    pytest.param(syntax, bits, id=f"{syntax.name}-{bits}")
    for syntax in (*BY_DCMTK, *BY_LIBRARY)
    for bits in BITS_OF_SYNTAX.get(syntax, (8, 12, 16))
]


def chest(bits: int) -> np.ndarray:
    """A synthetic chest of 160 x 144 pixels in the upper three quarters of its depth, with grain."""
    y, x = np.mgrid[:160, :144]
    body = np.exp(-(((x - 72) / 62) ** 4)) * 0.45
    lungs = sum(np.exp(-(((x - at) / 22) ** 2) - ((y - 75) / 48) ** 2) for at in (38, 106)) * -0.33
    grain = np.random.default_rng(bits).normal(0, 0.004, y.shape)
    return ((0.45 + body + lungs + grain).clip(0.02, 0.98) * ((1 << bits) - 1)).astype("u1" if bits == 8 else "u2")


def coded(folder: Path, cells: np.ndarray, bits: int, photometric: str, syntax: uid.UID) -> tuple[Path, Path]:
    """A film as it is, and the same in a transfer syntax."""
    top = 1 << bits
    attributes = {"PhotometricInterpretation": photometric, "WindowCenter": top * 0.45, "WindowWidth": top * 0.8}
    dataset = film(cells, bits_stored=bits, **attributes)
    plain, copy = write(folder / "plain.dcm", dataset), folder / "copy.dcm"
    if syntax in BY_LIBRARY:
        return plain, write_encapsulated(copy, dataset, BY_LIBRARY[syntax](cells, bits), syntax)
    subprocess.run([*BY_DCMTK[syntax], str(plain), str(copy)], check=True, capture_output=True, timeout=60)
    assert pydicom.dcmread(copy, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    return plain, copy


def oracle(copy: Path, plain: Path, cells: np.ndarray, bits: int, photometric: str, syntax: uid.UID) -> np.ndarray:
    """Display values by DCMTK from the coded file; of JPEG 2000, which it has not, by GDCM; of HTJ2K by OpenJPH."""
    if syntax in BY_DCMTK:
        if syntax in (uid.JPEGLSLossless, uid.JPEGLSNearLossless):  # decoded by a tool of its own
            raw = copy.with_name("raw.dcm")
            subprocess.run(["dcmdjpls", str(copy), str(raw)], check=True, capture_output=True, timeout=60)
            return rendered(raw, "+Wi", "1")
        return rendered(copy, "+Wi", "1")
    if syntax in (uid.JPEG2000, uid.JPEG2000Lossless):
        raw = copy.with_name("raw.dcm")
        subprocess.run(["gdcmconv", "--raw", str(copy), str(raw)], check=True, capture_output=True, timeout=60)
        return rendered(raw, "+Wi", "1")
    stream = next(generate_frames(pydicom.dcmread(copy).PixelData, number_of_frames=1))
    values = imagecodecs.htj2k_decode(stream).astype(np.float64)
    display = np.clip((values - ((1 << bits) * 0.45 - 0.5)) / ((1 << bits) * 0.8 - 1) + 0.5, 0, 1)
    return 1.0 - display if photometric == "MONOCHROME1" else display


@pytest.mark.usefixtures("dcmtk")
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("syntax", "bits"), MATRIX)
def test_every_syntax_depth_and_polarity(tmp_path: Path, syntax: uid.UID, bits: int, photometric: str) -> None:
    if syntax in (uid.JPEG2000, uid.JPEG2000Lossless) and not shutil.which("gdcmconv"):
        pytest.skip("GDCM's tools are not installed: no gdcmconv")
    cells = chest(bits)
    plain, copy = coded(tmp_path, cells, bits, photometric, syntax)
    pixels = as_stored(copy)
    # A decoder of a lossy coding may round each sample to either side, which the window of 0.8 of the range widens.
    rounding = 2.01 / (0.8 * (1 << bits)) if syntax in LOSSY_DECODERS else 0.0
    expected = oracle(copy, plain, cells, bits, photometric, syntax)
    assert np.abs(pixels - expected).max() <= 2 * SIXTEEN_BIT_ROUNDING + rounding
    if syntax not in LOSSY_DECODERS and syntax != uid.JPEGLSNearLossless:
        np.testing.assert_array_equal(pixels, as_stored(plain))
    else:
        assert (
            0
            < np.abs(pixels - as_stored(plain)).max()
            <= (0.12 if syntax in LOSSY_DECODERS else 2.01 / 0.79 / (1 << bits))
        )


@pytest.mark.parametrize(
    "syntax", [uid.JPEG2000Lossless, uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL], ids=lambda s: s.name
)
def test_a_real_film_in_wavelet_syntaxes(packaged: Path, tmp_path: Path, syntax: uid.UID) -> None:
    source = packaged / "RG1_UNCR.dcm"
    dataset = pydicom.dcmread(source)
    stream = BY_LIBRARY[syntax](dataset.pixel_array, dataset.BitsStored)
    copy = write_encapsulated(tmp_path / "copy.dcm", dataset, stream, syntax)
    np.testing.assert_array_equal(read_radiograph(copy).pixels, read_radiograph(source).pixels)
