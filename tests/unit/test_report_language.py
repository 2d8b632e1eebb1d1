"""Numbers and days by language, and recorded sentences in the reader's language."""

import re
import time
from collections import Counter

import pytest

from pipelines.errors import ConfigError
from pipelines.reporting.language.language import NAMES, language
from pipelines.reporting.language.recorded import LONGEST, Template, recorded
from pipelines.reporting.language.sentences import numbered, sentences, written_templates
from pipelines.reporting.language.vocabulary import NOT_RECORDED, REPLACED
from pipelines.reporting.printing import Words
from tests.recorded_cases import COHORT, USERS_WORDS, documents, marked

OTHERS = ("vi", "fr", "sv")
NB, NNB, MINUS = "\u00a0", "\u202f", "\u2212"

# Written down from the style guides of the languages, not from a library: vi groups by points, fr by a narrow and sv by
# a no-break space; all three have a decimal comma.
DECIMALS = [
    (1234.5, 1, {"en": "1,234.5", "vi": "1.234,5", "fr": f"1{NNB}234,5", "sv": f"1{NB}234,5"}),
    (-0.04, 2, {"en": f"{MINUS}0.04", "vi": f"{MINUS}0,04", "fr": f"{MINUS}0,04", "sv": f"{MINUS}0,04"}),
    (-0.04, 1, {"en": "0.0", "vi": "0,0", "fr": "0,0", "sv": "0,0"}),  # never minus zero
    (-0.4, 0, {"en": "0", "vi": "0", "fr": "0", "sv": "0"}),
    (0.98765, 3, {"en": "0.988", "vi": "0,988", "fr": "0,988", "sv": "0,988"}),
    (0.98765, 5, {"en": "0.98765", "vi": "0,98765", "fr": "0,98765", "sv": "0,98765"}),
    (1e6, 0, {"en": "1,000,000", "vi": "1.000.000", "fr": f"1{NNB}000{NNB}000", "sv": f"1{NB}000{NB}000"}),
    (2.675, 2, {"en": "2.67", "vi": "2,67", "fr": "2,67", "sv": "2,67"}),  # the binary number lies below 2.675
]


@pytest.mark.parametrize(("value", "digits", "expected"), DECIMALS)
@pytest.mark.parametrize("code", NAMES)
def test_decimals(code, value, digits, expected):
    assert language(code).decimal(value, digits) == expected[code]


@pytest.mark.parametrize(
    ("code", "count", "share", "small"),
    [
        ("en", "112,120", f"98.8{NB}%", "0.0123"),
        ("vi", "112.120", f"98,8{NB}%", "0,0123"),
        ("fr", f"112{NNB}120", f"98,8{NB}%", "0,0123"),
        ("sv", f"112{NB}120", f"98,8{NB}%", "0,0123"),
    ],
)
def test_counts_shares_and_significant_digits(code, count, share, small):
    written = language(code)
    assert written.integer(112120) == count
    assert written.percent(0.98765) == share
    assert written.significant(0.0123456) == small
    assert written.significant(0) == "0"


@pytest.mark.parametrize(
    ("code", "day", "listing"),
    [
        ("en", "January 5, 2026", "a, b, and c"),
        ("vi", "5 tháng 1, 2026", "a, b và c"),
        ("fr", "5 janvier 2026", "a, b et c"),
        ("sv", "5 januari 2026", "a, b och c"),
    ],
)
def test_days_and_lists(code, day, listing):
    assert language(code).day("2026-01-05") == day
    assert str(language(code).listing(["a", "b", "c"])) == listing


def test_a_list_escapes_its_items():
    assert str(language("sv").listing(["<b>", "c"])) == "&lt;b&gt; och c"


def test_an_unknown_language_is_refused():
    with pytest.raises(ConfigError, match="found 'de', expected en, vi, fr, sv"):
        language("de")


def test_a_message_without_a_translation_is_printed_in_english():
    for code in OTHERS:
        assert str(language(code).text("No such message, {name}.", name="<i>")) == "No such message, &lt;i&gt;."
        assert str(language(code).plural("{n} thing so", "{n} things so", 2)) == "2 things so"


# Recorded sentences ---------------------------------------------------------------------------------------------------

