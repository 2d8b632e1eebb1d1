"""Export records: what a check counts, and records that are not believed."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from models import Architecture, Calibration, Classifier, ModelPackage, fit_typicality
from models.errors import ModelError
from models.exports import (
    LIMITS,
    SCOPES,
    Attempt,
    AurocPair,
    ExportRecord,
    Limits,
    compare,
    file_digest,
    read_exports,
    write_record,
)
from models.runtime import NetworkOutput

FILMS = 20


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    architecture = Architecture(backbone="squeezenet1_1", findings=("tb",), size=64, map_stride=16, neck_width=16)
    rng = np.random.default_rng(0)
    bare = ModelPackage(
        "made up",
        architecture,
        Classifier(architecture).state_dict(),
        {"tb": Calibration(temperature=2.0, offset=1.0)},
        typicality=fit_typicality(rng.normal(size=(60, 4)), rng.normal(size=(60, 4))),
    )
    return replace(bare, operating_points={"tb": {"model_id": bare.model_id, "threshold": 0.5}})


def output(logits: np.ndarray, *, far: int = 0) -> NetworkOutput:
    """Maps peak at cell 5 with twice the logit, at cell 9 with a little less; the first films lie far from all."""
    maps = torch.zeros(len(logits), 1, 4, 4)
    maps.view(len(logits), -1)[:, 5], maps.view(len(logits), -1)[:, 9] = 4.0, 3.0
    features = np.zeros((len(logits), 4), np.float32)
    features[:far] = 100.0
    return NetworkOutput(logits.astype(np.float32)[:, None], maps, features)


def check_of(package: ModelPackage, export: NetworkOutput, **values):
    model = output(np.linspace(-3, 5, FILMS))
    return compare(package, model, export, limits=LIMITS[values.pop("precision", "int8")], **values)


def test_the_same_outputs_pass_every_limit(package):
    check = check_of(package, output(np.linspace(-3, 5, FILMS)), precision="fp32")
    assert (check.max_dp, check.mean_dp, check.peak_loss, check.verdicts_changed) == (0, 0, 0, 0)
    assert check.passed


def test_a_probability_that_strays_is_measured_through_the_calibration(package):
    logits = np.linspace(-3, 5, FILMS)
    logits[7] += 0.2
    check = check_of(package, output(logits))
    p = 1 / (1 + np.exp(-(np.array([logits[7], logits[7] - 0.2]) - 1) / 2))
    assert check.max_dp == pytest.approx(p[0] - p[1], rel=1e-4)
    assert check.mean_dp == pytest.approx((p[0] - p[1]) / FILMS, rel=1e-4)
    assert not check.passed
    assert check.failures() == [f"a probability differs by {check.max_dp:.2g}, limit 0.01"]


def test_flags_are_counted_at_the_locked_threshold(package):
    logits = np.linspace(-3, 5, FILMS)
    moved = np.where(np.abs(logits - 1) < 0.3, 2 - logits, logits)  # mirrored at the threshold's logit
    assert check_of(package, output(moved)).flags_changed == {"tb": int((np.abs(logits - 1) < 0.3).sum())}
    assert check_of(package, output(moved)).flags_changed["tb"] > 0


def test_a_peak_elsewhere_costs_what_the_models_map_shows_less_there(package):
    export = output(np.linspace(-3, 5, FILMS))
    export.maps.view(FILMS, -1)[3, 9] = 5.0
    check = check_of(package, export)
    assert check.peak_loss == pytest.approx(1 / (1 + np.exp(-1.5)) - 1 / (1 + np.exp(-1.0)), rel=1e-5)
    assert not check.passed
    export.maps.view(FILMS, -1)[3, 0] = 90.0
    assert check_of(package, export).peak_loss == pytest.approx(1 / (1 + np.exp(-1.5)) - 1 / (1 + np.exp(0.5)))


def test_films_told_apart_otherwise_fail(package):
    check = check_of(package, output(np.linspace(-3, 5, FILMS), far=2))
    assert check.verdicts_changed == 2
    assert check.failures() == ["2 of 20 films are told apart otherwise (typical or not), limit 1%"]


@pytest.mark.parametrize("part", [0, 1, 2])
def test_what_is_not_a_number_fails(package, part):
    parts = [np.asarray(value).copy() for value in output(np.linspace(-3, 5, FILMS))]
    parts[part][4] = np.nan
    assert not check_of(package, NetworkOutput(parts[0], torch.from_numpy(parts[1]), parts[2])).passed


def test_auroc_has_a_limit_of_its_own(package):
    same = output(np.linspace(-3, 5, FILMS))
    assert check_of(package, same, auroc={"tb": AurocPair(0.9, 0.8985, 10, 10)}).passed
    failed = check_of(package, same, auroc={"tb": AurocPair(0.9, 0.897, 10, 10)})
    assert failed.failures() == ["AUROC of tb is 0.8970 instead of 0.9000, limit 0.002"]


def test_scopes_go_from_all_layers_to_few():
    layers = [
        {"first": first, "depthwise": depthwise, "head": head, "reduction": reduction}
        for first in (True, False)
        for depthwise in (True, False)
        for head in (True, False)
        for reduction in (0, 1, 4, 16, 32)
    ]
    left = [{number for number, layer in enumerate(layers) if scope.leaves_out(**layer)} for scope in SCOPES]
    assert not left[0]
    assert all(fewer < more for fewer, more in pairwise(left))


def stored(package: ModelPackage, folder, **changes) -> None:
    """Write an export whose only file holds a word."""
    home = folder / "exports" / "onnxruntime-fp32"
    home.mkdir(parents=True)
    (home / "model.onnx").write_text("network")
    fields = {
        "model_id": package.model_id,
        "backend": "onnxruntime",
        "precision": "fp32",
        "files": {"model.onnx": file_digest(home / "model.onnx")},
        "versions": {"onnxruntime": "1"},
        "attempts": (Attempt("as it is", check_of(package, output(np.linspace(-3, 5, FILMS)))),),
        "kept": 0,
        "speed": 1.5,
    }
    write_record(ExportRecord(**(fields | changes)), home)


def test_a_record_comes_back_as_it_was_written(package, tmp_path):
    stored(package, tmp_path)
    (tmp_path / "exports" / ".onnxruntime-int8.tmp").mkdir()
    (export,) = read_exports(tmp_path, package.model_id)
    assert (export.record.name, export.record.speed, export.record.check.films) == ("onnxruntime-fp32", 1.5, FILMS)
    assert export.record.check.limits == Limits(
        **json.loads(json.dumps(export.record.to_json()))["attempts"][0]["check"]["limits"]
    )
    export.verify()
    (export.folder / "model.onnx").write_text("another")
    with pytest.raises(ModelError, match="is not the file that was checked at export"):
        export.verify()
    (export.folder / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx: cannot be read"):
        export.verify()


def test_an_export_of_another_model_is_refused(package, tmp_path):
    stored(package, tmp_path, model_id="0123456789abcdef")
    with pytest.raises(ModelError, match="was exported from model 0123456789abcdef"):
        read_exports(tmp_path, package.model_id)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(schema="cxr-triage/export/9"),
        lambda d: d.pop("attempts"),
        lambda d: d.update(attempts=[]),
        lambda d: d.update(kept=-1),
        lambda d: d.update(passed=False),
        lambda d: d.update(files={}),
        lambda d: d.update(files={"../model.onnx": "0"}),
        lambda d: d.update(precision="bf16"),
        lambda d: d.update(backend=["torch"]),
        lambda d: d.update(speed="fast"),
        lambda d: d["attempts"][0]["check"].update(max_dp="small"),
        lambda d: d["attempts"][0]["check"].update(max_dp=0.5),
    ],
)
def test_a_damaged_record_is_one_sentence(package, tmp_path, damage):
    stored(package, tmp_path)
    path = tmp_path / "exports" / "onnxruntime-fp32" / "export.json"
    values = json.loads(path.read_text())
    damage(values)
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match=r"export\.json is damaged"):
        read_exports(tmp_path, package.model_id)
    path.write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"export\.json is damaged \(RecursionError\)"):
        read_exports(tmp_path, package.model_id)
