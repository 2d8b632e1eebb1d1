"""Which rows must stay together: the same patient, or the same picture.

Same patient: equal ``patient_id`` within one data set.

Same picture: equal ``sha256``; or equal ``pixel_hash`` where nothing known contradicts it (two patients by the data
set's own ids, two sexes, ages more than a year apart). The proviso is there because frontal films look alike:
among 738 NIH and 994 Qatar films no two different films had equal hashes, but the distances of their 272,000 pairs,
extrapolated to the 6.3 billion pairs of all 112,120 NIH films, foretell some hundreds. A manifest must not be refused
for that.

Near picture: a ``pixel_hash`` that differs in at most 4 of 64 bits, not contradicted, and no patient id on at least one
side. In the same films all 5 pairs within 4 bits showed one picture or one patient twice, among 13 pairs at 6 bits one
did. Splitting keeps near pictures together, which costs nothing; where a manifest already separates them,
`check_manifest` warns.

Changed copy: fingerprints that fit on each other (`pipelines.manifest.overlap`), which also finds what was mirrored,
turned, inverted, cropped or framed. Where the films are on disk their pixels decide. Where they are not, a fine
correlation of at least 0.97 stands for certain: of the 1.5 million pairs of the same films the seven above it show one
picture twice, and the next, at 0.947, two films of one patient. Splitting also keeps together, where a patient is not
known, fits from 0.9 on: many of these pairs are films of one patient, taken one after the other.
"""

import warnings
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipelines.errors import ManifestError
from pipelines.manifest.columns import row_names, to_columns
from pipelines.manifest.copies import changed_copies, copies_sentence, fitting, patient_groups, write_pairs
from pipelines.manifest.identity import Pairs, codes, contradicted, patient_codes
from pipelines.manifest.overlap.pairs import SAME, Locate
from pipelines.manifest.problems import Problem, found, refuse

NEAR_BITS: Final = 4
_BLOCK: Final = 1 << 18  # comparisons at a time: what a cache holds
_ALL_PAIRS: Final = 500  # a hash on more rows than this is no picture but a defect: link its rows in a chain


def _repeated(codes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Row positions of each code, except -1, that more than one row has."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order]) != 0) + 1
    groups: list[NDArray[np.int64]] = np.split(order, starts)
    return [group for group in groups if len(group) > 1 and codes[group[0]] >= 0]


def _chain(codes: NDArray[np.int64]) -> Pairs:
    links = [np.column_stack([group[:-1], group[1:]]) for group in _repeated(codes)]
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *links])


def _equal_hashes(frame: pd.DataFrame) -> Pairs:
    equal = codes(frame["pixel_hash"])
    links = [np.empty((0, 2), dtype=np.int64)]
    for group in _repeated(equal):
        if len(group) > _ALL_PAIRS:
            links.append(np.column_stack([group[:-1], group[1:]]))
        else:
            first, second = np.triu_indices(len(group), 1)
            links.append(np.column_stack([group[first], group[second]]))
    return np.concatenate(links)


def _near_hashes(frame: pd.DataFrame, these: NDArray[np.bool_] | None = None) -> Pairs:
    """Pairs of different hashes within `NEAR_BITS` of which at least one has no patient id.

    Args:
        frame: canonical.
        these: rows of which one must be in every pair, first; None for all pairs.
    """
    texts = frame["pixel_hash"]
    hashed = np.flatnonzero([isinstance(text, str) and len(text) == 16 for text in texts])
    try:
        hashes = np.array([int(texts.iloc[row], 16) for row in hashed], dtype=np.uint64)
    except ValueError:  # not hexadecimal: said elsewhere as bad_pixel_hash
        return np.empty((0, 2), dtype=np.int64)
    unknown = patient_codes(frame)[hashed] < 0
    every = np.ones(len(hashed), dtype=bool)
    if these is None:
        return hashed[_near(hashes, unknown, every)]
    ours = these[hashed]
    both = [_near(hashes, ours & unknown, every), _near(hashes, ours & ~unknown, unknown)]
    return np.asarray(hashed[np.concatenate(both)], dtype=np.int64)


def _near(hashes: NDArray[np.uint64], left: NDArray[np.bool_], right: NDArray[np.bool_]) -> Pairs:
    """Positions of near but different hashes, the first among ``left``, the second among ``right``."""
    one, other = np.flatnonzero(left), np.flatnonzero(right)
    step = max(1, _BLOCK // max(1, len(other)))
    links = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(one), step):
        block = one[start : start + step]
        bits = np.bitwise_count(hashes[block, None] ^ hashes[None, other])
        first, second = np.nonzero((bits > 0) & (bits <= NEAR_BITS))
        links.append(np.column_stack([block[first], other[second]]))
    return np.concatenate(links)


