"""What arrived of a data set: label files, films, what is cut short; and the table and cards of ``cxr datasets``."""

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.datasets import ADAPTERS, registry
from pipelines.datasets.adapter import Whole
from pipelines.datasets.card import card, known, line
from pipelines.errors import CxrError
from pipelines.fetch import Arrival, check_arrival
from tests.fetch_server import png, small_set

Run = Callable[..., tuple[int, str, str]]

LABELS = b"0.png\n1.png\n2.png\n3.png\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "films").mkdir()
    for number in range(4):
        (tmp_path / "films" / f"{number}.png").write_bytes(png(number))
    (tmp_path / "labels.csv").write_bytes(LABELS)
    return tmp_path


def wrong(arrival: Arrival) -> dict[str, tuple[str, ...]]:
    return {finding.what: finding.examples for finding in arrival.findings if finding.state == "bad"}


def test_a_whole_copy(root: Path) -> None:
    for deep in (False, True):
        arrival = check_arrival(small_set(), root, deep=deep)
        assert arrival.complete
        assert arrival.verdict == f"small in {root} is complete"
    assert {finding.what: finding.found for finding in arrival.findings}["headers read"] == "4 good"


def test_missing_extra_and_empty_films(root: Path) -> None:
    (root / "films" / "1.png").unlink()
    (root / "films" / "2.png").write_bytes(b"")
    (root / "films" / "mask.png").write_bytes(png(9))
    arrival = check_arrival(small_set(), root)
    assert wrong(arrival) == {"films missing": ("films/1.png",), "films of zero bytes": ("films/2.png",)}
    extra = next(finding for finding in arrival.findings if finding.what.startswith("other pictures"))
    assert (extra.found, extra.examples, extra.state) == ("1", ("films/mask.png",), "ok")
    assert arrival.verdict == f"small in {root} is not complete: films missing, films of zero bytes"


def test_a_table_that_lists_fewer_films_than_were_published(root: Path) -> None:
    arrival = check_arrival(small_set(films=5), root)
    assert list(wrong(arrival)) == ["films listed"]
    nothing_published = check_arrival(replace(small_set(), whole=None), root)
    assert nothing_published.complete
    assert "as far as there is something to compare with" in nothing_published.verdict


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_label_files_by_their_digest(root: Path, kind: str) -> None:
    digest = f"{kind}:{hashlib.new(kind, LABELS).hexdigest()}"
    adapter = small_set(whole=Whole(films=4, files={"labels.csv": digest}))
    assert check_arrival(adapter, root).complete
    (root / "labels.csv").write_bytes(LABELS + b"\n")
    assert list(wrong(check_arrival(adapter, root))) == ["labels.csv"]


def test_a_label_file_may_be_gzipped_or_lie_deeper(root: Path) -> None:
    digest = f"md5:{hashlib.md5(LABELS).hexdigest()}"
    adapter = small_set(whole=Whole(films=4, files={"extra.csv": digest}))
    assert list(wrong(check_arrival(adapter, root))) == ["extra.csv"]
    (root / "tables").mkdir()
    (root / "tables" / "extra.csv.gz").write_bytes(gzip.compress(LABELS))
    assert check_arrival(adapter, root).complete
    (root / "tables" / "extra.csv.gz").write_bytes(gzip.compress(LABELS)[:-12])
    assert list(wrong(check_arrival(adapter, root))) == ["extra.csv"]


def test_a_folder_without_the_layout(root: Path) -> None:
    (root / "labels.csv").unlink()
    arrival = check_arrival(small_set(), root)
    assert list(wrong(arrival)) == ["labels.csv", "native layout"]
    with pytest.raises(CxrError, match="expected the folder with small, found none"):
        check_arrival(small_set(), root / "nowhere")


def test_what_was_fetched_in_part(root: Path) -> None:
    (root / "a.zip.part").write_bytes(b"x")
    (root / ".cxr-unpack-b.zip").mkdir()
    arrival = check_arrival(small_set(), root)
    assert wrong(arrival) == {"files fetched or unpacked in part": ("a.zip.part", ".cxr-unpack-b.zip")}


def jpeg(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64), dtype=np.uint8)).save(out, "JPEG")
    return out.getvalue()


def test_headers_tell_what_names_and_sizes_do_not(root: Path) -> None:
    (root / "films" / "0.png").write_bytes(png(0)[:-200])
    (root / "films" / "1.png").write_bytes(b"<html>login</html>")
    (root / "films" / "4.jpg").write_bytes(jpeg(4))
    (root / "films" / "5.jpg").write_bytes(jpeg(5)[:-300])
    (root / "labels.csv").write_bytes(LABELS + b"4.jpg\n5.jpg\n")
    adapter = small_set(films=6)
    assert check_arrival(adapter, root).complete, "names and sizes are as published"
    seen: list[tuple[int, int]] = []
    arrival = check_arrival(adapter, root, deep=True, progress=lambda done, total: seen.append((done, total)))
    assert wrong(arrival) == {
        "headers read": (),
        "films: not_an_image": ("films/1.png",),
        "films: truncated": ("films/0.png", "films/5.jpg"),
    }
    assert seen[-1] == (6, 6)


