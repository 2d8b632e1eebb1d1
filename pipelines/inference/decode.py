"""Films → tensors, in this process or in workers: whatever happens to one film stays with that film."""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from pipelines.decoding import DecodedFilm, DecodeRequest, ReadFilm, decode_film, file_state, film_task, read_film
from pipelines.film_pool import FilmPool, Refusal
from pipelines.imaging import FilmFacts, Placement, Quality
from pipelines.system import usable_cores

__all__ = [
    "PART_FILMS",
    "DecodeRequest",
    "DecodedBatch",
    "DecodedFilm",
    "Refusal",
    "batch_ranges",
    "decode_batch",
    "decode_film",
    "default_workers",
    "file_state",
    "part_ranges",
    "read_film",
    "states_digest",
    "stream_batches",
]

PART_FILMS: Final = 128
"""Films per part. Batches never cross a part's end, so a continued run forms the batches an uninterrupted one does."""


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
    """``[k, 261]`` float64; ``[k, 0]`` where not asked for."""
    pictures: list[Tensor]
    """``[k]`` of uint8 ``[h, w]``; empty where not asked for."""

    def pin_memory(self) -> "DecodedBatch":
        """Move the images to page-locked memory for copies to a GPU."""
        self.images = self.images.pin_memory()
        return self


def decode_batch(files: Sequence[Path], positions: range, request: DecodeRequest) -> DecodedBatch:
    """Decode consecutive films into one batch, in this process."""
    with FilmPool(partial(film_task, request=request), workers=0) as pool:
        return _batch(positions, files, list(pool.map(files)), request)


def _batch(
    positions: range, files: Sequence[Path], answers: Sequence[ReadFilm | Refusal], request: DecodeRequest
) -> DecodedBatch:
    # A film that ended its process said nothing of its file before.
    read = [
        ReadFilm(file_state(file), answer) if isinstance(answer, Refusal) else answer
        for file, answer in zip(files, answers, strict=True)
    ]
    outcomes = [film.outcome for film in read]
    films = [outcome for outcome in outcomes if isinstance(outcome, DecodedFilm)]
    size = request.size
    squares = np.stack([film.square for film in films]) if films else np.empty((0, size, size), np.float32)
    features = [film.features for film in films if film.features is not None]
    return DecodedBatch(
        positions=positions,
        states=[film.state for film in read],
        refusals=[outcome if isinstance(outcome, Refusal) else None for outcome in outcomes],
        images=torch.from_numpy(squares)[:, None],
        placements=[film.placement for film in films],
        qualities=[film.quality for film in films],
        facts=[film.facts for film in films],
        features=torch.from_numpy(np.stack(features)) if features else torch.empty(len(films), 0, dtype=torch.float64),
        pictures=[torch.from_numpy(film.picture) for film in films if film.picture is not None],
    )


def states_digest(states: Sequence[str]) -> str:
    """Digest of the states of consecutive files."""
    return hashlib.sha256("\n".join(states).encode()).hexdigest()


def part_ranges(films: int) -> list[range]:
    """Split a run into parts of `PART_FILMS` inputs; the last may be shorter."""
    return [range(start, min(start + PART_FILMS, films)) for start in range(0, films, PART_FILMS)]


def batch_ranges(part: range, batch_size: int) -> list[range]:
    """Split a part into batches; the last may be shorter."""
    return [range(start, min(start + batch_size, part.stop)) for start in range(part.start, part.stop, batch_size)]


def stream_batches(
    files: Sequence[Path], batches: Sequence[range], request: DecodeRequest, *, workers: int, pin: bool
) -> Generator[DecodedBatch, None, None]:
    """Decode batches in order, ahead of whoever consumes them.

    Args:
        files: all films of the run.
        batches: which of them, batch by batch.
        request: what is wanted of each film.
        workers: decoding processes; each film then has a limit of time and memory, and one that ends its process costs
            one refusal. 0 decodes in this process, where nothing holds a film back.
        pin: page-locked memory, for copies to a GPU.

    Raises:
        CxrError: no decoding process can be started.
    """
    films = sum(len(positions) for positions in batches)
    largest = max((len(positions) for positions in batches), default=0)
    ahead = 2 * workers + 2 * largest
    with FilmPool(partial(film_task, request=request), workers=min(workers, films), ahead=ahead) as pool:
        answers = pool.map(files[position] for positions in batches for position in positions)
        with closing(answers):
            for positions in batches:
                chosen = [files[position] for position in positions]
                batch = _batch(positions, chosen, list(islice(answers, len(positions))), request)
                yield batch.pin_memory() if pin else batch


def default_workers(device_type: str) -> int:
    """Return the number of decoding processes: all cores beside a GPU, half of them beside a network on the CPU."""
    cores = usable_cores()
    return cores if device_type != "cpu" else max(1, cores // 2)
