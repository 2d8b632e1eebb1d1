"""`cxr evaluate`, `cxr power` and the compiled loops under input that nobody should have given them."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.statistics.kernels import compiled
from pipelines.statistics.resampling import acceleration

Run = Callable[..., tuple[int, str, str]]
FILMS = 60
TRUTH = np.arange(FILMS) % 3 == 0
ROOM = """prevalence: 0.1
sensitivity: 0.9
specificity: 0.9
traffic: 0.5
replications: 2
films_per_replication: 50
warm_up_films: 10
"""


@pytest.fixture
def cxr(cxr: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run one command in this process, in a folder with a manifest, scores and a small reading room."""
    monkeypatch.chdir(tmp_path)
    manifest().to_csv("m.csv", index=False)
    scores().to_csv("s.csv", index=False)
    Path("room.yaml").write_text(ROOM)

    return cxr


def manifest(**columns: Any) -> pd.DataFrame:
    place = np.arange(FILMS)
    rows = {
        "image_id": [f"d/{i}" for i in place],
        "path": [f"a/{i}.png" for i in place],
        "dataset": "d",
        "patient_id": [f"p{i // 2}" for i in place],
        "sex": np.where(place % 2 == 0, "F", "M"),
        "tb": TRUTH.astype(int),
    }
    return pd.DataFrame(rows | columns)


def scores(values: object = None) -> pd.DataFrame:
    plain = np.clip(np.random.default_rng(4).normal(0.4, 0.2, FILMS) + 0.25 * TRUTH, 0, 1)
    return pd.DataFrame({"Film": [f"d/{i}" for i in range(FILMS)], "s": plain if values is None else values})


def asked(table: str = "s.csv", out: str = "o") -> list[str]:
    return (
        f"evaluate {table} --manifest m.csv --id Film --score tb=s --threshold tb=0.5 --scenario room.yaml "
        f"--replicates 100 --no-mlflow --out {out}"
    ).split()


def values_without_reason(found: object) -> Iterator[object]:
    """Records of a number that have neither a value nor a reason."""
    if isinstance(found, dict):
        if "value" in found and "why" in found and found["value"] is None and not found["why"]:
            yield found
        for inside in found.values():
            yield from values_without_reason(inside)
    elif isinstance(found, list):
        for inside in found:
            yield from values_without_reason(inside)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(0, 1, FILMS) * 1e300,
        np.random.default_rng(0).choice([1.7e308, -1.7e308, 0.0], FILMS),
        np.random.default_rng(0).random(FILMS) * 1e-300,
        np.full(FILMS, 0.5),
        TRUTH * 1.0,
        np.where(np.arange(FILMS) % 4 == 0, np.inf, 0.3),
        np.full(FILMS, np.nan),
    ],
    ids=["1e300", "largest", "tiny", "ties", "perfect", "infinite", "empty"],
)
def test_any_scores_have_an_answer_or_a_reason(cxr: Run, values: object) -> None:
    scores(values).to_csv("s.csv", index=False)
    for interval in ("auto", "analytic"):
        code, _, err = cxr(*asked(), "--interval", interval)
        assert code == 0, err
        text = Path("o/evaluation.json").read_text()
        assert not re.search(r"\bNaN\b|Infinity", text)
        assert not list(values_without_reason(json.loads(text)))
        for table in Path("o").glob("*.csv"):
            assert not re.search(r"(?mi)(^|,)-?(nan|inf)(,|$)", table.read_text()), table.name


def test_the_acceleration_has_no_unit() -> None:
    """Scores of 1e300 cannot be squared; the acceleration of BCa is that of the same scores divided by 1e300."""
    values = np.random.default_rng(1).gamma(2, 1, 50)
    assert acceleration(values * 1e300) == pytest.approx(acceleration(values), rel=1e-9)
    assert acceleration(values) != 0


@pytest.mark.parametrize(
    "labels", [np.ones(FILMS), np.zeros(FILMS), np.arange(FILMS) == 5, np.arange(FILMS) != 5], ids=str
)
@pytest.mark.parametrize("patient", ["p", None])
def test_one_class_and_one_patient_are_named(cxr: Run, labels: Any, patient: str | None) -> None:
    manifest(tb=np.asarray(labels).astype(int), patient_id=patient).to_csv("m.csv", index=False)
    code, _, err = cxr(*asked(), "--costs", "cxr=0,xpert=0", "--reference-sensitivity", "0.8")
    assert code == 0, err
    result = json.loads(Path("o/evaluation.json").read_text())
    assert not list(values_without_reason(result))
    auroc = result["findings"][0]["auroc"]
    one_class = labels.sum() in (0, FILMS)
    assert (auroc["value"] is None) == one_class
    assert auroc["why"] or not one_class


