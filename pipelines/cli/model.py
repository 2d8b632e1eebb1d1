"""Verbs about model packages: ``model show``, ``model lock``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import interruptible, note, say

if TYPE_CHECKING:
    from pipelines.evaluation.thresholds.operating_point import LockRule, OperatingPoint

model_app = typer.Typer(no_args_is_help=True, help="Look into model packages; lock their thresholds anew.")

TrackingUri = Annotated[str | None, typer.Option(help="MLflow store that holds models:/ names.")]


@model_app.command("show")
@interruptible
def show(
    model: Annotated[str, typer.Argument(help="Package folder, or models:/NAME@champion.")],
    tracking_uri: TrackingUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything the package says, as JSON.")] = False,
) -> None:
    """Say what a model package is: network, findings, thresholds and where they were locked, origin."""
    from models import load_package
    from pipelines.evaluation.thresholds.locked import locked_points
    from pipelines.inference import resolve_model

    folder = resolve_model(model, tracking_uri=tracking_uri)
    package, points = load_package(folder), locked_points(folder)
    if as_json:
        say((folder / "model.json").read_text(encoding="utf-8"))
        return
    architecture = package.architecture
    say(f"{package.name}: model {package.model_id}")
    say(f"network {architecture.backbone}, input {architecture.size}x{architecture.size}, one grey channel")
    for finding in architecture.findings:
        calibration = package.calibration[finding]
        say(f"{finding}: temperature {calibration.temperature:.3f}, offset {calibration.offset:.3f}")
        _say_point("threshold", points.flag.get(finding))
        if finding in points.rule_out:
            _say_point("rule-out threshold", points.rule_out[finding])
    for key in ("code_version", "mlflow_run_id", "best_epoch", "seed"):
        say(f"{key.replace('_', ' ')}: {json.dumps(package.provenance.get(key))}")


def _say_point(name: str, point: "OperatingPoint | None") -> None:
    if point is None:
        say(f"  no locked {name}")
        return
    when = f", locked on {point.date}" if point.date else ""
    say(f"  {name} {point.threshold:.4f}: {point.rule} on {point.cohort}{when}")
    say(f"  there: {point.n} films, {point.n_positive} positive")


@model_app.command("lock")
@interruptible
def lock(
    model: Annotated[str, typer.Argument(help="Package folder, or models:/NAME@champion; left as it is.")],
    predictions: Annotated[Path, typer.Option(help="Folder of `cxr predict` with this very model.")],
    manifest: Annotated[Path, typer.Option(help="Manifest with the labels of those films.")],
    rule: Annotated[
        list[str],
        typer.Option(
            help="FINDING=RULE; may be given several times. RULE is sensitivity=0.95, specificity=0.8, cost=10 (a "
            "missed case costs 10 false alarms), cost=10@0.05 (at that prevalence) or rule_out=0.99 (the threshold "
            "below which films may be filed without a reader)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new package; must not exist.")],
    split: Annotated[str, typer.Option(help="Films to choose on; test is refused.")] = "val",
    cohort: Annotated[
        str | None, typer.Option(help="Where the films come from, in words that name no patient.")
    ] = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Choose thresholds on local validation films and write a package that has them; weights and model id stay.

    Example: `cxr model lock package --predictions predictions --manifest local.parquet --rule tb=sensitivity=0.95
    --rule tb=rule_out=0.99 --out package-local`
    """
    from pipelines.inference import resolve_model
    from pipelines.inference.relock import relock_package

    made = relock_package(
        resolve_model(model, tracking_uri=tracking_uri),
        predictions,
        manifest,
        out,
        rules=[_finding_and_rule(text) for text in rule],
        split=split,
        cohort=cohort,
    )
    for reason in made.left_out:
        note(f"not used: {reason.n} films ({reason.meaning})")
    for point in (*made.locked, *made.kept):
        use = "file unread below" if point.purpose == "rule_out" else "flag at or above"
        say(f"{point.finding}: {use} {point.threshold:.4f}" + ("" if point in made.locked else " (kept)"))
        say(f"  {point.rule}, on {point.cohort}, {point.date or 'on a day not recorded'}")
        say(f"  there: {point.n} films, {point.n_positive} positive")
        say(f"  sensitivity {point.sensitivity.text()}, specificity {point.specificity.text()}")
    say("sensitivity and specificity are those of the films that chose the thresholds, and optimistic")
    say(f"package {out} (model {made.model_id}, as before)")


def _finding_and_rule(text: str) -> "tuple[str, LockRule]":
    from pipelines.errors import ConfigError
    from pipelines.evaluation.thresholds.operating_point import LockRule

    finding, equals, rule = text.partition("=")
    if not finding or not equals:
        raise ConfigError(f"--rule: found {text!r}, expected FINDING=RULE, such as tb=sensitivity=0.95")
    return finding.strip(), LockRule.parse(rule)
