"""One training run, from top to bottom: read it like a recipe.

films → epochs (train, validate, checkpoint) → best weights → calibration → operating points → package → registry
"""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import lightning_fabric
import numpy as np
import pandas as pd
import torch
from monai.data import DataLoader
from numpy.typing import NDArray
from torch import Tensor, nn

from models import Architecture, Classifier
from models.backbones import freeze_finer_than
from models.losses import masked_bce, masked_map_loss
from models.pretrained import LITE0_INPUT, load_pretrained
from pipelines.config import TrainConfig, dump_config
from pipelines.errors import ConfigError
from pipelines.evaluation.auroc import auroc_delong
from pipelines.manifest import write_manifest
from pipelines.training.augment import build_augmentation
from pipelines.training.films import Cohort, EpochBatches, TrainingFilms, build_cache, load_cohorts
from pipelines.training.finish import Trained, TrainResult, finish_run, read_result
from pipelines.training.state import Checkpoint, Progress
from pipelines.training.tracking import open_tracker

EpochCallback = Callable[[int, int, dict[str, float]], None]
_NO_DECAY_NDIM: Final = 1
_CHANNELS_LAST: Final = torch.channels_last


@dataclass(slots=True)
class _Run:
    """The moving parts of a run, in one place."""

    config: TrainConfig
    fabric: lightning_fabric.Fabric
    classifier: nn.Module
    optimizer: torch.optim.Optimizer
    train_films: TrainingFilms
    val_films: TrainingFilms
    pos_weight: Tensor | None
    peak_rates: list[float]


def train(config: TrainConfig, *, resume: bool = False, on_epoch: EpochCallback | None = None) -> TrainResult | None:
    """Train, calibrate, lock operating points, package and register.

    Args:
        config: the run.
        resume: go on from the run folder's checkpoint; the weights end bit-identical to an uninterrupted run on the
            same CPU. A finished run is not run again.
        on_epoch: called after each epoch with (epoch from 1, epochs, metrics), in the first process only.

    Returns:
        What was made; None in every process but the first.

    Raises:
        ConfigError, ManifestError, ModelError: what the user has to change.
    """
    _refuse_overwriting(config, resume)
    if resume and (finished := read_result(config.out)) is not None:
        return finished
    fabric = launch(config)
    union, cohorts = load_cohorts(config)
    if fabric.is_global_zero:
        write_resolved(config, union)
    run = _prepare(config, fabric, cohorts)
    checkpoint = _restore(run, config) if resume else None
    progress = checkpoint.progress if checkpoint else Progress()
    best_model = checkpoint.best_model if checkpoint else {}
    with open_tracker(config, union, resume=resume, active=fabric.is_global_zero) as tracker:
        tracker.catch_up(progress.history)
        while not progress.finished:
            metrics = {**_train_epoch(run, progress.epoch), **_validate(run)}
            best_model = _advance(run, progress, metrics, best_model)
            if fabric.is_global_zero:
                _save(run, progress, best_model)
                tracker.log_epoch(progress.epoch, metrics)
                if on_epoch is not None:
                    on_epoch(progress.epoch, config.optimisation.epochs, metrics)
            fabric.barrier()
        run.classifier.load_state_dict(best_model)
        logits = predict_logits(run)
        if not fabric.is_global_zero:
            return None
        trained = Trained(
            config=config,
            architecture=architecture_of(config),
            weights=best_model,
            pos_weight=_pos_weight(cohorts["train"].labels, config),
            progress=progress,
            train=(cohorts["train"], run.train_films.cache),
            val=(cohorts["val"], run.val_films.cache),
            val_logits=logits,
        )
        return finish_run(trained, tracker)


