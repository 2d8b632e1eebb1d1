"""The localisation record of one finding: numbers, degenerate films and tables."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from localisation_films import box, films, written
from scipy import stats

from pipelines.errors import EvaluationError
from pipelines.evaluation.localisation.free_response import CURVE_POINTS, froc_result
from pipelines.evaluation.localisation.marks import Criterion, read_marks
from pipelines.evaluation.localisation.records import Froc
from pipelines.evaluation.localisation.tables import froc_curve_table, froc_table
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.resampling import Clusters, Plan

PLAN = Plan(replicates=200)


def cohort(n=120, seed=0, spacing=0.5):
    """Films with one lesion each of a random size, marked right more often where it is large; and normal films."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        side, found = float(rng.uniform(6, 90)), rng.random()
        right = found < 0.3 + side / 150
        peak = {"x": 100 + side / 2 if right else 5.0, "y": 100 + side / 2, "p": float(rng.beta(4 if right else 2, 3))}
        rows.append((1, [box(100, 100, 100 + side, 100 + side)], {"spacing": spacing, **peak}))
        rows.append((0, None, {"x": 50.0, "y": 50.0, "p": float(rng.beta(2, 4))}))
    return films(rows)


def estimates(record):
    """Every estimate inside a record."""
    for name in type(record).model_fields:
        value = getattr(record, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Estimate):
                yield item
            elif hasattr(type(item), "model_fields"):
                yield from estimates(item)


def test_a_record_of_map_peaks():
    scored = cohort()
    froc = froc_result(scored, "nodule", threshold=0.5, plan=PLAN)
    assert (froc.n_films, froc.n_normal, froc.n_lesions, froc.n_marks, froc.n_patients) == (240, 120, 120, 240, 240)
    assert froc.why is None
    assert froc.not_judged == ()
    assert froc.all_films.cpm.value == pytest.approx(np.mean([r.sensitivity.value for r in froc.all_films.at_rates]))
    assert [rate.held for rate in froc.all_films.at_rates] == [
        r > froc.all_films.reach for r in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
    ]
    assert "at 1, 2, 4, 8 the curve is held" in froc.notes[0]
    assert froc.all_films.curve.sensitivity[-1] == froc.all_films.at_rates[-1].sensitivity.value
    assert froc.lroc.curve.correct_localisation[-1] == froc.lroc.correct.value == froc.all_films.curve.sensitivity[-1]
    known = [estimate for estimate in estimates(froc) if estimate.n]
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in known)
    assert len(known) == sum(1 for _ in estimates(froc)) - 2  # no lesion is of unknown size
    assert Froc.model_validate_json(froc.model_dump_json()) == froc
    peaks = scored.films[["pred_peak_x_nodule"]].to_numpy().ravel()
    hit = (peaks > 100) & (scored.scores >= 0.5)
    assert froc.sensitivity_at_threshold.value == hit[scored.labels].mean()
    exact = stats.binomtest(int(hit.sum()), 120).proportion_ci(method="exact")
    assert froc.sensitivity_at_threshold.low == pytest.approx(exact.low)
    assert "exact" in froc.sensitivity_at_threshold.method
    assert froc.false_positives_at_threshold.value == ((peaks <= 100) & (scored.scores >= 0.5)).mean()
    assert froc.lroc.correct_at_threshold == froc.sensitivity_at_threshold.model_copy(
        update={"method": froc.lroc.correct_at_threshold.method}
    )


