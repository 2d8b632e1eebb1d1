"""The ROC curve with its operating point, and the box in which that point may lie."""

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipelines.evaluation.records import FindingResult, OperatingResult, RocCurve
from pipelines.reporting.charts.lettering import wrapped
from pipelines.reporting.charts.style import BLUE, DASHED, GREY, LIGHT, VERMILION, drawn, unit_square
from pipelines.reporting.printing import Words
from pipelines.statistics.estimates import Estimate

LEGEND_WIDTH = 2.5
"""Inches: longer labels of the legend are wrapped."""


def roc_figure(result: FindingResult, words: Words) -> Markup | None:
    """ROC curve, chance line, band of the partial AUROC, operating point with its box; None without a curve."""
    curve = result.roc
    if curve is None:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        low, high = result.partial_auroc.band
        band = words("band of high sensitivity (partial AUROC)")
        axes.axhspan(low, high, color=LIGHT, alpha=0.55, lw=0, label=wrapped(band, LEGEND_WIDTH, 9))
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=DASHED, label=wrapped(words("chance"), LEGEND_WIDTH, 9))
        _curve(axes, curve, wrapped(words("this system"), LEGEND_WIDTH, 9))
        if result.operating_point is not None:
            _point(axes, result.operating_point, words)
        axes.legend(loc="lower right", frameon=True, facecolor="white", edgecolor="none", framealpha=0.85)
        unit_square(
            axes,
            words.language,
            x=wrapped(words("False alarms: films without the finding that are flagged"), 4.2, 10),
            y=wrapped(words("Films with the finding that are flagged (sensitivity)"), 3.8, 10),
        )
        axes.set_title(_counts(result, words), fontsize=9.5, loc="left")

    return drawn(draw, width=5.2, height=5.3, alt=_alt(result, words))


def _counts(result: FindingResult, words: Words) -> str:
    text = words(
        "n = {n} films: {positives} with the finding, {negatives} without it",
        n=words.count(result, "n"),
        positives=words.count(result, "positives"),
        negatives=words.count(result, "negatives"),
    )
    return wrapped(text, 4.5, 9.5)


def _curve(axes: Axes, curve: RocCurve, label: str) -> None:
    axes.plot(curve.false_positive_rate, curve.true_positive_rate, color=BLUE, lw=2, label=label)


def _point(axes: Axes, point: OperatingResult, words: Words) -> None:
    x, y = _rates(point)
    if x is None or y is None:
        return
    box = uncertainty_box(point.sensitivity, point.specificity)
    if box is not None:
        (left, right), (bottom, top) = box
        text = words("where the point may lie: both {level} intervals", level=_level(point.sensitivity, words))
        axes.add_patch(
            Rectangle(
                (left, bottom),
                right - left,
                top - bottom,
                facecolor=VERMILION,
                edgecolor=VERMILION,
                alpha=0.28,
                lw=1.4,
                zorder=4,
                label=wrapped(text, LEGEND_WIDTH, 9),
            )
        )
    text = words("threshold in use")
    axes.plot(
        [x], [y], "D", ms=7, color=VERMILION, mec="white", zorder=6, ls="none", label=wrapped(text, LEGEND_WIDTH, 9)
    )


def _rates(point: OperatingResult) -> tuple[float | None, float | None]:
    specificity = point.specificity.value
    return None if specificity is None else 1 - specificity, point.sensitivity.value


def uncertainty_box(sensitivity: Estimate, specificity: Estimate) -> tuple[Sequence[float], Sequence[float]] | None:
    """The rectangle in which the point may lie: its sides are the two intervals, left to right and bottom to top."""
    if sensitivity.low is None or sensitivity.high is None or specificity.low is None or specificity.high is None:
        return None
    return (1 - specificity.high, 1 - specificity.low), (sensitivity.low, sensitivity.high)


def _level(estimate: Estimate, words: Words) -> Markup:
    return words.value(estimate, "level", form="percent")


def _alt(result: FindingResult, words: Words) -> Markup:
    said = words(
        "ROC curve of {n} films ({positives} with the finding). AUROC {auroc}, {interval}.",
        n=words.count(result, "n"),
        positives=words.count(result, "positives"),
        auroc=words.number(result.auroc),
        interval=words.interval(result.auroc),
    )
    point = result.operating_point
    if point is None:
        return said
    more = words(
        "At the threshold in use: sensitivity {sensitivity}, {sensitivity_interval}; specificity {specificity}, "
        "{specificity_interval}.",
        sensitivity=words.percent(point.sensitivity),
        sensitivity_interval=words.percent_interval(point.sensitivity),
        specificity=words.percent(point.specificity),
        specificity_interval=words.percent_interval(point.specificity),
    )
    return Markup("{} {}").format(said, more)
