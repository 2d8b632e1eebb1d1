"""Read one chest radiograph: the only door through which pixels enter."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.imaging import tags
from pipelines.imaging.decode import decode_cells
from pipelines.imaging.dicom_facts import dicom_facts
from pipelines.imaging.dicom_file import DicomFile
from pipelines.imaging.display import shrink, to_display
from pipelines.imaging.film_facts import FilmFacts
from pipelines.imaging.geometry import Box, Pixels, Placement
from pipelines.imaging.intended_use import IntendedUse
from pipelines.imaging.intensity import Intensity
from pipelines.imaging.layout import Layout, check_film, sop_class_of
from pipelines.imaging.lut import palette
from pipelines.imaging.orientation import UPRIGHT, Orientation
from pipelines.imaging.picture import Quality, examine, judge, require_picture
from pipelines.imaging.raster import raster_facts, read_raster
from pipelines.imaging.shutter import film_area
from pipelines.imaging.source import Format, open_image


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One film, ready to be shown.

    Attributes:
        pixels: float32 ``[rows, columns]`` in [0, 1], upright, rows downwards; dense tissue is bright, background is 0.
        facts: what is known of it besides; its rows and columns are those of the stored matrix.
        quality: what the picture says of itself.
        orientation: how the stored matrix was turned upright.
    """

    pixels: NDArray[np.float32]
    facts: FilmFacts
    quality: Quality
    orientation: Orientation = UPRIGHT

    def placement(self, size: int, crop: Box | None = None) -> Placement:
        """Where the film lies in a square of `size` pixels.

        Args:
            size: side of the square.
            crop: the part that is shown, x0, y0, x1, y1 as shares of the upright film; None for all of it.
        """
        rows, columns = self.orientation.shape(self.facts.rows, self.facts.columns)
        part = None
        if crop is not None:
            part = crop[0] * columns, crop[1] * rows, crop[2] * columns, crop[3] * rows
        return Placement.fit(self.facts.rows, self.facts.columns, size, self.orientation, part)

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


def read_radiograph(
    path: Path, *, max_side: int | None = None, use: IntendedUse | None = None, untint: bool = False
) -> Radiograph:
    """Read one chest radiograph as display values: dense tissue is bright.

    Where a DICOM file has a VOI look-up table or window, the first usable one is applied, the table before a window;
    one that would paint the whole film a single grey is not usable. A file with neither shows its values between
    their 0.5 and 99.5 percentiles. Pixel padding and what shutters and collimators close off take no part in either
    and become 0. PatientOrientation and EXIF orientation are undone. A film whose picture is plainly a chest in
    negative is turned positive, whatever its file says, and its quality says so.

    Args:
        path: a single-frame CR, DX or Secondary Capture DICOM file, or a PNG, JPEG, TIFF, MetaImage, NRRD or JSRT file.
        max_side: pixels along the longer side of a film that is larger (at least 1). It permits a decoder to stop at
            a stored resolution that shows as much; otherwise the result is that of reading in full and averaging areas.
        use: films outside it are refused before their pixels are decoded; None refuses none.
        untint: bring the channels of a tinted PNG, JPEG or TIFF to one range before they become grey; a DICOM colour
            capture becomes luma all the same.

    Returns:
        Pixels float32 ``[rows, columns]`` in [0, 1], facts of acquisition that survive de-identification, and what
        the picture says of its own quality.

    Raises:
        UnreadableImage: names the file, the attribute and what was found, never the patient; its ``reason`` is the
            stable code.

    Source: DICOM PS3.3 C.7.6.3.1.2 (photometric interpretation), C.11.1 (modality LUT), C.11.2 (VOI LUT).
    """
    assert max_side is None or max_side >= 1, f"max_side must be at least 1, got {max_side}"
    path = Path(path)
    with open_image(path) as (stream, size, file_format):
        if file_format is Format.DICOM:
            return _read_dicom(DicomFile.parse(stream, size, tags.DISPLAY), max_side, use)
        film = read_raster(stream, size, file_format, untint=untint)
        return _judged(_either_way(shrink(film.pixels, max_side)), raster_facts(film.header, colour=film.colour))


def _read_dicom(file: DicomFile, max_side: int | None, use: IntendedUse | None) -> Radiograph:
    check_film(file)
    layout = Layout.of(file.header)
    facts = dicom_facts(file)
    if use is not None:
        use.require(facts)
    orientation = Orientation.of_patient(facts.orientation)
    cells = decode_cells(file, layout, max_side=max_side)
    if facts.colour:
        return _judged(_either_way(orientation.apply(_capture(cells, file, layout, max_side))), facts, orientation)
    intensity = Intensity.of(file.header, layout, sop_class=sop_class_of(file))
    stored = layout.rows, layout.columns
    area = film_area(file.header, stored, cells.shape)

    def render(negative: bool) -> Pixels:
        # Not 1 - pixels: padding and shutters stay background whichever way round the film is.
        turned = replace(intensity, inverted=intensity.inverted != negative)
        return orientation.apply(to_display(cells, turned, area=area, max_side=max_side, stored=stored))

    return _judged(render, facts, orientation)


def _capture(cells: NDArray[Any], file: DicomFile, layout: Layout, max_side: int | None) -> Pixels:
    """A colour capture is a screen: its values are display values, and windows do not apply (C.7.6.3.1.2)."""
    if layout.photometric == "PALETTE COLOR":
        return shrink(palette(file.header, layout)[cells], max_side)
    grey = np.clip(cells / np.float32((1 << layout.bits_stored) - 1), 0.0, 1.0)
    return shrink(np.asarray(grey, dtype=np.float32), max_side, (layout.rows, layout.columns))


def _either_way(pixels: Pixels) -> Callable[[bool], Pixels]:
    return lambda negative: 1.0 - pixels if negative else pixels


def _judged(render: Callable[[bool], Pixels], facts: FilmFacts, orientation: Orientation = UPRIGHT) -> Radiograph:
    """Refuse what is no picture, put a negative right, and describe what is left.

    Args:
        render: the upright film as its file says (False) or in negative (True).
        facts: of the film.
        orientation: that `render` undid.
    """
    pixels = render(False)
    require_picture(pixels)
    negative, quality = judge(pixels)
    if negative:
        pixels = render(True)
        quality = examine(pixels, inverted=True)
    return Radiograph(np.ascontiguousarray(pixels, dtype=np.float32), facts, quality, orientation)
