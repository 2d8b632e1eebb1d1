"""What is found in folders that films arrive in."""

import os

import pytest

from pipelines.errors import CxrError
from pipelines.inference.watch.folder import TEMPORARY, Watcher, drop_folders


def put(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def look(*folders):
    watcher = Watcher(drop_folders([str(folder) for folder in folders]))
    return watcher.look(lambda _: False)


def test_films_of_a_folder_and_below_it(tmp_path):
    put(tmp_path / "a.dcm", "four")
    put(tmp_path / "day" / "room" / "IM1")
    (tmp_path / "again").symlink_to(tmp_path / "day")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    found = look(tmp_path)
    assert found.states["a.dcm"] == f"4:{(tmp_path / 'a.dcm').stat().st_mtime_ns}"
    assert found.states["broken"] == "FileNotFoundError"
    assert len([key for key in found.states if key.endswith("room/IM1")]) == 1
    assert found.skipped["folder seen before (link)"] == 1


@pytest.mark.parametrize(
    "name", ["a.dcm.part", "A.TMP", "b.filepart", "c.crdownload", "~lock.dcm", "d.dcm~", "e.partial"]
)
def test_names_of_unfinished_copies_are_counted(tmp_path, name):
    put(tmp_path / name)
    found = look(tmp_path)
    assert found.states == {}
    assert dict(found.skipped) == {TEMPORARY: 1}


def test_what_an_ordinary_run_passes_over(tmp_path):
    for name in (".hidden", "notes.txt", "list.csv", "DICOMDIR", ".rsync/film.dcm"):
        put(tmp_path / name)
    put(tmp_path / "out" / "plan.json", '{"schema": "cxr-triage/plan/1"}')
    put(tmp_path / "out" / "heatmaps" / "film.png")
    put(tmp_path / "heatmaps" / "film.png")  # no run wrote there
    found = look(tmp_path)
    assert list(found.states) == ["heatmaps/film.png"]
    assert found.skipped["hidden"] == 2
    assert found.skipped["output of an earlier run"] == 2


def test_films_that_are_known_are_not_touched(tmp_path):
    put(tmp_path / "old")
    put(tmp_path / "new")
    found = Watcher(drop_folders([tmp_path])).look(lambda key: key == "old")
    assert found.states["old"] is None
    assert found.states["new"] is not None


def test_two_folders_have_names(tmp_path):
    for place in ("east/drop", "west/drop", "south"):
        put(tmp_path / place / "film")
    found = look(tmp_path / "east" / "drop", tmp_path / "west" / "drop", tmp_path / "south")
    assert sorted(found.states) == ["drop#2/film", "drop/film", "south/film"]


def test_a_folder_goes_away_and_comes_back(tmp_path):
    drop = tmp_path / "drop"
    put(drop / "film")
    watcher = Watcher(drop_folders([drop]))
    assert watcher.look(lambda _: False).away == {}
    drop.rename(tmp_path / "elsewhere")
    assert watcher.look(lambda _: False).away == {"": os.strerror(2)}
    drop.mkdir()  # what an unmounted drive leaves
    assert watcher.look(lambda _: False).away == {"": "an empty folder is in its place"}
    put(drop / "other")
    assert list(watcher.look(lambda _: False).states) == ["other"]  # another folder, and it is in use


def test_what_cannot_be_watched(tmp_path):
    put(tmp_path / "drop" / "inner" / "film")
    for inputs, said in (
        ([], "no input given"),
        (["s3://bucket/drop"], "not addresses"),
        ([tmp_path / "nowhere"], "no such folder"),
        ([tmp_path / "drop" / "inner" / "film"], "found a file"),
        ([tmp_path / "drop", tmp_path / "drop" / "inner"], "lies inside"),
        ([tmp_path / "drop", tmp_path / "drop"], "lies inside"),
    ):
        with pytest.raises(CxrError, match=said):
            drop_folders(inputs)
