"""Text in figures: measured and wrapped, so that a message of any length stays inside its place."""

import warnings
from functools import cache
from typing import Final

from markupsafe import Markup
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from pipelines.reporting.texts import text_of

POINTS_PER_INCH: Final = 72.0
LINE: Final = 1.28
"""Height of a line over the size of its letters."""


@cache
def _font(size: float, weight: str) -> FontProperties:
    return FontProperties(family="DejaVu Sans", size=size, weight=weight)


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width of one line in inches.

    Args:
        text: one line.
        size: of its letters, in points.
        weight: ``normal`` or ``bold``.
    """
    with warnings.catch_warnings():
        # A letter that this font lacks counts as its box; the reader's own fonts draw it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        width, _, _ = text_to_path.get_text_width_height_descent(text, _font(size, weight), ismath=False)
    return float(width) / POINTS_PER_INCH


def lines_of(text: str | Markup, width: float, size: float, weight: str = "normal") -> list[str]:
    """A text as lines that fit a width; a word longer than a line is cut.

    Args:
        text: a message; tags are dropped, line breaks stay.
        width: inches.
        size: points.
        weight: ``normal`` or ``bold``.
    """
    said = text_of(text)
    lines: list[str] = []
    line = ""
    for word in (piece for each in said.split(" ") if each for piece in _pieces(each, width, size, weight)):
        longer = f"{line} {word}" if line else word
        if line and text_width(longer, size, weight) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


def wrapped(text: str | Markup, width: float, size: float, weight: str = "normal") -> str:
    """The same as one text."""
    return "\n".join(lines_of(text, width, size, weight))


def _pieces(word: str, width: float, size: float, weight: str) -> list[str]:
    if text_width(word, size, weight) <= width:
        return [word]
    pieces, piece = [], ""
    for letter in word:
        if piece and text_width(piece + letter, size, weight) > width:
            pieces.append(piece)
            piece = ""
        piece += letter
    return [*pieces, piece]