def test_bands_divide_the_lesions():
    scored = cohort()
    froc = froc_result(scored, "nodule", threshold=0.5, plan=PLAN)
    side = np.array([boxes[0]["x1"] - 100 for boxes in scored.films["boxes"][scored.labels]]) * 0.5
    hit = (scored.films["pred_peak_x_nodule"] > 100).to_numpy()[scored.labels] & (scored.scores[scored.labels] >= 0.5)
    for band, low, high in zip(froc.bands, (0, 10, 20, 30), (10, 20, 30, 1e9), strict=False):
        those = (low < side) & (side <= high)
        assert band.n_lesions == band.at_threshold.n == those.sum() > 5
        assert band.at_threshold.value == pytest.approx(hit[those].mean())
    weighted = sum(band.at_one_false_positive.value * band.n_lesions for band in froc.bands[:4]) / 120
    assert weighted == pytest.approx(froc.all_films.at_rates[3].sensitivity.value)
    unknown = froc.bands[4]
    assert (unknown.n_lesions, unknown.at_threshold.value, unknown.at_threshold.why) == (0, None, "no lesions")
    unknown = froc_result(cohort(spacing=np.nan), "nodule", threshold=0.5, plan=PLAN).bands[4]
    assert (unknown.name, unknown.n_lesions) == ("size not known", 120)


def test_films_of_one_patient_are_drawn_together():
    scored = cohort(60)
    alone = froc_result(scored, "nodule", threshold=0.5, plan=PLAN)
    doubled = pd.concat([scored.films, scored.films], ignore_index=True)
    twice = type(scored)(
        doubled,
        np.tile(scored.labels, 2),
        np.tile(scored.scores, 2),
        scored.left_out,
        scored.reference,
        scored.unread,
        scored.unread_labels,
    )
    together = froc_result(twice, "nodule", threshold=0.5, plan=PLAN)
    assert together.n_patients == 120
    assert (together.all_films.cpm.low, together.all_films.cpm.high) == pytest.approx(
        (alone.all_films.cpm.low, alone.all_films.cpm.high)
    )
    assert "bootstrap of patients" in together.sensitivity_at_threshold.method
    apart = froc_result(twice, "nodule", threshold=0.5, plan=PLAN, clusters=Clusters.of(None, 240))
    width = [e.high - e.low for e in (apart.all_films.cpm, together.all_films.cpm)]
    assert width[0] < 0.85 * width[1]


def test_the_same_marks_from_a_file_give_the_same_numbers(tmp_path):
    scored = cohort(40)
    peaks = froc_result(scored, "nodule", threshold=0.5, plan=PLAN)
    frame = pd.DataFrame(
        {
            "image_id": scored.films["image_id"],
            "score": scored.scores,
            "x": scored.films["pred_peak_x_nodule"],
            "y": scored.films["pred_peak_y_nodule"],
        }
    ).sample(frac=1, random_state=1)
    marks = read_marks(written(tmp_path, frame, "marks.parquet"))
    found = froc_result(scored, "nodule", marks=marks, threshold=0.5, plan=PLAN)
    assert found.model_copy(update={"marks": peaks.marks, "notes": peaks.notes}) == peaks


def test_a_film_without_rows_has_no_marks(tmp_path):
    scored = cohort(20)
    frame = pd.DataFrame({"image_id": ["set/f0"], "score": [3.0], "x": [100], "y": [100]})
    froc = froc_result(scored, "nodule", marks=read_marks(written(tmp_path, frame)), plan=PLAN)
    assert (froc.n_marks, froc.n_films) == (1, 40)
    assert froc.all_films.cpm.value == pytest.approx(1 / 20)
    assert froc.lroc.area.value == pytest.approx(1 / 20)
    # JAFROC: one lesion above every normal film, nineteen tied with them, none marked.
    assert froc.jafroc.value == pytest.approx((1 + 19 / 2) / 20)
    assert froc.threshold is None
    assert froc.sensitivity_at_threshold.why == froc.bands[0].at_threshold.why == "no operating threshold"


