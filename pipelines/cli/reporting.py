"""Verb ``report``: saved evaluations as the document that a programme decides on."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import ended_as_interrupted, say
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.reporting.book import Book


def report(
    evaluations: Annotated[
        list[Path], typer.Argument(metavar="EVALUATION...", help="Folders of `cxr evaluate`, or one of `cxr compare`.")
    ],
    out: Annotated[
        Path, typer.Option(help="File to write: .html (one page), .pdf, .md or .json (tables for a manuscript).")
    ],
    lang: Annotated[
        list[str] | None,
        typer.Option(help="en, vi, fr or sv; given several times, the page has a switch and shows the first."),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Also print the page to a PDF beside it.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Two folders, the older first: the newer one against it, film by film.")
    ] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="With --compare: the labels, where the evaluations do not lead to them.")
    ] = None,
) -> None:
    """Write evaluations as one self-contained page for clinicians, or their tables for a manuscript.

    Examples:
    `cxr report evaluation --lang vi --lang en --out report.html --pdf`

    `cxr report evaluation-nih evaluation-qatar --out both.html`

    `cxr report --compare evaluation-old evaluation-new --out versions.html`
    """
    from pipelines.reporting.language.language import language
    from pipelines.reporting.outputs import check_outputs
    from pipelines.reporting.page import write_book

    languages = tuple(code for given in lang or ["en"] for code in given.split(","))
    if pdf and out.suffix.lower() != ".html":
        raise ConfigError(f"--pdf: found with --out {out.name}, expected a page (.html) to print beside.")
    command = _command(evaluations, out, languages, pdf=pdf, compare=compare, manifest=manifest)
    written = [out, *([out.with_suffix(".pdf")] if pdf else [])]
    check_outputs(written)
    for code in languages:
        language(code)
    with ended_as_interrupted():
        book = _book(evaluations, command, compare=compare, manifest=manifest)
        for path in written:
            write_book(book, path, languages)
    for path in written:
        say(f"open {path}")


def _book(folders: Sequence[Path], command: str, *, compare: bool, manifest: Path | None) -> "Book":
    """What to report: evaluations, or a comparison that is made here or was made by ``cxr compare``."""
    from pipelines.reporting.book import make_comparison_book, open_book
    from pipelines.reporting.comparison import compare_folders, holds_comparison, open_comparison

    if manifest is not None and not compare:
        raise ConfigError("--manifest: found without --compare, expected both.")
    for place, folder in enumerate(folders):
        if folder.resolve() in (other.resolve() for other in folders[:place]):
            raise ConfigError(f"{folder}: found twice, expected every folder once.")
    if compare:
        if len(folders) != 2:
            raise ConfigError(f"--compare: found {len(folders)} folders, expected two, the older first.")
        return make_comparison_book(compare_folders(*folders, manifest=manifest), command)
    comparisons = [folder for folder in folders if holds_comparison(folder)]
    if not comparisons:
        return open_book(folders, command)
    if len(folders) > 1:
        raise ConfigError(f"{comparisons[0]}: a comparison is reported alone, found {len(folders)} folders.")
    return open_comparison(folders[0], command)


def _command(
    folders: Sequence[Path],
    out: Path,
    languages: Sequence[str],
    *,
    pdf: bool,
    compare: bool,
    manifest: Path | None,
) -> str:
    """The command with the names of files and folders alone: where they lie is nobody else's business."""
    words = ["cxr", "report", *(["--compare"] if compare else []), *(folder.resolve().name for folder in folders)]
    words += [part for code in languages for part in ("--lang", code)]
    words += ["--manifest", manifest.name] if manifest else []
    return shlex.join([*words, "--out", out.name, *(["--pdf"] if pdf else [])])
