"""``evaluation.json`` and its tidy tables on disk."""

import os
import shutil
from pathlib import Path
from typing import Final

import pandas as pd
from pydantic import ValidationError

from pipelines.errors import EvaluationError
from pipelines.evaluation.predictions import HEATMAP_FOLDER, heatmap_file
from pipelines.evaluation.records import (
    EVALUATION_SCHEMA,
    Evaluation,
    Example,
    FindingResult,
    Provenance,
    software_versions,
)
from pipelines.evaluation.tables import PredictionsTable
from pipelines.statistics.estimates import Estimate
from pipelines.system import replace_text, replacing

EVALUATION_FILE: Final = "evaluation.json"
PICTURES_FOLDER: Final = "pictures"


def provenance_of(table: PredictionsTable, out: Path, *, manifest_digest: str | None) -> Provenance:
    """What an evaluation written to ``out`` says about its files.

    The predictions folder is given relative to ``out``, and only where the way to it does not lead through the root of
    the file system: such a path would describe this machine.
    """
    run = table.run or {}
    model = run.get("model", {})
    model_id = None
    if "model_id" in table.frame.columns:
        model_id = str(table.frame["model_id"].iloc[0])
    return Provenance(
        predictions_digest=table.digest,
        predictions_folder=_relative(table.folder, out) if table.folder else None,
        manifest_digest=manifest_digest,
        predicted_manifest_digest=run.get("manifest_digest"),
        model_id=model_id,
        model_name=model.get("name"),
        predictions_code_version=run.get("code_version"),
        versions=software_versions(),
    )


def _relative(folder: Path, out: Path) -> str | None:
    here, there = out.resolve(), folder.resolve()
    if os.path.commonpath([here, there]) == here.anchor or here.anchor != there.anchor:
        return None
    return Path(os.path.relpath(there, here)).as_posix()


def write_evaluation(evaluation: Evaluation, out: Path, *, pictures: Path | None = None) -> Evaluation:
    """Write ``evaluation.json``, ``metrics.csv``, ``roc.csv`` and ``left_out.csv`` into a folder.

    Args:
        evaluation: what to write.
        out: the folder; made where it does not exist, its files replaced one by one.
        pictures: folder with heat maps; those of the chosen examples are copied to ``out/pictures`` under names that
            hold no film id, so that the folder can be moved.

    Returns:
        The evaluation as written: its examples name the copied pictures.
    """
    out.mkdir(parents=True, exist_ok=True)
    if pictures is not None:
        evaluation = _with_pictures(evaluation, pictures, out)
    replace_text(out / "metrics.csv", metrics_table(evaluation).to_csv(index=False))
    replace_text(out / "roc.csv", roc_table(evaluation).to_csv(index=False))
    replace_text(out / "left_out.csv", left_out_table(evaluation).to_csv(index=False))
    # Last: a folder with evaluation.json is complete.
    replace_text(out / EVALUATION_FILE, evaluation.model_dump_json(indent=1, by_alias=True) + "\n")
    return evaluation


def read_evaluation(folder: Path) -> Evaluation:
    """Read ``evaluation.json`` from a folder that `write_evaluation` wrote.

    Raises:
        EvaluationError: no such file, or one that breaks the schema; names the first field.
    """
    path = folder / EVALUATION_FILE if folder.is_dir() else folder
    if not path.is_file():
        raise EvaluationError(f"{folder}: no {EVALUATION_FILE} here; expected a folder written by `cxr evaluate`.")
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise EvaluationError(f"{path}: not a valid {EVALUATION_SCHEMA}: {where}: {first['msg']}.") from error


def _with_pictures(evaluation: Evaluation, source: Path, out: Path) -> Evaluation:
    folder = out / PICTURES_FOLDER
    folder.mkdir(exist_ok=True)
    findings = []
    for number, result in enumerate(evaluation.findings, 1):
        films = tuple(
            _copy_pictures(example, result.finding, source, folder, f"{number}-{place}")
            for place, example in enumerate(result.examples.films, 1)
        )
        examples = result.examples.model_copy(update={"films": films})
        findings.append(result.model_copy(update={"examples": examples}))
    return evaluation.model_copy(update={"findings": tuple(findings)})


def _copy_pictures(example: Example, finding: str, source: Path, folder: Path, stem: str) -> Example:
    copied = {}
    for field, layer, suffix in (("film_picture", "film", "film"), ("map_picture", finding, "map")):
        picture = source / heatmap_file(example.image_id, layer)
        if picture.is_file():
            name = f"{stem}-{suffix}.png"
            with replacing(folder / name) as temporary:
                shutil.copyfile(picture, temporary)
            copied[field] = f"{PICTURES_FOLDER}/{name}"
    return example.model_copy(update=copied)


def pictures_of(table: PredictionsTable) -> Path | None:
    """The folder with a table's heat maps; None where there is none."""
    folder = table.folder / HEATMAP_FOLDER if table.folder else None
    return folder if folder is not None and folder.is_dir() else None


def estimates_of(result: FindingResult) -> dict[str, Estimate]:
    """Every estimate of one finding by its name in ``metrics.csv``."""
    found = {"auroc": result.auroc, "prevalence": result.prevalence}
    if result.control:
        found |= {"control_auroc": result.control.auroc, "auroc_minus_control": result.control.difference}
    point = result.operating_point
    if point:
        names = ("sensitivity", "specificity", "ppv", "npv", "flagged", "localisation")
        found |= {name: getattr(point, name) for name in names}
    return found


def metrics_table(evaluation: Evaluation) -> pd.DataFrame:
    """Long form: one row per finding and metric."""
    columns = ["finding", "metric", "value", "low", "high", "level", "method", "n", "why"]
    rows = [
        {"finding": result.finding, "metric": metric, **estimate.model_dump()}
        for result in evaluation.findings
        for metric, estimate in estimates_of(result).items()
    ]
    return pd.DataFrame(rows, columns=columns)


def roc_table(evaluation: Evaluation) -> pd.DataFrame:
    """Long form: one row per finding and point of the curve; an empty threshold flags no film."""
    columns = ["finding", "threshold", "false_positive_rate", "true_positive_rate"]
    rows = [
        (result.finding, *point)
        for result in evaluation.findings
        if result.roc
        for point in zip(
            result.roc.thresholds, result.roc.false_positive_rate, result.roc.true_positive_rate, strict=True
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def left_out_table(evaluation: Evaluation) -> pd.DataFrame:
    """Long form: one row per reason; finding ``all`` for films left out of everything."""
    scopes = [("all", evaluation.films.left_out), *((r.finding, r.left_out) for r in evaluation.findings)]
    rows = [(scope, item.code, item.n, item.meaning) for scope, items in scopes for item in items]
    return pd.DataFrame(rows, columns=["finding", "code", "n", "meaning"])