def _bytes_of(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"Film,s\n", "the table has no rows"),
        (_bytes_of(scores()).replace(b",", b";"), "semicolons or tabs, expected commas"),
        (_bytes_of(scores()).replace(b",", b"\t"), "semicolons or tabs, expected commas"),
        (gzip.compress(_bytes_of(scores()), mtime=0), "ends in .csv.gz"),
        (b"PAR1" + bytes(99), "ends in .parquet"),
        (_bytes_of(scores("high")), "60 values that are not numbers (first in row 1)"),
        (_bytes_of(scores("2020-01-01")), "60 values that are not numbers (first in row 1)"),
        (_bytes_of(scores().assign(Film="d/1")), "1 duplicated ids (first: 'd/1')"),
        (_bytes_of(scores().assign(Film="x" * 10_000)[:1]), "None of the 1 ids"),
    ],
)
def test_a_table_that_is_none_is_said_in_one_sentence(cxr: Run, content: bytes, message: str) -> None:
    Path("s.csv").write_bytes(content)
    code, out, err = cxr(*asked())
    assert (code, out) == (2, "")
    assert message in err
    assert len(err) < 500
    assert not Path("o").exists()


def test_a_moment_is_no_score(cxr: Run) -> None:
    scores(pd.Timestamp("2020-01-01")).to_parquet("s.parquet")
    code, _, err = cxr(*asked("s.parquet"))
    assert code == 2
    assert "'s' has 60 values that are not numbers" in err


def test_a_name_that_lies_about_compression(cxr: Run) -> None:
    Path("s.csv.gz").write_bytes(_bytes_of(scores()))
    code, _, err = cxr(*asked("s.csv.gz"))
    assert code == 2
    assert "it is not compressed" in err


def test_which_ids_are_unmatched_and_how_many(cxr: Run) -> None:
    ids = ["=cmd|'/C calc'!A0", "<script>alert(1)</script>", "y" * 10_000, "é漢字", *[f"d/{i}" for i in range(4, 60)]]
    scores().assign(Film=ids).to_csv("s.csv", index=False)
    code, out, err = cxr(*asked())
    assert code == 0, err
    assert "4 films: in the predictions, but not in the manifest" in out
    assert "ids that are not in the manifest: " in out
    assert pd.read_csv("o/unmatched.csv")["image_id"].tolist() == ids[:4]
    assert "y" * 100 not in Path("o/evaluation.json").read_text()


@pytest.mark.parametrize(
    ("option", "values"),
    [("--score", ("tb=s", "tb=s")), ("--threshold", ("tb=0.4", "tb=0.6")), ("--costs", ("cxr=1,cxr=2,xpert=3",))],
)
def test_a_name_given_twice_is_refused(cxr: Run, option: str, values: tuple[str, ...]) -> None:
    code, _, err = cxr(*asked(), *[word for value in values for word in (option, value)])
    assert code == 2
    assert f"{option}: " in err
    assert "is given twice" in err


