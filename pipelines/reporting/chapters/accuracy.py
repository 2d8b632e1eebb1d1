"""Accuracy at the operating threshold: counts, natural frequencies, curves, rates, and where the threshold is from."""

from dataclasses import dataclass

from markupsafe import Markup

from pipelines.evaluation.records import FindingResult
from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.accuracy_tables import (
    counts_table,
    fixed_table,
    people_table,
    points_table,
    rates_table,
)
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.provenance_of_threshold import threshold_origin
from pipelines.reporting.chapters.trust import doubt_of
from pipelines.reporting.chapters.warnings_of import may_be_the_pictures
from pipelines.reporting.charts.icons import icon_array
from pipelines.reporting.charts.roc import roc_figure
from pipelines.reporting.charts.scores import score_figure
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Table


@dataclass(frozen=True)
class _Section:
    """One finding."""

    part: Tested
    origin: Markup
    doubt: Markup | None
    """What a control that does nearly as well means for these numbers."""
    counts: Table | None
    people: Table | None
    icons: Markup | None
    roc: Markup | None
    scores: Markup | None
    rates: Table
    points: Table | None
    fixed: Table | None
    comparison: Markup | None

    @property
    def tables(self) -> tuple[Table, ...]:
        found = (self.counts, self.people, self.rates, self.points, self.fixed)
        return tuple(table for table in found if table is not None)


def chapter(book: Book, words: Words) -> Chapter:
    """The chapter of all findings."""
    sections = tuple(_section(part, words) for part in book.tested)
    return Chapter(
        key="accuracy",
        title=words("Accuracy at the threshold in use"),
        body=words.render("accuracy.html.j2", sections=sections),
        tables=tuple(table for section in sections for table in section.tables),
    )


def _section(part: Tested, words: Words) -> _Section:
    result, point = part.result, part.result.operating_point
    icons = None if point is None else icon_array(point.programme, words)
    return _Section(
        part=part,
        origin=threshold_origin(point, words),
        doubt=doubt_of(part, words) if may_be_the_pictures(result) else None,
        counts=None if point is None else counts_table(part, point, words),
        people=None if icons is None or point is None else people_table(part, point, words),
        icons=icons,
        roc=roc_figure(result, words),
        scores=score_figure(result, words),
        rates=rates_table(part, words),
        points=points_table(part, words) if result.other_points else None,
        fixed=fixed_table(part, words) if _has_fixed(result) else None,
        comparison=_non_inferiority(result, words),
    )


def _has_fixed(result: FindingResult) -> bool:
    return any(at.specificity.value is not None for at in result.at_sensitivity)


def _non_inferiority(result: FindingResult, words: Words) -> Markup | None:
    found = None if result.operating_point is None else result.operating_point.non_inferiority
    if found is None:
        return None
    values = {
        "value": words.percent(found.estimate),
        "interval": words.percent_interval(found.estimate),
        "bar": words.value(found, "bar", form="percent", digits=1),
        "margin": words.value(found, "margin", form="percent", digits=1),
    }
    if found.verdict == "shown":
        return words(
            "Non-inferiority of the sensitivity is <strong>shown</strong>: {value} ({interval}); the lower bound "
            "reaches {bar}, which is the reference less the margin of {margin}.",
            **values,
        )
    if found.verdict == "worse":
        return words(
            "The sensitivity is <strong>worse</strong> than allowed: {value} ({interval}); even the upper bound lies "
            "below {bar}, which is the reference less the margin of {margin}.",
            **values,
        )
    return words(
        "Non-inferiority of the sensitivity is <strong>not shown</strong>: {value} ({interval}); the lower bound does "
        "not reach {bar}, which is the reference less the margin of {margin}.",
        **values,
    )
