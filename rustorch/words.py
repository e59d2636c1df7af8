"""The words of PyTorch's API that are not one op of the table: overloads, conversions, names for combinations.

A function whose first parameter is `input` serves as a method of Tensor too (see `TensorWords`).
"""

from __future__ import annotations

import builtins
from collections import namedtuple
from functools import wraps
from typing import Any

from . import _device, _ops
from ._device import CPU, put
from ._device import check as check_device
from ._door import (
    check,
    check_into,
    created,
    error,
    ffi,
    flags,
    into,
    ints,
    lib,
    number,
    operand,
    refused,
    shape_,
    whole,
)
from .dtypes import ALL, BY_NAME, from_python, get_default_dtype, is_word
from .dtypes import dtype as dtype_
from .errors import AutogradError, DTypeError, InvalidArgumentError, RustorchError, ShapeMismatchError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._tensor import Tensor

# The class below has methods called int, float and bool.
_int = builtins.int
_float = builtins.float
_bool = builtins.bool
_range = builtins.range

# ---- results with names, as PyTorch has them ----

_ValuesIndices = namedtuple("_ValuesIndices", ("values", "indices"))


def _result(op: str, fields: str = "values indices") -> Any:
    def show(self: Any) -> str:
        return f"rustorch.return_types.{op}(\n" + ",\n".join(f"{k}={v!r}" for k, v in self._asdict().items()) + ")"

    cls = namedtuple(op, fields.split())  # type: ignore[misc]
    cls.__repr__ = show  # type: ignore[method-assign]
    return cls


return_max = _result("max")
return_min = _result("min")
return_median = _result("median")
return_nanmedian = _result("nanmedian")
return_mode = _result("mode")
return_sort = _result("sort")
return_topk = _result("topk")
return_kthvalue = _result("kthvalue")
return_cummax = _result("cummax")
return_cummin = _result("cummin")
return_aminmax = _result("aminmax", "min max")


def _is_tensor(v: Any) -> _bool:
    return hasattr(v, "_h") and hasattr(v, "requires_grad")


def _numpy_names(f: Callable[..., Any]) -> Callable[..., Any]:
    """Lets `axis` and `keepdims` stand for `dim` and `keepdim`, as in NumPy and as the generated ops do."""

    @wraps(f)
    def named(*args: Any, **kwargs: Any) -> Any:
        for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
            if theirs in kwargs:
                v = kwargs.pop(theirs)
                if v is not None:  # NumPy's word for all dimensions
                    kwargs[ours] = v
        return f(*args, **kwargs)

    return named


# In place of what was not given, where None is nothing to give, as in PyTorch.
class _NotGiven:
    __slots__ = ()

    def __repr__(self) -> str:
        return "None"


_MISSING: Any = _NotGiven()


def _pair(result: Any, make: Any, out: Any, input: Tensor) -> Any:
    if out is None:
        return make(*result)
    op = make.__name__
    if len(out) != len(result):
        raise InvalidArgumentError(f"{op}: wanted {len(result)} tensors as out, got {len(out)}")
    # Both or none: what is refused is refused before the first is written to.
    for o, r in zip(out, result):
        if o.dtype != r.dtype and not r.is_floating_point() and o is out[-1]:
            raise DTypeError(f"{op}: expected out for indices of dtype {r.dtype}, got {o.dtype}")
        check_into(o, r, op, input)
    return make(*(into(o, r, op, input) for o, r in zip(out, result)))


def _extreme(name: str, make: Any) -> Any:
    def f(input: Tensor, dim: Any = _MISSING, keepdim: _bool = False, *, other: Any = None, out: Any = None) -> Any:
        if other is None and _is_tensor(dim):
            other, dim = dim, None
        if other is not None:
            return getattr(_ops, f"{name}imum")(input, other, out=out)
        if dim is _MISSING:
            r = getattr(_ops, f"{name}_all")(input)
            return r if out is None else into(out, r)
        return _pair(getattr(_ops, f"{name}_dim")(input, dim, keepdim), make, out, input)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = (
        f"The {name}imum: of all elements; over `dim` as (values, indices), its size becoming 1 with `keepdim`; or, "
        "given another tensor, elementwise."
    )
    return f


max = _numpy_names(_extreme("max", return_max))
min = _numpy_names(_extreme("min", return_min))


@_numpy_names
def median(input: Tensor, dim: Any = _MISSING, keepdim: _bool = False, *, out: Any = None) -> Any:
    """The lower median of all elements, or over `dim` as (values, indices)."""
    if dim is _MISSING:
        r = _ops.median_all(input)
        return r if out is None else into(out, r)
    return _pair(_ops.median_dim(input, dim, keepdim), return_median, out, input)


@_numpy_names
def prod(input: Tensor, dim: Any = _MISSING, keepdim: _bool = False, dtype: Any = None, *, out: Any = None) -> Tensor:
    """Product of all elements, or over `dim`; whole numbers become int64."""
    if dim is None:
        raise refused("prod", "dim", "Int", dim)
    return _ops.prod(input, None if dim is _MISSING else dim, keepdim, dtype, out=out)


def _named_pair(name: str, make: Any) -> Any:
    op = getattr(_ops, name, None)

    def f(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if op is None:
            raise UnsupportedError(f"{name}: not built")
        return _pair(op(input, *args, **kwargs), make, out, input)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = op.__doc__ if op is not None else name
    return f


topk = _named_pair("topk", return_topk)
kthvalue = _named_pair("kthvalue", return_kthvalue)
mode = _named_pair("mode", return_mode)
cummax = _named_pair("cummax", return_cummax)
cummin = _named_pair("cummin", return_cummin)


@_numpy_names
def sort(
    input: Tensor, dim: _int = -1, descending: _bool = False, stable: _bool | None = False, *, out: Any = None
) -> Any:
    """Sorted values along `dim` and the indices they came from. Equal elements keep their order."""
    if stable is not None:
        flags("sort", stable=stable)
    return _pair(_ops.sort(input, dim, descending, True), return_sort, out, input)


@_numpy_names
def argsort(input: Tensor, dim: _int = -1, descending: _bool = False, stable: _bool = False) -> Tensor:
    """The indices that sort `input` along `dim`."""
    flags("argsort", stable=stable)
    return _ops.argsort(input, dim, descending, True)


@_numpy_names
def aminmax(input: Tensor, *, dim: _int | None = None, keepdim: _bool = False) -> Any:
    """Minimum and maximum as one pair."""
    d: Any = () if dim is None else whole("aminmax", "dim", dim)
    return return_aminmax(_ops.amin(input, d, keepdim), _ops.amax(input, d, keepdim))


def _spread(name: str) -> Any:
    def f(
        input: Tensor,
        dim: Any = None,
        unbiased: Any = None,
        keepdim: _bool = False,
        *,
        correction: Any = None,
        out: Any = None,
    ) -> Any:
        if (isinstance(dim, _bool) or correction is not None) and unbiased is not None:
            raise DTypeError(f"{name}(): wanted one of unbiased and correction, got {unbiased!r} besides another")
        if isinstance(dim, _bool):
            dim, unbiased = None, dim
        if unbiased is not None:
            flags(name, unbiased=unbiased)
        if correction is None:
            correction = 1 if unbiased is None or unbiased else 0
        r = getattr(_ops, name)(input, dim, correction, keepdim)
        return r if out is None else into(out, r)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = (
        f"`{name}` over `dim` (all by default) with `correction` degrees of freedom taken off (1; 0 if not `unbiased`)."
    )
    return f


std = _numpy_names(_spread("std"))
var = _numpy_names(_spread("var"))
std_mean = _numpy_names(_spread("std_mean"))
var_mean = _numpy_names(_spread("var_mean"))


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: _bool = False, out: Any = None, dtype: Any = None
) -> Tensor:
    """The `p`-norm of the elements over `dim` (all by default); "fro" is the 2-norm, "nuc" the nuclear norm."""
    if p is None or p == "fro":
        if p is not None and not isinstance(dim, _int) and dim is not None and len(dim) > 2:
            raise ShapeMismatchError(f"norm: for 'fro' dim must hold at most two dimensions, got {dim}")
        p = 2.0
    elif p == "nuc":
        from .linalg import matrix_norm

        return matrix_norm(
            input, "nuc", tuple(_range(input.ndim)) if dim is None else dim, keepdim, dtype=dtype, out=out
        )
    r = _ops.vector_norm(input, _float(p), dim, keepdim, dtype)
    return r if out is None else into(out, r)


