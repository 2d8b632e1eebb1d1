"""Shutters and collimators: masks drawn by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.imaging import tags
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.elements import Element, Elements
from pipelines.imaging.shutter import film_area
from tests.unit.dicom_films import film, ramp, write

ROWS, COLUMNS = 80, 64


def area(tmp_path: Path, shape: tuple[int, int] | None = None, **attributes: Any) -> np.ndarray | None:
    path = write(tmp_path / "film.dcm", film(ramp(12, ROWS, COLUMNS), bits_stored=12, **attributes))
    with path.open("rb") as stream:
        header = DicomFile.parse(stream, path.stat().st_size, tags.DISPLAY).header
    return film_area(header, (ROWS, COLUMNS), shape)


def rectangle(left: int, right: int, upper: int, lower: int, module: str = "Shutter") -> dict[str, Any]:
    return {
        f"{module}Shape": "RECTANGULAR",
        f"{module}LeftVerticalEdge": left,
        f"{module}RightVerticalEdge": right,
        f"{module}UpperHorizontalEdge": upper,
        f"{module}LowerHorizontalEdge": lower,
    }


def box(left: int, right: int, upper: int, lower: int) -> np.ndarray:
    """True in rows upper ... lower and columns left ... right, counted from 1."""
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[upper - 1 : lower, left - 1 : right] = True
    return mask


def test_a_header_without_shutters_closes_nothing(tmp_path: Path) -> None:
    assert area(tmp_path) is None


@pytest.mark.parametrize("module", ["Shutter", "Collimator"])
def test_rectangles_count_from_one_and_hold_their_edges(tmp_path: Path, module: str) -> None:
    found = area(tmp_path, **rectangle(5, 60, 11, 70, module))
    np.testing.assert_array_equal(found, box(5, 60, 11, 70))


def test_a_rectangle_that_reaches_beyond_the_picture_is_clamped(tmp_path: Path) -> None:
    found = area(tmp_path, **rectangle(-20, 40, 1, 4000))
    np.testing.assert_array_equal(found, box(1, 40, 1, ROWS))


def test_a_shutter_around_the_whole_picture_closes_nothing(tmp_path: Path) -> None:
    assert area(tmp_path, **rectangle(1, COLUMNS, 1, ROWS)) is None


@pytest.mark.parametrize(
    "unusable",
    [
        rectangle(60, 5, 11, 70),
        rectangle(5, 60, 70, 11),
        rectangle(5, 5, 1, 80),
        rectangle(0, 0, 0, 0),
        rectangle(65, 900, 1, 80),
        rectangle(-90, -3, 1, 80),
        rectangle(1, 10, 1, 10),  # 100 of 5120 pixels: 2 %
        rectangle(5, 60, 11, 70) | {"ShutterLeftVerticalEdge": None},
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [40, 32], "RadiusOfCircularShutter": 0},
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [4000, 32], "RadiusOfCircularShutter": 20},
        {"ShutterShape": "CIRCULAR", "RadiusOfCircularShutter": 20},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 70, 60]},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 70, 60, 70]},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 60, 60, 70, 1] * 1000},
        {"ShutterShape": "BITMAP"},
        {"ShutterShape": "", "ShutterLeftVerticalEdge": 5},
    ],
)
def test_what_cannot_be_meant_is_passed_over(tmp_path: Path, unusable: dict[str, Any]) -> None:
    given_values = {keyword: value for keyword, value in unusable.items() if value is not None}
    assert area(tmp_path, **given_values) is None


def test_circles(tmp_path: Path) -> None:
    found = area(
        tmp_path, CollimatorShape="CIRCULAR", CenterOfCircularCollimator=[40, 30], RadiusOfCircularCollimator=25
    )
    row, column = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    np.testing.assert_array_equal(found, (row - 40) ** 2 + (column - 30) ** 2 <= 25**2)


def test_an_upright_polygon_is_its_rectangle(tmp_path: Path) -> None:
    corners = [11, 5, 11, 60, 70, 60, 70, 5]  # row, column
    found = area(tmp_path, ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=corners)
    np.testing.assert_array_equal(found, box(5, 60, 11, 70))


def test_a_slanted_polygon_ends_at_its_edges(tmp_path: Path) -> None:
    corners = [(5, 10), (12, 60), (75, 50), (60, 4)]  # row, column; convex, clockwise
    flat = [value for corner in corners for value in corner]
    found = area(tmp_path, ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=flat)
    row, column = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    inward = np.full((ROWS, COLUMNS), np.inf)  # distance in pixels to the nearest edge's line, positive inside
    for (r0, c0), (r1, c1) in zip(corners, corners[1:] + corners[:1], strict=True):
        cross = (c1 - c0) * (row - r0) - (r1 - r0) * (column - c0)
        inward = np.minimum(inward, cross / np.hypot(r1 - r0, c1 - c0))
    assert found is not None
    assert found[inward >= 0].all()
    assert not found[inward <= -1].any()


def test_several_shapes_and_modules_leave_what_all_leave(tmp_path: Path) -> None:
    shapes = rectangle(5, 60, 11, 70) | {"ShutterShape": ["RECTANGULAR", "CIRCULAR"]}
    shapes |= {"CenterOfCircularShutter": [40, 32], "RadiusOfCircularShutter": 30}
    found = area(tmp_path, **shapes, **rectangle(1, 64, 1, 45, "Collimator"))
    row, column = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    circle = (row - 40) ** 2 + (column - 32) ** 2 <= 30**2
    np.testing.assert_array_equal(found, box(5, 60, 11, 70) & circle & box(1, 64, 1, 45))


def test_a_collimator_in_other_units_hides_nothing(tmp_path: Path) -> None:
    """Edges counted from the middle of the plate: a quarter of it at most would be left of a good film."""
    assert area(tmp_path, **rectangle(-30, 30, 10, 60, "Collimator")) is not None
    assert area(tmp_path, **rectangle(-20, 20, 20, 60, "Collimator")) is None
    np.testing.assert_array_equal(area(tmp_path, **rectangle(-20, 20, 20, 60)), box(1, 20, 20, 60))


def test_a_real_film_keeps_its_picture() -> None:
    """The collimator of pydicom-data's RG1 says columns -184 ... 184 of 1841, which is not what it shows."""
    data_store = pytest.importorskip("data_store", reason="pydicom-data is not installed")
    path = next((Path(next(iter(data_store.__path__))) / "data").glob("*RG1_UNCI.dcm"), None)
    if path is None:
        pytest.skip("pydicom-data has no RG1_UNCI.dcm")
    with path.open("rb") as stream:
        header = DicomFile.parse(stream, path.stat().st_size, tags.DISPLAY).header
    assert header.text(tags.COLLIMATOR_SHAPE) == "RECTANGULAR"
    assert film_area(header, (1955, 1841)) is None


