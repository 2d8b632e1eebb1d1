"""From manifests to tensors: one MONAI chain that training, validation and the control share.

A film is decoded and squared once (`read_film`, the function that inference uses) and cached; random changes are
drawn anew for each (seed, epoch, film), whatever process or worker does it, so that a run can be resumed, or
spread over processes, without changing what any film looks like.
"""

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from monai.data import CacheDataset, Dataset, PersistentDataset
from monai.transforms import Compose, MapTransform
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.config import DataSource, TrainConfig
from pipelines.datasets.readings import apply_consensus, soft_targets
from pipelines.decoding import DecodeRequest, read_film
from pipelines.errors import ManifestError, UnreadableImage
from pipelines.imaging import IntendedUse, Orientation, Placement, read_radiograph
from pipelines.imaging.control_features import N_CONTROL_FEATURES
from pipelines.imaging.harmonise import Harmonisation
from pipelines.manifest import guard_splits, manifest_digest, read_manifest, union_manifests

_FULL_CELL: Final = 0.4
"""Share of a map cell inside a box from which the cell counts as wholly diseased: a 6 mm nodule fills no cell."""


@dataclass(frozen=True)
class Cohort:
    """The rows of one split and where their files are."""

    rows: pd.DataFrame
    """Manifest rows, index 0..n-1."""
    paths: tuple[Path, ...]
    """Absolute path of each row."""
    labels: NDArray[np.float32]
    """``[n, F]`` 1, 0 or NaN."""
    left_out: int = 0
    """Rows of the split outside the intended use: lateral views, ages beyond its limits."""
    soft: NDArray[np.float32] | None = None
    """``[n, F]`` what the loss learns, in [0, 1] or NaN, where that is not the labels; nothing else may look at it."""

    @property
    def targets(self) -> NDArray[np.float32]:
        """``[n, F]`` what the loss learns: the labels, or the share of readers who said 1."""
        return self.labels if self.soft is None else self.soft

    @cached_property
    def digest(self) -> str:
        """`manifest_digest` of the rows; worked out once, and only where it is asked for."""
        return manifest_digest(self.rows)


def load_cohorts(config: TrainConfig) -> tuple[pd.DataFrame, dict[str, Cohort]]:
    """Read the manifests of a run; return their union and its train and val cohorts.

    Raises:
        ManifestError: a broken manifest, a patient or a picture in two splits, missing files, an empty split, a
            finding without both classes in a split, or a consensus asked of a manifest without readings.
    """
    frames, folders, targets = [], [], []
    for source in config.data:
        frame, soft = _labelled(read_manifest(source.manifest), source, config.findings)
        targets.append(soft)
        root = (source.root or source.manifest.parent).resolve()
        frames.append(frame)
        folders.extend([root] * len(frame))
    union = union_manifests(frames)
    paths_of = [folder / path for folder, path in zip(folders, union["path"], strict=True)]
    guard_splits(
        union,
        locate=lambda row: paths_of[row] if paths_of[row].is_file() else None,
        listing=config.out / "overlap.csv",
    )
    covered = _covered(union, config)
    soft = np.concatenate(targets)
    averaged = any(source.consensus == "mean" for source in config.data)
    cohorts = {}
    for split in ("train", "val"):
        members = (union["split"] == split).to_numpy()
        chosen = np.flatnonzero(members & covered)
        rows = union.iloc[chosen].reset_index(drop=True)
        paths = tuple(folders[index] / path for index, path in zip(chosen, rows["path"], strict=True))
        labels = rows[list(config.findings)].to_numpy(dtype=np.float32, na_value=np.nan)
        cohorts[split] = Cohort(
            rows, paths, labels, left_out=int((members & ~covered).sum()), soft=soft[chosen] if averaged else None
        )
        _require_usable(cohorts[split], split, config)
    return union, cohorts


