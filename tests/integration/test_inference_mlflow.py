"""A model package in MLflow: logged, found by its alias, and scored in a process that knows nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch

from models import load_package
from pipelines.errors import PackageError
from pipelines.evaluation.predictions import COLUMNS
from pipelines.inference import Predictor, resolve_model
from tests.inference_films import mixed_folder, tiny_package

HOME = Path(__file__).resolve().parents[2]

LOG = """
import sys
from pathlib import Path
import mlflow
from pipelines.inference.registry import log_pyfunc

mlflow.set_experiment("test")
with mlflow.start_run() as run:
    info = log_pyfunc(Path(sys.argv[1]), name="tiny", registered_model_name="triage")
mlflow.MlflowClient().set_registered_model_alias("triage", "champion", info.registered_model_version)
print(run.info.run_id, info.registered_model_version)
"""

LOAD = """
import sys
import mlflow, pandas as pd

model = mlflow.pyfunc.load_model("models:/triage@champion")
paths = sys.argv[2:]
model.predict(pd.DataFrame({"path": paths})).to_json(sys.argv[1], orient="records", double_precision=15)
assert model.metadata.signature.inputs.input_names() == ["path"]
assert model.predict({"path": paths[:1]}).shape == (1, COLUMNS)
""".replace("COLUMNS", str(len(COLUMNS)))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A registry in SQLite that another process filled; its environment, and what that process said."""
    folder = tmp_path_factory.mktemp("mlflow")
    tiny_package(folder / "package")
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "PYTHONPATH": str(HOME),
        # As many threads as here: another number adds up in another order.
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    done = subprocess.run(
        [sys.executable, "-c", LOG, str(folder / "package")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run_id, version = done.stdout.split()[-2:]
    return folder, environment, run_id, version


def test_pyfunc_in_a_clean_process_gives_the_predictors_scores(store, tmp_path):
    folder, environment, _, _ = store
    films = mixed_folder(tmp_path / "films")
    paths = [str(films / name) for name in ("film1.png", "letter", "cine.dcm", "study/IM000001", "absent")]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "rows.json"), *paths],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    expected = Predictor.from_package(folder / "package")(paths)
    assert [list(row) for row in rows] == [list(COLUMNS)] * 5
    for row, wanted in zip(rows, expected.to_dict("records"), strict=True):
        for column, value in wanted.items():
            if pd.isna(value):
                assert row[column] is None
            elif isinstance(value, float):
                # Alone in a batch of other threads: equal to rounding.
                assert row[column] == pytest.approx(value, rel=1e-5)
            else:
                assert row[column] == value


@pytest.mark.parametrize("form", ["models:/triage@champion", "models:/triage/{version}", "runs:/{run_id}/tiny"])
def test_addresses_lead_to_the_package(store, form):
    folder, environment, run_id, version = store
    found = resolve_model(form.format(version=version, run_id=run_id), tracking_uri=environment["MLFLOW_TRACKING_URI"])
    assert load_package(found).model_id == load_package(folder / "package").model_id


def test_local_folders_lead_to_the_package(store):
    folder, _, _, _ = store
    assert resolve_model(folder / "package") == folder / "package"
    logged = next(path.parent for path in folder.rglob("MLmodel"))
    assert load_package(resolve_model(str(logged))).model_id == load_package(folder / "package").model_id


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("models:/triage@nobody", "alias nobody not found"),
        ("models:/unknown@champion", r"unknown.*not found"),
        ("models:/triage/99", r"version=99\) not found"),
        ("models:/triage", "Logged model with ID 'triage' not found"),
        ("runs:/0123456789abcdef0123456789abcdef/tiny", "0123456789abcdef0123456789abcdef not found"),
    ],
)
def test_what_is_not_in_the_registry_is_one_sentence(store, reference, expected):
    _, environment, _, _ = store
    with pytest.raises(PackageError, match=f"(?i)model {reference}: .*{expected}") as raised:
        resolve_model(reference, tracking_uri=environment["MLFLOW_TRACKING_URI"])
    assert "\n" not in str(raised.value)


def test_store_that_cannot_be_reached_is_one_sentence(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(PackageError, match="model models:/triage@champion: ") as raised:
        resolve_model("models:/triage@champion", tracking_uri="http://127.0.0.1:9")
    assert "\n" not in str(raised.value)


def test_no_store_is_made_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(None)  # training in this process may have set one
    try:
        for uri in (None, f"sqlite:///{tmp_path / 'absent.db'}"):
            with pytest.raises(PackageError, match="there is no MLflow store sqlite:///"):
                resolve_model("models:/triage@champion", tracking_uri=uri)
    finally:
        mlflow.set_tracking_uri(before)
    assert not list(tmp_path.iterdir())


def test_local_reference_that_is_no_package_is_one_sentence(tmp_path):
    with pytest.raises(PackageError, match="holds no model package"):
        resolve_model(tmp_path)
    with pytest.raises(PackageError, match=r"no such folder; expected a package folder or models:/NAME@ALIAS"):
        resolve_model(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    with pytest.raises(PackageError, match="found a file"):
        resolve_model(tmp_path / "file")


def test_a_password_in_the_address_of_a_store_is_never_said(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(PackageError) as caught:
        resolve_model("models:/triage@champion", tracking_uri="http://user:secret@127.0.0.1:9")
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
