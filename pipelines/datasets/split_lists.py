"""Split lists: small committed tables that say which film is in which fold or official part, and their application.

A list is a CSV, mostly gzipped, with one row per film in the order of the image ids:

- ``image_id`` as the data set's adapter writes it;
- ``group``: what is never separated, the patient's id or a name for linked films; empty: the film alone;
- ``stratum``: what the folds are balanced over; every film of a group has the same one; empty in official lists;
- ``fold`` (``0``, ``1``, …, or ``test`` for an official test part that is kept apart) or ``split`` (train/val/test).

The rule of the folds uses integers and SHA-256 only, so it gives the same list on every machine and with every version
of every library: within each stratum the groups are taken by number of films, the largest first, and among equals in
the order of the SHA-256 of ``<seed>/<group>`` (or ``<seed>/<image_id>``); each goes to the fold with the fewest films
of that stratum so far, then with the fewest films, then with the lowest number.
"""

import csv
import gzip
import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from pipelines.datasets.native import read_table
from pipelines.errors import DatasetError
from pipelines.findings import FINDINGS
from pipelines.manifest import conform, guard_splits, linked_groups
from pipelines.manifest.identity import patient_keys
from pipelines.manifest.leakage import warn_without_hashes
from pipelines.manifest.schema import SPLITS
from pipelines.system import replacing

KEPT_APART: Final = "test"
"""What stands in column ``fold`` of an official test part."""
DIGESTS: Final = "digests.json"
"""File beside committed lists: name of the list -> digest of its content."""
UNKNOWN: Final = "unknown"
Kind = Literal["fold", "split"]
_COLUMNS: Final = ("image_id", "group", "stratum")


class Film(NamedTuple):
    """One row of a list."""

    image_id: str
    group: str
    stratum: str
    part: str
    """Fold or split."""

    @property
    def unit(self) -> str:
        """What is never separated."""
        return self.group or self.image_id


@dataclass(frozen=True)
class SplitList:
    """Which film is where; films are in the order of their ids."""

    kind: Kind
    films: tuple[Film, ...]

    @property
    def folds(self) -> int:
        """Number of folds; 0 for an official list."""
        return len({film.part for film in self.films} - {KEPT_APART}) if self.kind == "fold" else 0


@dataclass(frozen=True)
class Applied:
    """A manifest with a list's splits, and what did not fit."""

    frame: pd.DataFrame
    placed: int
    """Films of the manifest that the list places."""
    missing: tuple[str, ...]
    """Films of the list that the manifest does not have."""
    unlisted: tuple[str, ...]
    """Films of the list's data sets that the list does not name: they are in no split."""


def fold_list(films: Iterable[Film], *, folds: int, seed: int) -> SplitList:
    """Deal films into folds by the rule of this module.

    Args:
        films: their parts are overwritten, except `KEPT_APART`.
        folds: at least 2.
        seed: another seed gives other folds.

    Raises:
        DatasetError: fewer than 2 folds, more folds than groups, or a group in two strata or partly kept apart.
    """
    ordered = sorted(films)
    units: dict[str, list[Film]] = defaultdict(list)
    for film in ordered:
        units[film.unit].append(film)
    for members in units.values():
        if len({(film.stratum, film.part == KEPT_APART) for film in members}) > 1:
            raise DatasetError(
                f"films {members[0].image_id} and {members[-1].image_id} belong together, but are in two strata or on "
                "both sides of an official test part"
            )
    open_units = {name: members for name, members in units.items() if members[0].part != KEPT_APART}
    if not 2 <= folds <= len(open_units):
        raise DatasetError(f"folds: found {folds}, expected 2 to {len(open_units):,} (the number of groups)")
    place = _deal(open_units, folds, seed)
    return SplitList("fold", tuple(film._replace(part=str(place.get(film.unit, film.part))) for film in ordered))


def _deal(units: dict[str, list[Film]], folds: int, seed: int) -> dict[str, int]:
    def turn(unit: str) -> tuple[int, str]:
        return -len(units[unit]), hashlib.sha256(f"{seed}/{unit}".encode()).hexdigest()

    strata: dict[str, list[str]] = defaultdict(list)
    for unit, members in units.items():
        strata[members[0].stratum].append(unit)
    overall = [0] * folds
    place: dict[str, int] = {}
    for stratum in sorted(strata):
        here = [0] * folds
        for unit in sorted(strata[stratum], key=turn):
            fold = min(range(folds), key=lambda number: (here[number], overall[number], number))
            here[fold] += len(units[unit])
            overall[fold] += len(units[unit])
            place[unit] = fold
    return place


