"""Accuracy by subgroup: other libraries on each subset, plain bootstrap loops, and a simulation without gaps."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint, proportions_ztest

from pipelines.errors import EvaluationError
from pipelines.evaluation.joining import join_films, scored_films
from pipelines.evaluation.subgroups.columns import DEFAULT_COLUMNS
from pipelines.evaluation.subgroups.gaps import subgroups
from pipelines.evaluation.subgroups.records import METRIC_NAMES, SubgroupColumn, gaps_table, subgroups_table
from pipelines.evaluation.subgroups.sides import Limits
from pipelines.statistics.auroc import auroc_delong
from pipelines.statistics.multiplicity import sidak_level
from pipelines.statistics.planning.power import sample_size_for_gap
from pipelines.statistics.resampling import Clusters, Plan, draw

FEW = Plan(replicates=400, seed=3, kind="percentile")


def scored(labels, scores, **columns):
    films = pd.DataFrame({"dataset": "phantom", **columns}, index=range(len(labels)))
    return scored_of(films, labels, scores)


def scored_of(films, labels, scores):
    """Through the join, as an evaluation does it."""
    ids = [f"phantom/{number}" for number in range(len(films))]
    manifest = films.assign(image_id=ids, tb=np.asarray(labels, dtype=float))
    predictions = pd.DataFrame({"image_id": ids, "status": "ok", "p_tb": np.asarray(scores, dtype=float)})
    return scored_films(join_films(predictions, manifest), "tb")


def cohort(seed=0, n=900, films_per_patient=1, gap=0.0):
    """Films of three sites; site c scores its positives lower by ``gap``."""
    rng = np.random.default_rng(seed)
    patients = n // films_per_patient
    patient = np.arange(n) % patients
    site = np.array(["a", "b", "c"])[rng.integers(0, 3, patients)][patient]
    sex = np.array(["F", "M", None], dtype=object)[rng.choice(3, patients, p=[0.45, 0.45, 0.1])][patient]
    labels = (rng.random(patients) < 0.35)[patient]
    latent = 0.7 * rng.normal(size=patients)[patient] + 0.7 * rng.normal(size=n) + 1.3 * labels
    latent -= gap * labels * (site == "c")
    scores = np.round(stats.norm.cdf(latent - 0.9), 3)
    return scored(labels, scores, site=site, sex=sex, patient_id=[f"p{number}" for number in patient])


def clusters_of(films):
    return Clusters.of(films.films["patient_id"].to_numpy(), len(films.labels))


def group_of(column, name):
    return next(group for group in column.groups if group.name == name)


def gap_of(column, metric, name):
    return next(gap for gap in column.gaps if (gap.metric, gap.group) == (metric, name))


def test_independent_films_agree_with_other_libraries_on_each_subset():
    films = cohort()
    (site, sex) = subgroups(films, threshold=0.5, clusters=clusters_of(films), columns=["site", "sex"])
    assert [group.name for group in site.groups] == ["a", "b", "c"]
    assert [group.name for group in sex.groups] == ["F", "M", "unknown"]
    for column, name in ((site, "b"), (sex, "F"), (sex, "unknown")):
        group = group_of(column, name)
        cells = films.films[column.column]
        mask = (cells.isna() if name == "unknown" else cells == name).to_numpy()
        labels, scores, flags = films.labels[mask], films.scores[mask], films.scores[mask] >= 0.5
        assert (group.n, group.positives, group.negatives) == (mask.sum(), labels.sum(), (~labels).sum())
        assert group.patients == mask.sum()
        assert group.auroc == auroc_delong(labels, scores)
        assert group.auroc.value == pytest.approx(roc_auc_score(labels, scores))
        shares = {
            "sensitivity": (labels & flags, labels),
            "specificity": (~labels & ~flags, ~labels),
            "ppv": (labels & flags, flags),
            "npv": (~labels & ~flags, ~flags),
            "flagged": (flags, np.ones_like(flags)),
        }
        for metric, (top, bottom) in shares.items():
            found = group.metric(metric)
            low, high = proportion_confint(top.sum(), bottom.sum(), method="beta")
            expected = (top.sum() / bottom.sum(), low, high, bottom.sum())
            assert (found.value, found.low, found.high, found.n) == pytest.approx(expected), metric
        over = group.observed_expected
        low, high = proportion_confint(labels.sum(), len(labels), method="beta")
        expected = np.array([labels.sum(), low * len(labels), high * len(labels)]) / scores.sum()
        assert (over.value, over.low, over.high) == pytest.approx(tuple(expected))


def test_independent_gaps_agree_with_other_libraries():
    films = cohort(gap=0.8)
    (site,) = subgroups(films, threshold=0.5, clusters=clusters_of(films), columns=["site"], level=0.9)
    cells, flags = films.films["site"].to_numpy(), films.scores >= 0.5
    each = sidak_level(0.9, 3)
    p_values = []
    for gap in site.gaps:
        own = cells == gap.group
        p_values.append(gap.p_value)
        if gap.metric == "auroc":
            a, b = (auroc_delong(films.labels[part], films.scores[part], each) for part in (own, ~own))
            half = math.hypot(a.value - a.low, b.value - b.low)
            expected = (a.value - b.value, a.value - b.value - half, a.value - b.value + half)
        elif gap.metric == "sensitivity":
            counts = [(part & films.labels & flags).sum() for part in (own, ~own)]
            of = [(part & films.labels).sum() for part in (own, ~own)]
            args = (counts[0], of[0], counts[1], of[1])
            bounds = confint_proportions_2indep(*args, method="newcomb", compare="diff", alpha=1 - each)
            expected = (counts[0] / of[0] - counts[1] / of[1], *bounds)
            assert gap.p_value == pytest.approx(proportions_ztest(counts, of)[1])
            shares = (counts[0] / of[0], counts[1] / of[1])
            assert gap.films_needed == sample_size_for_gap(*shares, level=each, power=0.8, ratio=of[1] / of[0])
            assert (gap.group_value, gap.against_value) == pytest.approx(shares)
        else:
            continue
        found = gap.difference
        assert (found.value, found.low, found.high) == pytest.approx(expected)
        assert found.level == 0.9
    every = [gap.p_value for gap in site.gaps]
    assert [gap.p_adjusted for gap in site.gaps] == pytest.approx(multipletests(every, method="holm")[1])
    assert gap_of(site, "sensitivity", "c").verdict == "shown"
    assert gap_of(site, "auroc", "a").against == "all other films with a known value"
    assert site.reference == "all other films with a known value"


def test_the_family_of_tests_spans_all_columns():
    films = cohort(gap=0.8)
    clusters = clusters_of(films)
    both = subgroups(films, threshold=0.5, clusters=clusters, columns=["site", "sex"])
    alone = subgroups(films, threshold=0.5, clusters=clusters, columns=["site"])
    pairs = [(gap_of(both[0], g.metric, g.group), g) for g in alone[0].gaps]
    assert all(wide.p_value == narrow.p_value and wide.p_adjusted >= narrow.p_adjusted for wide, narrow in pairs)
    assert any(wide.p_adjusted > narrow.p_adjusted for wide, narrow in pairs)
    every = [gap.p_value for column in both for gap in column.gaps]
    told = [gap.p_adjusted for column in both for gap in column.gaps]
    assert told == pytest.approx(multipletests(every, method="holm")[1])


def test_two_groups_are_compared_once():
    films = cohort()
    (sex,) = subgroups(films, threshold=0.5, clusters=clusters_of(films), columns=["sex"])
    assert {(gap.group, gap.against) for gap in sex.gaps} == {("F", "M")}
    assert sex.reference == "the group M"
    # The films of unknown sex are in neither side.
    known = films.films["sex"].notna().to_numpy()
    assert next(gap for gap in sex.gaps if gap.metric == "flagged").difference.n == known.sum()


def test_patients_with_several_films_agree_with_a_plain_bootstrap_loop():
    films = cohort(n=450, films_per_patient=3, gap=0.5)
    clusters = clusters_of(films)
    (site,) = subgroups(films, threshold=0.5, clusters=clusters, plan=FEW, columns=["site"])
    cells, flags = films.films["site"].to_numpy(), films.scores >= 0.5

    def metrics(rows):
        found = []
        for name in "abc":
            for part in (rows[cells[rows] == name], rows[cells[rows] != name]):
                labels = films.labels[part]
                found.append((roc_auc_score(labels, films.scores[part]), (labels & flags[part]).sum() / labels.sum()))
        return np.array(found)

    weights = draw(clusters.count, FEW.seed, 0, FEW.replicates)
    films_of = [np.flatnonzero(clusters.index == number) for number in range(clusters.count)]
    drawn = np.stack(
        [metrics(np.concatenate([films_of[k] for k in np.repeat(np.arange(len(row)), row)])) for row in weights]
    )
    point = metrics(np.arange(len(cells)))
    for j, metric in enumerate(("auroc", "sensitivity")):
        for side, name in enumerate("abc"):
            found = group_of(site, name).metric(metric)
            bounds = np.quantile(drawn[:, 2 * side, j], [0.025, 0.975])
            assert (found.value, found.low, found.high) == pytest.approx((point[2 * side, j], *bounds), abs=1e-12)
            assert "bootstrap of patients" in found.method
        value, away = point[::2, j] - point[1::2, j], drawn[:, ::2, j] - drawn[:, 1::2, j]
        errors = away.std(axis=0, ddof=1)
        critical = sorted(np.abs((away - value) / errors).max(axis=1))[math.ceil(0.95 * (FEW.replicates - 1))]
        for side, name in enumerate("abc"):
            found = gap_of(site, metric, name)
            # Patients of the smaller side: with positive films, and for the AUROC the scarcer class.
            own = cells == name
            parts = [part & truth for part in (own, ~own) for truth in (films.labels, ~films.labels)[: 2 - j]]
            fewest = min(len(set(clusters.index[part])) for part in parts)
            error = errors[side] * math.sqrt(fewest / (fewest - 1))
            wide = stats.t.ppf(stats.norm.cdf(critical), fewest - 1)
            expected = value[side] + np.array([0, -wide, wide]) * error
            got = (found.difference.value, found.difference.low, found.difference.high)
            assert got == pytest.approx(tuple(expected), abs=1e-12)
            assert found.p_value == pytest.approx(2 * stats.t.sf(abs(value[side]) / error, fewest - 1))


def test_the_order_of_films_changes_nothing():
    films = cohort(n=300, films_per_patient=3)
    order = np.random.default_rng(5).permutation(300)
    columns = films.films[["site", "patient_id", "dataset"]].iloc[order].reset_index(drop=True)
    turned = scored_of(columns, films.labels[order], films.scores[order])
    found = [
        subgroups(part, threshold=0.5, clusters=Clusters(index, 100), plan=FEW, columns=["site"])
        for part, index in ((films, clusters_of(films).index), (turned, clusters_of(films).index[order]))
    ]
    a, b = (subgroups_table("tb", columns) for columns in found)
    pd.testing.assert_frame_equal(a, b, rtol=1e-9)


def test_small_groups_are_suppressed_and_say_how_small():
    labels = np.r_[np.ones(7), np.zeros(40), np.ones(30), np.zeros(9), np.ones(30), np.zeros(40)]
    site = ["few positives"] * 47 + ["few negatives"] * 39 + ["enough"] * 70
    films = scored(labels, np.random.default_rng(2).random(len(labels)), site=site)
    clusters = Clusters.of(None, len(labels))
    (column,) = subgroups(films, threshold=0.4, clusters=clusters, columns=["site"])
    few = group_of(column, "few positives")
    assert few.sensitivity.value is None
    assert few.sensitivity.why == "fewer than 10 positive films (7)"
    assert few.auroc.why == "fewer than 10 positive films (7)"
    assert few.sensitivity.n == 7
    assert few.specificity.value is not None
    assert group_of(column, "few negatives").specificity.why == "fewer than 10 negative films (9)"
    gap = gap_of(column, "sensitivity", "few positives")
    assert (gap.verdict, gap.p_value, gap.p_adjusted, gap.films_needed) == ("too few films", None, None, None)
    assert gap.difference.why == "fewer than 10 positive films (7)"
    assert "Šidák's level for 2 comparisons" in gap_of(column, "sensitivity", "enough").difference.method
    (open_,) = subgroups(films, threshold=0.4, clusters=clusters, columns=["site"], limits=Limits(5, 5, 5))
    assert group_of(open_, "few positives").sensitivity.value is not None


def test_many_films_of_few_patients_are_suppressed():
    labels = np.r_[np.ones(40), np.zeros(40), np.ones(40), np.zeros(40)]
    site = ["a"] * 80 + ["b"] * 80
    patient = np.r_[np.arange(40) % 3, 100 + np.arange(40), 200 + np.arange(80)]
    films = scored(labels, np.random.default_rng(2).random(160), site=site)
    (column,) = subgroups(films, threshold=0.4, clusters=Clusters.of(patient, 160), plan=FEW, columns=["site"])
    assert group_of(column, "a").sensitivity.why == "positive films of fewer than 5 patients (3)"
    assert group_of(column, "a").specificity.value is not None
    assert gap_of(column, "sensitivity", "a").verdict == "too few films"
    assert group_of(column, "a").patients is None


@pytest.mark.parametrize("repeated", [False, True])
def test_degenerate_groups_have_named_answers(repeated):
    labels = np.r_[np.ones(20), np.zeros(20), np.ones(25), np.zeros(25), np.ones(15)]
    scores = np.r_[np.full(20, 0.9), np.full(20, 0.1), np.full(50, 0.5), np.full(15, 0.7)]
    films = scored(labels, scores, site=["perfect"] * 40 + ["tied"] * 50 + ["one class"] * 15)
    patients = np.arange(105) // 2 if repeated else None
    (column,) = subgroups(films, threshold=0.5, clusters=Clusters.of(patients, 105), plan=FEW, columns=["site"])
    perfect, tied, one = (group_of(column, name) for name in ("perfect", "tied", "one class"))
    assert perfect.auroc.value == perfect.sensitivity.value == perfect.specificity.value == 1
    units = 10 if repeated else 20
    # k of k: the bound solves p^k = 0.025, with patients counted where they have several films.
    assert perfect.sensitivity.low == pytest.approx(0.025 ** (1 / units))
    assert perfect.auroc.low == pytest.approx(0.025 ** (1 / units))
    assert tied.auroc.value == 0.5
    assert (tied.auroc.why is None) != repeated
    assert one.auroc.why == "fewer than 10 negative films (0)"
    assert one.npv.why == "fewer than 10 unflagged films (0)"
    gap = gap_of(column, "sensitivity", "perfect")
    assert gap.difference.value == 0
    assert gap.difference.low < 0 < gap.difference.high
    assert gap.verdict == "not shown"
    assert gap.films_needed is None
    assert gap_of(column, "auroc", "perfect").difference.low is not None or repeated
    json.loads(column.model_dump_json())
    assert SubgroupColumn.model_validate_json(column.model_dump_json()) == column


@pytest.mark.parametrize("patients", [1, 2, 3, 10])
@pytest.mark.parametrize("replicates", [2, 50])
def test_few_patients_few_replicates_and_no_limits_still_have_ordered_intervals(patients, replicates):
    rng = np.random.default_rng(patients)
    labels, scores = rng.random(60) < 0.5, np.round(rng.random(60), 1)
    films = scored(labels, scores, site=rng.choice(["a", "b", "c", "d"], 60, p=[0.5, 0.4, 0.08, 0.02]))
    clusters = Clusters.of(np.arange(60) % patients, 60)
    plan, limits = Plan(replicates=replicates), Limits(1, 1, 1, 1)
    (site,) = subgroups(films, threshold=0.5, clusters=clusters, columns=["site"], plan=plan, limits=limits)
    for gap in site.gaps:
        assert (
            gap.difference.low is None or -1 <= gap.difference.low <= gap.difference.value <= gap.difference.high <= 1
        )
        assert (gap.difference.low is None) == (gap.verdict == "too few films")
    assert all(math.isfinite(group.flagged.value) for group in site.groups)


def test_nothing_to_compare():
    films = scored([1, 0] * 30, np.linspace(0, 1, 60), sex=["F"] * 60, site=pd.Series([None] * 60, dtype=object))
    clusters = Clusters.of(None, 60)
    found = {column.column: column for column in subgroups(films, threshold=0.5, clusters=clusters)}
    assert tuple(found) == DEFAULT_COLUMNS
    assert (found["sex"].gaps, found["sex"].spreads) == ((), ())
    assert any("one group only" in note for note in found["sex"].notes)
    assert [group.name for group in found["site"].groups] == ["unknown"]
    assert found["site"].groups[0].auroc.value is not None
    assert found["site"].notes == ("No film has a known site.",)
    assert found["manufacturer"].groups == ()
    assert found["manufacturer"].notes == ("These films have no column 'manufacturer'.",)


def test_default_columns_that_cannot_be_groups_say_why_and_named_ones_are_refused():
    films = scored([1, 0] * 30, np.linspace(0, 1, 60), site=[f"site of Mr {number}" for number in range(60)])
    clusters = Clusters.of(None, 60)
    found = {column.column: column for column in subgroups(films, threshold=0.5, clusters=clusters)}
    assert found["site"].groups == ()
    assert "look like an identifier" in found["site"].notes[0]
    assert "Mr" not in found["site"].model_dump_json()
    with pytest.raises(EvaluationError, match="look like an identifier"):
        subgroups(films, threshold=0.5, clusters=clusters, columns=["site"])
    with pytest.raises(EvaluationError, match="no such column"):
        subgroups(films, threshold=0.5, clusters=clusters, columns=["Site"])


def test_without_a_threshold_and_with_scores_that_are_no_probabilities():
    films = cohort()
    wide = replace(films, scores=films.scores * 10 - 3)
    (site,) = subgroups(wide, threshold=None, clusters=clusters_of(films), columns=["site"])
    group = site.groups[0]
    assert group.auroc.value is not None
    assert {group.metric(name).why for name in METRIC_NAMES[1:6]} == {"no threshold was locked or given"}
    assert group.observed_expected.why == "the scores are not probabilities"
    assert {gap.metric for gap in site.gaps} == {spread.metric for spread in site.spreads} == {"auroc"}
    assert any("AUROC alone" in note for note in site.notes)
    zero = replace(films, scores=films.scores * 0)
    (site,) = subgroups(zero, threshold=0.5, clusters=clusters_of(films), columns=["site"])
    assert site.groups[0].observed_expected.why == "the scores of these films sum to 0"
    nobody = films.films.index < 0
    empty = replace(films, films=films.films[nobody], labels=films.labels[nobody], scores=films.scores[nobody])
    assert subgroups(empty, threshold=0.5, clusters=Clusters.of(None, 0), columns=["site"])[0].groups == ()


def test_the_spread_is_the_highest_minus_the_lowest_over_all_pairs():
    films = cohort(gap=0.8)
    (site,) = subgroups(films, threshold=0.5, clusters=clusters_of(films), columns=["site"])
    spread = next(spread for spread in site.spreads if spread.metric == "sensitivity")
    values = {group.name: group.sensitivity.value for group in site.groups}
    assert (spread.highest, spread.lowest) == (max(values, key=values.get), min(values, key=values.get))
    assert spread.difference.value == pytest.approx(max(values.values()) - min(values.values()))
    counts = {name: group_of(site, name).sensitivity for name in (spread.highest, spread.lowest)}
    args = [x for e in counts.values() for x in (round(e.value * e.n), e.n)]
    bounds = confint_proportions_2indep(*args, method="newcomb", compare="diff", alpha=1 - sidak_level(0.95, 3))
    assert (spread.difference.low, spread.difference.high) == pytest.approx(bounds)


def test_tables_are_tidy():
    films = cohort()
    columns = subgroups(films, threshold=0.5, clusters=clusters_of(films), columns=["site", "sex"])
    table, gaps = subgroups_table("tb", columns), gaps_table("tb", columns)
    assert len(table) == 6 * len(METRIC_NAMES)
    assert {"finding", "column", "group", "metric", "value", "low", "high", "n", "why"} <= set(table.columns)
    assert not table.duplicated(["finding", "column", "group", "metric"]).any()
    assert table["value"].notna().eq(table["why"].isna()).all()
    assert gaps["kind"].value_counts().to_dict() == {"gap": 24, "spread": 12}
    assert list(subgroups_table("tb", ()).columns) == list(table.columns)
    assert list(gaps_table("tb", ()).columns) == list(gaps.columns)


@pytest.mark.parametrize("films_per_patient", [1, 3])
def test_without_true_gaps_simultaneous_intervals_hold_together(films_per_patient):
    runs, held, shown = 120, dict.fromkeys(("auroc", "sensitivity", "specificity"), 0), 0
    for seed in range(runs):
        films = cohort(seed=1000 + seed, n=1200, films_per_patient=films_per_patient)
        plan = Plan(replicates=300, seed=seed + 1, kind="percentile")
        (site,) = subgroups(films, threshold=0.5, clusters=clusters_of(films), plan=plan, columns=["site"])
        for metric in held:
            bounds = [gap.difference for gap in site.gaps if gap.metric == metric]
            held[metric] += all(bound.low <= 0 <= bound.high for bound in bounds)
        shown += any(gap.verdict == "shown" for gap in site.gaps)
    # 95 % of 120 is 114; three standard deviations of a binomial count below that is 107.
    assert min(held.values()) >= 107, held
    assert shown <= 0.05 * runs + 3 * math.sqrt(0.05 * 0.95 * runs)
