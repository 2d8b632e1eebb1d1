"""The engine on a Ray cluster of several machines (here: Ray nodes of one computer): the rows of the local engine."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from pipelines import decoding
from pipelines.decoding import NO_WORK
from pipelines.errors import CxrError
from pipelines.film_files import file_state
from pipelines.inference import Predictor, collect_inputs, predict_films
from pipelines.inference.ledger import Ledger
from pipelines.inference.ray import cluster as ray_cluster
from pipelines.inference.ray.run import RayRun
from pipelines.inference.ray.stages import Scored, packed, unpacked
from tests.hostile_tasks import hostile_film_task
from tests.inference_films import tiny_package, write_png
from tests.ray_tasks import slow_film_task

pytest.importorskip("ray.data", reason="needs Ray: pip install 'cxr-triage[ray]'")

TABLES = ("predictions.parquet", "predictions.csv")
FILMS = 300
HOME = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """The networks are so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cluster():
    """Three machines of one core each: one actor on each of them, the driver beside the first."""
    ray_cluster.ray_library()
    made = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    made.others = [made.add_node(num_cpus=1) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_ADDRESS", made.address)
        with ray_cluster.connected():
            yield made
    made.shutdown()


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "package"
    tiny_package(folder)
    return folder


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Three parts of films: 300 names for 12 different pictures, and some that are not films."""
    folder = tmp_path_factory.mktemp("many") / "films"
    sources = [write_png(folder / ".sources" / f"{number}.png", number, 90, 80) for number in range(12)]
    for number in range(FILMS):
        path = folder / f"film{number}.png"
        if number % 37 == 5:
            path.write_text("not a film")
        else:
            os.link(sources[number % 12], path)
    return folder


@pytest.fixture(scope="module")
def expected(films, package, tmp_path_factory) -> dict[str, bytes]:
    """What the local engine writes."""
    out = tmp_path_factory.mktemp("local")
    predict_films(collect_inputs([films]), package, out, batch_size=16, workers=0)
    return contents(out)


def run(folder: Path, package: Path, out: Path, **options):
    settings = {"batch_size": 16, "workers": 2, "streams": 2, "engine": "ray"} | options
    return predict_films(collect_inputs([folder]), package, out, **settings)


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


@pytest.fixture
def recorded(monkeypatch) -> list[range]:
    """The batches that the ledger was given."""
    taken: list[range] = []
    real = Ledger.record

    def record(ledger, batch, rows, states):
        taken.append(batch)
        real(ledger, batch, rows, states)

    monkeypatch.setattr(Ledger, "record", record)
    return taken


def each_once(batches: list[range]) -> bool:
    return sorted(position for batch in batches for position in batch) == list(range(FILMS))


def test_cluster_gives_the_bytes_of_the_local_engine(cluster, films, package, expected, recorded, tmp_path, capfd):
    summary = run(films, package, tmp_path / "out")
    said = capfd.readouterr()
    assert (summary.films, summary.computed, summary.by_reason) == (FILMS, FILMS, {"not_an_image": 8})
    assert contents(tmp_path / "out") == expected
    assert each_once(recorded)
    assert said.out + said.err == ""
    assert "of 3 cores of the Ray cluster: " in summary.usage
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert sum(record["usage"]["shares"].values()) == pytest.approx(1, abs=1e-3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*TABLES, "run.json"])


def test_lost_process_and_lost_machine_lose_nothing(cluster, films, package, expected, recorded, tmp_path, monkeypatch):
    def progress(done: int, total: int) -> None:
        if len(recorded) == 2:
            kill_actor("FilmReader")
        if len(recorded) == 4:
            cluster.remove_node(cluster.others.pop(), allow_graceful=False)

    monkeypatch.setattr(decoding, "film_task", slow_film_task)
    summary = run(films, package, tmp_path / "out", progress=progress)
    cluster.others.append(cluster.add_node(num_cpus=1))
    assert summary.computed == FILMS
    assert each_once(recorded)
    assert contents(tmp_path / "out") == expected


def kill_actor(name: str) -> None:
    """SIGKILL one process that Ray runs such an actor in."""
    found = [process for process in psutil.process_iter(["cmdline"]) if "ray::" in cmdline(process)]
    victims = [process for process in found if name in cmdline(process)]
    assert victims, [cmdline(process) for process in found]
    victims[0].kill()


def cmdline(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or [])


SLOW_RUN = """
import sys
from pathlib import Path
from pipelines import decoding
from pipelines.inference import collect_inputs, predict_films
from tests.ray_tasks import slow_film_task

decoding.film_task = slow_film_task
films, package, out = map(Path, sys.argv[1:])
print("begun", flush=True)
predict_films(collect_inputs([films]), package, out, batch_size=16, workers=2, streams=2, engine="ray",
              progress=lambda done, total: print(done, flush=True))
"""


def test_killed_driver_stopped_run_and_local_engine_end_in_the_same_bytes(
    cluster, films, package, expected, recorded, tmp_path, monkeypatch
):
    command = [sys.executable, "-c", SLOW_RUN, str(films), str(package), str(tmp_path / "out")]
    driver = subprocess.Popen(
        command, cwd=HOME, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout.readline() == "begun\n"
    done = int(driver.stdout.readline())
    driver.kill()
    driver.communicate(timeout=60)
    assert 0 < done < FILMS
    assert not any((tmp_path / "out" / name).exists() for name in TABLES)

    monkeypatch.setattr(decoding, "film_task", slow_film_task)
    stopped = run(films, package, tmp_path / "out", stop=lambda: len(recorded) >= 2)
    assert stopped.computed >= 32
    assert done + stopped.computed <= stopped.stopped_at < FILMS
    assert "run the same command again to go on" in stopped.lines()

    finished = run(films, package, tmp_path / "out", engine="local", workers=0)
    assert finished.computed == FILMS - stopped.stopped_at
    assert contents(tmp_path / "out") == expected


def test_hostile_films_cost_a_row_each_and_pictures_are_written(cluster, films, package, tmp_path, monkeypatch):
    some = tmp_path / "films"
    some.mkdir()
    for number in (0, 1, 2, 3):
        shutil.copy(films / f"film{number}.png", some)
    for name in ("segfault.png", "exit.png"):
        shutil.copy(films / "film0.png", some / name)
    (some / "gone.png").symlink_to(some / "nowhere.png")
    run(some, package, tmp_path / "local", engine="local", workers=0, batch_size=1, heatmaps=True)
    monkeypatch.setattr(decoding, "film_task", hostile_film_task)
    summary = run(some, package, tmp_path / "out", batch_size=1, heatmaps=True)
    assert summary.by_reason == {"decoder_crashed": 2, "missing": 1}
    table = pd.read_parquet(tmp_path / "out" / "predictions.parquet").set_index("image_id")
    assert table.index.tolist() == ["exit.png", *(f"film{n}.png" for n in range(4)), "gone.png", "segfault.png"]
    assert table.loc["segfault.png", "detail"] == "its decoder ended the process that read it (SIGSEGV)"
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "out" / "heatmaps").iterdir()}
    assert len(pictures) == 4 * 4  # of each film itself, two maps, and their numbers
    for name, content in pictures.items():
        assert (tmp_path / "local" / "heatmaps" / name).read_bytes() == content


def test_machine_that_would_give_other_rows_is_refused(films, package):
    files = [film.file for film in collect_inputs([films]).films]
    here = [file_state(file) for file in files[:2]]
    good = ray_cluster.look_around(files[:2], None)
    ray_cluster.judge("10.0.0.7", good, here, [0, 1])
    wrong = good._replace(installation={**good.installation, "numpy": "1.0"})
    for found, sentence in (
        (None, "machine 10.0.0.7 of the Ray cluster does not have cxr-triage as it is here"),
        (wrong, f"machine 10.0.0.7 of the Ray cluster has numpy 1.0 (here {good.installation['numpy']})"),
        (good._replace(states=[here[0], "FileNotFoundError"]), "does not see film 300 of the list as this machine"),
        (good._replace(sees_pictures=False), "does not see the folder for heat maps; --out must be a folder that all"),
    ):
        with pytest.raises(CxrError, match=re.escape(sentence)):
            ray_cluster.judge("10.0.0.7", found, here, [0, 299])


def test_rows_of_a_machine_that_lost_the_films_folder_are_refused(films, package, tmp_path):
    predictor = Predictor.from_package(package)
    taken: list[range] = []
    ray_run = RayRun(
        collect_inputs([films]).films,
        iter([]),
        predictor,
        package=package,
        workers=1,
        record=lambda batch, rows, states: taken.append(batch),
    )
    ray_run._left = {7: range(7, 8), 8: range(8, 9)}
    blind = Scored([{"reason": "missing"}], ["FileNotFoundError"], NO_WORK, 0.0, 0.0)
    with pytest.raises(CxrError, match=r"does not see film 8 of the list .* run the same command again"):
        ray_run._take(range(7, 8), blind)
    seen = Scored([{"reason": None}], ["1:1"], NO_WORK, 0.0, 0.0)
    for _ in range(2):
        ray_run._take(range(8, 9), seen)
    assert taken == [range(8, 9)]  # once, and nothing of what was not seen


def test_pixels_travel_beside_the_pickle():
    square = np.arange(12, dtype=np.float32).reshape(3, 4)
    table = packed(range(3, 5), ["text", square, square[:0]])
    assert table["said"][0].as_buffer().size < 600
    [(batch, value)] = unpacked(table)
    assert batch == range(3, 5)
    assert value[0] == "text"
    np.testing.assert_array_equal(value[1], square)
    column = table["pixels"].chunk(0).flatten().buffers()[2]
    assert column.address <= value[1].ctypes.data < column.address + column.size  # a view, not a copy


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://127.0.0.1:1", "RAY_ADDRESS is ray://127.0.0.1:1: start the run on a machine of the cluster"),
        ("127.0.0.1:1", "no Ray cluster answers at RAY_ADDRESS=127.0.0.1:1"),
    ],
)
def test_address_without_a_cluster_is_one_sentence(films, package, tmp_path, monkeypatch, address, sentence):
    monkeypatch.setattr(importlib.import_module("ray"), "is_initialized", lambda: False)
    monkeypatch.setattr(importlib.import_module("ray"), "init", fail_to_connect)
    monkeypatch.setattr(importlib.import_module("ray"), "shutdown", lambda: None)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(CxrError, match=re.escape(sentence)):
        run(films, package, tmp_path / "out")


def fail_to_connect(**options):
    assert options["address"] == os.environ["RAY_ADDRESS"]
    raise ConnectionError


def test_ray_that_is_not_installed_is_one_sentence(films, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CxrError, match=r"ray is not installed; install it with: pip install 'cxr-triage\[ray\]'"):
        run(films, package, tmp_path / "out")
