"""What the record of one evaluation says to one item of the checklist."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup

from pipelines.evaluation.background import ModelFacts
from pipelines.reporting.book import Study
from pipelines.reporting.printing import Words


@dataclass(frozen=True)
class Answer:
    """What the record holds."""

    text: Markup
    whole: bool = True
    """False where it is a part only, and the rest is the authors' to write."""


Evidence = Callable[[Study, Words], Answer | None]
"""None where the record says nothing of it."""


def part(text: Markup) -> Answer:
    """An answer that the authors must complete."""
    return Answer(text, whole=False)


def known(model: ModelFacts | None) -> ModelFacts | None:
    """The facts of a model, where there is more than its id."""
    return model if model is not None and model.architecture is not None else None


def names(words: Words, found: Iterable[str]) -> Markup:
    """Names of a table as a list in words."""
    return words.language.listing([words.foreign(name, 60) for name in found])


def versions(words: Words, found: Mapping[str, str]) -> Markup:
    """Libraries with their versions, as text."""
    return words.foreign(", ".join(f"{name} {version}" for name, version in sorted(found.items())), 600)


def link(words: Words, chapter: str, text: Markup) -> Markup:
    """A link to a chapter of this page."""
    return Markup('<a href="#{}">{}</a>').format(words.id(chapter), text)


def said(counts: Mapping[str, int]) -> list[str]:
    """The names among counts that say something."""
    return [name for name in counts if name != "unknown"]
