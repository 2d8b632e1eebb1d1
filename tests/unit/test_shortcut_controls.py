"""The three shortcut controls: what they see, what they must not see, what is said of them, how they travel."""

import json

import numpy as np
import pytest
from scipy.special import ndtri
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.errors import EvaluationError
from pipelines.evaluation.control import (
    ControlModel,
    control_scores,
    controls_of,
    fit_control_model,
    fit_controls,
    judge_control,
    strongest_control,
)
from pipelines.evaluation.control_words import VERDICTS
from pipelines.evaluation.evaluator import evaluate
from pipelines.evaluation.files import read_evaluation, write_evaluation
from pipelines.evaluation.options import Options
from pipelines.evaluation.predictions import COLUMNS
from pipelines.evaluation.summary import summary_lines
from pipelines.evaluation.tidy import metrics_table
from pipelines.imaging.border import FRAME_SHARE, N_BORDER_FEATURES, SEGMENTS, border_features
from pipelines.imaging.control_features import COLUMNS_OF, KINDS, N_CONTROL_FEATURES, control_features
from pipelines.imaging.lungs_hidden import N_HIDDEN_FEATURES, VISIBLE, lungs_hidden_features
from pipelines.imaging.thumbnail import N_FEATURES, thumbnail_features
from pipelines.phantom.film import render_film
from pipelines.phantom.plan import plan_film
from pipelines.statistics.auroc import auroc_delong, auroc_difference
from tests.unit.report_parts import estimate, tables

RNG = np.random.default_rng(12)


def test_thumbnail_features_average_areas():
    rng = np.random.default_rng(2)
    film = rng.random((64, 48))
    found = thumbnail_features(film)
    assert found.shape == (N_FEATURES,) == (261,)
    blocks = film.reshape(16, 4, 16, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found[:256], blocks.ravel(), atol=1e-12)
    expected = [film.mean(), film.std(), film.min(), film.max(), np.median(film)]
    np.testing.assert_allclose(found[256:], expected, atol=1e-12)
    odd = rng.random((37, 101))
    fine = np.kron(odd, np.ones((16, 16)))  # each source pixel as 16x16 equal parts: cells are then whole
    coarse = fine.reshape(16, 37, 16, 101).mean(axis=(1, 3))
    np.testing.assert_allclose(thumbnail_features(odd)[:256], coarse.ravel(), atol=1e-12)
    for bad in (np.zeros((3, 4, 3)), np.zeros((0, 5)), np.full((4, 4), np.nan)):
        with pytest.raises(EvaluationError):
            thumbnail_features(bad)


def noisy(rows, columns, seed=0):
    """A film without uniform borders."""
    return np.random.default_rng(seed).uniform(0.2, 0.8, (rows, columns)).astype(np.float32)


def naive_strip(strip):
    """Mean and deviation of eight segments along ``[across, along]``, and what is pure white and black."""
    length, found = strip.shape[1], []
    for part in range(SEGMENTS):
        segment = strip[:, int(part * length / SEGMENTS) : int((part + 1) * length / SEGMENTS)].astype(float)
        found += [segment.sum() / segment.size, np.sqrt(((segment - segment.mean()) ** 2).mean())]
    return [*found, np.mean(np.round(strip * 255) == 255), np.mean(np.round(strip * 255) == 0)]


def test_border_features_are_those_of_a_naive_count():
    film = noisy(200, 160)
    film[:10, :20] = 1.0
    film[-4:, 60:] = 0.0
    film[60:140, 50:110] = 0.0  # inside: must not count
    deep, wide = round(FRAME_SHARE * 200), round(FRAME_SHARE * 160)
    strips = [film[:deep], film[-deep:], film[:, :wide].T, film[:, -wide:].T]
    found = border_features(film)
    assert found.shape == (N_BORDER_FEATURES,)
    for place, strip in enumerate(strips):
        np.testing.assert_allclose(found[19 * place : 19 * place + 18], naive_strip(strip), atol=1e-6)
    corners = [film[:deep, :wide], film[:deep, -wide:], film[-deep:, :wide], film[-deep:, -wide:]]
    expected = [value for each in corners for value in (each.mean(), each.std(), each.min(), each.max())]
    np.testing.assert_allclose(found[76:92], expected, atol=1e-6)
    everything = np.concatenate([each.ravel() for each in strips])
    expected = [everything.mean(), everything.std(), everything.min(), everything.max(), np.median(everything)]
    np.testing.assert_allclose(found[92:97], expected, atol=1e-6)
    np.testing.assert_allclose(found[97:], [np.log(0.8), np.log(0.8), 0, 0, 0, 0, 0, 0], atol=1e-12)


