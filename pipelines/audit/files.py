"""``audit.csv`` with a row for every labelled film, and ``audit.json``."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.audit.study import Audited
from pipelines.errors import EvaluationError
from pipelines.evaluation.tables import read_table
from pipelines.inference.table import csv_cells, csv_writer
from pipelines.system import replace_text, replacing

AUDIT_FILE: Final = "audit.json"
AUDIT_TABLE: Final = "audit.csv"
AUDIT_PAGE: Final = "audit.html"
REVIEW_COLUMNS: Final = ("verdict", "comment")
"""Left empty for whoever looks at the films."""


def audit_table(audited: Audited) -> pa.Table:
    """Every labelled film, the most doubtful first; those without a probability last, with the reason in ``detail``."""
    films, scores, noise, used = audited.films, audited.scores, audited.noise, audited.used
    doubtful = used[np.argsort(noise.rank, kind="stable")]
    order = np.concatenate([doubtful, np.setdiff1d(np.arange(len(films.rows)), used)]).tolist()

    def placed(values: NDArray[Any]) -> list[object]:
        by_row = dict(zip(used.tolist(), values.tolist(), strict=True))
        return [by_row.get(row) for row in order]

    rows, nothing = films.rows.iloc[order], pa.nulls(len(order), pa.string())
    return pa.table(
        {
            "image_id": rows["image_id"].tolist(),
            "path": rows["path"].tolist(),
            "finding": [films.finding] * len(order),
            "label": films.labels[order].astype(int),
            "probability": pa.array(placed(scores.probability[used]), pa.float64()),
            "self_confidence": pa.array(placed(noise.self_confidence), pa.float64()),
            "rank": pa.array(placed(noise.rank), pa.int64()),
            "rank_in_class": pa.array(placed(noise.rank_within(films.labels[used])), pa.int64()),
            "likely_wrong": pa.array(placed(np.where(noise.likely_wrong, "yes", "no")), pa.string()),
            "fold": pa.array([fold or None for fold in scores.fold[order].tolist()], pa.int64()),
            "detail": pa.array([scores.missing.get(row) for row in order], pa.string()),
            **dict.fromkeys(REVIEW_COLUMNS, nothing),
        }
    )


def refuse_reviewed(out: Path) -> None:
    """Refuse a folder whose table somebody has written verdicts into: they would be lost.

    Raises:
        EvaluationError: says so.
        PredictionsError: what lies there is no table.
    """
    table = out / AUDIT_TABLE
    if not table.is_file():
        return
    before = read_table(table, text_columns=REVIEW_COLUMNS)
    said = sum(int((before[name].fillna("") != "").sum()) for name in REVIEW_COLUMNS if name in before)
    if said:
        raise EvaluationError(
            f"{table}: found {said:,} verdicts or comments, which a new audit would overwrite; give another --out."
        )


def write_audit(audited: Audited, out: Path) -> None:
    """Write ``audit.csv`` and, last, ``audit.json`` into a folder; it is made where it does not exist."""
    out.mkdir(parents=True, exist_ok=True)
    table = audit_table(audited)
    with replacing(out / AUDIT_TABLE) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        lines = csv_writer(stream)
        lines.writerow(table.column_names)
        lines.writerows(csv_cells(table))
    replace_text(out / AUDIT_FILE, audited.record.model_dump_json(indent=1, by_alias=True) + "\n")
