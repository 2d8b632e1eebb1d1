"""The predictor: a model package on a device, from paths to rows of the predictions table."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import Classifier, ModelPackage, load_package
from models.errors import ModelError
from pipelines.errors import REJECTED_REASONS, CxrError, PackageError, Reason
from pipelines.evaluation.control import control_scores
from pipelines.findings import FINDINGS
from pipelines.imaging import IntendedUse
from pipelines.inference.decode import DecodedBatch, DecodeRequest, batch_ranges, decode_batch, part_ranges
from pipelines.inference.inputs import text_of
from pipelines.inference.placement import stored_peaks
from pipelines.inference.rows import quality_columns
from pipelines.inference.table import to_table
from pipelines.inference.triage import triage_class, triage_score

PRECISIONS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
DEFAULT_BATCH: Final = {"cpu": 8, "cuda": 64}
"""Films per forward pass. Not fitted to the machine, because the batch can change the last digits of a score."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Rows of consecutive inputs, and the maps of the usable ones."""

    rows: list[dict[str, Any]]
    """``[n]`` rows of the predictions table."""
    maps: Tensor
    """``[k, F, h, w]`` float32 cell logits on the CPU."""


class NetworkOutput(NamedTuple):
    """What the network says of k films, on the CPU."""

    logits: NDArray[np.float32]
    """``[k, F]``, uncalibrated."""
    maps: Tensor
    """``[k, F, h, w]`` float32 cell logits."""
    features: NDArray[np.float32]
    """``[k, D]``, by which the model's kind of films is told."""


