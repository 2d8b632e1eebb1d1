"""Real radiographs: read, plausible, bone white."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.imaging import hamming, pixel_hash, read_facts, read_radiograph, to_longest

pytestmark = pytest.mark.realdata


def centre_is_brighter_than_lungs(pixels: np.ndarray) -> bool:
    """Mediastinum and spine against the lung fields beside them, in the upper half of a frontal film."""
    rows, columns = pixels.shape
    band = pixels[int(0.3 * rows) : int(0.5 * rows)].mean(0)
    spine = band[int(0.44 * columns) : int(0.56 * columns)].mean()
    lungs = (
        band[int(0.2 * columns) : int(0.35 * columns)].mean() + band[int(0.65 * columns) : int(0.8 * columns)].mean()
    ) / 2
    return bool(spine > lungs)


@pytest.mark.parametrize("name", ["RG1_JLSN.dcm", "nih_dx_implicit_vr.dcm"])
def test_dicom(real_data: Path, name: str) -> None:
    film = read_radiograph(real_data / "dicom" / name)
    assert centre_is_brighter_than_lungs(film.pixels)
    assert film.facts == read_facts(real_data / "dicom" / name)
    assert film.pixel_spacing_mm is None
    assert film.pixels.std() > 0.1


def test_near_lossless_rg1_is_the_packaged_film(real_data: Path) -> None:
    data_store = pytest.importorskip("data_store", reason="the package pydicom-data is not installed")
    original = read_radiograph(Path(data_store.__file__).parent / "data" / "RG1_UNCR.dcm")
    near = read_radiograph(real_data / "dicom" / "RG1_JLSN.dcm")
    assert np.abs(near.pixels - original.pixels).max() <= 4.01 / 29999
    assert hamming(pixel_hash(near.pixels), pixel_hash(original.pixels)) == 0


def test_nih_pictures(real_data: Path) -> None:
    paths = sorted((real_data / "nih_cxr14" / "images").glob("*.png"))[::12]
    assert len(paths) > 50
    bright = 0
    for path in paths:
        film = read_radiograph(path)
        expected = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        grey = expected if expected.ndim == 2 else expected[..., :3].mean(-1)
        np.testing.assert_allclose(film.pixels, grey / 255, atol=1e-6)
        bright += centre_is_brighter_than_lungs(film.pixels)
    assert bright / len(paths) > 0.9


def test_qatar_pictures(real_data: Path) -> None:
    folder = real_data / "qatar_tb" / "TB_Chest_Radiography_Database"
    for path in sorted(folder.rglob("*.png"))[::50]:
        film = read_radiograph(path)
        rgb = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_allclose(film.pixels, rgb @ np.array([0.299, 0.587, 0.114]) / 255, atol=1e-6)


def test_hashes_tell_films_apart(real_data: Path) -> None:
    """A smaller copy of a film is within 4 bits of it, and another film hardly ever is."""
    paths = sorted((real_data / "nih_cxr14" / "images").glob("*.png"))[::12]
    films = [read_radiograph(path).pixels for path in paths]
    keys = [pixel_hash(pixels) for pixels in films]
    copies = [pixel_hash(np.round(to_longest(pixels, 299) * 255).astype(np.float32) / 255) for pixels in films]
    assert max(hamming(a, b) for a, b in zip(keys, copies, strict=True)) <= 4
    distances = [hamming(a, b) for n, a in enumerate(keys) for b in keys[:n]]
    assert np.mean(np.array(distances) <= 4) < 0.001
