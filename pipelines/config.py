"""Run configurations: one YAML per run, ``key=value`` overrides, errors in one sentence.

Relative paths are relative to the working directory; ``${NAME}`` in a path is an environment variable, so that a
committed YAML holds no machine's paths.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines.errors import ConfigError
from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.findings import FINDINGS, ConsensusRule
from pipelines.settings_file import first_problem, read_settings


def _expand(value: object) -> object:
    """Expand ``${NAME}`` and ``~`` in a path; an unset variable is an error, not an empty string."""
    if not isinstance(value, str):
        return value
    for name in re.findall(r"\$\{(\w+)\}", value):
        if name not in os.environ:
            raise ValueError(f"environment variable {name} is not set")
    return os.path.expanduser(re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], value))  # noqa: PTH111


ConfigPath = Annotated[Path, BeforeValidator(_expand)]
Finding = Literal["tb", "nodule"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class DataSource(_Section):
    """One manifest and where its files are."""

    manifest: ConfigPath
    """Parquet or CSV manifest with train and val rows (`cxr manifest build`, `cxr manifest split`)."""
    root: ConfigPath | None = None
    """Folder that the manifest's paths are relative to; the manifest's own folder if left out."""
    consensus: ConsensusRule | None = None
    """Make the labels anew from the manifest's readings: any, majority, all, or mean (as majority, but the loss learns
    the share of readers who said yes); null keeps the manifest's own labels."""


class ModelSection(_Section):
    """The network."""

    backbone: str = "densenet121"
    """A torchvision classification model, or timm:NAME."""
    pretrained: str = "none"
    """Weights to start from: none, imagenet, lite0 (packaged, no download), or a weight file."""
    size: int = Field(320, ge=64, le=2048)
    """Side of the square input in pixels."""
    map_stride: Literal[8, 16, 32] = 8
    """Input pixels per cell of the localisation map."""
    neck_width: int = Field(64, ge=8, le=1024)
    """Channels of the features shared by the heads."""
    pooling: Literal["lse", "max", "mean"] = "lse"
    """How a map becomes a score: a smooth maximum, the maximum, or the mean."""


class AugmentationSection(_Section):
    """Random changes to training films; 0 switches one off."""

    rotate_degrees: float = Field(7.0, ge=0, le=45)
    """Largest rotation either way."""
    translate: float = Field(0.05, ge=0, le=0.5)
    """Largest shift, as a share of the side."""
    zoom: float = Field(0.1, ge=0, le=0.5)
    """Largest change of scale either way."""
    gamma: float = Field(0.3, ge=0, le=0.9)
    """Largest change of the contrast curve: gamma is drawn from 1 - value to 1 / (1 - value)."""
    brightness: float = Field(0.1, ge=0, le=0.5)
    """Largest shift of the display values."""
    noise: float = Field(0.02, ge=0, le=0.5)
    """Largest standard deviation of added Gaussian noise."""
    occlusions: int = Field(0, ge=0, le=20)
    """Number of grey boxes (a twelfth of the side) laid over the film: breaks shortcuts that live in one corner."""
    flip: float = Field(0.0, ge=0, le=1)
    """Probability of a left-right flip; the heart then lies on the wrong side, so the default is never."""


class OptimisationSection(_Section):
    """How the weights are found."""

    epochs: int = Field(20, ge=1)
    """Passes over the training films, at most."""
    batch_size: int = Field(16, ge=1)
    """Films per optimiser step, over all processes together."""
    learning_rate: float = Field(5e-4, gt=0)
    """Peak rate of AdamW, reached after the warm-up and lowered to zero along a cosine."""
    backbone_rate: float = Field(1.0, ge=0, le=1)
    """Factor on the rate for pretrained layers; 0 trains the heads alone."""
    weight_decay: float = Field(1e-2, ge=0)
    """Decoupled weight decay of matrices and kernels; biases and norms have none."""
    warmup_epochs: float = Field(0.5, ge=0)
    """Epochs over which the rate rises from zero."""
    gradient_clip: float = Field(5.0, gt=0)
    """Largest norm of a step's gradient."""
    imbalance: Literal["none", "balanced"] = "none"
    """balanced: positives weigh as much as negatives in the loss; calibration takes the weight out again."""
    box_weight: float = Field(1.0, ge=0)
    """Weight of the map's loss where boxes are known; 0 ignores boxes."""
    sampling: Literal["films", "dataset", "dataset_label"] = "films"
    """What weighs alike in an epoch: every film; every data set; or every combination of data set and labels. Films of
    small groups then come several times an epoch, each time changed otherwise, and of large ones not all."""
    freeze_finer_than: Literal[0, 4, 8, 16] = 0
    """Layers finer than this many input pixels per cell keep their pretrained weights; 0 trains all. Saves time."""
    frozen_batchnorm: bool = False
    """Keep the pretrained batch statistics: makes several processes agree with one, and helps small batches."""

    @model_validator(mode="after")
    def _balanced_once(self) -> "OptimisationSection":
        if self.imbalance == "balanced" and self.sampling == "dataset_label":
            raise ValueError("imbalance: balanced and sampling: dataset_label both weigh the classes; choose one")
        return self


