"""One film → what the network and its control are fed: what training and inference share. Imports no torch.

Processes that read films run this; without torch they start sooner and hold less memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason, UnreadableImage
from pipelines.film_pool import Refusal
from pipelines.imaging import (
    FilmFacts,
    IntendedUse,
    Placement,
    Quality,
    Radiograph,
    read_radiograph,
    to_longest,
    to_square,
)


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """What is wanted of each film."""

    size: int
    """Side of the network's square input in pixels."""
    features: bool = False
    """Also what the shape-free control sees."""
    picture_side: int | None = None
    """Longer side of a picture to show heat maps on; None for no picture."""
    use: IntendedUse | None = None
    """Films outside it are refused; None refuses none."""


class DecodedFilm(NamedTuple):
    """One film, ready for the network."""

    square: NDArray[np.float32]
    """``[size, size]`` display values in [0, 1]."""
    placement: Placement
    """Where the film lies in it."""
    quality: Quality
    """What the picture says of itself."""
    facts: FilmFacts
    """What its file says."""
    features: NDArray[np.float64] | None
    """``[261]``, where asked for."""
    picture: NDArray[np.uint8] | None
    """``[h, w]``, where asked for."""


class ReadFilm(NamedTuple):
    """What is said of one film when it has been read."""

    state: str
    """`file_state` before it was read."""
    outcome: DecodedFilm | Refusal


def read_film(file: Path, request: DecodeRequest) -> DecodedFilm:
    """Read and square one film: what training, too, feeds the network and the control.

    Raises:
        UnreadableImage: as `read_radiograph`.
    """
    radiograph = read_radiograph(file, max_side=request.size, use=request.use)
    placement = radiograph.placement(request.size)
    return DecodedFilm(
        to_square(radiograph.pixels, placement),
        placement,
        radiograph.quality,
        radiograph.facts,
        _features(radiograph.pixels) if request.features else None,
        _picture(file, radiograph, request.picture_side) if request.picture_side else None,
    )


def decode_film(file: Path, request: DecodeRequest) -> DecodedFilm | Refusal:
    """Read one film; for what is in the file it raises at most `MemoryError`, which the pool answers."""
    try:
        return read_film(file, request)
    except UnreadableImage as error:
        return Refusal(error.reason, error.detail)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  a decoder's surprise costs its film one row, not the run its other films
        # Only the kind of error: its text may quote the header, and with it the patient.
        return Refusal(Reason.CORRUPT, f"decoding failed unexpectedly ({type(error).__name__})")


def film_task(file: Path, *, request: DecodeRequest) -> ReadFilm:
    """Read one film and say which file that was: the task of a `FilmPool`."""
    return ReadFilm(file_state(file), decode_film(file, request))


def file_state(file: Path) -> str:
    """Return size and time of change of a file as text: another text means that the file is another one."""
    try:
        facts = file.stat()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return f"{facts.st_size}:{facts.st_mtime_ns}"


def _picture(file: Path, radiograph: Radiograph, side: int) -> NDArray[np.uint8]:
    if max(radiograph.pixels.shape) < min(side, max(radiograph.facts.rows, radiograph.facts.columns)):
        # Read again, larger: whether pictures are wanted must not change what the network sees.
        radiograph = read_radiograph(file, max_side=side)
    picture = np.clip(to_longest(radiograph.pixels, side), 0.0, 1.0)
    return np.ascontiguousarray(np.rint(picture * 255.0).astype(np.uint8))


def _features(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    # Imported where it is needed: with it come scipy and scikit-learn, a second and a half for each new process.
    from pipelines.evaluation.control import thumbnail_features

    return thumbnail_features(pixels)
