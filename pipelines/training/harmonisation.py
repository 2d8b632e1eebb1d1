"""What a run does to make its films alike: the settings, and what they take from the training films."""

import numpy as np
from monai.data import Dataset

from pipelines.config import TrainConfig
from pipelines.decoding import read_harmonised
from pipelines.errors import ManifestError, UnreadableImage
from pipelines.imaging.harmonise import Harmonisation, mean_landmarks
from pipelines.training.films import Cohort, site_names

SITE_FILMS = 200
"""Training films of a site, at most, whose landmarks are averaged: their mean is then known to a few thousandths."""


def learn_harmonisation(config: TrainConfig, train: Cohort) -> Harmonisation | None:
    """Return what is done to every film of a run; None where every switch is off.

    With ``intensity: site`` up to `SITE_FILMS` training films of each site, drawn by the seed, are read; their labels
    take no part.

    Raises:
        ManifestError: one of these films cannot be read.
    """
    settings = Harmonisation(**config.harmonisation.model_dump())
    if settings.changes_nothing:
        return None
    if settings.intensity != "site":
        return settings
    names = np.array(site_names(train))
    sites = {}
    for number, site in enumerate(sorted(set(names.tolist()))):
        drawn = np.random.default_rng([config.seed, number]).permutation(np.flatnonzero(names == site))[:SITE_FILMS]
        films = [_landmarks(train, int(index), settings, config.model.size) for index in np.sort(drawn)]
        sites[site] = mean_landmarks(films)
    return Harmonisation(**config.harmonisation.model_dump(), sites=sites)


def _landmarks(cohort: Cohort, index: int, settings: Harmonisation, size: int) -> tuple[float, ...]:
    try:
        return read_harmonised(cohort.paths[index], settings, size=size)[1].landmarks
    except UnreadableImage as error:
        image_id = cohort.rows["image_id"].iloc[index]
        raise ManifestError(f"{image_id} cannot be read ({error.reason}: {error.detail})") from None


def lungs_found(cache: Dataset) -> int | None:
    """Return on how many films of a cache the box around the lungs was found; None where it is not looked for."""
    answers = [cache[index].get("lungs_found") for index in range(len(cache))]
    known = [answer for answer in answers if answer is not None]
    return sum(map(bool, known)) if known else None
