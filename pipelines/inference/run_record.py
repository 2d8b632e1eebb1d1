"""``run.json``: what made a predictions table, where and how fast."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch

from pipelines.evaluation.run_record import RUN_SCHEMA
from pipelines.inference.inputs.collect import InputList
from pipelines.inference.plan import Plan
from pipelines.inference.predictor import Predictor
from pipelines.inference.triage import RULE
from pipelines.inference.usage import Usage
from pipelines.version import code_version, package_versions

NOTICE = "Research software, not a medical device: not for diagnosis, and not for deciding who is seen first."


def describe_run(
    inputs: InputList,
    predictor: Predictor,
    plan: Plan,
    counts: Mapping[str, Any],
    *,
    workers: int,
    computed: int,
    seconds: float,
    files: str,
    usage: Usage,
) -> dict[str, Any]:
    """Return the record of a finished run.

    Args:
        inputs: what it was over.
        predictor: what it ran.
        plan: what decided its bytes.
        counts: rows by status and reason.
        workers: decoding processes.
        computed: films scored by the call that finished the run.
        seconds: duration of that call.
        files: digest of the sizes and times of change of the films' files.
        usage: where that call's time went.
    """
    package = predictor.package
    return {
        "schema": RUN_SCHEMA,
        "notice": NOTICE,
        "model": {
            "model_id": package.model_id,
            "name": package.name,
            "findings": list(package.architecture.findings),
            "operating_points": {finding: dict(point) for finding, point in package.operating_points.items()},
            "rule_out_points": {finding: dict(point) for finding, point in package.rule_out_points.items()},
            # What the package says of itself, so that a report can be written where the package is not.
            "architecture": package.architecture.to_json(),
            "input": asdict(package.input),
            "calibration": {finding: asdict(value) for finding, value in package.calibration.items()},
            "intended_use": package.intended_use.to_json(),
            "typicality": None if package.typicality is None else package.typicality.to_json(),
            "provenance": dict(package.provenance),
        },
        "triage_rule": RULE,
        "inputs": [asdict(source) for source in inputs.sources],
        "inputs_digest": plan.inputs["digest"],
        "files_digest": files,
        "manifest_digest": inputs.manifest_digest,
        "counts": dict(counts),
        "settings": {
            **plan.settings,
            "device": str(predictor.device),
            "workers": workers,
            "streams": predictor.streams,
        },
        "plan": plan.to_json(),
        "code_version": code_version(),
        "versions": package_versions(),
        "hardware": hardware(predictor.device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "films_computed": computed,
        "seconds": round(seconds, 3),
        "films_per_second": round(computed / seconds, 3) if computed else None,
        "usage": usage.to_json() if computed else None,
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """Return what the speed depends on; no name of a host or a user."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
