"""Measured reading times: cleaning by hand, the mixed model against statsmodels and closed forms, hostile logs."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
import typer
from scipy import stats
from typer.testing import CliRunner

from pipelines.cli.reading_log import reading_log
from pipelines.errors import EvaluationError
from pipelines.reading_time.crossed_effects import fit_crossed
from pipelines.reading_time.reading_effects import reading_effects
from pipelines.reading_time.reading_log import (
    ReadingLog,
    analyse_reading_log,
    mean_interval,
    summary_lines,
    write_reading_log,
)
from pipelines.reading_time.reading_log_cleaning import DROPPED, Limits, clean, read_log

HEADER = "reader,film,started,finished,ai_shown"


def write(folder, text):
    path = folder / "log.csv"
    path.write_text(text, encoding="utf-8")
    return path


def crossover(seed, readers=4, films=40, effect=-0.1, learning=0.0, spread=0.0, positive=None):
    """Readings that count: every reader reads every film in both arms; half with AI first."""
    rng = np.random.default_rng(seed)
    of_reader, of_film = 0.3 * rng.normal(size=readers), 0.4 * rng.normal(size=films)
    own = effect + spread * rng.normal(size=readers)
    called = (rng.random(films) < 0.4).astype(float)
    rows = []
    for reader in range(readers):
        place = 0
        for period in (1, 2):
            for film in rng.permutation(films):
                place += 1
                shown = (film + reader + period) % 2
                change = own[reader] if positive is None or not called[film] else positive
                mean = 2.6 + of_reader[reader] + of_film[film] + change * shown + learning * place
                seconds = math.exp(mean + 0.3 * rng.normal())
                rows.append((reader + 1, film + 1, float(shown), seconds, float(place), float(period), called[film]))
    return pd.DataFrame(rows, columns=["reader", "film", "ai_shown", "seconds", "place", "period", "ai_positive"])


def percent(beta):
    return 100 * (math.exp(beta) - 1)


# cleaning


def test_every_row_is_accounted_for(tmp_path):
    rows = [
        "Ann,f1,0,10,0",
        "Ann,f2,20,35.5,1",
        ",f3,40,50,1",
        "Ann,,60,70,1",
        "Ann,f4,,80,1",
        "Ann,f4,soon,80,1",
        "Ann,f5,100,100,0",
        "Ann,f5,110,100,0",
        "Ann,f6,120,130,maybe",
        "Ann,f2,140,150,1",  # again in the same arm
        "Ann,f1,160,170,TRUE",  # the other arm: not a duplicate
        "Ann,f7,200,801,no",  # 601 s: a pause
        "Bob,f1,0,600,Yes",  # exactly the limit: not a pause
        "Bob,f2,590,640,0",  # overlaps the reading before
        "Bob,f3,2000,2010,0",  # after 1,360 idle seconds
        "Bob,f4,nan,2010,0",
        "Bob,f5,inf,inf,0",
    ]
    cleaned = clean(read_log(write(tmp_path, "\n".join([HEADER, *rows]))))
    assert cleaned.table["reason"].tolist() == [
        "", "", "no_reader", "no_film", "no_time", "unreadable_time", "not_positive", "not_positive", "unknown_arm",
        "duplicate", "", "pause", "", "", "", "unreadable_time", "unreadable_time",
    ]  # fmt: skip
    assert cleaned.times == "seconds"
    assert len(cleaned.kept) + sum(cleaned.dropped.values()) == len(rows)
    assert cleaned.noted == {"overlap": 1, "gap": 1, "order_derived": 9 - 1}
    assert cleaned.kept["reader"].tolist() == [1, 1, 1, 2, 2, 2]
    assert cleaned.kept["film"].tolist() == [1, 2, 1, 1, 2, 3]
    assert cleaned.kept["seconds"].tolist() == [10, 15.5, 10, 600, 50, 10]
    assert cleaned.table["row"].tolist() == list(range(1, 18))


def test_an_outlier_is_far_from_the_median_of_its_reader_and_arm(tmp_path):
    times = [10, 11, 9, 10.5, 9.5, 10, 12, 8, 10, 11, 200]
    rows = [f"a,f{i},{1000 * i},{1000 * i + t},0" for i, t in enumerate(times)]
    rows += [f"a,f{i},{1000 * i + 400},{1000 * i + 600},1" for i in range(3)]  # 200 s is usual in the other arm
    log = read_log(write(tmp_path, "\n".join([HEADER, *rows])))
    found = clean(log).table
    logs = np.log(times)
    spread = 1.4826 * np.median(np.abs(logs - np.median(logs)))
    assert (np.abs(logs - np.median(logs)) > 5 * spread).tolist() == [False] * 10 + [True]
    assert found["reason"].tolist() == [""] * 10 + ["outlier"] + [""] * 3
    assert clean(log, Limits(outlier_mads=None)).table["kept"].all()


def test_iso_times_with_zones_and_mixed_ones(tmp_path):
    rows = [
        "a,1,2024-03-31T01:59:50+01:00,2024-03-31T03:00:05+02:00,0",  # 15 s over the change to summer time
        "a,2,2024-03-31T10:00:00,2024-03-31 10:00:12.5,1",
        "a,3,2024-03-31T10:01:00Z,2024-03-31T10:01:12,1",  # one end without a zone
        "a,4,17,29,1",  # seconds in a log of dates
        "a,5,2024-02-30T10:00:00,2024-02-30T10:00:09,1",
    ]
    cleaned = clean(read_log(write(tmp_path, "\n".join([HEADER, *rows]))))
    assert cleaned.times == "ISO 8601"
    assert cleaned.table["reason"].tolist() == ["", "", *["unreadable_time"] * 3]
    assert cleaned.kept["seconds"].tolist() == [15, 12.5]


def test_order_is_used_where_it_is_one_and_derived_where_not(tmp_path):
    rows = ["a,1,0,1,0,20", "a,2,5,6,1,10", "b,1,0,1,0,1", "b,2,9,10,1,1", "b,3,5,6,1,2"]
    cleaned = clean(read_log(write(tmp_path, "\n".join([HEADER + ",order", *rows]))))
    assert cleaned.table["place"].tolist() == [2, 1, 1, 3, 2]  # b has one number twice: by time
    assert cleaned.noted["order_derived"] == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header and at least one reading"),
        (HEADER, "header and at least one reading"),
        ("reader,film\na,b", "no column 'started' for started"),
        (HEADER + ",reader\na,b,1,2,0,c", "'reader' is there 2 times"),
        (HEADER + "\na,b,1,2,0,9,9", "reading 1 has 7 cells"),
        (HEADER + '\na,"b,1,2,0', "not a table"),
    ],
)
def test_files_that_are_no_logs(tmp_path, text, words):
    with pytest.raises(EvaluationError, match=words):
        read_log(write(tmp_path, text))


def test_other_names_separators_and_encodings(tmp_path):
    path = write(tmp_path, "\ufeffWho;film;started;finished;AI\n\nann ; 1;0;5;1\n")
    frame = read_log(path, {"reader": "Who", "ai_shown": "AI"})
    assert frame.iloc[0].tolist() == ["ann", "1", "0", "5", "1"]
    with pytest.raises(EvaluationError, match="column 'speed'"):
        read_log(path, {"speed": "Who"})
    with pytest.raises(EvaluationError, match="no column 'when' for order"):
        read_log(path, {"reader": "Who", "ai_shown": "AI", "order": "when"})
    path.write_bytes(HEADER.encode() + b"\n\xff,1,0,5,1")
    with pytest.raises(EvaluationError, match="UTF-8"):
        read_log(path)


# the mixed model


@pytest.mark.parametrize(("readers", "films", "drop"), [(5, 20, 0), (4, 30, 50), (3, 12, 20)])
def test_the_crossed_model_is_that_of_statsmodels(readers, films, drop):
    rows = crossover(readers + films, readers, films)
    rows = rows.sample(len(rows) - drop, random_state=1).assign(y=lambda d: np.log(d.seconds), one=1, order=rows.place)
    theirs = smf.mixedlm(
        "y ~ ai_shown + order", rows, groups="one", vc_formula={"film": "0 + C(film)", "reader": "0 + C(reader)"}
    ).fit()
    design = np.column_stack([np.ones(len(rows)), rows.ai_shown, rows.order])
    ours = fit_crossed(rows.y.to_numpy(), design, rows.reader.to_numpy() - 1, rows.film.to_numpy() - 1)
    assert ours.converged
    assert ours.beta == pytest.approx(theirs.fe_params.to_numpy(), abs=2e-4)
    assert np.sqrt(np.diag(ours.covariance)) == pytest.approx(theirs.bse_fe.to_numpy(), rel=5e-3)
    assert ours.residual_sd**2 == pytest.approx(theirs.scale, rel=5e-3)
    film, reader = theirs.vcomp
    assert ours.film_sd**2 == pytest.approx(film, rel=2e-2)
    assert ours.reader_sd**2 == pytest.approx(reader, rel=5e-2)


def test_without_random_effects_it_is_least_squares():
    rng = np.random.default_rng(1)
    design = sm.add_constant(rng.normal(size=(50, 2)))
    response = design @ [1, 2, 3] + rng.normal(size=50)
    ours, theirs = fit_crossed(response, design, None, None), sm.OLS(response, design).fit()
    assert ours.beta == pytest.approx(theirs.params)
    assert np.sqrt(np.diag(ours.covariance)) == pytest.approx(theirs.bse)
    # and where levels do not differ, the search ends at no random effect
    alternating = np.tile([0, 1], 25)
    flat = fit_crossed(response, design, alternating, None)
    assert flat.beta == pytest.approx(theirs.params, abs=0.1)


def test_a_balanced_crossover_is_the_paired_difference():
    rows = crossover(2).assign(period=np.nan)
    found = reading_effects(rows, learning=False)
    wide = rows.assign(y=np.log(rows.seconds)).pivot(index=["reader", "film"], columns="ai_shown", values="y")
    differences = wide[1.0] - wide[0.0]
    assert found.ai_percent.value == pytest.approx(percent(differences.mean()), abs=1e-6)
    for number, one in enumerate(found.by_reader, 1):
        own = differences.loc[number]
        interval = stats.ttest_1samp(own, 0).confidence_interval(0.95)
        assert one.reader == f"reader {number}"
        assert one.ai_percent.value == pytest.approx(percent(own.mean()), abs=1e-6)
        # The films' effects are large here, so the model's error is that of the paired t test, to the same 39 df.
        assert one.ai_percent.method.endswith("39 df")
        assert [one.ai_percent.low, one.ai_percent.high] == pytest.approx(list(map(percent, interval)), abs=0.01)
    means = differences.groupby("reader").mean()
    interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    over = found.over_readers_percent
    assert [over.low, over.high] == pytest.approx(list(map(percent, interval)), abs=1e-6)
    assert over.n == 4


def test_a_known_effect_is_inside_its_interval_as_often_as_said():
    inside, learned, rounds = 0, 0, 120
    for seed in range(rounds):
        rows = crossover(seed, 2, 24, effect=-0.2, learning=-0.002)
        found = reading_effects(rows.assign(ai_positive=np.nan))
        inside += found.ai_percent.low <= percent(-0.2) <= found.ai_percent.high
        slope = found.learning_per_10_percent
        learned += slope.low <= percent(-0.02) <= slope.high
    assert inside / rounds == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / rounds))
    assert learned / rounds == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / rounds))


def test_the_split_recovers_asymmetric_effects_and_learning():
    rows = crossover(3, 8, 120, effect=-0.2, learning=-0.001, positive=0.05)
    found = reading_effects(rows)
    for estimate, truth in (
        (found.ai_negative_percent, -0.2), (found.ai_positive_percent, 0.05), (found.interaction_percent, 0.25),
        (found.learning_per_10_percent, -0.01), (found.learning_per_100_percent, -0.1),
    ):  # fmt: skip
        assert estimate.low <= percent(truth) <= estimate.high
        assert estimate.high - estimate.low < 25
    assert found.converged
    assert (found.residual_sd, found.film_sd) == pytest.approx((0.3, 0.4), abs=0.08)
    only = reading_effects(rows[rows.ai_positive == 0])
    assert only.ai_negative_percent.value == pytest.approx(only.ai_percent.value)
    assert only.ai_positive_percent.why == "no reading of a film that the AI calls positive"


def test_readers_who_differ_widen_the_interval_over_readers():
    found = reading_effects(crossover(5, 8, 60, spread=0.3), learning=False)
    over, these = found.over_readers_percent, found.ai_percent
    assert over.high - over.low > 3 * (these.high - these.low)


# logs that cannot answer


def test_what_a_log_cannot_answer_is_named():
    rows = crossover(1, 3, 10)
    for part, why in (
        (rows[:0], "no reading counts"),
        (rows[rows.ai_shown == 1], "one arm only: all readings are with AI"),
        (rows[rows.ai_shown == 0], "one arm only: all readings are without AI"),
        (rows.assign(seconds=7.0), "all reading times are equal"),
        (rows[(rows.reader < 3) & (rows.ai_shown == rows.reader - 1)], "each of two readers has read in one arm only"),
        (rows[rows.film == 1].groupby("ai_shown").head(1), "2 readings are too few for a model of"),
    ):
        found = reading_effects(part)
        assert found.ai_percent.value is None
        assert why in found.ai_percent.why
        assert found.converged is None
        assert why in found.model
        assert found.learning_per_10_percent.value is None


def test_one_reader_one_film_and_films_read_once():
    rows = crossover(1, 3, 30)
    one = reading_effects(rows[rows.reader == 2])
    assert one.ai_percent.low < one.ai_percent.value < one.ai_percent.high
    assert any("one reader only" in note for note in one.notes)
    assert "film" in one.model
    assert one.reader_sd is None
    assert "two are needed" in one.over_readers_percent.why
    film = reading_effects(rows[rows.film == 2], learning=False)
    assert any("one film only" in note for note in film.notes)
    once = rows.drop_duplicates("film").assign(period=np.nan)
    found = reading_effects(once, learning=False)
    assert any("no film has two readings" in note for note in found.notes)
    theirs = sm.OLS(np.log(once.seconds), sm.add_constant(once.ai_shown)).fit()
    assert found.ai_percent.value == pytest.approx(percent(theirs.params.ai_shown))
    assert found.ai_percent.low == pytest.approx(percent(theirs.conf_int().loc["ai_shown", 0]))


def test_a_period_that_is_the_arm_is_left_out_and_named():
    rows = crossover(1, 3, 20)
    found = reading_effects(rows.assign(period=rows.ai_shown + 1))
    assert any(note.startswith("period 2 cannot be told apart from intercept, AI shown") for note in found.notes)
    assert found.ai_percent.value is not None


def test_films_in_one_arm_each_are_compared_with_each_other():
    rows = crossover(1, 4, 30)
    found = reading_effects(rows[rows.film % 2 == rows.ai_shown].assign(period=np.nan), learning=False)
    assert found.ai_percent.method.endswith("28 df")
    assert any("compares films with each other" in note for note in found.notes)
    assert found.ai_percent.high - found.ai_percent.low > 20  # the films' spread is in the interval


def test_learning_can_be_left_out():
    found = reading_effects(crossover(1), learning=False)
    assert found.learning_per_100_percent.why == "learning was not asked for"
    assert "learning" not in found.model


def test_mean_interval():
    values = np.array([1.0, 2.0, 4.0])
    found = mean_interval(values, 0.9, "mean")
    assert (found.low, found.high) == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.9))
    assert mean_interval(values[:1], 0.9, "mean").why == "one reading"
    assert mean_interval(values[:0], 0.9, "mean").value is None


# files


def test_what_is_written_names_nobody(tmp_path):
    rows = crossover(4, 3, 20)
    clock = np.cumsum(rows.seconds + 5)
    lines = [
        f"Dr Secret{r.reader},PATIENT{r.film},{c:.3f},{c + r.seconds:.3f},{r.ai_shown:.0f},{r.place:.0f},,s{r.period}"
        for r, c in zip(rows.itertuples(), clock, strict=True)
    ]
    lines.append("Dr Secret1,PATIENT1,x,y,1,1,,s1")
    path = write(tmp_path, "\n".join([HEADER + ",order,ai_positive,period", *lines]))
    app = typer.Typer()
    app.command()(reading_log)
    shown = CliRunner().invoke(app, [str(path), "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert shown.exit_code == 0
    assert "120 of 121 rows" in shown.output
    result = ReadingLog.model_validate_json((tmp_path / "out" / "reading_log.json").read_bytes())
    assert json.loads((tmp_path / "out" / "reading_log.json").read_text())["schema"] == "cxr-triage/reading-log/1"
    assert (result.rows, result.readings, result.readers, result.films) == (121, 120, 3, 20)
    assert sum(row.n for row in result.cleaning if not row.counts) == 1
    assert {row.code for row in result.cleaning} >= set(DROPPED)
    table = pd.read_csv(tmp_path / "out" / "cleaned.csv")
    assert len(table) == 121
    assert table["seconds"].iloc[:120].to_numpy() == pytest.approx(rows.seconds.to_numpy(), abs=2e-3)
    with_ai = next(arm for arm in result.arms if arm.reader == "reader 2" and arm.ai_shown)
    own = rows[(rows.reader == 2) & (rows.ai_shown == 1)].seconds
    assert with_ai.geometric_mean.value == pytest.approx(stats.gmean(own), rel=1e-3)
    assert with_ai.arithmetic_mean.value == pytest.approx(own.mean(), rel=1e-3)
    for file in (tmp_path / "out").iterdir():
        assert "Secret" not in file.read_text()
        assert "PATIENT" not in file.read_text()
    assert "Secret" not in shown.output


def test_a_log_without_one_usable_row_is_still_an_answer(tmp_path):
    path = write(tmp_path, HEADER + "\na,b,x,y,1\n")
    result, cleaned = analyse_reading_log(path)
    assert result.readings == 0
    assert result.effects.ai_percent.why == "no reading counts"
    assert any("neither ISO 8601 nor seconds" in line for line in summary_lines(result))
    write_reading_log(result, cleaned, tmp_path / "out")
    assert (tmp_path / "out" / "cleaned.csv").read_text().count("\n") == 2
