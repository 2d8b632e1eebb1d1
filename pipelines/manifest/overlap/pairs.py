"""Pairs of films that show one picture, with what can be told of how one was made from the other."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.imaging.film_print import decode_cells
from pipelines.imaging.fingerprint import hamming
from pipelines.manifest.overlap.compare import Fits, compare
from pipelines.manifest.overlap.confirm import pixel_correlation
from pipelines.manifest.overlap.turns import BETWEEN

CERTAIN_FINE: Final = 0.97
"""Fine correlation of fingerprints from which no look at the pixels is needed: re-encoded and turned copies reach it,
cropped ones seldom do (`benchmarks/overlap.py`, and docs/same-picture.md for what it printed)."""
CONFIRMED: Final = 0.9
"""Correlation of the pixels from which two films show one picture. Of 1,760 changed copies of real films 1,759 exceed
it; of 1.5 million pairs of different films none that was looked at does. Chosen on one half of the films alone it would
be 0.865, with the same verdicts on the other half."""
LOOK_ALIKE: Final = 0.93
"""Correlation of fingerprints from which a pair is worth a person's look where the pixels are not at hand."""
SAME: Final = ("same file", "same picture (confirmed)", "same picture (fingerprints)")
"""Verdicts that are certain enough to stop a run."""
ONLY_ALIKE: Final = "look-alike (fingerprints only)"
COLUMNS: Final = (
    "image_a", "dataset_a", "split_a", "image_b", "dataset_b", "split_b",
    "kind", "distance", "correlation", "same_patient", "verdict",
)  # fmt: skip

_CROPPED: Final = 0.02  # share of a side by which the aligned films may differ and still be called uncropped
_TURNED: Final = ("", "transposed", "upside down", "turned by 90 degrees", "mirrored", "turned by 90 degrees",
                  "turned by 180 degrees", "transposed the other way")  # fmt: skip

Locate = Callable[[int], Path | None]
"""The file of a row, or None where it is not at hand."""
Progress = Callable[[int, int], None]


def film_files(frame: pd.DataFrame, root: Path) -> Locate:
    """Where the films of a manifest are below one root, of those that are there."""
    paths = [root / path if isinstance(path, str) else None for path in frame["path"]]

    def locate(row: int) -> Path | None:
        path = paths[row]
        return path if path is not None and path.is_file() else None

    return locate


