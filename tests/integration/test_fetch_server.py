"""Files from a server that breaks off, lies, changes, refuses and pretends; and the verb ``fetch`` over it."""

import hashlib
import http.server
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.datasets import ADAPTERS, Adapter, registry
from pipelines.datasets.adapter import Download
from pipelines.fetch import Downloader, DownloadError, Plan, carry_out, chosen, load_record, prepare, sole_fetch
from pipelines.fetch.transfer import Patience, asked, open_session, seconds_asked, shown
from tests.fetch_server import large_files, png, small_set, tarred, zipped
from tests.misbehaving_server import Misbehaving

Run = Callable[..., tuple[int, str, str]]

BYTES = hashlib.shake_128(b"films").digest(900_000)
MD5 = f"md5:{hashlib.md5(BYTES).hexdigest()}"
QUICK = Patience(attempts=4, offline=2, connect=2.0, stall=2.0, first_wait=0.001, longest_wait=0.01, longest_asked=5.0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "CXR_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with large_files() as server:
        server.films["films.bin"] = BYTES
        yield server


def downloader(root: Path, notes: list[str] | None = None) -> Downloader:
    root.mkdir(exist_ok=True)
    said = notes if notes is not None else []
    return Downloader(root, load_record(root, "small"), note=said.append, patience=QUICK)


def one(manner: str, server: Misbehaving, **facts: object) -> Download:
    return Download(url=f"{server.url}/{manner}/films.bin", to="films.bin", **facts)  # type: ignore[arg-type]


def get(root: Path, download: Download, notes: list[str] | None = None) -> Path:
    return downloader(root, notes).fetch(download, download.url)


@pytest.mark.parametrize("digest", [MD5, f"sha256:{hashlib.sha256(BYTES).hexdigest().upper()}", None])
@pytest.mark.parametrize(
    "manner", ["whole", "drips", "norange", "busytwice", "patience", "hop", "cutonce", "chunks", "getonly", "slowdown"]
)
def test_a_file_arrives_whole(server: Misbehaving, tmp_path: Path, manner: str, digest: str | None) -> None:
    path = get(tmp_path, one(manner, server, digest=digest))
    assert path.read_bytes() == BYTES
    assert [p.name for p in tmp_path.iterdir() if p.name != ".cxr-fetch.json"] == ["films.bin"]
    fetched = load_record(tmp_path, "small").files["films.bin"]
    assert fetched.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert (fetched.size, fetched.published) == (len(BYTES), digest)


def test_an_interrupted_file_goes_on_where_it_stopped(server: Misbehaving, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"kept, run the same command again"):
        get(tmp_path, one("cut", server, digest=MD5))
    part = tmp_path / "films.bin.part"
    assert part.read_bytes() == BYTES[: len(part.read_bytes())]
    assert part.stat().st_size == len(BYTES) // 2
    server.headers.clear()
    # /cut gives no entity tag, so nothing says that the half is of the same file: it begins again.
    get(tmp_path, one("whole", server, digest=MD5))
    assert "Range" not in server.headers[-1]


def test_what_is_here_is_not_asked_for_again(server: Misbehaving, tmp_path: Path) -> None:
    get(tmp_path, one("drips", server, digest=MD5))
    ranges = [headers.get("Range") for headers in server.headers]
    third = len(BYTES) // 3 + 1
    assert ranges == [None, f"bytes={third}-", f"bytes={2 * third}-"]
    assert all(headers["Accept-Encoding"] == "identity" for headers in server.headers)


@pytest.mark.parametrize("manner", ["changes", "changesbadly"])
def test_a_file_that_changes_on_the_server_begins_again(server: Misbehaving, tmp_path: Path, manner: str) -> None:
    path = get(tmp_path, one(manner, server))
    assert path.read_bytes() == BYTES[::-1], "no mixture of the two"


def test_a_length_that_is_a_lie(server: Misbehaving, tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=r"broke off after 900,000 of 1,800,000 bytes.*4 times without getting further"
    ):
        get(tmp_path, one("liesmore", server))
    with pytest.raises(DownloadError, match="offers 450,000 bytes, expected 900,000"):
        get(tmp_path / "size", one("liesless", server, size=len(BYTES)))
    with pytest.raises(DownloadError, match=r"films.bin: found md5 .*, expected .* as published, twice"):
        get(tmp_path / "digest", one("liesless", server, digest=MD5))
    assert not (tmp_path / "digest" / "films.bin").exists()


def test_a_size_that_is_not_the_published_one(server: Misbehaving, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="offers 900,000 bytes, expected 900,001 as published"):
        get(tmp_path, one("whole", server, size=900_001))


def test_a_body_without_an_end_is_cut_off(server: Misbehaving, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="sends more than 900,000 bytes, cut off there"):
        get(tmp_path, one("overlong", server, size=len(BYTES)))
    assert not list(tmp_path.glob("films*"))


def test_an_endless_body_stops_before_the_disk_is_full(
    server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.fetch.download.free_bytes", lambda _folder: 2_000_000)
    with pytest.raises(DownloadError, match="sends more than 2,000,000 bytes"):
        get(tmp_path, one("overlong", server))


def test_an_end_that_cannot_be_known_is_refused(server: Misbehaving, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="does not say how long it is"):
        get(tmp_path, one("endless", server))
    assert get(tmp_path, one("endless", server, digest=MD5)).read_bytes() == BYTES


def test_wrong_bytes(server: Misbehaving, tmp_path: Path) -> None:
    notes: list[str] = []
    get(tmp_path / "once", one("wrongonce", server, digest=MD5), notes)
    assert any("fetching it once more from the beginning" in note for note in notes)
    with pytest.raises(DownloadError, match="twice; nothing was kept of it"):
        get(tmp_path / "always", one("wrongbytes", server, digest=MD5))
    assert [path.name for path in (tmp_path / "always").iterdir()] == [".cxr-fetch.json"]


def test_without_a_published_digest_the_first_one_is_remembered(server: Misbehaving, tmp_path: Path) -> None:
    notes: list[str] = []
    path = get(tmp_path, one("whole", server), notes)
    assert any("publisher prints no digest; sha256" in note for note in notes)
    path.unlink()
    with pytest.raises(DownloadError, match=r"sha256 is .*, it was .*: take a new folder"):
        get(tmp_path, one("wrongbytes", server))
    assert not path.exists()
    path.write_bytes(BYTES[::-1] + b"?")
    with pytest.raises(DownloadError, match=r"sha256 is "):
        get(tmp_path, one("whole", server))


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("denied", "answer 403, the server refuses it to this machine, or without a login"),
        ("busy", "answer 429, too many requests, 4 times"),
        ("tomorrow", "answer 503, the server is overloaded; it asks to come back in 1440 minutes"),
        ("broken", "answer 500, 4 times"),
        ("loop", "more than 10 redirects"),
        ("ftp", "expected an address that begins with https"),
        ("stall", r"broke off after 100 of 900,000 bytes \(ReadTimeoutError\), 4 times without getting further"),
        ("login", r"is a web page \(a login, a notice or a network's own page\), expected the file films\.bin"),
        ("disguised", r"films\.bin\.part is a web page"),
        ("odd", "packs it although it was asked not to"),
    ],
)
def test_a_refusal_is_one_sentence(server: Misbehaving, tmp_path: Path, manner: str, words: str) -> None:
    server.silence = 0.3
    slow = downloader(tmp_path)
    quick = replace(slow, patience=QUICK._replace(stall=0.1))
    with pytest.raises(DownloadError, match=words) as caught:
        quick.fetch(one(manner, server), one(manner, server).url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "films.bin").exists()


