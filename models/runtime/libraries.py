"""Optional libraries: imported where they are needed, named in one sentence where they are absent, and kept quiet."""

import importlib
import logging
import sys
from typing import Any, Final

from models.errors import ModelError

EXTRAS: Final = {
    "openvino": "openvino",
    "nncf": "openvino",
    "nncf.quantization.range_estimator": "openvino",
    "onnxruntime": "onnxruntime",
    "onnxruntime.quantization": "onnxruntime",
    "onnx": "onnxruntime",
    "onnxscript": "onnxruntime",
}
"""Which extra of this project brings a library."""
_TELEMETRY: Final = "openvino_telemetry"


def optional_library(name: str) -> Any:
    """Import a library of one of the project's extras.

    Raises:
        ModelError: it is not installed; says which extra brings it.
    """
    refuse_telemetry()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise
        raise ModelError(
            f"{name} is not installed; install it with: pip install 'cxr-triage[{EXTRAS[name]}]'"
        ) from None


def refuse_telemetry() -> None:
    """Keep OpenVINO and NNCF from sending usage data and from writing their identifier to the home directory.

    Both do without the package that sends where it cannot be imported. A hospital's computer has no business telling
    anyone what it runs, and the wait for a network that is not there costs seconds.
    """
    loaded = sys.modules.get(_TELEMETRY)
    if loaded is None:
        # How Python marks a module that cannot be imported.
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    else:
        try:  # somebody imported OpenVINO before this project was asked
            loaded.Telemetry().consent = False
        except RuntimeError:  # not started yet: it will be refused its senders
            loaded.Telemetry.send_event = loaded.Telemetry.start_session = lambda *_, **__: None
    logging.getLogger("nncf").setLevel(logging.ERROR)
