"""The model package: a directory of tensors, JSON and a card; nothing in it is executed when it is read.

    weights.safetensors   the classifier's state
    model.json            architecture, input contract, findings, calibration, operating points, provenance
    README.md             the model card

``model_id`` is a hash of the weights and of everything that decides a score (architecture and calibration). An
operating point names the ``model_id`` it was locked on, and belongs to no other.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.calibration import Calibration
from models.classifier import Architecture, Classifier
from models.errors import ModelError

SCHEMA: Final = "cxr-triage/model/1"
WEIGHTS_FILE: Final = "weights.safetensors"
MODEL_FILE: Final = "model.json"
CARD_FILE: Final = "README.md"


@dataclass(frozen=True, slots=True)
class InputContract:
    """What the network expects to be fed."""

    size: int
    """Side of the square in pixels."""
    channels: int = 1
    intensity_range: tuple[float, float] = (0.0, 1.0)
    """Display values; dense tissue is bright."""
    placement: str = "aspect-preserving area resize, centred, background 0"


@dataclass(frozen=True, slots=True, eq=False)
class ModelPackage:
    """A trained classifier with everything needed to use it and to know where it comes from.

    Operating points, control and provenance are carried as plain JSON: their meaning belongs to the program that
    writes and reads them.
    """

    name: str
    architecture: Architecture
    weights: Mapping[str, Tensor]
    calibration: Mapping[str, Calibration]
    operating_points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    control: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    model_id: str = field(init=False)

    def __post_init__(self) -> None:
        missing = [finding for finding in self.architecture.findings if finding not in self.calibration]
        if missing:
            raise ModelError(f"model package {self.name!r}: no calibration for finding {missing[0]!r}")
        identity = compute_model_id(self.weights, self.architecture, self.calibration)
        object.__setattr__(self, "model_id", identity)
        for finding, point in self.operating_points.items():
            if point.get("model_id") != identity:
                raise ModelError(
                    f"model package {self.name!r}: the operating point of {finding} was locked on model "
                    f"{point.get('model_id')}, this is model {identity}; lock it again on validation data"
                )

    @property
    def input(self) -> InputContract:
        """What the network expects to be fed."""
        return InputContract(size=self.architecture.size)

    def build(self) -> Classifier:
        """Return the classifier with these weights, in evaluation mode, on the CPU."""
        classifier = Classifier(self.architecture)
        classifier.load_state_dict(dict(self.weights))
        return classifier.eval()


def compute_model_id(
    weights: Mapping[str, Tensor], architecture: Architecture, calibration: Mapping[str, Calibration]
) -> str:
    """Return 16 hex digits that change with any weight and with anything else that decides a score."""
    digest = hashlib.sha256()
    contract = {
        "architecture": architecture.to_json(),
        "calibration": {finding: asdict(calibration[finding]) for finding in architecture.findings},
    }
    digest.update(json.dumps(contract, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:16]


def save_package(package: ModelPackage, directory: Path, *, card: str) -> None:
    """Write a package so that ``directory`` is either absent, the old one, or the whole new one.

    Args:
        package: what to write.
        directory: replaced if it is a model package already.
        card: Markdown text of the model card.

    Raises:
        ModelError: the directory exists and is not a model package.
    """
    if directory.exists() and not (directory / MODEL_FILE).is_file():
        raise ModelError(f"{directory} exists and is not a model package; choose another folder")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as scratch:
        staged = Path(scratch) / "package"
        staged.mkdir()
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in package.weights.items()},
            staged / WEIGHTS_FILE,
        )
        (staged / MODEL_FILE).write_text(
            json.dumps(_to_json(package), indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        (staged / CARD_FILE).write_text(card, encoding="utf-8")
        if directory.exists():
            directory.replace(Path(scratch) / "replaced")
        staged.replace(directory)


def load_package(directory: Path) -> ModelPackage:
    """Read a package and verify that its weights and contract are the ones its ``model_id`` was made of.

    Raises:
        ModelError: names the folder and what is missing, unreadable or does not match.
    """
    for name in (MODEL_FILE, WEIGHTS_FILE):
        if not (directory / name).is_file():
            raise ModelError(f"{directory} is not a model package: {name} is missing")
    try:
        described = json.loads((directory / MODEL_FILE).read_text(encoding="utf-8"))
        if described.get("schema") != SCHEMA:
            raise ModelError(f"{directory}/{MODEL_FILE}: schema is {described.get('schema')!r}, expected {SCHEMA!r}")
        package = ModelPackage(
            name=described["name"],
            architecture=Architecture.from_json(described["architecture"]),
            weights=load_file(directory / WEIGHTS_FILE),
            calibration={finding: Calibration(**values) for finding, values in described["calibration"].items()},
            control=described["control"],
            provenance=described["provenance"],
        )
        stated_id, operating_points = described["model_id"], described["operating_points"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{directory}/{MODEL_FILE} is damaged ({type(error).__name__}: {error})") from None
    except SafetensorError as error:
        raise ModelError(f"{directory}/{WEIGHTS_FILE} is damaged ({error})") from None
    if package.model_id != stated_id:
        raise ModelError(
            f"{directory}: model_id is {stated_id}, but its weights and contract make {package.model_id}; "
            "the package was changed after it was written"
        )
    return replace(package, operating_points=operating_points)


def _to_json(package: ModelPackage) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model_id": package.model_id,
        "name": package.name,
        "architecture": package.architecture.to_json(),
        "input": asdict(package.input),
        "findings": list(package.architecture.findings),
        "calibration": {finding: asdict(value) for finding, value in package.calibration.items()},
        "operating_points": {finding: dict(point) for finding, point in package.operating_points.items()},
        "control": dict(package.control),
        "provenance": dict(package.provenance),
    }
