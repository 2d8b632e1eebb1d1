"""reading_time.json: theory, simulation and accuracy put together, for a scenario and for an evaluation."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from pipelines.assessment.assess import Source, assess
from pipelines.assessment.measured import Accuracy, effective_films
from pipelines.assessment.proxies import Proxies, read_reading_time
from pipelines.assessment.reading import reading_time, waiting_table, write_reading_time
from pipelines.assessment.reading_records import RoomReadingTime
from pipelines.assessment.room import largest_of, of_replications, simulation_record, theory_record
from pipelines.cli.reading import reading_time as verb
from pipelines.errors import ConfigError, EvaluationError
from pipelines.reading_time.scenario_file import parse_scenario, read_scenario
from pipelines.reading_time.theory import CLASSES, theory
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import Confusion, clopper_pearson

SHIPPED = sorted((Path(__file__).parents[2] / "configs" / "scenarios").glob("*.yaml"))
ROOM = {"prevalence": 0.2, "traffic": 0.7, "minutes": 10, "replications": 50, "films_per_replication": 3000}
GIVEN = ROOM | {"sensitivity": 0.9, "specificity": 0.8, "interrupting_fraction": 0.1}
COUNTS = Confusion(true_positive=45, false_negative=5, true_negative=80, false_positive=20)


def test_t_interval_of_replications_is_scipys():
    values = np.random.default_rng(1).gamma(4, 5, 40)
    found = of_replications(values, level=0.9, spread=False)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), expected.low, expected.high))
    assert (found.n, found.level) == (40, 0.9)


def test_replications_that_draw_accuracy_give_percentiles():
    values = np.random.default_rng(2).normal(0, 3, 400)
    found = of_replications(values, level=0.95, spread=True, signed=True)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    few = of_replications(values[:39], level=0.95, spread=True, signed=True)
    assert (few.low, few.high) == (None, None)
    assert "39" in few.why
    assert "40" in few.why


def test_replications_without_such_a_film():
    some = of_replications(np.array([1.0, np.nan, 3.0]), level=0.95, spread=False)
    assert (some.value, some.n) == (2, 2)
    assert "1 of 3" in some.method
    assert some.low == 0  # a wait is never negative
    assert of_replications(np.array([np.nan] * 3), level=0.95, spread=False).value is None
    assert largest_of(np.array([np.nan] * 3), level=0.95).value is None
    one = of_replications(np.array([4.0]), level=0.95, spread=False)
    assert (one.value, one.low) == (4.0, None)
    same = of_replications(np.zeros(5), level=0.95, spread=False)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_accuracy_is_drawn_from_its_posterior():
    drawn = Accuracy.of_counts(COUNTS, 0.95).draws(4000, seed=3)
    for column, (hits, misses) in enumerate(((45, 5), (80, 20))):
        assert stats.kstest(drawn[:, column], stats.beta(hits + 0.5, misses + 0.5).cdf).pvalue > 0.01
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.05
    assert np.array_equal(drawn, Accuracy.of_counts(COUNTS, 0.95).draws(4000, seed=3))
    assert not np.array_equal(drawn, Accuracy.of_counts(COUNTS, 0.95).draws(4000, seed=4))
    assert Accuracy(0.9, 0.8).draws(10, seed=1) is None


def bootstrap(value, low, high, n, level=0.95):
    return Estimate(value=value, low=low, high=high, level=level, method="bootstrap", n=n)


def test_effective_films_follow_the_width_of_the_interval():
    """A normal interval of n independent films gives n back; a wider one fewer; a narrower one never more."""
    for n, p in ((400, 0.9), (60, 0.35)):
        half = stats.norm.isf(0.025) * math.sqrt(p * (1 - p) / n)
        assert effective_films(bootstrap(p, p - half, p + half, 10_000)) == pytest.approx(n)
        assert effective_films(bootstrap(p, p - half, p + half, n // 2)) == n // 2
        wide = bootstrap(p, max(0, p - 2 * half), min(1, p + 2 * half), 10_000)
        assert effective_films(wide) == pytest.approx(n / 4, rel=0.05)
    for value in (0.0, 1.0):  # as an exact interval has it that counts one film per patient
        exact = clopper_pearson(round(20 * value), 20)
        assert effective_films(bootstrap(value, exact.low, exact.high, 100)) == pytest.approx(20)


def assessed(folder, films, copies):
    """An evaluation of patients with ``copies`` of one film each."""
    rows = films.loc[films.index.repeat(copies)].reset_index(drop=True)
    rows["image_id"] = [f"a/{i}" for i in range(len(rows))]
    folder.mkdir()
    rows.assign(path=rows["image_id"], dataset="a", split="test").drop(columns="score").to_csv(
        folder / "m.csv", index=False
    )
    rows[["image_id", "score"]].to_csv(folder / "s.csv", index=False)
    source = Source(folder / "s.csv", "image_id", {"tb": "score"}, {"tb": 0.5})
    return assess(source, folder / "m.csv", folder / "e", room=Proxies(prevalence=0.2, traffic=0.7))


def test_copies_of_films_say_no_more_than_the_films(tmp_path):
    """Three copies of every film: the counts are three times as large, the uncertainty is not smaller."""
    rng, n = np.random.default_rng(11), 240
    tb = (rng.random(n) < 0.4).astype(int)
    films = pd.DataFrame({"tb": tb, "patient_id": [f"p{i}" for i in range(n)]})
    films["score"] = np.clip(0.3 * tb + 0.7 * rng.random(n), 0, 1)
    once, thrice = (assessed(tmp_path / str(copies), films, copies) for copies in (1, 3))
    results = [found.evaluation.findings[0] for found in (once, thrice)]
    assert [result.intervals for result in results] == ["analytic", "bca"]
    plain, clustered = (Accuracy.of_finding(result) for result in results)
    for ours, truth in zip(clustered.measured, plain.measured, strict=True):
        assert ours.found.n == 3 * truth.found.n
        assert ours.films == pytest.approx(truth.films, rel=0.15)
    for edge in (0, -1):
        assert clustered.region()[edge] == pytest.approx(plain.region()[edge], abs=0.012)
    spreads = [accuracy.draws(4000, seed=1).std(axis=0) for accuracy in (clustered, plain)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.1)
    naive = Accuracy.of_counts(results[1].operating_point.counts, 0.95)
    assert naive.draws(4000, seed=1).std(axis=0) == pytest.approx(spreads[1] / math.sqrt(3), rel=0.1)
    waits = [found.reading_time.findings[0].theory.ai.waiting_minutes.missed for found in (once, thrice)]
    assert waits[1].value == pytest.approx(waits[0].value)
    assert waits[1].high - waits[1].low == pytest.approx(waits[0].high - waits[0].low, rel=0.12)
    assert "effective films" in waits[1].method
    assert "effective films" not in waits[0].method
    simulated = thrice.reading_time.findings[0].simulation
    assert "effective films" in simulated.ai.waiting_minutes.missed.method
    assert "effective films" not in simulated.fifo.waiting_minutes.all.method
    room = {"prevalence": 0.1, "traffic": 0.5, "replications": 2, "films_per_replication": 200}
    alone = reading_time(parse_scenario(room | {"evaluation": "3/e", "finding": "tb"}), folder=tmp_path)
    assert alone.accuracy.sensitivity == results[1].operating_point.sensitivity
    assert "effective films" in alone.theory.ai.waiting_minutes.missed.method


@pytest.fixture(scope="module")
def given():
    return reading_time(parse_scenario(GIVEN))


def test_theory_lies_in_the_interval_of_the_simulation(given):
    assert given.theory.exact
    for arm in ("fifo", "ai", "difference"):
        for name in CLASSES:
            exact = getattr(getattr(given.theory, arm).waiting_minutes, name)
            seen = getattr(getattr(given.simulation, arm).waiting_minutes, name)
            # 21 intervals of 95 %: widened to the level that all of them hold together.
            half = (seen.high - seen.low) / 2 * stats.t.ppf(1 - 0.025 / 21, 49) / stats.t.ppf(0.975, 49)
            assert abs(exact.value - seen.value) <= half + 1e-9
            assert exact.low is None
            assert "without uncertainty" in exact.why


def test_one_scenario_written_and_read_back(given, tmp_path):
    write_reading_time(given, tmp_path / "out")
    raw = json.loads((tmp_path / "out" / "reading_time.json").read_text())
    assert raw["schema"] == "cxr-triage/reading-time/2"
    assert set(raw["theory"]["ai"]["waiting_minutes"]) == set(CLASSES)
    assert set(raw["simulation"]["fifo"]) == {"waiting_minutes", "p95_minutes", "maximum_minutes", "largest_minutes"}
    assert raw["scenario"]["sensitivity"] == 0.9
    assert RoomReadingTime.model_validate(raw) == given
    table = pd.read_csv(tmp_path / "out" / "waiting.csv")
    assert list(table) == ["source", "arm", "class", "quantity", "value", "low", "high"]
    assert not table.duplicated(["source", "arm", "class", "quantity"]).any()
    assert len(table) == 7 * (3 + 4 + 4 + 3)
    row = table.query("source == 'theory' and arm == 'ai' and `class` == 'missed'").iloc[0]
    assert row["value"] == pytest.approx(given.theory.ai.waiting_minutes.missed.value)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["reading_time.json", "waiting.csv"]


def test_the_longest_wait_is_never_shorter_than_the_rest(given):
    for arm in (given.simulation.fifo, given.simulation.ai):
        for name in CLASSES:
            parts = (arm.waiting_minutes, arm.p95_minutes, arm.maximum_minutes, arm.largest_minutes)
            values = [getattr(part, name).value for part in parts]
            assert values == sorted(values)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_run(path):
    assert len(SHIPPED) >= 5
    small = ["replications=4", "films_per_replication=400", "warm_up_films=50"]
    found = reading_time(read_scenario(path, small), folder=path.parent)
    assert found.scenario.title
    assert found.simulation.ai.waiting_minutes.all.value > 0
    assert found.effort.minutes_per_1000.without_ai.value > 0
    has_theory = path.stem in ("qucad", "rural", "urban")
    assert (found.theory.absent is None) == has_theory
    if not has_theory:
        assert found.theory.ai.waiting_minutes.all.why == found.theory.absent


def test_rule_out_is_carried_through():
    filed = GIVEN | {"rule_out": {"sensitivity": 0.98, "specificity": 0.4}, "replications": 3}
    found = reading_time(parse_scenario(filed))
    assert found.screening.filed_share.value == pytest.approx(0.2 * 0.02 + 0.8 * 0.4)
    assert found.screening.filed_diseased_per_10000.value == pytest.approx(10_000 * 0.2 * 0.02)
    assert found.effort.minutes_per_1000.rule_out.value < found.effort.minutes_per_1000.without_ai.value
    assert found.simulation.difference.waiting_minutes.all.value < 0


@pytest.mark.parametrize("discipline", ["preemptive", "nonpreemptive"])
def test_with_rule_out_the_difference_is_of_the_films_that_both_orders_read(discipline):
    """Diseased films take longer and are read more often: all films of one order are not those of the other."""
    values = GIVEN | {"rule_out": {"sensitivity": 0.92, "specificity": 0.6}, "discipline": discipline}
    values |= {"minutes": {"diseased": 20, "nondiseased": 6}, "interrupting_fraction": 0.2}
    found = reading_time(parse_scenario(values))
    exact, seen = (part.difference.waiting_minutes for part in (found.theory, found.simulation))
    for name in CLASSES:
        half = (getattr(seen, name).high - getattr(seen, name).low) / 2 * 1.8  # seven intervals at a time
        assert abs(getattr(exact, name).value - getattr(seen, name).value) <= half + 1e-9
        assert "both orders read" in getattr(seen, name).method
        assert "both orders read" in getattr(exact, name).method
    # First come first served, every kind waits alike, whoever is filed; so the change of one kind is the plain one.
    before, after = found.theory.fifo.waiting_minutes, found.theory.ai.waiting_minutes
    assert exact.missed.value == pytest.approx(after.missed.value - before.missed.value)
    plain = after.all.value - before.all.value
    mixed = theory(found.scenario).fifo_of_read["all"]
    assert exact.all.value == pytest.approx(after.all.value - mixed)
    if discipline == "preemptive":  # a long film is interrupted more often, so waits differ by kind
        assert abs(exact.all.value - plain) > 0.05


def test_no_accuracy_is_refused():
    with pytest.raises(ConfigError, match="sensitivity and specificity"):
        reading_time(parse_scenario(ROOM))


def test_theory_of_measured_accuracy_spans_the_joint_region():
    scenario, accuracy = parse_scenario(ROOM), Accuracy.of_counts(COUNTS, 0.95)
    found = theory_record(scenario, accuracy)
    each = math.sqrt(0.95)
    se, sp = COUNTS.sensitivity(each), COUNTS.specificity(each)
    corners = [theory(scenario, (a, b)).ai["nondiseased"] for a in (se.low, se.high) for b in (sp.low, sp.high)]
    wait = found.ai.waiting_minutes.nondiseased
    assert wait.low <= min(corners) + 1e-9
    assert wait.high >= max(corners) - 1e-9
    assert wait.value == pytest.approx(theory(scenario, (0.9, 0.8)).ai["nondiseased"])
    assert found.fifo.waiting_minutes.diseased.low == pytest.approx(found.fifo.waiting_minutes.diseased.high)


def test_simulation_of_measured_accuracy_is_wider():
    scenario = parse_scenario(ROOM | {"films_per_replication": 20_000})
    drawn = simulation_record(scenario, Accuracy.of_counts(COUNTS, 0.95))
    fixed = simulation_record(scenario, Accuracy(0.9, 0.8))
    wide, narrow = drawn.ai.waiting_minutes.flagged, fixed.ai.waiting_minutes.flagged
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert (drawn.accuracy_drawn, fixed.accuracy_drawn) == (True, False)
    assert drawn.fifo.waiting_minutes.all == fixed.fifo.waiting_minutes.all  # accuracy is no part of it: same films


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation of 300 films, one of its two findings without a threshold."""
    base, rng, n = tmp_path_factory.mktemp("assembly"), np.random.default_rng(5), 300
    tb = (rng.random(n) < 0.3).astype(int)
    manifest = pd.DataFrame({"image_id": [f"a/{i}" for i in range(n)], "dataset": "a", "tb": tb, "nodule": 1 - tb})
    manifest = manifest.assign(path=manifest["image_id"], patient_id=[f"p{i // 2}" for i in range(n)], split="test")
    manifest.to_csv(base / "manifest.csv", index=False)
    scores = np.clip(0.4 * tb + 0.6 * rng.random(n), 0, 1)
    pd.DataFrame({"film": manifest["image_id"], "tb": scores, "other": 1 - scores}).to_csv(base / "s.csv", index=False)
    source = Source(base / "s.csv", "film", {"tb": "tb", "nodule": "other"}, {"tb": 0.4})
    assess(source, base / "manifest.csv", base / "evaluation", room=Proxies(prevalence=0.2, traffic=0.7))
    return base


