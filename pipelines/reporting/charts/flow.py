"""Where the films went: a flow diagram after STARD 2015, from the table received to the four outcomes.

Source: Bossuyt et al., STARD 2015, BMJ 351 (2015) h5527 (items 19 to 23 and the prototype of the diagram).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from pydantic import BaseModel

from pipelines.evaluation.records import FindingResult, LeftOut
from pipelines.reporting.book import Tested
from pipelines.reporting.charts.lettering import LINE, POINTS_PER_INCH, lines_of
from pipelines.reporting.charts.style import BLUE, GREY, INK, VERMILION, drawn
from pipelines.reporting.printing import Words

WIDTH: Final = 7.2
REASONS: Final = 7
"""Reasons that a box names; the tables beside the diagram name all."""
NOT_RECEIVED: Final = "not_predicted"
"""Code of films of the manifest that have no row in the predictions."""
_SIZE: Final = 9.0
_PAD: Final = 0.1
_GAP: Final = 0.34
_MAIN: Final = (0.05, 3.3)
_SIDE: Final = (3.75, 3.4)
_HALF: Final = ((0.05, 3.45), (3.7, 3.45))
_QUARTER: Final = ((0.05, 1.64), (1.86, 1.64), (3.7, 1.64), (5.51, 1.64))


@dataclass(frozen=True)
class _Box:
    """A box with its lines: the first is bold."""

    x: float
    width: float
    lines: tuple[tuple[str, bool], ...]
    colour: str = GREY
    dashed: bool = False

    @property
    def height(self) -> float:
        return len(self.lines) * _SIZE * LINE / POINTS_PER_INCH + 2 * _PAD


@dataclass(frozen=True)
class _Level:
    """Boxes side by side; the arrow into a side box starts from the main one's right edge."""

    boxes: tuple[_Box, ...]
    side: _Box | None = None

    @property
    def height(self) -> float:
        return max(box.height for box in (*self.boxes, *([self.side] if self.side else [])))


def flow_figure(part: Tested, words: Words) -> Markup:
    """The diagram of one finding."""
    levels = _levels(part, words)
    height = sum(level.height for level in levels) + _GAP * (len(levels) - 1) + 0.1

    def draw(figure: Figure) -> None:
        figure.set_layout_engine("none")  # boxes are placed in inches
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(0, height)
        axes.axis("off")
        top = height - 0.05
        above: tuple[_Level, float] | None = None
        for level in levels:
            _draw_level(axes, level, top)
            if above is not None:
                _connect(axes, above[0].boxes, above[1], level.boxes, top)
            above = (level, top)
            top -= level.height + _GAP

    return drawn(draw, width=WIDTH, height=height, alt=_alt(part, words))


def _box(
    place: tuple[float, float],
    head: Markup,
    rest: Sequence[Markup] = (),
    *,
    colour: str = GREY,
    dashed: bool = False,
) -> _Box:
    room = place[1] - 2 * _PAD
    lines = [(line, True) for line in lines_of(head, room, _SIZE, "bold")]
    lines += [(line, False) for text in rest for line in lines_of(text, room, _SIZE)]
    return _Box(*place, tuple(lines), colour, dashed)


def _levels(part: Tested, words: Words) -> tuple[_Level, ...]:
    films, result = part.study.evaluation.films, part.result
    received = _box(_MAIN, words("Received: rows of the predictions table"), [_n(films, "in_predictions", words)])
    scored = _box(_MAIN, words("Films with a score that were asked for"), [_n(films, "joined", words)])
    counted = words("Films with a known label: {finding}", finding=words.finding(part))
    return (
        _Level((received,), _left_out_box(films.left_out, words("Left out of everything"), words)),
        _Level((scored,), _left_out_box(result.left_out, words("Left out of this finding"), words)),
        _Level((_box(_MAIN, counted, [_n(result, "n", words)], colour=BLUE),)),
        _Level(_class_boxes(result, words)),
        *_outcome_levels(result, words),
    )


def _left_out_box(items: Sequence[LeftOut], head: Markup, words: Words) -> _Box:
    """Films that left; those that never had a row did not leave, and stand under a head of their own."""
    gone = [item for item in items if item.code != NOT_RECEIVED]
    never = [item for item in items if item.code == NOT_RECEIVED]
    box = _box(_SIDE, head, _reasons(gone, words) or [words("none")], dashed=True)
    if not never:
        return box
    more = _box(_SIDE, words("Never received"), _reasons(never, words))
    return replace(box, lines=(*box.lines, *more.lines))


