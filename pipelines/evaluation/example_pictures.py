"""Pictures of the films to look at, kept in the evaluation folder so that it can be moved."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.evaluation.example_records import Example, NoPicture
from pipelines.evaluation.predictions import heatmap_file, maps_file
from pipelines.evaluation.records import Evaluation
from pipelines.imaging.geometry import Placement
from pipelines.system import replacing

PICTURES_FOLDER: Final = "pictures"
MAX_SIDE: Final = 1024
"""Longer side of a kept film in pixels."""
LAYER_SIDE: Final = 96
"""Longer side of a kept map in pixels: maps are smooth, and are shown enlarged."""
MAX_PIXELS: Final = 40_000_000
"""Of a picture that is opened at all."""
_STRIDE: Final = 32
"""Pixels of the network's input to a cell. A network with another has its film's edges up to half a pixel off."""
_OURS: Final = re.compile(r"\d+-\d+-(film|map|layer)\.png")
UNREADABLE: Final = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for a broken picture."""


def with_examples(evaluation: Evaluation, change: Callable[[int, int, str, Example], Example]) -> Evaluation:
    """The evaluation with every example film changed.

    Args:
        evaluation: with its examples chosen.
        change: called with the number of the finding, that of its film (both from 1), the finding and the film.
    """
    findings = []
    for number, result in enumerate(evaluation.findings, 1):
        chosen = enumerate(result.examples.films, 1)
        films = tuple(change(number, film, result.finding, example) for film, example in chosen)
        examples = result.examples.model_copy(update={"films": films})
        findings.append(result.model_copy(update={"examples": examples}))
    return evaluation.model_copy(update={"findings": tuple(findings)})


def with_pictures(evaluation: Evaluation, source: Path, out: Path) -> Evaluation:
    """Copy the pictures of the films that may be shown; pictures of an earlier evaluation in the folder go.

    Args:
        evaluation: with its examples chosen.
        source: the pictures of ``cxr predict --heatmaps``.
        out: the evaluation folder.

    Returns:
        The evaluation whose examples name the copied pictures.
    """
    folder = out / PICTURES_FOLDER
    folder.mkdir(exist_ok=True)
    order = _findings(source)

    def copied(number: int, film: int, finding: str, example: Example) -> Example:
        place = order.index(finding) if finding in order else None
        return _copied(example, source, folder / f"{number}-{film}", finding, place)

    written = with_examples(evaluation, copied)
    _clear(folder, written)
    return written


def _findings(source: Path) -> tuple[str, ...]:
    """The order of findings in saved maps; empty where it is not known."""
    try:
        model = json.loads((source.parent / "run.json").read_text(encoding="utf-8"))["model"]
        return tuple(str(finding) for finding in model["findings"])
    except (OSError, ValueError, KeyError, TypeError):
        # The maps are a picture beside the numbers; what run.json says of the numbers is checked where they are read.
        return ()


def _clear(folder: Path, written: Evaluation) -> None:
    films = [film for result in written.findings for film in result.examples.films]
    named = {name for film in films for name in (film.film_picture, film.map_picture, film.map_layer)}
    for entry in folder.iterdir():
        if _OURS.fullmatch(entry.name) and f"{folder.name}/{entry.name}" not in named:
            entry.unlink()


def _copied(example: Example, source: Path, stem: Path, finding: str, place: int | None) -> Example:
    if example.no_picture is not None:
        return example
    try:
        film = open_picture(source / heatmap_file(example.image_id, "film")).convert("L")
        cells = _cells(source / maps_file(example.image_id), place)
        overlay = open_picture(source / heatmap_file(example.image_id, finding)) if cells is None else None
    except UNREADABLE:
        unreadable: NoPicture = "unreadable"
        return example.model_copy(update={"no_picture": unreadable})
    names = {"film_picture": _kept(film, stem, "film")}
    if overlay is not None:
        names["map_picture"] = _kept(overlay.convert("RGB"), stem, "map")
    if cells is not None:
        upright = (example.rows, example.columns) if example.rows and example.columns else film.size[::-1]
        layer = film_layer(cells, upright[0] or 1, upright[1] or 1)
        names["map_layer"] = _kept(Image.fromarray(layer), stem, "layer")
    return example.model_copy(update=names)


def open_picture(path: Path) -> Image.Image:
    """A picture with its pixels read.

    Raises:
        OSError: or another of `UNREADABLE`: no such file, broken, or larger than `MAX_PIXELS`.
    """
    with Image.open(path) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"{path.name}: {picture.width} x {picture.height} pixels, expected at most {MAX_PIXELS}.")
        picture.load()
        return picture.copy()


def _kept(picture: Image.Image, stem: Path, part: str) -> str:
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    path = stem.with_name(f"{stem.name}-{part}.png")
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")
    return f"{path.parent.name}/{path.name}"


def _cells(path: Path, place: int | None) -> NDArray[np.float32] | None:
    """One finding's map ``[h, w]``; None where the predictions kept pictures only, or the map is not a map."""
    if place is None or not path.is_file():
        return None
    try:
        maps: Any = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = isinstance(maps, np.ndarray) and maps.ndim == 3 and place < len(maps) and maps.dtype.kind == "f"
    if not fits or not 1 <= min(maps.shape[1:]) <= max(maps.shape[1:]) <= MAX_SIDE:
        return None
    cells = np.asarray(maps[place], dtype=np.float32)
    return cells if np.isfinite(cells).all() else None


def film_layer(cells: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.uint8]:
    """The part of a map that lies on the film, small and grey.

    Args:
        cells: ``[h, w]`` probabilities whose cells tile the network's square input.
        rows: height of the upright film.
        columns: its width.

    Returns:
        ``[h, w]``, the longer side `LAYER_SIDE`; 255 is a probability of 1; its edges are those of the film.
    """
    size = _STRIDE * max(cells.shape)
    square = np.clip(cv2.resize(cells, (size, size), interpolation=cv2.INTER_LINEAR), 0.0, 1.0)
    place = Placement.fit(rows, columns, size)
    part = square[place.top : place.top + place.height, place.left : place.left + place.width]
    scale = LAYER_SIDE / max(part.shape)
    width, height = (max(1, round(side * scale)) for side in (part.shape[1], part.shape[0]))
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(np.clip(small, 0.0, 1.0) * 255.0), dtype=np.uint8)
