"""Pictures of a run for MLflow: losses, ROC, calibration, and the same eight validation films with their maps."""

from pathlib import Path
from typing import Final

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from monai.data import Dataset
from numpy.typing import NDArray

from models import ModelPackage
from models.explain import enlarge_maps
from pipelines.statistics.auroc import roc_points
from pipelines.system import replacing
from pipelines.training.films import Cohort
from pipelines.training.state import Progress

matplotlib.use("Agg", force=False)
_COLOURS: Final = ("#0072B2", "#D55E00")
"""Okabe-Ito blue and vermilion: told apart by colour-blind readers and in grey print."""
_FILMS: Final = 8


def draw_figures(
    folder: Path,
    package: ModelPackage,
    val: tuple[Cohort, Dataset],
    probabilities: NDArray[np.float64],
    progress: Progress,
) -> None:
    """Write ``history.png``, ``roc_validation.png``, ``calibration_validation.png`` and ``heatmaps_validation.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    cohort, cache = val
    _save(_history(progress), folder / "history.png")
    _save(_roc(package, cohort, probabilities), folder / "roc_validation.png")
    _save(_calibration(package, cohort, probabilities), folder / "calibration_validation.png")
    _save(_heatmaps(package, cohort, cache), folder / "heatmaps_validation.png")


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight")


def _history(progress: Progress) -> Figure:
    figure = Figure(figsize=(9, 3.4))
    losses, aurocs = figure.subplots(1, 2)
    epochs = range(1, len(progress.history) + 1)
    for axis, wanted in ((losses, "loss"), (aurocs, "auroc_")):
        for name in progress.history[0]:
            if wanted in name and not name.endswith("_mean"):
                axis.plot(epochs, [metrics[name] for metrics in progress.history], marker=".", label=name)
        axis.axvline(progress.best_epoch + 1, color="0.6", linestyle=":", label="kept epoch")
        axis.set_xlabel("epoch")
        axis.legend(fontsize=8)
    losses.set_ylabel("loss")
    aurocs.set_ylabel("AUROC, validation")
    return figure


def _known(cohort: Cohort, position: int) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    column = cohort.labels[:, position]
    return ~np.isnan(column), column


def _roc(package: ModelPackage, cohort: Cohort, probabilities: NDArray[np.float64]) -> Figure:
    figure = Figure(figsize=(4.6, 4.4))
    axis = figure.subplots()
    for position, finding in enumerate(package.architecture.findings):
        known, labels = _known(cohort, position)
        _, false_positive, true_positive = roc_points(labels[known], probabilities[known, position])
        label = f"{finding} (n = {known.sum()}, {int((labels == 1).sum())} positive)"
        axis.plot(false_positive, true_positive, color=_COLOURS[position % 2], label=label)
        point = package.operating_points[finding]
        x, y = 1 - point["specificity"]["value"], point["sensitivity"]["value"]
        axis.plot(x, y, "o", color=_COLOURS[position % 2])
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axis.set_xlabel("1 − specificity")
    axis.set_ylabel("sensitivity")
    axis.set_title("Validation films; dot: locked threshold", fontsize=10)
    axis.legend(fontsize=8, loc="lower right")
    return figure


def _calibration(package: ModelPackage, cohort: Cohort, probabilities: NDArray[np.float64]) -> Figure:
    figure = Figure(figsize=(4.6, 4.4))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    for position, finding in enumerate(package.architecture.findings):
        known, labels = _known(cohort, position)
        order = np.argsort(probabilities[known, position], kind="stable")
        groups = np.array_split(order, min(10, len(order)))
        predicted = [probabilities[known, position][group].mean() for group in groups]
        observed = [labels[known][group].mean() for group in groups]
        axis.plot(predicted, observed, marker="o", color=_COLOURS[position % 2], label=f"{finding} (n = {known.sum()})")
    axis.set_xlabel("predicted probability, mean of each tenth")
    axis.set_ylabel("share of positives")
    axis.set_title("Validation films, calibrated on these films", fontsize=10)
    axis.legend(fontsize=8)
    return figure


def _heatmaps(package: ModelPackage, cohort: Cohort, cache: Dataset) -> Figure:
    """The first positives of each finding (in manifest order), filled up with the first films."""
    findings, size = package.architecture.findings, package.architecture.size
    positives = [np.flatnonzero(cohort.labels[:, k] == 1)[: _FILMS // len(findings)] for k in range(len(findings))]
    chosen = list(dict.fromkeys([*np.concatenate(positives).tolist(), *range(len(cohort.paths))]))[:_FILMS]
    films = torch.stack([torch.as_tensor(cache[index]["image"]) for index in chosen])
    with torch.inference_mode():
        maps = enlarge_maps(package.build()(films).maps, size)
    figure = Figure(figsize=(2.1 * len(chosen), 2.3 * (1 + len(findings))))
    axes = figure.subplots(1 + len(findings), len(chosen), squeeze=False)
    for column, index in enumerate(chosen):
        film = films[column, 0].numpy()
        known = [f"{f} {'?' if np.isnan(v) else int(v)}" for f, v in zip(findings, cohort.labels[index], strict=True)]
        axes[0, column].set_title(", ".join(known), fontsize=8)
        for row in range(1 + len(findings)):
            axes[row, column].imshow(film, cmap="gray", vmin=0, vmax=1)
            axes[row, column].set_axis_off()
            if row:
                heat = maps[column, row - 1]
                axes[row, column].imshow(heat, cmap="inferno", vmin=0, vmax=1, alpha=np.clip(heat * 1.2, 0, 0.65))
    for row, finding in enumerate(findings, start=1):
        axes[row, 0].text(-0.06, 0.5, finding, transform=axes[row, 0].transAxes, rotation=90, va="center", ha="right")
    return figure
