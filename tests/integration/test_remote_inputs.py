"""Films in object stores and behind web addresses, served on this machine: listed, fetched by workers, one row each."""

import gzip
import hashlib
import importlib
import io
import json
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from pipelines.decoding import DecodedFilm, DecodeRequest, FilmJob, decode_film, film_task
from pipelines.errors import CxrError, Reason, UnreadableImage
from pipelines.film_files import RemoteFilm, file_state, listing, opened, remote
from pipelines.film_pool import FilmPool
from pipelines.inference.inputs import remote as remote_inputs
from pipelines.inference.inputs.collect import collect_inputs
from tests.inference_films import write_dicom, write_png
from tests.misbehaving_server import misbehaving

REQUEST = DecodeRequest(size=64)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("films")
    return {"a.png": write_png(folder / "a.png", 1).read_bytes(), "b.dcm": write_dicom(folder / "b", 2).read_bytes()}


@pytest.fixture(scope="module")
def store():
    """A real S3 interface on this machine; its client for putting films there."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "KEY-OF-A-TEST",
        "AWS_SECRET_ACCESS_KEY": "SECRET-OF-A-TEST",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield boto3.client("s3")
    server.stop()


@pytest.fixture
def bucket(store, request) -> str:
    """A bucket of the test's own."""
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    store.create_bucket(Bucket=name)
    return name


@pytest.fixture
def web(films):
    pytest.importorskip("aiohttp")
    with misbehaving() as server:
        server.films.update(films)
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    quick = remote.Patience(fetch=2.0, ask=1.0, stall=1.0, first_wait=0.02, longest_wait=0.1)
    monkeypatch.setattr(remote, "PATIENCE", quick)


@pytest.fixture
def patient(impatient, monkeypatch):
    """For films that do arrive: a busy machine must not make them late."""
    monkeypatch.setattr(remote, "PATIENCE", remote.PATIENCE._replace(fetch=20.0, ask=20.0, stall=10.0))


@pytest.fixture
def s3_of_web(web, monkeypatch):
    """The misbehaving server in the place of S3: the bucket's name is the manner."""
    pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    forget_stores()
    yield web
    forget_stores()


def forget_stores() -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def put(store, bucket: str, **objects: bytes) -> None:
    for key, body in objects.items():
        store.put_object(Bucket=bucket, Key=key, Body=body)


def ids(listed) -> list[str]:
    return [film.image_id for film in listed.films]


def test_a_prefix_is_listed_like_a_folder(patient, store, bucket, tmp_path):
    names = ["film10", "film2.dcm", "Film1", "sub/3", "sub/20", "sub/deep/1.png", "sub.x", "sub/a b+ü#1?.dcm"]
    passed = ["readme.TXT", "DICOMDIR", ".DS_Store", ".cache/film", ".cache/film2", "sub/table.parquet"]
    for name in names + passed:
        put(store, bucket, **{f"data/{name}": b"x" * len(name)})
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    put(store, bucket, **{"data/": b"", "data/empty/": b"", "database/film": b"x"})
    here, there = collect_inputs([tmp_path]), collect_inputs([f"s3://{bucket}/data/"])
    assert ids(there) == ids(here)
    assert [film.path for film in there.films] == ids(here)
    assert there.sources[0].skipped == here.sources[0].skipped | {"folder marker": 2}
    assert (there.sources[0].given, there.sources[0].kind) == (f"s3://{bucket}/data/", "folder")
    assert there.films.digest() == here.films.digest()
    assert ids(collect_inputs([f"s3://{bucket}/data"])) == ids(here)
    for film in there.films:
        assert film.file.size == len(film.image_id)
        with opened(film.file) as path:
            assert path.read_bytes() == b"x" * len(film.image_id)


def test_a_long_listing_is_read_to_its_end(patient, store, bucket, monkeypatch):
    monkeypatch.setattr(listing, "PAGE", 5)
    put(store, bucket, **{f"film{number}": b"x" for number in range(23)})
    listed = collect_inputs([f"s3://{bucket}"])
    assert ids(listed) == [f"film{number}" for number in range(23)]
    assert listed.films.nbytes / len(listed) < 120


def test_one_object_and_names_alike(patient, store, bucket):
    put(store, bucket, **{"a/1.dcm": b"1", "b/1.dcm": b"22", "c/1.dcm": b"3", "c/1.dcm/inside": b"4"})
    address = f"s3://{bucket}"
    listed = collect_inputs([f"{address}/a/1.dcm", f"{address}/b/1.dcm"])
    assert ids(listed) == ["a/1.dcm", "b/1.dcm"]
    assert [film.file.size for film in listed.films] == [1, 2]
    assert ids(collect_inputs([f"{address}/a/1.dcm"] * 2)) == ["a/1.dcm", "a/1.dcm#2"]
    assert ids(collect_inputs([f"{address}/c"])) == ["1.dcm", "1.dcm/inside"]
    rooted = collect_inputs([f"{address}/a/1.dcm", f"{address}/b/"], root=f"{address}/")
    assert [film.path for film in rooted.films] == ["a/1.dcm", "b/1.dcm"]


