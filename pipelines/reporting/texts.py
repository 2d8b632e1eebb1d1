"""Text made fit to print: foreign text cleaned and cut, markup as plain text."""

import base64
import hashlib
import re
import unicodedata
from typing import Final

from markupsafe import Markup

MAX_TEXT: Final = 120
"""Longer text from a table is cut: a page has no room for a 10,000-character site name."""
_TAG: Final = re.compile(r"<[^<>]*>")
_BREAKING: Final = re.compile(r"[ \t\r\n\f\v]+")


def plain(text: object, limit: int = MAX_TEXT) -> str:
    """Text from a file without control and direction characters, cut to a length that fits; escaping is the page's."""
    kept = "".join(
        " " if character.isspace() else character
        for character in str(text)
        if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )
    kept = " ".join(kept.split())
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def sentence_case(text: str) -> str:
    """The text with its first letter in upper case, for a heading."""
    return text[:1].upper() + text[1:]


def text_of(markup: Markup | str) -> str:
    """Markup as plain text on one line; spaces that must not break stay so, unlike with ``striptags``."""
    if not isinstance(markup, Markup):
        return markup
    return _BREAKING.sub(" ", Markup(_TAG.sub("", str(markup))).unescape()).strip()


def content_source(text: str) -> str:
    """How a Content-Security-Policy names a script or style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
