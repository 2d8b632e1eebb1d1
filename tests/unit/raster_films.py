"""Raster films before the picture rules, which may turn a synthetic picture round, have looked at them."""

from pathlib import Path

from pipelines.imaging.raster import RasterFilm, read_raster
from pipelines.imaging.source import open_image


def raster_film(path: Path) -> RasterFilm:
    """Decode one file as `read_radiograph` does, and no further."""
    with open_image(path) as (stream, size, file_format):
        return read_raster(stream, size, file_format)
