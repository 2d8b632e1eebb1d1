"""The terms of a data set as a user sees them before anything is fetched, and that they were accepted."""

import hashlib

from pipelines.datasets.adapter import Adapter
from pipelines.fetch.errors import TermsError
from pipelines.fetch.record import Acceptance, Record, now
from pipelines.version import code_version


def terms(adapter: Adapter) -> dict[str, str]:
    """What a user is asked to accept: label -> text."""
    shown = "yes" if adapter.films_may_be_shown else "no"
    return {
        "data set": f"{adapter.title} ({adapter.name})",
        "licence": adapter.licence,
        "films may be shown in reports": f"{shown}: {adapter.films_may_be_shown_why}",
        "cite": adapter.citation,
        "size": adapter.size,
        "published at": adapter.how_to_get,
    }


def terms_digest(adapter: Adapter) -> str:
    """Names the edition of the terms: 16 hex digits."""
    text = "\n".join(f"{label}: {value}" for label, value in terms(adapter).items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_accepted(record: Record, adapter: Adapter) -> bool:
    """Whether these very terms were accepted for this folder."""
    return record.accepted is not None and record.accepted.card == terms_digest(adapter)


def accept(adapter: Adapter, name: str, *, how: str) -> Acceptance:
    """Take the data set's name as acceptance of its terms.

    Args:
        adapter: of the data set.
        name: what the user gave.
        how: in what way.

    Raises:
        TermsError: it is not the name; nothing is to be fetched then.
    """
    if name.strip() != adapter.name:
        raise TermsError(
            f"the terms were not accepted: found {name.strip()!r}, expected {adapter.name}; nothing was fetched"
        )
    return Acceptance(at=now(), how=how, licence=adapter.licence, card=terms_digest(adapter), version=code_version())
