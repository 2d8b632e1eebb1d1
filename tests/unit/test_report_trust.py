"""The chapter on trust: the control, the cross-cohort matrix, leakage, labels, terms; and text that means harm."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.evaluation.background import CohortFacts, DataSetFacts, Leakage, ModelFacts, Overlap, TrainingFacts
from pipelines.evaluation.control import judge_control
from pipelines.reporting.chapters.trust import chapter, verdict
from pipelines.reporting.chapters.trust_matrix import matrices, place_of
from tests.unit.report_parts import HOSTILE, book_of, cells, estimate, evaluated, text_of, with_result, words_for

RNG = np.random.default_rng(4)
LABELS = (RNG.random(80) < 0.4).astype(int)
SCORES = 1 / (1 + np.exp(-RNG.normal(2.0 * LABELS - 1, 1)))


@pytest.fixture(scope="module")
def plain_one():
    return evaluated(LABELS, SCORES, control_tb=RNG.random(80))


def made(*evaluations, code="en"):
    book = book_of(*evaluations)
    return chapter(book, words_for(book, code))


def origin(evaluation, **changes):
    return evaluation.model_copy(update={"provenance": evaluation.provenance.model_copy(update=changes)})


def trained_on(*datasets, val=()):
    def cohort(names):
        return CohortFacts(films=9, datasets=dict.fromkeys(names, 9), manifest_digest=None, labels=())

    return ModelFacts(model_id="m", training=TrainingFacts(train=cohort(datasets), val=cohort(val) if val else None))


# The control ----------------------------------------------------------------------------------------------------------

VERDICTS = {
    "The system is clearly better than": "The system is clearly better",
    "Picture statistics that see no anatomy nearly solve": "Warning: picture statistics that see no anatomy nearly",
    "Picture statistics that see no anatomy come near": "Warning: picture statistics that see no anatomy come near",
    "The system is not shown to be better": "The system is not shown to be better",
    "The system is hardly better": "The system is hardly better",
    "There is no AUROC to compare with.": "There is no AUROC to compare with.",
}
"""How the record's own verdict begins, and how the report's does."""


@pytest.mark.parametrize(
    ("system", "control", "low"),
    [
        *((0.95, 0.60, 0.3), (0.97, 0.92, 0.02), (0.85, 0.83, 0.01), (0.85, 0.70, -0.01), (0.70, 0.60, -0.02)),
        *((0.70, 0.67, 0.01), (0.70, 0.93, -0.4), (0.70, 0.60, None), (0.70, 0.67, None)),
    ],
)
def test_the_verdict_is_that_of_the_record(plain_one, system, control, low):
    difference = system - control
    high = None if low is None else 2 * difference - low
    bounds = (None, None) if low is None else (min(low, difference), max(high, difference))
    ours = estimate(system, system - 0.01, system + 0.01)
    judged = judge_control(ours, estimate(control, control - 0.01, control + 0.01), estimate(difference, *bounds))
    book = book_of(with_result(plain_one, auroc=ours, control=judged))
    said = str(verdict(book.tested[0], words_for(book)))
    expected = next(ours for theirs, ours in VERDICTS.items() if judged.verdict.startswith(theirs))
    assert said.startswith(expected)


def test_the_control_stands_beside_every_auroc(plain_one):
    found = made(plain_one)
    row = cells(found, "control")["Pulmonary tuberculosis"]
    result = plain_one.findings[0]
    assert row["system"].text.startswith(f"{result.auroc.value:.3f} (95")
    assert row["control"].text.startswith(f"{result.control.auroc.value:.3f} (95")
    assert row["difference"].value == pytest.approx(result.auroc.value - result.control.auroc.value)
    assert f"of the control {result.control.auroc.value:.3f}" in str(found.body)


def test_a_missing_control_is_a_warning():
    found = made(evaluated(LABELS, SCORES))
    assert cells(found, "control")["Pulmonary tuberculosis"]["control"].text == "–"
    assert "nothing here rules out a shortcut" in text_of(found.body)


def test_one_class_has_no_auroc_and_the_page_stays_whole():
    found = made(evaluated([0] * 20, np.linspace(0, 1, 20)))
    assert cells(found, "control")["Pulmonary tuberculosis"]["system"].value is None
    assert "AUROC of the system –" in str(found.body)


# The matrix -----------------------------------------------------------------------------------------------------------


def grid(*evaluations):
    book = book_of(*evaluations)
    (matrix,) = matrices(book.tested, words_for(book))
    heads = [column.head.striptags() for column in matrix.table.columns][1:]
    return heads, {row[0].text: [cell.text for cell in row[1:]] for row in matrix.table.rows}


def test_rows_are_systems_and_columns_are_cohorts(plain_one):
    elsewhere = evaluated(LABELS[::-1], SCORES, dataset="b")
    first = origin(plain_one, model_id="m1", model_name="one")
    other = origin(elsewhere, model_id="m1", model_name="one")
    second = origin(plain_one, model_id="m2", model_name="two")
    heads, rows = grid(first, other, second)
    assert heads == ["a, split test", "b, split test"]
    assert list(rows) == ["one (m1)", "two (m2)"]
    assert rows["one (m1)"][0].endswith(", 80 films, training films not recorded)")
    assert rows["one (m1)"][0].startswith(f"{plain_one.findings[0].auroc.value:.3f} (95")
    assert rows["one (m1)"][1].startswith(f"{elsewhere.findings[0].auroc.value:.3f} (95")
    assert rows["two (m2)"][1] == "not tested"
    assert "80 films" in rows["two (m2)"][0]


def test_the_same_system_twice_on_one_cohort_gets_two_columns(plain_one):
    again = origin(plain_one, model_id="m1").model_copy(update={"title": "Another day"})
    heads, rows = grid(origin(plain_one, model_id="m1"), again)
    assert heads == ["a, split test (A title)", "a, split test (Another day)"]
    assert list(rows) == ["m1"]


def test_systems_without_a_name_on_one_cohort_get_two_rows(plain_one):
    nameless = origin(plain_one, model_id=None, model_name=None)
    book = book_of(nameless, nameless)
    (matrix,) = matrices(book.tested, words_for(book))
    assert len(matrix.table.rows) == 2
    assert len(matrix.table.columns) == 2
    assert "told apart by the column of their scores alone" in matrix.table.note


@pytest.mark.parametrize(
    ("model", "place", "said"),
    [
        (trained_on("a", "z"), "home", "it is at home here"),
        (trained_on("z", val=("a",)), "home", "it is at home here"),
        (trained_on("z"), "away", "a stronger test than one at home"),
        (None, "unknown", "is not recorded"),
        (ModelFacts(model_id="m"), "unknown", "is not recorded"),
    ],
)
def test_home_is_where_it_was_trained(plain_one, model, place, said):
    evaluation = plain_one.model_copy(update={"model": model})
    assert place_of(SimpleNamespace(evaluation=evaluation)) == place
    body = text_of(made(evaluation).body)
    assert "There is one cohort here" in body
    assert said in body


def test_a_cohort_of_two_data_sets_may_be_home_in_part(plain_one):
    cohort = plain_one.cohort.model_copy(update={"datasets": {"a": 40, "q": 40}})
    mixed = plain_one.model_copy(update={"cohort": cohort, "model": trained_on("a")})
    assert place_of(SimpleNamespace(evaluation=mixed)) == "partly"


def test_findings_that_no_two_evaluations_share_make_no_matrix(plain_one):
    other = with_result(plain_one, finding="Mass", name="Mass")
    assert "share no finding" in text_of(made(plain_one, other).body)


# Leakage --------------------------------------------------------------------------------------------------------------


def leakage(**changes):
    nothing = Overlap(known=80, known_against=50, shared=0)
    values = {"films": 80, "in_train": 0, "in_val": 0, "against": 50, "why_not": None, "patients": nothing}
    values |= {"shared_patients": 0, "files": nothing, "pictures": nothing, "look_alikes": nothing}
    return Leakage(**(values | {"same_manifest": True, "training_films": "the same"} | changes))


@pytest.mark.parametrize(
    ("found", "said", "warn"),
    [
        (None, "Not recorded", False),
        (leakage(), "none has a counterpart in training or validation", False),
        (leakage(pictures=Overlap(known=80, known_against=50, shared=3)), "the numbers may be too good", True),
        (
            leakage(in_train=7, in_val=2),
            "Of 80 films evaluated, 7 are training films of this manifest and 2 are validation films",
            True,
        ),
        (leakage(against=0, why_not="no other films"), "Nothing was compared: no other films.", False),
        (leakage(training_films="others"), "does not tell what the model has met", False),
        (leakage(training_films="not said"), "may not tell what the model has met", False),
        (
            leakage(**dict.fromkeys(("patients", "files", "pictures"), Overlap(known=0, known_against=0, shared=0))),
            "Nothing could be looked up",
            False,
        ),
    ],
)
def test_what_the_leakage_check_found_is_said(plain_one, found, said, warn):
    page = made(plain_one.model_copy(update={"leakage": found}))
    assert said in text_of(page.body)
    assert ('<div class="box warn"><p><strong>Had the system' in page.body) is warn
    tables = [table.key for table in page.tables]
    assert ("leakage-s1" in tables) is (found is not None and found.why_not is None)


def test_shared_films_are_counted_by_kind(plain_one):
    shared = leakage(patients=Overlap(known=70, known_against=45, shared=5))
    row = cells(made(plain_one.model_copy(update={"leakage": shared})), "leakage-s1")["The same patient"]
    assert [row[name].text for name in ("known", "known_against", "shared")] == ["70", "45", "5"]


# Origins --------------------------------------------------------------------------------------------------------------


def test_data_sets_are_listed_with_terms_and_origin_of_labels(plain_one):
    facts = DataSetFacts(
        name="a",
        films=80,
        title="A set",
        licence="free",
        citation="Somebody 2020.",
        url="https://example.org/a",
        labels="read by two physicians",
        films_may_be_shown=False,
    )
    bad = DataSetFacts(name="b", films=1, url="javascript:alert(1)")
    found = made(plain_one.model_copy(update={"data_sets": (facts, bad)}))
    rows = cells(found, "datasets-s1")
    first = rows["a (A set)"]
    assert [first[key].text for key in ("films", "licence", "labels", "shown")] == [
        *("80", "free", "read by two physicians", "no"),
    ]
    assert '<a href="https://example.org/a">' in found.body
    assert "javascript:" not in found.body
    assert rows["b"]["licence"].text == "not known"


def test_older_files_say_what_they_lack(plain_one):
    body = text_of(made(plain_one.model_copy(update={"data_sets": None})).body)
    assert "not recorded in this evaluation. Films by data set: a 80." in body


def test_every_reference_standard_says_what_it_is_worth(plain_one):
    counts = {"microbiology": 1, "ct": 2, "radiologist": 3, "report": 4, "synthetic": 5, "unknown": 6, "guess": 7}
    cohort = plain_one.cohort.model_copy(update={"reference_standards": counts})
    rows = cells(made(plain_one.model_copy(update={"cohort": cohort})), "standards-s1")
    assert [row["films"].text for row in rows.values()] == list("1234567")
    assert len({row["worth"].text for row in rows.values()}) == 7
    assert "agreement with reports" in rows["Radiology reports"]["worth"].text


def test_notes_and_independence_are_printed(plain_one):
    body = text_of(made(with_result(plain_one, notes=("A thing to know.",))).body)
    assert plain_one.independence in body
    assert "A thing to know." in body


def test_hostile_text_is_text_and_short(plain_one):
    cohort = plain_one.cohort.model_copy(
        update={"datasets": {HOSTILE: 80}, "reference_standards": {HOSTILE: 80}, "splits": {HOSTILE: 80}}
    )
    facts = DataSetFacts(name=HOSTILE, films=80, title=HOSTILE, licence=HOSTILE, citation=HOSTILE, url=HOSTILE)
    update = {"title": HOSTILE, "split": HOSTILE, "cohort": cohort, "data_sets": (facts,), "notes": (HOSTILE,)}
    bad = origin(with_result(plain_one, name=HOSTILE), model_id=HOSTILE, model_name=HOSTILE).model_copy(update=update)
    body = str(made(bad, bad, code="vi").body)
    assert "<script" not in body
    assert "\u202e" not in body
    assert "x" * 500 not in body
    assert "$\\frac" in body


# Three controls -------------------------------------------------------------------------------------------------------


def test_three_controls_stand_in_the_table_and_one_warning_names_the_gravest():
    border = LABELS + RNG.normal(0, 0.1, 80)
    found = made(
        evaluated(LABELS, SCORES, control_tb=SCORES, control_border_tb=border, control_lungs_hidden_tb=RNG.random(80))
    )
    (table,) = [each for each in found.tables if each.key == "control"]
    sees, verdicts = ([row[place].text for row in table.rows] for place in (3, 6))
    assert sees == ["brightness and layout", "border only", "lungs covered"]
    assert verdicts[1].startswith("The film's border alone nearly solves this task")
    assert verdicts[2] == "What lies around the lungs is not shown to tell anything about the finding."
    body = text_of(found.body)
    assert body.count("nearly solves this task") == 2  # in the box above the table, and in its row
    assert "One warning is given for a finding" in body
