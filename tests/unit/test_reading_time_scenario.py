"""Scenario files: what they mean, and what is refused in which words."""

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ConfigError
from pipelines.reading_time.scenario import Scenario
from pipelines.reading_time.scenario_file import parse_scenario, read_scenario

BASE = {"prevalence": 0.1, "sensitivity": 0.9, "specificity": 0.9, "traffic": 0.8}
ISSUE = """
prevalence: 0.1
sensitivity: 0.9
specificity: 0.9
traffic: 0.8
readers: 2
interrupting_fraction: 0.1
minutes: {diseased: 10, nondiseased: 10, interrupting: 5}
discipline: preemptive
max_wait_minutes: null
rule_out: null
replications: 100
seed: 1
"""


def test_every_key_of_a_whole_file(tmp_path):
    (tmp_path / "room.yaml").write_text(ISSUE)
    found = read_scenario(tmp_path / "room.yaml")
    assert found.mean_minutes == pytest.approx(0.1 * 5 + 0.9 * 10)
    assert found.arrivals_per_minute == pytest.approx(0.8 * 2 / 9.5)
    assert found.flagged_share == pytest.approx(0.1 * 0.9 + 0.9 * 0.1)
    assert found.service("interrupting").second_moment == pytest.approx(2 * 25)
    assert (found.traffic_value, found.readers, found.seed, found.replications) == (0.8, 2, 1, 100)


def test_traffic_counts_interrupting_films_and_arrivals_are_its_inverse():
    by_traffic = parse_scenario(BASE | {"interrupting_fraction": 0.3, "minutes": {"nondiseased": 8, "interrupting": 3}})
    hourly = 60 * by_traffic.arrivals_per_minute
    by_rate = parse_scenario(by_traffic.model_dump(by_alias=True) | {"traffic": None, "arrivals_per_hour": hourly})
    assert by_rate.traffic_value == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("minutes", "means"),
    [
        (7, (7, 7, 7)),
        ({"diseased": 9}, (9, 9, 9)),
        ({"nondiseased": 4, "interrupting": 2}, (4, 4, 2)),
        ({"mean": 6, "distribution": "gamma", "cv": 0.5}, (6, 6, 6)),
    ],
)
def test_one_time_serves_all_kinds(minutes, means):
    found = parse_scenario(BASE | {"minutes": minutes})
    assert tuple(found.service(kind).mean for kind in ("diseased", "nondiseased", "interrupting")) == means


@pytest.mark.parametrize(
    ("time", "second"),
    [
        ({"mean": 10}, 200),
        ({"mean": 10, "distribution": "deterministic"}, 100),
        ({"mean": 10, "distribution": "lognormal", "cv": 2}, 500),
        ({"mean": 10, "distribution": "gamma", "cv": 0.5}, 125),
    ],
)
def test_second_moments(time, second):
    assert parse_scenario(BASE | {"minutes": time}).service("diseased").second_moment == pytest.approx(second)


def test_rota_profile_and_batches():
    found = parse_scenario(
        BASE
        | {
            "rota": [{"from": 8, "to": 16, "readers": 2}, {"from": 22, "to": 6, "readers": 1}],
            "arrivals": {"hourly": [1] * 24, "batches": [{"hour": 17.0, "films": 40}]},
        }
    )
    assert found.reader_steps == ((0.0, 1), (360.0, 0), (480.0, 2), (960.0, 0), (1320.0, 1))
    assert found.readers == 2
    assert found.mean_readers == pytest.approx((16 + 8) / 24)
    assert 1440 * (found.arrivals_per_minute - found.steady_per_minute) == pytest.approx(40)
    assert found.traffic_value == 0.8
    overlap = parse_scenario(
        BASE | {"rota": [{"from": 0, "to": 24, "readers": 1}, {"from": 9, "to": 12, "readers": 2}]}
    )
    assert overlap.reader_steps == ((0.0, 1), (540.0, 3), (720.0, 1))


def test_batches_alone_may_be_all_that_arrives():
    values = {"prevalence": 0.1, "arrivals": {"batches": [{"hour": 17.0, "films": 72}]}}
    found = parse_scenario(values)
    assert found.traffic_value == pytest.approx(72 * 10 / 1440)
    assert found.steady_per_minute == 0


