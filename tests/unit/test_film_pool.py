"""The pool of processes that read films: order, flat memory, and films that crash, hang or swallow memory."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import CxrError, Reason
from pipelines.film_pool import NOT_YET, FilmPool, Refusal
from tests.hostile_tasks import crash_once, name_task, picture_task

HOME = Path(__file__).resolve().parents[2]


def reasons(results: list) -> list[Reason | str]:
    return [result.reason if isinstance(result, Refusal) else result[0] for result in results]


@pytest.mark.parametrize("chunk", [1, 4])
def test_each_hostile_film_costs_one_result_and_no_other_is_lost(chunk):
    names = [f"film{number}" for number in range(24)]
    expected: list[Reason | str] = list(names)
    for place, what, reason in (
        (3, "segfault", Reason.DECODER_CRASHED),
        (4, "exit", Reason.DECODER_CRASHED),
        (9, "hang", Reason.TIMED_OUT),
        (23, "swallow", Reason.DECODER_CRASHED),
    ):
        names[place] = what
        expected[place] = reason
    with FilmPool(name_task, workers=2, seconds=2.0, memory=256 << 20, chunk=chunk) as pool:
        results = list(pool.map(names))
        again = list(pool.map(["one", "more"]))
    assert reasons(results) == expected
    assert [result.detail for result in results if isinstance(result, Refusal)] == [
        "its decoder ended the process that read it (SIGSEGV)",
        "its decoder ended the process that read it (exit code 3)",
        "reading it took longer than 2 s",
        "reading it needs more memory than the 256 MiB that one film may have",
    ]
    assert reasons(again) == ["one", "more"]
    assert os.getpid() not in {result[1] for result in results if not isinstance(result, Refusal)}


def test_a_film_whose_worker_was_killed_for_another_reason_is_tried_again(tmp_path):
    tasks = [(name, tmp_path) for name in ("a", "unlucky1", "b", "unlucky2", "c")]
    with FilmPool(crash_once, workers=2) as pool:
        assert list(pool.map(tasks)) == [name for name, _ in tasks]


def test_arrays_come_back_whole_and_in_order():
    with FilmPool(picture_task, workers=2) as pool:
        for number, picture in enumerate(pool.map(range(60))):
            assert picture.shape == (512, 512)
            assert (picture == number).all()
    assert number == 59


def test_no_more_than_ahead_tasks_are_begun_before_results_are_taken():
    taken = []

    def tasks():
        for number in range(1000):
            taken.append(number)
            yield f"film{number}"

    with FilmPool(name_task, workers=2, ahead=10) as pool:
        results = pool.map(tasks())
        for wanted in range(5):
            assert next(results)[0] == f"film{wanted}"
        time.sleep(0.3)
        assert len(taken) <= 5 + 10
        results.close()
    assert len(taken) <= 5 + 10


def test_in_this_process_without_workers():
    with FilmPool(name_task, workers=0) as pool:
        assert pool.run("film") == ("film", os.getpid())
        assert list(pool.map([])) == []


def test_one_film_at_a_time_keeps_its_worker():
    with FilmPool(name_task, workers=1) as pool:
        first, crashed, second, third = (pool.run(name) for name in ("a", "segfault", "b", "c"))
    assert isinstance(crashed, Refusal)
    assert second[1] == third[1] != first[1]


def test_a_mistake_in_the_program_is_raised_where_results_are_awaited():
    with FilmPool(name_task, workers=1) as pool:
        results = pool.map(["a", "mistake", "b"])
        assert next(results)[0] == "a"
        with pytest.raises(ZeroDivisionError, match="a mistake in the program"):
            next(results)


def test_a_mistake_in_the_list_of_tasks_is_raised():
    def broken():
        yield "a"
        raise KeyError("list")

    with FilmPool(name_task, workers=1) as pool, pytest.raises(KeyError, match="list"):
        list(pool.map(broken()))


def test_workers_that_cannot_start_are_one_sentence(monkeypatch):
    gone = type(sys)("a_module_that_is_nowhere")
    exec("def task(name): return name", gone.__dict__)
    monkeypatch.setitem(sys.modules, gone.__name__, gone)
    gone.task.__module__ = gone.__name__
    with FilmPool(gone.task, workers=1) as pool, pytest.raises(CxrError, match=r"can be started \(exit code 1\)"):
        list(pool.map(["a"]))


def test_closing_in_the_middle_leaves_no_process_and_no_thread():
    with FilmPool(name_task, workers=2) as pool:
        results = pool.map(["film0", "hang1", "hang2", "hang3"])
        name, pid = next(results)
        assert name == "film0"
        before = time.monotonic()
        results.close()
    assert time.monotonic() - before < 10
    assert not _alive(pid)
    assert not [thread for thread in threading.enumerate() if thread.name == "film pool"]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.rpartition(")")[2].split()[0] not in "ZX"


PARENT = """
import sys
from pipelines.film_pool import FilmPool
from tests.hostile_tasks import name_task

