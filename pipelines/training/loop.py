"""One training run, from top to bottom: read it like a recipe.

films → epochs (train, validate, checkpoint) → best weights → calibration → operating points → package → registry
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

import lightning_fabric
import numpy as np
import torch
from monai.data import DataLoader
from numpy.typing import NDArray
from torch import Tensor, nn

from models.losses import masked_bce, masked_map_loss
from pipelines.config import TrainConfig
from pipelines.errors import ConfigError
from pipelines.statistics.auroc import auroc_delong
from pipelines.training.batches import EpochBatches, film_groups
from pipelines.training.films import TrainingFilms, derived_seed, load_cohorts
from pipelines.training.finish import Trained, TrainResult, finish_run, read_result
from pipelines.training.prepare import (
    CHANNELS_LAST,
    Run,
    architecture_of,
    config_digest,
    launch,
    positive_weight,
    prepare,
    refuse_overwriting,
    write_resolved,
)
from pipelines.training.state import Checkpoint, Progress
from pipelines.training.tracking import open_tracker

EpochCallback = Callable[[int, int, dict[str, float]], None]


TYPICAL_FILMS: Final = 4096
"""Training films, at most, that `models.typicality` learns from; more add seconds and change little."""


class Predicted(NamedTuple):
    """What the network says of films, in the order asked for."""

    logits: NDArray[np.float64]
    """``[n, F]``."""
    features: NDArray[np.float32]
    """``[n, D]``."""


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
    refuse_overwriting(config, resume)
    if resume and (finished := read_result(config.out)) is not None:
        return finished
    fabric = launch(config)
    union, cohorts = load_cohorts(config)
    if fabric.is_global_zero:
        write_resolved(config, union)
    run = prepare(config, fabric, cohorts)
    checkpoint = _restore(run, config) if resume else None
    progress = checkpoint.progress if checkpoint else Progress()
    best_model = checkpoint.best_model if checkpoint else {}
    with open_tracker(config, union, cohorts, resume=resume, active=fabric.is_global_zero) as tracker:
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
        validated, seen = predict(run, run.val_films), predict(run, run.train_films, drawn_films(run))
        if not fabric.is_global_zero:
            return None
        trained = Trained(
            config=config,
            architecture=architecture_of(config),
            weights=best_model,
            pos_weight=positive_weight(cohorts["train"].labels, config),
            progress=progress,
            train=(cohorts["train"], run.train_films.cache),
            val=(cohorts["val"], run.val_films.cache),
            val_logits=validated.logits,
            features=(seen.features, validated.features),
            harmonisation=run.harmonisation,
        )
        return finish_run(trained, tracker)


def _restore(run: Run, config: TrainConfig) -> Checkpoint:
    checkpoint = Checkpoint.load(config.out)
    if checkpoint.config_digest != config_digest(config):
        raise ConfigError(
            f"{config.out}: the checkpoint was made with another configuration than this one; resume with "
            f"{config.out / 'config.yaml'}, or start anew in another folder"
        )
    run.classifier.load_state_dict(checkpoint.model)
    run.optimizer.load_state_dict(checkpoint.optimizer)
    return checkpoint


def _save(run: Run, progress: Progress, best_model: dict[str, Tensor]) -> None:
    checkpoint = Checkpoint(
        progress, _state(run.classifier), best_model, run.optimizer.state_dict(), config_digest(run.config)
    )
    checkpoint.save(run.config.out)


def _state(classifier: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in classifier.state_dict().items()}


def _train_epoch(run: Run, epoch: int) -> dict[str, float]:
    """One pass over the training films; returns the mean losses."""
    config, fabric = run.config, run.fabric
    torch.manual_seed(derived_seed(config.seed, epoch))
    batches = EpochBatches(
        len(run.train_films),
        config.optimisation.batch_size,
        seed=config.seed,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        groups=film_groups(run.train_films.cohort, config.optimisation.sampling),
    )
    batches.epoch = epoch
    run.classifier.train()
    if config.optimisation.frozen_batchnorm:
        _freeze_batchnorm(run.classifier)
    sums = np.zeros(2)
    loader = _loader(run, run.train_films, batches)
    for step, batch in enumerate(loader):
        _set_rate(run, epoch + step / len(batches))
        output = run.classifier(batch["image"].contiguous(memory_format=CHANNELS_LAST))
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


def _set_rate(run: Run, epoch: float) -> None:
    settings = run.config.optimisation
    warmup = min(1.0, (epoch + 1e-9) / settings.warmup_epochs) if settings.warmup_epochs else 1.0
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / settings.epochs)))
    for group, peak in zip(run.optimizer.param_groups, run.peak_rates, strict=True):
        group["lr"] = peak * max(warmup, 0.01) * cosine


def _freeze_batchnorm(classifier: nn.Module) -> None:
    for module in classifier.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _loader(run: Run, films: TrainingFilms, batches: Any) -> Any:
    loader = DataLoader(
        films,
        batch_sampler=batches,
        num_workers=run.config.hardware.workers,
        pin_memory=run.fabric.device.type == "cuda",
    )
    return run.fabric.setup_dataloaders(loader, use_distributed_sampler=False)


def predict(run: Run, films: TrainingFilms, chosen: NDArray[np.intp] | None = None) -> Predicted:
    """Show films, as they are without augmentation, to the network; each is seen by exactly one process.

    Args:
        run: the run; its network is left in evaluation mode.
        films: training or validation films.
        chosen: which of them, ascending; None for all.
    """
    fabric, findings = run.fabric, len(run.config.findings)
    wanted = np.arange(len(films)) if chosen is None else chosen
    mine = wanted[fabric.global_rank :: fabric.world_size].tolist()
    size = max(1, run.config.optimisation.batch_size // fabric.world_size)
    batches = [[(0, index) for index in mine[start : start + size]] for start in range(0, len(mine), size)]
    plain = TrainingFilms(films.cache, films.cohort, run.config, map_side=films.map_side)
    width = findings + cast(int, run.classifier.feature_count)
    table = torch.zeros(len(wanted), width, dtype=torch.float64)
    run.classifier.eval()
    with torch.inference_mode():
        for batch in _loader(run, plain, batches):
            output = run.classifier(batch["image"])
            rows = np.searchsorted(wanted, batch["index"].cpu().numpy())
            table[rows] = torch.cat([output.logits.double(), output.features.double()], dim=1).cpu()
    # Every process filled in its own rows and left zeros elsewhere: the sum is the whole table, each film once.
    whole = _sum_over_processes(fabric, table.to(fabric.device)).cpu().numpy()
    return Predicted(whole[:, :findings], whole[:, findings:].astype(np.float32))


def drawn_films(run: Run) -> NDArray[np.intp]:
    """Return the training films, ascending, that say what a typical film is: all, or `TYPICAL_FILMS` by the seed."""
    count = len(run.train_films)
    drawn = np.random.default_rng([run.config.seed, count]).permutation(count)[:TYPICAL_FILMS]
    return np.sort(drawn)


def _sum_over_processes(fabric: lightning_fabric.Fabric, tensor: Tensor) -> Tensor:
    reduced = fabric.all_reduce(tensor, reduce_op="sum")
    assert isinstance(reduced, Tensor)
    return reduced


def _validate(run: Run) -> dict[str, float]:
    logits, labels = predict(run, run.val_films).logits, run.val_films.cohort.labels
    loss = masked_bce(torch.tensor(logits), torch.tensor(labels))
    metrics = {"val_loss": float((loss.total / loss.known).mean())}
    for position, finding in enumerate(run.config.findings):
        known = ~np.isnan(labels[:, position])
        estimate = auroc_delong(labels[known, position], logits[known, position])
        metrics[f"val_auroc_{finding}"] = math.nan if estimate.value is None else estimate.value
    metrics["val_auroc_mean"] = float(np.mean([metrics[f"val_auroc_{finding}"] for finding in run.config.findings]))
    return metrics


def _advance(
    run: Run, progress: Progress, metrics: dict[str, float], best_model: dict[str, Tensor]
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
    if progress.best_epoch < 0 or settings.improves(value, on=progress.best_value):
        progress.best_epoch, progress.best_value = progress.epoch, value
        best_model = _state(run.classifier)
    progress.history.append(metrics)
    progress.epoch += 1
    waited = progress.epoch - 1 - progress.best_epoch
    progress.finished = progress.epoch >= run.config.optimisation.epochs or waited >= settings.patience
    return best_model
