"""One adapter per public data set: its native files become manifest rows."""

from pipelines.datasets.adapter import Adapter, DatasetWarning, Option
from pipelines.datasets.build import build_manifest
from pipelines.datasets.registry import ADAPTERS, get_adapter

__all__ = ["ADAPTERS", "Adapter", "DatasetWarning", "Option", "build_manifest", "get_adapter"]
