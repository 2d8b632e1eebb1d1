"""The whole report: every number from its file, every word from a catalogue or a file, nothing from anywhere else."""

import io
import json
import math
import re
from decimal import Decimal
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from pydantic import ValidationError

from pipelines.evaluation.records import Evaluation
from pipelines.reporting.language.extract import messages
from pipelines.reporting.language.language import Language, catalogue_text
from pipelines.reporting.page import write_report
from tests.browser import browser_page, needs_chromium
from tests.report_folders import write_folder

LANGUAGES = ("en", "vi", "fr", "sv")
SEPARATORS = {"en": (",", "."), "vi": (".", ","), "fr": ("\u202f", ","), "sv": ("\u00a0", ",")}
"""Between thousands, and before decimals: Unicode CLDR."""
QUIET = {"svg", "script", "style", "code", "bdi", "data"}
VOID = {"meta", "br", "img", "input", "hr", "link", "col", "wbr", "source"}
HOSTILE = (
    "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>\u202e=HYPERLINK(1) Nguyen Van A 1957-03-02 "
)


class Page(HTMLParser):
    """Numbers with their source, and the texts around them, by edition."""

    def __init__(self, html):
        super().__init__()
        self.stack, self.edition, self.numbers, self.texts, self.attributes = [], "en", [], [], []
        self.figures = {code: [] for code in LANGUAGES}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = {key: value or "" for key, value in attrs}
        self.attributes += [(tag, key, value) for key, value in given.items()]
        if "data-edition" in given:
            self.edition = given["data-edition"]
        if tag in ("svg", "img"):
            self.figures[self.edition] += [given[key] for key in ("aria-label", "alt") if key in given]
        if tag == "data":
            self.numbers.append([self.edition, given, ""])
        if tag not in VOID:
            self.stack.append((tag, given))

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = {tag for tag, _ in self.stack}
        if "data" in tags:
            self.numbers[-1][2] += data
        elif "svg" in tags and not tags & {"style", "script"}:
            self.figures[self.edition].append(" ".join(data.split(" ")))
        elif not tags & QUIET and data.strip() and not any(a.get("class") == "recorded" for _, a in self.stack):
            self.texts.append((self.edition, " ".join(data.split())))


@pytest.fixture(scope="module")
def printed():
    """What each language has written since the module began."""
    found, patch = {code: set() for code in LANGUAGES}, pytest.MonkeyPatch()
    for name in ("decimal", "significant"):
        write = getattr(Language, name)

        def noted(self, value, *digits, _write=write):
            text = _write(self, value, *digits)
            found[self.code].add(text.removeprefix("−"))
            return text

        patch.setattr(Language, name, noted)
    yield found
    patch.undo()


@pytest.fixture(scope="module")
def made(tmp_path_factory, printed):
    base = tmp_path_factory.mktemp("whole")
    folder = write_folder(base / "made", side=96)
    write_report([folder], base / "report.html", languages=LANGUAGES, command="cxr report evaluation")
    html = (base / "report.html").read_text(encoding="utf-8")
    files = {f"1/{name}": json.loads((folder / f"{name}.json").read_text()) for name in ("evaluation", "reading_time")}
    return base, folder, html, Page(html), files


# Numbers -------------------------------------------------------------------------------------------------------------


def found_at(files, place):
    """The value at ``1/evaluation:findings.0.auroc.value``; keys of a dictionary may hold dots."""
    root, _, path = place.partition(":")
    found, steps = files[root], path.split(".") if path else []
    while steps:
        if isinstance(found, list):
            found = found[int(steps.pop(0))]
            continue
        taken = next(n for n in range(1, len(steps) + 1) if ".".join(steps[:n]) in found)
        found, steps = found[".".join(steps[:taken])], steps[taken:]
    return found


def parsed(text, code):
    """A printed number and its count of decimals; grouping, signs and separators must be those of the language."""
    thousands, point = map(re.escape, SEPARATORS[code])
    shape = re.fullmatch(rf"(−?)(\d{{1,3}}(?:{thousands}\d{{3}})*)(?:{point}(\d+))?", text)
    assert shape, f"{code}: {text!r} is not written as in this language"
    whole, decimals = re.sub(thousands, "", shape[2]), shape[3] or ""
    number = Decimal(f"{whole}.{decimals or 0}") * (-1 if shape[1] else 1)
    assert not (shape[1] and number == 0), "minus zero"
    return number, len(decimals)


