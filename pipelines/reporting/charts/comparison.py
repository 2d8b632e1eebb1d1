"""Figures of a comparison: paired differences with their margin, and where each system works on the ROC plane."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipelines.evaluation.comparison.records import ComparedFinding, Pair, SystemResult
from pipelines.reporting.charts.style import BLUE, DASHED, GREY, INK, VERMILION, drawn, number_axis, percent_axis
from pipelines.reporting.language.language import Language
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import plain, text_of
from pipelines.statistics.accuracy.paired import PairedTest
from pipelines.statistics.estimates import Estimate

MARKERS = ("o", "s", "D", "^", "v", "P")


@dataclass(frozen=True)
class Row:
    """One line of the forest: what differs, and by how much."""

    label: Markup
    test: PairedTest
    margin: bool = False
    """Whether the margin of non-inferiority is asked of it."""


def forest(pair: Pair, rows: Sequence[Row], margin: float, words: Words) -> Markup | None:
    """Paired differences in shares, in percentage points, with the margin beside those it is asked of.

    Returns:
        None where nothing has a difference.
    """
    shown = [row for row in rows if row.test.difference.value is not None]
    if not shown:
        return None
    said = [
        words("{measure}: {difference} ({interval})", measure=row.label, difference=value, interval=interval)
        for row in shown
        for value, interval in [points_text(row.test.difference, words)]
    ]
    alt = words(
        "Differences in percentage points, {later} minus {earlier}, with intervals: {differences}.",
        later=words.foreign(pair.a, 40),
        earlier=words.foreign(pair.b, 40),
        differences=Markup("; ").join(said),
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _differences(axes, shown, margin, words.language)
        axes.set_xlabel(
            text_of(words("Difference in percentage points, {later} minus {earlier}", **_named(pair)))
            if len(pair.a) + len(pair.b) < 40
            else text_of(words("Difference in percentage points, later minus earlier"))
        )
        axes.set_title(text_of(words("To the right: the later system is better")), fontsize=10, loc="left")

    return drawn(draw, width=7.2, height=1.3 + 0.42 * len(shown), alt=alt)


def points_text(difference: Estimate, words: Words) -> tuple[Markup, Markup]:
    """A difference of shares in percentage points, and its interval or why there is none."""
    value = words.value(difference, "value", form="share", digits=1)
    if difference.low is None:
        return value, words.recorded(difference.why)
    level = words.value(difference, "level", form="percent")
    bounds = words.bounds(difference, 1, form="share")
    return value, words("{level} CI {bounds}", level=level, bounds=bounds)


def _differences(axes: Axes, rows: Sequence[Row], margin: float, written: Language) -> None:
    places = range(len(rows) - 1, -1, -1)
    axes.axvline(0, color=INK, linewidth=1)
    for place, row in zip(places, rows, strict=True):
        found = row.test.difference
        assert found.value is not None
        if row.margin:
            axes.plot(
                [-margin, -margin], [place - 0.42, place + 0.42], color=VERMILION, linewidth=1.6, linestyle=DASHED
            )
        if found.low is not None and found.high is not None:
            axes.plot([found.low, found.high], [place, place], color=BLUE, linewidth=2, solid_capstyle="butt")
        axes.plot([found.value], [place], marker="s", markersize=6, color=BLUE, linestyle="none")
    axes.set_yticks(
        list(places),
        [f"{text_of(row.label)}\nn = {written.integer(row.test.difference.n)}" for row in rows],
    )
    axes.tick_params(axis="y", length=0, labelsize=9)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _place: written.decimal(100 * share, _digits(axes))))


def _digits(axes: Axes) -> int:
    low, high = axes.get_xlim()
    return 0 if high - low > 0.05 else 1


def auroc_differences(pair: Pair, words: Words) -> Markup | None:
    """The difference in AUROC alone: it has a scale of its own."""
    found = pair.accuracy.auroc.difference
    if found.value is None:
        return None
    alt = words(
        "Difference in AUROC, {later} minus {earlier}: {difference}, {interval}.",
        later=words.foreign(pair.a, 40),
        earlier=words.foreign(pair.b, 40),
        difference=words.number(found),
        interval=words.interval(found),
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _differences(axes, [Row(words("AUROC"), pair.accuracy.auroc)], 0, words.language)
        number_axis(axes.xaxis, words.language)
        axes.set_xlabel(text_of(words("Difference in AUROC, later minus earlier")))

    return drawn(draw, width=7.2, height=1.3, alt=alt)


def working_points(result: ComparedFinding, words: Words) -> Markup | None:
    """Each system at its own threshold: sensitivity against the share of films without the finding that are flagged.

    Returns:
        None where no system has a threshold.
    """
    shown = [system for system in result.systems if _has_point(system)]
    if not shown:
        return None
    parts = [_point_words(system, words) for system in shown]
    alt = words("Sensitivity and false alarms of each system: {systems}.", systems=Markup("; ").join(parts))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, system in enumerate(shown):
            _point(axes, system, place)
        percent_axis(axes.xaxis, words.language)
        percent_axis(axes.yaxis, words.language)
        _round_ticks(axes)
        axes.set_xlabel(text_of(words("Flagged among films without the finding")))
        axes.set_ylabel(text_of(words("Sensitivity")))
        size = words("n = {positives} with the finding, {negatives} without", **_sizes(result, words.language))
        axes.set_title(text_of(size), fontsize=9, loc="left")
        axes.legend(loc="best")

    return drawn(draw, width=5.2, height=4.2, alt=alt)


def _round_ticks(axes: Axes) -> None:
    """Ticks at whole percentages, however close the systems lie together."""
    axes.margins(0.15)
    for axis, (low, high), limit in (
        (axes.xaxis, axes.get_xlim(), axes.set_xlim),
        (axes.yaxis, axes.get_ylim(), axes.set_ylim),
    ):
        lacking = max(0.0, 0.06 - (high - low)) / 2
        limit(max(-0.01, low - lacking), min(1.01, high + lacking))
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _sizes(result: ComparedFinding, written: Language) -> dict[str, str]:
    return {"positives": written.integer(result.positives), "negatives": written.integer(result.negatives)}


def _has_point(system: SystemResult) -> bool:
    point = system.operating_point
    return point is not None and point.sensitivity.value is not None and point.specificity.value is not None


def _point_words(system: SystemResult, words: Words) -> Markup:
    point = system.operating_point
    assert point is not None
    return words(
        "{system}: sensitivity {sensitivity}, {sensitivity_bounds}; specificity {specificity}, {specificity_bounds}",
        system=words.foreign(system.films.name, 40),
        sensitivity=words.percent(point.sensitivity),
        sensitivity_bounds=words.percent_interval(point.sensitivity),
        specificity=words.percent(point.specificity),
        specificity_bounds=words.percent_interval(point.specificity),
    )


def _point(axes: Axes, system: SystemResult, place: int) -> None:
    point = system.operating_point
    assert point is not None
    sensitivity, specificity = point.sensitivity, point.specificity
    assert sensitivity.value is not None
    assert specificity.value is not None
    colour = (GREY, BLUE, VERMILION, INK)[place % 4]
    x, y = 1 - specificity.value, sensitivity.value
    if specificity.low is not None and specificity.high is not None:
        axes.plot([1 - specificity.high, 1 - specificity.low], [y, y], color=colour, linewidth=1.6)
    if sensitivity.low is not None and sensitivity.high is not None:
        axes.plot([x, x], [sensitivity.low, sensitivity.high], color=colour, linewidth=1.6)
    marker = MARKERS[place % len(MARKERS)]
    axes.plot([x], [y], marker=marker, color=colour, markersize=8, linestyle="none", label=_safe(system.films.name))


def _named(pair: Pair) -> dict[str, str]:
    return {"later": _safe(pair.a), "earlier": _safe(pair.b)}


def _safe(name: str) -> str:
    # matplotlib reads a leading underscore as "no label".
    return plain(name, 40).lstrip("_") or "–"