def split(input: Tensor, split_size_or_sections: Any, dim: _int = 0, *, split_size: Any = None) -> Any:
    """Views of `input` along `dim`: pieces of one size, or of the given sizes."""
    s = split_size if split_size is not None else split_size_or_sections
    if _is_tensor(s) and s.numel() == 1:
        s = _int(s)
    return _ops.split(input, s, dim) if isinstance(s, _int) else _ops.split_with_sizes(input, s, dim)


@_numpy_names
def tensor_split(input: Tensor, indices_or_sections: Any, dim: _int = 0) -> Any:
    """Views of `input` along `dim`: so many nearly equal ones, or cut at the given indices."""
    s = indices_or_sections.tolist() if _is_tensor(indices_or_sections) else indices_or_sections
    if isinstance(s, _int):
        return _ops.tensor_split_sections(input, s, dim)
    return _ops.tensor_split_indices(input, s, dim)


def _split_along(name: str, least: _int, dim: _int) -> Any:
    def f(input: Tensor, indices_or_sections: Any) -> Any:
        if input.ndim < least:
            raise ShapeMismatchError(
                f"{name}: requires a tensor with at least {least} dimension{'s'[: least - 1]}, got {input.ndim}"
            )
        d = 0 if input.ndim == 1 else dim
        n = indices_or_sections
        if isinstance(n, _int) and (n <= 0 or input.shape[d] % n):
            raise InvalidArgumentError(
                f"{name}: dimension {d} of size {input.shape[d]} is not divisible by the split_size {n}"
            )
        return tensor_split(input, n, d)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"Views of `input` along dimension {dim}: so many equal ones, or cut at the given indices."
    return f


hsplit = _split_along("hsplit", 1, 1)
hsplit.__doc__ = "Views of `input` along dimension 1 (0 of a vector): so many equal ones, or cut at the given indices."
vsplit = _split_along("vsplit", 2, 0)
dsplit = _split_along("dsplit", 3, 2)


def unsafe_split(input: Tensor, split_size: Any, dim: _int = 0) -> Any:
    """`split`. In-place changes of the parts are recorded, so there is nothing unsafe about it here."""
    return split(input, split_size, dim)


def unsafe_chunk(input: Tensor, chunks: _int, dim: _int = 0) -> Any:
    """`chunk`. In-place changes of the parts are recorded, so there is nothing unsafe about it here."""
    return _ops.chunk(input, chunks, dim)


def narrow(input: Tensor, dim: _int, start: Any, length: _int) -> Tensor:
    """`length` elements of dimension `dim` from `start`; a view."""
    if _is_tensor(start) and (start.dim() or start.is_floating_point() or start.dtype is BY_NAME["bool"]):
        raise DTypeError("narrow: start must be an int or a 0-dim integral Tensor")
    return _ops.narrow(input, dim, start, length)


def narrow_copy(input: Tensor, dim: _int, start: Any, length: _int) -> Tensor:
    """`narrow` as a copy."""
    return _ops.clone(_ops.narrow(input, dim, start, length))


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where `condition` holds, else `other`; with the condition alone, the indices where it holds."""
    if input is None and other is None:
        return _ops.nonzero_list(condition)
    r = _ops.where(condition, input, other)
    return r if out is None else into(out, r)


def _where_method(input: Tensor, condition: Tensor, other: Any) -> Tensor:
    return _ops.where(condition, input, other)


def nonzero(input: Tensor, *, out: Any = None, as_tuple: _bool = False) -> Any:
    """Indices of the elements that are not zero: one row each, or one tensor per dimension."""
    if as_tuple is not False:
        flags("nonzero", as_tuple=as_tuple)
    if as_tuple:
        return _ops.nonzero_list(input)
    r = _ops.nonzero(input)
    return r if out is None else into(out, r)


@_numpy_names
def repeat_interleave(input: Tensor, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Tensor:
    """Each element repeated, by one number or one per element; a lone tensor gives each index as often as it says."""
    if output_size is not None:
        output_size = whole("repeat_interleave", "output_size", output_size)
    if repeats is None:
        result, along = _ops.repeat_interleave_tensor(_ops.arange(0, input.numel(), 1), input, 0), 0
    elif isinstance(repeats, _int):
        result, along = _ops.repeat_interleave_int(input, repeats, dim), 0 if dim is None else dim
    else:
        from ._tensor import make

        r = repeats if _is_tensor(repeats) else make(repeats)
        if dim is None:
            input, dim = input.reshape(-1), 0
        result, along = _ops.repeat_interleave_tensor(input, r, dim), dim
    if output_size is not None and result.size(along) != output_size:
        raise InvalidArgumentError(
            f"repeat_interleave: Invalid output_size, expected {result.size(along)} but got {output_size}"
        )
    return result


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Any = None) -> Tensor:
    """`input` limited to [min, max]; bounds are numbers or tensors, either may be missing."""
    if _is_tensor(min) or _is_tensor(max):
        low = None if min is None else operand(min)
        high = None if max is None else operand(max)
        r = _ops.clamp_tensor(input, low, high)
    else:
        r = _ops.clamp(input, min, max)
    return r if out is None else into(out, r)


def clamp_(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """In-place form of clamp."""
    if _is_tensor(min) or _is_tensor(max):
        # Backward will need the old values.
        r = clamp(input.clone() if input.requires_grad and lib.rt_grad_enabled() else input, min, max)
        if not can_cast(r.dtype, input.dtype):
            raise DTypeError(f"clamp_: result type {r.dtype} can't be cast to the desired output type {input.dtype}")
        return input.copy_(r)
    return _ops.clamp_(input, min, max)


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


def _cumulative(name: str) -> Any:
    op = getattr(_ops, name)

    def f(input: Tensor, dim: _int, *, dtype: Any = None) -> Tensor:
        if dtype is not None and from_python(dtype) is not input.dtype:
            raise DTypeError(f"{name}: the tensor has dtype {input.dtype}, which must be the result's, got {dtype}")
        return op(input, dim)  # type: ignore[no-any-return]

    f.__name__ = f.__qualname__ = name
    f.__doc__ = op.__doc__
    return _numpy_names(f)


cumsum_ = _cumulative("cumsum_")
cumprod_ = _cumulative("cumprod_")


clip_ = clamp_


def clamp_min(input: Tensor, min: Any, *, out: Any = None) -> Tensor:
    """`input` limited from below by a number or a tensor."""
    return clamp(input, min, None, out=out)


def clamp_max(input: Tensor, max: Any, *, out: Any = None) -> Tensor:
    """`input` limited from above by a number or a tensor."""
    return clamp(input, None, max, out=out)


def polygamma(n: Any, input: Any, *, out: Any = None) -> Tensor:
    """The `n`-th derivative of digamma."""
    r = _ops.polygamma(n, input)
    return r if out is None else into(out, r)


def _polygamma_method(input: Tensor, n: _int) -> Tensor:
    return _ops.polygamma(n, input)


def _atleast(k: _int) -> Any:
    def f(*tensors: Any) -> Any:
        op = getattr(_ops, f"atleast_{k}d")
        if len(tensors) == 1:
            ts = tensors[0]
            return op(ts) if _is_tensor(ts) else tuple(op(t) for t in ts)
        return tuple(op(t) for t in tensors)

    f.__name__ = f.__qualname__ = f"atleast_{k}d"
    f.__doc__ = f"Each tensor with at least {k} dimensions."
    return f


atleast_1d = _atleast(1)
atleast_2d = _atleast(2)
atleast_3d = _atleast(3)


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of a larger one."""
    return _ops.block_diag(list(tensors))


