"""Exported networks of a model package: making them, checking them, finding them again."""

from models.exports.check import LIMITS, AurocPair, Check, Limits, compare, probabilities
from models.exports.record import (
    BACKENDS,
    MODEL_FILES,
    Attempt,
    Export,
    ExportRecord,
    file_digest,
    read_exports,
    write_record,
)
from models.exports.scope import SCOPES, Scope

__all__ = [
    "BACKENDS",
    "LIMITS",
    "MODEL_FILES",
    "SCOPES",
    "Attempt",
    "AurocPair",
    "Check",
    "Export",
    "ExportRecord",
    "Limits",
    "Scope",
    "compare",
    "file_digest",
    "probabilities",
    "read_exports",
    "write_record",
]
