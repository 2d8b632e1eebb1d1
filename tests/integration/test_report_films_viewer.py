"""Films of a report in a real browser: every box and map where the lesion is, and a viewer that shows exact values."""

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

import pipelines.reporting.page as report_page
from pipelines.assessment.assess import assess_table
from pipelines.evaluation.options import Options
from pipelines.evaluation.predictions import HEATMAP_FOLDER, heatmap_file, maps_file
from pipelines.evaluation.tables import read_predictions
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.heatmaps import FilmMaps, write_pictures
from pipelines.imaging import Orientation, Placement
from pipelines.imaging.raster import read_raster
from pipelines.imaging.source import open_image
from pipelines.reporting.book import open_book
from pipelines.reporting.chapters import films as films_chapter
from pipelines.reporting.language.language import language
from tests.browser import browser_page, needs_chromium

pytestmark = needs_chromium
ROWS, COLUMNS = 400, 300
"""Of every stored film."""
SIZE, CELLS = 512, 16
SCORES = (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)
HOSTILE = '<script>alert("film")</script>\u202e'


def stored_film(number: int) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """A grey ramp with one white lesion, in stored pixels, and its box; in another place on every film."""
    x, y, radius = 40 + 27 * number, 330 - 35 * number, 14
    down, right = np.mgrid[:ROWS, :COLUMNS]
    pixels = (30 + 60 * down / ROWS + 40 * right / COLUMNS).astype(np.uint8)
    pixels[(right + 0.5 - x) ** 2 + (down + 0.5 - y) ** 2 < radius**2] = 255
    return pixels, (x - radius, y - radius, x + radius, y + radius)


