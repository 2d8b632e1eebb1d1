"""Facts of a film from its header alone."""

from pathlib import Path

from pipelines.imaging import tags
from pipelines.imaging.dicom_facts import dicom_facts
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.raster import raster_facts, read_header
from pipelines.imaging.source import Format, open_image


def read_facts(path: Path) -> FilmFacts:
    """Read the facts of a film from its header, without its pixels.

    Objects that `read_radiograph` would refuse for what they show (a CT slice, several frames) have facts too.

    Args:
        path: a DICOM, PNG, JPEG or TIFF file.

    Raises:
        UnreadableImage: missing, unreadable_file, not_an_image, no_pixel_data (no image in a DICOM object),
            unsupported_image, truncated or corrupt.
    """
    with open_image(path) as (stream, size, file_format):
        if file_format is Format.DICOM:
            return dicom_facts(DicomFile.parse(stream, size, tags.FACTS, pixels=False))
        return raster_facts(read_header(stream, size, file_format))
