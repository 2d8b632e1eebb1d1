"""PyTorch as a runtime: the same bits from every thread, and threads of others left as they are."""

import ctypes
import platform
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from models import Architecture, CalibratedClassifier, Calibration, Classifier, ModelPackage
from models.runtime import NetworkOutput, TorchRuntime
from models.runtime.process import keep_memory, one_thread
from pipelines.errors import CxrError
from pipelines.inference import Predictor, choices
from pipelines.inference.choices import available_memory, choose_batch_size, choose_streams

CPU = torch.device("cpu")
SIZE = 64


def make_package(seed: int = 0) -> ModelPackage:
    architecture = Architecture(backbone="squeezenet1_1", size=SIZE, map_stride=16, neck_width=16)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Classifier(architecture)
        for head in network.heads.values():
            torch.nn.init.normal_(head.cell.weight, std=2.0)
    scales = {finding: Calibration(temperature=3.0, offset=-0.5) for finding in architecture.findings}
    return ModelPackage("threads", architecture, network.state_dict(), scales)


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return make_package()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(6, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def equal(one: NetworkOutput, other: NetworkOutput) -> bool:
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True))


def test_eight_callers_at_once_get_the_bits_of_one(package, images):
    runtime = TorchRuntime(package.build(), device=CPU)
    alone = [runtime(images[k : k + 2]) for k in (0, 2, 4)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda turn: runtime(images[2 * (turn % 3) : 2 * (turn % 3) + 2]), range(48)))
    assert all(equal(found, alone[turn % 3]) for turn, found in enumerate(together))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_process_keeps_its_number_of_threads_and_it_changes_no_bit(package, images, threads):
    runtime = TorchRuntime(package.build(), device=CPU)
    expected = runtime(images)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert equal(runtime(images), expected)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: runtime(images[:1]), range(32)))
        assert torch.get_num_threads() == threads
        assert _in_new_thread(torch.get_num_threads) == threads
    finally:
        torch.set_num_threads(before)


def test_a_training_thread_keeps_its_threads_while_films_are_scored():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    inside, leave = threading.Event(), threading.Event()

    def score() -> int:
        with one_thread():
            inside.set()
            leave.wait(10)
            return torch.get_num_threads()

    try:
        with ThreadPoolExecutor(1) as pool:
            scoring = pool.submit(score)
            assert inside.wait(10)
            assert torch.get_num_threads() == 3
            leave.set()
            assert scoring.result() == 1
        assert _in_new_thread(torch.get_num_threads) == 3
    finally:
        torch.set_num_threads(before)


def _in_new_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_memory_is_kept_where_there_is_glibc_and_nothing_is_touched_elsewhere(monkeypatch):
    assert keep_memory() is (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("no C library should be asked"))
    assert keep_memory() is False


def test_what_overflows_in_half_precision_is_done_again_in_full(package, images):
    weights = {name: tensor.clone() for name, tensor in package.weights.items()}
    predictor = Predictor(package, device="cpu", precision="bf16")
    expected = Predictor(package, device="cpu", precision="fp32").forward(images)

    class Overflowing:
        backend, precision = "openvino", "bf16"

        def __call__(self, films: torch.Tensor) -> NetworkOutput:
            return NetworkOutput(np.full((len(films), 2), np.inf, np.float32), torch.zeros(len(films), 2, 4, 4), None)

    assert not equal(predictor.forward(images), expected)
    predictor.runtime = Overflowing()
    assert equal(predictor.forward(images), expected)
    assert all(torch.equal(weights[name], tensor) for name, tensor in package.weights.items())


def test_the_plain_module_gives_the_predictors_probabilities(package, images):
    module = CalibratedClassifier(package)
    with torch.inference_mode():
        found = module(images).numpy()
    output = Predictor(package, device="cpu").forward(images)
    for column, finding in enumerate(module.findings):
        expected = package.calibration[finding].probability(output.logits[:, column])
        np.testing.assert_allclose(found[:, column], expected, atol=1e-6)
    assert found.std() > 1e-3  # films differ


@pytest.mark.parametrize(("size", "batch"), [(224, 8), (320, 5), (512, 2), (1024, 1)])
def test_a_cpus_batch_follows_the_pixels(size, batch):
    assert choose_batch_size(None, CPU, size) == batch
    assert choose_batch_size(None, torch.device("cuda"), size) == 64


def test_streams_follow_cores_and_memory(monkeypatch):
    monkeypatch.setattr(choices, "usable_cores", lambda: 16)
    monkeypatch.setattr(choices, "available_memory", lambda: 4 * 2**30)
    assert choose_streams(None, CPU, 512, 2) == 8  # half a GiB each
    assert choose_streams(None, CPU, 224, 1) == 16
    assert choose_streams(None, torch.device("cuda"), 512, 64) == 1
    monkeypatch.setattr(choices, "available_memory", lambda: 0)
    assert choose_streams(None, CPU, 512, 2) == 1
    with pytest.raises(CxrError, match="streams must be at least 1, got 0"):
        choose_streams(0, CPU, 512, 2)


def test_a_containers_limit_is_the_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(choices, "_CGROUP", tmp_path)
    machine = available_memory()
    assert machine > 2**20
    for name, text in (("memory.current", "900000"), ("memory.stat", "anon 1\ninactive_file 100000\n")):
        (tmp_path / name).write_text(text)
    (tmp_path / "memory.max").write_text("1000000\n")
    assert available_memory() == 200_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() == pytest.approx(machine, rel=0.5)


def test_the_predictor_says_in_one_line_what_computes(package):
    predictor = Predictor(package, device="cpu", streams=3, batch_size=2, precision="bf16")
    assert predictor.describe() == "cpu: torch bf16, 3 streams, batches of 2"
    assert Predictor(package, device="cpu", streams=1).describe() == "cpu: torch fp32, 1 stream, batches of 8"
