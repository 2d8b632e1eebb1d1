"""What runs the network: PyTorch, or an export of the package that was checked."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from models import ModelPackage
from models.errors import ModelError
from models.exports import BACKENDS, Export, read_exports
from models.runtime import Runtime, TorchRuntime
from models.runtime.libraries import optional_library
from models.runtime.onnx_runtime import OnnxRuntime
from models.runtime.openvino_runtime import OpenVinoRuntime
from pipelines.errors import CxrError, PackageError
from pipelines.inference.choices import choose_precision

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16", "int8")


class BackendWarning(UserWarning):
    """The network is run, but not as fast or as faithfully as it could be."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way of running the network."""

    backend: str
    precision: str
    export: Export | None = None
    """None for PyTorch."""


def choose_backend(
    package: ModelPackage, folder: Path | None, *, backend: str, precision: str, device: torch.device
) -> Choice:
    """Choose how to run a network.

    Args:
        package: the model.
        folder: where its exports lie; None where there are none.
        backend: ``auto`` (the fastest export that passed its check, or PyTorch), torch, onnxruntime or openvino.
        precision: ``auto`` or one of `PRECISIONS`.
        device: where to run it; exports run on the CPU.

    Raises:
        CxrError: an unknown backend or precision, or one that does not run on the device.
        PackageError: no such export, or one that is damaged or of another model.
    """
    if backend != "auto" and backend not in BACKENDS:
        raise CxrError(f"backend {backend!r} is unknown; expected auto, {', '.join(BACKENDS)}")
    if precision not in PRECISIONS:
        raise CxrError(f"precision {precision!r} is unknown; expected {', '.join(PRECISIONS)}")
    if device.type != "cpu" and backend not in ("auto", "torch"):
        raise CxrError(f"backend {backend!r} runs on the CPU; found device {str(device)!r}")
    exports = _exports(package, folder) if folder is not None and device.type == "cpu" else []
    if backend == "auto":
        chosen = _fastest(exports, precision)
    elif backend == "torch":
        chosen = None
        _warn_of_failed(exports, backend, precision)
    else:
        chosen = _by_hand(exports, backend, precision)
    if chosen is None or chosen.record.backend == "torch":
        return Choice("torch", _torch_precision(precision if chosen is None else chosen.record.precision, device))
    try:
        chosen.verify()
    except ModelError as error:
        raise PackageError(str(error)) from None
    return Choice(chosen.record.backend, chosen.record.precision, chosen)


def open_runtime(
    choice: Choice, package: ModelPackage, *, device: torch.device, streams: int, compile_for: int | None
) -> Runtime:
    """Make the network ready to run.

    Args:
        choice: from `choose_backend`.
        package: the model.
        device: where to run it.
        streams: threads that will call it at once.
        compile_for: compile it for batches of so many films; None for no compilation. PyTorch only.

    Raises:
        CxrError: a compiled network was asked for of another backend.
        PackageError: a library is not installed, or does not take the network.
    """
    if compile_for is not None and choice.export is not None:
        raise CxrError(f"backend {choice.backend!r} compiles in its own way; --compile is for --backend torch")
    try:
        if choice.export is None:
            return TorchRuntime(package.build(), device=device, precision=choice.precision, compile_for=compile_for)
        model_file = choice.export.model_file
        assert model_file is not None
        if choice.backend == "openvino":
            return OpenVinoRuntime(model_file, precision=choice.precision, streams=streams)
        return OnnxRuntime(model_file, precision=choice.precision)
    except ModelError as error:
        raise PackageError(str(error)) from None


def _exports(package: ModelPackage, folder: Path) -> list[Export]:
    try:
        return read_exports(folder, package.model_id)
    except ModelError as error:
        raise PackageError(str(error)) from None


def _torch_precision(precision: str, device: torch.device) -> str:
    if precision == "int8":
        raise CxrError("precision 'int8' needs an export; make one with: cxr model export --precision int8")
    return choose_precision(precision, device)


def _fastest(exports: Sequence[Export], precision: str) -> Export | None:
    """The fastest checked export that runs here; None where eager PyTorch is as fast."""
    checked = [one for one in exports if one.record.check.passed and precision in ("auto", one.record.precision)]
    if precision == "auto" and not bf16_is_fast():
        checked = [one for one in checked if one.record.precision != "bf16"]
    for export in sorted(checked, key=lambda one: -one.record.speed):
        if export.record.speed <= 1 and precision != "int8":
            break
        try:
            if export.model_file is not None:
                optional_library(export.record.backend)
        except ModelError as error:
            warnings.warn(f"the export {export.record.name} is not used: {error}", BackendWarning, stacklevel=2)
            continue
        return export
    return None


def _by_hand(exports: Sequence[Export], backend: str, precision: str) -> Export:
    found = [one for one in exports if one.record.backend == backend and precision in ("auto", one.record.precision)]
    if not found:
        wanted = "fp32" if precision == "auto" else precision
        raise PackageError(
            f"the package holds no {backend} export{'' if precision == 'auto' else f' in {precision}'}; make one with: "
            f"cxr model export MODEL --backend {backend} --precision {wanted} --films FILMS"
        )
    if precision == "auto":
        found = [one for one in found if one.record.check.passed]
        if not found:
            raise PackageError(f"no {backend} export of the package passed its check; name one with --precision")
        return max(found, key=lambda one: one.record.speed)
    _warn_of_failed(found, backend, precision)
    return found[0]


def _warn_of_failed(exports: Sequence[Export], backend: str, precision: str) -> None:
    for export in exports:
        record = export.record
        if (record.backend, record.precision) == (backend, precision) and not record.check.passed:
            misses = "; ".join(record.check.failures())
            warnings.warn(
                f"{backend} in {precision} failed its check against the model: {misses}", BackendWarning, stacklevel=2
            )


def bf16_is_fast() -> bool:
    """Whether this processor computes in bf16 itself; others imitate it, more slowly than fp32."""
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX2"):
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
