"""Two systems, or two versions of a model, from the folders that their users have: a comparison to report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.assessment.assess import Source, read_source
from pipelines.assessment.versus import compare_sources
from pipelines.errors import EvaluationError, ReportError
from pipelines.evaluation.comparison.files import COMPARISON_FILE
from pipelines.evaluation.comparison.records import COMPARISON_SCHEMA, Comparison
from pipelines.evaluation.files import EVALUATION_FILE, first_problem, read_evaluation
from pipelines.evaluation.options import Options
from pipelines.evaluation.records import Evaluation
from pipelines.manifest import manifest_digest, read_manifest
from pipelines.reporting.book import Book, make_comparison_book

_INSTEAD: Final = "use `cxr compare`, which takes every option, and report its folder"


@dataclass(frozen=True)
class _Side:
    """One of the two folders."""

    folder: Path
    source: Source
    evaluation: Evaluation | None
    """None for a predictions folder."""


def compare_folders(a: Path, b: Path, *, manifest: Path | None = None) -> Comparison:
    """Compare what two folders hold, film by film.

    Args:
        a: the earlier system: a folder of ``cxr predict`` or of ``cxr evaluate``.
        b: the later one.
        manifest: the reference; None: the one that the evaluations were made from, where it still lies beside them.

    Raises:
        EvaluationError: a folder that is neither, or what an evaluation was made from is gone or has changed since.
        CxrError: as for `pipelines.assessment.versus.compare_sources`.
    """
    sides = (_side(a), _side(b))
    evaluations = [side.evaluation for side in sides if side.evaluation is not None]
    splits = {evaluation.split for evaluation in evaluations}
    if len(splits) > 1:
        shown = " and ".join(sorted(split or "all films" for split in splits))
        raise EvaluationError(f"{a} and {b} are of different films ({shown}); evaluate both on the same split.")
    reference = manifest or _manifest_beside(sides)
    _check_manifest(reference, sides)
    names = _names(a, b, [evaluation.provenance.model_name for evaluation in evaluations])
    return compare_sources(
        {name: side.source for name, side in zip(names, sides, strict=True)},
        reference,
        split=splits.pop() if splits else None,
        options=_options(evaluations[-1]) if evaluations else None,
        title=f"{names[1]} after {names[0]}",
    )


def open_comparison(folder: Path, command: str | None = None) -> Book:
    """Read a folder of ``cxr compare`` for a report.

    Raises:
        EvaluationError: no comparison there, or one that breaks its schema.
    """
    path = folder / COMPARISON_FILE if folder.is_dir() else folder
    if not path.is_file():
        raise EvaluationError(f"{folder}: no {COMPARISON_FILE} here; expected a folder written by `cxr compare`.")
    try:
        found = Comparison.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise EvaluationError(f"{path}: not a valid {COMPARISON_SCHEMA}: {first_problem(error)}.") from error
    return make_comparison_book(found, command)


def holds_comparison(folder: Path) -> bool:
    """Whether a folder was written by ``cxr compare``, or is its file."""
    return (folder / COMPARISON_FILE).is_file() or (folder.name == COMPARISON_FILE and folder.is_file())


def _side(folder: Path) -> _Side:
    if not folder.is_dir():
        raise EvaluationError(f"{folder}: no such folder; expected one of `cxr predict` or `cxr evaluate`.")
    if not (folder / EVALUATION_FILE).is_file():
        return _Side(folder, Source(folder), None)
    evaluation = read_evaluation(folder)
    if evaluation.system == "another system":
        raise EvaluationError(f"{folder}: how another system's table is read is not recorded; {_INSTEAD}.")
    there = evaluation.provenance.predictions_folder
    if there is None or not (folder / there).is_dir():
        raise EvaluationError(
            f"{folder}: the predictions it was made from are not where they were; name the predictions folder instead."
        )
    given = {
        result.finding: result.operating_point.threshold
        for result in evaluation.findings
        if result.operating_point is not None and result.operating_point.source == "user"
    }
    source = Source((folder / there).resolve(), thresholds=given)
    _check_predictions(folder, source, evaluation)
    return _Side(folder, source, evaluation)


def _check_predictions(folder: Path, source: Source, evaluation: Evaluation) -> None:
    """Whether the predictions are still those of an evaluation, with the thresholds it used."""
    table, thresholds = read_source(source)
    if table.digest != evaluation.provenance.predictions_digest:
        raise EvaluationError(f"{folder}: its predictions have changed since; run `cxr evaluate` again.")
    for result in evaluation.findings:
        point, locked = result.operating_point, thresholds.locked.get(result.finding)
        if point is None or point.source != "locked":
            continue
        if locked is None or locked.threshold != point.threshold:
            raise EvaluationError(
                f"{folder}: its threshold for {result.finding!r} came from another model package; {_INSTEAD}."
            )


def _manifest_beside(sides: tuple[_Side, _Side]) -> Path:
    for side in sides:
        if side.evaluation is None:
            continue
        there = side.evaluation.provenance.manifest_file
        if there is not None and (side.folder / there).is_file():
            return (side.folder / there).resolve()
    raise ReportError(
        "A comparison needs the manifest, and it is not known from these folders or no longer where it was: name it "
        "with --manifest."
    )


def _check_manifest(manifest: Path, sides: tuple[_Side, _Side]) -> None:
    asked = {side.folder: side.evaluation.provenance.manifest_digest for side in sides if side.evaluation is not None}
    if not asked:
        return
    found = manifest_digest(read_manifest(manifest), canonical=True)
    for folder, digest in asked.items():
        if digest != found:
            raise EvaluationError(
                f"{folder}: made from another manifest than {manifest.name}, or the manifest has changed since; run "
                f"`cxr evaluate` again, or name the predictions folders."
            )


def _options(evaluation: Evaluation) -> Options:
    """As the later evaluation was made."""
    choices = evaluation.provenance.options
    if choices is None:
        return Options(level=evaluation.level, replicates=evaluation.replicates, seed=evaluation.seed)
    return Options(
        level=choices.level,
        interval=choices.interval,  # type: ignore[arg-type]  # Options says what it may be
        replicates=choices.replicates,
        seed=choices.seed,
        margin=choices.margin,
    )


def _names(a: Path, b: Path, models: Sequence[str | None]) -> tuple[str, str]:
    """Names that differ: of the models, of the folders, or of the folders with those that they lie in."""
    if len(models) == 2 and models[0] and models[1] and models[0] != models[1]:
        return models[0], models[1]
    parts: Mapping[Path, tuple[str, ...]] = {path: path.resolve().parts[1:] for path in (a, b)}
    for depth in range(1, 4):
        names = tuple("/".join(parts[path][-depth:]) for path in (a, b))
        if names[0] != names[1]:
            return names[0], names[1]
    return f"{a.resolve().name} (earlier)", f"{b.resolve().name} (later)"
