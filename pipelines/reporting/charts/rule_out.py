"""Filing the lowest scores unread: what is saved against what is kept, and what is missed."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipelines.reading_time.rule_out import RuleOut, RuleOutPoint, RuleOutYield
from pipelines.reporting.charts.style import BLUE, VERMILION, drawn, number_axis, percent_axis
from pipelines.reporting.printing import Words, share_digits
from pipelines.reporting.texts import text_of
from pipelines.statistics.estimates import Estimate

Drawn = tuple[RuleOutPoint, RuleOutYield]


def filing(rule_out: RuleOut) -> tuple[Drawn, ...]:
    """Points with what filing gives, at the prevalence of the scenario, or else of the films; those with an answer."""
    found = ((point, point.local or point.cohort) for point in rule_out.points)
    return tuple(
        (point, given)
        for point, given in found
        if given is not None and given.filed_share.value is not None and point.sensitivity.value is not None
    )


def rule_out_figure(rule_out: RuleOut, words: Words) -> Markup | None:
    """Sensitivity kept, and films missed, against the share of films filed; None where no point has an answer."""
    points = filing(rule_out)
    if not points:
        return None

    def draw(figure: Figure) -> None:
        kept, missed = figure.subplots(1, 2)
        _panel(kept, [(point, given, point.sensitivity) for point, given in points], BLUE, words)
        percent_axis(kept.yaxis, words.language)
        kept.set_ylabel(text_of(words("Sensitivity kept")))
        kept.set_ylim(min(0.9, kept.get_ylim()[0]), 1.005)
        kept.set_title(
            text_of(words("n = {n} with the finding", n=words.count(rule_out, "n_positive"))), fontsize=9, loc="left"
        )
        _panel(missed, [(point, given, given.missed_per_10000_screened) for point, given in points], VERMILION, words)
        number_axis(missed.yaxis, words.language)
        missed.set_ylabel(text_of(words("Missed, of 10,000 films")))
        missed.set_ylim(bottom=-0.04 * missed.get_ylim()[1])  # a circle at 0 stands whole
        missed.set_title(text_of(words("n = {n} films", n=words.count(rule_out, "n"))), fontsize=9, loc="left")
        figure.supxlabel(text_of(words("Share of films filed unread")), fontsize=10)
        figure.legend(handles=_legend(points, words), loc="outside upper center", ncols=1)

    return drawn(draw, width=7.2, height=3.9, alt=_alt(points, words))


def _panel(axes: Axes, rows: Sequence[tuple[RuleOutPoint, RuleOutYield, Estimate]], colour: str, words: Words) -> None:
    """One quantity with its interval and that of the share filed; hollow where these films cannot show the target."""
    known = [(point, given.filed_share, found) for point, given, found in rows if found.value is not None]
    axes.plot(
        [filed.value or 0 for _, filed, _ in known], [f.value or 0 for *_, f in known], color=colour, lw=1, zorder=1
    )
    for point, filed, found in known:
        if filed.low is not None and filed.high is not None:
            axes.plot([filed.low, filed.high], [found.value or 0] * 2, color=colour, lw=1, alpha=0.45, zorder=2)
        if found.low is not None and found.high is not None:
            axes.plot([filed.value or 0] * 2, [found.low, found.high], color=colour, lw=1.3, marker="_", ms=6, zorder=2)
        fill = colour if point.demonstrable else "white"
        axes.plot(filed.value or 0, found.value or 0, "o", ms=6.5, mfc=fill, mec=colour, mew=1.5, zorder=3)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    percent_axis(axes.xaxis, words.language)


def _legend(points: Sequence[Drawn], words: Words) -> list[Line2D]:
    texts = {
        True: words("enough films with the finding to show this sensitivity"),
        False: words("too few films with the finding to show this sensitivity"),
    }
    there = {point.demonstrable for point, _ in points}
    return [
        Line2D(
            [], [], ls="", marker="o", ms=6.5, mec=BLUE, mew=1.5, mfc=BLUE if shown else "white", label=text_of(text)
        )
        for shown, text in texts.items()
        if shown in there
    ]


def _alt(points: Sequence[Drawn], words: Words) -> Markup:
    rows = Markup(" ").join(
        words(
            "To keep {target}: {filed} filed ({interval}), {missed} of 10,000 films missed.",
            target=words.value(point, "target", form="percent", digits=share_digits(point.target)),
            filed=words.percent(given.filed_share),
            interval=words.percent_interval(given.filed_share),
            missed=words.number(given.missed_per_10000_screened, 1),
        )
        for point, given in points
    )
    return words("Films filed unread by the sensitivity to keep. {rows}", rows=rows)
