"""Films that change, vanish, crash, hang or repeat, and signals, through whole runs: named outcomes, no row lost."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import torch
from PIL import Image

from pipelines import decoding
from pipelines.errors import CxrError
from pipelines.inference import collect_inputs, ledger, local, predict_films
from tests.hostile_tasks import hostile_film_task
from tests.inference_films import tiny_package, write_png

HOME = Path(__file__).resolve().parents[2]
TABLES = ("predictions.parquet", "predictions.csv")
PART_FILMS, BATCH = 8, 2


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
def sources(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    return [write_png(folder / f"{number}.png", number, 90, 80) for number in range(12)]


def folder_of(sources: list[Path], folder: Path, films: int) -> Path:
    folder.mkdir()
    for number in range(films):
        shutil.copy(sources[number % len(sources)], folder / f"film{number:04d}.png")
    return folder


def run(films: Path, package: Path, out: Path, **options):
    options = {"workers": 0, "streams": 2, "batch_size": BATCH} | options
    return predict_films(collect_inputs([films]), package, out, **options)


def table(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "predictions.parquet").set_index("image_id")


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def test_films_that_change_grow_or_vanish(sources, package, tmp_path, monkeypatch):
    """One that goes on changing is `changed`, one that is whole at the second look is read, one that went `missing`."""
    films = folder_of(sources, tmp_path / "films", 12)
    whole = (films / "film0003.png").read_bytes()
    (films / "film0003.png").write_bytes(whole[: len(whole) // 2])
    inputs = collect_inputs([films])
    (films / "film0009.png").unlink()
    real = decoding.read_radiograph

    def meanwhile(path, **options):
        try:
            return real(path, **options)
        finally:
            if path.name == "film0001.png":  # somebody goes on writing it
                with path.open("ab") as stream:
                    stream.write(b"more")
            if path.name == "film0003.png":  # whose writer ends
                path.write_bytes(whole)
                os.utime(path, ns=(1, 1))
            if path.name == "film0005.png":
                path.unlink(missing_ok=True)

    monkeypatch.setattr(decoding, "read_radiograph", meanwhile)
    predict_films(inputs, package, tmp_path / "out", workers=0, batch_size=BATCH)
    rows = table(tmp_path / "out")
    assert rows["reason"].dropna().to_dict() == {
        "film0001.png": "changed",
        "film0005.png": "missing",
        "film0009.png": "missing",
    }
    assert rows.loc["film0001.png", "detail"] == "the file changed while it was being read"
    assert rows.loc["film0003.png", "status"] == "ok"
    assert len(rows) == 12


def test_two_thousand_unreadable_films_among_good_ones(sources, package, tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "PART_FILMS", 128)
    films = tmp_path / "films"
    films.mkdir()
    for number in range(2000):
        (films / f"x{number:04d}.dcm").write_bytes(b"" if number % 2 else b"no film %d" % number)
    for number in range(0, 2000, 200):
        shutil.copy(sources[number % 12], films / f"x{number:04d}.good.png")
    began = time.monotonic()
    summary = run(films, package, tmp_path / "out", batch_size=16)
    assert time.monotonic() - began < 60
    assert (summary.films, summary.ok, summary.error) == (2010, 10, 2000)
    rows = table(tmp_path / "out")
    assert rows.index.is_unique
    assert set(rows.index[rows["status"] == "ok"]) == {f"x{number:04d}.good.png" for number in range(0, 2000, 200)}
    assert rows.loc[rows["status"] == "error", "reason"].notna().all()


def test_duplicates_across_parts_formats_and_a_resume(sources, package, tmp_path):
    """Whatever file it came in, the first of a picture's rows is what the others name."""
    films = folder_of(sources, tmp_path / "films", 12)
    for name in ("again1.png", "again2.png", "zz/far.png"):
        (films / name).parent.mkdir(exist_ok=True)
        shutil.copy(sources[5], films / name)
    Image.open(sources[2]).save(films / "other.tif")
    for number in range(12, 24):
        write_png(films / f"zz/film{number:04d}.png", number, 90, 80)

    def stop(done: int, _total: int) -> None:
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(films, package, tmp_path / "out", streams=1, progress=stop)
    summary = run(films, package, tmp_path / "out")
    assert summary.duplicates == 4
    assert table(tmp_path / "out")["duplicate_of"].dropna().to_dict() == {
        "film0005.png": "again1.png",
        "again2.png": "again1.png",
        "zz/far.png": "again1.png",
        "other.tif": "film0002.png",
    }
    run(films, package, tmp_path / "whole", workers=1)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_names_that_are_no_text_through_the_command(sources, package, tmp_path, cxr):
    films = tmp_path / "films"
    films.mkdir()
    names = [b"caf\xe9.png", b"\xff\xfe.png", "Nguyễn.png".encode(), b"line\nend.png", b"=1+1.png", b"-out.png"]
    for number, name in enumerate(names):
        try:
            shutil.copy(sources[number], os.fsencode(films) + b"/" + name)
        except OSError:
            pytest.skip("this file system takes no such names")
    code, out, errors = cxr(
        "predict", films, "--model", package, "--out", tmp_path / "out", "--workers", 1, "--heatmaps", "--html"
    )
    assert (code, "Traceback" in errors) == (0, False), errors
    assert "6 films: 6 scored" in out
    shown = {"caf\\xe9.png", "\\xff\\xfe.png", "Nguyễn.png", "line\\x0aend.png", "=1+1.png", "-out.png"}
    assert set(table(tmp_path / "out").index) == shown
    text = (tmp_path / "out" / "predictions.csv").read_text(encoding="utf-8")
    assert "'=1+1.png" in text
    assert "'-out.png" in text


