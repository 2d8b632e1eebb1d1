"""Raster exports of a film: every pixel type, orientation and defect."""

import io
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_facts, read_radiograph
from tests.unit.dicom_films import smooth

EIGHT = smooth(8).astype(np.uint8)
SIXTEEN = smooth(16)
COLOUR = np.stack([EIGHT, np.roll(EIGHT, 5, 0), np.roll(EIGHT, 9, 1)], axis=-1)
LUMA = np.array([0.299, 0.587, 0.114])


def pixels_of(path: Path) -> np.ndarray:
    film = read_radiograph(path)
    assert film.pixels.dtype == np.float32
    assert film.pixels.flags.c_contiguous
    assert (film.facts.rows, film.facts.columns) == film.pixels.shape
    assert read_facts(path) == film.facts
    return film.pixels


def refusal(path: Path) -> Reason:
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(path)
    return caught.value.reason


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("cells", [EIGHT, SIXTEEN], ids=["8", "16"])
def test_grey(tmp_path: Path, suffix: str, cells: np.ndarray) -> None:
    path = tmp_path / f"film.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, cells, compression="zlib")
    else:
        path.write_bytes(imagecodecs.png_encode(cells))
    np.testing.assert_allclose(pixels_of(path), cells / np.iinfo(cells.dtype).max, atol=1e-6)
    assert read_facts(path).bits_stored == cells.dtype.itemsize * 8


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_rgb(tmp_path: Path, suffix: str, depth: int) -> None:
    cells = COLOUR if depth == 8 else COLOUR.astype(np.uint16) * 257 + 1
    path = tmp_path / f"film.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, cells, photometric="rgb")
    else:
        path.write_bytes(imagecodecs.png_encode(cells))
    expected = cells.astype(np.float64) @ LUMA / np.iinfo(cells.dtype).max
    np.testing.assert_allclose(pixels_of(path), np.clip(expected, 0, 1), atol=1e-6)


def test_planar_tiff(tmp_path: Path) -> None:
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, np.moveaxis(COLOUR, -1, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(pixels_of(path), COLOUR @ LUMA / 255, atol=1e-6)


def test_white_is_zero_tiff(tmp_path: Path) -> None:
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, SIXTEEN, photometric="miniswhite")
    np.testing.assert_allclose(pixels_of(path), 1 - SIXTEEN / 65535, atol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palette(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(COLOUR).quantize(64)
    path = saved(tmp_path / f"film.{suffix}", image)
    expected = np.asarray(image.convert("RGB")) @ LUMA / 255
    np.testing.assert_allclose(pixels_of(path), expected, atol=2 / 255 if suffix == "tif" else 1e-6)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_constant_alpha_is_ignored(tmp_path: Path, mode: str) -> None:
    for alpha in (0, 255):
        image = Image.fromarray(EIGHT).convert(mode)
        image.putalpha(alpha)
        np.testing.assert_allclose(pixels_of(saved(tmp_path / "film.png", image)), EIGHT / 255, atol=1e-6)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_lets_the_background_through(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(EIGHT).convert(mode)
    alpha = np.full(EIGHT.shape, 255, np.uint8)
    alpha[:10] = 0
    image.putalpha(Image.fromarray(alpha))
    expected = EIGHT / 255.0
    expected[:10] = 0
    np.testing.assert_allclose(pixels_of(saved(tmp_path / "film.png", image)), expected, atol=1e-6)


def test_one_bit_png_is_scaled_to_its_range(tmp_path: Path) -> None:
    bits = EIGHT > 127
    np.testing.assert_array_equal(pixels_of(saved(tmp_path / "film.png", Image.fromarray(bits))), bits)


def test_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path / "film.jpg", Image.fromarray(EIGHT), quality=95)
    np.testing.assert_allclose(pixels_of(path), EIGHT / 255, atol=4 / 255)
    assert read_facts(path).lossy is True
    np.testing.assert_allclose(pixels_of(path), np.asarray(Image.open(path)) / 255, atol=1e-6)


@pytest.mark.parametrize("subsampling", [0, 2])
def test_colour_jpeg(tmp_path: Path, subsampling: int) -> None:
    path = saved(tmp_path / "film.jpg", Image.fromarray(COLOUR), quality=95, subsampling=subsampling)
    with Image.open(path) as image:
        image.draft("L", None)
        expected = np.asarray(image.convert("L")) / 255
    np.testing.assert_allclose(pixels_of(path), expected, atol=1.01 / 255)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"film.{suffix}"
    options = {"tiffinfo": {0x0112: orientation}} if suffix == "tif" else {"exif": exif}
    saved(path, Image.fromarray(EIGHT), **options)
    turned = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)  # OpenCV honours orientation of its own
    if suffix == "tif":
        steps = {2: [Image.FLIP_LEFT_RIGHT], 3: [Image.ROTATE_180], 4: [Image.FLIP_TOP_BOTTOM], 5: [Image.TRANSPOSE]}
        steps |= {6: [Image.ROTATE_270], 7: [Image.TRANSVERSE], 8: [Image.ROTATE_90]}
        image = Image.fromarray(EIGHT)
        for step in steps.get(orientation, []):
            image = image.transpose(step)
        turned = np.asarray(image)
    np.testing.assert_allclose(pixels_of(path), turned / 255, atol=1.01 / 255 if suffix == "jpg" else 1e-6)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_truncation(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"film.{suffix}", Image.fromarray(EIGHT))
    data = path.read_bytes()
    for share in (0.5, 0.9, 0.99):
        path.write_bytes(data[: int(len(data) * share)])
        assert refusal(path) in (Reason.TRUNCATED, Reason.CORRUPT)


def test_corrupt_png(tmp_path: Path) -> None:
    path = saved(tmp_path / "film.png", Image.fromarray(EIGHT))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    assert refusal(path) is Reason.CORRUPT


def test_sizes_are_checked_before_decoding(tmp_path: Path) -> None:
    path = saved(tmp_path / "film.png", Image.fromarray(EIGHT))
    data = bytearray(path.read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    path.write_bytes(bytes(data))
    assert refusal(path) is Reason.TOO_LARGE
    assert refusal(saved(tmp_path / "small.png", Image.fromarray(EIGHT[:63]))) is Reason.TOO_SMALL
    tifffile.imwrite(tmp_path / "small.tif", EIGHT[:63])
    assert refusal(tmp_path / "small.tif") is Reason.TOO_SMALL


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_blank(tmp_path: Path, suffix: str) -> None:
    assert refusal(saved(tmp_path / f"film.{suffix}", Image.new("L", (80, 80), 9))) is Reason.BLANK


def test_several_pages(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "film.tif", np.stack([EIGHT, EIGHT]), photometric="minisblack")
    assert refusal(tmp_path / "film.tif") is Reason.SEVERAL_FRAMES


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint32])
def test_types_without_a_nominal_range(tmp_path: Path, dtype: type) -> None:
    tifffile.imwrite(tmp_path / "film.tif", EIGHT.astype(dtype))
    assert refusal(tmp_path / "film.tif") is Reason.UNSUPPORTED_IMAGE


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path / "film.jpg", Image.fromarray(COLOUR).convert("CMYK"))
    assert refusal(path) is Reason.UNSUPPORTED_IMAGE


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).save(buffer, "PNG")
    path = tmp_path / "film.dcm"
    path.write_bytes(buffer.getvalue())
    np.testing.assert_allclose(pixels_of(path), EIGHT / 255, atol=1e-6)
