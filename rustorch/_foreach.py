"""`_foreach_*`: one op on each tensor of a list, which optimizers outside of this library call."""

from __future__ import annotations

from typing import Any

from . import _ops
from ._tensor import Tensor
from .errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# PyTorch's names, without `_foreach_`: of one list; of a list and a number, a tensor or a list.
_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg reciprocal round "
    "rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
)
_BINARY = "add sub mul div pow clamp_min clamp_max minimum maximum"
_LISTS = (list, tuple)


def _per_tensor(v: Any, n: int, op: str) -> Sequence[Any]:
    """What each of `n` tensors gets: its part of a list, or the same."""
    if isinstance(v, _LISTS):
        if len(v) != n:
            raise InvalidArgumentError(f"{op}: got lists of {n} and {len(v)}")
        return v
    return [v] * n


def _same_length(op: str, *lists: Any) -> int:
    sizes = {len(v) for v in lists}
    if len(sizes) != 1 or 0 in sizes:
        raise InvalidArgumentError(f"{op}: wanted lists of one length with at least one tensor, got {sorted(sizes)}")
    return sizes.pop()


def _finished(name: str, f: Callable[..., Any], doc: str) -> Callable[..., Any]:
    f.__name__ = f.__qualname__ = name
    f.__doc__ = doc
    return f


def _unary(op: str, inplace: bool) -> Callable[..., Any]:
    name = f"_foreach_{op}{'_' * inplace}"
    word = getattr(_ops, op + "_" * inplace)

    def f(self: Sequence[Tensor]) -> Any:
        _same_length(name, self)
        results = [word(t) for t in self]
        return None if inplace else tuple(results)

    return _finished(name, f, f"`{op}` of each tensor{', in place' * inplace}.")


def _word(op: str, inplace: bool) -> Callable[..., Any]:
    """The op of two operands, of which the second may be a number."""
    if op in ("clamp_min", "clamp_max", "minimum", "maximum"):
        bound = "min" if op in ("clamp_min", "maximum") else "max"
        method = "clamp_" if inplace else "clamp"
        return lambda t, v: getattr(t, method)(**{bound: v})
    return getattr(_ops, op + "_" * inplace)  # type: ignore[no-any-return]


def _binary(op: str, inplace: bool) -> Callable[..., Any]:
    name = f"_foreach_{op}{'_' * inplace}"
    word = _word(op, inplace)
    signed = op in ("add", "sub")

    def f(self: Any, other: Any, **options: Any) -> Any:
        if options.keys() - ({"alpha"} if signed else set()):
            raise TypeError(f"{name}: got unexpected options {sorted(options)}")
        if op == "pow" and not isinstance(self, _LISTS):  # a number to powers
            return tuple([_ops.pow(Tensor.new_tensor(e, self, dtype=None), e) for e in other])
        n = _same_length(name, self)
        results = [word(t, v, **options) for t, v in zip(self, _per_tensor(other, n, name))]
        return None if inplace else tuple(results)

    return _finished(
        name, f, f"`{op}` of each tensor and a number, a tensor or its part of a list{', in place' * inplace}."
    )


def _pointwise(op: str, inplace: bool) -> Callable[..., Any]:
    name = f"_foreach_{op}{'_' * inplace}"
    word = getattr(_ops, op + "_" * inplace)

    def f(self: Any, tensor1: Any, tensor2: Any, value: Any = 1, *, scalars: Any = None) -> Any:
        n = _same_length(name, self, tensor1, tensor2)
        factors = value if scalars is None else scalars
        factors = _per_tensor(factors.tolist() if isinstance(factors, Tensor) and factors.ndim else factors, n, name)
        results = [word(t, a, b, value=v) for t, a, b, v in zip(self, tensor1, tensor2, factors)]
        return None if inplace else tuple(results)

    return _finished(
        name, f, f"`{op}` of the tensors of three lists{', in place' * inplace}; a factor, or one for each."
    )


def _lerp(inplace: bool) -> Callable[..., Any]:
    name = f"_foreach_lerp{'_' * inplace}"
    word = _ops.lerp_ if inplace else _ops.lerp

    def f(self: Any, tensors1: Any, weight: Any) -> Any:
        n = _same_length(name, self, tensors1)
        results = [word(t, end, w) for t, end, w in zip(self, tensors1, _per_tensor(weight, n, name))]
        return None if inplace else tuple(results)

    return _finished(name, f, f"`lerp` of the tensors of two lists{', in place' * inplace}.")


for _op in _UNARY.split():
    for _inplace in (False, True):
        if hasattr(_ops, _op + "_" * _inplace):
            globals()[f"_foreach_{_op}{'_' * _inplace}"] = _unary(_op, _inplace)
for _inplace in (False, True):
    for _op in _BINARY.split():
        globals()[f"_foreach_{_op}{'_' * _inplace}"] = _binary(_op, _inplace)
    for _op in ("addcmul", "addcdiv"):
        globals()[f"_foreach_{_op}{'_' * _inplace}"] = _pointwise(_op, _inplace)
    globals()[f"_foreach_lerp{'_' * _inplace}"] = _lerp(_inplace)


def _foreach_zero_(self: Sequence[Tensor]) -> None:
    """Sets all elements of each tensor to 0."""
    _same_length("_foreach_zero_", self)
    for t in self:
        t.zero_()


def _foreach_copy_(self: Sequence[Tensor], src: Sequence[Tensor], non_blocking: bool = False) -> None:
    """Copies the tensors of one list into those of another."""
    _same_length("_foreach_copy_", self, src)
    for t, s in zip(self, src):
        t.copy_(s)


def _foreach_norm(self: Sequence[Tensor], ord: Any = 2, dtype: Any = None) -> tuple[Tensor, ...]:
    """The norm of all elements of each tensor."""
    _same_length("_foreach_norm", self)
    return tuple([_ops.vector_norm(t, ord, dtype=dtype) for t in self])


def _foreach_max(self: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The greatest element of each tensor."""
    _same_length("_foreach_max", self)
    return tuple([t.max() for t in self])
