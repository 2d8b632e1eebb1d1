"""Films judged from the picture alone: phantoms as they are, negated, turned, cut, framed and written upon."""

import tracemalloc

import cv2
import numpy as np
import pytest

from pipelines.errors import Reason
from pipelines.imaging import read_radiograph
from pipelines.imaging.chest_shape import read_chest
from pipelines.imaging.display import shrink
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.picture import examine, looks_inverted, require_picture
from pipelines.phantom import generate_phantoms

FILMS = 12
Pixels = np.ndarray


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Pixels]:
    """Phantoms of another seed than those the weights were fitted on, their longer side 1024 pixels."""
    out = tmp_path_factory.mktemp("phantoms")
    generate_phantoms(out, films=FILMS, seed=4, workers=1)
    return [shrink(read_radiograph(path).pixels, 1024) for path in sorted(out.glob("*/*.dcm"))]


def noise(rows: int, columns: int, mean: float, spread: float) -> Pixels:
    values = np.random.default_rng(3).normal(mean, spread, (rows, columns))
    return np.clip(values, 0, 1).astype(np.float32)


def framed(film: Pixels, value: float, width: int) -> Pixels:
    return np.pad(film, width, constant_values=value).astype(np.float32)


def marked(film: Pixels) -> Pixels:
    return written(film, "L", (30, 60), 1.5, 1.0)


def written(film: Pixels, text: str, place: tuple[int, int], scale: float, ink: float) -> Pixels:
    stencil = np.zeros(film.shape, np.uint8)
    cv2.putText(stencil, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255,), round(3 * scale))
    return np.where(stencil > 127, np.float32(ink), film)


def gradient(low: float, high: float) -> Pixels:
    return np.tile(np.linspace(low, high, 512, dtype=np.float32), (400, 1))


@pytest.mark.parametrize(
    ("film", "reason"),
    [
        (np.zeros((64, 64), np.float32), Reason.BLANK),
        (np.full((512, 400), 0.4, np.float32), Reason.BLANK),
        (framed(np.ones((400, 300), np.float32), 0, 60), Reason.BLANK),
        ((noise(512, 512, 0.5, 0.1) > 0.8).astype(np.float32), Reason.BLANK),
        (np.where(noise(512, 512, 0.5, 0.2) > 0.99, noise(512, 512, 0.5, 0.2), 1).astype(np.float32), Reason.BLANK),
        (noise(512, 512, 0.5, 0.05), Reason.NO_CONTRAST),
        (noise(64, 64, 0.5, 0.01), Reason.NO_CONTRAST),
        (marked(np.full((512, 400), 0.3, np.float32)), Reason.NO_CONTRAST),
        (marked(noise(512, 400, 0.3, 0.05)), Reason.NO_CONTRAST),
        (framed(noise(400, 300, 0.9, 0.02), 0, 60), Reason.NO_CONTRAST),
        (gradient(0.5, 0.53), Reason.NO_CONTRAST),
    ],
)
def test_nothing_imaged(film: Pixels, reason: Reason) -> None:
    with pytest.raises(FilmError) as caught:
        require_picture(film)
    assert caught.value.reason is reason


def test_films_show_something(phantoms: list[Pixels]) -> None:
    for film in phantoms:
        require_picture(film)
        require_picture(0.5 + film / 8)  # an eighth of the grey scale


def test_negatives(phantoms: list[Pixels]) -> None:
    assert not any(looks_inverted(film) for film in phantoms)
    assert sum(looks_inverted(1 - film) for film in phantoms) >= FILMS - 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned(phantoms: list[Pixels], turns: int) -> None:
    """`np.rot90` turns counter-clockwise, so as many clockwise turns bring the film back."""
    found = [examine(np.rot90(film, turns)).rotation_degrees for film in phantoms]
    assert set(found) <= {0, 90 * turns}
    assert found.count(90 * turns) >= FILMS * 0.75
    assert not any(looks_inverted(np.rot90(film, turns)) for film in phantoms)


def test_upright(phantoms: list[Pixels]) -> None:
    found = [examine(film) for film in phantoms]
    assert {quality.rotation_degrees for quality in found} == {0}
    assert not any(quality.low_contrast or quality.inverted for quality in found)
    assert sum(quality.cropped for quality in found) <= 1
    assert examine(phantoms[0], inverted=True).inverted


def test_reading_ignores_grey_scale(phantoms: list[Pixels]) -> None:
    """Ranks carry the decision: a gamma or a narrower window changes scores by a quantising error only."""
    for film in phantoms:
        plain, dark = read_chest(shrink(film, 256)), read_chest(0.2 + 0.5 * shrink(film, 256) ** 1.3)
        assert dark.turns == plain.turns
        assert dark.negative == plain.negative
        assert dark.score == pytest.approx(plain.score, abs=0.5)


