"""Verbs about model packages: ``model show``, ``model lock``, ``model export``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import interruptible, note, progress, say

if TYPE_CHECKING:
    from models.exports import ExportRecord
    from pipelines.evaluation.thresholds.operating_point import LockRule, OperatingPoint

model_app = typer.Typer(
    no_args_is_help=True, help="Look into model packages; lock their thresholds anew; export them for faster runtimes."
)

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
    _say_exports(folder, package.model_id)
    for key in ("code_version", "mlflow_run_id", "best_epoch", "seed"):
        say(f"{key.replace('_', ' ')}: {json.dumps(package.provenance.get(key))}")


def _say_exports(folder: Path, model_id: str) -> None:
    from models.exports import read_exports

    for export in read_exports(folder, model_id):
        _say_check(export.record)


def _say_check(record: "ExportRecord") -> None:
    check = record.check
    verdict = "passed its check" if check.passed else "FAILED its check: never chosen unless named"
    say(f"export {record.name}: {verdict}; {record.speed:.2f} times as fast as eager fp32 where it was made")
    say(f"  {check.films} films: probabilities differ by at most {check.max_dp:.2g}, on average {check.mean_dp:.2g}")
    for finding, pair in check.auroc.items():
        cases = f"{pair.positives} positive, {pair.negatives} negative"
        say(f"  AUROC of {finding} {pair.export:.4f}, of the model {pair.model:.4f} ({cases})")
    flags = ", ".join(f"{finding} {count}" for finding, count in check.flags_changed.items())
    say(f"  flags changed: {flags or 'no locked thresholds'}; typical or not changed: {check.verdicts_changed}")
    for miss in check.failures():
        say(f"  missed: {miss}")


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


@model_app.command("export")
@interruptible
def export(
    model: Annotated[str, typer.Argument(help="Package folder, or models:/NAME@champion.")],
    films: Annotated[Path, typer.Option(help="Folder of films, or a manifest: what the export is checked on.")],
    backend: Annotated[str, typer.Option(help="torch, onnxruntime or openvino.")] = "openvino",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16 or int8; torch: bf16, onnxruntime: fp32 or int8.")
    ] = "fp32",
    out: Annotated[
        Path | None, typer.Option(help="Put the export into a copy of the package here instead of the package.")
    ] = None,
    split: Annotated[str, typer.Option(help="Films of a manifest to check on.")] = "val",
    root: Annotated[Path | None, typer.Option(help="What the manifest's paths are relative to.")] = None,
    limit: Annotated[
        int, typer.Option(min=1, help="Films to check on, at most; int8 takes half for its ranges.")
    ] = 200,
    tracking_uri: TrackingUri = None,
) -> None:
    """Export a network for another runtime and check it against the model; exit code 1 if the check fails.

    The export lies in the package, in `exports/`. `cxr predict` takes the fastest one that passed its check.

    Example: `cxr model export package --backend openvino --precision int8 --films local.parquet --split val`
    """
    from models import load_package
    from pipelines.inference import resolve_model
    from pipelines.inference.export import export_model
    from pipelines.inference.export_films import read_check_films

    folder = resolve_model(model, tracking_uri=tracking_uri)
    with progress("films read") as report:
        found = read_check_films(films, load_package(folder), split=split, root=root, limit=limit, progress=report)
    if not found.labels:
        note("films without a manifest have no labels: AUROC is not compared")
    made = export_model(folder, found, backend=backend, precision=precision, out=out, report=note)
    for warned in made.notes:
        note(f"the exporter says: {warned}")
    _say_check(made.record)
    if made.calibration_films:
        say(f"  ranges of int8 were taken from {made.calibration_films} other films")
    say(f"wrote {made.folder}")
    if not made.passed:
        raise typer.Exit(1)


def _finding_and_rule(text: str) -> "tuple[str, LockRule]":
    from pipelines.errors import ConfigError
    from pipelines.evaluation.thresholds.operating_point import LockRule

    finding, equals, rule = text.partition("=")
    if not finding or not equals:
        raise ConfigError(f"--rule: found {text!r}, expected FINDING=RULE, such as tb=sensitivity=0.95")
    return finding.strip(), LockRule.parse(rule)
