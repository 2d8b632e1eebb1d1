"""Several systems, or versions of a model, on the same films: first of all whether an old threshold may stay."""

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from pipelines.evaluation.comparison.records import ComparedFinding, Pair, SystemResult
from pipelines.findings import FINDING_NAMES
from pipelines.reporting.book import Book
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.comparison_answer import Answer, answer_of, own_thresholds
from pipelines.reporting.charts.comparison import Row, auroc_differences, forest, points_text, working_points
from pipelines.reporting.printing import NO_VALUE, Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.reporting.texts import plain, sentence_case
from pipelines.statistics.accuracy.paired import PairedTest
from pipelines.statistics.accuracy.records import Rates
from pipelines.statistics.estimates import Estimate


@dataclass(frozen=True)
class PairView:
    """What the page shows of two systems."""

    anchor: str
    title: Markup
    answer: Answer
    own: Markup | None
    forest: Markup | None
    auroc: Markup | None
    differences: Table
    agreement: Table | None


@dataclass(frozen=True)
class FindingView:
    """What the page shows of one finding."""

    anchor: str
    title: Markup
    result: ComparedFinding
    pairs: tuple[PairView, ...]
    systems: Table
    points: Markup | None


def chapter(book: Book, words: Words) -> Chapter:
    """The comparison that a book holds.

    Raises:
        AssertionError: the book holds evaluations instead.
    """
    assert book.comparison is not None, "a book of evaluations has no comparison"
    views = [_finding(result, place, words) for place, result in enumerate(book.comparison.findings, 1)]
    about = _about(book, words)
    shown = [table for view in views for pair in view.pairs for table in (pair.differences, pair.agreement)]
    tables = [*(table for table in shown if table is not None), *(view.systems for view in views), about]
    missing = [words.recorded(FINDING_NAMES.get(name, name), 60) for name in book.comparison.not_compared]
    body = words.render("comparison.html.j2", views=views, about=about, missing=missing)
    return Chapter("comparison", words("Systems side by side on the same films"), body, tuple(tables))


def _finding(result: ComparedFinding, place: int, words: Words) -> FindingView:
    anchor = f"c{place}"
    return FindingView(
        anchor=anchor,
        title=_title(result, words),
        result=result,
        pairs=tuple(_pair(pair, result, f"{anchor}p{number}", words) for number, pair in enumerate(result.pairs, 1)),
        systems=_systems(result, anchor, words),
        points=working_points(result, words),
    )


def _title(result: ComparedFinding, words: Words) -> Markup:
    name = words.recorded(result.name, 60)
    return name if str(name).startswith("<") else Markup(sentence_case(str(name)))


def _pair(pair: Pair, result: ComparedFinding, anchor: str, words: Words) -> PairView:
    named = {"later": words.foreign(pair.a, 60), "earlier": words.foreign(pair.b, 60)}
    margin = pair.kept_threshold or pair
    rows = [Row(each.label, each.test, each.margin) for each in _shares(pair, result, words)]
    asked = margin.non_inferiority.margin if margin.non_inferiority else 0.0
    return PairView(
        anchor=anchor,
        title=words("{later} after {earlier}", **named),
        answer=answer_of(pair, result, named, words),
        own=own_thresholds(pair, result, named, words),
        forest=forest(pair, rows, asked, words),
        auroc=auroc_differences(pair, words),
        differences=_differences(pair, result, anchor, words),
        agreement=_agreement(pair, anchor, words),
    )


# Tables ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Compared:
    """A share of both systems and its paired difference."""

    label: Markup
    test: PairedTest
    later: Estimate | None
    earlier: Estimate | None
    margin: bool = False
    """Whether the margin of non-inferiority is asked of it."""


def _shares(pair: Pair, result: ComparedFinding, words: Words) -> Iterator[_Compared]:
    """Everything that was compared as a share, what programmes ask first at the top."""
    later, earlier = (_system(result, name) for name in (pair.a, pair.b))
    new, old, found, kept = later.operating_point, earlier.operating_point, pair.accuracy, pair.kept_threshold
    if found.sensitivity is not None and found.specificity is not None:
        label = words("Sensitivity, own thresholds")
        yield _Compared(label, found.sensitivity, _rate(new, "sensitivity"), _rate(old, "sensitivity"), margin=True)
        label = words("Specificity, own thresholds")
        yield _Compared(label, found.specificity, _rate(new, "specificity"), _rate(old, "specificity"))
    if kept is not None:
        # The old threshold is the earlier system's own; what the later one reaches at it is recorded as a difference.
        label = words("Sensitivity, old threshold for both")
        yield _Compared(label, kept.sensitivity, None, _rate(old, "sensitivity"), margin=True)
        label = words("Specificity, old threshold for both")
        yield _Compared(label, kept.specificity, None, _rate(old, "specificity"))
    for at, a, b in zip(found.at_sensitivity, later.at_sensitivity, earlier.at_sensitivity, strict=True):
        held = words.value(at, "target", form="percent")
        label = words("Specificity where sensitivity is held at {target}", target=held)
        yield _Compared(label, at.free, a.specificity, b.specificity)
    for at, a, b in zip(found.at_specificity, later.at_specificity, earlier.at_specificity, strict=True):
        held = words.value(at, "target", form="percent")
        label = words("Sensitivity where specificity is held at {target}", target=held)
        yield _Compared(label, at.free, a.sensitivity, b.sensitivity)


