"""The verb ``datasets``: the table of data sets, one's card, and what of one arrived."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import progress, say, show, table
from pipelines.errors import CxrError

if TYPE_CHECKING:
    from pipelines.datasets import Adapter


def datasets(
    name: Annotated[str | None, typer.Argument(help="Show the whole card of one data set.")] = None,
    check: Annotated[
        Path | None, typer.Option(help="Look what of this data set is in a folder; exit code 1 if not all of it.")
    ] = None,
    deep: Annotated[bool, typer.Option(help="With --check: also read every film's header.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table for a document.")] = False,
) -> None:
    """List the data sets that `cxr manifest build` reads, show one's card, or check what of one arrived.

    Example: `cxr datasets vindr_cxr`, `cxr datasets nih_cxr14 --check /data/nih --deep`
    """
    from pipelines.datasets import ADAPTERS, get_adapter
    from pipelines.datasets.card import card, markdown

    if as_json and as_markdown:
        raise CxrError("--json and --markdown are two forms of one output: choose one")
    if name is None:
        if check is not None or deep:
            raise CxrError("--check and --deep look at one data set: name it, as in cxr datasets NAME --check FOLDER")
        if as_json:
            _print_json([card(adapter) for adapter in ADAPTERS.values()])
        elif as_markdown:
            say(markdown(ADAPTERS))
        else:
            _show_table(list(ADAPTERS.values()))
        return
    adapter = get_adapter(name)
    if check is not None:
        show_arrival(adapter, check, deep=deep, as_json=as_json)
    elif deep:
        raise CxrError("--deep belongs to --check FOLDER, found no --check")
    elif as_json:
        _print_json(card(adapter))
    elif as_markdown:
        say(markdown({name: adapter}))
    else:
        _show_card(adapter)


def show_arrival(adapter: "Adapter", root: Path, *, deep: bool = False, as_json: bool = False) -> None:
    """Print what arrived; end with exit code 1 where something is wanting."""
    from pipelines.fetch import check_arrival

    if deep:
        with progress("reading headers") as report:
            arrival = check_arrival(adapter, root, deep=True, progress=report)
    else:
        arrival = check_arrival(adapter, root)
    if as_json:
        findings = [vars(finding) for finding in arrival.findings]
        _print_json({"dataset": adapter.name, "complete": arrival.complete, "findings": findings})
    else:
        rows = table("", "what", "expected", "found", "for example")
        for finding in arrival.findings:
            mark = {"ok": "ok", "bad": "WRONG", "unknown": "?"}[finding.state]
            rows.add_row(mark, finding.what, finding.expected, finding.found, "\n".join(finding.examples))
        show(rows)
        say(arrival.verdict)
    if not arrival.complete:
        raise typer.Exit(1)


def _print_json(value: Any) -> None:
    say(json.dumps(value, indent=1, ensure_ascii=False))


def _show_table(adapters: "list[Adapter]") -> None:
    from pipelines.datasets.card import COLUMNS, line

    rows = table(*COLUMNS)
    for adapter in adapters:
        texts = line(adapter)
        rows.add_row(*(texts[column] for column in COLUMNS))
    show(rows)
    say("tb, nodule: on which films they are known. A whole card: cxr datasets NAME; to get a set: cxr fetch NAME")


def _show_card(adapter: "Adapter") -> None:
    shown = "yes" if adapter.films_may_be_shown else "no"
    _part("name", f"{adapter.name}: {adapter.title}")
    _part("size", adapter.size)
    _part("citation", adapter.citation)
    _part("licence", adapter.licence)
    _part("films may be shown in a report", f"{shown}: {adapter.films_may_be_shown_why}")
    _part("access", adapter.access)
    _part("how to get it", adapter.how_to_get)
    _list("steps", [f"{number}. {step}" for number, step in enumerate(adapter.steps, start=1)])
    _list("cxr fetch gets", [_download(adapter, number) for number in range(len(adapter.downloads))])
    _part("label origin", adapter.label_origin)
    _list("labels", [f"{native}: {meaning}" for native, meaning in adapter.label_mapping.items()])
    _part("not known, which is not 0", adapter.unknown)
    _list("known defects", adapter.known_defects or ["none known"])
    _list("overlaps", [f"{other}: {which}" for other, which in adapter.overlaps.items()])
    options = adapter.options.items()
    _list("options", [f"{option} ({' | '.join(known.choices) or 'text'}): {known.doc}" for option, known in options])
    if adapter.whole is not None:
        files = [f"{file} ({digest or 'no digest is published'})" for file, digest in adapter.whole.files.items()]
        _list("a whole copy holds", [f"{adapter.whole.films:,} films", *files])
    _part("verified", adapter.verified_note)
    _list("not verified", adapter.unverified)


def _download(adapter: "Adapter", number: int) -> str:
    from pipelines.fetch import readable

    download = adapter.downloads[number]
    size = "size not published" if download.size is None else readable(download.size)
    asked = "" if download.default else ", only where asked for with --only"
    return f"{download.to} ({size}{asked}): {download.url}"


def _part(label: str, text: str) -> None:
    say(f"{label}: {text}")


def _list(label: str, lines: "list[str] | tuple[str, ...]") -> None:
    if lines:
        say(f"{label}:")
    for text in lines:
        say(f"  {text}")