def _reasons(items: Sequence[LeftOut], words: Words) -> list[Markup]:
    lines = [
        words("{n}: {reason}", n=words.count(item, "n"), reason=words.recorded(item.meaning, 90))
        for item in items[:REASONS]
    ]
    if len(items) > REASONS:
        more = len(items) - REASONS
        lines.append(words.plural("and {n} more reason, in the table", "and {n} more reasons, in the table", more))
    return lines


def _class_boxes(result: FindingResult, words: Words) -> tuple[_Box, ...]:
    having = _box(_HALF[0], words("With the finding"), [_n(result, "positives", words)], colour=BLUE)
    return having, _box(_HALF[1], words("Without the finding"), [_n(result, "negatives", words)], colour=BLUE)


def _n(record: BaseModel, field: str, words: Words) -> Markup:
    return words("n = {n}", n=words.count(record, field))


def _outcome_levels(result: FindingResult, words: Words) -> tuple[_Level, ...]:
    point = result.operating_point
    if point is None:
        return ()
    outcomes = (
        (words("Flagged: found"), "true_positive", GREY),
        (words("Not flagged: missed"), "false_negative", VERMILION),
        (words("Flagged: false alarm"), "false_positive", VERMILION),
        (words("Not flagged, rightly"), "true_negative", GREY),
    )
    boxes = tuple(
        _box(place, head, [_n(point.counts, field, words)], colour=colour)
        for place, (head, field, colour) in zip(_QUARTER, outcomes, strict=True)
    )
    return (_Level(boxes),)


def _draw_level(axes: Axes, level: _Level, top: float) -> None:
    for box in level.boxes:
        _draw_box(axes, box, top, level.height if len(level.boxes) > 1 else box.height)
    if level.side is not None:
        _draw_box(axes, level.side, top, level.side.height)
        main = level.boxes[0]
        y = top - min(main.height, level.side.height) / 2
        _arrow(axes, (main.x + main.width, y), (level.side.x, y))


def _draw_box(axes: Axes, box: _Box, top: float, height: float) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (box.x, top - height),
            box.width,
            height,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor="none",
            edgecolor=box.colour,
            linewidth=1.3,
            linestyle=(0, (4, 2)) if box.dashed else "solid",
        )
    )
    step = _SIZE * LINE / POINTS_PER_INCH
    for number, (line, bold) in enumerate(box.lines):
        axes.text(
            box.x + _PAD,
            top - _PAD - (number + 0.5) * step,
            line,
            fontsize=_SIZE,
            fontweight="bold" if bold else "normal",
            va="center_baseline",
            color=INK,
        )


def _connect(axes: Axes, above: tuple[_Box, ...], top: float, below: tuple[_Box, ...], reach: float) -> None:
    """Arrows from the boxes of one level to those of the next, shared out evenly from left to right."""
    share = max(1, len(below) // len(above))
    split = len(below) > len(above)
    height = max(box.height for box in above)
    for place, box in enumerate(below):
        source = above[min(place // share, len(above) - 1)]
        x = box.x + box.width / 2 if split else source.x + source.width / 2
        start = min(max(x, source.x + 0.1), source.x + source.width - 0.1)
        bottom = top - height if len(above) > 1 else top - source.height
        if abs(start - x) > 1e-9:  # around the corner, so that no arrow crosses a box
            bend = reach + _GAP / 2
            axes.plot([start, start, x], [bottom, bend, bend], color=INK, lw=1, solid_joinstyle="miter")
            _arrow(axes, (x, bend), (x, reach))
        else:
            _arrow(axes, (x, bottom), (x, reach))


def _arrow(axes: Axes, tail: tuple[float, float], head: tuple[float, float]) -> None:
    axes.annotate(
        "", xy=head, xytext=tail, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    )


def _alt(part: Tested, words: Words) -> Markup:
    films, result = part.study.evaluation.films, part.result
    said = words(
        "Flow of films: {received} received, {scored} with a score, {n} with a known label, {positives} with the "
        "finding and {negatives} without it.",
        received=words.count(films, "in_predictions"),
        scored=words.count(films, "joined"),
        n=words.count(result, "n"),
        positives=words.count(result, "positives"),
        negatives=words.count(result, "negatives"),
    )
    point = result.operating_point
    if point is None:
        return said
    more = words(
        "At the threshold: {found} found, {missed} missed, {alarms} false alarms, {cleared} rightly not flagged.",
        found=words.count(point.counts, "true_positive"),
        missed=words.count(point.counts, "false_negative"),
        alarms=words.count(point.counts, "false_positive"),
        cleared=words.count(point.counts, "true_negative"),
    )
    return Markup("{} {}").format(said, more)
