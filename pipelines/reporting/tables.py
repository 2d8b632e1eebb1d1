"""A table of a report, once for the page and for the forms that go into a manuscript."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from markupsafe import Markup

from pipelines.reporting.texts import text_of

INTERVAL: Final = '<span class="ci">'
"""Begins the interval in a cell, which stands under its value."""


@dataclass(frozen=True)
class Cell:
    """One cell: as it is printed, and the numbers behind it."""

    html: Markup
    value: float | int | str | bool | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @property
    def text(self) -> str:
        """As plain text on one line, an interval in parentheses behind its value."""
        shown, _, interval = str(self.html).replace("<br", " <br").partition(INTERVAL)
        value, beside = text_of(Markup(shown)), text_of(Markup(interval.replace(INTERVAL, f", {INTERVAL}")))
        return f"{value} ({beside})" if value and beside else value or beside


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    key: str
    """Stable and English: the name of the column in the JSON form."""
    head: Markup
    align: Literal["left", "right"] = "left"


def headed(heads: Mapping[str, Markup]) -> tuple[Column, ...]:
    """Columns by key from messages: each begins with a capital, but a symbol that begins one (p, adjusted) stays."""
    return tuple(
        Column(key, Markup(f"{head[0].upper()}{head[1:]}") if head[:2].isalpha() and len(head) > 1 else head)
        for key, head in heads.items()
    )


@dataclass(frozen=True)
class Table:
    """Rows under heads; the first cell of a row is its head."""

    key: str
    """Stable and unique in the report, for example ``accuracy-s1f1-counts``: an id in the page, a name in the JSON."""
    title: Markup
    """Says what the table shows; printed as its caption."""
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: Markup | None = None
    """What a reader must know beside it."""
    folded: bool = False
    """Closed in the page until it is asked for, because a figure beside it says the same; always open on paper."""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.key}: rows do not fit their heads"
