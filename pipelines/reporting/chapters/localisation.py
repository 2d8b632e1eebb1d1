"""Does the system point at the finding, or is it right for the wrong reason?"""

from dataclasses import dataclass, replace

from markupsafe import Markup

from pipelines.evaluation.localisation.records import Froc, NotJudged, SizeBand
from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.charts.froc import froc_figure, lroc_figure
from pipelines.reporting.printing import NO_VALUE, Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.statistics.estimates import Estimate


@dataclass(frozen=True)
class Section:
    """One finding as the template prints it."""

    part: Tested
    froc: Froc
    absent: bool
    figure: Markup | None
    lroc: Markup | None
    tables: tuple[Table, ...]
    not_judged: tuple[Markup, ...]
    sized: bool
    """Whether any lesion has a known size."""


def chapter(book: Book, words: Words) -> Chapter:
    """FROC, LROC, JAFROC and hits by lesion size, or why there are none."""
    sections = [_section(part, words) for part in book.tested]
    return Chapter(
        key="localisation",
        title=words("Localisation"),
        body=words.render("localisation.html.j2", sections=sections),
        tables=tuple(table for section in sections for table in section.tables),
    )


def _section(part: Tested, words: Words) -> Section:
    froc = part.result.froc
    absent = froc.why is not None or froc.all_films.curve is None
    sized = any(band.n_lesions and band.above_mm is not None for band in froc.bands)
    tables = (_rates(part, froc, words), _measures(part, froc, words), _bands(part, froc, words))
    return Section(
        part=part,
        froc=froc,
        absent=absent,
        figure=None if absent else froc_figure(froc, words),
        lroc=None if absent or froc.lroc.curve is None else lroc_figure(froc.lroc, words),
        tables=() if absent else tables if froc.bands else tables[:2],
        not_judged=tuple(_left_out(entry, words) for entry in froc.not_judged if entry.n),
        sized=sized,
    )


def _left_out(entry: NotJudged, words: Words) -> Markup:
    counted = words.count(entry, "n")
    if entry.of == "boxes":
        size = words.plural("{n} box", "{n} boxes", entry.n, n=counted)
    elif entry.of == "marks":
        size = words.plural("{n} mark", "{n} marks", entry.n, n=counted)
    else:
        size = words.films(entry, "n")
    return words("{size}: {why}", size=size, why=words.recorded(entry.meaning))


def _rates(part: Tested, froc: Froc, words: Words) -> Table:
    """Both ways of counting, rate by rate, with the mean of the rates as the last row."""
    rows = []
    for here, normal in zip(froc.all_films.at_rates, froc.normal_films.at_rates, strict=True):
        rate = words.value(here, "false_positives_per_image", form="significant", digits=3)
        rows.append(
            (
                Cell(rate, here.false_positives_per_image),
                _held(here.sensitivity, words, held=here.held),
                _held(normal.sensitivity, words, held=normal.held),
            )
        )
    mean = words.text_cell(words("Mean of these (CPM)"))
    rows.append((mean, words.percent_cell(froc.all_films.cpm), words.percent_cell(froc.normal_films.cpm)))
    return Table(
        key=f"froc-{part.anchor}",
        title=words.plural(
            "Share of {n} true box that is hit, by how many false positives per film one accepts.",
            "Share of {n} true boxes that are hit, by how many false positives per film one accepts.",
            froc.n_lesions,
            n=words.count(froc, "n_lesions"),
        ),
        columns=(
            Column("false_positives_per_film", words("False positives per film")),
            Column("all_films", words("Counted on all films (main result)")),
            Column("normal_films", words("Counted on normal films only (classical)")),
        ),
        rows=tuple(rows),
        note=_held_note(froc, words),
        folded=True,
    )


def _held(found: Estimate, words: Words, *, held: bool) -> Cell:
    """A sensitivity, with a star where the curve ended before this rate."""
    cell = words.percent_cell(found)
    if not held or found.value is None:
        return cell
    shown = Markup('{} *<span class="ci">{}</span>').format(words.percent(found), words.percent_interval(found))
    return replace(cell, html=shown)


