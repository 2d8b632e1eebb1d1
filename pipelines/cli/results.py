"""Verb ``evaluate``: a predictions table against labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import note, progress, say
from pipelines.cli.data import pairs
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from pipelines.assessment import Proxies
    from pipelines.reading_time.scenario import Scenario

Manifest = Annotated[Path, typer.Option(help="Manifest with the labels.")]
Split = Annotated[str | None, typer.Option(help="Only films of this split.")]
Level = Annotated[float, typer.Option(help="Confidence level of every interval.")]
Interval = Annotated[
    str,
    typer.Option(help="auto (patients drawn where they have several films), analytic, percentile or bca."),
]
Replicates = Annotated[int, typer.Option(help="Replicates of every bootstrap.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same intervals.")]
Prevalence = Annotated[
    float, typer.Option(min=0.0001, max=0.9999, help="Share of diseased people where the system would be used.")
]
Margin = Annotated[float, typer.Option(help="How much lower a sensitivity may be and still be non-inferior.")]


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of `cxr predict`, or another system's CSV or Parquet.")],
    manifest: Manifest,
    out: Annotated[Path, typer.Option(help="Folder for evaluation.json and its tables.")],
    split: Split = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Another system: column that names the film.")] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(help="Another system: FINDING=COLUMN or FINDING=max(COLUMN,COLUMN); may be given several times."),
    ] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="FINDING=NUMBER: used instead of a locked one, and labelled so.")
    ] = None,
    operating_points: Annotated[
        Path | None, typer.Option(help="Model package whose locked thresholds are used (after `cxr model lock`).")
    ] = None,
    show_threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="FINDING=RULE, such as tb=sensitivity=0.95: also show what a threshold chosen on these films does."
        ),
    ] = None,
    prevalence: Prevalence = 0.1,
    prevalence_interval: Annotated[str | None, typer.Option(help="LOW,HIGH: what is known of that share.")] = None,
    costs: Annotated[
        str | None, typer.Option(help="cxr=NUMBER,xpert=NUMBER[,other=NUMBER][,currency=TEXT]: what a programme pays.")
    ] = None,
    reference_sensitivity: Annotated[
        float | None, typer.Option(help="Sensitivity of what is used today, for a test of non-inferiority.")
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="With --reference-sensitivity: how much lower is still non-inferior (0.05).")
    ] = None,
    subgroup: Annotated[
        list[str] | None, typer.Option(help="Column to split films by; may be given several times.")
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(help="CSV or Parquet with image_id and columns of your own to split by.")
    ] = None,
    min_group: Annotated[int, typer.Option(min=1, help="Groups with fewer films get no number.")] = 10,
    marks: Annotated[
        Path | None, typer.Option(help="Another system's marks: image_id, finding, score, x, y or x0, y0, x1, y1.")
    ] = None,
    show_films: Annotated[
        list[str] | None,
        typer.Option(
            help="Also show films of this data set, as the manifest names it, in the report: only where you may pass "
            "them on. May be given several times."
        ),
    ] = None,
    hit: Annotated[str, typer.Option(help="When a mark hits: contains, or iou:NUMBER.")] = "contains",
    interval: Interval = "auto",
    replicates: Replicates = 2000,
    level: Level = 0.95,
    seed: Seed = 1,
    scenario: Annotated[
        Path | None, typer.Option(help="Reading room for the waiting times: a YAML from configs/scenarios/.")
    ] = None,
    traffic: Annotated[
        float | None, typer.Option(min=0.01, max=0.99, help="Without --scenario: share of the reader's time taken.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Without --scenario: mean reading time of a film.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="What was tested, in words.")] = None,
    training_films: Annotated[
        Path | None, typer.Option(help="training_films.parquet of the model's package: none of them may be tested.")
    ] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Go on where tested films are ones that the model learned from.")
    ] = False,
    mlflow: Annotated[bool, typer.Option(help="Log to the MLflow run that made the model.")] = True,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store of that run.")] = None,
) -> None:
    """Measure a predictions table against labels: accuracy, calibration, subgroups, localisation, reading time.

    FINDING is tb, nodule, or a data set's own label, letter for letter (Nodule, Mass).

    Example, another system's scores: `cxr evaluate scores.csv --manifest nih.parquet --id "Image Index"
    --score Nodule=Nodule --score "nodule=max(Nodule,Mass)" --out evaluation`
    """
    from pipelines.assessment.assess import Source, assess
    from pipelines.evaluation.localisation.marks import Criterion, read_marks
    from pipelines.evaluation.options import Options
    from pipelines.evaluation.tables import read_attributes
    from pipelines.evaluation.thresholds.lock_rule import LockRule

    options = Options(
        level=level,
        interval=interval,  # type: ignore[arg-type]  # Options says what it may be
        replicates=replicates,
        seed=seed,
        prevalence=prevalence,
        prevalence_interval=_bounds(prevalence_interval),
        costs=_costs(costs),
        reference_sensitivity=reference_sensitivity,
        margin=_margin(margin, reference_sensitivity),
        subgroups=tuple(subgroup) if subgroup else None,
        attributes=read_attributes(attributes) if attributes else None,
        min_group=min_group,
        marks=read_marks(marks) if marks else None,
        criterion=Criterion.of(hit),
        show_films=tuple(show_films or ()),
    )
    source = Source(
        predictions,
        id_column=id_column,
        scores=pairs(score or [], "--score"),
        thresholds=numbers(pairs(threshold or [], "--threshold"), "--threshold"),
        package=operating_points,
    )
    rules = {name: LockRule.parse(rule) for name, rule in pairs(show_threshold or [], "--show-threshold").items()}
    room = _room(scenario, prevalence, traffic, minutes)
    with progress("replications of the reading room") as report:
        assessment = assess(
            source,
            manifest,
            out,
            split=split,
            a_posteriori=rules,
            options=options,
            room=room,
            title=title,
            report=report,
            training_films=training_films,
            allow_overlap=allow_overlap,
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


def _margin(margin: float | None, reference: float | None) -> float:
    if margin is not None and reference is None:
        raise ConfigError("--margin: found without --reference-sensitivity, expected both.")
    from pipelines.evaluation.options import DEFAULT_MARGIN

    return DEFAULT_MARGIN if margin is None else margin


def numbers(texts: Mapping[str, str], flag: str) -> dict[str, float]:
    """Numbers by name, from NAME=NUMBER options."""
    found = {}
    for name, text in texts.items():
        try:
            found[name] = float(text)
        except ValueError as error:
            raise ConfigError(f"{flag} {name}: found {text!r}, expected a number.") from error
    return found


def _bounds(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--prevalence-interval: found {text!r}, expected LOW,HIGH such as 0.05,0.15.") from error
    return low, high


def _costs(text: str | None) -> Any:
    """``cxr=2,xpert=10`` as `pipelines.evaluation.thresholds.programme.Costs`."""
    if text is None:
        return None
    from pipelines.evaluation.thresholds.programme import Costs

    given: dict[str, Any] = dict(pairs(text.split(","), "--costs"))
    currency = given.pop("currency", "")
    expected = f"--costs: found {text!r}, expected cxr=NUMBER,xpert=NUMBER[,other=NUMBER][,currency=TEXT]."
    if not {"cxr", "xpert"} <= set(given) or set(given) - {"cxr", "xpert", "other"}:
        raise ConfigError(expected)
    try:
        numbers = {name: float(value) for name, value in given.items()}
    except ValueError as error:
        raise ConfigError(expected) from error
    return Costs(**numbers, currency=currency)


def _room(
    scenario: Path | None, prevalence: float, traffic: float | None, minutes: float | None
) -> "Scenario | Proxies":
    from pipelines.assessment import Proxies
    from pipelines.reading_time.scenario_file import read_scenario

    if scenario is None:
        given = {"traffic": traffic, "minutes": minutes}
        return Proxies(prevalence=prevalence, **{key: value for key, value in given.items() if value is not None})
    for name, value in (("--traffic", traffic), ("--minutes", minutes)):
        if value is not None:
            raise ConfigError(f"{name}: the reading room is that of {scenario}; change it there.")
    return read_scenario(scenario)
