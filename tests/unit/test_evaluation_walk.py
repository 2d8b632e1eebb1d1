"""Every estimate of an evaluation folder is of its kind: inside its interval, honest about method, n and level."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from pipelines.assessment.proxies import reading_time_proxies
from pipelines.evaluation.evaluator import evaluate
from pipelines.evaluation.joining import join_films
from pipelines.evaluation.options import Options
from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.evaluation.thresholds.points import Thresholds
from pipelines.evaluation.thresholds.programme import Costs
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.statistics.resampling import Plan

LEVEL, REPLICATES, THRESHOLD = 0.9, 200, 0.5
ROOM = {"prevalence": 0.1, "traffic": 0.8, "minutes": 10, "replications": 20, "films_per_replication": 500}


def films(patients, each=1, seed=1, share=0.4, signal=1.2, digits=6):
    """Manifest and predictions; patients differ in level, so films of one patient depend on each other."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), each)
    ill = (rng.random(patients) < share)[who]
    latent = signal * ill + 0.7 * rng.normal(size=patients)[who] + 0.7 * rng.normal(size=len(who))
    ids = [f"a/{i}" for i in range(len(who))]
    manifest = pd.DataFrame({"image_id": ids, "path": ids, "dataset": "a", "patient_id": [f"p{p}" for p in who]})
    manifest["tb"] = ill.astype(float)
    manifest["sex"] = np.where(rng.random(patients) < 0.5, "F", "M")[who]
    predictions = pd.DataFrame({"image_id": ids, "status": "ok", "reason": None, "model_id": "m"})
    predictions["p_tb"] = np.round(1 / (1 + np.exp(0.6 - latent)), digits)
    return manifest, predictions


def without_scores(tables, every=9):
    manifest, predictions = tables
    predictions.loc[::every, ["status", "reason", "p_tb"]] = "rejected", "blank", np.nan
    return manifest, predictions


def labelled(tables, value):
    manifest, predictions = tables
    return manifest.assign(tb=value), predictions


def one_positive(tables):
    manifest, predictions = tables
    return manifest.assign(tb=(np.arange(len(manifest)) == 5).astype(float)), predictions


def separated(tables):
    manifest, predictions = tables
    return manifest, predictions.assign(p_tb=np.where(manifest["tb"] == 1, 0.9, 0.1) + 1e-4 * np.arange(len(manifest)))


COHORTS = {
    "independent": lambda: films(160),
    "clustered": lambda: without_scores(films(90, 3)),
    "tied": lambda: films(60, 2, digits=1),
    "tiny": lambda: films(8),
    "tiny and clustered": lambda: films(5, 3, seed=4),
    "one patient": lambda: one_positive(films(1, 20)),
    "one positive film": lambda: one_positive(films(30, 2)),
    "separated": lambda: separated(films(30, 2)),
    "all flagged": lambda: [m_p := films(30, 2), (m_p[0], m_p[1].assign(p_tb=m_p[1]["p_tb"] / 4 + 0.7))][1],
    "only positive": lambda: labelled(films(30, 2), 1.0),
    "only negative": lambda: labelled(films(30), 0.0),
    "no label": lambda: labelled(films(20, 2), np.nan),
}


def is_estimate(part):
    return isinstance(part, dict) and {"value", "low", "high", "level", "method", "n", "why"} <= set(part)


def walk(part, path=()):
    """Every estimate in a JSON document, with its path."""
    if is_estimate(part):
        yield path, part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from walk(value, (*path, key))
    elif isinstance(part, list):
        for place, value in enumerate(part):
            yield from walk(value, (*path, place))


def bands(part, path=()):
    """Every column of estimates (`Band`, `SmoothCurve`): lists of low and high."""
    if isinstance(part, dict):
        if isinstance(part.get("low"), list):
            yield path, part
        for key, value in part.items():
            yield from bands(value, (*path, key))
    elif isinstance(part, list):
        for place, value in enumerate(part):
            yield from bands(value, (*path, place))


