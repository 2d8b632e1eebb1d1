"""Free-response and localisation ROC on arrays against definitions, closed forms and another library."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import roc_auc_score

from pipelines.statistics.froc import (
    RATES,
    columns,
    contains,
    froc_curve,
    intersection_over_union,
    judge,
    localisation_statistic,
    lroc_curve,
)
from pipelines.statistics.resampling import Clusters, Plan, draw, resample

COLUMNS = columns(1)


def random_films(seed, films=14, scores=6):
    """Films as plain lists: lesions with a group, and marks (score, lesions hit); few distinct scores, so ties."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(films):
        lesions = [int(rng.integers(2)) for _ in range(rng.integers(0, 4) * rng.integers(0, 2))]
        marks = []
        for _ in range(rng.integers(0, 6)):
            hit = {k for k in range(len(lesions)) if rng.random() < 0.35}
            marks.append((int(rng.integers(scores)) / scores, hit))
        made.append((lesions, marks))
    if not any(lesions for lesions, _ in made):
        made[0] = ([0, 1], [(0.5, {0}), (0.5, {0, 1}), (0.2, set())])
    if all(lesions for lesions, _ in made):
        made[-1] = ([], [(0.5, set())])
    return made


def as_arrays(films):
    lesion_film, group, mark_film, score, mark_of, lesion_of = [], [], [], [], [], []
    for number, (lesions, marks) in enumerate(films):
        first = len(lesion_film)
        lesion_film += [number] * len(lesions)
        group += lesions
        for rating, hit in marks:
            mark_of += [len(score)] * len(hit)
            lesion_of += [first + k for k in sorted(hit)]
            mark_film.append(number)
            score.append(rating)
    normal = np.array([not lesions for lesions, _ in films])
    return judge(normal, lesion_film, mark_film, score, (mark_of, lesion_of), lesion_group=group, groups=2)


def defined_point(films, threshold, *, group=None, normal_only=False):
    """(false positives per image, lesion sensitivity) by three loops over films, lesions and marks."""
    found = lesions_there = false = images = 0
    for lesions, marks in films:
        images += not (normal_only and lesions)
        for k, of in enumerate(lesions):
            if group is None or of == group:
                lesions_there += 1
                found += any(rating >= threshold and k in hit for rating, hit in marks)
        for rating, hit in marks:
            if not (normal_only and lesions):
                false += rating >= threshold and not hit
    return false / images, found / lesions_there if lesions_there else np.nan


def defined_rates(films, *, group=None, normal_only=False):
    thresholds = sorted({rating for _, marks in films for rating, _ in marks}, reverse=True)
    points = [(0.0, 0.0)] + [defined_point(films, t, group=group, normal_only=normal_only) for t in thresholds]
    out = []
    for rate in RATES:
        below = [p for p in points if p[0] <= rate]
        above = [p for p in points if p[0] > rate]
        (x0, y0) = below[-1]
        out.append(y0 if not above else y0 + (rate - x0) / (above[0][0] - x0) * (above[0][1] - y0))
    return out


def defined_lroc(films, threshold):
    """(area, correct at the threshold, false-positive fraction, JAFROC) by loops over pairs of films."""

    def best(marks):
        top = max((rating for rating, _ in marks), default=-np.inf)
        tops = [hit for rating, hit in marks if rating == top]
        return top, np.mean([bool(hit) for hit in tops]) if tops else 0.0

    diseased = [best(marks) for lesions, marks in films if lesions]
    normal = [best(marks)[0] for lesions, marks in films if not lesions]
    lesion = [
        max((rating for rating, hit in marks if k in hit), default=-np.inf)
        for lesions, marks in films
        for k in range(len(lesions))
    ]

    def beats(a, b):
        return 1.0 if a > b else 0.5 if a == b else 0.0

    return (
        np.mean([right * beats(score, other) for (score, right), other in itertools.product(diseased, normal)]),
        np.mean([right * (score >= threshold) for score, right in diseased]),
        np.mean([score >= threshold for score in normal]),
        np.mean([beats(score, other) for score, other in itertools.product(lesion, normal)]),
    )


