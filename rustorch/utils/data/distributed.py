"""Splitting a dataset over processes."""

from __future__ import annotations

import rustorch as rt

from ...errors import InvalidArgumentError
from .sampler import Sampler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sized


class DistributedSampler(Sampler):
    """Every ``num_replicas``-th index, beginning with ``rank``, of an order that all processes share.

    Call :meth:`set_epoch` before each epoch, or all epochs have the same order.

    Args:
        dataset: with a length.
        num_replicas: number of processes.
        rank: number of this process, from 0.
        shuffle: whether the shared order is random.
        seed: of that order, the same in all processes.
        drop_last: whether to leave samples out, instead of repeating some, when they do not divide evenly.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise InvalidArgumentError("DistributedSampler: num_replicas and rank must be given")
        if not 0 <= rank < num_replicas:
            raise InvalidArgumentError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        n = len(dataset)
        self.num_samples = n // num_replicas if drop_last else (n + num_replicas - 1) // num_replicas
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        n = len(self.dataset)
        indices = list(range(n))
        if self.shuffle:
            generator = rt.Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = rt.randperm(n, generator=generator).tolist()
        while len(indices) < self.total_size:
            indices += indices
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which goes into the seed."""
        self.epoch = epoch