def predicted_film(folder: Path, number: int) -> dict[str, object]:
    """Write one film in its own EXIF orientation, and what predict writes of it: its row of both tables."""
    pixels, box = stored_film(number)
    path = folder.parent / f"f{number}.png"
    exif = Image.Exif()
    exif[274] = number + 1
    Image.fromarray(pixels).save(path, exif=exif)
    with open_image(path) as (stream, size, file_format):
        film = read_raster(stream, size, file_format)
    orientation = Orientation.of_exif(film.header.orientation)
    place = Placement.fit(ROWS, COLUMNS, SIZE, orientation)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    at_x, at_y = place.to_square(x, y)
    centres = (np.arange(CELLS) + 0.5) * SIZE / CELLS
    distance = np.hypot(centres[None, :] - at_x, centres[:, None] - at_y)
    cells = np.exp(-((distance / 45) ** 2)).astype(np.float32)
    name = f"phantom/f{number}"
    files = FilmMaps(
        film=folder / heatmap_file(name, "film"),
        overlays=(folder / heatmap_file(name, "nodule"), folder / heatmap_file(name, "tb")),
        numbers=folder / maps_file(name),
        cells=np.stack([1 - cells, cells]),
        place=place,
        peaks={1: (x, y)},
    )
    write_pictures(files, np.rint(film.pixels * 255).astype(np.uint8))
    corners = dict(zip(("x0", "y0", "x1", "y1"), box, strict=True))
    return {
        "image_id": name,
        "dataset": "phantom",
        "tb": 1.0,
        "boxes": [{"finding": "tb", **corners}],
        "peak_x_tb": x,
        "peak_y_tb": y,
        "orientation": orientation.exif,
        "p_tb": SCORES[number],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An evaluation of eight films with a lesion, one in each orientation, and four that may not be shown."""
    base = tmp_path_factory.mktemp("films")
    pictures = base / "predictions" / HEATMAP_FOLDER
    pictures.mkdir(parents=True)
    rows = [predicted_film(pictures, number) for number in range(8)]
    others = (
        ("vindr_cxr", "vindr_cxr/abc"),
        (HOSTILE, "NGUYEN VAN A 1961"),
        ("folder", "folder/loose"),
        ("vindr_cxr", "v/2"),
    )
    for number, (data_set, image_id) in enumerate(others):
        rows.append({"image_id": image_id, "dataset": data_set, "tb": 0.0, "boxes": [], "p_tb": 0.15 + 0.2 * number})
        for layer in ("film", "tb"):
            Image.new("L", (30, 40), 99).save(pictures / heatmap_file(image_id, layer))
    table = pd.DataFrame(rows).assign(path="x", status="ok", reason=None, model_id="m1", site="A")
    table["path"] = [f"f{number}.png" for number in range(len(table))]
    manifest = table[["image_id", "path", "dataset", "tb", "boxes", "site"]].assign(
        patient_id=[f"p{number}" for number in range(len(table))],
        nodule=np.nan,
        rows=ROWS,
        columns=COLUMNS,
        reference_standard="synthetic",
        split="test",
    )
    ours = table.drop(columns=["dataset", "tb", "boxes", "site"])
    ours.assign(p_nodule=0.5).to_parquet(base / "predictions" / "predictions.parquet")
    point = lock_operating_point(
        [1, 1, 0], [0.5, 0.8, 0.2], finding="tb", target_sensitivity=0.9, cohort="val", model_id="m1"
    )
    model = {"model_id": "m1", "name": "demo", "findings": ["nodule", "tb"]}
    model["operating_points"] = {"tb": point.model_dump()}
    run = {"schema": "cxr-triage/run/1", "model": model, "manifest_digest": None, "code_version": "0.1.0"}
    (base / "predictions" / "run.json").write_text(json.dumps(run))
    table = read_predictions(base / "predictions")
    assess_table(table, manifest, base / "evaluation", split="test", options=Options(replicates=100))
    return base / "evaluation"


def pictured(evaluation: dict) -> list[dict]:
    """The films of an ``evaluation.json`` that have a picture."""
    films = [film for result in evaluation["findings"] for film in result["examples"]["films"]]
    return [film for film in films if film["film_picture"]]


def write_page(folder: Path, out: Path, *codes: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_page, "CHAPTERS", (films_chapter.chapter,))
        text = report_page.render_page(open_book([folder]), [language(code) for code in codes or ("en",)])
    out.write_text(text, encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def html(folder, tmp_path_factory):
    return write_page(folder, tmp_path_factory.mktemp("page") / "report.html")


def shot(element, hide: str) -> np.ndarray:
    element.evaluate(
        "(one, name) => one.querySelectorAll(name).forEach((part) => { part.style.display = 'none' })", hide
    )
    return np.asarray(Image.open(io.BytesIO(element.screenshot())).convert("RGB"), dtype=float)


def box_in(element, selector: str) -> tuple[float, float, float, float]:
    """Corners of a mark in pixels of the element."""
    return tuple(
        element.evaluate(
            """(one, name) => { const at = one.getBoundingClientRect();
            const box = one.querySelector(name).getBoundingClientRect();
            return [box.left - at.left, box.top - at.top, box.right - at.left, box.bottom - at.top] }""",
            selector,
        )
    )


def test_every_box_surrounds_its_lesion_and_every_map_peaks_in_it(html, folder):
    evaluation = json.loads((folder / "evaluation.json").read_text())
    shown = pictured(evaluation)
    assert {film["image_id"] for film in shown} == {f"phantom/f{number}" for number in range(8)}
    with browser_page(html, viewport={"width": 1200, "height": 900}, device_scale_factor=2) as page:
        figures = page.query_selector_all(".film")
        assert len(figures) == 8
        for figure in figures:
            number = int(figure.query_selector("figcaption bdi").text_content().removeprefix("phantom/f"))
            plain, over = (figure.query_selector(name) for name in (".film-plain", ".film-map"))
            x0, y0, x1, y1 = (2 * corner for corner in box_in(plain, ".film-box"))
            grey = shot(plain, ".film-marks")[..., 0]
            inner = grey[4:-4, 4:-4]  # a screenshot may end in a part of a pixel of the page around it
            bright = np.argwhere(inner > 200) + 4
            (top, left), (bottom, right) = bright.min(axis=0), bright.max(axis=0) + 1
            # The lesion's own extent is the box, to a pixel of the screen and the blur of JPEG.
            assert np.allclose((left, top, right, bottom), (x0, y0, x1, y1), atol=4), number
            # Upright: as Pillow, which knows nothing of this project, turns the stored film.
            pixels, _ = stored_film(number)
            exif = Image.Exif()
            exif[274] = number + 1
            holder = io.BytesIO()
            Image.fromarray(pixels).save(holder, format="PNG", exif=exif)
            upright = ImageOps.exif_transpose(Image.open(holder)).resize(grey.shape[::-1])
            assert np.abs(np.asarray(upright, dtype=float)[4:-4, 4:-4] - inner).mean() < 4, number
            # Where the map colours the film most, weighed: its centre is the lesion's.
            colour = shot(over, ".none")[4:-4, 4:-4]
            down, right_of = np.mgrid[: colour.shape[0], : colour.shape[1]] + 4.0
            weight = np.clip(colour[..., 0] - colour[..., 2] - 20, 0, None)
            centre = [(weight * axis).sum() / weight.sum() for axis in (right_of, down)]
            assert np.allclose(centre, ((x0 + x1) / 2, (y0 + y1) / 2), atol=12), (number, centre, (x0, y0, x1, y1))
        assert page.complaints == []


def test_films_that_may_not_be_shown_are_listed_without_their_ids(html):
    text = html.read_text(encoding="utf-8")
    assert "NGUYEN" not in text
    assert "folder/loose" not in text
    assert "<script>alert" not in text
    with browser_page(html) as page:
        listed = [row.text_content() for row in page.query_selector_all("table[id$=listed] tbody tr")]
    assert len(listed) == 4
    assert sum("vindr_cxr/abc" in row for row in listed) == 1
    assert sum("terms of its data set" in row for row in listed) == 2
    assert sum("data set of your own" in row for row in listed) == 2


EVERY = 11
"""Pixels from one that is compared to the next: no divisor of a row, so that all columns take part."""


def canvas_values(page) -> np.ndarray:
    page.wait_for_timeout(60)  # two frames: painting follows the next one
    found = page.evaluate(
        """(every) => { const c = document.querySelector(".film-viewer canvas");
        const all = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        return Array.from(all.filter((value, place) => place % (4 * every) === 0)) }""",
        EVERY,
    )
    return np.array(found, dtype=float)


def expected_values(page, place: int, width: float, level: float) -> np.ndarray:
    """The embedded picture, decoded by Pillow, under an exact linear window."""
    href = page.evaluate(
        """(place) => { const use = document.querySelectorAll(".film .film-plain .film-grey")[place];
        return document.querySelector(use.getAttribute("href")).getAttribute("href") }""",
        place,
    )
    stored = np.asarray(Image.open(io.BytesIO(base64.b64decode(href.split(",")[1]))), dtype=float).ravel()[::EVERY]
    return np.clip((stored - (level - width / 2)) / width, 0, 1) * 255


def close(found: np.ndarray, expected: np.ndarray, gain: float) -> bool:
    # Two JPEG decoders may differ by one value; a narrow window makes more of it.
    return found.shape == expected.shape and np.abs(found - expected).max() <= 1.01 * max(1.0, gain) + 0.51


def opened(page, place: int) -> None:
    page.query_selector_all(".film-open")[place].focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".film-viewer[data-ready]")


def pressed(page, name: str) -> str | None:
    return page.get_attribute(f'.film-viewer [data-do="{name}"]', "aria-pressed")


def test_the_viewer_sets_an_exact_window_by_dragging_and_by_keys(html):
    with browser_page(html, viewport={"width": 1200, "height": 900}) as page:
        opened(page, 1)
        assert close(canvas_values(page), expected_values(page, 1, 255, 127.5), 1)
        at = page.query_selector(".film-viewer canvas").bounding_box()
        x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 100, y - 50, steps=4)
        page.mouse.move(x - 150, y - 60)
        page.mouse.up()
        page.mouse.move(x, y)  # no button: nothing happens
        width, level = 255 - 75, 127.5 - 30
        assert page.text_content(".viewer-values") == "Window 180, level 98"
        assert close(canvas_values(page), expected_values(page, 1, width, level), 255 / width)
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowDown")
        assert close(canvas_values(page), expected_values(page, 1, width - 8, level + 4), 255 / (width - 8))
        page.mouse.dblclick(x, y)
        assert page.text_content(".viewer-values") == "Window 255, level 128"
        assert page.complaints == []


def test_keys_walk_toggle_zoom_and_close_and_focus_returns(html):
    with browser_page(html, viewport={"width": 1200, "height": 900}) as page:
        opened(page, 0)
        first = page.get_attribute(".film-viewer canvas", "aria-label")
        heat = page.query_selector(".viewer-heat")
        assert not heat.is_visible()
        page.keyboard.press("h")
        assert heat.is_visible()
        assert pressed(page, "map") == "true"
        assert heat.bounding_box() == page.query_selector(".film-viewer canvas").bounding_box()
        page.keyboard.press("b")
        assert not page.query_selector(".viewer-marks").is_visible()
        page.keyboard.press("b")
        assert page.query_selector(".viewer-marks").is_visible()
        small = page.query_selector(".film-viewer canvas").bounding_box()["width"]
        page.keyboard.press("+")
        assert page.query_selector(".film-viewer canvas").bounding_box()["width"] == pytest.approx(1.5 * small, abs=2)
        page.keyboard.press("ArrowLeft")
        page.wait_for_selector('.film-viewer[data-ready="7"]')
        assert "Film 8 of 8" in page.text_content(".viewer-bar")
        assert page.query_selector(".viewer-heat").is_visible()  # the choice stays from film to film
        page.keyboard.press("ArrowRight")
        page.wait_for_selector('.film-viewer[data-ready="0"]')
        assert page.get_attribute(".film-viewer canvas", "aria-label") == first
        page.keyboard.press("Escape")
        assert page.query_selector(".film-viewer").is_hidden()
        focused = "document.activeElement === document.querySelector('.film-open')"
        assert page.evaluate(focused)
        assert page.complaints == []


def test_a_finger_sets_the_window_too(html):
    with browser_page(html, viewport={"width": 420, "height": 800}, has_touch=True, is_mobile=True) as page:
        opened(page, 2)
        at = page.query_selector(".film-viewer canvas").bounding_box()
        x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
        finger = page.context.new_cdp_session(page)
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x + 20, "y": y + 10}]),
            ("touchMove", [{"x": x + 40, "y": y + 20}]),
            ("touchEnd", []),
        ):
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_timeout(60)
        assert page.text_content(".viewer-values") == "Window 275, level 138"
        assert page.complaints == []


def test_without_scripts_both_pictures_are_there(html):
    with browser_page(html, viewport={"width": 1200, "height": 900}, java_script_enabled=False) as page:
        assert page.locator(".film-viewer").is_hidden()
        assert page.locator(".film-hint").is_hidden()
        assert page.locator(".film-open").count() == 0
        for name in (".film-plain", ".film-map"):
            seen = Image.open(io.BytesIO(page.locator(name).first.screenshot())).convert("L")
            assert np.asarray(seen).std() > 10


def test_several_languages_share_one_set_of_pictures(folder, tmp_path):
    one, two = (write_page(folder, tmp_path / f"{n}.html", *codes) for n, codes in enumerate((["en"], ["en", "sv"])))
    pictures = [path.read_text(encoding="utf-8").count("data:image/") for path in (one, two)]
    assert pictures[0] == pictures[1] == 16
    with browser_page(two, viewport={"width": 1200, "height": 900}) as page:
        page.click('[data-language="sv"]')
        swedish = page.locator('.edition[lang="sv"]')
        seen = Image.open(io.BytesIO(swedish.locator(".film-plain").first.screenshot())).convert("L")
        assert np.asarray(seen).std() > 10
        swedish.locator(".film-open").first.click()
        page.wait_for_selector('.edition[lang="sv"] .film-viewer[data-ready]')
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids))
        assert page.complaints == []


def test_broken_and_foreign_pictures_leave_a_film_out_and_the_page_whole(folder, tmp_path):
    copy = tmp_path / "evaluation"
    shutil.copytree(folder, copy)
    secret = tmp_path / "secret.png"
    Image.new("L", (50, 50), 200).save(secret)
    text = json.loads((copy / "evaluation.json").read_text())
    films = pictured(text)
    films[0]["film_picture"] = "../secret.png"
    films[1]["film_picture"] = "pictures/" + "x" * 400
    broken = copy / films[2]["film_picture"]
    broken.write_bytes(broken.read_bytes()[:900])
    Image.new("L", (20_000, 20), 120).save(copy / films[3]["film_picture"])
    (copy / films[4]["map_layer"]).write_bytes(b"not a picture")
    (copy / "evaluation.json").write_text(json.dumps(text))
    page = write_page(copy, tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("Its picture is missing or cannot be read.") == 3
    assert page.count('<figure class="film">') == 5
    assert page.count("No map was kept for this film.") == 1