def test_an_evaluation_has_everything_per_finding(folder):
    found = read_reading_time(folder / "evaluation")
    tb, nodule = found.findings
    assert (tb.finding, tb.absent, tb.threshold) == ("tb", None, 0.4)
    assert found.scenario.sensitivity is None
    assert found.scenario.prevalence == 0.2
    assert tb.simulation.accuracy_drawn
    estimate = tb.simulation.ai.waiting_minutes.diseased
    assert estimate.low < tb.theory.ai.waiting_minutes.diseased.value < estimate.high
    assert tb.rule_out.n == tb.worklist.n == 300
    assert tb.effort.minutes_per_1000.with_ai.low < tb.effort.minutes_per_1000.with_ai.high
    assert tb.screening.filed_share is None
    assert nodule.absent == "There is no operating point, so no film is flagged."
    assert (nodule.theory, nodule.simulation, nodule.screening, nodule.effort) == (None,) * 4
    assert nodule.worklist.n == 300


def test_a_scenario_takes_accuracy_from_an_evaluation(folder):
    (folder / "room.yaml").write_text(
        "prevalence: 0.1\ntraffic: 0.5\nreplications: 3\nfilms_per_replication: 200\n"
        "evaluation: evaluation\nfinding: tb\n"
    )
    scenario = read_scenario(folder / "room.yaml")
    found = reading_time(scenario, folder=folder)
    counts = json.loads((folder / "evaluation" / "evaluation.json").read_text())["findings"][0]["operating_point"]
    positives = counts["counts"]["true_positive"] + counts["counts"]["false_negative"]
    assert found.accuracy.source == "evaluation"
    assert found.accuracy.sensitivity.value == pytest.approx(counts["counts"]["true_positive"] / positives)
    assert found.accuracy.sensitivity.n == positives
    assert found.scenario.sensitivity == found.accuracy.sensitivity.value
    assert found.theory.ai.waiting_minutes.diseased.low is not None
    values = scenario.model_dump(by_alias=True)
    for changes, word in (
        ({"finding": "mass"}, "expected one of the evaluation's: tb, nodule"),
        ({"finding": "nodule"}, "no operating point"),
        ({"evaluation": "nowhere"}, "nowhere"),
        ({"rule_out": {"sensitivity": 0.5, "specificity": 0.1}}, "would file flagged films"),
    ):
        with pytest.raises(ConfigError, match=word):
            reading_time(parse_scenario(values | changes), folder=folder)


