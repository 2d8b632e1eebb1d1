"""What a run would do, said before it is done."""

import torch

from models import Classifier
from pipelines.config import TrainConfig
from pipelines.training.batches import EpochBatches
from pipelines.training.films import load_cohorts
from pipelines.training.prepare import architecture_of


def plan_lines(config: TrainConfig) -> list[str]:
    """Return the plan of a run in words: films, labels, network, steps, memory. Reads manifests, writes nothing."""
    _, cohorts = load_cohorts(config)
    with torch.device("cpu"):
        network = Classifier(architecture_of(config))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    lines = [f"run {config.name} into {config.out}"]
    for split, cohort in cohorts.items():
        known = ", ".join(
            f"{finding} {int((column == 1).sum())} positive / {int((column == 0).sum())} negative"
            for finding, column in zip(config.findings, cohort.labels.T, strict=True)
        )
        left_out = f"; {cohort.left_out:,} outside the intended use are left out" if cohort.left_out else ""
        lines.append(f"{split}: {len(cohort.paths):,} films; {known}{left_out}")
    films = sum(len(cohort.paths) for cohort in cohorts.values())
    steps = len(EpochBatches(len(cohorts["train"].paths), config.optimisation.batch_size, seed=config.seed))
    lines += [
        f"network: {config.model.backbone}, {parameters / 1e6:.1f} million parameters, start {config.model.pretrained}",
        f"steps: {steps} of {config.optimisation.batch_size} films an epoch, at most {config.optimisation.epochs} "
        "epochs",
        f"cache: {config.hardware.cache}, {films * 4 * config.model.size**2 / 2**30:.2f} GiB",
    ]
    return lines
