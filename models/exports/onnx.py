"""The network as an ONNX file, in floating point or quantised by ONNX Runtime."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.classifier import Classifier
from models.errors import ModelError
from models.exports.network import OUTPUTS, example, plain_outputs
from models.exports.scope import Scope
from models.runtime.libraries import optional_library


def write_onnx(network: Classifier, path: Path) -> list[str]:
    """Write the network to one file that takes any number of films.

    Returns:
        What the exporter warned of, one sentence each, without repetitions.

    Raises:
        ModelError: a library is not installed, or the exporter does not know the backbone.
    """
    for name in ("onnx", "onnxscript"):
        optional_library(name)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(record=True) as caught, torch.no_grad():
        warnings.simplefilter("always", UserWarning)
        try:
            program = torch.onnx.export(
                plain_outputs(network),
                (example(network),),
                input_names=["images"],
                output_names=list(OUTPUTS),
                dynamic_shapes={"images": {0: torch.export.Dim("films", min=1, max=1024)}},
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            backbone = network.architecture.backbone
            raise ModelError(
                f"backbone {backbone!r} cannot be exported to ONNX ({type(error).__name__}); export to openvino instead"
            ) from None
    assert program is not None
    program.save(str(path), external_data=False)
    told = (warning for warning in caught if not issubclass(warning.category, DeprecationWarning | FutureWarning))
    return sorted({str(warning.message).splitlines()[0] for warning in told})


def quantise_onnx(source: Path, target: Path, films: Tensor, scope: Scope, size: int) -> None:
    """Write an int8 model (quantise and dequantise nodes around each layer), its ranges taken from films.

    Args:
        source: from `write_onnx`.
        target: the file to write.
        films: ``[n, 1, size, size]``.
        scope: which layers stay in floating point.
        size: side of the input.

    Raises:
        ModelError: a library is not installed.
    """
    onnx, quantization = optional_library("onnx"), optional_library("onnxruntime.quantization")
    logging.getLogger().addFilter(_without_advice)
    try:
        quantization.quantize_static(
            str(source),
            str(target),
            _Films(films),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=sorted(set(_left_out(onnx.load(str(source)), scope, size))),
            extra_options={"ActivationSymmetric": False},
        )
    finally:
        logging.getLogger().removeFilter(_without_advice)


def _without_advice(record: logging.LogRecord) -> bool:
    """The library advises its users to run its own tool first."""
    return "pre-processing" not in record.getMessage()


class _Films:
    """Films one by one, as the library asks for them (its ``CalibrationDataReader``)."""

    def __init__(self, films: Tensor) -> None:
        self._left = iter(films)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next film as the network's input; None when there are no more."""
        film = next(self._left, None)
        return None if film is None else {"images": film[None].numpy()}


def _left_out(model: Any, scope: Scope, size: int) -> Iterator[str]:
    sides = {value.name: _side(value) for value in (*model.graph.input, *model.graph.value_info)}
    first = True
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        side = sides.get(node.input[0], 0)
        head = any(part in node.input[1] for part in (".neck.", ".heads."))
        if scope.leaves_out(first=first, depthwise=groups > 1, head=head, reduction=size / side if side else 0):
            yield node.name
        first = False


def _side(value: Any) -> int:
    dimensions = value.type.tensor_type.shape.dim
    return int(dimensions[2].dim_value) if len(dimensions) == 4 else 0
