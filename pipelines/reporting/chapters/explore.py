"""Try another threshold: a slider over the thresholds of the evaluation's table, at a prevalence that the reader sets.

The page holds the table; its script does the arithmetic of `pipelines.evaluation.thresholds.programme`, of predictive
values and of reading effort. Until something is moved, and without JavaScript, the numbers are those of the
evaluation's files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.records import OperatingResult
from pipelines.reading_time.effort import Effort
from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.explore_data import (
    data_of,
    digits_of,
    for_script,
    shared,
    start_of,
    stops_of,
    threshold_digits,
)
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import NO_VALUE, Words
from pipelines.statistics.accuracy.records import Band, ThresholdTable
from pipelines.statistics.estimates import Estimate

KEY: Final = "explore"
NOTHING: Final = Markup("")
GROUPS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "films": (
        message("On the films of this test ({positives} with the finding, {negatives} without it)"),
        {
            "sensitivity": message("Sensitivity"),
            "specificity": message("Specificity"),
            "flagged": message("Flagged, of all films"),
            "true_positive": message("With the finding, flagged"),
            "false_negative": message("With the finding, not flagged (missed)"),
            "false_positive": message("Without it, flagged (false alarms)"),
            "true_negative": message("Without it, not flagged"),
        },
    ),
    "people": (
        message("At the prevalence set"),
        {
            "ppv": message("Flagged people who have the finding (PPV)"),
            "npv": message("People not flagged who do not have it (NPV)"),
            "tests_per_case": message("Confirmatory tests per case found"),
        },
    ),
    "screened": (
        message("Per 100,000 people screened, at the prevalence set"),
        {
            "referred": message("Referred to the confirmatory test"),
            "avoided": message("Confirmatory tests avoided, against testing everyone"),
            "found": message("Cases found"),
            "missed": message("Cases missed"),
        },
    ),
    "minutes": (
        message("Minutes of reader time per 1,000 films, at the prevalence set"),
        {
            "without_ai": message("Without AI"),
            "with_ai": message("With AI shown"),
            "difference": message("With AI minus without AI (below zero: time saved)"),
        },
    ),
}
"""Headings of the groups of numbers, and the labels of their rows."""


@dataclass(frozen=True)
class Row:
    """One number of the chapter as the evaluation has it; the script writes others in its place."""

    key: str
    label: Markup
    value: Markup = NO_VALUE
    interval: Markup = NOTHING
    where: Markup = NOTHING
    """At which prevalence it holds, if not at the evaluation's."""


@dataclass(frozen=True)
class Group:
    """Rows under a heading."""

    key: str
    title: Markup
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Section:
    """One finding."""

    heading: Markup
    anchor: str
    absent: Markup | None
    """Why nothing can be explored; None where something can."""
    threshold: Markup = NO_VALUE
    prevalence: Markup = NO_VALUE
    groups: tuple[Group, ...] = ()
    others: tuple[tuple[int, Markup], ...] = ()
    """Further thresholds with names: their stops and labels."""
    operating: bool = False
    data: Markup = NOTHING


def chapter(book: Book, words: Words) -> Chapter:
    """The chapter in one language."""
    sections = [_section(part, words) for part in book.tested]
    live = any(section.absent is None for section in sections)
    body = words.render("explore.html.j2", sections=sections, live=live, shared=for_script(shared(words)))
    scripts = ("explore_model.js", "explore.js") if live else ()
    return Chapter(key=KEY, title=words("Try another threshold"), body=body, scripts=scripts)


# One finding -------------------------------------------------------------------------------------------------------


def _section(part: Tested, words: Words) -> Section:
    heading, anchor = words.heading(part), words.id(f"{part.anchor}-{KEY}")
    absent = _absent(part.result.thresholds, words)
    if absent is not None:
        return Section(heading, anchor, absent)
    stops, known = stops_of(part)
    start, point = start_of(part, stops), part.result.operating_point
    places = {stop.threshold: place for place, stop in enumerate(stops)}
    evaluation = part.study.evaluation
    return Section(
        heading,
        anchor,
        None,
        threshold=_threshold(part, words, stops[start].threshold),
        prevalence=words.value(
            evaluation, "local_prevalence", form="percent", digits=digits_of(evaluation.local_prevalence)
        ),
        groups=tuple(_groups(part, words, stops[start].threshold)),
        others=tuple(
            (places[other.threshold], words.recorded(other.label))
            for other in part.result.other_points
            if point is None or other.threshold != point.threshold
        ),
        operating=point is not None,
        data=for_script(data_of(part, words, stops, known, start)),
    )


