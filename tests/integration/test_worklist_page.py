"""The worklist page in a real browser: 10,000 films, the keyboard, pictures, hostile names, paper."""

import base64
import fcntl
import json
import os
import re
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from pipelines.evaluation.predictions import heatmap_file
from pipelines.reporting.worklist import write_worklist
from tests.inference_films import film_pixels
from tests.unit.test_reporting_worklist import HOSTILE, row, write_run

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

N = 10_000
KEYS = {"Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "m": 77}


class Browser:
    """Headless Chromium with one page, spoken to over its debugging pipe."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def pipes() -> None:  # the browser reads descriptor 3 and writes descriptor 4
            reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser))
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
        self._process = subprocess.Popen(
            [str(CHROMIUM), *flags, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=pipes,
            close_fds=False,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        os.close(self._out)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)

    def _message(self) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], 60)
            assert ready, "the browser does not answer"
            chunk = os.read(self._in, 1 << 20)
            assert chunk, "the browser ended"
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def call(self, method: str, **parameters: object) -> dict:
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        data = json.dumps({"id": self._number, "method": method, "params": parameters, **session}).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def open(
        self, page: Path, width: int = 1400, height: int = 1000, *, dark: bool = False, script: bool = True
    ) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.events.clear()
        self.call("Page.navigate", url=page.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())

    def do(self, script: str) -> object:
        """The value of a script, after what it promises and two more frames."""
        frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        wrapped = f"(async () => {{ const value = await ({script}); await {frames}; return value; }})()"
        result = self.call("Runtime.evaluate", expression=wrapped, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str) -> None:
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS.get(key, 27)}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)
        self.do("0")

    def complaints(self) -> list[dict]:
        """Exceptions and messages of the console: a refused script, style or picture is one."""
        self.do("0")
        entries = [event["params"] for event in self.events if event.get("method") == "Log.entryAdded"]
        bad = [entry for entry in entries if entry["entry"]["level"] in ("error", "warning")]
        return bad + [event for event in self.events if event.get("method") == "Runtime.exceptionThrown"]

    def requests(self) -> list[str]:
        sent = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in sent]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10,000 films, 37 without a score; the hostile names stand first."""
    names = [*HOSTILE, *(f"site-07/2026-01/film_{k:06d}.dcm" for k in range(N - len(HOSTILE)))]
    rows = [row(name, 100 * (N - k) / (N + 1)) for k, name in enumerate(names[: N - 37])]
    rows += [row(name, None, reason="truncated" if k % 2 else "corrupt") for k, name in enumerate(names[N - 37 :])]
    folder = write_run(tmp_path_factory.mktemp("large"), rows)
    return write_worklist(folder)


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 films with pictures (one with a hostile name), two without a score."""
    names = [HOSTILE[2], "ä/b c#?%41.dcm", *(f"film {k}" for k in range(38))]
    rows = [row(name, 90.0 - 2 * k) for k, name in enumerate(names)] + [row("broken 1"), row("broken 2")]
    folder = write_run(tmp_path_factory.mktemp("pictured"), rows)
    (folder / "heatmaps").mkdir()
    for seed, name in enumerate(names):
        for layer in ("film", "tb", "nodule"):
            Image.fromarray(film_pixels(seed)).save(folder / "heatmaps" / heatmap_file(name, layer))
    return write_worklist(folder)


def places(browser: Browser) -> list[str]:
    return browser.do("[...document.querySelectorAll('#rows .film .rank')].map(cell => cell.textContent)")  # type: ignore[return-value]


def click(browser: Browser, selector: str) -> None:
    browser.do(f"document.querySelector({json.dumps(selector)}).click()")


def choose(browser: Browser, control: str, value: str) -> None:
    browser.do(
        f"(() => {{ const e = document.getElementById('{control}'); e.value = {json.dumps(value)}; "
        "e.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_ten_thousand_films_keep_the_document_small_and_the_page_quick(browser: Browser, large: Path) -> None:
    browser.open(large)
    assert places(browser)[:3] == ["1", "2", "3"]
    assert browser.do("document.querySelectorAll('*').length") < 2500
    assert browser.do("document.getElementById('list').getAttribute('aria-rowcount')") == str(N + 3)
    timed = "(() => {{ const begin = performance.now(); {0}; return performance.now() - begin; }})()"
    # Limits are ten times what was measured: a shared machine may be slow, a quadratic page is slower than that.
    for header in range(2):
        for cell in ("id", "p", "status", "score"):
            took = browser.do(timed.format(f"document.querySelector('#head .{cell} button').click()"))
            assert took < 3000, (header, cell)
    scrolled = timed.format("window.scrollTo(0, 400000); document.body.getBoundingClientRect()")
    assert browser.do(scrolled) < 1000
    assert len(places(browser)) < 60
    assert browser.do("document.querySelectorAll('*').length") < 2500
    assert browser.complaints() == []
    assert [url for url in browser.requests() if not url.startswith(("file:", "data:"))] == []


def test_filters_leave_exactly_their_films(browser: Browser, large: Path) -> None:
    browser.open(large)
    count = "document.getElementById('count').textContent"
    choose(browser, "find", "FILM_0012")
    assert browser.do(count) == "100 of 10,000 films"
    choose(browser, "find", "no such film")
    assert browser.do(count) == "0 of 10,000 films"
    assert browser.do("document.getElementById('nothing').hidden") is False
    choose(browser, "find", "")
    choose(browser, "by-class", "unscored")
    assert browser.do(count) == "37 of 10,000 films"
    choose(
        browser,
        "by-reason",
        browser.do("[...document.getElementById('by-reason').options].find(o => o.text.includes('too early')).value"),
    )  # type: ignore[arg-type]
    assert browser.do(count) == "18 of 10,000 films"
    assert set(places(browser)) == {"–"}
    browser.do("document.getElementById('filters').reset()")
    choose(browser, "by-finding", "0")
    shown = int(str(browser.do(count)).split(" ")[0].replace(",", ""))
    assert shown == sum(100 * (N - k) / (N + 1) / 100 >= 0.25 for k in range(N - 37))
    click(browser, "#show-unscored")
    assert browser.do(count) == "37 of 10,000 films"


def test_sorting_keeps_films_without_a_score_in_their_own_group(browser: Browser, pictured: Path) -> None:
    browser.open(pictured)
    for cell, first in (("score", "1"), ("score", "40"), ("id", "2"), ("rank", "1")):
        click(browser, f"#head .{cell} button")
        if cell != "id":
            assert places(browser)[0] == first
        sorts = browser.do(
            "[...document.querySelectorAll('[aria-sort]')].map(e => [e.className, e.getAttribute('aria-sort')])"
        )
        assert len(sorts) == 1  # type: ignore[arg-type]
        assert cell in sorts[0][0]  # type: ignore[index]
        browser.do("window.scrollTo(0, 1e6)")
        last = browser.do(
            "[...document.querySelectorAll('#rows .row')].slice(-3).map(e => e.innerText.split('\\n')[0])"
        )
        assert last[0] == "Not scored: 2 films need a person"  # type: ignore[index]
        assert places(browser)[-2:] == ["–", "–"]
        browser.do("window.scrollTo(0, 0)")


def test_hostile_names_are_shown_as_text(browser: Browser, large: Path) -> None:
    browser.open(large)
    shown = browser.do("[...document.querySelectorAll('#rows .open')].map(e => e.textContent)")
    assert shown[:4] == [*HOSTILE[:4]]  # type: ignore[index]
    assert shown[4] == r"\u{202e}gnp.exe\u{2066}\u{200b}"  # type: ignore[index]
    for place in range(len(HOSTILE)):
        click(browser, f"[data-place='{place + 1}'] .open")
        assert browser.do("document.getElementById('film-id').textContent") == shown[place]  # type: ignore[index]
        browser.press("Escape")
    assert browser.do("document.title").startswith("Worklist")  # type: ignore[union-attr]
    assert browser.do("document.querySelectorAll('script').length") == 2
    assert browser.complaints() == []


def test_the_keyboard_alone_reads_the_list(browser: Browser, pictured: Path) -> None:
    browser.open(pictured)
    assert browser.do("document.querySelectorAll('#rows .open[tabindex=\"0\"]').length") == 1
    browser.do("document.querySelector('#rows .open[tabindex=\"0\"]').focus()")
    place = "document.activeElement.closest('.row').querySelector('.rank').textContent"
    browser.press("ArrowDown")
    assert browser.do(place) == "2"
    browser.press("End")
    assert browser.do("document.activeElement.textContent") == "broken 2"
    browser.press("Home")
    assert browser.do(place) == "1"
    browser.press("Enter")
    assert browser.do("document.getElementById('film').open") is True
    title = "document.getElementById('film-id').textContent"
    assert browser.do(title) == HOSTILE[2]
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert browser.do(title) == "film 1"
    browser.press("ArrowLeft")
    assert browser.do(title) == "film 0"
    browser.press("m")
    assert "tuberculosis" in str(browser.do("document.querySelector('.map').alt")).lower()
    browser.press("Escape")
    assert browser.do("document.getElementById('film').open") is False
    assert browser.do(place) == "3"


def set_strength(browser: Browser, value: int) -> None:
    find = "const e = document.getElementById('strength')"
    browser.do(f"(() => {{ {find}; e.value = {value}; e.dispatchEvent(new Event('input')); }})()")


def test_pictures_and_maps_are_found_beside_the_page(browser: Browser, pictured: Path) -> None:
    browser.open(pictured)
    widths = "(e.loading = 'eager', e.decode().then(() => e.naturalWidth))"
    loaded = f"Promise.all([...document.querySelectorAll('{{0}}')].map(e => {widths}))"
    assert set(browser.do(loaded.format("#rows img"))) == {120}  # type: ignore[arg-type]
    assert len(browser.requests()) < 40  # lazily: not every film's
    for place in (1, 2):
        click(browser, f"[data-place='{place}'] .open")
        for _ in range(2):
            browser.press("m")
            assert browser.do(loaded.format(".frame img")) == [120, 120]
        set_strength(browser, 40)
        assert browser.do("document.querySelector('.map').style.opacity") == "0.4"
        click(browser, "input[value=film]")
        assert browser.do("document.querySelector('.map').hidden") is True
        set_strength(browser, 100)
        browser.press("Escape")
    assert browser.complaints() == []


def test_a_picture_that_is_gone_is_said_to_be(browser: Browser, pictured: Path, tmp_path: Path) -> None:
    page = shutil.copy(pictured, tmp_path / "worklist.html")
    browser.open(Path(page))
    click(browser, "[data-place='3'] .open")
    assert "is not beside this page" in str(
        browser.do("new Promise(done => setTimeout(() => done(document.querySelector('.stage').textContent), 300))")
    )


def test_paper_has_all_films_where_all_are_left(browser: Browser, large: Path) -> None:
    browser.open(large)
    browser.do("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.do("document.querySelectorAll('#paper tbody tr').length") == N
    browser.do("window.dispatchEvent(new Event('afterprint'))")
    assert browser.do("document.querySelectorAll('*').length") < 2500
    assert browser.complaints() == []


def test_paper_has_the_chosen_films(browser: Browser, pictured: Path) -> None:
    browser.open(pictured)
    rows = "[...document.querySelectorAll('#paper tbody tr')].map(e => e.cells[2].textContent)"
    browser.do("window.dispatchEvent(new Event('beforeprint'))")
    assert len(browser.do(rows)) == 42  # type: ignore[arg-type]
    browser.do("window.dispatchEvent(new Event('afterprint'))")
    for place in (5, 3):
        click(browser, f"[data-place='{place}'] input")
    browser.do("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.do(rows) == ["film 0", "film 2"]
    assert "2 films" in str(browser.do("document.getElementById('print').textContent"))
    browser.do("window.dispatchEvent(new Event('afterprint'))")
    assert len(base64.b64decode(browser.call("Page.printToPDF")["data"])) > 5000


@pytest.mark.parametrize(("width", "dark"), [(360, False), (700, True), (1400, True)])
def test_the_page_fits_and_can_be_read_in_every_width_and_light(
    browser: Browser, pictured: Path, width: int, dark: bool
) -> None:
    browser.open(pictured, width, 800, dark=dark)
    assert browser.do("document.documentElement.scrollWidth") <= width
    cut = "[...document.querySelectorAll('#rows .film .cell:not(.id):not(.remarks):not(.status)')]"
    assert browser.do(f"{cut}.filter(e => e.scrollHeight > e.clientHeight + 1).map(e => e.className)") == []
    background = str(browser.do("getComputedStyle(document.body).backgroundColor"))
    assert (max(map(int, re.findall(r"\d+", background))) < 60) is dark
    click(browser, "#rows .open")
    assert (
        browser.do("document.getElementById('film').scrollWidth <= document.getElementById('film').clientWidth") is True
    )
    browser.press("Escape")


def test_without_script_a_plain_table_stands_there(browser: Browser, large: Path) -> None:
    browser.open(large, script=False)
    tree = browser.call("DOM.getDocument", depth=-1)["root"]
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    text = json.dumps(tree)
    assert text.count('"TR"') == 201
    assert "37 films need a person: not scored" in text
