"""The network as an OpenVINO model, in floating point or quantised by NNCF."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.classifier import Classifier
from models.exports.network import example, plain_outputs
from models.exports.scope import Scope
from models.runtime.libraries import optional_library


def convert(network: Classifier) -> Any:
    """Return the network as an ``openvino.Model`` that takes any number of films.

    Raises:
        ModelError: OpenVINO is not installed.
    """
    openvino = optional_library("openvino")
    size = network.architecture.size
    with torch.no_grad():
        return openvino.convert_model(plain_outputs(network), example_input=example(network), input=[-1, 1, size, size])


def save(model: Any, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin``, weights as they are."""
    optional_library("openvino").save_model(model, str(folder / "model.xml"), compress_to_fp16=False)


def quantise(model: Any, films: Tensor, scope: Scope, size: int) -> Any:
    """Return an int8 model, its ranges taken from films.

    Args:
        model: from `convert`; left as it is.
        films: ``[n, 1, size, size]``.
        scope: which layers stay in floating point.
        size: side of the input.

    Raises:
        ModelError: NNCF is not installed.
    """
    nncf = optional_library("nncf")
    left = sorted(set(_left_out(model, scope, size)))
    return nncf.quantize(
        model.clone(),
        nncf.Dataset([film[None].numpy() for film in films]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(films),
        # Whole ranges: the default, a mean over films of their extremes, clips the film that is unlike the others, and
        # a positive film is.
        advanced_parameters=nncf.AdvancedQuantizationParameters(activations_range_estimator_params=_whole_range()),
        ignored_scope=nncf.IgnoredScope(names=left, validate=False) if left else None,
    )


def _whole_range() -> Any:
    return optional_library("nncf.quantization.range_estimator").RangeEstimatorParametersSet.MINMAX


def _left_out(model: Any, scope: Scope, size: int) -> Iterator[str]:
    first = True
    for operation in model.get_ordered_ops():
        kind, name = operation.get_type_name(), operation.get_friendly_name()
        if kind not in ("Convolution", "GroupConvolution"):
            continue
        side = operation.input(0).get_partial_shape()[2]
        reduction = size / side.get_length() if side.is_static else 0
        head = ".neck" in name or ".heads" in name
        if scope.leaves_out(first=first, depthwise=kind == "GroupConvolution", head=head, reduction=reduction):
            yield name
        first = False