def check(value, form, text, code):
    """Whether a text is a value in a form, within half a unit of its last digit."""
    kind, _, rest = form.partition(":")
    digits, _, factor = rest.partition("*")
    true = Decimal(value) * (Decimal(float(factor)) if factor else 1)
    places = int(digits)
    if kind == "percent":
        assert text.endswith("\u00a0%"), text
        text = text.removesuffix("\u00a0%")
    true = {"percent": 100 * true, "share": 100 * true, "magnitude": abs(true)}.get(kind, true)
    shown, decimals = parsed(text, code)
    if kind == "significant":
        places = max(0, places - 1 - math.floor(math.log10(abs(true)))) if true else 0
        assert decimals <= places
        assert not decimals or text[-1] != "0", "trailing zeros"
    else:
        assert decimals == (0 if kind == "integer" else places), (text, form)
    assert abs(shown - true) <= Decimal("0.5000001") * Decimal(10) ** -places, (text, value, form)


def test_every_number_in_the_page_is_the_one_in_its_file(made):
    *_, page, files = made
    seen = dict.fromkeys(LANGUAGES, 0)
    for code, given, text in page.numbers:
        value = found_at(files, given["data-from"])
        assert isinstance(value, int | float), given
        assert float(given["value"]) == value, given
        check(value, given["data-as"], text, code)
        seen[code] += 1
    assert seen["en"] > 500
    assert set(seen.values()) == {seen["en"]}, "every language prints the same numbers"
    sources = [[given["data-from"] for one, given, _ in page.numbers if one == code] for code in LANGUAGES]
    assert all(sorted(one) == sorted(sources[0]) for one in sources)


def test_the_check_itself_sees_a_wrong_number():
    check(0.12345, "percent:1", "12.3\u00a0%", "en")
    check(1234567.0, "decimal:1", "1.234.567,0", "vi")
    check(-0.5, "magnitude:2", "0,50", "fr")
    check(0.0512, "significant:2", "0,051", "sv")
    for wrong in (
        (0.12345, "percent:1", "12.4\u00a0%", "en"),
        (0.12345, "percent:1", "12,3\u00a0%", "en"),
        (1234.5, "decimal:1", "1234.5", "en"),
        (-0.01, "decimal:1", "−0.0", "en"),
        (0.05, "significant:2", "0.050", "en"),
    ):
        with pytest.raises(AssertionError):
            check(*wrong)


# Words ---------------------------------------------------------------------------------------------------------------


def strings(value):
    if isinstance(value, str):
        yield " ".join(value.split())
    elif isinstance(value, dict):
        for key, part in value.items():
            yield str(key)
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)


@cache
def fragments(code):
    """What messages with digits hold between their gaps and tags, the longest first; English may stand anywhere."""
    texts = [key for (_, key), _ in messages()]
    if code != "en":
        texts += [entry.string for entry in read_po(io.StringIO(catalogue_text(code)), locale=code) if entry.id]
    single = [part for one in texts for part in ((one,) if isinstance(one, str) else one)]
    pieces = {piece.strip() for text in single for piece in re.split(r"\{\w*\}|<[^>]+>|\n\n", text)}
    pieces |= {" ".join(piece.split()) for piece in pieces}
    return sorted((piece for piece in pieces if re.search(r"\d", piece)), key=len, reverse=True)


def without(text, known):
    for piece in known:
        text = text.replace(piece, " ")
    return text


def stray_digits(texts):
    """Texts with digits that are no number of the files and stand in no message."""
    return [(code, text[:100]) for code, text in texts if re.search(r"\d", without(text, fragments(code)))]


def test_no_digit_stands_in_the_page_without_its_source(made):
    """Digits are numbers of the files or part of a message as it stands."""
    *_, page, _ = made
    assert len(page.texts) > 1000
    assert stray_digits(page.texts) == []


@pytest.mark.parametrize("stray", ["42.7 %", "95 %", "1,000", "100", "2", "7 of 9", "of 1"])
def test_the_check_itself_sees_a_stray_digit(made, stray):
    *_, page, _ = made
    texts = [(code, text) for code, text in page.texts if len(text) > 30]
    assert sum(bool(re.search(r"\d", text)) for _, text in texts) > 50
    for code, text in texts:
        assert stray_digits([(code, f"{text} {stray}")]), (code, text)


