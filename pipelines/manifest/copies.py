"""Changed copies of films in a manifest, and what is said of them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.errors import ManifestError
from pipelines.imaging.film_print import decode_cells
from pipelines.manifest.identity import Pairs, contradicted, patient_codes
from pipelines.manifest.overlap.compare import compare
from pipelines.manifest.overlap.pairs import CERTAIN_FINE, COLUMNS, SAME, Locate, described, find_pairs
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


PRINTS: Final = ("sha256", "pixel_hash", "fingerprint", "split")
"""What a model package keeps of the films that it learned from: no ids, no paths."""


def write_prints(frames: Sequence[pd.DataFrame], path: Path) -> None:
    """Write what training and validation films can be known by.

    Args:
        frames: rows of manifests.
        path: Parquet.
    """
    rows = pd.concat([frame[list(PRINTS)] for frame in frames], ignore_index=True)
    with replacing(path) as temporary:
        rows.to_parquet(temporary, index=False)


def read_prints(path: Path) -> pd.DataFrame:
    """What `write_prints` wrote.

    Raises:
        ManifestError: there is no such file, or it is another table.
    """
    try:
        rows = pd.read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise ManifestError(f"{path}: not a readable table of training films ({type(error).__name__})") from error
    missing = [name for name in PRINTS if name not in rows.columns]
    if missing:
        raise ManifestError(f"{path}: column {missing[0]} is missing, expected {', '.join(PRINTS)}")
    return rows.astype(object).where(rows.notna(), None)


def met_before(
    frame: pd.DataFrame, asked: NDArray[np.bool_], prints: pd.DataFrame | None = None, locate: Locate | None = None
) -> pd.DataFrame:
    """Films asked about that a model has met: the same picture, or the same patient.

    Args:
        frame: canonical; its rows of split train and val that are not asked about are what the model learned from.
        asked: which rows.
        prints: further films that it learned from, from `read_prints`.
        locate: where the films of ``frame`` are.

    Returns:
        Pairs as `overlap.pairs.find_pairs` lists them, also of kind ``same patient``; the film asked about is b.
    """
    learned = frame["split"].isin(("train", "val")).to_numpy() & ~asked
    parts = [frame[learned], frame[asked]]
    places = [*np.flatnonzero(learned), *np.flatnonzero(asked)]
    if prints is not None:
        names = [f"training film {number}" for number in range(1, len(prints) + 1)]
        more = prints.reindex(columns=frame.columns).assign(image_id=names, dataset="the model's own")
        parts = [more.astype(frame.dtypes.to_dict()), *parts]
        places = [-1] * len(prints) + places
    both = pd.concat(parts, ignore_index=True)
    apart = ["learned"] * (len(both) - int(asked.sum())) + ["asked"] * int(asked.sum())

    def file_of(row: int) -> Path | None:
        return None if locate is None or places[row] < 0 else locate(int(places[row]))

    pairs = changed_copies(both, apart, file_of)
    return pd.concat([pairs, _same_patients(both, np.array(apart) == "asked")], ignore_index=True)


def _same_patients(frame: pd.DataFrame, asked: NDArray[np.bool_]) -> pd.DataFrame:
    """Each film asked about whose patient the others know, with the first film of that patient."""
    codes = patient_codes(frame)
    first = {int(codes[row]): int(row) for row in np.flatnonzero(~asked & (codes >= 0))[::-1]}
    rows = [(first[int(codes[row])], int(row)) for row in np.flatnonzero(asked) if int(codes[row]) in first]
    return described(
        frame,
        pd.DataFrame(rows, columns=["row_a", "row_b"], dtype=np.int64).assign(
            kind="same patient", correlation=np.nan, verdict="same patient"
        ),
    )
