"""Where the films went: flow diagrams, groups by site and split, and who the films are of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from pipelines.evaluation.records import Cohort, FlowGroup, LeftOut
from pipelines.reporting.book import Book, Study, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.charts.flow import flow_figure
from pipelines.reporting.language.language import message
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table

GROUPS: Final = 40
"""Rows of a table of groups or of a column of the cohort; what lies beyond is in the files of the evaluation."""
_UNKNOWN: Final = "unknown"
_COHORT: Final = (
    ("datasets", message("Data set")),
    ("sites", message("Site")),
    ("splits", message("Split")),
    ("views", message("View")),
    ("sexes", message("Sex")),
    ("manufacturers", message("Manufacturer")),
    ("reference_standards", message("Reference standard")),
)
_NAMES: Final = {
    "sexes": {"F": message("female"), "M": message("male")},
    "views": {
        "PA": message("PA (back to front)"),
        "AP": message("AP (front to back)"),
        "LATERAL": message("lateral"),
    },
    "reference_standards": {
        "microbiology": message("microbiology"),
        "ct": message("CT"),
        "radiologist": message("reading by radiologists"),
        "report": message("radiology reports"),
        "synthetic": message("synthetic (drawn by a program)"),
    },
    "splits": {"train": message("training"), "val": message("validation"), "test": message("test")},
}


@dataclass(frozen=True)
class _Diagram:
    part: Tested
    figure: Markup


@dataclass(frozen=True)
class _Flow:
    study: Study
    diagrams: tuple[_Diagram, ...]
    left_out: Table | None
    groups: tuple[Table, ...]
    groups_absent: bool
    cohort: Table


def chapter(book: Book, words: Words) -> Chapter:
    """The chapter of all evaluations."""
    flows = tuple(_flow(study, words) for study in book.studies)
    tables = [table for flow in flows for table in (flow.left_out, *flow.groups, flow.cohort) if table is not None]
    return Chapter(
        key="flow",
        title=words("Where the films went"),
        body=words.render("flow.html.j2", flows=flows, several=book.several),
        tables=tuple(tables),
    )


def known_name(field: str, name: str, words: Words) -> Markup:
    """A value of a cohort column in words: the project's own codes as messages, all else as text."""
    if name == _UNKNOWN:
        return words("not known")
    shown = _NAMES.get(field, {}).get(name)
    return words.foreign(name, 60) if shown is None else words(shown)


def _flow(study: Study, words: Words) -> _Flow:
    groups = tuple(_group_tables(study, words))
    return _Flow(
        study=study,
        diagrams=tuple(_Diagram(part, flow_figure(part, words)) for part in study.tested),
        left_out=_left_out_table(study, words),
        groups=groups,
        groups_absent=not groups,
        cohort=_cohort_table(study, words),
    )


def _left_out_table(study: Study, words: Words) -> Table | None:
    scopes: list[tuple[Markup, Sequence[LeftOut]]] = [(words("everything"), study.evaluation.films.left_out)]
    scopes += [(words.finding(part), part.result.left_out) for part in study.tested]
    rows = [
        (
            words.text_cell(scope),
            words.count_cell(item, "n"),
            words.text_cell(words.recorded(item.meaning, 200)),
            words.text_cell(words.foreign(item.code, 60)),
        )
        for scope, items in scopes
        for item in items
    ]
    if not rows:
        return None
    columns = (
        Column("scope", words("Left out of")),
        Column("films", words("Films"), "right"),
        Column("why", words("Why")),
        Column("code", words("Code in the files")),
    )
    return Table(f"flow-s{study.place}-left-out", words("Films left out, and why"), columns, tuple(rows))


def _group_tables(study: Study, words: Words) -> Iterator[Table]:
    films = study.evaluation.films
    heads = (
        ("by_site", "sites", words("Films by site"), words("Site")),
        ("by_split", "splits", words("Films by split"), words("Split")),
    )
    for field, names, title, head in heads:
        groups: Sequence[FlowGroup] | None = getattr(films, field)
        if groups is None:
            continue
        columns = (
            Column("name", head),
            Column("received", words("Received"), "right"),
            Column("analysed", words("With a score"), "right"),
            Column("left_out", words("Left out, and why")),
        )
        rows = tuple(
            (
                words.text_cell(_group_name(group, names, words)),
                words.count_cell(group, "received"),
                words.count_cell(group, "analysed"),
                words.text_cell(_reasons(group.left_out, words)),
            )
            for group in groups[:GROUPS]
        )
        note = _cut_note(len(groups), words)
        yield Table(f"flow-s{study.place}-{field.replace('_', '-')}", title, columns, rows, note, folded=len(rows) < 2)


def _group_name(group: FlowGroup, names: str, words: Words) -> Markup:
    if group.groups > 1:
        count = words.count(group, "groups")
        return words.plural("{n} other group", "{n} other groups", group.groups, n=count)
    return known_name(names, group.name, words)


def _reasons(items: Sequence[LeftOut], words: Words) -> Markup:
    if not items:
        return words("none")
    return Markup("<br>").join(
        words("{n}: {reason}", n=words.count(item, "n"), reason=words.recorded(item.meaning, 90)) for item in items
    )


def _cut_note(count: int, words: Words) -> Markup | None:
    if count <= GROUPS:
        return None
    return words("The largest groups are shown; all are in evaluation.json.")


def _cohort_table(study: Study, words: Words) -> Table:
    cohort = study.evaluation.cohort
    rows: list[tuple[Cell, ...]] = []
    cut = 0
    for field, label in _COHORT:
        counts: dict[str, int] = getattr(cohort, field)
        cut = max(cut, len(counts))
        rows += [
            (
                words.text_cell(words(label)),
                words.text_cell(known_name(field, name, words)),
                words.count_cell(cohort, field, name),
            )
            for name in sorted(counts, key=lambda name: (-counts[name], name))[:GROUPS]
        ]
    rows.append(
        (words.text_cell(words("Age")), words.text_cell(_age(cohort, words)), words.count_cell(cohort, "age_known"))
    )
    columns = (
        Column("what", words("What")),
        Column("value", words("Value")),
        Column("films", words("Films"), "right"),
    )
    title = words("Who and what was tested: films with a score, by what is known of them")
    return Table(f"flow-s{study.place}-cohort", title, columns, tuple(rows), _cut_note(cut, words))


def _age(cohort: Cohort, words: Words) -> Markup:
    if cohort.age_years is None:
        return words("not known")
    median, low, high = (words.value(cohort, "age_years", place, form="decimal") for place in range(3))
    return words("median {median} years, from {low} to {high}", median=median, low=low, high=high)