def test_hostile_films_together_and_at_the_borders(sources, package, tmp_path, monkeypatch):
    """Several in one batch, at the ends of batches and of parts, and the last film: one row each, no other touched."""
    films = folder_of(sources, tmp_path / "films", 20)
    run(films, package, tmp_path / "whole", batch_size=1)
    hostile = {0: "segfault", 1: "exit", 7: "hang", 8: "swallow", 9: "segfault", 19: "exit"}
    for number, what in hostile.items():
        (films / f"film{number:04d}.png").rename(films / f"film{number:04d}{what}.png")
    monkeypatch.setattr(decoding, "film_task", hostile_film_task)
    pool = local.FilmPool
    monkeypatch.setattr(local, "FilmPool", lambda *args, **options: pool(*args, **options, seconds=3.0, memory=1 << 28))
    summary = run(films, package, tmp_path / "out", batch_size=1, workers=2)
    assert summary.by_reason == {"decoder_crashed": 5, "timed_out": 1}
    rows, expected = table(tmp_path / "out"), table(tmp_path / "whole")
    assert len(rows) == 20
    assert rows["detail"].dropna().tolist() == [
        "its decoder ended the process that read it (SIGSEGV)",
        "its decoder ended the process that read it (exit code 3)",
        "reading it took longer than 3 s",
        "reading it needs more memory than the 256 MiB that one film may have",
        "its decoder ended the process that read it (SIGSEGV)",
        "its decoder ended the process that read it (exit code 3)",
    ]
    numbers = [number for number in range(20) if number not in hostile]
    kept = [f"film{number:04d}.png" for number in numbers]
    kept = [name for name in kept if pd.isna(expected.loc[name, "duplicate_of"])]
    assert len(kept) > 5
    pd.testing.assert_frame_equal(rows.loc[kept], expected.loc[kept], check_exact=True, check_dtype=False)


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes by their parent")
def test_workers_that_the_system_kills_cost_only_time(sources, package, tmp_path):
    films = folder_of(sources, tmp_path / "films", 40)
    run(films, package, tmp_path / "whole")
    killed, over = [], threading.Event()

    def killer() -> None:
        signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
        while not over.wait(0.05) and signals:
            found = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
            if not marked.is_set() or not found:
                continue
            marked.clear()
            found[0].send_signal(signals.pop())
            killed.append(found[0].pid)

    marked = threading.Event()
    thread = threading.Thread(target=killer)
    thread.start()
    try:
        options = {"workers": 2, "streams": 1, "progress": lambda done, _: done in (4, 14, 24) and marked.set()}
        summary = run(films, package, tmp_path / "out", **options)
    finally:
        over.set()
        thread.join()
    assert summary.ok == 40
    assert killed
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