@pytest.mark.parametrize("seed", range(25))
def test_every_number_agrees_with_its_definition_on_films_and_on_repeated_films(seed):
    films = random_films(seed)
    rng = np.random.default_rng(seed)
    weights = np.vstack([np.ones(len(films)), rng.multinomial(len(films), [1 / len(films)] * len(films), 4)])
    values = localisation_statistic(as_arrays(films), Clusters.of(None, len(films)), 0.5)(weights.astype(np.uint8))
    where = columns(2)
    for row, multiplicity in zip(values, weights.astype(int), strict=True):
        drawn = [film for film, times in zip(films, multiplicity, strict=True) for _ in range(times)]
        if not any(lesions for lesions, _ in drawn):
            assert np.isnan(row[where["cpm"]]).all()
            continue
        rates = defined_rates(drawn)
        assert row[where["at_rates"]] == pytest.approx(rates, abs=1e-12)
        assert row[where["cpm"]] == pytest.approx(np.mean(rates), abs=1e-12)
        by_group = [defined_rates(drawn, group=g)[RATES.index(1.0)] for g in range(2)]
        assert row[where["band_at_one"]] == pytest.approx(by_group, abs=1e-12, nan_ok=True)
        false, sensitivity = defined_point(drawn, 0.5)
        assert row[where["sensitivity"]] == pytest.approx(sensitivity)
        assert row[where["false_marks"]] == pytest.approx(false)
        assert row[where["band"]] == pytest.approx(
            [defined_point(drawn, 0.5, group=g)[1] for g in range(2)], nan_ok=True
        )
        if all(lesions for lesions, _ in drawn):
            assert np.isnan(row[where["normal_cpm"]]).all()
            assert np.isnan(row[where["lroc"]]).all()
            continue
        assert row[where["normal_at_rates"]] == pytest.approx(defined_rates(drawn, normal_only=True), abs=1e-12)
        area, right, wrong, jafroc = defined_lroc(drawn, 0.5)
        assert row[where["lroc"]] == pytest.approx(area, abs=1e-12)
        assert row[where["right"]] == pytest.approx(right, abs=1e-12)
        assert row[where["wrong"]] == pytest.approx(wrong, abs=1e-12)
        assert row[where["jafroc"]] == pytest.approx(jafroc, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_curves_pass_through_the_points_of_the_definition(seed):
    films = random_films(seed)
    marked = as_arrays(films)
    for normal_only in (False, True):
        curve = froc_curve(marked, normal_films_only=normal_only)
        for threshold, x, y in zip(curve.thresholds, curve.x, curve.y, strict=True):
            assert (x, y) == pytest.approx(defined_point(films, threshold, normal_only=normal_only))
        assert curve.x[0] == curve.y[0] == 0
    curve = lroc_curve(marked)
    for threshold, x, y in zip(curve.thresholds, curve.x, curve.y, strict=True):
        _, right, wrong, _ = defined_lroc(films, threshold)
        assert (x, y) == pytest.approx((wrong, right))
    area = localisation_statistic(marked, Clusters.of(None, len(films)), None)(np.ones((1, len(films)), np.uint8))
    ends = np.r_[curve.x, 1.0], np.r_[curve.y, curve.y[-1]]
    assert np.trapezoid(ends[1], ends[0]) == pytest.approx(area[0, columns(2)["lroc"]].item())


def test_cpm_by_hand():
    # Eight films, four lesions (one per film 0-3), found at 0.9, 0.7, 0.4 and never; normal films 4-7 hold the false
    # marks at 0.8, 0.6, 0.6, 0.5 and 0.3, film 0 one at 0.2: corners (0, 1/4), (1/8, 1/4), (1/8, 1/2), (3/8, 1/2),
    # (4/8, 1/2), (4/8, 3/4), (5/8, 3/4), (6/8, 3/4).
    normal = np.arange(8) >= 4
    mark_film = [0, 1, 2, 4, 5, 6, 7, 4, 0]
    score = [0.9, 0.7, 0.4, 0.8, 0.6, 0.6, 0.5, 0.3, 0.2]
    marked = judge(normal, [0, 1, 2, 3], mark_film, score, ([0, 1, 2], [0, 1, 2]))
    value = localisation_statistic(marked, Clusters.of(None, 8), 0.6)(np.ones((1, 8), np.uint8))[0]
    assert value[COLUMNS["at_rates"]] == pytest.approx([0.5, 0.5, 0.75, 0.75, 0.75, 0.75, 0.75])
    assert value[COLUMNS["cpm"]] == pytest.approx(4.75 / 7)
    # On four normal films: corners (0, 1/4), (1/4, 1/4), (1/4, 1/2), (3/4, 1/2), (1, 1/2), (1, 3/4), (5/4, 3/4).
    assert value[COLUMNS["normal_at_rates"]] == pytest.approx([0.25, 0.5, 0.5, 0.75, 0.75, 0.75, 0.75])
    assert value[COLUMNS["sensitivity"]] == 0.5
    assert value[COLUMNS["false_marks"]] == 3 / 8
    assert value[COLUMNS["wrong"]] == 0.75
    # Best marks: films 0, 1, 2 right at 0.9, 0.7, 0.4; normals at 0.8, 0.6, 0.6, 0.5: 4 + 3 + 0 of 16 pairs.
    assert value[COLUMNS["lroc"]] == 7 / 16
    assert value[COLUMNS["jafroc"]] == 7 / 16


def test_a_tied_hit_and_false_mark_share_a_slanted_line():
    marked = judge(np.array([False, True]), [0], [0, 1], [0.5, 0.5], ([0], [0]))
    value = localisation_statistic(marked, Clusters.of(None, 2), None)(np.ones((1, 2), np.uint8))[0]
    assert value[COLUMNS["at_rates"]] == pytest.approx([0.25, 0.5, 1, 1, 1, 1, 1])


def test_several_marks_on_one_lesion_and_one_mark_on_several():
    # Film 0, two lesions: mark 0.9 on the first, a second mark 0.8 on it (ignored), 0.3 on both.
    marked = judge(np.array([False, True]), [0, 0], [0, 0, 0], [0.9, 0.8, 0.3], ([0, 1, 2, 2], [0, 0, 0, 1]))
    assert marked.lesion_score.tolist() == [0.9, 0.3]
    assert len(marked.false_film) == 0
    assert marked.best_hit.tolist() == [1, 0]


def test_agrees_with_monai():
    froc = pytest.importorskip("monai.metrics.froc")
    rng = np.random.default_rng(5)
    films, lesions = 40, 30
    false_film, false = rng.integers(films, size=150), rng.random(150)
    found = rng.permutation(lesions)[:22]
    hit = rng.random(22)
    lesion_film = rng.integers(20, size=lesions)
    probabilities = np.zeros(lesions)
    probabilities[found] = hit
    x, y = froc.compute_froc_curve_data(false, probabilities, lesions, films)
    expected = [froc.compute_froc_score(x, y, (rate,)) for rate in RATES]
    normal = np.ones(films, dtype=bool)
    normal[lesion_film] = False
    marks = np.r_[lesion_film[found], false_film], np.r_[hit, false]
    marked = judge(normal, lesion_film, *marks, (np.arange(22), found))
    value = localisation_statistic(marked, Clusters.of(None, films), None)(np.ones((1, films), np.uint8))[0]
    assert value[COLUMNS["at_rates"]] == pytest.approx(expected)
    assert value[COLUMNS["cpm"]] == pytest.approx(np.mean(expected))


def test_with_perfect_localisation_lroc_is_the_auroc():
    rng = np.random.default_rng(3)
    labels = rng.random(300) < 0.3
    scores = np.round(rng.normal(size=300) + labels, 1)
    lesion_film = np.flatnonzero(labels)
    pairs = lesion_film, np.arange(len(lesion_film))
    marked = judge(~labels, lesion_film, np.arange(300), scores, pairs)
    value = localisation_statistic(marked, Clusters.of(None, 300), None)(np.ones((1, 300), np.uint8))[0]
    assert value[COLUMNS["lroc"]] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert value[COLUMNS["jafroc"]] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_search_among_independent_places_has_its_closed_form():
    # M places per film with independent normal ratings; one of them, shifted by d, is the lesion. A system that marks
    # every place: P(lesion place highest) = E Phi^(M-1), LROC area = E Phi^(2M-1), JAFROC = E Phi^M over X ~ N(d, 1).
    places, d, films = 4, 1.6, 60_000
    rng = np.random.default_rng(11)
    ratings = rng.normal(size=(2 * films, places))
    ratings[:films, 0] += d
    normal = np.arange(2 * films) >= films
    film = np.repeat(np.arange(2 * films), places)
    marked = judge(normal, np.arange(films), film, ratings.ravel(), (np.arange(films) * places, np.arange(films)))
    value = localisation_statistic(marked, Clusters.of(None, 2 * films), None)(np.ones((1, 2 * films), np.uint8))[0]

    def expected(power):
        return integrate.quad(lambda x: stats.norm.pdf(x - d) * stats.norm.cdf(x) ** power, -8, 10)[0]

    tolerance = 4 * 0.5 / np.sqrt(films)
    assert value[COLUMNS["best_right"]] == pytest.approx(expected(places - 1), abs=tolerance)
    assert value[COLUMNS["lroc"]] == pytest.approx(expected(2 * places - 1), abs=tolerance)
    assert value[COLUMNS["jafroc"]] == pytest.approx(expected(places), abs=tolerance)
    # Noise places per image: (3 + 4) / 2; the curve ends there.
    at = np.minimum(np.array(RATES) / 3.5, 1)
    assert value[COLUMNS["at_rates"]] == pytest.approx(stats.norm.sf(stats.norm.isf(at) - d), abs=tolerance)


def test_replicates_are_those_of_a_loop_over_patients():
    films = random_films(2, films=30)
    patients = np.random.default_rng(8).integers(12, size=30)
    clusters, plan = Clusters.of(patients, 30), Plan(replicates=40, kind="percentile")
    found = resample(localisation_statistic(as_arrays(films), clusters, None), clusters.count, plan)
    for row, weights in zip(found.replicates, draw(clusters.count, plan.seed, 0, 40), strict=True):
        drawn = [film for film, patient in zip(films, clusters.index, strict=True) for _ in range(weights[patient])]
        assert row[columns(2)["cpm"]] == pytest.approx(np.mean(defined_rates(drawn)), abs=1e-12)


def test_the_percentile_interval_is_that_of_an_independent_bootstrap():
    films = random_films(4, films=60, scores=40)
    clusters = Clusters.of(None, 60)
    sample = resample(localisation_statistic(as_arrays(films), clusters, None), 60, Plan(kind="percentile"))
    found = sample.estimate(columns(2)["cpm"].start, level=0.95, n=1, method="CPM")
    rng = np.random.default_rng(77)
    loop = [np.mean(defined_rates([films[i] for i in rng.integers(60, size=60)])) for _ in range(300)]
    low, high = np.quantile(loop, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.25 * (high - low))
    assert np.std(sample.replicates[:, columns(2)["cpm"].start]) == pytest.approx(np.std(loop), rel=0.15)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 13), st.integers(-1, 7))
