"""Reading effort: the published study, arithmetic by hand, and intervals against a simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.errors import ConfigError
from pipelines.reading_time.effort import OWN, EffortSettings, RuleOutAccuracy, effort_minutes, reading_effort
from pipelines.statistics.estimates import Estimate
from pipelines.statistics.proportions import clopper_pearson

SHARE = st.floats(0, 1)


def test_the_published_means_by_class_give_the_published_overall_means():
    # Shin 2023 states both: the share of AI-positive films that explains 14.8 s without AI must explain 13.3 s with it.
    flagged = (14.8 - 13.1) / (18.4 - 13.1)
    minutes = effort_minutes(flagged, None, EffortSettings())
    assert minutes["without_ai"] * 60 / 1000 == pytest.approx(14.8, abs=1e-9)
    assert minutes["with_ai"] * 60 / 1000 == pytest.approx(13.3, abs=0.05)
    assert set(minutes) == {"without_ai", "with_ai"}


def test_by_hand():
    settings = EffortSettings.model_validate(
        {
            "ai_positive_seconds": {"with_ai": 60, "without_ai": 120},
            "ai_negative_seconds": {"with_ai": 30, "without_ai": 60},
            "source": "by hand",
        }
    )
    found = reading_effort(settings, 0.1, 0.9, 0.8, (0.99, 0.5))
    # 0.1 x 0.9 + 0.9 x 0.2 = 0.27 flagged; 0.1 x 0.01 + 0.9 x 0.5 = 0.451 filed: 279 of 1,000 unflagged films are read
    assert found.flagged_share.value == pytest.approx(0.27)
    assert found.filed_share.value == pytest.approx(0.451)
    assert found.minutes_per_1000.without_ai.value == pytest.approx(270 * 2 + 730)
    assert found.minutes_per_1000.with_ai.value == pytest.approx(270 + 730 / 2)
    assert found.minutes_per_1000.rule_out.value == pytest.approx(270 * 2 + 279)
    assert found.minutes_per_1000.with_ai_and_rule_out.value == pytest.approx(270 + 279 / 2)
    assert found.difference.with_ai_and_rule_out.value == pytest.approx(270 + 279 / 2 - 1270)
    assert found.minutes_per_1000.with_ai.low is None
    assert "without intervals" in found.minutes_per_1000.with_ai.why


def test_films_filed_beyond_the_unflagged_ones_are_flagged_ones():
    minutes = effort_minutes([0.5, 0.5, 0.0], [0.8, 1.0, 0.0], EffortSettings())
    assert minutes["rule_out"] == pytest.approx([1000 / 60 * 0.2 * 18.4, 0, minutes["without_ai"][2]])


@given(SHARE, SHARE)
def test_filing_never_costs_time_and_arrays_agree_with_numbers(flagged, filed):
    settings = EffortSettings()
    one = effort_minutes(flagged, filed, settings)
    assert 0 <= one["rule_out"] <= one["without_ai"] + 1e-9
    assert 0 <= one["with_ai_and_rule_out"] <= one["with_ai"] + 1e-9
    many = effort_minutes(np.array([flagged, 0.5]), np.array([filed, 0.5]), settings)
    assert all(many[name][0] == one[name] for name in one)


@given(SHARE, SHARE, SHARE, SHARE, SHARE)
def test_any_shares_have_an_answer(prevalence, a, b, c, d):
    effort = reading_effort(None, prevalence, a, b, (c, d))
    assert 0 <= effort.filed_share.value <= 1
    assert effort.minutes_per_1000.with_ai_and_rule_out.value >= 0


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng, prevalence, inside, rounds = np.random.default_rng(7), 0.2, [0, 0, 0], 400
    truth = reading_effort(None, prevalence, 0.85, 0.75, (0.97, 0.4)).minutes_per_1000
    for _ in range(rounds):
        sick, well = rng.random(150), rng.random(250)
        # Filing and flagging are thresholds on the same scores, so the two sensitivities are dependent.
        shares = [(sick < 0.85).sum(), (well < 0.75).sum(), (sick < 0.97).sum(), (well < 0.4).sum()]
        at = [clopper_pearson(int(k), n) for k, n in zip(shares, (150, 250, 150, 250), strict=True)]
        found = reading_effort(None, prevalence, at[0], at[1], (at[2], at[3])).minutes_per_1000
        for place, name in enumerate(("without_ai", "rule_out", "with_ai_and_rule_out")):
            inside[place] += getattr(found, name).low <= getattr(truth, name).value <= getattr(found, name).high
    assert all(0.94 <= count / rounds <= 1 for count in inside)


def test_one_uncertain_share_gives_its_own_interval_back():
    sensitivity = clopper_pearson(45, 50)
    found = reading_effort(None, 1.0, sensitivity, 0.5)
    assert (found.flagged_share.low, found.flagged_share.high) == pytest.approx((sensitivity.low, sensitivity.high))
    assert found.flagged_share.n == 50


def test_unknown_accuracy_is_carried_as_a_reason():
    absent = Estimate.absent("no positive films", method="exact")
    found = reading_effort(None, 0.1, absent, clopper_pearson(5, 9))
    assert found.minutes_per_1000.with_ai.value is None
    assert "no positive films" in found.minutes_per_1000.with_ai.why
    bare = Estimate(value=0.5, low=None, high=None, level=0.95, method="exact", n=3, why="too few")
    assert "sensitivity has no interval" in reading_effort(None, 0.1, bare, clopper_pearson(5, 9)).flagged_share.why


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf")])
def test_impossible_shares_are_refused_by_name(bad):
    for arguments, name in (((bad, 0.9, 0.9), "prevalence"), ((0.1, bad, 0.9), "sensitivity")):
        with pytest.raises(ConfigError, match=name):
            reading_effort(None, *arguments)
    with pytest.raises(ConfigError, match=r"rule_out\.specificity"):
        reading_effort(None, 0.1, 0.9, 0.9, RuleOutAccuracy.model_construct(sensitivity=0.9, specificity=bad))
    with pytest.raises(ConfigError, match="flagged_share"):
        effort_minutes([0.5, bad], None, EffortSettings())


def test_levels_must_agree():
    with pytest.raises(ConfigError, match=r"0\.9.*0\.95"):
        reading_effort(None, 0.1, clopper_pearson(9, 10, 0.9), clopper_pearson(9, 10, 0.95))


def test_settings_of_a_user():
    assert "18,680" in EffortSettings().source
    own = EffortSettings.model_validate({"ai_negative_seconds": {"with_ai": 5, "without_ai": 7}})
    assert own.source == OWN
    assert own.ai_positive_seconds.with_ai == 18.6
    for wrong in ({"with_ai": 0, "without_ai": 7}, {"with_ai": True, "without_ai": 7}, {"with_ai": 5}):
        with pytest.raises(ValidationError):
            EffortSettings.model_validate({"ai_negative_seconds": wrong})
    with pytest.raises(ValidationError):
        EffortSettings.model_validate({"seconds": 5})


def test_record_round_trips():
    found = reading_effort(None, 0.1, clopper_pearson(9, 10), clopper_pearson(80, 100), (clopper_pearson(9, 10), 0.3))
    assert type(found).model_validate_json(found.model_dump_json()) == found