LESION = (1, [box(0, 0, 9, 9)], {"x": 3.0, "y": 3.0, "p": 0.8})
MISSED = (1, [box(0, 0, 9, 9)], {"x": 30.0, "y": 3.0, "p": 0.4})
NORMAL = (0, [], {"x": 3.0, "y": 3.0, "p": 0.3})


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "no films with a known label and a score"),
        ([NORMAL] * 3, "no positive films"),
        ([(1, None, {"x": 1.0, "y": 1.0}), NORMAL], "no positive film has a usable box of the finding"),
        ([(1, [box(3, 3, 3, 9)], {"x": 1.0, "y": 1.0})], "no positive film has a usable box of the finding"),
        ([(1, [box(0, 0, 9, 9)], {}), (0, [], {})], "the predictions have no map peaks"),
    ],
)
def test_without_an_answer_every_estimate_says_why(rows, why):
    scored = films(rows) if rows else _none()
    froc = froc_result(scored, "nodule", threshold=0.5, plan=PLAN)
    assert froc.why == why
    assert {estimate.why for estimate in estimates(froc)} == {why}
    assert froc.all_films.curve is froc.normal_films.curve is froc.lroc.curve is None
    Froc.model_validate_json(froc.model_dump_json())


def _none():
    scored = films([NORMAL])
    none = np.zeros(0)
    return type(scored)(
        scored.films[:0], none.astype(bool), none, (), scored.reference, scored.unread, scored.unread_labels
    )


@pytest.mark.parametrize(
    "rows",
    [
        [LESION],
        [MISSED],
        [LESION, NORMAL],
        [LESION] * 5,
        [LESION] * 5 + [NORMAL] * 5,
        [MISSED] * 3 + [NORMAL],
        [(1, [box(0, 0, 9, 9)], {"x": -4.0, "y": 3.0, "rows": 20, "columns": 20}), NORMAL],
        [(label, boxes, {**more, "p": 0.5}) for label, boxes, more in [LESION, MISSED, NORMAL, NORMAL]],
        [LESION, (1, [box(0, 0, 9, 9)], {}), NORMAL, (0, None, {})],
    ],
)
def test_small_and_one_sided_films_have_named_answers(rows):
    froc = froc_result(films(rows), "nodule", threshold=0.5, plan=PLAN)
    for estimate in estimates(froc):
        assert estimate.value is not None or estimate.why in ("no normal films", "no lesions")
        assert estimate.low is not None or estimate.why
    Froc.model_validate_json(froc.model_dump_json())
    assert (froc.lroc.area.why == "no normal films") == (froc.n_normal == 0)


def test_notes_name_ties_missing_normals_outside_marks_and_shares(tmp_path):
    tied = [(label, boxes, {**more, "p": 0.5}) for label, boxes, more in [LESION, MISSED, NORMAL, NORMAL]]
    froc = froc_result(films(tied), "nodule", plan=PLAN)
    assert any("one score" in note for note in froc.notes)
    # All marks enter together: a straight line from (0, 0) to (3 / 4, 1 / 2).
    assert [rate.sensitivity.value for rate in froc.all_films.at_rates[:4]] == pytest.approx(
        [1 / 12, 1 / 6, 1 / 3, 0.5]
    )
    froc = froc_result(films([LESION, MISSED]), "nodule", plan=PLAN)
    assert any("no normal films" in note for note in froc.notes)
    two = (1, [box(0, 0, 9, 9), box(20, 0, 29, 9)], {"x": 3.0, "y": 3.0})
    assert "2 lesion films hold 3 lesions" in froc_result(films([LESION, two, NORMAL]), "nodule", plan=PLAN).notes[1]
    outside = (0, [], {"x": 50.0, "y": -1.0, "rows": 20, "columns": 20})
    (found,) = froc_result(films([LESION, outside]), "nodule", plan=PLAN).not_judged
    assert (found.code, found.n, found.of) == ("marks_outside_film", 1, "marks")
    shares = pd.DataFrame({"image_id": ["f0", "f1"], "score": 1.0, "x": [0.2, 0.9], "y": [0.1, 0.5]})
    froc = froc_result(films([LESION, NORMAL]), "nodule", marks=read_marks(written(tmp_path, shares)), plan=PLAN)
    assert any("shares" in note for note in froc.notes)