def test_a_file_that_is_gone_is_not_asked_for_twice(server: Misbehaving, tmp_path: Path) -> None:
    gone = Download(url=f"{server.url}/whole/gone.zip", to="gone.zip")
    with pytest.raises(DownloadError, match=r"gone\.zip: answer 404, there is no such file any more"):
        get(tmp_path, gone)
    assert server.asked.total() == 1


def test_a_page_in_the_middle_spoils_nothing(server: Misbehaving, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is a web page"):
        get(tmp_path, one("portal", server, digest=MD5))
    assert (tmp_path / "films.bin.part").stat().st_size == len(BYTES) // 2
    get(tmp_path, one("portal", server, digest=MD5))
    assert server.headers[-1]["Range"] == f"bytes={len(BYTES) // 2}-"


def test_a_server_without_range_begins_again(server: Misbehaving, tmp_path: Path) -> None:
    assert get(tmp_path, one("norange", server)).read_bytes() == BYTES
    assert "Range" in server.headers[-1]


def test_no_connection_says_what_to_put_where(tmp_path: Path) -> None:
    download = Download(url="http://127.0.0.1:9/films.zip", to="below/films.zip")
    with pytest.raises(DownloadError) as caught:
        get(tmp_path, download)
    assert str(caught.value) == (
        "127.0.0.1 cannot be reached: get http://127.0.0.1:9/films.zip where 127.0.0.1 can be reached, put it at "
        f"{tmp_path / 'below' / 'films.zip'} as it is, and run the same command again"
    )


def test_a_file_that_the_user_put_there_is_checked_and_taken(tmp_path: Path) -> None:
    (tmp_path / "films.bin").write_bytes(BYTES)
    notes: list[str] = []
    download = Download(url="http://127.0.0.1:9/films.bin", to="films.bin", digest=MD5)
    assert get(tmp_path, download, notes).read_bytes() == BYTES
    assert any("was there already" in note for note in notes)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "films.bin").write_bytes(BYTES[:-1])
    with pytest.raises(DownloadError, match=r"found md5 .*; remove it to fetch it again"):
        get(tmp_path / "other", download)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "films.bin").write_bytes(b"<!DOCTYPE html><title>login</title>")
    with pytest.raises(DownloadError, match="is a web page"):
        get(tmp_path / "page", replace(download, digest=None))


