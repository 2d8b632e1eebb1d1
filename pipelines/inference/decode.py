"""Films that were read → one batch of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.decoding import NO_WORK, DecodedFilm, DecodeRequest, FilmJob, ReadFilm, Work, film_task
from pipelines.film_files import FilmFile, file_state
from pipelines.film_pool import Refusal
from pipelines.film_slots import FilmSlots
from pipelines.imaging import FilmFacts, Placement, Quality
from pipelines.inference.table import PICTURE_DIGEST


@dataclass(slots=True)
class DecodedBatch:
    """Consecutive inputs after decoding: n films asked for, k of them usable."""

    positions: range
    """Which inputs of the run these are."""
    states: list[str]
    """``[n]`` of `file_state`, taken before reading."""
    refusals: list[Refusal | None]
    """``[n]``; None where the film is usable."""
    images: Tensor
    """``[k, 1, size, size]`` float32 in [0, 1]."""
    placements: list[Placement]
    """``[k]``."""
    qualities: list[Quality]
    """``[k]``."""
    facts: list[FilmFacts]
    """``[k]``."""
    features: Tensor
    """``[k, 441]`` float64; ``[k, 0]`` where not asked for."""
    digests: list[str | None]
    """``[k]`` of the square inputs."""
    lungs_found: list[bool | None] = field(default_factory=list)
    """``[k]``; None where the model does not look for them."""
    pictures: list["FilmPicture"] = field(default_factory=list)
    """``[k]``; empty where not asked for."""
    work: Work = NO_WORK
    """What reading them took."""


@dataclass(frozen=True, slots=True)
class FilmPicture:
    """Where a film's picture is."""

    shape: tuple[int, int]
    slot: int | None = None
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None = None
    """uint8 ``[h, w]``, where it lies in no slot."""


def decode_batch(files: Sequence[FilmFile], positions: range, request: DecodeRequest) -> DecodedBatch:
    """Decode consecutive films into one batch, in this process."""
    answers = []
    for file in files:
        answer = film_task(FilmJob(file), request=request)
        assert isinstance(answer, ReadFilm)
        answers.append(answer)
    return assemble(positions, files, answers, request)


def assemble(
    positions: range,
    files: Sequence[FilmFile],
    answers: Sequence[ReadFilm | Refusal],
    request: DecodeRequest,
    slots: FilmSlots | None = None,
    first_slot: int = 0,
) -> DecodedBatch:
    """Put the answers for consecutive films together.

    Args:
        positions: which inputs of the run these are.
        files: ``[n]``.
        answers: ``[n]`` of `film_task`, or what the pool says of a film that ended its process.
        request: what was wanted of each film.
        slots: where the pixels lie, if not in the answers. The batch's images may be these very bytes.
        first_slot: slot of the first film; the others follow.
    """
    # A film that ended its process said nothing of its file before.
    read = [
        ReadFilm(file_state(file), answer) if isinstance(answer, Refusal) else answer
        for file, answer in zip(files, answers, strict=True)
    ]
    usable = [(place, film.outcome) for place, film in enumerate(read) if isinstance(film.outcome, DecodedFilm)]
    films = [film for _, film in usable]
    features = [film.features for film in films if film.features is not None]
    return DecodedBatch(
        positions=positions,
        states=[film.state for film in read],
        refusals=[film.outcome if isinstance(film.outcome, Refusal) else None for film in read],
        images=_images(usable, len(read), request.size, slots, first_slot),
        placements=[film.placement for film in films],
        qualities=[film.quality for film in films],
        facts=[film.facts for film in films],
        features=torch.from_numpy(np.stack(features)) if features else torch.empty(len(films), 0, dtype=torch.float64),
        digests=[read[place].digest for place, _ in usable],
        lungs_found=[film.lungs_found for film in films],
        pictures=[_picture(read[place], film, first_slot + place) for place, film in usable]
        if request.picture_side
        else [],
        work=Work(sum(film.work.processor for film in read), sum(film.work.waiting for film in read)),
    )


def add_digests(rows: Sequence[dict[str, Any]], batch: DecodedBatch) -> None:
    """Add the picture's digest to the row of each film that was read."""
    digests = iter(batch.digests)
    for row, refusal in zip(rows, batch.refusals, strict=True):
        row[PICTURE_DIGEST] = None if refusal else next(digests)


def _images(
    usable: Sequence[tuple[int, DecodedFilm]], count: int, size: int, slots: FilmSlots | None, first: int
) -> Tensor:
    if slots is None:
        squares = np.stack([film.square for _, film in usable]) if usable else np.empty((0, size, size), np.float32)
    else:
        squares = slots.squares[first : first + count]
        if len(usable) < count:
            squares = squares[[place for place, _ in usable]]
    return torch.from_numpy(squares)[:, None]


def _picture(read: ReadFilm, film: DecodedFilm, slot: int) -> FilmPicture:
    if read.picture_shape is not None:
        return FilmPicture(read.picture_shape, slot=slot)
    assert film.picture is not None
    return FilmPicture((film.picture.shape[0], film.picture.shape[1]), pixels=film.picture)
