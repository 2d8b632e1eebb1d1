"""The whole report: every number from its file, every word from a catalogue or a file, nothing from anywhere else."""

import ast
import io
import json
import math
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from pydantic import ValidationError

import pipelines.reporting
from pipelines.evaluation.records import Evaluation
from pipelines.reporting.language.language import catalogue_text
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
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = {key: value or "" for key, value in attrs}
        self.attributes += [(tag, key, value) for key, value in given.items()]
        if "data-edition" in given:
            self.edition = given["data-edition"]
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
        elif not tags & QUIET and data.strip() and not any(a.get("class") == "recorded" for _, a in self.stack):
            self.texts.append((self.edition, " ".join(data.split())))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
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


def literals(code):
    """Tokens with digits that messages of the report hold themselves, in one language."""
    folder = Path(pipelines.reporting.__file__).parent
    if code == "en":
        texts = [
            node.value
            for file in folder.rglob("*.py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for template in (folder / "templates" / "report").glob("*.j2"):
            texts += re.findall(r'(?:_|plural)\(\s*"((?:[^"\\]|\\.)*)"', template.read_text(encoding="utf-8"))
    else:
        catalogue = read_po(io.StringIO(catalogue_text(code)), locale=code)
        strings = [entry.string for entry in catalogue if entry.id]
        texts = [part for one in strings for part in ((one,) if isinstance(one, str) else one)]
    bare = [re.sub(r"\{\w+\}|<[^>]+>", " ", text) for text in texts]
    return {token for text in bare for token in tokens(text)}


def tokens(text):
    return {found.strip(".,;:()[]\"'“”«»") for found in re.findall(r"\S*\d\S*", text)}


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


def test_no_digit_stands_in_the_page_without_its_source(made):
    """Digits are numbers of the files, part of a message, or part of a sentence that a file holds."""
    *_, page, files = made
    recorded = {token for text in strings(files) for token in tokens(text)}
    allowed = {code: literals(code) for code in LANGUAGES}
    allowed = {code: found | allowed["en"] for code, found in allowed.items()}
    stray = [
        (code, token, text[:100])
        for code, text in page.texts
        for token in tokens(text)
        if token not in allowed[code] and token not in recorded
    ]
    assert len(page.texts) > 1000
    assert stray == []


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
