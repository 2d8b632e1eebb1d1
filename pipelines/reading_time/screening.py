"""Screening arithmetic at a prevalence: predictive values, and filing unflagged films without a reader."""

import math
from dataclasses import dataclass

from pipelines.errors import ConfigError
from pipelines.statistics.accuracy.ratios import ratio


def _shares(**shares: float) -> None:
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} must lie in [0, 1], got {value}.")


@dataclass(frozen=True)
class PredictiveValues:
    """What a flag, and its absence, mean at one prevalence; None where no film is flagged (or unflagged)."""

    ppv: float | None
    npv: float | None


def predictive_values(prevalence: float, sensitivity: float, specificity: float) -> PredictiveValues:
    """PPV and NPV by Bayes' theorem; every argument is a share in [0, 1].

    Raises:
        ConfigError: a share outside [0, 1].
    """
    _shares(prevalence=prevalence, sensitivity=sensitivity, specificity=specificity)
    ppv, npv = ratio(sensitivity, specificity, "ppv", prevalence), ratio(sensitivity, specificity, "npv", prevalence)
    return PredictiveValues(ppv=None if math.isnan(ppv) else ppv, npv=None if math.isnan(npv) else npv)


def rule_out_share(unremarkable: float, sensitivity: float, specificity: float) -> float:
    """Share of all films that would be filed without a reader.

    Args:
        unremarkable: share of films with nothing to report, [0, 1].
        sensitivity: share of the remarkable films that are kept for a reader, [0, 1].
        specificity: share of the unremarkable films that are filed, [0, 1].

    Returns:
        unremarkable x specificity + (1 - unremarkable) x (1 - sensitivity).

    Raises:
        ConfigError: a share outside [0, 1].
    """
    _shares(unremarkable=unremarkable, sensitivity=sensitivity, specificity=specificity)
    return unremarkable * specificity + (1 - unremarkable) * (1 - sensitivity)


def missed_per_10000(prevalence: float, sensitivity: float) -> float:
    """Diseased films among 10,000 that carry no flag.

    Raises:
        ConfigError: a share outside [0, 1].
    """
    _shares(prevalence=prevalence, sensitivity=sensitivity)
    return 10_000 * prevalence * (1 - sensitivity)
