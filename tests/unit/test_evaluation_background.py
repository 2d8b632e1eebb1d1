"""What an evaluation keeps for its report: flow by group, data sets, model, leakage, options; and what it must not."""

import json
import platform
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.assessment.assess import Source, assess
from pipelines.datasets import ADAPTERS
from pipelines.evaluation.data_sets import data_sets_of
from pipelines.evaluation.files import provenance_of, read_evaluation
from pipelines.evaluation.flow import MOST_GROUPS, OTHER_GROUPS
from pipelines.evaluation.joining import join_films
from pipelines.evaluation.leakage import NO_SUCH_FILMS, leakage_of
from pipelines.evaluation.model_facts import model_facts
from pipelines.evaluation.options import Options
from pipelines.evaluation.tables import read_predictions
from pipelines.evaluation.thresholds.programme import Costs
from pipelines.manifest import conform, manifest_digest, write_manifest
from tests.report_folders import MODEL, cohort, write_predictions

TRAINING = {
    "code_version": "0.1.0+gabc",
    "seed": 3,
    "best_epoch": 4,
    "mlflow_run_id": "run-1",
    "versions": {"torch": "2.15.0"},
    "config": {
        "model": {"backbone": "densenet121", "pretrained": "/home/anna/secret/start.safetensors", "size": 320},
        "optimisation": {"epochs": 6, "batch_size": 12, "learning_rate": 0.001, "imbalance": "none"},
        "validation": {"monitor": "val_auroc_mean"},
        "augmentation": {"flip": 0.0, "zoom": 0.1},
        "intended_use": {"min_age_years": 15.0, "max_age_years": None},
    },
    "train": {
        "films": 2,
        "datasets": {"phantom": 2},
        "manifest_digest": "0" * 64,
        "labels": {"tb": {"positive": 1, "negative": 1, "unknown": 0}},
    },
}


def small(**columns):
    frame = pd.DataFrame({"image_id": [f"s/{i}" for i in range(8)], "path": [f"{i}.dcm" for i in range(8)]})
    frame = frame.assign(dataset="s", split=["train"] * 3 + ["val"] + ["test"] * 4)
    return conform(frame.assign(**columns))


def against(frame, chosen, **more):
    return leakage_of(frame[chosen], frame, **{"model": None, "same_manifest": None, **more})


# Flow ------------------------------------------------------------------------------------------------------------


def test_flow_by_group_adds_up_to_the_totals_and_is_a_count_of_rows():
    rng = np.random.default_rng(0)
    manifest = small().loc[np.repeat(np.arange(8), 30)].reset_index(drop=True)
    manifest["image_id"] = [f"s/{i}" for i in range(240)]
    manifest["site"] = rng.choice(["A", "B", None], 240)
    manifest["split"] = rng.choice(["train", "test", None], 240)
    predictions = pd.DataFrame({"image_id": [f"s/{i}" for i in range(200)] + ["s/stranger"]})
    predictions["status"] = rng.choice(["ok", "rejected", "error"], 201, p=[0.8, 0.1, 0.1])
    predictions["reason"] = np.where(predictions["status"] == "ok", None, "too_small")
    found = join_films(predictions, manifest, split="test")
    totals = {item.code: item.n for item in found.left_out}
    for groups in (found.by_site, found.by_split):
        assert sum(group.received for group in groups) == found.in_predictions == 201
        assert sum(group.analysed for group in groups) == len(found.films)
        for code, n in totals.items():
            assert sum(item.n for group in groups for item in group.left_out if item.code == code) == n
        for group in groups:
            lost = sum(item.n for item in group.left_out if item.code != "not_predicted")
            assert group.received == group.analysed + lost
    both = predictions.merge(manifest, on="image_id", how="left")
    site = {group.name: group for group in found.by_site}
    assert set(site) == {"A", "B", "unknown"}
    assert site["A"].analysed == ((both["status"] == "ok") & (both["site"] == "A") & (both["split"] == "test")).sum()
    assert site["unknown"].received == both["site"].isna().sum()
    asked = manifest[(manifest["split"] == "test") & (manifest["site"] == "B")]
    missed = {item.code: item.n for item in site["B"].left_out}["not_predicted"]
    assert missed == (~asked["image_id"].isin(predictions["image_id"])).sum() > 0
    assert [group.received for group in found.by_split if group.name == "train"] == [(both["split"] == "train").sum()]


def test_many_sites_are_put_together_without_losing_a_film():
    n = 500
    manifest = conform(
        pd.DataFrame({"image_id": [f"s/{i}" for i in range(n)], "path": [f"{i}" for i in range(n)], "dataset": "s"})
    ).assign(site=[f"site {i % 100}" if i < 400 else "large" for i in range(n)])
    predictions = pd.DataFrame({"image_id": manifest["image_id"], "status": "ok"})
    groups = join_films(predictions, manifest).by_site
    assert len(groups) == MOST_GROUPS
    assert groups[0].name == "large"
    assert (groups[-1].name, groups[-1].groups) == (OTHER_GROUPS, 101 - 29)
    assert sum(group.received for group in groups) == n


