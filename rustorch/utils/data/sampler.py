"""Samplers: in which order a dataset is read. With one seed the orders are PyTorch's."""

from __future__ import annotations

from itertools import islice

import rustorch as rt

from ...errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Sized
    from typing import Any


def _need_positive_int(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise InvalidArgumentError(f"{name} should be a positive integer value, but got {name}={value}")


def _need_bool(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{name} should be a boolean value, but got {name}={value}")


def draw_seed(generator: rt.Generator | None = None) -> int:
    """A seed drawn from a generator, as PyTorch draws it."""
    return int(rt.empty((), dtype=rt.int64).random_(generator=generator).item())


class Sampler:
    """Base of the samplers. A subclass implements ``__iter__`` and usually ``__len__``."""

    def __class_getitem__(cls, item: Any) -> type[Sampler]:
        return cls

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} does not implement __iter__")


class SequentialSampler(Sampler):
    """0, 1, 2, ..."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """Indices in random order.

    Args:
        data_source: the dataset.
        replacement: whether an index may come again.
        num_samples: how many to draw, the length of the dataset if None.
        generator: source of randomness; if None a new one, whose seed is drawn from the default generator.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: rt.Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        _need_positive_int("num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices one pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, generator = len(self.data_source), self.generator
        if generator is None:
            generator = rt.Generator()
            generator.manual_seed(draw_seed())
        # In parts of 32 or whole permutations, the last of them drawn even if nothing of it is needed: so PyTorch
        # consumes its stream.
        if self.replacement:
            for start in range(0, self.num_samples, 32):
                size = min(32, self.num_samples - start)
                yield from rt.randint(high=n, size=(size,), dtype=rt.int64, generator=generator).tolist()
        else:
            for _ in range(self.num_samples // n):
                yield from rt.randperm(n, generator=generator).tolist()
            yield from rt.randperm(n, generator=generator).tolist()[: self.num_samples % n]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in random order."""

    def __init__(self, indices: Sequence[int], generator: rt.Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in rt.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """``num_samples`` indices, each drawn with a probability in proportion to its weight.

    Args:
        weights: one number >= 0 for each sample; they need not sum to 1.
        num_samples: how many to draw.
        replacement: whether an index may come again.
        generator: source of randomness, the default one if None.
    """

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: rt.Generator | None = None,
    ) -> None:
        _need_positive_int("num_samples", num_samples)
        _need_bool("replacement", replacement)
        self.weights = rt.as_tensor(weights, dtype=rt.float64)
        if len(self.weights.shape) != 1:
            raise InvalidArgumentError(
                f"weights should be a 1d sequence but given weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = rt.multinomial(self.weights, self.num_samples, self.replacement, generator=self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` successive indices of another sampler; ``drop_last`` leaves out a last, shorter one."""

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        _need_positive_int("batch_size", batch_size)
        _need_bool("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, self.batch_size)):
            if len(batch) < self.batch_size and self.drop_last:
                return
            yield batch

    def __len__(self) -> int:
        n: int = len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else (n + self.batch_size - 1) // self.batch_size
