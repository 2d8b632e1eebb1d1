"""The chapter on reading time: numbers against closed forms and counts, harm beside gain, and what is absent."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pipelines.reading_time.effort import SOURCE
from pipelines.reporting.book import Study, make_book
from pipelines.reporting.chapters.workload import chapter
from tests.report_studies import ROOM, english, films, study

COHORT = films(tp=45, fn=5, fp=45, tn=405)
"""Sensitivity 90 %, specificity 90 %."""


@pytest.fixture(scope="module")
def made():
    book = make_book((study(COHORT, ROOM),))
    return book, chapter(book, english(book))


def table(made_chapter, ending):
    found = [one for one in made_chapter.tables if one.key.endswith(ending)]
    assert len(found) == 1, [one.key for one in made_chapter.tables]
    return found[0]


def rows_of(one):
    return {row[0].text: row for row in one.rows}


def page_text(made_chapter):
    return " ".join(re.sub(r"<svg.*?</svg>", "", str(made_chapter.body), flags=re.S).split())


def svgs(made_chapter):
    return re.findall(r"<svg.*?</svg>", str(made_chapter.body), re.S)


def test_mean_waits_are_those_of_the_closed_form(made):
    # M/M/1 with preemption: flagged films see only each other, the rest all; 18 % of films are flagged at 10 %.
    rho, mean = 0.8, 10.0
    first = rho * (0.1 * 0.9 + 0.9 * 0.1)
    flagged = mean * first / (1 - first)
    unflagged = mean / ((1 - first) * (1 - rho)) - mean
    expected = {
        "films with the finding": 0.9 * flagged + 0.1 * unflagged,
        "missed films: with the finding, not flagged": unflagged,
        "films without the finding": 0.1 * flagged + 0.9 * unflagged,
        "flagged films": flagged,
        "films not flagged": unflagged,
    }
    rows = rows_of(table(made[1], "-mean"))
    for name, wait in expected.items():
        assert rows[name][1].value == pytest.approx(mean * rho / (1 - rho))
        assert rows[name][2].value == pytest.approx(wait)
        assert rows[name][2].text.startswith(f"{wait:.1f} ")
        word = "longer" if wait > 40 else "shorter"
        assert rows[name][3].text.startswith(f"{abs(wait - 40):.1f} {word}")
    assert "theory, exact" in table(made[1], "-mean").title


@pytest.mark.parametrize("ending", ["-mean", "-p95", "-longest"])
def test_missed_films_stand_in_every_table_of_waits(made, ending):
    missed = rows_of(table(made[1], ending))["missed films: with the finding, not flagged"]
    assert "longer" in missed[3].text
    assert "min longer" in page_text(made[1])
    assert 'class="card longer"' in made[1].body
    assert 'class="card shorter"' in made[1].body


def test_a_change_that_films_do_not_decide_is_drawn_as_neither():
    book = make_book((study(films(tp=6, fn=4, fp=30, tn=20), ROOM),))
    gap = book.studies[0].reading_time.findings[0].theory.difference.waiting_minutes.diseased
    assert gap.low < 0 < gap.high
    body = str(chapter(book, english(book)).body)
    card = re.search(r'<div class="card ([a-z]*)"><div class="label">Films with the finding', body)
    assert card.group(1) == ""


def test_long_tables_beside_a_figure_are_folded_and_the_mean_is_not(made):
    folded = {one.key.rsplit("-", 1)[1]: one.folded for one in made[1].tables}
    assert not folded["mean"]
    assert folded["p95"]
    assert folded["longest"]


def test_tails_say_that_they_are_simulated_and_from_how_much(made):
    for ending in ("-p95", "-longest"):
        title = table(made[1], ending).title.striptags()
        assert "simulated: 4 runs of 300 films" in title
    assert "4 replications are too few" in table(made[1], "-p95").note


def test_waiting_figure_says_its_numbers_and_who_pays(made):
    alt = re.search(r'aria-label="(Waiting times[^"]*)"', str(made[1].body)).group(1)
    assert "missed films: with the finding, not flagged: 40.0 minutes as films come, 48.4 minutes" in alt
    assert "films with the finding: 40.0 minutes as films come, 6.4 minutes" in alt
    assert "flagged first: read later" in svgs(made[1])[0]


def test_reader_minutes_are_shares_times_the_published_seconds(made):
    flagged = 0.1 * 0.9 + 0.9 * 0.1
    without = 1000 / 60 * (flagged * 18.4 + (1 - flagged) * 13.1)
    shown = 1000 / 60 * (flagged * 18.6 + (1 - flagged) * 10.8)
    rows = rows_of(table(made[1], "-effort"))
    assert rows["every film is read, without AI"][1].text.startswith(f"{without:.1f} ")
    with_ai = rows["every film is read, AI shown to the reader"]
    assert with_ai[1].text.startswith(f"{shown:.1f} ")
    assert with_ai[2].text.startswith(f"{without - shown:.1f} less")
    assert SOURCE in page_text(made[1])
    assert "there is no reader time with rule-out" in page_text(made[1])


def test_rule_out_rows_are_counts_of_the_films(made):
    positive, negative = (np.sort(COHORT["p_tb"][COHORT["tb"] == label]) for label in (1, 0))
    for row in table(made[1], "-rule-out").rows:
        target = row[0].value
        allowed = int(np.floor((1 - target) * len(positive) + 1e-9))
        threshold = positive[allowed]  # the highest that keeps enough
        missed, filed = np.mean(positive < threshold), np.mean(negative < threshold)
        assert row[1].value == pytest.approx(0.1 * missed + 0.9 * filed)
        assert row[2].value == pytest.approx(1 - missed)
        assert row[3].value == pytest.approx(10_000 * 0.1 * missed)
        # None missed of 50 leaves up to 1 - 0.025 ** (1 / 50) = 7 % open: no target of the table can be shown.
        assert row[4].value is False
        assert "50 films with the finding are too few" in row[4].text
    assert [row[0].text for row in table(made[1], "-rule-out").rows][-2:] == [
        "99.5\N{NO-BREAK SPACE}%",
        "99.9\N{NO-BREAK SPACE}%",
    ]
    assert "An offer to study, not a permission." in page_text(made[1])
    figure = next(svg for svg in svgs(made[1]) if "Sensitivity kept" in svg)
    assert "too few films with the finding to show this sensitivity" in figure
    assert "enough films with the finding to show" not in figure.replace("too few films with the finding to show", "")


def test_enough_films_can_show_a_sensitivity():
    book = make_book((study(films(tp=90, fn=10, fp=45, tn=405), ROOM),))
    found = {row[0].value: row[4].value for row in table(chapter(book, english(book)), "-rule-out").rows}
    assert found[0.95] is True  # none missed of 100 leaves 3.6 % open
    assert found[0.97] is False


def test_worklist_rows_are_counts_of_the_sorted_list(made):
    order = np.argsort(-COHORT["p_tb"].to_numpy(), kind="stable")
    truth = COHORT["tb"].to_numpy()[order]
    for row in table(made[1], "-worklist").rows:
        read = int(np.ceil(row[0].value * len(truth) - 1e-9))
        assert row[1].value == pytest.approx(truth[:read].sum() / truth.sum(), abs=0.021)  # ties: expectation
        assert row[2].value == pytest.approx(read / len(truth))
        assert row[3].value == pytest.approx(min(1, read / truth.sum()))


def test_assumptions_stand_beside_the_picture_with_their_places(made):
    book, done = made
    text = page_text(done)
    box = text[text.index("Assumed reading room") :]
    for said in (">10 %</data> of films have the finding", ">80 %</data> of the time", "(exponential)"):
        assert said in box
    assert "interrupts the reading of a film that is not flagged" in box
    assert book.studies[0].reading_time.assumptions in box
    assert 'data-from="1/reading_time:scenario.traffic"' in box
    assert text.index("<figure>") < text.index("Assumed reading room") < text.index("<table")


def test_every_number_agrees_with_the_file_it_names(made):
    book, done = made
    files = {
        "1/evaluation": book.studies[0].evaluation.model_dump(),
        "1/reading_time": book.studies[0].reading_time.model_dump(),
    }
    found = re.findall(r'<data value="([^"]*)" data-from="([^"]*)"', str(done.body))
    assert len(found) > 200
    for value, place in found:
        name, _, path = place.partition(":")
        there = files[name]
        for step in path.split("."):
            there = there[int(step)] if isinstance(there, list | tuple) else there[step]
        assert repr(there) == value, place


ROTA = {
    **{key: value for key, value in ROOM.items() if key not in ("traffic", "minutes")},
    "title": "<b>District</b>",
    "notes": "x" * 10_000,
    "arrivals_per_hour": 10.0,
    "interrupting_fraction": 0.1,
    "minutes": {
        "diseased": {"mean": 12.0, "distribution": "lognormal", "cv": 0.8},
        "nondiseased": 7.0,
        "interrupting": 5.0,
    },
    "discipline": "nonpreemptive",
    "max_wait_minutes": 480.0,
    "rule_out": {"sensitivity": 0.985, "specificity": 0.4},
    "arrivals": {"batches": [{"hour": 17.5, "films": 40}]},
    "rota": [{"from": 8, "to": 20, "readers": 3}, {"from": 20, "to": 8, "readers": 1}],
}


@pytest.fixture(scope="module")
def rota():
    book = make_book((study(COHORT, ROTA),))
    return chapter(book, english(book))


def test_a_room_with_everything_says_everything(rota):
    text = re.sub(r"<[^>]*>", "", page_text(rota))
    for said in (
        "3 readers from hour 8 to hour 20 of the day.",
        "1 reader from hour 20 to hour 8 of the day.",
        "40 films arrive together at hour 17.5 of every day.",
        "Films per hour, averaged over the day: 10.",
        "of a film with the finding, in minutes (log-normal): 12.",
        "A film once begun is finished before the next one.",
        "10 % of films are emergencies",
        "A film that has waited 480 minutes goes first",
        "40 % of films without the finding; 98.5 % of films with it are kept",
    ):
        assert said in text, said
    assert "<b>District" not in rota.body
    assert "x" * 401 not in rota.body


def test_rule_out_shows_what_is_saved_and_who_is_never_read(rota):
    # 1.5 % of the 1,000 diseased of 10,000 films are filed.
    assert "With the finding, filed and never read: of 10,000 films" in rota.body
    assert re.search(r'never read: of 10,000 films</div><div class="value"><data [^>]*>15.0</data>', str(rota.body))
    assert "A film with the finding that is filed is never read at all" in rota.body
    assert "makes nobody read faster" not in rota.body
    rows = rows_of(table(rota, "-effort"))
    filed, flagged = 0.1 * 0.015 + 0.9 * 0.4, 0.18
    read = 1000 / 60 * (flagged * 18.4 + (1 - filed - flagged) * 13.1)
    assert rows["low scores filed unread, the rest read without AI"][1].value == pytest.approx(read)
    assert len(rows) == 4


def test_without_a_formula_the_means_are_simulated_and_say_why(rota):
    assert "simulated: 4 runs of 300 films" in table(rota, "-mean").title.striptags()
    assert "has no closed form" in rota.body


def test_figures_stay_small(made, rota):
    for done in (made[1], rota):
        assert len(svgs(done)) == 4
        assert max(map(len, svgs(done))) < 60_000


@pytest.mark.parametrize(
    ("cohort", "room", "threshold", "said"),
    [
        (COHORT, None, 0.5, "no reading-time file beside it"),
        (COHORT, ROOM, None, "There is no operating point, so no film is flagged."),
        (films(0, 0, 5, 60), ROOM, 0.5, "Sensitivity and specificity are not both known"),
        (films(60, 5, 0, 0), ROOM, 0.5, "Sensitivity and specificity are not both known"),
        (COHORT, {**ROOM, "rule_out": {"sensitivity": 0.6, "specificity": 0.4}}, 0.5, "would file flagged films"),
    ],
)
def test_what_is_absent_says_why_and_the_rest_stays(cohort, room, threshold, said):
    book = make_book((study(cohort, room, threshold=threshold),))
    done = chapter(book, english(book))
    text = page_text(done)
    assert "No waiting times." in text
    assert said in text
    assert not [one for one in done.tables if one.key.endswith(("-mean", "-p95", "-effort"))]
    both = cohort["tb"].nunique() == 2 and room is not None
    assert bool([one for one in done.tables if one.key.endswith("-worklist")]) == (
        room is not None and cohort["tb"].any()
    )
    assert bool([one for one in done.tables if one.key.endswith("-rule-out")]) == both
    if not cohort["tb"].any():
        assert "No list." in text


def without(part, **fields):
    reading = part.reading_time
    return reading.model_copy(update={"findings": tuple(f.model_copy(update=fields) for f in reading.findings)})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"simulation": None}, "a mean alone hides who waits longest"),
        ({"simulation": None, "theory": None}, "neither a formula nor a simulation"),
        ({"rule_out": None}, "Filing films unread was not computed"),
        ({"worklist": None}, "The order of the list was not computed"),
        ({"effort": None, "screening": None}, "Waiting"),
        ({"finding": "other"}, "does not hold this finding"),
    ],
)
def test_parts_that_a_file_lacks_leave_the_page_whole(made, fields, said):
    whole = made[0].studies[0]
    part = Study(1, whole.folder, whole.evaluation, without(whole, **fields))
    book = make_book((part,))
    done = chapter(book, english(book))
    assert said in done.body
    assert "-p95" not in "".join(one.key for one in done.tables) or "simulation" not in fields
    assert ("Reader time</h4>" in done.body) == ("effort" not in fields and "finding" not in fields)


def test_none_missed_is_not_read_as_none_to_be_missed():
    book = make_book(
        (study(films(tp=50, fn=0, fp=45, tn=405), {**ROOM, "replications": 2, "films_per_replication": 20}),)
    )
    whole = book.studies[0]
    book = make_book((Study(1, whole.folder, whole.evaluation, without(whole, simulation=None)),))
    text = re.sub(r"<[^>]*>", "", page_text(chapter(book, english(book))))
    assert "None was missed among 50 films with the finding: that does not mean that none would be." in text


def test_another_prevalence_than_the_evaluations_is_said_before_the_numbers(made):
    one = made[0].studies[0]
    room = one.reading_time.scenario.prevalence
    for local, warned in ((room, False), (room / 5, True)):
        other = replace(one, evaluation=one.evaluation.model_copy(update={"local_prevalence": local}))
        book = make_book((other,))
        text = page_text(chapter(book, english(book)))
        assert ("Another prevalence." in text) is warned
        assert (f">{100 * local:.0f} %</data> of people have it" in text) is warned
