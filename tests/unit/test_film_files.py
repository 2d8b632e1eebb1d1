"""A film's bytes, near or far: whole or not at all, within a time, and gone afterwards."""

import multiprocessing
import os
import pickle
import signal
import tempfile
import time
from pathlib import Path

import pytest

from pipelines.errors import Reason, UnreadableImage
from pipelines.film_files import RemoteFilm, file_state, opened, remote
from pipelines.film_files.address import below, is_address, shown_address
from tests.misbehaving_server import misbehaving

FILM = bytes(range(256)) * 900


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    with misbehaving() as server:
        server.films["film.dcm"] = FILM
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    quick = remote.Patience(fetch=0.6, ask=0.5, stall=0.2, first_wait=0.02, longest_wait=0.05)
    monkeypatch.setattr(remote, "PATIENCE", quick)


@pytest.fixture
def patient(impatient, monkeypatch):
    """For films that do arrive: a busy machine must not make them late."""
    monkeypatch.setattr(remote, "PATIENCE", remote.PATIENCE._replace(fetch=20.0, ask=20.0, stall=10.0))


def fetch(server, manner: str, **known) -> bytes:
    with opened(RemoteFilm(f"{server.url}/{manner}/film.dcm", **known)) as path:
        return path.read_bytes()


def refusal(server, manner: str, name: str = "film.dcm", **known) -> UnreadableImage:
    with pytest.raises(UnreadableImage) as caught, opened(RemoteFilm(f"{server.url}/{manner}/{name}", **known)):
        pytest.fail("a film that is not whole was opened")
    return caught.value


def test_a_local_file_is_opened_where_it_lies(tmp_path):
    film = tmp_path / "film"
    film.write_bytes(b"12345")
    with opened(film) as path:
        assert path == film
    before = file_state(film)
    assert before == f"5:{film.stat().st_mtime_ns}"
    os.utime(film, ns=(1, 1))
    assert file_state(film) == "5:1"
    assert file_state(tmp_path / "absent") == "FileNotFoundError"
    assert film.exists()


@pytest.mark.parametrize("manner", ["good", "chunks", "cutonce", "busytwice", "packed", "moved", "getonly"])
def test_a_film_arrives_whole_whatever_it_takes(patient, server, manner):
    server.asked.clear()
    assert fetch(server, manner) == FILM


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("cut", "incomplete: 115,200 of 230,400 bytes came from its server"),
        ("cutchunks", "incomplete: 115,200 bytes came from its server"),
        ("stall", "incomplete: 100 of 230,400 bytes came from its server before it fell silent"),
        ("short", "what came has not the checksum that its server states"),
        ("endless", "its server does not say how long it is: it could end unnoticed"),
        ("busy", "its server answers 429"),
        ("broken", "its server answers 500"),
        ("denied", r"its server denies access \(403\)"),
        ("packedcut", "its server calls it packed with gzip, and it cannot be unpacked"),
        ("odd", "its server packs it with a content encoding other than gzip"),
    ],
)
def test_what_does_not_arrive_whole_is_one_refusal_in_time(server, manner, says):
    began = time.monotonic()
    error = refusal(server, manner)
    assert error.reason is Reason.UNREADABLE_FILE
    assert error.detail == says.replace("\\", "")
    assert time.monotonic() - began < 2.0


def test_a_length_that_differs_from_the_listing_is_incomplete(server):
    assert refusal(server, "good", size=len(FILM) + 1).detail.startswith("incomplete: 230,400 of 230,401 bytes")
    assert fetch(server, "endless", size=len(FILM)) == FILM


def test_a_film_that_changed_after_it_was_listed_is_refused(server):
    assert refusal(server, "good", size=len(FILM), version="another").detail == "it changed after it was listed"


def test_a_film_that_is_not_there_is_missing_at_once(server):
    began = time.monotonic()
    assert refusal(server, "good", "absent.dcm").reason is Reason.MISSING
    assert time.monotonic() - began < 0.5


def test_a_server_that_is_not_there_is_unreachable_within_the_time():
    pytest.importorskip("aiohttp")
    with pytest.raises(UnreadableImage, match=r"cannot be reached \(Client") as caught:
        opened(RemoteFilm("http://127.0.0.1:9/film.dcm?sig=SECRET")).__enter__()
    assert caught.value.reason is Reason.UNREADABLE_FILE
    assert "SECRET" not in str(caught.value)


def test_attempts_are_spread_out_and_end_with_the_time(server):
    server.asked.clear()
    refusal(server, "busy")
    assert 6 <= server.asked["GET /busy/film.dcm"] <= 40


