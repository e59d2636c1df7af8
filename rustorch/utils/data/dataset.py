"""Datasets: objects that give samples by index, or one after the other."""

from __future__ import annotations

import math
from bisect import bisect_right

import rustorch as rt

from ...errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any


class Dataset:
    """Base of the datasets that give samples by index.

    A subclass implements ``__getitem__``, usually ``__len__``, and ``__getitems__(indices)`` if a list of samples can
    be had faster than one by one. ``Dataset[T]`` is accepted as a name for a dataset of ``T``.
    """

    def __class_getitem__(cls, item: Any) -> type[Dataset]:
        return cls

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not implement __getitem__")

    def __add__(self, other: Dataset) -> Dataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Base of the datasets that give samples one after the other.

    A subclass implements ``__iter__``. Each worker of a :class:`DataLoader` iterates over a copy of its own; use
    :func:`get_worker_info` to give each of them a different part.
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} does not implement __iter__")

    def __add__(self, other: Dataset) -> Dataset:
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Samples are tuples: row ``i`` of each tensor."""

    def __init__(self, *tensors: rt.Tensor) -> None:
        sizes = [t.shape[0] for t in tensors]
        if not sizes or any(size != sizes[0] for size in sizes):
            raise InvalidArgumentError(f"TensorDataset: Size mismatch between tensors, first sizes are {sizes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[rt.Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])


def _batch(dataset: Any, indices: list[Any]) -> list[Any]:
    """The samples at ``indices``, in one call if the dataset can do that."""
    several = getattr(dataset, "__getitems__", None)
    if not callable(several):
        return [dataset[i] for i in indices]
    samples: list[Any] = several(indices)
    return samples


class StackDataset(Dataset):
    """Samples are tuples (or, with keywords, dicts) of the samples of several datasets of one length."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args and kwargs:
            raise InvalidArgumentError("StackDataset: datasets are given either by position or by keyword, got both")
        if not args and not kwargs:
            raise InvalidArgumentError("At least one dataset should be passed")
        self.datasets: tuple[Any, ...] | dict[str, Any] = args or kwargs
        sizes = [len(d) for d in self._parts()]
        if any(size != sizes[0] for size in sizes):
            raise InvalidArgumentError(f"StackDataset: Size mismatch between datasets, lengths are {sizes}")

    def _parts(self) -> list[Any]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def _sample(self, parts: Iterable[Any]) -> Any:
        return dict(zip(self.datasets, parts)) if isinstance(self.datasets, dict) else tuple(parts)

    def __getitem__(self, index: Any) -> Any:
        return self._sample(d[index] for d in self._parts())

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        columns = [_batch(d, indices) for d in self._parts()]
        for column in columns:
            if len(column) != len(indices):
                raise InvalidArgumentError(
                    f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(column)}"
                )
        return [self._sample(row) for row in zip(*columns)]

    def __len__(self) -> int:
        return len(self._parts()[0])


class ConcatDataset(Dataset):
    """Several datasets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise InvalidArgumentError("ConcatDataset: datasets should not be an empty iterable")
        self.cumulative_sizes: list[int] = []
        for d in self.datasets:
            if isinstance(d, IterableDataset):
                raise InvalidArgumentError("ConcatDataset does not support IterableDataset")
            self.cumulative_sizes.append(len(d) + len(self))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1] if self.cumulative_sizes else 0

    def __getitem__(self, index: int) -> Any:
        if index < -len(self):
            raise InvalidArgumentError("absolute value of index should not exceed dataset length")
        if index < 0:
            index += len(self)
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class ChainDataset(IterableDataset):
    """Several iterable datasets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def _checked(self) -> Iterator[Any]:
        for d in self.datasets:
            if not isinstance(d, IterableDataset):
                raise InvalidArgumentError(f"ChainDataset only supports IterableDataset, got {type(d).__name__}")
            yield d

    def __iter__(self) -> Iterator[Any]:
        for d in self._checked():
            yield from d

    def __len__(self) -> int:
        return sum(len(d) for d in self._checked())


class Subset(Dataset):
    """The samples of a dataset at the given indices."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        kind = type(self)
        if kind.__getitem__ is not Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{kind.__name__} overrides __getitem__ but not __getitems__, which DataLoader uses; override both"
            )
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return _batch(self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[float], generator: rt.Generator | None = None) -> list[Subset]:
    """Splits a dataset at random.

    Args:
        dataset: with a length.
        lengths: sizes of the parts, or fractions that sum to 1; samples left over by rounding go to the first parts.
        generator: source of randomness, the default one if None. The split is PyTorch's for the same seed.

    Raises:
        InvalidArgumentError: a fraction is not in [0, 1], or sizes do not sum to the length.
    """
    total, n = sum(lengths), len(dataset)
    if math.isclose(total, 1) and total <= 1:
        for i, part in enumerate(lengths):
            if not 0 <= part <= 1:
                raise InvalidArgumentError(f"Fraction at index {i} is not between 0 and 1")
        sizes = [math.floor(n * part) for part in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
        for i, size in enumerate(sizes):
            if size == 0:
                import warnings

                warnings.warn(
                    f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=2
                )
    else:
        sizes = [int(part) for part in lengths]
    if sum(sizes) != n:
        raise InvalidArgumentError(
            "Sum of input lengths does not equal the length of the input dataset! "
            f"lengths are {list(lengths)}, the dataset has {n} samples"
        )
    order = rt.randperm(n, generator=generator).tolist()
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes)]
