"""A whole cross-cohort matrix on tiny films: its cells, its page, its MLflow runs, interruption, several processes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

from pipelines.cross import CrossMatrix
from pipelines.cross.matrix import CSV_FILE, JSON_FILE, PAGE_FILE, Task
from pipelines.cross.records import Cross
from pipelines.cross.settings import CrossConfig, parse_cross
from pipelines.errors import ConfigError
from pipelines.inference.folder_lock import locked
from pipelines.manifest import read_manifest, union_manifests, write_manifest
from pipelines.statistics.auroc import auroc_delong
from tests.integration.conftest import Run
from tests.training_runs import write_cohort

TRAIN = {
    "model": {"backbone": "squeezenet1_1", "size": 96, "map_stride": 8, "neck_width": 16},
    "optimisation": {"epochs": 1, "batch_size": 8, "learning_rate": 2e-3},
    "hardware": {"device": "cpu"},
}


@pytest.fixture(autouse=True)
def _quiet_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two data sets in one manifest; the second knows tuberculosis alone."""
    root = tmp_path_factory.mktemp("films")
    frames = []
    for seed, (name, unknown) in enumerate({"one": (), "two": ("nodule",)}.items()):
        frame = read_manifest(write_cohort(root / name, seed=seed, name=name, unknown=unknown))
        frame["split"] = np.where(np.arange(len(frame)) % 12 < 4, "test", frame["split"])
        frames.append(frame)
    write_manifest(union_manifests(frames, prefixes=["one", "two"]), root / "both.parquet")
    return root / "both.parquet"


def config_of(manifest: Path, out: Path, **train: object) -> CrossConfig:
    cohorts = [{"name": name, "manifest": str(manifest), "datasets": [name]} for name in ("one", "two")]
    values = {"name": "tiny", "out": str(out), "cohorts": cohorts, "train": TRAIN | train}
    return parse_cross(values | {"evaluation": {"replicates": 100}}, source="test")


def ignore(_done: int, _total: int) -> None:
    """No progress is shown."""


def do_all(run: CrossMatrix, before: Callable[[Task], None] = lambda _task: None) -> list[str]:
    outcomes = []
    for task in run.tasks():
        before(task)
        outcomes.append(run.do(task, ignore))
    return outcomes


