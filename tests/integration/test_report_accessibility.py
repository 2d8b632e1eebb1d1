"""The report for those who use a keyboard, a screen reader, a phone or a projector."""

import itertools
import re

import pytest

from pipelines.reporting.page import write_report
from tests.browser import AXE, browser_page, needs_axe, needs_chromium
from tests.report_folders import write_folder

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    base = tmp_path_factory.mktemp("accessible")
    write_report([write_folder(base / "made", side=96)], base / "report.html", languages=("en", "vi"))
    return base / "report.html"


@needs_axe
@pytest.mark.parametrize(("code", "width"), [("en", 1280), ("vi", 390)])
def test_axe_finds_nothing_serious(page_file, code, width):
    with browser_page(page_file, viewport={"width": width, "height": 900}, locale=code) as page:
        page.locator(f'.edition:not([hidden]) .language-switch[data-language="{code}"]').click()
        page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert len(found["passes"]) > 10, "axe looked at the page"
        grave = [
            (each["id"], node["target"], node["failureSummary"][:300])
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]
        assert grave == []


@pytest.mark.parametrize("width", [390, 1920])
def test_nothing_scrolls_sideways_but_tables_in_their_boxes(page_file, width):
    with browser_page(page_file, viewport={"width": width, "height": 900}) as page:
        wide = page.evaluate(
            """() => [...document.querySelectorAll("body *")]
                .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
                .filter((e) => !e.closest(".scroll, nav, svg, .skip"))
                .map((e) => e.tagName + "." + e.className).slice(0, 9)"""
        )
        assert wide == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        boxed = page.evaluate(
            """() => [...document.querySelectorAll(".edition:not([hidden]) main table")]
                .map((table) => table.closest(".scroll")?.tabIndex === 0)"""
        )
        assert len(boxed) > 5
        assert all(boxed), "every table scrolls in a box that the keyboard reaches"


def test_headings_form_an_outline_in_every_language(page_file):
    with browser_page(page_file, java_script_enabled=False) as page:
        editions = page.evaluate(
            """() => [...document.querySelectorAll(".edition")].map((edition) => [
                edition.lang, [...edition.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((h) => +h.tagName[1]),
                [...edition.querySelectorAll("h1,h2,h3,h4,h5,h6")].every((h) => h.textContent.trim())])"""
        )
    assert [lang for lang, _, _ in editions] == ["en", "vi"]
    for _, levels, said in editions:
        assert levels.count(1) == 1
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), levels
        assert said, "no heading is empty"
    assert editions[0][1] == editions[1][1]


def test_figures_say_their_numbers_to_those_who_do_not_see_them(page_file):
    with browser_page(page_file) as page:
        said = page.evaluate(
            """() => [...document.querySelectorAll(".edition:not([hidden]) [role=img]")]
                .map((e) => e.getAttribute("aria-label") || "")"""
        )
        bare = page.evaluate(
            """() => [...document.querySelectorAll("img:not([alt]), svg")]
                .filter((e) => !e.closest("[role=img][aria-label], [aria-hidden=true]")).length"""
        )
    assert len(said) > 8
    for text in said:
        assert len(text) > 20, text
        assert re.search(r"\d", text), text
        assert "<" not in text
        assert "{" not in text
    assert bare == 0


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page_file):
    with browser_page(page_file, viewport={"width": 1280, "height": 900}) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        goal = page.evaluate("decodeURIComponent(location.hash.slice(1))")
        assert goal
        assert page.evaluate("(id) => document.getElementById(id).getBoundingClientRect().top < innerHeight", goal)
        page.reload()
        seen, outlined = [], []
        for _ in range(60):
            page.keyboard.press("Tab")
            tag, drawn = page.evaluate(
                """() => { const e = document.activeElement, s = getComputedStyle(e);
                    return [e.tagName + "." + e.className, s.outlineStyle !== "none" || s.boxShadow !== "none"]; }"""
            )
            seen.append(tag)
            outlined.append(drawn)
        assert all(outlined), [tag for tag, drawn in zip(seen, outlined, strict=True) if not drawn]
        assert {"BUTTON.language-switch", "DIV.scroll"} <= set(seen)
        assert any(tag.startswith("A.") for tag in seen)
        assert page.evaluate("[...document.querySelectorAll('[tabindex]')].every((e) => e.tabIndex <= 0)")


def test_the_language_of_the_page_follows_its_switch(page_file):
    with browser_page(page_file) as page:
        assert page.evaluate("document.documentElement.lang") == "en"
        page.locator('.edition:not([hidden]) .language-switch[data-language="vi"]').click()
        assert page.evaluate("document.documentElement.lang") == "vi"
        assert page.locator(".edition:visible").count() == 1
        assert page.locator(".edition:visible").get_attribute("data-edition") == "vi"
        assert page.evaluate("document.activeElement.dataset.language") == "vi"
        pressed = page.locator(".edition:visible .language-switch[aria-pressed=true]").all_inner_texts()
        assert pressed == ["Tiếng Việt"]
        assert page.complaints == []
