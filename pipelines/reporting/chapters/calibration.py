"""Can the scores be read as probabilities, and is it worth flagging by them?"""

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.charts.calibration import reach, reliability_figure, shifted_figure
from pipelines.reporting.charts.decision import decision_figure, nearest, probability
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.statistics.calibration.records import Calibration, ReliabilityBin, ShiftedCalibration
from pipelines.statistics.decision import DecisionCurve, DecisionPoint
from pipelines.statistics.estimates import Estimate

CHANCE: Final = 2.0
"""An expected calibration error below this many times what chance makes shows no miscalibration; the notes of
`pipelines.statistics.calibration` draw the line there too."""
THRESHOLDS: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""The table of the decision curve has the points nearest to these."""
RARE: Final = 0.05
"""Below this share with the finding, net benefits are printed with four decimals."""

NAMES: Final = {
    "ece": message("Expected calibration error (ECE)"),
    "brier": message("Brier score"),
    "scaled_brier": message("Scaled Brier score"),
    "observed_expected": message("Observed / expected"),
    "intercept": message("Calibration intercept"),
    "slope": message("Calibration slope"),
}
MEANINGS: Final = {
    "ece": message("How far, on average, the share with the finding lies from the score. 0 is perfect."),
    "brier": message("Mean squared distance between score and truth. 0 is perfect."),
    "scaled_brier": message(
        "How much better the scores are than giving every film the same average score. 1 is perfect, 0 is no better."
    ),
    "observed_expected": message(
        "Films with the finding, divided by how many the scores lead one to expect. 1 is right."
    ),
    "intercept": message("Are the scores too high or too low overall? 0 is right."),
    "slope": message("Are the scores too extreme or too cautious? 1 is right."),
}
SHIFTS: Final = {
    "observed_expected": (
        1.0,
        message("Too high: the scores promise more films with the finding than there are."),
        message("Too low: there are more films with the finding than the scores promise."),
        message("The interval includes 1: no error is shown."),
    ),
    "intercept": (
        0.0,
        message("The scores are too high overall."),
        message("The scores are too low overall."),
        message("The interval includes 0: no error is shown."),
    ),
    "slope": (
        1.0,
        message("Too extreme: high scores are too high and low scores too low."),
        message("Too cautious: high scores are too low and low scores too high."),
        message("The interval includes 1: no error is shown."),
    ),
    "scaled_brier": (
        0.0,
        message("Worse than giving every film the same score."),
        message("Better than giving every film the same score."),
        message("Not shown to be better than giving every film the same score."),
    ),
}
"""The value that stands for no error; what it means to lie below it, above it, and to be compatible with it."""


@dataclass(frozen=True)
class Worth:
    """What the decision curve shows of one finding."""

    figure: Markup
    table: Table
    here: DecisionPoint | None
    at: Markup
    verdict: Markup
    digits: int
    low: Markup
    high: Markup


@dataclass(frozen=True)
class Section:
    """One finding as the template prints it."""

    part: Tested
    calibration: Calibration
    figure: Markup | None
    zoomed: bool
    table: Table | None
    groups: Table | None
    shifted: ShiftedCalibration | None
    shifted_figure: Markup | None
    shifted_table: Table | None
    worth: Worth | None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those that the section prints."""
        worth = self.worth.table if self.worth else None
        return tuple(table for table in (self.groups, self.table, self.shifted_table, worth) if table is not None)


def chapter(book: Book, words: Words) -> Chapter:
    """Reliability diagram, measures of calibration, the same at the local prevalence, and the decision curve."""
    sections = [_section(part, words) for part in book.tested]
    return Chapter(
        key="calibration",
        title=words("Calibration and decision curve"),
        body=words.render("calibration.html.j2", sections=sections),
        tables=tuple(table for section in sections for table in section.tables),
    )


