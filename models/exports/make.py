"""Exports made in a folder: every way that is tried, in order."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from models.exports import onnx, openvino
from models.exports.scope import SCOPES
from models.package import ModelPackage
from models.runtime import Runtime, TorchRuntime
from models.runtime.onnx_runtime import OnnxRuntime
from models.runtime.openvino_runtime import OpenVinoRuntime

_LIBRARIES: Final = {
    "torch": ("torch",),
    "onnxruntime": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "openvino": ("torch", "openvino", "nncf"),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way of making an export, written down but not checked."""

    name: str
    open: Callable[[int], Runtime]
    """Given the number of streams."""
    notes: tuple[str, ...] = ()
    """What the exporter warned of."""


def candidates(package: ModelPackage, backend: str, precision: str, folder: Path, films: Tensor) -> Iterator[Candidate]:
    """Write one candidate after the other into the folder; each takes the place of the one before.

    Args:
        package: the model.
        backend: one of `models.exports.BACKENDS`.
        precision: one of its precisions.
        folder: where the files go.
        films: ``[n, 1, size, size]`` that int8 takes its ranges from; other precisions do not look at them.

    Raises:
        ModelError: a library is not installed, or the exporter does not know the network.
    """
    if backend == "torch":
        yield Candidate("autocast", lambda _: _eager(package, precision))
    elif backend == "onnxruntime":
        yield from _onnx(package, precision, folder, films)
    else:
        yield from _openvino(package, precision, folder, films)


def _eager(package: ModelPackage, precision: str) -> Runtime:
    return TorchRuntime(package.build(), device=torch.device("cpu"), precision=precision)


def _onnx(package: ModelPackage, precision: str, folder: Path, films: Tensor) -> Iterator[Candidate]:
    model, plain = folder / "model.onnx", folder / ".plain.onnx"
    quantised = precision == "int8"
    notes = tuple(onnx.write_onnx(package.build(), plain if quantised else model))
    if not quantised:
        yield Candidate("as it is", lambda _: OnnxRuntime(model, precision=precision), notes)
        return
    try:
        for scope in SCOPES:
            onnx.quantise_onnx(plain, model, films, scope, package.input.size)
            yield Candidate(scope.name, lambda _: OnnxRuntime(model, precision=precision), notes)
    finally:
        plain.unlink(missing_ok=True)


def _openvino(package: ModelPackage, precision: str, folder: Path, films: Tensor) -> Iterator[Candidate]:
    model_file = folder / "model.xml"
    network = openvino.convert(package.build())

    def opened(streams: int) -> Runtime:
        return OpenVinoRuntime(model_file, precision=precision, streams=streams)

    if precision != "int8":
        openvino.save(network, folder)
        yield Candidate("as it is", opened)
        return
    for scope in SCOPES:
        openvino.save(openvino.quantise(network, films, scope, package.input.size), folder)
        yield Candidate(scope.name, opened)


def library_versions(backend: str) -> dict[str, str]:
    """Return the versions of the libraries behind a backend; those that are not installed are left out."""
    found = {}
    for name in _LIBRARIES[backend]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
