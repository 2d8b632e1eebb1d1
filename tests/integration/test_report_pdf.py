"""The report on paper: printed by the browser on this machine, read back by other programs."""

import os
import re
import shutil
import subprocess
import sys
import time
import unicodedata

import pytest

from pipelines.errors import ReportError
from pipelines.reporting import pdf
from pipelines.reporting.page import write_report
from pipelines.reporting.pdf import BROWSER_VARIABLE, find_browser, print_pdf
from tests.browser import browser_page, needs_chromium
from tests.report_folders import write_folder

needs_poppler = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs poppler-utils")
WORDS = "Lao phổi: độ nhạy, độ đặc hiệu, nốt phổi; sensibilité; känslighet"
PAGE = f"""<!doctype html><html lang="vi"><head><meta charset="utf-8"><title>Báo cáo</title>
<style>h1 {{ white-space: pre-wrap }}
@page {{ size: A4; margin: 16mm; @bottom-right {{ content: counter(page) " / " counter(pages) }} }}
h2 {{ break-before: page }}</style></head><body><h1>{WORDS}</h1><p><a href="#second">tới</a></p>
<h2>Một</h2><h3>Nhỏ</h3><h2 id="second">Hai</h2>
<img src="http://127.0.0.1:9/x.png" alt=""></body></html>"""


