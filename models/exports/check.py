"""Does an exported network say what the model says? Probabilities, maps and features against eager fp32."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.package import ModelPackage
from models.runtime.base import NetworkOutput


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an export may stray from eager fp32."""

    probability: float
    """Largest difference of a calibrated probability."""
    auroc: float
    """Largest difference of an AUROC."""
    peak: float
    """How much less than its own peak the model's map may show where the export's map peaks, as a probability."""
    verdicts: float
    """Largest share of films that only one of the two takes for its kind of film."""


LIMITS: Final = {
    "fp32": Limits(probability=1e-5, auroc=0.002, peak=1e-4, verdicts=0.0),
    "bf16": Limits(probability=0.01, auroc=0.002, peak=0.05, verdicts=0.01),
    "int8": Limits(probability=0.01, auroc=0.002, peak=0.05, verdicts=0.01),
}


@dataclass(frozen=True, slots=True)
class AurocPair:
    """AUROC of the model and of its export on the same labelled films."""

    model: float
    export: float
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True)
class Check:
    """What comparing an export with its model on n films gave."""

    films: int
    max_dp: float
    """Largest |difference| of a calibrated probability, over films and findings."""
    mean_dp: float
    peak_loss: float
    """Largest over films and findings; see `Limits.peak`."""
    verdicts_changed: int
    """Films that only one of the two takes for its kind of film."""
    flags_changed: Mapping[str, int]
    """By finding: films on the other side of the locked threshold. Has no limit of its own."""
    auroc: Mapping[str, AurocPair]
    """By finding, where the films had labels of both classes."""
    limits: Limits

    def failures(self) -> list[str]:
        """Say which limits it misses and by how much; empty where it passes."""
        limits = self.limits
        misses = []
        if not self.max_dp <= limits.probability:  # written so that NaN fails
            misses.append(f"a probability differs by {self.max_dp:.2g}, limit {limits.probability:g}")
        for finding, pair in self.auroc.items():
            if not abs(pair.export - pair.model) <= limits.auroc:
                misses.append(
                    f"AUROC of {finding} is {pair.export:.4f} instead of {pair.model:.4f}, limit {limits.auroc:g}"
                )
        if not self.peak_loss <= limits.peak:
            misses.append(f"a map peaks where the model's shows {self.peak_loss:.2g} less, limit {limits.peak:g}")
        if self.verdicts_changed > limits.verdicts * self.films:
            misses.append(
                f"{self.verdicts_changed} of {self.films} films are told apart otherwise (typical or not), "
                f"limit {limits.verdicts:.0%}"
            )
        return misses

    @property
    def passed(self) -> bool:
        """Whether it keeps every limit."""
        return not self.failures()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Check":
        """Read what `dataclasses.asdict` made; raises KeyError or TypeError where a field is missing."""
        return cls(
            **{
                **values,
                "auroc": {finding: AurocPair(**pair) for finding, pair in values["auroc"].items()},
                "limits": Limits(**values["limits"]),
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def probabilities(package: ModelPackage, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return calibrated probabilities ``[n, F]``."""
    findings = package.architecture.findings
    columns = [package.calibration[finding].probability(logits[:, k]) for k, finding in enumerate(findings)]
    return np.stack(columns, axis=1)


def compare(
    package: ModelPackage,
    model: NetworkOutput,
    export: NetworkOutput,
    *,
    limits: Limits,
    auroc: Mapping[str, AurocPair] | None = None,
) -> Check:
    """Compare two outputs for the same n films.

    Args:
        package: the model: its calibration, thresholds and typicality.
        model: what eager fp32 says.
        export: what the export says.
        limits: for the export's precision.
        auroc: by finding, where the films have labels.
    """
    expected, found = probabilities(package, model.logits), probabilities(package, export.logits)
    differences = np.abs(found - expected)
    return Check(
        films=len(expected),
        max_dp=float(differences.max()) if export.finite else float("nan"),
        mean_dp=float(differences.mean()),
        peak_loss=_peak_loss(package, model, export),
        verdicts_changed=_verdicts_changed(package, model, export),
        flags_changed=_flags_changed(package, expected, found),
        auroc=dict(auroc or {}),
        limits=limits,
    )


def _peak_loss(package: ModelPackage, model: NetworkOutput, export: NetworkOutput) -> float:
    """Compare values, not places: two cells that are equally hot may take turns without any harm."""
    films, findings = model.maps.shape[:2]
    ours = np.asarray(model.maps, dtype=np.float64).reshape(films, findings, -1)
    theirs = np.asarray(export.maps, dtype=np.float64).reshape(films, findings, -1)
    if not np.isfinite(theirs).all():
        return float("nan")
    there = np.take_along_axis(ours, theirs.argmax(axis=2)[..., None], axis=2)[..., 0]
    scales = [package.calibration[finding] for finding in package.architecture.findings]
    offset, temperature = (np.array([getattr(one, name) for one in scales]) for name in ("offset", "temperature"))
    at_own, at_theirs = (expit((values - offset) / temperature) for values in (ours.max(axis=2), there))
    return float((at_own - at_theirs).max())


def _verdicts_changed(package: ModelPackage, model: NetworkOutput, export: NetworkOutput) -> int:
    if package.typicality is None:
        return 0
    ours, theirs = (package.typicality.atypicality(output.features) > 1 for output in (model, export))
    return int((ours != theirs).sum())


def _flags_changed(package: ModelPackage, expected: NDArray[np.float64], found: NDArray[np.float64]) -> dict[str, int]:
    changed = {}
    for position, finding in enumerate(package.architecture.findings):
        point = package.operating_points.get(finding)
        if point is not None:
            threshold = float(point["threshold"])
            changed[finding] = int(((expected[:, position] >= threshold) != (found[:, position] >= threshold)).sum())
    return changed
