"""Systems side by side: common films, paired differences, the old threshold."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar

from pipelines.errors import EvaluationError
from pipelines.evaluation.comparison.compare import System, compare
from pipelines.evaluation.comparison.files import comparison_lines, comparison_table, write_comparison
from pipelines.evaluation.comparison.records import Comparison
from pipelines.evaluation.evaluator import table_thresholds
from pipelines.evaluation.options import Options
from pipelines.evaluation.tables import PredictionsTable

FEW = Options(replicates=300)


def manifest_of(n=300, films=1):
    tb = (np.random.default_rng(1).random(n) < 0.35).astype(float)
    ids = [f"a/{i}" for i in range(n)]
    patients = [f"p{i // films}" for i in range(n)]
    return pd.DataFrame({"image_id": ids, "path": "x", "dataset": "a", "tb": tb, "patient_id": patients})


def system(name, manifest, *, signal, seed, threshold=0.5, finding="tb", scale=1.0):
    rng = np.random.default_rng(seed)
    score = scale * np.clip(signal * manifest["tb"] + (1 - signal) * rng.random(len(manifest)), 0, 1)
    frame = pd.DataFrame({"image_id": manifest["image_id"], "status": "ok", "model_id": name, f"p_{finding}": score})
    given = {} if threshold is None else {finding: threshold}
    table = PredictionsTable(frame=frame, findings=(finding,), digest=name, thresholds=given)
    return System(name, table, table_thresholds(table))


def test_differences_are_paired_on_common_films():
    manifest = manifest_of()
    old, new = system("old", manifest, signal=0.2, seed=2), system("new", manifest, signal=0.4, seed=3)
    new.table.frame.loc[0:9, "status"] = "error"
    old.table.frame.loc[5:19, "p_tb"] = np.nan
    (found,) = compare([old, new], manifest, options=FEW).findings
    rows = slice(20, None)
    truth = manifest["tb"][rows] == 1
    a, b = new.table.frame["p_tb"][rows], old.table.frame["p_tb"][rows]
    assert (found.n, found.positives, found.intervals) == (280, int(truth.sum()), "analytic")
    assert [s.auroc.value for s in found.systems] == pytest.approx([roc_auc_score(truth, b), roc_auc_score(truth, a)])
    (pair,) = found.pairs
    assert (pair.a, pair.b) == ("new", "old")
    assert pair.accuracy.auroc.difference.value == pytest.approx(roc_auc_score(truth, a) - roc_auc_score(truth, b))
    both = pd.crosstab(a[truth] >= 0.5, b[truth] >= 0.5).to_numpy()
    assert pair.accuracy.sensitivity.p == pytest.approx(mcnemar(both, exact=True).pvalue)
    sick = pair.agreement.positives
    assert [[sick.neither, sick.only_b], [sick.only_a, sick.both]] == both.tolist()
    assert sum(pair.agreement.negatives.model_dump().values()) == found.negatives
    films = [s.films for s in found.systems]
    assert [(f.scored, f.without_score, f.not_common) for f in films] == [(285, 15, 5), (290, 10, 10)]


def test_the_old_threshold_is_judged_on_the_margin():
    manifest = manifest_of(1500)
    old = system("old", manifest, signal=0.5, seed=2, threshold=0.45)
    drifted = system("new", manifest, signal=0.5, seed=2, threshold=0.3, scale=0.7)
    (found,) = compare([old, drifted], manifest, options=FEW).findings
    kept = found.pairs[0].kept_threshold
    assert kept.threshold == 0.45
    assert kept.non_inferiority.verdict == "worse"
    assert "must not keep the old threshold 0.45" in kept.sentence
    same = compare([old, system("new", manifest, signal=0.5, seed=2)], manifest, options=FEW).findings[0].pairs[0]
    assert same.kept_threshold.non_inferiority.verdict == "shown"
    assert "may keep" in same.kept_threshold.sentence
    raw = system("raw", manifest, signal=0.5, seed=4, scale=10.0)
    pair = compare([old, raw], manifest, options=FEW).findings[0].pairs[0]
    assert pair.kept_threshold is None
    assert "no probabilities" in pair.kept_threshold_absent
    bare = system("bare", manifest, signal=0.5, seed=4, threshold=None)
    pair = compare([bare, old], manifest, options=FEW).findings[0].pairs[0]
    assert "no operating threshold" in pair.kept_threshold_absent
    assert pair.non_inferiority is None


def test_three_systems_give_three_pairs_with_adjusted_p():
    manifest = manifest_of(films=2)
    names = {"one": 0.2, "two": 0.25, "three": 0.6}
    systems = [system(name, manifest, signal=s, seed=i) for i, (name, s) in enumerate(names.items())]
    comparison = compare(systems, manifest, options=FEW)
    (found,) = comparison.findings
    assert [(p.a, p.b) for p in found.pairs] == [("two", "one"), ("three", "one"), ("three", "two")]
    assert (found.intervals, found.patients) == ("bca", 150)
    for pair in found.pairs:
        assert pair.auroc_p_adjusted >= pair.accuracy.auroc.p
    table = comparison_table(comparison)
    assert table["minus"].isna().sum() == 3 * len(table[table["system"].eq("one") & table["minus"].isna()])
    assert any("three minus two" in line for line in comparison_lines(comparison))


def test_what_cannot_be_compared_is_refused():
    manifest = manifest_of()
    a = system("a", manifest, signal=0.3, seed=1)
    with pytest.raises(EvaluationError, match="two or more systems with different names"):
        compare([a, a], manifest)
    with pytest.raises(EvaluationError, match="no finding in common; findings there: tb, nodule"):
        compare([a, system("b", manifest, signal=0.3, seed=1, finding="nodule")], manifest)
    half, rest = (system(name, manifest, signal=0.3, seed=1) for name in ("half", "rest"))
    half.table.frame.loc[0:149, "p_tb"] = np.nan
    rest.table.frame.loc[150:, "p_tb"] = np.nan
    with pytest.raises(EvaluationError, match=r"no film in common \(films scored: half 150, rest 150\)"):
        compare([half, rest], manifest)


def test_a_comparison_is_written_whole_and_comes_back(tmp_path):
    manifest = manifest_of()
    comparison = compare([system(n, manifest, signal=0.3, seed=i) for i, n in enumerate("ab")], manifest, options=FEW)
    write_comparison(comparison, tmp_path / "c")
    text = (tmp_path / "c" / "comparison.json").read_text()
    assert Comparison.model_validate_json(text) == comparison
    assert '"schema": "cxr-triage/comparison/1"' in text
    assert len(pd.read_csv(tmp_path / "c" / "comparison.csv")) == len(comparison_table(comparison))
