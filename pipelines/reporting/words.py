"""Numbers and foreign text as the page prints them."""

import unicodedata
from typing import Final

from pipelines.statistics.estimates import Estimate, percent_text

MAX_TEXT: Final = 120
"""Longer text from a table is cut: a page has no room for a 10,000-character site name."""


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


def percent(estimate: Estimate, digits: int = 1) -> str:
    """A share as a percentage, or a dash where it has no value."""
    return "–" if estimate.value is None else f"{100 * estimate.value:.{digits}f}\N{NO-BREAK SPACE}%"


def percent_interval(estimate: Estimate, digits: int = 1) -> str:
    """The interval of a share, or why there is none."""
    if estimate.low is None or estimate.high is None:
        return plain(estimate.why)
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{_level(estimate)} {low:.{digits}f}–{high:.{digits}f}\N{NO-BREAK SPACE}%"


def number(estimate: Estimate | None, digits: int = 3) -> str:
    """A number, or a dash where it has no value."""
    if estimate is None or estimate.value is None:
        return "–"
    return _signless_zero(f"{estimate.value:.{digits}f}")


def interval(estimate: Estimate | None, digits: int = 3) -> str:
    """The interval of a number, or why there is none."""
    if estimate is None:
        return "no such film in this scenario"
    if estimate.low is None or estimate.high is None:
        return plain(estimate.why)
    low, high = (_signless_zero(f"{bound:.{digits}f}") for bound in (estimate.low, estimate.high))
    joint = " to " if estimate.low < 0 else "–"
    return f"{_level(estimate)} {low}{joint}{high}"


def bounds(estimate: Estimate, digits: int = 3) -> str:
    """The interval of a number; nothing where there is none, or where it is the number itself."""
    if estimate.low is None or f"{estimate.low:.{digits}f}" == f"{estimate.high:.{digits}f}":
        return ""
    return interval(estimate, digits)


def minutes_digits(estimate: Estimate) -> int:
    """Decimals of a wait: none from 100 minutes on."""
    return 0 if estimate.value is None or abs(estimate.value) >= 100 else 1


def minutes(estimate: Estimate) -> str:
    """A wait, or a dash where it has no value."""
    return number(estimate, minutes_digits(estimate))


def minutes_interval(estimate: Estimate) -> str:
    """The bounds of a wait without their level; nothing where there are none, or where they are the wait itself."""
    return bounds(estimate, minutes_digits(estimate)).partition("CI ")[2]


def change(estimate: Estimate | None, digits: int = 1, less: str = "shorter", more: str = "longer") -> str:
    """A difference in words with its sign: ``33.6 shorter`` or ``3.7 longer``."""
    if estimate is None or estimate.value is None:
        return "–"
    shown = f"{abs(estimate.value):.{digits}f}"
    if float(shown) == 0:
        return "no change"
    return f"{shown} {more if estimate.value > 0 else less}"


def _signless_zero(text: str) -> str:
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "−")


def films(n: int) -> str:
    """A count of films in words."""
    return f"{n:,} film" if n == 1 else f"{n:,} films"


def tally(counts: dict[str, int], most: int = 6) -> str:
    """Counts by name, the most frequent first; nothing where all are unknown."""
    if set(counts) <= {"unknown"}:
        return ""
    shown = [f"{plain(name, 40)} {n:,}" for name, n in list(counts.items())[:most]]
    rest = len(counts) - most
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")


def _level(estimate: Estimate) -> str:
    # No-break spaces: "95 % CI" stays on one line.
    return f"{percent_text(estimate.level)} CI".replace(" ", "\N{NO-BREAK SPACE}")
