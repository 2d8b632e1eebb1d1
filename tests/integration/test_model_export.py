"""Ways of running one model: exports that are checked, chosen and refused, and the same scores from each way of use."""

import json
import socket
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import tests.inference_films
from models import CalibratedClassifier, load_package
from models.exports import check as checks
from models.exports import read_exports
from models.runtime import libraries
from pipelines.errors import CxrError, PackageError
from pipelines.inference import Predictor, backends
from pipelines.inference.backends import BackendWarning
from pipelines.inference.decode import decode_batch
from pipelines.manifest import conform, read_manifest, write_manifest
from pipelines.training import train
from tests.inference_films import tiny_package, write_png
from tests.training_runs import tiny_config, write_cohort

FILMS = 24


@pytest.fixture(autouse=True)
def _quiet_store(monkeypatch):
    monkeypatch.setattr("pipelines.training.finish._log", lambda *_: None)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A folder of films with a manifest; every third one is positive."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for number in range(FILMS):
        write_png(folder / f"film{number}.png", number)
        tb = float(number % 3 == 0)
        rows.append({"image_id": f"a/{number}", "path": f"film{number}.png", "dataset": "a", "split": "val", "tb": tb})
    write_manifest(conform(pd.DataFrame(rows)), folder / "manifest.parquet")
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A network that exporters are quick with."""
    monkeypatch.setattr(tests.inference_films, "BACKBONE", "squeezenet1_1")
    tiny_package(tmp_path / "package")
    return tmp_path / "package"


@pytest.fixture
def alone(tmp_path, monkeypatch) -> Path:
    """No network, and a home directory of our own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection was tried"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))
    return home


def needed(*names: str) -> None:
    """Skip without these libraries; importing them here would start OpenVINO's telemetry before it is refused."""
    for name in names:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def faster(package: Path, name: str, **changes) -> None:
    """Write into a record what another machine could have measured."""
    path = package / "exports" / name / "export.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def scores(package: Path, films: Path, **options) -> np.ndarray:
    table = Predictor.from_package(package, device="cpu", **options)(sorted(films.glob("*.png")))
    assert (table["status"] == "ok").all()
    return table[["p_tb", "p_nodule"]].to_numpy()


def test_openvino_is_checked_chosen_kept_and_refused_when_changed(cxr, package, films, alone, tmp_path):
    needed("openvino")
    expected = scores(package, films, backend="torch")
    command = ("model", "export", package, "--backend", "openvino", "--precision", "fp32")
    code, out, err = cxr(*command, "--films", films / "manifest.parquet")
    assert code == 0, err
    assert "export openvino-fp32: passed its check" in out
    assert "AUROC of tb" in out
    assert not list(alone.iterdir()), "nothing is written in the home directory"
    assert sys.modules.get("openvino_telemetry") is None
    record = read_exports(package, load_package(package).model_id)[0].record
    assert record.check.films == FILMS
    assert record.check.max_dp < 1e-5
    assert (record.check.auroc["tb"].positives, record.check.auroc["tb"].negatives) == (8, 16)
    np.testing.assert_allclose(scores(package, films, backend="openvino", precision="fp32"), expected, atol=1e-5)
    assert [path.name for path in (package / "exports").iterdir()] == ["openvino-fp32"]
    for speed, chosen in ((3.0, "openvino"), (0.5, "torch")):
        faster(package, "openvino-fp32", speed=speed)
        assert Predictor.from_package(package, device="cpu").backend == chosen
    faster(package, "openvino-fp32", speed=3.0)
    predictor = Predictor.from_package(package, device="cpu", streams=4, batch_size=5)
    assert predictor.describe() == "cpu: openvino fp32, 4 streams, batches of 5"
    assert predictor.export_digest == record.digest
    np.testing.assert_allclose(scores(package, films, streams=4, batch_size=5), expected, atol=1e-5)
    assert "export openvino-fp32: passed its check; 3.00 times" in cxr("model", "show", package)[1]
    weights = package / "exports" / "openvino-fp32" / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(PackageError, match="is not the file that was checked at export"):
        Predictor.from_package(package, device="cpu")
    assert Predictor.from_package(package, device="cpu", backend="torch").export_digest is None


def test_onnx_runtime_gives_the_models_scores_and_lies_in_a_copy(cxr, package, films, tmp_path):
    needed("onnxruntime", "onnx", "onnxscript")
    copy = tmp_path / "copy"
    code, _, err = cxr("model", "export", package, "--backend", "onnxruntime", "--films", films, "--out", copy)
    assert code == 0, err
    assert "AUROC is not compared" in err
    assert not (package / "exports").exists()
    found = scores(copy, films, backend="onnxruntime", precision="fp32", streams=3, batch_size=4)
    np.testing.assert_allclose(found, scores(package, films), atol=1e-5)
    assert sorted(path.name for path in (copy / "exports" / "onnxruntime-fp32").iterdir()) == [
        "export.json",
        "model.onnx",
    ]
    tiny_package(tmp_path / "other", seed=5)
    (copy / "exports").rename(tmp_path / "other" / "exports")
    with pytest.raises(PackageError, match="was exported from model"):
        Predictor.from_package(tmp_path / "other", device="cpu")


