"""Does a film look like the films that the model was trained on? A distance in the network's own feature space.

The features of good films fill a small part of their space. A Gaussian with the shrunk covariance of Ledoit & Wolf
(2004) describes that part (Lee et al. 2018 use the Mahalanobis distance so), its directions of largest variance one by
one and all others by their mean variance (Moghaddam & Pentland 1997). The limit is locked on films held out from the
fit. Nothing here sees a label.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from models.errors import ModelError

REFUSE: Final = 0.005
"""Share of good films that may be refused."""
CONFIDENCE: Final = 0.9
"""Of the tolerance limit: in nine of ten lockings no more than `REFUSE` of good films lie beyond it."""
DIRECTIONS: Final = 64
"""Directions of largest variance kept, at most; with 64 the far films are told as well as with all."""
FEWEST: Final = 10
"""Films without which neither a distance nor a limit means anything."""
_TENSORS: Final = ("mean", "scale", "directions", "variances")
_LEAST_SCALE: Final = 0.01
"""Of the median scale: a channel that hardly moved in training must not decide alone."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Typicality:
    """The films a model was trained on, as a Gaussian in its feature space, and how far from it is too far."""

    mean: Tensor
    """``[D]`` float32."""
    scale: Tensor
    """``[D]`` float32: features are standardised first, so that no level counts by its units."""
    directions: Tensor
    """``[D, r]`` float32, orthonormal columns in the standardised space."""
    variances: Tensor
    """``[r]`` float32 along the directions, shrunk."""
    rest: float
    """Variance across all other directions."""
    threshold: float
    """Largest distance that passes."""
    fitted_on: int
    """Training films behind the Gaussian."""
    locked_on: int
    """Held-out films behind the threshold."""
    refuse: float = REFUSE
    confidence: float = CONFIDENCE

    def distance(self, features: ArrayLike | Tensor) -> Floats:
        """Return how far films lie from the training films.

        Args:
            features: ``[n, D]`` of `models.classifier.ClassifierOutput`.

        Returns:
            ``[n]`` Mahalanobis distance divided by the square root of D: the root mean square deviation per feature,
            in standard deviations of the training films. About 1 for films like them.

        Raises:
            ModelError: features of another network.
        """
        given = np.asarray(features, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.mean):
            raise ModelError(f"Features must have shape [n, {len(self.mean)}], got shape {list(given.shape)}.")
        mean, scale, directions, variances = (np.asarray(getattr(self, name), dtype=np.float64) for name in _TENSORS)
        standard = (given - mean) / scale
        along = standard @ directions
        across = np.maximum((standard**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        squared = (along**2 / variances).sum(axis=1) + across / self.rest
        return np.asarray(np.sqrt(squared / len(mean)))

    def atypicality(self, features: ArrayLike | Tensor) -> Floats:
        """Return distance / threshold ``[n]``: a film with more than 1 is refused."""
        return self.distance(features) / self.threshold

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors by name, as they are stored."""
        return {name: getattr(self, name) for name in _TENSORS}

    def to_json(self) -> dict[str, Any]:
        """Return all that is no tensor."""
        return {
            "rest": self.rest,
            "threshold": self.threshold,
            "fitted_on": self.fitted_on,
            "locked_on": self.locked_on,
            "refuse": self.refuse,
            "confidence": self.confidence,
        }

    @classmethod
    def from_parts(cls, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Typicality":
        """Read what `to_json` and `tensors` gave.

        Raises:
            ModelError: a tensor or a number is missing, or they do not fit together.
        """
        if set(tensors) != set(_TENSORS):
            raise ModelError(f"typicality: found tensors {sorted(tensors)}, expected {sorted(_TENSORS)}")
        features, directions = len(tensors["mean"]), len(tensors["variances"])
        expected = {"scale": [features], "directions": [features, directions]}
        for name, shape in expected.items():
            if list(tensors[name].shape) != shape:
                raise ModelError(f"typicality: {name} has shape {list(tensors[name].shape)}, expected {shape}")
        parts: dict[str, Any] = {**tensors, **values}
        return cls(**parts)

    def digest(self) -> str:
        """Return a hash of everything that decides which films pass."""
        found = hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode())
        for name, tensor in self.tensors().items():
            found.update(f"{name}:{list(tensor.shape)}".encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()


def fit_typicality(
    features: ArrayLike | Tensor,
    held_out: ArrayLike | Tensor,
    *,
    refuse: float = REFUSE,
    confidence: float = CONFIDENCE,
) -> Typicality:
    """Fit the distance on training films and lock its limit on films the fit has not seen.

    Args:
        features: ``[n, D]`` of training films, unaugmented.
        held_out: ``[m, D]`` of validation films.
        refuse: share of good films that may be refused.
        confidence: with which no more than that are refused; see `tolerance_limit`.

    Raises:
        ModelError: fewer than `FEWEST` films in either, or features that are not finite.
    """
    seen, unseen = (np.asarray(part, dtype=np.float64) for part in (features, held_out))
    if min(len(seen), len(unseen)) < FEWEST:
        raise ModelError(f"typicality: found {len(seen)} and {len(unseen)} films, expected at least {FEWEST} in each")
    if not (np.isfinite(seen).all() and np.isfinite(unseen).all()):
        raise ModelError("typicality: features are not finite")
    mean, scale = seen.mean(axis=0), seen.std(axis=0)
    least = _LEAST_SCALE * float(np.median(scale[scale > 0])) if (scale > 0).any() else 1.0
    scale = np.maximum(scale, least)
    directions, variances, rest = _shrunk_directions((seen - mean) / scale)
    fields: dict[str, Any] = {
        "mean": _stored(mean),
        "scale": _stored(scale),
        "directions": _stored(directions),
        "variances": _stored(variances),
        "rest": rest,
        "fitted_on": len(seen),
        "locked_on": len(unseen),
        "refuse": refuse,
        "confidence": confidence,
    }
    distances = Typicality(**fields, threshold=1.0).distance(unseen)
    return Typicality(**fields, threshold=tolerance_limit(distances, refuse=refuse, confidence=confidence))


def tolerance_limit(distances: ArrayLike, *, refuse: float = REFUSE, confidence: float = CONFIDENCE) -> float:
    """Return a limit that, with the given confidence, no more than a share ``refuse`` of new films exceeds.

    The one-sided tolerance limit of a normal distribution, on the logarithm of the distance. Sixty films have no
    empirical 99.5 % quantile: their maximum would refuse one good film in 61.

    Args:
        distances: ``[m]`` of held-out films, positive.
        refuse: share beyond the limit.
        confidence: of the limit.

    Source: Hahn & Meeker 1991, Statistical Intervals, 4.6.3 (one-sided tolerance bounds by the noncentral t).
    """
    from scipy.stats import nct, norm  # where it is needed: it takes half a second

    logs = np.log(np.maximum(np.asarray(distances, dtype=np.float64), np.finfo(np.float64).tiny))
    films = len(logs)
    factor = nct.ppf(confidence, films - 1, norm.ppf(1 - refuse) * np.sqrt(films)) / np.sqrt(films)
    return float(np.exp(logs.mean() + factor * logs.std(ddof=1)))


def _shrunk_directions(standard: Floats) -> tuple[Floats, Floats, float]:
    """Directions ``[D, r]`` of largest variance, their shrunk variances ``[r]``, and the mean one of all others.

    The shrinkage is Ledoit & Wolf's: covariance ``(1 - a) S + a m I`` with ``m`` the mean of S's diagonal. It leaves
    the directions alone, so the D x D matrix is needed only where it is smaller than the films' n x n products.
    """
    from scipy.linalg import eigh

    films, count = standard.shape
    wide = count > films
    products = (standard @ standard.T if wide else standard.T @ standard) / films
    average = float(np.trace(products)) / count
    if average == 0:  # films without any difference: every direction alike
        return np.eye(count, 1), np.ones(1), 1.0
    spread = float((products**2).sum()) / count - average**2
    fourth = float(((standard**2).sum(axis=1) ** 2).sum()) / films
    noise = (fourth - float((products**2).sum())) / (count * films)
    shrinkage = min(max(noise, 0.0), spread) / spread if spread > 0 else 1.0
    keep = min(DIRECTIONS, films - 1, count)
    side = len(products)
    variances, vectors = eigh(products, subset_by_index=(side - keep, side - 1))
    variances, vectors = variances[::-1], vectors[:, ::-1]
    usable = variances > 1e-10 * variances[0]
    variances, vectors = variances[usable], vectors[:, usable]
    directions = standard.T @ vectors / np.sqrt(films * variances) if wide else vectors
    left = max(average * count - float(variances.sum()), 0.0) / max(count - len(variances), 1)
    floor = shrinkage * average
    rest = (1 - shrinkage) * left + floor
    return np.asarray(directions), np.asarray((1 - shrinkage) * variances + floor), max(rest, 1e-6 * average)


def _stored(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