def test_attributes_that_are_none_of_the_films(cxr: Run) -> None:
    own = pd.DataFrame({"image_id": [f"d/{i}" for i in range(FILMS)], "smoker": ["yes", "no"] * (FILMS // 2)})
    own.rename(columns={"smoker": "pred_p_tb"}).to_csv("a.csv", index=False)
    code, _, err = cxr(*asked(), "--attributes", "a.csv")
    assert code == 2
    assert "pred_p_tb" in err
    own.assign(image_id="q" + own["image_id"]).to_csv("a.csv", index=False)
    code, _, err = cxr(*asked(), "--attributes", "a.csv")
    assert code == 2
    assert "attributes (instead of predictions): None of the 60 ids" in err
    own.assign(image_id=["zz/1", *own["image_id"][1:]]).to_csv("a.csv", index=False)
    code, _, err = cxr(*asked(), "--attributes", "a.csv", "--subgroup", "smoker")
    assert code == 0
    assert "1 of 60 ids are not in the manifest (first: 'zz/1')" in err


def test_a_data_set_to_show_must_be_there(cxr: Run, tmp_path: Path) -> None:
    code, _, err = cxr(*asked(), "--show-films", "our-clinic")
    assert code == 2
    assert "show_films: found 'our-clinic', expected a data set of the films evaluated (d)." in err


def test_no_patient_path_or_foreign_column_leaves_the_tables(cxr: Run, tmp_path: Path) -> None:
    place = range(FILMS)
    manifest(
        patient_id=[f"CANPATIENT{i // 2}" for i in place],
        path=[f"CANPATH/{i}.png" for i in place],
        study_id=[f"CANSTUDY{i}" for i in place],
        sha256=[f"{i:064x}" for i in place],
        pixel_hash=[f"{i:016x}" for i in place],
        native_labels='["CANNATIVE"]',
    ).to_csv("m.csv", index=False)
    scores().assign(Name="CANNAME").to_csv("s.csv", index=False)
    own = pd.DataFrame({"image_id": [f"d/{i}" for i in place], "CANOWN": "CANVALUE"})
    own.to_csv(tmp_path / "a.csv", index=False)
    code, out, err = cxr(*asked(str(tmp_path / "s.csv")), "--attributes", tmp_path / "a.csv")
    assert code == 0, err
    written = [path.read_text() for path in Path("o").iterdir()]
    assert len(written) > 10
    for text in [*written, out]:
        assert "CAN" not in text
        assert str(tmp_path) not in text
        assert f"{1:064x}" not in text


def test_the_same_seed_gives_the_same_bytes_on_one_core_and_on_two(cxr: Run, tmp_path: Path) -> None:
    assert cxr(*asked(out="first"))[0] == 0
    code = "import sys; from pipelines.cli import main; sys.argv[0] = 'cxr'; main()"
    for threads in ("1", "2"):
        environment = {**os.environ, "NUMBA_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", code, *asked(out=threads)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for path in Path("first").iterdir():
            assert (Path(threads) / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_full_or_forbidden_folder_is_one_sentence_and_leaves_no_evaluation(cxr: Run, tmp_path: Path) -> None:
    Path("o").write_text("a file")
    code, _, err = cxr(*asked())
    assert code == 2
    assert "o" in err
    limited = (
        "import resource, signal, sys; from pipelines.cli import main; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); sys.argv[0] = 'cxr'; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *asked(out="full")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: full/" in done.stderr
    assert not Path("full/evaluation.json").exists()
    assert not list(Path("full").glob(".*")), "no half-written file"


def test_an_interrupted_evaluation_is_not_there(cxr: Run, tmp_path: Path) -> None:
    Path("room.yaml").write_text(ROOM.replace("replications: 2", "replications: 100000").replace(": 50\n", ": 50000\n"))
    code = "import sys; from pipelines.cli import main; sys.argv[0] = 'cxr'; main()"
    process = subprocess.Popen([sys.executable, "-c", code, *asked()], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not Path("o/evaluation.json").exists()


def test_an_older_evaluation_is_refused_and_replaced(cxr: Run) -> None:
    assert cxr(*asked())[0] == 0
    path = Path("o/evaluation.json")
    path.write_text(path.read_text().replace("evaluation/2", "evaluation/1"))
    code, _, err = cxr("report", "o", "--out", "r.html")
    assert code == 2
    assert "evaluation/2" in err
    assert cxr(*asked())[0] == 0
    assert cxr("report", "o", "--out", "r.html")[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sensitivity", "0.9", "--width", "0.1", "--reference-sensitivity", "0.8"], "name its margin as well"),
        (["--auroc", "0.8", "--width", "0.1", "--margin", "0.05"], "found neither"),
        (["--sensitivity", "0.9", "--margin", "0.95"], "margin must be smaller than the reference sensitivity 0.9"),
        (["--sensitivity", "0.9", "--width", "0.1", "--films-per-patient", "inf"], "between 1 and 10,000,000"),
        (["--sensitivity", "0.9", "--width", "1e-300"], "More than 10,000,000 films"),
        (["--sensitivity", "nan", "--width", "0.1"], "sensitivity must lie in [0, 1]"),
    ],
)
def test_a_plan_leaves_nothing_aside(cxr: Run, options: list[str], message: str) -> None:
    code, out, err = cxr("power", *options)
    assert (code, out) == (2, "")
    assert message in err


def test_compiled_loops_work_where_nothing_may_be_kept() -> None:
    """numba raises on a function for which it finds no folder it may write to, as it does here for one of no file."""
    names: dict[str, Any] = {}
    exec(compile("def doubled(x):\n    return 2 * x\n", "<nowhere>", "exec"), names)
    assert compiled()(names["doubled"])(21) == 42