def test_an_encrypted_address_never_leads_to_a_plain_one(
    server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with a certificate of its own redirects to one without."""
    pytest.importorskip("cryptography")
    certificate, key = _certificate(tmp_path)
    target = f"{server.url}/whole/films.bin"

    class Redirecting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{target}?signature=secret")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirecting) as front:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        front.socket = context.wrap_socket(front.socket, server_side=True)
        threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"https://127.0.0.1:{front.server_address[1]}/films.bin"
        with pytest.raises(DownloadError, match="its certificate cannot be trusted"):
            get(tmp_path / "a", Download(url=url, to="films.bin"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        with pytest.raises(DownloadError, match=r"redirects to http://.*, which is not encrypted: refused") as caught:
            get(tmp_path / "b", Download(url=url, to="films.bin"))
        front.shutdown()
    assert "secret" not in str(caught.value)
    assert not server.asked


def _certificate(folder: Path) -> tuple[Path, Path]:
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "films")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "films.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "films.key").write_bytes(plain)
    return folder / "films.crt", folder / "films.key"


def test_a_proxy_of_the_environment_is_asked(
    server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", server.url)

    with pytest.raises(DownloadError, match=r"answer 404|answer 500|cannot be reached|broke off"):
        get(tmp_path, Download(url="http://films.example.invalid/films.bin", to="films.bin"))
    assert any("http://films.example.invalid/films.bin" in path for path in server.asked), "the proxy got the question"


def test_times_that_a_server_asks_to_wait() -> None:
    assert seconds_asked("120") == 120
    assert seconds_asked("soon") == 0
    assert seconds_asked("") == 0
    assert seconds_asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    later = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 90))
    assert 80 < seconds_asked(later) <= 90


def test_addresses_are_shown_without_secrets() -> None:
    assert shown("https://me:word@example.org/a.zip?signature=x#y") == "https://…@example.org/a.zip"


def test_a_second_fetch_is_kept_out(tmp_path: Path) -> None:
    with (
        sole_fetch(tmp_path / "root"),
        pytest.raises(DownloadError, match="another cxr fetch is writing there"),
        sole_fetch(tmp_path / "root"),
    ):
        pass
    assert list((tmp_path / "root").iterdir()) == []


# Whole data sets


FILMS = {f"films/{number}.png": png(number) for number in range(4)}
LABELS = b"0.png\n1.png\n2.png\n3.png\n"


@pytest.fixture
def small(server: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    """A data set of two archives and a table, which ``cxr`` knows for the time of a test."""
    first = dict(list(FILMS.items())[:2])
    second = dict(list(FILMS.items())[2:])
    server.films |= {"a.zip": zipped(first), "b.tgz": tarred(second), "labels.csv": LABELS, "big.zip": zipped(FILMS)}
    md5 = f"md5:{hashlib.md5(server.films['a.zip']).hexdigest()}"
    adapter = small_set(
        Download(url=f"{server.url}/whole/a.zip", to="a.zip", size=len(server.films["a.zip"]), digest=md5, unpack=True),
        Download(url=f"{server.url}/whole/b.tgz", to="b.tgz", unpack=True),
        Download(url=f"{server.url}/whole/labels.csv", to="labels.csv"),
        Download(url=f"{server.url}/whole/big.zip", to="big.zip", unpack=True, default=False),
    )
    monkeypatch.setattr(registry, "ADAPTERS", dict(ADAPTERS) | {"small": adapter})
    return adapter


def test_a_data_set_from_nothing_to_whole(cxr: Run, small: Adapter, server: Misbehaving, tmp_path: Path) -> None:
    root = tmp_path / "small"
    code, out, err = cxr("fetch", "small", "--to", root, "--accept-licence", "small")
    assert code == 0, err
    assert "CC BY 4.0: any use with the citation" in out
    assert "Nobody 2026" in out
    assert f"small in {root} is complete" in out
    assert "3 files to fetch" in err
    assert {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.png")} == FILMS
    assert sorted(path.name for path in root.iterdir()) == [".cxr-fetch.json", "films", "labels.csv"]
    record = json.loads((root / ".cxr-fetch.json").read_text())
    assert record["accepted"]["licence"] == small.licence
    assert record["accepted"]["how"] == "--accept-licence"
    assert record["files"]["a.zip"]["unpacked"] == 2
    asked = server.asked.total()
    code, _, err = cxr("fetch", "small", "--to", root)
    assert code == 0
    assert "were accepted on" in err
    assert server.asked.total() == asked, "nothing is asked for twice"


def test_nothing_is_fetched_without_a_yes(cxr: Run, small: Adapter, server: Misbehaving, tmp_path: Path) -> None:
    code, out, err = cxr("fetch", "small", "--to", tmp_path / "r")
    assert code == 2
    assert "CC BY 4.0" in out
    assert "--accept-licence small" in err
    assert cxr("fetch", "small", "--to", tmp_path / "r", "--accept-licence", "yes")[0] == 2
    assert not server.asked
    assert not list((tmp_path / "r").glob("*"))


def test_changed_terms_are_asked_for_again(
    cxr: Run, small: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "r"
    assert cxr("fetch", "small", "--to", root, "--accept-licence", "small", "--only", "labels.csv")[0] == 0
    changed = replace(small, licence="CC BY-NC 4.0")
    monkeypatch.setattr(registry, "ADAPTERS", dict(ADAPTERS) | {"small": changed})
    code, out, _ = cxr("fetch", "small", "--to", root)
    assert code == 2
    assert "the terms have changed" in out


def test_one_file_of_it(cxr: Run, small: Adapter, server: Misbehaving, tmp_path: Path) -> None:
    root = tmp_path / "r"
    yes = ["--accept-licence", "small"]
    assert cxr("fetch", "small", "--to", root, *yes, "--only", "?.tgz", "--no-unpack")[0] == 0
    assert sorted(path.name for path in root.iterdir()) == [".cxr-fetch.json", "b.tgz"]
    assert cxr("fetch", "small", "--to", root, "--only", "b.*", "--keep-archives")[0] == 0
    assert sorted(path.name for path in root.iterdir()) == [".cxr-fetch.json", "b.tgz", "films"]
    assert server.asked["GET /whole/b.tgz"] == 1
    assert cxr("fetch", "small", "--to", root, "--only", "big.zip")[0] == 0
    assert len(list(root.rglob("*.png"))) == 4
    code, _, err = cxr("fetch", "small", "--to", root, "--only", "c.*")
    assert code == 2
    assert "'c.*' fits none of the files of small: a.zip, b.tgz, labels.csv, big.zip" in err


def test_a_mirror(
    cxr: Run, small: Adapter, server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.films |= {f"small/{name}": server.films[name] for name in ("a.zip", "b.tgz", "labels.csv")}
    monkeypatch.setenv("CXR_MIRROR", f"{server.url}/whole/")
    assert cxr("fetch", "small", "--to", tmp_path / "r", "--accept-licence", "small")[0] == 0
    assert all(path.split()[1].startswith("/whole/small/") for path in server.asked)


def test_no_room_is_known_before_anything_is_fetched(
    cxr: Run, small: Adapter, server: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.fetch.space.free_bytes", lambda _folder: 1000)
    code, _, err = cxr("fetch", "small", "--to", tmp_path / "r", "--accept-licence", "small")
    assert code == 2
    assert "small needs about" in err
    assert "the disk has 1.0 kB to spare" in err
    assert not any(path.startswith("GET") for path in server.asked)


def test_what_disk_a_plan_takes(small: Adapter, tmp_path: Path) -> None:
    """One archive after the other: the worst moment is when the last one lies beside all that is unpacked."""
    made = [Download(url="http://x/", to=f"{n}.zip", size=100, unpacked=300, unpack=True) for n in range(3)]
    run = downloader(tmp_path)
    assert Plan(small, made).needs(run)[:2] == (300, 300 + 300 + 100 + 300)
    assert Plan(small, made, keep_archives=True).needs(run)[:2] == (300, 3 * 400)
    assert Plan(small, made, unpack=False).needs(run)[:2] == (300, 300)
    (tmp_path / "0.zip").write_bytes(bytes(100))
    assert Plan(small, made).needs(run)[:2] == (200, 300 - 100 + 300 + 100 + 300)


def test_what_was_unpacked_and_is_gone_is_fetched_again(small: Adapter, server: Misbehaving, tmp_path: Path) -> None:
    plan = Plan(small, chosen(small))
    prepare(plan, downloader(tmp_path))
    carry_out(plan, downloader(tmp_path))
    for film in (tmp_path / "films").iterdir():
        film.unlink()
    (tmp_path / "films").rmdir()
    assert carry_out(plan, downloader(tmp_path)).fetched == ["a.zip", "b.tgz"]
    assert len(list((tmp_path / "films").iterdir())) == 4


def test_a_set_that_wants_a_person(cxr: Run, small: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person = replace(small, downloads=(), access="credentialed", steps=("Sign the agreement.", "Log in."))
    monkeypatch.setattr(registry, "ADAPTERS", dict(ADAPTERS) | {"small": person})
    code, out, err = cxr("fetch", "small", "--to", tmp_path / "r")
    assert code == 2, "a script that goes on would find nothing"
    assert "its access is credentialed" in err
    assert "  1. Sign the agreement.\n  2. Log in.\n" in out
    assert f"cxr fetch small --check {tmp_path / 'r'}" in out
    for name, content in (FILMS | {"labels.csv": LABELS}).items():
        (tmp_path / "r" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "r" / name).write_bytes(content)
    assert cxr("fetch", "small", "--to", tmp_path / "r")[0] == 0, "it is there, however it came"


def test_an_open_set_behind_a_page_says_why(cxr: Run, small: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = replace(small, downloads=(), access="open", steps=("Open the page.",))
    monkeypatch.setattr(registry, "ADAPTERS", dict(ADAPTERS) | {"small": by_hand})
    code, _, err = cxr("fetch", "small")
    assert (code, "it is open, but behind a page that only a person can use" in err) == (2, True)


def test_a_folder_of_another_set(small: Adapter, tmp_path: Path) -> None:
    get(tmp_path, small.downloads[2])
    with pytest.raises(DownloadError, match="holds small already, found other"):
        load_record(tmp_path, "other")
    (tmp_path / ".cxr-fetch.json").write_text("{")
    with pytest.raises(DownloadError, match=r"\.cxr-fetch\.json: .*; remove it to begin anew"):
        load_record(tmp_path, "small")


def test_ctrl_c_keeps_the_part(server: Misbehaving, tmp_path: Path) -> None:
    """A process of its own, asked to end in the middle of a file, and the next one goes on there."""
    server.films["slow.bin"] = BYTES
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom pipelines.datasets.adapter import Download\n"
        "from pipelines.fetch import Downloader, load_record\n"
        "root = Path(sys.argv[1])\n"
        "def slowly(file, done, total):\n    print(done, flush=True); time.sleep(0.5)\n"
        "run = Downloader(root, load_record(root, 'small'), progress=slowly)\n"
        "run.fetch(Download(url=sys.argv[2], to='films.bin'), sys.argv[2])\n"
    )
    url = f"{server.url}/whole/films.bin"
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ,
    )
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    assert running.wait(20) != 0
    running.stdout.close()
    have = (tmp_path / "films.bin.part").stat().st_size
    assert 0 < have <= len(BYTES)
    assert get(tmp_path, Download(url=url, to="films.bin")).read_bytes() == BYTES
    if have < len(BYTES):
        assert server.headers[-1]["Range"] == f"bytes={have}-"


def test_questions_carry_the_programs_name(server: Misbehaving) -> None:
    with asked(open_session(), f"{server.url}/whole/films.bin", {}, QUICK) as response:
        assert response.status_code == 200
    assert server.headers[-1]["User-Agent"].startswith("cxr-triage/")
