"""Agreement of readers against statsmodels, scikit-learn, published examples and naive counting."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa, fleiss_kappa

from pipelines.errors import EvaluationError
from pipelines.manifest import conform
from pipelines.statistics.agreement import agreement, cohen_kappa, manifest_agreement, reader_pairs
from pipelines.statistics.resampling import Clusters, Plan

# Thirty patients, six psychiatrists, five diagnoses: how many chose each. Fleiss, Psychol. Bull. 76 (1971) 378.
CHOSEN = """00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"""
DIAGNOSES = np.array([[int(count) for count in patient] for patient in CHOSEN.split()])
# Readers and positives of 25 subjects with two to five readers: Fleiss, Levin & Paik, Statistical Methods for Rates and
# Proportions, 3rd edition, 2003, section 18.3; kappa 0.54 (0.5415 as statistical packages print it).
UNEQUAL = (
    [2, 2, 3, 4, 3, 4, 3, 5, 2, 4, 5, 3, 4, 4, 2, 2, 3, 2, 4, 5, 3, 4, 3, 3, 2],
    [2, 0, 2, 3, 3, 1, 0, 0, 0, 4, 5, 3, 4, 3, 0, 2, 1, 1, 1, 4, 2, 0, 0, 3, 2],
)
PLAN = Plan(replicates=400)


def pairs(positive: list[int], readers: list[int]) -> dict[str, float]:
    """The specific agreements by going through every ordered pair of readings."""
    seen = [
        pair
        for x, n in zip(positive, readers, strict=True)
        for pair in itertools.permutations([1] * x + [0] * (n - x), 2)
    ]
    return {
        "observed": np.mean([a == b for a, b in seen]),
        "positive": np.mean([b == 1 for a, b in seen if a == 1]),
        "negative": np.mean([b == 0 for a, b in seen if a == 0]),
    }


@pytest.mark.parametrize("table", [[[20, 5], [10, 15]], [[45, 15], [25, 15]], [[900, 3], [7, 4]], [[3, 9], [11, 2]]])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_cohen_is_statsmodels(table: list[list[int]], level: float) -> None:
    first = np.repeat([0, 0, 1, 1], np.ravel(table))
    second = np.repeat([0, 1, 0, 1], np.ravel(table))
    found, oracle = cohen_kappa(first, second, level=level), cohens_kappa(np.array(table))
    assert found.value == pytest.approx(oracle.kappa, abs=1e-12)
    assert found.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    half = stats.norm.ppf((1 + level) / 2) * oracle.std_kappa
    assert found.low == pytest.approx(oracle.kappa - half, abs=1e-9)
    assert found.high == pytest.approx(oracle.kappa + half, abs=1e-9)
    assert found.n == np.sum(table)


def test_cohen_where_there_is_no_answer() -> None:
    perfect = cohen_kappa([1, 0, 1], [1, 0, 1])
    assert (perfect.value, perfect.low) == (1.0, None)
    assert perfect.why == "the two agree on every film: the asymptotic variance is 0"
    many = cohen_kappa([1] + 101 * [0], [1] + 101 * [0])  # sums of 1/102 are not exactly 1
    assert (many.value, many.low) == (pytest.approx(1), None)
    assert cohen_kappa([0, 0], [0, 0]).why == "both readers gave every film the same answer"
    assert cohen_kappa([], []).value is None
    constant = cohen_kappa(90 * [0], [1] + 89 * [0])
    assert (constant.value, constant.low) == (pytest.approx(0, abs=1e-12), None)  # one reader has one answer only
    with pytest.raises(EvaluationError, match="of one length"):
        cohen_kappa([1], [1, 0])
    with pytest.raises(EvaluationError, match="must be 0 or 1"):
        cohen_kappa([1, 0.5], [1, 0])


def test_fleiss_is_the_published_example() -> None:
    assert DIAGNOSES.sum(axis=0).tolist() == [26, 26, 30, 55, 43]
    kappas = []
    for positive in DIAGNOSES.T:
        found = agreement(positive, np.full(30, 6), plan=PLAN)["kappa"]
        assert found.value == pytest.approx(fleiss_kappa(np.stack([positive, 6 - positive], axis=1)), abs=1e-12)
        kappas.append(found.value)
    # By diagnosis, as R's irr prints them for this table; weighted by p (1 - p), they are the published 0.430.
    np.testing.assert_allclose(kappas, [0.245, 0.245, 0.520, 0.471, 0.566], atol=5e-4)
    share = DIAGNOSES.sum(axis=0) / DIAGNOSES.sum()
    assert np.average(kappas, weights=share * (1 - share)) == pytest.approx(0.430, abs=5e-4)


def test_unequal_numbers_of_readers_are_the_published_example() -> None:
    readers, positive = UNEQUAL
    assert (sum(readers), sum(positive)) == (81, 46)
    found = agreement(positive, readers, plan=PLAN)
    assert found["kappa"].value == pytest.approx(0.5415, abs=5e-5)
    for name, value in pairs(positive, readers).items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name
    assert all(estimate.n == 25 and estimate.low < estimate.value < estimate.high for estimate in found.values())


def test_two_readers_have_the_usual_specific_agreement() -> None:
    both, one, neither = 20, 15, 65
    found = agreement([2] * both + [1] * one + [0] * neither, [2] * 100, plan=PLAN)
    assert found["positive"].value == pytest.approx(2 * both / (2 * both + one))
    assert found["negative"].value == pytest.approx(2 * neither / (2 * neither + one))
    assert found["observed"].value == pytest.approx(0.85)
    # Exchangeable readers: nearly Cohen's kappa, and the bootstrap's interval is nearly the asymptotic one.
    first = 20 * ([1] * both + [1, 0] * 7 + [1] + [0] * neither)
    second = 20 * ([1] * both + [0, 1] * 7 + [0] + [0] * neither)
    cohen = cohen_kappa(first, second)
    many = agreement(np.add(first, second), [2] * 2000, plan=Plan(replicates=2000))["kappa"]
    assert many.value == pytest.approx(cohen.value, abs=2e-3)
    assert [many.low, many.high] == pytest.approx([cohen.low, cohen.high], abs=0.01)


def test_films_with_one_reading_are_left_out() -> None:
    readers, positive = UNEQUAL
    whole = agreement([*positive, 1, 1, 0], [*readers, 1, 1, 0], plan=PLAN)
    assert whole == agreement(positive, readers, plan=PLAN)


def test_the_interval_is_that_of_a_plain_bootstrap_of_patients() -> None:
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(60), 2)
    once = rng.integers(2, 5, 60)
    readers = np.repeat(once, 2)
    positive = np.repeat(rng.binomial(once, np.where(rng.random(60) < 0.4, 0.8, 0.1)), 2)
    plan = Plan(replicates=2000, kind="percentile")
    found = agreement(positive, readers, clusters=Clusters.of(patients, 120), plan=plan)["kappa"]
    assert "bootstrap of patients" in found.method
    drawn = []
    for _ in range(2000):
        rows = np.concatenate([[2 * p, 2 * p + 1] for p in rng.integers(0, 60, 60)])
        x, n = positive[rows], readers[rows]
        p = x.sum() / n.sum()
        drawn.append(1 - (x * (n - x) / n).sum() / ((n - 1).sum() * p * (1 - p)))
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    alone = agreement(positive, readers, plan=plan)["kappa"]
    assert alone.value == pytest.approx(found.value)
    # Two films of one patient are not two patients: here each is the other's copy, so the interval is sqrt(2) as wide.
    assert (found.high - found.low) / (alone.high - alone.low) == pytest.approx(2**0.5, rel=0.12)


def test_no_answer_says_why() -> None:
    assert {e.why for e in agreement([1, 0], [1, 1], plan=PLAN).values()} == {"no film was read by two readers"}
    assert agreement([], [])["kappa"].value is None
    negative = agreement([0, 0, 0], [3, 3, 2], plan=PLAN)
    assert negative["kappa"].why == "every reading is negative: agreement by chance is complete"
    assert negative["positive"].why == "no reading is positive"
    assert negative["negative"].value == 1.0
    assert agreement([2, 3], [2, 3], plan=PLAN)["kappa"].why.startswith("every reading is positive")
    perfect = agreement([3, 3, 0, 0], [3] * 4, plan=PLAN)["kappa"]
    assert (perfect.value, perfect.low) == (1.0, None)
    one = agreement([3, 1, 0], [3] * 3, clusters=Clusters.of(["p"] * 3, 3), plan=PLAN)["kappa"]
    assert one.value is not None
    assert one.low is None
    assert one.why


def test_counts_that_are_none_are_refused() -> None:
    with pytest.raises(EvaluationError, match="of one length"):
        agreement([1], [2, 2])
    for positive, readers in (([3], [2]), ([-1], [2]), ([0.5], [2])):
        with pytest.raises(EvaluationError, match="whole"):
            agreement(positive, readers)


def test_a_manifest_is_asked_by_finding() -> None:
    rows = []
    for number, (n, x) in enumerate(zip(*UNEQUAL, strict=True)):
        readings = [{"reader": f"R{k}", "finding": "nodule", "value": float(k < x)} for k in range(n)]
        readings += [{"reader": "R0", "finding": "tb", "value": 1.0}]
        rows.append({"image_id": f"d/{number}", "path": f"{number}.png", "dataset": "d", "readings": readings})
    rows.append({"image_id": "d/agreed", "path": "agreed.png", "dataset": "d", "readings": None})
    frame = conform(pd.DataFrame(rows))
    tb, nodule = sorted(manifest_agreement(frame, plan=PLAN), key=lambda found: found.finding, reverse=True)
    assert (tb.finding, nodule.finding) == ("tb", "nodule")
    assert nodule.kappa.value == pytest.approx(0.5415, abs=5e-5)
    assert (nodule.films, nodule.readers, nodule.fewest, nodule.most) == (25, 5, 2, 5)
    assert (nodule.readings, nodule.positive_readings, nodule.single) == (81, 46, 0)
    assert (tb.films, tb.single, tb.kappa.why) == (0, 25, "no film was read by two readers")
    assert manifest_agreement(frame.assign(readings=None), plan=PLAN) == []
    # Films of one patient are drawn together.
    grouped = frame.assign(patient_id=[f"p{number // 3}" for number in range(26)])
    assert "bootstrap of patients" in manifest_agreement(grouped, plan=PLAN)[-1].kappa.method


def test_every_two_readers_with_films_in_common() -> None:
    rng = np.random.default_rng(8)
    rows, given = [], {}
    for number in range(90):
        readers = ["R1", "R2"] if number < 60 else ["R2", "R3"] if number < 85 else ["R1"]
        values = {reader: int(rng.random() < 0.4) for reader in readers}
        given[number] = values
        readings = [{"reader": reader, "finding": "tb", "value": float(value)} for reader, value in values.items()]
        rows.append({"image_id": f"d/{number}", "path": f"{number}.png", "dataset": "d", "readings": readings})
    frame = conform(pd.DataFrame(rows))
    (pair,) = reader_pairs(frame, "tb")  # 25 films of the other two are too few
    assert (pair.first, pair.second, pair.films) == ("R1", "R2", 60)
    one, two = ([given[number][reader] for number in range(60)] for reader in ("R1", "R2"))
    assert (pair.first_positive, pair.second_positive) == (sum(one), sum(two))
    assert pair.kappa.value == pytest.approx(cohen_kappa_score(one, two), abs=1e-12)
    assert [found.films for found in reader_pairs(frame, "tb", fewest=20)] == [60, 25]
    assert reader_pairs(frame, "nodule") == []
