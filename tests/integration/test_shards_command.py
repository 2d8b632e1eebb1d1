"""Shards from the command line: torchrun starts them, `cxr predict merge` joins them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipelines.inference import collect_inputs, ledger, plan, predict_films
from pipelines.inference.shards.merge import merge_shards
from pipelines.inference.shards.shard import Shard
from tests.inference_films import tiny_package, write_png

TABLES = ("predictions.parquet", "predictions.csv")


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    tiny_package(folder)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """A part and two films more, of which one is no film: the shard that has it is done first."""
    folder = tmp_path_factory.mktemp("command") / "films"
    source = write_png(folder / ".source.png", 1, 70, 70)
    for number in range(130):
        (folder / f"film{number}.png").hardlink_to(source)
    (folder / "film129.png").unlink()
    (folder / "film129.png").write_text("not a film")
    return folder


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def test_torchrun_starts_shards_and_merge_joins_them(films, package, tmp_path, cxr):
    """One unreadable film must not make torchrun stop the shard that is still at work."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "pipelines", "predict", str(films), "--model", str(package), "--out", str(tmp_path / "out")]
    ran = subprocess.run(
        [*command, "--workers", "0", "--batch-size", "64"], capture_output=True, text=True, timeout=250, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for index in range(2):
        assert f"shard {index}/2 (from RANK and WORLD_SIZE)" in ran.stderr
    rows = [len(pd.read_parquet(tmp_path / "out" / Shard(index, 2).folder / TABLES[0])) for index in range(2)]
    assert rows == [128, 2]
    code, said, _ = cxr("predict", "merge", tmp_path / "out")
    assert code == 1
    assert "2 shards, 130 films, each once: 129 scored, 0 rejected, 1 unreadable" in said
    one = ["predict", films, "--model", package, "--workers", 0, "--batch-size", 64]
    assert cxr(*one, "--out", tmp_path / "one")[0] == 1
    assert contents(tmp_path / "out") == contents(tmp_path / "one")
    # Asked for as a whole, the merged run is complete.
    code, said, _ = cxr(*one, "--out", tmp_path / "out")
    assert (code, "nothing was done" in said) == (1, True)
    os.utime(films / "film129.png", (1, 1))
    code, _, error = cxr(*one, "--out", tmp_path / "out")
    assert (code, "files of its films changed on disk" in error) == (2, True)


def test_element_of_an_array_started_alone(films, package, tmp_path, cxr, monkeypatch):
    arguments = ["predict", films, "--model", package, "--out", tmp_path, "--workers", 0]
    (tmp_path / Shard(0, 3).folder).mkdir()
    for name, value in {"ID": 1, "COUNT": 1, "MIN": 1, "MAX": 1, "STEP": 1}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    code, _, error = cxr(*arguments)
    assert (code, "holds shards of a run in 3" in error) == (2, True)
    monkeypatch.setenv("CXR_SHARDS", "3")
    code, said, error = cxr(*arguments)
    assert (code, "2 films: 1 scored" in said) == (0, True)
    assert "shard 1/3 (from SLURM_ARRAY_TASK_ID and CXR_SHARDS)" in error
    record = json.loads((tmp_path / Shard(1, 3).folder / "run.json").read_text())
    assert record["plan"]["inputs"]["shard"] == "1/3"
    code, _, error = cxr("predict", "merge", tmp_path)
    assert (code, "unfinished: 0/3; missing: 2/3" in error) == (2, True)


@pytest.mark.parametrize("count", [2, 3])
def test_merged_run_is_complete_for_a_run_of_all_films(count, films, package, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "PART_FILMS", 2)
    monkeypatch.setattr(plan, "PART_FILMS", 2)
    few = collect_inputs([films / f"film{number}.png" for number in range(4, 11)])
    options = {"workers": 0, "batch_size": 2}
    for index in range(count):
        predict_films(few, package, tmp_path, shard=Shard(index, count), **options)
    merge_shards(tmp_path)
    assert predict_films(few, package, tmp_path, **options).already_complete