def test_an_export_that_fails_is_kept_never_chosen_and_used_only_by_name(cxr, package, films, monkeypatch):
    strict = checks.Limits(probability=1e-9, auroc=0.002, peak=0.05, verdicts=0.01)
    monkeypatch.setitem(checks.LIMITS, "bf16", strict)
    command = ("model", "export", package, "--backend", "torch", "--precision", "bf16", "--films", films)
    code, out, _ = cxr(*command)
    assert code == 1
    assert "FAILED its check" in out
    assert "missed: a probability differs by" in out
    faster(package, "torch-bf16", speed=9.0)
    assert Predictor.from_package(package, device="cpu").precision == "fp32"
    with pytest.warns(BackendWarning, match="torch in bf16 failed its check against the model: a probability differs"):
        predictor = Predictor.from_package(package, device="cpu", backend="torch", precision="bf16")
    assert predictor.precision == "bf16"
    monkeypatch.setitem(checks.LIMITS, "bf16", checks.Limits(0.5, 0.5, 1.0, 1.0))
    assert cxr(*command)[0] == 0
    faster(package, "torch-bf16", speed=9.0)
    for fast, chosen in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(backends, "bf16_is_fast", lambda fast=fast: fast)
        assert Predictor.from_package(package, device="cpu").precision == chosen


def test_int8_takes_ranges_and_check_from_different_films(cxr, package, films):
    needed("openvino", "nncf")
    code, out, err = cxr("model", "export", package, "--precision", "int8", "--films", films)
    record = read_exports(package, load_package(package).model_id)[0].record
    assert code == (0 if record.check.passed else 1), err
    assert "ranges of int8 were taken from 12 other films" in out
    assert record.check.films == 12
    assert record.attempts[-1].check.passed or len(record.attempts) == 5
    assert record.check.max_dp == min(attempt.check.max_dp for attempt in record.attempts) or record.check.passed
    found = Predictor.from_package(package, device="cpu", backend="openvino", precision="int8")
    assert found.runtime.precision == "int8"
    assert 0 < record.check.max_dp < 0.5
    half = sorted(films.glob("*.png"))[:6]
    plain = Predictor.from_package(package, device="cpu", backend="torch")(half)["p_tb"]
    assert np.abs(found(half)["p_tb"] - plain).max() < 0.5


def test_what_cannot_be_exported_or_run_is_one_sentence(cxr, package, films, tmp_path, monkeypatch):
    export = ("model", "export", package, "--films", films)
    for arguments, message in (
        (("--backend", "torch", "--precision", "int8"), "backend 'torch' with precision 'int8' cannot be exported"),
        (("--precision", "int8", "--limit", "15"), "found 15 films, expected at least 20"),
        (("--limit", "9"), "9 of 9 films can be read for this model, expected at least 10"),
        (("--backend", "torch", "--precision", "bf16", "--out", films), "is not a model package"),
    ):
        code, out, err = cxr(*export, *arguments)
        assert (code, out) == (2, ""), err
        assert message in err
    assert not (package / "exports").exists() or not list((package / "exports").iterdir())
    for options, message in (
        ({"backend": "tensorrt"}, "backend 'tensorrt' is unknown"),
        ({"precision": "int4"}, "precision 'int4' is unknown"),
        ({"precision": "int8"}, "precision 'int8' needs an export"),
        ({"backend": "openvino"}, "the package holds no openvino export; make one with"),
        ({"backend": "onnxruntime", "precision": "int8"}, "no onnxruntime export in int8"),
    ):
        with pytest.raises(CxrError, match=message):
            Predictor.from_package(package, device="cpu", **options)


def test_a_library_that_is_absent_is_named_with_its_extra(cxr, package, films, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    code, _, err = cxr("model", "export", package, "--films", films)
    assert code == 2
    assert "openvino is not installed; install it with: pip install 'cxr-triage[openvino]'" in err
    assert libraries.EXTRAS["nncf"] == "openvino"


def test_interrupted_an_export_leaves_the_one_before(cxr, package, films, monkeypatch):
    command = ("model", "export", package, "--backend", "torch", "--precision", "bf16", "--films", films)
    assert cxr(*command)[0] in (0, 1)
    before = (package / "exports" / "torch-bf16" / "export.json").read_bytes()
    monkeypatch.setattr("pipelines.inference.export.write_record", _interrupt)
    assert cxr(*command)[0] == 130
    assert [path.name for path in (package / "exports").iterdir()] == ["torch-bf16"]
    assert (package / "exports" / "torch-bf16" / "export.json").read_bytes() == before


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("trained_in", "precision"), [("32-true", "fp32"), ("bf16-mixed", "bf16")])
def test_scores_are_those_of_training(tmp_path, trained_in, precision):
    """What validation said at the end of training is what the predictor says of the same files.

    Probabilities agree within 1e-5 in fp32, within 1e-3 where both run in bf16.
    """
    manifest = write_cohort(tmp_path / "films", films=36)
    hardware = {"device": "cpu", "precision": trained_in}
    config = tiny_config(tmp_path / "run", manifest, optimisation={"epochs": 2}, hardware=hardware)
    assert train(config) is not None
    expected = pd.read_parquet(config.out / "validation.parquet").set_index("image_id")
    paths = read_manifest(manifest).set_index("image_id").loc[expected.index, "path"]
    files = [manifest.parent / path for path in paths]
    predictor = Predictor.from_package(config.out / "package", device="cpu", precision=precision, streams=2)
    images = decode_batch(files, range(len(files)), predictor.request()).images
    rows, near = predictor(files), {"fp32": 1e-5, "bf16": 1e-3}[precision]
    module = CalibratedClassifier(predictor.package)
    with torch.inference_mode():
        plain = module(images).numpy()
    for column, finding in enumerate(module.findings):
        np.testing.assert_allclose(rows[f"p_{finding}"], expected[f"p_{finding}"], atol=near, rtol=0)
        if precision == "fp32":
            np.testing.assert_allclose(plain[:, column], rows[f"p_{finding}"], atol=near, rtol=0)
    assert expected["p_tb"].std() > 1e-3
