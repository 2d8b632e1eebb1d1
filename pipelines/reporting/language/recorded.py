"""Sentences that evaluation files hold in English, in the reader's language.

The files are English whatever the language of a report. A sentence is found in the catalogue as it stands, or as a
template whose placeholders hold numbers, other known sentences or texts of users, or as known sentences joined by
punctuation. What is not known stays English and is marked so.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache, lru_cache
from typing import Final

from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from markupsafe import Markup

from pipelines.reporting.language.language import RECORDED, Language, catalogue_text
from pipelines.reporting.language.language import language as language_of
from pipelines.reporting.texts import plain, text_of

LONGEST: Final = 1000
"""No recorded sentence is as long: longer text is not searched."""
MAX_FOREIGN: Final = 120
"""Text of users inside a sentence is cut there."""
_STEPS: Final = 250
"""Texts looked at for one sentence: real ones need fewer, and a hostile one stops here."""
_DEPTH: Final = 8
_MOST_JOINTS: Final = 12
"""A real sentence has fewer commas: one with more is not taken apart at them."""
_NUMBER: Final = r"[-−+]?\d{1,12}(?:,\d{3}){0,4}(?:\.\d{1,20})?(?:e-?\d{1,2})?"
_NUMBERS: Final = re.compile(rf"{_NUMBER}(?: ?%)?(?:(?:–|, | to | and | of ){_NUMBER}(?: ?%)?)*")
_TOKEN: Final = re.compile(rf"(?P<number>{_NUMBER})(?P<sign> ?%)?|, | (?P<word>to|and|of) |–")
_IDENTIFIER: Final = re.compile(r"[\w.-]{1,60}")
_WORD: Final = re.compile(r"[^\W\d_]{2,}")
_SLOT: Final = re.compile(r"\{(\d+)\}")


@dataclass(frozen=True)
class Template:
    """A message with placeholders, ready to be found in a text."""

    pieces: tuple[str, ...]
    """The literal text before, between and after the placeholders."""
    translation: str

    @property
    def literal(self) -> int:
        """Letters that must be there."""
        return sum(map(len, self.pieces))

    @property
    def telling(self) -> bool:
        """Whether it has words enough to let any text stand in it."""
        return len(_WORD.findall(" ".join(self.pieces))) >= 2

    def may_be_in(self, text: str) -> bool:
        """Whether all its literal text occurs, in whatever order: quick, for one look at a whole sentence."""
        return all(piece in text for piece in self.pieces)

    def parts(self, text: str) -> Iterator[tuple[str, ...]]:
        """What the placeholders hold: the shortest first parts, and where that differs the shortest last ones."""
        first, *middle, last = self.pieces
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end <= len(first):
            return
        forwards = _cut(text, len(first), end, middle, backwards=False)
        if forwards is None:
            return
        yield forwards
        backwards = _cut(text, len(first), end, middle, backwards=True)
        if backwards is not None and backwards != forwards:
            yield backwards


def _cut(text: str, start: int, end: int, middle: list[str], *, backwards: bool) -> tuple[str, ...] | None:
    parts = []
    for piece in reversed(middle) if backwards else middle:
        at = text.rfind(piece, start, end) if backwards else text.find(piece, start, end)
        if at < 0:
            return None
        parts.append(text[at + len(piece) : end] if backwards else text[start:at])
        start, end = (start, at) if backwards else (at + len(piece), end)
    parts.append(text[start:end])
    if not all(part.strip() for part in parts):
        return None
    return tuple(reversed(parts)) if backwards else tuple(parts)


@cache
def _catalogue(code: str) -> tuple[dict[str, str], tuple[Template, ...]]:
    """Recorded sentences of a language: whole ones, and templates with the most literal first."""
    whole, templates = {}, []
    for message in read_po(io.StringIO(catalogue_text(code)), locale=code):
        if message.context != RECORDED or not message.string or message.fuzzy:
            continue
        text, translation = str(message.id), str(message.string)
        if _SLOT.search(text):
            templates.append(Template(tuple(_SLOT.split(text)[::2]), translation))
        else:
            whole[text] = translation
    return whole, tuple(sorted(templates, key=lambda template: -template.literal))


def recorded(language: Language, text: str, limit: int = 400) -> Markup:
    """A sentence of an evaluation file in a language; in English, and marked so, where the catalogue has none.

    A result with digits is marked as ``<span class="recorded">``: its numbers are part of a sentence, not of a record.

    Args:
        language: of the report.
        text: as the file has it.
        limit: text that no catalogue knows is cut there; a sentence that is known is never cut.
    """
    found = _recorded(language.code, text, limit)
    if not any(character.isdigit() for character in text_of(found)):
        return found
    return Markup('<span class="recorded">{}</span>').format(found)


@lru_cache(maxsize=4096)
def _recorded(code: str, text: str, limit: int) -> Markup:
    if code == "en":
        return Markup.escape(plain(text[: 10 * limit], limit))
    found = _Search(language_of(code), plain(text, LONGEST)).found() if len(text) <= LONGEST else None
    return Markup('<span lang="en">{}</span>').format(plain(text[: 10 * limit], limit)) if found is None else found


@dataclass
class _Search:
    """One sentence looked up; every part of it at most once."""

    language: Language
    text: str
    seen: dict[tuple[str, bool], Markup | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.whole, templates = _catalogue(self.language.code)
        self.templates = [template for template in templates if template.may_be_in(self.text)]

    def found(self) -> Markup | None:
        """The sentence with all its parts known; else with texts of users in its placeholders; else None."""
        found = self._part(self.text, _DEPTH, foreign=False)
        return found if found is not None else self._part(self.text, _DEPTH, foreign=True)

    def _part(self, text: str, depth: int, *, foreign: bool) -> Markup | None:
        key = (text, foreign)
        if key not in self.seen:
            if depth == 0 or len(self.seen) >= _STEPS:
                return None
            self.seen[key] = None  # a part cannot stand for itself
            self.seen[key] = self._look(text, depth - 1, foreign=foreign)
        return self.seen[key]

    def _look(self, text: str, depth: int, *, foreign: bool) -> Markup | None:
        if text in self.whole:
            return Markup.escape(self.whole[text])
        if _NUMBERS.fullmatch(text):
            return Markup.escape(_numbers(self.language, text))
        found = self._joined(text, depth, ("; ",), foreign=foreign)  # before a template swallows it
        if found is not None:
            return found
        for template in self.templates:
            for parts in template.parts(text):
                shown = [self._placeholder(part, template, depth, foreign=foreign) for part in parts]
                known = [part for part in shown if part is not None]
                if len(known) == len(shown):
                    return Markup.escape(Markup(Markup.escape(template.translation)).format(*known))
        found = self._joined(text, depth, (". ", ": ", ", "), foreign=foreign)
        return self._bracketed(text, depth, foreign=foreign) if found is None else found

    def _placeholder(self, part: str, template: Template, depth: int, *, foreign: bool) -> Markup | None:
        found = self._part(part, depth, foreign=False)
        if found is None and foreign:
            found = self._part(part, depth, foreign=True)
            if found is None and (template.telling or _IDENTIFIER.fullmatch(part)):
                return _foreign(part)
        return found

    def _joined(self, text: str, depth: int, joints: tuple[str, ...], *, foreign: bool) -> Markup | None:
        """Known sentences with punctuation between them."""
        for joint in joints:
            if text.count(joint) > _MOST_JOINTS:
                continue
            for match in re.finditer(re.escape(joint), text):
                keep = "." if joint == ". " else ""
                left = self._part(text[: match.start()] + keep, depth, foreign=foreign)
                right = None if left is None else self._part(text[match.end() :], depth, foreign=foreign)
                if left is not None and right is not None:
                    return left + _joint(self.language.code, joint.removeprefix(keep)) + right
        return None

    def _bracketed(self, text: str, depth: int, *, foreign: bool) -> Markup | None:
        """A known sentence with another in parentheses after it."""
        stop = "." if text.endswith(").") else ""
        if not text.endswith(")" + stop) or text.count(" (") > _MOST_JOINTS:
            return None
        for match in re.finditer(r" \(", text):
            left = self._part(text[: match.start()], depth, foreign=foreign)
            inner = text[match.end() : len(text) - 1 - len(stop)]
            right = None if left is None else self._part(inner, depth, foreign=foreign)
            if left is not None and right is not None:
                return Markup("{} ({}){}").format(left, right, stop)
        return None


def _foreign(text: str) -> Markup:
    return Markup("<bdi>{}</bdi>").format(plain(text, MAX_FOREIGN))


def _joint(code: str, joint: str) -> str:
    """French sets a space before a colon and a semicolon."""
    return f"\N{NO-BREAK SPACE}{joint}" if code == "fr" and joint[0] in ":;" else joint


def _numbers(language: Language, text: str) -> str:
    """Numbers, percentages, ranges and lists of them by locale."""
    whole, _ = _catalogue(language.code)

    def shown(match: re.Match[str]) -> str:
        if match["number"]:
            return _number(language, match["number"]) + ("\N{NO-BREAK SPACE}%" if match["sign"] else "")
        if match["word"]:
            return f" {whole.get(match['word'], match['word'])} "
        return _joint(language.code, "; ") if match[0] == ", " else match[0]  # their decimals have commas

    return _TOKEN.sub(shown, text)


def _number(language: Language, text: str) -> str:
    """A number as the file has it, with as many decimals; grouped where the file groups it, or needs to."""
    number = Decimal(text.replace(",", "").replace("−", "-"))
    if number.adjusted() > 20:
        return text
    exponent = number.as_tuple().exponent
    digits = min(12, max(0, -exponent)) if isinstance(exponent, int) else 0
    grouped = "," in text or len(text.partition(".")[0].strip("-−+")) > 4
    shape = ("#,##0" if grouped else "0") + ("." + "0" * digits if digits else "")
    return format_decimal(number, format=shape, locale=language.locale).replace("-", "−")
