"""The findings this project flags, in the order of every table, tensor and report."""

from typing import Final, Literal

FINDINGS: Final = ("tb", "nodule")
"""Manifest columns and model outputs, in order."""

FINDING_NAMES: Final = {"tb": "pulmonary tuberculosis", "nodule": "lung nodule or mass"}
"""What a reader is told each finding is."""

ConsensusRule = Literal["any", "majority", "all", "mean"]
"""How several readers' words on one film become its label: `pipelines.datasets.readings`."""
