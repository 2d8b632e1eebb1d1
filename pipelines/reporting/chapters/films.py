"""Films to look at: what the system missed, flagged in error, nearly got wrong, and got right."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.datasets import ADAPTERS
from pipelines.evaluation.example_records import Drawn, Example, Examples, FilmKind
from pipelines.evaluation.examples import KINDS, OUTCOME_KINDS, is_public
from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.language.language import message
from pipelines.reporting.pictures import Gallery, Shown, gallery
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.reporting.texts import text_of

KIND_NAMES: Final[dict[FilmKind, str]] = {
    "missed": message("Missed cases"),
    "false_alarm": message("False alarms"),
    "borderline": message("Borderline"),
    "correct_positive": message("Rightly flagged"),
    "correct_negative": message("Rightly not flagged"),
}
OUTCOMES: Final = {
    "true_positive": message("With the finding, flagged"),
    "false_negative": message("With the finding, not flagged"),
    "false_positive": message("Without the finding, flagged"),
    "true_negative": message("Without the finding, not flagged"),
}
SCORE_DIGITS: Final = 4
"""Decimals of a score: borderline films differ from the threshold by little."""
UNKNOWN: Final = "unknown"
"""Key of films without a data set in the counts of a cohort."""
NO_PICTURE: Final = {
    "terms": message("The terms of its data set do not clearly allow showing it in a report."),
    "own": message("It is of a data set of your own, and showing its films was not asked for."),
    "unknown": message("It is not known which data set it is of, so not known whether it may be shown."),
    "no_maps": message("No picture of it was kept with its score."),
    "unreadable": message("Its picture is missing or cannot be read."),
    "room": message("Its picture is left out so that the page does not grow too large."),
}


@dataclass(frozen=True)
class Film:
    """One film with its pictures, in one language."""

    example: Example
    shown: Shown
    name: Markup
    outcome: Markup
    data_set: Markup
    alt: str
    alt_map: str
    remark: Markup | None


@dataclass(frozen=True)
class Group:
    """The films of one kind that have pictures."""

    name: Markup
    films: tuple[Film, ...]


@dataclass(frozen=True)
class Section:
    """One finding."""

    part: Tested
    heading: Markup
    examples: Examples
    drawn: Table | None
    groups: tuple[Group, ...]
    listed: Table | None


def chapter(book: Book, words: Words) -> Chapter:
    """Films of every finding: those that may be shown with pictures, all others with their score and the reason."""
    pictures = gallery(book)
    sections = tuple(_section(part, words, pictures) for part in book.tested)
    tables = tuple(table for one in sections for table in (one.drawn, one.listed) if table is not None)
    body = words.render(
        "films.html.j2",
        sections=sections,
        pictured=any(one.groups for one in sections),
        sources=tuple(_sources(sections, words)),
    )
    return Chapter("films", words("Films to look at"), body, tables, ("films.js",), pictures.store)


def _section(part: Tested, words: Words, pictures: Gallery) -> Section:
    examples = part.result.examples
    groups, unseen = [], []
    for kind in KINDS:
        films = [one for one in enumerate(examples.films, 1) if _kind(one[1]) == kind]
        pictured = [(place, film) for place, film in films if id(film) in pictures.shown]
        unseen += [(place, film) for place, film in films if id(film) not in pictures.shown]
        if pictured:
            made = tuple(_film(part, words, place, film, pictures.shown[id(film)]) for place, film in pictured)
            groups.append(Group(words(KIND_NAMES[kind]), made))
    return Section(
        part,
        words.heading(part),
        examples,
        None if examples.drawn is None else _drawn_table(part, words, examples.drawn),
        tuple(groups),
        _listed_table(part, words, unseen, pictures) if unseen else None,
    )


def _kind(film: Example) -> FilmKind:
    return film.kind or OUTCOME_KINDS[film.outcome]


def _film(part: Tested, words: Words, place: int, film: Example, shown: Shown) -> Film:
    score = words.value(film, "score", form="decimal", digits=SCORE_DIGITS)
    outcome = words(OUTCOMES[film.outcome])
    # The numbers of an alternative text are those beside the picture: markup has no place in an attribute.
    said = words("Chest radiograph. {outcome}. Score {score}.", outcome=outcome, score=score)
    over = words("Chest radiograph with the map laid over it. {outcome}. Score {score}.", outcome=outcome, score=score)
    return Film(
        film,
        shown,
        _name(words, place, film),
        outcome,
        _data_set(part, words, film),
        text_of(said),
        text_of(over),
        _remark(words, film, shown),
    )


def _remark(words: Words, film: Example, shown: Shown) -> Markup | None:
    if not shown.sized:
        return words("The film's size is not in the manifest, so boxes cannot be placed.")
    if film.boxes is None and film.outcome in ("true_positive", "false_negative"):
        return words("Nobody drew a box on this film.")
    if shown.map is None:
        return words("No map was kept for this film.")
    return None


def _name(words: Words, place: int, film: Example) -> Markup:
    """An id of a public data set; a user's own might say who the patient is."""
    if film.id_is_public:
        return words.foreign(film.image_id, 60)
    return words("Film {number}", number=words.foreign(place))