def films_of(frame: pd.DataFrame, *, by: str, keep_test: bool) -> list[Film]:
    """Films of a manifest, grouped by patient and picture as `pipelines.manifest.linked_groups` does.

    A `HashWarning` counts films whose pictures cannot be compared.

    Args:
        frame: a manifest.
        by: the finding whose label makes the strata; a group that has it in one film is positive.
        keep_test: whether the manifest's test part is kept apart.

    Raises:
        ManifestError: not a manifest.
        DatasetError: no such finding, one known of no film, or a group on both sides of the test part that is kept.
    """
    if by not in FINDINGS:
        raise DatasetError(f"finding {by!r} is none of {', '.join(FINDINGS)}")
    canonical = conform(frame)
    if canonical[by].isna().all():
        raise DatasetError(f"finding {by!r} is known of no film here: folds cannot be balanced over it")
    warn_without_hashes(canonical)
    linked = pd.Series(linked_groups(canonical), index=canonical.index)
    strongest = canonical[by].groupby(linked).transform("max").to_numpy()
    stratum = np.select([strongest == 1, strongest == 0], [by, f"no {by}"], UNKNOWN)
    part = [KEPT_APART if keep_test and split == "test" else "" for split in canonical["split"]]
    rows = zip(canonical["image_id"], _group_names(canonical, linked), stratum.tolist(), part, strict=True)
    return [Film(*row) for row in rows]


def _group_names(frame: pd.DataFrame, linked: "pd.Series[int]") -> list[str]:
    """The patient where a group is one patient, the smallest image id where it is more, "" for a film alone.

    Over several data sets the patient's name has the data set in front: both may have a patient 1.
    """
    names = frame["patient_id"] if frame["dataset"].nunique() == 1 else patient_keys(frame)
    by_group = frame["image_id"].groupby(linked)
    first, size = by_group.transform("min").tolist(), by_group.transform("size").tolist()
    patients = names.groupby(linked).transform("nunique", dropna=False).tolist()
    return [
        patient if isinstance(patient, str) and count == 1 else smallest if films > 1 else ""
        for patient, count, smallest, films in zip(names, patients, first, size, strict=True)
    ]


def official_list(frame: pd.DataFrame) -> SplitList:
    """The parts that a manifest has from its data set, as a list; films without one are left out."""
    canonical = conform(frame)
    placed = canonical[canonical["split"].notna()]
    if placed.empty:
        raise DatasetError("the manifest has no film in a split: there is no official part to list")
    films = zip(placed["image_id"], placed["patient_id"].fillna(""), placed["split"], strict=True)
    return SplitList("split", tuple(sorted(Film(image, patient, "", part) for image, patient, part in films)))


