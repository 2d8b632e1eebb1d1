"""Which method made which numbers: every method that the files of an evaluation name."""

from collections.abc import Iterator, Mapping

from markupsafe import Markup
from pydantic import BaseModel

from pipelines.reporting.book import Study
from pipelines.reporting.printing import Words
from pipelines.reporting.tables import Cell, Column, Table
from pipelines.statistics.estimates import Estimate


def methods_of(study: Study) -> dict[str, list[str]]:
    """The fields of the files by method, in the order of the files; only of numbers that have a value."""
    found: dict[str, list[str]] = {}
    for root in (study.evaluation, study.reading_time):
        for path, estimate in _estimates(root, ""):
            fields = found.setdefault(estimate.method, [])
            if estimate.value is not None and path not in fields:
                fields.append(path)
    return {method: fields for method, fields in found.items() if fields}


def methods_table(study: Study, words: Words) -> Table:
    """One row for each method."""
    rows = tuple(_row(method, fields, words) for method, fields in methods_of(study).items())
    columns = (
        Column("method", words("Method")),
        Column("fields", words("Numbers it made, by their place in the files")),
    )
    return Table(f"provenance-s{study.place}-methods", words("Every method, and the numbers it made"), columns, rows)


def _row(method: str, fields: list[str], words: Words) -> tuple[Cell, ...]:
    shown = Markup(" ").join(Markup("<code>{}</code>").format(name) for name in fields)
    return words.text_cell(words.recorded(method)), words.text_cell(shown)


def _estimates(value: object, path: str) -> Iterator[tuple[str, Estimate]]:
    """Estimates below a record; places in lists and names of groups are left out of the path."""
    if isinstance(value, Estimate):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _estimates(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _estimates(part, path)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _estimates(part, path)
