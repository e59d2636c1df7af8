"""`x[index]` and `x[index] = value`: splits an index into views and the part that needs gathering."""

from __future__ import annotations

import math
from typing import Any

from . import _ops
from ._arguments import number
from ._device import META, moved
from ._door import lib, made
from ._tensor import Tensor, attach, make
from .dtypes import BY_NAME
from .errors import DTypeError, IndexOutOfRangeError, InvalidArgumentError


def _is_advanced(i: Any) -> bool:
    if isinstance(i, Tensor):
        return True
    return isinstance(i, (list, tuple, range)) or (type(i).__module__ == "numpy" and getattr(i, "ndim", 0) > 0)


def _as_index(i: Any) -> Tensor:
    t = i if isinstance(i, Tensor) else make(i)
    d = t.dtype._name
    if t.numel() == 0 and not isinstance(i, Tensor) and d.startswith("float"):
        t = t.to(_INT64)
        d = "int64"
    if d not in ("bool", "uint8", "int8", "int16", "int32", "int64"):
        raise IndexOutOfRangeError(f"tensors used as indices must be long, int, byte or bool tensors, got {t.dtype}")
    if d == "uint8":
        t = t.to(_BOOL)
    return t


_BOOL, _INT64 = BY_NAME["bool"], BY_NAME["int64"]
_PARTS = (slice, type(None), type(Ellipsis))


def _split(x: Tensor, index: Any) -> tuple[Tensor, list[Tensor | None] | None]:
    """The view that the basic part of an index names, and the index tensors that remain (None for a kept dimension)."""
    if index.__class__ is int:
        try:
            return _ops.select(x, 0, index), None
        except InvalidArgumentError:  # it does not fit 64 bits
            raise _outside(index, 0, x) from None
    if not isinstance(index, tuple):
        # A list that holds more than numbers is read as a tuple, if it is as short as one.
        if isinstance(index, list) and len(index) < 32 and any(_is_advanced(i) or isinstance(i, _PARTS) for i in index):
            index = tuple(index)
        else:
            index = (index,)
    used = 0
    for i in index:
        if i is None or i is Ellipsis or isinstance(i, bool):
            continue
        if isinstance(i, Tensor) and i.dtype._name in ("bool", "uint8"):
            used += i.ndim
        elif type(i).__module__ == "numpy" and getattr(i, "dtype", None) == bool:  # noqa: E721
            used += i.ndim
        elif isinstance(i, list) and i and _all_bools(i):
            used += make(i).ndim
        else:
            used += 1
    if used > x.ndim:
        raise IndexOutOfRangeError(f"too many indices for tensor of dimension {x.ndim}")
    dim = 0
    tensors = _Indices()
    seen_ellipsis = False
    for i in index:
        if isinstance(i, slice):
            if i != slice(None):
                step = 1 if i.step is None else _bound(i.step)
                if step <= 0:
                    raise InvalidArgumentError("slice step must be positive")
                x = _ops.slice(
                    x,
                    dim,
                    None if i.start is None else _bound(i.start),
                    None if i.stop is None else _bound(i.stop),
                    step,
                )
            dim += 1
        elif i is None:
            x = _ops.unsqueeze(x, dim)
            dim += 1
        elif i is Ellipsis:
            if seen_ellipsis:
                raise IndexOutOfRangeError("an index can only have a single ellipsis ('...')")
            seen_ellipsis = True
            dim += max(x.ndim - dim - (used - _consumed(index, i)), 0)
        elif isinstance(i, bool):
            x = _ops.unsqueeze(x, dim)
            tensors.put(dim, make([0] if i else [], _INT64))
            dim += 1
        elif _is_advanced(i):
            if isinstance(i, Tensor) and i.ndim == 0 and i.dtype._name != "bool":
                if i.dtype._name == "uint8":
                    i = i.to(_BOOL)
                elif not i.dtype.is_floating_point and not i.dtype.is_complex:
                    x = _ops.select(x, dim, int(i.item()))
                    continue
            t = _as_index(i)
            if t.dtype._name == "bool" and t.ndim == 0:
                x = _ops.unsqueeze(x, dim)
                t = make([0] if t.item() else [], _INT64)
            tensors.put(dim, t)
            dim += t.ndim if t.dtype._name == "bool" else 1
        else:
            place = _whole(i)
            if not -_END <= place <= _END:
                raise _outside(place, dim, x)
            x = _ops.select(x, dim, place)
    return x, tensors or None


