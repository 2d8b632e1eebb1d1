"""Films made alike: nothing where all is off, and for each switch what it promises, against what is known."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from models.package import compute_model_id, load_package, save_package
from pipelines.decoding import DecodeRequest, read_film
from pipelines.errors import PackageError
from pipelines.heatmaps import film_part, on_whole_film
from pipelines.imaging import Orientation, Placement, read_radiograph, to_square
from pipelines.imaging.harmonise import Harmonisation, film_landmarks, harmonise
from pipelines.imaging.harmonise.intensity import PERCENTILES, STANDARD, standardise
from pipelines.imaging.harmonise.lungs import find_lungs
from pipelines.imaging.picture_marks import content_box
from pipelines.inference.placement import stored_peaks
from pipelines.inference.predictor import Predictor, decode_request
from pipelines.phantom.anatomy import build_anatomy
from pipelines.phantom.dicom_file import write_film
from pipelines.phantom.film import render_film
from pipelines.phantom.plan import plan_film
from tests.inference_films import tiny_package, write_png

SIZE = 96


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom") / "film.dcm"
    write_film(render_film(plan_film(7, 2)), path)
    return path


@pytest.fixture(scope="module")
def chest(phantom: Path) -> np.ndarray:
    """A film without borders or pure black and white, 256 x 256."""
    film = read_radiograph(phantom, max_side=320).pixels
    top, bottom, left, right = content_box(film)
    inner = np.ascontiguousarray(film[top + 4 : bottom - 4, left + 4 : right - 4])
    return np.clip(np.asarray(cv2.resize(inner, (256, 256), interpolation=cv2.INTER_AREA)), 0.05, 0.95)


def saved(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(path)
    return path


def shown(path: Path, **settings) -> np.ndarray:
    return read_film(path, DecodeRequest(SIZE, harmonisation=Harmonisation(**settings))).square


def test_with_every_switch_off_no_pixel_changes(phantom: Path, tmp_path: Path) -> None:
    assert Harmonisation().changes_nothing
    for path in (phantom, write_png(tmp_path / "film.png", 3)):
        film = read_film(path, DecodeRequest(SIZE))
        plain = read_radiograph(path, max_side=SIZE)
        place = Placement.fit(plain.facts.rows, plain.facts.columns, SIZE, plain.orientation)
        np.testing.assert_array_equal(film.square, to_square(plain.pixels, place))
        assert (film.placement, film.lungs_found) == (place, None)
        np.testing.assert_array_equal(shown(path), film.square)


def test_a_model_without_harmonisation_keeps_its_id_and_one_with_it_has_its_own(tmp_path: Path) -> None:
    package = tiny_package(tmp_path / "plain")
    digest = hashlib.sha256()
    calibration = {"tb": {"temperature": 4.0, "offset": -1.0}, "nodule": {"temperature": 4.0, "offset": -1.0}}
    contract = {"architecture": package.architecture.to_json(), "calibration": calibration}
    digest.update(json.dumps(contract, sort_keys=True).encode())
    for name in sorted(package.weights):
        tensor = package.weights[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    assert package.model_id == digest.hexdigest()[:16]  # the rule before there was harmonisation
    assert "harmonisation" not in json.loads((tmp_path / "plain" / "model.json").read_text())["input"]
    assert decode_request(load_package(tmp_path / "plain")).harmonisation is None
    others = [Harmonisation(border="crop"), Harmonisation(border="mask"), Harmonisation(resolution=128)]
    parts = package.weights, package.architecture, package.calibration
    ids = {compute_model_id(*parts, harmonisation=one.to_json()) for one in others}
    assert len(ids | {package.model_id}) == 4


def harmonised_package(folder: Path, settings: Harmonisation):
    plain = tiny_package(folder / "plain")
    fields = {name: getattr(plain, name) for name in ("name", "architecture", "weights", "calibration", "provenance")}
    package = type(plain)(**fields, harmonisation=settings.to_json())
    save_package(package, folder / "package", card="a test package\n")
    return package


def test_the_settings_come_back_with_the_package_and_are_used(phantom: Path, tmp_path: Path) -> None:
    settings = Harmonisation(lung_field="crop", intensity="site", sites={"a": tuple(np.linspace(0.2, 0.7, 11))})
    package = harmonised_package(tmp_path, settings)
    again = load_package(tmp_path / "package")
    assert again.model_id == package.model_id
    assert decode_request(again, site="a") == DecodeRequest(
        64, use=decode_request(again).use, harmonisation=settings, site="a"
    )
    with pytest.raises(PackageError, match=r"site 'b': model .* expects one of a"):
        Predictor.from_package(tmp_path / "package", device="cpu", site="b")
    blank = saved(tmp_path / "noise.png", np.random.default_rng(1).normal(0.5, 0.15, (150, 120)))
    table = Predictor.from_package(tmp_path / "package", device="cpu", site="a")([phantom, blank])
    network = package.build()
    square = read_film(phantom, DecodeRequest(64, harmonisation=settings, site="a")).square
    with torch.inference_mode():
        logit = network(torch.from_numpy(square)[None, None]).logits[0, 0].double().numpy()
    assert table["p_tb"][0] == pytest.approx(float(1 / (1 + np.exp(-(logit / 4.0 - 1.0)))), abs=1e-6)
    assert table["detail"][0] is None
    assert "the whole film was scored" in table["detail"][1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"border": "cut"}, "harmonisation.border: found 'cut', expected none, mask, crop"),
        ({"resolution": 10}, "harmonisation.resolution: found 10"),
        ({"lung_margin": "wide"}, "harmonisation.lung_margin: found 'wide'"),
        ({"sites": {"a": [0.5]}}, "harmonisation.sites: 'a' has no 11 landmarks"),
        ({"sharpen": True}, "harmonisation.sharpen: this version does not know it"),
    ],
)
def test_settings_that_cannot_be_used_are_named(values: dict, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        Harmonisation.from_json(values)


@pytest.mark.parametrize("turns", [(False, False, False), (True, False, True), (False, True, True)])
def test_a_crop_is_carried_there_and_back(turns: tuple[bool, bool, bool]) -> None:
    place = Placement.fit(300, 200, 128, Orientation(*turns), (20.0, 30.0, 130.0, 180.0))
    stored = np.random.default_rng(0).uniform(0, 200, (50, 2))
    x, y = place.to_square(stored[:, 0], stored[:, 1])
    np.testing.assert_allclose(np.stack(place.to_stored(x, y), 1), stored, atol=1e-9)
    corners = place.to_stored(float(place.left), float(place.top))
    rows, columns = 300, 200
    upright = place.orientation.to_upright(*corners, rows=rows, columns=columns)
    np.testing.assert_allclose(upright, (20, 30))


def test_boxes_peaks_and_maps_of_a_cropped_film_land_on_the_film() -> None:
    film = np.zeros((400, 300), np.float32)
    film[120:160, 200:230] = 1
    crop = (90.0, 60.0, 260.0, 330.0)
    place = Placement.fit(400, 300, 128, crop=crop)
    square = to_square(np.ascontiguousarray(film[60:330, 90:260]), place)
    x0, y0, x1, y1 = place.box_to_square((200, 120, 230, 160))
    inside = square[round(y0) : round(y1), round(x0) : round(x1)]
    assert inside.mean() > 0.9
    assert square.sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.02)
    peak = stored_peaks(torch.from_numpy(cv2.GaussianBlur(square, (0, 0), 5))[None, None], [place])[0, 0]
    np.testing.assert_allclose(peak, (215, 140), atol=5)
    back = film_part(on_whole_film(square[None], place)[0], place.whole, film.shape)
    assert np.corrcoef(back.ravel(), film.ravel())[0, 1] > 0.9
    y, x = np.mgrid[:400, :300] + 0.5
    np.testing.assert_allclose([(x * back).sum() / back.sum(), (y * back).sum() / back.sum()], (215, 140), atol=1.5)


def test_landmarks_are_percentiles_and_come_to_lie_on_the_standard_scale(chest: np.ndarray) -> None:
    chest = chest[30:200, 50:200]  # without air, whose one grey value is several percentiles at once
    marks = film_landmarks(chest)
    np.testing.assert_allclose(marks, np.percentile(chest, PERCENTILES), atol=1e-6)
    done = standardise(chest, marks)
    np.testing.assert_allclose(np.percentile(done, PERCENTILES), STANDARD, atol=5e-3)
    order = np.argsort(chest, axis=None, kind="stable")
    assert (np.diff(done.ravel()[order]) >= -1e-6).all()
    clipped = standardise(np.where(chest > 0.5, np.float32(1), np.float32(0)), film_landmarks(chest > 0.5))
    assert np.isfinite(clipped).all()
    assert (clipped.min(), clipped.max()) == (0, 1)


def test_exposure_and_contrast_of_a_film_no_longer_tell_where_it_is_from(chest: np.ndarray) -> None:
    other = np.asarray(0.15 + 0.6 * chest**1.8, dtype=np.float32)
    before = np.abs(other - chest).mean()
    settings = Harmonisation(intensity="film")
    after = np.abs(harmonise(other, settings).pixels - harmonise(chest, settings).pixels).mean()
    assert before > 0.05
    assert after < before / 8


@pytest.mark.parametrize("ends", [((0, 0, 0), (255, 214, 160)), ((30, 0, 12), (200, 255, 180))])
def test_a_tinted_and_an_untinted_copy_become_equal(ends, chest: np.ndarray, tmp_path: Path) -> None:
    chest = np.clip((chest - np.percentile(chest, 1)) / np.ptp(np.percentile(chest, (1, 99))), 0, 1)
    low, high = (np.array(end) / 255 for end in ends)
    plain, tinted = saved(tmp_path / "p.png", chest), saved(tmp_path / "t.png", low + chest[..., None] * (high - low))
    assert np.abs(shown(tinted, colour="luma") - shown(plain)).max() > 0.08
    assert np.abs(shown(tinted, colour="remove") - shown(plain, colour="remove")).max() < 4 / 255
    np.testing.assert_array_equal(shown(plain, colour="remove"), shown(plain))


def test_a_curved_tint_needs_the_standard_scale_too(chest: np.ndarray, tmp_path: Path) -> None:
    plain = saved(tmp_path / "p.png", chest)
    tinted = saved(tmp_path / "t.png", np.stack([chest**1.6, chest, chest**0.6], axis=-1))
    both = {"colour": "remove", "intensity": "film"}
    before = np.abs(shown(tinted, colour="remove") - shown(plain)).mean()
    assert np.abs(shown(tinted, **both) - shown(plain, **both)).mean() < min(before, 0.01)


def test_a_sharp_film_cannot_be_told_from_its_blurred_copy(chest: np.ndarray, tmp_path: Path) -> None:
    large = cv2.resize(chest, (512, 512)) + np.random.default_rng(0).normal(0, 0.08, (512, 512))
    sharp = saved(tmp_path / "sharp.png", large)
    exact = np.asarray(Image.open(sharp), np.float64).reshape(128, 4, 128, 4).mean((1, 3)) / 255
    blurred = saved(tmp_path / "blurred.png", exact)
    request = DecodeRequest(160)
    assert np.abs(read_film(sharp, request).square - read_film(blurred, request).square).mean() > 0.01
    alike = DecodeRequest(160, harmonisation=Harmonisation(resolution=128))
    assert np.abs(read_film(sharp, alike).square - read_film(blurred, alike).square).max() < 2.5 / 255


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_frame_is_cut_off_or_painted_black_and_the_film_is_kept(level: float, chest: np.ndarray) -> None:
    framed = np.full((chest.shape[0] + 60, chest.shape[1] + 40), level, np.float32)
    framed[20:-40, 25:-15] = np.clip(chest, 0.05, 0.95)
    cut = harmonise(framed, Harmonisation(border="crop"))
    rows, columns = framed.shape
    assert cut.crop is not None
    expected = np.array([25 / columns, 20 / rows, 1 - 15 / columns, 1 - 40 / rows])
    np.testing.assert_allclose(cut.crop, expected, atol=0.03)
    masked = harmonise(framed, Harmonisation(border="mask"))
    assert masked.pixels.shape == framed.shape
    assert masked.crop is None
    assert (masked.pixels[:18] == 0).all()
    assert (masked.pixels[:, -13:] == 0).all()


def test_boxes_and_letters_are_filled_in_and_the_rest_stays_to_the_bit(chest: np.ndarray) -> None:
    clean = np.ascontiguousarray(cv2.resize(np.clip(chest, 0.1, 0.8), (480, 480)))
    marked = clean.copy()
    marked[400:440, 120:260] = 1.0
    marked[440:460, 200:300] = 1.0  # touches the first: together they are no rectangle
    ink = cv2.putText(np.zeros(clean.shape, np.uint8), "ABCDEF", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (1,), 2)
    marked[ink > 0] = 1.0
    settings = Harmonisation(border="mask")
    done, plain = harmonise(marked, settings).pixels, harmonise(clean, settings).pixels
    added = np.abs(marked - clean) > 0.02
    assert np.abs(marked - clean)[added].mean() > 0.2
    assert np.abs(done - plain)[added].mean() < 0.1
    far = cv2.dilate(added.astype(np.uint8), np.ones((25, 25), np.uint8)) == 0
    np.testing.assert_array_equal(done[far], plain[far])


def test_the_lungs_of_phantoms_are_found_and_kept(tmp_path: Path) -> None:
    for index in (2, 5):
        plan = plan_film(7, index)
        write_film(render_film(plan), tmp_path / f"{index}.dcm")
        film = read_radiograph(tmp_path / f"{index}.dcm", max_side=256)
        lungs = build_anatomy(plan).inside_lung > 0.5
        cut = harmonise(film.pixels, Harmonisation(lung_field="crop"))
        assert cut.lungs_found
        assert cut.crop is not None
        x0, y0, x1, y1 = cut.crop
        rows, columns = lungs.shape
        kept = lungs[round(y0 * rows) : round(y1 * rows), round(x0 * columns) : round(x1 * columns)].sum() / lungs.sum()
        high, wide = np.flatnonzero(lungs.any(1)), np.flatnonzero(lungs.any(0))
        box = np.ptp(high) / rows * np.ptp(wide) / columns
        assert kept > 0.9
        assert (x1 - x0) * (y1 - y0) < 1.35 * box
        masked = harmonise(film.pixels, Harmonisation(lung_field="mask"))
        assert masked.pixels.shape == film.pixels.shape
        assert np.count_nonzero(masked.pixels) <= 1.01 * cut.pixels.size


def test_where_there_are_no_lungs_the_whole_film_is_kept_and_said() -> None:
    noise = np.random.default_rng(0).uniform(0.1, 0.9, (200, 180)).astype(np.float32)
    assert find_lungs(noise) is None
    film = harmonise(noise, Harmonisation(lung_field="crop"))
    assert film.lungs_found is False
    assert film.crop is None
    np.testing.assert_array_equal(film.pixels, noise)
