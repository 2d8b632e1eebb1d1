"""Kills, power cuts, full disks and second runs: what is finished is kept, and the tables end with the same bytes."""

import errno
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines.errors import CxrError
from pipelines.inference import collect_inputs, folder_lock, journal, ledger, local, predict_films
from pipelines.inference.folder_lock import LOCK_FILE, is_locked, locked
from tests.inference_films import tiny_package, write_png

HOME = Path(__file__).resolve().parents[2]
TABLES = ("predictions.parquet", "predictions.csv")
PART_FILMS, BATCH = 8, 2
FILMS = 3 * PART_FILMS + 4


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The networks are so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(ledger, "PART_FILMS", PART_FILMS)


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    tiny_package(folder)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Four parts of names for 12 pictures, and two that are none."""
    folder = tmp_path_factory.mktemp("films") / "films"
    sources = [write_png(folder / ".sources" / f"{number}.png", number, 90, 80) for number in range(12)]
    for number in range(FILMS):
        path = folder / f"film{number}.png"
        if number % 19 == 5:
            path.write_text("not a film")
        else:
            os.link(sources[number % 12], path)
    return folder


@pytest.fixture(scope="module")
def whole(films, package, tmp_path_factory) -> dict[str, bytes]:
    """The tables of a run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "PART_FILMS", PART_FILMS)
        run(films, package, out)
    return contents(out)


def run(films: Path, package: Path, out: Path, **options):
    options = {"workers": 0, "streams": 2, "batch_size": BATCH} | options
    return predict_films(collect_inputs([films]), package, out, **options)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


class CutError(Exception):
    """The run ends here."""


def begun(films: Path, package: Path, out: Path, done: int) -> Path:
    """A run that ended after so many films."""

    def cut(now: int, _total: int) -> None:
        if now >= done:
            raise CutError

    with pytest.raises(CutError):
        run(films, package, out, streams=1, progress=cut)
    return out


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for orphans")
def test_killed_at_a_hundred_random_moments(films, package, tmp_path):
    command = [sys.executable, "-m", "tests.killed_runs", films, package, tmp_path, "100", "20"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), cwd=HOME, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    hits = found["hits"]
    assert sum(hits.values()) == 100, found
    assert hits["tables"] + hits.get("run.json", 0) + hits.get("closing", 0) >= 5, found
    assert sum(hits.get(stage, 0) for stage in ("films", "reading", "network", "journal", "part", "pictures")) >= 20
    assert found["again"] == 0  # no finished film was given to the network once more
    assert found["spawned"] == 11
    assert found["orphaned"] == 0
    plain, pictured = tmp_path / "whole", tmp_path / "whole-maps"
    assert contents(plain) == contents(pictured)
    names = sorted(path.name for path in (pictured / "heatmaps").iterdir())
    assert len(names) == 4 * (FILMS - 2)
    for number in range(found["folders"]):
        out = tmp_path / f"run{number}"
        assert contents(out) == contents(plain), out.name
        if (out / "heatmaps").exists():
            assert sorted(path.name for path in (out / "heatmaps").iterdir()) == names
            assert all((out / "heatmaps" / x).read_bytes() == (pictured / "heatmaps" / x).read_bytes() for x in names)
        left = {path.name for path in out.iterdir()} - {LOCK_FILE, "heatmaps"}
        assert left == {*TABLES, "run.json"}, out.name


def test_power_cuts_anywhere(films, package, whole, tmp_path):
    """What a file system may have after a power cut: a journal that ends anywhere or in rubbish, half a part."""
    draw = random.Random(7)
    start = begun(films, package, tmp_path / "begun", 2 * PART_FILMS + 2 * BATCH)
    record = start / "parts" / "part-00002.journal"
    length = record.stat().st_size
    assert record.read_bytes().count(b"\n") == 2
    for number in range(10):
        out = tmp_path / str(number)
        shutil.copytree(start, out)
        damaged = out / "parts" / record.name
        match number % 5:
            case 0:
                os.truncate(damaged, draw.randrange(length))
            case 1:
                with damaged.open("ab") as stream:
                    stream.write(draw.randbytes(draw.randrange(1, 5000)))
            case 2:  # blocks that were given to the file and never written
                place = draw.randrange(length)
                damaged.write_bytes(damaged.read_bytes()[:place] + bytes(length - place))
            case 3:
                part = out / "parts" / f"part-0000{draw.randrange(2)}.parquet"
                os.truncate(part, draw.randrange(part.stat().st_size))
            case 4:
                for name in (".plan.json.tmp", ".predictions.csv.tmp", "parts/.part-00002.parquet.tmp"):
                    (out / name).touch()
                damaged.write_bytes(b"")
        lost = {0: 2 * BATCH, 1: 0, 2: 2 * BATCH, 3: PART_FILMS, 4: 2 * BATCH}[number % 5]
        assert run(films, package, out).computed <= FILMS - (2 * PART_FILMS + 2 * BATCH) + lost
        assert contents(out) == whole
        assert {path.name for path in out.iterdir()} == {*TABLES, "run.json"}


