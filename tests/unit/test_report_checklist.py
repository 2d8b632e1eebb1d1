"""The CLAIM checklist: 44 items in order, each marked only where the record shows it; model card and provenance."""

import html
import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from pipelines.assessment.assess import Source, assess
from pipelines.assessment.proxies import Proxies, read_reading_time
from pipelines.cli import app
from pipelines.evaluation.files import read_evaluation
from pipelines.evaluation.options import Options
from pipelines.evaluation.thresholds.lock_rule import LockRule
from pipelines.manifest import write_manifest
from pipelines.reporting.book import Study, make_book, open_book
from pipelines.reporting.chapters import checklist, provenance
from pipelines.reporting.chapters.claim_items import ITEMS
from pipelines.reporting.chapters.commands import NOT_RECORDED, commands
from pipelines.reporting.chapters.methods_used import methods_of
from pipelines.reporting.language.language import language
from pipelines.reporting.printing import Words
from tests.report_folders import cohort, write_predictions
from tests.unit.test_evaluation_background import TRAINING

SUBJECTS = {
    1: "title",
    2: "summary",
    4: "hypotheses",
    8: "included",
    11: "de-identified",
    12: "missing",
    15: "why this reference",
    18: "agreed",
    20: "share nothing",
    21: "sample size",
    24: "started from",
    27: "several models",
    32: "same origin",
    33: "another origin",
    34: "trial",
    35: "included and excluded",
    39: "went wrong",
    44: "funding",
}
"""What the item of a number is about, from the published list."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("claim")
    manifest, predictions = cohort(60)
    manifest.loc[50:, "split"] = "train"
    write_manifest(manifest, base / "manifest.csv")
    write_predictions(base / "predictions", predictions)
    run = json.loads((base / "predictions" / "run.json").read_text())
    run["model"]["provenance"] = TRAINING
    run["model"]["input"] = {"size": 320, "channels": 1, "intensity_range": [0.0, 1.0], "placement": "centred"}
    run["inputs"] = [{"given": "/home/anna/the manifest.csv"}]
    run["settings"] = {"backend": "torch", "device": "cpu", "precision": "fp32", "heatmaps": True}
    run["versions"] = {"torch": "2.15.0"}
    (base / "predictions" / "run.json").write_text(json.dumps(run))
    options = Options(replicates=100, prevalence=0.02, reference_sensitivity=0.9)
    assess(
        Source(base / "predictions", thresholds={"nodule": 0.5}),
        base / "manifest.csv",
        base / "evaluation",
        split="test",
        a_posteriori={"tb": LockRule.parse("specificity=0.7")},
        options=options,
        room=Proxies(prevalence=0.02),
    )
    return base / "evaluation"


@pytest.fixture(scope="module")
def study(folder):
    return Study(1, folder, read_evaluation(folder), read_reading_time(folder))


def changed(study, **parts):
    return Study(1, study.folder, study.evaluation.model_copy(update=parts), study.reading_time)


def asked(study):
    book = make_book((study,))
    return checklist.answers(study, Words(language("en"), book))


def test_the_items_are_44_in_the_published_order():
    assert [item.number for item in ITEMS] == list(range(1, 45))
    assert len({item.subject for item in ITEMS}) == 44
    for number, word in SUBJECTS.items():
        assert word in ITEMS[number - 1].subject.lower(), number
    sections = list(dict.fromkeys(item.section.partition(":")[0] for item in ITEMS))
    assert sections == [
        *("Title", "Abstract", "Introduction", "Methods", "Results", "Discussion", "Other information"),
    ]
    by_section = [sum(item.section.startswith(name) for item in ITEMS) for name in sections]
    assert by_section == [1, 1, 2, 30, 5, 2, 3]


def test_what_only_authors_know_is_never_marked(study):
    found = asked(study)
    assert [
        number for number, answer in found.items() if answer is None and number in (2, 5, 6, 11, 15, 18, 21, 34)
    ] == [*(2, 5, 6, 11, 15, 18, 21, 34)]
    assert found[41] is None
    assert found[44] is None
    assert not found[1].whole
    assert not found[40].whole


def test_the_page_counts_what_the_rows_say(study):
    book = make_book((study,))
    made = checklist.chapter(book, Words(language("en"), book))
    (table,) = made.tables
    states = [row[3].text for row in table.rows]
    tally = [int(n) for n in re.findall(r'class="value"><bdi>(\d+)</bdi>', made.body)]
    assert tally == [states.count(name) for name in ("in the record", "in part", "for the authors")]
    assert sum(tally) == 44 == len(table.rows)
    assert [row[0].value for row in table.rows] == list(range(1, 45))
    empty = [row[3].text == "for the authors" for row in table.rows]
    assert empty == [row[4].text == "" for row in table.rows]
    assert tally[0] > 10 < tally[2]


WEIGHTS = {"none": True, "imagenet": True, "lite0": False, "weights.safetensors": False}
"""Where weights start from, and whether the name alone says it."""


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        (7, {"data_sets": None}),
        (9, {"model": None}),
        (14, {"data_sets": None}),
        (22, {"model": None}),
        (23, {"model": None}),
        (26, {"model": None}),
        (27, {"model": None}),
        (28, {"findings": ()}),
        (29, {"findings": ()}),
        (32, {"model": None}),
        (37, {"findings": ()}),
        (38, {"findings": ()}),
        (12, {"findings": ()}),
    ],
)
def test_an_item_is_in_the_record_only_while_the_record_holds_its_fact(study, item, parts):
    before, after = asked(study)[item], asked(changed(study, **parts))[item]
    assert before is not None
    assert before.whole or item == 22
    assert after is None or not after.whole


def test_a_name_of_weights_or_three_settings_are_not_all_that_an_item_asks_for(study):
    model = study.evaluation.model
    found = {name: asked(changed(study, model=model.model_copy(update={"pretrained": name}))) for name in WEIGHTS}
    assert {name: each[24].whole for name, each in found.items()} == WEIGHTS
    assert not asked(study)[25].whole, "neither optimiser nor loss is in the record"
    assert asked(study)[25].text
    cohort = study.evaluation.cohort
    unknown = cohort.model_copy(update={"reference_standards": {"unknown": 3, "report": 2}})
    assert asked(study)[14].whole
    assert not asked(changed(study, cohort=unknown))[14].whole, "how the truth of 3 films is known is not told"


def test_partitions_are_disjoint_only_where_every_patient_is_known_and_the_training_films_are_those(study):
    leakage = study.evaluation.leakage
    assert not asked(study)[20].whole
    same = leakage.model_copy(update={"training_films": "the same"})
    assert asked(changed(study, leakage=same))[20].whole
    fewer = same.patients.model_copy(update={"known": same.patients.known - 1})
    assert not asked(changed(study, leakage=same.model_copy(update={"patients": fewer})))[20].whole
    assert asked(changed(study, leakage=None))[20] is None


def test_external_films_are_those_of_data_sets_that_training_did_not_use(study):
    assert asked(study)[33] is None
    cohort_ = study.evaluation.cohort.model_copy(update={"datasets": {"montgomery": 50}})
    elsewhere = asked(changed(study, cohort=cohort_))
    assert elsewhere[32] is None
    assert "montgomery" in elsewhere[33].text


# Provenance ------------------------------------------------------------------------------------------------------


def chapter_of(study, command=None):
    book = make_book((study,), command)
    return provenance.chapter(book, Words(language("en"), book))


def test_the_card_prints_the_facts_of_the_record(study):
    made = chapter_of(study, "cxr report evaluation --out report.html")
    rows = {table.key.rpartition("-")[2]: {row[0].text: row[1].text for row in table.rows} for table in made.tables}
    assert rows["card"]["Network"] == "densenet121"
    assert rows["card"]["Input"] == "a square of 320 × 320 pixels"
    assert rows["training"]["Learning rate"] == "0.001"
    assert rows["run"]["Precision"] == "fp32"
    source = study.evaluation.provenance
    assert rows["files"]["Predictions, SHA-256 of the file"] == source.predictions_digest
    assert rows["files"]["Manifest, digest of its rows"] == source.manifest_digest
    assert rows["options"]["Prevalence named"] == "0.02"
    assert "<code>cxr report evaluation --out report.html</code>" in made.body
    assert "start.safetensors" not in made.body or "/home" not in made.body


def test_every_method_of_a_number_is_listed_with_the_place_of_that_number(study):
    found = methods_of(study)

    def walk(value, path=""):
        if isinstance(value, dict):
            if {"value", "low", "method", "why"} <= set(value):
                if value["value"] is not None:
                    yield value["method"], path
                return
            for key, part in value.items():
                yield from walk(part, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for part in value:
                yield from walk(part, path)

    everything = [
        pair
        for name in ("evaluation.json", "reading_time.json")
        for pair in walk(json.loads((study.folder / name).read_text()))
    ]
    assert len(everything) > 300
    assert set(found) == {method for method, _ in everything}
    listed = {(method, path) for method, paths in found.items() for path in paths}
    assert {path for _, path in everything} == {path for _, path in listed}
    (table,) = (one for one in chapter_of(study).tables if one.key.endswith("-methods"))
    assert len(table.rows) == len(found)


def test_the_commands_are_commands_of_this_program_without_a_path(study):
    lines = commands(study)
    assert [line.split()[:2] for line in lines] == [["cxr", "predict"], ["cxr", "evaluate"]]
    for line in lines:
        _, verb, *words = shlex.split(line)
        known = {name for option in typer.main.get_command(app).commands[verb].params for name in option.opts}
        assert {word for word in words if word.startswith("--")} <= known
        assert not any("/" in word for word in words)
    assert "'the manifest.csv'" in lines[0]
    assert "--threshold nodule=0.5" in lines[1]
    assert "--prevalence 0.02 " in lines[1]


def test_the_evaluate_command_makes_the_same_numbers_again(study, monkeypatch):
    base = study.folder.parent
    monkeypatch.chdir(base)
    _, *words = shlex.split(commands(study)[1])
    words[words.index("--out") + 1] = "again"
    assert not set(words) & set(NOT_RECORDED)
    done = CliRunner().invoke(app, [*words, "--no-mlflow"])
    assert done.exit_code == 0, done.output
    again = read_evaluation(Path("again"))
    assert again.findings == study.evaluation.findings
    assert again.provenance.options == study.evaluation.provenance.options


def test_older_files_and_other_systems_say_what_is_absent(study):
    old = study.evaluation.model_copy(
        update={
            "model": None,
            "data_sets": None,
            "leakage": None,
            "provenance": study.evaluation.provenance.model_copy(update={"options": None}),
        }
    )
    body = chapter_of(Study(1, study.folder, old, None)).body
    assert "made by an earlier version" in body
    assert "The commands that made the evaluation are not in its file." in body
    other = old.model_copy(update={"system": "another system"})
    assert "The scores come from another system" in chapter_of(Study(1, study.folder, other, None)).body
    assert asked(Study(1, study.folder, other, None))[22] is None


def test_hostile_names_are_text_and_every_digit_has_a_source(study):
    hostile = "<script>alert(1)</script>\u202e" + "x" * 10_000
    model = study.evaluation.model.model_copy(update={"name": hostile, "architecture": hostile, "placement": hostile})
    bad = changed(study, model=model, title=hostile)
    book = make_book((bad,))
    for module in (checklist, provenance):
        body = str(module.chapter(book, Words(language("en"), book)).body)
        assert "<script>" not in body
        assert "\u202e" not in body
        assert "x" * 500 not in body
        bare = html.unescape(re.sub(r"<(data|bdi|code|span)\b.*?</\1>", "", body, flags=re.DOTALL))
        for of_a_message in ("update of 2024", "SHA-256"):
            bare = bare.replace(of_a_message, "")
        assert re.findall(r">[^<]*?(\d+)[^<]*<", bare) == []


def test_several_evaluations_have_a_card_and_a_checklist_each(folder):
    book = open_book([folder, folder])
    words = Words(language("en"), book)
    assert [table.key for table in checklist.chapter(book, words).tables] == ["checklist-s1", "checklist-s2"]
    made = provenance.chapter(book, words)
    keys = [table.key for table in made.tables]
    assert len(keys) == len(set(keys))
    assert made.body.count("Model card: ") == 2
