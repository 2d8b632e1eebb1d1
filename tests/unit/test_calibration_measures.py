"""Calibration against scikit-learn, statsmodels and hand-written formulas."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from pipelines.errors import ConfigError, EvaluationError
from pipelines.statistics.calibration.cells import Cells, logistic_fits
from pipelines.statistics.calibration.measures import calibration, calibration_at_prevalence, prevalence_shift
from pipelines.statistics.calibration.records import Calibration
from pipelines.statistics.calibration.reliability import layout, spline_design, spline_knots
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.resampling import Clusters, Plan, draw

FEW = Plan(replicates=60, seed=3, unit="films")
NUMBERS = [name for name, field in Calibration.model_fields.items() if field.annotation is Estimate]


def films(n=500, slope=0.7, shift=-0.3, seed=0, digits=12):
    """Labels and scores whose logit is off by a known intercept and slope."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1, 1.5, n)
    labels = rng.random(n) < special.expit(slope * logit + shift)
    return labels.astype(int), np.round(special.expit(logit), digits)


def test_recalibration_agrees_with_statsmodels():
    labels, scores = films()
    found = calibration(labels, scores, plan=FEW)
    logit = special.logit(scores)
    binomial = sm.families.Binomial()
    offset = sm.GLM(labels, np.ones(len(labels)), family=binomial, offset=logit).fit()
    both = sm.Logit(labels, sm.add_constant(logit)).fit(disp=0)
    assert found.intercept.value == pytest.approx(offset.params[0], abs=1e-8)
    assert found.slope.value == pytest.approx(both.params[1], abs=1e-8)


def test_bootstrap_intervals_come_near_the_likelihood_ones():
    labels, scores = films(1000)
    found = calibration(labels, scores, plan=Plan(replicates=600, seed=2, unit="films"))
    logit = special.logit(scores)
    both = sm.Logit(labels, sm.add_constant(logit)).fit(disp=0).conf_int()[1]
    assert (found.slope.low, found.slope.high) == pytest.approx(tuple(both), abs=0.03)
    offset = sm.GLM(labels, np.ones(len(labels)), family=sm.families.Binomial(), offset=logit).fit().conf_int()[0]
    assert (found.intercept.low, found.intercept.high) == pytest.approx(tuple(offset), abs=0.04)


def test_clustered_intervals_come_near_the_sandwich():
    labels, scores = films(400)
    patients = np.repeat(np.arange(400), 3)
    labels, scores = np.repeat(labels, 3), np.repeat(scores, 3)
    clusters = Clusters.of(patients, len(labels))
    found = calibration(labels, scores, clusters=clusters, plan=Plan(replicates=400, seed=2))
    alone = calibration(labels[::3], scores[::3], plan=Plan(replicates=400, seed=2))
    for name in ("slope", "intercept", "brier", "observed_expected"):
        one, three = getattr(alone, name), getattr(found, name)
        assert three.value == pytest.approx(one.value, abs=1e-9)
        assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=1e-9)
    logit = sm.add_constant(special.logit(scores))
    robust = sm.Logit(labels, logit).fit(disp=0, cov_type="cluster", cov_kwds={"groups": patients}).conf_int()[1]
    assert (found.slope.low, found.slope.high) == pytest.approx(tuple(robust), abs=0.04)
    assert "bootstrap" in found.bins[4].observed.method
    assert found.spiegelhalter_p.value == pytest.approx(alone.spiegelhalter_p.value, abs=0.15)