def test_a_broken_reading_time_file_is_named(folder, tmp_path):
    assert read_reading_time(tmp_path) is None
    (tmp_path / "reading_time.json").write_text('{"schema": "cxr-triage/reading-time/1"}')
    with pytest.raises(EvaluationError, match="not a valid cxr-triage/reading-time/2"):
        read_reading_time(tmp_path)


def test_the_verb_prints_both_sides_and_writes(tmp_path):
    (tmp_path / "room.yaml").write_text(json.dumps(GIVEN))
    app = typer.Typer()
    app.command()(verb)
    out = tmp_path / "out"
    done = CliRunner(env={"COLUMNS": "80"}).invoke(
        app, [str(tmp_path / "room.yaml"), "films_per_replication=300", "replications=3", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    for words in ("non-diseased", "missed", "not flagged", "Longest wait", "as given", "change", "interrupting"):
        assert words in done.output
    lines = done.output.splitlines()
    assert all(len(line) <= 80 for line in lines if "│" in line)
    written = RoomReadingTime.model_validate_json((out / "reading_time.json").read_bytes())
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│ missed")]
    assert len(cells) == 4  # theory; mean, 95th percentile and longest of the simulation
    mean = (written.theory.fifo, written.theory.ai, written.theory.difference)
    assert cells[0][1:3] == [f"{side.waiting_minutes.missed.value:.2f}" for side in mean[:2]]
    assert cells[0][3] == f"{mean[2].waiting_minutes.missed.value:+.2f}"
    for row, field in zip(cells[1:], ("waiting_minutes", "p95_minutes", "maximum_minutes"), strict=True):
        found = getattr(written.simulation.ai, field).missed
        assert float(row[2].split()[0]) == pytest.approx(found.value, abs=0.51 if found.high >= 100 else 0.06)
    assert (out / "reading_time.json").is_file()
    assert len(waiting_table(None, None)) == 0