def launch(config: TrainConfig) -> lightning_fabric.Fabric:
    """Start Fabric (and, under torchrun, join the other processes); make arithmetic repeatable."""
    hardware = config.hardware
    accelerator = hardware.device if hardware.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise ConfigError("hardware.device: cuda, but torch sees no GPU; use auto or cpu")
    precision = hardware.precision
    if precision == "auto":
        precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
    fabric = lightning_fabric.Fabric(
        accelerator=accelerator, devices=hardware.devices, num_nodes=hardware.nodes, precision=precision
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
    staged = config.out / "config.yaml.tmp"
    staged.write_text(dump_config(config), encoding="utf-8")
    staged.replace(config.out / "config.yaml")
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


def _refuse_overwriting(config: TrainConfig, resume: bool) -> None:
    if not resume and (config.out / "checkpoint.pt").exists():
        raise ConfigError(
            f"{config.out}: holds a run already; add --resume to go on with it, or choose another folder with out=DIR"
        )


def _prepare(config: TrainConfig, fabric: lightning_fabric.Fabric, cohorts: dict[str, Cohort]) -> _Run:
    torch.manual_seed(config.seed)
    weights = load_pretrained(config.model.pretrained, config.model.backbone)
    network = Classifier(architecture_of(config), weights=weights)
    if config.optimisation.freeze_finer_than:
        freeze_finer_than(network.backbone, config.optimisation.freeze_finer_than, size=config.model.size)
    groups = _parameter_groups(network, config)
    peak_rates = [group["lr"] for group in groups]
    # channels_last: depthwise convolutions, forward and backward, are slow on a CPU in the other layout.
    classifier, optimizer = fabric.setup(network.to(memory_format=_CHANNELS_LAST), torch.optim.AdamW(groups))
    augment = build_augmentation(config.augmentation, config.model.size)
    map_side = network.map_side()
    train, val = cohorts["train"], cohorts["val"]
    weight = _pos_weight(train.labels, config)
    return _Run(
        config,
        fabric,
        classifier,
        optimizer,
        TrainingFilms(build_cache(train, config, config.out), train, config, map_side=map_side, augment=augment),
        TrainingFilms(build_cache(val, config, config.out), val, config, map_side=map_side),
        None if weight is None else torch.tensor(weight, dtype=torch.float32, device=fabric.device),
        peak_rates,
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


def _pos_weight(labels: NDArray[np.float32], config: TrainConfig) -> NDArray[np.float64] | None:
    """Negatives per positive for each finding, or None where classes weigh the same."""
    if config.optimisation.imbalance == "none":
        return None
    positives, negatives = np.nansum(labels == 1, axis=0), np.nansum(labels == 0, axis=0)
    return np.asarray(negatives / positives)


def config_digest(config: TrainConfig) -> str:
    """Digest of everything that decides the weights: not the folder, not the tracking, not how many epochs are left."""
    decisive = config.model_dump(mode="json", exclude={"out": True, "tracking": True, "name": True})
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def _restore(run: _Run, config: TrainConfig) -> Checkpoint:
    checkpoint = Checkpoint.load(config.out)
    if checkpoint.config_digest != config_digest(config):
        raise ConfigError(
            f"{config.out}: the checkpoint was made with another configuration than this one; resume with "
            f"{config.out / 'config.yaml'}, or start anew in another folder"
        )
    run.classifier.load_state_dict(checkpoint.model)
    run.optimizer.load_state_dict(checkpoint.optimizer)
    return checkpoint


def _save(run: _Run, progress: Progress, best_model: dict[str, Tensor]) -> None:
    checkpoint = Checkpoint(
        progress, _state(run.classifier), best_model, run.optimizer.state_dict(), config_digest(run.config)
    )
    checkpoint.save(run.config.out)


def _state(classifier: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in classifier.state_dict().items()}


def _train_epoch(run: _Run, epoch: int) -> dict[str, float]:
    """One pass over the training films; returns the mean losses."""
    config, fabric = run.config, run.fabric
    torch.manual_seed(int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0]))
    batches = EpochBatches(
        len(run.train_films),
        config.optimisation.batch_size,
        seed=config.seed,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
    )
    batches.epoch = epoch
    run.classifier.train()
    if config.optimisation.frozen_batchnorm:
        _freeze_batchnorm(run.classifier)
    sums = np.zeros(2)
    loader = _loader(run, run.train_films, batches)
    for step, batch in enumerate(loader):
        _set_rate(run, epoch + step / len(batches))
        output = run.classifier(batch["image"].contiguous(memory_format=_CHANNELS_LAST))
        label_loss = _global_mean(fabric, masked_bce(output.logits, batch["labels"], run.pos_weight))
        map_loss = _global_mean(fabric, masked_map_loss(output.maps, batch["regions"]))
        fabric.backward((label_loss + config.optimisation.box_weight * map_loss) * fabric.world_size)
        fabric.clip_gradients(run.classifier, run.optimizer, max_norm=config.optimisation.gradient_clip)
        run.optimizer.step()
        run.optimizer.zero_grad()
        sums += [float(label_loss.detach()), float(map_loss.detach())]
    totals = _sum_over_processes(fabric, torch.tensor(sums / len(batches), device=fabric.device))
    return {"train_label_loss": float(totals[0]), "train_map_loss": float(totals[1])}


