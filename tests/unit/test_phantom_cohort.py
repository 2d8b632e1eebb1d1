"""The folder: same seed same bytes, tables that match, interruption, refusals."""

import csv
import hashlib
import json
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from pipelines.datasets import build_manifest
from pipelines.errors import CxrError
from pipelines.phantom import BOX_COLUMNS, LABEL_COLUMNS, generate_phantoms
from pipelines.phantom.sites import SITES_BY_NAME

FILMS = 7


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cohort") / "phantoms"
    generate_phantoms(out, films=FILMS, seed=3, workers=1)
    return out


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(cohort, tmp_path):
    generate_phantoms(tmp_path / "again", films=FILMS, seed=3, workers=2)
    assert _digests(tmp_path / "again") == _digests(cohort)


def test_another_seed_gives_other_films(cohort, tmp_path):
    generate_phantoms(tmp_path / "other", films=2, seed=4, workers=1)
    films = {digest for name, digest in _digests(tmp_path / "other").items() if name.endswith(".dcm")}
    assert len(films) == 2
    assert films.isdisjoint(_digests(cohort).values())


def test_the_folder_holds_films_tables_and_nothing_else(cohort):
    names = set(_digests(cohort))
    assert {name for name in names if not name.endswith(".dcm")} == {"phantom.json", "labels.csv", "boxes.csv"}
    assert len(names) == FILMS + 3
    described = json.loads((cohort / "phantom.json").read_text())
    assert (described["seed"], described["films"], described["synthetic"]) == (3, FILMS, True)


def test_labels_and_boxes_agree(cohort):
    labels, boxes = _rows(cohort / "labels.csv"), _rows(cohort / "boxes.csv")
    assert tuple(labels[0]) == LABEL_COLUMNS
    assert tuple(boxes[0]) == BOX_COLUMNS
    assert len(labels) == FILMS
    assert any(row["tb"] == "1" for row in labels)
    assert any(row["nodule"] == "1" for row in labels)
    for row in labels:
        assert (cohort / row["image"]).is_file()
        site = SITES_BY_NAME[row["site"]]
        assert (int(row["rows"]), int(row["columns"])) == (site.rows, site.columns)
        mine = [box for box in boxes if box["image"] == row["image"]]
        for finding in ("tb", "nodule"):
            assert (row[finding] == "1") == any(box["finding"] == finding for box in mine)
        assert (row["tb"] == "1") == (row["tb_kind"] != "")
        assert (row["nodule"] == "1") == (row["nodule_mm"] != "")
        for box in mine:
            assert 0 <= float(box["x0"]) < float(box["x1"]) <= site.columns
            assert 0 <= float(box["y0"]) < float(box["y1"]) <= site.rows
    assert {box["image"] for box in boxes} <= {row["image"] for row in labels}


def test_a_complete_cohort_is_left_alone(cohort):
    before = {path: path.stat().st_mtime_ns for path in cohort.rglob("*")}
    seen: list[tuple[int, int]] = []
    generate_phantoms(cohort, films=FILMS, seed=3, workers=1, progress=lambda done, of: seen.append((done, of)))
    assert {path: path.stat().st_mtime_ns for path in cohort.rglob("*")} == before
    assert seen == [(FILMS, FILMS)]


class _StopError(Exception):
    """Stands for Ctrl-C."""


def test_an_interrupted_cohort_goes_on_and_keeps_its_films(cohort, tmp_path):
    def stop_after_three(done: int, _of: int) -> None:
        if done == 3:
            raise _StopError

    out = tmp_path / "phantoms"
    with pytest.raises(_StopError):
        generate_phantoms(out, films=FILMS, seed=3, workers=1, progress=stop_after_three)
    assert not (out / "labels.csv").exists()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    assert len(kept) == 3
    seen: list[int] = []
    generate_phantoms(out, films=FILMS, seed=3, workers=1, progress=lambda done, _of: seen.append(done))
    assert seen == [3, 4, 5, 6, 7]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert _digests(out) == _digests(cohort)


def test_a_killed_process_leaves_no_broken_film(cohort, tmp_path):
    out = tmp_path / "phantoms"
    arguments = {"films": FILMS, "seed": 3, "workers": 1}
    process = get_context("spawn").Process(target=generate_phantoms, args=(out,), kwargs=arguments)
    process.start()
    deadline = time.monotonic() + 60
    while len(list(out.rglob("film*.dcm"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.join()
    assert list(out.rglob("film*.dcm"))
    generate_phantoms(out, films=FILMS, seed=3, workers=1)
    assert _digests(out) == _digests(cohort)  # no leftover of the killed run either


def test_a_cohort_can_be_extended(cohort, tmp_path):
    out = tmp_path / "phantoms"
    generate_phantoms(out, films=3, seed=3, workers=1)
    generate_phantoms(out, films=FILMS, seed=3, workers=1)
    assert _digests(out) == _digests(cohort)


def test_a_film_that_was_deleted_is_made_again(cohort, tmp_path):
    out = tmp_path / "phantoms"
    generate_phantoms(out, films=2, seed=3, workers=1)
    before = _digests(out)
    next(out.rglob("*.dcm")).unlink()
    generate_phantoms(out, films=2, seed=3, workers=1)
    assert _digests(out) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 4}, "seed is 3; expected 4"),
        ({"films": 2}, "films is 7; expected at most 2"),
        ({"films": 0}, "films is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(cohort, change, said):
    before = _digests(cohort)
    with pytest.raises(CxrError, match=said):
        generate_phantoms(cohort, **{"films": FILMS, "seed": 3, "workers": 1, **change})
    assert _digests(cohort) == before


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CxrError, match="holds other files"):
        generate_phantoms(tmp_path, films=1, seed=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(CxrError, match="is a file"):
        generate_phantoms(tmp_path / "file", films=1, seed=3)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_spoilt_description_is_refused(tmp_path, content):
    (tmp_path / "phantom.json").write_text(content)
    with pytest.raises(CxrError, match=r"phantom\.json"):
        generate_phantoms(tmp_path, films=1, seed=3)


def test_drawn_films_have_hashes_and_no_fingerprint(tmp_path: Path) -> None:
    generate_phantoms(tmp_path, films=4, seed=2, workers=1)
    frame = build_manifest("phantom", tmp_path, hashes=True, workers=1)
    assert frame["sha256"].notna().all()
    assert frame["pixel_hash"].notna().all()
    assert frame["fingerprint"].isna().all()
