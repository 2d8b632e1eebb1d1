"""Statistics over a predictions table: numpy, scipy and scikit-learn only, no torch."""

from pipelines.evaluation.evaluator import evaluate, evaluate_table
from pipelines.evaluation.files import read_evaluation, write_evaluation
from pipelines.evaluation.records import Evaluation
from pipelines.evaluation.summary import summary_lines
from pipelines.evaluation.tables import read_foreign_predictions, read_predictions
from pipelines.evaluation.thresholds.operating_point import OperatingPoint, lock_operating_point
from pipelines.statistics.auroc import auroc_delong, auroc_difference
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import clopper_pearson, confusion

__all__ = [
    "Estimate",
    "Evaluation",
    "OperatingPoint",
    "auroc_delong",
    "auroc_difference",
    "clopper_pearson",
    "confusion",
    "evaluate",
    "evaluate_table",
    "lock_operating_point",
    "read_evaluation",
    "read_foreign_predictions",
    "read_predictions",
    "summary_lines",
    "write_evaluation",
]
