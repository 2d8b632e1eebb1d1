"""Everything an evaluation says of 22,433 real films, against other libraries and brute force of the test's own."""

import math
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from dcurves import dca
from scipy import stats
from scipy.interpolate import CubicSpline
from sklearn import metrics
from statsmodels.stats.multitest import multipletests

from pipelines.assessment.assess import Source, assess_table, read_source
from pipelines.evaluation.options import Options

pytestmark = pytest.mark.realdata
FINDINGS = ("Nodule", "Mass")
THRESHOLD = 0.1
REPLICATES = 2000
PI = 0.1  # the local prevalence, and that of the reading room
BOTH = pytest.mark.parametrize("finding", FINDINGS)


@pytest.fixture(scope="module")
def run(real_data, tmp_path_factory):
    """The assessment as a user gets it, and the films as this test reads them."""
    entries = pd.read_csv(real_data / "nih_cxr14" / "Data_Entry_2017_v2020.csv.gz")
    named = entries["Finding Labels"].str.split("|")
    manifest = pd.DataFrame(
        {
            "image_id": "nih_cxr14/" + entries["Image Index"],
            "path": "images/" + entries["Image Index"],
            "dataset": "nih_cxr14",
            "patient_id": entries["Patient ID"].astype(str),
            "sex": entries["Patient Gender"],
            "age_years": entries["Patient Age"].astype(float),
            "view": entries["View Position"],
            "native_labels": named,
        }
    )
    scores = real_data / "predictions" / "chexnet_nih_test.csv.gz"
    source = Source(
        scores,
        "Image Index",
        {name: f"prob_{name}" for name in FINDINGS},
        dict.fromkeys(FINDINGS, THRESHOLD),
    )
    started = time.monotonic()
    table, thresholds = read_source(source)
    made = assess_table(
        table,
        manifest,
        tmp_path_factory.mktemp("evaluation"),
        thresholds=thresholds,
        options=Options(replicates=REPLICATES),
    )
    seconds = time.monotonic() - started
    films = pd.read_csv(scores)[["Image Index", *(f"prob_{name}" for name in FINDINGS)]]
    films = films.merge(entries, on="Image Index", validate="one_to_one")
    for name in FINDINGS:
        films[name] = films["Finding Labels"].str.split("|").map(lambda found, name=name: name in found)
    return SimpleNamespace(
        made=made,
        evaluation=made.evaluation,
        by_name={found.finding: found for found in made.evaluation.findings},
        proxies={found.finding: found for found in made.reading_time.findings},
        films=films,
        manifest=manifest,
        table=table,
        seconds=seconds,
    )


@pytest.fixture(scope="module")
def drawn(run):
    """A bootstrap of patients written anew: each number on the films, in replicates, without a patient."""
    patients = pd.factorize(run.films["Patient ID"])[0]
    count = patients.max() + 1
    rng = np.random.default_rng(20250)
    weights = [np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(REPLICATES)]
    found = {}
    for name in FINDINGS:
        y, s = run.films[name].to_numpy(), run.films[f"prob_{name}"].to_numpy()
        order = np.argsort(-s, kind="stable")
        y, s, who = y[order], s[order], patients[order]
        last = np.flatnonzero(np.r_[s[1:] != s[:-1], True])
        cut = np.searchsorted(-s[last], -THRESHOLD, side="right") - 1

        def one(w, y=y, who=who, last=last, cut=cut):
            films = w[who]
            tp, fp = np.cumsum(films * y)[last], np.cumsum(films * ~y)[last]
            p, n = tp[-1], fp[-1]
            area = np.trapezoid(np.r_[0, tp], np.r_[0, fp]) / (p * n)
            at = np.argmax(tp >= 0.9 * p - 1e-9)
            sensitivity, specificity = tp[cut] / p, 1 - fp[cut] / n
            ppv, local = tp[cut] / (tp[cut] + fp[cut]), sensitivity * PI / (sensitivity * PI + fp[cut] / n * (1 - PI))
            return area, sensitivity, specificity, ppv, tp[cut] / p / (fp[cut] / n), 1 - fp[at] / n, p / (p + n), local

        whole = np.ones(count, dtype=np.int64)
        without = []
        for patient in rng.permutation(count)[:2000]:  # a third of the patients: the skewness of all
            whole[patient] = 0
            without.append(one(whole))
            whole[patient] = 1
        found[name] = np.array(one(whole)), np.array([one(w) for w in weights]), np.array(without), count
    return found


