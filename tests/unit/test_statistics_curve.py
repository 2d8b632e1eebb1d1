"""What is read off the ROC curve in every replicate, against scikit-learn, definitions and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipelines.errors import EvaluationError
from pipelines.statistics.accuracy.curve import sample_curve
from pipelines.statistics.resampling import Clusters, Plan, draw

TARGETS = (0.95, 0.5, 0.9, 1.0)


def films(seed, n=120, patients=40, decimals=1):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.3
    return labels, np.round(rng.normal(size=n) + labels, decimals), rng.integers(0, patients, n)


def by_definition(labels, scores, kind, target):
    """The threshold by trying all scores: largest reaching the sensitivity, smallest reaching the specificity."""
    good = []
    for t in np.unique(scores):
        sensitivity, specificity = (scores[labels] >= t).mean(), (scores[~labels] < t).mean()
        if (sensitivity if kind == "sensitivity" else specificity) >= target - 1e-12:
            good.append((t, sensitivity, specificity))
    if not good:
        return np.nan, 0.0, 1.0  # flag nothing
    return max(good) if kind == "sensitivity" else min(good)


def read(labels, scores, patient, replicates=40, **more):
    clusters = Clusters.of(patient, len(labels))
    given = {"sensitivities": TARGETS, "specificities": TARGETS} | more
    return clusters, sample_curve(labels, scores, clusters=clusters, plan=Plan(replicates, 5), **given)


@pytest.mark.parametrize("seed", range(4))
def test_every_replicate_is_what_scikit_learn_and_the_definitions_say(seed):
    labels, scores, patient = films(seed)
    thresholds = (0.3, -9.0, 99.0, 0.35)
    clusters, curve = read(labels, scores, patient, thresholds=thresholds, band=(0.8, 1.0))
    weights = draw(clusters.count, 5, 0, 40)[:, clusters.index]
    for b, times in enumerate(weights):
        y, s = np.repeat(labels, times), np.repeat(scores, times)
        assert curve.auroc().replicates[b, 0] == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        assert curve.partial().replicates[b, 2] == pytest.approx(roc_auc_score(~y, -s, max_fpr=0.2), abs=1e-12)
        for i, target in enumerate(TARGETS):
            for kind in ("sensitivity", "specificity"):
                found = getattr(curve, f"at_{kind}")(i).replicates[b]
                assert found == pytest.approx(by_definition(y, s, kind, target), nan_ok=True, abs=1e-12)
        for i, t in enumerate(thresholds):
            flag = s >= t
            tp, fp = (y & flag).sum(), (~y & flag).sum()
            with np.errstate(all="ignore"):
                se, sp = np.float64(tp) / y.sum(), 1 - np.float64(fp) / (~y).sum()
                expected = [
                    se, sp, np.float64(tp) / flag.sum(), (~y & ~flag).sum() / np.float64((~flag).sum()),
                    se / (1 - sp), (1 - se) / sp, flag.mean(),
                ]  # fmt: skip
            assert curve.rates(i).replicates[b] == pytest.approx(expected, nan_ok=True, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=25),
    st.floats(0.05, 1.0),
    st.floats(0, 0.9),
)
def test_points_on_hostile_little_tables(table, target, bottom):
    labels, scores = np.array([row[0] for row in table]), np.array([row[1] for row in table], dtype=float)
    _, curve = read(
        labels, scores, None, 4, sensitivities=(target,), specificities=(target,), thresholds=(2,), band=(bottom, 1.0)
    )
    both = 0 < labels.sum() < len(labels)
    assert np.isnan(curve.auroc().point[0]) != both
    if both:
        assert curve.auroc().point[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        index = roc_auc_score(~labels, -scores, max_fpr=1 - bottom)
        if bottom > 0:
            assert curve.partial().point[2] == pytest.approx(index, abs=1e-9)
        else:
            assert curve.partial().point[0] == pytest.approx(index, abs=1e-9)
        for kind in ("sensitivity", "specificity"):
            found = getattr(curve, f"at_{kind}")(0).point
            assert found == pytest.approx(by_definition(labels, scores, kind, target), nan_ok=True)
        assert 0 <= curve.partial().point[1] <= 1
    assert curve.rates(0).point[6] == pytest.approx((scores >= 2).mean())


def test_spread_agrees_with_a_loop_of_resampling():
    labels, scores, patient = films(11, n=600, patients=150, decimals=3)
    clusters, curve = read(labels, scores, patient, 3000)
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(clusters.index == c) for c in range(clusters.count)]
    loop = []
    for _ in range(500):
        rows = np.concatenate([members[c] for c in rng.integers(0, clusters.count, clusters.count)])
        y, s = labels[rows], scores[rows]
        at = by_definition(y, s, "sensitivity", 0.9)
        loop.append((roc_auc_score(y, s), roc_auc_score(~y, -s, max_fpr=0.1), at[0], at[2]))
    ours = np.column_stack(
        [curve.auroc().replicates, curve.partial().replicates[:, 2], curve.at_sensitivity(2).replicates[:, [0, 2]]]
    )
    # Standard errors of 3,000 and 500 draws differ by about 3.4 % by chance.
    assert ours.std(axis=0) == pytest.approx(np.std(loop, axis=0), rel=0.12)
    assert ours.mean(axis=0) == pytest.approx(np.mean(loop, axis=0), abs=0.2 * np.std(loop, axis=0).min())


def test_spread_of_auroc_is_obuchowskis_clustered_variance():
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(250), rng.integers(1, 7, 250))
    labels = rng.random(len(patient)) < np.where(rng.random(250) < 0.5, 0.1, 0.6)[patient]
    scores = rng.normal(size=250)[patient] + rng.normal(size=len(patient)) + labels
    positive, negative = scores[labels], scores[~labels]
    v10 = np.array([(negative < x).mean() for x in positive])
    v01 = np.array([(positive > x).mean() for x in negative])
    theta, m, n, k = v10.mean(), len(positive), len(negative), 250
    # Obuchowski, Biometrics 53 (1997) 567: sums of placement values per patient, and their covariance.
    x = np.bincount(patient[labels], v10 - theta, minlength=k)
    y = np.bincount(patient[~labels], v01 - theta, minlength=k)
    k10, k01 = (len(np.unique(patient[part])) for part in (labels, ~labels))
    s10, s01 = k10 / ((k10 - 1) * m) * (x @ x), k01 / ((k01 - 1) * n) * (y @ y)
    variance = s10 / m + s01 / n + 2 * (k / (k - 1)) * (x @ y) / (m * n)
    _, curve = read(labels, scores, patient, 6000)
    assert curve.auroc().replicates.std() == pytest.approx(np.sqrt(variance), rel=0.06)
    _, alone = read(labels, scores, None, 6000)
    assert alone.auroc().replicates.std() < 0.85 * np.sqrt(variance)


@pytest.mark.parametrize(
    "wrong",
    [{"sensitivities": (0.0,)}, {"specificities": (1.2,)}, {"thresholds": (np.inf,)}, {"band": (0.9, 0.9)}],
)
def test_wrong_questions_are_refused(wrong):
    labels, scores, patient = films(0)
    with pytest.raises(EvaluationError, match=r"target|threshold|band"):
        read(labels, scores, patient, **wrong)


def test_patients_of_other_films_are_refused():
    with pytest.raises(EvaluationError, match="one patient per film"):
        sample_curve([1, 0], [0.1, 0.2], clusters=Clusters.of(None, 3), plan=Plan(5))


def test_no_films_is_no_crash():
    curve = sample_curve([], [], clusters=Clusters.of(None, 0), plan=Plan(5), thresholds=(0.5,), sensitivities=(0.9,))
    assert np.isnan(curve.auroc().point).all()
    assert np.isnan(curve.rates(0).point).all()
