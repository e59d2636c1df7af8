"""`PackedSequence`, which layers take: below them, as `nn.utils.rnn`, where it is found, is above."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from rustorch import Tensor

_Packed = namedtuple("_Packed", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_Packed):
    """Sequences, longest first, step by step: data [sum of lengths, *], batch_sizes how many reach each step."""

    __slots__ = ()
    __module__ = "rustorch.nn.utils.rnn"

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None and sorted_indices is not None:
            unsorted_indices = sorted_indices.argsort()
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with `data` moved or cast."""
        return self._replace(data=self.data.to(*args, **kwargs))