def truth_and_scores(run, finding):
    return run.films[finding].to_numpy(), run.films[f"prob_{finding}"].to_numpy()


def test_the_whole_assessment_takes_less_than_a_minute(run):
    # Reading the score file, joining, both findings with 2,000 replicates of patients, reading-time proxies with
    # their simulation, and writing the folder; reading the label file is the test's own work and is not counted.
    assert run.evaluation.replicates == REPLICATES
    assert [found.intervals for found in run.evaluation.findings] == ["bca", "bca"]
    assert run.seconds < 60


def test_films_and_cohort(run):
    films, cohort = run.evaluation.films, run.evaluation.cohort
    assert (films.in_predictions, films.joined, films.in_manifest) == (22433, 22433, 112120)
    assert films.patients == run.films["Patient ID"].nunique()
    assert cohort.sexes == run.films["Patient Gender"].value_counts().to_dict()
    assert cohort.views == run.films["View Position"].value_counts().to_dict()
    age = run.films["Patient Age"]
    assert cohort.age_years == (age.median(), age.min(), age.max())
    for found in run.evaluation.findings:
        y, s = truth_and_scores(run, found.finding)
        assert (found.positives, found.negatives) == (y.sum(), (~y).sum())
        assert found.patients_positive == run.films["Patient ID"][y].nunique()
        assert found.prevalence.value == pytest.approx(y.mean(), abs=1e-15)
        for side, part in (("positive", y), ("negative", ~y)):
            counted = np.histogram(s[part], found.histogram.edges)[0]
            assert list(getattr(found.histogram, side)) == list(counted)


@pytest.mark.parametrize(("finding", "published"), [("Nodule", 0.7755751107), ("Mass", 0.8376837532)])
def test_areas(run, finding, published):
    y, s = truth_and_scores(run, finding)
    found = run.by_name[finding]
    assert found.auroc.value == pytest.approx(published, abs=5e-11)
    # The classes exchanged and the scores reversed, scikit-learn's partial area is that over high sensitivities.
    index = metrics.roc_auc_score(~y, -s, max_fpr=0.1)
    assert found.partial_auroc.standardised.value == pytest.approx(index, abs=1e-12)
    least, most = 0.1**2 / 2, 0.1
    area = least + (2 * index - 1) * (most - least)
    assert found.partial_auroc.area.value == pytest.approx(area, abs=1e-12)
    assert found.partial_auroc.mean_specificity.value == pytest.approx(area / 0.1, abs=1e-11)
    thresholds, x, height = found.roc.thresholds, found.roc.false_positive_rate, found.roc.true_positive_rate
    for threshold, fpr, tpr in zip(thresholds[1:], x[1:], height[1:], strict=True):
        assert (fpr, tpr) == pytest.approx(((s[~y] >= threshold).mean(), (s[y] >= threshold).mean()), abs=1e-14)
    assert np.trapezoid(height, x) == pytest.approx(published, abs=5e-4)  # of a curve thinned to 500 points


