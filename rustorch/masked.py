"""Reductions and softmax of the elements that a mask lets through: `rustorch.masked`, as `torch.masked`.

`mask` is True where an element counts; it is broadcast to the input. Where none counts, the result is that of no
elements.
"""

from __future__ import annotations

from typing import Any

import rustorch as rt
from rustorch import Tensor

__all__ = [
    "amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp", "logsumexp", "mean", "median",
    "norm", "normalize", "prod", "softmax", "softmin", "std", "sum", "var",
]  # fmt: skip

_INF = float("inf")


def _kept(input: Tensor, mask: Tensor | None, otherwise: Any) -> Tensor:
    """The input, and `otherwise` where it does not count."""
    if mask is None:
        return input
    kept: Tensor = rt.where(mask, input, rt.full((), otherwise, dtype=input.dtype))
    return kept


def _dims(input: Tensor, dim: Any) -> tuple[int, ...]:
    """The dimensions to reduce, all for None or none."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(input.ndim))
    return (dim,) if isinstance(dim, int) else tuple(dim)


def _lowest(d: Any) -> Any:
    return -_INF if d.is_floating_point or d.is_complex else rt.iinfo(d).min


def _highest(d: Any) -> Any:
    return _INF if d.is_floating_point else rt.iinfo(d).max


def _cast(input: Tensor, dtype: Any) -> Tensor:
    return input if dtype is None else input.to(dtype=dtype)


def _widened(input: Tensor, dtype: Any) -> Tensor:
    """Whole numbers add up in int64."""
    if dtype is None and not (input.is_floating_point() or input.is_complex()):
        dtype = rt.int64
    return _cast(input, dtype)


def _count(input: Tensor, mask: Tensor | None, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    ones = rt.ones_like(input, dtype=rt.int64)
    return (ones if mask is None else rt.where(mask, ones, 0)).sum(dims, keepdim) if dims else (
        ones if mask is None else rt.where(mask, ones, 0)
    )  # fmt: skip


def _summed(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.sum(dims, keepdim) if dims else x


def sum(
    input: Tensor, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The sum over `dim` (all by default)."""
    x = _widened(input, dtype)
    return _summed(_kept(x, mask, 0), _dims(input, dim), bool(keepdim))


