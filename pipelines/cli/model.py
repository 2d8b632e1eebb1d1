"""Verbs about model packages: ``model show``."""

import json
from typing import Annotated

import typer

from pipelines.cli.console import say

model_app = typer.Typer(no_args_is_help=True, help="Look into model packages.")


@model_app.command("show")
def show(
    model: Annotated[str, typer.Argument(help="Package folder, or models:/NAME@champion.")],
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store that holds models:/ names.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything the package says, as JSON.")] = False,
) -> None:
    """Say what a model package is: network, findings, thresholds and where they were locked, origin."""
    from models import load_package
    from pipelines.inference import resolve_model

    folder = resolve_model(model, tracking_uri=tracking_uri)
    package = load_package(folder)
    if as_json:
        say((folder / "model.json").read_text(encoding="utf-8"))
        return
    architecture = package.architecture
    say(f"{package.name}: model {package.model_id}")
    say(f"network {architecture.backbone}, input {architecture.size}x{architecture.size}, one grey channel")
    for finding in architecture.findings:
        calibration = package.calibration[finding]
        say(f"{finding}: temperature {calibration.temperature:.3f}, offset {calibration.offset:.3f}")
        point = package.operating_points.get(finding)
        if point is None:
            say("  no locked threshold")
            continue
        say(f"  threshold {point['threshold']:.4f}: {point['rule']} on {point['cohort']}")
        say(f"  there: {point['n']} films, {point['n_positive']} positive")
    for key in ("code_version", "mlflow_run_id", "best_epoch", "seed"):
        say(f"{key.replace('_', ' ')}: {json.dumps(package.provenance.get(key))}")