def test_the_check_as_a_verb(cxr: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ADAPTERS", dict(ADAPTERS) | {"small": small_set()})
    for verb in ("fetch", "datasets"):
        code, out, _ = cxr(verb, "small", "--check", root, "--deep")
        assert code == 0
        assert "is complete" in out
    (root / "films" / "0.png").unlink()
    code, out, _ = cxr("datasets", "small", "--check", root, "--json")
    assert code == 1
    found = json.loads(out)
    assert found["complete"] is False
    assert [f["examples"] for f in found["findings"] if f["state"] == "bad"] == [["films/0.png"]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["datasets", "--check", "."], "name it"),
        (["datasets", "phantom", "--deep"], "--deep belongs to --check"),
        (["fetch", "phantom", "--deep"], "--deep belongs to --check"),
        (["datasets", "--json", "--markdown"], "choose one"),
        (["fetch", "nope"], "no data set is called 'nope'"),
        (["fetch", "shenzhen"], "--to: expected a folder for shenzhen"),
        (["fetch", "phantom", "--check", "nowhere"], "expected the folder with phantom"),
        (["fetch", "phantom"], "it is made or owned by you"),
    ],
)
def test_mistakes(cxr: Run, arguments: list[str], words: str) -> None:
    code, _, err = cxr(*arguments)
    assert code == 2
    assert words in err


# The table and the cards


def test_the_table_fits_a_line_of_100(cxr: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("pipelines.cli.console._out.width", 100, raising=False)
    code, out, _ = cxr("datasets")
    assert code == 0
    assert all(name in out for name in ADAPTERS)
    code, out, _ = cxr("datasets", "--markdown")
    rows = out.strip().splitlines()
    assert len(rows) == len(ADAPTERS) + 2
    assert len({row.count("|") for row in rows}) == 1


def test_every_card_is_shown_whole(cxr: Run) -> None:
    for name, adapter in ADAPTERS.items():
        code, out, _ = cxr("datasets", name)
        assert code == 0
        whole = [adapter.title, adapter.licence, adapter.unknown, adapter.verified_note, *adapter.steps]
        whole += [
            *adapter.known_defects,
            *adapter.overlaps.values(),
            *adapter.unverified,
            *adapter.label_mapping.values(),
        ]
        whole += [option.doc for option in adapter.options.values()] + [download.url for download in adapter.downloads]
        assert [text for text in whole if text not in out] == []


def test_cards_for_programs(cxr: Run) -> None:
    code, out, _ = cxr("datasets", "--json")
    assert code == 0
    cards = json.loads(out)
    assert [found["name"] for found in cards] == list(ADAPTERS)
    fields = set(vars(ADAPTERS["phantom"])) - {"rows", "finish", "label_mapping"} | {"labels", "known"}
    assert set(cards[0]) == fields, "a new field of the adapter belongs on its card"
    assert json.loads(cxr("datasets", "vindr_cxr", "--json")[1]) == card(ADAPTERS["vindr_cxr"])


@pytest.mark.parametrize(
    ("unknown", "tb", "nodule"),
    [
        ("nothing: every reader was asked for every label", "all", "all"),
        ("nodule on every film: nobody looked for nodules", "all", "none"),
        ("tb and nodule on every film: only pneumothorax was looked for", "none", "none"),
        ("tb and nodule on every film that is not Normal", "some", "some"),
        ("tb on every film; nodule where the report does not mention a lesion", "none", "some"),
        ("tb on the test part, and on one film without a region; nodule on every film", "some", "none"),
        ("tb on every film: not asked for; a benign nodule may be a tuberculoma", "none", "all"),
        ("whatever the folders do not say", "card", "card"),
    ],
)
def test_what_is_known_is_read_from_the_card(unknown: str, tb: str, nodule: str) -> None:
    adapter = small_set(unknown=unknown)
    assert (known(adapter, "tb"), known(adapter, "nodule")) == (tb, nodule)


def test_a_long_text_is_cut_between_words() -> None:
    texts = line(
        small_set(licence="Terms of a university: x", label_origin="radiologists who read every film of it twice")
    )
    assert texts["licence"] == "Terms of a university"
    assert texts["labels from"] == "radiologists who read every…"
    assert line(replace(small_set(), whole=None))["films"] == "-"
