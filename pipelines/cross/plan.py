"""Which models are trained, and on which cohorts each is tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
from pydantic import ValidationError

from pipelines.config import TrainConfig
from pipelines.cross.settings import CohortSection, CrossConfig
from pipelines.errors import ConfigError, ManifestError
from pipelines.findings import FINDINGS
from pipelines.manifest import guard_splits, manifest_digest, read_manifest, union_manifests
from pipelines.settings_file import first_problem

ALL_BUT: Final = "all-but-"
MANIFESTS_FOLDER: Final = "manifests"


@dataclass(frozen=True)
class Cohort:
    """One cohort as its manifest has it."""

    name: str
    frame: pd.DataFrame
    digest: str

    def classes(self, split: str, finding: str) -> tuple[int, int]:
        """Films of a split with and without a finding."""
        rows = self.frame[self.frame["split"] == split]
        return int((rows[finding] == 1).sum()), int((rows[finding] == 0).sum())


@dataclass(frozen=True)
class System:
    """One model: the cohorts it learns from and the findings they can teach."""

    name: str
    cohorts: tuple[str, ...]
    findings: tuple[str, ...]
    """In the project's order; empty where nothing can be learned."""
    why_not: str | None = None
    """Why nothing can be learned."""


@dataclass(frozen=True)
class CellPlan:
    """One model on one cohort's test films."""

    system: System
    cohort: str
    findings: tuple[str, ...]
    """Learned by the model, and with both classes among the cohort's test films."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.system.name}--{self.cohort}"

    @property
    def at_home(self) -> bool:
        """Whether the model learned from other films of this cohort."""
        return self.cohort in self.system.cohorts


def read_cohorts(config: CrossConfig) -> dict[str, Cohort]:
    """Read the manifests; refuse pictures and patients that one cohort has in training and another in test.

    Raises:
        ManifestError: a broken manifest, a cohort without test films, or splits that share a picture or a patient.
    """
    cohorts = {}
    for section in config.cohorts:
        if not section.films.is_dir():
            raise ConfigError(f"cohort {section.name}: root {section.films} is not a folder")
        frame = _chosen(section)
        if not (frame["split"] == "test").any():
            raise ManifestError(
                f"{section.manifest}: cohort {section.name} has no row of split test; assign splits with "
                "`cxr manifest split`"
            )
        cohorts[section.name] = Cohort(section.name, frame, manifest_digest(frame, canonical=True))
    union = union_manifests([cohort.frame for cohort in cohorts.values()], prefixes=list(cohorts))
    files = [section.films / path for section in config.cohorts for path in cohorts[section.name].frame["path"]]
    guard_splits(
        union, locate=lambda row: files[row] if files[row].is_file() else None, listing=config.out / "overlap.csv"
    )
    return cohorts


def _chosen(section: CohortSection) -> pd.DataFrame:
    frame = read_manifest(section.manifest)
    if section.datasets is None:
        return frame
    there = set(frame["dataset"])
    for name in section.datasets:
        if name not in there:
            known = ", ".join(sorted(there))
            raise ManifestError(f"{section.manifest}: has no row of data set {name!r}, found {known}")
    return frame[frame["dataset"].isin(section.datasets)].reset_index(drop=True)


def manifest_of(config: CrossConfig, cohort: str) -> Path:
    """Where the run keeps a cohort's rows."""
    return config.out / MANIFESTS_FOLDER / f"{cohort}.parquet"


def systems_of(config: CrossConfig, cohorts: Mapping[str, Cohort]) -> tuple[System, ...]:
    """Every cohort alone, then, of three and more, all but each of them."""
    names = list(cohorts)
    chosen: list[tuple[str, tuple[str, ...]]] = [(name, (name,)) for name in names]
    if config.leave_one_out and len(names) > 2:
        chosen += [(f"{ALL_BUT}{name}", tuple(other for other in names if other != name)) for name in names]
    return tuple(_system(name, [cohorts[part] for part in parts]) for name, parts in chosen)


def _system(name: str, cohorts: Sequence[Cohort]) -> System:
    findings, lacking = [], []
    for finding in FINDINGS:
        counts = {
            split: [sum(pair) for pair in zip(*(c.classes(split, finding) for c in cohorts), strict=True)]
            for split in ("train", "val")
        }
        short = [split for split, (positive, negative) in counts.items() if not positive or not negative]
        if short:
            positive, negative = counts[short[0]]
            lacking.append(f"{finding}: {positive} films with it and {negative} without in split {short[0]}")
        else:
            findings.append(finding)
    why = None if findings else f"no finding has both classes ({'; '.join(lacking)})"
    return System(name, tuple(cohort.name for cohort in cohorts), tuple(findings), why)


def cells_of(systems: Sequence[System], cohorts: Mapping[str, Cohort]) -> tuple[CellPlan, ...]:
    """Every model on every cohort, model by model."""
    return tuple(
        CellPlan(system, name, tuple(f for f in system.findings if all(cohort.classes("test", f))))
        for system in systems
        for name, cohort in cohorts.items()
    )


def training_of(config: CrossConfig, system: System, *, uri: str) -> TrainConfig:
    """The training run of one model.

    Raises:
        ConfigError: settings that do not fit its findings.
    """
    data = [
        {"manifest": str(manifest_of(config, section.name)), "root": str(section.films), "consensus": section.consensus}
        for section in config.cohorts
        if section.name in system.cohorts
    ]
    values = {
        **config.train,
        "name": system.name,
        "out": str(config.out / "systems" / system.name),
        "data": data,
        "findings": list(system.findings),
        "tracking": {**config.tracking.model_dump(mode="json"), "uri": uri},
    }
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{config.name}: model {system.name}: {first_problem(error, TrainConfig)}") from None