def wrong_in_kind(path, estimate, *, level, repeated):
    """What is wrong with one estimate, whatever it is of."""
    value, low, high, method, why = (estimate[name] for name in ("value", "low", "high", "method", "why"))
    if estimate["level"] != pytest.approx(level, abs=1e-12):
        yield f"level {estimate['level']}"
    if not method.strip():
        yield "no method"
    if (why is None) == (value is None or low is None):
        yield f"why is {why!r}"
    if value is None or low is None:
        if why is not None and ("nan" in why.split() or not why.strip()):
            yield f"why says {why!r}"
        return
    if not all(map(math.isfinite, (value, low, high))):
        yield "not finite"
    if not low <= value <= high:
        yield "outside its interval"
    if high - low <= 1e-12 * max(1.0, abs(value)):
        yield f"no width ({low} to {high}: {method})"
    if not repeated and "patient" in method:
        yield f"speaks of patients where films are independent: {method}"
    # Other intervals may speak of the bootstrap too: why it was not taken, or what dependence it found.
    other = ("Student's t", "max-t", "shows too little", "effective films")
    counted = f"{REPLICATES} replicates" in method or any(words in method for words in other)
    if "bootstrap" in method and not counted:
        yield f"replicates: {method}"


def evaluated(name, **options):
    manifest, predictions = COHORTS[name]()
    asked = Options(level=LEVEL, replicates=REPLICATES, reference_sensitivity=0.8, min_group=3, **options)
    found = evaluate(
        predictions,
        manifest,
        findings=("tb",),
        thresholds=Thresholds(given={"tb": THRESHOLD}, a_posteriori={"tb": LockRule(kind="sensitivity", target=0.9)}),
        options=asked,
    )
    return manifest, predictions, found, json.loads(found.model_dump_json(by_alias=True))


