"""Locking a package anew: same weights and model id, new thresholds; and points read without the weights."""

import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from models import load_package
from pipelines.cli import app
from pipelines.errors import ConfigError, CxrError, EvaluationError, ManifestError, PackageError, PredictionsError
from pipelines.evaluation.thresholds.locked import HEADING, locked_points, points_section, replace_section
from pipelines.evaluation.thresholds.operating_point import LockRule, lock_operating_point
from pipelines.inference import Predictor
from pipelines.inference.relock import FEW_POSITIVES, LockingWarning, relock_package
from pipelines.manifest import conform, write_manifest
from tests.inference_films import tiny_package, write_png

FILMS = 120
DAY = "2026-01-31"
TB = [("tb", LockRule.parse("sensitivity=0.95"))]


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    """A package, predictions of it, and a manifest: read only."""
    folder = tmp_path_factory.mktemp("room")
    package = tiny_package(folder / "package")
    write_tables(folder, package.model_id)
    return folder


def write_tables(folder: Path, model_id: str, *, films: int = FILMS, prevalence: float = 0.4) -> None:
    rng = np.random.default_rng(5)
    ids = [f"local/{number}" for number in range(films)]
    labels = (rng.random((films, 2)) < prevalence).astype(float)
    scores = np.clip(rng.normal(0.3 + 0.3 * labels, 0.15), 0, 1)
    frame = pd.DataFrame({"image_id": ids, "status": "ok", "reason": None, "model_id": model_id})
    frame["p_tb"], frame["p_nodule"] = scores.T
    frame.loc[0, ["status", "reason", "p_tb", "p_nodule"]] = ["rejected", "blank", np.nan, np.nan]
    (folder / "predictions").mkdir(exist_ok=True)
    frame.to_parquet(folder / "predictions" / "predictions.parquet")
    split = ["val" if number % 4 else "test" for number in range(films)]
    rows = pd.DataFrame({"image_id": ids, "path": ids, "dataset": "local", "patient_id": ids, "split": split})
    rows["tb"], rows["nodule"] = labels.T
    write_manifest(conform(rows), folder / "manifest.parquet")


def relock(room: Path, out: Path, rules=TB, **more):
    given = {"rules": rules, "cohort": "a local clinic", "date": DAY} | more
    with warnings.catch_warnings():
        warnings.simplefilter("error", LockingWarning)
        warnings.filterwarnings("ignore", "[0-9]+ positive films of .* too few to miss one", LockingWarning)
        return relock_package(room / "package", room / "predictions", room / "manifest.parquet", out, **given)


