"""Sequences of different lengths in one batch."""

# Functions of the package that are looked up when first used are not typed.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import rustorch as rt
from rustorch import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]

_Packed = namedtuple("_Packed", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])


class PackedSequence(_Packed):
    """Sequences, longest first, step by step: data [sum of lengths, *], batch_sizes how many reach each step."""

    __slots__ = ()

    def __new__(
        cls,
        data: Tensor,
        batch_sizes: Tensor,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with `data` moved or cast."""
        return self._replace(data=self.data.to(*args, **kwargs))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """p^-1 of an index tensor [n]."""
    return None if permutation is None else permutation.argsort()


def pad_sequence(
    sequences: Iterable[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """Tensors [L_i, *] -> [max L, N, *] ([N, max L, *] with batch_first)."""
    sequences = list(sequences)
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side should be 'right' or 'left', got '{padding_side}'")
    if not sequences:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    longest = max(s.size(0) for s in sequences)
    padded = []
    for s in sequences:
        gap = longest - s.size(0)
        if gap:
            fill = rt.full((gap, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = rt.cat([s, fill] if padding_side == "right" else [fill, s])
        padded.append(s)
    return rt.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The inverse of `pad_sequence`."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    return [s[: int(n)] for s, n in zip(padded_sequences.unbind(0), lengths.tolist())]


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """[L, N, *] and the length of each sequence -> PackedSequence; unsorted ones are sorted if not `enforce_sorted`."""
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    order = None
    if batch_first:
        input = input.transpose(0, 1)
    if len(sizes) != input.size(1):
        raise RuntimeError(f"pack_padded_sequence: expected {input.size(1)} lengths, got {len(sizes)}")
    if not enforce_sorted:
        ranked = sorted(range(len(sizes)), key=lambda i: -sizes[i])
        order = rt.tensor(ranked, dtype=rt.int64)
        sizes = [sizes[i] for i in ranked]
        input = input.index_select(1, order)
    if any(a < b for a, b in pairwise(sizes)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. "
            "You can pass `enforce_sorted=False` to sort them."
        )
    if not sizes or sizes[-1] <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if sizes[0] > input.size(0):
        raise RuntimeError(
            f"pack_padded_sequence: the longest length is {sizes[0]}, the input has {input.size(0)} steps"
        )
    batch_sizes = [sum(n > t for n in sizes) for t in range(sizes[0])]
    data = rt.cat([input[t, :n] for t, n in enumerate(batch_sizes)])
    return PackedSequence(data, rt.tensor(batch_sizes, dtype=rt.int64), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The inverse of `pack_padded_sequence`: [L, N, *] and the lengths."""
    batch_sizes = sequence.batch_sizes.tolist()
    longest, batch = len(batch_sizes), batch_sizes[0]
    if total_length is not None:
        if total_length < longest:
            raise ValueError(
                f"Expected total_length to be at least the length of the longest sequence in input, "
                f"but got total_length={total_length} and max sequence length being {longest}"
            )
        longest = total_length
    data = sequence.data
    steps = [
        part if n == batch else rt.cat([part, part.new_full((batch - n, *part.shape[1:]), padding_value)])
        for part, n in zip(data.split(batch_sizes), batch_sizes)
    ]
    steps += [data.new_full((batch, *data.shape[1:]), padding_value)] * (longest - len(steps))
    out = rt.stack(steps)
    lengths = rt.tensor([sum(n > i for n in batch_sizes) for i in range(batch)], dtype=rt.int64)
    if sequence.unsorted_indices is not None:
        out = out.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices)
    return out.transpose(0, 1) if batch_first else out, lengths


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Tensors [L_i, *] -> PackedSequence."""
    return pack_padded_sequence(pad_sequence(sequences), [s.size(0) for s in sequences], False, enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The inverse of `pack_sequence`."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