class HarmonisationSection(_Section):
    """What is done to every film to make sources alike, in training and in use; part of the model. All off at first."""

    border: Literal["none", "mask", "crop"] = "none"
    """Uniform borders (collimation, padding): mask paints them black, crop cuts them off. Either also fills in
    burned-in letters, markers and redaction boxes from their surroundings."""
    lung_field: Literal["none", "crop", "mask"] = "none"
    """The box around both lungs, found by a template: crop cuts the film to it, mask blackens the rest. A film on which
    it is not found with confidence is shown whole, and counted."""
    lung_margin: float = Field(0.1, ge=0, le=0.5)
    """Added to each side of that box, as a share of its width and height."""
    intensity: Literal["none", "film", "site"] = "none"
    """Percentiles inside the lung box are mapped to a standard scale (Nyul and Udupa): each film's own, or the mean
    over the training films of its site (the manifest's site, else its data set). Labels take no part."""
    colour: Literal["luma", "remove"] = "luma"
    """remove brings the channels of a tinted PNG, JPEG or TIFF to one range before they become grey."""
    resolution: int | None = Field(None, ge=64, le=4096)
    """Films are averaged to this many pixels along the longer side first, so that a sharp source does not stand out;
    choose no more than the coarsest source has. null leaves films as they are."""

    @model_validator(mode="after")
    def _margin_of_something(self) -> "HarmonisationSection":
        default = type(self).model_fields["lung_margin"].default
        if self.lung_field == "none" and self.lung_margin != default:
            raise ValueError(f"lung_margin is {self.lung_margin:g}, but lung_field is none: there is no box to widen")
        return self


class ValidationSection(_Section):
    """What is watched, and what is locked."""

    monitor: Literal["val_auroc_mean", "val_auroc_tb", "val_auroc_nodule", "val_loss"] = "val_auroc_mean"
    """The metric that chooses the best epoch, stops the run, and decides who is champion."""
    patience: int = Field(5, ge=1)
    """Epochs without improvement before the run stops."""
    target_sensitivity: float = Field(0.90, gt=0, lt=1)
    """Operating points are the highest thresholds that reach this sensitivity on the validation films."""
    operating_point: str | None = None
    """Another rule for the operating points, instead of target_sensitivity: sensitivity=0.9, specificity=0.7, cost=10
    (what a missed case costs, in false alarms, at the validation films' prevalence) or cost=10@0.05 (at that one)."""
    rule_out_sensitivity: float | None = Field(None, gt=0, le=1)
    """Also lock, for each finding, the threshold below which a film may be filed without a reader, at this sensitivity
    on the validation films, such as 0.99; null locks none."""

    @field_validator("operating_point")
    @classmethod
    def _a_rule(cls, value: str | None) -> str | None:
        rule = None if value is None else LockRule.parse(value)
        if rule is not None and rule.purpose == "rule_out":
            raise ValueError("a rule-out sensitivity is given as rule_out_sensitivity")
        return None if rule is None else rule.text

    @model_validator(mode="after")
    def _rule_out_below_flag(self) -> "ValidationSection":
        rule, rule_out = self.lock_rule, self.rule_out_sensitivity
        if rule_out is not None and rule.kind == "sensitivity" and rule_out < rule.target:
            raise ValueError(
                f"rule_out_sensitivity is {rule_out:g}, below the sensitivity {rule.target:g} of the operating points: "
                "films would be flagged and filed without a reader"
            )
        return self

    @property
    def lock_rule(self) -> LockRule:
        """How the operating points are chosen."""
        if self.operating_point is not None:
            return LockRule.parse(self.operating_point)
        return LockRule(kind="sensitivity", target=self.target_sensitivity)

    def improves(self, value: float, *, on: float) -> bool:
        """Whether one value of the watched metric is better than another: a loss is better lower; equal is not."""
        return value < on if self.monitor == "val_loss" else value > on


