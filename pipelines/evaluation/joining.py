"""Joining predictions to a manifest: which film is which, what its label is, and what was left out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pipelines.errors import EvaluationError, ManifestError, PredictionsError
from pipelines.evaluation.flow import ANALYSED, NOT_PREDICTED, flow_by
from pipelines.evaluation.records import FlowGroup, LeftOut
from pipelines.evaluation.tables import check_ids, first_few, numbers
from pipelines.findings import FINDINGS
from pipelines.manifest.schema import SPLITS
from pipelines.statistics.arrays import Bools, Floats

MEANINGS: Final = {
    "not_in_manifest": "in the predictions, but not in the manifest",
    "other_split": "in the manifest, but not in the split that was asked for",
    "not_predicted": "in the manifest, but without a row in the predictions",
    "label_unknown": "the reference label of this finding is not known",
    "score_missing": "the film has no usable score for this finding (empty or not a finite number)",
}


@dataclass(frozen=True)
class Joined:
    """Films with status ok that belong to the manifest rows asked for, in the order of the predictions."""

    films: pd.DataFrame
    """Columns of the manifest, and those of the predictions with the prefix ``pred_``; index 0 … n-1."""
    unread: pd.DataFrame
    """Likewise the films asked for that were rejected or failed: no score, but a row and perhaps a label."""
    in_predictions: int
    in_manifest: int
    matched_by: str
    left_out: tuple[LeftOut, ...]
    unmatched: tuple[str, ...] = ()
    """Ids of the predictions that are not in the manifest."""
    by_site: tuple[FlowGroup, ...] = ()
    by_split: tuple[FlowGroup, ...] = ()


@dataclass(frozen=True)
class Scored:
    """The films that count for one finding, in the order of the predictions."""

    films: pd.DataFrame
    labels: Bools
    scores: Floats
    left_out: tuple[LeftOut, ...]
    reference: str
    """Where the label comes from."""
    unread: pd.DataFrame
    """Films with a known label that the system gave no score: rejected, failed, or scored with nothing usable."""
    unread_labels: Bools


def left_out(counts: dict[str, int]) -> tuple[LeftOut, ...]:
    """Records of the codes that occur, with their meaning."""
    return tuple(LeftOut(code=code, n=n, meaning=meaning(code)) for code, n in counts.items() if n)


def meaning(code: str) -> str:
    """A left-out code in words."""
    if code in MEANINGS:
        return MEANINGS[code]
    status, _, reason = code.partition(":")
    words = reason.replace("_", " ") or "no reason given"
    return f"not usable as a film ({words})" if status == "rejected" else f"could not be read or processed ({words})"


def join_films(predictions: pd.DataFrame, manifest: pd.DataFrame, *, split: str | None = None) -> Joined:
    """Match every prediction with its film.

    Args:
        predictions: ``image_id``, ``status`` and more, one row per film.
        manifest: rows as in `pipelines.manifest.schema`; only ``image_id`` is needed, the rest is used where present.
        split: train, val or test; None takes all rows of the manifest.

    Raises:
        PredictionsError: duplicated ids, an ambiguous match, or no match at all.
        ManifestError: duplicated ids, an unknown split, or a split without films.
    """
    if "image_id" not in manifest.columns:
        raise ManifestError("manifest: column 'image_id' is missing.")
    if manifest["image_id"].duplicated().any():
        again = manifest["image_id"][manifest["image_id"].duplicated()].unique()
        raise ManifestError(
            f"manifest: column 'image_id' has {len(again)} duplicated ids (first: {first_few(list(again))})."
        )
    check_ids(predictions["image_id"], "image_id", "predictions")
    wanted = _wanted(manifest, split)
    place, matched_by = match_ids(predictions["image_id"], manifest)
    found = place >= 0
    asked = np.zeros(len(place), dtype=bool)
    asked[found] = wanted[place[found]]
    ok = (predictions["status"] == "ok").to_numpy()
    outcomes = _outcomes(predictions, found, asked, ok)
    missing = np.setdiff1d(np.flatnonzero(wanted), place[asked])
    counts = left_out(_in_order(Counter(outcomes), len(missing)))

    def by(name: str) -> tuple[FlowGroup, ...]:
        values = column(manifest, name).astype(object).to_numpy()
        groups = np.r_[np.where(found, values[place], None), values[missing]]
        return flow_by(groups.tolist(), [*outcomes, *[NOT_PREDICTED] * len(missing)], counts)

    unmatched = tuple(predictions["image_id"].astype(str)[~found])

    def side_by_side(rows: Bools) -> pd.DataFrame:
        left = manifest.iloc[place[rows]].reset_index(drop=True)
        right = predictions[rows].reset_index(drop=True).add_prefix("pred_")
        return pd.concat([left, right], axis=1)

    return Joined(
        films=side_by_side(asked & ok),
        unread=side_by_side(asked & ~ok),
        in_predictions=len(predictions),
        in_manifest=int(wanted.sum()),
        matched_by=matched_by,
        left_out=counts,
        unmatched=unmatched,
        by_site=by("site"),
        by_split=by("split"),
    )


def _outcomes(predictions: pd.DataFrame, found: Bools, asked: Bools, ok: Bools) -> list[str]:
    """What became of every row: `ANALYSED` or the code under which it is left out."""
    reasons = predictions["reason"].fillna("") if "reason" in predictions else pd.Series("", index=predictions.index)
    failed = predictions["status"].astype(str) + ":" + reasons.astype(str)
    codes = failed.to_numpy(dtype=object)
    codes[ok] = ANALYSED
    codes[found & ~asked] = "other_split"
    codes[~found] = "not_in_manifest"
    return [str(code) for code in codes]


def _in_order(counts: Counter[str], missing: int) -> dict[str, int]:
    first = ("not_in_manifest", "other_split")
    failed = {code: counts[code] for code in sorted(set(counts) - {*first, ANALYSED})}
    return {code: counts[code] for code in first} | failed | {NOT_PREDICTED: missing}


def _wanted(manifest: pd.DataFrame, split: str | None) -> Bools:
    if split is None:
        return np.ones(len(manifest), dtype=bool)
    if split not in SPLITS:
        raise ManifestError(f"split {split!r} is not one of {', '.join(SPLITS)}.")
    wanted = (column(manifest, "split") == split).to_numpy(dtype=bool, na_value=False)
    if not wanted.any():
        there = sorted(column(manifest, "split").dropna().unique()) or ["none assigned"]
        raise ManifestError(f"manifest: no film in split {split!r}; splits there: {', '.join(there)}.")
    return np.asarray(wanted, dtype=bool)


def column(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    """A column, or nulls where a hand-written manifest has no such column."""
    if name in frame.columns:
        return frame[name]
    return pd.Series([None] * len(frame), index=frame.index, dtype=object, name=name)


def match_ids(ids: "pd.Series[Any]", manifest: pd.DataFrame) -> "tuple[np.ndarray[Any, np.dtype[np.int64]], str]":
    """Find each id in the manifest.

    The id is compared with ``image_id``, with its part after ``<dataset>/``, with the file name of ``path``, and with
    that name without its suffix; the comparison that matches most ids is used for the whole table, the earlier one
    among equals.

    Returns:
        Row of the manifest for each id (-1 = none), and the comparison in words.

    Raises:
        PredictionsError: nothing matches, or a matched id belongs to several rows of the manifest.
    """
    wanted = ids.astype(str)
    known = manifest["image_id"].astype(str)
    best, best_key, best_text = 0, known, "image_id"
    for text, key in _keys(known, column(manifest, "path")):
        hits = int(wanted.isin(key[key != ""]).sum())
        if hits > best:
            best, best_key, best_text = hits, key, text
        if best == len(wanted):
            break
    if best == 0:
        raise PredictionsError(
            f"None of the {len(wanted)} ids of the predictions is in the manifest of {len(known)} films: predictions "
            f"have {first_few(list(wanted))}, the manifest has {first_few(list(known))}."
        )
    repeated = best_key[best_key.duplicated(keep=False)]
    unclear = wanted[wanted.isin(repeated[repeated != ""])]
    if len(unclear):
        raise PredictionsError(
            f"{len(unclear)} ids of the predictions match several films of the manifest by {best_text} "
            f"(first: {first_few(list(unclear))}); use full image_id values."
        )
    usable = best_key != ""
    rows = pd.Series(np.flatnonzero(usable), index=best_key[usable])
    rows = rows[~rows.index.duplicated()]
    place = rows.reindex(wanted).fillna(-1).to_numpy(dtype=np.int64)
    return place, best_text


def _keys(known: "pd.Series[str]", path: "pd.Series[Any]") -> Iterator[tuple[str, "pd.Series[str]"]]:
    """What an id may be compared with, one at a time: most tables match at once."""
    yield "image_id", known
    yield "the part of image_id after <dataset>/", known.str.partition("/")[2]
    names = path.fillna("").astype(str).str.rpartition("/")[2]
    yield "the file name of path", names
    yield "the file name of path without its suffix", names.str.replace(r"(?<=.)\.[^.]*$", "", regex=True)


def reference_labels(manifest: pd.DataFrame, finding: str) -> tuple[Floats, str]:
    """Labels of one finding.

    Args:
        manifest: the rows to label.
        finding: tb or nodule (the manifest's column), else a native label, letter for letter.

    Returns:
        ``[rows]``: 1, 0, or NaN where the label is not known; and where it comes from, in words.

    Raises:
        EvaluationError: no film carries such a native label.
        ManifestError: a label that is not 1, 0 or null.
    """
    labels = labels_of(manifest, finding)
    if finding in FINDINGS:
        return labels, f"manifest column {finding}"
    if not np.nansum(labels):
        native = column(manifest, "native_labels")
        seen = sorted({str(label) for value in native if _is_list(value) for label in value})
        raise EvaluationError(
            f"Finding {finding!r} is neither a label column ({', '.join(FINDINGS)}) nor a native label of these films; "
            f"native labels there: {', '.join(seen[:30]) or 'none'}."
        )
    return labels, f"native label {finding!r} of the data set"


def labels_of(manifest: pd.DataFrame, finding: str) -> Floats:
    """``[rows]`` labels of one finding: 1, 0, or NaN where the label is not known.

    Raises:
        ManifestError: a label that is not 1, 0 or null.
    """
    if finding in FINDINGS:
        values = numbers(column(manifest, finding), finding, "manifest")
        if not np.isin(values[~np.isnan(values)], (0, 1)).all():
            raise ManifestError(f"manifest: column {finding!r} has values other than 1, 0 and null.")
        return values
    native = column(manifest, "native_labels")
    return np.array([np.nan if not _is_list(v) else float(finding in list(v)) for v in native], dtype=np.float64)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple, np.ndarray))


def scored_films(joined: Joined, finding: str) -> Scored:
    """The films that count for one finding.

    Raises:
        PredictionsError: no score column of that finding.
        EvaluationError, ManifestError: as for `reference_labels`.
    """
    name = f"pred_p_{finding}"
    if name not in joined.films.columns:
        there = [c.removeprefix("pred_p_") for c in joined.films.columns if c.startswith("pred_p_")]
        raise PredictionsError(f"predictions: no score of finding {finding!r}; scores there: {', '.join(there)}.")
    labels, reference = reference_labels(joined.films, finding)
    scores = numbers(joined.films[name], f"p_{finding}", "predictions")
    known, usable = ~np.isnan(labels), np.isfinite(scores)
    keep = known & usable
    unread, unread_labels = _unread(joined, finding, known & ~usable, labels)
    return Scored(
        films=joined.films[keep].reset_index(drop=True),
        labels=labels[keep] == 1,
        scores=scores[keep],
        left_out=left_out({"label_unknown": int((~known).sum()), "score_missing": int((known & ~usable).sum())}),
        reference=reference,
        unread=unread,
        unread_labels=unread_labels,
    )


def _unread(joined: Joined, finding: str, unusable: Bools, labels: Floats) -> tuple[pd.DataFrame, Bools]:
    """Films with a known label and no score, and their labels."""
    failed = labels_of(joined.unread, finding)
    known = ~np.isnan(failed)
    frames = [part for part in (joined.films[unusable], joined.unread[known]) if len(part)]
    films = pd.concat(frames, ignore_index=True) if frames else joined.unread.iloc[:0]
    return films, np.r_[labels[unusable], failed[known]] == 1
