"""The films that an export is checked on, and those that int8 takes its ranges from."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import ModelPackage
from pipelines.errors import ConfigError
from pipelines.inference.decode import decode_batch
from pipelines.inference.inputs.collect import collect_inputs
from pipelines.inference.inputs.film_names import MANIFEST_SUFFIXES
from pipelines.inference.predictor import decode_request
from pipelines.manifest import read_manifest

FEWEST: Final = 10
"""Films without which a check says nothing."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CheckFilms:
    """n films as the network is fed them."""

    images: Tensor
    """``[n, 1, size, size]`` float32."""
    labels: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """By finding ``[n]``: 1, 0 or NaN; empty where the films came without a manifest."""

    def part(self, start: int, step: int) -> "CheckFilms":
        """Return every `step`-th film."""
        labels = {finding: values[start::step] for finding, values in self.labels.items()}
        return CheckFilms(self.images[start::step], labels)


def read_check_films(
    given: Path,
    package: ModelPackage,
    *,
    split: str = "val",
    root: Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> CheckFilms:
    """Read films, in an order that depends on their names alone.

    Args:
        given: a folder of films, or a manifest, whose labels are taken too.
        package: the model: its input and its intended use.
        split: which films of a manifest; a folder has none.
        root: what a manifest's paths are relative to.
        limit: read at most so many.
        progress: called after each film.

    Raises:
        ConfigError: fewer than `FEWEST` films that the model scores.
        CxrError: films or manifest cannot be found, or have no such split.
    """
    is_manifest = given.name.lower().endswith(MANIFEST_SUFFIXES)
    inputs = collect_inputs([given], root=root, split=split if is_manifest else None)
    chosen = sorted(inputs.films, key=lambda film: hashlib.sha256(film.image_id.encode()).digest())[:limit]
    request = decode_request(package)
    images, names = [], []
    for position, film in enumerate(chosen):
        batch = decode_batch([film.file], range(position, position + 1), request)
        if len(batch.images):
            images.append(batch.images)
            names.append(film.image_id)
        if progress:
            progress(position + 1, len(chosen))
    if len(images) < FEWEST:
        raise ConfigError(
            f"{given}: {len(images)} of {len(chosen)} films can be read for this model, expected at least {FEWEST}"
        )
    labels: dict[str, NDArray[np.float64]] = {}
    if is_manifest:
        rows = read_manifest(given).set_index("image_id").loc[names]
        labels = {
            finding: rows[finding].to_numpy(np.float64, na_value=np.nan) for finding in package.architecture.findings
        }
    return CheckFilms(torch.cat(images), labels)


def calibration_and_check(films: CheckFilms, *, quantised: bool) -> tuple[CheckFilms, CheckFilms]:
    """Return the films that ranges are taken from and the films that are checked: disjoint halves for int8.

    Other precisions take no ranges, and are checked on all films.

    Raises:
        ConfigError: too few films to halve.
    """
    if not quantised:
        return CheckFilms(films.images[:0]), films
    if len(films.images) < 2 * FEWEST:
        raise ConfigError(
            f"int8 takes its ranges from one half of the films and is checked on the other: found {len(films.images)} "
            f"films, expected at least {2 * FEWEST}"
        )
    return films.part(0, 2), films.part(1, 2)
