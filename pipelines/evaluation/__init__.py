"""Statistics over a predictions table: numpy, scipy and scikit-learn only, no torch.

Names are looked up where they are used: who needs one module of this room does not wait for all of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipelines.evaluation.evaluator import evaluate, evaluate_table
    from pipelines.evaluation.files import read_evaluation, write_evaluation
    from pipelines.evaluation.records import Evaluation
    from pipelines.evaluation.summary import summary_lines
    from pipelines.evaluation.tables import read_foreign_predictions, read_predictions
    from pipelines.evaluation.thresholds.operating_point import OperatingPoint, lock_operating_point
    from pipelines.statistics.auroc import auroc_delong, auroc_difference
    from pipelines.statistics.estimates import Estimate
    from pipelines.statistics.proportions import clopper_pearson, confusion

_HOMES: Final = {
    "Estimate": "pipelines.statistics.estimates",
    "Evaluation": "pipelines.evaluation.records",
    "OperatingPoint": "pipelines.evaluation.thresholds.operating_point",
    "auroc_delong": "pipelines.statistics.auroc",
    "auroc_difference": "pipelines.statistics.auroc",
    "clopper_pearson": "pipelines.statistics.proportions",
    "confusion": "pipelines.statistics.proportions",
    "evaluate": "pipelines.evaluation.evaluator",
    "evaluate_table": "pipelines.evaluation.evaluator",
    "lock_operating_point": "pipelines.evaluation.thresholds.operating_point",
    "read_evaluation": "pipelines.evaluation.files",
    "read_foreign_predictions": "pipelines.evaluation.tables",
    "read_predictions": "pipelines.evaluation.tables",
    "summary_lines": "pipelines.evaluation.summary",
    "write_evaluation": "pipelines.evaluation.files",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
