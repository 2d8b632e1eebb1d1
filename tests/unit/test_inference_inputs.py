"""Which films a run is over: order, ids, what is skipped, and what a user is told."""

import hashlib
import os
import pickle
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from pipelines.errors import CxrError
from pipelines.inference.inputs.collect import collect_inputs
from pipelines.inference.inputs.film_names import natural_key, text_of
from pipelines.inference.plan import list_digest
from pipelines.manifest import manifest_digest, read_manifest
from tests.inference_films import write_png


def ids(listed) -> list[str]:
    return [film.image_id for film in listed.films]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def write_manifest_csv(path: Path, rows: list[dict]) -> Path:
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_folder_is_searched_in_natural_order_and_every_entry_is_counted(tmp_path):
    touch(*(tmp_path / name for name in ("film10", "film2.dcm", "Film1", "sub/3", "sub/20", "sub/deep/1.png")))
    touch(tmp_path / "readme.TXT", tmp_path / "DICOMDIR", tmp_path / ".DS_Store", tmp_path / ".cache" / "film")
    listed = collect_inputs([tmp_path])
    assert ids(listed) == ["Film1", "film2.dcm", "film10", "sub/3", "sub/20", "sub/deep/1.png"]
    assert [film.path for film in listed.films] == ids(listed)
    assert [film.file for film in listed.films] == [tmp_path / image_id for image_id in ids(listed)]
    assert listed.sources[0].skipped == {".txt": 1, "DICOMDIR": 1, "hidden": 2}
    assert len(listed) == 6
    assert listed.manifest_digest is None


def test_folder_named_like_a_skipped_file_is_searched(tmp_path):
    touch(tmp_path / "study.json" / "film", tmp_path / "DICOMDIR" / "film")
    assert ids(collect_inputs([tmp_path])) == ["DICOMDIR/film", "study.json/film"]


@pytest.mark.parametrize(
    ("left", "right"), [("a2", "a10"), ("a/b", "a0/b"), ("1", "a"), ("01", "1"), ("a", "a1"), ("9" * 200, "1" * 201)]
)
def test_natural_key_orders_numbers_as_numbers(left, right):
    assert natural_key(left) < natural_key(right)


def test_outputs_of_an_earlier_run_are_not_films(tmp_path):
    touch(tmp_path / "a.dcm", tmp_path / "out" / "heatmaps" / "a.film.png", tmp_path / "other" / "heatmaps" / "b.png")
    (tmp_path / "out" / "run.json").write_text('{"schema": "cxr-triage/run/1"}')
    listed = collect_inputs([tmp_path])
    assert ids(listed) == ["a.dcm", "other/heatmaps/b.png"]
    assert listed.sources[0].skipped == {"output of an earlier run": 2}


def test_link_loops_end_and_dead_links_stay_inputs(tmp_path):
    touch(tmp_path / "sub" / "film")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "z_again").symlink_to(tmp_path / "sub")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "dead.dcm").symlink_to(tmp_path / "nowhere")
    listed = collect_inputs([tmp_path])
    assert ids(listed) == ["dead.dcm", "self", "sub/film"]
    assert listed.sources[0].skipped == {"folder seen before (link)": 2}