SENTENCES = [
    ("no positive films", "không có phim dương tính", "aucun cliché positif", "inga positiva bilder"),
    (
        "fewer than 1,200 films (12)",
        "ít hơn 1.200 phim (12)",
        f"moins de 1{NNB}200 clichés (12)",
        f"färre än 1{NB}200 bilder (12)",
    ),
    (
        "sensitivity; BCa bootstrap of patients, 2,000 replicates, 3 undefined and left out",
        "độ nhạy; bootstrap BCa theo bệnh nhân, 2.000 lần lặp, bỏ 3 lần không xác định",
        f"sensibilité{NB}; bootstrap BCa des patients, 2{NNB}000 réplications, dont 3 indéfinies et écartées",
        f"sensitivitet; BCa-bootstrap av patienter, 2{NB}000 replikat, varav 3 odefinierade och utelämnade",
    ),
    (
        "Not shown: these films do not decide it (sensitivity 0.889 (95 % CI 0.565–0.980), target 90 %; "
        "specificity not available (no negative films), target 70 %).",
        f"Chưa chứng minh được: các phim này không đủ để quyết định (độ nhạy 0,889 (KTC 95{NB}% 0,565–0,980), "
        f"mục tiêu 90{NB}%; độ đặc hiệu không có (không có phim âm tính), mục tiêu 70{NB}%).",
        f"Non démontré{NB}: ces clichés ne permettent pas de trancher (sensibilité 0,889 (IC à 95{NB}% 0,565–0,980), "
        f"cible 90{NB}%{NB}; spécificité non disponible (aucun cliché négatif), cible 70{NB}%).",
        f"Inte visat: dessa bilder avgör det inte (sensitivitet 0,889 (95{NB}% KI 0,565–0,980), mål 90{NB}%; "
        f"specificitet saknas (inga negativa bilder), mål 70{NB}%).",
    ),
    (
        "difference in sensitivity, margin 0.05",
        "hiệu của độ nhạy, biên 0,05",
        "différence (sensibilité), marge 0,05",
        "skillnad i sensitivitet, marginal 0,05",
    ),
]


@pytest.mark.parametrize("case", SENTENCES, ids=lambda case: case[0][:30])
def test_sentences_in_four_languages(case):
    english, *expected = case
    assert recorded(language("en"), english).striptags() == " ".join(english.split())
    for code, text in zip(OTHERS, expected, strict=True):
        # striptags would turn no-break spaces into plain ones
        assert re.sub(r"<[^>]*>", "", str(recorded(language(code), english))) == text


def test_numbers_of_a_sentence_follow_the_locale():
    def shown(text):
        return re.sub(r"<[^>]*>", "", str(recorded(language("fr"), text)))

    assert shown("-0.5") == f"{MINUS}0,5"
    assert shown("1e-06") == "0,000001"
    assert shown("-0.012 (95 % CI -0.030 to 0.006)") == f"{MINUS}0,012 (IC à 95{NB}% {MINUS}0,030 à 0,006)"
    assert shown("22433") == f"22{NNB}433"
    assert shown("2026") == "2026"
    assert shown("0.125, 0.25, 8") == f"0,125{NB}; 0,25{NB}; 8"


def test_text_of_users_is_isolated_and_escaped():
    hostile = "<script>alert(1)</script>"
    found = str(recorded(language("sv"), f"locked on {hostile}: largest threshold with sensitivity >= 90 %"))
    assert "<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>" in found
    assert found.startswith('<span class="recorded">låst på <bdi>')
    assert "högsta tröskelvärde" in found
    assert "<script" not in found
    assert "\u202e" not in str(recorded(language("fr"), "column a\u202eb"))


def test_what_no_catalogue_knows_stays_english_and_says_so():
    assert str(recorded(language("vi"), "Nobody wrote <this> down")) == (
        '<span lang="en">Nobody wrote &lt;this&gt; down</span>'
    )
    assert str(recorded(language("en"), "Nobody wrote <this> down")) == "Nobody wrote &lt;this&gt; down"


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("text", ["trouble", "no trouble here", "x of y", "Met: what a user calls it", "{0}", "5 km"])
def test_templates_of_few_words_do_not_take_any_text(code, text):
    assert 'lang="en"' in str(recorded(language(code), text))