def test_cut_through_a_lung(phantoms: list[Pixels]) -> None:
    """A phantom's right lung lies in the left half of the film; the cut takes half of its width away."""
    flagged = 0
    for film in phantoms:
        reading = read_chest(shrink(film, 256))
        columns = np.flatnonzero(reading.lungs.max(0) > 0.5)
        edge = int((columns[0] + (columns[-1] - columns[0]) * 0.2) / 32 * max(film.shape))
        edge -= (max(film.shape) - film.shape[1]) // 2  # the picture is fitted into the middle of a square
        flagged += examine(film[:, max(edge, 0) :]).cropped
    assert flagged >= FILMS // 2


@pytest.mark.parametrize("size", [(80, 96), (427, 512)])
def test_shading_is_no_chest(size: tuple[int, int]) -> None:
    """Slow waves can lie like lungs; without any detail they are not taken for them."""
    y, x = np.mgrid[0:96, 0:80]
    waves = (0.5 + 0.2 * np.sin(x / 9) + 0.2 * np.cos(y / 13)).astype(np.float32)
    film = np.asarray(cv2.resize(waves, size))
    assert read_chest(film).score > 6
    for turned in (film, film[::-1, ::-1], film[:, ::-1], np.rot90(film)):
        assert not looks_inverted(turned)
        assert not looks_inverted(1 - turned)
        assert examine(turned).rotation_degrees == 0


def test_low_contrast(phantoms: list[Pixels]) -> None:
    assert all(examine(0.3 + 0.25 * film).low_contrast for film in phantoms)
    assert not any(examine(0.3 + 0.7 * film).low_contrast for film in phantoms)


@pytest.mark.parametrize("value", [0.0, 0.6, 1.0])
def test_border_share(value: float) -> None:
    """Against the drawn share, within a pixel of the thumbnail on each side."""
    y, x = np.mgrid[0:400, 0:300]
    inside = (0.5 + 0.2 * np.sin(x / 9) + 0.2 * np.cos(y / 13)).astype(np.float32)
    drawn = 1 - inside.size / framed(inside, value, 50).size
    assert examine(framed(inside, value, 50)).border == pytest.approx(drawn, abs=0.02)
    assert examine(inside).border == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("turns", [0, 1])
@pytest.mark.parametrize("bright", [True, False])
def test_text_area(turns: int, *, bright: bool) -> None:
    """Against the bounding box of what OpenCV drew, level and upright."""
    base = np.full((512, 512), 0.2 if bright else 0.8, np.float32)
    base += 0.1 * np.sin(np.mgrid[0:512, 0:512][1] / 20).astype(np.float32)
    film = written(base, "PORTABLE", (60, 100), 0.6, 1.0 if bright else 0.0)
    rows, columns = np.nonzero(film != base)
    drawn = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / film.size
    assert examine(np.rot90(film, turns)).text_area == pytest.approx(drawn, rel=0.25)
    assert examine(np.rot90(base, turns)).text_area == 0


@pytest.mark.parametrize("ink", [0.0, 0.3, 1.0])
def test_redaction_boxes(ink: float) -> None:
    """Pure white and pure black rectangles count, a grey one does not."""
    y, x = np.mgrid[0:512, 0:420]
    film = (0.5 + 0.2 * np.sin(x / 40) + 0.2 * np.cos(y / 60)).astype(np.float32)
    assert examine(film).text_area == 0
    film[300:340, 200:300] = ink
    expected = 0 if ink == 0.3 else 40 * 100 / film.size
    assert examine(film).text_area == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("shape", [(64, 64), (64, 4000), (4000, 64), (65, 700)])
def test_odd_shapes(shape: tuple[int, int]) -> None:
    for film in (noise(*shape, 0.5, 0.25), np.tile(np.linspace(0, 1, shape[1], dtype=np.float32), (shape[0], 1))):
        quality = examine(film)
        assert quality.rotation_degrees == 0
        assert 0 <= quality.text_area <= 1
        assert 0 <= quality.border < 1
        assert not looks_inverted(film)
        assert not looks_inverted(1 - film)
        assert examine(film) == quality


def test_reduced_decoding_decides_alike(phantoms: list[Pixels]) -> None:
    for film in phantoms:
        whole = examine(film)
        for longest in (256, 512):
            small = examine(shrink(film, longest))
            assert (small.rotation_degrees, small.cropped, small.low_contrast) == (
                whole.rotation_degrees,
                whole.cropped,
                whole.low_contrast,
            )
            assert looks_inverted(1 - shrink(film, longest)) == looks_inverted(1 - film)


def test_input_is_left_alone(phantoms: list[Pixels]) -> None:
    """No judgement writes into a film, nor copies one at full size."""
    film = np.tile(phantoms[0], (4, 4))
    before = film.copy()
    tracemalloc.start()
    examine(film)
    require_picture(film)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(film, before)
    assert peak < film.nbytes / 2
