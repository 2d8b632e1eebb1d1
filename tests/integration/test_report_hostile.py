"""`cxr report` as its users and their disks would break it: one sentence, nothing half-written, text stays text."""

import errno
import itertools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError

from pipelines.cli.reporting import report
from pipelines.errors import CxrError
from pipelines.evaluation.records import Evaluation
from pipelines.reporting import page
from pipelines.reporting.book import open_book
from pipelines.reporting.language.language import language
from pipelines.reporting.manuscript import SCHEMA
from pipelines.reporting.page import render_page, write_report
from pipelines.reporting.pdf import BROWSER_VARIABLE, print_pdf
from tests.report_folders import write_folder

HOSTILE = (
    "=1+1|`x``](javascript:alert(1))[y](javascript:z) <script>window.pwned=1</script>\n| a | b |\n# h\u202e\x00\x1b[31m"
    " $\\frac{ &lt; {{7*7}} {n} %s @cite ^up^ "
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("hostile") / "made", n=80, side=64)


def ask(*folders, out, lang=None, pdf=False, compare=False, manifest=None):
    report(list(folders), out=out, lang=lang, pdf=pdf, compare=compare, manifest=manifest)


@pytest.fixture
def short(monkeypatch):
    """Reports of three chapters: what is tested is how a file is written, not what stands in it."""
    monkeypatch.setattr("pipelines.reporting.page.CHAPTERS", page.CHAPTERS[1:4])


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# Inputs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Invalid JSON: EOF"),
        (b"hello", "Invalid JSON"),
        (b'{"schema": "cxr-triage/evaluation/2", "title"', "Invalid JSON: EOF"),
        (b'{"a": "\xff\xfe"}', "Invalid JSON"),
        (b"[" * 200_000, "recursion limit"),
        (b"[]", "not a valid cxr-triage/evaluation/2"),
        (b"{}", "title: Field required"),
        (b'{"schema": "cxr-triage/evaluation/1", "title": "t"}', r"found 'cxr-triage/evaluation/1'; .*make it again"),
        (b'{"schema": "\\u001b[31m"}', r"found '\\x1b\[31m'"),
    ],
)
def test_a_file_that_is_no_evaluation_is_one_sentence(tmp_path, content, said):
    (tmp_path / "evaluation.json").write_bytes(content)
    with pytest.raises(CxrError, match=said) as caught:
        ask(tmp_path, out=tmp_path / "report.html")
    assert str(caught.value).startswith(str(tmp_path / "evaluation.json"))
    assert str(caught.value).isprintable()
    assert listing(tmp_path) == ["evaluation.json"]


def test_what_lies_beside_the_evaluation_is_judged_too(made, tmp_path):
    copy = shutil.copytree(made, tmp_path / "copy")
    text = (copy / "reading_time.json").read_text()
    (copy / "reading_time.json").write_text(re.sub(r"reading-time/\d", "reading-time/99", text, count=1))
    with pytest.raises(CxrError, match=r"reading_time\.json: .*found 'cxr-triage/reading-time/99'"):
        ask(copy, out=tmp_path / "report.md")
    (copy / "comparison.json").write_text("{}")
    with pytest.raises(CxrError, match=r"comparison\.json: not a valid"):
        ask(copy, out=tmp_path / "report.md")
    with pytest.raises(CxrError, match=r"comparison\.json: not a valid"):
        ask(copy / "comparison.json", out=tmp_path / "report.md")
    with pytest.raises(CxrError, match="reported alone"):
        ask(copy, made, out=tmp_path / "report.md")


def test_the_file_may_be_named_instead_of_its_folder(made):
    (study,) = open_book([made / "evaluation.json"]).studies
    assert study.reading_time is not None
    assert study.folder == made, "its films are found"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lang": ["nonsense"]}, "found 'nonsense', expected en, vi, fr, sv"),
        ({"lang": ["en,../../etc/passwd"]}, "found '../../etc/passwd'"),
        ({"lang": [""]}, "found ''"),
        ({"manifest": Path("m.csv")}, "--manifest: found without --compare"),
        ({"compare": True}, "found 1 folders, expected two"),
        ({"out": "report"}, r"found no ending"),
        ({"out": "report.docx"}, r"found '\.docx'"),
        ({"out": "report.pdf", "pdf": True}, "--pdf: found with --out report.pdf"),
    ],
)
def test_options_that_cannot_be_are_refused(made, tmp_path, given, said):
    options = {"out": "report.html", **given}
    with pytest.raises(CxrError, match=said):
        ask(made, **{**options, "out": tmp_path / options["out"]})
    assert listing(tmp_path) == []


