"""Brings the catalogues up to date with the messages in the code: ``python -m pipelines.reporting.language.extract``.

Without ``--update`` it says what is missing and what is left over, and ends with 1 if anything is; with it, new
messages are added without a translation, vanished ones are removed, and translations are kept.
"""

import argparse
import ast
import io
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from pipelines.reporting.language.language import NAMES, RECORDED
from pipelines.reporting.language.sentences import sentences
from pipelines.system import replace_text

REPORTING: Final = Path(__file__).resolve().parents[1]
CATALOGUES: Final = Path(__file__).resolve().parent / "catalogues"
LANGUAGES: Final = tuple(code for code in NAMES if code != "en")
KEYWORDS: Final = ("words", "self", "_", "message", "plural")
"""Functions whose first argument (``plural``: first two) is a message."""
_OLD_PAGES: Final = ("worklist.py", "worklist_data.py", "worklist_words.py")
"""Pages in English alone."""

Key = tuple[str | None, str | tuple[str, ...]]


def messages() -> Iterator[tuple[Key, str]]:
    """Every message of the report with the file that has it, sorted by file; recorded sentences last."""
    for path in sorted(REPORTING.rglob("*.py")):
        if path.relative_to(REPORTING).as_posix() not in _OLD_PAGES:
            for text in python_messages(path.read_text(encoding="utf-8")):
                yield (None, text), path.relative_to(REPORTING).as_posix()
    for path in sorted((REPORTING / "templates" / "report").glob("*.j2")):
        for text in template_messages(path.read_text(encoding="utf-8")):
            yield (None, text), path.relative_to(REPORTING).as_posix()
    for sentence in sentences():
        yield (RECORDED, sentence.text), f"../{sentence.module}"


def python_messages(code: str) -> Iterator[str | tuple[str, ...]]:
    """Messages in Python code, in order; also those inside the arguments of others, which Babel's own reader skips."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.func.end_lineno or 0, call.func.end_col_offset or 0))
    named = ((_name(call.func), tuple(map(_literal, call.args))) for call in calls)
    return _chosen((name, texts) for name, texts in named if name in KEYWORDS)


def _name(function: ast.expr) -> str:
    return str(getattr(function, "attr", None) or getattr(function, "id", ""))


def _literal(argument: ast.expr) -> object:
    return argument.value if isinstance(argument, ast.Constant) else None


def template_messages(template: str) -> Iterator[str | tuple[str, ...]]:
    """Messages in a Jinja template, in order."""
    options = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
    found = babel_extract(io.BytesIO(template.encode()), KEYWORDS, (), options)
    return _chosen((str(function), texts) for _, function, texts, _ in found)


def _chosen(calls: Iterable[tuple[str, object]]) -> Iterator[str | tuple[str, ...]]:
    for function, texts in calls:
        given = texts if isinstance(texts, tuple | list) else (texts,)
        count = 2 if function == "plural" else 1
        kept = tuple(text for text in given[:count] if isinstance(text, str) and text)
        if len(kept) == count:
            yield kept if count == 2 else kept[0]


def template_of_catalogues() -> Catalog:
    """All messages in one catalogue without translations."""
    catalogue = Catalog(project="cxr-triage", charset="utf-8")
    for (context, text), place in messages():
        catalogue.add(text, locations=[(place, 0)], context=context, flags=_flags(text))
    return catalogue


def _flags(text: str | tuple[str, ...]) -> tuple[str, ...]:
    parts = (text,) if isinstance(text, str) else text
    return ("python-brace-format",) if any(re.search(r"\{\w*\}", part) for part in parts) else ()


def key(message: Message) -> Key:
    """What a message is found by."""
    identity = message.id if isinstance(message.id, str) else tuple(message.id)
    return message.context, identity


def read(code: str) -> Catalog:
    """A catalogue as its file has it."""
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


def updated(code: str, template: Catalog) -> Catalog:
    """A catalogue with the messages of the template and the translations that it has for them."""
    old = read(code)
    kept = {key(message): message.string for message in old if message.id and not message.fuzzy}
    new = Catalog(locale=code, project="cxr-triage", charset="utf-8")
    for message in template:
        if message.id:
            string = kept.get(key(message)) or (() if message.pluralizable else "")
            new.add(message.id, string, message.locations, message.flags, context=message.context)
    return new


def text_of(catalogue: Catalog) -> str:
    """A catalogue as a file, without dates and line numbers, so that a change shows what changed."""
    written = io.BytesIO()
    write_po(written, catalogue, width=0, omit_header=True, include_lineno=False, ignore_obsolete=True)
    return f"{_HEADER.format(**_facts(catalogue))}\n{written.getvalue().decode()}"


def _facts(catalogue: Catalog) -> dict[str, str]:
    locale = catalogue.locale
    assert locale is not None
    return {"name": str(locale.english_name), "code": str(locale), "plurals": catalogue.plural_forms}


_HEADER: Final = """\
# {name} messages of the cxr-triage report.
msgid ""
msgstr ""
"Project-Id-Version: cxr-triage\\n"
"Language: {code}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plurals}\\n"
"""


def state(code: str, template: Catalog) -> tuple[list[Key], list[Key], list[Key]]:
    """Messages that a catalogue lacks, has without a translation, and has though nothing says them any more."""
    there = {key(message): message for message in read(code) if message.id}
    wanted = {key(message) for message in template if message.id}
    missing = sorted(wanted - there.keys(), key=str)
    empty = [name for name, message in there.items() if name in wanted and not _translated(message)]
    return missing, empty, sorted(there.keys() - wanted, key=str)


def _translated(message: Message) -> bool:
    strings = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
    return bool(strings) and all(strings)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; the exit status is 1 where a catalogue is not complete."""
    parser = argparse.ArgumentParser(description="Bring the report's catalogues up to date with its messages.")
    parser.add_argument("--update", action="store_true", help="write the catalogues")
    chosen = parser.parse_args(arguments)
    template, complete = template_of_catalogues(), True
    for code in LANGUAGES:
        if chosen.update:
            replace_text(CATALOGUES / f"{code}.po", text_of(updated(code, template)))
        missing, empty, left_over = state(code, template)
        complete = complete and not (missing or empty or left_over)
        counts = f"{len(missing)} missing, {len(empty)} without a translation, {len(left_over)} left over"
        sys.stdout.write(f"{code}: {len(template)} messages; {counts}\n")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
