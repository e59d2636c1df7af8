"""Words that compute element by element, compare, or multiply."""

from __future__ import annotations

from functools import wraps

from .. import _ops
from .._arguments import operand, several_into
from ..dtypes import BY_NAME
from ..errors import DTypeError, InvalidArgumentError
from .common import _is_tensor, return_frexp, return_svd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._tensor import Tensor


def _numbers_between(f: Callable[..., Any], tensors: int, *names: str) -> Callable[..., Any]:
    """Lets the factors stand among the tensors, as they did in old versions of PyTorch: `t.addcmul_(value, a, b)`.

    `tensors` are so many, and the factors have these names. The forms are deprecated there, with this warning.
    """

    @wraps(f)
    def op(*args: Any, **kwargs: Any) -> Any:
        more = len(args) - tensors
        if 0 < more <= len(names):
            # A function's first factor may also stand before its first tensor.
            first = 0 if _is_tensor(args[0]) else 1
            numbers = [*args[:first], *args[first + 1 : more + 1]]
            operands = [args[first], *args[more + 1 :]]
            factors = dict(zip(names, numbers))
            fit = all(map(_is_tensor, operands)) and not any(map(_is_tensor, numbers))
            if fit and not factors.keys() & kwargs.keys():
                import warnings

                right = ", ".join(f"{name}={v!r}" for name, v in factors.items())
                warnings.warn(f"This overload of {f.__name__} is deprecated: give {right} by name", stacklevel=2)
                return f(*operands, **factors, **kwargs)
        return f(*args, **kwargs)

    return op


addcmul, addcmul_, addcdiv, addcdiv_ = (
    _numbers_between(f, 3, "value") for f in (_ops.addcmul, _ops.addcmul_, _ops.addcdiv, _ops.addcdiv_)
)
addmm, addmm_, addmv, addmv_, addr, addr_, addbmm, addbmm_, baddbmm, baddbmm_ = (
    _numbers_between(f, 3, "beta", "alpha")
    for f in (
        _ops.addmm, _ops.addmm_, _ops.addmv, _ops.addmv_, _ops.addr, _ops.addr_, _ops.addbmm, _ops.addbmm_,
        _ops.baddbmm, _ops.baddbmm_,
    )
)  # fmt: skip


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """`input` limited to [min, max]; bounds are numbers or tensors, either may be missing."""
    if _is_tensor(min) or _is_tensor(max):
        low = None if min is None else operand(min)
        high = None if max is None else operand(max)
        return _ops.clamp_tensor(input, low, high, out=out)
    return _ops.clamp(input, min, max, out=out)


def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """In-place form of clamp."""
    if _is_tensor(min) or _is_tensor(max):
        return _ops.clamp_tensor_(input, None if min is None else operand(min), None if max is None else operand(max))
    return _ops.clamp_(input, min, max)


def clamp_min(input: Tensor, min: Any, *, out: Any = None) -> Tensor:
    """`input` limited from below by a number or a tensor."""
    if _is_tensor(min):
        return clamp(input, min, None, out=out)
    return _ops.clamp_min(input, min, out=out)


def clamp_max(input: Tensor, max: Any, *, out: Any = None) -> Tensor:
    """`input` limited from above by a number or a tensor."""
    if _is_tensor(max):
        return clamp(input, None, max, out=out)
    return _ops.clamp_max(input, max, out=out)


def clamp_min_(input: Tensor, min: Any) -> Tensor:
    """In-place form of clamp_min."""
    return clamp_(input, min, None) if _is_tensor(min) else _ops.clamp_min_(input, min)


def clamp_max_(input: Tensor, max: Any) -> Tensor:
    """In-place form of clamp_max."""
    return clamp_(input, None, max) if _is_tensor(max) else _ops.clamp_max_(input, max)


def float_power_(input: Tensor, exponent: Any) -> Tensor:
    """In-place form of float_power, of float64 only, which is what that gives."""
    if input.dtype is not BY_NAME["float64"]:
        raise DTypeError(
            f"float_power_: the base has dtype {input.dtype}, but the result requires dtype {BY_NAME['float64']}"
        )
    return _ops.float_power_(input, exponent)


clip_ = clamp_


def polygamma(n: Any, input: Any, *, out: Any = None) -> Tensor:
    """The `n`-th derivative of digamma."""
    return _ops.polygamma(n, input, out=out)


def frexp(input: Tensor, *, out: Any = None) -> Any:
    """Mantissas, of absolute value from 0.5 to 1 (or 0), and exponents: `input = mantissa * 2 ** exponent`."""
    return return_frexp(*_ops.frexp(input, out=out))


def _polygamma_method(input: Tensor, n: int) -> Tensor:
    return _ops.polygamma(n, input)


def equal(input: Tensor, other: Tensor) -> bool:
    """True if shapes and all elements are equal."""
    return bool(_ops.equal(input, other))


def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """`input` to the power of `exponent`; one of the two may be a number."""
    return _ops.pow(operand(input) if _is_tensor(exponent) else input, exponent, out=out)


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """True if |input - other| <= atol + rtol * |other| everywhere."""
    return bool(_ops.allclose(input, other, rtol, atol, equal_nan))


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False, out: Any = None
) -> Tensor:
    """True for those of `elements` that are among `test_elements` (not, if `invert`); one of them may be a number."""
    return _ops.isin(elements, test_elements, assume_unique, invert, out=out)


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products by Einstein's notation, such as "bij,bjk->bik"."""
    ts = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    return _ops.einsum(equation if equation != "" else "->", ts)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Tensor:
    """Contraction over the last `dims` dimensions of `a` and the first of `b`, or over two lists of dimensions."""
    if _is_tensor(dims):
        dims = int(dims) if dims.numel() == 1 else dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise InvalidArgumentError(f"tensordot: dims must be from 0 to {min(a.ndim, b.ndim)}, got {dims}")
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    if not isinstance(dims, (list, tuple)) or len(dims) != 2 or any(isinstance(d, int) for d in dims):
        raise DTypeError(f"tensordot(): argument 'dims' must be an int or two sequences of ints, not {dims!r}")
    da, db = (tuple(d) for d in dims)
    return _ops.tensordot(a, b, da, db, out=out)


def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """PyTorch's old word for `linalg.svd`: U, S and V (not its transpose). Without `compute_uv` U and V are zeros."""
    return several_into(out, _ops.svd(input, some, compute_uv), return_svd)


def spmm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Tensor:
    """`mm`: all tensors are dense."""
    return _ops.mm(input, mat2, out=out)
