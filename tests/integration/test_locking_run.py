"""A run that locks by a cost and a rule-out sensitivity, and its package locked anew on its own predictions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models import load_package
from pipelines.evaluation.tables import read_predictions
from pipelines.evaluation.thresholds.locked import HEADING, locked_points
from pipelines.evaluation.thresholds.operating_point import LockRule
from pipelines.inference import collect_inputs, predict_films
from pipelines.inference.relock import LockingWarning, relock_package
from pipelines.training import train
from tests.training_runs import tiny_config, write_cohort


@pytest.fixture(autouse=True)
def _quiet_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def test_a_run_locks_both_purposes_and_its_package_can_be_locked_anew(tmp_path: Path) -> None:
    wanted = {"operating_point": "cost=5", "rule_out_sensitivity": 0.99}
    config = tiny_config(
        tmp_path / "run", write_cohort(tmp_path / "films"), validation=wanted, optimisation={"epochs": 1}
    )
    result = train(config)
    assert result is not None
    package, folder = load_package(config.out / "package"), config.out / "package"
    points = locked_points(folder)
    saved = pd.read_parquet(config.out / "validation.parquet")
    for summary in result.findings:
        finding = summary.finding
        assert (summary.operating_point, summary.rule_out_point) == (points.flag[finding], points.rule_out[finding])
        positive = saved[f"label_{finding}"] == 1
        # With ten positives or fewer, 99 % of them are all of them.
        assert points.rule_out[finding].threshold == saved.loc[positive, f"p_{finding}"].min()
        assert points.flag[finding].kind == "cost"
        assert points.flag[finding].prevalence == pytest.approx(positive.mean())
    assert points.model_id == package.model_id == result.model_id
    card = (folder / "README.md").read_text()
    rows = [line for line in card.splitlines() if line.startswith(("| tb | f", "| nodule | f"))]
    assert [row.split("|")[2].strip() for row in rows] == ["flag at or above"] * 2 + ["file unread below"] * 2
    assert all(point.date is not None and point.date in card for point in points.flag.values())

    manifest = config.data[0].manifest
    films = collect_inputs([manifest], root=manifest.parent, split="val")
    predict_films(films, folder, tmp_path / "predictions", workers=0)
    run = json.loads((tmp_path / "predictions" / "run.json").read_text())
    carried = run["model"]["rule_out_points"]
    assert carried == {finding: point.model_dump(mode="json") for finding, point in points.rule_out.items()}
    with pytest.warns(LockingWarning, match="positive films, fewer than 30"):
        made = relock_package(
            folder,
            tmp_path / "predictions",
            manifest,
            tmp_path / "new",
            rules=[("tb", LockRule.parse("sensitivity=0.5"))],
        )
    anew = locked_points(tmp_path / "new")
    assert (anew.model_id, anew.flag["nodule"], anew.rule_out) == (
        points.model_id,
        points.flag["nodule"],
        points.rule_out,
    )
    table = read_predictions(tmp_path / "predictions").frame
    positive = table["p_tb"][saved["label_tb"].to_numpy() == 1].to_numpy()
    assert made.locked[0].threshold == np.sort(positive)[::-1][int(np.ceil(len(positive) / 2)) - 1]
    new_card = (tmp_path / "new" / "README.md").read_text()
    assert new_card.count(HEADING) == 1
    assert "## Films it refuses" in new_card.partition(HEADING)[2]