# Leakage ---------------------------------------------------------------------------------------------------------


def test_a_shared_patient_file_and_picture_are_each_found_and_counted():
    frame = small(
        patient_id=["a", "b", None, "v", "a", "a", "c", "v"],
        sha256=[*(f"{i:064x}" for i in (0, 1, 2, 3, 4, 5, 2)), None],
        pixel_hash=["0" * 16, "f" * 16, "00ff" * 4, None, "1234567890abcdef", "0f" * 8, None, "00ff" * 4],
    )
    found = against(frame, frame["split"] == "test")
    assert (found.films, found.in_train, found.in_val, found.against, found.why_not) == (4, 0, 0, 4, None)
    patients = found.patients
    assert (patients.known, patients.known_against, patients.shared, found.shared_patients) == (4, 3, 3, 2)
    assert (found.files.known, found.files.known_against, found.files.shared) == (3, 4, 1)
    assert (found.pictures.known, found.pictures.known_against, found.pictures.shared) == (3, 3, 1)
    assert found.look_alikes.shared == 0


def test_pictures_of_two_people_look_alike_and_near_ones_do_where_a_patient_is_unknown():
    near, same = "00000000000000f0", "ffffffff00000000"
    frame = small(
        patient_id=["a", "b", "c", "d", None, "f", "g", "h"],
        pixel_hash=["0000000000000000", same, None, None, near, same, near, None],
    )
    found = against(frame, frame["split"] == "test")
    assert found.pictures.shared == 0
    assert found.look_alikes.shared == 2  # near and unknown: film 4; equal and of two patients: film 5; film 6 is known


def test_films_of_the_same_split_are_no_leak_and_films_of_another_are():
    frame = small(patient_id=["a", "a", "b", "a", "x", "x", "y", "z"])
    train = against(frame, frame["split"] == "train")
    assert (train.in_train, train.against, train.patients.shared, train.shared_patients) == (3, 1, 2, 1)
    test = against(frame, frame["split"] == "test")
    assert (test.patients.shared, test.against) == (0, 4)
    alone = frame[frame["split"] == "test"].reset_index(drop=True)
    assert against(alone, alone["split"] == "test").why_not == NO_SUCH_FILMS


def test_whether_the_training_split_is_what_the_model_learned_from_is_told_by_its_digest():
    frame = small(view=["PA", "LATERAL", "PA", "PA", "PA", "PA", "PA", "PA"], age_years=[40.0] * 8)
    rows = frame.iloc[[0, 2]].reset_index(drop=True)
    provenance = {**TRAINING, "train": {**TRAINING["train"], "manifest_digest": manifest_digest(rows)}}
    run = {"model": {"model_id": MODEL, "provenance": provenance}}
    chosen = frame["split"] == "test"
    assert against(frame, chosen, model=model_facts(run)).training_films == "the same"
    run["model"]["provenance"] = {**TRAINING, "train": {**TRAINING["train"], "manifest_digest": "0" * 64}}
    assert against(frame, chosen, model=model_facts(run)).training_films == "others"
    assert against(frame, chosen).training_films == "not said"


# Model -----------------------------------------------------------------------------------------------------------


def test_facts_of_a_model_come_from_its_own_description_or_from_its_training():
    model = {"model_id": MODEL, "name": "demo", "findings": ["tb"], "provenance": TRAINING}
    inputs = [{"given": "/home/anna/films/manifest.parquet"}, {"given": "films/"}]
    old = model_facts({"model": model, "inputs": inputs})
    assert (old.architecture, old.input_size, old.channels, old.calibration) == ("densenet121", 320, None, None)
    assert (old.pretrained, old.min_age_years) == ("start.safetensors", 15.0)
    assert old.prediction.inputs == ("manifest.parquet", "films")
    assert (old.training.epochs, old.training.learning_rate, old.training.seed) == (6, 0.001, 3)
    assert old.training.train.labels[0].positive == 1
    described = {
        "architecture": {"backbone": "timm:x", "size": 256, "pooling": "lse", "map_stride": 8},
        "input": {"size": 256, "channels": 1, "intensity_range": [0.0, 1.0], "placement": "centred"},
        "calibration": {"tb": {"temperature": 1.5, "offset": -0.25}},
        "intended_use": {"views": ["PA"], "min_age_years": None, "max_age_years": 90},
        "typicality": None,
    }
    new = model_facts({"model": {**model, **described}, "finished": "2026-11-23T05:00:00+00:00"})
    assert (new.architecture, new.input_size, new.channels, new.intensity_range) == ("timm:x", 256, 1, (0.0, 1.0))
    assert (new.calibration[0].temperature, new.calibration[0].offset) == (1.5, -0.25)
    assert (new.views, new.min_age_years, new.max_age_years, new.checks_typicality) == (("PA",), None, 90.0, False)
    assert new.prediction.day == "2026-11-23"
    assert model_facts(None) is None