def prod(
    input: Tensor, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The product over `dim` (all by default)."""
    x = _kept(_widened(input, dtype), mask, 1)
    dims = sorted((d % max(x.ndim, 1) for d in _dims(input, dim)), reverse=True)
    for d in dims:
        x = x.prod(d, bool(keepdim))
    return x


def _running(name: str) -> Any:
    otherwise = 0 if name == "cumsum" else 1

    def f(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
        return getattr(_kept(_widened(input, dtype), mask, otherwise), name)(dim)  # type: ignore[no-any-return]

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"`{name}` along `dim`; elements that do not count change nothing."
    return f


cumsum = _running("cumsum")
cumprod = _running("cumprod")


def _extreme(name: str, otherwise: Any) -> Any:
    def f(
        input: Tensor, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Tensor | None = None
    ) -> Tensor:
        x = _cast(input, dtype)
        return getattr(_kept(x, mask, otherwise(x.dtype)), name)(_dims(input, dim), bool(keepdim))  # type: ignore[no-any-return]

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"`{name}` over `dim` (all by default); where nothing counts, the worst number of the dtype."
    return f


amax = _extreme("amax", _lowest)
amin = _extreme("amin", _highest)


def _place(name: str, otherwise: Any) -> Any:
    def f(
        input: Tensor, dim: int | None = None, *, keepdim: Any = False, dtype: Any = None, mask: Tensor | None = None
    ) -> Tensor:
        x = _cast(input, dtype)
        return getattr(_kept(x, mask, otherwise(x.dtype)), name)(dim, bool(keepdim)).to(dtype=x.dtype)  # type: ignore[no-any-return]

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"`{name}` over `dim` (of all elements by default), as numbers of the input's dtype."
    return f


argmax = _place("argmax", _lowest)
argmin = _place("argmin", _highest)


def mean(
    input: Tensor, dim: Any = None, *, keepdim: Any = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The mean over `dim` (all by default); NaN where nothing counts."""
    x, dims = _cast(input, dtype), _dims(input, dim)
    if not (x.is_floating_point() or x.is_complex()):
        raise rt.errors.DTypeError(f"mean: expected a floating point or complex dtype, got {x.dtype}")
    total = _summed(_kept(x, mask, 0), dims, bool(keepdim))
    return total / _count(x, mask, dims, bool(keepdim))


def median(
    input: Tensor, dim: int = -1, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The lower median along `dim`; NaN where nothing counts."""
    x = _cast(input, dtype)
    if not x.is_floating_point():
        raise rt.errors.DTypeError(f"median: expected a floating point dtype, got {x.dtype}")
    return _kept(x, mask, float("nan")).nanmedian(dim, bool(keepdim))[0]  # type: ignore[no-any-return]


def logsumexp(
    input: Tensor, dim: Any = None, *, keepdim: bool = False, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The logarithm of the sum of the exponentials over `dim` (all by default); -infinity where nothing counts."""
    x = _cast(input, dtype)
    return _kept(x, mask, _lowest(x.dtype)).logsumexp(_dims(input, dim), bool(keepdim)).to(dtype=x.dtype)


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Any = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """The logarithm of the sum of two exponentials, of which those that do not count are 0."""
    x, y = _cast(input, dtype), _cast(other, dtype)
    return rt.logaddexp(_kept(x, input_mask, -_INF), _kept(y, other_mask, -_INF))


def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Any = None,
    *,
    keepdim: Any = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The `ord`-norm over `dim` (all by default) as one vector."""
    x, ord = _cast(input, dtype), 2.0 if ord is None else float(ord)
    x = _kept(x, mask, _INF if ord < 0 else 0)
    return rt.linalg.vector_norm(x, ord, _dims(input, dim), bool(keepdim))


def _spread(
    input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: Any, dtype: Any, mask: Tensor | None
) -> Tensor:
    if dtype is None and not (input.is_floating_point() or input.is_complex()):
        dtype = rt.float32
    x, dims = _cast(input, dtype), _dims(input, dim)
    average = _summed(_kept(x, mask, 0), dims, True) / _count(x, mask, dims, True)
    off = _kept(x - average, mask, 0)
    squares = off * off.conj() if x.is_complex() else off * off
    count = _count(x, mask, dims, bool(keepdim))
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    if correction:
        count = rt.clamp(count.to(rt.float64) - correction, min=0)
    return (_summed(squares, dims, bool(keepdim)) / count).to(dtype=x.dtype)


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: Any = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance over `dim` (all by default), with one degree of freedom taken off unless not `unbiased`."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: Any = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The standard deviation over `dim` (all by default)."""
    return _spread(input, dim, unbiased, correction, keepdim, dtype, mask).sqrt()


def softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The softmax along `dim` of those that count."""
    x = _cast(input, dtype)
    return rt.softmax(_kept(x, mask, -_INF), dim)


def log_softmax(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The logarithm of `softmax`."""
    x = _cast(input, dtype)
    return rt.log_softmax(_kept(x, mask, -_INF), dim)


def softmin(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """The softmax of the negatives."""
    x = _cast(input, dtype)
    return rt.softmax(-_kept(x, mask, _INF), dim)


def normalize(
    input: Tensor, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None, mask: Tensor | None = None
) -> Tensor:
    """The input over its `ord`-norm along `dim`, of those that count; 0 for the others."""
    x = _cast(input, dtype)
    length = norm(x, ord, dim, keepdim=True, mask=mask)
    return _kept(x / rt.clamp(length, min=eps), mask, 0)
