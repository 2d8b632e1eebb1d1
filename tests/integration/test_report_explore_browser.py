"""The sliders in a real browser: what they show is what an evaluation at that threshold and prevalence says."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest

from pipelines.evaluation.evaluator import evaluate_joined
from pipelines.evaluation.finding import Settings
from pipelines.evaluation.joining import scored_films
from pipelines.evaluation.thresholds.points import Threshold, Thresholds, operating_results
from pipelines.evaluation.thresholds.programme import programme_from_estimates
from pipelines.reading_time.effort import reading_effort
from pipelines.reporting.book import make_book
from pipelines.reporting.chapters.explore import amount_digits, chapter, share_digits
from pipelines.reporting.chapters.explore_data import threshold_digits
from pipelines.reporting.language.language import NAMES, language
from pipelines.reporting.printing import Words
from pipelines.statistics.accuracy.ratios import Prevalence, region_interval
from tests.browser import browser_page, needs_chromium
from tests.simulated_evaluations import FINDINGS, simulated

pytestmark = needs_chromium
PREVALENCES = (0.0007, 0.1, 0.333)
"""The second is that of the evaluations."""
SHARES = ("sensitivity", "specificity", "flagged", "ppv", "npv")
NO_BOUND = "no upper bound: perhaps no case is found"
DRIVE = """([id, stops, prevalences]) => {
  const box = document.getElementById(id + "-threshold").closest(".explore-finding");
  const at = (name) => box.querySelector(".explore-" + name);
  const found = [];
  for (const prevalence of prevalences) {
    at("percent").value = prevalence;
    at("percent").dispatchEvent(new Event("input", { bubbles: true }));
    for (const stop of stops) {
      at("slider").value = stop;
      at("slider").dispatchEvent(new Event("input", { bubbles: true }));
      const rows = {};
      for (const row of box.querySelectorAll("[data-row]"))
        rows[row.dataset.row] = ["value", "interval"].map((n) => row.querySelector(".explore-" + n).textContent);
      found.push({ rows, threshold: at("threshold").textContent, prevalence: at("prevalence").textContent,
        aloud: at("slider").getAttribute("aria-valuetext") });
    }
  }
  return found;
}"""


@pytest.fixture(scope="module")
def clustered():
    """As the demo: few films, several of a patient, intervals by bootstrap."""
    given = Thresholds(given={"tb": 0.31, "nodule": 0.6})
    return simulated(films=120, patients=90, positives={"tb": 40, "nodule": 33}, thresholds=given)


@pytest.fixture(scope="module")
def many():
    """As another system's scores of many films: one film a patient, ties, a reading room of its own prevalence."""
    given = Thresholds(given={"tb": 0.42, "nodule": 0.9999})
    counts = {"tb": 200, "nodule": 130}
    return simulated(films=3000, patients=3000, positives=counts, thresholds=given, digits=4, prevalence=0.05, place=2)


@pytest.fixture(scope="module")
def unlocked():
    """Without an operating threshold and without a reading-time file."""
    return simulated(films=80, patients=80, positives={"tb": 30, "nodule": 20}, prevalence=None, place=3)


def document(book, codes=("en",)):
    """A page of the chapter alone, in several languages."""
    folder = resources.files("pipelines.reporting").joinpath("templates/report")
    made = [chapter(book, Words(language(code), book, several=True)) for code in codes]
    names = dict.fromkeys(name for each in made for name in each.scripts)
    scripts = "".join(f"<script>{folder.joinpath(name).read_text()}</script>" for name in names)
    bodies = "".join(f'<section lang="{code}">{each.body}</section>' for code, each in zip(codes, made, strict=True))
    style = "".join(folder.joinpath(name).read_text() for name in ("page.css", "explore.css"))
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>t</title>'
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body>{bodies}{scripts}</body></html>'
    )


