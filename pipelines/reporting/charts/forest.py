"""Forest plots: one metric per panel, one group per row, all films together as a line."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipelines.evaluation.subgroups.records import Subgroup, SubgroupColumn
from pipelines.reporting.charts.style import BLUE, DASHED, GREY, LIGHT, VERMILION, drawn, number_axis, percent_axis
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import plain, text_of
from pipelines.statistics.estimates import Estimate

Shown = Literal["sensitivity", "specificity", "auroc"]
METRICS: Final[Mapping[Shown, str]] = {
    "sensitivity": message("Sensitivity"),
    "specificity": message("Specificity"),
    "auroc": message("AUROC"),
}
"""What is drawn for every group, in the order of panels and tables."""
_NAME: Final = 22
_LEAST_SPAN: Final = 0.1


@dataclass(frozen=True)
class Row:
    """One group as it is drawn."""

    group: Subgroup
    label: Markup
    """Its name in words, whole."""


@dataclass(frozen=True)
class Panel:
    """One metric of all groups of a column."""

    metric: Shown
    overall: Estimate
    """Of all films."""
    distinct: frozenset[str]
    """Groups with a gap that is shown after adjustment."""


def panels(column: SubgroupColumn, overall: Mapping[Shown, Estimate | None]) -> tuple[Panel, ...]:
    """One panel for each metric that has a value over all films."""
    return tuple(
        Panel(metric, estimate, _distinct(column, metric))
        for metric in METRICS
        if (estimate := overall[metric]) is not None and estimate.value is not None
    )


def _distinct(column: SubgroupColumn, metric: Shown) -> frozenset[str]:
    """Groups in a gap that is shown; where there are two groups, the gap is of both."""
    gaps = [gap for gap in column.gaps if gap.metric == metric and gap.verdict == "shown"]
    return frozenset(name for gap in gaps for name in (gap.group, gap.against))


def forest_figure(title: Markup, rows: Sequence[Row], drawn_panels: Sequence[Panel], words: Words) -> Markup:
    """Every group with its interval beside all films; suppressed groups keep their row."""

    def draw(figure: Figure) -> None:
        every = figure.subplots(1, len(drawn_panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(every, drawn_panels, strict=True):
            _panel(axes, panel, rows, words)
        every[0].set_yticks(range(len(rows)), [_short(row.label) for row in rows])
        every[0].set_ylim(len(rows) - 0.4, -0.6)
        handles = _legend(drawn_panels, words)
        figure.legend(handles=handles, loc="outside upper center", ncols=2, handlelength=1.6)

    height = 1.75 + 0.3 * len(rows)
    return drawn(draw, width=7.2, height=height, alt=_alt(title, rows, drawn_panels, words))


def _short(label: Markup) -> str:
    return plain(text_of(label), _NAME)


def _panel(axes: Axes, panel: Panel, rows: Sequence[Row], words: Words) -> None:
    overall = panel.overall
    assert overall.value is not None
    if overall.low is not None and overall.high is not None:
        axes.axvspan(overall.low, overall.high, color=LIGHT, alpha=0.5, lw=0)
    axes.axvline(overall.value, color=GREY, lw=1.2, ls=DASHED)
    found = [row.group.metric(panel.metric) for row in rows]
    axes.set_xlim(*_span([overall, *found]))
    for y, (row, estimate) in enumerate(zip(rows, found, strict=True)):
        _mark(axes, y, estimate, words, distinct=row.group.name in panel.distinct)
    if panel.metric == "auroc":
        number_axis(axes.xaxis, words.language)
    else:
        percent_axis(axes.xaxis, words.language)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.set_xlabel(text_of(words(METRICS[panel.metric])))
    axes.text(1.03, 1.0, "n", transform=axes.transAxes, ha="left", va="bottom", fontsize=8, color=GREY, style="italic")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _span(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """From below the lowest bound to above the highest, at least a tenth wide, inside what a share can be."""
    ends = [end for one in estimates for end in (one.value, one.low, one.high) if end is not None]
    low, high = min(ends), max(ends)
    room = max(0.05 * (high - low), (_LEAST_SPAN - (high - low)) / 2, 0.01)
    return max(-0.01, low - room), min(1.02, high + room)


def _mark(axes: Axes, y: int, estimate: Estimate, words: Words, *, distinct: bool) -> None:
    beside = axes.get_yaxis_transform()
    count = text_of(words.count(estimate, "n"))
    axes.text(1.03, y, count, transform=beside, ha="left", va="center", fontsize=8, color=GREY)
    if estimate.value is None:
        text = textwrap.shorten(text_of(words("too few films")), 30, placeholder="…")
        axes.text(0.03, y, text, transform=beside, ha="left", va="center", fontsize=8, color=GREY, style="italic")
        return
    colour, marker = (VERMILION, "D") if distinct else (BLUE, "o")
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [y, y], color=colour, lw=1.8, zorder=3)
    hollow = estimate.low is None
    axes.plot(estimate.value, y, marker, ms=6, color="white" if hollow else colour, mec=colour, zorder=4)


def _legend(drawn_panels: Sequence[Panel], words: Words) -> list[Line2D]:
    handles = [
        Line2D([], [], color=GREY, lw=1.2, ls=DASHED, label=text_of(words("all films, with their interval in grey"))),
        Line2D([], [], color=BLUE, marker="o", ms=6, label=text_of(words("a group, with its interval"))),
    ]
    if any(panel.distinct for panel in drawn_panels):
        label = text_of(words("a group whose gap is shown"))
        handles.append(Line2D([], [], color=VERMILION, marker="D", ms=6, label=label))
    return handles


def _alt(title: Markup, rows: Sequence[Row], drawn_panels: Sequence[Panel], words: Words) -> Markup:
    parts = Markup(" ").join(_said(panel, rows, words) for panel in drawn_panels)
    return words("{column}, group by group. {parts}", column=title, parts=parts)


def _said(panel: Panel, rows: Sequence[Row], words: Words) -> Markup:
    head = words(
        "{metric} of all films: {value}.",
        metric=words(METRICS[panel.metric]),
        value=_value(panel, panel.overall, words),
    )
    groups = Markup(" ").join(
        words(
            "{group}: {value}.",
            group=plain(text_of(row.label), _NAME),
            value=_value(panel, row.group.metric(panel.metric), words),
        )
        for row in rows
    )
    return Markup("{} {}").format(head, groups)


def _value(panel: Panel, estimate: Estimate, words: Words) -> Markup:
    if estimate.value is None:
        return words("too few films")
    return words.number(estimate) if panel.metric == "auroc" else words.percent(estimate)