def _components(n: int, *pairs: Pairs) -> NDArray[np.int64]:
    links = np.concatenate(pairs)
    graph = coo_array((np.ones(len(links), dtype=bool), (links[:, 0], links[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _same_picture(frame: pd.DataFrame) -> Pairs:
    equal = _equal_hashes(frame)
    return np.concatenate([_chain(codes(frame["sha256"])), equal[~contradicted(frame, equal)]])


def linked_groups(frame: pd.DataFrame, locate: Locate | None = None) -> NDArray[np.int64]:
    """A number per group of rows that a split keeps together, [rows].

    Groups are chains of patients, pictures, near pictures and changed copies.

    Args:
        frame: canonical.
        locate: where the films are, so that pixels can tell copies from films that look alike; None: nowhere.
    """
    near = np.concatenate([_near_hashes(frame), fitting(frame)])
    near = near[~contradicted(frame, near)]
    links = [_chain(patient_codes(frame)), _same_picture(frame), near]
    if locate is not None:
        links.append(changed_copies(frame, patient_groups(frame), locate)[["row_a", "row_b"]].to_numpy(dtype=np.int64))
    return _components(len(frame), *links)


def _across(frame: pd.DataFrame, groups: Iterable[Hashable], known: NDArray[np.bool_]) -> list[str]:
    """For every group with rows in two splits: its first row in each of the first two, as text."""
    placed = known & frame["split"].notna().to_numpy()
    table = pd.DataFrame({"group": groups, "split": frame["split"], "row": row_names(frame)})[placed]
    first = table.drop_duplicates(["group", "split"])
    first = first[first.duplicated("group", keep=False)]
    return [
        " and ".join(f"{row.row} in {row.split}" for row in members.head(2).itertuples())
        for _, members in first.groupby("group", sort=False)
    ]


def leaks(frame: pd.DataFrame) -> list[Problem]:
    """Patients and pictures that are in more than one split.

    Args:
        frame: canonical.

    Returns:
        Problems ``patient_in_two_splits`` and ``picture_in_two_splits``: counted in patients and in pictures, shown by
        image ids.
    """
    patients = patient_codes(frame)
    pictures = _components(len(frame), _same_picture(frame))
    every = np.ones(len(frame), dtype=bool)
    return found(
        "patient_in_two_splits",
        "patients have images in more than one split",
        _across(frame, patients, patients >= 0),
    ) + found(
        "picture_in_two_splits",
        "pictures are in more than one split (equal sha256 or pixel_hash)",
        _across(frame, pictures, every),
    )


def look_alikes(frame: pd.DataFrame) -> list[Problem]:
    """Pairs of films in different splits that may show one picture or patient, too unsure to refuse a manifest for.

    Args:
        frame: canonical.

    Returns:
        Problem ``look_alike_in_two_splits``, a warning, counted in pairs: near hashes, and equal hashes of which
        something known says that they are of two people.
    """
    near, equal = _near_hashes(frame), _equal_hashes(frame)
    pairs = np.concatenate([near[~contradicted(frame, near)], equal[contradicted(frame, equal)]])
    split = codes(frame["split"])
    apart = (split[pairs[:, 0]] >= 0) & (split[pairs[:, 1]] >= 0) & (split[pairs[:, 0]] != split[pairs[:, 1]])
    names = row_names(frame)
    shown = dict.fromkeys(" and ".join(names[row] for row in sorted(pair)) for pair in pairs[apart].tolist())
    message = f"pairs of films in different splits look alike (pixel hashes within {NEAR_BITS} bits): look at them"
    return found("look_alike_in_two_splits", message, shown, "warning")


@dataclass(frozen=True)
class Met:
    """Rows that have a counterpart in another split; each ``[rows]``, true only for rows that were asked about."""

    patient: NDArray[np.bool_]
    """The same patient."""
    file: NDArray[np.bool_]
    """Equal ``sha256``."""
    picture: NDArray[np.bool_]
    """Equal ``pixel_hash``, not contradicted."""
    look_alike: NDArray[np.bool_]
    """As `look_alikes` counts pairs."""


def met_in_splits(frame: pd.DataFrame, rows: NDArray[np.bool_], splits: Collection[str]) -> Met:
    """Which rows have a counterpart in given splits other than their own, by the guard's own measures.

    Args:
        frame: canonical.
        rows: ``[rows]`` those to look up.
        splits: where to look.
    """
    numbers, names = pd.factorize(frame["split"])
    split = np.asarray(numbers, dtype=np.int64)
    there = np.isin(split, [place for place, name in enumerate(names) if name in splits])

    def among(pairs: Pairs) -> NDArray[np.bool_]:
        found = np.zeros(len(frame), dtype=bool)
        for a, b in (pairs.T, pairs.T[::-1]):
            found[a[there[b] & (split[a] != split[b])]] = True
        return found & rows

    def equal(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        seen = np.zeros((int(keys.max(initial=-1)) + 1, len(names) + 1), dtype=bool)  # the last column: no split
        known = keys >= 0
        seen[keys[known & there], split[known & there]] = True
        elsewhere = seen[keys].sum(axis=1) > seen[keys, split] if len(seen) else np.zeros(len(frame), dtype=bool)
        return np.asarray(rows & known & elsewhere)

    same, near = _equal_hashes(frame), _near_hashes(frame, rows)
    doubted = contradicted(frame, same)
    return Met(
        patient=equal(patient_codes(frame)),
        file=equal(codes(frame["sha256"])),
        picture=among(same[~doubted]),
        look_alike=among(np.concatenate([near[~contradicted(frame, near)], same[doubted]])),
    )


class HashWarning(UserWarning):
    """Films that cannot be compared with others, because the manifest has no hashes of them."""


def warn_without_hashes(frame: pd.DataFrame) -> None:
    """Say, in one sentence, how many films no comparison of pictures can see.

    Args:
        frame: canonical.
    """
    blind = int((frame["sha256"].isna() & frame["pixel_hash"].isna()).sum())
    if blind:
        warnings.warn(
            f"{blind:,} of {len(frame):,} films have no hashes, so a picture that is there twice cannot be kept out of "
            "two splits (patients can); build the manifest with --hashes",
            HashWarning,
            stacklevel=3,
        )


def guard_splits(frame: pd.DataFrame, *, locate: Locate | None = None, listing: Path | None = None) -> None:
    """Refuse a manifest whose splits share a patient or a picture, or a changed copy of one.

    Films without hashes cannot be compared: a `HashWarning` counts them.

    Args:
        frame: keeps the schema; rows without a split are in none.
        locate: the file of a row, so that pixels can tell copies from films that look alike; None: nowhere.
        listing: CSV to write the pairs to where there are any.

    Raises:
        ManifestError: names how many patients and pictures are shared, with image ids.
    """
    canonical, _ = to_columns(frame)
    if canonical["split"].nunique() > 1:
        warn_without_hashes(canonical[canonical["split"].notna()])
    problems = leaks(canonical)
    copies = _copies_apart(canonical, locate)
    if len(copies) and listing is not None:
        write_pairs(copies, listing)
    if len(copies) and not problems:
        raise ManifestError(copies_sentence(copies, "in more than one split", listing))
    refuse(problems + _copy_problem(copies, listing), "manifest")


def _copies_apart(frame: pd.DataFrame, locate: Locate | None) -> pd.DataFrame:
    """Changed copies in two splits; none where there is nothing to compare by."""
    if frame["fingerprint"].notna().any():
        return changed_copies(frame, frame["split"].tolist(), locate)
    return pd.DataFrame()


def _copy_problem(copies: pd.DataFrame, listing: Path | None = None) -> list[Problem]:
    listed = f"; all are listed in {listing}" if listing is not None else ""
    changed = copies if copies.empty else copies[copies["verdict"] != SAME[0]]  # equal files are said as pictures
    shown = [f"{pair.image_a} and {pair.image_b}" for pair in changed.itertuples()]
    return found(
        "changed_copy_in_two_splits",
        f"pairs of films in different splits are changed copies of a picture{listed}",
        shown,
    )


def copies_in_two_splits(frame: pd.DataFrame, locate: Locate | None = None) -> list[Problem]:
    """Pairs of films in different splits that are changed copies of one picture, by fingerprint.

    Args:
        frame: canonical.
        locate: where the films are, so that pixels decide; None: nowhere.

    Returns:
        Problem ``changed_copy_in_two_splits``, counted in pairs; equal files and hashes are in `leaks` already.
    """
    return _copy_problem(_copies_apart(frame, locate))