def test_every_replicate_is_that_of_the_resampled_films():
    labels, scores = films(120, digits=2)
    clusters = Clusters.of(np.arange(120) // 2, 120)
    found = layout(labels.astype(bool), scores, clusters, bins=5, prevalence=None)
    weights = draw(60, 9, 0, 4)
    values = found(weights)
    edges = np.unique(np.sort(scores)[np.arange(5) * 120 // 5])
    for row, drawn in zip(values, weights, strict=True):
        rows = np.repeat(np.arange(120), drawn[clusters.index])
        y, s = labels[rows], scores[rows]
        assert row[2] == pytest.approx(brier_score_loss(y, s))
        assert row[8] == pytest.approx(y.sum() / s.sum())
        member = np.searchsorted(edges, s, side="right") - 1
        gaps = [abs(s[member == b].mean() - y[member == b].mean()) * (member == b).mean() for b in np.unique(member)]
        assert row[0] == pytest.approx(sum(gaps))
        fit = sm.Logit(y, sm.add_constant(special.logit(s))).fit(disp=0)
        assert row[11] == pytest.approx(fit.params[1], abs=1e-7)


def test_many_values_are_cut_into_cells_without_visible_loss():
    labels, scores = films(6000)
    clusters = Clusters.of(None, 6000)
    found = layout(labels.astype(bool), scores, clusters, bins=10, prevalence=None)
    assert len(found.logits) < 600
    weights = draw(6000, 9, 0, 3)
    for row, drawn in zip(found(weights), weights, strict=True):
        logit = sm.add_constant(special.logit(scores))
        fit = sm.GLM(labels, logit, family=sm.families.Binomial(), freq_weights=drawn.astype(float)).fit()
        assert row[11] == pytest.approx(fit.params[1], abs=2e-4)


def test_bins_agree_with_scikit_learn():
    labels, scores = films(1000)
    found = calibration(labels, scores, plan=FEW)
    observed, mean = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    assert [b.mean_score for b in found.bins] == pytest.approx(mean)
    assert [b.observed.value for b in found.bins] == pytest.approx(observed)
    assert found.ece.value == pytest.approx(np.abs(observed - mean).mean())
    assert {b.n for b in found.bins} == {100}
    exact = stats.binomtest(found.bins[3].positives, 100).proportion_ci(0.95, "exact")
    assert (found.bins[3].observed.low, found.bins[3].observed.high) == pytest.approx(tuple(exact))
    observed, mean = calibration_curve(labels, scores, n_bins=10, strategy="uniform")
    share = np.histogram(scores, np.linspace(0, 1, 11))[0] / 1000
    assert found.ece_equal_width.value == pytest.approx((np.abs(observed - mean) * share[share > 0]).sum())


def test_ties_stay_in_one_bin():
    labels = np.r_[np.zeros(60), np.ones(5), np.zeros(35)]
    scores = np.r_[np.zeros(65), np.linspace(0.1, 0.9, 35)]
    found = calibration(labels, scores, plan=FEW)
    assert [b.n for b in found.bins] == [70, 10, 10, 10]  # the tie fills six bins and reaches into the seventh
    assert all(a.high < b.low for a, b in zip(found.bins, found.bins[1:], strict=False))
    assert sum(b.n for b in found.bins) == 100
    assert found.clipped == 65
    assert "65 scores" in found.notes[0]


def test_equal_width_edges_belong_to_the_lower_bin():
    labels, scores = np.array([0, 1, 1, 0, 1, 1]), np.array([0.0, 0.1, 0.2, 0.2, 0.5, 1.0])
    observed, mean = calibration_curve(labels, scores, n_bins=10, strategy="uniform")
    share = np.array([2, 2, 1, 1]) / 6
    assert calibration(labels, scores, plan=FEW).ece_equal_width.value == pytest.approx(
        (np.abs(observed - mean) * share).sum()
    )


def test_brier_and_spiegelhalter_by_hand():
    labels, scores = films(300)
    found = calibration(labels, scores, plan=FEW)
    assert found.brier.value == pytest.approx(brier_score_loss(labels, scores))
    assert found.scaled_brier.value == pytest.approx(
        1 - found.brier.value / brier_score_loss(labels, np.full(300, labels.mean()))
    )
    z = sum((y - p) * (1 - 2 * p) for y, p in zip(labels, scores, strict=True))
    z /= math.sqrt(sum((1 - 2 * p) ** 2 * p * (1 - p) for p in scores))
    assert found.spiegelhalter_z.value == pytest.approx(z)
    assert found.spiegelhalter_p.value == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert found.observed_expected.value == pytest.approx(labels.sum() / scores.sum())


def test_calibrated_scores_look_calibrated():
    labels, scores = films(2500, slope=1, shift=0, seed=4)
    found = calibration(labels, scores, plan=Plan(replicates=150, unit="films"))
    assert found.slope.low < 1 < found.slope.high
    assert found.intercept.low < 0 < found.intercept.high
    assert found.spiegelhalter_p.value > 0.01
    assert found.ece.value == pytest.approx(found.ece_by_chance.value, rel=0.6)


def test_band_of_the_smooth_curve_holds_the_truth_at_about_its_level():
    held = []
    for seed in range(25):
        labels, scores = films(400, slope=1, shift=0, seed=seed, digits=2)
        smooth = calibration(labels, scores.clip(0.01, 0.99), plan=Plan(replicates=200, unit="films")).smooth
        bounds = zip(smooth.low, smooth.score, smooth.high, strict=True)
        held.append(np.mean([low <= at <= high for low, at, high in bounds]))
    assert 0.88 < np.mean(held) < 0.99


def test_ece_by_chance_is_what_simulation_gives():
    rng = np.random.default_rng(1)
    scores = rng.beta(1, 3, 800)
    edges = np.sort(scores)[np.arange(10) * 80]
    member = np.searchsorted(edges, scores, side="right") - 1
    gaps = [np.abs(np.bincount(member, (rng.random(800) < scores) - scores)).sum() / 800 for _ in range(1500)]
    found = calibration((rng.random(800) < scores).astype(int), scores, plan=FEW)
    assert found.ece_by_chance.value == pytest.approx(np.mean(gaps), rel=0.03)


def test_smooth_curve_is_a_spline_regression():
    labels, scores = films(600, digits=2)
    scores = scores.clip(0.01, 0.99)
    found = calibration(labels, scores, plan=FEW).smooth
    logit = special.logit(scores)
    knots = spline_knots(logit)
    fit = sm.GLM(labels, spline_design(logit, knots), family=sm.families.Binomial()).fit()
    expected = fit.predict(spline_design(special.logit(np.array(found.score)), knots))
    assert found.share == pytest.approx(tuple(expected), abs=1e-6)
    assert 20 <= len(found.score) <= 60
    far = spline_design(np.array([knots[-1] + 1.0, knots[-1] + 2, knots[-1] + 3]), knots)
    assert np.diff(far, 2, axis=0) == pytest.approx(0, abs=1e-9)  # linear beyond the last knot


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 1e-9, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=1, max_size=30),
    st.booleans(),
)
def test_parts_add_up_and_nothing_is_silent(pairs, paired):
    labels, scores = np.array([p[0] for p in pairs]).astype(int), np.array([p[1] for p in pairs])
    clusters = Clusters.of(np.arange(len(pairs)) // (2 if paired else 1), len(pairs))
    found = calibration(labels, scores, clusters=clusters, plan=Plan(replicates=20), bins=4)
    assert Calibration.model_validate_json(found.model_dump_json()) == found
    parts = [getattr(found, name).value for name in ("reliability", "resolution", "uncertainty", "remainder")]
    assert found.brier.value == pytest.approx(parts[0] - parts[1] + parts[2] + parts[3], abs=1e-12)
    assert found.brier.value == pytest.approx(np.mean((labels - scores) ** 2))
    assert sum(b.n for b in found.bins) == len(pairs)
    for name in NUMBERS:
        estimate = getattr(found, name)
        assert (estimate.low is not None) or estimate.why


def test_separation_and_other_degenerate_films_are_named():
    labels = np.r_[np.ones(10), np.zeros(10)]
    perfect = calibration(labels, np.r_[np.linspace(0.6, 0.9, 10), np.linspace(0.1, 0.6, 10)], plan=FEW)
    assert "separates the classes perfectly" in perfect.slope.why
    assert perfect.intercept.value is not None
    assert perfect.smooth is None
    flat = calibration(labels, np.full(20, 0.3), plan=FEW)
    assert flat.slope.why == "all scores are equal"
    assert flat.intercept.value == pytest.approx(special.logit(0.5) - special.logit(0.3))
    assert len(flat.bins) == 1
    alone = calibration(np.zeros(5), np.linspace(0, 1, 5), plan=FEW)
    assert "one class only" in alone.slope.why
    assert "one class only" in alone.scaled_brier.why
    assert alone.observed_expected.value == 0
    zeros = calibration(labels, np.zeros(20), plan=FEW)
    assert "add up to" in zeros.observed_expected.why
    assert "no variance" in zeros.spiegelhalter_z.why
    one = calibration([1], [0.4], plan=FEW)
    assert one.brier.value == pytest.approx(0.36)
    assert one.brier.low is None


@pytest.mark.parametrize("scores", [[0.2, 1.2, 0.3], [-1.0, 0.5, 0.2], [10, 55, 90]])
def test_scores_that_are_no_probabilities_are_named(scores):
    found = calibration([1, 0, 1], scores, plan=FEW)
    assert "lie outside [0, 1]" in found.ece.why
    assert found.bins == ()
    assert all(getattr(found, name).value is None for name in NUMBERS)
    assert calibration_at_prevalence([1, 0, 1], scores, 0.1, plan=FEW) is None


def test_no_films_and_wrong_arguments():
    assert "no films" in calibration([], [], plan=FEW).brier.why
    with pytest.raises(EvaluationError):
        calibration([1, 0], [0.1, math.nan])
    with pytest.raises(ConfigError):
        calibration([1, 0], [0.1, 0.2], bins=0)
    with pytest.raises(ConfigError):
        prevalence_shift([0.1], 0.0, 0.2)
    with pytest.raises(ConfigError):
        prevalence_shift([1.1], 0.1, 0.2)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_prevalence_shift_moves_the_logit(score, old, new):
    found = prevalence_shift([score], old, new)[0]
    if score in (0.0, 1.0):
        assert found == score
    else:
        expected = special.expit(special.logit(score) + special.logit(new) - special.logit(old))
        assert found == pytest.approx(expected, abs=1e-9)
    assert prevalence_shift([found], new, old)[0] == pytest.approx(score, abs=1e-6)


def test_shifted_scores_are_calibrated_at_the_other_prevalence():
    rng = np.random.default_rng(7)
    labels = (rng.random(8_000) < 0.4).astype(int)
    logit = 1.5 * rng.normal(size=8_000) + 2.25 * (labels - 0.5)  # log likelihood ratio of two normals, plus prior
    scores = special.expit(logit + special.logit(0.4))
    found = calibration_at_prevalence(labels, scores, 0.05, plan=FEW)
    assert found.from_prevalence == pytest.approx(labels.mean())
    assert found.before.observed_expected.value < 0.5
    assert found.after.observed_expected.value == pytest.approx(1, abs=0.05)
    assert found.after.intercept.value == pytest.approx(0, abs=0.06)
    assert found.after.slope.value == pytest.approx(1, abs=0.05)
    weight = np.where(labels == 1, 0.05 / labels.mean(), 0.95 / (1 - labels.mean()))
    assert found.before.brier.value == pytest.approx(brier_score_loss(labels, scores, sample_weight=weight))
    fit = sm.GLM(
        labels, sm.add_constant(special.logit(scores)), family=sm.families.Binomial(), freq_weights=weight
    ).fit()
    assert found.before.slope.value == pytest.approx(fit.params[1], abs=1e-6)
    assert found.before.spiegelhalter_z.value is None
    assert sum(b.observed.value * b.n for b in found.before.bins) < 0.5 * labels.sum()


def test_cells_add_up_by_class():
    labels, scores = films(200, digits=1)
    clusters = Clusters.of(np.arange(200) % 50, 200)
    edges = np.array([0.0, 0.2, 0.25, 0.6])
    sums = Cells.of(labels.astype(bool), scores, clusters, edges).sums(draw(50, 1, 0, 3))
    for row, drawn in enumerate(draw(50, 1, 0, 3)):
        w = drawn[clusters.index].astype(float)
        for y in (0, 1):
            for cell, (low, high) in enumerate(zip(edges, [*edges[1:], 2], strict=True)):
                inside = (labels == y) & (scores >= low) & (scores < high)
                assert sums.films[row, y, cell] == w[inside].sum()
                assert sums.scores[row, y, cell] == pytest.approx((w * scores)[inside].sum())


def test_regressions_without_an_optimum_are_undefined():
    films_ = np.ones((2, 4))
    positives = np.array([[0, 0, 1.0, 1], [0, 1.0, 0, 1]])
    design = np.stack([np.ones(4), np.arange(4.0)], axis=1)
    found = logistic_fits(films_, positives, design, np.zeros(4), np.zeros(2))
    expected = sm.Logit(positives[1], design).fit(disp=0).params
    assert np.isnan(found[0]).all()
    assert found[1] == pytest.approx(expected, abs=1e-6)
