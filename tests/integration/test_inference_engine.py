"""The batch engine: n rows for n inputs, and the same bytes however often it was stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from models.explain import map_peaks
from models.package import load_package, save_package
from pipelines import decoding
from pipelines.decoding import DecodeRequest, decode_film
from pipelines.errors import CxrError, PackageError, Reason
from pipelines.evaluation.control import ControlModel
from pipelines.evaluation.model_facts import model_facts
from pipelines.evaluation.predictions import COLUMNS, heatmap_file, maps_file
from pipelines.evaluation.tables import read_predictions
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.film_pool import Refusal
from pipelines.imaging import Placement, read_radiograph, to_square
from pipelines.imaging.thumbnail import thumbnail_features
from pipelines.inference import Predictor, collect_inputs, engine, predict_films
from pipelines.inference.ledger import PART_FILMS
from tests.hostile_tasks import hostile_film_task
from tests.inference_films import SIZE, mixed_folder, tiny_package, write_dicom, write_png

TABLES = ("predictions.parquet", "predictions.csv")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The networks are so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    rng = np.random.default_rng(4)
    control = ControlModel(
        mean=tuple(rng.random(261)),
        scale=tuple(1 + rng.random(261)),
        coefficients=tuple(rng.normal(size=261)),
        intercept=0.1,
        n=10,
        n_positive=5,
    )
    tiny_package(folder, control={"tb": control.model_dump(mode="json")})
    return folder


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    return mixed_folder(tmp_path_factory.mktemp("mixed") / "films")


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Three parts of films: 300 names for 12 different pictures, and some that are not films."""
    folder = tmp_path_factory.mktemp("many") / "films"
    sources = [write_png(folder / ".sources" / f"{number}.png", number, 90, 80) for number in range(12)]
    for number in range(300):
        path = folder / f"film{number}.png"
        if number % 37 == 5:
            path.write_text("not a film")
        else:
            os.link(sources[number % 12], path)
    return folder


def run(folder: Path, package: Path, out: Path, **options):
    return predict_films(collect_inputs([folder]), package, out, workers=options.pop("workers", 0), **options)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


class StoppedError(Exception):
    pass


def stop_after(films: int):
    def progress(done: int, total: int) -> None:
        if done >= films:
            raise StoppedError

    return progress


def test_every_input_is_a_row_in_order(mixed, package, tmp_path):
    inputs = collect_inputs([mixed])
    summary = predict_films(inputs, package, tmp_path, workers=0)
    table = pd.read_parquet(tmp_path / "predictions.parquet")
    assert tuple(table.columns) == COLUMNS
    assert table["image_id"].tolist() == [film.image_id for film in inputs.films]
    reasons = dict(zip(table["image_id"], table["reason"], strict=True))
    expected = {
        "cine.dcm": Reason.SEVERAL_FRAMES,
        "cut.dcm": Reason.TRUNCATED,
        "gone.dcm": Reason.MISSING,
        "letter": Reason.NOT_AN_IMAGE,
        "thumb.png": Reason.TOO_SMALL,
    }
    assert {key: value for key, value in reasons.items() if value is not None and value == value} == expected
    rejected = set(table.loc[table["status"] == "rejected", "image_id"])
    assert rejected == {"cine.dcm", "thumb.png"}
    assert (summary.films, summary.ok, summary.rejected, summary.error) == (14, 9, 2, 3)
    scored = table[table["status"] == "ok"]
    computed = ["p_tb", "p_nodule", "flag_tb", "flag_nodule", "triage_score", "triage_class", "control_tb"]
    computed += ["peak_x_tb", "peak_y_nodule"]
    assert scored[computed].notna().all(axis=None)
    assert scored["control_nodule"].isna().all()
    assert scored["reason"].isna().all()
    assert table.loc[table["status"] != "ok", computed].isna().all(axis=None)
    assert table.loc[table["status"] != "ok", "detail"].notna().all()
    assert scored["p_tb"].nunique() == len(scored) - 1  # film1 is there twice
    twice = scored.set_index("image_id").loc[["film1.png", "study/copy of film1.png"]].drop(columns="path")
    assert twice.pop("duplicate_of").tolist() == [None, "film1.png"]
    assert table["duplicate_of"].notna().sum() == summary.duplicates == 1
    pd.testing.assert_series_equal(twice.iloc[0], twice.iloc[1], check_names=False, rtol=1e-5)


