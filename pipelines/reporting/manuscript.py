"""The tables of a report for people who write papers: Markdown for a manuscript, JSON for a program."""

import json
import re
from typing import Any, Final

from markupsafe import Markup

from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Table
from pipelines.reporting.texts import plain, text_of

SCHEMA: Final = "cxr-triage/report-tables/1"
MAX_COMMAND: Final = 4000
"""Longer than any command that a person gives."""
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~$&^@])")
"""What Markdown, or Pandoc's formulas and citations, would take for a sign: in text of users it must stay text."""


def markdown(words: Words, title: Markup, chapters: tuple[Chapter, ...]) -> str:
    """All tables of the chapters, each under the heading of its chapter.

    A value stands before its interval in one cell, as journals print it.
    """
    lines = [f"# {_plain(title)}", "", f"**{_plain(words('Research only; not a diagnosis'))}**", ""]
    for chapter in chapters:
        if chapter.tables:
            lines += [f"## {_plain(chapter.title)}", ""]
        for number, table in enumerate(chapter.tables, 1):
            about = subject(words, table)
            named = f"{_plain(about)}: {_plain(table.title)}" if about else _plain(table.title)
            lines += [f"**{number}. {named}**", "", *_rows(table), ""]
            lines += [f"*{_plain(table.note)}*", ""] if table.note else []
    if words.book.command:
        lines += [_code(plain(words.book.command, MAX_COMMAND)), ""]
    return "\n".join(lines)


def subject(words: Words, table: Table) -> Markup | None:
    """What a table is about, where a page says so by the heading above it: a finding, or one of several evaluations."""
    parts = set(table.key.split("-"))
    for tested in words.book.tested:
        if tested.anchor in parts:
            return words.heading(tested)
    for study in words.book.studies if words.book.several else ():
        if f"s{study.place}" in parts:
            return words.foreign(study.evaluation.title)
    return None


def _rows(table: Table) -> list[str]:
    heads = " | ".join(_plain(column.head) or " " for column in table.columns)
    rules = " | ".join("---:" if column.align == "right" else "---" for column in table.columns)
    return [
        f"| {heads} |",
        f"| {rules} |",
        *(f"| {' | '.join(_escaped(cell.text) or ' ' for cell in row)} |" for row in table.rows),
    ]


def _plain(text: Markup) -> str:
    return _escaped(text_of(text))


def _code(text: str) -> str:
    """Text in code style, whatever signs of that style it holds itself."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def tables_json(words: Words, title: Markup, chapters: tuple[Chapter, ...]) -> str:
    """All tables with the numbers behind their cells, not rounded; texts in the language of the report."""
    tables = [
        {
            "key": table.key,
            "chapter": chapter.key,
            "about": None if (about := subject(words, table)) is None else text_of(about),
            "title": text_of(table.title),
            "note": None if table.note is None else text_of(table.note),
            "columns": [{"key": column.key, "head": text_of(column.head)} for column in table.columns],
            "rows": [
                {column.key: _numbers(cell) for column, cell in zip(table.columns, row, strict=True)}
                for row in table.rows
            ],
        }
        for chapter in chapters
        for table in chapter.tables
    ]
    whole = {
        "schema": SCHEMA,
        "language": words.language.code,
        "title": text_of(title),
        "notice": text_of(words("Research only; not a diagnosis")),
        "command": None if words.book.command is None else plain(words.book.command, MAX_COMMAND),
        "tables": tables,
    }
    return json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _numbers(cell: Cell) -> dict[str, Any]:
    found = {"text": cell.text, "value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n}
    return {key: value for key, value in found.items() if value is not None}