def test_a_placeholder_holds_the_shortest_text_that_fits():
    template = Template(("locked on ", ": ", ""), "x")
    assert list(template.parts("locked on a: b: c")) == [("a", "b: c"), ("a: b", "c")]
    assert list(template.parts("locked on : c")) == []
    assert list(template.parts("locked")) == []


HOSTILE = {
    "long": "a" * 10_000,
    "semicolons": "films; " * 1500,
    "commas": "no films, " * 1000,
    "nested": "no film (" * 1100,
    "templates": "locked on a: difference in b, at a prevalence of c; " * 200,
    "digits": "1" * 10_000,
    "numbers": ", ".join(map(str, range(2500))),
    "slots": "{0} at a prevalence of {1}, " * 400,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("length", [10_000, LONGEST])
def test_hostile_text_is_fast_and_cut(name, length):
    text = HOSTILE[name][:length]
    recorded(language("sv"), "no films")  # the catalogue is read once
    started = time.process_time()
    found = str(recorded(language("sv"), text, 400))
    took = time.process_time() - started
    assert took < (0.01 if length > LONGEST else 0.1)
    assert len(found) < 400 * 6 + 200 or 'lang="en"' not in found


def test_a_known_sentence_is_never_cut():
    whole = "One mark per film cannot make more than one false positive per image."
    assert "En markering per bild kan inte ge mer än en falskt positiv per bild." in recorded(language("sv"), whole, 10)
    words = Words(language("sv"), None)
    assert words.recorded(whole, 10) == recorded(language("sv"), whole)
    assert words.recorded(None) == ""
    assert recorded(language("sv"), "x" * 50, 10).striptags() == "x" * 9 + "…"


# What evaluations say -------------------------------------------------------------------------------------------------

SINGLE_WORDS = frozenset({"method", "why", "reference", "matched_by", "label", "test", "region"})
"""Fields whose value is a sentence even where it is one word."""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """Every sentence of the files of a spread of evaluations, with one field that has it."""
    found = {}
    for name, document in (*documents(), *marked(tmp_path_factory.mktemp("marks"))):
        for field, text in strings(document):
            if text != COHORT and (" " in text or field in SINGLE_WORDS):
                found.setdefault(text, f"{name}: {field}")
    assert len(found) > 700
    return found


def strings(part, field=""):
    if isinstance(part, dict):
        for key, value in part.items():
            yield from strings(value, key)
    elif isinstance(part, list):
        for value in part:
            yield from strings(value, field)
    elif isinstance(part, str):
        yield field, part


@pytest.mark.parametrize("code", OTHERS)
def test_every_sentence_that_evaluations_say_is_known(code, said):
    unknown, foreign = {}, Counter()
    for text, where in said.items():
        shown = str(recorded(language(code), text))
        if 'lang="en"' in shown:
            unknown[text] = where
        for left in re.findall(r"<bdi>(.*?)</bdi>", shown):
            foreign[left.replace("&#39;", "'")] += 1
    assert unknown == {}
    assert set(foreign) <= USERS_WORDS


@pytest.mark.parametrize("code", OTHERS)
def test_numbers_of_sentences_survive_the_translation(code, said):
    """All digits of a sentence are there, in an order that a sentence may change."""
    for text in said:
        shown = re.sub(r"<[^>]*>|&#\d+;", "", str(recorded(language(code), text)))
        digits = Counter(re.findall(r"\d", re.sub(r"\de-?\d+", "", text)))
        assert not digits - Counter(re.findall(r"\d", shown)), (text, shown)


def test_no_replacement_outlives_what_it_replaces():
    written = written_templates()
    assert [text for text in (*REPLACED, *NOT_RECORDED) if text not in written] == []


def test_sentences_are_found_in_the_code_that_writes_them():
    modules = {sentence.text: sentence.module for sentence in sentences()}
    assert modules["no true positives"] == "evaluation/localisation/peaks.py"  # a constant
    assert modules["unpaired {0}"] == "evaluation/subgroups/sides.py"  # an f-string
    assert modules["{0}, films weighted to a prevalence of {1}"] == "statistics/calibration/measures.py"  # appended
    assert modules["decoder crashed"].endswith("vocabulary.py")
    assert not [text for text in modules if text.startswith(("{0} ids are", "manifest: column"))]  # errors
    assert numbered("a {} b {}") == "a {0} b {1}"