def _held_note(froc: Froc, words: Words) -> Markup | None:
    if not any(rate.held for scores in (froc.all_films, froc.normal_films) for rate in scores.at_rates):
        return None
    return words(
        "* The system never makes so many false marks: the value is that of all its marks, which have {all} false "
        "positives per film on all films and {normal} on normal films.",
        all=words.value(froc.all_films, "reach", form="decimal", digits=2),
        normal=words.value(froc.normal_films, "reach", form="decimal", digits=2),
    )


def _measures(part: Tested, froc: Froc, words: Words) -> Table:
    lroc = froc.lroc
    rows = (
        (
            words("True boxes hit at the threshold in use"),
            words.percent_cell(froc.sensitivity_at_threshold),
            words("A box counts as hit when a mark at or above the threshold lies on it."),
        ),
        (
            words("False positives per film at the threshold in use"),
            words.number_cell(froc.false_positives_at_threshold),
            words("Marks at or above the threshold that lie on no true box, over all films."),
        ),
        (
            words("Films with the finding, marked in the right place at the threshold in use"),
            words.percent_cell(lroc.correct_at_threshold),
            words("Their best mark lies on a true box and reaches the threshold."),
        ),
        (
            words("Normal films marked at the threshold in use"),
            words.percent_cell(lroc.false_positive_at_threshold),
            words("Some mark on a film without the finding reaches the threshold."),
        ),
        (
            words("Films with the finding, marked in the right place at any score"),
            words.percent_cell(lroc.correct),
            words("The most that a lower threshold could reach."),
        ),
        (
            words("Area under the LROC curve"),
            words.number_cell(lroc.area),
            words("Chance that a film with the finding is marked in the right place and scored above a normal film."),
        ),
        (
            words("JAFROC figure of merit"),
            words.number_cell(froc.jafroc),
            words("Chance that a true box is scored above the best mark of a normal film."),
        ),
    )
    return Table(
        key=f"localisation-{part.anchor}",
        title=words(
            "Localisation at the threshold in use and over all thresholds, on {films}.",
            films=words.films(froc, "n_films"),
        ),
        columns=(
            Column("measure", words("Measure")),
            Column("value", words("Value")),
            Column("meaning", words("What it means")),
        ),
        rows=tuple((words.text_cell(name), cell, words.text_cell(meaning)) for name, cell, meaning in rows),
    )


def _bands(part: Tested, froc: Froc, words: Words) -> Table:
    return Table(
        key=f"sizes-{part.anchor}",
        title=words("True boxes hit, by size: the longer side of the box in millimetres."),
        columns=(
            Column("size", words("Size")),
            Column("n", words("True boxes"), "right"),
            Column("at_threshold", words("Hit at the threshold in use")),
            Column("at_one_false_positive", words("Hit at one false positive per film")),
        ),
        rows=tuple(_band(band, words) for band in froc.bands),
        note=words(
            "Sizes are rough: a box is at least as large as what it holds, and a film shows things larger than they "
            "are."
        ),
    )


def _band(band: SizeBand, words: Words) -> tuple[Cell, ...]:
    def hit(estimate: Estimate) -> Cell:
        return words.percent_cell(estimate) if band.n_lesions else Cell(NO_VALUE)

    return (
        words.text_cell(_size(band, words)),
        words.count_cell(band, "n_lesions"),
        hit(band.at_threshold),
        hit(band.at_one_false_positive),
    )


def _size(band: SizeBand, words: Words) -> Markup:
    if band.above_mm is None:
        return words("size not known")
    above = words.value(band, "above_mm", form="significant", digits=3)
    if band.up_to_mm is None:
        return words("over {above} mm", above=above)
    to = words.value(band, "up_to_mm", form="significant", digits=3)
    if band.above_mm == 0:
        return words("up to {to} mm", to=to)
    return words("over {above} to {to} mm", above=above, to=to)
