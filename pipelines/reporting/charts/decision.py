"""Decision curves: what flagging by a score is worth, beside referring everyone and referring no one."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.reporting.charts.style import (
    BLUE,
    DASHED,
    DOTTED,
    GREY,
    INK,
    VERMILION,
    drawn,
    number_axis,
    percent_axis,
)
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import text_of
from pipelines.statistics.decision import DecisionCurve, DecisionPoint


def nearest(curve: DecisionCurve, threshold: float | None) -> DecisionPoint | None:
    """The point of the curve that is closest to a threshold; None where the threshold lies outside the curve."""
    if threshold is None or curve.low is None or curve.high is None or not curve.points:
        return None
    if not curve.low <= threshold <= curve.high:
        return None
    return min(curve.points, key=lambda point: abs(point.threshold - threshold))


def probability(record: DecisionCurve | DecisionPoint, field: str, words: Words) -> Markup:
    """A threshold as a percentage, with as many decimals as keep it apart from 0 % and 100 %."""
    value = float(getattr(record, field))
    aside = min(value, 1 - value)
    digits = next((digits for digits in range(1, 5) if 100 * aside >= 10.0**-digits), 5)
    return words.value(record, field, form="percent", digits=digits)


def decision_figure(curve: DecisionCurve, threshold: float | None, words: Words) -> Markup:
    """Net benefit over the threshold probabilities that the data support.

    Args:
        curve: with points.
        threshold: the operating threshold, marked where the curve reaches it.
        words: the language.
    """
    here = nearest(curve, threshold)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        at = [point.threshold for point in curve.points]
        _system(axes, at, curve.points, words)
        everyone = [_number(point.treat_all.value) for point in curve.points]
        axes.plot(at, everyone, color=VERMILION, lw=1.8, ls=DASHED, label=text_of(words("refer everyone")))
        axes.axhline(0, color=GREY, lw=1.6, ls=DOTTED, label=text_of(words("refer no one")))
        if here is not None:
            axes.axvline(threshold or 0.0, color=INK, lw=1.1, label=text_of(words("threshold in use")))
        _frame(axes, curve, words)
        figure.legend(loc="outside lower center", ncols=2)

    return drawn(draw, width=7.2, height=4.5, alt=_said(curve, here, words))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _system(axes: Axes, at: Sequence[float], points: Sequence[DecisionPoint], words: Words) -> None:
    low = np.array([_number(point.net_benefit.low) for point in points])
    high = np.array([_number(point.net_benefit.high) for point in points])
    level = words.value(points[0].net_benefit, "level", form="percent")
    axes.fill_between(
        at, low, high, color=BLUE, alpha=0.16, lw=0, label=text_of(words("its {level} interval", level=level))
    )
    values = [_number(point.net_benefit.value) for point in points]
    axes.plot(at, values, color=BLUE, lw=2.2, label=text_of(words("refer who is flagged")))


def _frame(axes: Axes, curve: DecisionCurve, words: Words) -> None:
    tops = [_number(max(p.net_benefit.high or 0.0, p.net_benefit.value or 0.0)) for p in curve.points]
    top = max([*tops, 1e-6])
    # Referring everyone falls without end as the threshold nears 1: the axis stops a little below nothing gained.
    axes.set_ylim(-0.25 * top, 1.08 * top)
    ends = (curve.points[0].threshold, curve.points[-1].threshold)
    margin = 0.02 * (ends[1] - ends[0]) or 0.01
    axes.set_xlim(ends[0] - margin, ends[1] + margin)
    percent_axis(axes.xaxis, words.language)
    number_axis(axes.yaxis, words.language)
    axes.set_xlabel(text_of(words("Threshold probability: refer from this chance of the finding on")))
    axes.set_ylabel(text_of(words("Net benefit, true positives per film")))
    axes.set_title(text_of(words.plural("n = {n} film", "n = {n} films", curve.n)), fontsize=10, loc="right")


def _said(curve: DecisionCurve, here: DecisionPoint | None, words: Words) -> Markup:
    if here is None:
        here = curve.points[0]
    return words(
        "Decision curve of {films}, thresholds from {low} to {high}. At {threshold}: net benefit {benefit} "
        "({interval}), referring everyone {everyone}, referring no one 0.",
        films=words.films(curve, "n"),
        low=probability(curve, "low", words),
        high=probability(curve, "high", words),
        threshold=probability(here, "threshold", words),
        benefit=words.number(here.net_benefit),
        interval=words.interval(here.net_benefit),
        everyone=words.number(here.treat_all),
    )