def list_bytes(split_list: SplitList) -> bytes:
    """Content of a list's file before it is packed: UTF-8, a line feed after each line."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, split_list.kind])
    writer.writerows(split_list.films)
    return text.getvalue().encode()


def content_digest(split_list: SplitList) -> str:
    """SHA-256 of `list_bytes`: what is packed differs between builds of zlib, the content does not."""
    return f"sha256:{hashlib.sha256(list_bytes(split_list)).hexdigest()}"


def _require_list_name(path: Path) -> None:
    if not path.name.endswith((".csv", ".csv.gz")):
        raise DatasetError(f"{path}: a list's name ends in .csv or .csv.gz")


def write_list(split_list: SplitList, path: Path) -> None:
    """Write a list, gzipped where the name ends in ``.gz``, without time and name in it; whole or not at all.

    Raises:
        DatasetError: another ending than ``.csv`` or ``.csv.gz``.
    """
    _require_list_name(path)
    content = list_bytes(split_list)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, 9, mtime=0) if path.name.endswith(".gz") else content)


def read_list(path: Path) -> SplitList:
    """Read a list; one that is named in a `DIGESTS` file beside it must have the digest that is said there.

    Raises:
        DatasetError: not a list, a film twice, a fold or split that is none, or another content than its digest says.
    """
    _require_list_name(path)
    if not path.is_file():
        raise DatasetError(f"{path}: no such list")
    rows = read_table(path, _COLUMNS)
    kinds = [kind for kind in ("fold", "split") if rows and kind in rows[0]]
    if len(kinds) != 1:
        raise DatasetError(f"{path}: expected films and one of the columns fold and split, found {len(kinds)} of them")
    kind: Kind = "fold" if kinds == ["fold"] else "split"
    films = tuple(sorted(Film(row["image_id"], row["group"], row["stratum"], row[kind]) for row in rows))
    _check(path, kind, films)
    split_list = SplitList(kind, films)
    expected = _digests(path.parent).get(path.name)
    if expected is not None and content_digest(split_list) != expected:
        raise DatasetError(f"{path}: its content is not the one whose digest is in {DIGESTS}: the list was changed")
    return split_list


def _check(path: Path, kind: Kind, films: Sequence[Film]) -> None:
    twice = next((image for image, count in Counter(film.image_id for film in films).items() if count > 1), None)
    if twice is not None:
        raise DatasetError(f"{path}: film {twice} is in the list twice")
    parts = {film.part for film in films}
    good = {str(number) for number in range(len(parts - {KEPT_APART}))} | {KEPT_APART} if kind == "fold" else {*SPLITS}
    if parts - good or not parts - {KEPT_APART}:
        wanted = "0, 1, … without a gap, or test" if kind == "fold" else ", ".join(SPLITS)
        raise DatasetError(f"{path}: column {kind} holds {min(parts - good, default='test only')!r}, expected {wanted}")


def _digests(folder: Path) -> dict[str, str]:
    path = folder / DIGESTS
    if not path.is_file():
        return {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return {name: entry["content"] for name, entry in said.items()}
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: expected list names with their digests ({type(error).__name__})") from error


def apply_list(frame: pd.DataFrame, split_list: SplitList, *, fold: int | None = None) -> Applied:
    """Put a list's parts into a manifest.

    Fold ``k`` of a list with a test part that is kept apart: fold ``k`` is val, the rest train. Of a list without one:
    fold ``k`` is test, the next fold (the first after the last) is val, the rest train. Films of other data sets
    than the list's keep the split they have.

    Args:
        frame: a manifest.
        split_list: see `read_list`.
        fold: which fold; None for an official list.

    Raises:
        DatasetError: a fold that the list does not have, or not one film of the list is in the manifest.
        ManifestError: not a manifest, or its splits share a patient or a picture after the list was applied.
    """
    part_of = _parts(split_list, fold)
    canonical = conform(frame)
    images, datasets = canonical["image_id"], {film.image_id.partition("/")[0] for film in split_list.films}
    ours = canonical["dataset"].isin(datasets)
    listed = images.isin(part_of.keys())
    if not listed.any():
        raise DatasetError(f"no film of the list (e.g. {split_list.films[0].image_id}) is in the manifest")
    split = canonical["split"].where(~ours, None)
    canonical["split"] = split.where(~listed, images.map(part_of)).astype(object)
    canonical["split"] = canonical["split"].where(canonical["split"].notna(), None)
    guard_splits(canonical)
    present = set(images)
    missing = tuple(film.image_id for film in split_list.films if film.image_id not in present)
    return Applied(canonical, int(listed.sum()), missing, tuple(images[ours & ~listed]))


def _parts(split_list: SplitList, fold: int | None) -> dict[str, str]:
    films = split_list.films
    if split_list.kind == "split":
        if fold is not None:
            raise DatasetError(f"fold {fold} of a list of official parts: it has no folds")
        return {film.image_id: film.part for film in films}
    if fold is None or not 0 <= fold < split_list.folds:
        found = "none was asked for" if fold is None else f"found {fold}"
        raise DatasetError(f"fold: {found}, expected one of 0 to {split_list.folds - 1}")
    if any(film.part == KEPT_APART for film in films):
        role = {str(fold): "val", KEPT_APART: "test"}
    else:
        role = {str(fold): "test", str((fold + 1) % split_list.folds): "val"}
    return {film.image_id: role.get(film.part, "train") for film in films}
