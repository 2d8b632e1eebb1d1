"""What a threshold does: films without a score, local predictive values, other points, a user's own columns."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipelines.errors import ConfigError, EvaluationError, PredictionsError
from pipelines.evaluation.evaluator import evaluate, with_attributes
from pipelines.evaluation.joining import join_films
from pipelines.evaluation.localisation.marks import read_marks
from pipelines.evaluation.options import Options
from pipelines.evaluation.summary import summary_lines
from pipelines.evaluation.tables import read_attributes
from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.evaluation.thresholds.programme import Costs
from pipelines.evaluation.tidy import tidy_tables

FEW = Options(replicates=200)


def cohort(n=200, patients=None, seed=3):
    rng = np.random.default_rng(seed)
    tb = (rng.random(n) < 0.4).astype(float)
    manifest = pd.DataFrame({"image_id": [f"a/{i}" for i in range(n)], "path": "x", "dataset": "a", "tb": tb})
    manifest["patient_id"] = [f"p{i}" for i in range(n)] if patients is None else [f"p{i % patients}" for i in range(n)]
    manifest["sex"] = np.where(rng.random(n) < 0.5, "F", "M")
    predictions = pd.DataFrame({"image_id": manifest["image_id"], "status": "ok", "reason": None, "model_id": "m"})
    predictions["p_tb"] = np.clip(0.35 * tb + 0.65 * rng.random(n), 0, 1)
    return manifest, predictions


def evaluated(manifest, predictions, thresholds=None, options=FEW):
    known = thresholds or Thresholds(given={"tb": 0.5})
    return evaluate(predictions, manifest, findings=("tb",), thresholds=known, options=options).findings[0]


@pytest.mark.parametrize("patients", [None, 70])
def test_films_without_a_score_count_as_referred(patients):
    manifest, predictions = cohort(patients=patients)
    predictions.loc[0:9, ["status", "reason"]] = "rejected", "blank"
    predictions.loc[10:14, ["status", "reason"]] = "error", "corrupt"
    predictions.loc[15:19, "p_tb"] = np.nan
    predictions.loc[0:14, "p_tb"] = np.nan
    manifest.loc[0:1, "tb"] = np.nan  # without a label they count nowhere
    point = evaluated(manifest, predictions).operating_point
    intended, read = point.intention_to_read, point.counts
    unread = manifest["tb"].iloc[2:20]
    assert (intended.without_score, intended.without_score_positive) == (18, int(unread.sum()))
    assert read.n == 180
    assert intended.counts.true_positive == read.true_positive + int(unread.sum())
    assert intended.counts.false_positive == read.false_positive + int((unread == 0).sum())
    assert (intended.counts.false_negative, intended.counts.true_negative) == (read.false_negative, read.true_negative)
    flagged = (predictions["p_tb"] >= 0.5) | predictions["p_tb"].isna()
    diseased = manifest["tb"] == 1
    assert intended.sensitivity.value == pytest.approx(flagged[diseased].mean())
    assert intended.specificity.value == pytest.approx(1 - flagged[manifest["tb"] == 0].mean())
    assert ("bootstrap" in intended.sensitivity.method) == (patients is not None)


def test_without_failures_both_readings_are_one():
    point = evaluated(*cohort()).operating_point
    assert point.intention_to_read.without_score == 0
    assert point.intention_to_read.sensitivity == point.sensitivity


def test_rates_are_exact_for_different_patients():
    manifest, predictions = cohort()
    found = evaluated(manifest, predictions)
    flag, truth = predictions["p_tb"] >= 0.5, manifest["tb"] == 1
    expected = stats.binomtest(int((flag & truth).sum()), int(truth.sum())).proportion_ci(0.95, "exact")
    point = found.operating_point
    assert found.intervals == "analytic"
    assert (point.sensitivity.low, point.sensitivity.high) == pytest.approx((expected.low, expected.high))
    se, sp, pi = point.sensitivity.value, point.specificity.value, 0.1
    assert point.local.ppv.value == pytest.approx(pi * se / (pi * se + (1 - pi) * (1 - sp)))
    assert point.programme.tests_per_case.value == pytest.approx(1 / point.local.ppv.value)
    assert point.programme.missed_per_100000.value == pytest.approx(1e5 * pi * (1 - se))
    assert point.lr_positive.value == pytest.approx(se / (1 - sp))


def test_repeated_patients_are_drawn_whole():
    """Every film twice is no more evidence than once."""
    manifest, predictions = cohort()
    once = evaluated(manifest, predictions, options=Options(replicates=1000, interval="percentile"))
    again = (
        manifest.assign(image_id=manifest["image_id"] + "b"),
        predictions.assign(image_id=predictions["image_id"] + "b"),
    )
    both = [
        pd.concat([first, second], ignore_index=True)
        for first, second in zip((manifest, predictions), again, strict=True)
    ]
    twice = evaluated(*both, options=Options(replicates=1000, interval="percentile"))
    naive = evaluated(*both, options=Options(replicates=1000, interval="analytic"))

    def width(found):
        return found.auroc.high - found.auroc.low

    assert twice.intervals == "percentile"
    assert twice.auroc.value == pytest.approx(once.auroc.value)
    assert width(twice) == pytest.approx(width(once), rel=0.15)
    assert width(naive) < 0.8 * width(twice)
    assert "independent although patients have several" in naive.auroc.method


def test_prevalence_interval_widens_and_costs_are_counted():
    manifest, predictions = cohort()
    narrow = evaluated(manifest, predictions).operating_point
    options = Options(replicates=200, prevalence_interval=(0.05, 0.2), costs=Costs(cxr=2, xpert=10, currency="USD"))
    wide = evaluated(manifest, predictions, options=options).operating_point
    assert wide.local.ppv.low < narrow.local.ppv.low
    assert wide.local.ppv.high > narrow.local.ppv.high
    assert narrow.programme.cost_per_case.value is None
    assert "no costs" in narrow.programme.cost_per_case.why
    se, sp = wide.sensitivity.value, wide.specificity.value
    cost = 2 + 10 * (0.1 * se + 0.9 * (1 - sp))
    assert wide.programme.cost_per_case.value == pytest.approx(cost / (0.1 * se))


def test_repeated_patients_with_a_prevalence_interval_keep_their_level():
    options = Options(replicates=200, prevalence_interval=(0.05, 0.2))
    programme = evaluated(*cohort(patients=80), options=options).operating_point.programme
    assert programme.tests_per_case.level == pytest.approx(0.95)
    assert programme.tests_per_case.low < programme.tests_per_case.value < programme.tests_per_case.high


def test_a_posteriori_thresholds_are_shown_beside_and_claim_nothing():
    manifest, predictions = cohort()
    predictions["p_tb"] = np.where(manifest["tb"] == 1, 0.9, 0.1) + np.linspace(0, 0.05, len(manifest))
    rules = {"tb": LockRule.parse("sensitivity=0.95")}
    options = Options(replicates=200, reference_sensitivity=0.9)
    found = evaluated(manifest, predictions, Thresholds(given={"tb": 0.5}, a_posteriori=rules), options)
    (shown,) = found.other_points
    assert (shown.source, found.operating_point.source) == ("a_posteriori", "user")
    truth, score = manifest["tb"] == 1, predictions["p_tb"]
    reaching = [t for t in score if (score[truth] >= t).mean() >= 0.95]
    assert shown.threshold == max(reaching)
    assert found.operating_point.who.verdict == "met"
    assert shown.who.verdict == "not_shown"
    assert shown.non_inferiority is None
    assert found.operating_point.non_inferiority.verdict == "shown"


def test_an_a_posteriori_rule_without_an_answer_is_a_note():
    manifest, predictions = cohort()
    predictions.loc[manifest["tb"] == 0, "p_tb"] = 1.0  # the highest scores are all negative
    rules = Thresholds(a_posteriori={"tb": LockRule.parse("specificity=0.9")})
    found = evaluated(manifest, predictions, rules)
    assert found.other_points == ()
    assert any("No a-posteriori threshold" in note for note in found.notes)
    with pytest.raises(EvaluationError, match="'mass': evaluated are tb"):
        evaluated(manifest, predictions, Thresholds(a_posteriori={"mass": LockRule.parse("sensitivity=0.9")}))


def test_rule_out_points_stand_beside_the_flag_and_belong_to_their_model():
    manifest, predictions = cohort()
    flag = lock_operating_point(
        manifest["tb"], predictions["p_tb"], finding="tb", target_sensitivity=0.8, cohort="val", model_id="m"
    )
    out = lock_operating_point(
        manifest["tb"], predictions["p_tb"], finding="tb", rule="rule_out=0.98", cohort="val", model_id="m"
    )
    found = evaluated(manifest, predictions, Thresholds(locked={"tb": flag}, rule_out={"tb": out}))
    assert (found.operating_point.purpose, found.other_points[0].purpose) == ("flag", "rule_out")
    assert found.other_points[0].sensitivity.value >= 0.98
    other = out.model_copy(update={"model_id": "another"})
    with pytest.raises(PredictionsError, match="locked to model_id 'another'"):
        evaluated(manifest, predictions, Thresholds(rule_out={"tb": other}))


def test_a_users_own_columns_split_the_films(tmp_path):
    manifest, predictions = cohort()
    clinic = pd.DataFrame({"image_id": [str(i) for i in range(150)], "hiv": ["pos", "neg", "neg"] * 50})
    clinic.to_csv(tmp_path / "clinic.csv", index=False)
    options = Options(replicates=200, subgroups=("hiv",), attributes=read_attributes(tmp_path / "clinic.csv"))
    (split,) = evaluated(manifest, predictions, options=options).subgroups
    assert {group.name: group.n for group in split.groups} == {"neg": 100, "pos": 50, "unknown": 50}
    assert with_attributes(manifest, None) is manifest
    with pytest.raises(EvaluationError, match="'sex' is a column of the manifest already"):
        with_attributes(manifest, clinic.rename(columns={"hiv": "sex"}))
    with pytest.raises(PredictionsError, match="2 duplicated ids"):
        with_attributes(manifest, pd.concat([clinic, clinic.iloc[:2]]))
    for text, match in (
        ("image_id\n1\n", "and others"),
        ("film,hiv\n1,pos\n", "image_id"),
        ("image_id,hiv\n", "no rows"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(PredictionsError, match=match):
            read_attributes(tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"level": 1.0}, "level: found 1, expected"),
        ({"prevalence": 0.0}, "prevalence: found 0"),
        ({"margin": float("nan")}, "margin: found nan"),
        ({"interval": "wald"}, "interval: found 'wald', expected auto"),
        ({"replicates": 5}, "replicates: found 5"),
        ({"min_group": 0}, "min_group: found 0"),
        ({"reference_sensitivity": 1.5}, "reference_sensitivity: found 1.5"),
        ({"prevalence_interval": (0.2, 0.3)}, "prevalence_interval: found 0.2 to 0.3"),
    ],
)
def test_options_out_of_range_are_named(more, match):
    with pytest.raises(ConfigError, match=match):
        Options(**more)


def test_every_table_is_tidy_and_unmatched_ids_are_named():
    manifest, predictions = cohort()
    predictions.loc[0:4, "image_id"] = [f"elsewhere/{i}" for i in range(5)]
    found = evaluate(predictions, manifest, findings=("tb",), thresholds=Thresholds(given={"tb": 0.5}), options=FEW)
    tables = tidy_tables(found)
    assert len(tables["metrics.csv"]) == tables["metrics.csv"]["metric"].nunique()
    table = tables["thresholds.csv"].set_index("threshold")
    assert table.loc[0.5, "sensitivity"] == found.findings[0].operating_point.sensitivity.value
    assert {"finding", "column", "group", "metric"} <= set(tables["subgroups.csv"].columns)
    unmatched = join_films(predictions, manifest).unmatched
    lines = "\n".join(summary_lines(found, unmatched))
    assert "5 films: in the predictions, but not in the manifest" in lines
    assert "'elsewhere/0', 'elsewhere/1', 'elsewhere/2', … (all in unmatched.csv)" in lines
    assert "elsewhere" not in found.model_dump_json()


@pytest.mark.parametrize("kind", ["one class", "one positive", "ties", "one patient"])
def test_degenerate_films_have_named_answers(kind):
    manifest, predictions = cohort(n=30, patients=1 if kind == "one patient" else None)
    if kind == "one class":
        manifest["tb"] = 0.0
    elif kind == "one positive":
        manifest["tb"] = 0.0
        manifest.loc[3, "tb"] = 1.0
    elif kind == "ties":
        predictions["p_tb"] = 0.5
    found = evaluated(manifest, predictions)
    tidy = found.auroc, found.partial_auroc.area, found.at_sensitivity[0].specificity, found.calibration.slope
    for estimate in tidy:
        assert estimate.value is not None or estimate.why
        assert estimate.low is not None or estimate.why
    assert found.operating_point.counts.n == 30


def test_marks_of_one_finding_leave_the_other_to_its_peaks(tmp_path):
    manifest, predictions = cohort()
    manifest["nodule"] = 1 - manifest["tb"]
    box = {"finding": "nodule", "x0": 1.0, "y0": 1.0, "x1": 9.0, "y1": 9.0}
    manifest["boxes"] = [[box] if label else [] for label in manifest["nodule"]]
    predictions["p_nodule"] = 1 - predictions["p_tb"]
    marks = pd.DataFrame({"image_id": manifest["image_id"], "finding": "nodule", "score": 0.5, "x": 5.0, "y": 5.0})
    marks.to_csv(tmp_path / "marks.csv", index=False)
    options = Options(replicates=200, marks=read_marks(tmp_path / "marks.csv"))
    tb, nodule = evaluate(predictions, manifest, findings=("tb", "nodule"), options=options).findings
    assert nodule.froc.all_films.at_rates[-1].sensitivity.value == 1.0
    assert tb.froc.all_films.cpm.value is None
    assert tb.froc.why
    with pytest.raises(PredictionsError, match=r"marks.csv: no marks of tb; findings there: 'nodule'"):
        evaluate(predictions, manifest, findings=("tb",), options=options)
