"""A folder that films keep arriving in: each complete film becomes one row, whatever happens to files and processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from pipelines.errors import CxrError
from pipelines.evaluation.predictions import COLUMNS, heatmap_file, maps_file
from pipelines.evaluation.tables import read_predictions
from pipelines.inference import collect_inputs, predict_films
from pipelines.inference.outputs import read_json
from pipelines.inference.watch.table import WatchTable
from pipelines.inference.watch.watching import Timing, WatchSummary, watch_films
from tests.inference_films import tiny_package, write_dicom, write_png

QUICK = Timing(settle=0.2, give_up=0.6, look=0.05, refresh=0.1)
PATIENCE = 60.0
"""Seconds after which a test gives up; a busy machine is slow, not wrong."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    tiny_package(folder)
    return folder


@pytest.fixture
def drop(tmp_path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def rows(out: Path) -> pd.DataFrame:
    """The CSV as a script would read it at this moment."""
    path = out / "predictions.csv"
    if not path.is_file():
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(path, keep_default_na=False)


def until(condition: Callable[[], bool], what: str) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < PATIENCE, what
        time.sleep(0.05)
    return time.monotonic() - started


class Watching:
    """`watch_films` in a thread of this process."""

    def __init__(self, drop: Path, package: Path, out: Path, **options) -> None:
        self.out = out
        self.said: list[str] = []
        self.stopped = threading.Event()
        self.ended: WatchSummary | BaseException | None = None
        options = {"workers": 0, "timing": QUICK, **options}
        self.call = lambda: watch_films(
            [drop], package, out, announce=self.said.append, stop=self.stopped.is_set, **options
        )
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            self.ended = self.call()
        except BaseException as error:  # noqa: BLE001  raised again in the test's thread
            self.ended = error

    def __enter__(self) -> "Watching":
        self.thread.start()
        until(lambda: bool(self.said) or self.ended is not None, "the start")
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join(PATIENCE)
        if isinstance(self.ended, BaseException):
            raise self.ended

    @property
    def summary(self) -> WatchSummary:
        assert isinstance(self.ended, WatchSummary)
        return self.ended

    def ids(self) -> list[str]:
        return rows(self.out)["image_id"].tolist()

    def until_ids(self, *names: str) -> float:
        return until(lambda: set(names) <= set(self.ids()), f"rows of {names}")


def write_slowly(path: Path, content: bytes, pieces: int = 12) -> None:
    with path.open("wb", buffering=0) as stream:
        for piece in range(pieces):
            stream.write(content[piece * len(content) // pieces : (piece + 1) * len(content) // pieces])
            time.sleep(0.05)


def test_films_arrive_and_become_rows(drop, package, tmp_path):
    """Slow copies are read when they are whole, stalled ones reported late, replaced ones read again."""
    whole = write_dicom(tmp_path / "source.dcm", 30).read_bytes()
    with Watching(drop, package, tmp_path / "out", timing=replace(QUICK, give_up=3.0)) as watching:
        write_png(drop / "film1.png", 1)
        (drop / "film2.png.part").write_bytes(b"on its way")
        assert watching.until_ids("film1.png") < 20  # seconds on a machine that has nothing else to do: 0.4
        (drop / "day").mkdir()
        write_slowly(drop / "day" / "slow.dcm", whole)
        (drop / "stalled.dcm").write_bytes(whole[: len(whole) // 2])
        (drop / "cut.dcm").write_bytes(whole[: len(whole) // 3])
        time.sleep(0.5)
        assert not {"stalled.dcm", "cut.dcm"} & set(watching.ids())
        (drop / "stalled.dcm").write_bytes(whole)
        watching.until_ids("day/slow.dcm", "stalled.dcm", "cut.dcm")
        write_png(drop / "film1.png", 2)
        watching.until_ids("film1.png#2")
        (drop / "film1.png").unlink()
        write_png(drop / "last.png", 3)
        watching.until_ids("last.png")
        until(lambda: (tmp_path / "out" / "predictions.parquet").is_file(), "a table at a quiet moment")
    table = rows(tmp_path / "out").set_index("image_id")
    expected = {"film1.png", "day/slow.dcm", "stalled.dcm", "cut.dcm", "film1.png#2", "last.png"}
    assert sorted(table.index) == sorted(expected)
    assert table["reason"].to_dict() == {name: "truncated" if name == "cut.dcm" else "" for name in expected}
    same = {"day/slow.dcm", "stalled.dcm"}
    assert table.loc[sorted(same), "p_tb"].nunique() == 1
    assert sum(table["duplicate_of"].isin(same)) == 1
    assert table.loc["film1.png#2", "path"] == "film1.png"
    assert table.loc["film1.png", "p_tb"] != table.loc["film1.png#2", "p_tb"]
    assert watching.summary.counts["by_reason"] == {"truncated": 1}
    assert watching.summary.failed == 1
    assert any("go on" in line for line in watching.summary.lines())
    read = read_predictions(tmp_path / "out")  # with run.json: what `cxr evaluate` and the worklist page read
    assert read.frame["image_id"].tolist() == rows(tmp_path / "out")["image_id"].tolist()
    record = read_json(tmp_path / "out" / "run.json")
    assert record["plan"]["watch"] is True
    assert record["counts"]["inputs"] == 6
    assert record["inputs"][0]["skipped"] == {"name of an unfinished copy": 1}


def test_the_same_rows_as_an_ordinary_run(drop, package, tmp_path):
    """More than a hundred films at once, then silence: as if they had been a folder from the start."""
    sources = [write_png(tmp_path / "sources" / f"{number}.png", number, 90, 80) for number in range(12)]
    for number in range(120):
        os.link(sources[number % 12], drop / f"film{number}.png")
    with Watching(drop, package, tmp_path / "out", batch_size=16) as watching:
        until(lambda: len(watching.ids()) == 120, "all rows")
    predict_films(collect_inputs([drop]), package, tmp_path / "plain", workers=0, batch_size=16)
    arrived, plain = (
        pd.read_parquet(tmp_path / name / "predictions.parquet").set_index("image_id").sort_index()
        for name in ("out", "plain")
    )
    pd.testing.assert_frame_equal(arrived, plain, rtol=1e-5)
    assert watching.summary.counts["duplicates"] == 108


def test_it_goes_on_where_it_stopped(drop, package, tmp_path):
    """Nothing is read twice; torn ends of the CSV and of the journal are repaired; another model is refused."""
    out = tmp_path / "out"
    write_png(drop / "film1.png", 1)
    with Watching(drop, package, out) as first:
        first.until_ids("film1.png")
    before = (out / "predictions.csv").read_bytes()
    with (out / "predictions.csv").open("ab") as stream:
        stream.write(b"film9.png,fil")
    with (out / "parts" / "watch.journal").open("ab") as stream:
        stream.write(b'0badc0de {"films":[["film9')
    write_png(drop / "film2.png", 2)
    with Watching(drop, package, out) as second:
        second.until_ids("film2.png")
        with pytest.raises(CxrError, match="another run is writing there"):
            watch_films([drop], package, out)
    assert (out / "predictions.csv").read_bytes().startswith(before)
    assert rows(out)["image_id"].tolist() == ["film1.png", "film2.png"]
    assert (second.summary.computed, second.summary.counts["inputs"]) == (1, 2)
    tiny_package(tmp_path / "other", seed=1)
    with pytest.raises(CxrError, match="model_id was"):
        watch_films([drop], tmp_path / "other", out)
    with pytest.raises(CxrError, match="holds another run"):
        predict_films(collect_inputs([drop]), package, out, workers=0)
    with Watching(drop, tmp_path / "other", out, restart=True) as third:
        third.until_ids("film1.png", "film2.png")
    assert len(rows(out)) == 2
    assert rows(out)["model_id"].nunique() == 1
    assert rows(out)["model_id"][0] not in before.decode()


def test_a_complete_film_that_vanishes_is_a_row(drop, package, tmp_path, monkeypatch):
    owe = WatchTable.owe

    def and_delete(table, films):
        owe(table, films)
        (drop / "gone.png").unlink()

    monkeypatch.setattr(WatchTable, "owe", and_delete)
    write_png(drop / "gone.png", 1)
    with Watching(drop, package, tmp_path / "out") as watching:
        watching.until_ids("gone.png")
    assert rows(tmp_path / "out")["reason"].tolist() == ["missing"]


def test_a_film_owed_by_a_killed_run_is_a_row(drop, package, tmp_path, monkeypatch):
    """Seen complete, then the process died and the file was deleted: it does not disappear."""

    def die(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    write_png(drop / "film.png", 1)
    with monkeypatch.context() as patch:
        patch.setattr(WatchTable, "add", die)
        watching = Watching(drop, package, tmp_path / "out")
        with pytest.raises(CxrError, match=r"watching stopped \(No space left on device\)"), watching:
            until(lambda: watching.ended is not None, "the end")
    assert len(rows(tmp_path / "out")) == 0
    (drop / "film.png").unlink()
    with Watching(drop, package, tmp_path / "out") as watching:
        watching.until_ids("film.png")
    assert rows(tmp_path / "out")["reason"].tolist() == ["missing"]


def test_a_folder_that_goes_away_and_comes_back(drop, package, tmp_path):
    write_png(drop / "film1.png", 1)
    with Watching(drop, package, tmp_path / "out") as watching:
        watching.until_ids("film1.png")
        drop.rename(tmp_path / "unplugged")
        until(lambda: any("waiting until it comes back" in line for line in watching.said), "the folder is missed")
        write_png(tmp_path / "unplugged" / "film2.png", 2)
        (tmp_path / "unplugged").rename(drop)
        watching.until_ids("film2.png")
    assert rows(tmp_path / "out")["status"].tolist() == ["ok", "ok"]
    assert [line.rpartition(": ")[2] for line in watching.said[1:]] == [
        "not there (No such file or directory); waiting until it comes back",
        "is there again",
    ]


def test_pictures_and_refreshed_tables(drop, package, tmp_path):
    refreshed = []
    write_png(drop / "film1.png", 1)
    options = {"heatmaps": True, "refreshed": lambda out: refreshed.append(len(read_predictions(out).frame))}
    with Watching(drop, package, tmp_path / "out", **options) as watching:
        until(lambda: refreshed == [1], "the first table")
        write_png(drop / "film2.png", 2)
        until(lambda: refreshed == [1, 2], "the second table")
    assert len(watching.ids()) == 2
    for name in watching.ids():
        for file in (heatmap_file(name, "film"), heatmap_file(name, "tb"), maps_file(name)):
            assert (tmp_path / "out" / "heatmaps" / file).stat().st_size > 100


def start(drop: Path, package: Path, out: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipelines", "predict", str(drop), "--watch", "--settle", "0.2"]
    command += ["--model", str(package), "--out", str(out), "--workers", "1", "--streams", "1", *options]
    return subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_and_started_again(drop, package, tmp_path):
    """SIGKILL while films arrive and are read, twice; then Ctrl-C: every film has exactly one row."""
    out = tmp_path / "out"
    sources = [write_png(tmp_path / "sources" / f"{number}.png", number, 90, 80).read_bytes() for number in range(8)]
    written = 0
    for target in (3, 20):
        running = start(drop, package, out)
        while len(rows(out)) < target:
            (drop / f"film{written}.png").write_bytes(sources[written % 8])
            written += 1
            assert running.poll() is None, running.communicate()
            assert written < 3000
            time.sleep(0.05)
        running.kill()
        running.communicate()
    running = start(drop, package, out, "--html")
    until(lambda: len(rows(out)) == written, "all rows")
    running.send_signal(signal.SIGINT)
    said, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, errors
    assert f"{written} films: {written} scored" in said
    assert "run the same command again to go on watching" in said
    table = pd.read_parquet(out / "predictions.parquet")
    assert sorted(table["image_id"]) == sorted(f"film{number}.png" for number in range(written))
    assert rows(out)["image_id"].tolist() == table["image_id"].tolist()
    assert (table["status"] == "ok").all()
    assert "film0.png" in (out / "worklist.html").read_text()


def test_interrupted_twice(drop, package, tmp_path):
    out = tmp_path / "out"
    write_png(drop / "film1.png", 1)
    running = start(drop, package, out)
    until(lambda: len(rows(out)) == 1, "the first row")
    running.send_signal(signal.SIGINT)
    time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode in (0, 130)  # 0: the end came before the second signal
    assert "Traceback" not in errors
    with Watching(drop, package, out, workers=0, streams=1) as watching:
        time.sleep(3 * QUICK.settle)
    assert (watching.summary.computed, len(rows(out))) == (0, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shard", "0/2"), "--shard"),
        (("--engine", "ray"), "--engine ray"),
        (("--split", "test"), "--split"),
        (("--dry-run",), "--dry-run"),
    ],
)
def test_what_does_not_go_with_it(cxr, drop, package, tmp_path, options, said):
    code, out, errors = cxr("predict", drop, "--watch", "--model", package, "--out", tmp_path / "out", *options)
    assert (code, out) == (2, "")
    assert said in errors.splitlines()[-1]
    assert "--watch reads folders of this machine" in errors
    assert not (tmp_path / "out").exists()


def test_addresses_and_manifests_are_refused(cxr, package, tmp_path):
    manifest = tmp_path / "films.csv"
    manifest.write_text("image_id\n")
    for given, said in (("s3://bucket/drop/", "not addresses"), (manifest, "found a file")):
        code, _, errors = cxr("predict", given, "--watch", "--model", package, "--out", tmp_path / "out")
        assert code == 2
        assert said in errors