@BOTH
def test_fixed_sensitivity_and_specificity(run, finding):
    y, s = truth_and_scores(run, finding)
    positive, negative = np.sort(s[y]), np.sort(s[~y])
    found = run.by_name[finding]
    assert [each.target for each in found.at_sensitivity] == [0.9, 0.95, 0.98]
    for each in found.at_sensitivity:
        threshold = next(t for t in positive[::-1] if (positive >= t).mean() >= each.target)
        assert each.threshold.value == threshold
        assert each.specificity.value == pytest.approx((negative < threshold).mean(), abs=1e-14)
        assert each.sensitivity.value == pytest.approx((positive >= threshold).mean(), abs=1e-14)
    for each in found.at_specificity:
        every = np.unique(s)
        shares = np.searchsorted(negative, every, side="left") / len(negative)
        threshold = every[np.argmax(shares >= each.target)]
        assert each.threshold.value == threshold
        assert each.sensitivity.value == pytest.approx((positive >= threshold).mean(), abs=1e-14)
        assert each.specificity.n == len(negative)


@BOTH
def test_rates_at_a_threshold(run, finding):
    y, s = truth_and_scores(run, finding)
    flag, point = s >= THRESHOLD, run.by_name[finding].operating_point
    tn, fp, fn, tp = metrics.confusion_matrix(y, flag).ravel()
    counts = point.counts
    assert (counts.true_negative, counts.false_positive) == (tn, fp)
    assert (counts.false_negative, counts.true_positive) == (fn, tp)
    plus, minus = metrics.class_likelihood_ratios(y, flag)
    se, sp = metrics.recall_score(y, flag), metrics.recall_score(~y, ~flag)
    expected = {
        "sensitivity": (se, tp + fn),
        "specificity": (sp, tn + fp),
        "ppv": (metrics.precision_score(y, flag), tp + fp),
        "npv": (metrics.precision_score(~y, ~flag), tn + fn),
        "lr_positive": (plus, len(y)),
        "lr_negative": (minus, len(y)),
        "flagged": (flag.mean(), len(y)),
    }
    for name, (value, n) in expected.items():
        estimate = getattr(point, name)
        assert (estimate.value, estimate.n) == (pytest.approx(value, abs=1e-12), n)
    odds = PI / (1 - PI)
    assert point.local.ppv.value == pytest.approx(odds * plus / (1 + odds * plus), abs=1e-12)
    assert point.local.npv.value == pytest.approx(1 / (1 + odds * minus), abs=1e-12)
    assert point.who.verdict == "not_met"
    assert point.sensitivity.high < 0.9
    read = point.intention_to_read
    assert (read.without_score, read.counts, read.sensitivity) == (0, counts, point.sensitivity)
    ill, well = 1e5 * PI, 1e5 * (1 - PI)
    programme, referred = point.programme, ill * se + well * (1 - sp)
    arithmetic = {
        "referred_per_100000": referred,
        "tests_avoided_per_100000": 1e5 - referred,
        "tests_avoided_share": 1 - referred / 1e5,
        "tests_per_case": referred / (ill * se),
        "cases_found_per_100000": ill * se,
        "missed_per_100000": ill * (1 - se),
    }
    for name, value in arithmetic.items():
        assert getattr(programme, name).value == pytest.approx(value, rel=1e-12)
    assert programme.cost_per_case.why == "no costs were given"


@BOTH
def test_table_of_thresholds(run, finding):
    y, s = truth_and_scores(run, finding)
    table = run.by_name[finding].thresholds
    assert THRESHOLD in table.thresholds
    at = np.array(table.thresholds)[:, None]
    tp, fp = (s[y] >= at).sum(axis=1), (s[~y] >= at).sum(axis=1)
    assert (list(table.true_positive), list(table.false_positive)) == (list(tp), list(fp))
    assert list(table.sensitivity.value) == pytest.approx(list(tp / y.sum()), abs=1e-14)
    assert list(table.specificity.value) == pytest.approx(list(1 - fp / (~y).sum()), abs=1e-14)
    assert list(table.flagged.value) == pytest.approx(list((tp + fp) / len(y)), abs=1e-14)
    place = table.thresholds.index(THRESHOLD)
    point = run.by_name[finding].operating_point
    assert (table.sensitivity.low[place], table.sensitivity.high[place]) == (
        point.sensitivity.low,
        point.sensitivity.high,
    )


