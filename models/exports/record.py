"""Export records: what an exported network is, of which model, and how it did against the model it was made from.

    PACKAGE/exports/openvino-int8/
        model.xml, model.bin     or model.onnx; none for PyTorch, whose export is a check alone
        export.json              this record

An export is no part of ``model_id``: it is another way of running the same model, and it says how far it strays.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from models.errors import ModelError
from models.exports.check import Check
from models.package import EXPORTS_FOLDER

SCHEMA: Final = "cxr-triage/export/1"
RECORD_FILE: Final = "export.json"
BACKENDS: Final = {
    "torch": ("bf16",),
    "onnxruntime": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
}
"""Precisions that each backend can be exported in."""
MODEL_FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "torch": (),
    "onnxruntime": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
}
"""What each backend reads; the first is the one that names the others."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way of making an export, and its check."""

    name: str
    check: Check


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """What is written beside an exported network."""

    model_id: str
    backend: str
    precision: str
    files: Mapping[str, str]
    """SHA-256 by file name."""
    versions: Mapping[str, str]
    """Of the libraries that made it."""
    attempts: tuple[Attempt, ...]
    """In the order they were made; the first that passed was kept, or else the one that strayed least."""
    kept: int
    """Which attempt the files are of."""
    speed: float
    """Films per second divided by those of eager fp32, on the machine that made it."""

    @property
    def name(self) -> str:
        """The folder's name."""
        return f"{self.backend}-{self.precision}"

    @property
    def digest(self) -> str:
        """SHA-256 over the digests of its files."""
        return hashlib.sha256(
            "".join(f"{name}:{self.files[name]}\n" for name in sorted(self.files)).encode()
        ).hexdigest()

    @property
    def check(self) -> Check:
        """The check of the attempt that was kept."""
        return self.attempts[self.kept].check

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"schema": SCHEMA, **asdict(self), "passed": self.check.passed}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ExportRecord":
        """Read what `to_json` wrote.

        Raises:
            ModelError: another schema, or values that contradict each other.
            KeyError: a field is missing; likewise `TypeError` and `AttributeError` for one of another type.
        """
        if values["schema"] != SCHEMA:
            raise ModelError(f"schema is {values['schema']!r}, expected {SCHEMA!r}")
        record = cls(
            model_id=str(values["model_id"]),
            backend=values["backend"],
            precision=values["precision"],
            files={str(name): str(digest) for name, digest in values["files"].items()},
            versions=dict(values["versions"]),
            attempts=tuple(Attempt(entry["name"], Check.from_json(entry["check"])) for entry in values["attempts"]),
            kept=values["kept"],
            speed=float(values["speed"]),
        )
        if record.precision not in BACKENDS.get(record.backend, ()):
            raise ModelError(f"backend {record.backend!r} with precision {record.precision!r} is unknown")
        if not isinstance(record.kept, int) or not 0 <= record.kept < len(record.attempts):
            raise ModelError(f"kept is {record.kept!r}, expected one of {len(record.attempts)} attempts")
        if set(record.files) != set(MODEL_FILES[record.backend]) or values["passed"] is not record.check.passed:
            raise ModelError("its fields contradict each other")
        return record


@dataclass(frozen=True, slots=True)
class Export:
    """An exported network on disk."""

    folder: Path
    record: ExportRecord

    @property
    def model_file(self) -> Path | None:
        """What the backend is given; None for PyTorch."""
        names = MODEL_FILES[self.record.backend]
        return self.folder / names[0] if names else None

    def verify(self) -> None:
        """Compare every file with the record.

        Raises:
            ModelError: a file is missing or is not the one that was checked.
        """
        for name, expected in self.record.files.items():
            try:
                found = file_digest(self.folder / name)
            except OSError as error:
                raise ModelError(f"{self.folder / name}: cannot be read ({error.strerror})") from None
            if found != expected:
                raise ModelError(
                    f"{self.folder / name}: is not the file that was checked at export (its sha256 begins with "
                    f"{found[:12]}, expected {expected[:12]}); export the model again"
                )


def read_exports(package: Path, model_id: str) -> list[Export]:
    """Return the exports of a package in the order of their names; their files are not read yet.

    Args:
        package: the package's folder.
        model_id: the package's model.

    Raises:
        ModelError: a record is damaged, or is of another model.
    """
    folders = sorted(path.parent for path in (package / EXPORTS_FOLDER).glob(f"[!.]*/{RECORD_FILE}"))
    return [_read_export(folder, model_id) for folder in folders]


def _read_export(folder: Path, model_id: str) -> Export:
    path = folder / RECORD_FILE
    try:
        record = ExportRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
    except ModelError as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} is damaged ({type(error).__name__})") from None
    if record.model_id != model_id:
        raise ModelError(
            f"{path}: was exported from model {record.model_id}, but the package is model {model_id}; export it again"
        )
    if record.name != folder.name:
        raise ModelError(f"{path}: says {record.name}, but its folder is called {folder.name}")
    return Export(folder, record)


def write_record(record: ExportRecord, folder: Path) -> None:
    """Write the record into the folder that holds the files it names."""
    text = json.dumps(record.to_json(), indent=2, sort_keys=True) + "\n"
    (folder / RECORD_FILE).write_text(text, encoding="utf-8")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