def test_warm_up_grows_with_traffic():
    assert parse_scenario(BASE).warm_up == 1000
    assert parse_scenario(BASE | {"traffic": 0.99}).warm_up == pytest.approx(100_000, abs=1)
    assert parse_scenario(BASE | {"traffic": 0.9999}).warm_up == 200_000
    assert parse_scenario(BASE | {"warm_up_films": 7}).warm_up == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"traffic": 1.0}, ["traffic", "below 1", "found 1", "no limit"]),
        ({"traffic": None, "arrivals_per_hour": 30}, ["traffic", "found 5", "implied", "no limit"]),
        ({"traffic": 0}, ["traffic", "found 0", "greater than 0"]),
        ({"traffic": "0.8"}, ["traffic", "'0.8'", "number"]),
        ({"traffic": math.nan}, ["traffic", "nan", "finite"]),
        ({"traffic": math.inf}, ["traffic", "inf", "finite"]),
        ({"arrivals_per_hour": 3}, ["traffic and arrivals_per_hour are both given"]),
        ({"traffic": None}, ["traffic is missing", "arrivals_per_hour"]),
        ({"prevalence": -0.1}, ["prevalence", "-0.1"]),
        ({"sensitivity": True}, ["sensitivity", "True"]),
        ({"sensitivity": 1.2}, ["sensitivity", "1.2"]),
        ({"specificity": None}, ["sensitivity and specificity"]),
        ({"sensitivty": 0.9}, ["unknown key sensitivty", "did you mean sensitivity"]),
        ({"minutes": {"diseasd": 3}}, ["minutes.diseasd", "did you mean diseased"]),
        ({"minutes": {"diseased": {"mean": 3, "dist": 1}}}, ["minutes.diseased.dist", "distribution"]),
        ({"minutes": {"diseased": {"mean": 3, "distribution": "gamma"}}}, ["minutes.diseased", "cv", "gamma"]),
        ({"minutes": {"mean": 3, "cv": 0.5}}, ["cv", "exponential"]),
        ({"minutes": {"mean": 3, "distribution": "weibull", "cv": 1}}, ["weibull", "lognormal"]),
        ({"minutes": 0}, ["minutes", "found 0"]),
        ({"minutes": {}}, ["minutes", "missing"]),
        ({"minutes": "ten"}, ["minutes", "'ten'"]),
        ({"readers": 0}, ["readers", "found 0"]),
        ({"readers": 1.5}, ["readers", "1.5"]),
        ({"discipline": "lifo"}, ["discipline", "'lifo'", "preemptive", "nonpreemptive"]),
        ({"interrupting_fraction": 1}, ["interrupting_fraction", "less than 1"]),
        ({"max_wait_minutes": 0}, ["max_wait_minutes"]),
        ({"rule_out": {"sensitivity": 0.8, "specificity": 0.5}}, ["rule_out.sensitivity", "0.8", "never filed"]),
        ({"rule_out": {"sensitivity": 0.95, "specificity": 0.95}}, ["rule_out.specificity", "0.95", "never filed"]),
        ({"rota": []}, ["rota"]),
        ({"rota": [{"from": 8, "to": 8, "readers": 1}]}, ["rota.0", "without length"]),
        ({"rota": [{"from": 8, "too": 9, "readers": 1}]}, ["rota.0.too", "from, to, readers"]),
        ({"rota": [{"from": 8, "to": 16, "readers": 2}], "readers": 5}, ["readers", "5", "rota"]),
        ({"rota": [{"from": 8, "to": 16, "readers": 1}], "traffic": 1e-9}, ["rota", "films a day", "at least 0.01"]),
        ({"arrivals": {"hourly": [1] * 23}}, ["arrivals.hourly", "23", "24"]),
        ({"arrivals": {"hourly": [0] * 24}}, ["arrivals.hourly", "above 0"]),
        ({"arrivals": {"batches": [{"hour": 24, "films": 4}]}}, ["arrivals.batches.0.hour", "24"]),
        ({"arrivals": {"batches": [{"hour": 17, "films": 4000}]}}, ["arrivals.batches", "4000", "115.2"]),
        ({"evaluation": "here", "finding": "tb"}, ["evaluation", "sensitivity", "one of them"]),
        ({"finding": "tb"}, ["evaluation and finding"]),
        ({"replications": 1}, ["replications", "found 1"]),
        ({"seed": -1}, ["seed", "-1"]),
        ({"effort": {"ai_positive_seconds": -3}}, ["effort"]),
        ({7: 1}, ["7"]),
    ],
)
def test_what_is_refused_and_how(changes, words):
    with pytest.raises(ConfigError) as refused:
        parse_scenario(BASE | changes, source="room.yaml")
    text = str(refused.value)
    assert text.startswith("room.yaml: ")
    assert "\n" not in text
    for word in words:
        assert word in text


def test_missing_prevalence_is_named():
    with pytest.raises(ConfigError, match="key prevalence is missing"):
        parse_scenario({"traffic": 0.8})


@pytest.mark.parametrize(
    ("text", "word"),
    [("a: [", "line"), ("- 1", "list"), ("", "NoneType"), ("\x00", "YAML"), ("[" * 3000, "YAML")],
)
def test_files_that_are_no_scenario(tmp_path, text, word):
    (tmp_path / "room.yaml").write_text(text)
    with pytest.raises(ConfigError, match=word):
        read_scenario(tmp_path / "room.yaml")


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match="no such scenario file"):
        read_scenario(tmp_path / "room.yaml")


def test_overrides(tmp_path):
    (tmp_path / "room.yaml").write_text(ISSUE)
    changes = ["traffic=0.5", "minutes.interrupting=2", "rule_out.sensitivity=0.99", "rule_out.specificity=0.3"]
    found = read_scenario(tmp_path / "room.yaml", [*changes, "arrivals.hourly=[" + ",".join("1" * 24) + "]"])
    assert (found.traffic, found.service("interrupting").mean) == (0.5, 2)
    assert found.rule_out.specificity == 0.3
    for wrong, word in (
        ("traffic", "key=value"),
        ("traffic.x=1", "single value"),
        ("reders=2", "did you mean readers"),
    ):
        with pytest.raises(ConfigError, match=word):
            read_scenario(tmp_path / "room.yaml", [wrong])


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 50) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(Scenario.model_fields)), values, max_size=4))
def test_anything_is_a_scenario_or_one_sentence(changes):
    try:
        found = parse_scenario(BASE | changes)
    except ConfigError:
        return
    assert 0 < found.traffic_value < 1
    again = yaml.safe_load(yaml.safe_dump(found.model_dump(mode="json", by_alias=True)))
    assert parse_scenario(again) == found
