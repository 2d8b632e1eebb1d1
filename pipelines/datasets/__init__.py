"""One adapter per public data set: its native files become manifest rows."""

from pipelines.datasets.adapter import Adapter, DatasetWarning, Option
from pipelines.datasets.build import ADAPTERS, build_manifest, get_adapter

__all__ = ["ADAPTERS", "Adapter", "DatasetWarning", "Option", "build_manifest", "get_adapter"]
