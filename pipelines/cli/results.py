"""Verbs about results: ``evaluate``, ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import note, say
from pipelines.cli.data import pairs


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of `cxr predict`, or another system's CSV or Parquet.")],
    manifest: Annotated[Path, typer.Option(help="Manifest with the labels.")],
    out: Annotated[Path, typer.Option(help="Folder for evaluation.json and its tables.")],
    split: Annotated[str | None, typer.Option(help="Only films of this split.")] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Another system: column that names the film.")] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(help="Another system: FINDING=COLUMN or FINDING=max(COLUMN,COLUMN); may be given several times."),
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="FINDING=NUMBER: used instead of a locked one, and labelled so.")
    ] = None,
    prevalence: Annotated[
        float, typer.Option(min=0.0001, max=0.9999, help="Share of diseased people where the system would be used.")
    ] = 0.1,
    traffic: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of the readers' time taken by all films.")
    ] = 0.8,
    minutes: Annotated[float, typer.Option(min=0.01, help="Mean reading time of a film.")] = 10.0,
    title: Annotated[str | None, typer.Option(help="What was tested, in words.")] = None,
    mlflow: Annotated[bool, typer.Option(help="Log to the MLflow run that made the model.")] = True,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store of that run.")] = None,
) -> None:
    """Measure a predictions table against labels: AUROC, sensitivity and specificity, reading-time proxies.

    FINDING is tb, nodule, or a data set's own label, letter for letter (Nodule, Mass).

    Example, another system's scores: `cxr evaluate scores.csv --manifest nih.parquet --id "Image Index"
    --score Nodule=Nodule --score "nodule=max(Nodule,Mass)" --out evaluation`
    """
    from pipelines.assessment.assess import Proxies, assess

    assessment = assess(
        predictions,
        manifest,
        out,
        split=split,
        id_column=id_column,
        scores=pairs(score or [], "--score"),
        thresholds=pairs(threshold or [], "--threshold"),
        proxies=Proxies(prevalence=prevalence, traffic=traffic, minutes=minutes),
        title=title,
    )
    for line in assessment.lines:
        say(line)
    note(f"wrote {out}")
    if mlflow and assessment.mlflow_run_id is not None:
        from pipelines.training.tracking import candidate_stores, log_evaluation

        run_id, name = assessment.mlflow_run_id, split or "all"
        stores = candidate_stores(tracking_uri, predictions)
        if any(log_evaluation(uri, run_id, assessment.evaluation, out, name=name) for uri in stores):
            note(f"logged to MLflow run {run_id} as evaluation/{name}")
        else:
            note(f"not logged to MLflow: no store with run {run_id} found; name one with --tracking-uri")


def report(
    evaluation: Annotated[Path, typer.Argument(help="Folder of `cxr evaluate`.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
) -> None:
    """Write an evaluation as one self-contained HTML page.

    Example: `cxr report evaluation --out report.html`
    """
    from pipelines.reporting.page import write_report

    write_report(evaluation, out)
    say(f"open {out}")
