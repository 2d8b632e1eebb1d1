"""Raster exports of a film: every pixel type, orientation and defect."""

import io
import struct
import zlib
from dataclasses import replace
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
from tests.unit.raster_films import raster_film

EIGHT = smooth(8).astype(np.uint8)
SIXTEEN = smooth(16)
COLOUR = np.stack([EIGHT, np.roll(EIGHT, 5, 0), np.roll(EIGHT, 9, 1)], axis=-1)
LUMA = np.array([0.299, 0.587, 0.114])


def pixels_of(path: Path) -> np.ndarray:
    film = raster_film(path)
    assert film.pixels.dtype == np.float32
    assert film.pixels.flags.c_contiguous
    facts = read_facts(path)
    assert (facts.rows, facts.columns) == film.pixels.shape
    assert read_radiograph(path).facts == replace(facts, colour=film.colour)  # only pixels tell it from grey as RGB
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
    path = saved(tmp_path / "film.png", Image.fromarray(bits))
    np.testing.assert_array_equal(raster_film(path).pixels, bits)


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


def between_percentiles(cells: np.ndarray) -> np.ndarray:
    """Hand-written: percentiles as ranks, without interpolation."""
    low, high = np.percentile(cells.astype(np.float64), [0.5, 99.5], method="inverted_cdf")
    return np.clip((cells - low) / (high - low), 0, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int8, np.uint32, np.int32])
def test_tiff_types_without_a_nominal_range(tmp_path: Path, dtype: type) -> None:
    cells = (SIXTEEN.astype(np.float64) - 30000).astype(dtype) if dtype is not np.int8 else EIGHT.view(np.int8)
    cells = SIXTEEN.astype(np.uint32) * 60000 if dtype is np.uint32 else cells
    tifffile.imwrite(tmp_path / "film.tif", cells)
    np.testing.assert_allclose(pixels_of(tmp_path / "film.tif"), between_percentiles(cells), atol=1e-5)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, wrong: float) -> None:
    cells = EIGHT.astype(np.float32)
    cells[3, 4] = wrong
    tifffile.imwrite(tmp_path / "film.tif", cells)
    assert refusal(tmp_path / "film.tif") is Reason.CORRUPT


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "jpeg", "jpeg2000", None])
@pytest.mark.parametrize("layout", [{}, {"tile": (32, 48)}, {"bigtiff": True}, {"byteorder": ">"}, {"rowsperstrip": 7}])
def test_tiff_codings(tmp_path: Path, compression: str | None, layout: dict[str, object]) -> None:
    cells = EIGHT if compression == "jpeg" or (compression == "jpeg2000" and "byteorder" in layout) else SIXTEEN
    tifffile.imwrite(tmp_path / "film.tif", cells, compression=compression, **layout)
    lossy = compression in ("jpeg", "jpeg2000")
    expected = tifffile.imread(tmp_path / "film.tif") / np.iinfo(cells.dtype).max
    np.testing.assert_allclose(pixels_of(tmp_path / "film.tif"), expected, atol=1e-6)
    np.testing.assert_allclose(expected, cells / np.iinfo(cells.dtype).max, atol=0.05 if lossy else 0)


def test_reduced_copies_are_passed_over(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "film.tif") as writer:
        writer.write(SIXTEEN)
        writer.write(SIXTEEN[::2, ::2], subfiletype=1)
    np.testing.assert_allclose(pixels_of(tmp_path / "film.tif"), SIXTEEN / 65535, atol=1e-6)


def test_a_jpeg_larger_than_its_strip(tmp_path: Path) -> None:
    path = tmp_path / "film.tif"
    tifffile.imwrite(path, EIGHT, compression="jpeg")
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(data))
    assert refusal(path) is Reason.CORRUPT


