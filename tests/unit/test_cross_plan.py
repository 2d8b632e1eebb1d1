"""What a cross-cohort run will do, and what it refuses, before any film is read."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipelines.cross.plan import cells_of, read_cohorts, systems_of, training_of
from pipelines.cross.settings import CrossConfig, load_cross, parse_cross
from pipelines.errors import ConfigError, ManifestError
from pipelines.manifest import write_manifest

LABELS = {"a": ("tb",), "b": ("nodule",), "c": ("tb", "nodule")}


def write_cohorts(path: Path, **change: Any) -> Path:
    """One manifest of three data sets that know tb, nodule, and both; every split has both classes."""
    rows = []
    for dataset, known in LABELS.items():
        for split in ("train", "val", "test"):
            for number in range(4):
                image = f"{dataset}/{split}{number}"
                labels = {finding: float(number % 2) if finding in known else None for finding in ("tb", "nodule")}
                row = {"image_id": image, "path": f"{image}.png", "dataset": dataset, "patient_id": image}
                rows.append(row | {"split": split, "pixel_hash": None} | labels)
    frame = pd.DataFrame(rows)
    for column, by_image in change.items():
        for image, value in by_image.items():
            frame.loc[frame["image_id"] == image, column] = value
    write_manifest(frame, path)
    return path


def config_of(manifest: Path, names: str = "abc", **values: Any) -> CrossConfig:
    cohorts = [{"name": name, "manifest": str(manifest), "datasets": [name]} for name in names]
    return parse_cross({"name": "x", "out": str(manifest.parent / "out"), "cohorts": cohorts} | values, source="x.yaml")


def test_each_cohort_alone_then_all_but_each(tmp_path: Path) -> None:
    config = config_of(write_cohorts(tmp_path / "m.parquet"))
    cohorts = read_cohorts(config)
    systems = systems_of(config, cohorts)
    assert [(s.name, s.cohorts, s.findings) for s in systems] == [
        ("a", ("a",), ("tb",)),
        ("b", ("b",), ("nodule",)),
        ("c", ("c",), ("tb", "nodule")),
        ("all-but-a", ("b", "c"), ("tb", "nodule")),
        ("all-but-b", ("a", "c"), ("tb", "nodule")),
        ("all-but-c", ("a", "b"), ("tb", "nodule")),
    ]
    cells = {cell.name: (cell.findings, cell.at_home) for cell in cells_of(systems, cohorts)}
    assert len(cells) == 18
    assert cells["a--b"] == ((), False)
    assert cells["a--c"] == (("tb",), False)
    assert cells["c--c"] == (("tb", "nodule"), True)
    assert cells["all-but-c--c"] == (("tb", "nodule"), False)
    assert cells["all-but-c--a"] == (("tb",), True)


def test_two_cohorts_or_no_wish_leave_no_unions(tmp_path: Path) -> None:
    manifest = write_cohorts(tmp_path / "m.parquet")
    two = config_of(manifest, "ac")
    assert [system.name for system in systems_of(two, read_cohorts(two))] == ["a", "c"]
    three = config_of(manifest, leave_one_out=False)
    assert [system.name for system in systems_of(three, read_cohorts(three))] == ["a", "b", "c"]


def test_a_cohort_that_teaches_nothing_says_why(tmp_path: Path) -> None:
    negative = {f"a/val{number}": 0.0 for number in range(4)}
    config = config_of(write_cohorts(tmp_path / "m.parquet", tb=negative))
    system = systems_of(config, read_cohorts(config))[0]
    assert system.findings == ()
    assert system.why_not is not None
    assert "tb: 0 films with it and 4 without in split val" in system.why_not
    assert "nodule: 0 films with it and 0 without in split train" in system.why_not


def test_a_model_is_trained_on_its_cohorts_with_the_given_settings(tmp_path: Path) -> None:
    config = config_of(write_cohorts(tmp_path / "m.parquet"), train={"optimisation": {"epochs": 3}, "seed": 7})
    system = systems_of(config, read_cohorts(config))[4]
    run = training_of(config, system, uri="sqlite:///x.db")
    assert [source.manifest.stem for source in run.data] == ["a", "c"]
    assert {source.root for source in run.data} == {tmp_path}
    assert (run.name, run.optimisation.epochs, run.seed, run.findings) == ("all-but-b", 3, 7, ["tb", "nodule"])
    assert run.tracking.register_as is None
    assert run.tracking.uri == "sqlite:///x.db"


def test_a_watched_finding_that_a_model_does_not_learn(tmp_path: Path) -> None:
    config = config_of(write_cohorts(tmp_path / "m.parquet"), train={"validation": {"monitor": "val_auroc_tb"}})
    systems = systems_of(config, read_cohorts(config))
    with pytest.raises(ConfigError, match=r"model b: .*val_auroc_tb, but findings are \['nodule'\]"):
        training_of(config, systems[1], uri="sqlite:///x.db")


def test_one_patient_in_training_here_and_in_test_there_is_refused(tmp_path: Path) -> None:
    digest = "0" * 63 + "1"
    manifest = write_cohorts(tmp_path / "m.parquet", sha256={"a/train0": digest, "c/test1": digest})
    with pytest.raises(ManifestError, match=r"picture.*a/train0 in train and c/test1 in test"):
        read_cohorts(config_of(manifest))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"train": {"out": "x"}}, "out is not given here"),
        (
            {"train": {"optimisation": {"epoch": 3}}},
            "x.yaml: train: unknown key optimisation.epoch .*did you mean epochs",
        ),
        ({"train": {"hardware": {"devices": 2}}}, "asks for 2 processes, expected 1"),
        ({"cohorts": [{"name": "a", "manifest": "m.csv"}]}, "cohorts"),
        ({"cohorts": [{"name": "a", "manifest": "m.csv"}, {"name": "A", "manifest": "n.csv"}]}, "'a' is there twice"),
        ({"cohorts": [{"name": "a--b", "manifest": "m.csv"}, {"name": "c", "manifest": "n.csv"}]}, "cohorts.0.name"),
        ({"evaluation": {"interval": "wald"}}, "evaluation.interval"),
    ],
)
def test_slips_in_the_yaml_are_one_sentence(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    manifest = write_cohorts(tmp_path / "m.parquet")
    with pytest.raises(ConfigError, match="(?s)" + said.replace("(", r"\(")) as error:
        config_of(manifest, **values)
    assert "\n" not in str(error.value)


def test_a_data_set_that_is_not_there_and_a_cohort_without_test_films(tmp_path: Path) -> None:
    manifest = write_cohorts(tmp_path / "m.parquet")
    values: dict[str, Any] = {"cohorts": [{"name": n, "manifest": str(manifest), "datasets": [n]} for n in ("a", "z")]}
    with pytest.raises(ManifestError, match=r"no row of data set 'z', found a, b, c"):
        read_cohorts(config_of(manifest, **values))
    none = {f"b/test{number}": "train" for number in range(4)}
    with pytest.raises(ManifestError, match=r"cohort b has no row of split test"):
        read_cohorts(config_of(write_cohorts(tmp_path / "n.parquet", split=none)))


def test_the_committed_configuration_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXR_DATA", str(tmp_path))
    config = load_cross(Path(__file__).parents[2] / "configs" / "cross.yaml", ["train.optimisation.epochs=1"])
    assert [cohort.name for cohort in config.cohorts] == ["qatar", "nih", "phantom"]
    assert config.train["optimisation"]["epochs"] == 1


def test_a_root_that_is_no_folder_is_told_before_anything_is_read(tmp_path: Path) -> None:
    manifest = write_cohorts(tmp_path / "m.parquet")
    cohorts = [{"name": n, "manifest": str(manifest), "datasets": [n], "root": str(tmp_path / "none")} for n in "ab"]
    with pytest.raises(ConfigError, match=r"cohort a: root .*none is not a folder"):
        read_cohorts(config_of(manifest, cohorts=cohorts))
