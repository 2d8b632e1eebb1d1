"""``audit.html``: the most doubtful films of each label side by side, to look through and judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.audit.files import AUDIT_PAGE
from pipelines.audit.pictures import film_pictures
from pipelines.audit.study import Audited
from pipelines.datasets import ADAPTERS
from pipelines.film_pool import Refusal
from pipelines.reporting.pictures import Embedded
from pipelines.reporting.texts import content_source
from pipelines.reporting.worklist_data import script_json
from pipelines.system import replace_text

_LISTED: Final = 50
"""Films without a probability that the page names; audit.json has all."""


@dataclass(frozen=True)
class Card:
    """One film on the page."""

    number: int
    image_id: str
    label: Literal[0, 1]
    rank: int
    probability: str
    likely_wrong: bool
    native: str
    picture: Embedded | None
    why_not: str
    """Why there is no picture."""


def write_page(audited: Audited, root: Path, out: Path, *, top: int, workers: int) -> Path:
    """Write the page into a folder: one file, with its films inside, that asks nothing of any network.

    Args:
        audited: the audit.
        root: folder that the films' paths start from.
        out: the folder.
        top: films shown of each label.
        workers: processes that read films.
    """
    rows = [_top(audited, label, top) for label in (True, False)]
    files = audited.films.files(root)
    pictures = iter(film_pictures([files[audited.used[place]] for side in rows for place in side], workers))
    numbers = iter(range(sum(map(len, rows))))
    sides = [[_card(audited, place, next(numbers), next(pictures)) for place in side] for side in rows]
    page = out / AUDIT_PAGE
    replace_text(page, render_page(audited, sides))
    return page


def _top(audited: Audited, label: bool, top: int) -> list[int]:
    """Places among the used films, the most doubtful of one label first."""
    labels = audited.films.labels[audited.used]
    places = audited.noise.rank_within(labels)
    chosen = np.flatnonzero((labels == label) & (places <= top))
    return [int(place) for place in chosen[np.argsort(places[chosen])]]


def _card(audited: Audited, place: int, number: int, picture: Embedded | Refusal) -> Card:
    row = audited.used[place]
    film, labels = audited.films.rows.iloc[row], audited.films.labels[audited.used]
    native = film["native_labels"]
    return Card(
        number=number,
        image_id=str(film["image_id"]),
        label=1 if labels[place] else 0,
        rank=int(audited.noise.rank_within(labels)[place]),
        probability=f"{audited.scores.probability[row]:.3f}",
        likely_wrong=bool(audited.noise.likely_wrong[place]),
        native=", ".join(map(str, native)) if isinstance(native, list) else "not known",
        picture=None if isinstance(picture, Refusal) else picture,
        why_not=str(picture.reason).replace("_", " ") if isinstance(picture, Refusal) else "",
    )


def render_page(audited: Audited, sides: Sequence[Sequence[Card]]) -> str:
    """The page as text.

    Args:
        audited: the audit.
        sides: the films labelled 1, and those labelled 0.
    """
    record, (style, script) = audited.record, (_resource("audit.css"), _resource("audit.js"))
    policy = (
        f"default-src 'none'; script-src {content_source(script)}; style-src {content_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    environment = Environment(
        loader=PackageLoader("pipelines.audit", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("audit.html.j2").render(
        record=record,
        sides=list(zip(record.classes, sides, strict=True)),
        policy=policy,
        style=Markup(style),
        script=Markup(script),
        data=Markup(script_json(_data(audited, sides))),
        terms=_terms(audited),
        unread=record.not_audited[:_LISTED],
    )


def _data(audited: Audited, sides: Sequence[Sequence[Card]]) -> dict[str, Any]:
    """What the script needs: it keeps verdicts under a key of this audit, and saves them by film."""
    record = audited.record
    films = [{"image_id": card.image_id, "label": card.label} for side in sides for card in side]
    key = f"cxr-audit:{record.manifest_digest[:16]}:{record.finding}"
    return {"key": key, "finding": record.finding, "films": films}


def _terms(audited: Audited) -> list[tuple[str, str]]:
    """What the terms of each data set say of showing its films."""
    names = sorted(audited.films.rows["dataset"].unique())
    return [(name, _allowed(name)) for name in names]


def _allowed(name: str) -> str:
    if name not in ADAPTERS:
        return "its terms are not known here"
    return "its films may be shown" if ADAPTERS[name].films_may_be_shown else "its films must not be passed on"


def _resource(name: str) -> str:
    return resources.files("pipelines.audit").joinpath(f"templates/{name}").read_text(encoding="utf-8")
