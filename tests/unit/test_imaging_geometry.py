"""Placement, resizing and fingerprints."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UnreadableImage
from pipelines.imaging import (
    FilmFacts,
    Placement,
    Radiograph,
    hamming,
    pixel_hash,
    read_radiograph,
    sha256_file,
    to_longest,
    to_square,
)
from pipelines.imaging.picture import examine
from tests.unit.dicom_films import film, smooth, write

SIDES = st.integers(1, 5000)
SIZES = st.integers(1, 1024)


def noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """A film-like random picture: smooth at a scale of a tenth of its size."""
    coarse = np.random.default_rng(seed).random((10, 10)).astype(np.float32)
    return to_longest(coarse, max(rows, columns))[:rows, :columns]


@pytest.mark.parametrize(
    ("rows", "columns", "size", "expected"),
    [
        (2000, 1000, 500, (0, 125, 500, 250)),
        (1000, 2000, 500, (125, 0, 250, 500)),
        (512, 512, 224, (0, 0, 224, 224)),
        (3, 2, 4, (0, 0, 4, 3)),
        (5000, 1, 100, (0, 49, 100, 1)),
    ],
)
def test_fit(rows: int, columns: int, size: int, expected: tuple[int, ...]) -> None:
    place = Placement.fit(rows, columns, size)
    assert (place.top, place.left, place.height, place.width) == expected


@given(SIDES, SIDES, SIZES, st.floats(0, 1), st.floats(0, 1))
def test_there_and_back(rows: int, columns: int, size: int, u: float, v: float) -> None:
    place = Placement.fit(rows, columns, size)
    assert max(place.height, place.width) == size
    x, y = place.to_square(u * columns, v * rows)
    assert place.left <= x <= place.left + place.width + 1e-9
    assert place.top <= y <= place.top + place.height + 1e-9
    back = place.to_stored(x, y)
    assert back == pytest.approx((u * columns, v * rows), abs=1e-6 * max(rows, columns))


def test_boxes_and_arrays() -> None:
    place = Placement.fit(2000, 1000, 500)
    assert place.box_to_square((0, 0, 1000, 2000)) == (125, 0, 375, 500)
    assert place.box_to_square((100, 200, 300, 400)) == (150, 50, 200, 100)
    x, y = place.to_stored(np.array([125.0, 375.0]), np.array([0.0, 500.0]))
    np.testing.assert_allclose([x, y], [[0, 1000], [0, 2000]])


def test_a_mark_lands_where_placement_says() -> None:
    pixels = np.zeros((900, 600), np.float32)
    pixels[300:330, 420:450] = 1
    place = Placement.fit(900, 600, 300)
    square = to_square(pixels, 300)
    x0, y0, x1, y1 = place.box_to_square((420, 300, 450, 330))
    inside = square[round(y0) : round(y1), round(x0) : round(x1)]
    np.testing.assert_allclose(inside, 1, atol=1e-6)
    assert square.sum() == pytest.approx(inside.size, abs=1e-3)


def test_area_average_of_whole_blocks() -> None:
    pixels = np.random.default_rng(0).random((640, 640), dtype=np.float32)
    expected = pixels.reshape(64, 10, 64, 10).mean((1, 3))
    np.testing.assert_allclose(to_square(pixels, 64), expected, atol=1e-6)


@pytest.mark.parametrize("size", [64, 200, 300])
def test_square_is_float32_in_range_with_black_padding(size: int) -> None:
    pixels = 0.5 + 0.5 * noise(200, 120)
    square = to_square(pixels, size)
    place = Placement.fit(200, 120, size)
    assert square.dtype == np.float32
    assert square.shape == (size, size)
    assert (square[:, : place.left] == 0).all()
    assert (square[:, place.left + place.width :] == 0).all()
    inner = square[:, place.left : place.left + place.width]
    assert pixels.min() <= inner.min() <= inner.max() <= pixels.max()


def test_reduced_pixels_are_placed_as_the_stored_film() -> None:
    full = noise(1000, 700)
    reduced = full.reshape(250, 4, 175, 4).mean((1, 3))
    np.testing.assert_allclose(to_square(reduced, Placement.fit(1000, 700, 125)), to_square(full, 125), atol=0.02)
    radiograph = Radiograph(reduced, FilmFacts(rows=1000, columns=700), examine(reduced))
    np.testing.assert_array_equal(
        to_square(radiograph.pixels, radiograph.placement(125)), to_square(reduced, Placement.fit(1000, 700, 125))
    )


def test_inputs_are_not_changed() -> None:
    pixels = noise(100, 100)
    before = pixels.copy()
    to_square(pixels, 100)[:] = 7
    to_longest(pixels, 100)[:] = 7
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(("rows", "columns", "expected"), [(400, 200, (100, 50)), (30, 60, (50, 100))])
def test_longest(rows: int, columns: int, expected: tuple[int, int]) -> None:
    assert to_longest(noise(rows, columns), 100).shape == expected


def test_sha256(tmp_path: Path) -> None:
    path = write(tmp_path / "film.dcm", film(smooth(12)))
    assert sha256_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UnreadableImage):
        sha256_file(tmp_path / "none.dcm")


def test_pixel_hash_survives_resizing_and_depth() -> None:
    pixels = noise(1200, 1000)
    key = pixel_hash(pixels)
    assert len(key) == 16
    int(key, 16)
    assert hamming(key, pixel_hash(to_longest(pixels, 512))) <= 2
    assert hamming(key, pixel_hash(np.round(pixels * 255).astype(np.float32) / 255)) <= 2
    assert hamming(key, pixel_hash(0.2 + 0.7 * pixels)) <= 2
    for seed in range(1, 20):
        assert hamming(key, pixel_hash(noise(1200, 1000, seed))) > 10


def test_hamming() -> None:
    assert hamming("0000000000000000", "ffffffffffffffff") == 64
    assert hamming("0000000000000001", "0000000000000003") == 1


def test_pixel_hash_of_a_film_is_the_same_in_every_syntax(tmp_path: Path) -> None:
    hashes = {
        pixel_hash(read_radiograph(write(tmp_path / f"{n}.dcm", film(smooth(bits), bits_stored=bits))).pixels)
        for n, bits in enumerate((10, 12, 16))
    }
    first = hashes.pop()
    assert all(hamming(first, other) <= 2 for other in hashes)