def _all_bools(v: Any) -> bool:
    for _ in range(65):  # one that holds itself has no end
        if not isinstance(v, list) or not v:
            break
        v = v[0]
    return isinstance(v, bool)


def _consumed(index: tuple[Any, ...], ellipsis: Any) -> int:
    """Dimensions that the entries before the ellipsis use up."""
    n = 0
    for i in index:
        if i is ellipsis:
            return n
        if i is None or isinstance(i, bool):
            continue
        if isinstance(i, Tensor) and i.dtype._name in ("bool", "uint8"):
            n += i.ndim
        elif type(i).__module__ == "numpy" and getattr(i, "dtype", None) == bool:  # noqa: E721
            n += i.ndim
        elif isinstance(i, list) and i and _all_bools(i):
            n += make(i).ndim
        else:
            n += 1
    return n


# The largest number that C takes; no dimension reaches as far.
_END = 2**63 - 1


def _bound(i: Any) -> int:
    """A start, stop or step of a slice; what lies beyond any tensor is as good as the end, as in Python."""
    return max(-_END, min(_whole(i), _END))


def _outside(i: int, dim: int, x: Tensor) -> Exception:
    return IndexOutOfRangeError(f"index {i} is out of bounds for dimension {dim} with size {x.shape[dim]}")


def _whole(i: Any) -> int:
    try:
        return int(i.__index__())
    except (AttributeError, TypeError):
        raise DTypeError(
            "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
            f"(got {type(i).__name__})"
        ) from None


class _Indices(list["Tensor | None"]):
    """Index tensors by dimension; a mask stands for as many dimensions as it has."""

    covered = 0

    def put(self, dim: int, t: Tensor) -> None:
        self.extend([None] * (dim - self.covered))
        self.append(t)
        self.covered = dim + (t.ndim if t.dtype._name == "bool" else 1)


def _placed(indices: list[Tensor | None]) -> list[Tensor | None]:
    """Indices of a meta tensor: masks are told in whole numbers, and of these only the shape counts."""
    found: list[Tensor | None] = []
    for i in indices:
        if i is None:
            found.append(None)
        else:
            found += [moved(p, META) for p in (i.nonzero().unbind(1) if i.dtype is _BOOL else (i,))]
    return found


@attach
class TensorIndexing:
    """The methods of Tensor that index."""

    __slots__ = ()

    def __getitem__(self: Any, index: Any) -> Tensor:
        view, tensors = _split(self, index)
        if tensors is None:
            return _ops.expand(view, view.shape) if view is self else view
        if view.is_meta:
            tensors = _placed(tensors)
        return _ops.index(view, tensors)

    def __setitem__(self: Any, index: Any, value: Any) -> None:
        view, tensors = _split(self, index)
        if not isinstance(value, Tensor):
            if isinstance(value, (bool, int, float, complex)):
                if tensors is None:
                    _ops.fill_(view, value)
                    return
                value = made(lib.py_tensor_from_number(*number(value), -1))
            else:
                value = make(value, self.dtype)
        elif tensors is not None and value.dtype is not self.dtype:
            mask = tensors[0] if len(tensors) == 1 and tensors[0] is not None else None
            if mask is None or mask.dtype._name != "bool" or value.numel() != 1:
                raise DTypeError(
                    f"index_put: source and destination must have the same dtype, got {value.dtype} and {self.dtype}"
                )
            while mask.ndim < view.ndim:  # a mask of the first dimensions goes for all that is below
                mask = mask.unsqueeze(-1)
            fill: Any = value.reshape(())
            if not self.is_floating_point():
                fill = value.item()
                if isinstance(fill, float) and math.isfinite(fill):
                    fill = int(fill)  # fractions are cut off, what does not fit is refused
            _ops.masked_fill_(view, mask, fill)
            return
        if tensors is None:
            lead = value.ndim - view.ndim
            if lead > 0 and all(d == 1 for d in value.shape[:lead]):
                value = value.reshape(value.shape[lead:])
            _ops.copy_(view, value)
            return
        while value.ndim > 1 and value.shape[0] == 1:  # as in NumPy, such dimensions are no matter
            value = value[0]
        _ops.index_put_(view, value, tensors)