def test_a_folder_given_twice_is_refused(made, tmp_path):
    (tmp_path / "link").symlink_to(made)
    for compare in (False, True):
        with pytest.raises(CxrError, match="link: found twice"):
            ask(made, tmp_path / "link", out=tmp_path / "report.html", compare=compare)


# Outputs -------------------------------------------------------------------------------------------------------------


def test_a_report_never_takes_the_place_of_another_file(made, tmp_path, short):
    copy = shutil.copytree(made, tmp_path / "copy")
    run = made.parent / "predictions" / "run.json"
    for file in (copy / "evaluation.json", copy / "reading_time.json", run):
        before = file.read_bytes()
        with pytest.raises(CxrError, match=r"not a report, which would be lost"):
            ask(copy, out=file)
        assert file.read_bytes() == before
    out = tmp_path / "tables.json"
    out.write_text(json.dumps({"schema": "cxr-triage/report-tables/0"}))
    ask(copy, out=out)
    assert json.loads(out.read_text())["schema"] == SCHEMA
    ask(copy, out=out)


def test_a_place_that_cannot_be_written_is_said_before_the_work(made, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.cli.reporting._book", lambda *_a, **_k: pytest.fail("the work has begun"))
    (tmp_path / "report.html").mkdir()
    (tmp_path / "other.pdf").mkdir()
    (tmp_path / "file").touch()
    for out, pdf in (("report.html", False), ("other.html", True)):
        with pytest.raises(CxrError, match="found a folder, expected the name of a file"):
            ask(made, out=tmp_path / out, pdf=pdf)
    with pytest.raises(CxrError, match="file is a file, expected a folder"):
        ask(made, out=tmp_path / "file" / "below" / "report.html")
    monkeypatch.setenv(BROWSER_VARIABLE, str(tmp_path))
    with pytest.raises(CxrError, match=BROWSER_VARIABLE):
        ask(made, out=tmp_path / "new.html", pdf=True)
    monkeypatch.setenv(BROWSER_VARIABLE, "")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CxrError, match="none was found"):
        ask(made, out=tmp_path / "new.pdf")
    assert listing(tmp_path) == ["file", "other.pdf", "report.html"]


