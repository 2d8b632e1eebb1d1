"""The shape-free control beside every AUROC: could a program that sees no anatomy do as well?"""

import textwrap
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.reporting.book import Tested
from pipelines.reporting.charts.style import BLUE, DASHED, GREY, VERMILION, drawn, number_axis
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import text_of
from pipelines.statistics.estimates import Estimate

CHANCE: Final = 0.5
_ROW: Final = 0.72
_APART: Final = 0.17


def control_figure(parts: Sequence[Tested], words: Words) -> Markup:
    """AUROC of the system above AUROC of the control, for every finding of every evaluation."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, part in enumerate(parts):
            y, control = -place, part.result.control
            _dot(axes, y + _APART, part.result.auroc, BLUE, "o")
            if control is not None:
                _dot(axes, y - _APART, control.auroc, VERMILION, "s")
        axes.plot([], [], "o-", color=BLUE, ms=7, label=text_of(words("the system")))
        axes.plot([], [], "s-", color=VERMILION, ms=7, label=text_of(words("shape-free control: sees no anatomy")))
        axes.axvline(CHANCE, color=GREY, lw=1.1, ls=DASHED, label=text_of(words("no better than chance")))
        _frame(axes, parts, words)
        figure.legend(loc="outside lower center", ncols=2, fontsize=9)

    said = Markup(" ").join(_said(part, words) for part in parts)
    return drawn(draw, width=7.2, height=1.5 + _ROW * len(parts), alt=said)


def label(part: Tested, words: Words, width: int = 26, lines: int = 2) -> str:
    """A finding and, where there are several evaluations, its evaluation, in lines that fit beside an axis."""
    return "\n".join(textwrap.wrap(text_of(words.heading(part)), width, max_lines=lines, placeholder=" …"))


def _dot(axes: Axes, y: float, estimate: Estimate, colour: str, marker: str) -> None:
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [y, y], color=colour, lw=2.2, solid_capstyle="butt")
    axes.plot([estimate.value], [y], marker, ms=7.5, color=colour, mec="white")


def _frame(axes: Axes, parts: Sequence[Tested], words: Words) -> None:
    names = [
        f"{label(part, words)}\n{text_of(words.plural('n = {n} film', 'n = {n} films', part.result.n))}"
        for part in parts
    ]
    axes.set_yticks([-place for place in range(len(parts))], names)
    axes.set_ylim(-len(parts) + 0.4, 0.6)
    found = [part.result.auroc for part in parts]
    found += [part.result.control.auroc for part in parts if part.result.control is not None]
    axes.set_xlim(min([0.45, *(estimate.low - 0.03 for estimate in found if estimate.low is not None)]), 1.01)
    number_axis(axes.xaxis, words.language, 1)
    axes.set_xlabel(text_of(words("AUROC with its interval")))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _said(part: Tested, words: Words) -> Markup:
    system, control = part.result.auroc, part.result.control
    if control is None:
        return words(
            "{finding}: AUROC of the system {system} ({interval}); no control.",
            finding=words.heading(part),
            system=words.number(system),
            interval=words.interval(system),
        )
    return words(
        "{finding}: AUROC of the system {system} ({interval}), of the control {control} ({control_interval}).",
        finding=words.heading(part),
        system=words.number(system),
        interval=words.interval(system),
        control=words.number(control.auroc),
        control_interval=words.interval(control.auroc),
    )