def _scatter(name: str) -> Callable[..., Tensor]:
    def f(
        input: Tensor,
        dim: _int,
        index: Tensor,
        src: Any = None,
        *,
        value: Any = None,
        reduce: Any = None,
        out: Any = None,
    ) -> Any:
        if reduce is not None:
            words = {"add": "sum", "multiply": "prod"}
            if reduce not in words:
                raise InvalidArgumentError(f"{name}: reduce must be either 'add' or 'multiply', got {reduce!r}")
            s = src if _is_tensor(src) else _ops.full(index.shape, src if src is not None else value, dtype=input.dtype)
            r = _ops.scatter_reduce(input, dim, index, s, words[reduce], True)
            r = input.copy_(r) if name.endswith("_") else r
        elif _is_tensor(src):
            r = getattr(_ops, name)(input, dim, index, src)
        else:
            twin = "scatter_value_" if name.endswith("_") else "scatter_value"
            r = getattr(_ops, twin)(input, dim, index, value if src is None else src)
        return r if out is None else into(out, r)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "Puts `src` (a tensor or a number) at the places that `index` names along `dim`."
    return f


scatter = _scatter("scatter")
scatter_ = _scatter("scatter_")


def index_put_(input: Tensor, indices: Any, values: Tensor, accumulate: _bool = False) -> Tensor:
    """`input[indices] = values` in place (adds with `accumulate`)."""
    return _ops.index_put_(input, values, indices, accumulate)


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: _bool = False) -> Tensor:
    """A copy of `input` with `values` at `indices`."""
    return _ops.index_put(input, values, indices, accumulate)


# ---- comparison of whole tensors ----


def equal(input: Tensor, other: Tensor) -> _bool:
    """True if shapes and all elements are equal."""
    return input.shape == other.shape and _bool(_ops.all(_ops.eq(input, other)))


def pow(input: Any, exponent: Any, *, out: Any = None) -> Tensor:
    """`input` to the power of `exponent`; one of the two may be a number."""
    return _ops.pow(operand(input) if _is_tensor(exponent) else input, exponent, out=out)


def allclose(input: Tensor, other: Tensor, rtol: _float = 1e-5, atol: _float = 1e-8, equal_nan: _bool = False) -> _bool:
    """True if |input - other| <= atol + rtol * |other| everywhere."""
    return _bool(_ops.all(isclose(input, other, rtol, atol, equal_nan)))


def isclose(
    input: Tensor,
    other: Tensor,
    rtol: _float = 1e-5,
    atol: _float = 1e-8,
    equal_nan: _bool = False,
    *,
    out: Any = None,
) -> Tensor:
    """True where |input - other| <= atol + rtol * |other|; NaN are close to each other if `equal_nan`."""
    if rtol != rtol or atol != atol:
        raise InvalidArgumentError(f"isclose: rtol and atol must be at least zero, got {rtol} and {atol}")
    return _ops.isclose(input, other, rtol, atol, equal_nan, out=out)


def isin(
    elements: Any, test_elements: Any, *, assume_unique: _bool = False, invert: _bool = False, out: Any = None
) -> Tensor:
    """True for those of `elements` that are among `test_elements` (not, if `invert`); one of them may be a number."""
    for v in (elements, test_elements):
        if v is True or v is False or (_is_tensor(v) and v.dtype is BY_NAME["bool"]):
            raise DTypeError("isin: not implemented for dtype bool")
    return _ops.isin(elements, test_elements, assume_unique, invert, out=out)


def unique(
    input: Tensor, sorted: _bool = True, return_inverse: _bool = False, return_counts: _bool = False, dim: Any = None
) -> Any:
    """The distinct elements in ascending order, on demand with each element's place among them and their counts."""
    if dim is None:
        values, inverse, counts = _ops.unique_flat(input, sorted, return_inverse, return_counts)
    else:
        flags("unique", sorted=sorted, return_inverse=return_inverse, return_counts=return_counts)
        values, inverse, counts = _ops.unique_dim(input, dim)
    return _chosen(values, inverse, counts, return_inverse, return_counts)


def _chosen(values: Tensor, inverse: Any, counts: Any, want_inverse: _bool, want_counts: _bool) -> Any:
    if not want_inverse and not want_counts:
        return values
    return (values, *([inverse] if want_inverse else []), *([counts] if want_counts else []))


