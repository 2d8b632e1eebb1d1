"""A run that learns from several readers: labels made anew, soft targets in the loss, and nowhere else."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.losses import masked_bce
from pipelines.errors import ConfigError, ManifestError
from pipelines.manifest import read_manifest, write_manifest
from pipelines.training import train
from pipelines.training.films import TrainingFilms, build_cache, load_cohorts
from tests.training_runs import tiny_config, write_cohort

RULES = ("any", "majority", "all", "mean")


def votes_of(index: int, label: float) -> tuple[float, ...]:
    """Three readers, or four of whom two say 1: what they say of film ``index``, mostly its label."""
    if index % 12 == 7:
        return 1.0, 1.0, 0.0, 0.0
    return (label, label, 1 - label) if index % 5 == 0 else (label,) * 3


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of a disc or a square, each read by several; its labels are the truth, which some reader missed."""
    path = write_cohort(tmp_path_factory.mktemp("read"), films=24)
    frame = read_manifest(path)
    readings = [
        [
            {"reader": f"R{number}", "finding": finding, "value": value}
            for finding in ("tb", "nodule")
            for number, value in enumerate(votes_of(index, frame[finding][index]), start=1)
        ]
        for index in range(len(frame))
    ]
    write_manifest(frame.assign(readings=readings, boxes=None), path)
    return path


def config_of(manifest: Path, out: Path, rule: str | None, **sections: object) -> object:
    return tiny_config(out, **{"data": [{"manifest": str(manifest), "consensus": rule}]} | sections)


@pytest.mark.parametrize("rule", RULES)
def test_labels_are_made_when_the_run_loads_its_films(manifest: Path, tmp_path: Path, rule: str) -> None:
    union, cohorts = load_cohorts(config_of(manifest, tmp_path, rule))
    own = load_cohorts(config_of(manifest, tmp_path, None))[1]
    assert len(union) == 24
    for split, cohort in cohorts.items():
        assert set(np.unique(cohort.labels[~np.isnan(cohort.labels)])) <= {0.0, 1.0}
        truth = own[split].labels
        for row, image in enumerate(cohort.rows["image_id"]):
            for k in range(2):
                said = votes_of(int(image[-3:]), truth[row, k])
                share = sum(said) / len(said)
                expected = {"any": float(share > 0), "all": float(share == 1)}.get(
                    rule, np.nan if share == 0.5 else round(share)
                )
                np.testing.assert_equal(cohort.labels[row, k], np.float32(expected))
                target = share if rule == "mean" else expected
                np.testing.assert_allclose(cohort.targets[row, k], target, rtol=1e-6)
        assert (cohort.soft is not None) == (rule == "mean")
        assert own[split].soft is None


def test_a_manifest_beside_it_keeps_its_own_labels(manifest: Path, tmp_path: Path) -> None:
    other = write_cohort(tmp_path / "other", films=24, seed=5, name="other", unknown=("tb",))
    data = [{"manifest": str(other)}, {"manifest": str(manifest), "consensus": "mean"}]
    for cohort in load_cohorts(tiny_config(tmp_path / "run", data=data))[1].values():
        plain = (cohort.rows["dataset"] == "other").to_numpy()
        assert plain.any()
        np.testing.assert_array_equal(cohort.targets[plain], cohort.labels[plain])
        assert np.isnan(cohort.targets[plain, 0]).all()
        assert ((cohort.targets[~plain] > 0) & (cohort.targets[~plain] < 1)).any()


def test_the_loss_learns_the_share_and_the_film_shows_it(manifest: Path, tmp_path: Path) -> None:
    config = config_of(manifest, tmp_path, "mean")
    cohort = load_cohorts(config)[1]["train"]
    films = TrainingFilms(build_cache(cohort, config, tmp_path), cohort, config, map_side=12)
    seen = torch.stack([films[0, index]["labels"] for index in range(len(films))]).numpy()
    np.testing.assert_array_equal(seen, cohort.targets)
    assert np.isnan(cohort.labels).any()  # two against two: no label, but a target of one half
    assert (seen == 0.5).any()
    # The least loss is where the network says the share that the readers say.
    share = torch.tensor([[0.75]])
    losses = [float(masked_bce(torch.logit(torch.tensor([[p]])), share).total) for p in (0.6, 0.75, 0.9)]
    assert losses[1] == min(losses)
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert losses[1] == pytest.approx(expected, rel=1e-5)


def test_a_run_on_soft_targets_ends_with_hard_numbers(manifest: Path, tmp_path: Path) -> None:
    optimisation = {"epochs": 1, "batch_size": 8, "imbalance": "balanced"}
    config = config_of(
        manifest, tmp_path / "run", "mean", optimisation=optimisation, tracking={"experiment": "t", "register_as": None}
    )
    result = train(config)
    assert result is not None
    cohorts = load_cohorts(config)[1]
    provenance = json.loads((config.out / result.package / "model.json").read_text())["provenance"]
    assert provenance["consensus"] == ["mean"]
    for split in ("train", "val"):
        labels = cohorts[split].labels
        for k, finding in enumerate(("tb", "nodule")):
            counted = provenance[split]["labels"][finding]
            assert counted["positive"] == (labels[:, k] == 1).sum()
            assert counted["negative"] == (labels[:, k] == 0).sum()
            assert counted["unknown"] == np.isnan(labels[:, k]).sum()
    table = pd.read_parquet(config.out / "validation.parquet")
    np.testing.assert_array_equal(table[["label_tb", "label_nodule"]], cohorts["val"].labels)


def test_a_rule_needs_readings_and_a_name(manifest: Path, tmp_path: Path) -> None:
    plain = write_cohort(tmp_path / "plain", films=12)
    with pytest.raises(ManifestError, match=r"plain.*expected readings to apply the rule 'any'"):
        load_cohorts(config_of(plain, tmp_path / "run", "any"))
    with pytest.raises(ConfigError, match=r"data\.0\.consensus"):
        config_of(manifest, tmp_path / "run", "most")
