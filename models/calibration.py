"""From logits to probabilities: one temperature and one offset per finding, fitted on validation films."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

_TEMPERATURE_BOUNDS = (0.05, 20.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """``p = sigmoid((logit - offset) / temperature)`` of one finding."""

    temperature: float = 1.0
    """Guo et al. 2017: above 1, the network was too sure."""
    offset: float = 0.0
    """Logit that means one half. The network's own zero means little: pooling and class weights move it."""

    def probability(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return calibrated probabilities of logits of any shape; NaN stays NaN."""
        return np.asarray(expit((np.asarray(logits, dtype=np.float64) - self.offset) / self.temperature))


def fit_calibration(
    logits: NDArray[np.floating], labels: NDArray[np.floating], *, pos_weight: float = 1.0
) -> Calibration:
    """Fit temperature and offset on validation films by maximum likelihood (Platt 1999).

    Targets are Platt's smoothed ones, (P + 1) / (P + 2) for P positives and 1 / (N + 2) for N negatives: without, films
    that happen to be separated would ask for a temperature of zero, that is, for certainty.

    Args:
        logits: ``[n]`` uncalibrated.
        labels: ``[n]`` 1, 0 or NaN; NaN films are left out.
        pos_weight: the weight positives had in the training loss.

    Returns:
        The calibration, never one that turns the order of films around. Where fewer than two classes are known, one
        class cannot say how sure to be: temperature 1, and the offset that takes the weight of positives out again.
    """
    from scipy.optimize import minimize  # where it is needed: it takes a third of a second

    known = ~np.isnan(labels)
    x, truth = np.asarray(logits, dtype=np.float64)[known], labels[known] == 1
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return Calibration(offset=float(np.log(pos_weight)))
    target = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss_and_gradient(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, intercept = parameters
        scaled = slope * x + intercept
        residual = expit(scaled) - target
        loss = float(np.mean(np.logaddexp(0.0, scaled) - target * scaled))
        return loss, np.array([np.mean(residual * x), np.mean(residual)])

    slopes = tuple(1 / bound for bound in reversed(_TEMPERATURE_BOUNDS))
    fitted = minimize(
        loss_and_gradient,
        x0=np.array([1.0, -float(np.median(x))]),
        jac=True,
        method="L-BFGS-B",
        bounds=[slopes, (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-10, "maxiter": 1000},
    )
    slope, intercept = (float(value) for value in fitted.x)
    return Calibration(temperature=1 / slope, offset=-intercept / slope)
