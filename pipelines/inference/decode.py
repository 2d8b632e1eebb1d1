"""Films → tensors, in this process or in workers: whatever happens to one film stays with that film."""

import hashlib
import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipelines.errors import CxrError, Reason, UnreadableImage
from pipelines.evaluation.control import thumbnail_features
from pipelines.imaging import FilmFacts, IntendedUse, Placement, read_radiograph, to_longest, to_square
from pipelines.system import usable_cores

PART_FILMS: Final = 128
"""Films per part. Batches never cross a part's end, so a continued run forms the batches an uninterrupted one does."""


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


class Refusal(NamedTuple):
    """Why a film could not be used."""

    reason: Reason
    detail: str


class DecodedFilm(NamedTuple):
    """One film, ready for the network."""

    square: NDArray[np.float32]
    """``[size, size]`` display values in [0, 1]."""
    placement: Placement
    """Where the film lies in it."""
    features: NDArray[np.float64] | None
    """``[261]``, where asked for."""
    picture: NDArray[np.uint8] | None
    """``[h, w]``, where asked for."""


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
    features: Tensor
    """``[k, 261]`` float64; ``[k, 0]`` where not asked for."""
    pictures: list[Tensor]
    """``[k]`` of uint8 ``[h, w]``; empty where not asked for."""

    def pin_memory(self) -> "DecodedBatch":
        """Move the images to page-locked memory (the loader calls this for a GPU)."""
        self.images = self.images.pin_memory()
        return self


def read_film(file: Path, request: DecodeRequest) -> DecodedFilm:
    """Read and square one film: what training, too, feeds the network and the control.

    Raises:
        UnreadableImage: as `read_radiograph`.
    """
    radiograph = read_radiograph(file, max_side=request.size)
    placement = radiograph.placement(request.size)
    return DecodedFilm(
        to_square(radiograph.pixels, placement),
        placement,
        thumbnail_features(radiograph.pixels) if request.features else None,
        _picture(radiograph.pixels, request.picture_side) if request.picture_side else None,
    )


def decode_film(file: Path, request: DecodeRequest) -> DecodedFilm | Refusal:
    """Read one film; never raises for what is in the file."""
    try:
        return read_film(file, request)
    except UnreadableImage as error:
        return Refusal(error.reason, error.detail)
    except Exception as error:  # noqa: BLE001  a decoder's surprise costs its film one row, not the run its other films
        # Only the kind of error: its text may quote the header, and with it the patient.
        return Refusal(Reason.CORRUPT, f"decoding failed unexpectedly ({type(error).__name__})")


def decode_batch(files: Sequence[Path], positions: range, request: DecodeRequest) -> DecodedBatch:
    """Decode consecutive films into one batch."""
    states = [file_state(file) for file in files]
    outcomes = [decode_film(file, request) for file in files]
    films = [outcome for outcome in outcomes if isinstance(outcome, DecodedFilm)]
    size = request.size
    squares = np.stack([film.square for film in films]) if films else np.empty((0, size, size), np.float32)
    features = [film.features for film in films if film.features is not None]
    return DecodedBatch(
        positions=positions,
        states=states,
        refusals=[outcome if isinstance(outcome, Refusal) else None for outcome in outcomes],
        images=torch.from_numpy(squares)[:, None],
        placements=[film.placement for film in films],
        features=torch.from_numpy(np.stack(features)) if features else torch.empty(len(films), 0, dtype=torch.float64),
        # As tensors, because those cross from a worker in shared memory.
        pictures=[torch.from_numpy(film.picture) for film in films if film.picture is not None],
    )


def file_state(file: Path) -> str:
    """Return size and time of change of a file as text: another text means that the file is another one."""
    try:
        facts = file.stat()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return f"{facts.st_size}:{facts.st_mtime_ns}"


def states_digest(states: Sequence[str]) -> str:
    """Digest of the states of consecutive files."""
    return hashlib.sha256("\n".join(states).encode()).hexdigest()


def part_ranges(films: int) -> list[range]:
    """Split a run into parts of `PART_FILMS` inputs; the last may be shorter."""
    return [range(start, min(start + PART_FILMS, films)) for start in range(0, films, PART_FILMS)]


def batch_ranges(part: range, batch_size: int) -> list[range]:
    """Split a part into batches; the last may be shorter."""
    return [range(start, min(start + batch_size, part.stop)) for start in range(part.start, part.stop, batch_size)]


class FilmBatches(Dataset[DecodedBatch]):
    """Batches of films by number, for a loader whose items are whole batches."""

    def __init__(self, files: Sequence[Path], batches: Sequence[range], request: DecodeRequest) -> None:
        self.files = files
        self.batches = batches
        self.request = request

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> DecodedBatch:
        positions = self.batches[number]
        return decode_batch([self.files[position] for position in positions], positions, self.request)


def stream_batches(
    files: Sequence[Path], batches: Sequence[range], request: DecodeRequest, *, workers: int, pin: bool
) -> Generator[DecodedBatch, None, None]:
    """Decode batches in order, ahead of whoever consumes them.

    Args:
        files: all films of the run.
        batches: which of them, batch by batch.
        request: what is wanted of each film.
        workers: decoding processes; 0 decodes in this one.
        pin: page-locked memory, for copies to a GPU.

    Raises:
        CxrError: a worker died (out of memory, or a decoder crashed the process). The loader may also say so by raising
            a RuntimeError while the consumer is busy: see `worker_death`.
    """
    loader = DataLoader(
        FilmBatches(files, batches, request),
        batch_size=None,
        num_workers=min(workers, len(batches)),
        pin_memory=pin,
        worker_init_fn=_start_worker,
    )
    iterator: Any = iter(loader)
    try:
        yield from iterator
    except (RuntimeError, ConnectionError, FileNotFoundError, EOFError) as error:
        raise worker_death(error) from None
    finally:
        # An error's traceback may keep the iterator alive, and its handler would blame the dead worker for the end of
        # any later child process: the workers are ended here and now.
        if hasattr(iterator, "_shutdown_workers"):
            iterator._shutdown_workers()


def worker_death(error: Exception) -> Exception:
    """Return what to raise instead of an error of the loader: a sentence if it means a dead worker, else the error.

    The loader notices the death itself, or finds the socket closed through which a batch was to come.
    """
    if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
        return error
    return CxrError(
        "a decoding worker died (out of memory, or a decoder crashed); what is finished is kept: "
        "run the same command again, with fewer workers if memory is short"
    )


def default_workers(device_type: str) -> int:
    """Return the number of decoding processes: all cores beside a GPU, half of them beside a network on the CPU."""
    cores = usable_cores()
    return cores if device_type != "cpu" else max(1, cores // 2)


def _start_worker(_worker: int) -> None:
    # Ctrl-C reaches the whole process group: the parent decides when to stop, workers go when it goes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _picture(pixels: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    picture = np.clip(to_longest(pixels, side), 0.0, 1.0)
    return np.ascontiguousarray(np.rint(picture * 255.0).astype(np.uint8))