def test_outputs_that_were_copied_to_a_store_are_no_films(patient, store, bucket):
    record = b'{"schema": "cxr-triage/run/1"}'
    put(store, bucket, **{"a.dcm": b"x", "out/run.json": record, "out/heatmaps/a.png": b"x", "x/heatmaps/b.png": b"x"})
    listed = collect_inputs([f"s3://{bucket}/"])
    assert ids(listed) == ["a.dcm", "x/heatmaps/b.png"]
    assert listed.sources[0].skipped == {".json": 1, "output of an earlier run": 1}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("s3://{}/absent", "found no films at this address"),
        ("s3://{}/absent/", "found no films at this address"),
        ("s3://no-such-bucket-here/a/", r"cannot be listed \(there is no such file on its server \(404\)\)"),
        ("s3://", "names its bucket"),
        ("s3://KEY:SECRET@{}/a", "the address holds credentials"),
        ("https://host/folder/?sig=SECRET", "a web address is that of one film and cannot be listed"),
        ("https://user:SECRET@host", "a web address is that of one film and cannot be listed"),
    ],
)
def test_an_address_with_nothing_is_one_sentence(bucket, given, says):
    with pytest.raises(CxrError, match=says) as caught:
        collect_inputs([given.format(bucket)])
    assert "SECRET" not in str(caught.value)


def test_manifests_here_and_there_name_films_there(patient, store, bucket, films, tmp_path):
    put(store, bucket, **{"data/films/a.png": films["a.png"], "data/films/b c.dcm": films["b.dcm"]})
    rows = [{"image_id": f"set/{n}", "path": f"films/{n}", "dataset": "set"} for n in ("b c.dcm", "a.png")]
    local = tmp_path / "manifest.csv"
    pd.DataFrame(rows).to_csv(local, index=False)
    store.upload_file(str(local), bucket, "data/manifest.csv")
    packed = io.BytesIO()
    pd.DataFrame(rows).to_parquet(packed)
    put(store, bucket, **{"elsewhere/m.parquet": packed.getvalue()})
    root = f"s3://{bucket}/data"
    lists = [
        collect_inputs([local], root=root),
        collect_inputs([f"{root}/manifest.csv"]),
        collect_inputs([f"s3://{bucket}/elsewhere/m.parquet"], root=root),
    ]
    for listed in lists:
        assert ids(listed) == ["set/b c.dcm", "set/a.png"]
        assert [film.path for film in listed.films] == ["films/b c.dcm", "films/a.png"]
        assert listed.manifest_digest == lists[0].manifest_digest
        with opened(listed.films[1].file) as path:
            assert path.read_bytes() == films["a.png"]
    put(store, bucket, **{"bad.csv": b"image_id,path\n1,2\n"})
    with pytest.raises(CxrError, match=rf"s3://{bucket}/bad\.csv: .*dataset") as caught:
        collect_inputs([f"s3://{bucket}/bad.csv"])
    assert "/tmp" not in str(caught.value)
    with pytest.raises(CxrError, match="there is no such manifest"):
        collect_inputs([f"s3://{bucket}/absent.csv"])


def test_a_manifest_behind_a_signed_web_address(web, films, monkeypatch):
    monkeypatch.setattr(remote_inputs, "MANIFEST_SECONDS", 0.5)
    csv = "image_id,path,dataset\nset/1,a.png,set\nset/2,sub/b.dcm,set\n"
    web.films["m.csv"] = csv.encode()
    listed = collect_inputs([f"{web.url}/good/m.csv?sig=SECRET"])
    assert [film.file.url for film in listed.films] == [f"{web.url}/good/a.png", f"{web.url}/good/sub/b.dcm"]
    assert listed.sources[0].given == f"{web.url}/good/m.csv"
    with pytest.raises(CxrError, match=r"the manifest cannot be fetched \(incomplete: ") as caught:
        collect_inputs([f"{web.url}/cut/m.csv?sig=SECRET"])
    assert "SECRET" not in str(caught.value)


