"""Checkpoints: whole or absent, whatever the disk does."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.training.state import CHECKPOINT, Checkpoint, Progress


def make(epoch: int) -> Checkpoint:
    weights = {"w": torch.full((4000,), float(epoch))}
    return Checkpoint(
        Progress(epoch=epoch, history=[{"val_loss": 0.5}] * epoch), weights, weights, {"state": {}}, "digest"
    )


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk that is full after ``size`` bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    make(3).save(tmp_path)
    back = Checkpoint.load(tmp_path)
    assert back.progress == make(3).progress
    assert torch.equal(back.model["w"], make(3).model["w"])
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    make(1).save(tmp_path)
    with (
        files_no_larger_than(2000),
        pytest.raises(ConfigError, match=r"cannot be written \(.*\); the one before is kept"),
    ):
        make(2).save(tmp_path)
    assert Checkpoint.load(tmp_path).progress.epoch == 1
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_no_checkpoint_and_a_damaged_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="to go on from; start without --resume"):
        Checkpoint.load(tmp_path)
    make(1).save(tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"checkpoint\.pt is damaged"):
        Checkpoint.load(tmp_path)
