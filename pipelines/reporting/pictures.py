"""Example films as the page embeds them."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from pipelines.evaluation.records import Example, ExampleBox

MAX_SIDE: Final = 520
"""Pixels along the longer side of an embedded picture: readable at the size the page shows it."""
OUTCOME_NAMES: Final = {
    "true_positive": "Found",
    "false_negative": "Missed",
    "false_positive": "False alarm",
    "true_negative": "Rightly not flagged",
}


@dataclass(frozen=True)
class Shown:
    """One example as the template draws it; lengths are in stored pixels (or picture pixels without boxes)."""

    outcome: str
    score: float
    synthetic: bool
    width: int
    height: int
    film: str
    map: str
    boxes: tuple[ExampleBox, ...]
    peak: tuple[float, float] | None
    alt: str
    remark: str


def shown_example(example: Example, folder: Path, name: str) -> Shown | None:
    """Embed the pictures of one example.

    Args:
        example: as in ``evaluation.json``.
        folder: the evaluation folder.
        name: the finding in words, for the alternative text.

    Returns:
        What to draw; None where a picture is missing, unreadable, or lies outside the folder.
    """
    film, heat = (_embed(folder, relative) for relative in (example.film_picture, example.map_picture))
    if film is None or heat is None:
        return None
    sized = example.rows is not None and example.columns is not None
    width, height = (example.columns, example.rows) if sized else film[1]
    outcome = OUTCOME_NAMES[example.outcome]
    boxes = example.boxes or ()
    if not sized:
        remark = "The film's size is not in the manifest, so boxes cannot be placed."
    elif example.boxes is None and example.outcome in ("true_positive", "false_negative"):
        remark = "No box was drawn for this film."
    else:
        remark = ""
    return Shown(
        outcome=outcome,
        score=example.score,
        synthetic=example.synthetic,
        width=int(width or 1),
        height=int(height or 1),
        film=film[0],
        map=heat[0],
        boxes=boxes if sized else (),
        peak=example.peak if sized else None,
        alt=f"{outcome}: chest radiograph with a score of {example.score:.3f} for {name}, {len(boxes)} true boxes",
        remark=remark,
    )


def _embed(folder: Path, relative: str | None) -> tuple[str, tuple[int, int]] | None:
    if relative is None:
        return None
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    try:
        with Image.open(path) as picture:
            size = picture.size
            colour = picture.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        # A picture that cannot be read leaves one example out; the numbers do not depend on it.
        return None
    colour.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    colour.save(buffer, format="JPEG", quality=86)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}", size