def test_stored_borders_count_by_their_width_and_grey():
    film = np.full((250, 200), 0.5, np.float32)
    film[20:220, 30:190] = noisy(200, 160)
    shape = border_features(film)[97:]
    np.testing.assert_allclose(
        shape, [np.log(200 / 250), np.log(160 / 200), 20 / 250, 30 / 250, 30 / 200, 10 / 200, 1 - 0.64, 0.5], atol=1e-6
    )


def test_burned_in_letters_at_the_border_are_seen():
    import cv2

    film = np.full((400, 400), 0.3, np.float32) + noisy(400, 400) / 20
    plain = border_features(film)
    ink = cv2.putText(np.zeros((400, 400), np.uint8), "PORTABLE", (60, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    marked = np.maximum(film, ink / np.float32(255))
    assert plain[18] == 0
    assert border_features(marked)[18] > 0.02


def test_lungs_hidden_features_are_those_of_a_naive_mask():
    film = noisy(96, 80)
    cells = film.reshape(16, 6, 16, 5).mean(axis=(1, 3))[VISIBLE]
    found = lungs_hidden_features(film)
    assert found.shape == (N_HIDDEN_FEATURES,) == (VISIBLE.sum() + 5,)
    expected = [*cells, cells.mean(), cells.std(), cells.min(), cells.max(), np.median(cells)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(VISIBLE, VISIBLE[:, ::-1])  # neither lung is covered more than the other


def test_what_lies_under_the_cover_is_not_seen_and_what_lies_beside_it_is():
    film = noisy(160, 160)
    covered = np.kron(~VISIBLE, np.ones((10, 10), bool))
    other = np.where(covered, noisy(160, 160, seed=1), film).astype(np.float32)
    np.testing.assert_array_equal(lungs_hidden_features(film), lungs_hidden_features(other))
    assert not np.array_equal(thumbnail_features(film), thumbnail_features(other))
    changed = film.copy()
    changed[~covered] = 0.9
    assert not np.array_equal(lungs_hidden_features(film), lungs_hidden_features(changed))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 2), (3, 600), (900, 700)])
def test_films_of_any_size_have_features(shape):
    found = control_features(noisy(*shape))
    assert found.shape == (N_CONTROL_FEATURES,) == (N_FEATURES + N_BORDER_FEATURES + N_HIDDEN_FEATURES,)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[COLUMNS_OF["border"]], border_features(noisy(*shape)))


# Phantoms -------------------------------------------------------------------------------------------------------------


def _disease_plans(count):
    plans = (plan_film(11, index) for index in range(1000))
    return [plan for plan in plans if plan.patient.tb_kind in ("infiltrate", "cavity")][:count]


@pytest.fixture(scope="module")
def cohort():
    """Labels and films: a coin decides whether a chest is drawn with its lesions; crop and exposure vary."""
    import cv2

    chests = []
    for plan in _disease_plans(2):
        pair = [render_film(plan, lesions=lesions).pixels for lesions in (False, True)]
        chests.append([cv2.resize((each / 16383).astype(np.float32), (160, 192)) for each in pair])
    rng = np.random.default_rng(3)
    labels = rng.random(320) < 0.5
    films = []
    for number, label in enumerate(labels):
        row, column = rng.integers(0, 6, 2)
        film = chests[number % 2][int(label)][row : row + 186, column : column + 154]
        film = film ** rng.uniform(0.8, 1.25) + rng.normal(0, 0.01, film.shape)
        films.append(np.clip(film, 0, 1).astype(np.float32))
    return labels, films


def seen_in(films):
    return np.stack([control_features(film) for film in films])


@pytest.fixture(scope="module")
def plain_films(cohort):
    return cohort[0], seen_in(cohort[1])


@pytest.fixture(scope="module")
def marked_films(cohort):
    """Positive films with a white box in a corner."""
    labels, films = cohort
    marked = [film.copy() for film in films[:120]]
    for film in [film for film, label in zip(marked, labels, strict=False) if label]:
        film[2:13, 2:15] = 1.0
    return labels[:120], seen_in(marked)


