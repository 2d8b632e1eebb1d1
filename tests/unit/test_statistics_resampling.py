"""The bootstrap over patients against scipy's, closed forms and its own promises."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from pipelines.errors import EvaluationError
from pipelines.statistics import resampling
from pipelines.statistics.resampling import JACKKNIFE_GROUPS, Clusters, Plan, Sample, acceleration, draw, resample

SKEWED = np.random.default_rng(5).exponential(size=120)


def mean_of(values):
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, None]


@pytest.mark.parametrize("kind", ["percentile", "bca"])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_agree_with_scipy(kind, level):
    ours = resample(mean_of(SKEWED), 120, Plan(40_000, 3, kind)).estimate(
        0, level=level, n=120, method="mean", bounds=(0, np.inf)
    )
    theirs = stats.bootstrap(
        (SKEWED,), np.mean, n_resamples=40_000, confidence_level=level, rng=8, batch=5000,
        method="BCa" if kind == "bca" else "percentile",
    )  # fmt: skip
    # A 2.5 % quantile of 40,000 draws has a Monte Carlo error of about 0.013 standard errors; 5 of them, twice.
    tolerance = 0.09 * theirs.standard_error
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=tolerance)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=tolerance)
    assert ("BCa" in ours.method) == (kind == "bca")
    assert "40,000 replicates" in ours.method


def test_bca_differs_from_percentile_by_more_than_that_tolerance():
    sample = resample(mean_of(SKEWED), 120, Plan(40_000, 3))
    other = Sample(sample.point, sample.replicates, sample.jackknife, Plan(40_000, 3, "percentile"))
    bca, plain = (s.estimate(0, level=0.95, n=120, method="mean", bounds=(0, 9)) for s in (sample, other))
    assert bca.high - plain.high > 0.18 * sample.replicates.std()


def test_standard_error_of_a_clustered_mean():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 8, 300)
    patient = np.repeat(np.arange(300), sizes)
    x = np.repeat(rng.normal(size=300), sizes) + rng.normal(size=sizes.sum()) / 2
    clusters = Clusters.of(patient, len(x))

    def ratio(weights):
        films = weights[:, clusters.index].astype(float)
        return (films @ x / films.sum(axis=1))[:, None]

    sample = resample(ratio, clusters.count, Plan(8000, 1))
    residuals = np.bincount(patient, x - x.mean())
    linearised = np.sqrt((residuals**2).sum()) / len(x)  # of a ratio estimator; Cochran, Sampling Techniques, 6.4
    assert sample.replicates.std() == pytest.approx(linearised, rel=0.04)
    alone = resample(mean_of(x), len(x), Plan(8000, 1)).replicates.std()
    assert alone == pytest.approx(x.std() / np.sqrt(len(x)), rel=0.04)
    assert sample.replicates.std() > 1.8 * alone


@pytest.mark.parametrize("count", [2, 50, 3000])
def test_draws_have_the_multinomial_moments(count):
    weights = draw(count, 4, 0, 4000).astype(float)
    assert (weights.sum(axis=1) == count).all()
    each = weights.mean(axis=0)
    assert np.abs(each - 1).max() < 5 * np.sqrt((1 - 1 / count) / 4000)
    assert weights.var() == pytest.approx(1 - 1 / count, rel=0.03)
    if count == 50:
        counts = np.bincount(weights.astype(int).ravel(), minlength=8)[:6] / weights.size
        assert counts == pytest.approx(stats.binom.pmf(range(6), 50, 1 / 50), abs=0.004)
        assert np.corrcoef(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-1 / 49, abs=0.06)
        assert np.corrcoef(weights[:-1, 0], weights[1:, 0])[0, 1] == pytest.approx(0, abs=0.06)


def test_draws_do_not_depend_on_blocks_or_statistic(monkeypatch):
    whole = resample(mean_of(SKEWED), 120, Plan(300, 2))
    monkeypatch.setattr(resampling, "BLOCK_BYTES", 700)
    shapes = []

    def two(weights):
        shapes.append(weights.shape)
        return np.concatenate([mean_of(SKEWED)(weights), mean_of(-SKEWED)(weights)], axis=1)

    parts = resample(two, 120, Plan(300, 2))
    assert max(rows * count for rows, count in shapes) <= 700
    assert np.allclose(parts.replicates[:, 0], whole.replicates[:, 0], rtol=1e-14, atol=0)
    assert np.allclose(parts.jackknife[:, 0], whole.jackknife[:, 0], rtol=1e-14, atol=0)
    assert not np.allclose(resample(two, 120, Plan(300, 3)).replicates[:, 0], whole.replicates[:, 0])


def test_draws_do_not_depend_on_threads():
    code = "from pipelines.statistics.resampling import draw; print(draw(999, 7, 3, 50)[:, ::37].tolist())"
    outs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"NUMBA_NUM_THREADS": n, "PATH": ""}, check=True, capture_output=True
        ).stdout
        for n in ("1", "2")
    ]
    assert outs[0] == outs[1]
    assert outs[0].strip().decode() == str(draw(999, 7, 3, 50)[:, ::37].tolist())


def test_jackknife_leaves_out_each_patient_once():
    found = resample(mean_of(SKEWED), 120, Plan(2)).jackknife[:, 0]
    assert found == pytest.approx([np.delete(SKEWED, i).mean() for i in range(120)], abs=1e-12)
    rows = np.concatenate(list(resampling._left_out(5003, 1, 64)))
    assert rows.shape == (JACKKNIFE_GROUPS, 5003)
    assert ((rows == 0).sum(axis=0) == 1).all()
    assert set((rows == 0).sum(axis=1)) == {10, 11}


def test_acceleration_of_groups_is_that_of_patients():
    values = np.random.default_rng(0).exponential(size=200_000)
    grouped = acceleration(resample(mean_of(values), len(values), Plan(2)).jackknife[:, 0])
    assert acceleration((values.sum() - values) / (len(values) - 1)) == pytest.approx(
        stats.skew(values) / 6 / np.sqrt(len(values)), rel=1e-6
    )
    # Over groups the skewness itself is estimated from 500 values: its standard error is sqrt(6 / 500) / 6 / sqrt(500).
    error = np.sqrt(6 / 500) / 6 / np.sqrt(500)
    assert grouped == pytest.approx(stats.skew(values) / 6 / np.sqrt(len(values)), abs=4 * error)


def test_clusters_number_patients_and_keep_them():
    found = Clusters.of(["b", ("a", 1), "b", None, float("nan"), ("a", 1)], 6)
    assert found.index.tolist() == [0, 1, 0, 2, 3, 1]
    assert (found.count, found.repeated, found.present) == (4, True, 4)
    part = found.take(np.array([False, True, True, False, True, False]))
    assert (part.index.tolist(), part.count, part.repeated, part.present) == ([1, 0, 3], 4, False, 3)
    assert found.take([0, 2]).repeated
    alone = Clusters.of(None, 3)
    assert (alone.index.tolist(), alone.count, alone.repeated) == ([0, 1, 2], 3, False)
    assert Clusters.of(np.array([7, 7, 3]), 3).index.tolist() == [0, 0, 1]
    assert Clusters.of([], 0).repeated is False
    with pytest.raises(EvaluationError, match="2 patients for 3 films"):
        Clusters.of([1, 2], 3)


def test_map_and_join_keep_draws_together():
    a, b = (resample(mean_of(v), 120, Plan(50, 2)) for v in (SKEWED, SKEWED**2))
    both = a.join(b)
    spread = both.map(lambda rows: (rows[:, 1] - rows[:, 0] ** 2)[:, None])
    assert spread.point[0] == pytest.approx(SKEWED.var())
    assert spread.replicates.shape == (50, 1)
    assert spread.jackknife.shape == (120, 1)


def test_degenerate_samples_have_named_answers():
    def made(point, drawn, kind="bca"):
        drawn = np.asarray(drawn, dtype=float)[:, None]
        sample = Sample(np.array([point]), drawn, np.array([[0.1], [0.2], [np.nan]]), Plan(len(drawn), 1, kind))
        return sample.estimate(0, level=0.95, n=9, method="m")

    undefined = made(np.nan, [0.1, 0.2])
    assert (undefined.value, undefined.why) == (None, "undefined on these films")
    equal = made(1.0, [1.0] * 8)
    assert (equal.value, equal.low) == (1.0, None)
    assert "all bootstrap replicates are equal" in equal.why
    few = made(0.5, [0.4, 0.6, np.nan, np.nan, np.inf])
    assert (few.low, few.why) == (None, "undefined in 3 of 5 bootstrap replicates")
    some = made(0.5, [0.4, 0.6, 0.5, np.nan])
    assert "1 undefined and left out" in some.method
    assert 0.4 <= some.low <= 0.5 <= some.high <= 0.6
    outside = made(0.9, np.linspace(0.1, 0.8, 50))
    assert outside.high == 0.9
    assert "lies outside its replicates" in outside.method
    assert "widened" in outside.method
    nobody = resample(lambda w: np.full((len(w), 1), np.nan), 0, Plan(5)).estimate(0, level=0.9, n=0, method="m")
    assert nobody.value is None
    one = resample(mean_of(SKEWED[:1]), 1, Plan(5)).estimate(0, level=0.9, n=1, method="m", bounds=(0, 9))
    assert (one.low, one.why) == (None, "all bootstrap replicates are equal")
    two = resample(mean_of(np.array([0.2, 0.8])), 2, Plan(500)).estimate(0, level=0.9, n=2, method="m")
    assert (two.low, two.high) == pytest.approx((0.2, 0.8))


@pytest.mark.parametrize("wrong", [{"replicates": 1}, {"seed": -1}, {"kind": "normal"}])
def test_wrong_plans_are_refused(wrong):
    with pytest.raises(EvaluationError, match=next(iter(wrong))):
        Plan(**wrong)
