"""Model packages in MLflow: logged as pyfunc models, and found again by their registry names."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from models.package import MODEL_FILE
from pipelines.errors import PackageError, without_password
from pipelines.evaluation.predictions import SCHEMA
from pipelines.inference.outputs import read_json
from pipelines.version import DISTRIBUTION

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo
    from mlflow.models.signature import ModelSignature

ARTIFACT: Final = "package"
_REMOTE_SCHEMES: Final = ("models:", "runs:", "mlflow-artifacts:", "s3:", "gs:", "http:", "https:", "file:")
_STORE_SCHEMES: Final = ("models:", "runs:")
_SQLITE: Final = "sqlite:///"
_TYPES: Final = {pa.string(): "string", pa.float64(): "double", pa.bool_(): "boolean", pa.int64(): "long"}


def log_pyfunc(package: Path, *, name: str, registered_model_name: str | None = None) -> "ModelInfo":
    """Log a model package to the active MLflow run as a pyfunc model.

    Args:
        package: folder of the package; copied into the run's artifacts.
        name: name of the logged model.
        registered_model_name: also make a new version under this name in the registry.

    Returns:
        What MLflow says of the logged model (its URI, the registered version).
    """
    import mlflow

    described = read_json(package / MODEL_FILE) or {}
    logged: ModelInfo = mlflow.pyfunc.log_model(
        name=name,
        python_model=str(Path(__file__).with_name("mlflow_model.py")),
        artifacts={ARTIFACT: str(package.resolve())},
        registered_model_name=registered_model_name,
        signature=model_signature(),
        # Named, not inferred: inferring would load and run the model in a subprocess to see what it imports.
        pip_requirements=[DISTRIBUTION],
        metadata={"model_id": described.get("model_id"), "findings": described.get("findings")},
    )
    return logged


def model_signature() -> "ModelSignature":
    """Return the pyfunc signature: a column of paths → the columns of the predictions table."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(_TYPES[field.type], field.name, required=not field.nullable) for field in SCHEMA
    ]
    return ModelSignature(inputs=Schema([ColSpec("string", "path")]), outputs=Schema(outputs))


def resolve_model(reference: str | Path, *, tracking_uri: str | None = None) -> Path:
    """Return the local folder of a model package.

    Args:
        reference: a package folder; a folder that MLflow logged one into; or an MLflow address:
            ``models:/NAME@ALIAS``, ``models:/NAME/VERSION``, ``runs:/RUN_ID/NAME``.
        tracking_uri: the MLflow store; None takes MLflow's own setting (``MLFLOW_TRACKING_URI``).

    Raises:
        PackageError: there is no such folder, name, alias, version or run, the store cannot be reached, or what was
            found holds no model package.
    """
    text = str(reference)
    if text.startswith(_REMOTE_SCHEMES):
        return _package_in(_download(text, tracking_uri), text)
    folder = Path(text)
    if folder.is_dir():
        return _package_in(folder, text)
    found = "found a file" if folder.exists() else "no such folder"
    raise PackageError(f"model {text}: {found}; expected a package folder or models:/NAME@ALIAS")


def _download(address: str, tracking_uri: str | None) -> Path:
    import mlflow
    from mlflow.exceptions import MlflowException

    if address.startswith(_STORE_SCHEMES):
        _require_store(address, tracking_uri or mlflow.get_tracking_uri())
    known = mlflow.is_tracking_uri_set()  # type: ignore[no-untyped-call]
    before = mlflow.get_tracking_uri() if known else None
    try:
        if tracking_uri is not None:  # the registry has no argument of its own: it follows the process's setting
            mlflow.set_tracking_uri(tracking_uri)
        folder: str = mlflow.artifacts.download_artifacts(artifact_uri=address)
    except MlflowException as error:
        raise PackageError(f"model {address}: {_sentence(error)}") from None
    except Exception as error:  # noqa: BLE001  stores raise the errors of their databases, clouds and HTTP layers
        raise PackageError(f"model {address}: the model store cannot be read ({type(error).__name__})") from None
    finally:
        if tracking_uri is not None:
            mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None is "not set"
    return Path(folder)


def _require_store(address: str, uri: str) -> None:
    """MLflow would make an empty store where there is none, and then not find the model in it."""
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).is_file():
        raise PackageError(
            f"model {address}: there is no MLflow store {uri}; say which one (MLFLOW_TRACKING_URI or --tracking-uri)"
        )


def _sentence(error: Any) -> str:
    """First line of what MLflow says, which names the missing model, alias, version or run; never a password."""
    first = without_password(str(error).strip().splitlines()[0])
    return first if len(first) <= 300 else f"{first[:300]}…"


def _package_in(folder: Path, reference: str) -> Path:
    """Find the package in what MLflow stored, which keeps it as an artifact beside its own files."""
    if (folder / MODEL_FILE).is_file():
        return folder
    if (folder / "MLmodel").is_file():
        from mlflow.models import Model

        flavor = Model.load(str(folder)).flavors.get("python_function", {})
        stored: str | None = flavor.get("artifacts", {}).get(ARTIFACT, {}).get("path")
        if stored and (folder / stored / MODEL_FILE).is_file():
            return folder / stored
    raise PackageError(f"model {reference}: holds no model package ({MODEL_FILE} is missing)")