def _labelled(
    frame: pd.DataFrame, source: DataSource, findings: Sequence[str]
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """A manifest with the labels that its source asks for, and what the loss learns of them ``[n, F]``."""
    if source.consensus is not None:
        frame = apply_consensus(frame, source.consensus, source=str(source.manifest))
    if source.consensus == "mean":
        return frame, soft_targets(frame, findings)
    return frame, frame[list(findings)].to_numpy(dtype=np.float32, na_value=np.nan)


def intended_use(config: TrainConfig) -> IntendedUse:
    """What the model of a run is meant for."""
    return IntendedUse(config.intended_use.min_age_years, config.intended_use.max_age_years)


def _covered(frame: pd.DataFrame, config: TrainConfig) -> NDArray[np.bool_]:
    use = intended_use(config)
    views = [None if pd.isna(view) else str(view) for view in frame["view"]]
    ages = [None if pd.isna(age) else float(age) for age in frame["age_years"]]
    return np.array([use.covers(view=view, age_years=age) for view, age in zip(views, ages, strict=True)], dtype=bool)


def _require_usable(cohort: Cohort, split: str, config: TrainConfig) -> None:
    names = ", ".join(str(source.manifest) for source in config.data)
    if not cohort.paths:
        outside = f" within the intended use ({cohort.left_out} are outside)" if cohort.left_out else ""
        raise ManifestError(f"{names}: no row{outside} has split {split}; assign splits with `cxr manifest split`")
    for finding, column in zip(config.findings, cohort.labels.T, strict=True):
        positive, negative = int((column == 1).sum()), int((column == 0).sum())
        if positive == 0 or negative == 0:
            raise ManifestError(
                f"{names}: split {split} has {positive} positive and {negative} negative films of {finding}, "
                "expected at least one of each"
            )
    missing = [image for image, path in zip(cohort.rows["image_id"], cohort.paths, strict=True) if not path.is_file()]
    if missing:
        raise ManifestError(
            f"{names}: {len(missing)} of {len(cohort.paths)} {split} films are not on disk; first: {missing[0]}; "
            "check data.root, or build the manifest with --only-present"
        )


class SquareFilmd(MapTransform):
    """Path → decoded, squared display values and what the shortcut controls see of the film.

    ``image`` becomes float32 ``[1, size, size]`` in [0, 1]; ``thumbnail`` is float64 ``[441]``; ``stored`` holds rows,
    columns and orientation of the stored film, as plain numbers that a cache on disk can hold. The film is read by
    inference's own `read_film`, so that no film is seen with other eyes in training.
    """

    def __init__(self, size: int, harmonisation: Harmonisation | None = None) -> None:
        super().__init__(keys="image")
        self.size = size
        self.harmonisation = harmonisation

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        film = read_film(Path(data["image"]), self._request(data.get("site")))
        image, thumbnail = torch.from_numpy(film.square)[None], torch.as_tensor(film.features)
        place = film.placement
        return {
            **data,
            "image": image,
            "thumbnail": thumbnail,
            "stored": (place.rows, place.columns, *place.orientation, *(place.crop or ())),
            **({} if film.lungs_found is None else {"lungs_found": film.lungs_found}),
        }

    def _request(self, site: str | None) -> DecodeRequest:
        return DecodeRequest(self.size, features=True, harmonisation=self.harmonisation, site=site)


class RegionsFromBoxesd(MapTransform):
    """Boxes in stored pixels → a mask per finding ``[F, size, size]`` of 0 and 1 on the square (key ``regions``)."""

    def __init__(self, findings: Sequence[str], size: int) -> None:
        super().__init__(keys="boxes", allow_missing_keys=True)
        self.findings = list(findings)
        self.size = size

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        regions = torch.zeros(len(self.findings), self.size, self.size)
        boxes = data["boxes"]
        if boxes:
            rows, columns, *rest = data["stored"]
            crop = (rest[3], rest[4], rest[5], rest[6]) if len(rest) > 3 else None
            placement = Placement.fit(rows, columns, self.size, Orientation(*map(bool, rest[:3])), crop)
            for box in boxes:
                if box["finding"] in self.findings:
                    x0, y0, x1, y1 = placement.box_to_square((box["x0"], box["y0"], box["x1"], box["y1"]))
                    layer = regions[self.findings.index(box["finding"])]
                    if min(x1, y1) <= 0 or max(x0, y0) >= self.size:
                        continue  # in a part of the film that was cut off
                    x0, y0 = max(0.0, x0), max(0.0, y0)
                    layer[int(y0) : max(int(y0) + 1, round(y1)), int(x0) : max(int(x0) + 1, round(x1))] = 1
        return {**data, "regions": regions}


def build_cache(
    cohort: Cohort, config: TrainConfig, folder: Path, harmonisation: Harmonisation | None = None
) -> Dataset:
    """Return decoded, squared films of a cohort, cached where the configuration says.

    Each item holds ``image``, ``thumbnail``, ``labels`` and ``index``.

    Args:
        cohort: the films.
        config: the run.
        folder: of the run; a cache on disk lies in it, one for each size and harmonisation.
        harmonisation: from `learn_harmonisation`; None for nothing.

    Raises:
        ManifestError: films that cannot be read: how many, the first, and why.
    """
    items: list[dict[str, Any]] = [{"image": str(path), "index": index} for index, path in enumerate(cohort.paths)]
    if harmonisation is not None and harmonisation.sites:
        items = [{**item, "site": site} for item, site in zip(items, site_names(cohort), strict=True)]
    transform = Compose([SquareFilmd(config.model.size, harmonisation)], map_items=False)
    if config.hardware.cache == "none":
        return Dataset(items, transform)
    if config.hardware.cache == "disk":
        name = _cache_name(f"cache-{config.model.size}-{N_CONTROL_FEATURES}", harmonisation)
        return PersistentDataset(items, transform, cache_dir=folder / name)
    try:
        return CacheDataset(items, transform, num_workers=torch.get_num_threads(), progress=False, copy_cache=False)
    except (RuntimeError, UnreadableImage):
        raise ManifestError(_unreadable_sentence(cohort)) from None


def site_names(cohort: Cohort) -> list[str]:
    """Return where each film comes from: its data set and, where the manifest knows one, its site."""
    pairs = zip(cohort.rows["dataset"], cohort.rows["site"], strict=True)
    return [str(dataset) if pd.isna(site) else f"{dataset}/{site}" for dataset, site in pairs]


def _cache_name(plain: str, harmonisation: Harmonisation | None) -> str:
    if harmonisation is None:
        return plain
    digest = hashlib.sha256(json.dumps(harmonisation.to_json(), sort_keys=True).encode()).hexdigest()
    return f"{plain}-{digest[:12]}"


def _unreadable_sentence(cohort: Cohort) -> str:
    """Read every film again to say how many cannot be read, not only the first."""
    failures = []
    for image_id, path in zip(cohort.rows["image_id"], cohort.paths, strict=True):
        try:
            read_radiograph(path)
        except UnreadableImage as error:
            failures.append(f"{image_id} ({error.reason}: {error.detail})")
    return (
        f"{len(failures)} of {len(cohort.paths)} films cannot be read; first: {'; '.join(failures[:3])}; "
        "take them out of the manifest, or repair them"
    )


class TrainingFilms(torch.utils.data.Dataset[dict[str, Tensor]]):
    """Cached films with labels and map targets, changed at random for each (epoch, index).

    Args:
        cache: from `build_cache`.
        cohort: the same rows.
        config: the run.
        map_side: cells along a side of the network's maps.
        augment: the MONAI chain to apply; None leaves films as they are.
    """

    def __init__(
        self, cache: Dataset, cohort: Cohort, config: TrainConfig, *, map_side: int, augment: Compose | None = None
    ) -> None:
        self.cache = cache
        self.cohort = cohort
        self.seed = config.seed
        self.augment = augment
        self.regions = RegionsFromBoxesd(config.findings, config.model.size)
        self.map_side = map_side
        self.known = _regions_known(cohort, config.findings)

    def __len__(self) -> int:
        return len(self.cohort.paths)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = key
        row = self.cohort.rows.iloc[index]
        item = self._cached(index)
        boxes = row["boxes"] if self.known[index].any() else None
        item = self.regions({**item, "boxes": boxes})
        if self.augment is not None:
            self.augment.set_random_state(seed=derived_seed(self.seed, epoch, index))
            item = self.augment(item)
        return {
            "image": torch.as_tensor(item["image"]).float().clamp(0, 1),
            "labels": torch.tensor(self.cohort.targets[index]),
            "regions": self._cells(torch.as_tensor(item["regions"]), index),
            "index": torch.tensor(index),
        }

    def _cached(self, index: int) -> dict[Hashable, Any]:
        try:
            return dict(self.cache[index])
        except RuntimeError as error:  # MONAI wraps what a transform raises
            if not isinstance(error.__cause__, UnreadableImage):
                raise
            unread = error.__cause__
        image_id = self.cohort.rows["image_id"].iloc[index]
        raise ManifestError(f"{image_id} cannot be read ({unread.reason}: {unread.detail})")

    def _cells(self, regions: Tensor, index: int) -> Tensor:
        cells = functional.adaptive_avg_pool2d(regions, self.map_side)
        cells = (cells / _FULL_CELL).clamp(max=1.0)
        cells[~torch.from_numpy(self.known[index])] = torch.nan
        return cells


def _regions_known(cohort: Cohort, findings: Sequence[str]) -> NDArray[np.bool_]:
    """``[n, F]``: is it known where the finding is? Negative films: nowhere. Positive films: where boxes are drawn.

    A finding without a single box in the cohort is known nowhere: negative films alone teach maps only to be dark.
    """
    drawn = np.zeros(cohort.labels.shape, dtype=bool)
    for index, boxes in enumerate(cohort.rows["boxes"]):
        named = {box["finding"] for box in boxes or ()}
        drawn[index] = [finding in named for finding in findings]
    positive = (cohort.labels == 1) & drawn
    return np.asarray(((cohort.labels == 0) | positive) & positive.any(axis=0))


def derived_seed(*parts: int) -> int:
    """Return a 32-bit seed that depends on every part: run, epoch, film."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
