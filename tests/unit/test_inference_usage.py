"""Where the time of a run went."""

from types import SimpleNamespace

import pytest
import torch

from pipelines.decoding import Work
from pipelines.inference import usage
from pipelines.inference.usage import Usage


@pytest.fixture
def cores(monkeypatch) -> int:
    monkeypatch.setattr(usage, "usable_cores", lambda: 4)
    return 4


def used(wall: float, parent: float, reading: float, waiting: float = 0.0, network: float = 0.0) -> Usage:
    made = Usage()
    made.read(Work(reading, waiting))
    made.ran(network)
    made.wall, made.parent = wall, parent
    return made


def runs_on(device: str, backend: str = "torch", precision: str = "fp32") -> SimpleNamespace:
    return SimpleNamespace(device=torch.device(device), backend=backend, precision=precision)


@pytest.mark.parametrize(("parent", "reading"), [(4.0, 12.0), (40.0, 60.0), (0.0, 0.0)])
def test_shares_sum_to_one(cores, parent, reading):
    """Also where clocks of several processes say more than there was."""
    shares = used(10.0, parent, reading).shares()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert min(shares.values()) >= 0
    if parent == 4.0:
        assert (shares["network"], shares["reading"], shares["idle"]) == pytest.approx((0.1, 0.3, 0.6))


@pytest.mark.parametrize(
    ("made", "device", "said"),
    [
        (used(10.0, 30.0, 5.0), "cpu", "the network is the limit: a GPU, or an export"),
        (used(10.0, 5.0, 30.0), "cpu", "decoding is the limit: more cores would help, a GPU would not"),
        (used(10.0, 1.0, 2.0, waiting=30.0), "cpu", "disk or network is the limit"),
        (used(10.0, 5.0, 5.0, network=9.0), "cuda", "the GPU is the limit"),
        (used(10.0, 2.0, 30.0, network=1.0), "cuda", "decoding is the limit: more cores"),
    ],
)
def test_advice_names_the_limit(cores, made, device, said):
    assert said in made.line(12.0, runs_on(device))
    assert "start and tables 2.0 s" in made.line(12.0, runs_on(device))
