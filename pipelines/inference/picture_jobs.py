"""A scored batch → the pictures that are to be written of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from pipelines.decoding import PictureJob
from pipelines.evaluation.predictions import heatmap_file, maps_file
from pipelines.heatmaps import FilmMaps, on_whole_film
from pipelines.imaging import Placement
from pipelines.inference.decode import DecodedBatch
from pipelines.inference.predictor import ScoredBatch


def picture_jobs(folder: Path, decoded: DecodedBatch, scored: ScoredBatch, findings: Sequence[str]) -> list[PictureJob]:
    """Return one job for each film of a batch that has a score.

    Args:
        folder: of the pictures; exists.
        decoded: the batch, with its pictures.
        scored: what the network says of it.
        findings: ``[F]``.
    """
    read = [row for row, refusal in zip(scored.rows, decoded.refusals, strict=True) if refusal is None]
    jobs = []
    for film, row in enumerate(read):
        if row["status"] != "ok":  # read, and refused by the network
            continue
        maps = film_maps(folder, row, torch.sigmoid(scored.maps[film]).numpy(), findings, decoded.placements[film])
        picture = decoded.pictures[film]
        jobs.append(PictureJob(maps, picture.shape, picture.slot, picture.pixels))
    return jobs


def film_maps(
    folder: Path, row: Mapping[str, Any], cells: NDArray[Any], findings: Sequence[str], place: Placement
) -> FilmMaps:
    """Return what is to be shown of one film, and under which names.

    Args:
        folder: of the pictures.
        row: the film's row of the predictions table.
        cells: ``[F, h, w]`` float32 cell probabilities.
        findings: ``[F]``.
        place: where the film lies in the square input.
    """
    name = row["image_id"]
    if place.crop is not None:
        # Whoever reads the files knows the film, not what part of it the network was shown.
        cells, place = on_whole_film(cells, place), place.whole
    return FilmMaps(
        film=folder / heatmap_file(name, "film"),
        overlays=tuple(folder / heatmap_file(name, finding) for finding in findings),
        numbers=folder / maps_file(name),
        cells=cells,
        place=place,
        peaks={
            number: (row[f"peak_x_{finding}"], row[f"peak_y_{finding}"])
            for number, finding in enumerate(findings)
            if row.get(f"flag_{finding}")
        },
    )
