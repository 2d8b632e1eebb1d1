"""Patient-disjoint, stratified, reproducible splits, and manifests put together."""

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.errors import ManifestError
from pipelines.findings import FINDINGS
from pipelines.manifest.columns import row_names
from pipelines.manifest.files import conform
from pipelines.manifest.leakage import leaks, linked_groups, warn_without_hashes
from pipelines.manifest.overlap.pairs import film_files
from pipelines.manifest.problems import refuse
from pipelines.manifest.schema import SPLITS
from pipelines.manifest.values import escapes


class SplitWarning(UserWarning):
    """A split that is valid but cannot be used for everything, and what it lacks."""


def split_manifest(
    frame: pd.DataFrame,
    *,
    fractions: Mapping[str, float],
    seed: int,
    keep: Collection[str] = (),
    root: Path | None = None,
) -> pd.DataFrame:
    """Assign every row to a split, never separating a patient or a picture.

    Rows are grouped by patient and by picture (see `pipelines.manifest.leakage`; chains count). Groups are shuffled
    within strata of (data sets, known TB labels, known nodule labels) and each goes to the split that is furthest below
    its share of images in that stratum, ties to the one furthest below overall. A split misses its share of a stratum
    by at most the size of a group or so, which matters only where strata are tiny.

    Args:
        frame: keeps the schema. Splits it already has are replaced, except those in ``keep``.
        fractions: split -> share of the images that are not kept, e.g. ``{"train": 0.8, "val": 0.2}``; they sum to 1.
        seed: another seed gives another assignment; row order makes no difference.
        keep: splits whose rows stay (an official test set). Other rows of a kept patient or picture join them.
        root: the data root, where the films of it that are there tell changed copies from films that look alike; None:
            fingerprints alone do.

    Returns:
        The canonical frame in the order given, with ``split`` filled in every row. A `SplitWarning` tells which splits
        got no image, or no positive or no negative of a finding that the manifest has both of: that is a fact about
        the data which the caller may accept, not an invalid split. A `HashWarning` counts films without hashes.

    Raises:
        ManifestError: fractions that are no shares, a kept split that also has a fraction or has no rows, or kept
            splits that already share a patient or picture.
    """
    canonical = conform(frame)
    _check_request(canonical, fractions, keep)
    groups = linked_groups(canonical, None if root is None else film_files(canonical, root))
    split = _kept(canonical, groups, keep)
    open_rows = np.flatnonzero(split == "")
    split[open_rows] = _assign(canonical.iloc[open_rows], groups[open_rows], fractions, seed)
    canonical["split"] = pd.Series(split, dtype=object)
    warn_without_hashes(canonical)
    _warn_of_gaps(canonical, [*fractions, *keep])
    return canonical


def _check_request(frame: pd.DataFrame, fractions: Mapping[str, float], keep: Collection[str]) -> None:
    choices = ", ".join(SPLITS)
    for name in [*fractions, *keep]:
        if name not in SPLITS:
            raise ManifestError(f"split {name!r} is not one of {choices}")
    wrong = {name: share for name, share in fractions.items() if not 0 <= share <= 1}
    if wrong or not math.isclose(math.fsum(fractions.values()), 1.0, abs_tol=1e-6):
        total = math.fsum(fractions.values())
        raise ManifestError(f"fractions must each be from 0 to 1 and sum to 1, found {dict(fractions)} (sum {total:g})")
    both = sorted(set(fractions) & set(keep))
    if both:
        raise ManifestError(
            f"split {both[0]!r} is kept as it is and cannot have a fraction too; fractions share out the other images"
        )
    for name in keep:
        if not (frame["split"] == name).any():
            raise ManifestError(f"split {name!r} is to be kept but no row of the manifest is in it")
    refuse(leaks(frame[frame["split"].isin(list(keep))].reset_index(drop=True)), "manifest")


def _kept(frame: pd.DataFrame, groups: NDArray[np.int64], keep: Collection[str]) -> NDArray[np.object_]:
    """Split of every row that is kept or linked to a kept one; '' for the others."""
    split = np.full(len(frame), "", dtype=object)
    stays = frame["split"].isin(list(keep)).to_numpy()
    split[stays] = frame.loc[stays, "split"]
    for name in [name for name in SPLITS if name in keep]:
        joined = np.isin(groups, groups[stays & (split == name)]) & ~stays
        if (split[joined] != "").any():
            row = row_names(frame)[int(np.flatnonzero(joined & (split != ""))[0])]
            raise ManifestError(f"image {row} shares a patient or picture with more than one kept split")
        split[joined] = name
    return split


