"""Minutes of reader time for 1,000 films, by how the system is used."""

import textwrap
from collections.abc import Mapping
from typing import Final

from markupsafe import Markup
from matplotlib.figure import Figure

from pipelines.reading_time.effort import Effort
from pipelines.reporting.charts.style import BLUE, GREY, INK, drawn, number_axis
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import text_of
from pipelines.statistics.estimates import Estimate

WAYS: Final[Mapping[str, str]] = {
    "without_ai": message("every film is read, without AI"),
    "with_ai": message("every film is read, AI shown to the reader"),
    "rule_out": message("low scores filed unread, the rest read without AI"),
    "with_ai_and_rule_out": message("low scores filed unread, the rest read with AI shown"),
}
"""Every way of working by its field of `pipelines.reading_time.effort.Minutes`."""


def ways(effort: Effort) -> tuple[tuple[str, Estimate], ...]:
    """The ways of working that were computed and have a value, by name."""
    found = ((name, getattr(effort.minutes_per_1000, name)) for name in WAYS)
    return tuple((name, spent) for name, spent in found if spent is not None and spent.value is not None)


def effort_figure(effort: Effort, words: Words) -> Markup:
    """One bar from zero for every way of working, with its interval."""
    rows = ways(effort)

    def draw(figure: Figure) -> None:
        axes, top = figure.add_subplot(), 0.0
        for y, (name, spent) in enumerate(rows):
            assert spent.value is not None
            filed = name in ("rule_out", "with_ai_and_rule_out")
            fill, hatch = (GREY, None) if name == "without_ai" else (BLUE, "///" if filed else None)
            axes.barh(y, spent.value, height=0.5, color=fill, alpha=0.35, hatch=hatch, edgecolor=fill)
            end = spent.value
            if spent.low is not None and spent.high is not None:
                axes.plot([spent.low, spent.high], [y, y], color=INK, lw=1.6, marker="|", ms=9)
                end = spent.high
            axes.annotate(text_of(words.number(spent, 0)), (end, y), (7, 0), textcoords="offset points", va="center")
            top = max(top, end)
        axes.set_yticks(range(len(rows)), [textwrap.fill(text_of(words(WAYS[name])), 30) for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(0, 1.15 * top)
        number_axis(axes.xaxis, words.language)
        axes.set_xlabel(text_of(words("Minutes of reader time per 1,000 films")))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)

    return drawn(draw, width=7.2, height=0.9 + 0.55 * len(rows), alt=_alt(effort, words))


def _alt(effort: Effort, words: Words) -> Markup:
    rows = Markup(" ").join(
        words(
            "{way}: {minutes} ({interval}).",
            way=words(WAYS[name]),
            minutes=words.number(spent, 1),
            interval=words.interval(spent, 1),
        )
        for name, spent in ways(effort)
    )
    return words("Minutes of reader time per 1,000 films. {rows}", rows=rows)
