"""Waiting times as arrows: from "first come, first served" to "flagged first", the gain and the harm in one picture."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipelines.assessment.reading_records import Waiting
from pipelines.reporting.charts.style import BLUE, GREY, LIGHT, VERMILION, drawn, number_axis
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words, minutes_digits
from pipelines.reporting.texts import text_of
from pipelines.statistics.estimates import Estimate

CLASSES: Final[Mapping[str, str]] = {
    "diseased": message("films with the finding"),
    "missed": message("<strong>missed films</strong>: with the finding, not flagged"),
    "nondiseased": message("films without the finding"),
    "flagged": message("flagged films"),
    "unflagged": message("films not flagged"),
    "interrupting": message("emergencies"),
    "all": message("all films read"),
}
"""Every class of films by its field of `Waiting`, in the order of tables and figures."""
_DRAWN: Final = ("diseased", "missed", "nondiseased", "flagged", "unflagged")
_LABEL: Final = 24


@dataclass(frozen=True)
class Waits:
    """One quantity of the waits under both orders of reading."""

    key: str
    """``mean``, ``p95``, ``longest``."""
    title: Markup
    """The quantity, as head of its panel."""
    source: Markup
    """Theory or simulation, with the number of runs and films: small, under the head."""
    fifo: Waiting
    ai: Waiting
    difference: Waiting

    def rows(self, names: Sequence[str] = tuple(CLASSES)) -> tuple[tuple[str, Estimate, Estimate, Estimate], ...]:
        """Class, wait as films come, wait with flagged films first, and the change; without those that have none."""
        found = (
            (name, getattr(self.fifo, name), getattr(self.ai, name), getattr(self.difference, name)) for name in names
        )
        return tuple(row for row in found if row[1].value is not None and row[2].value is not None)


def waiting_figure(quantities: Sequence[Waits], words: Words) -> Markup:
    """One panel per quantity; in each, an arrow per class of films.

    A triangle to the left in blue is a shorter wait, one to the right in vermilion a longer one.
    """
    names = [name for name in _DRAWN if any(row[0] == name for waits in quantities for row in waits.rows(_DRAWN))]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(quantities), sharey=True, squeeze=False)[0]
        for axes, waits in zip(panels, quantities, strict=True):
            _panel(axes, waits, names, words)
        labels = [textwrap.fill(text_of(words(CLASSES[name])), _LABEL) for name in names]
        panels[0].set_yticks(range(len(names)), labels)
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        figure.legend(handles=_legend(words), loc="outside upper center", ncols=2)

    return drawn(draw, width=7.2, height=1.7 + 0.52 * len(names), alt=_alt(quantities[0], words))


def _panel(axes: Axes, waits: Waits, names: Sequence[str], words: Words) -> None:
    top = 0.0
    for name, before, after, difference in waits.rows(_DRAWN):
        assert before.value is not None
        assert after.value is not None
        y, longer = names.index(name), _longer(difference)
        colour = GREY if longer is None else VERMILION if longer else BLUE
        axes.plot([before.value, after.value], [y, y], color=LIGHT, lw=5, zorder=1, solid_capstyle="round")
        axes.plot(before.value, y, "o", ms=7, color="white", mec=GREY, mew=1.5, zorder=3)
        if after.low is not None and after.high is not None:
            axes.plot([after.low, after.high], [y, y], color=colour, lw=1.4, zorder=2)
        axes.plot(after.value, y, "D" if longer is None else ">" if longer else "<", ms=8, color=colour, zorder=4)
        top = max(top, before.value, after.high or after.value)
    axes.set_xlim(-0.05 * top, 1.08 * top if top else 1)  # a triangle at 0 stands whole
    axes.xaxis.set_major_locator(MaxNLocator(4))
    number_axis(axes.xaxis, words.language)
    axes.set_xlabel(text_of(words("Minutes")))
    title = textwrap.fill(text_of(waits.title), _LABEL)
    axes.set_title(f"{title}\n{textwrap.fill(text_of(waits.source), _LABEL + 4)}", fontsize=8.5, loc="left")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _longer(difference: Estimate) -> bool | None:
    """Whether the wait grows; None where it is the same as printed."""
    value = difference.value
    return None if value is None or round(value, minutes_digits(difference)) == 0 else value > 0


def _legend(words: Words) -> list[Line2D]:
    styles = (
        (words("first come, first served"), "o", GREY, "white"),
        (words("flagged first: read sooner"), "<", BLUE, BLUE),
        (words("flagged first: read later"), ">", VERMILION, VERMILION),
    )
    return [
        Line2D([], [], ls="", marker=marker, mec=edge, mfc=fill, ms=7, label=text_of(text))
        for text, marker, edge, fill in styles
    ]


def _alt(waits: Waits, words: Words) -> Markup:
    """The first quantity in numbers; the others stand in the tables below."""
    rows = Markup(" ").join(
        words(
            "{films}: {before} minutes as films come, {after} minutes with flagged films first.",
            films=words(CLASSES[name]),
            before=words.minutes(before),
            after=words.minutes(after),
        )
        for name, before, after, _ in waits.rows(_DRAWN)
    )
    return words("Waiting times. {quantity}. {rows}", quantity=waits.title, rows=rows)