@pytest.fixture(scope="module")
def finished(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[CrossConfig, Cross]:
    config = config_of(manifest, tmp_path_factory.mktemp("cross") / "out")
    run = CrossMatrix(config)
    run.claim()
    assert do_all(run) == ["done"] * 6
    return config, run.collect()


def test_every_cell_holds_what_its_predictions_say(finished: tuple[CrossConfig, Cross], manifest: Path) -> None:
    config, cross = finished
    labels = read_manifest(manifest).set_index("image_id")
    seen = {}
    for cell in cross.cells:
        assert cell.evaluation is not None
        predictions = pd.read_csv(config.out / cell.evaluation / ".." / "predictions" / "predictions.csv")
        for part in cell.findings:
            seen[cell.system, cell.cohort, part.finding] = cell.at_home
            scored = predictions[predictions["status"] == "ok"]
            truth = labels.loc[scored["image_id"], part.finding].to_numpy(dtype=float)
            expected = auroc_delong(truth, scored[f"p_{part.finding}"].to_numpy())
            assert part.n == len(scored)
            assert part.numbers["auroc"].value == expected.value
            assert {"sensitivity", "specificity", "control_auroc", "observed_expected"} <= set(part.numbers)
    assert seen == {
        ("one", "one", "tb"): True,
        ("one", "one", "nodule"): True,
        ("one", "two", "tb"): False,
        ("two", "one", "tb"): False,
        ("two", "two", "tb"): True,
    }


def test_files_of_the_matrix(finished: tuple[CrossConfig, Cross]) -> None:
    config, cross = finished
    assert Cross.model_validate_json((config.out / JSON_FILE).read_text()) == cross
    assert cross.unfinished == 0
    table = pd.read_csv(config.out / CSV_FILE)
    found = table[(table["metric"] == "auroc") & (table["system"] == "two") & (table["cohort"] == "one")]
    cell = next(cell for cell in cross.cells if (cell.system, cell.cohort) == ("two", "one"))
    assert found["value"].tolist() == [cell.findings[0].numbers["auroc"].value]
    assert not found["at_home"].any()
    page = (config.out / PAGE_FILE).read_text(encoding="utf-8")
    assert page.count("<svg") == 1  # nodule is in one cell alone, so it has a table and no matrix
    for title in ("one on one", "one on two", "two on one", "two on two"):
        assert f"<bdi>{title}</bdi>" in page
    assert str(config.out) not in page


def test_mlflow_shows_one_parent_with_its_models_below(finished: tuple[CrossConfig, Cross]) -> None:
    config, cross = finished
    client = MlflowClient(f"sqlite:///{config.out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("cxr-triage")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"tiny", "one", "two"}
    parent = runs["tiny"]
    assert parent.info.status == "FINISHED"
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in ("one", "two")} == {parent.info.run_id}
    cell = cross.cells[1]
    number = cell.findings[0].numbers["auroc"].value
    assert parent.data.metrics["tb.auroc.one--two"] == number
    assert runs["one"].data.metrics["on-two/tb/auroc"] == number
    assert {item.path for item in client.list_artifacts(parent.info.run_id, "cross")} == {
        f"cross/{name}" for name in (JSON_FILE, CSV_FILE, PAGE_FILE)
    }


def test_called_again_it_does_nothing_and_logs_nothing_twice(finished: tuple[CrossConfig, Cross]) -> None:
    config, cross = finished
    again = CrossMatrix(config)
    again.claim()
    assert do_all(again) == ["done already"] * 6
    assert again.collect() == cross
    client = MlflowClient(f"sqlite:///{config.out / 'mlflow.db'}")
    parent = (config.out / "mlflow_run_id").read_text().strip()
    assert len(client.get_metric_history(parent, "tb.auroc.one--two")) == 1


def test_interrupted_it_goes_on_and_ends_with_the_same_numbers(
    finished: tuple[CrossConfig, Cross], manifest: Path, tmp_path: Path
) -> None:
    config = config_of(manifest, tmp_path / "out")
    first = CrossMatrix(config)
    first.claim()
    first.do(first.tasks()[0], ignore)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.do(first.tasks()[1], stop)
    half = first.collect()
    assert half.unfinished == 4
    assert {cell.why_not for cell in half.cells} == {"not done yet"}
    second = CrossMatrix(config)
    second.claim()
    assert do_all(second) == ["done already", *["done"] * 5]
    numbers = [[part.numbers for part in cell.findings] for cell in second.collect().cells]
    assert numbers == [[part.numbers for part in cell.findings] for cell in finished[1].cells]


def test_processes_beside_each_other_share_the_work(manifest: Path, tmp_path: Path) -> None:
    config = config_of(manifest, tmp_path / "out")
    run = CrossMatrix(config)
    run.claim()
    with locked(config.out / "systems" / "one"):  # another process trains it
        tasks = run.tasks()
        assert [run.do(task, ignore) for task in tasks[:3]] == ["elsewhere", "waits", "waits"]
        assert run.collect().unfinished == 4
    assert [task.title for task in run.tasks(["two"])] == [
        "train two on two (tb)",
        "test two on one",
        "test two on two",
    ]
    with pytest.raises(ConfigError, match=r"no model is called 'three', expected one of one, two"):
        run.tasks(["three"])


def test_a_folder_belongs_to_one_run(finished: tuple[CrossConfig, Cross], manifest: Path, tmp_path: Path) -> None:
    config, _ = finished
    other = config_of(manifest, config.out, seed=2)
    with pytest.raises(ConfigError, match="other training settings"):
        CrossMatrix(other).claim()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep me")
    with pytest.raises(ConfigError, match=r"exists and holds letter\.txt"):
        CrossMatrix(config_of(manifest, tmp_path / "mine")).claim()
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_manifest_that_has_changed_since(manifest: Path, tmp_path: Path) -> None:
    shutil.copy(manifest, tmp_path / "both.parquet")
    config = config_of(tmp_path / "both.parquet", tmp_path / "out")
    CrossMatrix(config).claim()
    frame = read_manifest(tmp_path / "both.parquet")
    frame.loc[0, "sex"] = "F"
    write_manifest(frame, tmp_path / "both.parquet")
    with pytest.raises(ConfigError, match="other manifests"):
        CrossMatrix(config).claim()


def test_the_verb_prints_plan_and_table(finished: tuple[CrossConfig, Cross], tmp_path: Path, cxr: Run) -> None:
    config, _ = finished
    file = tmp_path / "cross.yaml"
    file.write_text(yaml.safe_dump(json.loads(config.model_dump_json())))
    code, said, _ = cxr("cross", file, "--dry-run")
    assert code == 0
    assert "two: learns tb; films of two" in said
    assert "  one on one: tb, nodule (at home)" in said
    code, said, told = cxr("cross", file)
    assert code == 0
    assert "one (home)" in said
    assert told.count("done already") == 6
