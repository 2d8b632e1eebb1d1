"""Which films make up each batch of an epoch, in whatever process."""

import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch.utils.data import Sampler

from pipelines.training.films import Cohort

Sampling = Literal["films", "dataset", "dataset_label"]
AGAIN: Final = 1 << 20
"""Added to the epoch for each time a film came before in it, so that it is changed otherwise each time."""


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """This process's share of each global batch of one epoch, as (epoch, index) pairs.

    The order depends on the seed and the epoch alone. A global batch is dealt out to the processes like cards, so
    that any number of processes sees the same batches; what is left over at the end joins the last full batch when it
    is smaller than half a batch.

    Args:
        films: how many there are; an epoch has as many places.
        batch_size: of the global batch.
        seed: of the run.
        rank: of this process.
        world_size: processes.
        groups: ``[films]`` number of each film's group; groups then fill equal shares of an epoch. None: every film
            comes once.
    """

    def __init__(
        self,
        films: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        groups: NDArray[np.intp] | None = None,
    ) -> None:
        self.films = films
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.groups = groups
        self.epoch = 0

    def __len__(self) -> int:
        return max(1, int(self.films / self.batch_size + 0.5))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        random = np.random.default_rng([self.seed, self.epoch])
        order = random.permutation(self.films) if self.groups is None else _balanced(self.groups, random)
        keys = list(zip(_epochs(order, self.epoch), order.tolist(), strict=True))
        cuts = [step * self.batch_size for step in range(len(self))] + [self.films]
        for start, stop in itertools.pairwise(cuts):
            yield keys[start:stop][self.rank :: self.world_size]


def film_groups(cohort: Cohort, sampling: Sampling) -> NDArray[np.intp] | None:
    """Return the group of each film for `EpochBatches`; None where films weigh alike.

    Args:
        cohort: the training films.
        sampling: groups are data sets, or data sets by labels (unknown is a label of its own).
    """
    if sampling == "films":
        return None
    names: Sequence[Hashable] = cohort.rows["dataset"].astype(str).tolist()
    if sampling == "dataset_label":
        known = np.where(np.isnan(cohort.labels), -1.0, cohort.labels)
        names = list(zip(names, map(tuple, known.tolist()), strict=True))
    codes, _ = pd.factorize(np.fromiter(names, dtype=object, count=len(names)), sort=False)
    return np.asarray(codes, dtype=np.intp)


def _balanced(groups: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
    """As many places as there are films, shared out evenly over the groups, and in each over its films."""
    present = random.permutation(np.unique(groups))  # whose turn it is to have one more
    shares = np.full(len(present), len(groups) // len(present))
    shares[: len(groups) % len(present)] += 1
    drawn = []
    for group, share in zip(present, shares, strict=True):
        members = np.flatnonzero(groups == group)
        rounds = -(-int(share) // len(members))
        drawn.append(np.concatenate([random.permutation(members) for _ in range(rounds)])[:share])
    return random.permutation(np.concatenate(drawn))


def _epochs(order: NDArray[np.intp], epoch: int) -> list[int]:
    """The epoch that decides how each place's film is changed."""
    came: dict[int, int] = {}
    keys = []
    for index in order.tolist():
        keys.append(epoch + AGAIN * came.get(index, 0))
        came[index] = came.get(index, 0) + 1
    return keys
