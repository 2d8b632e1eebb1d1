"""NRRD films against pynrrd and SimpleITK."""

import bz2
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_facts, read_radiograph
from tests.unit.dicom_films import smooth
from tests.unit.raster_films import raster_film
from tests.unit.test_imaging_metaimage import KINDS, cells_of, refusal, shown

nrrd = pytest.importorskip("nrrd", reason="pynrrd, the oracle, is not installed")
sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, the oracle, is not installed")

EIGHT = smooth(8).astype(np.uint8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([*KINDS, "int64", "uint64"]),
    encoding=st.sampled_from(["raw", "gzip", "bzip2"]),
    endian=st.sampled_from(["little", "big"]),
    slices=st.booleans(),
    seed=st.integers(0, 999),
)
def test_as_pynrrd_writes_them(tmp_path: Path, kind: str, encoding: str, endian: str, slices: bool, seed: int) -> None:
    cells = cells_of(kind, seed)
    header = {"encoding": encoding, "endian": endian, "spacings": [0.143, 0.2, 1.0][: 3 if slices else 2]}
    path = tmp_path / "film.nrrd"
    nrrd.write(str(path), cells[None] if slices else cells, header, index_order="C")
    film = read_radiograph(path)
    np.testing.assert_allclose(raster_film(path).pixels, shown(cells), atol=1e-5)
    assert film.pixel_spacing_mm == pytest.approx((0.2, 0.143))
    assert read_facts(path) == film.facts


@pytest.mark.parametrize("compressed", [True, False])
def test_as_simpleitk_writes_them(tmp_path: Path, compressed: bool) -> None:
    image = sitk.GetImageFromArray(smooth(12).astype(np.int16))
    image.SetSpacing((0.143, 0.2))
    sitk.WriteImage(image, str(tmp_path / "film.nrrd"), compressed)
    film = read_radiograph(tmp_path / "film.nrrd")
    np.testing.assert_allclose(
        raster_film(tmp_path / "film.nrrd").pixels, shown(smooth(12).astype(np.int16)), atol=1e-5
    )
    assert film.pixel_spacing_mm == pytest.approx((0.2, 0.143))


def test_rgb(tmp_path: Path) -> None:
    cells = np.stack([EIGHT, EIGHT // 2, EIGHT // 3], axis=-1)
    expected = cells @ [0.299, 0.587, 0.114] / 255
    sitk.WriteImage(sitk.GetImageFromArray(cells, isVector=True), str(tmp_path / "a.nrrd"))
    nrrd.write(
        str(tmp_path / "b.nrrd"), np.moveaxis(cells, -1, 0), {"kinds": ["domain", "domain", "3-color"]}, index_order="C"
    )
    for name in ("a.nrrd", "b.nrrd"):
        film = read_radiograph(tmp_path / name)
        np.testing.assert_allclose(raster_film(tmp_path / name).pixels, expected, atol=1e-6)
        assert film.facts.colour


def written(folder: Path, data: bytes, **changes: str) -> Path:
    fields = {"type": "uint8", "dimension": "2", "sizes": f"{EIGHT.shape[1]} {EIGHT.shape[0]}", "encoding": "raw"}
    lines = [f"{key.replace('_', ' ')}: {text}\n" for key, text in (fields | changes).items()]
    (folder / "film.nrrd").write_bytes(b"NRRD0004\n# comment\nkey:=value\n" + "".join(lines).encode() + b"\n" + data)
    return folder / "film.nrrd"


def test_by_hand(tmp_path: Path) -> None:
    data = EIGHT.tobytes()
    for encoding, stored in (("raw", data), ("gz", gzip.compress(data)), ("bz2", bz2.compress(data))):
        path = written(tmp_path, stored, encoding=encoding)
        np.testing.assert_allclose(raster_film(path).pixels, EIGHT / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data_file": "/etc/passwd"}, Reason.UNSUPPORTED_IMAGE),
        ({"datafile": "film.raw"}, Reason.UNSUPPORTED_IMAGE),
        ({"byte_skip": "-1"}, Reason.UNSUPPORTED_IMAGE),
        ({"encoding": "hex"}, Reason.UNSUPPORTED_IMAGE),
        ({"type": "block"}, Reason.UNSUPPORTED_IMAGE),
        ({"type": "short"}, Reason.CORRUPT),
        ({"dimension": "3"}, Reason.CORRUPT),
        ({"dimension": "3", "sizes": "90 70 5"}, Reason.SEVERAL_FRAMES),
        ({"sizes": "60000 60000"}, Reason.TOO_LARGE),
        ({"sizes": "64 64"}, Reason.CORRUPT),
        ({"sizes": "900 900"}, Reason.TRUNCATED),
        ({"encoding": "gzip"}, Reason.CORRUPT),
        ({"Sizes": "64 64"}, Reason.CORRUPT),
    ],
)
def test_refusals(tmp_path: Path, changes: dict[str, str], reason: Reason) -> None:
    assert refusal(written(tmp_path, EIGHT.tobytes(), **changes)) is reason


def test_a_gzip_bomb_is_stopped_at_the_size_the_header_states(tmp_path: Path) -> None:
    path = written(tmp_path, gzip.compress(bytes(200 << 20), 9), encoding="gzip")
    assert refusal(path) is Reason.CORRUPT


def test_nothing_of_the_header_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, EIGHT.tobytes(), content="Zzyzx", sizes="Zzyzx 3")
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(path)
    assert "Zzyzx" not in str(caught.value) + str(caught.value.__context__)