@pytest.mark.parametrize("place", ["journal", "half a line", "part", "table", "csv", "run.json"])
def test_a_disk_that_is_full(films, package, whole, tmp_path, monkeypatch, place):
    """Wherever it shows: a sentence, nothing finished is lost, and with room the same command ends well."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def refuse(*_args, **_options):
        raise full

    with monkeypatch.context() as patched:
        if place == "journal":
            fill_after(patched, journal.Journal, "append", 5, refuse)
        elif place == "half a line":
            half_lines_after(patched, 5)
        elif place == "part":
            fill_after(patched, ledger, "write_part", 1, refuse)
        else:
            name = {"table": "predictions.parquet", "csv": "predictions.csv", "run.json": "run.json"}[place]
            refuse_file(patched, f".{name}.tmp", refuse)
        with pytest.raises(CxrError, match=r"No space left on device.*run the same command again"):
            run(films, package, tmp_path, streams=1)
    left = {"journal": FILMS - 5 * BATCH, "half a line": FILMS - 5 * BATCH, "part": FILMS - 2 * PART_FILMS}
    assert run(films, package, tmp_path).computed == left.get(place, 0)
    assert contents(tmp_path) == whole
    assert not list(tmp_path.rglob("*.tmp"))


def fill_after(patched, owner, name: str, times: int, refuse) -> None:
    """Let a function work so many times."""
    function, calls = getattr(owner, name), []

    def sometimes(*args, **options):
        calls.append(name)
        return (refuse if len(calls) > times else function)(*args, **options)

    patched.setattr(owner, name, sometimes)


def half_lines_after(patched, times: int) -> None:
    """Let the disk take so many lines of journals, and of the others one half."""
    real, calls = Path.open, []

    class Half:
        def __init__(self, stream) -> None:
            self.stream = stream

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def write(self, line: bytes) -> int:
            calls.append(line)
            return self.stream.write(line if len(calls) <= times else line[: len(line) // 2])

    def opened(path, mode="r", *args, **options):
        stream = real(path, mode, *args, **options)
        return Half(stream) if path.suffix == ".journal" and "a" in mode else stream

    patched.setattr(Path, "open", opened)


def refuse_file(patched, name: str, refuse) -> None:
    """Let one file not be written to the disk."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == name:
            refuse()
        real(descriptor)

    patched.setattr(os, "fsync", fsync)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own with little room, which only root can have."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        sys.platform != "linux"
        or os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("no right to mount a disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_real_disk_that_is_full_of_pictures(films, package, whole, small_disk, workers):
    with pytest.raises(CxrError, match=r"No space left on device\); what is finished is kept"):
        run(films, package, small_disk / "out", heatmaps=True, workers=workers)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    continued = run(films, package, small_disk / "out", heatmaps=True, workers=workers)
    assert 0 < continued.computed < FILMS
    assert contents(small_disk / "out") == whole
    assert len(list((small_disk / "out" / "heatmaps").iterdir())) == 4 * (FILMS - 2)


def test_a_disk_that_nothing_can_be_written_to(films, package, small_disk):
    (small_disk / "out").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for folder in (small_disk / "out", small_disk / "new"):
        with pytest.raises(CxrError, match=r"cannot write there \(Read-only file system\)"):
            run(films, package, folder)


def test_a_disk_that_becomes_read_only(films, package, whole, small_disk):
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    out = small_disk / "out"

    def freeze(done: int, _total: int) -> None:
        if done == PART_FILMS:  # its journal is closed: nothing is open for writing but the lock
            (out / LOCK_FILE).unlink()
            subprocess.run(["mount", "-o", "remount,ro", small_disk], check=False)

    try:
        run(films, package, out, streams=1, progress=freeze)
    except CxrError as error:
        assert "Read-only file system" in str(error)  # noqa: PT017  some kernels refuse while the lock is held
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    run(films, package, out)
    assert contents(out) == whole


@pytest.mark.parametrize("heatmaps", [False, True])
def test_a_folder_that_is_deleted_while_it_is_written(films, package, whole, tmp_path, heatmaps):
    out = tmp_path / "out"

    def delete(done: int, _total: int) -> None:
        if done == 2 * BATCH:
            shutil.rmtree(out)

    with pytest.raises(CxrError, match=r"the run stopped \(.*No such file or directory\)|changed while the run"):
        run(films, package, out, streams=1, heatmaps=heatmaps, progress=delete)
    assert run(films, package, out, heatmaps=heatmaps).computed == FILMS
    assert contents(out) == whole


def test_a_second_run_in_the_same_folder_is_refused_at_once(films, package, whole, tmp_path):
    refused = []

    def second(done: int, _total: int) -> None:
        if done == 2 * BATCH:
            for options in ({}, {"restart": True}):
                with pytest.raises(CxrError, match="another run is writing there; wait for its end or stop it") as seen:
                    run(films, package, tmp_path, **options)
                refused.append(seen)

    assert run(films, package, tmp_path, streams=1, progress=second).computed == FILMS
    assert len(refused) == 2
    assert contents(tmp_path) == whole


def test_a_killed_run_leaves_its_folder_free(tmp_path):
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom pipelines.inference.folder_lock import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], cwd=HOME, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "locked\n"
    assert is_locked(tmp_path)
    with pytest.raises(CxrError, match="another run is writing there"), locked(tmp_path):
        raise AssertionError
    holder.kill()
    holder.communicate()
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_file_system_that_knows_no_locks(tmp_path, monkeypatch, number):
    """As some network file systems: a file that names its owner takes the lock's place."""
    fcntl = pytest.importorskip("fcntl")

    def unknown(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unknown)
    for _ in range(2):
        with locked(tmp_path):
            assert is_locked(tmp_path)
            with pytest.raises(CxrError, match="another run is writing there"), locked(tmp_path):
                raise AssertionError
        assert not is_locked(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_another_failure_of_the_lock_is_a_sentence(tmp_path, monkeypatch):
    def broken(*_args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(folder_lock, "_acquired", broken)
    with pytest.raises(CxrError, match=r"cannot write there \(Input/output error\)"), locked(tmp_path):
        raise AssertionError


def test_too_little_memory_is_a_sentence(films, package, tmp_path, monkeypatch):
    def none(*_args):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(local, "FilmSlots", none)
    with pytest.raises(CxrError, match=r"no memory for the \d+ films .* \(Cannot allocate memory\); choose a smaller"):
        run(films, package, tmp_path, workers=1)
