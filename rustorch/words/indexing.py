"""Words that pick elements, or put them in their places."""

from __future__ import annotations

from .. import _ops
from .._arguments import flags, into
from ..dtypes import BY_NAME
from ..errors import DTypeError, InvalidArgumentError
from .common import _is_tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._tensor import Tensor


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` elements of dimension `dim` from `start`; a view."""
    return _ops.narrow(input, dim, _start("narrow", start), length)


def _start(op: str, start: Any) -> Any:
    if _is_tensor(start) and (start.dim() or start.is_floating_point() or start.dtype is BY_NAME["bool"]):
        raise DTypeError(f"{op}: start must be an int or a 0-dim integral Tensor")
    return start


def narrow_copy(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`narrow` as a copy."""
    return _ops.narrow_copy(input, dim, _start("narrow_copy", start), length)


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where `condition` holds, else `other`; with the condition alone, the indices where it holds."""
    if input is None and other is None:
        return _ops.nonzero_list(condition)
    return _ops.where(condition, input, other, out=out)


def _where_method(input: Tensor, condition: Tensor, other: Any) -> Tensor:
    return _ops.where(condition, input, other)


def nonzero(input: Tensor, *, out: Any = None, as_tuple: bool = False) -> Any:
    """Indices of the elements that are not zero: one row each, or one tensor per dimension."""
    flags("nonzero", as_tuple=as_tuple)
    if as_tuple:
        return _ops.nonzero_list(input)
    return _ops.nonzero(input, out=out)


# PyTorch's words for reductions in `scatter`, and in `scatter_reduce`.
_SCATTERED = {"add": "sum", "multiply": "prod"}


def _scatter(name: str) -> Callable[..., Tensor]:
    stem = name.rstrip("_")

    def f(
        input: Tensor,
        dim: int,
        index: Tensor,
        src: Any = None,
        *,
        value: Any = None,
        reduce: Any = None,
        out: Any = None,
    ) -> Any:
        source = value if src is None else src
        options: tuple[Any, ...] = ()
        op = name if _is_tensor(source) else f"{stem}_value"
        if reduce is not None:
            if reduce not in _SCATTERED:
                raise InvalidArgumentError(f"{name}: reduce must be either 'add' or 'multiply', got {reduce!r}")
            options, op = (_SCATTERED[reduce],), f"{op.rstrip('_')}_reduce"
        if name != stem and not op.endswith("_"):
            op += "_"
        if op == "scatter_value_reduce":  # of several ops
            r = _ops.scatter_value_reduce(input, dim, index, source, *options)
            return r if out is None else into(out, r, stem, input, index)
        written = {} if out is None else {"out": out}
        return getattr(_ops, op)(input, dim, index, source, *options, **written)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "Puts `src` (a tensor or a number) at the places that `index` names along `dim`."
    return f


scatter = _scatter("scatter")
scatter_ = _scatter("scatter_")


def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """`input[indices] = values` in place (adds with `accumulate`)."""
    return _ops.index_put_(input, values, indices, accumulate)


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of `input` with `values` at `indices`."""
    return _ops.index_put(input, values, indices, accumulate)


def unravel_index(indices: Tensor, shape: Any) -> Any:
    """The coordinates, one tensor for each of `shape`, of elements that have these places in row-major order."""
    if not _is_tensor(indices):
        raise DTypeError(f"unravel_index: expected 'indices' to be a Tensor, not {type(indices).__name__}")
    if _is_tensor(shape):
        shape = shape.tolist()
    return tuple(_ops.unravel_index(indices, shape))