class Predictor:
    """Scores films with one model package.

        Predictor.from_package(folder)(paths)

    Args:
        package: the model.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: films per forward pass; None takes `DEFAULT_BATCH`.
        precision: ``auto`` (fp32 on the CPU; bf16, or fp16 where there is none, on a GPU), or one of `PRECISIONS`.

    Raises:
        PackageError: a finding that the predictions table does not have, or a point without a threshold.
        CxrError: a device, precision or batch size that cannot be used here.
    """

    def __init__(
        self,
        package: ModelPackage,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "auto",
    ) -> None:
        self.package = package
        self.findings = package.architecture.findings
        unknown = [finding for finding in self.findings if finding not in FINDINGS]
        if unknown:
            raise PackageError(
                f"model package {package.name!r}: finding {unknown[0]!r} has no column in the predictions table, "
                f"expected some of {', '.join(FINDINGS)}"
            )
        self.thresholds = _thresholds(package, package.operating_points, "operating")
        self.rule_out = _thresholds(package, package.rule_out_points, "rule-out")
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self.batch_size = DEFAULT_BATCH[self.device.type] if batch_size is None else batch_size
        if self.batch_size < 1:
            raise CxrError(f"batch_size must be at least 1, got {batch_size}")
        self.size = package.input.size
        self._network: Classifier = package.build().to(self.device)
        if self.precision != "fp32":
            self._network.to(memory_format=torch.channels_last)

    @classmethod
    def from_package(
        cls,
        package: Path | str | ModelPackage,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "auto",
    ) -> "Predictor":
        """Load a package from its folder (or take a loaded one) and build the predictor.

        Raises:
            PackageError: the folder is not a whole, unchanged model package, or as for the class.
            CxrError: as for the class.
        """
        if not isinstance(package, ModelPackage):
            try:
                package = load_package(Path(package))
            except ModelError as error:
                raise PackageError(str(error)) from None
        return cls(package, device=device, batch_size=batch_size, precision=precision)

    def request(self, *, picture_side: int | None = None) -> DecodeRequest:
        """Return what has to be decoded of each film for this model."""
        meant = self.package.intended_use
        use = IntendedUse(meant.min_age_years, meant.max_age_years, frontal_only="LATERAL" not in meant.views)
        return DecodeRequest(self.size, features=bool(self.package.control), picture_side=picture_side, use=use)

    def __call__(self, paths: Sequence[Path | str] | Path | str) -> pd.DataFrame:
        """Score films in this process.

        Args:
            paths: files; one row each, in order. ``image_id`` and ``path`` are the path as given.

        Returns:
            The columns of the predictions table. An unreadable film is a row with its reason.
        """
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        files = [Path(path) for path in given]
        names = [text_of(path) for path in given]
        rows: list[dict[str, Any]] = []
        for part in part_ranges(len(files)):
            for batch in batch_ranges(part, self.batch_size):
                decoded = decode_batch(files[batch.start : batch.stop], batch, self.request())
                chosen = names[batch.start : batch.stop]
                rows += self.score(decoded, chosen, chosen).rows
        frame: pd.DataFrame = to_table(rows).to_pandas()
        return frame

    def score(self, batch: DecodedBatch, image_ids: Sequence[str], paths: Sequence[str]) -> ScoredBatch:
        """Turn a decoded batch into rows.

        Args:
            batch: n inputs, k of them usable.
            image_ids: ``[n]``.
            paths: ``[n]``, as the table shows them.

        Raises:
            PackageError: the network gives scores that are not finite.
        """
        output = self.forward(batch.images)
        read = iter(self._judged(batch, output))
        rows = []
        for image_id, path, refusal in zip(image_ids, paths, batch.refusals, strict=True):
            row: dict[str, Any] = {"image_id": image_id, "path": path, "model_id": self.package.model_id}
            if refusal is None:
                row |= next(read)
            else:
                status = "rejected" if refusal.reason in REJECTED_REASONS else "error"
                row |= {"status": status, "reason": refusal.reason.value, "detail": refusal.detail}
            rows.append(row)
        return ScoredBatch(rows, output.maps)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Run the network.

        Args:
            images: ``[k, 1, size, size]`` float32 in [0, 1].

        Raises:
            PackageError: scores that are not finite, in full precision too.
        """
        if not len(images):
            count, width = len(self.findings), self._network.feature_count
            empty = (np.empty((0, columns), np.float32) for columns in (count, width))
            return NetworkOutput(next(empty), torch.empty(0, count, 1, 1), next(empty))
        for precision in (self.precision, "fp32"):  # what overflows in half precision is done again in full
            output = self._forward_in(images, precision)
            if np.isfinite(output.logits).all() and np.isfinite(output.features).all():
                return output
        raise PackageError(
            f"model {self.package.model_id} ({self.package.name!r}) gives scores that are not finite; "
            "its weights are damaged or its training diverged"
        )

    def _forward_in(self, images: Tensor, precision: str) -> NetworkOutput:
        reduced = precision != "fp32"
        autocast = torch.autocast(self.device.type, dtype=PRECISIONS[precision]) if reduced else nullcontext()
        layout = torch.channels_last if self.precision != "fp32" else torch.contiguous_format
        with torch.inference_mode(), autocast:
            output = self._network(images.to(self.device, non_blocking=True).contiguous(memory_format=layout))
        return NetworkOutput(
            output.logits.float().cpu().numpy(), output.maps.float().cpu(), output.features.cpu().numpy()
        )

    def _judged(self, batch: DecodedBatch, output: NetworkOutput) -> list[dict[str, Any]]:
        """What the table says of each film that was read: its scores, or that it is not a film for this model."""
        scored = self._measured(batch, output.logits, output.maps)
        qualities = map(
            quality_columns, batch.qualities, batch.facts, (place.orientation for place in batch.placements)
        )
        typicality = self.package.typicality
        if typicality is None:
            return [{"status": "ok"} | film | quality for film, quality in zip(scored, qualities, strict=True)]
        rows: list[dict[str, Any]] = []
        found = typicality.atypicality(output.features)
        for film, quality, times in zip(scored, qualities, found.tolist(), strict=True):
            answer: dict[str, Any] = {"status": "ok"} | film
            if times > 1:
                limit = f"the limit locked on {typicality.locked_on} validation films"
                detail = f"feature distance {times:.2f} times {limit}"
                answer = {"status": "rejected", "reason": Reason.ATYPICAL.value, "detail": detail}
            rows.append(answer | quality | {"atypicality": times})
        return rows

    def _measured(
        self, batch: DecodedBatch, logits: NDArray[np.float32], maps: Tensor
    ) -> list[dict[str, float | bool | str | None]]:
        """What the table says of each usable film."""
        if not len(logits):
            return []
        calibration = self.package.calibration
        probabilities = {
            finding: calibration[finding].probability(logits[:, index]) for index, finding in enumerate(self.findings)
        }
        scores = triage_score(np.stack([probabilities[finding] for finding in self.findings], axis=1))
        peaks = stored_peaks(maps, batch.placements)
        control = control_scores(self.package.control, batch.features.numpy()) if self.package.control else {}
        films: list[dict[str, float | bool | str | None]] = []
        for film in range(len(logits)):
            chances = {finding: float(probabilities[finding][film]) for finding in self.findings}
            row: dict[str, float | bool | str | None] = {}
            for index, finding in enumerate(self.findings):
                row[f"p_{finding}"] = chances[finding]
                if finding in self.thresholds:
                    row[f"flag_{finding}"] = chances[finding] >= self.thresholds[finding]
                row[f"peak_x_{finding}"], row[f"peak_y_{finding}"] = map(float, peaks[film, index])
            row |= {f"control_{finding}": float(values[film]) for finding, values in control.items()}
            row["triage_score"] = float(scores[film])
            row["triage_class"] = triage_class(chances, self.thresholds, self.rule_out)
            films.append(row)
        return films


def choose_device(device: str) -> torch.device:
    """Return the device to compute on.

    Raises:
        CxrError: an unknown device, or a GPU that this machine or this PyTorch does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = device.partition(":")
    if kind not in DEFAULT_BATCH or (number and not number.isdigit()) or (kind == "cpu" and number):
        raise CxrError(f"device {device!r} is unknown; expected auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise CxrError(f"device {device!r} asked for, but PyTorch finds {torch.cuda.device_count()} GPUs here")
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16.

    Raises:
        CxrError: an unknown precision, or fp16 on a CPU.
    """
    if precision == "auto":
        if device.type == "cpu":
            return "fp32"
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if precision not in PRECISIONS:
        raise CxrError(f"precision {precision!r} is unknown; expected auto, {', '.join(PRECISIONS)}")
    if precision == "fp16" and device.type == "cpu":
        raise CxrError("precision 'fp16' needs a GPU; on the CPU choose fp32 or bf16")
    return precision


def _thresholds(package: ModelPackage, points: Mapping[str, Mapping[str, Any]], kind: str) -> Mapping[str, float]:
    """Thresholds of the model's findings, in their order; a finding without a point is left out."""
    found = {}
    for finding in package.architecture.findings:
        point = points.get(finding)
        if point is None:
            continue
        threshold = point.get("threshold")
        if not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
            raise PackageError(
                f"model package {package.name!r}: the {kind} point of {finding} has threshold {threshold!r}, "
                "expected a number in [0, 1]"
            )
        found[finding] = float(threshold)
    return found
