"""Training: films, augmentation, the loop, MLflow, and the package it ends in."""

from pipelines.training.finish import FindingSummary, TrainResult
from pipelines.training.loop import train

__all__ = ["FindingSummary", "TrainResult", "train"]
