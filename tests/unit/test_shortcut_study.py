"""``cxr shortcut``: controls before any model, from films on the disk to tables; what it refuses and what it keeps."""

import json
import sqlite3

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.errors import ConfigError, EvaluationError, ManifestError
from pipelines.evaluation.control import control_from_scores
from pipelines.evaluation.options import Options
from pipelines.evaluation.shortcut import features as module
from pipelines.evaluation.shortcut.features import CACHE_FILE, read_features
from pipelines.imaging import read_radiograph
from pipelines.imaging.control_features import COLUMNS_OF, KINDS, control_features
from pipelines.manifest import write_manifest
from pipelines.manifest.files import conform
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.resampling import Clusters

N = 60


def write_cohort(folder, name, seed, *, mark=True, broken=()):
    """Films of noise over a gradient; positive ones carry a bright bar at the upper edge, more or less visible."""
    rng = np.random.default_rng(seed)
    tb = np.arange(N) % 2
    (folder / name).mkdir(parents=True)
    for number in range(N):
        film = np.linspace(60, 190, 120)[:, None] + rng.normal(0, 12, (120, 100))
        film[:8, 20:80] += mark * 40 * tb[number] + rng.normal(0, 9)
        Image.fromarray(np.clip(film, 0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    for number in broken:
        (folder / name / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    frame = pd.DataFrame({"image_id": [f"{name}/{number}" for number in range(N)], "dataset": name})
    frame["path"] = [f"{name}/{number}.png" for number in range(N)]
    frame["patient_id"] = [f"p{number}" for number in range(N)]
    frame["split"] = ["train"] * 36 + ["test"] * 24
    frame["tb"] = tb.astype(float)
    return frame


def write(frame, path):
    write_manifest(conform(frame, source=path.name), path)
    return path


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohorts")
    home = write_cohort(folder, "home", 1, broken=(3, 40))
    away = write_cohort(folder, "away", 2, mark=False)
    return folder, home, write(home, folder / "home.parquet"), write(away, folder / "away.parquet")


def cxr(*arguments, code=0):
    found = CliRunner().invoke(app, ["shortcut", *map(str, arguments), "--workers", "0", "--replicates", "200"])
    if isinstance(found.exception, Exception):
        raise found.exception
    assert found.exit_code == code
    return found.output


@pytest.fixture(scope="module")
def ran(cohorts, tmp_path_factory):
    _, _, manifest, away = cohorts
    out = tmp_path_factory.mktemp("ran")
    said = cxr(manifest, "--test", manifest, "--test", away, "--out", out, code=1)  # two films cannot be read
    return out, said, json.loads((out / "shortcut.json").read_text())


def test_numbers_are_those_of_the_regression_on_these_films(cohorts, ran):
    folder, home, *_ = cohorts
    use = home.drop(index=[3, 40])
    X = np.stack([control_features(read_radiograph(folder / path).pixels) for path in use["path"]])
    train, y = (use["split"] == "train").to_numpy(), use["tb"].to_numpy()
    (result,) = ran[2]["pairs"][0]["findings"]
    assert [each["kind"] for each in result["controls"]] == list(KINDS)
    for control in result["controls"]:
        own = X[:, COLUMNS_OF[control["kind"]]]
        oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(own[train], y[train])
        expected = auroc_delong(y[~train], oracle.predict_proba(own[~train])[:, 1])
        assert control["auroc"]["value"] == pytest.approx(expected.value)
        assert control["auroc"]["low"] == pytest.approx(expected.low)
    assert result["controls"][1]["auroc"]["value"] > 0.7  # the bar


def test_across_cohorts_what_was_learned_at_home_is_worth_nothing(ran):
    (result,) = ran[2]["pairs"][1]["findings"]
    border = result["controls"][1]["auroc"]
    assert border["low"] < 0.5 < border["high"]
    assert result["test"] == {"films": 24, "positives": 12, "patients": 24, "label_unknown": 0, "unreadable": 0}


def test_films_that_cannot_be_read_are_counted_and_named(ran):
    out, said, record = ran
    assert [film["image_id"] for film in record["unreadable"]] == ["home/3", "home/40"]
    first = record["pairs"][0]["findings"][0]
    assert (first["train"]["unreadable"], first["test"]["unreadable"]) == (1, 1)
    assert (first["train"]["films"], first["test"]["films"]) == (35, 23)
    assert "2 films could not be read and took no part: home/3 (" in said
    assert not [file for file in ("shortcut.json", "shortcut.csv") if str(out.parent) in (out / file).read_text()]


def test_the_table_and_the_figure_hold_the_same_numbers(ran):
    out, _, record = ran
    table = pd.read_csv(out / "shortcut.csv")
    assert len(table) == 6
    rows = table[(table["test"] == "away.parquet") & (table["control"] == "border")]
    value = record["pairs"][1]["findings"][0]["controls"][1]["auroc"]["value"]
    assert rows["value"].tolist() == pytest.approx([value])
    svg = (out / "shortcut.svg").read_text()
    assert svg.startswith("<svg")
    assert svg.count("border-only") == 2


def test_a_second_run_reads_only_what_changed(cohorts, ran, monkeypatch):
    _, _, manifest, _ = cohorts
    asked = []
    whole = module.film_features
    monkeypatch.setattr(module, "film_features", lambda path: asked.append(path) or whole(path))
    before = (ran[0] / "shortcut.json").read_bytes()
    cxr(manifest, "--test", manifest, "--test", cohorts[3], "--out", ran[0], code=1)
    assert sorted(path.rpartition("/")[2] for path in asked) == ["3.png", "40.png"]  # tried again, and no other
    assert (ran[0] / "shortcut.json").read_bytes() == before


def test_what_was_read_before_an_interruption_is_kept(cohorts, tmp_path, monkeypatch):
    files = [cohorts[0] / "away" / f"{number}.png" for number in range(6)]
    whole, asked = module.film_features, []

    def interrupted(path):
        if path.endswith("4.png"):
            raise KeyboardInterrupt
        return whole(path)

    monkeypatch.setattr(module, "film_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_features(files, tmp_path / CACHE_FILE, workers=0)
    monkeypatch.setattr(module, "film_features", lambda path: asked.append(path) or whole(path))
    found = read_features(files, tmp_path / CACHE_FILE, workers=0)
    assert asked == [str(file) for file in files[4:]]
    np.testing.assert_array_equal(found[files[0]], whole(str(files[0])))


def test_a_changed_film_and_an_older_version_are_read_again(cohorts, tmp_path, monkeypatch):
    film = tmp_path / "film.png"
    film.write_bytes((cohorts[0] / "away" / "0.png").read_bytes())
    first = read_features([film], tmp_path / CACHE_FILE, workers=0)[film]
    film.write_bytes((cohorts[0] / "away" / "1.png").read_bytes())
    second = read_features([film], tmp_path / CACHE_FILE, workers=0)[film]
    assert not np.array_equal(first, second)
    with sqlite3.connect(tmp_path / CACHE_FILE) as store:
        store.execute("UPDATE about SET version = 'older'")
        store.execute("UPDATE features SET features = zeroblob(length(features))")
    store.close()
    np.testing.assert_array_equal(read_features([film], tmp_path / CACHE_FILE, workers=0)[film], second)


def test_a_file_that_is_no_cache_is_said(tmp_path):
    (tmp_path / CACHE_FILE).write_text("not a database, but long enough to look like something " * 40)
    with pytest.raises(EvaluationError, match="found something other than a cache of features"):
        read_features([], tmp_path / CACHE_FILE, workers=0)


def test_predictions_stand_beside_the_controls_with_paired_differences(cohorts, tmp_path):
    folder, home, manifest, _ = cohorts
    test = home[home["split"] == "test"].drop(index=40)
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"image_id": test["image_id"], "path": test["path"], "status": "ok", "reason": None})
    table = table.assign(detail=None, model_id="m", p_tb=np.clip(0.3 * test["tb"] + 0.6 * rng.random(len(test)), 0, 1))
    table.iloc[2, table.columns.get_loc("status")] = "error"
    table.to_csv(tmp_path / "predictions.csv", index=False)
    cxr(manifest, "--predictions", tmp_path, "--out", tmp_path / "out", code=1)
    record = json.loads((tmp_path / "out" / "shortcut.json").read_text())["pairs"][0]
    (result,) = record["findings"]
    ok = (table["status"] == "ok").to_numpy()
    y, p = test["tb"].to_numpy()[ok], table["p_tb"].to_numpy()[ok]
    assert result["system"]["value"] == pytest.approx(roc_auc_score(y, p))
    assert record["model_id"] == "m"
    X = np.stack([control_features(read_radiograph(folder / path).pixels) for path in home.drop(index=[3, 40])["path"]])
    rest = home.drop(index=[3, 40])
    train = (rest["split"] == "train").to_numpy()
    for control in result["controls"]:
        own = X[:, COLUMNS_OF[control["kind"]]]
        oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(own[train], rest["tb"][train])
        scores = oracle.predict_proba(own[~train])[:, 1][ok]
        parts = (y == 1, p, scores, auroc_delong(y, p), Clusters.of(None, len(y)), Options().question)
        expected = control_from_scores(*parts, control["kind"])
        assert control["beside"]["difference"]["value"] == pytest.approx(expected.difference.value)
        assert control["beside"]["difference"]["low"] == pytest.approx(expected.difference.low)
        assert control["beside"]["verdict"] == expected.verdict


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["home.parquet", "--test-split", "train"], EvaluationError, "share 36 films: a control fitted on the films"),
        (["home.parquet", "--test-split", "all"], EvaluationError, "share 36 films"),
        (["home.parquet", "--finding", "nodule"], EvaluationError, "no control can be fitted: no films"),
        (["home.parquet", "--test-split", "val"], ManifestError, "no row has split val"),
        (["home.parquet", "--test-split", "tset"], ConfigError, "--test-split: found 'tset'"),
        (["home.parquet", "--root", "nowhere"], ConfigError, "is no folder"),
        (["--pair", "home.parquet"], ConfigError, "expected TRAIN=TEST"),
        ([], ConfigError, "found no training manifest"),
        (["home.parquet", "--predictions", "a", "--predictions", "b"], ConfigError, "one for each of 1 pairs"),
        (["onlyill.parquet"], EvaluationError, "one class only"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(cohorts, tmp_path, monkeypatch, arguments, error, said):
    folder, home, *_ = cohorts
    write(home.assign(tb=1.0), folder / "onlyill.parquet")
    monkeypatch.chdir(folder)
    with pytest.raises(error, match=said):
        cxr(*arguments, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "shortcut.json").exists()


def test_a_patient_on_both_sides_is_refused(cohorts, tmp_path):
    folder, home, manifest, _ = cohorts
    again = home.assign(image_id=[f"home/again-{number}" for number in range(N)], split="test")
    with pytest.raises(EvaluationError, match="share 36 patients"):
        cxr("--pair", f"{manifest}={write(again, folder / 'again.parquet')}", "--out", tmp_path)
