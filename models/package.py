"""The model package: a directory of tensors, JSON and a card; nothing in it is executed when it is read.

    weights.safetensors      the classifier's state
    typicality.safetensors   the training films' place in feature space; absent where a package does not check
    model.json               architecture, input contract, intended use, findings, calibration, operating points,
                             rule-out points, provenance
    README.md                the model card
    training_films.parquet   digests and fingerprints of the films it learned from, without ids; may be absent
    exports/                 the network for other runtimes, each with its check (`models.exports`)

``model_id`` is a hash of the weights and of everything that decides a score (architecture, calibration and, where there
is any, harmonisation) or which films are scored at all (typicality and intended use, where there are any). A point
names the ``model_id`` it was locked on, and belongs to no other. Exports are no part of it: they are other ways of
running the same model.
"""

import hashlib
import json
import shutil
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
from models.typicality import Typicality

SCHEMA: Final = "cxr-triage/model/2"
READABLE: Final = ("cxr-triage/model/1", SCHEMA)
"""The first had no typicality and no intended use: a program that knows only that one would score every film."""
WEIGHTS_FILE: Final = "weights.safetensors"
TYPICALITY_FILE: Final = "typicality.safetensors"
MODEL_FILE: Final = "model.json"
CARD_FILE: Final = "README.md"
EXPORTS_FOLDER: Final = "exports"
TRAINING_FILMS_FILE: Final = "training_films.parquet"
"""What the films that a model learned from can be known by; packages of earlier versions have none."""


@dataclass(frozen=True, slots=True)
class InputContract:
    """What the network expects to be fed."""

    size: int
    """Side of the square in pixels."""
    channels: int = 1
    intensity_range: tuple[float, float] = (0.0, 1.0)
    """Display values; dense tissue is bright."""
    placement: str = "aspect-preserving area resize, centred, background 0"
    harmonisation: Mapping[str, Any] | None = None
    """What is done to each film before it is placed: plain JSON whose meaning belongs to the program; None: nothing."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; harmonisation is named only where there is one."""
        values = {name: value for name, value in asdict(self).items() if name != "harmonisation"}
        return values if self.harmonisation is None else {**values, "harmonisation": dict(self.harmonisation)}


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """The films a model is meant for."""

    views: tuple[str, ...] = ("PA", "AP")
    min_age_years: float | None = None
    """Younger patients are refused; None for no limit. A patient of unknown age is not refused."""
    max_age_years: float | None = None
    """Older patients are refused; None for no limit."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "views": list(self.views)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "IntendedUse":
        """Read what `to_json` wrote."""
        return cls(**{**values, "views": tuple(values["views"])})


@dataclass(frozen=True, slots=True, eq=False)
class ModelPackage:
    """A trained classifier with everything needed to use it and to know where it comes from.

    Operating points, rule-out points, control and provenance are carried as plain JSON: their meaning belongs to the
    program that writes and reads them.
    """

    name: str
    architecture: Architecture
    weights: Mapping[str, Tensor]
    calibration: Mapping[str, Calibration]
    operating_points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    control: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    typicality: Typicality | None = None
    """Which films look like the training films; None: not checked."""
    intended_use: IntendedUse = IntendedUse()
    rule_out_points: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By finding: below which score a film may be filed without a reader; packages of earlier versions have none."""
    harmonisation: Mapping[str, Any] | None = None
    """See `InputContract`."""
    model_id: str = field(init=False)

    def __post_init__(self) -> None:
        missing = [finding for finding in self.architecture.findings if finding not in self.calibration]
        if missing:
            raise ModelError(f"model package {self.name!r}: no calibration for finding {missing[0]!r}")
        identity = compute_model_id(
            self.weights,
            self.architecture,
            self.calibration,
            self.typicality,
            self.intended_use,
            self.harmonisation,
        )
        object.__setattr__(self, "model_id", identity)
        self._refuse_points_of_others("operating", self.operating_points)
        self._refuse_points_of_others("rule-out", self.rule_out_points)

    def _refuse_points_of_others(self, kind: str, points: Mapping[str, Mapping[str, Any]]) -> None:
        for finding, point in points.items():
            if point.get("model_id") != self.model_id:
                raise ModelError(
                    f"model package {self.name!r}: the {kind} point of {finding} was locked on model "
                    f"{point.get('model_id')}, this is model {self.model_id}; lock it again on validation data"
                )

    @property
    def input(self) -> InputContract:
        """What the network expects to be fed."""
        return InputContract(size=self.architecture.size, harmonisation=self.harmonisation)

    def build(self) -> Classifier:
        """Return the classifier with these weights, in evaluation mode, on the CPU."""
        classifier = Classifier(self.architecture)
        classifier.load_state_dict(dict(self.weights))
        return classifier.eval()


