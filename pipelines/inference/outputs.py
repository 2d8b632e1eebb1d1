"""The names inside a predictions folder, and its JSON files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipelines.evaluation.predictions import HEATMAP_FOLDER, WORKLIST_FILE
from pipelines.evaluation.run_record import RUN_SCHEMA
from pipelines.system import replacing

TABLE_FILE: Final = "predictions.parquet"
CSV_FILE: Final = "predictions.csv"
RUN_FILE: Final = "run.json"
PLAN_FILE: Final = "plan.json"
DIGESTS_FILE: Final = "picture_digests.npy"
"""Of a shard: uint64, one for each row; 0 where the film was not usable. Merging finds duplicates with it."""
PARTS_FOLDER: Final = "parts"
PLAN_SCHEMA: Final = "cxr-triage/plan/1"

OUTPUT_FILES: Final = (TABLE_FILE, CSV_FILE, RUN_FILE, PLAN_FILE, DIGESTS_FILE, WORKLIST_FILE)
OUTPUT_FOLDERS: Final = (HEATMAP_FOLDER, PARTS_FOLDER)


def is_predictions_folder(folder: Path) -> bool:
    """Whether `cxr predict` wrote, or is writing, into this folder."""
    return (read_json(folder / RUN_FILE) or {}).get("schema") == RUN_SCHEMA or (
        read_json(folder / PLAN_FILE) or {}
    ).get("schema") == PLAN_SCHEMA


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None where there is no such file or it holds something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object as indented JSON in the order of its keys."""
    with replacing(path, durable=True, sole_writer=True) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
