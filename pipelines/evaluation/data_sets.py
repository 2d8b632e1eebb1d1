"""Where the films evaluated come from, and on what terms."""

import re

import pandas as pd

from pipelines.datasets import ADAPTERS
from pipelines.evaluation.background import DataSetFacts
from pipelines.evaluation.flow import UNKNOWN
from pipelines.evaluation.joining import column

_URL = re.compile(r"https?://[^\s,;()]+")


def data_sets_of(films: pd.DataFrame) -> tuple[DataSetFacts, ...]:
    """What the project's adapters know of the data sets of these films, most films first.

    Args:
        films: rows of a manifest.
    """
    counts = column(films, "dataset").astype(object).fillna(UNKNOWN).astype(str).value_counts()
    ordered = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
    return tuple(_facts(str(name), int(films)) for name, films in ordered)


def _facts(name: str, films: int) -> DataSetFacts:
    adapter = ADAPTERS.get(name)
    if adapter is None:
        return DataSetFacts(name=name, films=films)
    address = _URL.search(adapter.how_to_get)
    return DataSetFacts(
        name=name,
        films=films,
        title=adapter.title,
        licence=adapter.licence,
        citation=adapter.citation,
        url=address[0].rstrip(".") if address else None,
        labels=adapter.label_origin,
        films_may_be_shown=adapter.films_may_be_shown,
        films_may_be_shown_why=adapter.films_may_be_shown_why or None,
    )
