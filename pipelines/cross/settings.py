"""What a cross-cohort run is asked to do: one YAML."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines.config import ConfigPath, TrackingSection, TrainConfig
from pipelines.errors import ConfigError
from pipelines.findings import ConsensusRule
from pipelines.settings_file import first_problem, read_settings

_OURS: Final = ("name", "out", "data", "findings", "tracking")
"""Keys of a training configuration that a cross-cohort run fills in itself."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class CohortSection(_Section):
    """One cohort: rows of a manifest with train, val and test films, and where the films are."""

    manifest: ConfigPath
    """Parquet or CSV manifest; several cohorts may be parts of one."""
    root: ConfigPath | None = None
    """Folder that the manifest's paths are relative to; the manifest's own folder if left out."""
    datasets: list[str] | None = Field(None, min_length=1)
    """Only rows of these data sets; all if left out."""
    consensus: ConsensusRule | None = None
    """Training labels anew from the manifest's `readings`, by this rule; tests keep the manifest's labels."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*$")
    """Short name, in tables and folders."""

    @property
    def films(self) -> Path:
        """The data root."""
        return self.root or self.manifest.parent


class EvaluationSection(_Section):
    """How every cell is measured."""

    interval: Literal["auto", "analytic", "percentile", "bca"] = "auto"
    """Kind of interval; auto draws patients where they have several films."""
    replicates: int = Field(2000, ge=100)
    """Replicates of every bootstrap."""
    level: float = Field(0.95, gt=0.5, lt=1)
    """Confidence level."""


class CrossConfig(_Section):
    """One cross-cohort run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Short name of the run."""
    out: ConfigPath
    """Folder for models, predictions, evaluations, the matrix and its page."""
    cohorts: list[CohortSection] = Field(min_length=2)
    """Cohorts to train and to test on."""
    leave_one_out: bool = True
    """With three cohorts or more: also train on all cohorts but one, for each of them."""
    train: dict[str, Any] = {}
    """A training configuration without name, out, data, findings and tracking: what every model is trained with."""
    evaluation: EvaluationSection = EvaluationSection()
    tracking: TrackingSection = TrackingSection(register_as=None)
    """MLflow; the store is mlflow.db in ``out`` where none is named, and no model is registered unless a name is."""

    @field_validator("train")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in _OURS:
            if key in value:
                raise ValueError(f"{key} is not given here: it follows from the cohorts and from {key!r} above")
        return value

    @model_validator(mode="after")
    def _names_differ(self) -> "CrossConfig":
        # Folders that differ in case alone are one folder on some disks.
        names = [cohort.name.lower() for cohort in self.cohorts]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"cohorts: {name!r} is there twice")
        return self


def load_cross(path: Path, overrides: Sequence[str] = ()) -> CrossConfig:
    """Read one YAML and apply ``key=value`` overrides, such as ``train.optimisation.epochs=3``.

    Raises:
        ConfigError: one sentence that names the key, the value and the choices.
    """
    values = read_settings(path, overrides, kind="configuration", example="train.optimisation.epochs=3")
    return parse_cross(values, source=str(path))


def parse_cross(values: Mapping[str, Any], *, source: str) -> CrossConfig:
    """Validate the values of a cross-cohort configuration; ``source`` is named in errors.

    Raises:
        ConfigError: as `load_cross`; also for what is wrong below ``train``.
    """
    try:
        config = CrossConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_problem(error, CrossConfig)}") from None
    first = config.cohorts[0]
    probe = {"name": "probe", "out": "probe", "data": [{"manifest": str(first.manifest)}]}
    try:  # so that a slip below `train` is told before hours of training, not after
        hardware = TrainConfig.model_validate({**config.train, **probe}).hardware
    except ValidationError as error:
        raise ConfigError(f"{source}: train: {first_problem(error, TrainConfig)}") from None
    if hardware.devices * hardware.nodes > 1:
        raise ConfigError(
            f"{source}: train.hardware asks for {hardware.devices * hardware.nodes} processes, expected 1: start "
            "`cxr cross` once for each GPU instead, and they share the models"
        )
    return config


def safe_name(text: str) -> str:
    """A name that any disk and MLflow accept."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)