def _differences(pair: Pair, result: ComparedFinding, anchor: str, words: Words) -> Table:
    later, earlier = (_system(result, name) for name in (pair.a, pair.b))
    rows = [_difference_row(words("AUROC"), later.auroc, earlier.auroc, pair.accuracy.auroc, words, share=False)]
    rows += [
        _difference_row(each.label, each.later, each.earlier, each.test, words) for each in _shares(pair, result, words)
    ]
    for key, label in (
        ("ppv", words("Positive predictive value on these films")),
        ("npv", words("Negative predictive value on these films")),
        ("flagged", words("Share of films flagged")),
    ):
        sides = (_rate(later.operating_point, key), _rate(earlier.operating_point, key))
        if sides != (None, None):
            rows.append(_difference_row(label, *sides, None, words))
    return Table(
        f"comparison-{anchor}-differences",
        words("Differences on the same films, later minus earlier"),
        (
            Column("measure", words("Measure")),
            Column("later", words.foreign(pair.a, 60), "right"),
            Column("earlier", words.foreign(pair.b, 60), "right"),
            Column("difference", words("Difference"), "right"),
            Column("p", words("p value"), "right"),
        ),
        tuple(rows),
        words(
            "Differences of shares are in percentage points and paired film by film. Where no difference stands, none "
            "was computed: compare the two intervals with care. Predictive values hold for the share of films with "
            "the finding among these films only."
        ),
    )


def _system(result: ComparedFinding, name: str) -> SystemResult:
    return next(system for system in result.systems if system.films.name == name)


def _rate(rates: Rates | None, key: str) -> Estimate | None:
    return None if rates is None else getattr(rates, key)


def _difference_row(
    label: Markup,
    later: Estimate | None,
    earlier: Estimate | None,
    test: PairedTest | None,
    words: Words,
    *,
    share: bool = True,
) -> tuple[Cell, ...]:
    absent = Cell(NO_VALUE)

    def cell(estimate: Estimate | None) -> Cell:
        if estimate is None:
            return absent
        return words.percent_cell(estimate) if share else words.number_cell(estimate)

    if test is None:
        return words.text_cell(label), cell(later), cell(earlier), absent, absent
    found = test.difference
    value, interval = points_text(found, words) if share else (words.number(found), words.interval(found))
    shown = Markup('{}<span class="ci">{}</span>').format(value, interval)
    difference = Cell(shown, found.value, found.low, found.high, found.n)
    return words.text_cell(label), cell(later), cell(earlier), difference, Cell(_p(test, words), test.p)


def _p(test: PairedTest, words: Words) -> Markup:
    if test.p is None:
        return NO_VALUE
    return words("below 0.001") if test.p < 0.001 else words.value(test, "p", form="decimal", digits=3)


def _agreement(pair: Pair, anchor: str, words: Words) -> Table | None:
    found = pair.agreement
    if found is None:
        return None
    rows = [
        (words("With the finding"), found.positives),
        (words("Without the finding"), found.negatives),
    ]
    return Table(
        f"comparison-{anchor}-agreement",
        words("Films by what both systems say, each at its own threshold: those in the middle are where they differ"),
        (
            Column("films", words("Films")),
            Column("both", words("Flagged by both"), "right"),
            Column("only_later", words("Only by {system}", system=words.foreign(pair.a, 60)), "right"),
            Column("only_earlier", words("Only by {system}", system=words.foreign(pair.b, 60)), "right"),
            Column("neither", words("By neither"), "right"),
        ),
        tuple(
            (
                words.text_cell(label),
                *(words.count_cell(counts, key) for key in ("both", "only_a", "only_b", "neither")),
            )
            for label, counts in rows
        ),
    )


def _systems(result: ComparedFinding, anchor: str, words: Words) -> Table:
    return Table(
        f"comparison-{anchor}-systems",
        words("What was compared: films that every system scored and whose label is known"),
        (
            Column("system", words("System")),
            Column("model_id", words("Model")),
            Column("threshold", words("Threshold")),
            Column("scored", words("Films scored"), "right"),
            Column("without_score", words("Without a score"), "right"),
            Column("not_common", words("Scored, but not by the others"), "right"),
        ),
        tuple(_system_row(system, words) for system in result.systems),
    )


def _system_row(system: SystemResult, words: Words) -> tuple[Cell, ...]:
    films, point = system.films, system.operating_point
    model = (
        words("another system")
        if films.model_id is None
        else Markup("<code>{}</code>").format(plain(films.model_id, 16))
    )
    threshold = Cell(words("none"))
    if point is not None:
        value = words.value(point, "threshold", form="significant", digits=3)
        shown = Markup('{}<span class="ci">{}</span>').format(value, words.recorded(system.threshold))
        threshold = Cell(shown, point.threshold)
    counts = (words.count_cell(films, key) for key in ("scored", "without_score", "not_common"))
    return words.text_cell(words.foreign(films.name, 60)), words.text_cell(model), threshold, *counts


def _about(book: Book, words: Words) -> Table:
    found = book.comparison
    assert found is not None
    split = words("all films of the manifest") if found.split is None else words.foreign(found.split)
    digest = Markup("<code>{}</code>").format(plain(found.manifest_digest)) if found.manifest_digest else NO_VALUE
    versions = Markup(", ").join(
        Markup("{} <code>{}</code>").format(plain(name), plain(version)) for name, version in found.versions.items()
    )
    rows = [
        ("split", words("Films of the manifest"), words.text_cell(split)),
        ("manifest", words("Digest of the manifest"), words.text_cell(digest)),
        ("level", words("Level of intervals"), Cell(words.value(found, "level", form="percent"), found.level)),
        ("replicates", words("Bootstrap replicates"), words.count_cell(found, "replicates")),
        ("seed", words("Seed"), words.count_cell(found, "seed")),
        ("versions", words("Software"), words.text_cell(versions)),
    ]
    return Table(
        "comparison-about",
        words("Films, statistics and software of this comparison"),
        (Column("what", words("What")), Column("found", words("As recorded"))),
        tuple((words.text_cell(label), cell) for _, label, cell in rows),
    )