def unique_consecutive(
    input: Tensor, return_inverse: _bool = False, return_counts: _bool = False, dim: _int | None = None
) -> Any:
    """The elements (or slices along `dim`) that differ from the one before, on demand with each element's place among
    them and the lengths of the runs.
    """
    if dim is None:
        values, inverse, counts = _ops.unique_consecutive_flat(input, return_inverse, return_counts)
    else:
        flags("unique_consecutive", return_inverse=return_inverse, return_counts=return_counts)
        rows = input.movedim(whole("unique_consecutive", "dim", dim), 0)
        n = rows.shape[0]
        flat = rows.reshape(n, rows.numel() // builtins.max(n, 1))
        new = _ops.cat([_ops.ones(builtins.min(n, 1), dtype=BY_NAME["bool"]), _ops.ne(flat[1:], flat[:-1]).any(1)])
        starts = _ops.nonzero(new).reshape(-1)
        values, inverse = rows[starts].movedim(0, dim), new.cumsum(0) - 1
        counts = _ops.cat([starts[1:], _ops.full((builtins.min(n, 1),), n)]) - starts
    return _chosen(values, inverse, counts, return_inverse, return_counts)


# ---- conversions ----


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor with another dtype and on another device (from ``cpu`` to ``meta``), or like another tensor."""
    d = kwargs.get("dtype")
    place = kwargs.get("device")
    copy = kwargs.get("copy", False)
    other = kwargs.get("other")
    if "copy" in kwargs or "non_blocking" in kwargs:
        flags("to", copy=copy, non_blocking=kwargs.get("non_blocking", False))
    given = 0  # non_blocking, copy
    for a in args:
        if is_word(a):
            d = a
        elif _is_tensor(a):
            other = a
        elif isinstance(a, _bool):
            given += 1
            copy = a if given == 2 else copy
        elif a is not None:
            place = a
    if other is not None:
        d, place = other.dtype, other.device
    if place is not None:
        moved = put(input, place)
        copy, input = copy and moved is input, moved
    if d is not None and d.__class__ is not dtype_:
        d = from_python(d)
    if d is None or d is input.dtype:
        return input.clone() if copy else input
    return _ops.cast(input, d)


def _network(name: str) -> Callable[..., Any]:
    op, cells = getattr(_ops, name), name == "lstm"

    def states(hx: Any) -> Any:
        if cells and len(hx) != 2:
            raise InvalidArgumentError(f"{name}: expects two hidden states, got {len(hx)}")
        return hx if cells else (hx,)

    def whole(
        input: Tensor, hx: Any, params: Any, has_biases: _bool, num_layers: _int, dropout: _float, train: _bool,
        bidirectional: _bool, batch_first: _bool,
    ) -> Any:  # fmt: skip
        rest = params, has_biases, num_layers, dropout, train, bidirectional, batch_first
        return op(input, *states(hx), None, *rest)

    def packed(
        data: Tensor, batch_sizes: Tensor, hx: Any, params: Any, has_biases: _bool, num_layers: _int, dropout: _float,
        train: _bool, bidirectional: _bool,
    ) -> Any:  # fmt: skip
        return op(data, *states(hx), batch_sizes, params, has_biases, num_layers, dropout, train, bidirectional)

    def f(*args: Any, **kwargs: Any) -> Any:
        # Fourth comes whether there are biases, or what the parameters are.
        rows = "batch_sizes" in kwargs or (len(args) > 3 and not isinstance(args[3], _bool))
        return (packed if rows else whole)(*args, **kwargs)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"""The op `{name}`, its states together as `hx`; of `input, hx, params, ...` or, of a packed sequence,
    `data, batch_sizes, hx, params, ...` without `batch_first`."""
    return f


lstm = _network("lstm")
gru = _network("gru")
rnn_tanh = _network("rnn_tanh")
rnn_relu = _network("rnn_relu")


def lstm_cell(
    input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Any:
    """One step of an LSTM layer, `hx` being the state and the cells: the new ones."""
    if len(hx) != 2:
        raise InvalidArgumentError(f"lstm_cell: expects two hidden states, got {len(hx)}")
    return _ops.lstm_cell(input, hx[0], hx[1], w_ih, w_hh, b_ih, b_hh)


def _conversion(name: str, target: str) -> Callable[..., Tensor]:
    d = BY_NAME[target]

    def f(input: Tensor, memory_format: Any = None) -> Tensor:
        return input if input.dtype is d else _ops.cast(input, d)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"The elements as {target}."
    return f


def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself, if it is on the CPU."""
    return put(input, CPU)


def cuda(input: Tensor, device: Any = None, non_blocking: _bool = False, memory_format: Any = None) -> Tensor:
    """Raises: rustorch runs on the CPU."""
    check_device("cuda" if device is None else device)
    return input


_TYPE_NAMES = {
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "BFloat16Tensor": "bfloat16",
    "LongTensor": "int64",
    "IntTensor": "int32",
    "ShortTensor": "int16",
    "CharTensor": "int8",
    "ByteTensor": "uint8",
    "BoolTensor": "bool",
}


def type(input: Tensor, dtype: Any = None, non_blocking: _bool = False, **_: Any) -> Any:
    """The tensor's type as a string such as "torch.FloatTensor", or the tensor converted to a dtype or type."""
    if dtype is None:
        return "torch." + next(k for k, v in _TYPE_NAMES.items() if v == input.dtype._name)
    if isinstance(dtype, str):
        name = _TYPE_NAMES.get(dtype.rpartition(".")[2])
        if name is None:
            raise InvalidArgumentError(f"type: invalid type: {dtype!r}")
        dtype = BY_NAME[name]
    return to(input, getattr(dtype, "_tensor_dtype", dtype))


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` with the dtype of `other`, on its device."""
    return to(input, other)


def view(input: Tensor, *sizes: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same memory with another shape; or, given a dtype, with its bytes read as that."""
    if dtype is None and len(sizes) == 1 and is_word(sizes[0]):
        dtype = sizes[0]
    if dtype is None:
        return _ops.view(input, *sizes, size=size)
    return _ops.view_dtype(input, from_python(dtype))


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` viewed with the shape of `other`."""
    return _ops.view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` reshaped to the shape of `other`."""
    return _ops.reshape(input, other.shape)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` expanded to the shape of `other`."""
    return _ops.expand(input, other.shape)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with its own memory."""
    return _ops.clone(input)


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """`input` if it is row-major without gaps, else a copy that is."""
    return input if lib.rt_tensor_is_contiguous(input._h) else _ops.contiguous(input)


def copy_(input: Tensor, src: Any, non_blocking: _bool = False) -> Tensor:
    """Overwrites `input` with `src`, broadcast and cast."""
    return _ops.copy_(input, src if _is_tensor(src) else operand(src))


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """`input` summed to a shape that broadcasts to its own."""
    s = shape_(size)
    if not s:
        return _ops.sum(input)
    lead = input.ndim - len(s)
    if lead < 0 or builtins.any(n not in (1, have) for n, have in zip(s, input.shape[lead:])):
        raise ShapeMismatchError(f"sum_to_size: {tuple(s)} cannot be expanded to {tuple(input.shape)}")
    dims = [*_range(lead), *(lead + i for i, n in enumerate(s) if n == 1 and input.shape[lead + i] != 1)]
    return _ops.reshape(_ops.sum(input, dims, True) if dims else input, s)


def _layout_change(name: str) -> Callable[..., Tensor]:
    view = getattr(_ops, name)

    def f(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        recording = lib.rt_grad_enabled()
        if input.requires_grad and (recording or not input.is_leaf):
            if input.is_leaf:
                raise AutogradError(
                    f"{name}_: a leaf tensor that requires grad cannot be changed in place (outside of no_grad)"
                )
            # Recorded even under no_grad: the history has to know the shape.
            with _enable_grad():
                seen = view(input, *args, **kwargs)
        elif input._is_view() and not input.requires_grad:
            seen = view(input, *args, **kwargs)
        else:
            input._replace(view(input.detach(), *args, **kwargs))
            return input
        # From here on this is the new view; what was made from the old one still points there.
        input._h, seen._h = seen._h, input._h
        return input

    f.__name__ = f.__qualname__ = f"{name}_"
    f.__doc__ = f"In-place form of {name}: this tensor looks at the same elements in the new way."
    return f


unsqueeze_ = _layout_change("unsqueeze")
squeeze_ = _layout_change("squeeze")
t_ = _layout_change("t")
transpose_ = _layout_change("transpose")
as_strided_ = _layout_change("as_strided")


def _no_history(op: str, input: Tensor) -> None:
    if input.requires_grad:
        raise AutogradError(f"{op}: a tensor that requires grad cannot get other elements")


def resize_(input: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Gives the tensor another shape, row-major from its first element on in the order of memory; its own shape changes
    nothing. If that does not fit into its memory it gets new memory, which begins with what the old one held; further
    elements are not initialised. Of memory formats there is only the contiguous one.
    """
    _no_history("resize_", input)
    if memory_format not in (None, "rustorch.contiguous_format"):
        raise UnsupportedError(f"resize_: the elements can only be laid out contiguously, not as {memory_format!r}")
    s = shape_(sizes)
    if builtins.any(d < 0 for d in s):
        raise InvalidArgumentError(f"resize_: sizes must not be negative, got {list(s)}")
    if tuple(s) != tuple(input.shape):
        _resized(input, s)
    return input


def _resized(input: Tensor, s: Any, steps: Any = None, offset: Any = None) -> None:
    """Other sizes, steps (row-major if None) and offset (its own if None) in `input`'s memory, or in more of it."""
    if steps is None:
        steps, n = [], 1
        for d in reversed(s):
            steps.insert(0, n)
            n *= d
    offset = input.storage_offset() if offset is None else offset
    need = offset + 1 + builtins.sum((d - 1) * t for d, t in zip(s, steps)) if all_positive(s) else 0
    have, memory = input._room(), input.detach()
    if need > have:
        memory = _ops.empty(need, dtype=input.dtype, device=input.device)
        memory[:have].copy_(_ops.as_strided(input.detach(), (have,), (1,), 0))
    input._replace(_ops.as_strided(memory, s, steps, offset).detach())


def set_(input: Tensor, source: Any = None, storage_offset: _int = 0, size: Any = None, stride: Any = None) -> Tensor:
    """Makes `input` look into the memory of `source`: as that does, or, if `size` is given, with these sizes, strides
    (row-major if None) and offset, for which the memory grows if need be. Without `source` it becomes empty.
    """
    _no_history("set_", input)
    if source is None:
        source = _ops.empty(0, dtype=input.dtype, device=input.device)
    if source.device != input.device:
        raise InvalidArgumentError(f"set_: could not set a tensor on {input.device} to one on {source.device}")
    if source.dtype is not input.dtype:
        raise DTypeError(f"set_: could not set tensor of type {source.dtype} to a tensor of type {input.dtype}")
    if size is None:
        input._replace(source.detach())
        return input
    numbers = [storage_offset, *size, *(stride or ())]
    if builtins.any(v < 0 for v in numbers) or (stride is not None and len(stride) != len(size)):
        raise InvalidArgumentError(
            f"set_: wanted sizes and strides of one length, not negative as the offset, got {size}, {stride} and "
            f"{storage_offset}"
        )
    view = source.detach()
    _resized(view, size, stride, storage_offset)
    input._replace(view)
    return input


def resize_as_(input: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of `other`."""
    kept = None if memory_format == "rustorch.preserve_format" else memory_format
    return resize_(input, other.shape, memory_format=kept)


def fill_diagonal_(input: Tensor, fill_value: Any, wrap: _bool = False) -> Tensor:
    """Sets the elements whose indices are all equal; in tall matrices the diagonal starts again if `wrap`."""
    if _is_tensor(fill_value) and fill_value.ndim:
        raise refused("fill_diagonal_", "fill_value", "Scalar", fill_value)
    flags("fill_diagonal_", wrap=wrap)
    if input.ndim < 2 or (input.ndim > 2 and len(set(input.shape)) > 1):
        raise InvalidArgumentError(
            f"fill_diagonal_: wanted a matrix, or dimensions of one size, got shape {list(input.shape)}"
        )
    rows, columns = input.shape[0], input.shape[-1]
    # In a wrapped diagonal one row is left out after each round.
    places = [r for r in _range(rows if wrap else builtins.min(rows, columns)) if r % (columns + 1) < columns]
    at = [p % (columns + 1) for p in places]
    input[(places, *[at] * (input.ndim - 1))] = fill_value
    return input


def apply_(input: Tensor, callable: Any) -> Tensor:
    """Replaces each element by `callable(element)`; slow."""
    from ._tensor import make

    flat = [callable(v) for v in input.reshape(-1).tolist()]
    with _quiet():
        return input.copy_(make(flat, input.dtype).reshape(input.shape))


def _quiet() -> Any:
    from .autograd import no_grad

    return no_grad()


def _enable_grad() -> Any:
    from .autograd import enable_grad

    return enable_grad()


# ---- tensors like another ----


def _new(name: str) -> Callable[..., Tensor]:
    def f(
        input: Tensor,
        *sizes: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: _bool = False,
        **_: Any,
    ) -> Any:
        s = shape_(sizes) if size is None else size
        return getattr(_ops, name)(
            s,
            dtype=input.dtype if dtype is None else dtype,
            device=input.device if device is None else device,
            requires_grad=requires_grad,
        )

    f.__name__ = f.__qualname__ = f"new_{name}"
    f.__doc__ = f"`{name}` of the given sizes with the dtype of `input`."
    return f


def new_full(
    input: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False
) -> Tensor:
    """A tensor of the given sizes filled with a number, with the dtype of `input`."""
    return _ops.full(
        size,
        fill_value,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )


def new_tensor(
    input: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False
) -> Tensor:
    """A tensor from data, with the dtype of `input`."""
    dtype, device = input.dtype if dtype is None else dtype, input.device if device is None else device
    return tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


# ---- random numbers in place ----


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Ones with probability `p` (a number, or a tensor of them), else zeros."""
    if _is_tensor(p):
        return input.copy_(_ops.bernoulli(p.expand(input.shape), generator=generator))
    return _ops.bernoulli_p_(input, p, generator=generator)


def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None, out: Any = None) -> Tensor:
    """Ones with the probabilities in `input` (or with probability `p`), else zeros."""
    r = (
        _ops.bernoulli(input, generator=generator)
        if p is None
        else bernoulli_(_ops.empty_like(input), p, generator=generator)
    )
    return r if out is None else into(out, r)


def random_(input: Tensor, *limits: Any, generator: Any = None, **named: Any) -> Tensor:
    """Whole numbers: `random_()` of the dtype's whole range, `random_(to)` from [0, to), `random_(from, to)` from
    [from, to); `to` = None stands for the end of that range.
    """
    only_to = len(limits) + len(named) == 1 and not {"from", "from_"} & named.keys()
    limits += tuple(named.pop(k) for k in ("from", "from_", "to") if k in named)
    if only_to:
        limits = (0, *limits)
    if len(limits) not in (0, 2) or named:
        raise DTypeError(f"random_(): expected (), (to) or (from, to), got {limits} and {[*named]}")
    low, high = limits or (None, None)
    return _ops.random_(input, low, high, generator=generator)


def _range_method(name: str) -> Callable[..., Tensor]:
    def f(input: Tensor, *args: Any, generator: Any = None, **kwargs: Any) -> Any:
        if "from" in kwargs:
            kwargs["from_"] = kwargs.pop("from")
        return getattr(_ops, name)(input, *args, generator=generator, **kwargs)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"Fills the tensor from a {name.rstrip('_')} distribution."
    return f


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: _bool = False,
) -> Tensor:
    """Normal numbers; mean and standard deviation are numbers (then `size` says how many) or tensors."""
    tensors = [v for v in (mean, std) if _is_tensor(v)]
    if tensors and size is not None:
        if not builtins.all(v.ndim == 0 and not v.requires_grad for v in tensors):
            raise DTypeError("normal(): size goes with a mean and std that are numbers, not with Tensors of their own")
        dtype = tensors[0].dtype if dtype is None else dtype
        mean, std, tensors = _float(mean), _float(std), []
    if tensors and (dtype is not None or device is not None or requires_grad):
        raise DTypeError("normal(): dtype, device and requires_grad go with a mean and std that are numbers")
    if not tensors:
        if size is None and out is None:
            raise InvalidArgumentError("normal(): size is wanted when mean and std are numbers")
        t = _ops.empty(tuple(out.shape) if size is None else size, dtype=dtype, device=device)
        r = _ops.normal_(t, _float(mean), _float(std), generator=generator)
        r = r if requires_grad is False else r.requires_grad_(requires_grad)
        return r if out is None else into(out, r)
    m = mean if _is_tensor(mean) else operand(mean)
    s = std if _is_tensor(std) else operand(std)
    if s.numel() and not _bool((s.detach() >= 0).all()):  # NaN is not either
        raise InvalidArgumentError(
            "normal expects all elements of std >= 0.0" + ("" if _is_tensor(std) else f", but found std {std}")
        )
    shape = broadcast_shapes(m.shape, s.shape)
    d = m.dtype if _is_tensor(mean) else s.dtype
    z = _ops.normal_(_ops.empty(shape, dtype=d), 0.0, 1.0, generator=generator)
    r = (z * s.detach() + m.detach()).to(d)
    return r if out is None else into(out, r)


def randint(
    *args: Any,
    low: Any = None,
    high: Any = None,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: _bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: _bool = False,
) -> Tensor:
    """Whole numbers from [low, high): `randint(high, size)` or `randint(low, high, size)`."""
    a = list(args)
    if size is None and a:
        size = a.pop()
    for v in a:
        whole("randint", "high" if v is a[-1] else "low", v)
    if len(a) == 2:
        low, high = a
    elif len(a) == 1:
        if high is None:
            high = a[0]
        else:
            low = a[0]
    if high is None or size is None:
        raise DTypeError("randint(): wanted randint(high, size) or randint(low, high, size)")
    made = _made_as(dtype, out)
    low, high = 0 if low is None else whole("randint", "low", low), whole("randint", "high", high)
    r = _ops.randint(low, high, size, generator=generator, dtype=made, device=device, requires_grad=requires_grad)
    return r if out is None else into(out, r)


def randint_like(
    input: Tensor,
    *args: Any,
    low: Any = 0,
    high: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: _bool = False,
    **_: Any,
) -> Tensor:
    """Whole numbers from [low, high) in the shape of `input`."""
    if len(args) == 2:
        low, high = args
    elif args:
        high = args[0]
    return randint(
        low,
        high,
        tuple(input.shape),
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )


# ---- making tensors ----


def _made_as(dtype: Any, out: Any) -> Any:
    """The dtype to make: that of the tensor given as `out=`, if none is asked for."""
    return out.dtype if dtype is None and out is not None else dtype


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False, pin_memory: _bool = False
) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested sequences, arrays. The dtype is inferred if not given."""
    from ._tensor import make

    t = make(data, dtype)
    if device is not None or requires_grad or _device._used:
        return created(t, device, requires_grad)
    return t


def arange(
    *args: Any,
    start: Any = _MISSING,
    end: Any = _MISSING,
    step: Any = _MISSING,
    dtype: Any = None,
    device: Any = None,
    requires_grad: _bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: _bool = False,
) -> Tensor:
    """`arange(end)`, `arange(start, end)` or `arange(start, end, step)`: start, start + step, ... below end."""
    if len(args) == 1:
        end = args[0] if end is _MISSING else end
        if end is not args[0]:
            start = args[0]
    elif len(args) >= 2:
        start, end = args[:2]
        if len(args) > 2:
            step = args[2]
    if len(args) > 3 or start is None or end is None or end is _MISSING or step is None:
        raise DTypeError("arange(): wanted (end), (start, end) or (start, end, step), all of them numbers")
    start, step = 0 if start is _MISSING else start, 1 if step is _MISSING else step
    r = _ops.arange(start, end, step, dtype=_made_as(dtype, out), device=device, requires_grad=requires_grad)
    return r if out is None else into(out, r)


def _spaced(name: str) -> Callable[..., Tensor]:
    op = getattr(_ops, name)

    @wraps(op)
    def f(*args: Any, **kwargs: Any) -> Any:
        # The ends may be tensors; through them no gradient flows.
        ends = {k: v.detach() if k in ("start", "end") and _is_tensor(v) else v for k, v in kwargs.items()}
        return op(*(v.detach() if _is_tensor(v) else v for v in args), **ends)

    return f


linspace = _spaced("linspace")
logspace = _spaced("logspace")


def range(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, **options: Any) -> Tensor:
    """`arange` with `end` among the numbers and a float dtype; deprecated in PyTorch too."""
    import warnings

    warnings.warn("range is deprecated: use arange, whose end is not among the numbers", UserWarning, stacklevel=2)
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise InvalidArgumentError(f"range: cannot go from {start} to {end} by steps of {step}")
    n = _int((end - start) / step) + 1
    out = options.pop("out", None)
    made = _made_as(dtype, out)
    d = get_default_dtype() if made is None else from_python(made)
    whole_or_not = BY_NAME["float64" if d.is_floating_point else "int64"]
    places = _ops.arange(0, n, 1, dtype=whole_or_not, device=options.get("device"))
    r = (places * step + start).to(d).requires_grad_(options.get("requires_grad", False))
    return r if out is None else into(out, r)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: _bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: _bool = False,
) -> Tensor:
    """A tensor of the given sizes filled with a number, whose type decides the dtype if none is given."""
    if _is_tensor(fill_value):
        dtype = fill_value.dtype if dtype is None else dtype
    r = _ops.full(size, fill_value, dtype=_made_as(dtype, out), device=device, requires_grad=requires_grad)
    return r if out is None else into(out, r)


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: _bool = False, **_: Any
) -> Tensor:
    """An uninitialised tensor with the given strides."""
    n = 1 + builtins.sum((d - 1) * s for d, s in zip(size, stride)) if all_positive(size) else 0
    r: Tensor = _ops.as_strided(_ops.empty(n, dtype=dtype, device=device), size, stride, 0).detach()
    r.requires_grad_(requires_grad)
    return r


def all_positive(v: Any) -> _bool:
    """True if no number is zero."""
    return builtins.all(i > 0 for i in v)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that all of them broadcast to."""
    from ._tensor import Size

    out: list[_int] = []
    for s in shapes:
        s = (s,) if isinstance(s, _int) else tuple(s)
        for d in s:
            if not isinstance(d, _int) or d < 0:
                raise ShapeMismatchError(f"broadcast_shapes: sizes are ints from 0 on, got {d!r}")
        s = tuple(map(_int, s))
        out = [1] * (len(s) - len(out)) + out
        for i, d in enumerate(reversed(s), 1):
            if out[-i] == 1:
                out[-i] = d
            elif d not in (1, out[-i]):
                e = ShapeMismatchError(f"broadcast_shapes: shapes {shapes} do not broadcast")
                raise e
    return Size(out)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of all tensors, expanded to their common shape."""
    ts = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    shape = broadcast_shapes(*(t.shape for t in ts))
    return tuple(t if t.shape == shape else t.expand(shape) for t in ts)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Grids of coordinates from 1-d tensors; `indexing` is "ij" (rows first) or "xy"."""
    ts = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    return _ops.meshgrid(ts, "ij" if indexing is None else indexing)


def einsum(equation: str, *operands: Any) -> Tensor:
    """Sums of products by Einstein's notation, such as "bij,bjk->bik"."""
    ts = operands[0] if len(operands) == 1 and isinstance(operands[0], (list, tuple)) else operands
    return _ops.einsum(equation if equation != "" else "->", ts)


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Any = None) -> Tensor:
    """Contraction over the last `dims` dimensions of `a` and the first of `b`, or over two lists of dimensions."""
    if _is_tensor(dims):
        dims = _int(dims) if dims.numel() == 1 else dims.tolist()
    if isinstance(dims, _int):
        if not 0 <= dims <= builtins.min(a.ndim, b.ndim):
            raise InvalidArgumentError(f"tensordot: dims must be from 0 to {builtins.min(a.ndim, b.ndim)}, got {dims}")
        dims = (_range(a.ndim - dims, a.ndim), _range(dims))
    if not isinstance(dims, (list, tuple)) or len(dims) != 2 or builtins.any(isinstance(d, _int) for d in dims):
        raise DTypeError(f"tensordot(): argument 'dims' must be an int or two sequences of ints, not {dims!r}")
    da, db = (tuple(d) for d in dims)
    r = _ops.tensordot(a, b, da, db)
    return r if out is None else into(out, r)


def spmm(input: Tensor, mat2: Tensor, *, out: Any = None) -> Tensor:
    """`mm`: all tensors are dense."""
    return _ops.mm(input, mat2, out=out)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the elements of 1-d tensors, one row each."""
    return _ops.cartesian_prod(list(tensors))


def combinations(input: Tensor, r: _int = 2, with_replacement: _bool = False) -> Tensor:
    """All combinations of `r` elements of a 1-d tensor, one row each."""
    import itertools

    from ._tensor import make

    r = whole("combinations", "r", r)
    flags("combinations", with_replacement=with_replacement)
    if input.dim() != 1:
        raise ShapeMismatchError(f"combinations: expected a 1-d vector, got shape {list(input.shape)}")
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    if r == 0:
        return _ops.empty(0, dtype=input.dtype)
    rows = list(pick(_range(input.numel()), r))
    return input[make(rows, BY_NAME["int64"]).reshape(len(rows), r)]


@_numpy_names
def diff(input: Tensor, n: _int = 1, dim: _int = -1, prepend: Any = None, append: Any = None) -> Tensor:
    """Differences of neighbours along `dim`, `n` times; `prepend` and `append` are put at the ends first."""
    n = whole("diff", "n", n)
    if n < 0:
        raise InvalidArgumentError(f"diff: order must be non-negative but got {n}")
    input.size(dim)  # refuses a dimension that is not there
    if input.dim() == 0:
        raise ShapeMismatchError("diff: input must have at least one dimension")
    parts = [t for t in (prepend, input, append) if t is not None]
    for t in parts:
        if not _is_tensor(t):
            raise DTypeError(f"diff: prepend and append must be Tensors, not {builtins.type(t).__name__}")
        rest = [s for d, s in enumerate(t.shape) if d != dim % input.dim()]
        if t.dim() != input.dim() or rest != [s for d, s in enumerate(input.shape) if d != dim % input.dim()]:
            raise ShapeMismatchError(
                f"diff: prepend and append must match the input's shape {list(input.shape)} except in dimension {dim}, "
                f"got {list(t.shape)}"
            )
    r = _ops.cat(parts, dim) if len(parts) > 1 else input
    if not n:
        return input.clone()
    for _ in _range(builtins.min(n, r.size(dim))):
        size = builtins.max(r.size(dim) - 1, 0)
        late, early = _ops.narrow(r, dim, r.size(dim) - size, size), _ops.narrow(r, dim, 0, size)
        r = _ops.logical_xor(late, early) if r.dtype is BY_NAME["bool"] else late - early
    return r


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: _int = -1) -> Tensor:
    """Integral along `dim` by the trapezoidal rule, with points `x` or steps `dx`."""
    n = y.size(dim)
    if x is not None and x.ndim > y.ndim:
        raise ShapeMismatchError(f"trapezoid: x of shape {list(x.shape)} has more dimensions than y, {list(y.shape)}")
    if BY_NAME["bool"] in (y.dtype, y.dtype if x is None else x.dtype):
        raise DTypeError("trapezoid: not implemented for dtype bool")
    heights = (_ops.narrow(y, dim, 1, n - 1) + _ops.narrow(y, dim, 0, n - 1)) / 2
    if x is None:
        whole: Tensor = heights.sum(dim) * dx
        return whole
    steps = diff(x, dim=dim if x.ndim == y.ndim else -1)
    if x.ndim == 1 and dim % y.ndim != y.ndim - 1:
        steps = steps.reshape([-1 if d == dim % y.ndim else 1 for d in _range(y.ndim)])
    r: Tensor = (heights * steps).sum(dim)
    return r


# ---- small questions ----


def is_tensor(obj: Any) -> _bool:
    """True for tensors."""
    from ._tensor import Tensor

    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> _bool:
    """True for floating-point dtypes."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> _bool:
    """False: there are no complex dtypes."""
    return False


def is_nonzero(input: Tensor) -> _bool:
    """The truth value of a tensor with one element."""
    return _bool(input)


def numel(input: Tensor) -> _int:
    """Number of elements."""
    return input.numel()


def result_type(tensor1: Any, tensor2: Any) -> dtype_:
    """The dtype of an operation on both (tensors or numbers)."""
    ts = [operand(tensor1), operand(tensor2)]
    out = ffi.new("int32_t *")
    check(lib.rt_result_type([t._h for t in ts], 2, out))
    code: _int = out[0]
    return ALL[code]


def can_cast(from_: Any, to: Any) -> _bool:
    """True if results of the first dtype may be written into tensors of the second."""

    def rank(d: dtype_) -> _int:
        return 0 if d._name == "bool" else 2 if d.is_floating_point else 1

    return rank(from_python(from_)) <= rank(from_python(to))


def share_memory_(input: Tensor) -> Tensor:
    """The tensor itself: memory is shared between threads, not processes."""
    return input


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: there is no device to pin for."""
    return input


def is_pinned(input: Tensor, device: Any = None) -> _bool:
    """False."""
    return False


def is_shared(input: Tensor) -> _bool:
    """False."""
    return False


def get_device(input: Tensor) -> _int:
    """-1: the CPU."""
    return -1


def _T(input: Tensor) -> Tensor:
    return _ops.permute(input, tuple(_range(input.ndim - 1, -1, -1)))


def _H(input: Tensor) -> Tensor:
    if input.ndim not in (0, 2):
        raise ShapeMismatchError(f"H: wanted a matrix, got {input.ndim} dimensions; mH is for batches of matrices")
    return _T(input)


def _mT(input: Tensor) -> Tensor:
    return _ops.transpose(input, -2, -1)


@_numpy_names
def unflatten(input: Tensor, dim: _int, sizes: Any) -> Tensor:
    """Dimension `dim` as several, of the given sizes (one may be -1)."""
    return _ops.unflatten(input, dim, sizes)


@_numpy_names
def argmax(input: Tensor, dim: Any = None, keepdim: _bool = False, *, out: Any = None) -> Tensor:
    """Index of the greatest element, of all or over `dim`."""
    r = _ops.argmax(input, dim, keepdim)
    return r if out is None else into(out, r)


@_numpy_names
def argmin(input: Tensor, dim: Any = None, keepdim: _bool = False, *, out: Any = None) -> Tensor:
    """Index of the least element, of all or over `dim`."""
    r = _ops.argmin(input, dim, keepdim)
    return r if out is None else into(out, r)


class TensorWords:
    """The words that are methods of Tensor."""

    __slots__ = ()

    max = max
    min = min
    median = median
    prod = prod
    topk = topk
    kthvalue = kthvalue
    mode = mode
    cummax = cummax
    cummin = cummin
    sort = sort
    argsort = argsort
    aminmax = aminmax
    argmax = argmax
    argmin = argmin
    std = std
    var = var
    norm = norm
    split = split
    tensor_split = tensor_split
    hsplit = hsplit
    vsplit = vsplit
    dsplit = dsplit
    unsafe_split = unsafe_split
    unsafe_chunk = unsafe_chunk
    narrow = narrow
    narrow_copy = narrow_copy
    where = _where_method
    nonzero = nonzero
    repeat_interleave = repeat_interleave
    clamp = clamp
    clamp_ = clamp_
    clip = clamp
    clip_ = clamp_
    clamp_min = clamp_min
    clamp_max = clamp_max
    clamp_min_ = clamp_min_
    clamp_max_ = clamp_max_
    float_power_ = float_power_
    cumsum_ = cumsum_
    cumprod_ = cumprod_
    polygamma = _polygamma_method
    scatter = scatter
    scatter_ = scatter_
    index_put = index_put
    index_put_ = index_put_
    equal = equal
    allclose = allclose
    isclose = isclose
    unique = unique
    unique_consecutive = unique_consecutive
    to = to
    float = _conversion("float", "float32")
    double = _conversion("double", "float64")
    half = _conversion("half", "float16")
    bfloat16 = _conversion("bfloat16", "bfloat16")
    int = _conversion("int", "int32")
    long = _conversion("long", "int64")
    short = _conversion("short", "int16")
    char = _conversion("char", "int8")
    byte = _conversion("byte", "uint8")
    bool = _conversion("bool", "bool")
    cpu = cpu
    cuda = cuda
    type = type
    type_as = type_as
    view = view
    view_as = view_as
    reshape_as = reshape_as
    expand_as = expand_as
    clone = clone
    contiguous = contiguous
    copy_ = copy_
    sum_to_size = sum_to_size
    unsqueeze_ = unsqueeze_
    squeeze_ = squeeze_
    t_ = t_
    transpose_ = transpose_
    swapaxes_ = transpose_
    swapdims_ = transpose_
    as_strided_ = as_strided_
    resize_ = resize_
    resize_as_ = resize_as_
    fill_diagonal_ = fill_diagonal_
    diff = diff
    is_nonzero = is_nonzero
    set_ = set_
    apply_ = apply_
    new_empty = _new("empty")
    new_zeros = _new("zeros")
    new_ones = _new("ones")
    new_full = new_full
    new_tensor = new_tensor
    bernoulli = bernoulli
    bernoulli_ = bernoulli_
    random_ = random_
    uniform_ = _range_method("uniform_")
    normal_ = _range_method("normal_")
    share_memory_ = share_memory_
    pin_memory = pin_memory
    is_pinned = is_pinned
    is_shared = is_shared
    get_device = get_device
    unflatten = unflatten
    T = property(_T)
    mT = property(_mT)
    H = property(_H)
    mH = property(_mT)
    real = property(cpu)


__all__ = (
    "allclose",
    "aminmax",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "bernoulli",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "can_cast",
    "cartesian_prod",
    "clamp",
    "clamp_",
    "clamp_max",
    "clamp_max_",
    "clamp_min",
    "clamp_min_",
    "clip_",
    "clone",
    "combinations",
    "cummax",
    "cummin",
    "diff",
    "dsplit",
    "einsum",
    "empty_strided",
    "equal",
    "full",
    "gru",
    "hsplit",
    "index_put",
    "index_put_",
    "is_complex",
    "is_floating_point",
    "is_nonzero",
    "is_tensor",
    "isclose",
    "isin",
    "kthvalue",
    "linspace",
    "logspace",
    "lstm",
    "lstm_cell",
    "max",
    "median",
    "meshgrid",
    "min",
    "mode",
    "narrow",
    "narrow_copy",
    "nonzero",
    "norm",
    "normal",
    "numel",
    "polygamma",
    "pow",
    "prod",
    "randint",
    "randint_like",
    "range",
    "repeat_interleave",
    "result_type",
    "rnn_relu",
    "rnn_tanh",
    "scatter",
    "sort",
    "split",
    "spmm",
    "std",
    "std_mean",
    "tensor",
    "tensor_split",
    "tensordot",
    "topk",
    "trapezoid",
    "unflatten",
    "unique",
    "unique_consecutive",
    "unsafe_chunk",
    "unsafe_split",
    "var",
    "var_mean",
    "vsplit",
    "where",
)  # fmt: skip

_UNUSED = (error, ints, number, RustorchError)
