"""The cross-cohort matrix: each system on each cohort, darker where it tells the films apart better."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipelines.reporting.charts.style import BLUE, GREY, INK, LIGHT, VERMILION, drawn
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import text_of
from pipelines.statistics.estimates import Estimate

DARK: Final = 0.8
"""From this AUROC on a cell is so dark that its text is white."""
_SHADES: Final = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#d6e5ef", BLUE])


@dataclass(frozen=True)
class MatrixCell:
    """One system on one cohort."""

    auroc: Estimate
    home: bool
    """Whether the system was trained on films of this cohort's data sets."""


def matrix_figure(
    systems: Sequence[Markup],
    cohorts: Sequence[Markup],
    cells: Mapping[tuple[int, int], MatrixCell],
    words: Words,
    *,
    alt: Markup,
) -> Markup:
    """Draw the matrix.

    Args:
        systems: names of the rows.
        cohorts: names of the columns.
        cells: by row and column; what is missing was not evaluated.
        words: the language.
        alt: the same in words.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row in range(len(systems)):
            for column in range(len(cohorts)):
                _cell(axes, row, column, cells.get((row, column)), words)
        axes.set_xlim(0, len(cohorts))
        axes.set_ylim(len(systems), 0)
        fits = 20 if len(cohorts) <= 3 else 12  # characters under each other, so that names do not touch
        axes.set_xticks([place + 0.5 for place in range(len(cohorts))], [_lines(name, fits) for name in cohorts])
        axes.set_yticks([place + 0.5 for place in range(len(systems))], [_lines(name, 22) for name in systems])
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel(text_of(words("Tested on")))
        axes.set_ylabel(text_of(words("System")))
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)

    width = min(7.2, 2.4 + 1.6 * len(cohorts))
    return drawn(draw, width=width, height=max(2.6, 1.2 + 0.85 * len(systems)), alt=alt)


def _lines(name: Markup, width: int) -> str:
    return "\n".join(textwrap.wrap(text_of(name), width, max_lines=3, placeholder=" …"))


def _cell(axes: Axes, row: int, column: int, cell: MatrixCell | None, words: Words) -> None:
    if cell is None or cell.auroc.value is None:
        axes.add_patch(Rectangle((column, row), 1, 1, fc="white", ec=LIGHT, lw=1, hatch="///"))
        if cell is None:
            _write(axes, column, row + 0.5, words("not tested"), GREY, 8)
        else:
            _write(axes, column, row + 0.5, words("no AUROC"), GREY, 8)
        return
    shade = _SHADES(min(max(2 * (cell.auroc.value - 0.5), 0.0), 1.0))
    axes.add_patch(Rectangle((column, row), 1, 1, fc=shade, ec="white", lw=2))
    if cell.home:
        box = Rectangle((column + 0.03, row + 0.05), 0.94, 0.9, fc="none", ec=VERMILION, lw=2, ls=(0, (4, 2)))
        axes.add_patch(box)
    ink = "white" if cell.auroc.value >= DARK else INK
    _write(axes, column, row + 0.27, words.number(cell.auroc), ink, 12)
    _write(axes, column, row + 0.52, words.bounds(cell.auroc), ink, 8)
    _write(axes, column, row + 0.75, words("n = {n}", n=words.language.integer(cell.auroc.n)), ink, 8)


def _write(axes: Axes, column: int, y: float, text: Markup, colour: str, size: float) -> None:
    axes.text(column + 0.5, y, text_of(text), ha="center", va="center", color=colour, fontsize=size)
