"""How the scores of films with and without the finding lie beside each other."""

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.evaluation.records import FindingResult, Histogram
from pipelines.reporting.charts.lettering import wrapped
from pipelines.reporting.charts.style import BLUE, DASHED, GREY, VERMILION, drawn, number_axis, percent_axis
from pipelines.reporting.printing import Words

LABEL_WIDTH = 4.2
"""Inches: longer labels of the legend are wrapped."""


def score_figure(result: FindingResult, words: Words) -> Markup | None:
    """Histogram of the scores, each class as a share of its own films; None where there are no scores."""
    histogram = result.histogram
    if histogram is None:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _classes(axes, histogram, result, words)
        _threshold(axes, histogram, result, words)
        percent_axis(axes.yaxis, words.language)
        number_axis(axes.xaxis, words.language)
        axes.set_xlim(histogram.edges[0], histogram.edges[-1])
        axes.set_xlabel(wrapped(words("Score of the film"), 4.0, 10))
        axes.set_ylabel(wrapped(words("Share of the films of each kind"), 3.6, 10))
        figure.legend(loc="outside upper left", ncols=1)

    return drawn(draw, width=5.2, height=5.3, alt=_alt(result, words))


def _classes(axes: Axes, histogram: Histogram, result: FindingResult, words: Words) -> None:
    without = words("without the finding (n = {n} films)", n=words.count(result, "negatives"))
    having = words("with the finding (n = {n} films)", n=words.count(result, "positives"))
    for counts, total, colour, hatch, label in (
        (histogram.negative, result.negatives, GREY, None, without),
        (histogram.positive, result.positives, BLUE, "////", having),
    ):
        if not total:
            continue
        share = [count / total for count in counts]
        axes.stairs(
            share,
            histogram.edges,
            facecolor="none" if hatch else (*_rgb(colour), 0.28),
            edgecolor=(*_rgb(colour), 0.45),
            hatch=hatch,
            fill=True,
            lw=0,
        )
        axes.stairs(share, histogram.edges, color=colour, lw=1.8, label=wrapped(label, LABEL_WIDTH, 9))


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _threshold(axes: Axes, histogram: Histogram, result: FindingResult, words: Words) -> None:
    point = result.operating_point
    if point is None or not histogram.edges[0] <= point.threshold <= histogram.edges[-1]:
        return
    label = words(
        "threshold {threshold}: films to its right are flagged",
        threshold=words.value(point, "threshold", form="significant", digits=3),
    )
    axes.axvline(point.threshold, color=VERMILION, lw=1.7, ls=DASHED, label=wrapped(label, LABEL_WIDTH, 9))


def _alt(result: FindingResult, words: Words) -> Markup:
    said = words(
        "Histogram of the scores of {positives} films with the finding and {negatives} films without it.",
        positives=words.count(result, "positives"),
        negatives=words.count(result, "negatives"),
    )
    point = result.operating_point
    if point is None:
        return said
    more = words(
        "At or above the threshold {threshold} lie {found} films with the finding and {alarms} films without it.",
        threshold=words.value(point, "threshold", form="significant", digits=3),
        found=words.count(point.counts, "true_positive"),
        alarms=words.count(point.counts, "false_positive"),
    )
    return Markup("{} {}").format(said, more)
