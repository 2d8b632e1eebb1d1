"""Everything a run needs before its first step: processes, films, network, optimiser."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, cast

import lightning_fabric
import numpy as np
import pandas as pd
import torch
from lightning_fabric.plugins.precision import MixedPrecision
from numpy.typing import NDArray
from torch import Tensor, nn

from models import Architecture, Classifier
from models.backbones import freeze_finer_than
from models.pretrained import LITE0_INPUT, load_pretrained
from pipelines.config import HarmonisationSection, TrainConfig, dump_config
from pipelines.errors import ConfigError
from pipelines.imaging.harmonise import Harmonisation
from pipelines.manifest import write_manifest
from pipelines.system import replace_text
from pipelines.training.augment import build_augmentation
from pipelines.training.films import Cohort, TrainingFilms, build_cache
from pipelines.training.harmonisation import learn_harmonisation
from pipelines.training.state import CHECKPOINT

CHANNELS_LAST: Final = torch.channels_last
"""Depthwise convolutions, forward and backward, are slow on a CPU in the other layout."""
_NO_DECAY_NDIM: Final = 1


@dataclass(slots=True)
class Run:
    """The moving parts of a run, in one place."""

    config: TrainConfig
    fabric: lightning_fabric.Fabric
    classifier: nn.Module
    optimizer: torch.optim.Optimizer
    train_films: TrainingFilms
    val_films: TrainingFilms
    pos_weight: Tensor | None
    peak_rates: list[float]
    harmonisation: Harmonisation | None = None


def refuse_overwriting(config: TrainConfig, resume: bool) -> None:
    """Refuse to start in a folder that holds a run, unless it is to be gone on with."""
    if not resume and (config.out / CHECKPOINT).exists():
        raise ConfigError(
            f"{config.out}: holds a run already; add --resume to go on with it, or choose another folder with out=DIR"
        )


class _WholeFilms(MixedPrecision):
    """Mixed precision that leaves the films as they are.

    Fabric's own rounds the network's input, too, to half precision: eight bits of a twelve-bit film, which is not what
    autocast does, nor what the network is shown in use. Probabilities of a real model moved by up to 0.012.
    """

    def convert_input(self, data: Any) -> Any:
        """Return the input: the network normalises it in full precision."""
        return data


def launch(config: TrainConfig) -> lightning_fabric.Fabric:
    """Start Fabric (and, under torchrun, join the other processes); make arithmetic repeatable."""
    hardware = config.hardware
    accelerator = hardware.device if hardware.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ConfigError("hardware.device: cuda, but torch sees no GPU; use auto or cpu")
    precision = hardware.precision
    if precision == "auto":
        precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
    mixed = precision in ("bf16-mixed", "16-mixed")
    fabric = lightning_fabric.Fabric(
        accelerator=accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=None if mixed else precision,
        plugins=_WholeFilms(cast(Any, precision), accelerator) if mixed else None,
    )
    fabric.launch()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory guards against reading it before writing; no operation here does, and it costs a quarter.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a module property
    if config.optimisation.batch_size < 2 * fabric.world_size:
        raise ConfigError(
            f"optimisation.batch_size: found {config.optimisation.batch_size}, expected at least two films for each of "
            f"{fabric.world_size} processes"
        )
    return fabric


def write_resolved(config: TrainConfig, union: pd.DataFrame) -> None:
    """Leave the resolved configuration and the films it was run on beside the weights."""
    config.out.mkdir(parents=True, exist_ok=True)
    replace_text(config.out / "config.yaml", dump_config(config))
    write_manifest(union, config.out / "manifest.parquet")


def architecture_of(config: TrainConfig) -> Architecture:
    """Return the network that a configuration describes."""
    model = config.model
    mean_std = dict(zip(("mean", "std"), LITE0_INPUT, strict=True)) if model.pretrained == "lite0" else {}
    return Architecture(
        backbone=model.backbone,
        findings=tuple(config.findings),
        size=model.size,
        map_stride=model.map_stride,
        neck_width=model.neck_width,
        pooling=model.pooling,
        **mean_std,
    )


def prepare(config: TrainConfig, fabric: lightning_fabric.Fabric, cohorts: dict[str, Cohort]) -> Run:
    """Build network, optimiser and cached films from the seed; the same in every process."""
    torch.manual_seed(config.seed)
    weights = load_pretrained(config.model.pretrained, config.model.backbone)
    network = Classifier(architecture_of(config), weights=weights)
    if config.optimisation.freeze_finer_than:
        freeze_finer_than(network.backbone, config.optimisation.freeze_finer_than, size=config.model.size)
    groups = _parameter_groups(network, config)
    peak_rates = [group["lr"] for group in groups]
    classifier, optimizer = fabric.setup(network.to(memory_format=CHANNELS_LAST), torch.optim.AdamW(groups))
    augment = build_augmentation(config.augmentation, config.model.size)
    map_side = network.map_side()
    train, val = cohorts["train"], cohorts["val"]
    weight = positive_weight(train.labels, config)
    harmonisation = learn_harmonisation(config, train)
    seen, unseen = (build_cache(cohort, config, config.out, harmonisation) for cohort in (train, val))
    return Run(
        config,
        fabric,
        classifier,
        optimizer,
        TrainingFilms(seen, train, config, map_side=map_side, augment=augment),
        TrainingFilms(unseen, val, config, map_side=map_side),
        None if weight is None else torch.tensor(weight, dtype=torch.float32, device=fabric.device),
        peak_rates,
        harmonisation,
    )


def _parameter_groups(classifier: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Backbone and new layers, each with and without weight decay; parameters in a fixed order."""
    settings = config.optimisation
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in classifier.named_parameters():
        in_backbone = name.startswith("backbone.")
        if in_backbone and settings.backbone_rate == 0:
            parameter.requires_grad_(False)
        if not parameter.requires_grad:
            continue
        groups.setdefault((in_backbone, parameter.ndim > _NO_DECAY_NDIM), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate * (settings.backbone_rate if in_backbone else 1.0),
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (in_backbone, decays), parameters in groups.items()
    ]


def positive_weight(labels: NDArray[np.float32], config: TrainConfig) -> NDArray[np.float64] | None:
    """Negatives per positive for each finding, or None where classes weigh the same."""
    if config.optimisation.imbalance == "none":
        return None
    positives, negatives = np.nansum(labels == 1, axis=0), np.nansum(labels == 0, axis=0)
    return np.asarray(negatives / positives)


def config_digest(config: TrainConfig) -> str:
    """Digest of everything that decides the weights: not the folder, not the tracking, not how many epochs are left."""
    decisive = config.model_dump(mode="json", exclude={"out": True, "tracking": True, "name": True})
    # Named only where they are on, so that runs from before they existed can be gone on with.
    if config.harmonisation == HarmonisationSection():
        del decisive["harmonisation"]
    if config.optimisation.sampling == "films":
        del decisive["optimisation"]["sampling"]
    for source in decisive["data"]:
        if source["consensus"] is None:
            del source["consensus"]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]