@BOTH
def test_intervals_against_a_bootstrap_of_the_tests_own(run, drawn, finding):
    found, (point, replicates, without, count) = run.by_name[finding], drawn[finding]
    rates = found.operating_point
    compared = [found.auroc, rates.sensitivity, rates.specificity, rates.ppv, rates.lr_positive]
    compared += [found.at_sensitivity[0].specificity, found.prevalence, rates.local.ppv]
    z = stats.norm.ppf([0.025, 0.975])
    for j, estimate in enumerate(compared):
        assert estimate.value == pytest.approx(point[j], abs=1e-12)
        assert "BCa bootstrap of patients, 2,000 replicates" in estimate.method
        column = replicates[:, j]
        bias = stats.norm.ppf((column < point[j]).mean() + (column == point[j]).mean() / 2)
        # The jackknife of a third of the patients: sums over all are three times as large.
        away = without[:, j].mean() - without[:, j]
        share = len(without) / count
        skew = (away**3).sum() / share / (6 * ((away**2).sum() / share) ** 1.5)
        tails = stats.norm.cdf(bias + (bias + z) / (1 - skew * (bias + z)))
        low, high = np.quantile(column, tails)
        # Two bootstraps of 2,000: a bound has a standard error of some 0.1 standard deviations of the statistic.
        room = 0.4 * column.std()
        assert estimate.low == pytest.approx(low, abs=room), estimate.method
        assert estimate.high == pytest.approx(high, abs=room), estimate.method


@BOTH
def test_auroc_interval_against_the_variance_of_clustered_placements(run, drawn, finding):
    # Obuchowski, Biometrics 53 (1997) 567: placement values summed over each patient.
    y, s = truth_and_scores(run, finding)
    who = pd.factorize(run.films["Patient ID"])[0]
    p, n, area = y.sum(), (~y).sum(), metrics.roc_auc_score(y, s)
    falling = np.sort(s[~y])
    rising = np.sort(s[y])
    placed = np.empty(len(y))
    placed[y] = (np.searchsorted(falling, s[y], "left") + np.searchsorted(falling, s[y], "right")) / (2 * n)
    placed[~y] = 1 - (np.searchsorted(rising, s[~y], "left") + np.searchsorted(rising, s[~y], "right")) / (2 * p)
    away = placed - area
    ill, well = (np.bincount(who, away * part, minlength=who.max() + 1) for part in (y, ~y))
    clusters = who.max() + 1
    with_ill, with_well = len(np.unique(who[y])), len(np.unique(who[~y]))
    variance = with_ill / (with_ill - 1) * (ill**2).sum() / p**2
    variance += with_well / (with_well - 1) * (well**2).sum() / n**2
    variance += 2 * clusters / (clusters - 1) * (ill * well).sum() / (p * n)
    assert drawn[finding][1][:, 0].std() == pytest.approx(math.sqrt(variance), rel=0.06)
    auroc = run.by_name[finding].auroc
    assert (auroc.high - auroc.low) / (2 * stats.norm.ppf(0.975)) == pytest.approx(math.sqrt(variance), rel=0.08)


def own_bins(s, starts):
    return np.searchsorted(starts, s, side="right") - 1


def restricted(logit, knots):
    """Natural cubic splines through the knots, straight beyond them: the space of a restricted cubic spline."""
    columns = []
    for unit in np.eye(len(knots)):
        line = CubicSpline(knots, unit, bc_type="natural")
        inside = line(np.clip(logit, knots[0], knots[-1]))
        before, after = np.minimum(logit - knots[0], 0), np.maximum(logit - knots[-1], 0)
        columns.append(inside + line(knots[0], 1) * before + line(knots[-1], 1) * after)
    return np.stack(columns, axis=1)


