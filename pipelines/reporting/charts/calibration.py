"""Reliability diagrams: how often films with a score near s have the finding, beside the line where that share is s."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.evaluation.records import Histogram
from pipelines.reporting.charts.style import BLUE, DASHED, GREY, VERMILION, drawn, percent_axis
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import text_of
from pipelines.statistics.calibration.records import Calibration, ReliabilityBin, ShiftedCalibration

WHOLE: Final = 0.6
"""Bins that reach further than this are drawn on the whole range from 0 to 1."""
_SMALLEST, _LARGEST = 4.0, 9.0


def reach(calibrations: Sequence[Calibration]) -> float:
    """Where both axes end: a little beyond the bins and their intervals, 1 where these reach far."""
    ends = [_end(found) for calibration in calibrations for found in calibration.bins]
    furthest = 1.12 * max(ends, default=1.0)
    return furthest if furthest < WHOLE else 1.0


def reliability_figure(calibration: Calibration, histogram: Histogram | None, words: Words) -> Markup:
    """Bins with intervals and a smooth curve with its band, above the scores of the films."""
    end = reach([calibration])

    def draw(figure: Figure) -> None:
        if histogram is None:
            main = figure.add_subplot()
        else:
            main, strip = figure.subplots(2, 1, height_ratios=[4.4, 1], sharex=True)
            _strip(strip, histogram, end, words)
        _ideal(main, end, words)
        _curve(main, calibration, words)
        _bins(main, calibration.bins, BLUE, "o", text_of(words("groups of films with their interval")))
        _frame(main, end, words)
        main.set_title(text_of(words.plural("n = {n} film", "n = {n} films", calibration.n)), fontsize=10, loc="right")
        if histogram is None:
            main.set_xlabel(text_of(words("Score, read as a probability")))

    said = words(
        "Reliability diagram of {films}: share with the finding by mean score of a group of films. {groups}.",
        films=words.films(calibration, "n"),
        groups=_said(calibration.bins, words),
    )
    return drawn(draw, width=5.2, height=5.6, alt=said)


def shifted_figure(shifted: ShiftedCalibration, words: Words) -> Markup:
    """The same at another prevalence: the scores as they are, and adjusted to it."""
    end = reach([shifted.before, shifted.after])
    before, after = words("scores as they are"), words("scores adjusted to this prevalence")

    def draw(figure: Figure) -> None:
        main = figure.add_subplot()
        _ideal(main, end, words)
        _bins(main, shifted.before.bins, VERMILION, "s", text_of(before))
        _bins(main, shifted.after.bins, BLUE, "o", text_of(after))
        _frame(main, end, words)
        main.set_xlabel(text_of(words("Score, read as a probability")))
        main.set_title(
            text_of(words.plural("n = {n} film", "n = {n} films", shifted.before.n)), fontsize=10, loc="right"
        )

    said = words(
        "Reliability diagram at a prevalence of {prevalence}. Scores as they are: {before}. Scores adjusted to this "
        "prevalence: {after}.",
        prevalence=words.value(shifted, "to_prevalence", form="percent", digits=1),
        before=_said(shifted.before.bins, words),
        after=_said(shifted.after.bins, words),
    )
    return drawn(draw, width=5.2, height=5.0, alt=said)


def _end(found: ReliabilityBin) -> float:
    shares = [found.observed.value, found.observed.high]
    return max([found.mean_score, *(share for share in shares if share is not None)])


def _ideal(axes: Axes, end: float, words: Words) -> None:
    axes.plot([0, end], [0, end], color=GREY, lw=1.2, ls=DASHED, label=text_of(words("ideal: share equals score")))


def _curve(axes: Axes, calibration: Calibration, words: Words) -> None:
    smooth = calibration.smooth
    if smooth is None:
        return
    known = [place for place, low in enumerate(smooth.low) if low is not None]
    if known:
        score, low, high = (np.array(part, dtype=float)[known] for part in (smooth.score, smooth.low, smooth.high))
        label = words("its {level} band", level=words.value(smooth, "level", form="percent"))
        axes.fill_between(score, low, high, color=BLUE, alpha=0.16, lw=0, label=text_of(label))
    axes.plot(smooth.score, smooth.share, color=BLUE, lw=1.6, label=text_of(words("smooth curve")))


def _bins(axes: Axes, bins: Sequence[ReliabilityBin], colour: str, marker: str, label: str) -> None:
    """One marker for each group, as large as the group; hollow where it has no interval."""
    most = max((found.n for found in bins), default=1)
    for place, found in enumerate(bins):
        share, low, high = found.observed.value, found.observed.low, found.observed.high
        if share is None:
            continue
        if low is not None and high is not None:
            axes.plot([found.mean_score] * 2, [low, high], color=colour, lw=1.3, zorder=3)
        axes.plot(
            [found.mean_score],
            [share],
            marker,
            ms=_SMALLEST + (_LARGEST - _SMALLEST) * (found.n / most) ** 0.5,
            color=colour,
            mfc=colour if low is not None else "white",
            mec="white" if low is not None else colour,
            mew=0.8 if low is not None else 1.4,
            zorder=4,
            clip_on=False,
            label=label if not place else None,
        )


def _strip(axes: Axes, histogram: Histogram, end: float, words: Words) -> None:
    """How many films have which score, those with the finding above the others."""
    edges = np.array(histogram.edges)
    groups = (
        (histogram.negative, GREY, words("without the finding"), None),
        (histogram.positive, BLUE, words("with the finding"), "////"),
    )
    base = np.zeros(len(edges) - 1)
    inside = edges[:-1] < end
    for counts, colour, label, hatch in groups:
        top = base + np.array(counts)
        axes.stairs(
            top, edges, baseline=base, fill=True, fc=colour, alpha=0.55, hatch=hatch, ec=colour, label=text_of(label)
        )
        base = top
    axes.set_ylim(0, 1.05 * max(1.0, float(base[inside].max(initial=1.0))))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))
    axes.yaxis.set_major_formatter(lambda count, _place: words.language.integer(round(count)))
    axes.set_ylabel(text_of(words("Films")))
    axes.set_xlabel(text_of(words("Score, read as a probability")))
    axes.legend(loc="upper center", ncols=2, fontsize=8, bbox_to_anchor=(0.5, 1.42), handlelength=1.2)
    percent_axis(axes.xaxis, words.language)


def _frame(axes: Axes, end: float, words: Words) -> None:
    axes.set_xlim(-0.02 * end, 1.02 * end)
    axes.set_ylim(-0.02 * end, 1.02 * end)
    percent_axis(axes.xaxis, words.language)
    percent_axis(axes.yaxis, words.language)
    axes.set_ylabel(text_of(words("Share of films with the finding")))
    # Points lie near the diagonal: this corner is the emptiest.
    axes.legend(loc="lower right", fontsize=8.5, frameon=True, framealpha=0.85, edgecolor="none")


def _said(bins: Sequence[ReliabilityBin], words: Words) -> Markup:
    """The groups in words, with their numbers."""
    groups = [
        words(
            "score {score}: {share} of {films}",
            score=words.value(found, "mean_score", form="percent", digits=1),
            share=words.percent(found.observed),
            films=words.films(found, "n"),
        )
        for found in bins
    ]
    return Markup("; ").join(groups)