def compute_model_id(
    weights: Mapping[str, Tensor],
    architecture: Architecture,
    calibration: Mapping[str, Calibration],
    typicality: Typicality | None = None,
    intended_use: IntendedUse = IntendedUse(),
    harmonisation: Mapping[str, Any] | None = None,
) -> str:
    """Return 16 hex digits that change with any weight and with anything else that decides a score or who gets one."""
    digest = hashlib.sha256()
    contract: dict[str, Any] = {
        "architecture": architecture.to_json(),
        "calibration": {finding: asdict(calibration[finding]) for finding in architecture.findings},
    }
    # Named only where they refuse or change a film, so that packages from before they existed keep their id.
    if typicality is not None:
        contract["typicality"] = typicality.digest()
    if intended_use != IntendedUse():
        contract["intended_use"] = intended_use.to_json()
    if harmonisation is not None:
        contract["harmonisation"] = dict(harmonisation)
    digest.update(json.dumps(contract, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name}:{tensor.dtype}:{list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()[:16]


def save_package(
    package: ModelPackage,
    directory: Path,
    *,
    card: str,
    exports: Path | None = None,
    training_films: Path | None = None,
) -> None:
    """Write a package so that ``directory`` is either absent, the old one, or the whole new one.

    Args:
        package: what to write.
        directory: replaced if it is a model package already, with its exports: they are of the old model.
        card: Markdown text of the model card.
        exports: folder of this very model's exports to copy; one that does not exist is no exports.
        training_films: table to copy as `TRAINING_FILMS_FILE`; one that does not exist is none.

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
        if package.typicality is not None:
            save_file(package.typicality.tensors(), staged / TYPICALITY_FILE)
        (staged / MODEL_FILE).write_text(
            json.dumps(_to_json(package), indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        (staged / CARD_FILE).write_text(card, encoding="utf-8")
        if exports is not None and exports.is_dir():
            shutil.copytree(exports, staged / EXPORTS_FOLDER, ignore=shutil.ignore_patterns(".*"))
        if training_films is not None and training_films.is_file():
            shutil.copyfile(training_films, staged / TRAINING_FILMS_FILE)
        swap_folder(staged, directory, Path(scratch) / "replaced")


def swap_folder(staged: Path, directory: Path, replaced: Path) -> None:
    """Give a staged folder its name; interrupted between the two renames, the old one gets its name back."""
    if not directory.exists():
        staged.replace(directory)
        return
    directory.replace(replaced)
    try:
        staged.replace(directory)
    finally:
        if not directory.exists():
            replaced.replace(directory)


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
        if described.get("schema") not in READABLE:
            raise ModelError(f"{directory}/{MODEL_FILE}: schema is {described.get('schema')!r}, expected {SCHEMA!r}")
        use = described.get("intended_use")
        package = ModelPackage(
            name=described["name"],
            architecture=Architecture.from_json(described["architecture"]),
            weights=load_file(directory / WEIGHTS_FILE),
            calibration={finding: Calibration(**values) for finding, values in described["calibration"].items()},
            control=described["control"],
            provenance=dict(described["provenance"]),
            typicality=_load_typicality(directory, described.get("typicality")),
            intended_use=IntendedUse() if use is None else IntendedUse.from_json(use),
            harmonisation=described["input"].get("harmonisation"),
        )
        stated_id, operating_points = described["model_id"], described["operating_points"]
        rule_out_points = described.get("rule_out_points", {})
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{directory}/{MODEL_FILE} is damaged ({type(error).__name__}: {error})") from None
    except SafetensorError as error:
        raise ModelError(f"{directory}/{WEIGHTS_FILE} is damaged ({error})") from None
    if package.model_id != stated_id:
        raise ModelError(
            f"{directory}: model_id is {stated_id}, but its weights and contract make {package.model_id}; "
            "the package was changed after it was written"
        )
    try:
        return replace(package, operating_points=operating_points, rule_out_points=rule_out_points)
    except AttributeError:
        raise ModelError(f"{directory}/{MODEL_FILE} is damaged: its points are not finding -> point") from None


def _load_typicality(directory: Path, described: Mapping[str, Any] | None) -> Typicality | None:
    path = directory / TYPICALITY_FILE
    if described is None:
        return None
    if not path.is_file():
        raise ModelError(f"{directory} is not a whole model package: {TYPICALITY_FILE} is missing")
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged ({error})") from None
    return Typicality.from_parts(described, tensors)


def _to_json(package: ModelPackage) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "model_id": package.model_id,
        "name": package.name,
        "architecture": package.architecture.to_json(),
        "input": package.input.to_json(),
        "findings": list(package.architecture.findings),
        "calibration": {finding: asdict(value) for finding, value in package.calibration.items()},
        "operating_points": {finding: dict(point) for finding, point in package.operating_points.items()},
        "rule_out_points": {finding: dict(point) for finding, point in package.rule_out_points.items()},
        "control": dict(package.control),
        "provenance": dict(package.provenance),
        "typicality": None if package.typicality is None else package.typicality.to_json(),
        "intended_use": package.intended_use.to_json(),
    }