@pytest.fixture(scope="module")
def html(tmp_path_factory, clustered, many, unlocked):
    path = tmp_path_factory.mktemp("explore") / "page.html"
    book = make_book((clustered.study, many.study, unlocked.study))
    path.write_text(document(book, tuple(NAMES)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(html):
    with browser_page(html) as page:
        yield page


@pytest.fixture
def page(browser):
    """The page as it is opened, in a browser that all tests share; none may leave a complaint."""
    browser.emulate_media(media="screen")
    browser.set_viewport_size({"width": 1200, "height": 900})
    browser.reload()
    yield browser
    assert browser.complaints == []


def id_of(code, place, finding):
    return f"{code}-s{place}f{1 + FINDINGS.index(finding)}-explore"


def stops_to_try(result):
    """Twelve or more places of the table: both ends, the operating threshold, and others spread between."""
    table = result.thresholds.thresholds
    spread = np.linspace(0, len(table) - 1, 13).round().astype(int)
    return sorted({*map(int, spread), table.index(result.operating_point.threshold)})


def interval_text(words, found, form, digits, label="CI"):
    lang = words.language
    if found.low is None:
        return words(NO_BOUND).unescape() if found.value is not None else ""
    low, high = (100 * found.low, 100 * found.high) if form == "share" else (found.low, found.high)
    ends = {"low": lang.decimal(low, digits), "high": lang.decimal(high, digits)}
    bounds = words("{low} to {high}", **ends).unescape() if found.low < 0 else "{low}–{high}".format(**ends)
    level = lang.percent(found.level, 2 if abs(found.level - 0.9025) < 1e-9 else 0)
    sign = lang.percent(0, 0)[1:] if form == "share" else ""
    message = {"CI": "{level} CI {bounds}", "range": "{level} range {bounds}"}[label]
    return words(message, level=level, bounds=bounds + sign).unescape()


def shown(words, value, over, name, label):
    """A number and its interval as the page prints them."""
    if value.value is None:
        return ["–", None]
    share = name in SHARES
    digits = (share_digits(value) if name in ("ppv", "npv") else 1) if share else amount_digits(over)
    write = words.language.percent if share else words.language.decimal
    return [write(value.value, digits), interval_text(words, over, "share" if share else "number", digits, label)]


def expected(words, point, prevalence, same, settings):
    """Every number of the page from an evaluation at this threshold and prevalence.

    ``point`` is what `cxr evaluate` says at the threshold and prevalence. Its intervals of numbers that rest on both
    rates give way to the range over those of the rates, unless it is the evaluation's ``same`` point.
    """
    sensitivity, specificity = point.sensitivity, point.specificity
    place, level = Prevalence(prevalence), sensitivity.level * specificity.level
    wide = programme_from_estimates(sensitivity, specificity, place)
    effort = reading_effort(settings, prevalence, sensitivity, specificity)
    found = {name: shown(words, getattr(point, name), getattr(point, name), name, "CI") for name in SHARES[:3]}
    for kind in ("ppv", "npv"):
        over = region_interval(sensitivity, specificity, kind, level=level, n=1, prevalence=place)
        own = getattr(point.local, kind)
        found[kind] = shown(words, own, own if same else over, kind, "CI" if same else "range")
    for name, field in (
        ("tests_per_case", "tests_per_case"),
        ("referred", "referred_per_100000"),
        ("avoided", "tests_avoided_per_100000"),
        ("found", "cases_found_per_100000"),
        ("missed", "missed_per_100000"),
    ):
        own = getattr(point.programme, field)
        label = "CI" if same or name in ("found", "missed") else "range"
        found[name] = shown(words, own, own if same else getattr(wide, field), name, label)
    for name, minutes in (
        ("without_ai", effort.minutes_per_1000.without_ai),
        ("with_ai", effort.minutes_per_1000.with_ai),
        ("difference", effort.difference.with_ai),
    ):
        found[name] = shown(words, minutes, minutes, name, "CI")
    for name in ("true_positive", "false_negative", "false_positive", "true_negative"):
        found[name] = [words.language.integer(getattr(point.counts, name)), ""]
    return found


def evaluated(sim, finding, thresholds, prevalence):
    """What an evaluation says at these thresholds and this prevalence."""
    wanted = [Threshold(threshold, "user", "flag", "test") for threshold in thresholds]
    scored = scored_films(sim.joined, finding)
    return operating_results(scored, finding, wanted, replace(sim.options, prevalence=prevalence))


@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.parametrize("place", [1, 2])
def test_every_number_is_that_of_an_evaluation_at_the_threshold(page, clustered, many, place, finding):
    sim = (clustered, many)[place - 1]
    result = sim.study.evaluation.findings[FINDINGS.index(finding)]
    table, operating = result.thresholds.thresholds, result.operating_point.threshold
    stops = stops_to_try(result)
    assert len(stops) >= 12
    assert {0, len(table) - 1, table.index(operating)} <= set(stops)
    typed = [f"{100 * prevalence:.10g}" for prevalence in PREVALENCES]
    seen = {code: page.evaluate(DRIVE, [id_of(code, place, finding), stops, typed]) for code in NAMES}
    points = {prevalence: evaluated(sim, finding, [table[s] for s in stops], prevalence) for prevalence in PREVALENCES}
    settings = sim.study.reading_time.findings[0].effort.settings
    compared = 0
    for code, states in seen.items():
        lang, words = language(code), Words(language(code), sim.book)
        cases = [(prevalence, point) for prevalence in PREVALENCES for point in points[prevalence]]
        for (prevalence, point), state in zip(cases, states, strict=True):
            same = point.threshold == operating and prevalence == PREVALENCES[1]
            for name, wanted in expected(words, point, prevalence, same, settings).items():
                value, interval = state["rows"][name]
                assert value == wanted[0], (code, name, point.threshold, prevalence)
                if wanted[1] is not None and not (same and wanted[1] == NO_BOUND):
                    assert interval == wanted[1], (code, name, point.threshold, prevalence)
                compared += 1
            assert state["threshold"] == lang.significant(point.threshold, threshold_digits(point.threshold))
            assert state["threshold"] in state["aloud"]
            assert all(state["rows"][name][0] in state["aloud"] for name in ("sensitivity", "specificity"))
        assert {state["prevalence"] for state in states} == {
            lang.percent(p, d) for p, d in zip(PREVALENCES, (2, 0, 1), strict=True)
        }
    assert compared == len(NAMES) * len(PREVALENCES) * len(stops) * 17


def test_a_whole_evaluation_at_another_threshold_says_the_same(page, clustered):
    result = clustered.study.evaluation.findings[0]
    stop = 30
    threshold = result.thresholds.thresholds[stop]
    options = replace(clustered.options, prevalence=0.02)
    asked = Settings(options=options, thresholds=Thresholds(given={"tb": threshold}), split="test")
    point = evaluate_joined(clustered.joined, ("tb",), asked).findings[0].operating_point
    (state,) = page.evaluate(DRIVE, [id_of("en", 1, "tb"), [stop], ["2"]])
    rows, english = state["rows"], language("en")
    assert rows["sensitivity"][0] == english.percent(point.sensitivity.value)
    assert rows["sensitivity"][1] == interval_text(Words(english, clustered.book), point.sensitivity, "share", 1)
    assert rows["ppv"][0] == english.percent(point.local.ppv.value, share_digits(point.local.ppv))
    assert rows["referred"][0] == english.integer(round(point.programme.referred_per_100000.value))
    assert rows["false_negative"][0] == str(point.counts.false_negative)


def test_numbers_are_rounded_and_written_as_python_does(page):
    rng = np.random.default_rng(0)
    values = [*rng.uniform(-200, 200, 400), *rng.uniform(0, 2e6, 200), *10 ** rng.uniform(-7, 3, 200)]
    values += [0.0, -0.0, 0.5, 1.5, 2.5, -2.5, 0.125, 0.375, 0.25, 12.345, 1e5, 99999.5, -0.04, 1000, 0.1, 1e-4, 999.96]
    values = [float(value) for value in values]
    for code in NAMES:
        lang = language(code)
        written = page.evaluate(
            """([code, values]) => {
              const held = document.querySelector(`section[lang=${code}] .explore-words`).textContent;
              const { decimal, percent, significant } = CxrExplore.writer(JSON.parse(held));
              return values.map((v) => [...[0, 1, 2, 3].map((d) => decimal(v, d)), percent(v, 1), significant(v, 4)]);
            }""",
            [code, values],
        )
        for value, texts in zip(values, written, strict=True):
            wanted = [lang.decimal(value, digits) for digits in range(4)]
            assert texts == [*wanted, lang.percent(value, 1), lang.significant(value, 4)], (code, value)


@pytest.fixture
def panel(page):
    return page, page.locator(f"#{id_of('en', 1, 'tb')}-threshold")


def box_of(slider):
    return slider.locator("xpath=ancestor::div[contains(@class, 'explore-finding')]")


def test_the_keyboard_moves_by_one_by_five_per_cent_and_to_the_ends(panel, clustered):
    _, slider = panel
    table = clustered.study.evaluation.findings[0].thresholds.thresholds
    start = table.index(0.31)
    at = lambda: int(slider.input_value())  # noqa: E731
    slider.focus()
    assert at() == start
    slider.press("ArrowRight")
    assert at() == start + 1
    assert box_of(slider).locator(".explore-threshold").inner_text() == language("en").significant(
        table[start + 1], threshold_digits(table[start + 1])
    )
    slider.press("ArrowLeft")
    slider.press("ArrowDown")
    assert at() == start - 1
    step = round(0.05 * len(table))
    assert step > 1
    slider.press("PageUp")
    assert at() == start - 1 + step
    slider.press("PageDown")
    slider.press("PageDown")
    assert at() == start - 1 - step
    slider.press("End")
    assert at() == len(table) - 1
    slider.press("PageUp")
    assert at() == len(table) - 1
    slider.press("Home")
    assert at() == 0
    assert box_of(slider).locator("[data-row=sensitivity] .explore-value").inner_text() == "100.0\N{NO-BREAK SPACE}%"


def test_back_brings_the_very_start_again_and_nothing_else_moves(panel):
    page, slider = panel
    box = box_of(slider)
    others = page.locator(".explore-finding")
    texts = lambda: [text for text in others.locator(".explore-groups").all_inner_texts()]  # noqa: C416, E731
    first, before = box.locator(".explore-groups").inner_html(), texts()
    back, prevalence_back = box.locator(".explore-back"), box.locator(".explore-prevalence-back")
    assert back.is_disabled()
    assert prevalence_back.is_disabled()
    slider.press("End")
    box.locator(".explore-percent").fill("0.5")
    assert box.locator(".explore-moved").is_visible()
    assert not box.locator(".explore-at-start").is_visible()
    changed = [place for place, (one, two) in enumerate(zip(before, texts(), strict=True)) if one != two]
    assert len(changed) == 1
    assert box.locator("[data-row=ppv] data").get_attribute("data-from") is None
    back.click()
    assert slider.evaluate("node => document.activeElement === node")
    prevalence_back.click()
    assert box.locator(".explore-groups").inner_html() == first
    assert box.locator("[data-row=ppv] data").first.get_attribute("data-from").endswith("local.ppv.value")
    assert box.locator(".explore-at-start").is_visible()
    assert texts() == before


def test_a_prevalence_out_of_range_is_refused_and_changes_nothing(panel):
    _, slider = panel
    box = box_of(slider)
    before = box.locator(".explore-groups").inner_text()
    for wrong in ("51", "0.001", "-3", ""):
        box.locator(".explore-percent").fill(wrong)
        assert box.locator(".explore-refused").inner_text() == (
            "Enter a prevalence from 0.01\N{NO-BREAK SPACE}% to 50\N{NO-BREAK SPACE}%."
        )
        assert box.locator(".explore-groups").inner_text() == before
    box.locator(".explore-percent").fill("50")
    assert box.locator(".explore-refused").inner_text() == ""
    assert box.locator(".explore-prevalence").inner_text() == "50\N{NO-BREAK SPACE}%"
    assert box.locator(".explore-prevalence-slider").input_value() == "1000"
    box.locator(".explore-prevalence-slider").press("Home")
    assert box.locator(".explore-percent").input_value() == "0.01"


def test_the_result_is_said_once_after_the_last_move(panel):
    page, slider = panel
    said = box_of(slider).locator(".explore-said")
    page.evaluate(
        """(node) => { window.heard = []; new MutationObserver(() => heard.push(node.textContent))
             .observe(node, { childList: true }); }""",
        said.element_handle(),
    )
    for _ in range(6):
        slider.press("ArrowRight")
    assert page.evaluate("heard") == []
    page.wait_for_function("heard.length > 0")
    page.wait_for_timeout(800)
    (text,) = page.evaluate("heard")
    ppv = box_of(slider).locator("[data-row=ppv] .explore-value").inner_text()
    assert text.startswith(f"At a prevalence of 10\N{NO-BREAK SPACE}%: PPV {ppv}, NPV ")


def test_a_phone_needs_no_sideways_scrolling_and_print_keeps_the_values(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    slider = page.locator(f"#{id_of('fr', 2, 'nodule')}-threshold")
    assert slider.bounding_box()["width"] > 250
    page.emulate_media(media="print")
    assert not slider.is_visible()
    assert box_of(slider).locator("[data-row=ppv] .explore-value").is_visible()
    assert page.locator("section[lang=fr] .explore-nojs").is_visible()
    page.emulate_media(media="screen")
    assert not page.locator("section[lang=fr] .explore-nojs").is_visible()


def test_without_javascript_the_operating_point_is_there_and_a_sentence_says_so(browser, html, clustered):
    point = clustered.study.evaluation.findings[0].operating_point
    page = browser.context.browser.new_context(java_script_enabled=False).new_page()
    page.goto(html.resolve().as_uri())
    box = page.locator(".explore-finding").first
    assert page.locator(".explore-nojs").first.is_visible()
    assert page.locator("input:visible, button:visible").count() == 0
    shown = box.locator("[data-row=specificity] .explore-value").inner_text()
    assert shown == language("en").percent(point.specificity.value)
    assert box.locator(".explore-threshold").inner_text() == "0.31"
    page.close()


def test_without_an_operating_threshold_the_script_fills_in_every_number(page, unlocked):
    table = unlocked.study.evaluation.findings[0].thresholds
    start = max(i for i, tp in enumerate(table.true_positive) if tp >= 0.9 * table.positives)
    slider = page.locator(f"#{id_of('en', 3, 'tb')}-threshold")
    assert slider.input_value() == str(start)
    (point,) = evaluated(unlocked, "tb", [table.thresholds[start]], 0.1)
    box = box_of(slider)
    assert box.locator("[data-row=npv] .explore-value").inner_text() == language("en").percent(
        point.local.npv.value, share_digits(point.local.npv)
    )
    assert "–" not in box.locator(".explore-value").all_inner_texts()
    assert box.locator(".explore-back").inner_text() == "Back to the starting threshold"
    assert box.locator("[data-row=with_ai]").count() == 0
    assert "Reader time is absent" in box.inner_text()
