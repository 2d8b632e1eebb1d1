"""One film → what the network and its control are fed: what training and inference share. Imports no torch.

Processes that read films run this; without torch they start sooner and hold less memory.
"""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import Reason, UnreadableImage
from pipelines.film_files import FilmFile, file_state, opened
from pipelines.film_pool import Refusal
from pipelines.film_slots import FilmSlots
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
from pipelines.imaging.control_features import control_features
from pipelines.imaging.harmonise import Harmonisation, Harmonised, harmonise

if TYPE_CHECKING:
    from pipelines.heatmaps import FilmMaps

PICTURE_SIDE: Final = 512
"""Longer side of a picture for people in pixels."""


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """What is wanted of each film."""

    size: int
    """Side of the network's square input in pixels."""
    features: bool = False
    """Also what the shortcut controls see."""
    picture_side: int | None = None
    """Longer side of a picture to show heat maps on; None for no picture."""
    use: IntendedUse | None = None
    """Films outside it are refused; None refuses none."""
    harmonisation: Harmonisation | None = None
    """What is done to each film before it is fitted into the square; None for nothing."""
    site: str | None = None
    """Where the films come from, for a harmonisation that knows sites."""


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
    """``[441]`` of `control_features`, where asked for."""
    picture: NDArray[np.uint8] | None
    """``[h, w]``, where asked for."""
    lungs_found: bool | None = None
    """Whether the box around the lungs was found; None where the model does not look for it."""


class FilmJob(NamedTuple):
    """A film to read."""

    file: FilmFile
    slot: int | None = None
    """Of `FilmSlots` that takes its pixels; without one they travel with the answer."""


class PictureJob(NamedTuple):
    """Pictures to write of a film that has been read."""

    maps: "FilmMaps"
    shape: tuple[int, int]
    """Height and width of the film's picture."""
    slot: int | None = None
    """Where the picture lies."""
    picture: NDArray[np.uint8] | None = None
    """The picture, where it lies in no slot."""


class Work(NamedTuple):
    """What one film took."""

    processor: float
    """Seconds of processor time."""
    waiting: float
    """Seconds of waiting for the file: time that passed while nothing could be computed."""


NO_WORK: Final = Work(0.0, 0.0)


class ReadFilm(NamedTuple):
    """What is said of one film when it has been read."""

    state: str
    """`file_state` before it was read."""
    outcome: DecodedFilm | Refusal
    work: Work = NO_WORK
    picture_shape: tuple[int, int] | None = None
    """Of a picture that lies in the job's slot; square and picture of the outcome are empty then."""
    digest: str | None = None
    """Of the square: films with the same are the same picture. Null where the film was not usable."""


def read_film(file: Path, request: DecodeRequest) -> DecodedFilm:
    """Read and square one film: what training, too, feeds the network and the control.

    Raises:
        UnreadableImage: as `read_radiograph`.
    """
    settings = request.harmonisation
    if settings is None:
        radiograph = read_radiograph(file, max_side=request.size, use=request.use)
        shown = Harmonised(radiograph.pixels)
    else:
        radiograph, shown = read_harmonised(file, settings, size=request.size, use=request.use, site=request.site)
    placement = radiograph.placement(request.size, shown.crop)
    return DecodedFilm(
        to_square(shown.pixels, placement),
        placement,
        radiograph.quality,
        radiograph.facts,
        control_features(shown.pixels) if request.features else None,
        _picture(file, radiograph, request.picture_side) if request.picture_side else None,
        shown.lungs_found,
    )


def read_harmonised(
    file: Path, settings: Harmonisation, *, size: int, use: IntendedUse | None = None, site: str | None = None
) -> tuple[Radiograph, Harmonised]:
    """Read one film as large as its harmonisation needs, and harmonise it.

    Args:
        file: the film.
        settings: which switches are on.
        size: side of the network's square.
        use: films outside it are refused.
        site: where the film comes from.

    Raises:
        UnreadableImage: as `read_radiograph`.
    """
    untint = settings.colour == "remove"
    radiograph = read_radiograph(file, max_side=settings.read_side(size), use=use, untint=untint)
    return radiograph, harmonise(radiograph.pixels, settings, site=site)


