"""Changed copies of films in a manifest, and what is said of them."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from pipelines.imaging.film_print import decode_cells
from pipelines.manifest.identity import Pairs, contradicted, patient_codes
from pipelines.manifest.overlap.compare import compare
from pipelines.manifest.overlap.pairs import CERTAIN_FINE, COLUMNS, SAME, Locate, find_pairs
from pipelines.system import replacing

NEAR_FINE: Final = 0.9
"""Fine correlation of fingerprints from which films of unknown patients are kept together."""
LOOKS: Final = 300
"""Pairs that the guard reads from disk before a run, at most; `cxr manifest overlap` reads all."""


def patient_groups(frame: pd.DataFrame) -> list[object]:
    """A group for every row: its patient where known, itself where not."""
    codes = patient_codes(frame)
    return [int(code) if code >= 0 else -1 - row for row, code in enumerate(codes)]


def fitting(frame: pd.DataFrame) -> Pairs:
    """Pairs whose fingerprints fit: surely, or well where a patient is not known."""
    rows = np.flatnonzero(frame["fingerprint"].notna())
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.int64)
    try:
        cells = decode_cells(frame["fingerprint"].iloc[rows].tolist())
    except ValueError:  # not of the format: said elsewhere as bad_fingerprint
        return np.empty((0, 2), dtype=np.int64)
    group = np.asarray(pd.factorize(np.array(patient_groups(frame)))[0])[rows]
    fits = compare(cells, group)
    pairs = rows[np.column_stack([fits.first, fits.second])]
    unknown = (patient_codes(frame)[pairs] < 0).any(axis=1)
    fine = np.abs(fits.fine)
    return np.asarray(pairs[(fine >= CERTAIN_FINE) | (unknown & (fine >= NEAR_FINE))], dtype=np.int64)


def changed_copies(frame: pd.DataFrame, apart: Collection[object], locate: Locate | None = None) -> pd.DataFrame:
    """Pairs of films in different groups that show one picture, as `overlap.pairs.find_pairs` lists them.

    Args:
        frame: canonical.
        apart: the group of each row; null: not compared.
        locate: where the films are; their pixels decide for the `LOOKS` likeliest pairs.

    Returns:
        Certain pairs alone. What the ids, sexes and ages contradict counts only where the pixels say it.
    """
    pairs = find_pairs(frame, apart=list(apart), locate=locate, looks=LOOKS)
    pairs = pairs[pairs["verdict"].isin(SAME)]
    doubted = contradicted(frame, pairs[["row_a", "row_b"]].to_numpy(dtype=np.int64))
    return pairs[~doubted | (pairs["verdict"] != SAME[2]).to_numpy()].reset_index(drop=True)


def copies_sentence(copies: pd.DataFrame, where: str, listing: Path | None) -> str:
    """What is wrong, with the first pairs, and what to do."""
    first = [
        f"{pair.image_a} in {pair.split_a} and {pair.image_b} in {pair.split_b} ({pair.kind})"
        for pair in copies.head(2).itertuples()
    ]
    listed = f"; all are listed in {listing}" if listing is not None else ""
    return (
        f"{len(copies):,} pairs of films {where} show the same picture: {'; '.join(first)}{listed}. "
        "Put the manifests together with `cxr manifest union` and split them with `cxr manifest split`, "
        "which keeps copies together"
    )


def write_pairs(pairs: pd.DataFrame, path: Path) -> None:
    """Write pairs as CSV: it appears whole or not at all.

    Raises:
        OSError: the disk is full or the folder is not ours.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        pairs[list(COLUMNS)].to_csv(temporary, index=False)
