"""What a run is going to do, written beside its parts: so that only the same run continues them."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pipelines.errors import CxrError
from pipelines.evaluation.predictions import HEATMAP_FOLDER, WORKLIST_FILE
from pipelines.evaluation.run_record import RUN_SCHEMA
from pipelines.inference.inputs.film_list import FilmInput, FilmList
from pipelines.inference.inputs.film_names import text_of
from pipelines.inference.ledger import PART_FILMS
from pipelines.inference.outputs import (
    CSV_FILE,
    DIGESTS_FILE,
    OUTPUT_FILES,
    PARTS_FOLDER,
    PLAN_FILE,
    PLAN_SCHEMA,
    RUN_FILE,
    TABLE_FILE,
    read_json,
    write_json,
)
from pipelines.inference.predictor import Predictor
from pipelines.inference.shards.shard import Shard
from pipelines.version import code_version, package_versions

_DECIDING: Final = ("torch", "torchvision", "pydicom", "numpy")
"""Libraries whose version can change a score or a reason."""
FolderState = Literal["new", "begun", "complete"]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the bytes of the tables; nothing that describes this machine or this hour."""

    model: Mapping[str, Any]
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "schema": PLAN_SCHEMA,
            "model": dict(self.model),
            "inputs": dict(self.inputs),
            "settings": dict(self.settings),
            "versions": dict(self.versions),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the plan."""
        return json_digest(self.to_json())


def make_plan(films: Sequence[FilmInput], predictor: Predictor, *, heatmaps: bool, shard: Shard | None = None) -> Plan:
    """Return the plan of a run over these films, or of one shard of it."""
    package = predictor.package
    versions = package_versions()
    rule_out = {key: dict(point) for key, point in package.rule_out_points.items()}
    return Plan(
        model={
            "model_id": package.model_id,
            # Not part of model_id, but they decide flags, classes and control scores.
            "operating_points": json_digest({key: dict(point) for key, point in package.operating_points.items()}),
            "control": json_digest(dict(package.control)),
        }
        # Named only where there are any, so that folders from before they existed keep their plan.
        | ({"rule_out_points": json_digest(rule_out)} if rule_out else {}),
        inputs={"films": len(films), "digest": list_digest(films)} | ({"shard": str(shard)} if shard else {}),
        settings={
            "device": predictor.device.type,
            "backend": predictor.backend,
            "precision": predictor.precision,
            "batch_size": predictor.batch_size,
            "part_films": PART_FILMS,
            "heatmaps": heatmaps,
        }
        | ({"export": predictor.export_digest} if predictor.export_digest else {})
        | ({"site": predictor.site} if predictor.site is not None else {})
        | ({"score_atypical": True} if predictor.score_atypical else {})
        | ({"compiled": True} if predictor.compiled else {}),
        # The release, not the commit: a run of days must not stop because somebody committed a comment.
        versions={"cxr-triage": code_version().split("+g")[0]}
        | {name: versions[name] for name in _DECIDING if name in versions},
    )


def list_digest(films: Sequence[FilmInput]) -> str:
    """Digest of which films are asked for, in order: ids and paths, wherever the folder lies."""
    if isinstance(films, FilmList):
        return films.digest()
    digest = hashlib.sha256()
    for film in films:
        digest.update(f"{film.image_id}\0{film.path}\0".encode())
    return digest.hexdigest()


def json_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def open_folder(out: Path, plan: Plan, *, restart: bool) -> FolderState:
    """Make the folder ready for this plan.

    Args:
        out: made where it does not exist.
        plan: what is going to be done.
        restart: throw away what an earlier run left instead of going on.

    Returns:
        ``new`` or ``begun`` (with the plan written and the parts folder there), or ``complete``.

    Raises:
        CxrError: the folder cannot be written, belongs to something else, or holds a run of another plan (and what
            differs).
    """
    shown = text_of(out)
    if out.exists() and not out.is_dir():
        raise CxrError(f"{shown}: expected a folder for the predictions, found a file")
    run = read_json(out / RUN_FILE)
    finished = run is not None and run.get("schema") == RUN_SCHEMA
    begun = read_json(out / PLAN_FILE)
    done = (run or {}).get("plan") if finished else None
    earlier = begun if begun is not None else done
    if earlier is None:
        foreign = [name for name in OUTPUT_FILES if (out / name).exists()]
        if foreign and not restart:
            raise CxrError(f"{shown}: {foreign[0]} is there already, but not from a run that can be continued; {_HINT}")
    elif not restart:
        complete = done == earlier and all((out / name).is_file() for name in (TABLE_FILE, CSV_FILE))
        _refuse_changes(shown, earlier, plan.to_json(), versions=not complete)
        if complete:
            return "complete"
    try:
        return _begin(out, plan, clean=restart or earlier is None, known=begun is not None)
    except OSError as error:
        raise CxrError(f"{shown}: cannot write there ({error.strerror or type(error).__name__})") from None


def close_folder(out: Path) -> None:
    """Remove what only an unfinished run needs."""
    (out / PLAN_FILE).unlink(missing_ok=True)
    if (out / PARTS_FOLDER).is_dir():
        shutil.rmtree(out / PARTS_FOLDER)


_HINT = "choose another folder, or restart (--restart), which throws away what is there"


def _begin(out: Path, plan: Plan, *, clean: bool, known: bool) -> FolderState:
    out.mkdir(parents=True, exist_ok=True)
    parts = out / PARTS_FOLDER
    if clean and parts.is_dir():
        shutil.rmtree(parts)
    write_json(out / PLAN_FILE, plan.to_json())
    # From here on the folder is the new plan's: killed now, the next run goes on with it.
    if clean:
        for name in (RUN_FILE, TABLE_FILE, CSV_FILE, DIGESTS_FILE, WORKLIST_FILE):
            (out / name).unlink(missing_ok=True)
        if (out / HEATMAP_FOLDER).is_dir():
            shutil.rmtree(out / HEATMAP_FOLDER)
    parts.mkdir(exist_ok=True)
    return "begun" if known and not clean else "new"


def _refuse_changes(shown: str, earlier: Mapping[str, Any], now: Mapping[str, Any], *, versions: bool) -> None:
    """Refuse another plan; other versions matter only while there is something left to compute."""
    before, after = (
        {key: value for key, value in _flat(plan) if versions or not key.startswith("versions.")}
        for plan in (earlier, now)
    )
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not changed:
        return
    words = [_change(key, before.get(key), after.get(key)) for key in changed]
    # The digest of a list that has another length says nothing more.
    if "inputs.films" in changed:
        words = [word for key, word in zip(changed, words, strict=True) if key != "inputs.digest"]
    raise CxrError(f"{shown}: holds another run: {'; '.join(words)}. Make them equal, {_HINT}")


def _change(key: str, before: object, after: object) -> str:
    names = {
        "inputs.digest": "the list of films",
        "model.operating_points": "the operating points",
        "model.rule_out_points": "the rule-out points",
        "model.control": "the model's control",
    }
    if key in names:
        return f"{names[key]} changed"
    return f"{key} was {before}, is {after}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
