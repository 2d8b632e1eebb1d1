"""The worklist page as a file: order, counts, words, and what hostile tables can do to it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.errors import CxrError, PredictionsError, Reason
from pipelines.evaluation.predictions import heatmap_file
from pipelines.evaluation.run_record import RUN_SCHEMA
from pipelines.evaluation.thresholds.operating_point import lock_operating_point
from pipelines.inference.table import to_table
from pipelines.reporting import worklist_data
from pipelines.reporting.worklist import write_worklist
from pipelines.reporting.worklist_words import LANGUAGES

THRESHOLDS = {"tb": 0.25, "nodule": 0.5}
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "<img src=x onerror=document.title='owned'>",
    "a\"b'c&amp;d`${1}",
    "\u202egnp.exe\u2066\u200b",
    "line\u2028separator\u2029\x00\x1b[2J\r\n",
    "../../etc/passwd%2f..\\x",
    "{{ 7 * 7 }}{% raw %}",
    "__proto__",
    "phổi/胸部/😀.dcm",
    "x" * 3000,
)


def row(image_id: str, score: float | None = None, **values: object) -> dict:
    """A row of the table: scored where a score is given, an unreadable film otherwise."""
    if score is None:
        refused = {"status": "error", "reason": "corrupt", "detail": "the pixel stream cannot be decoded"}
        return {"image_id": image_id, "path": image_id, "model_id": "m1", **refused, **values}
    p = score / 100
    scored = {
        "status": "ok", "p_tb": p, "p_nodule": p / 2, "flag_tb": p >= 0.25, "flag_nodule": p / 2 >= 0.5,
        "triage_score": score, "triage_class": "urgent" if p >= 0.25 else "routine",
        "peak_x_tb": 1200.5, "peak_y_tb": 900.0, "control_tb": 0.1, "atypicality": 0.5,
        "inverted_corrected": False, "rotation_degrees": 0, "cropped": False, "low_contrast": False,
        "text_area": 0.0, "border": 0.01, "colour_converted": False, "orientation": 1,
    }  # fmt: skip
    return {"image_id": image_id, "path": image_id, "model_id": "m1", **scored, **values}


def write_run(folder: Path, rows: list[dict], *, findings: tuple[str, ...] = ("tb", "nodule")) -> Path:
    """Write a finished predictions folder as the engine does."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(to_table(rows), folder / "predictions.parquet")
    points = {
        finding: lock_operating_point(
            [1, 0],
            [THRESHOLDS[finding], 0.0],
            finding=finding,
            target_sensitivity=0.9,
            cohort="made <up>",
            model_id="m1",
        )
        for finding in findings
    }
    model = {
        "model_id": "m1",
        "name": "a <model> & co",
        "findings": list(findings),
        "operating_points": {finding: point.model_dump(mode="json") for finding, point in points.items()},
    }
    run = {"schema": RUN_SCHEMA, "model": model, "triage_rule": "a <rule>", "code_version": "0.0", "settings": {}}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder


