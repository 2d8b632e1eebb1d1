"""Several readers of one film: what each of them said, and rules by which they make one label.

A film that half of its readers call positive is neither: two against two say nothing that a label could hold, and
whichever value broke the tie would be the rule's opinion, not theirs. Under *majority* and *mean* it is null.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import ManifestError
from pipelines.findings import FINDINGS, ConsensusRule

RULES: Final[tuple[ConsensusRule, ...]] = get_args(ConsensusRule)

Reading = Mapping[str, Any]
"""``reader``, ``finding``, ``value``: one entry of the manifest's column ``readings``."""


def votes(readings: Sequence[Reading] | None, finding: str) -> tuple[int, int]:
    """Readers of a film who called a finding positive, and all who said something of it."""
    values = [reading["value"] for reading in readings or () if reading["finding"] == finding]
    return sum(value == 1 for value in values), len(values)


def agreed_label(positive: int, readers: int, rule: ConsensusRule) -> float:
    """The label of a film that so many of its readers call positive.

    Args:
        positive: readers who said 1.
        readers: readers who said anything.
        rule: *any*: one reader is enough; *majority*: more than half; *all*: every one; *mean*: the label is
            *majority*'s, the share of positive readers is what a run may learn from.

    Returns:
        1, 0, or NaN: nobody read the film, or exactly half say 1 under *majority* and *mean*.
    """
    if readers == 0:
        return float("nan")
    if rule == "any":
        return float(positive > 0)
    if rule == "all":
        return float(positive == readers)
    return float("nan") if 2 * positive == readers else float(2 * positive > readers)


def vote_counts(frame: pd.DataFrame, finding: str) -> NDArray[np.int64]:
    """Readers who said 1, and readers in all, for each row ``[n, 2]``; zeros where nobody's own word is known.

    Args:
        frame: canonical.
        finding: which finding.
    """
    return np.array([votes(readings, finding) for readings in frame["readings"]], dtype=np.int64).reshape(-1, 2)


def has_readings(frame: pd.DataFrame) -> bool:
    """Whether a manifest holds the own word of any reader."""
    return any(readings for readings in frame["readings"])


def apply_consensus(frame: pd.DataFrame, rule: ConsensusRule, *, source: str = "manifest") -> pd.DataFrame:
    """The same manifest with its labels made anew from its readings.

    A label of which no reader's own word is known (an adjudicated test part, say) stays as it is. Boxes stay on films
    that are positive under the new rule and go from others. A film that only the new rule calls positive has no boxes
    to show: they become null, not drawn. So a manifest that is to serve several rules is built with *any*, which keeps
    the boxes of all readers.

    Args:
        frame: canonical.
        rule: how readers make a label.
        source: what to call the manifest in the error.

    Raises:
        ManifestError: the manifest has no readings, or the rule is none.
    """
    if rule not in RULES:
        raise ManifestError(f"consensus rule is {rule!r}, expected one of {', '.join(RULES)}")
    if not has_readings(frame):
        raise ManifestError(
            f"{source}: expected readings to apply the rule {rule!r} to, its column 'readings' is empty"
        )
    before = frame[list(FINDINGS)].to_numpy(dtype=np.float64)
    after = before.copy()
    for column, finding in enumerate(FINDINGS):
        for row, (positive, readers) in enumerate(vote_counts(frame, finding).tolist()):
            if readers:
                after[row, column] = agreed_label(positive, readers, rule)
    boxes = frame["boxes"].tolist()
    changed = (before != after) & ~(np.isnan(before) & np.isnan(after))
    for number in np.flatnonzero(changed.any(axis=1)).tolist():
        boxes[number] = _boxes_after(boxes[number], after[number], changed[number])
    labels = {finding: after[:, column] for column, finding in enumerate(FINDINGS)}
    return frame.assign(**labels, boxes=pd.Series(boxes, index=frame.index, dtype=object))


def _boxes_after(
    boxes: Sequence[Mapping[str, Any]] | None, labels: NDArray[np.float64], changed: NDArray[np.bool_]
) -> list[Mapping[str, Any]] | None:
    """Boxes of a film whose labels changed; null where the new labels say that there is more than was drawn."""
    if boxes is None:
        return None
    kept = [box for box in boxes if labels[FINDINGS.index(box["finding"])] == 1]
    return kept or (None if (changed & (labels != 0)).any() else [])


def soft_targets(frame: pd.DataFrame, findings: Sequence[str] = FINDINGS) -> NDArray[np.float32]:
    """What a run learns under *mean*: the share of readers who said 1.

    Args:
        frame: canonical.
        findings: columns of the result.

    Returns:
        ``[n, F]`` in [0, 1]; where no reader's own word is known, the manifest's label, NaN where that is null.
    """
    targets = frame[list(findings)].to_numpy(dtype=np.float32, na_value=np.nan)
    for column, finding in enumerate(findings):
        positive, readers = vote_counts(frame, finding).T
        read = readers > 0
        targets[read, column] = positive[read] / readers[read]
    return targets
