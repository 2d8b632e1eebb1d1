"""The MONAI reader inside MONAI's own transforms and loaders."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImage, LoadImaged
from PIL import Image

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_radiograph
from pipelines.imaging.monai_reader import RadiographReader
from tests.unit.dicom_films import film, smooth, write

CELLS = smooth(12)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three films of 96 x 80, one of them inverted and one a PNG with a DICOM name."""
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    Image.fromarray((CELLS >> 4).astype(np.uint8)).save(tmp_path / "c.dcm", "PNG")
    return [
        write(tmp_path / "a.dcm", film(CELLS, bits_stored=12, **window)),
        write(
            tmp_path / "b.dcm", film(4095 - CELLS, bits_stored=12, PhotometricInterpretation="MONOCHROME1", **window)
        ),
        tmp_path / "c.dcm",
    ]


@pytest.mark.parametrize("image_only", [True, False])
def test_load_imaged(paths: list[Path], image_only: bool) -> None:
    load = LoadImaged(keys="image", reader=RadiographReader(), image_only=image_only)
    for path in paths:
        item = load({"image": path})
        image = item["image"]
        assert image.shape == (96, 80)
        assert image.numpy().dtype == np.float32
        np.testing.assert_array_equal(image.numpy(), read_radiograph(path).pixels)
        meta = image.meta if image_only else item["image_meta_dict"]
        assert (meta["stored_rows"], meta["stored_columns"]) == (96, 80)
        assert list(meta["spatial_shape"]) == [96, 80]
        assert meta["original_channel_dim"] == "no_channel"
        assert meta["filename_or_obj"] == str(path)


def test_channel_first(paths: list[Path]) -> None:
    load = Compose([LoadImaged(keys="image", reader=RadiographReader()), EnsureChannelFirstd(keys="image")])
    assert load({"image": str(paths[0])})["image"].shape == (1, 96, 80)
    several = load({"image": paths})["image"]
    assert several.shape == (3, 96, 80)
    np.testing.assert_allclose(several[0].numpy(), several[1].numpy(), atol=1e-6)


def test_worker_processes(paths: list[Path]) -> None:
    load = Compose([LoadImaged(keys="image", reader=RadiographReader()), EnsureChannelFirstd(keys="image")])
    items = Dataset([{"image": str(path)} for path in paths], load)
    (batch,) = list(DataLoader(items, batch_size=3, num_workers=1))
    assert batch["image"].shape == (3, 1, 96, 80)
    np.testing.assert_array_equal(batch["image"][1, 0].numpy(), read_radiograph(paths[1]).pixels)


def test_pickle() -> None:
    assert pickle.loads(pickle.dumps(RadiographReader(max_side=512))).max_side == 512


def test_a_refused_film_is_not_read_by_another_reader(tmp_path: Path) -> None:
    """MONAI's PIL reader would take this blank PNG, transposed."""
    Image.new("L", (80, 96), 7).save(tmp_path / "blank.png")
    with pytest.raises(UnreadableImage) as caught:
        LoadImage(reader=RadiographReader())(tmp_path / "blank.png")
    assert caught.value.reason is Reason.BLANK


def test_films_of_different_shapes_are_not_stacked(paths: list[Path], tmp_path: Path) -> None:
    other = write(tmp_path / "other.dcm", film(smooth(12, rows=100)))
    with pytest.raises(ValueError, match="one shape"):
        LoadImage(reader=RadiographReader())([paths[0], other])
