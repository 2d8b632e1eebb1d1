"""From probabilities to a worklist: one score to sort by and three classes to sort into.

This is a research rule: simple, monotone and written down, but no trial has shown that sorting by it helps anyone.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

LIKELY_NORMAL_ODDS: Final = 0.5
"""For a finding without a rule-out point: the share of the odds at its threshold that a likely normal film is below."""

RULE: Final = (
    "triage_score = 100 * (1 - product of (1 - p)) over the model's findings; urgent: a finding is flagged; "
    "likely_normal: none is flagged and every finding has p < its locked rule-out threshold or, without one, "
    f"an operating point with odds(p) < {LIKELY_NORMAL_ODDS} * odds(threshold); "
    "routine: all others; no class without an operating point. A research rule, not a validated one."
)
"""The rule in words, as ``run.json`` carries it."""


def triage_score(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 0–100: the chance of at least one finding if findings were independent.

    It rises with each probability. Findings are not independent, so read it as an order, not as a probability.

    Args:
        probabilities: ``[n, F]`` in [0, 1], of the findings the model has.

    Returns:
        ``[n]``.
    """
    return np.asarray(100.0 * (1.0 - np.prod(1.0 - probabilities, axis=1)))


def triage_class(
    probabilities: Mapping[str, float], thresholds: Mapping[str, float], rule_out: Mapping[str, float] | None = None
) -> str | None:
    """Return ``urgent``, ``routine`` or ``likely_normal``; None where the model has no operating point at all.

    A higher probability never moves a film to a less urgent class, whatever the thresholds: being flagged comes first.

    Args:
        probabilities: by finding, of one film.
        thresholds: by finding, of the operating points; a finding without one cannot make a film urgent and, unless it
            has a rule-out threshold, cannot let it be called likely normal.
        rule_out: by finding, of the locked rule-out points.
    """
    if not thresholds:
        return None
    if any(probabilities[finding] >= threshold for finding, threshold in thresholds.items()):
        return "urgent"
    limits = rule_out or {}
    far_below = (
        probability < limits[finding] if finding in limits else _far_below(probability, thresholds.get(finding))
        for finding, probability in probabilities.items()
    )
    return "likely_normal" if all(far_below) else "routine"


def _far_below(probability: float, threshold: float | None) -> bool:
    if threshold is None:
        return False
    # odds(p) < share * odds(t), multiplied out so that t = 1 needs no division by zero.
    return probability * (1 - threshold) < LIKELY_NORMAL_ODDS * threshold * (1 - probability)