def _section(part: Tested, words: Words) -> Section:
    result = part.result
    found, shifted, curve = result.calibration, result.calibration_at_prevalence, result.decision_curve
    has_shifted = shifted is not None and bool(shifted.before.bins)
    return Section(
        part=part,
        calibration=found,
        figure=reliability_figure(found, result.histogram, words) if found.bins else None,
        zoomed=reach([found]) < 1,
        table=_measures(part, found, words) if found.bins else None,
        groups=_groups(part, found, words) if found.bins else None,
        shifted=shifted if has_shifted else None,
        shifted_figure=shifted_figure(shifted, words) if shifted is not None and has_shifted else None,
        shifted_table=_shifted_measures(part, shifted, words) if shifted is not None and has_shifted else None,
        worth=_worth(part, curve, words) if curve.points else None,
    )


def _groups(part: Tested, found: Calibration, words: Words) -> Table:
    """The points of the reliability diagram."""
    return Table(
        key=f"reliability-{part.anchor}",
        title=words("The points of the diagram: {films} in groups by score.", films=words.films(found, "n")),
        columns=(
            Column("scores", words("Scores")),
            Column("n", words("Films"), "right"),
            Column("positives", words("With the finding"), "right"),
            Column("mean_score", words("Mean score"), "right"),
            Column("observed", words("Share with the finding")),
        ),
        rows=tuple(_group(each, words) for each in found.bins),
        folded=True,
    )


def _group(each: ReliabilityBin, words: Words) -> tuple[Cell, ...]:
    low, high = (words.value(each, end, form="significant", digits=3) for end in ("low", "high"))
    return (
        words.text_cell(words("{low} to {high}", low=low, high=high)),
        words.count_cell(each, "n"),
        words.count_cell(each, "positives"),
        Cell(words.value(each, "mean_score", form="percent", digits=1), each.mean_score),
        words.percent_cell(each.observed),
    )


def _measures(part: Tested, found: Calibration, words: Words) -> Table:
    rows = []
    for name in NAMES:
        estimate: Estimate = getattr(found, name)
        rows.append(
            (
                words.text_cell(words(NAMES[name])),
                words.number_cell(estimate),
                words.text_cell(words(MEANINGS[name])),
                words.text_cell(_reading(name, found, words)),
            )
        )
    return Table(
        key=f"calibration-{part.anchor}",
        title=words("How well the scores of {films} match the truth.", films=words.films(found, "n")),
        columns=(
            Column("measure", words("Measure")),
            Column("value", words("Value")),
            Column("meaning", words("What it asks")),
            Column("here", words("What it says here")),
        ),
        rows=tuple(rows),
    )


def _reading(name: str, found: Calibration, words: Words) -> Markup:
    """What a measure says here, in a sentence."""
    estimate: Estimate = getattr(found, name)
    if estimate.value is None:
        return Markup("")
    if name == "ece":
        return _ece_reading(found, words)
    if name == "brier":
        return words(
            "The same score for every film would have {uncertainty}.", uncertainty=words.number(found.uncertainty)
        )
    none, below, above, compatible = SHIFTS[name]
    if estimate.low is None or estimate.high is None:
        return words("Without an interval nothing is shown.")
    return words(below if estimate.high < none else above if estimate.low > none else compatible)


def _ece_reading(found: Calibration, words: Words) -> Markup:
    ece, chance = found.ece, found.ece_by_chance
    if ece.value is None or chance.value is None:
        return words("What chance alone would make of it is not known here.")
    by_chance = words.number(chance)
    if ece.value < CHANCE * chance.value:
        return words(
            "Perfect scores would have {chance} by chance on so many films: no error is shown, and the interval lies "
            "too high.",
            chance=by_chance,
        )
    return words(
        "Perfect scores would have only {chance} by chance on so many films: the scores are off.", chance=by_chance
    )