@pytest.mark.parametrize("bits", [9, 10, 11, 12, 13, 14, 15, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_few_bits_in_a_16_bit_container(tmp_path: Path, bits: int, suffix: str) -> None:
    cells = smooth(bits)
    cells.flat[0] = (1 << bits) - 1
    path = tmp_path / f"film.{suffix}"
    assert cv2.imwrite(str(path), cells)
    top = {9: 1023, 10: 1023, 11: 4095, 12: 4095, 13: 16383, 14: 16383}.get(bits, 65535)
    np.testing.assert_allclose(pixels_of(path), cells / top, atol=1e-6)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind IHDR."""
    return png[:33] + chunk(kind, content) + png[33:]


@pytest.mark.usefixtures("without_picture_rules")
@pytest.mark.parametrize(("significant", "top", "shift"), [(12, 4095, 0), (16, 65535, 0), (12, 65535, 4)])
def test_significant_bits_decide(tmp_path: Path, significant: int, top: int, shift: int) -> None:
    cells = smooth(12).astype(np.uint16) << shift
    path = tmp_path / "film.png"
    path.write_bytes(with_chunk(imagecodecs.png_encode(cells), b"sBIT", bytes([significant])))
    np.testing.assert_allclose(pixels_of(path), cells / top, atol=1e-6)
    assert read_facts(path).bits_stored == significant


@pytest.mark.parametrize(("frames", "refused"), [(1, False), (2, True)])
def test_animated_png(tmp_path: Path, frames: int, refused: bool) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(with_chunk(imagecodecs.png_encode(EIGHT), b"acTL", struct.pack(">II", frames, 0)))
    if refused:
        assert refusal(path) is Reason.SEVERAL_FRAMES
    else:
        np.testing.assert_allclose(pixels_of(path), EIGHT / 255, atol=1e-6)


def test_interlaced_png(tmp_path: Path) -> None:
    """Adam7, interlaced by hand."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(b"\0" + line.tobytes() for y, x, dy, dx in passes for line in EIGHT[y::dy, x::dx])
    head = struct.pack(">IIBBBBB", EIGHT.shape[1], EIGHT.shape[0], 8, 0, 0, 0, 1)
    path = tmp_path / "film.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    np.testing.assert_allclose(pixels_of(path), EIGHT / 255, atol=1e-6)


def test_png_that_inflates_to_more_or_less_than_its_size(tmp_path: Path) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 80, 80, 8, 0, 0, 0, 0))
    path = tmp_path / "film.png"
    lines = b"".join(b"\0" + bytes(range(row, row + 80)) for row in range(80))
    for content, read in ((lines[:-81], False), (lines + bytes(50 << 20), None)):
        body = chunk(b"IDAT", zlib.compress(content))
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))
        if read is False:
            assert refusal(path) is Reason.CORRUPT
        else:  # libpng reads the rows that the header states and leaves the rest
            np.testing.assert_allclose(pixels_of(path) * 255, np.add.outer(np.arange(80), np.arange(80)), atol=1e-4)


def test_every_wrong_byte_of_a_png_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "film.png"
    data = imagecodecs.png_encode(EIGHT[:64, :64])
    for at in range(8, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :])
        try:
            film = raster_film(path)
        except UnreadableImage:
            continue
        np.testing.assert_allclose(film.pixels, EIGHT[:64, :64] / 255, atol=1e-6)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_colour_is_told_from_grey_stored_as_colour(tmp_path: Path, suffix: str) -> None:
    tinted = np.stack([EIGHT // 2, EIGHT // 2 + 10, EIGHT // 2 + 40], axis=-1)
    for cells, colour in ((np.stack([EIGHT] * 3, axis=-1), False), (tinted, True)):
        path = saved(tmp_path / f"film.{suffix}", Image.fromarray(cells))
        assert read_radiograph(path).facts.colour is colour


@pytest.mark.parametrize("options", [{"bitspersample": 12}, {"bitspersample": 16, "lossless": True}])
def test_deep_jpeg(tmp_path: Path, options: dict[str, object]) -> None:
    cells = smooth(int(options["bitspersample"]))
    path = tmp_path / "film.jpg"
    path.write_bytes(imagecodecs.jpeg8_encode(cells, level=98, **options))
    np.testing.assert_allclose(
        pixels_of(path), cells / cells.dtype.type((1 << options["bitspersample"]) - 1), atol=0.01
    )


def test_progressive_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path / "film.jpg", Image.fromarray(EIGHT), quality=95, progressive=True)
    np.testing.assert_allclose(pixels_of(path), np.asarray(Image.open(path)) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"BM", "BMP"),
        (b"GIF89a", "GIF"),
        (b"RIFF\0\0\0\0WEBP", "WebP"),
        (b"%PDF-1.7", "PDF"),
        (b"<!DOCTYPE html>", "web"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, head: bytes, name: str) -> None:
    (tmp_path / "film.png").write_bytes(head + bytes(200))
    with pytest.raises(UnreadableImage, match=name) as caught:
        read_radiograph(tmp_path / "film.png")
    assert caught.value.reason is Reason.NOT_AN_IMAGE


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(tmp_path / "film.jpg", Image.fromarray(COLOUR).convert("CMYK"))
    assert refusal(path) is Reason.UNSUPPORTED_IMAGE


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(EIGHT).save(buffer, "PNG")
    path = tmp_path / "film.dcm"
    path.write_bytes(buffer.getvalue())
    np.testing.assert_allclose(pixels_of(path), EIGHT / 255, atol=1e-6)
