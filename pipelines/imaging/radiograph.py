"""Read one chest radiograph: the only door through which pixels enter."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason
from pipelines.imaging import tags
from pipelines.imaging.decode import decode_cells
from pipelines.imaging.dicom_facts import dicom_facts
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.display import to_display
from pipelines.imaging.film_error import FilmError
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.geometry import Placement
from pipelines.imaging.intensity import Intensity
from pipelines.imaging.layout import Layout, check_film, sop_class_of
from pipelines.imaging.lut import palette
from pipelines.imaging.orientation import UPRIGHT, Orientation
from pipelines.imaging.raster import raster_facts, read_raster
from pipelines.imaging.source import Format, open_image


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One film, ready to be shown.

    Attributes:
        pixels: float32 ``[rows, columns]`` in [0, 1], upright, rows downwards; dense tissue is bright, background is 0.
        facts: what is known of it besides; its rows and columns are those of the stored matrix.
        orientation: how the stored matrix was turned upright.
    """

    pixels: NDArray[np.float32]
    facts: FilmFacts
    orientation: Orientation = UPRIGHT

    def placement(self, size: int) -> Placement:
        """Where the film lies in a square of `size` pixels."""
        return Placement.fit(self.facts.rows, self.facts.columns, size, self.orientation)

    @property
    def view(self) -> str | None:
        """PA, AP, LATERAL or None."""
        return self.facts.view

    @property
    def pixel_spacing_mm(self) -> tuple[float, float] | None:
        """Distance between (rows, columns) of the stored matrix in mm; None where unknown."""
        return self.facts.pixel_spacing_mm

    @property
    def manufacturer(self) -> str | None:
        """Of the equipment; None where unknown."""
        return self.facts.manufacturer


def read_radiograph(path: Path, *, max_side: int | None = None) -> Radiograph:
    """Read one chest radiograph as display values: dense tissue is bright.

    Where a DICOM file has a VOI look-up table or window, the first usable one is applied, the table before a window;
    one that would paint the whole film a single grey is not usable. A file with neither shows its values between
    their 0.5 and 99.5 percentiles. Pixel padding takes no part in either and becomes 0. Raster files are scaled by
    the nominal full range of their type.

    Args:
        path: a single-frame CR, DX or Secondary Capture DICOM file, or a PNG, JPEG or TIFF export of one.
        max_side: the longest side that will be used, in pixels (at least 1). It permits a decoder to stop at a
            stored resolution whose longer side still has that many; at present every decoder decodes in full.

    Returns:
        Pixels float32 ``[rows, columns]`` in [0, 1] and the facts of acquisition that survive de-identification.

    Raises:
        UnreadableImage: names the file, the attribute and what was found, never the patient; its ``reason`` is the
            stable code.

    Source: DICOM PS3.3 C.7.6.3.1.2 (photometric interpretation), C.11.1 (modality LUT), C.11.2 (VOI LUT).
    """
    assert max_side is None or max_side >= 1, f"max_side must be at least 1, got {max_side}"
    path = Path(path)
    with open_image(path) as (stream, size, file_format):
        if file_format is Format.DICOM:
            return _read_dicom(DicomFile.parse(stream, size, tags.DISPLAY))
        film = read_raster(stream, size, file_format)
        return Radiograph(film.pixels, raster_facts(film.header, colour=film.colour))


def _read_dicom(file: DicomFile) -> Radiograph:
    check_film(file)
    layout = Layout.of(file.header)
    cells = decode_cells(file, layout)
    if layout.photometric == "PALETTE COLOR":
        pixels = palette(file.header, layout)[cells]
        if pixels.min() == pixels.max():
            raise FilmError(Reason.BLANK, "all pixels have one value")
    elif layout.samples == 1:
        pixels = to_display(cells, Intensity.of(file.header, layout, sop_class=sop_class_of(file)))
    else:
        # A colour capture is a screen: its values are display values, and windows do not apply (C.7.6.3.1.2).
        if cells.min() == cells.max():
            raise FilmError(Reason.BLANK, "all pixels have one value")
        pixels = np.clip(cells / np.float32((1 << layout.bits_stored) - 1), 0.0, 1.0)
    return Radiograph(np.ascontiguousarray(pixels, dtype=np.float32), dicom_facts(file))
