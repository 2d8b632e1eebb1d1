"""Predictions in, evaluation out: joining, leaving out with a reason, refusing, control, localisation, files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.errors import EvaluationError, ManifestError, PredictionsError
from pipelines.evaluation.control import judge_control
from pipelines.evaluation.evaluator import evaluate, evaluate_table
from pipelines.evaluation.example_records import ExampleBox
from pipelines.evaluation.files import provenance_of, read_evaluation, write_evaluation
from pipelines.evaluation.localisation.peaks import inside
from pipelines.evaluation.options import Options
from pipelines.evaluation.summary import summary_lines
from pipelines.evaluation.tables import read_foreign_predictions, read_predictions, read_table
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.evaluation.tidy import metrics_table
from pipelines.statistics.estimates import Estimate

MODEL = "model-a"
FEW = Options(replicates=200)


def make_manifest(n=40, **more):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "image_id": [f"phantom/f{i:03d}" for i in range(n)],
            "path": [f"films/f{i:03d}.dcm" for i in range(n)],
            "dataset": "phantom",
            "patient_id": [f"p{i}" for i in range(n)],
            "split": "test",
            "tb": rng.integers(0, 2, n).astype(float),
            "nodule": rng.integers(0, 2, n).astype(float),
            "native_labels": [["Nodule"] if i % 3 == 0 else ["Mass", "Hernia"] if i % 3 == 1 else [] for i in range(n)],
        }
    )
    return frame.assign(**more)


def make_predictions(manifest, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"image_id": manifest["image_id"], "path": manifest["path"], "status": "ok", "reason": None})
    for finding in ("tb", "nodule"):
        signal = manifest[finding].fillna(0)
        frame[f"p_{finding}"] = np.clip(0.4 * signal + 0.6 * rng.random(len(manifest)), 0, 1)
        frame[f"flag_{finding}"] = frame[f"p_{finding}"] >= 0.5
        frame[f"peak_x_{finding}"], frame[f"peak_y_{finding}"] = 10.0, 20.0
    return frame.assign(model_id=MODEL)


def point(finding="tb", model_id=MODEL):
    return lock_operating_point(
        [1, 0], [0.5, 0.1], finding=finding, target_sensitivity=0.9, cohort="val", model_id=model_id
    )


def run(predictions, manifest, **more):
    known = {"locked": more.pop("operating_points", {}), "given": more.pop("thresholds", {})}
    asked = {"findings": ("tb", "nodule"), "thresholds": Thresholds(**known), "options": FEW}
    return evaluate(predictions, manifest, **(asked | more))


def codes(items):
    return {item.code: item.n for item in items}


def test_every_row_is_evaluated_or_left_out_with_a_reason():
    manifest = make_manifest()
    manifest.loc[0:1, "split"] = "train"
    manifest.loc[2:4, "tb"] = np.nan
    predictions = make_predictions(manifest)
    predictions.loc[5, ["status", "reason", "p_tb", "p_nodule"]] = ["rejected", "too_small", None, None]
    predictions.loc[6:7, "status"], predictions.loc[6:7, "reason"] = "error", "corrupt"
    predictions.loc[8, "p_tb"] = np.nan
    predictions.loc[9, "image_id"] = "phantom/stranger"
    predictions = predictions.drop(index=10)
    found = run(predictions, manifest, split="test")
    assert codes(found.films.left_out) == {
        "not_in_manifest": 1,
        "other_split": 2,
        "error:corrupt": 2,
        "rejected:too_small": 1,
        "not_predicted": 2,
    }
    assert found.films.in_predictions == 39 == found.films.joined + 1 + 2 + 2 + 1
    tb, nodule = found.findings
    assert codes(tb.left_out) == {"label_unknown": 3, "score_missing": 1}
    assert tb.n + 4 == nodule.n == found.films.joined == 33
    kept = manifest.drop(index=[0, 1, 5, 6, 7, 9, 10])
    assert nodule.positives == kept["nodule"].sum()
    assert nodule.auroc.value == pytest.approx(
        roc_auc_score(kept["nodule"], predictions.set_index("image_id").loc[kept["image_id"], "p_nodule"])
    )


def test_unknown_labels_are_never_negative():
    manifest = make_manifest(tb=np.nan)
    tb = run(make_predictions(manifest), manifest).findings[0]
    assert (tb.n, tb.positives, tb.negatives, tb.roc) == (0, 0, 0, None)
    assert tb.auroc.value is None
    assert codes(tb.left_out) == {"label_unknown": 40}


def test_one_class_and_no_films_have_named_answers():
    manifest = make_manifest(tb=1.0)
    predictions = make_predictions(manifest)
    tb = run(predictions, manifest, operating_points={"tb": point()}).findings[0]
    assert "one class only: 40 positive and 0 negative" in tb.auroc.why
    assert "no negative films" in tb.operating_point.specificity.why
    predictions["status"], predictions["reason"] = "error", "missing"
    empty = run(predictions, manifest, operating_points={"tb": point()})
    assert empty.films.joined == 0
    assert "no films" in empty.findings[0].auroc.why
    assert empty.findings[0].histogram is None


def test_a_threshold_of_another_model_is_refused(tmp_path):
    manifest = make_manifest()
    predictions = make_predictions(manifest)
    with pytest.raises(PredictionsError, match="locked to model_id 'model-b'"):
        run(predictions, manifest, operating_points={"tb": point(model_id="model-b")})
    with pytest.raises(PredictionsError, match="locked for 'nodule'"):
        run(predictions, manifest, operating_points={"tb": point("nodule")})
    predictions.loc[0, "flag_tb"] = not predictions.loc[0, "flag_tb"]
    table = read_predictions(write_run(tmp_path / "run", predictions, {"tb": point()}))
    with pytest.raises(PredictionsError, match="flag_tb' contradicts the locked threshold"):
        evaluate_table(table, manifest, options=FEW)
    # Locked anew after the table was made: its flags are of the old threshold, and nobody's fault.
    again = run(predictions, manifest, operating_points={"tb": point()})
    assert again.findings[0].operating_point.source == "locked"


def test_locked_and_given_thresholds_are_told_apart():
    manifest = make_manifest()
    predictions = make_predictions(manifest)
    tb, nodule = run(predictions, manifest, operating_points={"tb": point()}, thresholds={"nodule": 0.3}).findings
    assert (tb.operating_point.source, tb.operating_point.threshold) == ("locked", 0.5)
    assert (nodule.operating_point.source, nodule.operating_point.label) == ("user", "given by the user, not locked")
    flagged = (predictions["p_nodule"] >= 0.3) & (manifest["nodule"] == 1)
    assert nodule.operating_point.counts.true_positive == flagged.sum()
    over = run(predictions, manifest, operating_points={"tb": point()}, thresholds={"tb": 0.2}).findings[0]
    assert over.operating_point.source == "user"
    assert any("0.5" in note and "was not used" in note for note in over.notes)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda m, p: p.__setitem__("image_id", "phantom/f000"), PredictionsError, "1 duplicated ids .*phantom/f000"),
        (lambda m, p: m.__setitem__("image_id", "phantom/f000"), ManifestError, "1 duplicated ids"),
        (lambda m, p: p.__setitem__("image_id", [f"x{i}" for i in range(40)]), PredictionsError, "None of the 40"),
        (lambda m, p: m.__setitem__("split", "train"), ManifestError, "no film in split 'test'.*train"),
        (lambda m, p: m.__setitem__("tb", 2.0), ManifestError, "other than 1, 0 and null"),
        (lambda m, p: p.pop("p_tb"), PredictionsError, "no score of finding 'tb'"),
    ],
)
def test_what_cannot_be_joined_is_named(change, error, match):
    manifest = make_manifest()
    predictions = make_predictions(manifest)
    change(manifest, predictions)
    with pytest.raises(error, match=match):
        run(predictions, manifest, split="test")


def foreign(tmp_path, frame, suffix=".csv", **more):
    path = tmp_path / f"other{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return read_foreign_predictions(path, **({"id_column": "name", "scores": {"Nodule": "a"}} | more))


@pytest.mark.parametrize(
    ("form", "how"),
    [
        ("phantom/{}", "image_id"),
        ("{}", "the part of image_id after <dataset>/"),
        ("{}.dcm", "the file name of path"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_foreign_ids_are_matched_and_the_way_is_said(tmp_path, form, how, suffix):
    manifest = make_manifest()
    scores = np.random.default_rng(5).random(40) * 7 - 3
    frame = pd.DataFrame({"name": [form.format(f"f{i:03d}") for i in range(40)], "a": scores, "b": scores[::-1]})
    table = foreign(tmp_path, frame, suffix, scores={"Nodule": "a", "nodule": "max(a, b)"}, thresholds={"Nodule": 1.0})
    found = evaluate_table(table, manifest, options=FEW)
    native, union = found.findings
    assert found.films.matched_by == how
    assert found.system == "another system"
    truth = [i % 3 == 0 for i in range(40)]
    assert native.auroc.value == pytest.approx(roc_auc_score(truth, scores))
    assert union.auroc.value == pytest.approx(roc_auc_score(manifest["nodule"], np.maximum(scores, scores[::-1])))
    assert any("not probabilities" in note for note in native.notes)
    assert native.operating_point.label == "given by the user, not locked"
    assert union.operating_point is None


def test_stems_match_when_a_file_name_lost_its_suffix(tmp_path):
    manifest = make_manifest(path=[f"a/x.{i}.png" for i in range(40)])
    table = foreign(tmp_path, pd.DataFrame({"name": [f"x.{i}" for i in range(40)], "a": np.linspace(0, 1, 40)}))
    assert evaluate_table(table, manifest, options=FEW).films.matched_by == "the file name of path without its suffix"


def test_numeric_ids_keep_their_leading_zeros(tmp_path):
    manifest = make_manifest()
    manifest["image_id"] = [f"set/{i:05d}" for i in range(40)]
    table = foreign(tmp_path, pd.DataFrame({"name": [f"{i:05d}" for i in range(40)], "a": np.linspace(0, 1, 40)}))
    assert evaluate_table(table, manifest, options=FEW).films.joined == 40


def test_an_ambiguous_file_name_is_refused(tmp_path):
    manifest = make_manifest(path=["a/same.png"] * 2 + [f"a/{i}.png" for i in range(38)])
    frame = pd.DataFrame({"name": ["same.png", "1.png"], "a": [0.1, 0.2]})
    with pytest.raises(PredictionsError, match=r"1 ids of the predictions match several films .*same\.png"):
        evaluate_table(foreign(tmp_path, frame), manifest, options=FEW)


@pytest.mark.parametrize(
    ("frame", "more", "match"),
    [
        ({"name": ["a"], "a": [0.1]}, {"id_column": "id"}, "no column 'id'; columns: name, a"),
        ({"name": ["a"], "a": [0.1]}, {"scores": {"tb": "zz"}}, "no column 'zz'"),
        ({"name": ["a"], "a": [0.1]}, {"scores": {"tb": "max(a,zz)"}}, "no column 'zz'"),
        ({"name": ["a"], "a": [0.1]}, {"scores": {}}, "no score named"),
        ({"name": ["a"], "a": [0.1]}, {"thresholds": {"tb": 0.5}}, "threshold for 'tb'"),
        ({"name": ["a"], "a": [0.1]}, {"thresholds": {"Nodule": float("nan")}}, "finite"),
        ({"name": ["a", "a"], "a": [0.1, 0.2]}, {}, "1 duplicated ids .*'a'"),
        ({"name": ["a", None], "a": [0.1, 0.2]}, {}, "empty in 1 of 2"),
        ({"name": ["a", "b"], "a": ["0.1", "high"]}, {}, "1 values that are not numbers .*row 2"),
        ({"name": [], "a": []}, {}, "no rows"),
        ({"name": ["a"], "b": [0.1]}, {"scores": {"tb": "max(b)x"}}, "no column"),
    ],
)
def test_a_foreign_file_that_cannot_be_read_says_why(tmp_path, frame, more, match):
    with pytest.raises(PredictionsError, match=match):
        foreign(tmp_path, pd.DataFrame(frame), **more)


def test_files_that_are_no_tables_are_named(tmp_path):
    with pytest.raises(PredictionsError, match="no such file"):
        read_foreign_predictions(tmp_path / "none.csv", id_column="a", scores={"tb": "b"})
    for name, content in (("a.parquet", b"PK"), ("a.csv.gz", b"no gzip"), ("a.csv", b""), ("b.csv", b"\xff\xfe\x00a")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PredictionsError, match=r"not a readable|no column"):
            read_foreign_predictions(tmp_path / name, id_column="a", scores={"tb": "b"})


def test_foreign_missing_scores_are_counted_and_unknown_findings_refused(tmp_path):
    manifest = make_manifest()
    frame = pd.DataFrame({"name": manifest["image_id"], "a": np.linspace(0, 1, 40)})
    frame.loc[[3, 4], "a"] = [np.nan, np.inf]
    found = evaluate_table(foreign(tmp_path, frame), manifest, options=FEW).findings[0]
    assert codes(found.left_out) == {"score_missing": 2}
    with pytest.raises(EvaluationError, match=r"'Tumor' is neither a label column .*Hernia, Mass, Nodule"):
        evaluate_table(foreign(tmp_path, frame, scores={"Tumor": "a"}), manifest, options=FEW)
    manifest.loc[0, "native_labels"] = None
    assert (
        codes(evaluate_table(foreign(tmp_path, frame), manifest, options=FEW).findings[0].left_out)["label_unknown"]
        == 1
    )


def write_run(folder, predictions, points, model_id=MODEL):
    folder.mkdir(exist_ok=True)
    predictions.to_parquet(folder / "predictions.parquet")
    model = {
        "model_id": model_id,
        "name": "demo",
        "findings": ["tb", "nodule"],
        "operating_points": {key: value.model_dump(mode="json") for key, value in points.items()},
    }
    record = {"schema": "cxr-triage/run/1", "model": model, "manifest_digest": "d1", "code_version": "0.1.0"}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_a_predictions_folder_brings_its_operating_points(tmp_path):
    manifest = make_manifest()
    predictions = make_predictions(manifest)
    folder = write_run(tmp_path / "predictions", predictions, {"tb": point()})
    table = read_predictions(folder)
    assert (table.findings, table.operating_points) == (("tb", "nodule"), {"tb": point()})
    found = evaluate_table(table, manifest, options=FEW)
    assert found.findings[0].operating_point.locked == point()
    predictions.to_csv(tmp_path / "only.csv", index=False)
    alone = read_predictions(tmp_path / "only.csv")
    assert alone.operating_points == {}
    for_ruling_out = point().model_copy(update={"kind": "rule_out", "purpose": "rule_out"})
    write_run(folder, predictions, {"tb": for_ruling_out})
    with pytest.raises(PredictionsError, match="purpose is 'rule_out', expected 'flag'"):
        read_predictions(folder)
    np.testing.assert_array_equal(alone.frame["p_tb"], predictions["p_tb"])
    write_run(folder, predictions, {}, model_id="other")
    with pytest.raises(PredictionsError, match="do not belong together"):
        read_predictions(folder)


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("p_tb", 1.2, r"'p_tb' has 1 values outside \[0, 1\]"),
        ("status", "fine", "'status' has .*fine"),
        ("model_id", "b", "2 different values"),
        ("image_id", "phantom/f001", "duplicated"),
    ],
)
def test_a_broken_predictions_table_is_refused(tmp_path, column, value, match):
    predictions = make_predictions(make_manifest())
    predictions.loc[0, column] = value
    predictions.to_parquet(tmp_path / "predictions.parquet")
    with pytest.raises(PredictionsError, match=match):
        read_predictions(tmp_path)


def test_a_foreign_table_given_as_ours_says_what_to_do(tmp_path):
    (tmp_path / "a.csv").write_text("name,score\nx,0.5\n")
    with pytest.raises(PredictionsError, match="--id COLUMN"):
        read_predictions(tmp_path / "a.csv")
    with pytest.raises(PredictionsError, match="no predictions"):
        read_predictions(tmp_path)


def test_localisation_counts_peaks_in_boxes_of_the_finding():
    box = {"finding": "tb", "x0": 5.0, "y0": 15.0, "x1": 12.0, "y1": 22.0}
    far = box | {"x0": 50.0, "x1": 60.0}
    other = box | {"finding": "nodule"}
    boxes = [[box], [far], [far, box], [other], None, []] + [[box]] * 34
    manifest = make_manifest(tb=1.0, boxes=boxes)
    predictions = make_predictions(manifest).assign(p_tb=0.9, flag_tb=True)
    predictions.loc[39, "peak_x_tb"] = np.nan
    predictions.loc[38, ["p_tb", "flag_tb"]] = [0.1, False]
    found = run(predictions, manifest, operating_points={"tb": point()}).findings[0].operating_point.localisation
    assert (found.n, found.value) == (35, 34 / 35)
    assert found.low < 34 / 35 < found.high
    assert inside((5, 15), [ExampleBox(x0=5, y0=15, x1=6, y1=16)])
    bare = run(predictions, make_manifest(tb=1.0), operating_points={"tb": point()})
    assert "no boxes" in bare.findings[0].operating_point.localisation.why


def test_patients_with_several_films_are_said():
    manifest = make_manifest(patient_id=["p1"] * 20 + ["p2"] * 20)
    found = run(make_predictions(manifest), manifest)
    assert found.films.patients == 2
    assert "40 films come from 2 patients" in found.independence
    manifest.loc[0, "patient_id"] = None
    assert run(make_predictions(manifest), manifest).films.patients is None


def test_training_films_and_report_labels_are_said():
    manifest = make_manifest(reference_standard="report")
    manifest.loc[0:2, "split"] = "train"
    notes = " ".join(run(make_predictions(manifest), manifest).notes)
    assert "3 of 40 films are in the training or validation split" in notes
    assert "radiology reports" in notes


def test_control_scores_in_the_table_give_a_paired_difference():
    manifest = make_manifest()
    predictions = make_predictions(manifest)
    predictions["control_tb"] = np.where(manifest["tb"] == 1, 0.9, 0.1)
    predictions["control_nodule"] = np.random.default_rng(8).random(40)
    tb, nodule = run(predictions, manifest).findings
    assert tb.control.near
    assert "may come from the pictures' source" in tb.control.verdict
    expected = roc_auc_score(manifest["nodule"], predictions["p_nodule"]) - roc_auc_score(
        manifest["nodule"], predictions["control_nodule"]
    )
    assert nodule.control.difference.value == pytest.approx(expected)
    assert not nodule.control.near
    given = Estimate(value=0.6, low=0.5, high=0.7, level=0.95, method="m", n=9)
    known = run(make_predictions(manifest), manifest, control={"tb": given}).findings[0].control
    assert known.difference.low is None
    assert "film by film" in known.difference.why


@pytest.mark.parametrize(
    ("system", "control", "difference", "near", "words"),
    [
        (0.95, 0.60, (0.35, 0.25, 0.45), False, "clearly better"),
        (0.99, 0.96, (0.03, 0.01, 0.05), True, "nearly solve"),
        (0.99, 0.91, (0.08, 0.05, 0.11), True, "nearly solve"),
        (0.88, 0.85, (0.03, 0.01, 0.05), True, "come near"),
        (0.70, 0.60, (0.10, -0.02, 0.22), True, "is not shown to be better"),
        (0.65, 0.62, (0.03, 0.01, 0.05), True, "is hardly better"),
    ],
)
def test_the_verdict_on_the_control(system, control, difference, near, words):
    def estimate(value, low, high):
        return Estimate(value=value, low=low, high=high, level=0.95, method="m", n=9)

    found = judge_control(
        estimate(system, system - 0.01, system), estimate(control, control - 0.01, control), estimate(*difference)
    )
    assert found.near is near
    assert words in found.verdict


def test_written_evaluations_come_back_and_hold_no_absolute_path(tmp_path):
    manifest = make_manifest()
    table = read_predictions(write_run(tmp_path / "run", make_predictions(manifest), {"tb": point()}))
    out = tmp_path / "evaluation"
    provenance = provenance_of(table, out, manifest_digest="digest")
    found = evaluate_table(table, manifest, options=FEW, provenance=provenance)
    written = write_evaluation(found, out)
    assert read_evaluation(out) == written == found
    assert json.loads((out / "evaluation.json").read_text())["schema"] == "cxr-triage/evaluation/2"
    assert found.provenance.predictions_folder == "../run"
    everything = "".join(path.read_text() for path in out.iterdir() if path.is_file())
    assert str(tmp_path) not in everything
    assert "NaN" not in (out / "evaluation.json").read_text()
    metrics = read_table(out / "metrics.csv")
    row = metrics[(metrics["finding"] == "tb") & (metrics["metric"] == "auroc")].iloc[0]
    assert (row["value"], row["n"]) == (found.findings[0].auroc.value, 40)
    assert len(metrics_table(found)) == len(metrics)
    roc = pd.read_csv(out / "roc.csv")
    assert set(roc["finding"]) == {"tb", "nodule"}
    assert not list(out.rglob("*.tmp"))
    assert (out / "evaluation.json").read_bytes() == _again(found, tmp_path / "again")


def _again(evaluation, folder):
    write_evaluation(evaluation, folder)
    return (folder / "evaluation.json").read_bytes()


def test_a_way_through_the_root_is_not_written(tmp_path):
    table = read_predictions(write_run(tmp_path / "run", make_predictions(make_manifest()), {}))
    assert provenance_of(table, Path("/nowhere-at-all"), manifest_digest=None).predictions_folder is None


def test_reading_something_else_is_refused(tmp_path):
    with pytest.raises(EvaluationError, match=r"no evaluation\.json"):
        read_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text('{"schema": "cxr-triage/evaluation/9"}')
    with pytest.raises(EvaluationError, match="schema"):
        read_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    with pytest.raises(EvaluationError):
        read_evaluation(tmp_path)


def test_summary_names_every_headline_number():
    manifest = make_manifest()
    lines = "\n".join(summary_lines(run(make_predictions(manifest), manifest, operating_points={"tb": point()})))
    assert "tb (pulmonary tuberculosis): AUROC 0." in lines
    assert "locked on val" in lines
    assert "sensitivity 0." in lines
    assert "n = 40 films" in lines


def test_long_curves_are_thinned_without_moving():
    n = 5000
    manifest = make_manifest(n)
    found = run(make_predictions(manifest), manifest).findings[0]
    fpr, tpr = np.array(found.roc.false_positive_rate), np.array(found.roc.true_positive_rate)
    assert len(fpr) <= 502
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(tpr, fpr) == pytest.approx(found.auroc.value, abs=2e-3)
