"""Making one batch of a list of samples."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence

import rustorch as rt

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _is_numpy(x: Any) -> bool:
    """Whether ``x`` is a NumPy array or number (not text); NumPy is not imported for that."""
    return type(x).__module__ == "numpy" and not isinstance(x, (str, bytes))


def _is_text(x: Any) -> bool:
    return getattr(x, "dtype", None) is not None and x.dtype.kind in "SUO"


def _like(container: Any, values: Any) -> Any:
    """A container of the same type with other values (a dict or list of them), a plain one if that does not work."""
    try:
        if isinstance(container, (MutableMapping, MutableSequence)):
            from copy import copy

            clone = copy(container)
            for key, value in values.items() if isinstance(values, dict) else enumerate(values):
                clone[key] = value
            return clone
        return type(container)(values)
    except TypeError:
        return values


def _walk(data: Any, convert: Callable[[Any], Any]) -> Any:
    """Applies ``convert`` to the parts of a container; anything else comes back as it is."""
    if isinstance(data, Mapping):
        return _like(data, {key: convert(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(convert, data))
    if isinstance(data, tuple):
        return [convert(x) for x in data]
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _like(data, [convert(x) for x in data])
    return data


def default_convert(data: Any) -> Any:
    """NumPy arrays and numbers, also inside of containers, become tensors; anything else stays what it is."""
    if isinstance(data, rt.Tensor):
        return data
    if _is_numpy(data):
        return data if _is_text(data) else rt.as_tensor(data)
    return _walk(data, default_convert)


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch from a list of samples of one kind.

    Tensors and NumPy arrays are stacked; NumPy numbers become a tensor of their dtype, floats of float64, ints of
    int64, bools of bool; texts stay a list; mappings, tuples and sequences are collated entry by entry.

    Raises:
        TypeError: samples of another kind.
        RuntimeError: sequences of different lengths.
    """
    first = batch[0]
    if isinstance(first, rt.Tensor):
        return rt.stack(list(batch))
    if _is_numpy(first):
        if _is_text(first):
            raise TypeError(_unknown(first.dtype))
        return rt.as_tensor(sys.modules["numpy"].stack(batch))
    if isinstance(first, float):
        return rt.tensor(batch, dtype=rt.float64)
    if isinstance(first, int):
        return rt.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            raise RuntimeError(
                "default_collate: each element in list of batch should be of equal size, "
                f"got sizes {sorted({len(sample) for sample in batch})}"
            )
        columns = [default_collate(column) for column in zip(*batch)]
        if isinstance(first, tuple):
            return type(first)(*columns) if hasattr(first, "_fields") else columns
        return _like(first, columns)
    raise TypeError(_unknown(type(first)))


def _unknown(kind: Any) -> str:
    return f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {kind}"