def auroc_of(kind, labels, features):
    X, half = features[:, COLUMNS_OF[kind]], len(labels) // 2
    return auroc_delong(labels[half:], fit_control_model(X[:half], labels[:half], kind).scores(X[half:]))


@pytest.mark.parametrize("kind", ["border", "lungs_hidden"])
def test_a_lesion_in_the_lungs_is_not_seen(plain_films, kind):
    found = auroc_of(kind, *plain_films)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.2  # so that the line above says something


def test_the_shape_free_control_sees_that_lesion(plain_films):
    assert auroc_of("shape_free", *plain_films).low > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_at_the_border_gives_the_label_away(marked_films, kind):
    assert auroc_of(kind, *marked_films).value > 0.99


def test_the_very_same_border_whether_the_chest_is_ill_or_not():
    import cv2

    plan = _disease_plans(1)[0]
    films = [
        cv2.resize((render_film(plan, lesions=ill).pixels / 16383).astype(np.float32), (500, 600)) for ill in (0, 1)
    ]
    np.testing.assert_array_equal(*[border_features(film) for film in films])
    np.testing.assert_array_equal(*[lungs_hidden_features(film) for film in films])
    assert not np.array_equal(*films)


# Fitting and travelling -----------------------------------------------------------------------------------------------


def made_features(n=80):
    rng = np.random.default_rng(3)
    X, y = rng.random((n, N_CONTROL_FEATURES)), rng.integers(0, 2, n).astype(float)
    for kind in KINDS:
        X[:, COLUMNS_OF[kind].start] += 0.6 * y
    return X, y


@pytest.mark.parametrize("kind", KINDS)
def test_a_control_is_logistic_regression_and_travels_as_json(kind):
    X, y = made_features()
    own = X[:, COLUMNS_OF[kind]]
    oracle = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(own[:50], y[:50])
    models = fit_controls(X[:50], {"tb": y[:50]})
    key = "tb" if kind == "shape_free" else f"{kind}_tb"
    np.testing.assert_allclose(models[key].scores(own), oracle.predict_proba(own)[:, 1], atol=1e-9)
    package = json.loads(json.dumps({name: model.model_dump(mode="json") for name, model in models.items()}))
    np.testing.assert_array_equal(control_scores(package, X)[key], models[key].scores(own))
    assert {f"control_{name}" for name in package} <= set(COLUMNS)


def test_unknown_labels_are_left_out_and_one_class_is_refused():
    X, y = made_features()
    unknown = y.copy()
    unknown[60:] = np.nan
    assert fit_controls(X, {"tb": unknown})["border_tb"] == fit_controls(X[:60], {"tb": y[:60]})["border_tb"]
    with pytest.raises(EvaluationError, match="border-only control cannot be fitted"):
        fit_control_model(X, np.ones(80), "border")


def test_a_package_of_an_earlier_version_scores_as_it_did():
    X, y = made_features()
    model = fit_control_model(X[:, :N_FEATURES], y)
    old = model.model_dump(mode="json")
    del old["kind"]
    scores = control_scores({"tb": old}, X)
    assert scores.keys() == {"tb"}
    np.testing.assert_array_equal(scores["tb"], model.scores(X[:, :N_FEATURES]))
    assert ControlModel.model_validate(old).kind == "shape_free"


# What is said ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["border", "lungs_hidden"])
@pytest.mark.parametrize(
    ("system", "control", "low", "grade", "near"),
    [
        (0.95, (0.60, 0.55, 0.65), 0.3, "clear", False),
        (0.97, (0.92, 0.88, 0.95), 0.02, "strong", True),
        (0.85, (0.83, 0.78, 0.88), 0.01, "near", True),
        (0.70, (0.64, 0.55, 0.73), -0.02, "unproven", True),
        (0.70, (0.67, 0.60, 0.73), 0.01, "hardly", True),
        (0.60, (0.55, 0.45, 0.65), -0.05, "uninformative", False),
        (0.85, (0.95, 0.50, 1.00), -0.2, "uninformative", False),
    ],
)
def test_the_verdict_follows_the_rule(kind, system, control, low, grade, near):
    ours = estimate(system, system - 0.02, system + 0.02)
    difference = estimate(system - control[0], low, system - control[0] + 0.1)
    found = judge_control(ours, estimate(*control), difference, kind)
    assert (found.kind, found.near, found.verdict) == (kind, near, VERDICTS[kind][grade])