class IntendedUseSection(_Section):
    """Whom the model is meant for: trained on, locked on, and refused elsewhere. Frontal films only, always."""

    min_age_years: float | None = Field(15.0, ge=0, le=120)
    """Youngest patient, where the age is known; WHO's recommendation for reading by computer begins at 15 years."""
    max_age_years: float | None = Field(None, ge=0, le=120)
    """Oldest patient, where the age is known; null for no limit."""

    @model_validator(mode="after")
    def _in_order(self) -> "IntendedUseSection":
        limits = self.min_age_years, self.max_age_years
        if limits[0] is not None and limits[1] is not None and limits[0] > limits[1]:
            raise ValueError(f"min_age_years is {limits[0]:g}, above max_age_years {limits[1]:g}")
        return self


class HardwareSection(_Section):
    """Where it runs."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes the GPU if there is one."""
    devices: int = Field(1, ge=1)
    """Processes on this machine; under torchrun, what torchrun was told counts."""
    nodes: int = Field(1, ge=1)
    """Machines."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """auto: bf16-mixed on a GPU, 32-true on a CPU."""
    workers: int = Field(0, ge=0)
    """Loader processes; 0 augments in the training process."""
    cache: Literal["memory", "disk", "none"] = "memory"
    """Where decoded, resized films are kept after the first epoch."""


class TrackingSection(_Section):
    """MLflow."""

    experiment: str = "cxr-triage"
    """Experiment that the run appears under."""
    uri: str | None = None
    """Tracking store; left out: MLFLOW_TRACKING_URI, or mlflow.db beside the run's folder."""
    register_as: str | None = "cxr-triage"
    """Name in the model registry; null does not register."""


class TrainConfig(_Section):
    """One training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Short name of the run and of its package."""
    out: ConfigPath
    """Folder of the run; holds checkpoints, the package and the resolved configuration."""
    data: list[DataSource] = Field(min_length=1)
    """Cohorts to train on together; a finding that a cohort does not know is masked."""
    findings: list[Finding] = Field(default=list(FINDINGS), min_length=1)
    """Findings to learn."""
    seed: int = Field(1, ge=0, le=2**31 - 1)
    """Decides initial weights, order of films and augmentation."""
    model: ModelSection = ModelSection()
    augmentation: AugmentationSection = AugmentationSection()
    harmonisation: HarmonisationSection = HarmonisationSection()
    optimisation: OptimisationSection = OptimisationSection()
    validation: ValidationSection = ValidationSection()
    intended_use: IntendedUseSection = IntendedUseSection()
    hardware: HardwareSection = HardwareSection()
    tracking: TrackingSection = TrackingSection()

    @model_validator(mode="after")
    def _findings_fit(self) -> "TrainConfig":
        if len(set(self.findings)) != len(self.findings):
            raise ValueError(f"findings: {self.findings} names one finding twice")
        watched = self.validation.monitor.removeprefix("val_auroc_")
        if watched in FINDINGS and watched not in self.findings:
            raise ValueError(f"validation.monitor: {self.validation.monitor}, but findings are {self.findings}")
        return self


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read one YAML and apply ``key=value`` overrides, such as ``optimisation.epochs=3`` or ``data.0.root=films``.

    Raises:
        ConfigError: one sentence that names the key, the value and the choices.
    """
    values = read_settings(path, overrides, kind="configuration", example="optimisation.epochs=3")
    return parse_config(values, source=str(path))


def parse_config(values: Mapping[str, Any], *, source: str) -> TrainConfig:
    """Validate configuration values; `source` is named in errors."""
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_problem(error, TrainConfig)}") from None


def dump_config(config: TrainConfig) -> str:
    """Return the resolved configuration as YAML with every default spelled out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