def test_properties_of_the_curve(seed, film, rating):
    films = random_films(seed)
    clusters, one = Clusters.of(None, len(films)), np.ones((1, len(films)), np.uint8)
    marked = as_arrays(films)
    curve = froc_curve(marked)
    assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(curve.y) >= 0).all()
    before = localisation_statistic(marked, clusters, 0.5)(one)[0]
    where = columns(2)
    known = before[~np.isnan(before)]
    assert (known >= 0).all()
    assert (np.diff(before[where["at_rates"]]) >= -1e-12).all()
    assert 0 <= before[where["cpm"]].item() <= 1
    lesions, marks = films[film]
    more = [*films[:film], (lesions, [*marks, (rating / 6, set())]), *films[film + 1 :]]
    after = localisation_statistic(as_arrays(more), clusters, 0.5)(one)[0]
    for name in ("at_rates", "cpm", "normal_at_rates", "lroc", "jafroc"):
        assert (after[where[name]] <= before[where[name]] + 1e-12).all()
    shuffled = [(lesions, marks[::-1]) for lesions, marks in films]
    assert localisation_statistic(as_arrays(shuffled), clusters, 0.5)(one)[0] == pytest.approx(before, nan_ok=True)


corner = st.integers(0, 12)


@given(st.tuples(corner, corner, corner, corner), st.tuples(corner, corner, corner, corner))
def test_overlap_is_that_of_counted_pixels(a, b):
    def pixels(box):
        return {(x, y) for x in range(min(box[0], box[2]), max(box[0], box[2])) for y in range(*sorted(box[1::2]))}

    def sides(box):
        return np.array([[*np.minimum(box[:2], box[2:]), *np.maximum(box[:2], box[2:])]], dtype=float)

    common, joint = len(pixels(a) & pixels(b)), len(pixels(a) | pixels(b))
    assert intersection_over_union(sides(a), sides(b))[0] == pytest.approx(common / joint if joint else 0)


def test_edges_belong_to_the_box():
    points = np.array([[1.0, 2.0], [3.0, 4.0], [3.0001, 4.0], [2.0, np.nan]])
    assert contains(points, np.array([[1.0, 2.0, 3.0, 4.0]] * 4)).tolist() == [True, True, False, False]


def test_nothing_at_all_is_undefined_and_never_fails():
    marked = judge(np.zeros(0, dtype=bool), [], [], [], ([], []))
    values = localisation_statistic(marked, Clusters.of(None, 0), None)(np.ones((1, 0), np.uint8))
    assert np.isnan(values[0, COLUMNS["cpm"]]).all()
