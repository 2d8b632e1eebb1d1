"""Display values from cells: every cell counts, every average is exact, what lies outside the film is background."""

import cv2
import numpy as np
import pytest

from pipelines.errors import Reason
from pipelines.imaging import display
from pipelines.imaging.display import histogram, shrink, to_display
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.intensity import Intensity, Window


def noise(rows: int, columns: int, bits: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 1 << bits, (rows, columns))
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


@pytest.mark.parametrize("bits", [1, 7, 8, 10, 12, 15, 16])
@pytest.mark.parametrize("masked", [False, True])
def test_histogram_counts_every_cell(monkeypatch: pytest.MonkeyPatch, bits: int, masked: bool) -> None:
    monkeypatch.setattr(display, "_EXACT_COUNT", 1000)  # several parts
    cells = noise(101, 67, bits)
    film = (noise(101, 67, 1, seed=1) > 0).astype(np.uint8) if masked else None
    kept = cells if film is None else cells[film > 0]
    np.testing.assert_array_equal(histogram(cells, bits, film), np.bincount(kept.ravel(), minlength=1 << bits))


def test_histogram_of_more_pixels_than_float32_can_count() -> None:
    cells = np.zeros((4097, 4099), np.uint8)
    cells[0, 0] = 1
    assert list(histogram(cells, 1)) == [4097 * 4099 - 1, 1]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_cell_gets_its_tables_value(bits: int, order: str) -> None:
    cells = noise(101, 67, bits)
    intensity = Intensity(bits_stored=bits, windows=(Window(1 << (bits - 1), 1 << bits, "LINEAR"),))
    expected = intensity.table(np.bincount(cells.ravel(), minlength=1 << bits))[cells]
    stored = cells.astype(cells.dtype.newbyteorder(order))
    stored.setflags(write=False)
    np.testing.assert_array_equal(to_display(stored, intensity), expected)
    np.testing.assert_array_equal(to_display(np.asfortranarray(stored), intensity), expected)


@pytest.mark.parametrize(("rows", "columns"), [(240, 160), (1200, 900), (241, 163), (100, 1201)])
@pytest.mark.parametrize("max_side", [50, 100, 119, 1000, 5000])
def test_averages_are_of_display_values(rows: int, columns: int, max_side: int) -> None:
    cells = noise(rows, columns, 12)
    intensity = Intensity(bits_stored=12, windows=(Window(2000, 900, "SIGMOID"),))
    full = to_display(cells, intensity)
    small = to_display(cells, intensity, max_side=max_side)
    scale = min(1, max_side / max(rows, columns))
    assert small.shape == (round(rows * scale), round(columns * scale))
    assert max(small.shape) == min(max_side, max(rows, columns))
    # OpenCV leaves out a pixel of which less than a thousandth belongs to an average.
    np.testing.assert_allclose(small, area_average(full, small.shape), atol=1e-3)


def area_average(picture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mean of a picture over every pixel of a coarser grid that covers it exactly."""
    rows, columns = (overlap(*sides) for sides in zip(picture.shape, shape, strict=True))
    return rows @ picture.astype(np.float64) @ columns.T


def overlap(fine: int, coarse: int) -> np.ndarray:
    edges = np.arange(fine + 1)
    low, high = np.arange(coarse)[:, None] * fine / coarse, np.arange(1, coarse + 1)[:, None] * fine / coarse
    return np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None) / (fine / coarse)


@pytest.mark.parametrize("max_side", [None, 64])
def test_outside_the_film_is_background_and_does_not_count(max_side: int | None) -> None:
    cells = noise(256, 192, 12) // 4 + 1000
    area = np.zeros(cells.shape, bool)
    area[32:224, 16:160] = True
    cells[~area] = 4095
    intensity = Intensity(bits_stored=12)  # no window: percentiles of the film alone
    inside = to_display(cells[32:224, 16:160], intensity)
    found = to_display(cells, intensity, area=area, max_side=max_side)
    expected = np.zeros(cells.shape, np.float32)
    expected[area] = inside.ravel()
    np.testing.assert_allclose(found, area_average(expected, found.shape), atol=2e-6)
    assert found.shape == (cells.shape if max_side is None else (64, 48))


def test_an_area_of_the_stored_matrix_fits_reduced_cells() -> None:
    cells = noise(101, 80, 12) // 2 + 500
    area = np.zeros((403, 320), bool)
    area[100:300, 80:240] = True
    found = to_display(cells, Intensity(bits_stored=12), area=area)
    assert found.shape == cells.shape
    share = area_average(area.astype(float), cells.shape)
    assert (found[share < 1e-6] == 0).all()
    whole = share > 1 - 1e-6
    np.testing.assert_allclose(
        found[whole].mean(), to_display(cells[26:75, 20:60], Intensity(bits_stored=12)).mean(), atol=1e-6
    )


def test_a_film_of_one_value_inside_its_area_is_blank() -> None:
    cells = noise(128, 128, 12)
    area = np.zeros(cells.shape, bool)
    area[32:96, 32:96] = True
    cells[area] = 7
    with pytest.raises(FilmError) as raised:
        to_display(cells, Intensity(bits_stored=12), area=area, max_side=64)
    assert raised.value.reason is Reason.BLANK


def test_percentiles_do_not_depend_on_max_side() -> None:
    cells = noise(512, 512, 14)
    cells[:4] = 16383
    intensity = Intensity(bits_stored=14)
    full, small = to_display(cells, intensity), to_display(cells, intensity, max_side=128)
    np.testing.assert_allclose(small, cv2.resize(full, (128, 128), interpolation=cv2.INTER_AREA), atol=1e-6)


def test_shrink() -> None:
    picture = np.random.default_rng(3).random((301, 200)).astype(np.float32)
    np.testing.assert_allclose(shrink(picture, 100), area_average(picture, (100, 66)), atol=2e-6)
    even = np.ascontiguousarray(picture[:300, :198])
    np.testing.assert_allclose(shrink(even, 100), even.reshape(100, 3, 66, 3).mean((1, 3)), atol=2e-6)
    assert shrink(picture, None) is picture
    assert shrink(picture, 301) is picture