def test_the_state_is_the_listings_or_what_the_server_says_now(server):
    assert file_state(RemoteFilm("s3://bucket/film", 12, "tag")) == "12:tag"
    first = file_state(RemoteFilm(f"{server.url}/good/film.dcm"))
    assert first.startswith("230400:")
    assert file_state(RemoteFilm(f"{server.url}/getonly/film.dcm")) == first  # a signature for GET alone
    server.films["film.dcm"] = FILM[::-1]
    try:
        assert file_state(RemoteFilm(f"{server.url}/good/film.dcm")) != first
    finally:
        server.films["film.dcm"] = FILM
    assert file_state(RemoteFilm(f"{server.url}/good/absent")) == "FileNotFoundError"
    assert file_state(RemoteFilm(f"{server.url}/broken/film.dcm")) == "OSError"


def test_a_signature_is_sent_as_written_and_shown_to_nobody(patient, server):
    server.asked.clear()
    signed = f"{server.url}/good/film.dcm?X-Signature=a%2Fb+c%3D&x=1"
    film = RemoteFilm(signed.replace("//", "//user:PASSWORD@"))
    with opened(film) as path:
        assert path.read_bytes() == FILM
    assert server.asked["GET /good/film.dcm?X-Signature=a%2Fb+c%3D&x=1"] == 1
    assert server.headers[-1]["Authorization"].startswith("Basic ")
    for text in (str(film), repr(film), repr([film])):
        assert "Signature" not in text
        assert "PASSWORD" not in text
        assert f"{server.url}/good/film.dcm" in text


def test_a_remote_film_is_small_and_the_same_elsewhere():
    film = RemoteFilm("s3://bucket/a/film.dcm", 12, "tag")
    assert pickle.loads(pickle.dumps(film)) == film
    assert len(pickle.dumps(film)) < 200
    assert hash(film) == hash(RemoteFilm("s3://bucket/a/film.dcm", 12, "tag"))


@pytest.mark.parametrize("name", ["film.dcm", "film.img"])
def test_nothing_is_left_of_a_copy(server, name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server.films["film.img"] = FILM
    with opened(RemoteFilm(f"{server.url}/good/{name}")) as path:
        assert path.read_bytes() == FILM
        assert path.stat().st_size == len(FILM)
    assert list(tmp_path.iterdir()) == []
    refusal(server, "cut", name)
    assert list(tmp_path.iterdir()) == []


def test_a_film_known_by_its_name_keeps_its_suffix(patient, server):
    server.films["film.img"] = FILM
    with opened(RemoteFilm(f"{server.url}/good/film.img")) as path:
        assert path.suffix == ".img"


def hold(url: str, folder: str, ready) -> None:
    tempfile.tempdir = folder
    with opened(RemoteFilm(url)) as path:
        ready.send(path.read_bytes() == FILM)
        time.sleep(60)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system cannot open a file without a name")
def test_nothing_is_left_of_a_copy_whose_process_was_killed(server, tmp_path):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=hold, args=(f"{server.url}/good/film.dcm", str(tmp_path), there))
    process.start()
    assert here.poll(30)
    assert here.recv()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert list(tmp_path.iterdir()) == []


def test_old_copies_of_killed_processes_are_swept(patient, server, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server.films["film.img"] = FILM
    old, new, foreign = (tmp_path / name for name in ("cxr-film-old.img", "cxr-film-new.img", "other.img"))
    for file in (old, new, foreign):
        file.write_bytes(b"x")
    os.utime(old, (1, 1))
    os.utime(foreign, (1, 1))
    fetch_img = RemoteFilm(f"{server.url}/good/film.img")
    with opened(fetch_img):
        pass
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cxr-film-new.img", "other.img"]


def test_a_full_disk_is_a_refusal(server, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert refusal(server, "good").detail == "its copy cannot be written (No space left on device)"


def test_errors_of_the_reader_are_not_mistaken_for_errors_of_the_copy(patient, server):
    with pytest.raises(OSError, match="from the reader"), opened(RemoteFilm(f"{server.url}/good/film.dcm")):
        raise OSError("from the reader")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host:8080/a/b.dcm?sig=1#part", "https://host:8080/a/b.dcm"),
        ("s3://bucket/a b/c.dcm", "s3://bucket/a b/c.dcm"),
        ("HTTPS://host", "https://host/"),
    ],
)
def test_addresses_are_shown_without_what_is_secret(url, shown):
    assert is_address(url)
    assert shown_address(url) == shown


@pytest.mark.parametrize("given", ["films/a.dcm", "/s3:/a", "ftp://host/a", "C:/films", Path("s3://bucket/a")])
def test_paths_are_no_addresses(given):
    assert not is_address(given)


def test_names_below_a_prefix_are_quoted_where_they_must_be():
    assert below("https://host/data/?sig=1", "a b/ü#1.png") == "https://host/data/a%20b/%C3%BC%231.png"
    assert below("s3://bucket", "a b/#1.png") == "s3://bucket/a b/#1.png"
    assert below("s3://bucket/data/", "1.png") == "s3://bucket/data/1.png"
