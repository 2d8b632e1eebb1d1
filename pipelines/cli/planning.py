"""The verb about studies to come: ``power``."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import note, say, show, table

Share = Annotated[float | None, typer.Option(help="Expected value, for example 0.9.")]


def power(
    sensitivity: Share = None,
    specificity: Share = None,
    auroc: Share = None,
    width: Annotated[float | None, typer.Option(help="Total width of the intervals, for example 0.1.")] = None,
    sensitivity_bar: Annotated[
        float | None, typer.Option(help="What the lower bound of sensitivity shall reach (WHO triage: 0.9).")
    ] = None,
    specificity_bar: Annotated[
        float | None, typer.Option(help="What the lower bound of specificity shall reach (WHO triage: 0.7).")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="Margin of non-inferiority, for example 0.05.")] = None,
    reference_sensitivity: Annotated[
        float | None, typer.Option(help="Sensitivity to be non-inferior to; without it, the expected one.")
    ] = None,
    reference_specificity: Annotated[
        float | None, typer.Option(help="Specificity to be non-inferior to; without it, the expected one.")
    ] = None,
    prevalence: Annotated[float | None, typer.Option(help="Share of positives among those who come.")] = None,
    assurance: Annotated[
        float | None,
        typer.Option(
            help="Chance of reaching the width or bar (without it: on average), and of finding enough positives "
            "(without it: 0.9)."
        ),
    ] = None,
    chance: Annotated[float, typer.Option("--power", help="Chance of showing non-inferiority if it is true.")] = 0.8,
    films_per_patient: Annotated[float, typer.Option(help="Films that a patient brings on average.")] = 1.0,
    icc: Annotated[float, typer.Option(help="Correlation of the answers on two films of one patient.")] = 0.0,
    level: Annotated[float, typer.Option(help="Confidence level.")] = 0.95,
    out: Annotated[Path | None, typer.Option(help="Folder for power.json.")] = None,
) -> None:
    """How many positives and negatives a planned study needs.

    Example: `cxr power --sensitivity 0.9 --specificity 0.7 --width 0.1 --prevalence 0.05 --assurance 0.9`
    """
    from pipelines.statistics.planning.study_plan import Study, plan_study
    from pipelines.system import replace_text

    plan = plan_study(
        Study(
            sensitivity=sensitivity,
            specificity=specificity,
            auroc=auroc,
            width=width,
            sensitivity_bar=sensitivity_bar,
            specificity_bar=specificity_bar,
            margin=margin,
            reference_sensitivity=reference_sensitivity,
            reference_specificity=reference_specificity,
            prevalence=prevalence,
            assurance=assurance,
            power=chance,
            films_per_patient=films_per_patient,
            icc=icc,
            level=level,
        )
    )
    made = table("question", "class", "films", "patients", title="Films needed")
    for name, needs in (("positive", plan.positive_needs), ("negative", plan.negative_needs)):
        for need in needs:
            made.add_row(need.question, name, f"{need.films:,}", f"{need.patients:,}")
    if plan.auroc_need is not None:
        both = plan.auroc_need
        made.add_row(both.question, "positive + negative", f"{both.positives:,} + {both.negatives:,}", "")
    show(made)
    for line in plan.sentences:
        say(line)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        replace_text(out / "power.json", plan.model_dump_json(indent=2, by_alias=True) + "\n")
        note(f"wrote {out / 'power.json'}")
