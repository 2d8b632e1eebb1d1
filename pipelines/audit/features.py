"""Feature vectors of films from a frozen network: computed once for each film, kept on disk."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.classifier import Architecture, Classifier
from models.errors import ModelError
from models.package import load_package
from models.pretrained import LITE0_BACKBONE, LITE0_INPUT, load_pretrained
from pipelines.decoding import DecodedFilm, DecodeRequest, FilmJob, ReadFilm, film_task
from pipelines.errors import ConfigError, PackageError
from pipelines.evaluation.shortcut.features import file_key, keep_vector, kept_vectors, opened_cache
from pipelines.film_files import file_state
from pipelines.film_pool import FilmPool, Refusal
from pipelines.inference.predictor import decode_request
from pipelines.statistics.arrays import Floats

LITE0: Final = "lite0"
_BATCH: Final = 16
_FEW: Final = 8
"""Below this many films, starting processes takes longer than reading."""

Progress = Callable[[int, int], None]
"""Called with (films read, films in all)."""


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network that is not trained any further, and what it wants of a film."""

    name: str
    """In words, for the record."""
    digest: str
    """SHA-256 of weights and input: features of one network are never taken for another's."""
    network: Classifier
    request: DecodeRequest

    def __call__(self, squares: Sequence[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> Floats:
        """``[n, d]`` of ``n`` square films: mean and standard deviation of each channel at each scale."""
        with torch.inference_mode():
            found: Tensor = self.network(torch.from_numpy(np.stack(squares))[:, None]).features
        return np.asarray(found.double().numpy(), dtype=np.float64)


def pretrained_network(backbone: str, size: int) -> FrozenNetwork:
    """A network pretrained on ImageNet.

    Args:
        backbone: ``lite0`` (packaged, no download) or a torchvision classification model (its weights are downloaded
            once).
        size: side of the square input.

    Raises:
        ModelError: an unknown network, or weights that cannot be had.
    """
    lite0 = backbone == LITE0
    name = LITE0_BACKBONE if lite0 else backbone
    weights = load_pretrained(LITE0 if lite0 else "imagenet", name)
    architecture = Architecture(backbone=name, size=size)
    if lite0:
        architecture = replace(architecture, mean=LITE0_INPUT[0], std=LITE0_INPUT[1])
    network = Classifier(architecture, weights=weights).eval()
    return FrozenNetwork(
        f"{name} pretrained on ImageNet, {size} px", _digest(network, size), network, DecodeRequest(size)
    )


def package_network(folder: Path) -> FrozenNetwork:
    """The network of a model package, which also decides how films are read.

    Raises:
        PackageError: no whole, unchanged model package, or one that this version cannot read films for.
    """
    try:
        package = load_package(folder)
        network = package.build().eval()
    except ModelError as error:
        raise PackageError(str(error)) from None
    wanted = decode_request(package)
    request = DecodeRequest(wanted.size, use=wanted.use, harmonisation=wanted.harmonisation)
    return FrozenNetwork(f"model package {package.name} ({package.model_id})", package.model_id, network, request)


def _digest(network: Classifier, size: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    for name, value in sorted(network.backbone.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def network_features(
    files: Sequence[Path], network: FrozenNetwork, folder: Path, *, workers: int, progress: Progress | None = None
) -> dict[Path, Floats | str]:
    """Features of films, from the cache where it has them; a film is known by its path, size and time of change.

    Args:
        files: each once.
        network: what computes them.
        folder: for the cache, a file for each network.
        workers: processes that read films; 0 reads in this one.
        progress: told after every batch.

    Returns:
        By file ``[d]``, or the code of the reason why it could not be read.

    Raises:
        EvaluationError: the cache is no cache of features.
        ConfigError: the network gives numbers that are not finite.
        OSError: the cache cannot be written.
    """
    found: dict[Path, Floats | str] = {}
    with opened_cache(folder / f"features-{network.digest[:12]}.sqlite", f"audit:1:{network.digest}") as store:
        states, known = {file: file_state(file) for file in files}, kept_vectors(store)
        for file in files:
            kept = known.get(file_key(file))
            if kept is not None and kept[0] == states[file]:
                found[file] = kept[1]
        missing = [file for file in files if file not in found]
        answers = _read(missing, network.request, workers)
        while batch := list(islice(answers, _BATCH)):
            usable = [(file, film.square) for file, film in batch if isinstance(film, DecodedFilm)]
            found |= {file: str(film.reason) for file, film in batch if isinstance(film, Refusal)}
            vectors = network([square for _, square in usable]) if usable else np.empty((0, 0))
            if not np.isfinite(vectors).all():
                raise ConfigError(f"{network.name}: its features are not finite numbers; choose another network.")
            for (file, _), vector in zip(usable, vectors, strict=True):
                found[file] = vector
                keep_vector(store, file, states[file], vector)
            store.commit()
            if progress is not None:
                progress(len(found) - (len(files) - len(missing)), len(missing))
    return found


def _read(files: Sequence[Path], request: DecodeRequest, workers: int) -> Iterator[tuple[Path, DecodedFilm | Refusal]]:
    jobs = (FilmJob(file) for file in files)
    with FilmPool(partial(film_task, request=request), workers=0 if len(files) < _FEW else workers) as pool:
        for file, answer in zip(files, pool.map(jobs), strict=True):
            if isinstance(answer, Refusal):
                yield file, answer
            else:
                assert isinstance(answer, ReadFilm)
                yield file, answer.outcome
