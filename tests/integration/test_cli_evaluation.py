"""``cxr evaluate`` and ``cxr compare`` as their users meet them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Scores of two systems for 240 films of 120 patients, a manifest, a user's own columns."""
    rng, n = np.random.default_rng(4), 240
    tb = (rng.random(n) < 0.4).astype(int)
    ids = [f"set/{i:03d}" for i in range(n)]
    manifest = pd.DataFrame({"image_id": ids, "path": ids, "dataset": "set", "tb": tb, "sex": ["F", "M"] * 120})
    manifest["patient_id"] = [f"p{i // 2}" for i in range(n)]
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    scores = pd.DataFrame({"film": [f"{i:03d}" for i in range(n)]})
    scores["old"] = np.clip(0.3 * tb + 0.7 * rng.random(n), 0, 1)
    scores["new"] = np.clip(0.5 * tb + 0.5 * rng.random(n), 0, 1)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    pd.DataFrame({"image_id": ids, "hiv": ["pos", "neg", "neg"] * 80}).to_csv(tmp_path / "clinic.csv", index=False)
    return tmp_path


def common(study: Path) -> list[object]:
    return [study / "scores.csv", "--manifest", study / "manifest.csv", "--id", "film", "--replicates", 200]


def test_evaluate_with_everything_it_can_be_asked(cxr: Run, study: Path) -> None:
    (study / "room.yaml").write_text(
        "prevalence: 0.1\ntraffic: 0.7\nreaders: 2\nminutes: {diseased: 5, nondiseased: 3}\nreplications: 40\n"
        "films_per_replication: 2000\n"
    )
    asked = ["--score", "tb=new", "--threshold", "tb=0.5", "--show-threshold", "tb=specificity=0.9"]
    asked += ["--prevalence", 0.05, "--prevalence-interval", "0.02,0.1", "--costs", "cxr=2,xpert=10,currency=USD"]
    asked += ["--reference-sensitivity", 0.8, "--subgroup", "hiv", "--attributes", study / "clinic.csv"]
    asked += ["--scenario", study / "room.yaml", "--interval", "percentile"]
    code, out, _ = cxr("evaluate", *common(study), *asked, "--out", study / "e")
    assert code == 0
    assert "a posteriori" in out
    assert "240 films come from 120 patients" in out
    found = json.loads((study / "e" / "evaluation.json").read_text())
    (tb,) = found["findings"]
    assert (found["local_prevalence"], tb["intervals"]) == (0.05, "percentile")
    assert tb["operating_point"]["non_inferiority"]["verdict"] in ("shown", "not_shown", "worse")
    assert [part["column"] for part in tb["subgroups"]] == ["hiv"]
    assert tb["operating_point"]["programme"]["costs"]["currency"] == "USD"
    room = json.loads((study / "e" / "reading_time.json").read_text())
    assert room["scenario"]["readers"] == 2
    assert {"fifo", "ai", "difference"} <= set(room["findings"][0]["simulation"])
    names = {path.name for path in (study / "e").iterdir()}
    assert {"metrics.csv", "thresholds.csv", "subgroups.csv", "decision_curve.csv", "unmatched.csv"} <= names


def test_the_same_seed_gives_the_same_bytes(cxr: Run, study: Path) -> None:
    for folder in ("a", "b"):
        code, *_ = cxr(
            "evaluate", *common(study), "--score", "tb=new", "--threshold", "tb=0.5", "--out", study / folder
        )
        assert code == 0
    for path in (study / "a").iterdir():
        assert path.read_bytes() == (study / "b" / path.name).read_bytes(), path.name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--score", "tb=new", "--threshold", "tb=high"], "--threshold tb: found 'high', expected a number"),
        (["--score", "tb=new", "--costs", "cxr=2"], "--costs: found 'cxr=2', expected cxr=NUMBER,xpert=NUMBER"),
        (["--score", "tb=new", "--prevalence-interval", "0.1"], "expected LOW,HIGH"),
        (["--score", "tb=new", "--interval", "wald"], "interval: found 'wald', expected auto"),
        (["--score", "tb=new", "--show-threshold", "tb=best"], "Rule 'best': expected sensitivity=0.9"),
        (["--score", "tb=new", "--show-threshold", "mass=sensitivity=0.9"], "'mass': evaluated are tb"),
        (["--score", "tb=new", "--hit", "near"], "near"),
        (["--score", "tb=new", "--subgroup", "patient_id"], "patient_id"),
        (["--score", "tb=new", "--subgroup", "shoe_size"], "shoe_size"),
        (
            ["--score", "tb=new", "--scenario", "room.yaml", "--traffic", "0.5"],
            "--traffic: the reading room is that of",
        ),
        (["--score", "tb=new", "--operating-points", "package"], "do not fit other scores"),
        (["--score", "tb=new", "--margin", "0.1"], "--margin: found without --reference-sensitivity"),
        (["--score", "tb=newer"], "no column 'newer'"),
    ],
)
def test_what_a_user_got_wrong_is_one_sentence(cxr: Run, study: Path, options: list[str], message: str) -> None:
    code, _, err = cxr("evaluate", *common(study), *options, "--out", study / "e")
    assert code == 2
    assert message in " ".join(err.split())
    assert not (study / "e" / "evaluation.json").exists()


def test_compare_two_columns_of_one_file(cxr: Run, study: Path) -> None:
    asked = ["--name", "old", "--name", "new", "--score", "old:tb=old", "--score", "new:tb=new"]
    code, out, _ = cxr(
        "compare", study / "scores.csv", *common(study), *asked, "--threshold", "tb=0.5", "--out", study / "c"
    )
    assert code == 0
    assert "new minus old" in out
    found = json.loads((study / "c" / "comparison.json").read_text())
    assert found["systems"] == ["old", "new"]
    assert found["findings"][0]["pairs"][0]["kept_threshold"]["threshold"] == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--name", "one", "--score", "tb=new"], "--name: found 1, expected one for each of 2 systems"),
        (["--name", "one", "--name", "one", "--score", "tb=new"], "'one' is there twice"),
        (["--score", "tb=new", "--operating-points", "package"], "expected NAME:PACKAGE of scores, scores (2)"),
        (["--score", "tb=new", "--score", "scores:tb=gone"], "no column 'gone'"),
        (["--score", "tb=new", "--score", "tb=old"], "tb is given twice"),
    ],
)
def test_compare_names_what_is_wrong(cxr: Run, study: Path, options: list[str], message: str) -> None:
    code, _, err = cxr("compare", study / "scores.csv", *common(study), *options, "--out", study / "c")
    assert code == 2
    assert message in " ".join(err.split())
