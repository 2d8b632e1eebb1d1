"""Where the films of each site and split went."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.evaluation.records import FlowGroup, LeftOut

MOST_GROUPS: Final = 30
"""Groups shown one by one; of more, the smallest stand together as the last."""
OTHER_GROUPS: Final = "other groups"
UNKNOWN: Final = "unknown"
ANALYSED: Final = ""
"""The outcome of a film with a score that was asked for; every other outcome is a left-out code."""
NOT_PREDICTED: Final = "not_predicted"


def flow_by(
    groups: "Sequence[object] | pd.Series[Any]", outcomes: Sequence[str], left_out: Sequence[LeftOut]
) -> tuple[FlowGroup, ...]:
    """Count films by group and outcome.

    Args:
        groups: of every film: every row of the predictions, and every film asked for that has none; null = unknown.
        outcomes: of the same films: `ANALYSED`, or one of the codes of ``left_out``.
        left_out: the same outcomes counted over all films, with their meaning.

    Returns:
        The groups, most films first, at most `MOST_GROUPS`.
    """
    named = pd.Series(groups, dtype=object).fillna(UNKNOWN).astype(str).to_numpy()
    counts = pd.crosstab(named, np.asarray(outcomes, dtype=object), rownames=["group"], colnames=["outcome"])
    size = counts.sum(axis=1)
    order = sorted(counts.index, key=lambda name: (-int(size[name]), name))
    counts = counts.loc[order]
    meanings = {item.code: item.meaning for item in left_out}
    if len(counts) <= MOST_GROUPS:
        return tuple(_group(str(name), counts.loc[name], meanings) for name in order)
    shown, rest = order[: MOST_GROUPS - 1], order[MOST_GROUPS - 1 :]
    return (
        *(_group(str(name), counts.loc[name], meanings) for name in shown),
        _group(OTHER_GROUPS, counts.loc[rest].sum(), meanings, groups=len(rest)),
    )


def _group(name: str, counts: "pd.Series[int]", meanings: dict[str, str], *, groups: int = 1) -> FlowGroup:
    here = {str(code): int(n) for code, n in counts.items()}
    return FlowGroup(
        name=name,
        groups=groups,
        received=sum(n for code, n in here.items() if code != NOT_PREDICTED),
        analysed=here.get(ANALYSED, 0),
        left_out=tuple(LeftOut(code=c, n=here[c], meaning=text) for c, text in meanings.items() if here.get(c)),
    )