def told(*command):
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode("utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("printed")
    folder = write_folder(base / "made", side=160)
    write_report([folder], base / "report.html", languages=("vi",))
    print_pdf(base / "report.html", base / "report.pdf")
    return base


@needs_chromium
@needs_poppler
def test_a_page_becomes_real_text_with_links_and_bookmarks(tmp_path):
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    out = tmp_path / "new folder" / "ra.pdf"
    print_pdf(tmp_path / "page.html", out)
    facts = dict(re.findall(r"(?m)^([\w ]+):\s+(.*)$", told("pdfinfo", out)))
    assert facts["Title"] == "Báo cáo"
    assert facts["Tagged"] == "yes"
    assert facts["Pages"] == "3"
    assert facts["Page size"].endswith("(A4)")
    text = " ".join(told("pdftotext", out, "-").split())
    assert text == unicodedata.normalize("NFC", text)
    assert WORDS in text
    assert [shown.replace("/", " / ") for shown in re.findall(r"\d/3", text.replace(" ", ""))] == [
        "1 / 3",
        "2 / 3",
        "3 / 3",
    ]
    content = out.read_bytes()
    assert b"/Lang (vi)" in content
    assert b"/Outlines" in content
    assert bookmarks(content) == [WORDS, "Một", "Nhỏ", "Hai"]
    assert '"second"' in told("pdfinfo", "-dests", out)
    assert [path.name for path in out.parent.iterdir()] == ["ra.pdf"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new folder", "page.html"]


def bookmarks(content):
    """Titles of the outline in the order of the file's chain of entries."""
    entries = {
        int(number): body
        for number, body in re.findall(rb"(?s)(\d+) 0 obj\s*<<(.*?)>>\s*endobj", content)
        if b"/Title" in body and b"/Parent" in body
    }
    (root,) = re.findall(rb"(?s)/Type /Outlines.*?/First (\d+) 0 R|/First (\d+) 0 R[^>]*?/Type /Outlines", content)
    found = []

    def walk(number):
        body = entries[number]
        found.append(title(body))
        for step in (rb"/First (\d+) 0 R", rb"/Next (\d+) 0 R"):
            if after := re.search(step, body):
                walk(int(after[1]))

    walk(int(next(filter(None, root))))
    return found


def title(body):
    raw = re.search(rb"(?s)/Title \((.*?)(?<!\\)\)|/Title <([0-9A-Fa-f]*)>", body)
    if raw[2] is not None:
        text = bytes.fromhex(raw[2].decode())
    else:
        text = re.sub(rb"\\([0-7]{3}|.)", lambda m: bytes([int(m[1], 8)]) if len(m[1]) == 3 else m[1], raw[1])
    return text.decode("utf-16") if text.startswith((b"\xfe\xff", b"\xff\xfe")) else text.decode("latin-1")


@needs_chromium
@needs_poppler
def test_the_report_is_printed_whole(made):
    out = made / "report.pdf"
    facts = dict(re.findall(r"(?m)^([\w ]+):\s+(.*)$", told("pdfinfo", out)))
    assert facts["Page size"].endswith("(A4)")
    assert 15 <= int(facts["Pages"]) <= 80
    text = unicodedata.normalize("NFC", told("pdftotext", "-layout", out, "-"))
    for page in range(1, int(facts["Pages"]) + 1):
        assert re.search(rf"{page}\s*/\s*{facts['Pages']}", text), f"page number {page}"
    with browser_page(made / "report.html") as page:
        page.emulate_media(media="print")
        headings = page.evaluate(
            """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
                .filter((h) => h.getClientRects().length).map((h) => h.textContent)"""
        )
        anchors = page.evaluate("[...document.querySelectorAll('main section h2[id]')].map((h) => h.id)")
        numbers = page.evaluate(
            """() => [...document.querySelectorAll("table td data")]
                .filter((d) => d.getClientRects().length).map((d) => d.textContent.trim())"""
        )
        named = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map((a) => a.hash.slice(1))")
    squeezed = re.sub(r"\s", "", text)
    assert len(headings) > 20
    headings = [" ".join(unicodedata.normalize("NFC", heading).split()) for heading in headings]
    assert [" ".join(each.split()).casefold() for each in bookmarks(out.read_bytes())] == [
        heading.casefold()
        for heading in headings  # the style may write a heading's first letter larger
    ]
    for heading in headings:
        assert re.sub(r"\s", "", heading).casefold() in squeezed.casefold(), heading
    printed = {number.strip(".,") for number in re.findall(r"[\d.,]+", text)}
    assert len(numbers) > 100
    lost = [number for number in numbers if not {n.strip(".,") for n in re.findall(r"[\d.,]+", number)} <= printed]
    assert not lost, lost[:9]
    there = set(re.findall(r'"([^"]+)"\s*$', told("pdfinfo", "-dests", out), re.MULTILINE))
    assert set(anchors) & set(named) <= there
    assert len(anchors) > 5


@needs_chromium
@needs_poppler
def test_fonts_are_embedded_and_pictures_are_sharp(made):
    rows = told("pdffonts", made / "report.pdf").splitlines()[2:]
    assert rows
    for row in rows:
        embedded, _, unicode = row.split()[-5:-2]
        assert (embedded, unicode) == ("yes", "yes"), row
    pictures = [row.split() for row in told("pdfimages", "-list", made / "report.pdf").splitlines()[2:]]
    films = [row for row in pictures if int(row[3]) >= 100 and int(row[4]) >= 100]
    assert films, "the films of the report are in the PDF"
    assert all(row[2] in ("image", "smask") for row in pictures)


@needs_chromium
def test_nothing_that_belongs_together_is_cut(made):
    """No figure, row, card or box lies across the edge between two pages, and no heading stands alone at the foot."""
    if shutil.which("pdftotext") is None:
        pytest.skip("needs poppler-utils")
    with browser_page(made / "report.html", viewport={"width": 680, "height": 971}) as page:
        page.emulate_media(media="print")
        loose = page.evaluate(
            """() => [...document.querySelectorAll("figure, tr, .card, .box")]
                .filter((e) => e.offsetHeight && getComputedStyle(e).breakInside !== "avoid")
                .map((e) => e.tagName + "." + e.className).slice(0, 5)"""
        )
        tall = page.evaluate(
            """() => [...document.querySelectorAll("figure, tr, .card, .box")]
                .filter((e) => e.getBoundingClientRect().height > 971)
                .map((e) => e.tagName + "." + e.className + ": " + e.textContent.trim().slice(0, 60)).slice(0, 5)"""
        )
        shy = page.evaluate(
            """() => [...document.querySelectorAll("h1, h2, h3, h4, caption")]
                .filter((e) => e.offsetHeight && getComputedStyle(e).breakAfter !== "avoid").length"""
        )
    assert loose == [], "may be cut by the edge of a page"
    assert tall == [], "taller than a page: cut whatever the style says"
    assert shy == 0


def test_without_a_browser_the_error_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    monkeypatch.delenv(BROWSER_VARIABLE, raising=False)
    monkeypatch.setattr(pdf.shutil, "which", lambda _name: None)
    with pytest.raises(ReportError, match=r"install Chromium, Chrome or Edge.*CXR_BROWSER"):
        print_pdf(tmp_path / "page.html", tmp_path / "out.pdf")
    monkeypatch.undo()
    monkeypatch.setenv(BROWSER_VARIABLE, "no-such-browser")
    with pytest.raises(ReportError, match=r"CXR_BROWSER: found 'no-such-browser'"):
        find_browser()
    with pytest.raises(ReportError, match=r"named: found 'other'"):
        find_browser(type(tmp_path)("other"))
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.skipif(os.name != "posix", reason="the stand-ins for a browser are shell scripts")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 7", r"printed no whole PDF of page.html \(it ended with status 7\)"),
        ("echo '[1:1:FATAL:zygote.cc(9)] No usable sandbox!' >&2; exit 1", r"status 1\): No usable sandbox!"),
        ('for a; do case $a in --print-to-pdf=*) printf %%PDF-1.4 > "${a#*=}";; esac; done', r"no whole PDF"),
        ("sleep 60 & sleep 60", r"did not print the page within 1 seconds and was ended"),
    ],
)
def test_a_browser_that_fails_leaves_nothing_behind(tmp_path, script, said):
    fake = tmp_path / "fake-browser"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    (tmp_path / "old.pdf").write_bytes(b"%PDF-1.4 an earlier one %%EOF")
    begun = time.monotonic()
    with pytest.raises(ReportError, match=said):
        print_pdf(tmp_path / "page.html", tmp_path / "old.pdf", browser=fake, seconds=1)
    assert time.monotonic() - begun < 20
    assert (tmp_path / "old.pdf").read_bytes() == b"%PDF-1.4 an earlier one %%EOF"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fake-browser", "old.pdf", "page.html"]


def test_a_page_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ReportError, match=r"gone\.html: no such page"):
        print_pdf(tmp_path / "gone.html", tmp_path / "out.pdf")
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    with pytest.raises(ReportError, match="found a folder"):
        print_pdf(tmp_path / "page.html", tmp_path)


def test_browsers_are_looked_for_where_each_system_has_them():
    mac = list(pdf._places("darwin", {}))
    windows = list(pdf._places("win32", {"PROGRAMFILES": "C:/Program Files"}))
    linux = list(pdf._places("linux", {}))
    assert "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" in mac
    assert "C:/Program Files/Microsoft/Edge/Application/msedge.exe" in windows
    assert {"chromium", "google-chrome", "microsoft-edge"} <= set(linux)
    assert sys.platform != "linux" or not any(place.startswith("/") for place in linux)
