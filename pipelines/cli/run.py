"""Verbs that compute: ``demo``, ``train``."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import note, progress, say, show, table


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    films: Annotated[int, typer.Option(min=100, help="Synthetic films to make.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same films.")] = 1,
) -> None:
    """Walk the whole way once on synthetic films: make them, train, predict, evaluate, report.

    Finished stages are not run again; after Ctrl-C the same command goes on.
    """
    from pipelines.demo import Demo

    run = Demo(out, films=films, seed=seed)
    for stage in run.stages():
        if stage.finished():
            note(f"{stage.title}: done already")
            continue
        note(stage.title)
        with progress(f"  {stage.unit}") as report:
            stage.run(report)
    for line in run.headlines():
        say(line)


def train(
    config: Annotated[Path, typer.Argument(help="A YAML from configs/, or your own.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value, such as optimisation.epochs=3 or data.0.root=films")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run folder's checkpoint.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
) -> None:
    """Train a classifier, calibrate it, lock its thresholds, log it to MLflow and register it.

    On several GPUs or machines: `torchrun --nproc-per-node 4 -m pipelines train CONFIG`.

    Example: `cxr train configs/phantom.yaml optimisation.epochs=5`
    """
    from pipelines.config import load_config

    settings = load_config(config, overrides or [])
    if dry_run:
        from pipelines.training.plan import plan_lines

        for line in plan_lines(settings):
            say(line)
        return
    from pipelines.training import train as run_training

    result = run_training(settings, resume=resume, on_epoch=_print_epoch)
    if result is None:
        return
    rows = table("finding", "AUROC, validation", "shape-free control", "threshold", "sensitivity", "specificity")
    for summary in result.findings:
        point = summary.operating_point
        rows.add_row(
            summary.finding,
            summary.auroc.text(),
            summary.control.text(),
            f"{point.threshold:.4f}",
            point.sensitivity.text(),
            point.specificity.text(),
        )
    show(rows)
    for summary in result.findings:
        if summary.rule_out_point is not None:
            say(f"{summary.finding}: below {summary.rule_out_point.threshold:.4f}, {summary.rule_out_point.rule}")
    say(f"package {settings.out / result.package} (model {result.model_id})")
    say(f"weights of epoch {result.best_epoch} of {result.epochs}")
    if result.registered is not None:
        known = result.registered
        verdict = "is now champion" if known.champion else "is not champion"
        say(f"registered as {known.name} version {known.version}; {verdict}: {known.why}")


def _print_epoch(epoch: int, epochs: int, metrics: dict[str, float]) -> None:
    shown = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    note(f"epoch {epoch}/{epochs}  {shown}")