class Page(HTMLParser):
    """What a browser without JavaScript finds in the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.cells: list[list[str]] = []
        self._in: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in ("script", "style") else None
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = None

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self.cells and self.cells[-1] and self._in is None:
            self.cells[-1][-1] += data.strip()

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


def page_of(folder: Path) -> Page:
    return Page(write_worklist(folder).read_text(encoding="utf-8"))


def test_films_are_sorted_by_score_and_those_without_one_are_kept_apart_and_counted(tmp_path: Path) -> None:
    rows = [row("low", 3.0), row("broken"), row("high", 90.0), row("tie a", 40.0), row("tie b", 40.0)]
    rows.append(row("no number", 1.0, triage_score=None, triage_class=None, p_tb=None, p_nodule=None))
    text = write_worklist(write_run(tmp_path, rows)).read_text(encoding="utf-8")
    page = Page(text)
    films = page.data["films"]
    assert films["id"] == ["high", "tie a", "tie b", "low", "broken", "no number"]
    assert films["position"] == [3, 4, 5, 1, 2, 6]
    assert page.data["scored"] == 4
    assert films["status"] == "000020"
    assert films["class"] == "111200"
    assert films["score"] == [90, 40, 40, 3, None, None]
    assert films["flag"] == ["222101", "111101"]
    assert "2 films need a person: not scored" in text
    assert "Urgent" in re.search(r"<b>3</b>[^<]*", text)[0]
    assert "Routine" in re.search(r"<b>1</b>[^<]*", text)[0]


def test_nothing_in_a_hostile_table_becomes_markup(tmp_path: Path) -> None:
    rows = [row(name, 50.0 - n) for n, name in enumerate(HOSTILE)]
    rows += [row(f"bad {name}", None, detail=name, reason=name) for name in HOSTILE]
    folder = write_run(tmp_path, rows)
    page = page_of(folder)
    assert page.data["films"]["id"][: len(HOSTILE)] == list(HOSTILE)
    assert set(HOSTILE) <= set(page.data["films"]["details"])
    assert len(page.scripts) == 2
    tags = {tag for tag, _ in page.elements}
    assert "img" not in tags
    assert not [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
    ]
    raw = (folder / "worklist.html").read_text(encoding="utf-8")
    assert not re.search("[\u202e\u2066\u200b\u2028\u2029\x1b]", raw.replace(page.scripts[0], ""))


def test_the_policy_allows_this_script_and_style_and_no_network(tmp_path: Path) -> None:
    text = write_worklist(write_run(tmp_path, [row("a", 1.0)])).read_text(encoding="utf-8")
    page = Page(text)
    policy = next(
        attributes["content"] for tag, attributes in page.elements if "http-equiv" in attributes and tag == "meta"
    )
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    for part, name in ((page.scripts[1], "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http:" not in text
    assert "https:" not in text
    assert not re.search(r"\bon\w+=", text)


def test_every_word_is_in_the_dictionary_and_every_reason_has_words() -> None:
    templates = Path(worklist_data.__file__).parent / "templates"
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(templates.glob("worklist*")))
    used = set(re.findall(r'\b(?:t|word)\(\s*"(\w+)"', sources))
    prefixes = ("class_", "status_", "reason_", "remark_")
    for texts in LANGUAGES.values():
        assert used - set(prefixes) <= set(texts)
        assert {f"reason_{reason.value}" for reason in Reason} <= set(texts)
        assert texts.keys() == LANGUAGES["en"].keys()
        for key, text in texts.items():
            gaps = [set(re.findall(r"{(\w+)}", one)) for one in ([text] if isinstance(text, str) else text)]
            assert all(gap == gaps[0] for gap in gaps), key
    python = (templates.parent / "worklist.py").read_text(encoding="utf-8")
    named = (
        used
        | set(re.findall(r'"(\w+)"', python + sources))
        | set(re.findall(r'word\(\w+ \? "(\w+)" : "(\w+)"', sources))
    )
    unused = [key for key in LANGUAGES["en"] if key not in named and not key.startswith(prefixes)]
    assert unused == ["decimal_point", "thousands_separator"]


def test_pictures_are_named_as_the_engine_names_them(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [row("a/é b", 9.0), row("none", 5.0), row("map only", 2.0), row("half", 1.0)])
    (folder / "heatmaps").mkdir()
    for name, layers in (("a/é b", ("film", "tb", "nodule")), ("map only", ("tb",)), ("half", ("film", "nodule"))):
        for layer in layers:
            (folder / "heatmaps" / heatmap_file(name, layer)).write_bytes(b"png")
    page = page_of(folder)
    films = page.data["films"]
    digest = hashlib.sha256("a/é b".encode()).hexdigest()[:8]
    assert films["picture"][0] == digest
    assert films["picture"][1:3] == [0, 0]
    assert films["maps"] == "3002"
    shown = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert shown == [f"heatmaps/a_b-{digest}.film.png", f"heatmaps/{heatmap_file('half', 'film')}"]


def test_without_pictures_the_page_says_how_to_get_them(tmp_path: Path) -> None:
    text = write_worklist(write_run(tmp_path, [row("a", 1.0)])).read_text(encoding="utf-8")
    assert "(--heatmaps)" in text


def test_the_plain_table_has_scores_reasons_and_dashes(tmp_path: Path) -> None:
    rows = [row(f"film {n}", 100 * (n + 0.5) / 300) for n in range(300)] + [row("broken", None, reason="truncated")]
    text = write_worklist(write_run(tmp_path, rows)).read_text(encoding="utf-8")
    cells = Page(text).cells
    assert cells[1] == ["–", "", "broken", "Not scored", "–", "–", "–", "Unreadable: The file ends too early"]
    assert cells[2] == ["1", "", "film 299", "Urgent", "99.8", "0.998", "0.499", "Read"]
    assert len(cells) == 201
    assert "NaN" not in text.replace(Page(text).scripts[1], "")


def test_remarks_become_bits_and_unread_films_none(tmp_path: Path) -> None:
    rows = [
        row("plain", 5.0),
        row("all", 4.0, inverted_corrected=True, cropped=True, low_contrast=True, colour_converted=True),
        row("turned", 3.0, rotation_degrees=270),
        row("copy", 2.0, duplicate_of="plain"),
        row("unread"),
        row(
            "refused", None, status="rejected", reason="atypical", low_contrast=True, cropped=False, rotation_degrees=0
        ),
    ]
    films = page_of(write_run(tmp_path, rows)).data["films"]
    assert films["remarks"] == [0, 15, 48, 0, -1, 4]
    assert films["duplicate"] == {"3": "plain"}


def test_tables_without_the_later_columns_and_models_without_thresholds_still_have_a_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [row("a", 60.0, flag_tb=None, triage_class=None), row("b")], findings=())
    names = ["image_id", "path", "status", "reason", "detail", "p_tb", "p_nodule", "triage_score", "model_id"]
    pq.write_table(pq.read_table(folder / "predictions.parquet").select(names), folder / "predictions.parquet")
    run = json.loads((folder / "run.json").read_text())
    run["model"]["findings"] = ["tb"]
    (folder / "run.json").write_text(json.dumps(run))
    text = write_worklist(folder).read_text(encoding="utf-8")
    films = Page(text).data["films"]
    assert films["flag"] == ["00"]
    assert films["class"] == "00"
    assert films["remarks"] == [-1, -1]
    assert films["atypicality"] == [None, None]
    assert Page(text).data["findings"] == [{"key": "tb", "name": "Tuberculosis", "threshold": None, "ruleOut": None}]
    assert "the model has no threshold" in text


def test_a_page_that_cannot_hold_all_films_says_so_and_keeps_those_without_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worklist_data, "MAX_FILMS", 5)
    rows = [row(f"film {n}", float(n)) for n in range(9)] + [row("broken 1"), row("broken 2")]
    text = write_worklist(write_run(tmp_path, rows)).read_text(encoding="utf-8")
    assert Page(text).data["films"]["id"] == ["film 8", "film 7", "film 6", "broken 1", "broken 2"]
    assert "holds the first 5 of 11 films" in text
    assert "<b>9</b> Routine" in text


def test_bytes_per_film(tmp_path: Path) -> None:
    def size(n: int) -> int:
        rows = [row(f"site-07/2026-01/film_{k:06d}.dcm", (k * 7919 % n) / n * 100) for k in range(n)]
        folder = write_run(tmp_path / str(n), rows)
        (folder / "heatmaps").mkdir()
        for film in rows:
            for layer in ("film", "tb", "nodule"):
                (folder / "heatmaps" / heatmap_file(film["image_id"], layer)).touch()
        return write_worklist(folder).stat().st_size

    assert (size(1200) - size(200)) / 1000 <= 250


def test_errors_are_sentences_and_leave_no_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [row("a", 1.0)])
    with pytest.raises(CxrError, match="language is 'xx', expected one of: en"):
        write_worklist(folder, language="xx")
    (folder / "run.json").unlink()
    with pytest.raises(PredictionsError, match=r"no run\.json"):
        write_worklist(folder)
    with pytest.raises(PredictionsError, match=r"no such file; expected a predictions table"):
        write_worklist(tmp_path / "nowhere")
    assert not (folder / "worklist.html").exists()
    assert not list(folder.glob(".*"))


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [row("a", 1.0), row("b")])
    assert write_worklist(folder).read_bytes() == write_worklist(folder).read_bytes()
