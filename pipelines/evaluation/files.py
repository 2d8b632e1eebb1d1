"""``evaluation.json`` and its tidy tables on disk."""

import os
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.errors import EvaluationError
from pipelines.evaluation.background import Choices
from pipelines.evaluation.example_pictures import with_examples, with_pictures
from pipelines.evaluation.example_records import Example
from pipelines.evaluation.predictions import HEATMAP_FOLDER
from pipelines.evaluation.records import (
    EVALUATION_SCHEMA,
    Evaluation,
    Provenance,
    software_versions,
)
from pipelines.evaluation.tables import PredictionsTable
from pipelines.evaluation.tidy import tidy_tables
from pipelines.system import replace_text

EVALUATION_FILE: Final = "evaluation.json"
UNMATCHED_FILE: Final = "unmatched.csv"
"""Ids of the predictions that are not in the manifest."""


def provenance_of(
    table: PredictionsTable,
    out: Path,
    *,
    manifest_digest: str | None,
    manifest: Path | None = None,
    options: Choices | None = None,
) -> Provenance:
    """What an evaluation written to ``out`` says about its files.

    Files and folders are given relative to ``out``, and only where the way to them leads neither through the root of
    the file system nor through the folder of all users: such a path would describe this machine.

    Args:
        table: the predictions.
        out: the evaluation folder.
        manifest_digest: of the manifest's content.
        manifest: its file.
        options: what was asked for.
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
        manifest_file=_relative(manifest, out) if manifest is not None else None,
        predictions_file=_relative(table.file, out) if table.file is not None else None,
        options=options,
    )


def _relative(path: Path, out: Path) -> str | None:
    here, there = out.resolve(), path.resolve()
    if here.anchor != there.anchor:
        return None
    shared = Path(os.path.commonpath([here, there]))
    if shared == Path(here.anchor) or shared in Path.home().resolve().parents:
        return None
    way = Path(os.path.relpath(there, here)).as_posix()
    return way if way.isprintable() else None


def write_evaluation(evaluation: Evaluation, out: Path, *, pictures: Path | None = None) -> Evaluation:
    """Write ``evaluation.json`` and its tidy tables (`pipelines.evaluation.tidy`) into a folder.

    Args:
        evaluation: what to write.
        out: the folder; made where it does not exist, its files replaced one by one.
        pictures: folder with heat maps; those of the chosen examples that may be shown are copied to ``out/pictures``
            under names that hold no film id, so that the folder can be moved.

    Returns:
        The evaluation as written: its examples name the copied pictures.
    """
    out.mkdir(parents=True, exist_ok=True)
    if pictures is not None:
        evaluation = with_pictures(evaluation, pictures, out)
    evaluation = _without_private_ids(evaluation)
    for name, table in tidy_tables(evaluation).items():
        replace_text(out / name, table.to_csv(index=False))
    # Last: a folder with evaluation.json is complete.
    replace_text(out / EVALUATION_FILE, evaluation.model_dump_json(indent=1, by_alias=True) + "\n")
    return evaluation


def _without_private_ids(evaluation: Evaluation) -> Evaluation:
    """The folder is passed on and logged to MLflow: an id of a user's own film may say who a patient is."""

    def public(_number: int, _film: int, _finding: str, example: Example) -> Example:
        return example if example.id_is_public else example.model_copy(update={"image_id": ""})

    return with_examples(evaluation, public)


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
        raise EvaluationError(f"{path}: not a valid {EVALUATION_SCHEMA}: {first_problem(error)}.") from error


def first_problem(error: ValidationError) -> str:
    """Where a file first breaks its schema, what was found and what was expected: the end of a sentence."""
    first = error.errors()[0]
    if first["loc"] == ("schema",):
        found = ascii(first["input"])[:80]
        return f"schema: found {found}; it was written by another version of this program: make it again"
    where = ".".join(map(str, first["loc"])) or "the file"
    return f"{ascii(where)[1:-1][:200]}: {first['msg']}"


def pictures_of(table: PredictionsTable) -> Path | None:
    """The folder with a table's heat maps; None where there is none."""
    folder = table.folder / HEATMAP_FOLDER if table.folder else None
    return folder if folder is not None and folder.is_dir() else None