def test_row_by_hand(mixed, package, tmp_path):
    """One film's numbers, computed without the engine."""
    run(mixed, package, tmp_path, batch_size=1)
    row = pd.read_parquet(tmp_path / "predictions.parquet").set_index("image_id").loc["film3.png"]
    radiograph = read_radiograph(mixed / "film3.png", max_side=SIZE)
    square = torch.from_numpy(to_square(radiograph.pixels, SIZE))[None, None]
    loaded = Predictor.from_package(package).package
    with torch.no_grad():
        logits, maps, _ = loaded.build()(square)
    p = 1 / (1 + np.exp(-(logits[0].double().numpy() + 1.0) / 4.0))
    np.testing.assert_allclose([row["p_tb"], row["p_nodule"]], p, rtol=1e-5)
    assert (row["flag_tb"], row["flag_nodule"]) == (p[0] >= 0.4, p[1] >= 0.5)
    np.testing.assert_allclose(row["triage_score"], 100 * (1 - (1 - p[0]) * (1 - p[1])), rtol=1e-5)
    place = Placement.fit(150, 120, SIZE)
    cells = maps.shape[-1]
    centres = (np.arange(cells) + 0.5) * SIZE / cells
    on_film = (centres >= place.left) & (centres <= place.left + place.width)
    masked = torch.where(torch.from_numpy(on_film)[None, None, None], maps, -torch.inf)
    x, y = place.to_stored(*map_peaks(masked, SIZE)[0, 0].tolist())
    np.testing.assert_allclose([row["peak_x_tb"], row["peak_y_tb"]], [x, y], atol=1e-4)
    control = ControlModel.model_validate(loaded.control["tb"])
    np.testing.assert_allclose(row["control_tb"], control.scores(thumbnail_features(radiograph.pixels)[None])[0])


