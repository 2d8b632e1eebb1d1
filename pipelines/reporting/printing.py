"""Numbers and texts as a report prints them, in one language, each number with its place in the evaluation's files.

Every number is printed from a record of those files, inside ``<data value="0.9142" data-from="1/evaluation:findings.0.
auroc.value" data-as="decimal:3">0.914</data>``. So a test can compare what stands in the page with the file, and a
reader's own program can find the digits that were rounded off.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from pydantic import BaseModel

from pipelines.reporting.book import Book, Tested
from pipelines.reporting.language.language import Language, message
from pipelines.reporting.language.recorded import recorded
from pipelines.reporting.tables import INTERVAL, Cell, Table
from pipelines.reporting.texts import plain, sentence_case, text_of
from pipelines.statistics.estimates import Estimate

NO_VALUE: Final = Markup("–")
Form = Literal["percent", "share", "decimal", "magnitude", "integer", "significant"]
"""``percent``: a share in [0, 1] times 100 with its sign, ``share``: without it; ``magnitude``: without a minus."""


@dataclass(frozen=True)
class Words:
    """What a report says in one language."""

    language: Language
    book: Book
    several: bool = False
    """Whether the page holds several languages, so that ids need the language's code to be unique."""

    def id(self, name: str) -> str:
        """An id that is unique in the page."""
        return f"{self.language.code}-{name}" if self.several else name

    # Messages ------------------------------------------------------------------------------------------------------

    def __call__(self, message: str, **values: Any) -> Markup:
        """A message of the report; ``{names}`` take the values."""
        return self.language.text(message, **values)

    def plural(self, singular: str, plural: str, count: int, /, **values: Any) -> Markup:
        """A message that depends on a count; give ``n=words.count(...)`` to print the count with its source."""
        return self.language.plural(singular, plural, count, **values)

    def recorded(self, text: str | None, limit: int = 400) -> Markup:
        """A sentence that an evaluation file holds in English; one that no catalogue knows is cut at the limit."""
        return Markup("") if text is None else recorded(self.language, text, limit)

    def foreign(self, text: object, limit: int = 120) -> Markup:
        """Text from a table or a user: as text, without control characters, cut, apart from the page's direction."""
        return Markup("<bdi>{}</bdi>").format(plain(text, limit))

    def finding(self, part: Tested) -> Markup:
        """The finding in words; a data set's own label as it stands."""
        return self.recorded(part.result.name, 60)

    def heading(self, part: Tested) -> Markup:
        """The finding as a heading, with its evaluation where there are several."""
        name = self.finding(part)
        shown = Markup(sentence_case(str(name))) if not str(name).startswith("<") else name
        if not self.book.several:
            return shown
        return self("{finding}: {study}", finding=shown, study=self.foreign(part.study.evaluation.title, 80))

    # Numbers -------------------------------------------------------------------------------------------------------

    def value(
        self, record: BaseModel, *field: str | int, form: Form, digits: int = 0, factor: float | None = None
    ) -> Markup:
        """Any number of a record by its field: ``words.value(cohort, "age_years", 0, form="decimal")``.

        Args:
            record: part of the book's files.
            field: where in the record the number is.
            form: how it is printed; ``percent`` takes a share in [0, 1].
            digits: decimals, or significant digits.
            factor: printed multiplied by this, for example 0.01 for "per 1,000" from "per 100,000".
        """
        found = _field(record, field)
        if found is None:
            return NO_VALUE
        number = float(found) * factor if factor is not None else found
        text = self._format(number, form, digits)
        shape = f"{form}:{digits}" + ("" if factor is None else f"*{factor!r}")
        return Markup('<data value="{}" data-from="{}" data-as="{}">{}</data>').format(
            repr(found), self.book.sources.path(record, *field), shape, text
        )

    def _format(self, number: float, form: Form, digits: int) -> str:
        written = self.language
        if form == "integer":
            return written.integer(int(number))
        if form == "percent":
            return written.percent(number, digits)
        if form == "significant":
            return written.significant(number, digits)
        return written.decimal({"share": 100 * number, "magnitude": abs(number)}.get(form, number), digits)

    def count(self, record: BaseModel, *field: str | int) -> Markup:
        """A count of a record."""
        return self.value(record, *field, form="integer")

    def films(self, record: BaseModel, *field: str | int) -> Markup:
        """A count of films in words."""
        found = _field(record, field)
        return self.plural("{n} film", "{n} films", int(found), n=self.count(record, *field))

    def percent(self, estimate: Estimate, digits: int = 1) -> Markup:
        """A share as a percentage, or a dash where it has no value."""
        return self.value(estimate, "value", form="percent", digits=digits)

    def percent_interval(self, estimate: Estimate, digits: int = 1) -> Markup:
        """The interval of a share, or why there is none."""
        return self._interval(estimate, "percent", digits)

    def number(self, estimate: Estimate | None, digits: int = 3, factor: float | None = None) -> Markup:
        """A number, or a dash where it has no value."""
        return (
            NO_VALUE
            if estimate is None
            else self.value(estimate, "value", form="decimal", digits=digits, factor=factor)
        )

    def interval(self, estimate: Estimate, digits: int = 3, factor: float | None = None) -> Markup:
        """The interval of a number, or why there is none."""
        return self._interval(estimate, "decimal", digits, factor)

    def bounds(
        self, estimate: Estimate, digits: int = 3, factor: float | None = None, form: Form = "decimal"
    ) -> Markup:
        """The interval without its level, or nothing where there is none: for cells under a head that names it."""
        if estimate.low is None or estimate.high is None:
            return Markup("")
        both = form == "percent"  # one sign for both ends
        low = self.value(estimate, "low", form="share" if both else form, digits=digits, factor=factor)
        high = self.value(estimate, "high", form=form, digits=digits, factor=factor)
        if estimate.low < 0:
            return self("{low} to {high}", low=low, high=high)
        return Markup('<span class="range">{}–{}</span>').format(low, high)

    def _interval(self, estimate: Estimate, form: Form, digits: int, factor: float | None = None) -> Markup:
        if estimate.low is None or estimate.high is None:
            return self.recorded(estimate.why)
        level = self.value(estimate, "level", form="percent", digits=share_digits(estimate.level, 5))
        return self("{level} CI {bounds}", level=level, bounds=self.bounds(estimate, digits, factor, form))

    def minutes(self, estimate: Estimate) -> Markup:
        """A wait: one decimal below 100 minutes."""
        return self.number(estimate, minutes_digits(estimate))

    def change(
        self,
        estimate: Estimate | None,
        digits: int = 1,
        less: str = message("{size} shorter"),
        more: str = message("{size} longer"),
    ) -> Markup:
        """A difference in words with its sign: ``33.6 shorter``; ``less`` and ``more`` are messages with ``{size}``."""
        if estimate is None or estimate.value is None:
            return NO_VALUE
        if round(estimate.value, digits) == 0:
            return self("no change")
        size = self.value(estimate, "value", form="magnitude", digits=digits)
        return self(less if estimate.value < 0 else more, size=size)

    # Cells ---------------------------------------------------------------------------------------------------------

    def percent_cell(self, estimate: Estimate, digits: int = 1) -> Cell:
        """A share with its interval under it."""
        return self._cell(estimate, self.percent(estimate, digits), self.percent_interval(estimate, digits))

    def number_cell(self, estimate: Estimate, digits: int = 3, factor: float | None = None) -> Cell:
        """A number with its interval under it."""
        return self._cell(estimate, self.number(estimate, digits, factor), self.interval(estimate, digits, factor))

    def count_cell(self, record: BaseModel, *field: str | int) -> Cell:
        """A count."""
        found = _field(record, field)
        return Cell(self.count(record, *field), None if found is None else int(found))

    @staticmethod
    def text_cell(text: Markup | str) -> Cell:
        """Words."""
        shown = Markup.escape(text)
        return Cell(shown, text_of(shown))

    @staticmethod
    def _cell(estimate: Estimate, shown: Markup, interval: Markup) -> Cell:
        return Cell(
            Markup("{}{}{}</span>").format(shown, Markup(INTERVAL), interval),
            estimate.value,
            estimate.low,
            estimate.high,
            estimate.n,
        )

    # Templates -----------------------------------------------------------------------------------------------------

    @cached_property
    def _environment(self) -> Environment:
        environment = Environment(
            loader=PackageLoader("pipelines.reporting", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.globals.update(_=self, plural=self.plural, words=self, table=self.table)
        return environment

    def render(self, template: str, **context: Any) -> Markup:
        """A template of ``templates/report`` in this language.

        In it, ``_("message", name=value)`` is a message, ``plural(...)`` one with a count, ``words`` this object, and
        ``table(t)`` prints a `pipelines.reporting.tables.Table`.
        """
        return Markup(self._environment.get_template(f"report/{template}").render(**context))

    def table(self, table: Table) -> Markup:
        """A table as the page prints it."""
        return self.render("_table.html.j2", t=table)


def _field(record: BaseModel, field: tuple[str | int, ...]) -> Any:
    found: Any = record
    for step in field:
        found = getattr(found, str(step)) if isinstance(found, BaseModel) else found[step]
    return found


def minutes_digits(estimate: Estimate) -> int:
    """Decimals of a wait: none from 100 minutes on."""
    return 0 if estimate.value is None or abs(estimate.value) >= 100 else 1


def share_digits(share: float, most: int = 3) -> int:
    """Decimals of a percentage that a setting needs to stand as it was given: none for 95 %, one for 99.5 %."""
    return next(d for d in range(most + 1) if d == most or abs(round(100 * share, d) - 100 * share) < 1e-9)
