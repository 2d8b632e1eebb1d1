"""`cxr reading-time` and `cxr reading-log` under files that nobody should have given them."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
ROOM = """prevalence: 0.1
sensitivity: 0.9
specificity: 0.9
traffic: 0.8
replications: 3
films_per_replication: 200
warm_up_films: 20
"""


@pytest.fixture
def cxr(cxr: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    return cxr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROOM + "traffic: 0.5\n", "key traffic is there twice at line 8"),
        (ROOM + "minutes: {diseased: 3, diseased: 4}\n", "key diseased is there twice at line 8"),
        (ROOM.replace("0.8", "1.0"), "at 1 or more, films arrive faster than they are read"),
        (ROOM.replace("0.8", "8e-1"), "write 0.8"),
        (ROOM + "max_wait_minutes: 1e-9\n", "write 1.0e-09"),
        (ROOM + "readers: 0\n", "readers: found 0"),
        (ROOM + "minutes: {diseased: -3}\n", "minutes.diseased.mean: found -3"),
        (ROOM + "readerz: 2\n", "did you mean readers"),
        (ROOM + "rule_out: {sensitivity: 0.5, specificity: 0.5}\n", "a flagged film is never filed"),
        (ROOM + "evaluation: nowhere\nfinding: tb\n", "both given"),
        (ROOM.replace("sensitivity: 0.9\nspecificity: 0.9\n", "evaluation: gone\nfinding: tb\n"), "evaluation gone"),
        ("- 1\n- 2\n", "expected keys and values, found list"),
        ("", "expected keys and values, found NoneType"),
        (b"prevalence: \xff\xfe", "not readable as YAML"),
        ("!!python/object/apply:os.system ['true']", "not readable as YAML"),
        ("a: " + "[" * 5000, "nested too deeply"),
    ],
)
def test_a_scenario_that_cannot_be_is_one_sentence(cxr: Run, content: str | bytes, message: str) -> None:
    Path("r.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = cxr("reading-time", "r.yaml", "--out", "o")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err) < 500
    assert not Path("o").exists()


@pytest.mark.parametrize(
    "override",
    [
        *("traffic=0.999999", "prevalence=0", "prevalence=1", "sensitivity=0", "sensitivity=1", "specificity=1"),
        *("interrupting_fraction=0.999", "readers=1000", "minutes=0.000001", "max_wait_minutes=0.001"),
        *("rule_out={sensitivity: 1, specificity: 0}", "rule_out={sensitivity: 0.9, specificity: 0.9}"),
        "arrivals={batches: [{hour: 17, films: 1}]}",
    ],
)
def test_a_room_at_its_edge_has_numbers_or_reasons(cxr: Run, override: str) -> None:
    Path("r.yaml").write_text(ROOM)
    code, _, err = cxr("reading-time", "r.yaml", override, "--out", "o")
    assert code == 0, err
    text = Path("o/reading_time.json").read_text()
    assert not re.search(r"\bNaN\b|Infinity", text)
    for arm in ("fifo", "ai"):
        for name, wait in json.loads(text)["simulation"][arm]["waiting_minutes"].items():
            assert (wait["value"] is None) == bool(wait["why"] and wait["value"] is None), name
            assert wait["value"] is None or wait["value"] >= 0, name
    assert not re.search(r"(?mi)(^|,)-?(nan|inf)(,|$)", Path("o/waiting.csv").read_text())


def log_of(seconds: Callable[[int, int, int], float], arms: tuple[int, ...] = (0, 1)) -> str:
    lines, now = ["reader,film,started,finished,ai_shown"], 0.0
    for arm in arms:
        for reader in range(3):
            for film in range(12):
                took = seconds(reader, film, arm)
                lines.append(f"Dr Canary {reader},CANFILM{film},{now},{now + took},{arm}")
                now += abs(took) + 5
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        log_of(lambda reader, film, arm: 60.0),
        log_of(lambda reader, film, arm: 60.0 - 30 * arm),
        log_of(lambda reader, film, arm: -5.0),
        log_of(lambda reader, film, arm: 0.0),
        log_of(lambda reader, film, arm: 1e300),
        log_of(lambda reader, film, arm: 1e-7),
        log_of(lambda reader, film, arm: 50.0 + film, arms=(1,)),
        log_of(lambda reader, film, arm: 50.0 + film).replace(",0\n", ",maybe\n"),
    ],
    ids=["constant", "constant by arm", "negative", "zero", "huge", "tiny", "one arm", "unknown arm"],
)
def test_any_log_is_accounted_for(cxr: Run, text: str) -> None:
    Path("l.csv").write_text(text)
    code, out, err = cxr("reading-log", "l.csv", "--out", "o")
    assert code == 0, err
    written = Path("o/reading_log.json").read_text()
    found = json.loads(written)
    left = sum(row["n"] for row in found["cleaning"] if not row["counts"])
    assert found["rows"] == found["readings"] + left == text.count("\n") - 1
    assert not re.search(r"\bNaN\b|Infinity", written)
    for each in (written, Path("o/cleaned.csv").read_text(), out):
        assert "anary" not in each
        assert "CANFILM" not in each