def test_numbers_of_figures_and_their_alternative_texts_were_printed_from_records(made, printed):
    """Figures hold no source beside a number, so every number in them must have been written by a language."""
    *_, page, files = made
    named = sorted({one for one in strings(files) if re.search(r"\d", one) and len(one) < 60}, key=len, reverse=True)
    seen = 0
    for code in LANGUAGES:
        thousands, point = map(re.escape, SEPARATORS[code])
        number = re.compile(rf"(?<![\w.,])\d{{1,3}}(?:{thousands}\d{{3}})*(?:{point}\d+)?(?![\d])")
        known = [*fragments(code), *named]
        for text in page.figures[code]:
            for found in number.findall(without(text, known)):
                assert found in printed[code], (code, found, text[:200])
                seen += 1
    assert seen > 1000


def test_the_page_needs_nothing_and_betrays_nothing(made):
    base, _, html, page, _ = made
    for tag, key, value in page.attributes:
        if key in ("src", "srcset", "poster", "data", "action", "background") or (tag, key) == ("link", "href"):
            assert value.startswith("data:") or not value, (tag, key, value[:80])
        if key == "href" and tag == "a":
            assert value.startswith(("#", "https://")), value
    assert not re.search(r"url\((?!['\"]?data:|#|['\"]?#)", html)
    assert "@import" not in html
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)
    for trace in (str(base), str(Path.home()), "/tmp/", "/work/", "secret-", "Traceback"):
        assert trace not in text, trace
    drawn = set(re.findall(r' id="([^"]+)"', "".join(re.findall(r"(?s)<svg.*?</svg>", html))))
    ids = [value for _, key, value in page.attributes if key == "id"]
    ours = [one for one in ids if one not in drawn]
    assert len(ours) == len(set(ours)) > 50
    goals = {value[1:] for tag, key, value in page.attributes if (tag, key) == ("a", "href") and value.startswith("#")}
    assert goals <= set(ids)


@needs_chromium
def test_one_language_at_a_time_and_no_request(made):
    base, *_ = made
    with browser_page(base / "report.html") as page:
        for code in (*LANGUAGES, "en"):
            page.locator(f'.edition:visible .language-switch[data-language="{code}"]').click()
            assert page.locator(".edition:visible").evaluate_all("(all) => all.map((e) => e.lang)") == [code]
            assert page.evaluate("document.documentElement.lang") == code
        assert page.complaints == []
    with browser_page(base / "report.html", java_script_enabled=False) as page:
        assert page.locator(".edition:visible").count() == 1
        assert page.locator("h2:visible").count() > 6


# Hostile text and size -----------------------------------------------------------------------------------------------


def poisoned(record, model):
    """The record with hostile text wherever its schema takes any text."""
    marked = HOSTILE + "x" * 10_000

    def swap(value, at):
        if isinstance(value, str):
            return value if at in kept else marked
        if isinstance(value, dict):
            return {key: swap(part, (*at, key)) for key, part in value.items()}
        if isinstance(value, list):
            return [swap(part, (*at, place)) for place, part in enumerate(value)]
        return value

    kept = set()
    while True:
        changed = swap(record, ())
        try:
            model.model_validate(changed)
        except ValidationError as error:
            refused = {each["loc"] for each in error.errors()} - kept
            assert refused, "a refusal that keeping the text does not mend"
            kept |= refused
        else:
            return changed, str(changed).count(HOSTILE[:30])


@needs_chromium
def test_hostile_text_is_text_and_runs_nothing(made, tmp_path):
    _, folder, *_ = made
    record = json.loads((folder / "evaluation.json").read_text())
    changed, places = poisoned(record, Evaluation)
    assert places > 200
    (tmp_path / "evaluation.json").write_text(json.dumps(changed))
    write_report([tmp_path], tmp_path / "report.html", command=HOSTILE)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>window.pwned" not in html
    assert "<img src=x" not in html
    assert "\u202e" not in html
    assert "x" * 1000 not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)
    with browser_page(tmp_path / "report.html", viewport={"width": 390, "height": 800}) as page:
        page.wait_for_timeout(200)
        assert page.evaluate("window.pwned") is None
        assert page.complaints == []
        assert page.locator("img[src=x]").count() == 0
        assert "window.pwned" in page.locator(".edition:visible").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_large_evaluation_with_pictures_makes_a_page_of_ten_megabytes_at_most(tmp_path):
    folder = write_folder(tmp_path, n=5000, seed=3, side=1024)
    kept = list(folder.glob("pictures/*-film.png"))
    assert len(kept) >= 20
    assert max(film.stat().st_size for film in kept) > 300_000, "as large as real films"
    write_report([folder], tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("data:image/") >= 10, "the films are in the page"
    assert len(html.encode()) <= 10_000_000
