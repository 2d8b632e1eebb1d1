"""A run with every switch on: the package does in use what training did, and so does its export."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models import load_package
from pipelines.inference import collect_inputs, predict_films
from pipelines.inference.predictor import Predictor
from pipelines.training import train
from tests.training_runs import tiny_config, write_cohort

SWITCHES = {"border": "crop", "lung_field": "crop", "intensity": "site", "colour": "remove", "resolution": 64}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        manifests = (
            write_cohort(folder / "a", films=48, name="a"),
            write_cohort(folder / "b", films=24, name="b", seed=1),
        )
        optimisation = {"epochs": 1, "sampling": "dataset_label"}
        config = tiny_config(
            folder / "run",
            *manifests,
            harmonisation=SWITCHES,
            optimisation=optimisation,
            hardware={"device": "cpu", "cache": "disk"},
        )
        train(config)
    return folder


def test_films_are_scored_as_they_were_validated(run: Path) -> None:
    package = load_package(run / "run" / "package")
    assert package.harmonisation is not None
    assert sorted(package.harmonisation["sites"]) == ["a", "b"]
    assert {name: package.harmonisation[name] for name in SWITCHES} == SWITCHES
    validated = pd.read_parquet(run / "run" / "validation.parquet").set_index("image_id")
    for site in ("a", "b"):
        films = collect_inputs([run / site / "manifest.parquet"], split="val")
        predict_films(films, run / "run" / "package", run / f"predictions-{site}", site=site, workers=0)
        table = pd.read_parquet(run / f"predictions-{site}" / "predictions.parquet")
        scored = table[table["p_tb"].notna()].set_index("image_id")
        assert len(scored) >= len(table) - 1  # at most one beyond the limit of typicality
        np.testing.assert_allclose(scored["p_tb"], validated.loc[scored.index, "p_tb"], atol=2e-6)
        # These films hold no chest: each of them says that it was scored whole.
        assert scored["detail"].str.contains("the whole film was scored").all()
    own = Predictor.from_package(run / "run" / "package", device="cpu")(sorted((run / "a").glob("*.png"))[:8])
    with_site = Predictor.from_package(run / "run" / "package", device="cpu", site="a")
    other = with_site(sorted((run / "a").glob("*.png"))[:8])
    assert (own["p_tb"].dropna() != other["p_tb"].dropna()).any()


def test_the_card_and_the_record_say_what_was_done(run: Path) -> None:
    card = (run / "run" / "package" / "README.md").read_text()
    assert "Films were harmonised, as every film is that the model scores." in card
    assert "averaged to 64 pixels" in card
    assert "(known: a, b)" in card
    assert "combination of data set and labels weighed alike" in card
    assert "found on 0 of 48 training films, 0 of 24 validation films" in card
    assert load_package(run / "run" / "package").provenance["train"]["lung_fields_found"] == 0
    caches = [path.name for path in (run / "run").glob("cache-*")]
    assert len(caches) == 1
    assert len(caches[0].split("-")) == 4  # size, features, and what was done to the films


def test_an_export_is_of_the_network_alone_and_films_are_still_harmonised(cxr, run: Path, tmp_path: Path) -> None:
    for name in ("onnxruntime", "onnx", "onnxscript"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    package, copy = run / "run" / "package", tmp_path / "copy"
    code, _, err = cxr("model", "export", package, "--backend", "onnxruntime", "--films", run / "a", "--out", copy)
    assert code == 0, err
    films = sorted((run / "a").glob("*.png"))[:12]
    columns = ["p_tb", "p_nodule"]
    plain = Predictor.from_package(package, device="cpu", backend="torch")(films)[columns]
    found = Predictor.from_package(copy, device="cpu", backend="onnxruntime", precision="fp32")(films)[columns]
    np.testing.assert_allclose(found, plain, atol=1e-5)
