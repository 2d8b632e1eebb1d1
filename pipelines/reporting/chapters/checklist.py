"""The CLAIM checklist, filled from the record where it can be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.reporting.book import Book, Study
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.claim_answer import Answer, Evidence
from pipelines.reporting.chapters.claim_items import DOI, ITEMS, Item
from pipelines.reporting.chapters.claim_methods import METHODS
from pipelines.reporting.chapters.claim_results import RESULTS
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table

EVIDENCE: Final[Mapping[int, Evidence]] = {**METHODS, **RESULTS}
"""By item; the record has nothing to say to the others, and nothing marks them as fulfilled."""


@dataclass(frozen=True)
class Checked:
    """The checklist of one evaluation."""

    study: Study
    table: Table
    whole: int
    """Items that the record answers."""
    in_part: int
    left: int
    """Items that the authors must answer."""


def chapter(book: Book, words: Words) -> Chapter:
    """The chapter of all evaluations."""
    checked = tuple(_check(study, words) for study in book.studies)
    return Chapter(
        key="checklist",
        title=words("Checklist for authors (CLAIM)"),
        body=words.render(
            "checklist.html.j2", checked=checked, several=book.several, doi=DOI, tally=lambda n: _tally(n, words)
        ),
        tables=tuple(each.table for each in checked),
    )


def answers(study: Study, words: Words) -> dict[int, Answer | None]:
    """What the record says to every item; None where it says nothing."""
    return {item.number: EVIDENCE[item.number](study, words) if item.number in EVIDENCE else None for item in ITEMS}


def _check(study: Study, words: Words) -> Checked:
    found = answers(study, words)
    whole = sum(answer is not None and answer.whole for answer in found.values())
    left = sum(answer is None for answer in found.values())
    table = Table(
        f"checklist-s{study.place}",
        _title(study, words),
        (
            Column("item", words("Item"), "right"),
            Column("section", words("Section")),
            Column("subject", words("Subject")),
            Column("state", words("State")),
            Column("record", words("In the record")),
        ),
        tuple(_row(item, found[item.number], words) for item in ITEMS),
        folded=True,
    )
    return Checked(study, table, whole=whole, in_part=len(found) - whole - left, left=left)


def _title(study: Study, words: Words) -> Markup:
    if not words.book.several:
        return words("CLAIM items, and what the record of this evaluation says to them")
    title = words.foreign(study.evaluation.title, 80)
    return words("CLAIM items, and what the record says to them: {title}", title=title)


def _row(item: Item, answer: Answer | None, words: Words) -> tuple[Cell, ...]:
    if answer is None:
        state, shown = words('<span class="open">for the authors</span>'), Markup("")
    else:
        whole = words('<span class="found">in the record</span>')
        state, shown = (
            whole if answer.whole else words('<span class="part">in part</span>'),
            answer.text,
        )
    return (
        Cell(_tally(item.number, words), item.number),
        words.text_cell(words(item.section)),
        words.text_cell(words(item.subject)),
        words.text_cell(state),
        words.text_cell(shown),
    )


def _tally(count: int, words: Words) -> Markup:
    """A number of the checklist itself, which no file of the evaluation holds."""
    return Markup("<bdi>{}</bdi>").format(words.language.integer(count))