def test_a_full_disk_keeps_the_old_report_and_names_the_file(made, tmp_path, short):
    out = tmp_path / "report.MD"
    out.write_text("the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # Python ignores the signal: the write fails, as on a disk
    try:
        with pytest.raises(OSError, match="too large") as caught:
            write_report([made], out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(out)
    assert out.read_text() == "the old one"
    assert listing(tmp_path) == ["report.MD"]


def test_a_name_too_long_is_named_as_it_was_given(made, tmp_path, short):
    out = tmp_path / f"{'a' * 300}.md"
    with pytest.raises(OSError, match="too long") as caught:
        write_report([made], out)
    assert caught.value.filename == str(out)


def test_ctrl_c_in_the_middle_of_writing_keeps_the_old_report(made, tmp_path, monkeypatch, short):
    out = tmp_path / "report.md"
    out.write_text("the old one")

    def half(path, text, **_how):
        path.write_bytes(text.encode()[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        write_report([made], out)
    assert out.read_text() == "the old one"
    assert listing(tmp_path) == ["report.md"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_a_browser_prints_nothing_is_left(made, tmp_path, number):
    """The browser is a stand-in that starts a helper, says so, and hangs."""
    place, temporary = tmp_path / "place", tmp_path / "temporary"
    place.mkdir()
    temporary.mkdir()
    fake = tmp_path / "fake-browser"
    pids = tmp_path / "pids"
    fake.write_text(f'#!/bin/sh\nsleep 300 &\necho $! $$ > "{pids}.new"\nmv "{pids}.new" "{pids}"\nwait\n')
    fake.chmod(0o755)
    (place / "report.pdf").write_bytes(b"the old one")
    program = (
        "import sys, pipelines.reporting.page as page; from pipelines.cli import main;"
        "page.CHAPTERS = page.CHAPTERS[1:2];"
        "sys.argv = ['cxr', 'report', *sys.argv[1:]]; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(made), "--out", str(place / "report.pdf")],
        env={**os.environ, BROWSER_VARIABLE: str(fake), "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not pids.is_file() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert "nothing is half-written" in said
    assert (place / "report.pdf").read_bytes() == b"the old one"
    assert listing(place) == ["report.pdf"]
    assert listing(temporary) == []
    for pid in pids.read_text().split():
        assert gone(int(pid)), "a process of the browser lives on"


def gone(pid):
    """Whether a process has ended; its parent may not have taken notice yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_helpers_of_a_browser_that_crashed_are_ended(tmp_path):
    fake = tmp_path / "fake-browser"
    fake.write_text(f'#!/bin/sh\nsleep 300 &\necho $! > "{tmp_path}/pid"\nexit 3\n')
    fake.chmod(0o755)
    (tmp_path / "page.html").write_text("<p>a")
    begun = time.monotonic()
    with pytest.raises(CxrError, match="ended with status 3"):
        print_pdf(tmp_path / "page.html", tmp_path / "out.pdf", browser=fake, seconds=60)
    assert time.monotonic() - begun < 30, "waited for the helper"
    helper, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 10
    while not gone(helper) and time.monotonic() < deadline:  # a signal that was sent takes effect when it is its turn
        time.sleep(0.05)
    assert gone(helper)
    assert listing(tmp_path) == ["fake-browser", "page.html", "pid"]


# Text ----------------------------------------------------------------------------------------------------------------


def poisoned(record):
    """The record with hostile text wherever its schema takes any text."""
    kept = set()

    def swap(value, at=()):
        if isinstance(value, str):
            return value if at in kept else HOSTILE
        if isinstance(value, dict):
            return {key: swap(part, (*at, key)) for key, part in value.items()}
        return [swap(part, (*at, place)) for place, part in enumerate(value)] if isinstance(value, list) else value

    while True:
        changed = swap(record)
        try:
            Evaluation.model_validate(changed)
        except ValidationError as error:
            refused = {each["loc"] for each in error.errors()} - kept
            assert refused, "a refusal that keeping the text does not mend"
            kept |= refused
        else:
            return changed


def test_hostile_text_breaks_no_table_and_no_terminal(made, tmp_path):
    (tmp_path / "evaluation.json").write_text(json.dumps(poisoned(json.loads((made / "evaluation.json").read_text()))))
    for form in ("md", "json"):
        write_report([tmp_path], tmp_path / f"report.{form}", command=f"cxr report {HOSTILE}")
        text = (tmp_path / f"report.{form}").read_text(encoding="utf-8")
        assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", text)
    tables = json.loads((tmp_path / "report.json").read_text())
    assert "window.pwned" in json.dumps(tables["tables"])
    assert not re.search("[\x00-\x1f\u202e]", tables["command"])
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    *body, command, _ = text.split("\n")
    assert re.fullmatch(r"(`+) cxr report .* \1", command)
    assert "`" * 3 in command[:3]
    assert not re.search(r"(?<!\\)[<\[`$@^]", "\n".join(body)), "a sign that is not escaped"
    heads = 0
    for before, line in itertools.pairwise(body):
        if line.startswith("|"):
            columns = len(re.findall(r"(?<!\\)\|", line))
            if before.startswith("|"):
                assert columns == len(re.findall(r"(?<!\\)\|", before)), line[:200]
            else:
                heads += 1
    assert heads == len(tables["tables"])


# Pictures ------------------------------------------------------------------------------------------------------------


def test_only_pictures_of_the_evaluation_folder_are_shown(made, tmp_path):
    copy = shutil.copytree(made, tmp_path / "copy")
    record = json.loads((copy / "evaluation.json").read_text())
    films = [film for result in record["findings"] for film in result["examples"]["films"] if film["film_picture"]]
    assert len(films) >= 12
    outside = tmp_path / "outside.png"
    Image.new("L", (80, 80), 99).save(outside)
    bad = copy / "pictures"
    (bad / "link.png").symlink_to(outside)
    (bad / "round.png").symlink_to("round.png")
    (bad / "paper.png").write_bytes(b"%PDF-1.4\n%%EOF")
    (bad / "vector.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>')
    whole = next(bad.glob("*-film.png")).read_bytes()
    (bad / "cut.png").write_bytes(whole[: len(whole) // 2])
    (bad / "empty.png").touch()
    Image.new("1", (20_000, 20_000)).save(bad / "giant.png")
    os.mkfifo(bad / "pipe.png")
    names = ["../../outside.png", str(outside), "pictures/../../outside.png", "../../../../../../../../etc/passwd"]
    names += [f"pictures/{name}.png" for name in ("link", "round", "paper", "vector", "cut", "empty", "giant", "pipe")]
    names += ["a" * 5000, "\x00", "", "."]
    for place, film in enumerate(films):
        film["film_picture"] = names[place % len(names)]
        film["map_layer"] = film["map_picture"] = names[(place + 5) % len(names)]
    (copy / "evaluation.json").write_text(json.dumps(record))
    html = render_page(open_book([copy]), [language("en")])
    assert "film-store" not in re.sub(r"(?s)<style.*?</style>|<script.*?</script>", "", html), "no picture is left"
    assert str(tmp_path) not in html
    assert "outside.png" not in html
    assert "root:" not in html
