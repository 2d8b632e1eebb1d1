"""The predictor: a model package on a device, from paths to rows of the predictions table."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import ModelPackage, load_package
from models.errors import ModelError
from models.runtime import NetworkOutput, Runtime, TorchRuntime
from pipelines.decoding import DecodeRequest
from pipelines.errors import REJECTED_REASONS, PackageError, Reason
from pipelines.evaluation.control import control_scores
from pipelines.findings import FINDINGS
from pipelines.imaging import IntendedUse
from pipelines.imaging.harmonise import Harmonisation
from pipelines.inference.backends import choose_backend, open_runtime
from pipelines.inference.choices import choose_batch_size, choose_device, choose_streams
from pipelines.inference.decode import DecodedBatch, add_digests, decode_batch
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.ledger import batch_ranges, part_ranges
from pipelines.inference.placement import stored_peaks
from pipelines.inference.rows import quality_columns
from pipelines.inference.table import whole_table
from pipelines.inference.triage import triage_class, triage_score

WHOLE_FILM: Final = "the box around the lungs was not found with confidence: the whole film was scored"
"""Detail of a scored film, where a model cuts films to the lungs."""


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """Rows of consecutive inputs, and the maps of the usable ones."""

    rows: list[dict[str, Any]]
    """``[n]`` rows of the predictions table."""
    maps: Tensor
    """``[k, F, h, w]`` float32 cell logits on the CPU."""


class Predictor:
    """Scores films with one model package.

        Predictor.from_package(folder)(paths)

    Args:
        package: the model.
        device: ``auto`` (the GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: films per forward pass; None chooses by the model's size (`choose_batch_size`).
        precision: ``auto`` (on a GPU bf16, or fp16 where there is none; on the CPU fp32, or what an export that passed
            its check has), fp32, bf16, fp16 or int8.
        backend: ``auto`` (on the CPU the fastest export that passed its check; without one, PyTorch), torch,
            onnxruntime or openvino.
        streams: batches that go through the network side by side; None chooses from the machine (`choose_streams`).
            Changes no score.
        compile: compile the network first (PyTorch only; takes a minute and a C++ compiler).
        folder: the package's folder, where its exports lie; None for a package without exports.
        site: where the films come from, for a model that knows sites; None for films of another.
        score_atypical: films unlike the training films get scores too instead of being refused; ``atypicality`` above 1
            and ``detail`` say so. For studies of how a model does elsewhere, never for use.

    Raises:
        PackageError: a finding that the predictions table does not have, a point without a threshold, or an export
            that is missing, damaged or of another model.
        CxrError: a device, backend, precision or batch size that cannot be used here.
    """

    def __init__(
        self,
        package: ModelPackage,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "auto",
        backend: str = "auto",
        streams: int | None = None,
        compile: bool = False,  # noqa: A002  the word that PyTorch's users know
        folder: Path | None = None,
        site: str | None = None,
        score_atypical: bool = False,
    ) -> None:
        self.package = package
        self.site = site
        self.score_atypical = score_atypical
        decode_request(package, site=site)  # refuses what cannot be done before the first film
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
        self.size = package.input.size
        self.batch_size = choose_batch_size(batch_size, self.device, self.size)
        self.streams = choose_streams(streams, self.device, self.size, self.batch_size)
        wanted = "torch" if compile and backend == "auto" else backend
        choice = choose_backend(package, folder, backend=wanted, precision=precision, device=self.device)
        self.backend, self.precision = choice.backend, choice.precision
        self.export = choice.export
        self.compiled = compile
        self.runtime: Runtime = open_runtime(
            choice,
            package,
            device=self.device,
            streams=self.streams,
            compile_for=self.batch_size if compile else None,
        )
        self._full: Runtime | None = None
        self._lock = Lock()

    @classmethod
    def from_package(
        cls,
        package: Path | str | ModelPackage,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        precision: str = "auto",
        backend: str = "auto",
        streams: int | None = None,
        compile: bool = False,  # noqa: A002  the word that PyTorch's users know
        site: str | None = None,
        score_atypical: bool = False,
    ) -> "Predictor":
        """Load a package from its folder (or take a loaded one) and build the predictor.

        Raises:
            PackageError: the folder is not a whole, unchanged model package, or as for the class.
            CxrError: as for the class.
        """
        folder = None
        if not isinstance(package, ModelPackage):
            folder = Path(package)
            try:
                package = load_package(folder)
            except ModelError as error:
                raise PackageError(str(error)) from None
        return cls(
            package,
            device=device,
            batch_size=batch_size,
            precision=precision,
            backend=backend,
            streams=streams,
            compile=compile,
            folder=folder,
            site=site,
            score_atypical=score_atypical,
        )

    @property
    def export_digest(self) -> str | None:
        """SHA-256 of the exported network that is run, by which its scores may differ; None for PyTorch."""
        return None if self.export is None else self.export.record.digest

    def request(self, *, picture_side: int | None = None) -> DecodeRequest:
        """Return what has to be decoded of each film for this model."""
        return decode_request(self.package, picture_side=picture_side, site=self.site)

    def __call__(self, paths: Sequence[Path | str] | Path | str) -> pd.DataFrame:
        """Score films in this process.

        Args:
            paths: files; one row each, in order. ``image_id`` and ``path`` are the path as given.

        Returns:
            The columns of the predictions table. An unreadable film is a row with its reason.
        """
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        rows: list[dict[str, Any]] = []
        pending: deque[Future[ScoredBatch]] = deque()
        with ThreadPoolExecutor(self.streams, "forward") as streams:
            for decoded in self._decoded([Path(path) for path in given]):
                names = [text_of(given[position]) for position in decoded.positions]
                pending.append(streams.submit(self.score, decoded, names, names))
                if len(pending) > self.streams:
                    rows += pending.popleft().result().rows
            for batch in pending:
                rows += batch.result().rows
        frame: pd.DataFrame = whole_table(rows).to_pandas()
        return frame

    def _decoded(self, files: Sequence[Path]) -> Iterator[DecodedBatch]:
        for part in part_ranges(len(files)):
            for batch in batch_ranges(part, self.batch_size):
                yield decode_batch(files[batch.start : batch.stop], batch, self.request())

    def describe(self) -> str:
        """Say in one line what computes the scores."""
        where = "cpu" if self.device.type == "cpu" else f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        how = f"{self.backend} {self.precision}" + (", compiled" if self.compiled else "")
        many = "1 stream" if self.streams == 1 else f"{self.streams} streams"
        return f"{where}: {how}, {many}, batches of {self.batch_size}"

    def score(self, batch: DecodedBatch, image_ids: Sequence[str], paths: Sequence[str]) -> ScoredBatch:
        """Turn a decoded batch into rows; several threads may do so at once.

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
        add_digests(rows, batch)
        return ScoredBatch(rows, output.maps)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Run the network; several threads may do so at once.

        Args:
            images: ``[k, 1, size, size]`` float32 in [0, 1].

        Raises:
            PackageError: scores that are not finite, in full precision too.
        """
        if not len(images):
            none = np.empty((0, len(self.findings)), np.float32)
            known = 0 if self.package.typicality is None else len(self.package.typicality.mean)
            return NetworkOutput(none, torch.empty(0, len(self.findings), 1, 1), np.empty((0, known), np.float32))
        output = self.runtime(images)
        if not output.finite and self.precision != "fp32":
            output = self._full_precision()(images)  # what overflows in half precision is done again in full
        if not output.finite:
            raise PackageError(
                f"model {self.package.model_id} ({self.package.name!r}) gives scores that are not finite; "
                "its weights are damaged or its training diverged"
            )
        return output

    def _full_precision(self) -> Runtime:
        with self._lock:
            if self._full is None:
                same = self.runtime if isinstance(self.runtime, TorchRuntime) else None
                self._full = (
                    same.in_full_precision() if same else TorchRuntime(self.package.build(), device=self.device)
                )
            return self._full

    def _judged(self, batch: DecodedBatch, output: NetworkOutput) -> list[dict[str, Any]]:
        """What the table says of each film that was read: its scores, or that it is not a film for this model."""
        scored = self._measured(batch, output.logits, output.maps)
        for film, lungs_found in zip(scored, batch.lungs_found, strict=bool(batch.lungs_found)):
            if lungs_found is False:
                film["detail"] = WHOLE_FILM
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
                if self.score_atypical:
                    answer = {"status": "ok"} | film | {"detail": f"scored although {detail}"}
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


def decode_request(package: ModelPackage, *, picture_side: int | None = None, site: str | None = None) -> DecodeRequest:
    """Return what has to be decoded of each film for a model.

    Raises:
        PackageError: a harmonisation that this version does not know, or a site that the model does not.
    """
    harmonisation = None if package.harmonisation is None else Harmonisation.from_json(package.harmonisation)
    known = {} if harmonisation is None else harmonisation.sites
    if site is not None and site not in known:
        expected = f"one of {', '.join(sorted(known))}" if known else "none: it knows no sites"
        raise PackageError(f"site {site!r}: model {package.model_id} expects {expected}")
    meant = package.intended_use
    use = IntendedUse(meant.min_age_years, meant.max_age_years, frontal_only="LATERAL" not in meant.views)
    return DecodeRequest(
        package.input.size,
        features=bool(package.control),
        picture_side=picture_side,
        use=use,
        harmonisation=harmonisation,
        site=site,
    )


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
