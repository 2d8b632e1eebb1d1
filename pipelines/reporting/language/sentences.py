"""The English sentences that evaluation files can hold, read out of the code that writes them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.reporting.language.vocabulary import EARLIER, NOT_RECORDED, REPLACED, WORDS, reasons

PIPELINES: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("evaluation", "statistics", "assessment", "reading_time", "findings.py")
"""Where recorded sentences are written."""
ADAPTERS: Final = "datasets"
ADAPTER_FIELDS: Final = ("licence", "label_origin", "films_may_be_shown_why")
"""What evaluations say about a data set in words; titles and citations stay as they were published."""
UNRECORDED: Final = frozenset(
    {
        "evaluation/comparison/files.py",  # what the command prints
        "evaluation/summary.py",  # likewise
        "evaluation/files.py",  # errors
        "evaluation/run_record.py",
        "evaluation/localisation/tables.py",  # CSV files
        "evaluation/thresholds/locked.py",  # the README of a model package
        "reading_time/crossed_effects.py",  # reading logs have a record of their own, which no report prints
        "reading_time/reading_effects.py",
        "reading_time/reading_log.py",
        "reading_time/reading_log_cleaning.py",
        "statistics/agreement.py",  # of readers: what `cxr manifest agreement` prints
        "statistics/group_sums.py",  # signatures of compiled functions
        "statistics/kernels.py",
        "reading_time/simulation_kernel.py",
    }
)
_UNRECORDED_FOLDERS: Final = (
    "statistics/planning/",  # plans of studies to come
    "evaluation/shortcut/",  # a study of its own, which no report prints
)
_NOT_SENTENCES: Final = frozenset(
    {"compile", "fullmatch", "search", "match", "sub", "cast", "TypeVar", "replace", "warn"}
)
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_CODE: Final = re.compile(r"\\d|\(\?|^[|]|^--|^##|https?://|\n|\w\[")
_HOLE: Final = re.compile(r"\{\w*\}")


@dataclass(frozen=True)
class Sentence:
    """A sentence or a template of one, and the module that writes it."""

    text: str
    module: str


def sentences() -> tuple[Sentence, ...]:
    """Every sentence once, sorted by module, in the order of the code."""
    found: dict[str, Sentence] = {}
    for module, text in _written():
        if text in NOT_RECORDED:
            continue
        for each in REPLACED.get(text, (text,)):
            found.setdefault(each, Sentence(each, module))
    for word in (*WORDS, *reasons(), *EARLIER):
        found.setdefault(word, Sentence(word, "reporting/language/vocabulary.py"))
    return tuple(found.values())


def written_templates() -> frozenset[str]:
    """Templates as the code has them, before `REPLACED`."""
    return frozenset(text for _, text in _written())


def _written() -> Iterator[tuple[str, str]]:
    for path in _modules():
        name = path.relative_to(PIPELINES).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = _adapter_texts(tree) if name.startswith(ADAPTERS) else _texts(tree)
        for text in texts:
            for template in _templates(text):
                yield name, template


def _modules() -> Iterator[Path]:
    for package in (*PACKAGES, ADAPTERS):
        place = PIPELINES / package
        for path in [place] if place.suffix else sorted(place.rglob("*.py")):
            name = path.relative_to(PIPELINES).as_posix()
            if name not in UNRECORDED and not name.startswith(_UNRECORDED_FOLDERS):
                yield path


def _adapter_texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg in ADAPTER_FIELDS and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def _texts(node: ast.AST) -> Iterator[str]:
    """Literals and f-strings below a node that can become part of a record."""
    if isinstance(node, ast.Raise | ast.Assert) or (isinstance(node, ast.Call) and not _makes_text(node)):
        return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield _HOLE.sub("{}", node.value)
        return
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _texts(part.value)
        return
    for name, part in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for each in part if isinstance(part, list) else [part]:
            if isinstance(each, ast.AST) and not _is_docstring(each):
                yield from _texts(each)


def _makes_text(call: ast.Call) -> bool:
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    return name not in _NOT_SENTENCES and not name.endswith("Error")


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _templates(text: str) -> Iterator[str]:
    """A text as catalogues hold it: numbered placeholders, without what other sentences fill in before and after it."""
    if _CODE.search(text):
        return
    if text.endswith(" "):  # something follows: "infinite: " + why
        text = text.rstrip(" :;,")
    text = re.sub(r"(\{\})+", "{}", text)
    text = re.sub(r"^\{\} ?(?=[A-Z])", "", text)  # an optional sentence before this one
    text = re.sub(r"(?<=[\w.:])\{\}$|(?<=\.) \{\}$", "", text)  # an optional part after it
    text = re.sub(r"(?<=\w)\{\};", ";", text)
    if re.match(r", | [a-z(]", text):  # appended to something else
        text = "{}" + text
    text = "; ".join(part for part in text.strip(" ;").split("; ") if part != "{}")
    if len(_WORD.findall(text.replace("{}", " "))) >= (1 if "{}" in text else 2) and " " in text:
        yield numbered(text)


def numbered(text: str) -> str:
    """``{}`` as ``{0}``, ``{1}``, in order."""
    pieces = text.split("{}")
    return "".join(f"{piece}{{{k}}}" for k, piece in enumerate(pieces[:-1])) + pieces[-1]