@BOTH
def test_calibration(run, finding):
    y, s = truth_and_scores(run, finding)
    found, n = run.by_name[finding].calibration, len(y)
    starts = np.unique(np.sort(s)[np.arange(10) * n // 10])
    frame = pd.DataFrame({"bin": own_bins(s, starts), "y": y, "s": s}).groupby("bin")
    bins = frame.agg(n=("y", "size"), k=("y", "sum"), o=("y", "mean"), m=("s", "mean"), low=("s", "min"))
    assert [(b.n, b.positives, b.low) for b in found.bins] == list(zip(bins.n, bins.k, bins.low, strict=True))
    assert [b.observed.value for b in found.bins] == pytest.approx(list(bins.o))
    assert [b.mean_score for b in found.bins] == pytest.approx(list(bins.m))
    share, prevalence = bins.n / n, y.mean()
    wide = pd.DataFrame({"bin": np.ceil(s * 10).clip(1), "y": y, "s": s}).groupby("bin")
    gaps = wide.size() / n * (wide["y"].mean() - wide["s"].mean()).abs()
    brier, flat = metrics.brier_score_loss(y, s), prevalence * (1 - prevalence)
    reliability = (share * (bins.m - bins.o) ** 2).sum()
    resolution = (share * (bins.o - prevalence) ** 2).sum()
    logit = np.log(s / (1 - s))
    in_the_large = sm.GLM(y, np.ones(n), family=sm.families.Binomial(), offset=logit).fit()
    slope = sm.Logit(y, sm.add_constant(logit)).fit(disp=0)
    excess = (y - s) * (1 - 2 * s)
    expected = {
        "ece": (share * (bins.m - bins.o).abs()).sum(),
        "ece_equal_width": gaps.sum(),
        "ece_by_chance": np.sqrt(frame["s"].apply(lambda x: (x * (1 - x)).sum()) * 2 / np.pi).sum() / n,
        "brier": brier,
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": flat,
        "remainder": brier - reliability + resolution - flat,
        "scaled_brier": 1 - brier / flat,
        "observed_expected": y.sum() / s.sum(),
        "spiegelhalter_z": excess.sum() / math.sqrt(((1 - 2 * s) ** 2 * s * (1 - s)).sum()),
        "spiegelhalter_p": 2
        * stats.norm.sf(abs(excess.sum()) / math.sqrt((np.bincount(run.films["Patient ID"], excess) ** 2).sum())),
        "intercept": in_the_large.params[0],
        "slope": slope.params[1],
    }
    for name, value in expected.items():
        assert getattr(found, name).value == pytest.approx(value, rel=1e-6, abs=1e-9), name
    # Intervals of patients, not of films: statsmodels' sandwich over patients, in the middle of the distribution.
    robust = sm.Logit(y, sm.add_constant(logit)).fit(
        disp=0, cov_type="cluster", cov_kwds={"groups": run.films["Patient ID"].to_numpy()}
    )
    width = found.slope.high - found.slope.low
    assert width == pytest.approx(2 * stats.norm.ppf(0.975) * robust.bse[1], rel=0.1)
    knots = np.quantile(logit, (0.05, 0.35, 0.65, 0.95))
    at = np.log(np.array(found.smooth.score) / (1 - np.array(found.smooth.score)))
    fitted = sm.GLM(y, restricted(logit, knots), family=sm.families.Binomial()).fit()
    # The curve is fitted on cells of nearly equal scores.
    assert np.array(found.smooth.share) == pytest.approx(fitted.predict(restricted(at, knots)), abs=2e-3)


@BOTH
def test_calibration_at_another_prevalence(run, finding):
    y, s = truth_and_scores(run, finding)
    found, prevalence = run.by_name[finding].calibration_at_prevalence, y.mean()
    assert (found.from_prevalence, found.to_prevalence) == (pytest.approx(prevalence), PI)
    weight = np.where(y, PI / prevalence, (1 - PI) / (1 - prevalence))
    odds = s / (1 - s) * (PI / (1 - PI)) / (prevalence / (1 - prevalence))
    for part, score in ((found.before, s), (found.after, odds / (1 + odds))):
        logit = np.log(score / (1 - score))
        family = sm.families.Binomial()
        large = sm.GLM(y, np.ones(len(y)), family=family, offset=logit, freq_weights=weight).fit()
        slope = sm.GLM(y, sm.add_constant(logit), family=family, freq_weights=weight).fit()
        assert part.brier.value == pytest.approx(metrics.brier_score_loss(y, score, sample_weight=weight), rel=1e-9)
        assert part.observed_expected.value == pytest.approx((weight * y).sum() / (weight * score).sum(), rel=1e-9)
        assert part.intercept.value == pytest.approx(large.params[0], rel=1e-6)
        assert part.slope.value == pytest.approx(slope.params[1], rel=1e-6)
        frame = pd.DataFrame({"w": weight, "wy": weight * y, "ws": weight * score})
        bins = frame.groupby(own_bins(score, np.array([b.low for b in part.bins]))).sum()
        assert part.ece.value == pytest.approx((bins.wy - bins.ws).abs().sum() / len(y), rel=1e-9)


@BOTH
def test_decision_curve(run, finding):
    y, s = truth_and_scores(run, finding)
    curve = run.by_name[finding].decision_curve
    thresholds = np.array([point.threshold for point in curve.points])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = dca(pd.DataFrame({"y": y.astype(int), "s": s}), "y", ["s"], thresholds=thresholds)
    system, everyone = (frame[frame.model == name].sort_values("threshold") for name in ("s", "all"))
    assert [point.net_benefit.value for point in curve.points] == pytest.approx(list(system.net_benefit), abs=1e-9)
    assert [point.treat_all.value for point in curve.points] == pytest.approx(list(everyone.net_benefit), abs=1e-9)
    best = np.maximum(everyone.net_benefit.to_numpy(), 0)
    gained = system.net_benefit.to_numpy() - best
    assert [point.over_best_default.value for point in curve.points] == pytest.approx(list(gained), abs=1e-9)
    for point in curve.points:
        assert point.flagged.value == pytest.approx((s >= point.threshold).mean(), abs=1e-12)
        assert point.standardised.value == pytest.approx(point.net_benefit.value / y.mean(), abs=1e-12)
        avoided = 100 * (point.net_benefit.value - point.treat_all.value) * (1 - point.threshold) / point.threshold
        assert point.avoided_per_100.value == pytest.approx(avoided, rel=1e-6, abs=1e-9)
    ranked = np.sort(s)
    assert curve.low == pytest.approx(ranked[4], abs=1e-12)
    assert curve.high == ranked[-5]


@BOTH
def test_subgroups(run, finding):
    y, s = truth_and_scores(run, finding)
    flag, age = s >= THRESHOLD, run.films["Patient Age"]
    bands = pd.cut(age, [0, 15, 25, 35, 45, 55, 65, 200], right=False).cat.codes
    names = np.array(["<15", "15–24", "25–34", "35–44", "45–54", "55–64", "65+"])
    cells = {"sex": run.films["Patient Gender"], "view": run.films["View Position"], "age_years": names[bands]}
    columns = {part.column: part for part in run.by_name[finding].subgroups}
    for name, values in cells.items():
        masks = {group.name: np.asarray(values == group.name) for group in columns[name].groups}
        assert sum(mask.sum() for mask in masks.values()) == len(y)
        for group in columns[name].groups:
            expected = values_of(y, s, flag, masks[group.name])
            assert group.patients == run.films["Patient ID"][masks[group.name]].nunique()
            for metric, value in expected.items():
                estimate = group.metric(metric)
                if estimate.value is None:
                    assert estimate.why.startswith("fewer than 10")
                else:
                    assert estimate.value == pytest.approx(value, abs=1e-12)
        for gap in columns[name].gaps:
            if gap.difference.value is not None:
                mask = masks[gap.group]
                inside, outside = (values_of(y, s, flag, part)[gap.metric] for part in (mask, ~mask))
                assert gap.difference.value == pytest.approx(inside - outside, abs=1e-12)
    gaps = [gap for part in columns.values() for gap in part.gaps if gap.p_value is not None]
    held = multipletests([gap.p_value for gap in gaps], method="holm")[1]
    assert [gap.p_adjusted for gap in gaps] == pytest.approx(list(held), abs=1e-12)
    # Two sexes, one pair: bounds are those of a t interval whose error is the spread of the difference.
    sexes = next(gap for gap in columns["sex"].gaps if gap.metric == "specificity").difference
    error = cluster_error(run.films["Patient ID"], ~y & ~flag, ~y, cells["sex"] == "F")
    assert (sexes.high - sexes.low) / 2 == pytest.approx(stats.norm.ppf(0.975) * error, rel=0.06)


def values_of(y, s, flag, mask):
    y, s, flag = y[mask], s[mask], flag[mask]
    mixed = 0 < y.sum() < len(y)
    return {
        "auroc": metrics.roc_auc_score(y, s) if mixed else math.nan,
        "sensitivity": metrics.recall_score(y, flag, zero_division=np.nan),
        "specificity": metrics.recall_score(~y, ~flag, zero_division=np.nan),
        "ppv": metrics.precision_score(y, flag, zero_division=np.nan),
        "npv": metrics.precision_score(~y, ~flag, zero_division=np.nan),
        "flagged": flag.mean(),
        "observed_expected": y.sum() / s.sum(),
    }


def cluster_error(patients, hits, films, group):
    """Standard error of a difference of two shares, by linearisation over patients."""
    who = pd.factorize(patients)[0]
    influence = np.zeros(who.max() + 1)
    for sign, side in ((1, np.asarray(group)), (-1, ~np.asarray(group))):
        part = films & side
        away = hits[part] - hits[part].mean()
        influence += sign * np.bincount(who[part], away, minlength=len(influence)) / part.sum()
    return math.sqrt((influence**2).sum())


@BOTH
def test_waiting_times_in_closed_form(run, finding):
    found = run.proxies[finding]
    counts = run.by_name[finding].operating_point.counts
    se = counts.true_positive / (counts.true_positive + counts.false_negative)
    sp = counts.true_negative / (counts.true_negative + counts.false_positive)
    rho, mean = 0.8, 10.0
    share = PI * se + (1 - PI) * (1 - sp)
    first = rho * share * mean / (1 - rho * share)
    second = mean / (1 - rho * share) + rho * mean / ((1 - rho * share) * (1 - rho)) - mean
    ill, well = se * first + (1 - se) * second, (1 - sp) * first + sp * second
    expected = {"flagged": first, "unflagged": second, "missed": second, "diseased": ill, "nondiseased": well}
    theory, simulated = found.theory, found.simulation
    assert theory.exact
    for name, wait in (expected | {"all": PI * ill + (1 - PI) * well}).items():
        assert getattr(theory.fifo.waiting_minutes, name).value == pytest.approx(rho * mean / (1 - rho), rel=1e-9)
        assert getattr(theory.ai.waiting_minutes, name).value == pytest.approx(wait, rel=1e-9)
        gained = getattr(theory.difference.waiting_minutes, name).value
        assert gained == pytest.approx(wait - rho * mean / (1 - rho), abs=1e-9)
        again = getattr(simulated.ai.waiting_minutes, name)
        assert again.value == pytest.approx(wait, rel=0.06)
    screening = found.screening
    assert screening.ppv.value == pytest.approx(PI * se / share, rel=1e-12)
    assert screening.npv.value == pytest.approx((1 - PI) * sp / (1 - share), rel=1e-12)
    assert screening.unflagged_share.value == pytest.approx(1 - share, rel=1e-12)
    assert screening.missed_per_10000.value == pytest.approx(1e4 * PI * (1 - se), rel=1e-12)
    effort = found.effort
    spent = (
        share * effort.settings.ai_positive_seconds.with_ai,
        (1 - share) * effort.settings.ai_negative_seconds.with_ai,
    )
    assert effort.minutes_per_1000.with_ai.value == pytest.approx(sum(spent) * 1000 / 60, rel=1e-12)


@BOTH
def test_order_of_reading(run, finding):
    y, s = truth_and_scores(run, finding)
    found = run.proxies[finding].worklist
    places = stats.rankdata(-s)  # the mean place of films that share a score
    n, p = len(y), y.sum()
    for position in found.positions:
        assert position.films.value == pytest.approx(np.quantile(places[y], position.quantile), rel=1e-12)
        assert position.share.value == pytest.approx(position.films.value / n, rel=1e-12)
    for at in found.at:
        films = math.ceil(at.fraction * n)
        first, last = stats.rankdata(-s, "min"), stats.rankdata(-s, "max")
        read = np.clip((films - first + 1) / (last - first + 1), 0, 1)[y].sum()
        assert (at.films, at.found.value) == (films, pytest.approx(read / p, rel=1e-12))
        assert at.films_per_case.value == pytest.approx(films / read, rel=1e-12)
        assert (at.fifo_found, at.ideal_found) == (pytest.approx(films / n), min(1, films / p))
    assert found.area.value == pytest.approx(1 - (places[y].mean() - 0.5) / n, rel=1e-12)
    assert found.gain.value == pytest.approx(2 * metrics.roc_auc_score(y, s) - 1, rel=1e-9)
    assert found.films_per_case.value == pytest.approx(n / p, rel=1e-12)


@BOTH
def test_films_filed_without_a_reader(run, finding):
    y, s = truth_and_scores(run, finding)
    ranked = np.sort(s[y])
    for point in run.proxies[finding].rule_out.points:
        allowed = math.floor((1 - point.target) * len(ranked) + 1e-9)
        threshold = ranked[allowed]
        missed, filed = (ranked < threshold).sum(), (s[~y] < threshold).mean()
        assert (point.threshold.value, point.allowed, point.missed) == (threshold, allowed, missed)
        assert point.sensitivity.value == pytest.approx(1 - missed / len(ranked), abs=1e-14)
        assert point.specificity.value == pytest.approx(filed, abs=1e-14)
        lost = missed / len(ranked)
        for at, prevalence in ((point.cohort, y.mean()), (point.local, PI)):
            share = prevalence * lost + (1 - prevalence) * filed
            assert at.filed_share.value == pytest.approx(share, rel=1e-12)
            assert at.missed_per_10000_screened.value == pytest.approx(1e4 * prevalence * lost, rel=1e-9)
            assert at.missed_per_10000_filed.value == pytest.approx(1e4 * prevalence * lost / share, rel=1e-9)
            assert at.npv.value == pytest.approx(1 - prevalence * lost / share, rel=1e-12)


def test_the_larger_score_of_two_and_films_without_one(run, real_data, tmp_path):
    source = Source(
        real_data / "predictions" / "chexnet_nih_test.csv.gz",
        "Image Index",
        {"Nodule": "max(prob_Nodule,prob_Mass)"},
        {"Nodule": THRESHOLD},
    )
    table, thresholds = read_source(source)
    table.frame.loc[::200, "p_Nodule"] = np.nan
    made = assess_table(table, run.manifest, tmp_path, thresholds=thresholds, options=Options(replicates=200))
    (found,) = made.evaluation.findings
    best = run.films[["prob_Nodule", "prob_Mass"]].max(axis=1).to_numpy()
    lost = np.arange(len(best)) % 200 == 0
    y = run.films["Nodule"].to_numpy()
    assert found.auroc.value == pytest.approx(metrics.roc_auc_score(y[~lost], best[~lost]), abs=1e-12)
    read = found.operating_point.intention_to_read
    assert (read.without_score, read.without_score_positive) == (lost.sum(), (lost & y).sum())
    flag = (best >= THRESHOLD) | lost  # a film without a score is referred
    assert (read.counts.true_positive, read.counts.false_positive) == ((flag & y).sum(), (flag & ~y).sum())
    assert read.sensitivity.value == pytest.approx(flag[y].mean(), abs=1e-14)
    assert read.flagged.value == pytest.approx(flag.mean(), abs=1e-14)
    assert found.operating_point.counts.n == (~lost).sum()
