"""Whole training runs on tiny cohorts: package, MLflow, champion, resumption, several processes, refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image
from safetensors.torch import load_file

from models import load_package
from models.explain import map_peaks
from models.typicality import tolerance_limit
from pipelines.assessment.assess import Source, assess
from pipelines.config import TrainConfig, dump_config
from pipelines.datasets.measure import measure_file
from pipelines.errors import ConfigError, ManifestError
from pipelines.evaluation.control import control_key, control_scores
from pipelines.evaluation.options import Options
from pipelines.imaging import read_radiograph, to_square
from pipelines.imaging.control_features import COLUMNS_OF, KINDS, control_features
from pipelines.inference import collect_inputs, predict_films
from pipelines.manifest import read_manifest, write_manifest
from pipelines.training import train
from pipelines.training.plan import plan_lines
from pipelines.training.tracking import candidate_stores, log_evaluation
from tests.training_runs import tiny_config, write_cohort


@pytest.fixture(autouse=True)
def _quiet_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """One uninterrupted run, shared by the tests that only look."""
    folder = tmp_path_factory.mktemp("finished")
    config = tiny_config(folder / "run", write_cohort(folder / "films"), optimisation={"epochs": 4})
    assert train(config) is not None
    return config


def client_of(config: TrainConfig) -> MlflowClient:
    uri = f"sqlite:///{config.out.parent / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


def weights_of(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(config.out / "package" / "weights.safetensors")


def assert_same_weights(first: TrainConfig, second: TrainConfig) -> None:
    one, two = weights_of(first), weights_of(second)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_leaves_a_package_locked_on_its_own_validation_films(finished: TrainConfig) -> None:
    package = load_package(finished.out / "package")
    saved = pd.read_parquet(finished.out / "validation.parquet")
    assert set(package.operating_points) == {"tb", "nodule"}
    for finding, point in package.operating_points.items():
        positive = saved[f"label_{finding}"] == 1
        reached = (saved.loc[positive, f"p_{finding}"] >= point["threshold"]).mean()
        assert reached >= finished.validation.target_sensitivity
        assert point["n"] == len(saved)
        probability = package.calibration[finding].probability(saved[f"logit_{finding}"].to_numpy())
        np.testing.assert_allclose(probability, saved[f"p_{finding}"])
    card = (finished.out / "package" / "README.md").read_text()
    assert package.model_id in card
    assert "not a medical device" in card
    assert (finished.out / "config.yaml").read_text() == dump_config(finished)
    assert not list(finished.out.rglob("*.tmp"))


def test_a_run_locks_which_films_are_typical_and_says_so(finished: TrainConfig) -> None:
    package = load_package(finished.out / "package")
    saved = pd.read_parquet(finished.out / "validation.parquet")
    limit = package.typicality
    assert limit is not None
    assert (limit.fitted_on, limit.locked_on) == (32, len(saved))
    films = finished.data[0].manifest.parent
    rows = predict_films(
        collect_inputs([finished.data[0].manifest], root=films, split="val"),
        finished.out / "package",
        finished.out.parent / "typical",
    )
    assert rows is not None
    table = pd.read_parquet(finished.out.parent / "typical" / "predictions.parquet")
    np.testing.assert_allclose(table["atypicality"], saved["atypicality"], rtol=1e-3)
    assert limit.threshold == pytest.approx(tolerance_limit(saved["atypicality"].to_numpy() * limit.threshold))
    assert package.intended_use.min_age_years == finished.intended_use.min_age_years
    card = (finished.out / "package" / "README.md").read_text()
    assert f"locked on {len(saved)} validation films" in card.replace("\n", " ")


def test_no_patient_identifier_or_path_leaves_with_the_package_or_reaches_mlflow(finished: TrainConfig) -> None:
    store = finished.out.parent
    shared = [*(finished.out / "package").iterdir(), *(path for path in (store / "mlartifacts").rglob("*"))]
    texts = [path.read_bytes() for path in shared if path.is_file() and path.suffix not in {".safetensors", ".png"}]
    texts.append((store / "mlflow.db").read_bytes())
    patients = read_manifest(store / "films" / "manifest.parquet")["patient_id"]
    for text in texts:
        assert not [patient for patient in patients if f'"{patient}"'.encode() in text]
    assert str(store).encode() not in (finished.out / "package" / "model.json").read_bytes()


def test_the_controls_in_the_package_score_films_like_the_regressions_they_came_from(finished: TrainConfig) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    films = finished.data[0].manifest.parent
    manifest = read_manifest(finished.data[0].manifest)
    features = np.stack([control_features(read_radiograph(films / path).pixels) for path in manifest["path"]])
    train_rows = (manifest["split"] == "train").to_numpy()
    carried = control_scores(load_package(finished.out / "package").control, features)
    assert carried.keys() == {control_key(finding, kind) for finding in finished.findings for kind in KINDS}
    for kind in KINDS:
        own = features[:, COLUMNS_OF[kind]]
        oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
        oracle.fit(own[train_rows], manifest["tb"][train_rows])
        np.testing.assert_allclose(carried[control_key("tb", kind)], oracle.predict_proba(own)[:, 1], atol=1e-6)


def test_mlflow_holds_what_a_stranger_needs(finished: TrainConfig) -> None:
    client = client_of(finished)
    run_id = (finished.out / "mlflow_run_id").read_text().strip()
    run = client.get_run(run_id)
    assert run.data.params["optimisation.epochs"] == "4"
    assert len(run.data.tags["manifest_digest"]) == 64
    steps = [metric.step for metric in client.get_metric_history(run_id, "val_auroc_mean")]
    assert steps == [1, 2, 3, 4]
    assert {"val/tb/auroc", "val/tb/control_auroc", "val/nodule/threshold"} <= run.data.metrics.keys()
    assert {entry.tags[0].value for entry in run.inputs.dataset_inputs} == {"train", "val"}
    artifacts = {item.path for item in client.list_artifacts(run_id, "figures")}
    assert {"figures/roc_validation.png", "figures/heatmaps_validation.png"} <= artifacts
    champion = client.get_model_version_by_alias("tiny", "champion")
    assert int(champion.version) == 1
    assert champion.tags["validation_metric"] == "val_auroc_mean"


def test_an_evaluation_is_logged_to_the_run_that_made_the_model(
    finished: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films, store = finished.data[0].manifest.parent, finished.out.parent
    inputs = collect_inputs([finished.data[0].manifest], root=films, split="val")
    predict_films(inputs, finished.out / "package", store / "predictions", workers=0)
    assessment = assess(Source(store / "predictions"), finished.data[0].manifest, store / "evaluation", split="val")
    run_id = (finished.out / "mlflow_run_id").read_text().strip()
    assert assessment.mlflow_run_id == run_id
    # A store without that run lies nearer: it is passed over.
    monkeypatch.chdir(tmp_path)
    train(tiny_config(tmp_path / "other", finished.data[0].manifest, optimisation={"epochs": 1}))
    stores = candidate_stores(None, store / "predictions")
    logged = [log_evaluation(uri, run_id, assessment.evaluation, store / "evaluation", name="val") for uri in stores]
    assert sorted(logged) == [False, True]
    metrics = client_of(finished).get_run(run_id).data.metrics
    for result in assessment.evaluation.findings:
        assert metrics[f"val/{result.finding}/auroc"] == pytest.approx(result.auroc.value)
        assert result.control is not None
        assert metrics[f"val/{result.finding}/control_auroc"] == pytest.approx(result.control.auroc.value)
    artifacts = {item.path for item in client_of(finished).list_artifacts(run_id, "evaluation/val")}
    assert "evaluation/val/evaluation.json" in artifacts


def test_the_registered_champion_predicts_in_a_clean_process(finished: TrainConfig, tmp_path: Path) -> None:
    films = finished.data[0].manifest.parent
    code = (
        "import sys, mlflow, pandas as pd\n"
        "model = mlflow.pyfunc.load_model('models:/tiny@champion')\n"
        f"frame = model.predict(pd.DataFrame({{'path': [{str(films / 'film-003.png')!r}, 'nowhere.png']}}))\n"
        "frame.to_json(sys.argv[1])\n"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{finished.out.parent / 'mlflow.db'}"}
    out = tmp_path / "scores.json"
    subprocess.run([sys.executable, "-c", code, str(out)], env=environment, cwd=tmp_path, check=True, timeout=200)
    rows = pd.read_json(out)
    assert list(rows["status"]) == ["ok", "error"]
    saved = pd.read_parquet(finished.out / "validation.parquet").set_index("image_id")
    assert rows["p_tb"][0] == pytest.approx(saved.loc["tiny/003", "p_tb"], abs=1e-5)


def test_pretrained_weights_learn_what_is_on_the_films_and_where(tmp_path: Path) -> None:
    films = write_cohort(tmp_path / "films", films=120)
    config = tiny_config(
        tmp_path / "run",
        films,
        model={"backbone": "timm:tf_efficientnet_lite0", "pretrained": "lite0", "size": 96, "neck_width": 32},
        optimisation={"epochs": 8, "learning_rate": 2e-3, "frozen_batchnorm": True},
    )
    result = train(config)
    assert result is not None
    aurocs = {summary.finding: summary.auroc.value for summary in result.findings}
    controls = {summary.finding: summary.control.value for summary in result.findings}
    assert aurocs["nodule"] is not None
    assert aurocs["nodule"] > 0.95
    assert controls["nodule"] is not None
    assert controls["nodule"] < aurocs["nodule"], "a thumbnail cannot see a small square"
    package = load_package(config.out / "package")
    manifest = read_manifest(films)
    positives = manifest[(manifest["split"] == "val") & (manifest["nodule"] == 1)]
    inside = 0
    for _, row in positives.iterrows():
        square = to_square(read_radiograph(films.parent / row["path"]).pixels, 96)
        maps = package.build()(torch.from_numpy(square)[None, None]).maps
        x, y = map_peaks(maps.detach(), 96)[0, 1].tolist()
        boxes = [box for box in row["boxes"] if box["finding"] == "nodule"]
        inside += any(box["x0"] <= x <= box["x1"] and box["y0"] <= y <= box["y1"] for box in boxes)
    assert inside >= 0.8 * len(positives)


def test_champion_moves_only_when_beaten_on_the_same_metric_and_films(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path / "films")
    first = train(tiny_config(tmp_path / "one", manifest, optimisation={"epochs": 2}))
    again = train(tiny_config(tmp_path / "two", manifest, optimisation={"epochs": 2}))
    assert first is not None
    assert again is not None
    assert first.registered is not None
    assert again.registered is not None
    assert first.registered.champion
    assert not again.registered.champion, "an equal value does not beat"
    assert "does not beat" in again.registered.why
    elsewhere = write_cohort(tmp_path / "others", seed=9, name="others")
    other = train(tiny_config(tmp_path / "three", elsewhere, optimisation={"epochs": 1}))
    assert other is not None
    assert other.registered is not None
    assert not other.registered.champion
    assert "other validation films" in other.registered.why
    watched = {"monitor": "val_loss"}
    by_loss = train(tiny_config(tmp_path / "four", manifest, optimisation={"epochs": 1}, validation=watched))
    assert by_loss is not None
    assert by_loss.registered is not None
    assert "was judged by val_auroc_mean, not by val_loss" in by_loss.registered.why
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert int(client.get_model_version_by_alias("tiny", "champion").version) == 1


def interrupt_after(epoch: int):
    def callback(done: int, _epochs: int, _metrics: dict[str, float]) -> None:
        if done == epoch:
            raise KeyboardInterrupt

    return callback


def test_a_resumed_run_ends_in_the_same_bits_and_logs_each_epoch_once(finished: TrainConfig, tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finished.data[0].manifest, optimisation={"epochs": 4})
    with pytest.raises(KeyboardInterrupt):
        train(config, on_epoch=interrupt_after(2))
    with pytest.raises(ConfigError, match="holds a run already; add --resume"):
        train(config)
    result = train(config, resume=True)
    assert result is not None
    assert_same_weights(finished, config)
    client = client_of(config)
    history = client.get_metric_history(str(result.mlflow_run_id), "train_label_loss")
    assert [metric.step for metric in history] == [1, 2, 3, 4]
    before = len(client.search_model_versions("name='tiny'"))
    assert train(config, resume=True) == result, "a finished run is not run again"
    assert len(client_of(config).search_model_versions("name='tiny'")) == before


def test_killed_at_any_moment_a_run_goes_on_to_the_same_bits(finished: TrainConfig, tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finished.data[0].manifest, optimisation={"epochs": 4})
    yaml = tmp_path / "config.yaml"
    yaml.write_text(dump_config(config))
    command = [sys.executable, "-m", "pipelines", "train", str(yaml)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 200
        while not (config.out / "checkpoint.pt").is_file():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    subprocess.run([*command, "--resume"], check=True, timeout=200, capture_output=True)
    assert_same_weights(finished, config)


def test_resuming_with_another_configuration_is_refused(finished: TrainConfig, tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finished.data[0].manifest, optimisation={"epochs": 4})
    with pytest.raises(KeyboardInterrupt):
        train(config, on_epoch=interrupt_after(1))
    changed = config.model_copy(update={"seed": 4})
    with pytest.raises(ConfigError, match="made with another configuration"):
        train(changed, resume=True)
    (config.out / "checkpoint.pt").write_bytes(b"half a file")
    with pytest.raises(ConfigError, match=r"checkpoint\.pt is damaged"):
        train(config, resume=True)


def test_two_gloo_processes_give_the_metrics_of_one(finished: TrainConfig, tmp_path: Path) -> None:
    """Tolerance: 1e-3 on every metric of every epoch; sums are added in another order, nothing else differs."""
    config = tiny_config(tmp_path / "run", finished.data[0].manifest, optimisation={"epochs": 2})
    single = tiny_config(tmp_path / "one" / "run", finished.data[0].manifest, optimisation={"epochs": 2})
    yaml = tmp_path / "config.yaml"
    yaml.write_text(
        dump_config(config.model_copy(update={"hardware": config.hardware.model_copy(update={"devices": 2})}))
    )
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, "-m", "pipelines", "train", str(yaml)], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    train(single)

    def history(of: TrainConfig) -> list[dict[str, float]]:
        content = torch.load(of.out / "checkpoint.pt", weights_only=True)
        return list(json.loads(content["progress"])["history"])

    for together, alone in zip(history(config), history(single), strict=True):
        assert together.keys() == alone.keys()
        for name in alone:
            assert together[name] == pytest.approx(alone[name], abs=1e-3), name


def test_a_finding_that_a_cohort_does_not_know_is_masked_not_negative(tmp_path: Path) -> None:
    first = write_cohort(tmp_path / "a", seed=1, name="a", unknown=("tb",))
    second = write_cohort(tmp_path / "b", seed=2, name="b", unknown=("nodule",))
    config = tiny_config(tmp_path / "run", first, second, optimisation={"epochs": 1})
    result = train(config)
    assert result is not None
    package = load_package(config.out / "package")
    labels = package.provenance["train"]["labels"]
    rows = pd.concat([read_manifest(first), read_manifest(second)])
    assert (
        package.provenance["train"]["patients"]
        == rows[rows["split"] == "train"].groupby("dataset")["patient_id"].nunique().sum()
    )
    assert labels["tb"]["unknown"] == labels["nodule"]["unknown"] == 32
    assert {summary.operating_point.cohort for summary in result.findings} == {"a val", "b val"}
    assert all(summary.auroc.n == 16 for summary in result.findings)


def test_where_films_are_cached_and_who_loads_them_changes_no_weight(finished: TrainConfig, tmp_path: Path) -> None:
    manifest = finished.data[0].manifest
    made = []
    for number, hardware in enumerate([{"cache": "disk"}, {"cache": "none", "workers": 1}, {}]):
        config = tiny_config(
            tmp_path / str(number), manifest, optimisation={"epochs": 1}, hardware={"device": "cpu"} | hardware
        )
        result = train(config)
        assert result is not None
        made.append(result.model_id)
    assert len(set(made)) == 1


def test_bf16_on_the_cpu_trains_to_a_package_too(finished: TrainConfig, tmp_path: Path) -> None:
    hardware = {"device": "cpu", "precision": "bf16-mixed"}
    config = tiny_config(tmp_path / "run", finished.data[0].manifest, optimisation={"epochs": 1}, hardware=hardware)
    assert train(config) is not None
    assert all(tensor.dtype != torch.bfloat16 for tensor in weights_of(config).values()), "weights stay full precision"


def test_a_film_that_cannot_be_read_without_a_cache_is_named_too(tmp_path: Path) -> None:
    manifest = write_cohort(tmp_path / "films")
    (tmp_path / "films" / "film-005.png").write_bytes(b"not a film")
    for cache in ("none", "disk"):
        hardware = {"device": "cpu", "cache": cache}
        with pytest.raises(ManifestError, match=r"tiny/005 cannot be read \(not_an_image"):
            train(tiny_config(tmp_path / cache, manifest, hardware=hardware))


def test_dry_run_says_the_plan_and_writes_nothing(finished: TrainConfig, tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", finished.data[0].manifest)
    lines = "\n".join(plan_lines(config))
    assert "train: 32 films; tb 16 positive / 16 negative" in lines
    assert "steps: 4 of 8 films an epoch, at most 3 epochs" in lines
    assert not list(tmp_path.iterdir())


def change_manifest(manifest: Path, out: Path, **columns: object) -> Path:
    frame = read_manifest(manifest)
    for name, value in columns.items():
        frame[name] = value
    write_manifest(frame, out)
    return out


def test_cohorts_that_cannot_be_trained_on_are_refused_in_one_sentence(tmp_path: Path) -> None:
    films = tmp_path / "films"
    manifest = write_cohort(films)
    one_class = change_manifest(manifest, films / "one.parquet", tb=1.0)
    with pytest.raises(ManifestError, match="split train has 32 positive and 0 negative films of tb"):
        train(tiny_config(tmp_path / "r1", one_class))
    no_val = change_manifest(manifest, films / "noval.parquet", split="train")
    with pytest.raises(ManifestError, match="no row has split val"):
        train(tiny_config(tmp_path / "r2", no_val))
    leaking = change_manifest(manifest, films / "leak.parquet", patient_id="same")
    with pytest.raises(ManifestError, match="patient"):
        train(tiny_config(tmp_path / "r3", leaking))
    (films / "film-005.png").write_bytes((films / "film-005.png").read_bytes()[:200])
    with pytest.raises(ManifestError, match=r"1 of 32 films cannot be read; first: tiny/005 \("):
        train(tiny_config(tmp_path / "r4", manifest))
    (films / "film-006.png").unlink()
    with pytest.raises(ManifestError, match="1 of 32 train films are not on disk; first: tiny/006"):
        train(tiny_config(tmp_path / "r5", manifest))


def test_a_store_that_does_not_answer_is_said_in_one_sentence(finished: TrainConfig, tmp_path: Path) -> None:
    tracking = {"uri": "http://user:secret@127.0.0.1:9"}
    with pytest.raises(ConfigError, match="does not answer") as caught:
        train(tiny_config(tmp_path / "run", finished.data[0].manifest, tracking=tracking))
    assert "secret" not in str(caught.value)
    assert "secret" not in mlflow.get_tracking_uri()
    assert "secret" not in os.environ.get("MLFLOW_TRACKING_URI", "")


def _printed(folder: Path, manifest: Path) -> None:
    """Fingerprints and hashes of the films, as `cxr manifest build --hashes` enters them."""
    frame = read_manifest(manifest)
    marks = [measure_file(folder / path, hashes=True) for path in frame["path"]]
    write_manifest(
        frame.assign(
            sha256=[mark.sha256 for mark in marks],
            pixel_hash=[mark.pixel_hash for mark in marks],
            fingerprint=[mark.fingerprint for mark in marks],
        ),
        manifest,
    )


def test_a_changed_copy_in_another_data_set_stops_training_and_evaluation(tmp_path: Path) -> None:
    """A mirrored training film of one set is a validation film of another; then a film to be tested."""
    one = write_cohort(tmp_path / "one", films=24, name="one")
    other = write_cohort(tmp_path / "other", films=24, seed=1, name="other")
    learned = tmp_path / "one" / "film-006.png"
    Image.open(learned).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "other" / "film-009.png")
    for manifest in (one, other):
        _printed(manifest.parent, manifest)
    config = tiny_config(tmp_path / "run", one, other)
    with pytest.raises(ManifestError, match=r"1 pairs of films .*one/006 in train and other/009 in val .*mirrored"):
        train(config)
    listed = pd.read_csv(tmp_path / "run" / "overlap.csv")
    assert listed[["image_a", "image_b"]].to_numpy().tolist() == [["one/006", "other/009"]]

    alone = tiny_config(tmp_path / "alone", one, optimisation={"epochs": 1})
    assert train(alone) is not None
    package = alone.out / "package"
    predictions = tmp_path / "predictions"
    write_manifest(read_manifest(other).assign(split="test"), other)
    predict_films(collect_inputs([other]), package, predictions, device="cpu", workers=0)
    assert (predictions / "training_films.parquet").read_bytes() == (package / "training_films.parquet").read_bytes()
    source = Source(predictions=predictions)
    with pytest.raises(ManifestError, match=r"1 of 24 films to be tested .*other/009.*--allow-overlap"):
        assess(source, other, tmp_path / "evaluation")
    assert pd.read_csv(tmp_path / "evaluation" / "overlap.csv")["image_b"].tolist() == ["other/009"]
    told = assess(source, other, tmp_path / "told", allow_overlap=True, options=Options(replicates=100))
    assert told.evaluation.leakage is not None
    assert (told.evaluation.leakage.copies, told.evaluation.leakage.overlap_allowed) == (1, True)