def test_run_json_says_what_made_the_table(mixed, package, tmp_path):
    run(mixed, package, tmp_path)
    table = read_predictions(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["schema"] == "cxr-triage/run/1"
    assert record["model"]["model_id"] == table.frame["model_id"].iloc[0]
    assert record["counts"]["by_reason"] == {
        "missing": 1,
        "not_an_image": 1,
        "several_frames": 1,
        "too_small": 1,
        "truncated": 1,
    }
    assert record["settings"] == {
        "device": "cpu",
        "backend": "torch",
        "precision": "fp32",
        "batch_size": 8,
        "part_films": 128,
        "heatmaps": False,
        "workers": 0,
        "streams": Predictor.from_package(package).streams,
    }
    assert sum(record["usage"]["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert record["manifest_digest"] is None
    assert record["films_per_second"] > 0
    loaded = load_package(package)
    facts = model_facts(record)
    assert facts is not None
    assert (facts.architecture, facts.input_size) == (loaded.architecture.backbone, loaded.input.size)
    assert (facts.channels, facts.intensity_range) == (loaded.input.channels, loaded.input.intensity_range)
    assert {each.finding: (each.temperature, each.offset) for each in facts.calibration or ()} == {
        finding: (value.temperature, value.offset) for finding, value in loaded.calibration.items()
    }
    assert facts.views == loaded.intended_use.views
    assert facts.checks_typicality == (loaded.typicality is not None)
    assert (facts.prediction.backend, facts.prediction.precision) == ("torch", "fp32")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*TABLES, "run.json"])


def test_no_patient_data_in_any_output(tmp_path, package):
    write_dicom(tmp_path / "films" / "a.dcm", 1)
    write_dicom(tmp_path / "films" / "b.dcm", 2, modality="CT")
    run(tmp_path / "films", package, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert b"secret" not in path.read_bytes().lower(), path.name


def test_engine_predictor_and_workers_give_the_same_scores(mixed, package, tmp_path):
    inputs = collect_inputs([mixed])
    run(mixed, package, tmp_path / "here")
    run(mixed, package, tmp_path / "workers", workers=2)
    assert contents(tmp_path / "here") == contents(tmp_path / "workers")
    table = pd.read_parquet(tmp_path / "here" / "predictions.parquet")
    called = Predictor.from_package(package)([film.file for film in inputs.films])
    # The first film with a picture is named by its id, and ids are the paths as given here.
    assert called["duplicate_of"].notna().tolist() == table["duplicate_of"].notna().tolist()
    different = ["image_id", "path", "duplicate_of"]
    pd.testing.assert_frame_equal(called.drop(columns=different), table.drop(columns=different), check_exact=True)


def test_batch_size_changes_scores_by_rounding_only(mixed, package, tmp_path):
    for size in (1, 5):
        run(mixed, package, tmp_path / str(size), batch_size=size)
    one, five = (pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("1", "5"))
    percent = ["triage_score"]
    pd.testing.assert_frame_equal(one.drop(columns=percent), five.drop(columns=percent), rtol=0, atol=1e-4)
    pd.testing.assert_frame_equal(one[percent], five[percent], rtol=0, atol=1e-2)


def test_bf16_agrees_with_fp32(mixed, package, tmp_path):
    run(mixed, package, tmp_path / "fp32")
    run(mixed, package, tmp_path / "bf16", precision="bf16")
    full, half = (pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("fp32", "bf16"))
    np.testing.assert_allclose(half["p_tb"], full["p_tb"], atol=0.05)
    assert (half["p_tb"].dropna() != full["p_tb"].dropna()).any()


def test_stopped_at_any_part_and_continued_gives_the_same_bytes(many, package, tmp_path):
    whole = run(many, package, tmp_path / "whole", batch_size=16)
    assert whole.films == whole.computed == 300
    assert contents(tmp_path / "whole")
    for films in (16, 128, 144, 288, 300):
        out = tmp_path / str(films)
        with pytest.raises(StoppedError):
            run(many, package, out, batch_size=16, streams=1, progress=stop_after(films))
        assert not any((out / name).exists() for name in (*TABLES, "run.json"))
        continued = run(many, package, out, batch_size=16)
        assert continued.computed == 300 - films
        assert contents(out) == contents(tmp_path / "whole")
        assert sorted(path.name for path in out.iterdir()) == sorted([*TABLES, "run.json"])


def test_killed_while_the_tables_are_written(many, package, tmp_path, monkeypatch):
    run(many, package, tmp_path / "whole", batch_size=16)
    for stage in ("write_tables", "describe_run", "close_folder"):
        with monkeypatch.context() as patched:
            patched.setattr(engine, stage, lambda *_, **__: (_ for _ in ()).throw(StoppedError))
            with pytest.raises(StoppedError):
                run(many, package, tmp_path / stage, batch_size=16)
        continued = run(many, package, tmp_path / stage, batch_size=16)
        assert continued.computed == 0
        assert continued.already_complete == (stage == "close_folder")
        assert contents(tmp_path / stage) == contents(tmp_path / "whole")
        assert not (tmp_path / stage / "parts").exists()


def test_complete_run_is_left_alone(mixed, package, tmp_path):
    first = run(mixed, package, tmp_path)
    stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = run(mixed, package, tmp_path)
    assert again.already_complete
    assert again.computed == 0
    assert (again.ok, again.rejected, again.error) == (first.ok, first.rejected, first.error)
    assert "nothing was done" in "\n".join(again.lines())
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps


def test_another_run_is_refused_with_what_changed(many, package, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(StoppedError):
        run(many, package, out, batch_size=16, progress=stop_after(200))
    with pytest.raises(CxrError, match=r"settings.batch_size was 16, is 8\. Make them equal"):
        run(many, package, out)
    with pytest.raises(CxrError, match=r"settings.heatmaps was False, is True"):
        run(many, package, out, batch_size=16, heatmaps=True)
    other = tiny_package(tmp_path / "other", seed=9)
    with pytest.raises(CxrError, match=f"model.model_id was [0-9a-f]+, is {other.model_id}"):
        run(many, tmp_path / "other", out, batch_size=16)
    some = collect_inputs([many / "film1.png", many / "film2.png"])
    with pytest.raises(CxrError, match=r"inputs.films was 300, is 2\. Make"):
        predict_films(some, package, out, batch_size=16, workers=0)
    kept = sorted(path.name for path in (out / "parts").iterdir())
    assert kept == ["part-00000.parquet", "part-00001.journal"]
    restarted = predict_films(some, package, out, batch_size=16, workers=0, restart=True)
    assert (restarted.films, restarted.computed) == (2, 2)


def test_moved_operating_point_of_the_same_model_is_refused(mixed, tmp_path):
    tiny_package(tmp_path / "a")
    tiny_package(tmp_path / "b", thresholds={"tb": 0.9, "nodule": 0.5})
    run(mixed, tmp_path / "a", tmp_path / "out")
    with pytest.raises(CxrError, match="the operating points changed"):
        run(mixed, tmp_path / "b", tmp_path / "out")


def test_moved_rule_out_point_of_the_same_model_is_refused(mixed, tmp_path):
    package = tiny_package(tmp_path / "a")
    point = lock_operating_point(
        [1, 0], [0.2, 0.1], finding="tb", rule="rule_out=0.99", cohort="val", model_id=package.model_id
    )
    again = replace(package, rule_out_points={"tb": point.model_dump(mode="json")})
    save_package(again, tmp_path / "b", card="a test package\n")
    run(mixed, tmp_path / "a", tmp_path / "out")
    with pytest.raises(CxrError, match="the rule-out points changed"):
        run(mixed, tmp_path / "b", tmp_path / "out")


def test_film_changed_between_two_calls(many, package, tmp_path):
    films = tmp_path / "films"
    shutil.copytree(many, films)
    with pytest.raises(StoppedError):
        run(films, package, tmp_path / "out", batch_size=16, streams=1, progress=stop_after(288))
    write_png(films / "film3.png", 77, 90, 80)
    write_png(films / "film270.png", 76, 90, 80)
    continued = run(films, package, tmp_path / "out", batch_size=16)
    # What is done again: the part of the one, the batch of the other, which lies in a part that was not whole.
    assert continued.computed == PART_FILMS + 16 + (300 - 288)
    run(films, package, tmp_path / "fresh", batch_size=16)
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")
    write_png(films / "film4.png", 78, 90, 80)
    with pytest.raises(CxrError, match="files of its films changed on disk"):
        run(films, package, tmp_path / "out", batch_size=16)


def test_a_folder_with_somebody_elses_table_is_not_written_over(mixed, package, tmp_path):
    (tmp_path / "predictions.csv").write_text("mine")
    with pytest.raises(CxrError, match=r"predictions.csv is there already"):
        run(mixed, package, tmp_path)
    assert (tmp_path / "predictions.csv").read_text() == "mine"
    run(mixed, package, tmp_path, restart=True)
    assert len(read_predictions(tmp_path).frame) == 14


def test_broken_part_is_done_again(many, package, tmp_path):
    run(many, package, tmp_path / "whole", batch_size=16)
    with pytest.raises(StoppedError):
        run(many, package, tmp_path / "out", batch_size=16, progress=stop_after(300))
    part = tmp_path / "out" / "parts" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    assert run(many, package, tmp_path / "out", batch_size=16).computed == PART_FILMS
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_unexpected_decoder_error_costs_one_row(mixed, package, tmp_path, monkeypatch):
    real = decoding.read_radiograph

    def fragile(path, **options):
        if path.name == "film2.png":
            raise ZeroDivisionError("Doe^John")
        return real(path, **options)

    monkeypatch.setattr(decoding, "read_radiograph", fragile)
    run(mixed, package, tmp_path)
    table = pd.read_parquet(tmp_path / "predictions.parquet").set_index("image_id")
    assert table.loc["film2.png", "status"] == "error"
    assert table.loc["film2.png", "reason"] == "corrupt"
    assert table.loc["film2.png", "detail"] == "decoding failed unexpectedly (ZeroDivisionError)"
    assert (table["status"] == "ok").sum() == 8


def test_film_that_crashes_its_worker_costs_one_row(many, package, tmp_path, monkeypatch):
    """The rows of all other films are the bytes they are without it."""
    films = tmp_path / "films"
    shutil.copytree(many, films)
    shutil.copy(films / "film0.png", films / "film150segfault.png")
    monkeypatch.setattr(decoding, "film_task", hostile_film_task)
    summary = run(films, package, tmp_path / "out", batch_size=1, workers=2)
    assert summary.by_reason == {"decoder_crashed": 1, "not_an_image": 8}
    run(many, package, tmp_path / "without", batch_size=1)
    tables = {name: pd.read_parquet(tmp_path / name / "predictions.parquet") for name in ("out", "without")}
    crashed = tables["out"]["image_id"] == "film150segfault.png"
    assert tables["out"].loc[crashed, ["status", "reason", "detail"]].values.tolist() == [
        ["error", "decoder_crashed", "its decoder ended the process that read it (SIGSEGV)"]
    ]
    rest = tables["out"][~crashed].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, tables["without"], check_exact=True)


def test_processes_that_cannot_start_are_one_sentence(mixed, package, tmp_path, monkeypatch):
    def unknown_elsewhere(job, *, request, slots):
        raise AssertionError

    unknown_elsewhere.__qualname__ = unknown_elsewhere.__name__ = "nothing"
    monkeypatch.setattr(engine, "nothing", unknown_elsewhere, raising=False)
    unknown_elsewhere.__module__ = engine.__name__
    monkeypatch.setattr(decoding, "film_task", unknown_elsewhere)
    with pytest.raises(CxrError, match="no process that reads films can be started"):
        run(mixed, package, tmp_path, workers=1)


def test_only_unreadable_films_still_make_a_table(package, tmp_path):
    (tmp_path / "films").mkdir()
    for name in "abc":
        (tmp_path / "films" / name).write_text("no film")
    summary = run(tmp_path / "films", package, tmp_path / "out")
    assert (summary.ok, summary.error) == (0, 3)
    assert summary.by_reason == {"not_an_image": 3}


def test_heatmaps_of_every_usable_film(mixed, package, tmp_path):
    run(mixed, package, tmp_path / "with", heatmaps=True)
    run(mixed, package, tmp_path / "without")
    assert contents(tmp_path / "with") == contents(tmp_path / "without")
    table = pd.read_parquet(tmp_path / "with" / "predictions.parquet")
    usable = table.loc[table["status"] == "ok", "image_id"]
    expected = {heatmap_file(image_id, layer) for image_id in usable for layer in ("film", "tb", "nodule")}
    expected |= {maps_file(image_id) for image_id in usable}
    run(mixed, package, tmp_path / "elsewhere", heatmaps=True, workers=2)
    for name in expected:
        assert (tmp_path / "elsewhere/heatmaps" / name).read_bytes() == (tmp_path / "with/heatmaps" / name).read_bytes()
    cells = np.load(tmp_path / "with" / "heatmaps" / maps_file("film3.png"))
    assert cells.shape == (2, 4, 4)
    assert ((cells > 0) & (cells < 1)).all()
    assert {path.name for path in (tmp_path / "with" / "heatmaps").iterdir()} == expected


def test_model_with_one_finding_and_no_threshold(mixed, tmp_path):
    tiny_package(tmp_path / "one", findings=("nodule",), thresholds={})
    table = Predictor.from_package(tmp_path / "one")(mixed / "film1.png")
    row = table.iloc[0]
    assert row["triage_score"] == pytest.approx(100 * row["p_nodule"])
    assert row[["p_tb", "flag_tb", "flag_nodule", "triage_class", "peak_x_tb", "control_tb"]].isna().all()


def test_predictor_takes_what_python_users_have(mixed, package):
    predictor = Predictor.from_package(package)
    table = predictor([str(mixed / "film1.png"), mixed / "absent", str(mixed / "film1.png"), str(mixed)])
    assert table["status"].tolist() == ["ok", "error", "ok", "error"]
    assert table["reason"].tolist()[1::2] == ["missing", "unreadable_file"]
    assert predictor([]).columns.tolist() == list(COLUMNS)


def test_reduced_decoding_keeps_placement(tmp_path):
    """A film stored larger than the input is placed by its stored shape."""
    write_png(tmp_path / "large.png", 3, 301, 203)
    film = decode_film(tmp_path / "large.png", DecodeRequest(SIZE))
    assert not isinstance(film, Refusal)
    place = Placement.fit(301, 203, SIZE)
    assert film.placement == place
    assert (film.square[:, : place.left] == 0).all()
    assert film.square[:, place.left].mean() > 0.05


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"device": "tpu"}, "device 'tpu' is unknown; expected auto, cpu, cuda or cuda:N"),
        ({"device": "cuda:99"}, "device 'cuda:99' asked for, but PyTorch finds"),
        ({"device": "cpu", "precision": "fp16"}, "precision 'fp16' needs a GPU"),
        ({"precision": "int4"}, "precision 'int4' is unknown; expected auto, fp32, bf16, fp16"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
    ],
)
def test_settings_that_cannot_be_used_are_one_sentence(mixed, package, tmp_path, options, expected):
    with pytest.raises(CxrError, match=expected):
        run(mixed, package, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_package_that_cannot_be_used_is_one_sentence(mixed, package, tmp_path):
    with pytest.raises(PackageError, match=r"is not a model package: model.json is missing"):
        run(mixed, tmp_path, tmp_path / "out")
    damaged = tmp_path / "damaged"
    shutil.copytree(package, damaged)
    described = json.loads((damaged / "model.json").read_text())
    described["calibration"]["tb"]["temperature"] = 1.5
    (damaged / "model.json").write_text(json.dumps(described))
    with pytest.raises(PackageError, match="the package was changed after it was written"):
        run(mixed, damaged, tmp_path / "out")


def test_output_that_cannot_be_written_is_one_sentence(mixed, package, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CxrError, match="expected a folder for the predictions, found a file"):
        run(mixed, package, tmp_path / "file")
    with pytest.raises(CxrError, match=r"out: cannot write there \(Not a directory\)"):
        run(mixed, package, tmp_path / "file" / "out")


def test_full_disk_is_one_sentence_and_the_run_goes_on(mixed, package, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(CxrError, match=r"No space left on device\); what is finished is kept"):
            run(mixed, package, tmp_path)
    assert run(mixed, package, tmp_path).ok == 9
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


SLOW_RUN = """
import sys, time
from pathlib import Path
from pipelines.inference import collect_inputs, predict_films

def progress(done, total):
    print(done, flush=True)
    time.sleep(0.05)

films, package, out = map(Path, sys.argv[1:])
predict_films(collect_inputs([films]), package, out, batch_size=16, workers=1, progress=progress)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_signal_and_continue(many, package, tmp_path, number):
    """Ctrl-C or a kill of the process: nothing half is left, and the same command goes on."""
    command = [sys.executable, "-c", SLOW_RUN, str(many), str(package), str(tmp_path / "out")]
    home = Path(__file__).resolve().parents[2]
    started = subprocess.Popen(
        command,
        cwd=home,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in started.stdout:
        if int(line) > PART_FILMS:
            started.send_signal(number)
            break
    _, errors = started.communicate(timeout=60)
    # Python ends an interrupted program by the signal, or with 1 where a library evaluates a text while it ends.
    assert started.returncode in ((-number, 1) if number == signal.SIGINT else (-number,))
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    # The worker notices that its parent is gone; it writes nothing, so there is nothing to wait for.
    assert not any((tmp_path / "out" / name).exists() for name in (*TABLES, "run.json"))
    continued = run(many, package, tmp_path / "out", batch_size=16)
    assert continued.computed <= 300 - (PART_FILMS + 16)  # what was said to be done is not done again
    run(many, package, tmp_path / "whole", batch_size=16)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
