"""One screen: the numbers that matter, the target profile, and warnings that nobody may miss."""

import re

import pandas as pd
import pytest

from pipelines.evaluation.leakage import leakage_of
from pipelines.reporting.chapters.summary import MOST_CARDS, chapter
from tests.tested_films import HOSTILE, changed, evaluated, films, plain_text, printed, read, usual


def text_of(*evaluations):
    return plain_text(read(chapter, *evaluations).body)


def test_the_numbers_are_those_of_the_films():
    found = read(chapter, usual())
    numbers = printed(found.body)
    point = "1/evaluation:findings.0.operating_point"
    assert numbers[f"{point}.sensitivity.value"] == pytest.approx(45 / 50)
    assert numbers[f"{point}.specificity.value"] == pytest.approx(120 / 150)
    assert numbers["1/evaluation:findings.0.prevalence.value"] == pytest.approx(50 / 200)
    assert {f"{point}.sensitivity.low", f"{point}.specificity.high", "1/evaluation:findings.0.auroc.low"} <= set(
        numbers
    )
    text = plain_text(found.body)
    assert "Research only; not a diagnosis." in text
    assert "200 films of 200 patients" in text
    assert "microbiology (200)" in text
    assert "at the locked threshold" in text
    assert "No control that sees no anatomy was made." in text


@pytest.mark.parametrize(
    ("counts", "title", "reason"),
    [
        ((198, 2, 20, 180), "met in these films", "Both intervals lie at or above the minimum"),
        ((100, 100, 20, 180), "not met", "interval of the sensitivity lies wholly below the minimum of 90 %"),
        ((198, 2, 120, 80), "not met", "interval of the specificity lies wholly below the minimum of 70 %"),
        ((100, 100, 120, 80), "not met", "Both intervals lie wholly below the minimum"),
        ((19, 1, 5, 15), "not shown", "These films do not decide it: the minimum is sensitivity 90 %"),
        ((20, 0, 0, 0), "not shown", "These films do not give both sensitivity and specificity."),
    ],
)
def test_the_target_profile_is_met_or_not_met_or_not_shown(counts, title, reason):
    text = text_of(evaluated(films(*counts)))
    assert re.search(rf"WHO triage profile: {title}\W", text)
    assert reason in text
    assert "yardstick" not in text
    assert "✓" not in text
    assert "✔" not in text


def test_the_profile_is_made_for_tuberculosis_and_for_patients():
    tables = films(198, 2, 20, 180, finding="nodule", reference_standard="synthetic")
    text = text_of(evaluated(tables, finding="nodule"))
    assert "The profile is made for tuberculosis" in text
    assert "Synthetic films say nothing about patients." in text
    assert "Synthetic films: 400 of 400." in text


def test_nothing_is_judged_without_a_threshold():
    found = read(chapter, evaluated(films(45, 5, 30, 120), locked=False))
    assert "WHO triage profile: not judged" in plain_text(found.body)
    assert "No threshold was locked or given: pulmonary tuberculosis." in plain_text(found.body)
    assert "operating_point" not in str(found.body)


def test_calm_films_bring_no_warning():
    control = [0.5, 0.4, 0.6, 0.3] * 50
    found = read(chapter, evaluated(films(95, 5, 20, 80, control_tb=control)))
    assert found.body.count('class="box warn') == 1  # what it is not for
    assert "findings.0.controls.0.auroc.value" in found.body


@pytest.mark.parametrize(
    ("columns", "more", "warning"),
    [
        ({"reference_standard": "report"}, {}, "Labels from radiology reports: 200 of 200 films."),
        ({"split": ["train"] * 60 + ["test"] * 140}, {"split": None}, "Training films: 60 of 200."),
        ({"split": ["val"] * 60 + ["test"] * 140}, {"split": None}, "Validation films: 60 of 200."),
        ({}, {"threshold": 0.5}, "Threshold not locked: pulmonary tuberculosis."),
        ({"control_tb": [0.9] * 100 + [0.1] * 100}, {}, "It may be the pictures, not the disease"),
    ],
)
def test_what_must_not_be_missed(columns, more, warning):
    assert warning in text_of(evaluated(films(95, 5, 20, 80, **columns), **more))


def test_leakage_is_said_where_it_was_found():
    manifest, predictions = films(95, 5, 20, 80)
    others = manifest.head(30).assign(image_id=[f"b/{number}" for number in range(30)], split="train")
    evaluation = evaluated((manifest, predictions))
    for rows, said in ((pd.concat([manifest, others], ignore_index=True), True), (manifest, False)):
        checked = leakage_of(manifest, rows, model=None, same_manifest=None)
        text = text_of(evaluation.model_copy(update={"leakage": checked}))
        assert ("Leakage: 30 of 200 films are of patients" in text) == said
        assert ("Leakage" in text) == said


def test_a_weak_system_beside_a_weak_control_is_not_blamed_on_the_pictures():
    text = text_of(evaluated(films(25, 25, 25, 25, control_tb=[0.5, 0.4] * 50)))
    assert "Not shown to be clearly better than a control that sees no anatomy" in text
    assert "not the disease" not in text


@pytest.mark.parametrize(
    ("counts", "said"),
    [((9, 3, 40, 60), "12 films with it"), ((60, 40, 2, 5), "7 films without it"), ((1, 0, 20, 60), "1 film with it")],
)
def test_few_films_are_named(counts, said):
    assert f"Few films: pulmonary tuberculosis ({said})." in text_of(evaluated(films(*counts)))


def test_films_of_few_patients_are_few():
    tables = films(50, 10, 40, 100)
    tables[0]["patient_id"] = [f"p{min(number // 4, 60)}" for number in range(200)]
    assert "(15 patients with it)" in text_of(evaluated(tables))


def test_another_system_and_films_of_its_training_split():
    evaluation = evaluated(films(95, 5, 20, 80, split="train"), split=None)
    other = evaluation.model_copy(update={"system": "another system"})
    text = text_of(other)
    assert "another system, by its saved scores" in text
    assert "Whether the system has seen them is not known" in text


def test_many_findings_stand_in_a_table():
    evaluation = evaluated(films(95, 5, 20, 80))
    many = evaluation.model_copy(update={"findings": evaluation.findings * (MOST_CARDS + 1)})
    found = read(chapter, many)
    (table,) = found.tables
    assert len(table.rows) == MOST_CARDS + 1
    assert table.rows[0][2].value == pytest.approx(0.95)
    assert 'class="figure-of' not in found.body


def test_several_evaluations_have_a_block_each():
    found = read(chapter, evaluated(films(95, 5, 20, 80), title="First"), evaluated(films(9, 5, 2, 8), title="Second"))
    assert found.body.count('<section class="brief">') == 2
    assert "2/evaluation:findings.0.operating_point.sensitivity.value" in found.body
    assert found.body.index("First") < found.body.index("Second")


def test_hostile_names_are_text_and_cut():
    evaluation = evaluated(films(95, 5, 20, 80, site=HOSTILE, dataset="<b>"), title=HOSTILE)
    evaluation = changed(evaluation, name=HOSTILE)
    body = read(chapter, evaluation, evaluation).body
    assert "<script" not in body
    assert "&lt;script&gt;" in body
    assert "\u202e" not in body
    assert "x" * 200 not in body
