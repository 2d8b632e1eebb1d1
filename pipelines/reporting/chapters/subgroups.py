"""Who it works for: accuracy in every group, which gaps these films show, and which they are too few to show."""

from dataclasses import dataclass

from markupsafe import Markup

from pipelines.evaluation.subgroups.records import SubgroupColumn
from pipelines.reporting.book import Book, Tested
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.chapters.subgroups_tables import (
    column_name,
    compared_name,
    gaps_table,
    group_name,
    groups_table,
    overall_estimates,
    shown_table,
    spread_table,
)
from pipelines.reporting.charts.forest import METRICS, Row, forest_figure, panels
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Table


@dataclass(frozen=True)
class Part:
    """One column of one finding."""

    title: Markup
    figure: Markup | None
    groups: Table | None
    gaps: Table | None
    reference: Markup
    notes: tuple[Markup, ...]
    single: Markup | None
    """The only group, where there is one."""


@dataclass(frozen=True)
class Section:
    """One finding."""

    part: Tested
    heading: Markup
    compared: tuple[Part, ...]
    alone: tuple[Part, ...]
    """Columns without two groups to compare."""
    shown: Table | None
    any_gaps: bool
    spreads: Table | None
    notes: tuple[Markup, ...]
    """Those of every column that is compared."""
    threshold: bool

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables in the order of the page."""
        inner = [table for one in self.compared for table in (one.groups, one.gaps)]
        return tuple(table for table in (self.shown, *inner, self.spreads) if table is not None)


def chapter(book: Book, words: Words) -> Chapter:
    """Every finding's accuracy by group."""
    sections = tuple(_section(part, words) for part in book.tested)
    body = words.render("subgroups.html.j2", sections=sections)
    tables = tuple(table for section in sections for table in section.tables)
    return Chapter("subgroups", words("Who it works for"), body, tables)


def _section(part: Tested, words: Words) -> Section:
    columns = part.result.subgroups
    noted = [column.notes for column in columns if _comparable(column)]
    common = [note for note in noted[0] if all(note in notes for notes in noted)] if len(noted) > 1 else []
    parts = [(column, _part(part, place, column, words, common)) for place, column in enumerate(columns, 1)]
    gaps = [(column, gap) for column in columns for gap in column.gaps]
    shown = [(column, gap) for column, gap in gaps if gap.verdict == "shown"]
    spreads = [(column, spread) for column in columns for spread in column.spreads if spread.metric in METRICS]
    return Section(
        part=part,
        heading=words.heading(part),
        compared=tuple(made for column, made in parts if _comparable(column)),
        alone=tuple(made for column, made in parts if not _comparable(column)),
        shown=shown_table(part, shown, words) if shown else None,
        any_gaps=bool(gaps),
        spreads=spread_table(part, spreads, words) if spreads else None,
        notes=tuple(words.recorded(note) for note in common),
        threshold=part.result.operating_point is not None,
    )


def _comparable(column: SubgroupColumn) -> bool:
    return sum(group.kind != "unknown" for group in column.groups) > 1


def _part(part: Tested, place: int, column: SubgroupColumn, words: Words, common: list[str]) -> Part:
    key = f"subgroups-{part.anchor}-c{place}"
    title, rows = column_name(column, words), [Row(group, group_name(column, group, words)) for group in column.groups]
    drawn = panels(column, overall_estimates(part.result))
    gaps = [gap for gap in column.gaps if gap.metric in METRICS]
    comparable = _comparable(column)
    return Part(
        title=title,
        figure=forest_figure(title, rows, drawn, words) if comparable and drawn else None,
        groups=groups_table(key, part, column, rows, words) if comparable else None,
        gaps=gaps_table(f"{key}-gaps", title, column, gaps, words) if gaps else None,
        reference=compared_name(column, column.reference, words),
        notes=tuple(words.recorded(note) for note in column.notes if note not in common),
        single=rows[0].label if len(rows) == 1 else None,
    )
