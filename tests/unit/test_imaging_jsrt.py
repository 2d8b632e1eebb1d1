"""JSRT's headerless films."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import Reason, UnreadableImage
from pipelines.imaging import read_facts, read_radiograph
from tests.unit.raster_films import raster_film

GRID = np.add.outer(np.arange(2048), np.arange(2048))
DENSITY = (4095 * np.abs(np.sin(GRID / 700)) ** 2).astype(np.uint16)


@pytest.mark.parametrize("name", ["JPCLN001.IMG", "jpcnn001.img"])
def test_dark_film_is_black(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(DENSITY.astype(">u2").tobytes())
    film = read_radiograph(tmp_path / name)
    np.testing.assert_allclose(raster_film(tmp_path / name).pixels, 1 - DENSITY / 4095, atol=1e-6)
    assert film.pixel_spacing_mm == (0.175, 0.175)
    assert (film.facts.bits_stored, film.facts.transfer_syntax) == (12, "JSRT")
    assert read_facts(tmp_path / name) == film.facts


def test_only_what_can_be_one_is_taken_for_one(tmp_path: Path) -> None:
    over = DENSITY.copy()
    over[7, 7] = 4096
    files = {"a.img": over.astype(">u2"), "b.img": DENSITY.astype("<u2"), "c.raw": DENSITY.astype(">u2")}
    files["d.img"] = DENSITY[:-1].astype(">u2")
    for name, cells in files.items():
        (tmp_path / name).write_bytes(cells.tobytes())
        for reader in (read_radiograph, read_facts):
            with pytest.raises(UnreadableImage) as caught:
                reader(tmp_path / name)
            assert caught.value.reason is Reason.NOT_AN_IMAGE
