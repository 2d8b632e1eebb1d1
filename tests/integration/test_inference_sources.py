"""A drive or server that goes away in the middle of a run: no film is called missing that is only out of reach."""

import shutil
from pathlib import Path

import pytest
import torch

from pipelines.errors import CxrError
from pipelines.film_files import RemoteFilm
from pipelines.inference import collect_inputs, predict_films
from pipelines.inference.inputs import sources
from pipelines.inference.inputs.sources import SourceLostError, Sources
from tests.inference_films import tiny_package, write_png

OK, GONE, DENIED = {"reason": None}, {"reason": "missing"}, {"reason": "unreadable_file"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("mounted", [True, False], ids=["empty mount point", "no folder at all"])
def test_unplugged_drive_stops_the_run_and_plugged_in_again_it_goes_on(tmp_path, mounted):
    package, drive, away = tmp_path / "package", tmp_path / "drive", tmp_path / "away"
    tiny_package(package)
    for number in range(40):
        write_png(drive / f"{number}.png", number, 90, 80)
    inputs = collect_inputs([drive])
    predict_films(inputs, package, tmp_path / "whole", workers=0, batch_size=4)

    def unplug(done: int, _total: int) -> None:
        if done == 16:
            drive.rename(away)
            if mounted:
                drive.mkdir()

    with pytest.raises(
        CxrError, match=r"the run stopped \(the folder of the films is gone: .*drive\); what is finished is kept"
    ):
        predict_films(inputs, package, tmp_path / "out", workers=0, batch_size=4, streams=1, progress=unplug)
    shutil.rmtree(drive, ignore_errors=True)
    away.rename(drive)
    again = predict_films(collect_inputs([drive]), package, tmp_path / "out", workers=0, batch_size=4)
    assert (again.ok, again.error) == (40, 0)
    assert 0 < again.computed <= 24
    for name in ("predictions.parquet", "predictions.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_film_that_is_gone_by_itself_is_a_row(tmp_path):
    guard = Sources([tmp_path])
    guard.check([tmp_path / "a", tmp_path / "b"], [GONE, DENIED])


def test_only_the_films_of_the_lost_folder_stop_the_run(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    guard = Sources([here, there])
    there.rmdir()
    guard.check([here / "a", there / "b"], [GONE, OK])
    with pytest.raises(SourceLostError, match="there"):
        guard.check([there / "c"], [GONE])


def test_server_that_answered_before_and_does_not_now(monkeypatch):
    asked: list[str] = []

    def no_answer(film: RemoteFilm) -> str:
        asked.append(film.url)
        return "OSError"

    monkeypatch.setattr(sources, "file_state", no_answer)
    films = [RemoteFilm(f"https://films.example/{number}.dcm?signature=secret") for number in range(4)]
    guard = Sources(["https://films.example/"])
    guard.check(films[:1], [DENIED])  # nothing was ever read from there: the film may be to blame
    assert not asked
    guard.check(films[1:2], [OK])
    with pytest.raises(SourceLostError, match=r"films\.example") as refused:
        guard.check(films[2:3], [DENIED])
    assert asked == [films[1].url]
    assert "secret" not in str(refused.value)
    monkeypatch.setattr(sources, "file_state", lambda _film: "100:tag")
    guard.check(films[3:], [DENIED])  # the server is there: it is the film


def test_folder_that_was_never_there_is_no_lost_source():
    Sources([Path("/nowhere/at/all")]).check([Path("/nowhere/at/all/a")], [GONE])
