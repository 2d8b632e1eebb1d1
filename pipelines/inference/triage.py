"""From probabilities to a worklist: one score to sort by and three classes to sort into.

This is a research rule: simple, monotone and written down, but no trial has shown that sorting by it helps anyone.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

LIKELY_NORMAL_ODDS: Final = 0.5
"""A film is likely normal where the odds of every finding are below this share of the odds at its threshold."""

RULE: Final = (
    "triage_score = 100 * (1 - product of (1 - p)) over the model's findings; urgent: a finding is flagged; "
    f"likely_normal: every finding has an operating point and odds(p) < {LIKELY_NORMAL_ODDS} * odds(threshold); "
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


def triage_class(probabilities: Mapping[str, float], thresholds: Mapping[str, float]) -> str | None:
    """Return ``urgent``, ``routine`` or ``likely_normal``; None where the model has no operating point at all.

    A higher probability never moves a film to a less urgent class.

    Args:
        probabilities: by finding, of one film.
        thresholds: by finding, of the operating points; a finding without one can neither make a film urgent nor let
            it be called likely normal.
    """
    if not thresholds:
        return None
    if any(probabilities[finding] >= threshold for finding, threshold in thresholds.items()):
        return "urgent"
    # odds(p) < share * odds(t), multiplied out so that t = 1 needs no division by zero.
    far_below = (
        probability * (1 - thresholds[finding]) < LIKELY_NORMAL_ODDS * thresholds[finding] * (1 - probability)
        for finding, probability in probabilities.items()
        if finding in thresholds
    )
    return "likely_normal" if set(thresholds) == set(probabilities) and all(far_below) else "routine"