def cohort(room: Path, finding: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores of the usable validation films, joined by hand."""
    films = pd.read_parquet(room / "predictions" / "predictions.parquet").merge(
        pd.read_parquet(room / "manifest.parquet"), on="image_id"
    )
    films = films[(films["split"] == "val") & (films["status"] == "ok")]
    return films[finding].to_numpy(), films[f"p_{finding}"].to_numpy()


def test_relocking_keeps_weights_and_model_id_and_replaces_only_the_named_points(room, tmp_path):
    old, before = load_package(room / "package"), (room / "package" / "model.json").read_bytes()
    rules = [("tb", LockRule.parse("sensitivity=0.9")), ("tb", LockRule.parse("rule_out=0.99"))]
    made = relock(room, tmp_path / "new", rules)
    new = load_package(tmp_path / "new")
    assert (made.model_id, new.model_id) == (old.model_id, old.model_id)
    weights = "weights.safetensors"
    assert (tmp_path / "new" / weights).read_bytes() == (room / "package" / weights).read_bytes()
    assert (room / "package" / "model.json").read_bytes() == before
    assert new.operating_points["nodule"] == locked_points(room / "package").flag["nodule"].model_dump(mode="json")
    labels, scores = cohort(room, "tb")
    for rule, points in zip(
        ("sensitivity=0.9", "rule_out=0.99"), (new.operating_points, new.rule_out_points), strict=True
    ):
        expected = lock_operating_point(
            labels, scores, finding="tb", rule=rule, cohort="a local clinic", model_id=old.model_id, date=DAY
        )
        assert points["tb"] == expected.model_dump(mode="json")
    assert [point.finding for point in made.kept] == ["nodule"]
    assert locked_points(tmp_path / "new").rule_out["tb"] == made.locked[1]
    entry = new.provenance["relocked"][0]
    assert entry["rules"] == ["tb=sensitivity=0.9", "tb=rule_out=0.99"]
    assert (entry["split"], entry["cohort"], entry["date"]) == ("val", "a local clinic", DAY)
    assert str(room) not in json.dumps(new.provenance)


def test_the_card_says_what_was_locked_where_and_when(room, tmp_path):
    relock(room, tmp_path / "new")
    card = (tmp_path / "new" / "README.md").read_text()
    assert card.startswith("a test package\n")
    assert "take the place of any threshold named above" in card
    row = next(line for line in card.splitlines() if line.startswith("| tb | flag"))
    for said in ("sensitivity >= 95 %", "a local clinic", DAY, f"({int(cohort(room, 'tb')[0].sum())})"):
        assert said in row


def test_a_card_with_the_section_keeps_everything_else():
    flag = {"tb": lock_operating_point([1, 0], [1, 0], finding="tb", rule="cost=2", cohort="a|b\nc", model_id="m")}
    section = points_section(flag, {})
    assert r"a\|b c" in section
    card = f"# one\n\n## Validation\n\nten\n\n{HEADING}\n\nold table\n\n## Limits\n\nmany\n"
    replaced = replace_section(card, section)
    assert "old table" not in replaced
    assert replaced.count(HEADING) == 1
    assert replaced.startswith("# one\n\n## Validation\n\nten\n\n")
    assert replaced.endswith("\n\n## Limits\n\nmany\n")
    assert replace_section(replaced, section) == replaced
    last = f"# one\n\n{HEADING}\n\nold table\n"
    assert replace_section(last, section) == f"# one\n\n{section.rstrip()}\n"


def test_relocking_twice_is_on_record_twice_and_the_same_day_gives_the_same_package(room, tmp_path):
    relock(room, tmp_path / "one")
    again = relock_package(
        tmp_path / "one", room / "predictions", room / "manifest.parquet", tmp_path / "two", rules=TB, date=DAY
    )
    assert again.locked[0].cohort == "local val"
    assert [entry["cohort"] for entry in load_package(tmp_path / "two").provenance["relocked"]] == [
        "a local clinic",
        "local val",
    ]
    relock(room, tmp_path / "three")
    names = ("model.json", "README.md", "weights.safetensors")
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes() for name in names)


def rules_of(*texts: str):
    return [(text.partition("=")[0], LockRule.parse(text.partition("=")[2])) for text in texts]


@pytest.mark.parametrize(
    ("rules", "more", "kind", "message"),
    [
        (TB, {"split": "test"}, ConfigError, "split 'test': thresholds are chosen on validation films"),
        (TB, {"split": "train"}, LockingWarning, "films of split train: if the model learned from them"),
        (TB, {"split": "other"}, ManifestError, "is not one of"),
        ([], {}, ConfigError, "no rule given"),
        (rules_of("effusion=cost=2"), {}, ConfigError, "rule for 'effusion': model .* finds tb, nodule"),
        (rules_of("tb=cost=2", "tb=specificity=0.8"), {}, ConfigError, "two flag rules for 'tb'"),
        (rules_of("tb=rule_out=0.9", "tb=rule_out=0.8"), {}, ConfigError, "two rule-out rules for 'tb'"),
        (
            rules_of("tb=sensitivity=0.99", "tb=rule_out=0.5"),
            {},
            EvaluationError,
            "would be flagged and filed without a reader",
        ),
    ],
)
def test_what_cannot_be_locked_leaves_nothing_behind(room, tmp_path, rules, more, kind, message):
    with pytest.raises(kind, match=message):
        relock(room, tmp_path / "new", rules, **more)
    assert list(tmp_path.iterdir()) == []


def test_predictions_of_another_model_are_refused_naming_both(room, tmp_path):
    other = tiny_package(tmp_path / "other", seed=1)
    mine = load_package(room / "package").model_id
    with pytest.raises(PredictionsError, match=f"are of model {mine}, the package is model {other.model_id}"):
        relock_package(
            tmp_path / "other", room / "predictions", room / "manifest.parquet", tmp_path / "new", rules=TB, date=DAY
        )
    assert not (tmp_path / "new").exists()


def test_a_damaged_package_and_a_taken_folder_are_refused(room, tmp_path):
    shutil.copytree(room / "package", tmp_path / "package")
    weights = tmp_path / "package" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0xFF
    weights.write_bytes(content)
    with pytest.raises(PackageError, match="changed after it was written"):
        relock_package(tmp_path / "package", room / "predictions", room / "manifest.parquet", tmp_path / "n", rules=TB)
    with pytest.raises(ConfigError, match="exists; name a new folder"):
        relock(room, tmp_path / "package")


def test_an_interruption_leaves_no_half_package(room, tmp_path, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        relock(room, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_few_positive_films_are_a_warning(tmp_path):
    package = tiny_package(tmp_path / "package")
    write_tables(tmp_path, package.model_id, films=60)
    with pytest.warns(LockingWarning, match=f"positive films, fewer than {FEW_POSITIVES}"):
        relock_package(
            tmp_path / "package", tmp_path / "predictions", tmp_path / "manifest.parquet", tmp_path / "n", rules=TB
        )
    write_tables(tmp_path, package.model_id)
    with pytest.warns(LockingWarning, match="too few to miss one at the sensitivity asked for .*99 %"):
        relock_package(
            tmp_path / "package",
            tmp_path / "predictions",
            tmp_path / "manifest.parquet",
            tmp_path / "r",
            rules=rules_of("tb=sensitivity=0.9", "tb=rule_out=0.99"),
        )
    write_tables(tmp_path, package.model_id, prevalence=0.0)
    with pytest.raises(EvaluationError, match="one class only: 0 positive"):
        relock_package(
            tmp_path / "package", tmp_path / "predictions", tmp_path / "manifest.parquet", tmp_path / "m", rules=TB
        )


def test_the_predictor_uses_the_new_points(room, tmp_path):
    rules = rules_of("tb=sensitivity=1", "tb=rule_out=1", "nodule=sensitivity=1", "nodule=rule_out=1")
    made = relock(room, tmp_path / "new", rules)
    predictor = Predictor.from_package(tmp_path / "new", device="cpu")
    thresholds = {point.finding: point.threshold for point in made.locked if point.purpose == "rule_out"}
    assert predictor.rule_out == thresholds
    films = [write_png(tmp_path / f"{seed}.png", seed) for seed in range(8)]
    rows = predictor(films)
    for _, row in rows.iterrows():
        below = all(row[f"p_{finding}"] < threshold for finding, threshold in thresholds.items())
        assert (row["triage_class"] == "likely_normal") == below


def lock_by_command(room: Path, out: Path, *rules: str, predictions: str = "predictions", split: str = "val"):
    given = [arg for rule in rules for arg in ("--rule", rule)]
    tables = ["--predictions", str(room / predictions), "--manifest", str(room / "manifest.parquet")]
    arguments = ["model", "lock", str(room / "package"), *tables, "--split", split, *given, "--out", str(out)]
    return CliRunner().invoke(app, arguments)


def test_the_verb_locks_and_show_shows(room, tmp_path):
    done = lock_by_command(room, tmp_path / "new", "tb=sensitivity=0.95", "nodule=specificity=0.8", "tb=rule_out=0.99")
    assert done.exit_code == 0, done.output
    assert "tb: flag at or above 0." in done.output
    assert "tb: file unread below 0." in done.output
    assert "(kept)" not in done.output
    shown = CliRunner().invoke(app, ["model", "show", str(tmp_path / "new")]).output
    assert "smallest threshold with specificity >= 80 % on local val, locked on 20" in shown
    assert "rule-out threshold" in shown
    old = CliRunner().invoke(app, ["model", "show", str(room / "package")]).output
    assert "rule-out" not in old


@pytest.mark.parametrize(
    ("rule", "split", "message"),
    [
        ("tb", "val", "expected FINDING=RULE"),
        ("tb=best", "val", "Rule 'best'"),
        ("=cost=1", "val", "expected FINDING=RULE"),
        ("tb=cost=1", "test", "split 'test'"),
    ],
)
def test_the_verb_refuses_in_one_sentence(room, tmp_path, rule, split, message):
    refused = lock_by_command(room, tmp_path / "new", rule, split=split)
    assert isinstance(refused.exception, CxrError)
    assert message in str(refused.exception)
    assert not (tmp_path / "new").exists()


def edit(folder: Path, change) -> None:
    path = folder / "model.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


def test_points_are_read_without_torch(room):
    code = (
        "import sys; from pathlib import Path; from pipelines.evaluation.thresholds.locked import locked_points\n"
        "model_id, flag, rule_out = locked_points(Path(sys.argv[1]))\n"
        "assert 'torch' not in sys.modules\n"
        "print(model_id, flag['tb'].threshold, len(rule_out))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(room / "package")], capture_output=True, text=True)
    assert run.stderr == ""
    assert run.stdout.split() == [load_package(room / "package").model_id, "0.4", "0"]


def test_points_of_packages_of_earlier_versions_are_read(room, tmp_path):
    shutil.copytree(room / "package", tmp_path / "old")

    def back(described):
        described["schema"] = "cxr-triage/model/1"
        del described["rule_out_points"]
        for point in described["operating_points"].values():
            for name in ("kind", "purpose", "prevalence", "date"):
                del point[name]

    edit(tmp_path / "old", back)
    read = locked_points(tmp_path / "old")
    assert (read.flag["tb"].threshold, read.flag["tb"].date, dict(read.rule_out)) == (0.4, None, {})
    assert load_package(tmp_path / "old").model_id == read.model_id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="other/1"), "schema is 'other/1'"),
        (lambda d: d.update(schema=None), "schema is None"),
        (lambda d: d.pop("model_id"), "expected a model_id"),
        (lambda d: d.update(findings="tb"), "a list of findings"),
        (lambda d: d.update(operating_points=[1]), "operating_points is list, expected finding -> point"),
        (lambda d: d.update(rule_out_points=None), "rule_out_points is NoneType"),
        (lambda d: d["operating_points"].update(tb=0.5), r"operating_points\.tb: "),
        (lambda d: d["operating_points"]["tb"].update(threshold=7), r"operating_points\.tb\.threshold: .*less than"),
        (lambda d: d["operating_points"]["tb"].update(model_id="abc"), "locked on model abc, this is model"),
        (lambda d: d["operating_points"].update(tb=d["operating_points"]["nodule"]), "of 'nodule' is given for 'tb'"),
        (lambda d: d.update(findings=["nodule"]), "of 'tb' is given for 'tb', but the model finds nodule"),
        (lambda d: d.update(rule_out_points=d["operating_points"]), "has purpose flag, expected rule_out"),
    ],
)
def test_damaged_or_foreign_points_are_one_sentence(room, tmp_path, change, message):
    shutil.copytree(room / "package", tmp_path / "package")
    edit(tmp_path / "package", change)
    with pytest.raises(PackageError, match=message) as caught:
        locked_points(tmp_path / "package")
    assert "\n" not in str(caught.value)


def test_what_is_no_package_is_said(tmp_path):
    with pytest.raises(PackageError, match=r"not a model package: model\.json is missing"):
        locked_points(tmp_path)
    for content in (b"{", b"\xff", b"[]", b"null"):
        (tmp_path / "model.json").write_bytes(content)
        with pytest.raises(PackageError, match=r"model\.json"):
            locked_points(tmp_path)
