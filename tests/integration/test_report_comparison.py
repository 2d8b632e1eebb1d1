"""Two systems on the same films: the page that answers whether an old threshold may stay, and the folders behind it."""

import json
import re
import shutil

import pytest

from pipelines.errors import CxrError, EvaluationError, ReportError
from pipelines.evaluation.comparison.compare import compare
from pipelines.evaluation.comparison.files import write_comparison
from pipelines.evaluation.options import Options
from pipelines.manifest import read_manifest, write_manifest
from pipelines.reporting.book import make_comparison_book
from pipelines.reporting.comparison import compare_folders, holds_comparison, open_comparison
from pipelines.reporting.page import write_book
from tests.browser import browser_page, needs_chromium
from tests.report_folders import cohort, write_folder, write_predictions
from tests.unit.test_evaluation_compare import manifest_of, system

FEW = Options(replicates=200)


def page_of(comparison, folder, languages=("en",)):
    write_book(make_comparison_book(comparison), folder / "page.html", languages)
    return (folder / "page.html").read_text(encoding="utf-8")


def answer_of(html):
    box = re.search(r'(?s)<div class="box[^"]*comparison-answer">(.*?)</div>', html)[1]
    return " ".join(re.sub(r"<[^>]+>", "", box).replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def films():
    return manifest_of(900)


@pytest.mark.parametrize(
    ("old_threshold", "signal", "scale", "shift", "verdict", "opening", "warn"),
    [
        (0.6, 0.5, 1.0, 0.0, "shown", "Yes, on these films.", False),
        (0.6, 0.5, 0.7, 0.0, "worse", "No.", True),
        (0.6, 0.5, 0.97, 0.0, "not_shown", "Not shown.", True),
        (0.3, 0.2, 1.0, 0.1, "shown", "Sensitivity is kept, specificity may not be.", True),
    ],
)
def test_the_answer_stands_first_and_says_what_was_found(
    films, tmp_path, old_threshold, signal, scale, shift, verdict, opening, warn
):
    """The new version gives the old one's scores, shrunk or moved up."""
    old = system("old", films, signal=signal, seed=2, threshold=old_threshold)
    new = system("new", films, signal=signal, seed=2, threshold=0.5, scale=scale)
    new.table.frame["p_tb"] = (new.table.frame["p_tb"] + shift).clip(0, 1)
    found = compare([old, new], films, options=FEW)
    (pair,) = found.findings[0].pairs
    kept = pair.kept_threshold
    assert kept.non_inferiority.verdict == verdict
    html = page_of(found, tmp_path)
    said = answer_of(html)
    assert said.startswith(f"Is the later version safe to take with the old threshold? {opening}")
    difference = kept.sensitivity.difference
    joint = " to " if difference.low < 0 else "–"
    shown = (
        f"{100 * difference.value:.1f} points (95 % CI {100 * difference.low:.1f}{joint}{100 * difference.high:.1f})"
    )
    assert shown.replace("-0.0", "0.0").replace("-", "−") in said
    assert "the margin of 5.0 percentage points" in said
    assert "lock the threshold anew" in said
    assert ('class="box warn comparison-answer"' in html) == warn
    assert html.index("comparison-answer") < html.index("<figure")


def test_few_films_are_no_yes_however_narrow_the_interval(tmp_path):
    films = manifest_of(60)
    old = system("old", films, signal=0.5, seed=2, threshold=0.6)
    new = system("new", films, signal=0.9, seed=2, threshold=0.6)
    found = compare([old, new], films, options=FEW)
    finding = found.findings[0]
    assert finding.pairs[0].kept_threshold.non_inferiority.verdict == "shown"
    assert finding.positives < 30
    said = answer_of(page_of(found, tmp_path))
    assert said.startswith("Is the later version safe to take with the old threshold? Not shown.")
    assert f"{finding.positives} films with the finding and {finding.negatives} without it are too few" in said


def test_discordant_films_are_counted_in_the_page(films, tmp_path):
    old, new = system("old", films, signal=0.3, seed=2), system("new", films, signal=0.4, seed=3)
    html = page_of(compare([old, new], films, options=FEW), tmp_path)
    a, b = (each.table.frame["p_tb"] >= 0.5 for each in (new, old))
    sick = films["tb"] == 1
    for name, rows in (("With", sick), ("Without", ~sick)):
        counts = [(rows & x & y).sum() for x, y in ((a, b), (a, ~b), (~a, b), (~a, ~b))]
        row = re.search(rf'(?s)<tr><th scope="row">{name} the finding</th>(.*?)</tr>', html)[1]
        assert [int(n.replace(",", "")) for n in re.findall(r">([\d,]+)</data>", row)] == counts


def test_what_is_missing_is_said_and_hostile_names_are_text(films, tmp_path):
    name = "<script>alert(1)</script> $x_1$ \u202e"
    plain, none = system("old", films, signal=0.5, seed=2, threshold=None), system(name, films, signal=0.5, seed=3)
    found = compare([plain, none, system("third", films, signal=0.4, seed=4)], films, options=FEW)
    html = page_of(found, tmp_path, ("en", "vi", "fr", "sv"))
    assert len(found.findings[0].pairs) == 3
    assert "Not answered by these files." in html
    assert "<script>alert" not in html
    assert "\u202e" not in html
    ids = re.findall(r'\sid="([^"]+)"', re.sub(r"(?s)<svg.*?</svg>", "", html))
    assert len(ids) == len(set(ids))


@needs_chromium
def test_the_page_is_whole_in_a_browser(films, tmp_path):
    old, new = system("old", films, signal=0.3, seed=2), system("new", films, signal=0.4, seed=3)
    page_of(compare([old, new], films, options=FEW), tmp_path)
    with browser_page(tmp_path / "page.html", viewport={"width": 390, "height": 800}) as page:
        assert page.complaints == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert page.locator(".figure svg").count() == 3
        said = page.evaluate("[...document.querySelectorAll('[role=img]')].map((e) => e.getAttribute('aria-label'))")
        assert all(re.search(r"\d", text) for text in said)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Two evaluations of two versions on one manifest."""
    base = tmp_path_factory.mktemp("versions")
    write_folder(base / "old")
    manifest, predictions = cohort(lift=0.3)
    assert read_manifest(base / "old" / "manifest.csv")["image_id"].tolist() == manifest["image_id"].tolist()
    write_predictions(base / "new" / "predictions", predictions, threshold=0.4)
    return base


def test_folders_are_compared_with_the_files_behind_them(evaluated, tmp_path):
    old, new = evaluated / "old", evaluated / "new"
    mixed = compare_folders(old / "evaluation", new / "predictions")
    plain = compare_folders(old / "predictions", new / "predictions", manifest=old / "manifest.csv")
    assert mixed.systems == ("evaluation", "predictions")
    assert mixed.split == "test"
    assert plain.systems == ("old/predictions", "new/predictions")
    tb = mixed.findings[0]
    assert tb.pairs[0].accuracy.auroc.difference == plain.findings[0].pairs[0].accuracy.auroc.difference
    evaluation = json.loads((old / "evaluation" / "evaluation.json").read_text())
    assert tb.systems[0].auroc.value == evaluation["findings"][0]["auroc"]["value"]
    assert tb.systems[0].operating_point.threshold == evaluation["findings"][0]["operating_point"]["threshold"]
    write_comparison(mixed, tmp_path / "comparison")
    assert holds_comparison(tmp_path / "comparison")
    assert open_comparison(tmp_path / "comparison").comparison == mixed


def test_what_changed_or_is_gone_is_named_in_a_sentence(evaluated, tmp_path):
    base = tmp_path / "old"
    shutil.copytree(evaluated / "old", base)
    new = evaluated / "new" / "predictions"
    with pytest.raises(ReportError, match="needs the manifest"):
        compare_folders(base / "predictions", new)
    with pytest.raises(EvaluationError, match="no such folder"):
        compare_folders(base / "nothing", new)
    other = read_manifest(base / "manifest.csv")
    other.loc[0, "tb"] = 1 - other.loc[0, "tb"]
    write_manifest(other, base / "other.csv")
    with pytest.raises(EvaluationError, match=r"another manifest than other\.csv"):
        compare_folders(base / "evaluation", new, manifest=base / "other.csv")
    (base / "manifest.csv").rename(base / "away.csv")
    with pytest.raises(ReportError, match="needs the manifest"):
        compare_folders(base / "evaluation", new)
    (base / "away.csv").rename(base / "manifest.csv")
    _, predictions = cohort(lift=0.2)
    predictions.to_parquet(base / "predictions" / "predictions.parquet")
    with pytest.raises(EvaluationError, match="predictions have changed since"):
        compare_folders(base / "evaluation", new)
    shutil.rmtree(base / "predictions")
    with pytest.raises(EvaluationError, match="not where they were"):
        compare_folders(base / "evaluation", new)


def test_a_broken_comparison_is_named(tmp_path):
    with pytest.raises(EvaluationError, match=r"no comparison\.json here"):
        open_comparison(tmp_path)
    (tmp_path / "comparison.json").write_text('{"schema": "cxr-triage/comparison/1"}')
    with pytest.raises(CxrError, match=r"comparison\.json: not a valid cxr-triage/comparison/1: title"):
        open_comparison(tmp_path)
