"""`cxr model show`, `cxr model lock` and `cxr evaluate` with damaged packages, run records and predictions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models import load_package
from tests.inference_films import tiny_package

Run = Callable[..., tuple[int, str, str]]
FILMS = 60
TRUTH = np.arange(FILMS) % 3 == 0
EVALUATE = [
    "evaluate",
    "p",
    "--manifest",
    "m.csv",
    "--replicates",
    "100",
    "--no-mlflow",
    "--scenario",
    "room.yaml",
    "--out",
    "o",
]
LOCK = [
    "model",
    "lock",
    "package",
    "--predictions",
    "p",
    "--manifest",
    "m.csv",
    "--rule",
    "tb=sensitivity=0.9",
    "--out",
    "o",
]
SHOW = ["model", "show", "package"]


@pytest.fixture
def cxr(cxr: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run one command in this process, in a folder with a package, its predictions and their manifest."""
    monkeypatch.chdir(tmp_path)
    tiny_package(tmp_path / "package")
    ids = [f"d/{i}" for i in range(FILMS)]
    films = {"image_id": ids, "path": [f"{i}.png" for i in range(FILMS)], "dataset": "d", "split": "val"}
    pd.DataFrame({**films, "tb": TRUTH.astype(int), "nodule": TRUTH.astype(int)}).to_csv("m.csv", index=False)
    Path("room.yaml").write_text(
        "{prevalence: 0.1, sensitivity: 0.9, specificity: 0.9, traffic: 0.5, replications: 2, "
        "films_per_replication: 50, warm_up_films: 10}"
    )
    Path("p").mkdir()
    predictions().to_csv("p/predictions.csv", index=False)

    return cxr


def predictions(**columns: Any) -> pd.DataFrame:
    score = np.clip(np.random.default_rng(4).normal(0.4, 0.2, FILMS) + 0.25 * TRUTH, 0, 1)
    rows = {"image_id": [f"d/{i}" for i in range(FILMS)], "status": "ok", "p_tb": score, "p_nodule": score}
    return pd.DataFrame(rows | {"model_id": load_package(Path("package")).model_id} | columns)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"findings": 3}, "model.findings is int, expected a list of texts"),
        ({"findings": [3]}, "model.findings is list, expected a list of texts"),
        ({"name": 3}, "model.name is int, expected a text"),
        ({"operating_points": 3}, "model.operating_points is int, expected finding -> point"),
        ({"rule_out_points": {"tb": {}}}, "rule_out_points of 'tb'"),
        ({"provenance": [1]}, "model.provenance is list, expected keys and values"),
        ({"provenance": {"mlflow_run_id": 5}}, "mlflow_run_id is int, expected a text"),
        ({"model_id": "other"}, "these two files do not belong together"),
    ],
)
def test_a_damaged_run_record_is_one_sentence(cxr: Run, part: dict[str, Any], message: str) -> None:
    model = {"model_id": load_package(Path("package")).model_id, "findings": ["tb"]} | part
    Path("p/run.json").write_text(json.dumps({"schema": "cxr-triage/run/1", "model": model}))
    code, out, err = cxr(*EVALUATE)
    assert (code, out) == (2, "")
    assert message in err
    Path("p/run.json").write_text("[" * 100_000)
    code, _, err = cxr(*EVALUATE)
    assert code == 2
    assert "not a readable run.json (RecursionError)" in err


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"p_tb": 1.5}, "60 values outside [0, 1]"),
        ({"p_tb": "high"}, "'p_tb' has 60 values that are not numbers"),
        ({"peak_x_tb": 5.0, "peak_y_tb": "high"}, "'peak_y_tb' has 60 values that are not numbers"),
        ({"control_tb": "high"}, "'control_tb' has 60 values that are not numbers"),
        ({"status": "fine"}, "column 'status' has ['fine']"),
        ({"model_id": "other"}, "other"),
    ],
)
def test_damaged_predictions_are_one_sentence(cxr: Run, columns: dict[str, Any], message: str) -> None:
    predictions(**columns).to_csv("p/predictions.csv", index=False)
    for command in ([*EVALUATE, "--operating-points", "package"], LOCK):
        code, out, err = cxr(*command)
        assert (code, out) == (2, "")
        assert message in err
        assert not Path("o").exists()


def _point_with_text(described: dict[str, Any]) -> None:
    described["operating_points"]["tb"]["threshold"] = "high"


@pytest.mark.parametrize(
    ("damage", "message", "commands"),
    [
        (lambda d: d.update(provenance=[1]), "damaged", (SHOW, LOCK)),
        (_point_with_text, "operating_points.tb", (SHOW, LOCK, [*EVALUATE, "--operating-points", "package"])),
        (lambda d: d["provenance"].update(relocked=None), "provenance.relocked is NoneType, expected a list", (LOCK,)),
        (lambda d: d["provenance"].update(relocked="x"), "provenance.relocked is str, expected a list", (LOCK,)),
    ],
)
def test_a_damaged_package_is_one_sentence(
    cxr: Run, damage: Callable[[dict[str, Any]], None], message: str, commands: tuple[list[str], ...]
) -> None:
    path = Path("package/model.json")
    described = json.loads(path.read_text())
    damage(described)
    path.write_text(json.dumps(described))
    for command in commands:
        code, out, err = cxr(*command)
        assert (code, out) == (2, ""), command
        assert message in err
        assert not Path("o").exists()


def test_a_package_nested_too_deeply(cxr: Run) -> None:
    Path("package/model.json").write_text("[" * 100_000)
    for command in (SHOW, LOCK):
        code, _, err = cxr(*command)
        assert code == 2
        assert "damaged (RecursionError" in err


def test_a_lock_needs_words_for_its_cohort(cxr: Run) -> None:
    code, _, err = cxr(*LOCK, "--cohort", " \n")
    assert code == 2
    assert "cohort: found an empty text" in err
    assert cxr(*LOCK, "--cohort", "a|b\n<script>")[0] == 0
    assert "<script>" in Path("o/model.json").read_text()
    row = next(line for line in Path("o/README.md").read_text().splitlines() if line.startswith("| tb | flag"))
    assert r"a\|b <script>" in row
