"""The manifest: one row per image; its schema, its files, its splits and the guard against leakage."""

from pipelines.manifest.check import check_manifest, files_present
from pipelines.manifest.files import conform, load_unchecked, manifest_digest, read_manifest, write_manifest
from pipelines.manifest.identity import patient_keys
from pipelines.manifest.leakage import Met, guard_splits, linked_groups, met_in_splits
from pipelines.manifest.problems import Problem
from pipelines.manifest.split import SplitWarning, split_manifest, union_manifests

__all__ = [
    "Met",
    "Problem",
    "SplitWarning",
    "check_manifest",
    "conform",
    "files_present",
    "guard_splits",
    "linked_groups",
    "load_unchecked",
    "manifest_digest",
    "met_in_splits",
    "patient_keys",
    "read_manifest",
    "split_manifest",
    "union_manifests",
    "write_manifest",
]