def test_folder_that_cannot_be_listed_is_one_input(tmp_path, monkeypatch):
    touch(tmp_path / "film", tmp_path / "locked" / "film")
    scandir = os.scandir

    def refuse(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert ids(collect_inputs([tmp_path])) == ["film", "locked"]
    with pytest.raises(CxrError, match=r"locked: this folder cannot be listed \(Permission denied\)"):
        collect_inputs([tmp_path / "locked"])


def test_very_deep_folders_do_not_exhaust_the_stack(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("film", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert ids(collect_inputs([tmp_path])) == ["d/" * 1500 + "film"]
    finally:  # pytest itself could not remove it
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_names_that_are_not_utf8_are_escaped_and_stay_apart(tmp_path):
    raw = os.fsencode(tmp_path)
    for name in (b"f\xff", b"f\xfe", b"f\\xff"):
        Path(os.fsdecode(raw + b"/" + name)).write_bytes(b"x")
    listed = collect_inputs([tmp_path])
    assert sorted(ids(listed)) == ["f\\xfe", "f\\xff", "f\\xff#2"]
    assert all(film.file.exists() for film in listed.films)
    assert text_of(os.fsdecode(b"a/\xe9.dcm")) == "a/\\xe9.dcm"
    assert text_of("a/é.dcm") == "a/é.dcm"
    assert text_of("two\nlines\r\x85.dcm") == "two\\x0alines\\x0d\\x85.dcm"


def test_several_inputs_keep_plain_ids_where_they_are_unique(tmp_path):
    touch(tmp_path / "a" / "1.dcm", tmp_path / "b" / "2.dcm", tmp_path / "single.dcm")
    assert ids(collect_inputs([tmp_path / "b", tmp_path / "a", tmp_path / "single.dcm"])) == [
        "2.dcm",
        "1.dcm",
        "single.dcm",
    ]


def test_several_inputs_get_their_folders_name_where_ids_collide(tmp_path):
    touch(tmp_path / "a" / "1.dcm", tmp_path / "b" / "1.dcm")
    assert ids(collect_inputs([tmp_path / "a", tmp_path / "b"])) == ["a/1.dcm", "b/1.dcm"]
    assert ids(collect_inputs([tmp_path / "a" / "1.dcm", tmp_path / "b" / "1.dcm"])) == ["a/1.dcm", "b/1.dcm"]


def test_the_same_input_twice_is_two_rows(tmp_path):
    touch(tmp_path / "1.dcm")
    name = tmp_path.name
    assert ids(collect_inputs([tmp_path / "1.dcm"] * 3)) == [f"{name}/1.dcm", f"{name}/1.dcm#2", f"{name}/1.dcm#3"]


def test_manifest_rows_keep_order_and_ids(tmp_path):
    rows = [
        {"image_id": f"set/{name}", "path": f"films/{name}.png", "dataset": "set", "split": split}
        for name, split in (("b", "test"), ("a", "train"), ("c", "test"))
    ]
    manifest = write_manifest_csv(tmp_path / "manifest.csv", rows)
    listed = collect_inputs([manifest], split="test")
    assert ids(listed) == ["set/b", "set/c"]
    assert [film.path for film in listed.films] == ["films/b.png", "films/c.png"]
    assert listed.films[0].file == tmp_path / "films" / "b.png"
    assert listed.manifest_digest == manifest_digest(read_manifest(manifest))
    assert collect_inputs([manifest], root=tmp_path / "data").films[1].file == tmp_path / "data" / "films" / "a.png"
    assert len(collect_inputs([manifest])) == 3


def test_manifest_ids_are_never_changed(tmp_path):
    manifest = write_manifest_csv(
        tmp_path / "manifest.csv", [{"image_id": "1.dcm", "path": "x/1.dcm", "dataset": "set"}]
    )
    touch(tmp_path / "folder" / "1.dcm")
    assert ids(collect_inputs([tmp_path / "folder", manifest])) == ["folder/1.dcm", "1.dcm"]
    with pytest.raises(CxrError, match="occurs in two of the manifests"):
        collect_inputs([manifest, manifest])


def test_paths_are_relative_to_a_root_that_holds_them(tmp_path):
    film = write_png(tmp_path / "data" / "sub" / "a.png", 1)
    listed = collect_inputs([tmp_path / "data" / "sub", film], root=tmp_path)
    assert [film.path for film in listed.films] == ["data/sub/a.png"] * 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("absent", "absent: no such file or folder"),
        ("x" * 300, "File name too long"),
        ("a\0b", "no such file or folder"),
    ],
)
def test_an_input_that_is_not_there_is_one_sentence(tmp_path, name, expected):
    with pytest.raises(CxrError, match=expected):
        collect_inputs([tmp_path / name])


def test_nothing_to_do_is_one_sentence(tmp_path):
    with pytest.raises(CxrError, match="no input given"):
        collect_inputs([])
    touch(tmp_path / "notes.txt")
    with pytest.raises(CxrError, match=r"found no films in this folder \(1 \.txt skipped\)"):
        collect_inputs([tmp_path])
    touch(tmp_path / "film")
    with pytest.raises(CxrError, match="split 'test' was asked for, but no input is a manifest"):
        collect_inputs([tmp_path], split="test")
    rows = [{"image_id": "a", "path": "a", "dataset": "set", "split": "train"}]
    with pytest.raises(CxrError, match="no rows with split 'test'; its splits: train"):
        collect_inputs([write_manifest_csv(tmp_path / "m.csv", rows)], split="test")


def test_a_list_is_small_and_makes_its_films_on_demand(tmp_path):
    touch(*(tmp_path / f"batch{number % 3}" / f"1.2.840.113619.{number}.dcm" for number in range(300)))
    films = collect_inputs([tmp_path, tmp_path / "batch0" / "1.2.840.113619.3.dcm"]).films
    assert films.nbytes / len(films) < 120
    everything = list(films)
    assert len(everything) == len(films) == 301
    assert [films[place] for place in (0, 299, 300, -1)] == [everything[place] for place in (0, 299, 300, -1)]
    assert list(films[250:]) == everything[250:]
    assert list(films[250:][10:60]) == everything[260:301]
    assert list(films[5:5]) == list(films[9:3]) == []
    assert list(films[::-7]) == everything[::-7]
    assert list(pickle.loads(pickle.dumps(films[100:103]))) == everything[100:103]
    with pytest.raises(IndexError, match="film 301 of 301"):
        films[301]


def test_the_digest_of_a_list_is_that_of_its_ids_and_paths(tmp_path):
    touch(tmp_path / "a" / "1.dcm", tmp_path / "a" / "two\n.dcm", Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff")))
    films = collect_inputs([tmp_path, tmp_path / "a", tmp_path / "a"], root=tmp_path).films
    expected = hashlib.sha256("".join(f"{film.image_id}\0{film.path}\0" for film in films).encode())
    assert films.digest() == expected.hexdigest() == list_digest(films)


def test_a_folder_and_a_file_of_it_and_a_link_to_it_are_three_rows(tmp_path):
    touch(tmp_path / "set" / "1.dcm")
    (tmp_path / "set" / "2.dcm").symlink_to(tmp_path / "set" / "1.dcm")
    listed = collect_inputs([tmp_path / "set", tmp_path / "set" / "1.dcm"])
    assert ids(listed) == ["set/1.dcm", "set/2.dcm", "set/1.dcm#2"]
    assert [film.path for film in listed.films] == ["1.dcm", "2.dcm", "1.dcm"]


def test_a_number_put_behind_an_id_never_takes_the_id_of_another(tmp_path):
    touch(tmp_path / "set" / "1", tmp_path / "set" / "1#2")
    both = collect_inputs([tmp_path / "set", tmp_path / "set" / "1", tmp_path / "set" / "1#2"])
    assert ids(both) == ["set/1", "set/1#2", "set/1#3", "set/1#2#2"]


def test_a_root_inside_a_folder_shortens_what_lies_in_it(tmp_path):
    touch(tmp_path / "set" / "sub" / "1", tmp_path / "set" / "2")
    listed = collect_inputs([tmp_path / "set"], root=tmp_path / "set" / "sub")
    assert [(film.image_id, film.path) for film in listed.films] == [("2", "2"), ("sub/1", "1")]


def test_ten_thousand_odd_files_among_good_ones_all_become_inputs(tmp_path):
    raw = os.fsencode(tmp_path)
    for number in range(5000):
        os.close(os.open(raw + b"/\xff%d" % number, os.O_CREAT | os.O_WRONLY))
        (tmp_path / f"dead\x07{number}").symlink_to("nowhere")
    touch(*(tmp_path / f"good{number}.dcm" for number in range(100)))
    listed = collect_inputs([tmp_path])
    assert len(listed) == 10_100
    assert len(set(ids(listed))) == 10_100
    assert all("".join((film.image_id, film.path)).isprintable() for film in listed.films)
    assert sum(film.file.is_symlink() for film in listed.films) == 5000
    assert [film.image_id for film in listed.films[:2]] == ["dead\\x070", "dead\\x071"]
    assert all(film.file.exists() for film in listed.films[5000:])
