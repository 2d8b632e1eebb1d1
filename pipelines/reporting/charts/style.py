"""One calm style for every figure: safe for colour-blind eyes and grey print, text that stays text."""

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from typing import Any, Final

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pipelines.reporting.language.language import Language
from pipelines.reporting.texts import text_of

BLUE: Final = "#0b5a8a"
VERMILION: Final = "#c1500a"
GREY: Final = "#6b7480"
LIGHT: Final = "#d5dae0"
INK: Final = "#1e2730"
DASHED: Final = (0, (4, 3))
DOTTED: Final = (0, (1, 1.5))
FONT: Final = "CXR Sans"
"""Name of the font that the page embeds for figures: DejaVu Sans, cut to the characters used."""
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8ebee",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "cxr-triage",
    "text.parse_math": False,  # a dollar sign in a title is a dollar sign
}


def drawn(draw: Callable[[Figure], None], *, width: float, height: float, alt: str | Markup) -> Markup:
    """Run a drawing function on a fresh figure.

    Args:
        draw: adds axes and draws on them.
        width: inches; 5.2 for half a page, 7.2 for a whole one.
        height: inches.
        alt: what the figure says, with its numbers: the text for those who do not see it.

    Returns:
        Inline SVG whose text is text, in a box with the alternative text.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        with warnings.catch_warnings():
            # Names in any script: text stays text, and the reader's own fonts have what this one lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].replace("DejaVu Sans", FONT)
    said = text_of(alt)
    return Markup('<div class="figure" role="img" aria-label="{}">{}</div>').format(said, Markup(_own_ids(svg, said)))


def _own_ids(svg: str, said: str) -> str:
    """Ids that no other figure of the page has: a reference into a figure of a hidden language would find nothing."""
    own = f"c{hashlib.sha256((svg + said).encode()).hexdigest()[:8]}-"
    svg = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", svg)  # names of groups, which nothing refers to
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}", svg)


def percent_axis(axis: Axis, language: Language) -> None:
    """Ticks of an axis of shares as percentages."""
    axis.set_major_formatter(
        FuncFormatter(lambda share, _place: language.percent(share, 0 if abs(share - round(share, 2)) < 1e-9 else 1))
    )


def number_axis(axis: Axis, language: Language, digits: int | None = None) -> None:
    """Ticks of an axis of numbers, by locale; without ``digits`` as many decimals as a number needs."""
    axis.set_major_formatter(
        FuncFormatter(
            lambda number, _place: language.significant(number) if digits is None else language.decimal(number, digits)
        )
    )


def unit_square(axes: Axes, language: Language, *, x: str, y: str) -> None:
    """Axes of two shares, as tall as they are wide."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    percent_axis(axes.xaxis, language)
    percent_axis(axes.yaxis, language)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