def _global_mean(fabric: lightning_fabric.Fabric, masked: tuple[Tensor, Tensor]) -> Tensor:
    """This process's share of the loss, averaged over what is known in the *global* batch, then over findings.

    Shares of all processes add up to the loss of the whole batch; a finding nobody knows in this batch adds nothing.
    """
    total, known = masked
    everywhere = _sum_over_processes(fabric, known.detach())
    return (total / everywhere.clamp(min=1)).mean()


def _set_rate(run: _Run, epoch: float) -> None:
    settings = run.config.optimisation
    warmup = min(1.0, (epoch + 1e-9) / settings.warmup_epochs) if settings.warmup_epochs else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
    for group, peak in zip(run.optimizer.param_groups, run.peak_rates, strict=True):
        group["lr"] = peak * max(warmup, 0.01) * cosine


def _freeze_batchnorm(classifier: nn.Module) -> None:
    for module in classifier.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _loader(run: _Run, films: TrainingFilms, batches: Any) -> Any:
    loader = DataLoader(
        films,
        batch_sampler=batches,
        num_workers=run.config.hardware.workers,
        pin_memory=run.fabric.device.type == "cuda",
    )
    return run.fabric.setup_dataloaders(loader, use_distributed_sampler=False)


def predict_logits(run: _Run) -> NDArray[np.float64]:
    """Logits ``[n, F]`` of the validation films in order; each film is seen by exactly one process."""
    count, fabric = len(run.val_films), run.fabric
    mine = list(range(fabric.global_rank, count, fabric.world_size))
    size = max(1, run.config.optimisation.batch_size // fabric.world_size)
    batches = [[(0, index) for index in mine[start : start + size]] for start in range(0, len(mine), size)]
    logits = torch.zeros(count, len(run.config.findings), dtype=torch.float64)
    run.classifier.eval()
    with torch.inference_mode():
        for batch in _loader(run, run.val_films, batches):
            output = run.classifier(batch["image"])
            logits[batch["index"].cpu()] = output.logits.double().cpu()
    # Every process filled in its own rows and left zeros elsewhere: the sum is the whole table, each film once.
    return np.asarray(_sum_over_processes(fabric, logits.to(fabric.device)).cpu().numpy())


def _sum_over_processes(fabric: lightning_fabric.Fabric, tensor: Tensor) -> Tensor:
    reduced = fabric.all_reduce(tensor, reduce_op="sum")
    assert isinstance(reduced, Tensor)
    return reduced


def _validate(run: _Run) -> dict[str, float]:
    logits, labels = predict_logits(run), run.val_films.cohort.labels
    loss = masked_bce(torch.tensor(logits), torch.tensor(labels))
    metrics = {"val_loss": float((loss.total / loss.known).mean())}
    for position, finding in enumerate(run.config.findings):
        known = ~np.isnan(labels[:, position])
        estimate = auroc_delong(labels[known, position], logits[known, position])
        metrics[f"val_auroc_{finding}"] = math.nan if estimate.value is None else estimate.value
    metrics["val_auroc_mean"] = float(np.mean([metrics[f"val_auroc_{finding}"] for finding in run.config.findings]))
    return metrics


def _advance(
    run: _Run, progress: Progress, metrics: dict[str, float], best_model: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Count the epoch, keep its weights if they are the best so far, decide whether to stop."""
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise ConfigError(
            f"epoch {progress.epoch + 1}: {bad[0]} is {metrics[bad[0]]}; the last good checkpoint is kept in "
            f"{run.config.out}; lower optimisation.learning_rate (now {run.config.optimisation.learning_rate})"
        )
    settings = run.config.validation
    value = metrics[settings.monitor]
    better = value < progress.best_value if settings.monitor == "val_loss" else value > progress.best_value
    if better or progress.best_epoch < 0:
        progress.best_epoch, progress.best_value = progress.epoch, value
        best_model = _state(run.classifier)
    progress.history.append(metrics)
    progress.epoch += 1
    waited = progress.epoch - 1 - progress.best_epoch
    progress.finished = progress.epoch >= run.config.optimisation.epochs or waited >= settings.patience
    return best_model