VARIANTS = {
    "plain": {},
    "costs": {"costs": Costs(cxr=2, xpert=10)},
    "prevalence with an interval": {"prevalence": 0.2, "prevalence_interval": (0.1, 0.3), "costs": Costs(2, 10)},
    "percentile": {"interval": "percentile"},
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", COHORTS)
def test_every_estimate_is_of_its_kind(name, variant):
    manifest, _, found, document = evaluated(name, **VARIANTS[variant])
    repeated = manifest["patient_id"].duplicated().any()
    seen = list(walk(document))
    assert len(seen) > 80
    assert "NaN" not in found.model_dump_json()
    wrong = [
        (".".join(map(str, path)), estimate["value"], fault)
        for path, estimate in seen
        for fault in wrong_in_kind(path, estimate, level=LEVEL, repeated=repeated)
    ]
    assert not wrong, wrong[:10]
    for path, band in bands(document):
        for low, high, value in zip(band["low"], band["high"], band.get("value", band.get("share")), strict=True):
            assert (low is None) == (high is None)
            assert low is None or low <= value <= high, path


@pytest.mark.parametrize("name", COHORTS)
def test_n_is_the_denominator(name):
    manifest, predictions, found, document = evaluated(name)
    known = manifest["tb"].notna() & predictions["p_tb"].notna()
    y, s = manifest.loc[known, "tb"] == 1, predictions.loc[known, "p_tb"]
    flag = s >= THRESHOLD
    expected = {
        "sensitivity": y.sum(),
        "specificity": (~y).sum(),
        "ppv": flag.sum(),
        "npv": (~flag).sum(),
        "flagged": len(y),
        "lr_positive": len(y),
        "lr_negative": len(y),
    }
    (result,) = document["findings"]
    point = result["operating_point"]
    for label, n in expected.items():
        assert point[label]["n"] == n, label
        assert (point[label]["value"] is None) == (n == 0 or point[label]["why"] is not None)
    assert (result["auroc"]["n"], result["prevalence"]["n"], result["calibration"]["ece"]["n"]) == (len(y),) * 3
    assert point["who"]["sensitivity"] == point["sensitivity"]
    for label in ("sensitivity", "specificity"):
        assert point["programme"][label] == point[label]
    for label, n in (("missed_per_100000", y.sum()), ("referred_per_100000", len(y)), ("tests_per_case", len(y))):
        assert point["programme"][label]["n"] == n, label
    labelled_films = manifest["tb"].notna()
    assert point["intention_to_read"]["flagged"]["n"] == labelled_films.sum()
    assert point["intention_to_read"]["sensitivity"]["n"] == (manifest["tb"] == 1).sum()
    for part in result["at_sensitivity"] + result["at_specificity"]:
        assert (part["sensitivity"]["n"], part["specificity"]["n"]) == (y.sum(), (~y).sum())
    table = result["thresholds"]
    assert (table["sensitivity"]["n"], table["specificity"]["n"], table["flagged"]["n"]) == (
        y.sum(),
        (~y).sum(),
        len(y),
    )
    assert sum(part["n"] for part in result["calibration"]["bins"]) in (0, len(y))
    for part in result["calibration"]["bins"]:
        assert part["observed"]["n"] == part["n"]
    for column in result["subgroups"]:
        for group in column["groups"]:
            assert (group["sensitivity"]["n"], group["specificity"]["n"]) == (group["positives"], group["negatives"])
            assert group["flagged"]["n"] == group["n"]
    assert found.findings[0].n == len(y)


@pytest.mark.parametrize("name", COHORTS)
def test_a_prevalence_that_is_known_exactly_and_one_that_is_not_count_the_same_films(name):
    exact = evaluated(name, prevalence=0.2)[3]["findings"][0]["operating_point"]
    vague = evaluated(name, prevalence=0.2, prevalence_interval=(0.1, 0.3))[3]["findings"][0]["operating_point"]
    for label, estimate in walk(exact["programme"]):
        other = vague["programme"][label[0]]
        assert other["n"] == estimate["n"], label
        if estimate["value"] is None:
            assert other["value"] is None, label
        else:
            assert other["value"] == pytest.approx(estimate["value"], rel=1e-9), label
        if other["low"] is not None and estimate["low"] is not None and "100000" in label[0]:
            assert other["high"] - other["low"] >= (estimate["high"] - estimate["low"]) * 0.999, label


@pytest.mark.parametrize("name", ["independent", "clustered", "tied", "tiny", "tiny and clustered", "separated"])
def test_every_reading_time_is_of_its_kind(name):
    manifest, predictions, found, _ = evaluated(name)
    joined = join_films(predictions, manifest)
    room = parse_scenario(ROOM, source="test")
    made = reading_time_proxies(found, joined, room, plan=Plan(replicates=REPLICATES))
    document = json.loads(made.model_dump_json(by_alias=True))
    seen = list(walk(document))
    assert len(seen) > 100
    repeated = manifest["patient_id"].duplicated().any()
    wrong = [
        (".".join(map(str, path)), estimate["value"], fault)
        for path, estimate in seen
        for fault in wrong_in_kind(path, estimate, level=LEVEL, repeated=repeated)
    ]
    assert not wrong, wrong[:10]
    for point in document["findings"][0]["rule_out"]["points"]:
        for part in (point["cohort"], point["local"]):
            assert "npv" not in part or "unremarkable" in part["npv"]["method"]


def test_notes_count_patients_and_say_where_chance_makes_the_calibration_error():
    few, many = (evaluated(name)[2].findings[0] for name in ("one positive film", "clustered"))
    assert few.notes[0].startswith("Only 1 positive film: read the intervals")
    manifest, predictions = films(20, 4, seed=2)
    ill, patients = int(manifest["tb"].sum()), manifest.loc[manifest["tb"] == 1, "patient_id"].nunique()
    found = evaluate(predictions, manifest, findings=("tb",), options=Options(replicates=REPLICATES)).findings[0]
    assert found.notes[0].startswith(f"Only {patients} patients with {ill} positive films: read the intervals")
    for result in (few, many, found):
        near = result.calibration.ece.value < 2 * result.calibration.ece_by_chance.value
        assert any("calibration error" in note for note in result.calibration.notes) == near
    assert found.calibration.notes