with FilmPool(name_task, workers=2, seconds=float(sys.argv[1])) as pool:
    for name, pid in pool.map(["noise1", "noise2", "noise3", *sys.argv[2:]]):
        print(pid, flush=True)
"""


def _parent(seconds: float, *names: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(seconds), *names],
        cwd=HOME,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait_until_gone(pids: set[int], seconds: float) -> set[int]:
    end = time.monotonic() + seconds
    while (left := {pid for pid in pids if _alive(pid)}) and time.monotonic() < end:
        time.sleep(0.05)
    return left


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(number):
    """Ctrl-C goes to the whole group, as a terminal sends it; the others to the parent alone, with a film hanging."""
    parent = _parent(60.0, "hang")
    pids = {int(parent.stdout.readline()) for _ in range(3)}
    time.sleep(0.2)
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)
    else:
        parent.send_signal(number)
    _, errors = parent.communicate(timeout=30)
    assert parent.returncode == -number
    assert errors.count("KeyboardInterrupt") == (number == signal.SIGINT)
    assert _wait_until_gone(pids, 10.0) == set()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_decoder_that_keeps_python_from_running_ends_with_its_parent_too():
    """Nothing in the worker can notice that the parent is gone: the kernel's alarm ends it, 5 s after its time."""
    parent = _parent(1.0, "stuck")
    pids = {int(parent.stdout.readline()) for _ in range(3)}
    time.sleep(0.2)
    parent.kill()
    parent.communicate(timeout=30)
    assert _wait_until_gone(pids, 15.0) == set()


def test_what_a_decoder_prints_reaches_nobody():
    parent = _parent(60.0)
    output, errors = parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert errors == ""
    assert all(line.isdigit() for line in output.split())


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory from /proc")
def test_memory_of_the_parent_stays_flat():
    code = (
        "from pathlib import Path\n"
        "from pipelines.film_pool import FilmPool\n"
        "from tests.hostile_tasks import picture_task\n"
        "peaks = []\n"
        "with FilmPool(picture_task, workers=2, ahead=8) as pool:\n"
        "    for number, picture in enumerate(pool.map(range(400))):\n"
        "        if number in (40, 399):\n"
        "            peaks.append(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])\n"
        "print(*peaks)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    early, late = map(int, done.stdout.split())
    assert late - early < 24 << 10  # KiB; 360 films more are 360 MiB


def test_results_equal_those_without_workers():
    names = [f"film{number}" for number in range(50)]
    with FilmPool(name_task, workers=0) as here, FilmPool(name_task, workers=2, chunk=7) as there:
        assert [name for name, _ in here.map(names)] == [name for name, _ in there.map(names)] == names
    np.testing.assert_array_equal(picture_task(3), np.full((512, 512), 3.0))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_list_that_has_nothing_for_now_is_asked_again_after_a_poke(workers):
    ready = threading.Event()

    def tasks():
        yield "a"
        while not ready.is_set():
            yield NOT_YET
        yield "b"

    with FilmPool(name_task, workers=workers) as pool:
        results = pool.map(tasks())
        assert next(results)[0] == "a"

        def arrive() -> None:
            ready.set()
            pool.poke()

        threading.Timer(0.2, arrive).start()
        assert [name for name, _ in results] == ["b"]


def test_a_poke_before_anything_runs_is_not_lost():
    asked = threading.Event()

    def tasks():
        asked.set()
        yield NOT_YET
        yield "late"

    with FilmPool(name_task, workers=1) as pool:
        pool.poke()
        assert [name for name, _ in pool.map(tasks())] == ["late"]
    assert asked.is_set()


@pytest.mark.skipif(sys.platform != "linux", reason="ends processes by their number")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_idle_workers_that_are_ended_are_replaced(number):
    """More of them than may fail to start, while there is no film for them."""
    again = threading.Event()
    pids: set[int] = set()

    def tasks():
        for _ in range(5):
            yield "film"
            again.clear()
            while not again.is_set():
                yield NOT_YET

    with FilmPool(name_task, workers=1) as pool:
        for _, pid in pool.map(tasks()):
            pids.add(pid)
            os.kill(pid, number)
            assert _wait_until_gone({pid}, 5.0) == set()
            again.set()
            pool.poke()
    assert len(pids) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="ends processes by their number")
def test_a_film_is_not_blamed_for_a_job_that_is_evicted(tmp_path):
    """However often its process is asked to end."""
    with FilmPool(end_three_times, workers=1) as pool:
        assert pool.run(tmp_path) == "read"
    assert len(list(tmp_path.iterdir())) == 3


def end_three_times(marks: Path) -> str:
    tried = len(list(marks.iterdir()))
    if tried < 3:
        (marks / str(tried)).touch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    return "read"
