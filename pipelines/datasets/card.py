"""A data set's card as plain values and as one short line, for the terminal, programs and documents."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pipelines.datasets.adapter import Adapter
from pipelines.findings import FINDINGS

COLUMNS: Final = ("name", "films", *FINDINGS, "labels from", "access", "licence")
"""Of the table of all data sets."""
_LONGEST: Final = {"labels from": 30, "licence": 26}
"""Characters that fit a line of 100."""
_SHORTEST: Final = 12
"""A clause before a colon that is shorter says too little."""


def card(adapter: Adapter) -> dict[str, Any]:
    """Everything the card says, as values that JSON can hold."""
    return {
        "name": adapter.name,
        "title": adapter.title,
        "citation": adapter.citation,
        "licence": adapter.licence,
        "films_may_be_shown": adapter.films_may_be_shown,
        "films_may_be_shown_why": adapter.films_may_be_shown_why,
        "access": adapter.access,
        "how_to_get": adapter.how_to_get,
        "steps": list(adapter.steps),
        "downloads": [
            {
                "url": download.url,
                "to": download.to,
                "size": download.size,
                "digest": download.digest,
                "unpack": download.unpack,
                "default": download.default,
            }
            for download in adapter.downloads
        ],
        "size": adapter.size,
        "whole": None if adapter.whole is None else {"films": adapter.whole.films, "files": dict(adapter.whole.files)},
        "label_origin": adapter.label_origin,
        "labels": dict(adapter.label_mapping),
        "unknown": adapter.unknown,
        "known": {finding: known(adapter, finding) for finding in FINDINGS},
        "known_defects": list(adapter.known_defects),
        "overlaps": dict(adapter.overlaps),
        "options": {
            name: {"choices": list(option.choices), "default": option.default, "doc": option.doc}
            for name, option in adapter.options.items()
        },
        "verified": adapter.verified,
        "verified_note": adapter.verified_note,
        "unverified": list(adapter.unverified),
    }


def known(adapter: Adapter, finding: str) -> str:
    """On which films a finding is known, in a word, as `Adapter.unknown` says it of the default options.

    Returns:
        ``all``, ``some``, ``none``; ``card`` where the sentence names no finding.
    """
    text = adapter.unknown.lower()
    together = rf"(?:\w+ and )?{finding}(?: and \w+)?"
    if text.startswith("nothing"):
        return "all"
    if re.search(rf"(?:^|; ){together} on (?:every|all) films?(?:$|[:;,.])", text):
        return "none"
    if re.search(rf"\b{together} (?:on|of|where)\b", text):
        return "some"
    return "all" if any(re.search(rf"\b{other}\b", text) for other in FINDINGS) else "card"


def line(adapter: Adapter) -> dict[str, str]:
    """The data set in the table of all: `COLUMNS` -> text that fits."""
    films = f"{adapter.whole.films:,}" if adapter.whole else "-"
    long: Mapping[str, str] = {"labels from": adapter.label_origin, "licence": adapter.licence}
    return {
        "name": adapter.name,
        "films": films,
        **{finding: known(adapter, finding) for finding in FINDINGS},
        "access": adapter.access,
        **{column: _short(text, _LONGEST[column]) for column, text in long.items()},
    }


def markdown(adapters: Mapping[str, Adapter]) -> str:
    """The table of data sets for a document, in Markdown."""
    rows = [line(adapter) for adapter in adapters.values()]
    cells = [list(COLUMNS), ["---"] * len(COLUMNS), *([row[column] for column in COLUMNS] for row in rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def _short(text: str, longest: int) -> str:
    """The first clause of a text, cut between words where it is too long."""
    clause = re.split(rf"(?<=.{{{_SHORTEST}}}):|;|, | \(", text, maxsplit=1)[0].strip()
    if len(clause) <= longest:
        return clause
    return clause[: longest - 1].rsplit(" ", 1)[0] + "…"
