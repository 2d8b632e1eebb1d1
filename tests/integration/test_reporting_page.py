"""The report: its numbers, its escaping, its wholeness when sections have no data."""

import base64
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.assessment.assess import Proxies, Source, assess, assess_table
from pipelines.assessment.proxies import read_reading_time
from pipelines.errors import ConfigError, EvaluationError
from pipelines.evaluation.predictions import heatmap_file
from pipelines.evaluation.tables import read_foreign_predictions, read_predictions
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.manifest import write_manifest
from pipelines.reading_time.scenario_file import parse_scenario
from pipelines.reading_time.theory import theory
from pipelines.reporting import write_report
from pipelines.statistics.proportions import clopper_pearson

HOSTILE = '<script>alert("x")</script>\u202e{{ 7*7 }} $x_1$ =cmd()'


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value or "") for key, value in attrs]

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def table_rows(html):
    """Cells of every table row, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
    return [[Page(cell.replace("<span", " <span")).words.replace("\u00a0", " ") for cell in row] for row in cells]


def cohort(n=60, site="Site A"):
    rng = np.random.default_rng(7)
    tb = (rng.random(n) < 0.4).astype(float)
    manifest = pd.DataFrame(
        {
            "image_id": [f"phantom/f{i:03d}" for i in range(n)],
            "path": [f"films/f{i:03d}.dcm" for i in range(n)],
            "dataset": "phantom",
            "site": site,
            "patient_id": [f"secret-{i}" for i in range(n)],
            "split": "test",
            "sex": "F",
            "age_years": 40.0,
            "tb": tb,
            "nodule": np.nan,
            "reference_standard": "synthetic",
            "boxes": [[{"finding": "tb", "x0": 10.0, "y0": 10.0, "x1": 30.0, "y1": 40.0}] if y else [] for y in tb],
            "rows": 80,
            "columns": 64,
        }
    )
    predictions = manifest[["image_id", "path"]].assign(status="ok", reason=None)
    predictions["p_tb"] = np.clip(0.45 * tb + 0.6 * rng.random(n), 0, 1)
    predictions["p_nodule"] = rng.random(n)
    predictions["control_tb"] = np.clip(0.4 * tb + 0.6 * rng.random(n), 0, 1)
    predictions["peak_x_tb"], predictions["peak_y_tb"] = 20.0, 20.0
    predictions.loc[0, ["status", "reason", "p_tb", "p_nodule"]] = ["rejected", "too_small", None, None]
    return manifest, predictions.assign(model_id="m1")


def write_predictions(folder, predictions, name="demo", heatmaps=True):
    folder.mkdir()
    point = lock_operating_point(
        [1, 1, 0], [0.5, 0.8, 0.2], finding="tb", target_sensitivity=0.9, cohort="phantom val", model_id="m1"
    )
    predictions.to_parquet(folder / "predictions.parquet")
    model = {
        "model_id": "m1",
        "name": name,
        "findings": ["tb", "nodule"],
        "operating_points": {"tb": point.model_dump()},
    }
    run = {"schema": "cxr-triage/run/1", "model": model, "manifest_digest": None, "code_version": "0.1.0"}
    (folder / "run.json").write_text(json.dumps(run))
    if heatmaps:
        (folder / "heatmaps").mkdir()
        for image_id in predictions["image_id"]:
            for layer, colour in (("film", 90), ("tb", 160)):
                picture = Image.new("L", (128, 160), colour)
                picture.save(folder / "heatmaps" / heatmap_file(image_id, layer))
    return read_predictions(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("report")
    manifest, predictions = cohort()
    table = write_predictions(base / "predictions", predictions)
    made = assess_table(table, manifest, base / "evaluation", split="test")
    evaluation, proxies = made.evaluation, made.reading_time
    write_report(base / "evaluation", base / "report.html")
    return base, evaluation, proxies, (base / "report.html").read_text(encoding="utf-8")


def test_the_page_prints_the_numbers_of_the_evaluation(made):
    _, evaluation, proxies, html = made
    words = Page(html).words.replace("\u00a0", " ")
    tb = evaluation.findings[0]
    point = tb.operating_point
    for shown in (
        f"{tb.auroc.value:.3f}",
        f"95 % CI {tb.auroc.low:.3f}–{tb.auroc.high:.3f}",
        f"{100 * point.sensitivity.value:.1f} %",
        f"{100 * point.specificity.low:.1f}–{100 * point.specificity.high:.1f} %",
        f"{tb.control.auroc.value:.3f}",
        tb.control.verdict,
        f"missed {point.counts.false_negative}",
        f"{point.counts.false_positive} false alarm",
        "locked",
        "phantom val",
        f"{proxies.findings[0].theory.ai.waiting_minutes.nondiseased.value:.1f}",
        "not usable as a film (too small)",
        "the reference label of this finding is not known",
        "59 of 59 films are synthetic",
        "Research only; not a diagnosis",
        evaluation.provenance.manifest_digest,
        "no films with a known label and a score",
    ):
        assert shown in words, shown


def wait(value):
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}"


def test_the_page_shows_who_pays_beside_who_gains(made):
    """Missed films, the 95th percentile and the longest wait stand as rows and columns of the same tables."""
    _, _, proxies, html = made
    rows = table_rows(html)
    tb = proxies.findings[0]
    mean, seen = tb.theory, tb.simulation
    labels = {"films with the finding": "diseased", "missed: with the finding, not flagged": "missed"}
    labels |= {"films without it": "nondiseased", "all films read": "all"}
    for label, key in labels.items():
        first, second = (row for row in rows if row[0] == label)
        before, after = getattr(mean.fifo.waiting_minutes, key), getattr(mean.ai.waiting_minutes, key)
        assert first[1].split()[0] == wait(before.value)
        assert first[2].split()[0] == wait(after.value)
        expected = [
            getattr(getattr(getattr(seen, arm), field), key)
            for field in ("p95_minutes", "maximum_minutes")
            for arm in ("fifo", "ai", "difference")
        ]
        for cell, found in zip(second[1:], expected, strict=True):
            if f"{abs(found.value):.1f}" != "0.0":
                assert cell.split()[0] == wait(abs(found.value))
                assert found.value < 0 or "shorter" not in cell


def test_the_page_shows_reader_time_and_filing(made):
    _, _, proxies, html = made
    rows = table_rows(html)
    tb = proxies.findings[0]
    effort = next(row for row in rows if row[0] == "AI shown")
    assert effort[1].split()[0] == f"{tb.effort.minutes_per_1000.with_ai.value:.1f}"
    assert effort[2].startswith(f"{abs(tb.effort.difference.with_ai.value):.1f} less")
    for point in tb.rule_out.points:
        row = next(row for row in rows if row[0] == f"{100 * point.target:.3g} %")
        assert row[1].startswith(f"{100 * point.local.filed_share.value:.1f} %")
        assert row[2].split()[0] == f"{point.local.missed_per_10000_screened.value:.1f}"
        assert row[3].startswith("yes" if point.demonstrable else "no")
    assert "npj Digital Medicine" in Page(html).words


def test_the_room_and_its_rule_out_are_on_the_page(tmp_path):
    manifest, predictions = cohort()
    table = write_predictions(tmp_path / "p", predictions, heatmaps=False)
    values = {"title": HOSTILE, "prevalence": 0.2, "traffic": 0.6, "minutes": 5, "discipline": "nonpreemptive"}
    values |= {"interrupting_fraction": 0.25, "max_wait_minutes": 480.0, "rule_out": {"sensitivity": 1.0}}
    values["rule_out"]["specificity"] = 0.0
    values |= {"replications": 3, "films_per_replication": 300}
    made = assess_table(table, manifest, tmp_path / "e", room=parse_scenario(values))
    write_report(tmp_path / "e", tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    words = Page(html).words
    assert "<script" not in html
    for shown in ("25 % of films are emergencies", "waited 480 minutes", "filed without a reader", "once begun"):
        assert shown in words
    assert "both orders read" in words
    entry = made.reading_time.findings[0]
    assert entry.theory.absent  # the limit has no closed form: the page then shows the simulation
    found = next(row for row in table_rows(html) if row[0] == "emergencies")
    assert found[1].split()[0] == wait(entry.simulation.fifo.waiting_minutes.interrupting.value)
    both = next(row for row in table_rows(html) if row[0].startswith("films ruled out filed, AI shown"))
    assert both[1].split()[0] == f"{entry.effort.minutes_per_1000.with_ai_and_rule_out.value:.1f}"


def test_the_page_stands_alone_and_names_nobody(made):
    base, _, _, html = made
    page = Page(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    for tag, key, value in page.attributes:
        if key in ("src", "href", "xlink:href", "action", "data"):
            assert value.startswith(("data:image/jpeg;base64,", "#")), (tag, key, value[:60])
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html
    assert str(base) not in html
    assert "secret-" not in html
    assert "phantom/f0" not in html
    assert page.tags.count("h1") == 1
    assert len(html) < 3_000_000


def test_examples_show_boxes_peaks_and_pictures(made):
    base, evaluation, _, html = made
    examples = evaluation.findings[0].examples
    outcomes = [film.outcome for film in examples.films]
    assert set(outcomes) == {"true_positive", "false_negative", "false_positive", "true_negative"} - (
        {"false_negative"} if evaluation.findings[0].operating_point.counts.false_negative == 0 else set()
    )
    scores = {film.image_id: film.score for film in examples.films}
    threshold = evaluation.findings[0].operating_point.threshold
    for film in examples.films:
        assert (scores[film.image_id] >= threshold) == (film.outcome in ("true_positive", "false_positive"))
        assert (base / "evaluation" / film.film_picture).is_file()
        assert "f0" not in film.film_picture
    page = Page(html)
    pictures = [value for tag, key, value in page.attributes if tag == "image" and key == "href"]
    assert len(pictures) == 2 * len(examples.films)
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1])))
    assert picture.size == (128, 160)
    assert html.count('viewBox="0 0 64 80"') == len(pictures)
    boxed = sum(bool(film.boxes) for film in examples.films)
    assert html.count('<rect x="10.0" y="10.0" width="20.0" height="30.0"') == 2 * boxed
    labels = [value for tag, key, value in page.attributes if tag == "svg" and key == "aria-label"]
    assert all("score of" in label for label in labels)


def test_proxies_are_the_closed_form_at_the_measured_accuracy(made):
    _, evaluation, proxies, _ = made
    point = evaluation.findings[0].operating_point
    found = proxies.findings[0].theory
    room = parse_scenario({"prevalence": 0.1, "traffic": 0.8, "minutes": 10})
    expected = theory(room, (point.sensitivity.value, point.specificity.value))
    for order in ("fifo", "ai", "difference"):
        for name, estimate in getattr(found, order).waiting_minutes:
            assert estimate.value == (None if name == "interrupting" else pytest.approx(getattr(expected, order)[name]))
            if order == "fifo" or name == "all":  # with equal reading times these do not depend on accuracy
                assert (estimate.low, bool(estimate.why)) == (None, True)
            elif name != "interrupting":
                assert estimate.low < estimate.value < estimate.high
    # The bounds hold every corner of the two exact intervals of level sqrt(0.95).
    counts, each = point.counts, math.sqrt(0.95)
    se = clopper_pearson(counts.true_positive, counts.true_positive + counts.false_negative, each)
    sp = clopper_pearson(counts.true_negative, counts.true_negative + counts.false_positive, each)
    corners = [theory(room, (a, b)).ai["diseased"] for a in (se.low, se.high) for b in (sp.low, sp.high)]
    assert found.ai.waiting_minutes.diseased.low == pytest.approx(min(corners))
    assert found.ai.waiting_minutes.diseased.high == pytest.approx(max(corners))
    nodule = proxies.findings[1]
    assert (nodule.theory, nodule.worklist) == (None, None)
    assert nodule.absent
    assert nodule.worklist_absent


def test_worklist_counts_positives_at_the_top(made):
    base, evaluation, proxies, _ = made
    manifest, predictions = cohort()
    order = predictions[predictions["status"] == "ok"].sort_values("p_tb", ascending=False, kind="stable")
    truth = manifest.set_index("image_id").loc[order["image_id"], "tb"].to_numpy()
    listed = proxies.findings[0].worklist
    for at in listed.at:
        k = math.ceil(at.fraction * len(truth))
        assert at.films == k
        assert at.found.value == pytest.approx(truth[:k].sum() / truth.sum())
    median = listed.positions[0].share
    assert median.value == pytest.approx(np.median(np.flatnonzero(truth) + 1) / len(truth))
    assert median.low <= median.value <= median.high
    assert read_reading_time(base / "evaluation") == proxies
    assert evaluation.findings[0].n == listed.n


def test_the_same_evaluation_gives_the_same_bytes(made, tmp_path):
    base, _, _, html = made
    write_report(base / "evaluation", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == html
    assert [path.name for path in tmp_path.iterdir()] == ["again.html"]


def test_hostile_text_is_text(tmp_path):
    manifest, predictions = cohort(site=HOSTILE + "A" * 10_000)
    manifest["dataset"] = HOSTILE
    predictions["reason"] = predictions["reason"].where(predictions["status"] == "ok", HOSTILE)
    table = write_predictions(tmp_path / "p", predictions, name=HOSTILE, heatmaps=False)
    assess_table(table, manifest, tmp_path / "e", title=f"Title {HOSTILE}")
    write_report(tmp_path / "e", tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in page.tags
    assert "<script" not in html
    assert "\u202e" not in html
    assert '<script>alert("x")</script>' in page.words
    assert "{{ 7*7 }}" in page.words
    assert "A" * 200 not in html
    assert "made without saving heat maps" in page.words


def test_a_foreign_table_without_pixels_keeps_the_page_whole(tmp_path):
    manifest, predictions = cohort()
    frame = pd.DataFrame({"film": predictions["image_id"], "s": np.linspace(-5, 5, 60)})
    frame.to_csv(tmp_path / "other.csv", index=False)
    table = read_foreign_predictions(tmp_path / "other.csv", id_column="film", scores={"tb": "s"})
    bare = manifest[["image_id", "path", "dataset", "tb"]]
    assess_table(table, bare, tmp_path / "e")
    write_report(tmp_path / "e", tmp_path / "r.html")
    words = Page((tmp_path / "r.html").read_text(encoding="utf-8")).words
    for sentence in (
        "Another system, from its saved scores",
        "No threshold was locked or given",
        "not probabilities",
        "No shape-free control was made",
        "No example films are shown",
        "No waiting times",
        "not known for every film",
        "No film was left out",
    ):
        assert sentence in words, sentence
    (tmp_path / "e" / "reading_time.json").unlink()
    write_report(tmp_path / "e", tmp_path / "r.html")
    assert "No reading-time proxies were computed" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_films_without_any_positive_still_make_a_page(tmp_path):
    manifest, predictions = cohort()
    manifest["tb"] = 0.0
    table = write_predictions(tmp_path / "p", predictions)
    assess_table(table, manifest, tmp_path / "e")
    write_report(tmp_path / "e", tmp_path / "r.html")
    words = Page((tmp_path / "r.html").read_text(encoding="utf-8")).words
    assert "one class only: 0 positive and 59 negative films" in words
    assert "no positive films" in words


def test_lost_or_foreign_pictures_are_left_out(tmp_path):
    manifest, predictions = cohort()
    table = write_predictions(tmp_path / "p", predictions)
    evaluation = assess_table(table, manifest, tmp_path / "e").evaluation
    names = [film.film_picture for film in evaluation.findings[0].examples.films]
    (tmp_path / "e" / names[0]).write_bytes(b"not a picture")
    (tmp_path / "e" / names[1]).unlink()
    Image.new("L", (9, 9)).save(tmp_path / "outside.png")
    path = tmp_path / "e" / "evaluation.json"
    path.write_text(path.read_text().replace(names[2], "../outside.png"))
    write_report(tmp_path / "e", tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.count('<figure class="film">') == len(names) - 3


def test_rooms_that_cannot_be_are_refused_before_writing(tmp_path):
    manifest, predictions = cohort()
    table = write_predictions(tmp_path / "p", predictions, heatmaps=False)
    with pytest.raises(ConfigError, match="traffic"):
        assess_table(table, manifest, tmp_path / "e", room=Proxies(traffic=1.0))
    assert not (tmp_path / "e").exists()
    with pytest.raises(EvaluationError, match=r"no evaluation\.json"):
        write_report(tmp_path / "e", tmp_path / "r.html")


def test_from_files_on_disk(tmp_path):
    manifest, predictions = cohort()
    write_manifest(manifest, tmp_path / "manifest.parquet")
    write_predictions(tmp_path / "p", predictions)
    ours = assess(Source(tmp_path / "p"), tmp_path / "manifest.parquet", tmp_path / "e", split="test")
    assert ours.evaluation.findings[0].operating_point.source == "locked"
    assert ours.mlflow_run_id is None
    assert any("AUROC" in line for line in ours.lines)
    predictions.to_csv(tmp_path / "other.csv", index=False)
    theirs = assess(
        Source(tmp_path / "other.csv", "image_id", {"tb": "p_tb"}, {"tb": 0.5}),
        tmp_path / "manifest.parquet",
        tmp_path / "e2",
    )
    point = theirs.evaluation.findings[0].operating_point
    assert (point.source, point.counts) == ("user", ours.evaluation.findings[0].operating_point.counts)


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"id_column": "image_id"}, "--id without --score"),
        ({"scores": {"tb": "p_tb"}}, "--score without --id"),
        ({"thresholds": {"mass": 0.5}}, "--threshold mass: the predictions have tb, nodule"),
    ],
)
def test_wrong_options_are_named(tmp_path, more, match):
    manifest, predictions = cohort()
    write_manifest(manifest, tmp_path / "m.parquet")
    write_predictions(tmp_path / "p", predictions, heatmaps=False)
    with pytest.raises(ConfigError, match=match):
        assess(Source(tmp_path / "p", **more), tmp_path / "m.parquet", tmp_path / "e")
