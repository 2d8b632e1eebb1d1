"""Does the system point at the lesion? Free-response and localisation ROC, with their intervals."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from pipelines.evaluation.localisation.records import AtRate, Froc, FrocCurve, FrocScores, Lroc, LrocCurve
from pipelines.reporting.charts.style import (
    BLUE,
    DASHED,
    GREY,
    VERMILION,
    drawn,
    number_axis,
    percent_axis,
    unit_square,
)
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import text_of
from pipelines.statistics.estimates import Estimate

LEFT: Final = 1 / 16
"""The axis of false positives per image begins here, one step before the first rate of the CPM."""
RIGHT: Final = 10.0
_DENSE: Final = 160


def froc_figure(froc: Froc, words: Words) -> Markup:
    """Lesion sensitivity by false positives per image, counted on all films and on normal films only."""
    ways = (
        (froc.normal_films, GREY, "s", words("false positives on normal films only")),
        (froc.all_films, BLUE, "o", words("false positives on all films (main result)")),
    )
    left = _left(froc)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for scores, colour, marker, label in ways:
            if scores.curve is not None:
                _curve(axes, scores, left, colour, text_of(label))
                _rates(axes, scores.at_rates, colour, marker)
        _point(axes, froc, left, words)
        _frame(axes, left, words)
        title = words.plural("n = {n} true box", "n = {n} true boxes", froc.n_lesions)
        axes.set_title(text_of(title), fontsize=10, loc="right")
        figure.legend(loc="outside lower center", ncols=1, fontsize=9)

    return drawn(draw, width=5.2, height=5.2, alt=_said(froc, words))


def lroc_figure(lroc: Lroc, words: Words) -> Markup:
    """One film, one answer: the best mark of each film."""
    curve = lroc.curve
    assert curve is not None

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _lroc_curve(axes, curve, words)
        _cross(axes, lroc.false_positive_at_threshold, lroc.correct_at_threshold, words)
        unit_square(
            axes,
            words.language,
            x=text_of(words("Normal films marked")),
            y=text_of(words("Films with the finding, marked in the right place")),
        )
        axes.set_title(text_of(words.plural("n = {n} film", "n = {n} films", lroc.area.n)), fontsize=10, loc="right")
        figure.legend(loc="outside lower center", ncols=1, fontsize=9)

    said = words(
        "Localisation ROC of {films}: area {area} ({interval}); at most {correct} of films with the finding are marked "
        "in the right place.",
        films=words.films(lroc.area, "n"),
        area=words.number(lroc.area),
        interval=words.interval(lroc.area),
        correct=words.percent(lroc.correct),
    )
    return drawn(draw, width=5.2, height=5.2, alt=said)


def _left(froc: Froc) -> float:
    """The axis reaches to the operating point and its interval, where these lie further left."""
    at = froc.false_positives_at_threshold
    lows = [bound for bound in (at.value, at.low) if bound is not None and bound > 0]
    return min([LEFT, *(max(low / 1.4, 1e-3) for low in lows)])


def _curve(axes: Axes, scores: FrocScores, left: float, colour: str, label: str) -> None:
    """The curve as far as it was measured, dotted where it is held."""
    curve, reach = scores.curve, scores.reach
    assert curve is not None
    end = reach if reach is not None else curve.false_positives_per_image[-1]
    if end > left:
        at, sensitivity = _dense(curve, left, min(end, RIGHT))
        axes.plot(at, sensitivity, color=colour, lw=2, label=label)
    if end < RIGHT:
        held = curve.sensitivity[-1]
        name = None if end > left else label
        axes.plot([max(end, left), RIGHT], [held, held], color=colour, lw=1.2, ls=DASHED, label=name)


def _dense(curve: FrocCurve, left: float, end: float) -> tuple[np.ndarray, np.ndarray]:
    """The straight lines of the curve as they run on a logarithmic axis."""
    at = np.geomspace(left, end, _DENSE)
    return at, np.interp(at, curve.false_positives_per_image, curve.sensitivity)


def _rates(axes: Axes, rates: Sequence[AtRate], colour: str, marker: str) -> None:
    for rate in rates:
        found, x = rate.sensitivity, rate.false_positives_per_image
        if found.value is None:
            continue
        if found.low is not None and found.high is not None:
            axes.plot([x, x], [found.low, found.high], color=colour, lw=1.1, zorder=3)
        fill = "white" if rate.held else colour
        axes.plot([x], [found.value], marker, ms=5.5, mfc=fill, mec=colour, color=colour, zorder=4)


def _point(axes: Axes, froc: Froc, left: float, words: Words) -> None:
    """The operating threshold; at the edge of the axis where it makes no false mark."""
    x, y = froc.false_positives_at_threshold, froc.sensitivity_at_threshold
    if x.value is None or y.value is None:
        return
    inner = left * 1.04
    place = max(x.value, inner)
    if y.low is not None and y.high is not None:
        axes.plot([place, place], [y.low, y.high], color=VERMILION, lw=1.6, zorder=5)
    if x.low is not None and x.high is not None:
        axes.plot([max(x.low, inner), max(x.high, inner)], [y.value, y.value], color=VERMILION, lw=1.6, zorder=5)
    label = text_of(words("threshold in use, with both intervals"))
    axes.plot([place], [y.value], "D", ms=7, color=VERMILION, mec="white", zorder=6, label=label)


def _frame(axes: Axes, left: float, words: Words) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xlim(left, RIGHT)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks([tick for tick in (1 / 64, 1 / 32, 1 / 16, 0.125, 0.25, 0.5, 1, 2, 4, 8) if tick >= left])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    number_axis(axes.xaxis, words.language)
    axes.tick_params(axis="x", labelsize=8.5)
    percent_axis(axes.yaxis, words.language)
    axes.set_xlabel(text_of(words("False positives per film")))
    axes.set_ylabel(text_of(words("True boxes hit")))


def _lroc_curve(axes: Axes, curve: LrocCurve, words: Words) -> None:
    axes.plot(
        curve.false_positive_fraction,
        curve.correct_localisation,
        color=BLUE,
        lw=2,
        label=text_of(words("the best mark of each film")),
    )


def _cross(axes: Axes, x: Estimate, y: Estimate, words: Words) -> None:
    """An operating point with both intervals."""
    if x.value is None or y.value is None:
        return
    if x.low is not None and x.high is not None:
        axes.plot([x.low, x.high], [y.value, y.value], color=VERMILION, lw=1.6, zorder=5)
    if y.low is not None and y.high is not None:
        axes.plot([x.value, x.value], [y.low, y.high], color=VERMILION, lw=1.6, zorder=5)
    label = text_of(words("threshold in use, with both intervals"))
    axes.plot([x.value], [y.value], "D", ms=7, color=VERMILION, mec="white", zorder=6, label=label)


def _said(froc: Froc, words: Words) -> Markup:
    rates = [
        words(
            "at {rate}: {sensitivity}",
            rate=words.value(rate, "false_positives_per_image", form="significant", digits=3),
            sensitivity=words.percent(rate.sensitivity),
        )
        for rate in froc.all_films.at_rates
    ]
    return words(
        "FROC curve of {films}: true boxes hit by false positives per film, {rates}. Mean of these: {cpm} "
        "({interval}).",
        films=words.films(froc, "n_films"),
        rates=Markup("; ").join(rates),
        cpm=words.number(froc.all_films.cpm),
        interval=words.interval(froc.all_films.cpm),
    )
