"""The report: one self-contained HTML page made from evaluation folders."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Final

from markupsafe import Markup

from pipelines.reporting.book import Book, open_book
from pipelines.reporting.chapters import (
    accuracy,
    calibration,
    checklist,
    comparison,
    cross,
    explore,
    films,
    flow,
    localisation,
    provenance,
    subgroups,
    summary,
    trust,
    workload,
)
from pipelines.reporting.chapters.chapter import Chapter
from pipelines.reporting.charts.style import FONT
from pipelines.reporting.fonts import font_faces
from pipelines.reporting.language.language import Language, language
from pipelines.reporting.manuscript import markdown, tables_json
from pipelines.reporting.outputs import check_outputs
from pipelines.reporting.pdf import print_pdf
from pipelines.reporting.printing import Words
from pipelines.reporting.texts import plain, text_of
from pipelines.system import replace_text

CHAPTERS: Final[tuple[Callable[[Book, Words], Chapter], ...]] = (
    *(part.chapter for part in (summary, flow, accuracy, explore, workload, subgroups, calibration, localisation)),
    *(part.chapter for part in (trust, films, checklist, provenance)),
)
"""The chapters of evaluations, in the order in which they are read."""
COMPARISON_CHAPTERS: Final = (comparison.chapter,)
CROSS_CHAPTERS: Final = (cross.chapter,)


@dataclass(frozen=True)
class Edition:
    """The report in one language."""

    language: Language
    title: Markup
    chapters: tuple[Chapter, ...]
    body: Markup


def write_report(
    evaluations: Sequence[Path], out: Path, *, languages: Sequence[str] = ("en",), command: str | None = None
) -> None:
    """Write the report of one or several evaluations, in the form that the name of the file says.

    Args:
        evaluations: folders with ``evaluation.json`` and, if there are any, ``reading_time.json`` and ``pictures/``.
        out: ``.html``: one page that needs no other file and makes no request; ``.md``, ``.json``: its tables, in the
            first of the languages; ``.pdf``: the page, printed.
        languages: codes; with several the page has a switch and shows the first.
        command: the command that makes the page again, to be printed in it.

    Raises:
        EvaluationError: no evaluation in a folder, or a file that breaks its schema.
        ConfigError: a language, or a form of file, that is not known.
        ReportError: a file that cannot be written there, or a page that could not be printed.
    """
    write_book(open_book(evaluations, command), out, languages)


def write_cross_page(
    evaluations: Sequence[Path],
    out: Path,
    *,
    title: str,
    languages: Sequence[str] = ("en",),
    command: str | None = None,
) -> None:
    """Write the page of a cross-cohort matrix: every evaluation is one cell.

    Args:
        evaluations: folders, one for each model and cohort.
        out: as for `write_report`.
        title: of the matrix.
        languages: as for `write_report`.
        command: as for `write_report`.

    Raises:
        CxrError: as for `write_report`.
    """
    write_book(replace(open_book(evaluations, command), matrix=title), out, languages)


def write_book(book: Book, out: Path, languages: Sequence[str]) -> None:
    """The same from files already read; see `write_report`."""
    check_outputs([out])
    form = out.suffix.lower()
    chosen = [language(code) for code in dict.fromkeys(languages)]
    out.parent.mkdir(parents=True, exist_ok=True)
    if form in (".md", ".json"):
        first = edition(book, chosen[0], chosen[:1])
        tables = markdown if form == ".md" else tables_json
        replace_text(out, tables(Words(chosen[0], book), first.title, first.chapters))
    elif form == ".pdf":
        with tempfile.TemporaryDirectory() as folder:
            # A sheet of paper has no switch: it holds the first language.
            page = Path(folder) / "report.html"
            replace_text(page, render_page(book, chosen[:1]))
            print_pdf(page, out)
    else:
        replace_text(out, render_page(book, chosen))


def render_page(book: Book, chosen: Sequence[Language]) -> str:
    """The page as text."""
    editions = [edition(book, one, chosen) for one in chosen]
    names = dict.fromkeys(name for one in editions for part in one.chapters for name in part.scripts)
    keys = [part.key for part in editions[0].chapters]
    css = "\n".join([_file("page.css"), *(_file(f"{key}.css") for key in keys)])
    text = "".join({character for one in editions for character in one.body})
    words = Words(chosen[0], book, several=len(chosen) > 1)
    return str(
        words.render(
            "page.html.j2",
            editions=editions,
            shared=dict.fromkeys(part.shared for one in editions for part in one.chapters if part.shared),
            title=text_of(editions[0].title),
            css=Markup(f"{font_faces(FONT, text)}\n{css}"),
            scripts=[Markup(_file(name)) for name in ("page.js", *names)],
        )
    )


def edition(book: Book, one: Language, chosen: Sequence[Language]) -> Edition:
    """The report in one of the page's languages."""
    words = Words(one, book, several=len(chosen) > 1)
    makers = CHAPTERS if book.comparison is None else COMPARISON_CHAPTERS
    if book.matrix is not None:
        makers = CROSS_CHAPTERS
    chapters = tuple(make(book, words) for make in makers)
    title = _title(book, words)
    body = words.render(
        "edition.html.j2",
        chapters=chapters,
        title=title,
        introduction=words(
            "A computer reading of chest radiographs, compared with a reference. This is research software, not a "
            "medical device."
        ),
        languages=chosen,
        first=one is chosen[0],
    )
    return Edition(one, title, chapters, body)


def _title(book: Book, words: Words) -> Markup:
    if book.comparison is not None:
        return Markup("<bdi>{}</bdi>").format(plain(book.comparison.title))
    if book.matrix is not None:
        return Markup("<bdi>{}</bdi>").format(plain(book.matrix))
    titles = [study.evaluation.title for study in book.studies]
    if len(titles) == 1:
        return Markup("<bdi>{}</bdi>").format(plain(titles[0]))
    return words.plural("{n} evaluation", "{n} evaluations side by side", len(titles))


def _file(name: str) -> str:
    found = resources.files("pipelines.reporting").joinpath(f"templates/report/{name}")
    return found.read_text(encoding="utf-8") if found.is_file() else ""