def _absent(table: ThresholdTable, words: Words) -> Markup | None:
    if not table.positives and not table.negatives:
        return words("No film was evaluated for this finding, so there is no threshold to try.")
    if not table.positives:
        return words("No film with the finding was evaluated, so there is no sensitivity and no threshold to try.")
    if not table.negatives:
        return words("No film without the finding was evaluated, so there is no specificity and no threshold to try.")
    if len(table.thresholds) < 2:
        return words("This evaluation has fewer than two thresholds in its table, so there is no other one to try.")
    return None


def _threshold(part: Tested, words: Words, threshold: float) -> Markup:
    point, table = part.result.operating_point, part.result.thresholds
    if point is not None:
        return words.value(point, "threshold", form="significant", digits=threshold_digits(threshold))
    if threshold not in table.thresholds:  # that of another point, which the table does not have
        return NO_VALUE
    place = table.thresholds.index(threshold)
    return words.value(table, "thresholds", place, form="significant", digits=threshold_digits(threshold))


def _groups(part: Tested, words: Words, threshold: float) -> Iterator[Group]:
    """Every number of the chapter; those at the operating threshold where there is one."""
    point, table = part.result.operating_point, part.result.thresholds
    found = dict(_counted(part, words, threshold))
    if point is not None:
        found |= _screened(point, words)
    if part.proxies is not None and part.proxies.effort is not None:
        found |= _read(part.proxies.effort, words, part.study.evaluation.local_prevalence)
    films = {name: words.count(table, name) for name in ("positives", "negatives")}
    for key, (title, labels) in GROUPS.items():
        if key != "minutes" or part.study.reading_time is not None:
            rows = tuple(Row(name, words(label), *found.get(name, ())) for name, label in labels.items())
            yield Group(key, words(title, **films), rows)


def _counted(part: Tested, words: Words, threshold: float) -> Iterator[tuple[str, tuple[Markup, ...]]]:
    point, table = part.result.operating_point, part.result.thresholds
    if point is not None:
        for name in ("sensitivity", "specificity", "flagged"):
            rate: Estimate = getattr(point, name)
            yield name, (words.percent(rate), words.percent_interval(rate))
        for name in ("true_positive", "false_negative", "false_positive", "true_negative"):
            yield name, (words.count(point.counts, name),)
    elif threshold in table.thresholds:
        place = table.thresholds.index(threshold)
        for name in ("sensitivity", "specificity", "flagged"):
            band: Band = getattr(table, name)
            yield name, (words.value(band, "value", place, form="percent", digits=1),)
        for name in ("true_positive", "false_positive"):
            yield name, (words.count(table, name, place),)


def _screened(point: OperatingResult, words: Words) -> Iterator[tuple[str, tuple[Markup, ...]]]:
    if point.local is not None:
        for name, share in (("ppv", point.local.ppv), ("npv", point.local.npv)):
            digits = share_digits(share)
            yield name, (words.percent(share, digits), words.percent_interval(share, digits))
    programme = point.programme
    for name, number in (
        ("tests_per_case", programme.tests_per_case),
        ("referred", programme.referred_per_100000),
        ("avoided", programme.tests_avoided_per_100000),
        ("found", programme.cases_found_per_100000),
        ("missed", programme.missed_per_100000),
    ):
        yield name, _amount(number, words)


def _read(effort: Effort, words: Words, prevalence: float) -> Iterator[tuple[str, tuple[Markup, ...]]]:
    where = NOTHING
    if effort.prevalence != prevalence:
        share = words.value(effort, "prevalence", form="percent", digits=digits_of(effort.prevalence))
        where = words("at a prevalence of {prevalence}, that of the reading room", prevalence=share)
    for name, minutes in (
        ("without_ai", effort.minutes_per_1000.without_ai),
        ("with_ai", effort.minutes_per_1000.with_ai),
        ("difference", effort.difference.with_ai),
    ):
        yield name, (*_amount(minutes, words), where)


def _amount(number: Estimate, words: Words) -> tuple[Markup, Markup]:
    digits = amount_digits(number)
    return words.number(number, digits), words.interval(number, digits)


def share_digits(share: Estimate) -> int:
    """Decimals of a predictive value as a percentage: two near the ends, where a rare disease puts it."""
    return 1 if share.value is None or 0.1 <= share.value <= 0.9 else 2


def amount_digits(number: Estimate) -> int:
    """Decimals of people and minutes: none where the number or its upper bound has three digits before the point."""
    return 0 if max(abs(number.value or 0), abs(number.high or 0)) >= 100 else 1
