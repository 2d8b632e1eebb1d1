"""A reviewer's verdicts → a manifest with the labels they leave."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from pipelines.errors import ManifestError
from pipelines.evaluation.tables import check_ids, first_few, read_table
from pipelines.findings import FINDINGS

VERDICTS: Final = ("right", "wrong", "unsure")
_COLUMNS: Final = ("image_id", "finding", "label", "verdict")

Wrong = Literal["flip", "null"]
"""What becomes of a label that is wrong: the other one, or not known."""


@dataclass(frozen=True)
class Reviewed:
    """A manifest after review, and what was changed in it."""

    manifest: pd.DataFrame
    finding: str
    verdicts: dict[str, int]
    """By verdict; ``""`` counts films without one."""
    flipped_to_0: int
    flipped_to_1: int
    made_unknown: int
    boxes_dropped: int
    """Films whose boxes of the finding went with its label."""


def read_review(path: Path) -> pd.DataFrame:
    """Read ``audit.csv`` with verdicts filled in, or the table that the page saves.

    Returns:
        ``image_id``, ``finding``, ``label`` and ``verdict`` as text, empty where nothing was said.

    Raises:
        PredictionsError: no readable table, or ids that are empty or there twice.
        ManifestError: a missing column, several findings, or a verdict other than right, wrong, unsure and empty.
    """
    table = read_table(path, text_columns=(*_COLUMNS, "comment", "detail"))
    lacking = [name for name in _COLUMNS if name not in table]
    if lacking:
        raise ManifestError(f"{path}: no column {lacking[0]!r}; expected {', '.join(_COLUMNS)}.")
    check_ids(table["image_id"], "image_id", path)
    found = table[list(_COLUMNS)].fillna("").astype(str)
    found["verdict"] = found["verdict"].str.strip().str.lower()
    unknown = found[~found["verdict"].isin(("", *VERDICTS))]
    if len(unknown):
        first = unknown.iloc[0]
        raise ManifestError(
            f"{path}: column 'verdict' has {first['verdict'][:20]!r} for {first_few([first['image_id']])}, "
            f"expected {', '.join(VERDICTS)} or empty."
        )
    findings = sorted(set(found["finding"]))
    if len(findings) != 1 or findings[0] not in FINDINGS:
        raise ManifestError(
            f"{path}: column 'finding' has {', '.join(findings[:3]) or 'no row'}, expected one of "
            f"{', '.join(FINDINGS)}: only label columns of the manifest can be corrected, native labels "
            "stay what the data set said."
        )
    return found


def apply_review(manifest: pd.DataFrame, review: pd.DataFrame, *, wrong: Wrong = "flip") -> Reviewed:
    """Change the labels that a reviewer found wrong or unsure; native labels and readings stay.

    Args:
        manifest: canonical.
        review: as `read_review` gives it.
        wrong: whether a wrong label becomes the other one, or not known.

    Raises:
        ManifestError: a film that is not in the manifest, or a label that is not the one that was reviewed.
    """
    rows = _rows(manifest, review["image_id"])
    finding = str(review["finding"].iloc[0])
    labels = manifest[finding].to_numpy(dtype=np.float64, copy=True)
    given = pd.to_numeric(review["label"], errors="coerce").to_numpy(dtype=np.float64)
    differs = ~(labels[rows] == given)
    if differs.any():
        raise ManifestError(
            f"{int(differs.sum()):,} films have another {finding} label in the manifest than in the review (first: "
            f"{first_few(list(review['image_id'][differs]))}); expected the manifest that was audited."
        )
    verdict = review["verdict"].to_numpy()
    is_wrong, unsure = rows[verdict == "wrong"], rows[verdict == "unsure"]
    before = labels.copy()
    labels[is_wrong] = np.nan if wrong == "null" else 1 - labels[is_wrong]
    labels[unsure] = np.nan
    boxes, dropped = _boxes(manifest, finding, before, labels)
    counts = {said: int((verdict == said).sum()) for said in (*VERDICTS, "")}
    return Reviewed(
        manifest=manifest.assign(boxes=boxes, **{finding: pd.Series(labels, index=manifest.index)}),
        finding=finding,
        verdicts=counts,
        flipped_to_0=int(((before == 1) & (labels == 0)).sum()),
        flipped_to_1=int(((before == 0) & (labels == 1)).sum()),
        made_unknown=int((~np.isnan(before) & np.isnan(labels)).sum()),
        boxes_dropped=dropped,
    )


def _rows(manifest: pd.DataFrame, ids: "pd.Series[Any]") -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """Row of each id; an apostrophe that was put before a spreadsheet's formula is taken off again."""
    place = pd.Series(np.arange(len(manifest)), index=manifest["image_id"])
    plain = [text[1:] if text not in place.index and text.startswith("'") else text for text in ids]
    rows = place.reindex(plain)
    if rows.isna().any():
        unknown = [text for text, missing in zip(ids, rows.isna(), strict=True) if missing]
        raise ManifestError(
            f"{len(unknown):,} films of the review are not in the manifest (first: {first_few(unknown)}); nothing was "
            "changed."
        )
    return rows.to_numpy(dtype=np.int64)


def _boxes(
    manifest: pd.DataFrame, finding: str, before: "np.ndarray[Any, Any]", after: "np.ndarray[Any, Any]"
) -> "tuple[pd.Series[Any], int]":
    """Boxes that fit the new labels: none of a finding that is not there; not "none" of one that is."""
    cells, dropped = manifest["boxes"].tolist(), 0
    for row in np.flatnonzero((before == 1) & (after != 1)):
        boxes = cells[row]
        if isinstance(boxes, list) and any(box["finding"] == finding for box in boxes):
            cells[row], dropped = [box for box in boxes if box["finding"] != finding], dropped + 1
    for row in np.flatnonzero((before == 0) & (after == 1)):
        cells[row] = cells[row] or None  # where it is, nobody has drawn
    return pd.Series(cells, index=manifest.index, dtype=object), dropped
