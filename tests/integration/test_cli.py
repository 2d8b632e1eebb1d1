"""The ``cxr`` command as its users meet it: what it prints, what it leaves, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.inference_films import tiny_package

Run = Callable[..., tuple[int, str, str]]
VERBS = ["demo", "phantom", "datasets", "fetch", "train", "predict", "evaluate", "compare", "report"]
VERBS += ["reading-time", "reading-log", "power"]


@pytest.mark.parametrize("verb", [[verb] for verb in VERBS] + [["manifest", "build"], ["model", "show"]])
def test_every_verb_explains_itself(cxr: Run, verb: list[str]) -> None:
    code, out, _ = cxr(*verb, "--help")
    assert code == 0
    assert "Usage: cxr" in out


def test_help_answers_without_loading_torch() -> None:
    code = "import sys; sys.argv=['cxr','--help']; import pipelines.cli as c\ntry: c.main()\nexcept SystemExit: pass\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "assert not {'torch', 'mlflow', 'pandas'} & set(sys.modules), 'heavy import'"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "absent.yaml"], "absent.yaml: no such configuration file"),
        (
            ["manifest", "build", "nihh", ".", "--out", "m.csv"],
            "no data set is called 'nihh', expected one of ",
        ),
        (["manifest", "build", "phantom", "nowhere", "--out", "m.csv"], "nowhere"),
        (["manifest", "split", "absent.csv", "--out", "x.csv"], "absent.csv"),
        (["predict", "nowhere", "--model", "m", "--out", "o"], "nowhere"),
        (["predict", ".", "--model", "nomodel", "--out", "o"], "model nomodel: no such folder"),
        (["evaluate", "absent.csv", "--manifest", "m.csv", "--out", "o"], "absent.csv"),
        (["report", "absent", "--out", "r.html"], "absent"),
        (["model", "show", "models:/none@champion", "--tracking-uri", "sqlite:///none.db"], "none"),
        (["datasets", "nope"], "no data set is called 'nope'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    cxr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.png").write_bytes(b"not a film")
    code, out, err = cxr(*arguments)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert len(err.strip().splitlines()) == 1, err
    assert "Traceback" not in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.png"], "a refused command leaves nothing behind"


def test_data_sets_are_listed_and_described(cxr: Run) -> None:
    code, out, _ = cxr("datasets")
    assert code == 0
    for name in ("nih_cxr14", "vindr_cxr", "montgomery", "shenzhen", "qatar_tb", "phantom", "folder"):
        assert name in out
    code, out, _ = cxr("datasets", "nih_cxr14")
    assert code == 0
    assert "Wang" in out
    assert "known defects" in out


def test_from_films_to_a_page(cxr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cxr("phantom", "--films", 14, "--seed", 3, "--out", "films", "--workers", 1)[0] == 0
    code, out, _ = cxr("manifest", "build", "phantom", "films", "--out", "all.parquet", "--workers", 1)
    assert code == 0
    assert "14" in out
    assert cxr("manifest", "split", "all.parquet", "--out", "m.parquet", "--fractions", "0,0,1")[0] == 0
    assert cxr("manifest", "check", "m.parquet", "--root", "films")[0] == 0
    tiny_package(tmp_path / "package")
    code, out, _ = cxr("model", "show", "package")
    assert code == 0
    assert "threshold 0.4000" in out

    broken = next((tmp_path / "films").rglob("*.dcm"))
    broken.write_bytes(broken.read_bytes()[:5000])
    arguments = ("predict", "m.parquet", "--root", "films", "--model", "package", "--out", "p", "--heatmaps")
    code, out, _ = cxr(*arguments, "--workers", 0)
    assert code == 1, "one film failed"
    rows = pd.read_csv("p/predictions.csv")
    assert list(rows["image_id"]) == list(pd.read_parquet("m.parquet")["image_id"])
    assert (rows["status"] != "ok").sum() == 1
    assert rows["reason"].dropna().isin(["truncated", "corrupt"]).all()
    before = {path: path.read_bytes() for path in Path("p").glob("*.*")}
    assert cxr(*arguments, "--workers", 0)[0] == 1
    assert {path: path.read_bytes() for path in Path("p").glob("*.*")} == before

    code, out, err = cxr("evaluate", "p", "--manifest", "m.parquet", "--split", "test", "--out", "e")
    assert code == 0, err
    assert "AUROC" in out
    evaluation = json.loads(Path("e/evaluation.json").read_text())
    assert evaluation["films"]["joined"] == 13
    assert cxr("report", "e", "--out", "r.html")[0] == 0
    page = Path("r.html").read_text()
    assert "not a diagnosis" in page
    assert str(tmp_path) not in page
    assert "PHANTOM" not in page, "no patient name or id"


def test_manifest_check_says_everything_at_once_and_exits_1(cxr: Run, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "image_id,path,dataset,patient_id,split,tb,age_years,colour\n"
        "a/1,1.png,a,p1,train,1,411,red\na/1,2.png,a,p1,test,2,30,red\n"
    )
    code, out, _ = cxr("manifest", "check", path)
    assert code == 1
    for word in ("colour", "age", "duplicate", "patient", "tb"):
        assert word in out, word


def test_another_systems_scores(cxr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    labels = [1, 1, 1, 0, 0, 0]
    pd.DataFrame(
        {
            "image_id": [f"a/{i}.png" for i in range(6)],
            "path": [f"{i}.png" for i in range(6)],
            "dataset": "a",
            "tb": labels,
        }
    ).to_csv("m.csv", index=False)
    pd.DataFrame({"Film": [f"{i}.png" for i in range(6)], "s": [0.9, 0.8, 0.3, 0.4, 0.2, 0.1]}).to_csv(
        "s.csv", index=False
    )
    code, out, err = cxr("evaluate", "s.csv", "--manifest", "m.csv", "--id", "Film", "--score", "tb=s", "--out", "e")
    assert code == 0, err
    assert "0.8889" in out
    code, out, err = cxr("evaluate", "s.csv", "--manifest", "m.csv", "--id", "Film", "--score", "tb", "--out", "e2")
    assert code == 2
    assert "expected NAME=VALUE" in err
    code, _, err = cxr("evaluate", "s.csv", "--manifest", "m.csv", "--out", "e3")
    assert code == 2
    assert "--id" in err


def test_two_manifests_become_one(cxr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        for label in ("tb", "normal"):
            folder = tmp_path / name / label
            folder.mkdir(parents=True)
            for index in range(3):
                Image.fromarray(rng.integers(0, 255, (80, 80), dtype=np.uint8)).save(folder / f"{index}.png")
        built = cxr(
            "manifest", "build", "folder", name, "--option", f"name={name}", "--out", f"{name}.csv", "--workers", 1
        )
        assert built[0] == 0, built[2]
    assert cxr("manifest", "union", "a.csv", "b.csv", "--prefix", "a", "--prefix", "b", "--out", "ab.csv")[0] == 0
    assert cxr("manifest", "check", "ab.csv", "--root", ".")[0] == 0
    assert len(pd.read_csv("ab.csv")) == 12
    assert cxr("manifest", "union", "a.csv", "b.csv", "--prefix", "a", "--out", "x.csv")[0] == 2


def demo(folder: Path, *, until: Callable[[], bool] | None = None) -> tuple[int, str]:
    """Run a small demo; with ``until``, press Ctrl-C once that holds."""
    command = [sys.executable, "-m", "pipelines", "demo", "--out", str(folder), "--films", "100"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        deadline = time.monotonic() + 240
        while until is not None and not until():
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if until is not None:
            process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=280)
    return process.returncode, output


@pytest.mark.timeout(600)
def test_the_demo_goes_on_after_ctrl_c_and_does_nothing_twice(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    code, output = demo(folder, until=(folder / "run" / "checkpoint.pt").is_file)
    assert code == 130, output
    assert "interrupted" in output
    films = {path: path.stat().st_mtime_ns for path in (folder / "films").rglob("*.dcm")}
    code, output = demo(folder)
    assert code == 0, output
    assert "1/6 synthetic films: done already" in output
    assert {path: path.stat().st_mtime_ns for path in films} == films
    assert "AUROC" in output
    assert f"Open {folder / 'report.html'}" in output
    page = (folder / "report.html").read_text()
    assert "data:image/" in page
    code, output = demo(folder)
    assert code == 0
    assert output.count("done already") == 6
    other = subprocess.run(
        [sys.executable, "-m", "pipelines", "demo", "--out", str(folder), "--films", "101"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 2
    assert "choose another --out" in other.stderr