def test_an_object_that_changes_or_vanishes_after_the_listing_is_noticed(patient, store, bucket, films):
    put(store, bucket, film=films["a.png"], other=films["b.dcm"])
    listed = collect_inputs([f"s3://{bucket}/"])
    changed, gone = (film.file for film in listed.films)
    states = [file_state(film.file) for film in listed.films]
    put(store, bucket, film=films["b.dcm"])
    store.delete_object(Bucket=bucket, Key="other")
    with pytest.raises(UnreadableImage, match="it changed after it was listed") as caught:
        opened(changed).__enter__()
    assert caught.value.reason is Reason.CHANGED
    with pytest.raises(UnreadableImage, match="there is no such file") as caught:
        opened(gone).__enter__()
    assert caught.value.reason is Reason.MISSING
    assert file_state(collect_inputs([f"s3://{bucket}/film"]).films[0].file) != states[0]
    assert file_state(RemoteFilm(changed.url)) == file_state(collect_inputs([f"s3://{bucket}/"]).films[0].file)


def test_stored_with_gzip_is_read_as_the_film(patient, store, bucket, films):
    packed = gzip.compress(films["b.dcm"])
    store.put_object(Bucket=bucket, Key="film", Body=packed, ContentEncoding="gzip")
    film = collect_inputs([f"s3://{bucket}/film"]).films[0].file
    assert film.size == len(packed)
    with opened(film) as path:
        assert path.read_bytes() == films["b.dcm"]


def test_s3_that_throttles_is_waited_for(patient, s3_of_web, films):
    with opened(RemoteFilm("s3://slowdown/b.dcm")) as path:
        assert path.read_bytes() == films["b.dcm"]


@pytest.mark.parametrize(
    ("manner", "says"),
    [
        ("cut", "incomplete: {half:,} of {whole:,} bytes came from its server"),
        ("wrongtag", "what came has not the checksum that its server states"),
        ("denied", "its server denies access (403)"),
        ("broken", "its server answers 500"),
    ],
)
def test_s3_that_fails_is_one_refusal(s3_of_web, films, manner, says):
    outcome = decode_film_at(f"s3://{manner}/b.dcm")
    whole = len(films["b.dcm"])
    assert outcome.detail == says.format(half=whole // 2, whole=whole)
    assert outcome.reason is Reason.UNREADABLE_FILE


def decode_film_at(url: str):
    return film_task(FilmJob(RemoteFilm(url)), request=REQUEST).outcome


def test_workers_fetch_and_decode_what_a_folder_gives(store, bucket, films, web, tmp_path):
    for name, body in films.items():
        put(store, bucket, **{name: body})
        (tmp_path / name).write_bytes(body)
    put(store, bucket, **{"z-cut.dcm": films["b.dcm"][:-500]})
    near = [film.file for film in collect_inputs([tmp_path]).films]
    far = [film.file for film in collect_inputs([f"s3://{bucket}/", f"{web.url}/good/a.png?sig=1"]).films]
    far += [RemoteFilm(f"{web.url}/good/absent.png")]
    with FilmPool(partial(film_task, request=REQUEST), workers=1) as pool:
        answers = list(pool.map([FilmJob(file) for file in far]))
    outcomes = [answer.outcome for answer in answers]
    for file, outcome in zip([*near, near[0]], [*outcomes[:2], outcomes[3]], strict=True):
        here = decode_film(file, REQUEST)
        assert isinstance(outcome, DecodedFilm)
        assert (outcome.square == here.square).all()
        assert outcome.facts == here.facts
    assert outcomes[2].reason is Reason.TRUNCATED
    assert outcomes[4].reason is Reason.MISSING
    assert [answer.state for answer in answers[:3]] == [file_state(file) for file in far[:3]]


def test_no_secret_is_in_what_a_list_says_of_itself(web, films):
    listed = collect_inputs([f"{web.url}/good/a.png?X-Sig=SECRET", f"{web.url}/good/b.dcm?X-Sig=SECRET"])
    said = json.dumps([[film.image_id, film.path] for film in listed.films]) + repr(listed.sources) + repr(listed)
    assert "SECRET" not in said + repr(list(listed.films))
    assert ids(listed) == ["a.png", "b.dcm"]
    assert len(listed.films.blocks) == 1


def test_without_the_extra_a_sentence_names_it(monkeypatch):
    real = importlib.import_module

    def absent(name: str, *more):
        if name.partition(".")[0] in ("s3fs", "fsspec"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(CxrError, match=r"need the library fsspec: pip install 'cxr-triage\[remote\]'"):
        collect_inputs(["s3://bucket/folder/"])


def test_an_address_given_as_a_path_is_not_mistaken_for_one():
    with pytest.raises(CxrError, match="no such file or folder"):
        collect_inputs([Path("s3://bucket/folder")])
