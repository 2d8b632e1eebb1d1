"""MetaImage films against SimpleITK."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_facts, read_radiograph
from tests.unit.dicom_films import smooth
from tests.unit.raster_films import raster_film

sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, the oracle, is not installed")

EIGHT = smooth(8).astype(np.uint8)
KINDS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]


def cells_of(kind: str, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(40, 30, (70, 90))
    return np.clip(noise, 0 if kind.startswith("u") else -100, 120).astype(kind)


def shown(cells: np.ndarray) -> np.ndarray:
    """What a film of this type looks like, by NumPy's own percentiles."""
    if cells.dtype == np.uint8:
        return cells / 255
    low, high = np.percentile(cells.astype(np.float64), [0.5, 99.5], method="inverted_cdf")
    return np.clip((cells - low) / (high - low), 0, 1)


def refusal(path: Path) -> Reason:
    with pytest.raises(UnreadableImage) as caught:
        read_radiograph(path)
    return caught.value.reason


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(KINDS), compressed=st.booleans(), slices=st.booleans(), seed=st.integers(0, 999))
def test_as_simpleitk_writes_them(tmp_path: Path, kind: str, compressed: bool, slices: bool, seed: int) -> None:
    cells = cells_of(kind, seed)
    image = sitk.GetImageFromArray(cells[None] if slices else cells)
    image.SetSpacing((0.143, 0.2, 1.0)[: image.GetDimension()])
    path = tmp_path / "film.mha"
    sitk.WriteImage(image, str(path), compressed)
    film = read_radiograph(path)
    np.testing.assert_allclose(raster_film(path).pixels, shown(cells), atol=1e-5)
    assert film.pixel_spacing_mm == pytest.approx((0.2, 0.143))
    assert read_facts(path) == film.facts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_by_hand_in_both_byte_orders(tmp_path: Path, kind: str, order: str) -> None:
    cells = cells_of(kind, 5)
    path = written(tmp_path, cells.astype(np.dtype(kind).newbyteorder(order)), MSB=str(order == ">"))
    np.testing.assert_allclose(raster_film(path).pixels, shown(cells), atol=1e-5)
    oracle = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(oracle, cells)


def written(folder: Path, cells: np.ndarray, *, data: bytes | None = None, **changes: str) -> Path:
    names = dict(zip(KINDS, ["UCHAR", "CHAR", "USHORT", "SHORT", "UINT", "INT", "FLOAT", "DOUBLE"], strict=True))
    fields = {"NDims": "2", "BinaryData": "True", "MSB": "False"}
    fields |= {"DimSize": f"{cells.shape[1]} {cells.shape[0]}", "ElementType": f"MET_{names[cells.dtype.name]}"}
    fields |= {"ElementDataFile": "LOCAL"} | changes
    fields = {key: text for key, text in fields.items() if text != "absent"}
    lines = [f"{'BinaryDataByteOrderMSB' if key == 'MSB' else key} = {text}\n" for key, text in fields.items()]
    last = [line for line in lines if line.startswith("ElementDataFile")]
    header = "ObjectType = Image\n" + "".join([line for line in lines if line not in last] + last)
    path = folder / "film.mha"
    path.write_bytes(header.encode() + (cells.tobytes() if data is None else data))
    return path


def test_rgb(tmp_path: Path) -> None:
    cells = np.stack([EIGHT, EIGHT // 2, EIGHT // 3], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(cells, isVector=True), str(tmp_path / "film.mha"))
    film = read_radiograph(tmp_path / "film.mha")
    np.testing.assert_allclose(
        raster_film(tmp_path / "film.mha").pixels, cells @ [0.299, 0.587, 0.114] / 255, atol=1e-6
    )
    assert film.facts.colour


def test_unit_spacing_is_unknown(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(EIGHT), str(tmp_path / "film.mha"))
    assert read_radiograph(tmp_path / "film.mha").pixel_spacing_mm is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ElementDataFile": "/etc/passwd"}, Reason.UNSUPPORTED_IMAGE),
        ({"ElementDataFile": "absent"}, Reason.CORRUPT),
        ({"DimSize": "90"}, Reason.CORRUPT),
        ({"DimSize": "-90 70"}, Reason.CORRUPT),
        ({"DimSize": "60000 60000"}, Reason.TOO_LARGE),
        ({"DimSize": "90 69"}, Reason.CORRUPT),
        ({"DimSize": "90 71"}, Reason.TRUNCATED),
        ({"NDims": "3", "DimSize": "90 70 2"}, Reason.SEVERAL_FRAMES),
        ({"NDims": "4", "DimSize": "90 70 1 1"}, Reason.UNSUPPORTED_IMAGE),
        ({"ElementType": "MET_OTHER"}, Reason.UNSUPPORTED_IMAGE),
        ({"ElementNumberOfChannels": "2"}, Reason.UNSUPPORTED_IMAGE),
        ({"BinaryData": "False"}, Reason.UNSUPPORTED_IMAGE),
        ({"CompressedData": "True"}, Reason.CORRUPT),
        ({"Comment": "x" * 70000}, Reason.CORRUPT),
    ],
)
def test_refusals(tmp_path: Path, changes: dict[str, str], reason: Reason) -> None:
    assert refusal(written(tmp_path, cells_of("uint8", 1), **changes)) is reason


def test_detached_data_are_not_followed(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(EIGHT), str(tmp_path / "film.mhd"))
    assert refusal(tmp_path / "film.mhd") is Reason.UNSUPPORTED_IMAGE


def test_damaged_compressed_data(tmp_path: Path) -> None:
    path = tmp_path / "film.mha"
    sitk.WriteImage(sitk.GetImageFromArray(cells_of("int16", 3)), str(path), True)
    data = path.read_bytes()
    for wrong in (data[:-1], data[:-400], data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], data + b"more"):
        path.write_bytes(wrong)
        assert refusal(path) in (Reason.TRUNCATED, Reason.CORRUPT)