def test_two_more_controls_add_hardly_a_false_alarm():
    """A system of AUROC 0.85 and three controls that know nothing, on 200 films, 150 times."""
    rng = np.random.default_rng(1)
    one = three = 0
    for _ in range(150):
        y = rng.random(200) < 0.3
        system = rng.normal(size=200) + np.sqrt(2) * ndtri(0.85) * y
        near = []
        for kind in KINDS:
            control = rng.normal(size=200)
            parts = auroc_delong(y, system), auroc_delong(y, control), auroc_difference(y, system, control)
            near.append(judge_control(*parts, kind).near)
        one, three = one + near[0], three + any(near)
    assert three - one <= 3  # 2 %
    assert one <= 3


# In an evaluation -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(8)
    labels = (rng.random(120) < 0.4).astype(int)
    columns = {"control_tb": 0.1, "control_border_tb": 0.7, "control_lungs_hidden_tb": 0.3}
    return labels, rng.random(120) + 0.5 * labels, {
        name: rng.random(120) + weight * labels for name, weight in columns.items()
    }  # fmt: skip


def run(labels, scores, columns, **options):
    manifest, predictions = tables(labels, scores / 2, **columns)
    if "patient" in options:
        manifest["patient_id"] = options["patient"]
    return evaluate(predictions, manifest, findings=["tb"], split="test", options=Options(replicates=200))


def test_each_control_stands_beside_the_system(scored):
    labels, scores, columns = scored
    (result,) = run(*scored).findings
    assert [each.kind for each in result.controls] == list(KINDS)
    assert result.control == result.controls[0]
    for control, name in zip(result.controls, columns, strict=True):
        assert control.auroc.value == pytest.approx(roc_auc_score(labels, columns[name]))
        expected = auroc_difference(labels, scores, columns[name])
        assert control.difference.value == pytest.approx(expected.value)
        assert control.difference.low == pytest.approx(expected.low)
    assert strongest_control(controls_of(result)).kind == "border"


def test_several_films_of_a_patient_widen_the_difference(scored):
    pairs = [np.repeat(each, 2) for each in scored[:2]]
    doubled = {name: np.repeat(values, 2) for name, values in scored[2].items()}
    known = run(*pairs, doubled, patient=[f"p{number // 2}" for number in range(240)]).findings[0].controls[1]
    blind = run(*pairs, doubled).findings[0].controls[1]
    assert known.difference.value == pytest.approx(blind.difference.value)
    assert known.difference.high - known.difference.low > 1.2 * (blind.difference.high - blind.difference.low)


def test_numbers_reach_the_tables_the_summary_and_the_file(scored, tmp_path):
    evaluation = run(*scored)
    metrics = metrics_table(evaluation).set_index("metric")["value"]
    hidden = evaluation.findings[0].controls[2]
    assert metrics["control_lungs_hidden_auroc"] == hidden.auroc.value
    assert metrics["auroc_minus_control_border"] == evaluation.findings[0].controls[1].difference.value
    assert metrics["control_auroc"] == evaluation.findings[0].control.auroc.value
    text = "\n".join(summary_lines(evaluation))
    assert "  border-only control: AUROC" in text
    assert hidden.verdict in text
    write_evaluation(evaluation, tmp_path)
    assert read_evaluation(tmp_path) == evaluation


def test_predictions_and_evaluations_of_earlier_versions_are_read(scored, tmp_path):
    labels, scores, columns = scored
    only = run(labels, scores, {"control_tb": columns["control_tb"]}).findings[0]
    assert [each.kind for each in only.controls] == ["shape_free"]
    none = run(labels, scores, {}).findings[0]
    assert none.control is None
    assert none.controls is None
    write_evaluation(run(*scored), tmp_path)
    file = tmp_path / "evaluation.json"
    record = json.loads(file.read_text())
    for result in record["findings"]:
        del result["controls"], result["control"]["kind"]
    file.write_text(json.dumps(record))
    (found,) = read_evaluation(tmp_path).findings
    assert controls_of(found) == (found.control,)
