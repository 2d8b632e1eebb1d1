"""From logits to probabilities: the prior is corrected exactly, the confidence by one temperature per finding."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

_TEMPERATURE_BOUNDS = (0.05, 20.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """``p = sigmoid((logit - offset) / temperature)`` of one finding."""

    temperature: float = 1.0
    """Guo et al. 2017: above 1, the network was too sure."""
    offset: float = 0.0
    """Log of the weight positives had in the loss: subtracting it undoes what that weight did to the prior."""

    def probability(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return calibrated probabilities of logits of any shape; NaN stays NaN."""
        return np.asarray(expit((np.asarray(logits, dtype=np.float64) - self.offset) / self.temperature))


def fit_calibration(
    logits: NDArray[np.floating], labels: NDArray[np.floating], *, pos_weight: float = 1.0
) -> Calibration:
    """Fit the temperature on validation films by maximum likelihood.

    Args:
        logits: ``[n]`` uncalibrated.
        labels: ``[n]`` 1, 0 or NaN; NaN films are left out.
        pos_weight: the weight positives had in the training loss.

    Returns:
        The calibration; temperature 1 where fewer than two classes are known, because one class cannot say how sure
        to be.
    """
    known = ~np.isnan(labels)
    offset = float(np.log(pos_weight))
    shifted = np.asarray(logits, dtype=np.float64)[known] - offset
    target = labels[known]
    if len(np.unique(target)) < 2:
        return Calibration(offset=offset)

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = shifted / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, scaled) - target * scaled))

    bounds = tuple(float(np.log(bound)) for bound in _TEMPERATURE_BOUNDS)
    best = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return Calibration(temperature=float(np.exp(best.x)), offset=offset)