def _shifted_measures(part: Tested, shifted: ShiftedCalibration, words: Words) -> Table:
    def cells(name: str) -> tuple[Cell, ...]:
        return tuple(words.number_cell(getattr(side, name)) for side in (shifted.before, shifted.after))

    return Table(
        key=f"calibration-{part.anchor}-local",
        title=words(
            "The same measures at a prevalence of {prevalence}, from {films} weighted to it.",
            prevalence=words.value(shifted, "to_prevalence", form="percent", digits=1),
            films=words.films(shifted.before, "n"),
        ),
        columns=(
            Column("measure", words("Measure")),
            Column("as_they_are", words("Scores as they are")),
            Column("adjusted", words("Scores adjusted to this prevalence")),
        ),
        rows=tuple((words.text_cell(words(label)), *cells(name)) for name, label in NAMES.items()),
        folded=True,
    )


def _worth(part: Tested, curve: DecisionCurve, words: Words) -> Worth:
    point = part.result.operating_point
    threshold = point.threshold if point is not None else None
    here = nearest(curve, threshold)
    return Worth(
        figure=decision_figure(curve, threshold, words),
        table=_decision_table(part, curve, here, words),
        here=here,
        at=probability(here, "threshold", words) if here else Markup(""),
        verdict=_verdict(here, words),
        digits=net_benefit_digits(part),
        low=probability(curve, "low", words),
        high=probability(curve, "high", words),
    )


def _verdict(here: DecisionPoint | None, words: Words) -> Markup:
    if here is None:
        return Markup("")
    gain = here.over_best_default
    if gain.low is not None and gain.low > 0:
        return words(
            "Near the threshold in use, flagging is worth more than referring everyone and than referring no one."
        )
    if gain.high is not None and gain.high < 0:
        return words("Near the threshold in use, flagging is worth less than the better of the two simple rules.")
    return words(
        "Near the threshold in use, flagging is not shown to be worth more than the better of the two simple rules."
    )


def _decision_table(part: Tested, curve: DecisionCurve, here: DecisionPoint | None, words: Words) -> Table:
    chosen = [point for point in (nearest(curve, at) for at in THRESHOLDS) if point is not None]
    ends = [curve.points[0], curve.points[-1]] if not chosen and here is None else []
    digits = net_benefit_digits(part)
    shown = {point.threshold: point for point in (*chosen, *ends, *([here] if here else []))}
    return Table(
        key=f"decision-{part.anchor}",
        title=words(
            "Net benefit and referrals avoided at some thresholds, for {films}.", films=words.films(curve, "n")
        ),
        columns=(
            Column("threshold", words("Threshold")),
            Column("flagged", words("Films flagged")),
            Column("net_benefit", words("Net benefit, flagged referred")),
            Column("treat_all", words("Net benefit, everyone referred")),
            Column("over_best_default", words("Gain over the better simple rule")),
            Column("avoided_per_100", words("Referrals avoided per 100 films")),
        ),
        rows=tuple(_decision_row(shown[at], shown[at] is here, digits, words) for at in sorted(shown)),
        note=words(
            "Referrals avoided: how many fewer of 100 films are referred than when everyone is, once every missed case "
            "is paid for at the threshold's rate of exchange. Below 0: flagging costs more than it saves."
        ),
        folded=True,
    )


def net_benefit_digits(part: Tested) -> int:
    """Net benefit is at most the share with the finding: a fourth decimal only where that share is small."""
    prevalence = part.result.decision_curve.prevalence
    share = part.result.prevalence.value if prevalence is None else prevalence
    return 3 if share is not None and share >= RARE else 4


def _decision_row(point: DecisionPoint, here: bool, digits: int, words: Words) -> tuple[Cell, ...]:
    at = probability(point, "threshold", words)
    shown = words("{threshold} (nearest to the threshold in use)", threshold=at) if here else at
    return (
        Cell(shown, point.threshold),
        words.percent_cell(point.flagged),
        words.number_cell(point.net_benefit, digits),
        words.number_cell(point.treat_all, digits),
        words.number_cell(point.over_best_default, digits),
        words.number_cell(point.avoided_per_100, 1),
    )