def test_no_marks_on_the_films_judged(tmp_path):
    scored = films([LESION, NORMAL, (1, None, {})])
    marks = read_marks(written(tmp_path, pd.DataFrame({"image_id": ["f2"], "score": [1.0], "x": [1], "y": [1]})))
    froc = froc_result(scored, "nodule", marks=marks, plan=PLAN)
    assert froc.why == "no marks on the films judged"
    assert [(item.code, item.n) for item in froc.not_judged] == [("boxes_not_drawn", 1), ("marks_elsewhere", 1)]


def test_refusals():
    scored = films([LESION, NORMAL])
    with pytest.raises(EvaluationError, match="needs marks that are boxes"):
        froc_result(scored, "nodule", criterion=Criterion("iou"), plan=PLAN)
    with pytest.raises(EvaluationError, match="finite"):
        froc_result(scored, "nodule", threshold=float("nan"), plan=PLAN)


def test_tables_and_thinned_curves(tmp_path):
    rng = np.random.default_rng(4)
    scored = cohort(100)
    frame = pd.DataFrame({"image_id": rng.choice(scored.films["image_id"], 3000), "score": rng.random(3000)})
    frame["x"], frame["y"] = rng.uniform(0, 200, 3000), rng.uniform(0, 200, 3000)
    froc = froc_result(scored, "nodule", marks=read_marks(written(tmp_path, frame)), threshold=0.5, plan=PLAN)
    assert froc.all_films.reach > 8
    assert froc.notes == ()
    curve = froc.all_films.curve
    assert len(curve.thresholds) <= CURVE_POINTS + 1
    assert (curve.thresholds[0], curve.sensitivity[0]) == (None, 0)
    assert curve.false_positives_per_image[-1] == froc.all_films.reach
    sides = scored.films["boxes"][scored.labels].str[0].str["x1"].set_axis(scored.films["image_id"][scored.labels])
    rated = frame.assign(side=frame["image_id"].map(sides))
    right = rated[(rated[["x", "y"]].min(axis=1) >= 100) & (rated[["x", "y"]].max(axis=1) <= rated["side"])]
    assert curve.sensitivity[-1] == pytest.approx(right["image_id"].nunique() / 100)
    table = froc_table([froc, froc])
    assert len(table) == 2 * sum(1 for _ in estimates(froc))
    first = table.query("quantity == 'cpm' and false_positives == 'all films'").iloc[0]
    assert (first["value"], first["low"], first["n"]) == (froc.all_films.cpm.value, froc.all_films.cpm.low, 100)
    corners = froc_curve_table([froc])
    assert set(corners["curve"]) == {"froc, all films", "froc, normal films", "lroc"}
    assert len(corners[corners["curve"] == "froc, all films"]) == len(curve.thresholds)
    assert froc_table([]).columns.tolist() == table.columns.tolist()


value = st.one_of(st.floats(-20, 40), st.sampled_from([np.nan, 0.0, 5.0, 10.0, -np.inf]))
row = st.tuples(
    st.sampled_from([0, 1]),
    st.one_of(st.none(), st.lists(st.builds(box, value, value, value, value), max_size=3)),
    st.fixed_dictionaries(
        {"x": value, "y": value, "p": st.sampled_from([0.1, 0.5, 0.9]), "spacing": value, "rows": st.just(12.0)}
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(row, min_size=1, max_size=12), st.sampled_from([None, 0.5, 2.0]))
def test_no_films_make_it_fail_or_answer_with_nan(rows, threshold):
    froc = froc_result(films(rows), "nodule", threshold=threshold, plan=Plan(replicates=20))
    assert Froc.model_validate_json(froc.model_dump_json()) == froc
    left = sum(item.n for item in froc.not_judged if item.code in LEFT_OUT)
    assert froc.n_films + left == len(rows)
    assert all(estimate.value is not None or estimate.why for estimate in estimates(froc))
    assert (froc.why is None) == (froc.all_films.cpm.value is not None)
    assert sum(band.n_lesions for band in froc.bands) == froc.n_lesions


LEFT_OUT = {"boxes_not_drawn", "no_box_of_finding", "no_usable_box", "boxes_on_negative_film"}
