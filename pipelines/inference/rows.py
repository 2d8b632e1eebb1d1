"""What a row of the predictions table says of the film itself, whatever the network says of it."""

from typing import Any

from pipelines.imaging import FilmFacts, Orientation, Quality


def quality_columns(quality: Quality, facts: FilmFacts, orientation: Orientation) -> dict[str, Any]:
    """Return the quality columns of a film that was read.

    Args:
        quality: what its picture says.
        facts: what its file says.
        orientation: what turned its stored matrix upright.
    """
    return {
        "inverted_corrected": bool(quality.inverted),
        "rotation_degrees": int(quality.rotation_degrees),
        "cropped": bool(quality.cropped),
        "low_contrast": bool(quality.low_contrast),
        "text_area": float(quality.text_area),
        "border": float(quality.border),
        "colour_converted": bool(facts.colour),
        "orientation": orientation.exif,
    }