def _pattern(frame: pd.DataFrame, groups: NDArray[np.int64]) -> "pd.Series[str]":
    """Stratum of each group: its data sets and which labels its rows have (positive outweighs negative)."""
    table = frame[["dataset", *FINDINGS]].assign(group=groups).groupby("group")
    datasets = table["dataset"].agg(lambda names: "+".join(sorted(set(names))))
    labels = table[list(FINDINGS)].max().fillna(-1).astype(int)  # -1 only where no row of the group knows
    for finding in FINDINGS:
        datasets = datasets + "|" + labels[finding].map(str)
    return datasets


def _assign(
    frame: pd.DataFrame, groups: NDArray[np.int64], fractions: Mapping[str, float], seed: int
) -> NDArray[np.object_]:
    if frame.empty:
        return np.array([], dtype=object)
    names = [name for name in SPLITS if fractions.get(name, 0) > 0]
    shares = np.array([fractions[name] for name in names])
    # A group is known by its smallest image id and strata are walked in sorted order: row order has no say.
    leader = frame["image_id"].groupby(groups).min()
    table = pd.DataFrame(
        {"leader": leader, "stratum": _pattern(frame, groups), "size": pd.Series(groups).value_counts()}
    )
    table = table.sort_values(["stratum", "leader"])
    rng = np.random.default_rng(seed)
    overall = shares * len(frame)
    place: dict[int, str] = {}
    for _, stratum in table.groupby("stratum", sort=True):
        wanted = shares * stratum["size"].sum()
        for group, size in stratum.iloc[rng.permutation(len(stratum))]["size"].items():
            best = max(range(len(names)), key=lambda i: (round(float(wanted[i]), 6), round(float(overall[i]), 6), -i))
            wanted[best] -= size
            overall[best] -= size
            place[int(str(group))] = names[best]
    return np.array([place[group] for group in groups.tolist()], dtype=object)


def _warn_of_gaps(frame: pd.DataFrame, splits: Collection[str]) -> None:
    gaps = []
    for name in dict.fromkeys(splits):
        rows = frame[frame["split"] == name]
        if rows.empty:
            gaps.append(f"{name} has no image")
            continue
        for finding in FINDINGS:
            values = set(frame[finding].dropna())
            lacking = [
                kind for kind, value in (("positive", 1.0), ("negative", 0.0)) if not (rows[finding] == value).any()
            ]
            if values == {0.0, 1.0} and lacking:
                gaps.append(f"{name} has no {' and no '.join(lacking)} of {finding}")
    if gaps:
        warnings.warn(f"after splitting, {'; '.join(gaps)}", SplitWarning, stacklevel=3)


def union_manifests(frames: Sequence[pd.DataFrame], *, prefixes: Sequence[str] | None = None) -> pd.DataFrame:
    """Put manifests together, in the order given.

    A patient id is unique only within its data set, so equal ids of different data sets stay different patients.

    Args:
        frames: each keeps the schema.
        prefixes: for each frame, the folder of its data root below the common one (``"nih_cxr14"``), put before its
            paths; ``""`` leaves them. None: paths stay as they are, for a caller that knows each row's data root.

    Returns:
        The canonical frame of all rows. Their splits stay as they are, and may now share a picture: `guard_splits`
        says so, `split_manifest` on the union repairs it.

    Raises:
        ManifestError: no frames, a prefix that leaves the data root, an image id that two rows would share.
    """
    if not frames:
        raise ManifestError("no manifests to put together, expected at least one")
    folders = list(prefixes) if prefixes is not None else [""] * len(frames)
    if len(folders) != len(frames):
        raise ManifestError(f"{len(folders)} path prefixes for {len(frames)} manifests, expected one for each")
    parts = []
    for number, (frame, folder) in enumerate(zip(frames, folders, strict=True), start=1):
        part = conform(frame, source=f"manifest {number} of {len(frames)}")
        if folder:
            if escapes(folder):
                raise ManifestError(f"path prefix {folder!r} must be a folder below the data root, in POSIX form")
            part["path"] = [str(PurePosixPath(folder) / path) for path in part["path"]]
        parts.append(part)
    return conform(pd.concat(parts, ignore_index=True), source="manifests put together")
