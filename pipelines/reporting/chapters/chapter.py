"""What every chapter gives to the page."""

from dataclasses import dataclass

from markupsafe import Markup

from pipelines.reporting.tables import Table


@dataclass(frozen=True)
class Chapter:
    """One chapter in one language."""

    key: str
    """Its anchor in the page."""
    title: Markup
    body: Markup
    tables: tuple[Table, ...] = ()
    """Those that the body prints, for the forms that go into a manuscript."""
    scripts: tuple[str, ...] = ()
    """Files of ``templates/report`` that the page runs once, however many chapters name them."""
    shared: Markup | None = None
    """What the page holds once, the same in every language: pictures that bodies point to."""
