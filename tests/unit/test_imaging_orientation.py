"""Turning films upright, held against hand-made pictures and the corners of the film."""

import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines.imaging.geometry import Placement
from pipelines.imaging.orientation import UPRIGHT, Orientation

ALL = [Orientation(*turns) for turns in itertools.product((False, True), repeat=3)]

# An upright frontal film: patient's right on the left of the picture, head above.
#   R-head  L-head
#   R-foot  L-foot
HEAD_RIGHT, HEAD_LEFT, FOOT_RIGHT, FOOT_LEFT = 1, 2, 3, 4
UPRIGHT_FILM = np.array([[HEAD_RIGHT, HEAD_LEFT], [FOOT_RIGHT, FOOT_LEFT]])
STORED = {
    ("L", "F"): [[1, 2], [3, 4]],
    ("R", "F"): [[2, 1], [4, 3]],
    ("L", "H"): [[3, 4], [1, 2]],
    ("R", "H"): [[4, 3], [2, 1]],
    ("F", "L"): [[1, 3], [2, 4]],
    ("F", "R"): [[2, 4], [1, 3]],
    ("H", "L"): [[3, 1], [4, 2]],
    ("H", "R"): [[4, 2], [3, 1]],
}


@pytest.mark.parametrize("directions", STORED)
def test_patient_orientation_is_undone(directions: tuple[str, str]) -> None:
    orientation = Orientation.of_patient(directions)
    np.testing.assert_array_equal(orientation.apply(np.array(STORED[directions])), UPRIGHT_FILM)


@pytest.mark.parametrize("directions", [None, ("", ""), ("L", "L"), ("A", "P"), ("F", "H"), ("X", "F"), ("L", "")])
def test_nonsense_turns_nothing(directions: tuple[str, str] | None) -> None:
    assert Orientation.of_patient(directions) == UPRIGHT


def test_a_lateral_film_is_put_on_its_feet_only() -> None:
    assert Orientation.of_patient(("A", "F")) == UPRIGHT
    assert Orientation.of_patient(("P", "F")) == UPRIGHT
    assert Orientation.of_patient(("P", "H")) == Orientation(rows_flipped=True)


def test_oblique_directions_follow_their_first_letter() -> None:
    assert Orientation.of_patient(("RH", "FL")) == Orientation(columns_flipped=True)


@pytest.mark.parametrize("value", range(1, 9))
def test_exif_is_undone_as_pillow_does(value: int) -> None:
    stored = np.arange(12, dtype=np.uint8).reshape(3, 4)
    picture = Image.fromarray(stored)
    picture.getexif()[0x0112] = value
    np.testing.assert_array_equal(
        Orientation.of_exif(value).apply(stored), np.asarray(ImageOps.exif_transpose(picture))
    )


def test_each_has_a_number_of_its_own() -> None:
    assert sorted(orientation.exif for orientation in ALL) == list(range(1, 9))
    assert all(Orientation.of_exif(orientation.exif) == orientation for orientation in ALL)
    assert UPRIGHT.exif == 1


@pytest.mark.parametrize("orientation", ALL)
def test_coordinates_follow_the_pixels(orientation: Orientation) -> None:
    rows, columns = 5, 7
    stored = np.arange(rows * columns).reshape(rows, columns)
    upright = orientation.apply(stored)
    assert upright.shape == orientation.shape(rows, columns)
    for row, column in np.ndindex(rows, columns):
        x, y = orientation.to_upright(column + 0.5, row + 0.5, rows=rows, columns=columns)
        assert upright[int(y), int(x)] == stored[row, column]
        assert orientation.to_stored(x, y, rows=rows, columns=columns) == (column + 0.5, row + 0.5)


@pytest.mark.parametrize("orientation", ALL)
def test_boxes_and_points_of_a_turned_film(orientation: Orientation) -> None:
    place = Placement.fit(300, 200, 150, orientation)
    x0, y0, x1, y1 = place.box_to_square((20.0, 30.0, 80.0, 60.0))
    assert x0 < x1
    assert y0 < y1
    assert (x1 - x0) * (y1 - y0) == pytest.approx(60 * 30 / 4)
    corners = {place.to_square(x, y) for x in (20.0, 80.0) for y in (30.0, 60.0)}
    assert {(x0, y0), (x1, y0), (x0, y1), (x1, y1)} == corners
    assert place.to_stored(*place.to_square(33.0, 44.0)) == pytest.approx((33.0, 44.0))
