"""A forest plot of the shortcut controls: one row per pair, finding and control."""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.evaluation.control import CHANCE, STRONG_CONTROL
from pipelines.evaluation.control_words import NAMES
from pipelines.evaluation.shortcut.files import pair_name
from pipelines.evaluation.shortcut.records import ControlNumbers, Shortcut
from pipelines.reporting.charts.style import BLUE, DASHED, DOTTED, FONT, GREY, VERMILION, drawn
from pipelines.statistics.estimates import Estimate

_ROW: Final = 0.3
_HEAD: Final = 1.0


def shortcut_svg(found: Shortcut) -> str:
    """The figure as a file of its own, in English."""
    groups = [
        (f"{pair_name(pair)}, {result.finding}", _rows(result.controls, result.system))
        for pair in found.pairs
        for result in pair.findings
        if result.controls
    ]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _fill(axes, groups)
        axes.axvline(CHANCE, color=GREY, lw=1.1, ls=DASHED)
        axes.axvline(STRONG_CONTROL, color=VERMILION, lw=1.1, ls=DOTTED)
        axes.set_xlim(0, 1.01)
        axes.set_xlabel("AUROC with its interval; dashed: chance, dotted: 0.90, from where a control is a warning")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)

    said = "; ".join(f"{head}: {name} {estimate.text()}" for head, rows in groups for name, estimate in rows)
    height = 1.1 + sum(_ROW * (_HEAD + len(rows)) for _, rows in groups)
    svg = str(drawn(draw, width=8.4, height=height, alt=said))
    return svg[svg.index("<svg") : svg.rindex("</svg>") + len("</svg>")].replace(FONT, "sans-serif") + "\n"


def _rows(controls: Sequence[ControlNumbers], system: Estimate | None) -> list[tuple[str, Estimate]]:
    rows = [(NAMES[each.kind], each.auroc) for each in controls]
    return rows if system is None else [*rows, ("the system", system)]


def _fill(axes: Axes, groups: Sequence[tuple[str, Sequence[tuple[str, Estimate]]]]) -> None:
    places: list[float] = []
    names: list[str] = []
    y = 0.0
    for head, rows in groups:
        axes.text(0, y, head, fontweight="bold", fontsize=9, va="center")
        for step, (name, estimate) in enumerate(rows, start=1):
            places.append(y - step)
            names.append(name)
            _dot(axes, y - step, estimate, BLUE if name == "the system" else VERMILION)
        y -= _HEAD + len(rows)
    axes.set_yticks(places, names)
    axes.set_ylim(y + 0.4, 0.6)


def _dot(axes: Axes, y: float, estimate: Estimate, colour: str) -> None:
    if estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [y, y], color=colour, lw=2.2, solid_capstyle="butt")
    axes.plot([estimate.value], [y], "s", ms=6, color=colour, mec="white")
