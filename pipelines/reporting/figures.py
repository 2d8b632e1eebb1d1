"""The report's figures: SVG that sits inside the page, one calm style, safe for colour-blind eyes and grey print.

No figure holds text from a table: names stand in the page beside it, escaped.
"""

import io
from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipelines.assessment.reading_records import SimulationRecord, TheoryRecord
from pipelines.evaluation.records import ControlResult, Histogram, OperatingResult, RocCurve
from pipelines.reading_time.worklist import WorklistRecord
from pipelines.statistics.estimates import Estimate, percent_text

BLUE: Final = "#0b5a8a"
VERMILION: Final = "#c1500a"
GREY: Final = "#6b7480"
LIGHT: Final = "#d5dae0"
INK: Final = "#1e2730"
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8ebee",
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "cxr-triage",
}


def _svg(draw: Any, *, width: float, height: float, alt: str) -> Markup:
    """Run a drawing function on fresh axes and return the figure as inline SVG with its alternative text."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    return Markup('<div class="figure" role="img" aria-label="{}">{}</div>').format(alt, Markup(svg))


def _percent_axes(axes: Axes, *, x: str, y: str) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def roc_figure(roc: RocCurve, auroc: Estimate, point: OperatingResult | None) -> Markup:
    """ROC curve with the operating point and its two intervals."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (4, 3)), label="no better than chance")
        axes.plot(roc.false_positive_rate, roc.true_positive_rate, color=BLUE, lw=2, label="this system")
        if point and point.sensitivity.value is not None and point.specificity.value is not None:
            x, y = 1 - point.specificity.value, point.sensitivity.value
            axes.errorbar(
                x,
                y,
                xerr=_arms(x, 1 - (point.specificity.high or 0), 1 - (point.specificity.low or 0)),
                yerr=_arms(y, point.sensitivity.low or 0, point.sensitivity.high or 0),
                fmt="o",
                ms=7,
                color=VERMILION,
                mec="white",
                lw=1.6,
                capsize=3,
                zorder=5,
                label=f"{point.source} threshold, {percent_text(auroc.level)} intervals",
            )
        axes.legend(loc="lower right")
        _percent_axes(axes, x="False alarms: share of films without it that are flagged", y="Sensitivity")

    return _svg(draw, width=5.2, height=4.9, alt=f"ROC curve; AUROC {auroc.text()}; n = {auroc.n} films.")


def _arms(centre: float, low: float, high: float) -> list[list[float]]:
    return [[max(0.0, centre - low)], [max(0.0, high - centre)]]


def score_figure(histogram: Histogram, threshold: float | None, positives: int, negatives: int) -> Markup:
    """Scores of films with and without the finding, each as a share of its own group."""

    def draw(axes: Axes) -> None:
        groups = (
            (histogram.negative, negatives, GREY, "without the finding"),
            (histogram.positive, positives, BLUE, "with the finding"),
        )
        for counts, total, colour, name in groups:
            if total:
                share = [count / total for count in counts]
                axes.stairs(share, histogram.edges, color=colour, fill=True, alpha=0.27)
                axes.stairs(share, histogram.edges, color=colour, lw=1.8, label=f"{name} (n = {total:,})")
        if threshold is not None and histogram.edges[0] <= threshold <= histogram.edges[-1]:
            axes.axvline(threshold, color=VERMILION, lw=1.6, ls=(0, (5, 2)), label=f"threshold {threshold:.3g}")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %", decimals=0))
        axes.set_xlim(histogram.edges[0], histogram.edges[-1])
        axes.set_xlabel("Score")
        axes.set_ylabel("Share of the group's films")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=1)

    alt = f"Score distributions of {positives} films with and {negatives} films without the finding."
    return _svg(draw, width=5.2, height=4.9, alt=alt)


def control_figure(system: Estimate, control: ControlResult) -> Markup:
    """AUROC of the system above AUROC of the control, with their intervals."""

    def draw(axes: Axes) -> None:
        rows = ((1, system, BLUE, "o", "this system"), (0, control.auroc, VERMILION, "s", "shape-free control"))
        for y, estimate, colour, marker, _ in rows:
            if estimate.value is None:
                continue
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [y, y], color=colour, lw=2.5, solid_capstyle="butt")
            axes.plot([estimate.value], [y], marker, ms=8, color=colour, mec="white")
        axes.axvline(0.5, color=GREY, lw=1, ls=(0, (4, 3)))
        axes.set_yticks([y for y, *_ in rows], [name for *_, name in rows])
        axes.set_ylim(-0.6, 1.6)
        lows = [e.low for _, e, *_ in rows if e.low is not None]
        axes.set_xlim(min([0.45, *[low - 0.03 for low in lows]]), 1.01)
        axes.set_xlabel("AUROC with interval (0.5 = chance)")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)

    alt = f"AUROC of the system {system.text()}; of the shape-free control {control.auroc.text()}."
    return _svg(draw, width=7.2, height=1.75, alt=alt)


def worklist_figure(found: WorklistRecord) -> Markup:
    """Share of the positives read against share of the list read."""

    def draw(axes: Axes) -> None:
        share = found.n_positive / found.n
        axes.plot([0, share, 1], [0, 1, 1], color=GREY, lw=1.2, ls=(0, (1, 1.5)), label="ideal order")
        axes.plot(found.curve_read, found.curve_found, color=BLUE, lw=2, label="order of the scores")
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (4, 3)), label="order of arrival (expected)")
        axes.legend(loc="lower right")
        _percent_axes(axes, x="Share of the list read", y="Share of positive films read")

    numbers = "; ".join(f"after {at.fraction:.0%} of the list: {at.found.text()}" for at in found.at)
    alt = f"Positive films read along the list, in the order of the scores. {numbers}."
    return _svg(draw, width=5.2, height=4.9, alt=alt)


def waiting_figure(theory: TheoryRecord | SimulationRecord) -> Markup:
    """Mean waiting time with and without flagged-first, for those who gain and those who pay."""
    names: Sequence[tuple[str, str]] = (
        ("diseased", "films with the finding"),
        ("nondiseased", "films without the finding"),
        ("flagged", "flagged films"),
        ("unflagged", "films not flagged"),
        ("missed", "missed films\n(with the finding, not flagged)"),
    )
    before, after = theory.fifo.waiting_minutes, theory.ai.waiting_minutes
    rows = [(n, getattr(before, k), getattr(after, k)) for k, n in names if getattr(after, k).value is not None]

    def draw(axes: Axes) -> None:
        top = 0.0
        for place, (_, old, new) in enumerate(rows):
            y = len(rows) - 1 - place
            axes.plot([old.value, new.value], [y, y], color=LIGHT, lw=5, zorder=1, solid_capstyle="round")
            ends = [new.low, new.high] if new.low is not None else [new.value, new.value]
            axes.plot(ends, [y, y], color=BLUE, lw=1.6, zorder=2)
            axes.plot(
                [old.value], [y], "s", ms=8, color=GREY, zorder=3, label="first come, first served" if not place else ""
            )
            axes.plot(
                [new.value],
                [y],
                "o",
                ms=9,
                color=BLUE,
                mec="white",
                zorder=4,
                label="flagged first" if not place else "",
            )
            top = max(top, old.value, *ends)
        axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(0, top * 1.08)
        axes.set_xlabel("Mean wait until read, minutes")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    words = "; ".join(f"{n.splitlines()[0]}: {a.value:.1f} to {b.value:.1f} minutes" for n, a, b in rows)
    return _svg(
        draw, width=7.2, height=3.4, alt=f"Mean waiting times, first come first served to flagged first. {words}."
    )