COMMAND = """
import sys, time
from pipelines.cli import main
from pipelines.inference import engine, ledger, local
ledger.PART_FILMS = 8
record = ledger.Ledger.record
def slowly(self, *args):
    record(self, *args)
    print("done", self.done, flush=True)
    time.sleep(0.1)
ledger.Ledger.record = slowly
tables = engine.write_tables
def announced(*args):
    print("tables", flush=True)
    time.sleep(1.0)
    return tables(*args)
engine.write_tables = announced
main()
"""


def command(films: Path, package: Path, out: Path, temporary: Path) -> "subprocess.Popen[str]":
    temporary.mkdir()
    arguments = ["predict", films, "--model", package, "--out", out, "--batch-size", BATCH, "--workers", 1]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments), "--streams", "1"],
        cwd=HOME,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(started: "subprocess.Popen[str]", text: str) -> None:
    for line in started.stdout:
        if line.startswith(text):
            return
    raise AssertionError(started.stderr.read())


def clean_after(started: "subprocess.Popen[str]", temporary: Path, shared: set[str]) -> None:
    """No process of its session lives, nothing lies about."""
    end = time.monotonic() + 10
    while (left := _session(started.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []
    assert list(temporary.iterdir()) == []
    assert _shared() <= shared


def _session(number: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (OSError, psutil.Error):
            continue
    return found


def _shared() -> set[str]:
    mine = (path for path in Path("/dev/shm").iterdir()) if Path("/dev/shm").is_dir() else ()
    return {path.name for path in mine if path.name.startswith(("films", "psm", "sem.mp"))}


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes by session")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_finishes_what_is_under_way(sources, package, tmp_path, number):
    """SIGTERM as a cluster sends it: to every process of the job."""
    films, shared = folder_of(sources, tmp_path / "films", 40), _shared()
    started = command(films, package, tmp_path / "out", tmp_path / "tmp")
    until(started, "done 4")
    os.killpg(started.pid, number)
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 130, errors
    said = "asked to end: finishing" if number == signal.SIGTERM else "Ctrl-C again stops at once"
    assert said in errors
    assert "Traceback" not in errors
    assert "of 40 films are done and kept" in output
    assert "run the same command again to go on" in output
    done = int(output.partition("stopped: ")[2].split()[0])
    assert 4 < done < 40
    clean_after(started, tmp_path / "tmp", shared)
    assert run(films, package, tmp_path / "out").computed == 40 - done
    run(films, package, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes by session")
@pytest.mark.parametrize("place", ["done 4", "tables"])
def test_two_signals_stop_at_once(sources, package, tmp_path, place):
    films, shared = folder_of(sources, tmp_path / "films", 16), _shared()
    started = command(films, package, tmp_path / "out", tmp_path / "tmp")
    until(started, place)
    os.killpg(started.pid, signal.SIGINT)
    time.sleep(0.1)
    os.killpg(started.pid, signal.SIGINT)
    began = time.monotonic()
    _, errors = started.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert started.returncode == 130, errors
    assert "error: interrupted; nothing is half-written: run the same command again" in errors
    assert "Traceback" not in errors
    clean_after(started, tmp_path / "tmp", shared)
    assert not any((tmp_path / "out" / name).exists() for name in TABLES)
    left = run(films, package, tmp_path / "out").computed
    assert left == 0 if place == "tables" else left <= 12


def test_one_signal_while_the_tables_are_written_changes_nothing(sources, package, tmp_path):
    films = folder_of(sources, tmp_path / "films", 8)
    started = command(films, package, tmp_path / "out", tmp_path / "tmp")
    until(started, "tables")
    started.send_signal(signal.SIGINT)
    output, errors = started.communicate(timeout=60)
    assert started.returncode == 0, errors
    assert "8 films: 8 scored" in output
    assert run(films, package, tmp_path / "out").already_complete


def test_a_failed_picture_says_why(sources, package, tmp_path, monkeypatch):
    films = folder_of(sources, tmp_path / "films", 4)

    def lost(*_args, **_options):
        raise OSError("a picture could not be written: its decoder ended the process that read it (SIGKILL)")

    monkeypatch.setattr(decoding, "_write_pictures", lost)
    with pytest.raises(CxrError, match=r"the run stopped \(a picture could not be written: .*SIGKILL"):
        run(films, package, tmp_path / "out", heatmaps=True)