def decode_film(file: FilmFile, request: DecodeRequest) -> DecodedFilm | Refusal:
    """Read one film; for what is in the file it raises at most `MemoryError`, which the pool answers."""
    try:
        with opened(file) as path:
            return read_film(path, request)
    except UnreadableImage as error:
        return Refusal(error.reason, error.detail)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  a decoder's surprise costs its film one row, not the run its other films
        # Only the kind of error: its text may quote the header, and with it the patient.
        return Refusal(Reason.CORRUPT, f"decoding failed unexpectedly ({type(error).__name__})")


def film_task(job: FilmJob | PictureJob, *, request: DecodeRequest, slots: FilmSlots | None = None) -> ReadFilm | Work:
    """Do one job of a run: the task of a `FilmPool`.

    Raises:
        OSError: pictures cannot be written.
    """
    clock = _Clock()
    if isinstance(job, PictureJob):
        _write_pictures(job, slots)
        return clock.stop()
    state, outcome = _read_whole(job.file, request)
    read = ReadFilm(state, outcome)
    if isinstance(outcome, DecodedFilm):
        # Eight bytes: of five million films, two different ones agree with a chance of one in a million.
        read = read._replace(digest=hashlib.blake2b(outcome.square.data, digest_size=8).hexdigest())
        if slots is not None and job.slot is not None:
            read = _into_slot(read, outcome, slots, job.slot)
    return read._replace(work=clock.stop())


def _read_whole(file: FilmFile, request: DecodeRequest) -> tuple[str, DecodedFilm | Refusal]:
    """Read a film that stays the same while it is read."""
    for _ in range(2):  # whoever writes it may have been about to finish
        state = file_state(file)
        outcome = decode_film(file, request)
        if file_state(file) == state:
            return state, outcome
    return file_state(file), Refusal(Reason.CHANGED, "the file changed while it was being read")


_NO_SQUARE: Final = np.empty((0, 0), np.float32)
_NO_PICTURE: Final = np.empty((0, 0), np.uint8)


def _into_slot(read: ReadFilm, film: DecodedFilm, slots: FilmSlots, slot: int) -> ReadFilm:
    slots.squares[slot] = film.square
    film = film._replace(square=_NO_SQUARE)
    if film.picture is None:
        return read._replace(outcome=film)
    shape = film.picture.shape[0], film.picture.shape[1]
    slots.picture(slot, shape)[...] = film.picture
    return read._replace(outcome=film._replace(picture=_NO_PICTURE), picture_shape=shape)


def _write_pictures(job: PictureJob, slots: FilmSlots | None) -> None:
    # Imported where it is needed: with it comes matplotlib.
    from pipelines.heatmaps import write_pictures

    if job.picture is not None:
        write_pictures(job.maps, job.picture)
        return
    assert slots is not None
    assert job.slot is not None
    write_pictures(job.maps, slots.picture(job.slot, job.shape))


class _Clock:
    """What this process does between now and `stop`."""

    def __init__(self) -> None:
        self._start = _times()

    def stop(self) -> Work:
        wall, processor, queued = (now - then for now, then in zip(_times(), self._start, strict=True))
        return Work(processor, max(0.0, wall - processor - queued))


def _times() -> tuple[float, float, float]:
    """Seconds on the clock, of the processor, and of waiting for a processor that others used."""
    try:
        queued = int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):  # not Linux
        queued = 0.0
    return time.perf_counter(), time.process_time(), queued


def _picture(file: Path, radiograph: Radiograph, side: int) -> NDArray[np.uint8]:
    if max(radiograph.pixels.shape) < min(side, max(radiograph.facts.rows, radiograph.facts.columns)):
        # Read again, larger: whether pictures are wanted must not change what the network sees.
        radiograph = read_radiograph(file, max_side=side)
    picture = np.clip(to_longest(radiograph.pixels, side), 0.0, 1.0)
    return np.ascontiguousarray(np.rint(picture * 255.0).astype(np.uint8))
