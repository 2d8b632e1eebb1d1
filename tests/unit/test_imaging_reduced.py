"""A film decoded at a smaller resolution shows what the full one shows; films that cannot be are decoded in full."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.data import get_testdata_file

from pipelines.errors import Reason
from pipelines.imaging import reduced, tags
from pipelines.imaging.codestream import jpeg_info
from pipelines.imaging.decode import decode_cells
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.display import to_display
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.intensity import Intensity
from pipelines.imaging.layout import Layout
from pipelines.phantom.film import render_film
from pipelines.phantom.plan import plan_film
from tests.unit.dicom_films import film, lut, smooth, write_encapsulated

MEAN_TOLERANCE, TAIL_TOLERANCE = 0.003, 0.03
"""Of display values at 512²: mean absolute difference, and its 99.9th percentile."""


def cells_of(path: Path, max_side: int | None = None) -> np.ndarray:
    with path.open("rb") as stream:
        file = DicomFile.parse(stream, path.stat().st_size, tags.DISPLAY)
        return decode_cells(file, Layout.of(file.header), max_side=max_side)


def display_of(path: Path, max_side: int | None = None) -> np.ndarray:
    with path.open("rb") as stream:
        file = DicomFile.parse(stream, path.stat().st_size, tags.DISPLAY)
        layout = Layout.of(file.header)
        cells = decode_cells(file, layout, max_side=max_side)
        return to_display(cells, Intensity.of(file.header, layout), max_side=max_side)


def j2k(cells: np.ndarray, bits: int = 12, **options: Any) -> bytes:
    options = {"reversible": True, "level": 0} | options
    return imagecodecs.jpeg2k_encode(cells, codecformat="J2K", bitspersample=bits, **options)


def jpeg(cells: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(cells, level=92)


CODERS: dict[str, tuple[str, int, Callable[[np.ndarray], bytes]]] = {
    "J2K": (uid.JPEG2000Lossless, 12, j2k),
    "J2K with spare bits": (uid.JPEG2000Lossless, 12, lambda cells: j2k(cells, 16)),
    "J2K of 8 bits": (uid.JPEG2000Lossless, 8, lambda cells: j2k(cells, 8)),
    "J2K lossy": (uid.JPEG2000, 12, lambda cells: j2k(cells, reversible=False, level=60)),
    "HTJ2K": (uid.HTJ2KLossless, 12, lambda cells: imagecodecs.htj2k_encode(cells, reversible=True)),
    "HTJ2K RPCL": (uid.HTJ2KLosslessRPCL, 12, lambda cells: imagecodecs.htj2k_encode(cells, reversible=True)),
    "HTJ2K lossy": (
        uid.HTJ2K,
        12,
        lambda cells: imagecodecs.htj2k_encode(cells, reversible=False, level=0.0002),
    ),
    "JPEG": (uid.JPEGBaseline8Bit, 8, jpeg),
    "JPEG extended": (uid.JPEGExtended12Bit, 8, jpeg),
}


def written(folder: Path, name: str, cells: np.ndarray, **attributes: Any) -> Path:
    syntax, bits, encode = CODERS[name]
    cells = np.rint(cells).astype(np.uint8 if bits == 8 else np.uint16)
    attributes = {"WindowCenter": 1 << (bits - 1), "WindowWidth": 1 << bits} | attributes
    return write_encapsulated(folder / "film.dcm", film(cells, bits_stored=bits, **attributes), encode(cells), syntax)


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize(("rows", "columns"), [(512, 384), (401, 267), (265, 403)])
@pytest.mark.parametrize("max_side", [250, 101, 70])
def test_smallest_resolution_that_suffices(tmp_path: Path, name: str, rows: int, columns: int, max_side: int) -> None:
    bits = CODERS[name][1]
    path = written(tmp_path, name, smooth(bits, rows, columns))
    full, small = cells_of(path), cells_of(path, max_side)
    least = (4 if name == "J2K of 8 bits" else 1.2) * max_side
    halved = max(n for n in range(4) if n == 0 or -(-max(rows, columns) // 2**n) >= least)
    scale = 2 ** max(0, halved - 1)  # twice as fine as what was decoded
    assert small.shape == (-(-rows // scale), -(-columns // scale))
    assert small.dtype == full.dtype
    # The oracle is the exact area average of the full picture over the same grid: this holds place and scale.
    oracle = cv2.resize(full.astype(np.float32), small.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small - oracle).mean() < 0.008 * (1 << bits)
    # Eightfold reduced, a wave of the film is seven pixels long: wavelet filters pass more of it than a mean does.
    assert np.abs(small - oracle)[2:-2, 2:-2].max() < 0.04 * (1 << bits)


@pytest.mark.parametrize("name", ["J2K", "HTJ2K", "JPEG"])
def test_a_ramp_stays_in_its_place(tmp_path: Path, name: str) -> None:
    bits = CODERS[name][1]
    top = (1 << bits) - 1
    y, x = np.mgrid[0:330, 0:250]
    path = written(tmp_path, name, (y / 330 + x / 250) / 2 * top)
    small = cells_of(path, 40).astype(float)
    rows, columns = small.shape
    assert (rows, columns) == (165, 125)  # decoded at a quarter, interpolated at half the size
    y, x = np.mgrid[0:rows, 0:columns] + 0.5
    expected = ((y / rows - 0.5 / 330) + (x / columns - 0.5 / 250)) / 2 * top
    inner = slice(4, -4)
    shift = (small - expected)[inner, inner].mean() / top * 2 * rows  # in reduced pixels
    assert abs(shift) < 0.12
    assert np.abs(small - expected)[inner, inner].max() < 0.006 * top + 1


@pytest.mark.parametrize("index", [0, 3, 8])
@pytest.mark.parametrize("name", ["J2K", "J2K lossy", "HTJ2K", "JPEG"])
def test_phantoms_stay_within_the_stated_tolerance(tmp_path: Path, index: int, name: str) -> None:
    rendered = render_film(plan_film(5, index))
    bits = rendered.plan.site.bits_stored
    scale = (1 << CODERS[name][1]) / (1 << bits)
    cells = cv2.resize(rendered.pixels.astype(np.float32) * scale, (1600, 1900), interpolation=cv2.INTER_CUBIC)
    top = (1 << CODERS[name][1]) - 1
    path = written(tmp_path, name, np.clip(cells, 0, top).round())
    _assert_close(path, smaller_than=1900)


@pytest.mark.parametrize("name", ["RG1_J2KR", "RG1_J2KI", "RG3_J2KR", "RG3_J2KI"])
def test_real_films_stay_within_the_stated_tolerance(name: str) -> None:
    found = get_testdata_file(f"{name}.dcm", download=False)
    if found is None:
        pytest.skip("pydicom-data is not installed")
    _assert_close(Path(found), smaller_than=1955)


def _assert_close(path: Path, *, smaller_than: int) -> None:
    full, small = display_of(path), display_of(path, 512)
    assert max(small.shape) == 512 < smaller_than
    difference = np.abs(small - cv2.resize(full, small.shape[::-1], interpolation=cv2.INTER_AREA))
    assert difference.mean() < MEAN_TOLERANCE
    assert np.quantile(difference, 0.999) < TAIL_TOLERANCE


# --- films that are decoded in full


def padded(path: Path) -> Path:
    return written(path, "J2K", smooth(12, 200, 160), PixelPaddingValue=0)


def signed(path: Path) -> Path:
    cells = (smooth(12, 200, 160).astype(np.int32) - 2048).astype(np.int16)
    return write_encapsulated(path / "film.dcm", film(cells, signed=True), j2k(cells, 16), uid.JPEG2000Lossless)


def declared_overlay(path: Path) -> Path:
    cells = smooth(12, 200, 160)
    dataset = film(cells, bits_stored=12)
    dataset.add_new(0x60020102, "US", 15)
    return write_encapsulated(path / "film.dcm", dataset, j2k(cells, 16), uid.JPEG2000Lossless)


def undeclared_area(path: Path) -> Path:
    cells = smooth(12, 200, 160)
    dirty = cells.copy()
    dirty[40:80, 30:90] |= 0x8000
    return write_encapsulated(path / "film.dcm", film(cells, bits_stored=12), j2k(dirty, 16), uid.JPEG2000Lossless)


def undeclared_line(path: Path) -> Path:
    cells = smooth(12, 200, 160)
    dirty = cells.copy()
    dirty[100, 10:150] |= 0x8000
    return write_encapsulated(path / "film.dcm", film(cells, bits_stored=12), j2k(dirty, 16), uid.JPEG2000Lossless)


def threshold_window(path: Path) -> Path:
    return written(path, "J2K", smooth(12, 200, 160), WindowCenter=2000, WindowWidth=20)


def folded_table(path: Path) -> Path:
    tent = np.abs(np.arange(4096) - 2048) * 2
    return written(path, "J2K", smooth(12, 200, 160), VOILUTSequence=lut(tent, 0, 12))


def few_levels(path: Path) -> Path:
    cells = smooth(12, 200, 160)
    stream = j2k(cells, resolutions=1)
    return write_encapsulated(path / "film.dcm", film(cells, bits_stored=12), stream, uid.JPEG2000Lossless)


def twelve_bit_jpeg(path: Path) -> Path:
    cells = smooth(12, 200, 160)
    stream = imagecodecs.jpeg8_encode(cells, level=95, bitspersample=12)
    return write_encapsulated(path / "film.dcm", film(cells, bits_stored=12), stream, uid.JPEGExtended12Bit)


def lossless_jpeg(path: Path) -> Path:
    cells = smooth(12, 200, 160)
    stream = imagecodecs.jpeg8_encode(cells, lossless=True, predictor=1, bitspersample=12)
    return write_encapsulated(path / "film.dcm", film(cells, bits_stored=12), stream, uid.JPEGLosslessSV1)


def without_window(path: Path) -> Path:
    cells = smooth(12, 200, 160)
    return write_encapsulated(path / "film.dcm", film(cells, bits_stored=12), j2k(cells), uid.JPEG2000Lossless)


FULL = (
    without_window,
    padded,
    signed,
    declared_overlay,
    undeclared_area,
    undeclared_line,
    threshold_window,
    folded_table,
    few_levels,
    twelve_bit_jpeg,
    lossless_jpeg,
)


@pytest.mark.parametrize("make", FULL, ids=lambda f: f.__name__)
def test_decoded_in_full(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    np.testing.assert_array_equal(cells_of(path, 50), cells_of(path))


def test_an_overlay_of_its_own_does_not_forbid_it(tmp_path: Path) -> None:
    cells = smooth(12, 200, 160)
    dataset = film(cells, bits_stored=12)
    dataset.add_new(0x60000102, "US", 0)
    path = write_encapsulated(tmp_path / "film.dcm", dataset, j2k(cells, 16), uid.JPEG2000Lossless)
    assert cells_of(path, 50).shape == (200, 160)


def test_white_edges_that_overshoot_stay_white(tmp_path: Path) -> None:
    cells = smooth(12, 200, 160)
    cells[61:135, 33:94] = 4095
    cells[67:129, 39:88] = 0
    path = written(tmp_path, "J2K with spare bits", cells)
    small = cells_of(path, 50)
    assert small.shape == (200, 160)
    assert small.max() == 4095
    assert small[62:66, 40:88].min() > 3500
    assert small[80:120, 52:80].max() == 0


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "RGB"])
def test_colour_captures(tmp_path: Path, photometric: str) -> None:
    colour = np.stack([smooth(8, 204, 160), smooth(8, 204, 160) // 2, 255 - smooth(8, 204, 160)], -1).astype(np.uint8)
    if photometric == "RGB":  # an Adobe marker says that nothing was transformed
        stream = imagecodecs.jpeg8_encode(colour, level=95, colorspace="RGB", outcolorspace="RGB")
    else:
        stream = imagecodecs.jpeg8_encode(colour, level=95, subsampling="420")
    dataset = film(colour, PhotometricInterpretation=photometric)
    path = write_encapsulated(tmp_path / "film.dcm", dataset, stream, uid.JPEGBaseline8Bit)
    full, small = cells_of(path), cells_of(path, 50)
    if photometric == "RGB":
        np.testing.assert_array_equal(small, full)
        return
    assert small.shape == (204, 160)
    assert small.dtype == np.float32
    half, expected = (cv2.resize(cells, (80, 102), interpolation=cv2.INTER_AREA) for cells in (small, full))
    assert not np.array_equal(small, full)
    assert np.abs(half - expected).mean() < 1


# --- refusals


@pytest.mark.parametrize("name", ["J2K", "HTJ2K", "JPEG"])
def test_streams_without_their_end_are_refused(tmp_path: Path, name: str) -> None:
    syntax, bits, encode = CODERS[name]
    cells = smooth(bits, 200, 160).astype(np.uint8 if bits == 8 else np.uint16)
    stream = encode(cells)
    for kept in (len(stream) - 2, len(stream) * 2 // 3, len(stream) // 3):
        dataset = film(cells, bits_stored=bits)
        path = write_encapsulated(tmp_path / "film.dcm", dataset, stream[:kept], syntax)
        with pytest.raises(FilmError) as raised:
            cells_of(path, 50)
        assert raised.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("name", ["J2K", "HTJ2K", "JPEG"])
def test_streams_of_another_size_are_refused(tmp_path: Path, name: str) -> None:
    syntax, bits, encode = CODERS[name]
    cells = smooth(bits, 200, 160).astype(np.uint8 if bits == 8 else np.uint16)
    dataset = film(cells[:100], bits_stored=bits)
    path = write_encapsulated(tmp_path / "film.dcm", dataset, encode(cells), syntax)
    with pytest.raises(FilmError) as raised:
        cells_of(path, 50)
    assert raised.value.reason is Reason.CORRUPT


def test_comments_and_application_segments_do_not_reach_pillow() -> None:
    stream = jpeg(smooth(8, 128, 96).astype(np.uint8))
    planted = stream[:2] + b"\xff\xe1\x00\x10Exif\0\0PLANTED!" + b"\xff\xfe\x00\x09PLANTED" + stream[2:]
    info = jpeg_info(planted)
    assert b"PLANTED" not in reduced._without_remarks(planted, info)
    np.testing.assert_array_equal(
        reduced.reduced_jpeg(planted, info, 1), reduced.reduced_jpeg(stream, jpeg_info(stream), 1)
    )


def test_the_benchmark_runs_on_every_syntax() -> None:
    program = Path(__file__).resolve().parents[2] / "benchmarks" / "decode.py"
    done = subprocess.run(
        [sys.executable, program, "--quick", "--side", "100"], capture_output=True, text=True, timeout=200, check=True
    )
    tables = done.stdout.strip().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        rows = table.splitlines()[2:]
        assert len(rows) == 14
        assert all(float(row.split()[-4]) > 0 for row in rows)
