"""The catalogues of the report: complete, and true to their messages in everything that a program can judge."""

import csv
import re
import unicodedata
from collections import Counter
from pathlib import Path

import matplotlib
import pytest
from fontTools.ttLib import TTFont

from pipelines.reporting.language import extract
from pipelines.reporting.language.language import RECORDED

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "pipelines" / "reporting" / "language" / "glossary.csv"
PLURALS = {"vi": 1, "fr": 2, "sv": 2}
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
NAMES = re.compile(r"(AUROC|n|Data|LR[+−]|DeLong|image_id|Apache-2\.0.*|[A-Z]{2,}|</?\w+>|[\W\d_]|\{\w*\})*")
"""What is written alike in every language: acronyms, signs, names, and frames of other messages."""
SAME = {
    "vi": {"bootstrap", "null"},
    "fr": {"bootstrap", "Calibration", "calibration", "Sensibilité", "Code", "Version", "Date", "Site", "Sites"}
    | {"Total", "exact (Clopper–Pearson)", "patients", "site", "Score", "Scores", "Score {score}", "Section"}
    | {"Introduction", "Discussion", "validation", "test", "Localisation", "Source", "log-normal", "gamma", "Patients"}
    | {"{n} patient", "{n} patients", "{n} patient.", "{n} patients.", "Verdict", "{size} points", "Minutes"}
    | {"Provenance", "Notes"},
    "sv": {"bootstrap", "Version", "screening", "Screening", "Scenario", "scenario", "Patient", "Manifest", "Site"}
    | {"System", "test", "Processor", "gamma", "{n} patient", "{n} patient."},
}
"""Words of the language itself that English spells alike."""


@pytest.fixture(scope="module")
def template():
    return extract.template_of_catalogues()


@pytest.fixture(scope="module", params=extract.LANGUAGES)
def code(request):
    return request.param


@pytest.fixture(scope="module")
def catalogue(code):
    return extract.read(code)


def translated(catalogue):
    """Pairs of message and translation; of a plural message, every form with the message of its number."""
    found = []
    for message in catalogue:
        if not message.id:
            continue
        if isinstance(message.id, str):
            pairs = [(message.id, message.string)]
        else:
            forms = tuple(message.string)
            pairs = [(message.id[min(k + (len(forms) == 1), 1)], form) for k, form in enumerate(forms)]
        found += [(message, english, text) for english, text in pairs if text]
    assert len(found) > 400
    return found


def test_nothing_is_missing_and_nothing_left_over(code, template):
    missing, empty, left_over = extract.state(code, template)
    assert (missing[:5], len(missing)) == ([], 0)
    assert (left_over[:5], len(left_over)) == ([], 0)
    assert (empty[:5], len(empty)) == ([], 0)


def test_recorded_sentences_are_all_translated(code, template):
    _, empty, _ = extract.state(code, template)
    assert [text for context, text in empty if context == RECORDED] == []


def test_nothing_is_fuzzy_or_obsolete(catalogue):
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []
    assert not catalogue.obsolete


def test_plural_forms_are_those_of_the_language(code, catalogue):
    assert catalogue.num_plurals == PLURALS[code]
    plural = [message for message in catalogue if message.pluralizable]
    assert plural
    for message in plural:
        assert len(message.string) == PLURALS[code], message.id
        assert len(set(map(bool, message.string))) == 1, f"only some forms of {message.id}"


def placeholders(text):
    return Counter(re.findall(r"\{\w*\}", text))


def tags(text):
    return Counter(re.findall(r"</?\w+[^<>]*>", text))


def test_placeholders_and_tags_are_kept(catalogue):
    for message, english, text in translated(catalogue):
        optional = {"{n}"} if message.pluralizable else set()  # "one film" may say it in words
        wanted, found = placeholders(english), placeholders(text)
        differing = {name for name in wanted | found if wanted[name] != found[name]}
        assert differing <= optional or set(wanted) - optional == set(found) - optional, (english, text)
        assert tags(english) == tags(text), (english, text)
        assert not re.search(r"[{}]", re.sub(r"\{\w*\}", "", text)), text


def test_no_english_is_left(code, catalogue):
    same = [
        english
        for _, english, text in translated(catalogue)
        if english == text and english not in SAME[code] and not NAMES.fullmatch(english)
    ]
    assert same == []


def test_text_is_composed_and_tidy(catalogue):
    for _, english, text in translated(catalogue):
        assert unicodedata.is_normalized("NFC", text), text
        assert text == text.strip() or english != english.strip(), text
        assert "  " not in text, text
        assert english.endswith(".") == text.endswith("."), (english, text)


def test_spaces_before_signs_do_not_break(code, catalogue):
    for _, _, text in translated(catalogue):
        assert not re.search(r"[ \d}]%", text), text
        if code == "fr":
            plain = re.sub(r"https?://\S+|&\w+;|\d:\d", "", text)
            assert not re.search(r"[^\u00a0\u202f?!][;:?!](?!\w)", plain), text
            assert not re.search(r"«[^\u00a0]|[^\u00a0]»", plain), text


def test_every_character_is_in_the_font_of_the_report(catalogue):
    there = TTFont(FONT).getBestCmap()
    used = {character for _, _, text in translated(catalogue) for character in text}
    assert {character for character in used if ord(character) not in there} == set()


def test_the_font_check_would_find_a_missing_character():
    assert ord("漢") not in TTFont(FONT).getBestCmap()


@pytest.fixture(scope="module")
def glossary():
    with GLOSSARY.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 60
    return rows


def test_terms_are_those_of_the_glossary(code, catalogue, glossary):
    wrong, seen = [], Counter()
    for row in glossary:
        stems = [re.compile(rf"(?<!\w){re.escape(stem)}", re.I) for stem in row["english_stems"].split("|") if stem]
        accepted = [stem.casefold() for stem in row[f"{code}_stems"].split("|") if stem]
        for _, message, text in translated(catalogue):
            english = re.sub(r"\{\w*\}|<[^<>]*>", "", message)  # names of placeholders are not words
            if any(stem.search(english) for stem in stems):
                seen[row["english"]] += 1
                if not any(stem in text.casefold() for stem in accepted):
                    wrong.append((row["english"], message, text))
    assert wrong == []
    assert len(seen) > 30


def test_the_glossary_stands_in_the_documentation(glossary):
    text = (ROOT / "docs" / "languages.md").read_text(encoding="utf-8")
    for row in glossary:
        assert f"| {row['english']} | {row['vi']} | {row['fr']} | {row['sv']} |" in text


def test_a_catalogue_that_is_updated_twice_stays_as_it_is(code, template):
    once = extract.text_of(extract.updated(code, template))
    assert extract.text_of(extract.updated(code, template)) == once
    assert not re.search(r"^#: .*:\d+", once, re.M)


def test_messages_are_found_in_code_and_templates():
    code = """
words("One {n}", n=1); self("Two"); _("Three"); message("Four")
words.plural("{n} film", "{n} films", 2); plural("a", "b", n, n=1)
other("Five"); words(name); words("Six" " joined")
"""
    assert list(extract.python_messages(code)) == [
        "One {n}",
        "Two",
        "Three",
        "Four",
        ("{n} film", "{n} films"),
        ("a", "b"),
        "Six joined",
    ]
    jinja = (
        '<p>{{ _("One", n=1) }}{% if x %}{{ plural("a", "b", n) }}{% endif %}{{ words("Two") }} {{ other("x") }}</p>'
    )
    assert list(extract.template_messages(jinja)) == ["One", ("a", "b"), "Two"]
