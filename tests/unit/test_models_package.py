"""The model package: whole or absent, verified when read, operating points bound to their model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models import Architecture, Calibration, Classifier, ModelPackage, load_package, save_package
from models.errors import ModelError
from models.pretrained import LITE0_BACKBONE, load_pretrained

SMALL = Architecture(backbone="squeezenet1_1", size=64, map_stride=16, neck_width=8)


def make_package(seed: int = 0) -> ModelPackage:
    torch.manual_seed(seed)
    classifier = Classifier(SMALL)
    return ModelPackage(
        name="small",
        architecture=SMALL,
        weights=classifier.state_dict(),
        calibration={"tb": Calibration(1.5, 0.2), "nodule": Calibration()},
        provenance={"note": "test"},
    )


def test_a_package_comes_back_as_it_was_with_the_same_scores(tmp_path: Path) -> None:
    package = make_package()
    point = {"threshold": 0.3, "model_id": package.model_id}
    rule_out = {"threshold": 0.1, "model_id": package.model_id}
    package = replace(package, operating_points={"tb": point}, rule_out_points={"tb": rule_out})
    save_package(package, tmp_path / "p", card="# card\n")
    back = load_package(tmp_path / "p")
    assert back.model_id == package.model_id
    assert (back.operating_points, back.rule_out_points) == ({"tb": point}, {"tb": rule_out})
    assert back.calibration == package.calibration
    film = torch.rand(1, 1, 64, 64)
    assert torch.equal(back.build()(film).logits, package.build()(film).logits)
    assert (tmp_path / "p" / "README.md").read_text() == "# card\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]


def test_the_id_changes_with_weights_architecture_and_calibration_but_not_with_provenance() -> None:
    package = make_package()
    assert replace(package, provenance={"other": 1}, name="x").model_id == package.model_id
    assert make_package(1).model_id != package.model_id
    assert replace(package, calibration={**package.calibration, "tb": Calibration()}).model_id != package.model_id
    assert replace(package, architecture=replace(SMALL, mean=0.5)).model_id != package.model_id


def test_an_operating_point_of_another_model_is_refused() -> None:
    package = make_package()
    with pytest.raises(ModelError, match="was locked on model abc"):
        replace(package, operating_points={"tb": {"threshold": 0.5, "model_id": "abc"}})
    with pytest.raises(ModelError, match="the rule-out point of tb was locked on model abc"):
        replace(package, rule_out_points={"tb": {"threshold": 0.5, "model_id": "abc"}})


def test_a_package_without_rule_out_points_is_still_read(tmp_path: Path) -> None:
    package = make_package()
    save_package(package, tmp_path / "p", card="")
    path = tmp_path / "p" / "model.json"
    described = json.loads(path.read_text())
    del described["rule_out_points"]
    path.write_text(json.dumps(described))
    back = load_package(tmp_path / "p")
    assert (back.model_id, back.rule_out_points) == (package.model_id, {})


def damage_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0xFF
    path.write_bytes(content)


def truncate_weights(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def drop_weights(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()


def break_json(folder: Path) -> None:
    (folder / "model.json").write_text("{")


def other_schema(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": "other/9"}))


def steal_threshold(folder: Path) -> None:
    path = folder / "model.json"
    described = json.loads(path.read_text())
    described["operating_points"] = {"tb": {"threshold": 0.5, "model_id": "0123456789abcdef"}}
    path.write_text(json.dumps(described))


def shapeless_points(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rule_out_points": {"tb": 0.1}}))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage_weights, "changed after it was written"),
        (truncate_weights, "weights.safetensors is damaged"),
        (drop_weights, "weights.safetensors is missing"),
        (break_json, "model.json is damaged"),
        (other_schema, "schema is 'other/9'"),
        (steal_threshold, "was locked on model 0123456789abcdef"),
        (shapeless_points, "its points are not finding -> point"),
    ],
)
def test_damage_is_found_when_the_package_is_read(tmp_path: Path, harm, message: str) -> None:
    save_package(make_package(), tmp_path / "p", card="")
    harm(tmp_path / "p")
    with pytest.raises(ModelError, match=message):
        load_package(tmp_path / "p")


def test_saving_replaces_a_package_but_never_another_folder(tmp_path: Path) -> None:
    save_package(make_package(0), tmp_path / "p", card="one")
    save_package(make_package(1), tmp_path / "p", card="two")
    assert load_package(tmp_path / "p").model_id == make_package(1).model_id
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("keep me")
    with pytest.raises(ModelError, match="is not a model package; choose another folder"):
        save_package(make_package(), tmp_path / "mine", card="")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "keep me"


def test_a_package_is_not_lost_when_its_successor_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_package(make_package(0), tmp_path / "p", card="one")
    rename = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if self.name == "package":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_package(make_package(1), tmp_path / "p", card="two")
    assert load_package(tmp_path / "p").model_id == make_package(0).model_id
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_packaged_lite0_weights_give_imagenet_features() -> None:
    import timm

    state = load_pretrained("lite0", LITE0_BACKBONE)
    assert state is not None
    own = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    own.load_state_dict(state)
    # Trained weights, not noise: batch statistics are far from their initial 0 and 1, and classes are told apart.
    assert float(state["bn1.running_var"].std()) > 0.01
    torch.manual_seed(0)
    with torch.no_grad():
        scores = own.eval()(torch.rand(4, 3, 224, 224) * 2 - 1)
    assert float(scores.std(dim=1).mean()) > 0.5


@pytest.mark.parametrize(
    ("source", "backbone", "message"),
    [
        ("lite0", "resnet18", "lite0 belongs to timm:tf_efficientnet_lite0, found model.backbone resnet18"),
        ("nowhere.pth", "resnet18", "no such file nowhere.pth; expected none, imagenet, lite0"),
        ("imagenet", "timm:resnet18", "imagenet is for torchvision networks"),
    ],
)
def test_pretrained_sources_that_do_not_fit_are_named(source: str, backbone: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_pretrained(source, backbone)


def test_a_weight_file_is_read_and_a_broken_one_named(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": {"module.a": torch.ones(2)}}, path)
    state = load_pretrained(str(path), "resnet18")
    assert state is not None
    assert state["a"].tolist() == [1, 1]
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"w\.pth is not a readable weight file"):
        load_pretrained(str(path), "resnet18")


def test_download_comes_from_one_place_and_says_which_file_to_put_where_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", _no_network)
    with pytest.raises(ModelError, match=r"without a network, put that file from https://.*squeezenet1_1.*\.pth into"):
        load_pretrained("imagenet", "squeezenet1_1")


def _no_network(*_args: object, **_kwargs: object) -> None:
    raise ConnectionError("no route to host")