@pytest.mark.parametrize("wrong", [None, 7, "text", [], {"size": "large"}, {"size": True, "backbone": 3}])
def test_a_fact_of_the_wrong_kind_counts_as_not_said(wrong):
    keys = ("architecture", "input", "calibration", "intended_use")
    run = {"model": {"model_id": MODEL, "provenance": {"config": wrong, "train": wrong}, **dict.fromkeys(keys, wrong)}}
    found = model_facts({**run, "settings": wrong, "hardware": wrong, "versions": wrong, "inputs": wrong})
    assert (found.input_size, found.architecture, found.training.train) == (None, None, None)


def test_data_sets_carry_what_their_adapter_says_and_strangers_their_name():
    films = pd.DataFrame({"dataset": ["nih_cxr14"] * 3 + ["clinic"] * 2 + [None]})
    known, stranger, nameless = data_sets_of(films)
    adapter = ADAPTERS["nih_cxr14"]
    assert (known.films, known.title, known.licence) == (3, adapter.title, adapter.licence)
    assert (known.labels, known.films_may_be_shown) == (adapter.label_origin, adapter.films_may_be_shown)
    assert known.url.startswith("https://")
    assert known.url in adapter.how_to_get
    assert (stranger.name, stranger.films, stranger.title, stranger.films_may_be_shown) == ("clinic", 2, None, None)
    assert (nameless.name, nameless.films) == ("unknown", 1)


# The file --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    base = tmp_path_factory.mktemp("project")
    manifest, predictions = cohort(60)
    manifest.loc[50:, "split"] = "train"
    write_manifest(manifest, base / "manifest.csv")
    write_predictions(base / "predictions", predictions)
    run = json.loads((base / "predictions" / "run.json").read_text())
    run["model"]["provenance"] = TRAINING
    run["inputs"] = [{"given": str(base / "manifest.csv")}]
    (base / "predictions" / "run.json").write_text(json.dumps(run))
    options = Options(replicates=100, prevalence=0.02, costs=Costs(cxr=2.0, xpert=15.0, currency="USD"))
    source = Source(base / "predictions", thresholds={"nodule": 0.5})
    made = assess(source, base / "manifest.csv", base / "evaluation", split="test", options=options)
    return base, made.evaluation


def test_the_new_parts_are_written_and_read_back(written):
    base, evaluation = written
    assert read_evaluation(base / "evaluation") == evaluation
    assert evaluation.model.architecture == "densenet121"
    assert [each.name for each in evaluation.data_sets] == ["phantom"]
    assert evaluation.data_sets[0].films == evaluation.films.joined
    assert evaluation.leakage.against == 10
    assert (evaluation.leakage.same_manifest, evaluation.leakage.training_films) == (None, "others")
    asked = evaluation.provenance.options
    assert (asked.prevalence, asked.cost_cxr, asked.currency, asked.split) == (0.02, 2.0, "USD", "test")
    assert asked.thresholds == {"nodule": 0.5}
    folder = base / "evaluation"
    assert (folder / evaluation.provenance.manifest_file).resolve() == (base / "manifest.csv").resolve()
    assert (folder / evaluation.provenance.predictions_file).is_file()


def test_a_file_of_an_earlier_version_is_still_read(written, tmp_path):
    base, evaluation = written
    old = json.loads((base / "evaluation" / "evaluation.json").read_text())
    for key in ("data_sets", "model", "leakage"):
        del old[key]
    for key in ("by_site", "by_split"):
        del old["films"][key]
    for key in ("manifest_file", "predictions_file", "options"):
        del old["provenance"][key]
    (tmp_path / "evaluation.json").write_text(json.dumps(old))
    found = read_evaluation(tmp_path)
    assert (found.data_sets, found.model, found.leakage, found.films.by_site) == (None, None, None, None)
    assert found.provenance.options is None
    assert found.findings == evaluation.findings


def test_no_absolute_path_no_host_and_no_user_in_the_file(written):
    base, _ = written
    text = (base / "evaluation" / "evaluation.json").read_text()

    def texts(value):
        if isinstance(value, str):
            yield value
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from texts(part)

    found = list(texts(json.loads(text)))
    assert len(found) > 100
    assert [each for each in found if each.startswith(("/", "~", "file:")) or re.match(r"[A-Za-z]:\\", each)] == []
    for secret in (str(base), "/home/", "anna"):
        assert secret not in text
    assert platform.node() == "" or not re.search(rf"\b{re.escape(platform.node())}\b", text)


def test_a_way_through_the_folder_of_all_users_is_not_written(written, monkeypatch):
    base, _ = written
    table = read_predictions(base / "predictions")
    monkeypatch.setattr(Path, "home", lambda: base / "anna")
    found = provenance_of(table, base / "anna" / "evaluation", manifest_digest=None, manifest=base / "manifest.csv")
    assert (found.manifest_file, found.predictions_file, found.predictions_folder) == (None, None, None)
    inside = provenance_of(
        table, base / "anna" / "work" / "evaluation", manifest_digest=None, manifest=base / "anna" / "m.csv"
    )
    assert inside.manifest_file == "../../m.csv"
