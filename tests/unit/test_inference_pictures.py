"""Heat maps lie where the finding is, and peaks are in stored pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from models.explain import enlarge_maps
from pipelines.evaluation.predictions import heatmap_file, maps_file
from pipelines.heatmaps import enlarged, film_part, lay_over, write_pictures
from pipelines.imaging import Orientation, Placement, to_longest, to_square
from pipelines.inference.picture_jobs import film_maps
from pipelines.inference.placement import stored_peaks

SHAPES = [(300, 300), (400, 250), (250, 400), (1000, 130)]


def centre_of_mass(picture):
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return (x * picture).sum() / picture.sum(), (y * picture).sum() / picture.sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_map_made_from_the_film_lies_on_the_film(shape):
    """A bright square goes through the network's placement and back: it must come to lie on itself."""
    rows, columns = shape
    film = np.zeros(shape, np.float32)
    film[rows // 5 : rows // 5 + 40, columns // 2 : columns // 2 + 30] = 1.0
    picture = to_longest(film, 512)
    back = film_part(to_square(film, 160), Placement.fit(*shape, 160), picture.shape)
    assert back.shape == picture.shape
    expected = centre_of_mass(picture)
    # One pixel of the square input is 3.2 pixels of the picture; the centre must agree to a fraction of that.
    np.testing.assert_allclose(centre_of_mass(back), expected, atol=1.0)
    assert np.corrcoef(back.ravel(), picture.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_peak_is_in_stored_pixels(shape):
    rows, columns = shape
    x_true, y_true = columns * 0.7, rows * 0.3
    film = np.zeros(shape, np.float32)
    y, x = np.mgrid[:rows, :columns] + 0.5
    film[:] = np.exp(-((x - x_true) ** 2 + (y - y_true) ** 2) / (2 * 20.0**2))
    maps = torch.from_numpy(to_square(film, 160))[None, None]
    peaks = stored_peaks(maps, [Placement.fit(*shape, 160)])
    pixel = max(shape) / 160
    np.testing.assert_allclose(peaks[0, 0], (x_true, y_true), atol=pixel)


@pytest.mark.parametrize("turns", [(t, r, c) for t in (False, True) for r in (False, True) for c in (False, True)])
def test_peak_of_a_turned_film_is_in_stored_pixels(turns):
    orientation = Orientation(*turns)
    stored = np.zeros((300, 200), np.float32)
    stored[60, 150] = 1.0
    place = Placement.fit(300, 200, 300, orientation)
    maps = torch.from_numpy(to_square(np.ascontiguousarray(orientation.apply(stored)), place))[None, None]
    np.testing.assert_allclose(stored_peaks(maps, [place])[0, 0], (150.5, 60.5), atol=1e-6)


def test_peak_on_the_background_does_not_count():
    maps = torch.full((1, 1, 8, 8), -5.0)
    maps[0, 0, 4, 0] = 9.0  # left of a film that is half as wide as the square
    maps[0, 0, 4, 3] = 1.0
    np.testing.assert_allclose(stored_peaks(maps, [Placement.fit(800, 400, 64)]), [[[150.0, 450.0]]])


def test_peak_of_a_film_thinner_than_a_cell_stays_on_it():
    maps = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(3))
    peaks = stored_peaks(maps, [Placement.fit(6400, 64, 64)])
    assert ((peaks >= 0) & (peaks <= (64, 6400))).all()


def test_overlay_leaves_the_film_alone_where_the_map_is_zero():
    film = np.random.default_rng(1).integers(0, 256, (40, 30), dtype=np.uint8)
    probabilities = np.zeros((40, 30), np.float32)
    probabilities[:20] = 1.0
    overlay = lay_over(film, probabilities)
    np.testing.assert_array_equal(overlay[20:], np.repeat(film[20:, :, None], 3, axis=2))
    # At probability 1 the film still shows through: 40 % of its contrast is left.
    shade = np.polyfit(film[:20].ravel().astype(float), overlay[:20, :, 0].ravel().astype(float), 1)
    np.testing.assert_allclose(shade[0], 0.4, atol=0.01)


def test_peak_is_marked_only_where_flagged(tmp_path):
    picture = np.full((512, 256), 90, np.uint8)
    row = {"image_id": "a/b", "flag_tb": True, "peak_x_tb": 500.0, "peak_y_tb": 1000.0, "flag_nodule": False}
    cells = np.zeros((2, 8, 8), np.float32)
    place = Placement.fit(2000, 1000, 64)
    write_pictures(film_maps(tmp_path, row, cells, ("tb", "nodule"), place), picture)
    names = [heatmap_file("a/b", layer) for layer in ("film", "tb", "nodule")] + [maps_file("a/b")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    np.testing.assert_array_equal(np.load(tmp_path / maps_file("a/b")), cells)
    film, tb, nodule = (
        np.asarray(Image.open(tmp_path / heatmap_file("a/b", layer)).convert("RGB"))
        for layer in ("film", "tb", "nodule")
    )
    np.testing.assert_array_equal(film, np.repeat(picture[..., None], 3, axis=2))
    np.testing.assert_array_equal(nodule, film)
    y, x = np.nonzero((tb != film).any(axis=2))
    np.testing.assert_allclose(((x.min() + x.max()) / 2, (y.min() + y.max()) / 2), (128, 256), atol=0.5)


def test_maps_are_enlarged_as_pytorch_does():
    logits = torch.randn(1, 1, 7, 5, generator=torch.Generator().manual_seed(1))
    ours = enlarged(torch.sigmoid(logits[0, 0]).numpy(), 64)
    np.testing.assert_allclose(ours, enlarge_maps(logits, 64)[0, 0], atol=1e-5)
