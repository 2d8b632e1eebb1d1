"""``evaluation.json`` and its tidy tables on disk."""

import os
import shutil
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.errors import EvaluationError
from pipelines.evaluation.predictions import HEATMAP_FOLDER, heatmap_file
from pipelines.evaluation.records import (
    EVALUATION_SCHEMA,
    Evaluation,
    Example,
    Provenance,
    software_versions,
)
from pipelines.evaluation.tables import PredictionsTable
from pipelines.evaluation.tidy import tidy_tables
from pipelines.system import replace_text, replacing

EVALUATION_FILE: Final = "evaluation.json"
UNMATCHED_FILE: Final = "unmatched.csv"
"""Ids of the predictions that are not in the manifest."""
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
    """Write ``evaluation.json`` and its tidy tables (`pipelines.evaluation.tidy`) into a folder.

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
    for name, table in tidy_tables(evaluation).items():
        replace_text(out / name, table.to_csv(index=False))
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
