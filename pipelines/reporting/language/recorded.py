"""Sentences that evaluation files hold in English, in the reader's language."""

from markupsafe import Markup

from pipelines.reporting.language.language import Language


def recorded(language: Language, text: str) -> Markup:
    """A sentence of an evaluation file in a language; in English, and marked so, where the catalogue has none."""
    found = language.recorded(text)
    if found is not None:
        return Markup.escape(found)
    return Markup('<span lang="en">{}</span>').format(text)
