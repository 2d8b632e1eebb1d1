"""One language: its messages, and how it writes numbers, lists and days."""

import datetime
import gettext
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Final

from babel import Locale
from babel.dates import format_date
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from markupsafe import Markup

from pipelines.errors import ConfigError

NAMES: Final[Mapping[str, str]] = {"en": "English", "vi": "Tiếng Việt", "fr": "Français", "sv": "Svenska"}
"""Every language by its code, in its own words. English is the language of the messages themselves."""
RECORDED: Final = "recorded"
"""Message context of sentences that evaluation files hold in English; see `pipelines.reporting.language.recorded`."""
_PER_CENT: Final[Mapping[str, str]] = dict.fromkeys(NAMES, "\N{NO-BREAK SPACE}%")
"""One space that does not break in every language, so that a number and its sign stay on one line."""


@dataclass(frozen=True)
class Language:
    """Messages and formats of one language; see `language`."""

    code: str
    locale: Locale
    translations: gettext.NullTranslations

    @property
    def name(self) -> str:
        """The language in its own words."""
        return NAMES[self.code]

    def text(self, message: str, **values: Any) -> Markup:
        """A message in this language; ``{names}`` take the values, which are escaped unless they are markup."""
        return Markup(self.translations.gettext(message)).format(**values)

    def plural(self, singular: str, plural: str, count: int, /, **values: Any) -> Markup:
        """A message that depends on a count; ``{n}`` is the count, written by locale, unless given otherwise."""
        values.setdefault("n", self.integer(count))
        return Markup(self.translations.ngettext(singular, plural, count)).format(**values)

    def recorded(self, message: str) -> str | None:
        """A sentence of an evaluation file; None where the catalogue has none such."""
        found = self.translations.pgettext(RECORDED, message)
        return None if found == message and self.code != "en" else found

    def decimal(self, value: float, digits: int) -> str:
        """A number with a fixed count of decimals; a minus is a minus sign, and nothing is minus zero."""
        assert math.isfinite(value), "a report holds finite numbers"
        shape = "#,##0" + ("." + "0" * digits if digits else "")
        return self._signed(format_decimal(_exact(value, digits), format=shape, locale=self.locale))

    def integer(self, value: int) -> str:
        """A count."""
        return self.decimal(value, 0)

    def percent(self, share: float, digits: int = 1) -> str:
        """A share in [0, 1] as a percentage with its sign."""
        return f"{self.decimal(100 * share, digits)}{_PER_CENT[self.code]}"

    def significant(self, value: float, digits: int = 3) -> str:
        """A number as short as its digits allow: thresholds, settings of a scenario."""
        if value == 0:
            return "0"
        places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = format_decimal(_exact(value, places), format="#,##0." + "#" * max(places, 1), locale=self.locale)
        return self._signed(text)

    def listing(self, items: Sequence[str | Markup]) -> Markup:
        """Items as ``a, b and c``."""
        shown = [str(Markup.escape(item)) for item in items]
        return Markup(format_list(shown, locale=self.locale))

    def day(self, iso: str) -> str:
        """A day from its ISO form."""
        return format_date(datetime.date.fromisoformat(iso), format="long", locale=self.locale)

    @staticmethod
    def _signed(text: str) -> str:
        return text.replace("-", "−")


def _exact(value: float, digits: int) -> Decimal:
    """Rounded by Python, from the binary value: Babel would round the decimal text again."""
    return Decimal(f"{value:.{digits}f}") + 0


@cache
def language(code: str) -> Language:
    """A language by its code.

    Raises:
        ConfigError: none of `NAMES`.
    """
    if code not in NAMES:
        raise ConfigError(f"language: found {code!r}, expected {', '.join(NAMES)}.")
    return Language(code, Locale.parse(code), _translations(code))


def message(text: str) -> str:
    """Mark a text as a message for the catalogues where it stands in a table; it is translated where it is printed."""
    return text


def catalogue_text(code: str) -> str:
    """The catalogue of a language as its file has it."""
    folder = resources.files("pipelines.reporting.language").joinpath("catalogues")
    return folder.joinpath(f"{code}.po").read_text(encoding="utf-8")


def _translations(code: str) -> gettext.NullTranslations:
    if code == "en":
        return gettext.NullTranslations()
    catalogue = read_po(io.StringIO(catalogue_text(code)), locale=code, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
