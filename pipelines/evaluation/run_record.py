"""What ``run.json`` beside a predictions table says of the model that made it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from pipelines.errors import PredictionsError
from pipelines.evaluation.thresholds.operating_point import OperatingPoint

RUN_SCHEMA: Final = "cxr-triage/run/1"
_KINDS: Final[Mapping[str, tuple[type, str]]] = {
    "findings": (list, "a list of texts"),
    "name": (str, "a text"),
    "operating_points": (dict, "finding -> point"),
    "rule_out_points": (dict, "finding -> point"),
    "provenance": (dict, "keys and values"),
}
"""Of the parts of ``model`` that are read here; each may be left out or null."""


def read_run(path: Path, model_id: str) -> Mapping[str, Any] | None:
    """Read a ``run.json``; None where there is none.

    Args:
        path: the file.
        model_id: of the predictions beside it.

    Raises:
        PredictionsError: not readable, of another schema or model, or a part that is not what it should be.
    """
    if not path.is_file():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PredictionsError(f"{path}: not a readable run.json ({type(error).__name__}).") from error
    found = run.get("schema") if isinstance(run, dict) else type(run).__name__
    if found != RUN_SCHEMA:
        raise PredictionsError(f"{path}: schema is {found!r}, expected {RUN_SCHEMA!r}.")
    model = run.get("model")
    if not isinstance(model, dict) or model.get("model_id") != model_id:
        named = model.get("model_id") if isinstance(model, dict) else None
        raise PredictionsError(
            f"{path}: model_id is {named!r}, but the predictions beside it are of {model_id!r}: "
            "these two files do not belong together."
        )
    _check_model(model, path)
    return dict(run)


def _check_model(model: Mapping[str, Any], path: Path) -> None:
    for key, (kind, words) in _KINDS.items():
        value = model.get(key)
        texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
        if value is not None and not (isinstance(value, kind) and texts):
            raise PredictionsError(f"{path}: model.{key} is {type(value).__name__}, expected {words}.")
    run_id = (model.get("provenance") or {}).get("mlflow_run_id")
    if run_id is not None and not isinstance(run_id, str):
        raise PredictionsError(f"{path}: model.provenance.mlflow_run_id is {type(run_id).__name__}, expected a text.")


def run_points(model: Mapping[str, Any], key: str, path: Path) -> dict[str, OperatingPoint]:
    """The points of one purpose by finding.

    Args:
        model: as in ``run.json``.
        key: ``operating_points`` or ``rule_out_points``.
        path: the file, for messages.

    Raises:
        PredictionsError: a point that breaks its schema (names the first field), or one for another purpose.
    """
    points = {}
    for finding, point in (model.get(key) or {}).items():
        try:
            points[finding] = OperatingPoint.model_validate(point)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise PredictionsError(f"{path}: {key} of {finding!r}: {where}: {first['msg']}.") from error
        purpose = "rule_out" if key == "rule_out_points" else "flag"
        if points[finding].purpose != purpose:
            raise PredictionsError(
                f"{path}: {key} of {finding!r}: purpose is {points[finding].purpose!r}, expected {purpose!r}."
            )
    return points