def test_an_unusable_shape_leaves_the_others(tmp_path: Path) -> None:
    found = area(tmp_path, **rectangle(60, 5, 1, 80), **rectangle(5, 60, 11, 70, "Collimator"))
    np.testing.assert_array_equal(found, box(5, 60, 11, 70))


@pytest.mark.parametrize(
    "shape",
    [
        rectangle(9, 56, 13, 68),
        {"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [40, 32], "RadiusOfCircularShutter": 28},
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [5, 9, 5, 56, 76, 56, 76, 9]},
    ],
)
@pytest.mark.parametrize("reduce", [2, 4])
def test_pictures_decoded_smaller(tmp_path: Path, shape: dict[str, Any], reduce: int) -> None:
    whole = area(tmp_path, **shape)
    small = area(tmp_path, (ROWS // reduce, COLUMNS // reduce), **shape)
    assert whole is not None
    assert small is not None
    # The share of each decoded pixel that is open: at least half of it inside, at least half outside, but at the rim.
    share = whole.reshape(ROWS // reduce, reduce, COLUMNS // reduce, reduce).mean(axis=(1, 3))
    assert small[share == 1].all()
    assert not small[share < 0.2].any()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([b"RECTANGULAR", b"CIRCULAR", b"POLYGONAL", b"RECTANGULAR\\POLYGONAL\\CIRCULAR"]),
    st.lists(st.sampled_from(["1", "40", "64", "-5", "1E30", "nan", "inf", "x", "", "-2147483648"]), max_size=12),
    st.integers(1, 3),
)
def test_no_header_breaks_it(shape: bytes, numbers: list[str], reduce: int) -> None:
    """Every value a header can hold gives a mask of the right size with at least a twentieth open, or none."""
    value = Element(b"IS", "\\".join(numbers).encode(), "<")
    header = Elements({tag: value for tag in tags.DISPLAY if 0x00181600 <= tag <= 0x00181720})
    header.values[tags.SHUTTER_SHAPE] = header.values[tags.COLLIMATOR_SHAPE] = Element(b"CS", shape, "<")  # type: ignore[index]
    decoded = (96 // reduce, 72 // reduce)
    mask = film_area(header, (96, 72), decoded)
    if mask is not None:
        assert mask.dtype == bool
        assert mask.shape == decoded
        assert 0.05 <= mask.mean() < 1