def _data_set(part: Tested, words: Words, film: Example) -> Markup:
    names = list(part.study.evaluation.cohort.datasets)
    name = film.data_set or (names[0] if len(names) == 1 else None)
    if name is None or name == UNKNOWN:
        return words("data set not known")
    return words.recorded(ADAPTERS[name].title) if is_public(name) else words.foreign(name, 60)


def _drawn_table(part: Tested, words: Words, drawn: tuple[Drawn, ...]) -> Table:
    rows = tuple(
        (words.text_cell(words(KIND_NAMES[one.kind])), words.count_cell(one, "n"), words.count_cell(one, "shown"))
        for one in drawn
    )
    columns = (
        Column("kind", words("Kind")),
        Column("films", words("Films in all"), "right"),
        Column("drawn", words("Drawn"), "right"),
    )
    return Table(
        f"films-{part.anchor}-drawn",
        words(
            "How many films of each kind there are for {finding}, and how many were drawn", finding=words.finding(part)
        ),
        columns,
        rows,
        words("Borderline films are drawn from all films; each of them is also right or wrong."),
    )


def _listed_table(part: Tested, words: Words, films: list[tuple[int, Example]], pictures: Gallery) -> Table:
    columns = (
        Column("film", words("Film")),
        Column("kind", words("Kind")),
        Column("outcome", words("Outcome")),
        Column("score", words("Score"), "right"),
        Column("data_set", words("Data set")),
        Column("why", words("Why there is no picture")),
    )
    return Table(
        f"films-{part.anchor}-listed",
        words("Films drawn for {finding} that are not shown: look them up where you may", finding=words.finding(part)),
        columns,
        tuple(tuple(_listed_row(part, words, place, film, pictures)) for place, film in films),
        _flagged_from(words, part.result.examples),
        folded=True,
    )


def _flagged_from(words: Words, examples: Examples) -> Markup | None:
    if examples.threshold is None:
        return None
    threshold = words.value(examples, "threshold", form="significant", digits=SCORE_DIGITS)
    return words("A film is flagged where its score is at least {threshold}.", threshold=threshold)


def _listed_row(part: Tested, words: Words, place: int, film: Example, pictures: Gallery) -> Iterator[Cell]:
    yield words.text_cell(_name(words, place, film))
    yield words.text_cell(words(KIND_NAMES[_kind(film)]))
    yield words.text_cell(words(OUTCOMES[film.outcome]))
    yield Cell(words.value(film, "score", form="decimal", digits=SCORE_DIGITS), film.score)
    yield words.text_cell(_data_set(part, words, film))
    yield words.text_cell(words(NO_PICTURE[pictures.missing[id(film)]]))


def _sources(sections: tuple[Section, ...], words: Words) -> Iterator[tuple[Markup, Markup, Markup]]:
    """Title, citation and terms of each public data set whose films are shown."""
    names = dict.fromkeys(
        film.example.data_set or name
        for one in sections
        for group in one.groups
        for film in group.films
        for name in one.part.study.evaluation.cohort.datasets
    )
    for name in names:
        if is_public(name):
            card = ADAPTERS[name]
            terms = words.recorded(card.films_may_be_shown_why)
            yield words.recorded(card.title), words.foreign(card.citation, 600), terms