def find_pairs(
    frame: pd.DataFrame,
    *,
    apart: "Sequence[object] | None" = None,
    locate: Locate | None = None,
    looks: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Find the pairs of rows that show one picture.

    Args:
        frame: canonical, index 0..n-1; rows without a fingerprint are compared by ``sha256`` alone.
        apart: a group for each row; only rows of two groups are compared, rows of a null group with none. None: all.
        locate: where the films are; None: nowhere.
        looks: pairs of which the films are read, at most: the likeliest; None: all that look alike.
        progress: called with (pairs looked at, pairs in all) while films are read.

    Returns:
        `COLUMNS`, and ``row_a`` and ``row_b``; the surest first.
    """
    group = np.full(len(frame), -1, dtype=np.int64) if apart is None else np.asarray(pd.factorize(np.array(apart))[0])
    use = np.arange(len(frame)) if apart is None else np.flatnonzero(group >= 0)
    rows = [_file_pairs(frame, use, group)]
    known = use[[isinstance(text, str) for text in frame["fingerprint"].iloc[use]]]
    if len(known) > 1 and (apart is None or len(np.unique(group[known])) > 1):
        cells = decode_cells(frame["fingerprint"].iloc[known].tolist())
        fits = compare(cells, None if apart is None else group[known])
        rows.append(_judged(fits, known, locate, looks, progress))
    table = pd.concat(rows, ignore_index=True).drop_duplicates(["row_a", "row_b"])
    return described(frame, table.reset_index(drop=True))


def _file_pairs(frame: pd.DataFrame, use: NDArray[np.int64], group: NDArray[np.int64]) -> pd.DataFrame:
    """Each further row of a file with the file's first row of another group."""
    pairs = []
    digests = frame["sha256"].iloc[use]
    for _, members in pd.Series(use).groupby(digests.to_numpy()):
        first = int(members.iloc[0])
        for row in members.iloc[1:]:
            if group[row] < 0 or group[row] != group[first]:
                pairs.append((first, int(row)))
    table = pd.DataFrame(pairs, columns=["row_a", "row_b"], dtype=np.int64)
    return table.assign(kind="same file", correlation=1.0, verdict=SAME[0])


def _judged(
    fits: Fits, known: NDArray[np.int64], locate: Locate | None, looks: int | None, progress: Progress | None
) -> pd.DataFrame:
    found: list[tuple[int, int, str, float, str]] = []
    for number in range(len(fits)):
        if progress is not None:
            progress(number + 1, len(fits))
        a, b = int(known[fits.first[number]]), int(known[fits.second[number]])
        at_hand = locate if looks is None or number < looks else None
        verdict, correlation, place = _verdict(fits, number, a, b, at_hand)
        if verdict is not None:
            kind = _kind(fits, number, correlation, place) if verdict in SAME else "look-alike"
            found.append((a, b, kind, abs(correlation), verdict))
    table = pd.DataFrame(found, columns=["row_a", "row_b", "kind", "correlation", "verdict"])
    swapped = table["row_a"] > table["row_b"]
    table.loc[swapped, ["row_a", "row_b"]] = table.loc[swapped, ["row_b", "row_a"]].to_numpy()
    return table.astype({"row_a": np.int64, "row_b": np.int64})


def _verdict(
    fits: Fits, number: int, a: int, b: int, locate: Locate | None
) -> tuple[str | None, float, NDArray[np.float64]]:
    """What a pair is (None: two pictures), by which correlation, and where the films fit."""
    files = (locate(a), locate(b)) if locate is not None else (None, None)
    correlation, place = float(fits.correlation[number]), fits.place[number]
    if files[0] is not None and files[1] is not None:
        turns = int(fits.first_turn[number]), int(fits.second_turn[number])
        read = pixel_correlation(files[0], files[1], turns, place)
        if read is not None:
            return (SAME[1] if abs(read[0]) >= CONFIRMED else None), *read
    if abs(fits.fine[number]) >= CERTAIN_FINE:
        return SAME[2], correlation, place
    return (ONLY_ALIKE if abs(correlation) >= LOOK_ALIKE else None), correlation, place


def _kind(fits: Fits, number: int, correlation: float, place: NDArray[np.float64]) -> str:
    """How the second film differs from the first, as far as the alignment says."""
    changes = []
    turn = int(BETWEEN[fits.first_turn[number], fits.second_turn[number]])
    if turn:
        changes.append(_TURNED[turn])
    if correlation < 0:
        changes.append("inverted")
    side = 27.0
    edges = (place[0], place[0] + place[1] * side - side, place[2], place[2] + place[3] * side - side)
    if max(abs(edge) for edge in edges) > _CROPPED * side:
        changes.append("cropped")
    return f"changed copy: {', '.join(changes)}" if changes else "same picture"


def described(frame: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Pairs of rows with what the manifest says of them.

    Args:
        frame: canonical.
        table: ``row_a``, ``row_b``, ``kind``, ``correlation``, ``verdict``.
    """
    columns: dict[str, Any] = {"row_a": table["row_a"], "row_b": table["row_b"]}
    for end in ("a", "b"):
        rows = frame.iloc[table[f"row_{end}"]]
        for name, source in (("image", "image_id"), ("dataset", "dataset"), ("split", "split")):
            columns[f"{name}_{end}"] = rows[source].to_numpy()
    pairs = list(zip(table["row_a"], table["row_b"], strict=True))
    columns["kind"], columns["verdict"] = table["kind"], table["verdict"]
    columns["distance"] = [_distance(frame, a, b) for a, b in pairs]
    columns["correlation"] = table["correlation"].astype(float).round(4)
    columns["same_patient"] = [_same_patient(frame, a, b) for a, b in pairs]
    described = pd.DataFrame(columns)
    order = described["verdict"].map({name: place for place, name in enumerate((*SAME, ONLY_ALIKE))})
    described = described.assign(order=order).sort_values(
        ["order", "correlation", "row_a", "row_b"], ascending=[True, False, True, True]
    )
    return described[[*COLUMNS, "row_a", "row_b"]].reset_index(drop=True)


def _distance(frame: pd.DataFrame, a: int, b: int) -> float:
    one, other = frame["pixel_hash"].iloc[a], frame["pixel_hash"].iloc[b]
    return float(hamming(one, other)) if isinstance(one, str) and isinstance(other, str) else math.nan


def _same_patient(frame: pd.DataFrame, a: int, b: int) -> str:
    one, other = frame.iloc[a], frame.iloc[b]
    if one["dataset"] != other["dataset"] or pd.isna(one["patient_id"]) or pd.isna(other["patient_id"]):
        return "unknown"
    return "yes" if one["patient_id"] == other["patient_id"] else "no"
