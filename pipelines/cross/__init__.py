"""The cross-cohort matrix: train on each cohort, test on every other, and see what a score at home is worth."""

from pipelines.cross.matrix import CrossMatrix
from pipelines.cross.settings import CrossConfig, load_cross

__all__ = ["CrossConfig", "CrossMatrix", "load_cross"]
