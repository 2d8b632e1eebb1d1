"""Balanced epochs: equal shares, the same batches in any number of processes, repeatable, repeats told apart."""

from collections import Counter
from itertools import chain

import numpy as np
import pandas as pd
import pytest

from pipelines.config import parse_config
from pipelines.errors import ConfigError
from pipelines.training.batches import EpochBatches, film_groups
from pipelines.training.films import Cohort

GROUPS = np.repeat([0, 1, 2], [70, 25, 5])


def epoch(number: int, *, rank: int = 0, world: int = 1, groups=GROUPS) -> list[list[tuple[int, int]]]:
    sampler = EpochBatches(100, 8, seed=3, rank=rank, world_size=world, groups=groups)
    sampler.epoch = number
    return list(sampler)


def test_groups_fill_equal_shares_and_films_of_a_group_come_equally_often() -> None:
    for number in range(4):
        drawn = Counter(index for _, index in chain(*epoch(number)))
        shares = [sum(count for index, count in drawn.items() if GROUPS[index] == group) for group in range(3)]
        assert sum(shares) == 100
        assert max(shares) - min(shares) <= 1
        for group in range(3):
            counts = [drawn[index] for index in np.flatnonzero(group == GROUPS)]
            assert max(counts) - min(counts) <= 1


def test_any_number_of_processes_sees_the_same_batches_and_an_epoch_can_be_repeated() -> None:
    alone, three = epoch(5), [epoch(5, rank=rank, world=3) for rank in range(3)]
    for step, batch in enumerate(alone):
        assert Counter(chain(*(part[step] for part in three))) == Counter(batch)
    assert epoch(5) == alone
    assert epoch(6) != alone


def test_a_film_that_comes_again_is_changed_otherwise() -> None:
    keys = list(chain(*epoch(2)))
    assert len(set(keys)) == len(keys)
    assert len({index for _, index in keys}) < len(keys)


def test_without_groups_nothing_changed() -> None:
    order = np.random.default_rng([3, 4]).permutation(100)
    assert list(chain(*epoch(4, groups=None))) == [(4, int(index)) for index in order]


def test_groups_are_data_sets_or_data_sets_by_labels() -> None:
    rows = pd.DataFrame({"dataset": ["a", "a", "b", "b", "b"]})
    labels = np.array([[1, 0], [0, 0], [0, 0], [np.nan, 0], [np.nan, 0]], np.float32)
    cohort = Cohort(rows, (), labels)
    assert film_groups(cohort, "films") is None
    assert film_groups(cohort, "dataset").tolist() == [0, 0, 1, 1, 1]
    assert film_groups(cohort, "dataset_label").tolist() == [0, 1, 2, 3, 3]


def test_classes_are_not_weighed_twice() -> None:
    values = {"name": "x", "out": "x", "data": [{"manifest": "x"}]}
    both = {"imbalance": "balanced", "sampling": "dataset_label"}
    with pytest.raises(ConfigError, match="choose one"):
        parse_config(values | {"optimisation": both}, source="test")
